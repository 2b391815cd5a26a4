//! The arm against its words written down a second time: every visible row scored, in the plainest way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use catena_domain::{DocNo, VersionNo};
use catena_kernels::Map;
use proptest::prelude::*;
use tantivy::fieldnorm::FieldNormReader;

use super::*;
use crate::Counted;
use crate::analyser::Analyser;
use crate::bits::Bits;
use crate::row::RowInput;
use crate::words::{self as table, FIELDS};

/// Words that are drawn the more often the earlier they stand; some are forms of one word, some begin alike.
const WORDS: [&str; 12] = [
    "river",
    "keys",
    "key",
    "stone",
    "keyed",
    "cloud",
    "rivers",
    "lantern",
    "keyring",
    "Schlüssel",
    "stones",
    "orchid",
];

/// A row of a test, and whether it is live and visible.
#[derive(Debug, Clone)]
struct Row {
    input: RowInput,
    live: bool,
    visible: bool,
}

/// Text of `length` words drawn by `seed`.
fn text(seed: u64, length: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 33
    };
    let word = |_| WORDS[(next() % WORDS.len() as u64 * (next() % 4) / 3) as usize % WORDS.len()];
    (0..length).map(word).collect::<Vec<_>>().join(" ")
}

fn row(at: u32, seed: u64, fate: u8) -> Row {
    let input = RowInput {
        doc: DocNo(at / 3),
        version: VersionNo(1),
        chunk: at % 3,
        title: text(seed, seed % 3),
        headings: text(seed + 1, seed % 2),
        body: text(seed + 2, seed % 23),
        language: Language::of_tag(if seed.is_multiple_of(5) { "de" } else { "en" }),
        vector: Vec::new(),
    };
    Row { input, live: fate > 0, visible: fate > 1 }
}

/// Rows of which most are visible, some live only, some dead. Terms fill several blocks and windows, and rows with one
/// text score alike.
fn some_rows() -> impl Strategy<Value = Vec<Row>> {
    let fates = prop_oneof![Just(vec![2_u8]), Just(vec![2, 2, 1, 0]), Just(vec![1, 1, 0, 1, 1, 1, 1, 1, 1, 2])];
    (1_usize..420, any::<u32>(), fates).prop_map(|(count, seed, fates)| {
        let fate = |at: usize| fates[(at * 7 + at / 5) % fates.len()];
        (0..count).map(|at| row(at as u32, u64::from(seed) + at as u64 * 31 % 40, fate(at))).collect()
    })
}

/// A query, and over which rows its scores are counted.
#[derive(Debug, Clone)]
struct Asked {
    query: LexicalQuery,
    counted: Counted,
}

impl From<LexicalQuery> for Asked {
    fn from(query: LexicalQuery) -> Self {
        Self { query, counted: Counted::Live }
    }
}

/// A query of words, sometimes with phrases and prefixes.
fn some_query() -> impl Strategy<Value = Asked> {
    let words = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..6);
    let phrase = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..3);
    let counted = prop::sample::select(vec![Counted::Live, Counted::Visible]);
    (words, prop::option::of(phrase), prop::option::of(prop::sample::select(vec!["ke", "river", "x"])), counted)
        .prop_map(|(words, phrase, prefix, counted)| {
            let mut query = LexicalQuery::parse(&words.join(" "));
            if let Some(phrase) = phrase {
                query = query.with_phrase(&phrase.join(" ")).unwrap();
            }
            if let Some(prefix) = prefix.filter(|prefix| prefix.len() > 1) {
                query = query.with_prefix(prefix).unwrap();
            }
            Asked { query, counted }
        })
}

fn bits(rows: &[Row], wanted: impl Fn(&Row) -> bool) -> Bits {
    let mut bits = Bits::empty(rows.len() as u32);
    for (at, _) in rows.iter().enumerate().filter(|(_, row)| wanted(row)) {
        bits.fill(at as u32..at as u32 + 1);
    }
    bits
}

fn open(files: &[(String, Vec<u8>)], rows: usize) -> Part {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lexical");
    std::fs::write(&path, crate::bundle::pack(files).unwrap()).unwrap();
    Part::open(Path::new("lexical"), Map::open(&path).unwrap(), rows as u32).unwrap()
}

/// Rows in a segment of their own.
struct Built {
    rows: Vec<Row>,
    part: Part,
    counts: Vec<[u32; FIELDS]>,
    live: Bits,
    visible: Bits,
}

impl Built {
    fn of(rows: &[Row]) -> Self {
        let mut builder = Builder::new(rows.len()).unwrap();
        let counts = rows.iter().map(|row| builder.push(&row.input).unwrap()).collect();
        Self::with(rows, open(&builder.finish().unwrap(), rows.len()), counts)
    }

    fn with(rows: &[Row], part: Part, counts: Vec<[u32; FIELDS]>) -> Self {
        let (live, visible) = (bits(rows, |row| row.live), bits(rows, |row| row.visible));
        Self { rows: rows.to_vec(), part, counts, live, visible }
    }
}

/// What the arm finds in some segments, and what it says when it is asked for every row's score.
type Answer = (Vec<(RowKey, u32)>, BTreeMap<RowKey, u32>);

fn ask(segments: &[Built], Asked { query, counted }: &Asked, limit: usize) -> Answer {
    let strict = *counted == Counted::Visible;
    let shelf = |built: &'_ Built| {
        built
            .rows
            .iter()
            .zip(&built.counts)
            .filter(move |(row, _)| if strict { row.visible } else { row.live })
            .map(|(_, counts)| *counts)
            .collect::<Vec<_>>()
    };
    let counts: Vec<[u32; FIELDS]> = segments.iter().flat_map(shelf).collect();
    let corpus = Corpus {
        shelves: segments
            .iter()
            .map(|built| Shelf {
                part: &built.part,
                visible: &built.visible,
                counted: if strict { &built.visible } else { &built.live },
            })
            .collect(),
        rows: counts.len() as u64,
        tokens: std::array::from_fn(|field| counts.iter().map(|counts| u64::from(counts[field])).sum()),
    };
    let key = |row: RowId| segments[row.segment as usize].rows[row.row as usize].input.key();
    let found = best(&corpus, query, limit, key).unwrap();
    let every: Vec<RowId> = segments
        .iter()
        .enumerate()
        .flat_map(|(segment, built)| (0..built.part.rows()).map(move |row| RowId { segment: segment as u32, row }))
        .collect();
    let all = scores(&corpus, query, &every).unwrap();
    let all = every.iter().zip(all).filter(|(_, score)| *score > 0.0).map(|(row, score)| (key(*row), score.to_bits()));
    (found.iter().map(|hit| (key(hit.row), hit.score.to_bits())).collect(), all.collect())
}

/// What a row says in each scored field, read once more.
struct Naive<'a> {
    row: &'a Row,
    fields: [Vec<String>; FIELDS],
    forms: [Vec<String>; 3],
}

impl<'a> Naive<'a> {
    fn of(row: &'a Row) -> Self {
        let mut analyser = Analyser::new();
        let language = row.input.language.unwrap_or(Language::ENGLISH);
        let texts = [&row.input.title, &row.input.headings, &row.input.body];
        let words = texts.map(|text| analyser.words(text));
        let forms = words.each_ref().map(|words| words.iter().map(|word| word.form.clone()).collect());
        let stems =
            words.map(|words| words.iter().flat_map(|word| analyser.variants(word, &[language])).collect::<Vec<_>>());
        let body = stems.concat();
        let [title, headings, _] = stems;
        Self { row, fields: [title, headings, body], forms }
    }

    fn times(&self, field: usize, variants: &[String]) -> u32 {
        let times = |variant: &String| self.fields[field].iter().filter(|stem| *stem == variant).count() as u32;
        variants.iter().map(times).max().unwrap_or(0)
    }

    fn phrase(&self, phrase: &[String]) -> u32 {
        self.forms
            .iter()
            .map(|forms| forms.windows(phrase.len()).filter(|window| *window == phrase).count() as u32)
            .sum()
    }

    fn prefix(&self, prefix: &str) -> u32 {
        let words: Vec<&String> = self.forms.iter().flatten().filter(|form| form.starts_with(prefix)).collect();
        words.iter().map(|word| words.iter().filter(|other| *other == word).count() as u32).max().unwrap_or(0)
    }
}

/// Every visible row with a score, best first.
fn naive(rows: &[Row], Asked { query, counted }: &Asked) -> Vec<(RowKey, u32)> {
    let rows: Vec<Naive<'_>> = rows.iter().map(Naive::of).collect();
    let strict = *counted == Counted::Visible;
    let counted: Vec<&Naive<'_>> =
        rows.iter().filter(|naive| if strict { naive.row.visible } else { naive.row.live }).collect();
    let languages: BTreeSet<Language> =
        rows.iter().filter(|naive| naive.row.visible).filter_map(|naive| naive.row.input.language).collect();
    let languages: Vec<Language> = languages.into_iter().collect();
    let mut gains: BTreeMap<RowKey, u32> = BTreeMap::new();
    let mut add = |field: usize, weight: f32, times: &dyn Fn(&Naive<'_>) -> u32| {
        let having = counted.iter().filter(|naive| times(naive) > 0).count();
        let total: usize = counted.iter().map(|naive| naive.fields[field].len()).sum();
        let average = (total as f32 / counted.len() as f32).max(1.0);
        let weight = weight * table::rarity(counted.len() as u64, having as u64) * (table::K1 + 1.0);
        for naive in rows.iter().filter(|naive| naive.row.visible && times(naive) > 0) {
            let length =
                FieldNormReader::id_to_fieldnorm(FieldNormReader::fieldnorm_to_id(naive.fields[field].len() as u32))
                    as f32;
            let pace = 1.0 / (table::K1 * (1.0 - table::B + table::B * length / average));
            let gain = weight - weight / (1.0 + times(naive) as f32 * pace);
            *gains.entry(naive.row.input.key()).or_default() += ((gain * 65_536.0) as u32).max(1);
        }
    };
    let mut analyser = Analyser::new();
    let mut words: BTreeMap<Vec<String>, u32> = BTreeMap::new();
    for (word, times) in query.repeated_words() {
        *words.entry(analyser.variants(word, &languages)).or_default() += times;
    }
    for (variants, repeated) in &words {
        for field in [0, 2] {
            let weight = [0.2, 0.0, 1.0][field] * table::repetition(*repeated);
            add(field, weight, &|naive| naive.times(field, variants));
        }
    }
    for phrase in query.phrases() {
        add(2, 1.0, &|naive| naive.phrase(phrase));
    }
    for prefix in query.prefixes() {
        add(2, 1.0, &|naive| naive.prefix(prefix));
    }
    let mut sorted: Vec<(RowKey, u32)> =
        gains.into_iter().map(|(key, gains)| (key, (gains as f32 / 65_536.0).to_bits())).collect();
    sorted.sort_by_key(|&(key, bits)| (Reverse(bits), key.doc, key.chunk, key.version));
    sorted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_answer_is_that_of_scoring_every_visible_row_wherever_rows_lie(
        rows in some_rows(), query in some_query(), limit in 1_usize..30, cut in 0_usize..420,
    ) {
        let query = Asked { query: query.query.with_typos(Typos::Off), ..query };
        let want = naive(&rows, &query);
        let (left, right) = rows.split_at(cut.min(rows.len()));
        // The greater keys come first, so that a later row may win among equals.
        let apart: Vec<Built> = [right, left].into_iter().filter(|rows| !rows.is_empty()).map(Built::of).collect();
        for segments in [vec![Built::of(&rows)], apart] {
            let (found, all) = ask(&segments, &query, limit);
            prop_assert_eq!(&found[..], &want[..limit.min(want.len())]);
            prop_assert_eq!(all, want.iter().copied().collect::<BTreeMap<_, _>>());
        }
    }

    #[test]
    fn a_merged_part_answers_as_one_that_was_built_from_the_rows_that_stay(
        rows in some_rows(), query in some_query(), cut in 0_usize..420,
    ) {
        let (left, right) = rows.split_at(cut.min(rows.len()));
        let apart: Vec<Built> = [left, right].into_iter().filter(|rows| !rows.is_empty()).map(Built::of).collect();
        let staying: Vec<Row> = rows.iter().filter(|row| row.live).cloned().collect();
        prop_assume!(!staying.is_empty());
        let parts: Vec<(&Part, &Bits)> = apart.iter().map(|built| (&built.part, &built.live)).collect();
        let merged = merge(&parts).unwrap();
        let rebuilt = Built::of(&staying);
        let merged = Built::with(&staying, open(&merged, staying.len()), rebuilt.counts.clone());
        prop_assert_eq!(ask(&[merged], &query, 10), ask(&[rebuilt], &query, 10));
    }

    #[test]
    fn strictly_counted_nothing_that_is_hidden_changes_an_answer(
        rows in some_rows(), query in some_query(), others in 1_u64..1_000, typo in prop::sample::select(vec!["lantren", "orchyd", "zebra"]),
    ) {
        let strictly = |query| Asked { query, counted: Counted::Visible };
        let query = strictly(query.query.with_prefix("la").unwrap());
        let mistyped = strictly(LexicalQuery::parse(typo));
        let changed: Vec<Row> = rows.iter().enumerate().map(|(at, row)| match row.visible {
            true => row.clone(),
            false => another(row, others + at as u64, &format!("{typo} lanyard orchyds zebras")),
        }).collect();
        let alone: Vec<Row> = rows.iter().filter(|row| row.visible).cloned().collect();
        let [first, second] = [&rows, &changed].map(|rows| vec![Built::of(rows)]);
        let third: Vec<Built> = if alone.is_empty() { Vec::new() } else { vec![Built::of(&alone)] };
        for query in [&query, &mistyped] {
            let want = ask(&first, query, 10);
            prop_assert_eq!(&ask(&second, query, 10), &want);
            prop_assert_eq!(&ask(&third, query, 10), &want);
        }
    }
}

/// A row in the place of a hidden one, with other texts in another language.
fn another(of: &Row, seed: u64, body: &str) -> Row {
    let language = Language::of_tag("fr");
    let input = RowInput { body: body.to_owned(), title: text(seed, 3), language, ..of.input.clone() };
    Row { input, ..of.clone() }
}

/// Visible rows with these bodies, in a language.
fn bodies(language: &str, bodies: &[&str]) -> Vec<Row> {
    let row = |(at, body): (usize, &&str)| Row {
        input: RowInput {
            title: String::new(),
            headings: String::new(),
            body: (*body).to_owned(),
            language: Language::of_tag(language),
            ..row(at as u32 * 3, 1, 2).input
        },
        live: true,
        visible: true,
    };
    bodies.iter().enumerate().map(row).collect()
}

/// The documents that a query finds, best first.
fn found(rows: &[Row], query: impl Into<Asked>) -> Vec<u32> {
    ask(&[Built::of(rows)], &query.into(), 10).0.into_iter().map(|(key, _)| key.doc.0).collect()
}

#[test]
fn a_word_is_found_in_the_inflections_of_each_rows_language() {
    let mut rows = bodies("de", &["Die Häuser stehen leer", "Der Schlüssel"]);
    rows.extend(bodies("es", &["", "", "La información está aquí"]).into_iter().skip(2));
    rows.extend(bodies("en", &["", "", "", "empty houses"]).into_iter().skip(3));
    let find = |text| found(&rows, LexicalQuery::parse(text).with_typos(Typos::Off));
    assert_eq!(find("Haus"), [0]);
    assert_eq!(find("house"), [3]);
    assert_eq!(find("informaciones"), [2]);
    assert_eq!(find("informacion"), [2]);
}

#[test]
fn a_phrase_is_words_side_by_side_in_one_part_of_a_row() {
    let mut rows = bodies("en", &["rotate the signing keys", "keys for signing", "signing the keys", "keys"]);
    rows[3].input.title = "signing".to_owned();
    let query = LexicalQuery::default().with_phrase("Signing KEYS").unwrap();
    assert_eq!(found(&rows, query), [0]);
    let query = LexicalQuery::parse("keys").with_phrase("signing keys").unwrap();
    assert_eq!(found(&rows, query)[0], 0);
}

#[test]
fn a_prefix_finds_words_that_begin_with_it_and_a_mistyped_word_its_neighbours() {
    let rows = bodies("en", &["configuration of the server", "configure it", "confuse"]);
    let find = |query: LexicalQuery| {
        let mut found = found(&rows, query);
        found.sort_unstable();
        found
    };
    assert_eq!(find(LexicalQuery::default().with_prefix("configu").unwrap()), [0, 1]);
    assert_eq!(find(LexicalQuery::parse("confgiuration")), [0, 1], "the stem of what was meant is one of two forms");
    assert_eq!(find(LexicalQuery::parse("confgiuration").with_typos(Typos::Off)), Vec::<u32>::new());
    assert_eq!(find(LexicalQuery::parse("sarver")), [0]);
    assert_eq!(find(LexicalQuery::parse("ot")), Vec::<u32>::new(), "short words are taken as they are");
}

#[test]
fn a_word_that_only_hidden_rows_have_takes_no_part_and_no_place_in_an_expansion() {
    let mut rows = bodies("en", &["the configuration", "a confguretoon", "configured"]);
    rows[0].visible = false;
    for counted in [Counted::Live, Counted::Visible] {
        let asked = |query: LexicalQuery| found(&rows, Asked { query, counted });
        assert_eq!(asked(LexicalQuery::parse("confguration")), [1], "a nearer word is hidden");
        assert_eq!(asked(LexicalQuery::default().with_prefix("configu").unwrap()), [2]);
    }
}

#[test]
fn a_query_without_its_function_words_asks_the_same_unless_it_has_no_others() {
    assert_eq!(LexicalQuery::parse("who may see the keys").words().collect::<Vec<_>>(), ["may", "see", "keys"]);
    assert_eq!(LexicalQuery::parse("to be or not").words().collect::<Vec<_>>(), ["to", "be", "or", "not"]);
}

#[test]
fn options_beyond_their_bounds_are_refused_with_the_bound() {
    let refused = |result: Result<LexicalQuery, IndexError>| result.unwrap_err().to_string();
    let query = LexicalQuery::default();
    assert!(refused(query.clone().with_phrase(" ,, ")).contains("1 to 16 words"));
    assert!(refused(query.clone().with_phrase(&"word ".repeat(17))).contains("this one has 17"));
    assert!(refused(query.clone().with_prefix("a")).contains("at least 2"));
    assert!(refused(query.clone().with_prefix("two words")).contains("one word"));
    let full = (0..8).fold(query, |query, at| query.with_prefix(&format!("pre{at}")).unwrap());
    assert!(refused(full.with_prefix("more")).contains("at most 8"));
}
