//! What leaves, and what the record says of it.
//!
//! An answer and its leaf are made from the same values, so that the record cannot say less than what left.

use catena_access::{Attribute, Attributes};
use catena_audit::{Draft, Object, Outcome};
use catena_catalog::{ContextCitation, NewContext, StoredPassage};
use catena_domain::{ContextId, DocumentId, GenerationId, RecipeId, Seq, Span, Timestamp, VersionNo};
use sha2::{Digest as _, Sha256};

use crate::evidence::Evidence;
use crate::explain::Explained;
use crate::gate::{Admitted, Passage};
use crate::pack::{Merged, Packed};
use crate::place::Place;
use crate::request::Budget;
use crate::timings::Timings;
use crate::view::View;

/// The attribute by which whoever writes a document says how far it is to be trusted.
const TRUST_ATTRIBUTE: &str = "trust";
/// What a document without that attribute is called.
const TRUST_UNKNOWN: &str = "unlabelled";

/// One quoted place of one version.
#[derive(Debug, Clone, PartialEq)]
pub struct Citation {
    /// The document.
    pub document: DocumentId,
    /// Its version.
    pub version: VersionNo,
    /// Its title.
    pub title: String,
    /// Where a person finds the original.
    pub uri: Option<String>,
    /// The headings above the passage.
    pub heading: Vec<String>,
    /// Where in the original it comes from, as far as that is known.
    pub place: Place,
    /// First and last line, from one.
    pub lines: (u32, u32),
    /// Bytes of the version's normalised text.
    pub span: Span,
    /// Those bytes.
    pub quote: String,
    /// SHA-256 of the version's whole normalised text, in hexadecimal.
    pub text_sha256: String,
    /// The score that the search ranked the passage by, 0 to 1 within this query.
    pub score: f32,
    /// The lexical arm's part.
    pub lexical: Option<f32>,
    /// The dense arm's part.
    pub dense: Option<f32>,
    /// The reranker's number, if it judged the passage; only comparable within one reranker.
    pub rerank: Option<f32>,
    /// When the original was changed last.
    pub modified_at: Option<Timestamp>,
    /// When this version came into the catalog.
    pub indexed_at: Timestamp,
    /// How far the document is to be trusted, as its writer said.
    pub trust: String,
    /// The classes of what the firewall found in the document.
    pub flags: Vec<String>,
    rule: String,
}

impl Citation {
    fn of(passage: &Passage, place: Place, span: Span, lines: (u32, u32), quote: String) -> Self {
        let stored: &StoredPassage = &passage.stored;
        Self {
            document: stored.document.clone(),
            version: stored.version,
            title: stored.title.clone(),
            uri: stored.uri.clone(),
            heading: stored.headings.clone(),
            place,
            lines,
            span,
            quote,
            text_sha256: hex(&stored.text_sha256),
            score: passage.rank.score,
            lexical: passage.rank.lexical,
            dense: passage.rank.dense,
            rerank: passage.judged,
            modified_at: stored.modified_at,
            indexed_at: stored.indexed_at,
            trust: trust(&stored.attributes),
            flags: stored.flags.clone(),
            rule: stored.rule.to_string(),
        }
    }

    fn chunk(passage: &Passage) -> Self {
        let stored = &passage.stored;
        let place = Place::of(&stored.places, &stored.places, stored.lines, stored.span.start);
        Self::of(passage, place, stored.span, stored.lines, stored.text.clone())
    }

    fn merged(merged: &Merged) -> Self {
        Self::of(&merged.best, merged.place.clone(), merged.span, merged.lines, merged.quote.clone())
    }

    fn object(&self) -> Object {
        Object {
            kind: "passage",
            id: self.document.as_str().to_owned(),
            version: Some(self.version.0),
            span: Some((self.span.start, self.span.end)),
            sha256: Some(sha256_hex(self.quote.as_bytes())),
            rule: Some(self.rule.clone()),
        }
    }
}

/// How far a document is to be trusted. What is no word is no label.
fn trust(attributes: &Attributes) -> String {
    attributes.get(TRUST_ATTRIBUTE).and_then(Attribute::text).unwrap_or(TRUST_UNKNOWN).to_owned()
}

/// Ranked passages.
#[derive(Debug, Clone)]
pub struct SearchAnswer {
    /// The passages, best first.
    pub results: Vec<Citation>,
    /// The sequence number that the index had applied.
    pub seq: Seq,
    /// The generation that answered.
    pub generation: GenerationId,
    /// Its recipe.
    pub recipe: RecipeId,
    /// What did not take part, and why.
    pub degraded: Vec<String>,
    /// Where the time went.
    pub timings: Timings,
    /// How it came about, if that was asked for.
    pub explained: Option<Explained>,
    dropped: usize,
    reranker: Option<String>,
}

pub(crate) fn search(
    view: &View,
    admitted: Admitted,
    top_k: usize,
    timings: Timings,
    explained: Option<Explained>,
) -> SearchAnswer {
    SearchAnswer {
        results: admitted.list.iter().take(top_k).map(Citation::chunk).collect(),
        seq: view.seq,
        generation: view.generation.clone(),
        recipe: view.recipe.clone(),
        degraded: admitted.degraded,
        timings,
        explained,
        dropped: admitted.dropped,
        reranker: admitted.reranker,
    }
}

impl SearchAnswer {
    pub(crate) fn record(&self, draft: Draft) -> Draft {
        let draft = Draft { reranker: self.reranker.clone(), ..draft };
        filled(draft, &self.results, self.dropped, self.seq, &self.generation, &self.recipe)
    }
}

/// A candidate that is not in the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Omission {
    /// Its document.
    pub document: DocumentId,
    /// Its span.
    pub span: Span,
    /// Why: `budget`, `duplicate` or `per_document`.
    pub reason: &'static str,
}

/// A context.
#[derive(Debug, Clone)]
pub struct ContextAnswer {
    /// Its id, by which its receipt is found.
    pub id: ContextId,
    /// What a model is to read.
    pub text: String,
    /// What was allowed.
    pub budget: Budget,
    /// What was used of it.
    pub tokens_used: usize,
    /// Where every part of the text comes from; the marker is the place in this list, from one.
    pub citations: Vec<Citation>,
    /// How much they speak to the question.
    pub evidence: Evidence,
    /// What was left out.
    pub omitted: Vec<Omission>,
    /// The sequence number that the index had applied.
    pub seq: Seq,
    /// The generation that answered.
    pub generation: GenerationId,
    /// Its recipe.
    pub recipe: RecipeId,
    /// What did not take part, and why.
    pub degraded: Vec<String>,
    /// Where the time went.
    pub timings: Timings,
    /// How it came about, if that was asked for.
    pub explained: Option<Explained>,
    dropped: usize,
    reranker: Option<String>,
}

impl ContextAnswer {
    pub(crate) fn new(
        id: ContextId,
        view: &View,
        packed: Packed,
        evidence: Evidence,
        timings: Timings,
        explained: Option<Explained>,
    ) -> Self {
        let omitted = packed.left.iter().map(|left| Omission {
            document: left.passage.stored.document.clone(),
            span: left.passage.stored.span,
            reason: left.reason.as_str(),
        });
        Self {
            id,
            budget: packed.budget,
            tokens_used: packed.tokens_used,
            citations: packed.passages.iter().map(Citation::merged).collect(),
            evidence,
            omitted: omitted.collect(),
            seq: view.seq,
            generation: view.generation.clone(),
            recipe: view.recipe.clone(),
            degraded: packed.degraded,
            timings,
            explained,
            dropped: packed.dropped,
            reranker: packed.reranker,
            text: packed.text,
        }
    }

    pub(crate) fn record(&self, draft: Draft) -> Draft {
        let draft = Draft { reranker: self.reranker.clone(), ..draft };
        filled(draft, &self.citations, self.dropped, self.seq, &self.generation, &self.recipe)
    }

    /// What the catalog keeps of a context: ids and hashes, no text.
    pub(crate) fn row(&self, request_sha256: [u8; 32]) -> NewContext {
        let citations = self.citations.iter().map(|citation| ContextCitation {
            document: citation.document.clone(),
            version: citation.version,
            span: citation.span,
            quote_sha256: Sha256::digest(citation.quote.as_bytes()).into(),
        });
        NewContext {
            id: self.id.clone(),
            request_sha256,
            text_sha256: Sha256::digest(self.text.as_bytes()).into(),
            tokens_used: self.tokens_used as u64,
            citations: citations.collect(),
        }
    }
}

fn filled(
    mut draft: Draft,
    citations: &[Citation],
    dropped: usize,
    seq: Seq,
    generation: &GenerationId,
    recipe: &RecipeId,
) -> Draft {
    draft.outcome = Outcome::Done;
    draft.objects.extend(citations.iter().map(Citation::object));
    if dropped > 0 {
        draft.objects.push(Object::new("gate.dropped", dropped.to_string()));
    }
    draft.seq = Some(seq.0);
    draft.generation = Some(generation.to_string());
    draft.recipe = Some(recipe.to_string());
    draft.policy = Some(policy(citations));
    draft
}

/// A hash over the rules that let the passages out.
fn policy(citations: &[Citation]) -> String {
    let mut rules: Vec<String> =
        citations.iter().map(|citation| format!("{}\t{}\n", citation.document, citation.rule)).collect();
    rules.sort();
    rules.dedup();
    sha256_hex(rules.concat().as_bytes())
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
