//! The last stage: passages into a budget.
//!
//! Promises: the rendered text, marks and headers included, never has more tokens than the budget, counted on the final
//! text by the caller's own tokenizer; every candidate that is left out is named with its reason; adjoining chunks of
//! one version become one passage whose quote is exactly its span. Pure.

use std::collections::{HashMap, HashSet};

use catena_domain::{DocNo, Span, VersionNo};

use crate::RetrievalError;
use crate::explain::Fate;
use crate::gate::{Admitted, Passage};
use crate::place::Place;
use crate::render::{self, Block};
use crate::request::{Budget, PackRules};

/// Tokens that may arise where two counted pieces meet.
const JOIN_TOKENS: usize = 2;

/// Why a candidate is not in the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It did not fit any more.
    Budget,
    /// The same words stand in the context already.
    Duplicate,
    /// Its document has as many passages as the request allows.
    PerDocument,
}

impl Reason {
    /// The reason's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Duplicate => "duplicate",
            Self::PerDocument => "per_document",
        }
    }
}

/// A candidate that was left out.
#[derive(Debug, Clone)]
pub struct Left {
    /// The candidate.
    pub passage: Passage,
    /// Why.
    pub reason: Reason,
}

/// One or more adjoining chunks of one version.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The chunk that ranks best, which lends its place and its description.
    pub best: Passage,
    /// The bytes of the version's text.
    pub span: Span,
    /// The lines they lie on.
    pub lines: (u32, u32),
    /// Where in the original they come from.
    pub place: Place,
    /// Those bytes.
    pub quote: String,
}

/// What goes out, with its ledger.
#[derive(Debug, Clone)]
pub struct Packed {
    pub(crate) text: String,
    pub(crate) tokens_used: usize,
    pub(crate) budget: Budget,
    pub(crate) passages: Vec<Merged>,
    pub(crate) left: Vec<Left>,
    pub(crate) dropped: usize,
    pub(crate) degraded: Vec<String>,
    pub(crate) reranker: Option<String>,
}

impl Packed {
    /// What became of a document whose passages came this far: the place of its best, or why it was left out.
    pub(crate) fn fate_of(&self, doc: DocNo) -> Fate {
        let given = self.passages.iter().position(|merged| merged.best.stored.doc == doc);
        let left = self.left.iter().find(|left| left.passage.stored.doc == doc);
        match (given, left) {
            (Some(place), _) => Fate::Given(place + 1),
            (None, Some(left)) => Fate::Omitted(left.reason),
            (None, None) => Fate::Dropped,
        }
    }
}

/// Packs `admitted` into `budget`.
pub fn pack(
    admitted: Admitted,
    query: &str,
    budget: Budget,
    rules: &PackRules,
    secret: &[u8; 32],
) -> Result<Packed, RetrievalError> {
    let Admitted { list, dropped, degraded, reranker } = admitted;
    let any = !list.is_empty();
    // The mark comes from all candidates, so that the text's size can be counted before it is known which of them stay.
    let mark = render::mark(secret, query, list.iter().map(|passage| passage.stored.text.as_str()));
    let (mut chosen, mut left, smallest) = choose(list, &mark, budget, rules);
    if any && chosen.is_empty() {
        return Err(RetrievalError::BudgetTooSmall { budget_tokens: budget.tokens, needed_tokens: smallest });
    }
    // The estimate is generous, so this runs once; when it was not, the last passage goes until the text fits.
    loop {
        let passages = merge(&chosen);
        let text = render_all(&passages, &mark);
        let tokens_used = budget.tokenizer.count(&text);
        if tokens_used <= budget.tokens {
            return Ok(Packed { text, tokens_used, budget, passages, left, dropped, degraded, reranker });
        }
        let Some(passage) = chosen.pop() else {
            return Err(RetrievalError::Internal("an empty context is over every budget".into()));
        };
        if chosen.is_empty() {
            return Err(RetrievalError::BudgetTooSmall { budget_tokens: budget.tokens, needed_tokens: tokens_used });
        }
        left.insert(0, Left { passage, reason: Reason::Budget });
    }
}

/// Chooses in rank order by estimated size; says also how many tokens the smallest candidate alone would need.
fn choose(list: Vec<Passage>, mark: &str, budget: Budget, rules: &PackRules) -> (Vec<Passage>, Vec<Left>, usize) {
    let frame = budget.tokenizer.count(&render::opening(mark)) + budget.tokenizer.count(&render::closing(mark));
    let (mut used, mut smallest) = (frame + JOIN_TOKENS, usize::MAX);
    let mut words: HashSet<blake3::Hash> = HashSet::new();
    let mut per_document: HashMap<u32, usize> = HashMap::new();
    let (mut chosen, mut left) = (Vec::new(), Vec::new());
    for passage in list {
        let taken = per_document.entry(passage.stored.doc.0).or_default();
        // What joins a passage that is there already is no passage of its own.
        let joins = chosen.iter().any(|other| follows(other, &passage) || follows(&passage, other));
        let reason = if *taken >= rules.per_document && !joins {
            Some(Reason::PerDocument)
        } else if words.contains(&words_of(&passage)) {
            Some(Reason::Duplicate)
        } else {
            let tokens = budget.tokenizer.count(&render::passage(mark, chosen.len() + 1, &alone(&passage)));
            smallest = smallest.min(frame + tokens + 2 * JOIN_TOKENS);
            let fits = used + tokens + JOIN_TOKENS <= budget.tokens;
            if fits {
                used += tokens + JOIN_TOKENS;
            }
            (!fits).then_some(Reason::Budget)
        };
        match reason {
            Some(reason) => left.push(Left { passage, reason }),
            None => {
                *taken += usize::from(!joins);
                words.insert(words_of(&passage));
                chosen.push(passage);
            }
        }
    }
    (chosen, left, smallest)
}

fn words_of(passage: &Passage) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for word in passage.stored.text.split_whitespace() {
        hasher.update(word.as_bytes());
        hasher.update(b" ");
    }
    hasher.finalize()
}

fn alone(passage: &Passage) -> Block<'_> {
    let stored = &passage.stored;
    Block {
        title: &stored.title,
        headings: &stored.headings,
        document: stored.document.as_str(),
        version: stored.version.0,
        place: Place::of(&stored.places, &stored.places, stored.lines, stored.span.start).words(),
        lines: stored.lines,
        quote: &stored.text,
    }
}

/// Joins chunks that follow each other in one version. Passages stand in the order of their best chunk.
fn merge(chosen: &[Passage]) -> Vec<Merged> {
    let mut by_place: Vec<(usize, &Passage)> = chosen.iter().enumerate().collect();
    by_place.sort_by_key(|(_, passage)| (passage.stored.doc, passage.stored.chunk));
    let mut runs: Vec<Vec<(usize, &Passage)>> = Vec::new();
    for (rank, passage) in by_place {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|(_, before)| follows(before, passage)) => run.push((rank, passage)),
            _ => runs.push(vec![(rank, passage)]),
        }
    }
    runs.sort_by_key(|run| run.iter().map(|(rank, _)| *rank).min());
    runs.iter().filter_map(|run| join(run)).collect()
}

fn follows(before: &Passage, passage: &Passage) -> bool {
    let same = |a: VersionNo, b: VersionNo| a == b;
    before.stored.doc == passage.stored.doc
        && same(before.stored.version, passage.stored.version)
        && before.stored.chunk + 1 == passage.stored.chunk
        // What nobody sees may stand between two chunks, and must not come in by their being joined.
        && passage.stored.lead.trim().is_empty()
}

fn join(run: &[(usize, &Passage)]) -> Option<Merged> {
    let (_, best) = run.iter().min_by_key(|(rank, _)| *rank)?;
    let ((_, first), (_, last)) = (run.first()?, run.last()?);
    let mut quote = first.stored.text.clone();
    for (_, passage) in &run[1..] {
        // What lies between two chunks belongs to the passage that holds both.
        quote.push_str(&passage.stored.lead);
        quote.push_str(&passage.stored.text);
    }
    let span = Span { start: first.stored.span.start, end: last.stored.span.end };
    let lines = (first.stored.lines.0, last.stored.lines.1);
    let place = Place::of(&first.stored.places, &last.stored.places, lines, span.start);
    Some(Merged { best: (*best).clone(), span, lines, place, quote })
}

fn render_all(passages: &[Merged], mark: &str) -> String {
    let blocks: Vec<Block<'_>> = passages
        .iter()
        .map(|merged| Block {
            place: merged.place.words(),
            lines: merged.lines,
            quote: &merged.quote,
            ..alone(&merged.best)
        })
        .collect();
    render::text(mark, &blocks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::tests::passage;
    use catena_text::tokens::Tokenizer;
    use proptest::prelude::*;

    const TEXT: &str = "Keys are rotated every ninety days.\n\nThe old key stays valid for one day.\n\n\
                        Nobody rotates keys on a Friday.";

    /// The three paragraphs of [`TEXT`] as chunks of document `doc`.
    fn chunks(doc: u32) -> Vec<Passage> {
        let mut from = 0;
        TEXT.split("\n\n")
            .enumerate()
            .map(|(chunk, part)| {
                let start = from;
                from += part.len() + 2;
                passage(doc, chunk as u32, (start, start + part.len()), if chunk == 0 { "" } else { "\n\n" }, part)
            })
            .collect()
    }

    fn packed(list: Vec<Passage>, tokens: usize, per_document: usize) -> Result<Packed, RetrievalError> {
        let admitted = Admitted { list, dropped: 0, degraded: vec![], reranker: None };
        let budget = Budget { tokens, tokenizer: Tokenizer::O200kBase };
        pack(admitted, "rotate keys", budget, &PackRules { per_document }, &[7; 32])
    }

    #[test]
    fn adjoining_chunks_become_one_passage_that_is_exactly_its_span() {
        let mut list = chunks(1);
        list.swap(0, 1);
        let packed = packed(list, 2_000, 10).unwrap();
        assert_eq!(packed.passages.len(), 1);
        let merged = &packed.passages[0];
        assert_eq!(merged.span.of(TEXT), Some(merged.quote.as_str()));
        assert_eq!((merged.quote.as_str(), merged.lines), (TEXT, (1, 5)));
        assert_eq!(merged.best.stored.chunk, 1);
    }

    #[test]
    fn chunks_with_something_between_them_that_nobody_sees_stay_apart() {
        let mut list = chunks(1);
        list[1].stored.lead = "\n\n<!-- unseen -->\n\n".into();
        let packed = packed(list, 2_000, 10).unwrap();
        assert_eq!(packed.passages.len(), 2);
        assert!(!packed.text.contains("unseen"), "{}", packed.text);
    }

    #[test]
    fn chunks_with_one_missing_between_them_stay_apart() {
        let mut list = chunks(1);
        list.remove(1);
        assert_eq!(packed(list, 2_000, 10).unwrap().passages.len(), 2);
    }

    #[test]
    fn the_same_words_are_given_once_and_the_ledger_says_so() {
        let mut list = chunks(1);
        list.extend(chunks(2));
        let packed = packed(list, 2_000, 10).unwrap();
        assert_eq!(packed.passages.len(), 1);
        assert_eq!(packed.left.iter().filter(|left| left.reason == Reason::Duplicate).count(), 3);
    }

    #[test]
    fn a_document_gives_no_more_passages_than_allowed_and_joined_ones_count_once() {
        let mut list = chunks(1);
        list.swap(1, 2);
        let one = packed(list.clone(), 2_000, 1).unwrap();
        assert_eq!((one.passages.len(), one.left.len()), (1, 1));
        assert_eq!(one.left[0].reason, Reason::PerDocument);
        let whole = packed(chunks(1), 2_000, 1).unwrap();
        assert_eq!((whole.passages.len(), whole.left.len()), (1, 0));
    }

    #[test]
    fn a_budget_that_holds_no_passage_is_refused_with_the_least_that_would() {
        let Err(RetrievalError::BudgetTooSmall { needed_tokens, .. }) = packed(chunks(1), 10, 3) else {
            panic!("a budget of ten tokens was taken");
        };
        assert!(packed(chunks(1), needed_tokens, 3).is_ok());
    }

    #[test]
    fn nothing_to_say_is_an_empty_text_and_no_error() {
        let packed = packed(vec![], 10, 3).unwrap();
        assert_eq!((packed.text.as_str(), packed.tokens_used), ("", 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn the_budget_is_never_exceeded_and_no_candidate_is_lost(
            texts in prop::collection::vec("[a-zA-Zéß漢🙂 \n\u{200B}]{1,400}", 1..12),
            tokens in 1usize..1_500, cl100k in any::<bool>(),
        ) {
            let list: Vec<Passage> = texts.iter().enumerate()
                .map(|(at, text)| passage(at as u32 / 3, at as u32 % 3, (0, text.len()), " ", text)).collect();
            let candidates = list.len();
            let tokenizer = if cl100k { Tokenizer::Cl100kBase } else { Tokenizer::O200kBase };
            let admitted = Admitted { list, dropped: 0, degraded: vec![], reranker: None };
            match pack(admitted, "q", Budget { tokens, tokenizer }, &PackRules { per_document: 2 }, &[1; 32]) {
                Ok(packed) => {
                    prop_assert!(packed.tokens_used <= tokens);
                    prop_assert_eq!(packed.tokens_used, tokenizer.count(&packed.text));
                    let quoted: usize = packed.passages.iter().map(|merged| merged.quote.len()).sum();
                    prop_assert!(quoted > 0);
                    prop_assert!(packed.left.len() < candidates);
                }
                Err(RetrievalError::BudgetTooSmall { needed_tokens, .. }) => prop_assert!(needed_tokens > tokens),
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
    }
}
