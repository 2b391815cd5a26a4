//! Does an answer stay whole? Chunks of this project against windows of fixed size, at equal tokens retrieved.
//!
//! Measured: texts are cut in each way, embedded by one model and searched by words and vectors together, as the product
//! fuses them. The best passages are taken until they hold a number of the model's tokens, the last one as far as it
//! fits. Said is the share of answer spans that lie wholly inside one passage, the same after chunks that follow each
//! other were joined as the product joins them, and how much of the spans' characters is in any passage.
//!
//! The texts and the questions with the spans of their answers are given by a folder (`docs/*.md`, `questions.jsonl`);
//! neither is part of this project. Windows of fixed size end between words, and what the model cannot read of one is
//! not embedded, as with any chunker that does not know the model.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use catena_access::{Acl, Credential, Directory, Entry, LiveDocument, Liveness, Right, Rights, Scope};
use catena_benches::{cut, open};
use catena_domain::limits::CHUNK_BYTES_MAX;
use catena_domain::{AclId, DocNo, GenerationId, KeyId, RecipeId, Seq, Span, TenantId, VersionNo};
use catena_embedding::Embedder;
use catena_index::{
    Counted, Filter, Generation, Index, LexicalQuery, LiveTable, QueryVector, RowId, RowInput, Snapshot, Visible,
};
use catena_runtime::clock;
use catena_text::{ChunkRules, Format, breadcrumb, chunk, embedding_text, normalise, outline};
use clap::Parser;
use serde::Deserialize;

const TENANT: &str = "bench";
const VERSION: VersionNo = VersionNo(1);
const WORKERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
/// What each arm brings, and how many of them are ranked: as a context takes them.
const ARM_HITS: usize = 100;
const CANDIDATES: usize = 60;
/// Tokens retrieved.
const BUDGETS: [usize; 2] = [1_000, 2_000];

#[derive(Parser)]
struct Arguments {
    /// The folder with the texts and the questions.
    #[arg(long, env = "CATENA_BENCH_DATA")]
    data: PathBuf,
    /// The model's folder.
    #[arg(long, default_value = ".catena/models/all-minilm-l6-v2-int8")]
    model: PathBuf,
    /// What the texts are read as: their ending says nothing about it, since none is written in Markdown's marks.
    #[arg(long, default_value = "text/plain")]
    content_type: String,
    /// The texts, by their names without the ending; without any, all.
    #[arg(long, value_delimiter = ',')]
    texts: Vec<String>,
    /// Tokens that our chunks are filled up to, each measured by itself; without any, the product's own.
    #[arg(long, value_delimiter = ',')]
    targets: Vec<usize>,
    /// Tokens of the windows of fixed size.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 400])]
    fixed: Vec<usize>,
}

struct Text {
    name: String,
    text: String,
}

#[derive(Deserialize)]
struct Question {
    text: String,
    doc: String,
    spans: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    text: String,
}

/// A question with the text that answers it and the spans of the answer.
struct Asked {
    query: String,
    text: usize,
    spans: Vec<Span>,
}

/// A passage that may be retrieved.
#[derive(Clone)]
struct Passage {
    text: usize,
    number: u32,
    span: Span,
    headings: Vec<String>,
    tokens: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let embedder = open(&arguments.model, WORKERS)?;
    let mut texts = read_texts(&arguments.data.join("docs"))?;
    texts.retain(|text| arguments.texts.is_empty() || arguments.texts.contains(&text.name));
    let asked = read_questions(&arguments.data.join("questions.jsonl"), &texts)?;
    let spans: usize = asked.iter().map(|one| one.spans.len()).sum();
    println!("{} texts, {} questions, {spans} spans; model window {}", texts.len(), asked.len(), embedder.max_tokens());
    print!("{:<12} {:>7} {:>7} {:>7}", "cut", "chunks", "tokens", "untorn");
    BUDGETS.iter().for_each(|budget| print!("   {:>8} {:>7} {:>7}", format!("{budget}: in"), "joined", "chars"));
    println!();
    let format = Format::from_content_type(&arguments.content_type)?;
    let standard = embedder.max_tokens() * 80 / 100;
    let targets = if arguments.targets.is_empty() { vec![standard] } else { arguments.targets.clone() };
    for target_tokens in targets {
        let rules = ChunkRules {
            window_tokens: embedder.max_tokens(),
            target_tokens,
            max_bytes: CHUNK_BYTES_MAX,
            ..ChunkRules::DEFAULT
        };
        measure(&format!("ours {target_tokens}"), &embedder, &texts, &asked, ours(&embedder, &texts, format, &rules))
            .await?;
    }
    for &size in &arguments.fixed {
        measure(&format!("fixed {size}"), &embedder, &texts, &asked, fixed(&embedder, &texts, size)).await?;
    }
    Ok(())
}

fn read_texts(folder: &Path) -> anyhow::Result<Vec<Text>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut paths: Vec<PathBuf> = listed.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a text has no name")?.to_owned();
        Ok(Text { name, text: normalise(&std::fs::read(path)?)?.into_string() })
    };
    paths.iter().map(read).collect()
}

fn read_questions(path: &Path, texts: &[Text]) -> anyhow::Result<Vec<Asked>> {
    let lines = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut asked = Vec::new();
    for line in lines.lines() {
        let question: Question = serde_json::from_str(line)?;
        let Some(text) = texts.iter().position(|text| text.name == question.doc) else { continue };
        let span = |said: &Said| {
            let quote = normalise(said.text.as_bytes())?.into_string();
            let start = texts[text].text.find(&quote).with_context(|| format!("not in its text: {quote:?}"))?;
            Ok(Span { start: u32::try_from(start)?, end: u32::try_from(start + quote.len())? })
        };
        let spans = question.spans.iter().map(span).collect::<anyhow::Result<_>>()?;
        asked.push(Asked { query: question.text, text, spans });
    }
    Ok(asked)
}

fn ours(embedder: &Embedder, texts: &[Text], format: Format, rules: &ChunkRules) -> Vec<Passage> {
    let cut = texts.iter().enumerate().flat_map(|(number, text)| {
        let outline = outline(format, &text.text);
        let counter = embedder.counter();
        let chunks = chunk(&text.text, &text.name, &outline, rules, &|text| counter.count(text));
        chunks.into_iter().zip(0..).map(move |(chunk, at)| Passage {
            text: number,
            number: at,
            span: chunk.span,
            headings: chunk.headings,
            tokens: chunk.tokens as usize,
        })
    });
    cut.collect()
}

/// Windows of at most `size` tokens, one after the other, ended between words.
fn fixed(embedder: &Embedder, texts: &[Text], size: usize) -> Vec<Passage> {
    let mut passages = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let (mut open, mut at): (Option<(usize, usize, usize)>, u32) = (None, 0);
        let mut close = |(start, end, tokens): (usize, usize, usize)| {
            let span = Span { start: start as u32, end: end as u32 };
            passages.push(Passage { text: number, number: at, span, headings: vec![], tokens });
            at += 1;
        };
        for word in text.text.split_whitespace() {
            let start = word.as_ptr() as usize - text.text.as_ptr() as usize;
            let (end, tokens) = (start + word.len(), embedder.count_tokens(word));
            open = match open {
                Some((from, _, held)) if held + tokens <= size => Some((from, end, held + tokens)),
                full => {
                    full.into_iter().for_each(&mut close);
                    Some((start, end, tokens))
                }
            };
        }
        open.into_iter().for_each(&mut close);
    }
    passages
}

/// Passages of one way of cutting, searchable.
struct Searchable {
    snapshot: Arc<Snapshot>,
    visible: Arc<Visible>,
    recipe: RecipeId,
    _folder: tempfile::TempDir,
}

impl Searchable {
    async fn of(embedder: &Embedder, texts: &[Text], passages: &[Passage]) -> anyhow::Result<Self> {
        let (tenant, recipe) = (TenantId::new(TENANT)?, RecipeId::new(TENANT)?);
        let body = |passage: &Passage| passage.span.of(&texts[passage.text].text).unwrap_or_default().to_owned();
        let input = |passage: &Passage| match passage.headings.is_empty() && passage.tokens > embedder.max_tokens() - 64
        {
            // A window of fixed size knows nothing of the model, nor of where it stands.
            true => cut(embedder, body(passage)),
            false => embedding_text(&breadcrumb(&texts[passage.text].name, &passage.headings), &body(passage)),
        };
        let inputs: Vec<String> = passages.iter().map(|passage| cut(embedder, input(passage))).collect();
        let vectors = embedder.embed_documents(&tenant, inputs).await?;
        let rows = passages.iter().zip(vectors).map(|(passage, vector)| RowInput {
            doc: DocNo(passage.text as u32),
            version: VERSION,
            chunk: passage.number,
            title: texts[passage.text].name.clone(),
            headings: passage.headings.join("\n"),
            body: body(passage),
            language: None,
            vector,
        });
        let (folder, scope) = (tempfile::tempdir()?, Scope::service(&tenant));
        let index = Index::new(folder.path().to_owned(), NonZeroUsize::MIN);
        let generation: Arc<Generation> =
            index.generation(&scope, &GenerationId::new(TENANT)?, &recipe, embedder.dimension())?;
        generation.publish(rows.collect(), Seq(1))?;
        let documents = (0..texts.len()).map(|number| LiveDocument {
            doc: DocNo(number as u32),
            version: VERSION,
            acl: AclId(0),
            live: Liveness::Live,
            source: None,
            attributes: Arc::default(),
        });
        let everyone = vec![(AclId(0), Arc::new(Acl::parse(&["everyone"], &[])?))];
        let live = LiveTable::empty().with(Seq(1), documents.collect(), everyone);
        let snapshot = generation.snapshot();
        let visible = snapshot.visible(&reader(&tenant)?, &live, &Filter::default(), Counted::Live, clock::now());
        Ok(Self { snapshot, visible, recipe, _folder: folder })
    }

    /// Text and number of the best passages, as the product ranks them.
    fn ranked(&self, query: &str, vector: Vec<f32>) -> anyhow::Result<Vec<(usize, u32)>> {
        let (words, vector) = (LexicalQuery::parse(query), QueryVector { recipe: self.recipe.clone(), values: vector });
        let lexical = self.snapshot.lexical(&words, &self.visible, ARM_HITS)?;
        let dense = self.snapshot.dense(&vector, &self.visible, ARM_HITS)?;
        let rows: std::collections::BTreeSet<RowId> = lexical.iter().chain(&dense).map(|hit| hit.row).collect();
        let rows: Vec<RowId> = rows.into_iter().collect();
        let lexical = scaled(self.snapshot.lexical_scores(&words, &self.visible, &rows)?);
        let dense = scaled(self.snapshot.dense_scores(&vector, &rows)?);
        let scores = lexical.iter().zip(&dense).map(|(lexical, dense)| (lexical + dense) / 2.0);
        let mut ranked: Vec<_> = scores.zip(&rows).map(|(score, row)| (score, self.snapshot.key(*row))).collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        ranked.truncate(CANDIDATES);
        Ok(ranked.into_iter().map(|(_, key)| (key.doc.0 as usize, key.chunk)).collect())
    }
}

/// Somebody who may see what everyone may.
fn reader(tenant: &TenantId) -> anyhow::Result<Scope> {
    let credential = Credential {
        key: KeyId::new(TENANT)?,
        name: TENANT.into(),
        tenant: Some(tenant.clone()),
        rights: Rights::of(&[Right::Read]),
        user: None,
        groups: vec![],
        clearance: None,
    };
    Ok(credential.enter(Entry { tenant, need: Right::Read, on_behalf: None, directory: Directory::default() })?)
}

fn scaled(scores: Vec<f32>) -> Vec<f32> {
    let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let width = (most - least).max(f32::MIN_POSITIVE);
    scores.into_iter().map(|score| (score - least) / width).collect()
}

/// Sums over all questions for one budget.
#[derive(Default, Clone, Copy)]
struct Sums {
    inside: usize,
    joined: usize,
    found_bytes: u64,
}

async fn measure(
    name: &str,
    embedder: &Embedder,
    texts: &[Text],
    asked: &[Asked],
    passages: Vec<Passage>,
) -> anyhow::Result<()> {
    let tenant = TenantId::new(TENANT)?;
    let searchable = Searchable::of(embedder, texts, &passages).await?;
    let by_key: BTreeMap<(usize, u32), &Passage> =
        passages.iter().map(|passage| ((passage.text, passage.number), passage)).collect();
    let mut sums = [Sums::default(); BUDGETS.len()];
    let (mut spans, mut bytes, mut untorn) = (0, 0u64, 0);
    for one in asked {
        let embedded = embedder.embed_query(&tenant, &one.query).await?;
        let ranked = searchable.ranked(&one.query, embedded.values)?;
        let best: Vec<&Passage> = ranked.iter().filter_map(|key| by_key.get(key).copied()).collect();
        spans += one.spans.len();
        bytes += one.spans.iter().map(|span| u64::from(span.end - span.start)).sum::<u64>();
        let whole: Vec<(usize, Span)> = passages.iter().map(|passage| (passage.text, passage.span)).collect();
        untorn += one.spans.iter().filter(|span| is_inside(one.text, span, &whole)).count();
        for (budget, sums) in BUDGETS.iter().zip(&mut sums) {
            let taken = taken(embedder, texts, &best, *budget);
            let (alone, joined) = (spans_of(&taken), joined(&taken));
            for span in &one.spans {
                sums.inside += usize::from(is_inside(one.text, span, &alone));
                sums.joined += usize::from(is_inside(one.text, span, &joined));
                sums.found_bytes += alone.iter().map(|(text, of)| overlap(*text == one.text, span, of)).sum::<u64>();
            }
        }
    }
    let mean = passages.iter().map(|passage| passage.tokens).sum::<usize>() / passages.len().max(1);
    let share = |part: usize| 100.0 * part as f64 / spans as f64;
    print!("{name:<12} {:>7} {mean:>7} {:>7.1}", passages.len(), share(untorn));
    for of in sums {
        let chars = 100.0 * of.found_bytes as f64 / bytes as f64;
        print!("   {:>8.1} {:>7.1} {chars:>7.1}", share(of.inside), share(of.joined));
    }
    println!();
    Ok(())
}

/// The best passages that hold `budget` tokens together, the last one as far as it fits.
fn taken(embedder: &Embedder, texts: &[Text], best: &[&Passage], budget: usize) -> Vec<Passage> {
    let (mut left, mut taken) = (budget, Vec::new());
    for passage in best {
        let mut passage = (*passage).clone();
        if passage.tokens > left {
            let body = passage.span.of(&texts[passage.text].text).unwrap_or_default();
            let ends: Vec<usize> = body.match_indices(char::is_whitespace).map(|(at, _)| at).collect();
            let fits = ends.partition_point(|&end| embedder.count_tokens(&body[..end]) <= left);
            let end = fits.checked_sub(1).map_or(0, |last| ends[last]);
            passage.span.end = passage.span.start + end as u32;
            taken.push(passage);
            return taken;
        }
        left -= passage.tokens;
        taken.push(passage);
    }
    taken
}

fn spans_of(passages: &[Passage]) -> Vec<(usize, Span)> {
    passages.iter().map(|passage| (passage.text, passage.span)).collect()
}

/// Passages that follow each other, as one.
fn joined(passages: &[Passage]) -> Vec<(usize, Span)> {
    let mut sorted: Vec<&Passage> = passages.iter().collect();
    sorted.sort_by_key(|passage| (passage.text, passage.number));
    let mut runs: Vec<(usize, Span, u32)> = Vec::new();
    for passage in sorted {
        match runs.last_mut() {
            Some((text, span, number)) if *text == passage.text && *number + 1 == passage.number => {
                (span.end, *number) = (passage.span.end, passage.number);
            }
            _ => runs.push((passage.text, passage.span, passage.number)),
        }
    }
    runs.into_iter().map(|(text, span, _)| (text, span)).collect()
}

fn is_inside(text: usize, span: &Span, passages: &[(usize, Span)]) -> bool {
    passages.iter().any(|(of, passage)| *of == text && passage.start <= span.start && span.end <= passage.end)
}

fn overlap(is_same_text: bool, span: &Span, passage: &Span) -> u64 {
    let (start, end) = (span.start.max(passage.start), span.end.min(passage.end));
    if is_same_text { u64::from(end.saturating_sub(start)) } else { 0 }
}
