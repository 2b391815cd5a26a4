//! How an answer came about, and why a document is in it or not.
//!
//! Promises: whoever is not an administrator of the tenant acting as itself learns nothing here of rows that it may not
//! see: no count, no name of a segment, and nothing that was decided by such a count. Ranks and scores of a document are
//! told only where the principal that was asked about may see it. Does not: give a text, or change an answer.

use std::sync::Arc;

use catena_access::{Liveness, Scope};
use catena_audit::{Chain, Draft, LeafRef, Object};
use catena_catalog::DocumentState;
use catena_domain::{DocumentId, GenerationId, RecipeId, Seq, VersionNo};
use catena_index::{Hit, IndexError, LexicalQuery, QueryVector, RowId, SegmentPlan, Snapshot, TermPlan, Visible};

use crate::candidates::{Candidates, arm_limit};
use crate::fuse::Fused;
use crate::gate::Admitted;
use crate::request::{Asked, Question};
use crate::timings::Timings;
use crate::view::View;
use crate::{CONTEXT_CANDIDATES, Retrieval, RetrievalError, SPARE_CANDIDATES, pack};

/// Most segments that one explanation tells of.
const SEGMENTS_MAX: usize = 256;
/// How far down an arm's list a document's rank is looked for.
const RANKS_MAX: usize = 1_000;

/// How an answer came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The segments that were searched; to who is no administrator, those alone in which it sees a row.
    pub segments: Vec<SegmentExplained>,
    /// The terms of the query.
    pub terms: Vec<TermExplained>,
}

/// How one segment was gone through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentExplained {
    /// Rows that the principal may see and the filter admits.
    pub visible: u64,
    /// Rows that the dense arm scored again in the highest precision.
    pub rescored: u64,
    /// The rest, for administrators.
    pub whole: Option<SegmentPlan>,
}

/// A term of the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TermExplained {
    /// The term, as the index has it.
    pub term: String,
    /// Visible rows with it.
    pub visible: u64,
    /// Live rows with it, for administrators.
    pub live: Option<u64>,
}

impl Explained {
    pub(crate) fn of(
        snapshot: &Snapshot,
        visible: &Visible,
        scope: &Scope,
        query: (&LexicalQuery, Option<&QueryVector>),
        wanted: usize,
    ) -> Result<Self, IndexError> {
        let (words, vector) = query;
        let told_all = scope.principal().is_administrator();
        let segment = |plan: SegmentPlan| SegmentExplained {
            visible: plan.visible,
            rescored: plan.dense.rescored,
            whole: told_all.then_some(plan),
        };
        let term = |plan: TermPlan| TermExplained {
            term: plan.term,
            visible: plan.visible,
            live: told_all.then_some(plan.live),
        };
        let segments = snapshot.explain_dense(vector, visible, arm_limit(wanted))?.into_iter();
        let terms = snapshot.explain_lexical(words, visible)?.into_iter();
        let shown = |plan: &SegmentPlan| told_all || plan.visible > 0;
        Ok(Self {
            segments: segments.filter(shown).map(segment).take(SEGMENTS_MAX).collect(),
            terms: terms.map(term).collect(),
        })
    }
}

/// What became of a document in an answer: the first thing that kept it out, or its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The tenant has no such document.
    Absent,
    /// It was deleted.
    Deleted,
    /// The principal may not see it, or nobody can say who may.
    Refused,
    /// The filter does not admit it, because of this part.
    Filtered(String),
    /// The index has no row of its current version.
    NotIndexed,
    /// Neither arm has it among its best.
    NotCandidate,
    /// Other candidates rank before it, and so many are not looked at.
    CutByRank,
    /// The gate refused what the index took for visible: a write came between.
    Dropped,
    /// It is left out of the context, for this reason.
    Omitted(pack::Reason),
    /// It is there, at this place from one.
    Given(usize),
}

/// A rank and a score of a document's best chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// Its place from one; none beyond the first thousand of an arm.
    pub rank: Option<usize>,
    /// Its score there.
    pub score: f32,
    /// The chunk.
    pub chunk: u32,
}

/// Where a document ranks. An arm is missing that did not take part, or that gave it no score.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranks {
    /// By words, with the BM25 score.
    pub lexical: Option<Rank>,
    /// By vectors, with the cosine.
    pub dense: Option<Rank>,
    /// In the fusion, with the score that the answer shows.
    pub fused: Option<Rank>,
    /// How many candidates the fusion had.
    pub candidates: usize,
}

/// Where rows of a document lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// The segment.
    pub segment: String,
    /// The version.
    pub version: VersionNo,
    /// How many rows.
    pub rows: usize,
}

/// Why a document is in an answer or not.
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentExplained {
    /// What became of it.
    pub fate: Fate,
    /// How it stands in the catalog; none when there is no such document.
    pub state: Option<DocumentState>,
    /// Where it lies in the index.
    pub indexed: Vec<Indexed>,
    /// The part of the filter that keeps it out, whatever else does.
    pub refused_by_filter: Option<String>,
    /// Where it ranks; none when it is not among the rows that the principal may see and the filter admits.
    pub ranks: Option<Ranks>,
    /// What did not take part, and why.
    pub degraded: Vec<String>,
    /// The sequence number that the index had applied.
    pub seq: Seq,
    /// The generation that would answer.
    pub generation: GenerationId,
    /// Its recipe.
    pub recipe: RecipeId,
}

impl Retrieval {
    /// Why a document is, or is not, in the answer that `asker` would get now. `administrator` is who wants to know; to
    /// who is none, there is no such document.
    pub async fn explain(
        &self,
        administrator: &Scope,
        asker: &Scope,
        document: &DocumentId,
        asked: &Asked,
        draft: Draft,
    ) -> Result<(DocumentExplained, LeafRef), RetrievalError> {
        if administrator.tenant() != asker.tenant() {
            return Err(RetrievalError::Internal("an explanation across two tenants".to_owned()));
        }
        let view = self.view(asker, &asked.question().filter, asked.question().min_seq).await?;
        let state = self.catalog.document_state(administrator, document, &view.recipe, asker.principal()).await?;
        let explained = self.explained(asker, &view, asked, state).await?;
        let leaf = self.catalog.record(Chain::Tenant(asker.tenant()), explained.record(document, draft)).await?;
        Ok((explained, leaf))
    }

    async fn explained(
        &self,
        asker: &Scope,
        view: &View,
        asked: &Asked,
        state: Option<DocumentState>,
    ) -> Result<DocumentExplained, RetrievalError> {
        let mut explained = DocumentExplained {
            fate: Fate::Absent,
            state: None,
            indexed: Vec::new(),
            refused_by_filter: None,
            ranks: None,
            degraded: Vec::new(),
            seq: view.seq,
            generation: view.generation.clone(),
            recipe: view.recipe.clone(),
        };
        let Some(state) = state else { return Ok(explained) };
        let places = view.snapshot.places(state.doc);
        let current = places.iter().filter(|place| place.version == state.version).flat_map(|place| place.rows.clone());
        let rows: Vec<RowId> = current.collect();
        let of = |place: &catena_index::Place| Indexed {
            segment: place.segment.clone(),
            version: place.version,
            rows: place.rows.len(),
        };
        explained.indexed = places.iter().map(of).collect();
        explained.refused_by_filter =
            view.live.document(state.doc).and_then(|document| asked.question().filter.refusal(document));
        let seen: Vec<RowId> = rows.iter().copied().filter(|row| view.visible.has(*row)).collect();
        let kept_out = kept_out(&state, &explained, &rows);
        explained.fate = match kept_out {
            Some(fate) => fate,
            // Seen by the catalog now and not by the view: a write came between.
            None if seen.is_empty() => Fate::Dropped,
            None => self.ranked(asker, view, asked, &seen, &mut explained).await?,
        };
        explained.state = Some(state);
        Ok(explained)
    }

    /// What becomes of a document whose rows `seen` take part.
    async fn ranked(
        &self,
        asker: &Scope,
        view: &View,
        asked: &Asked,
        seen: &[RowId],
        explained: &mut DocumentExplained,
    ) -> Result<Fate, RetrievalError> {
        let question = asked.question();
        let wanted = match asked {
            Asked::Search(request) => request.top_k + SPARE_CANDIDATES,
            Asked::Context(_) => CONTEXT_CANDIDATES,
        };
        let found = Candidates::find(self, asker, view, question, wanted, &mut Timings::default()).await?;
        explained.degraded.clone_from(&found.degraded);
        let mut ranks = self.arms(asker, view, question, seen).await?;
        ranks.candidates = found.list.len();
        let doc = view.snapshot.key(seen[0]).doc;
        let fused = Fused::rank(found.clone(), question.mode, usize::MAX);
        ranks.fused = fused
            .list
            .iter()
            .enumerate()
            .find(|(_, ranked)| ranked.key.doc == doc)
            .map(|(at, ranked)| Rank { rank: Some(at + 1), score: ranked.score, chunk: ranked.key.chunk });
        let place = ranks.fused.and_then(|rank| rank.rank);
        explained.ranks = Some(ranks);
        match place {
            None => return Ok(Fate::NotCandidate),
            Some(place) if place > wanted => return Ok(Fate::CutByRank),
            Some(_) => {}
        }
        let fused = Fused::rank(found, question.mode, wanted);
        let admitted = Admitted::through(&self.catalog, asker, view, fused).await?;
        let Some(place) = admitted.list.iter().position(|passage| passage.rank.key.doc == doc) else {
            return Ok(Fate::Dropped);
        };
        match asked {
            Asked::Search(request) if place < request.top_k => Ok(Fate::Given(place + 1)),
            Asked::Search(_) => Ok(Fate::CutByRank),
            Asked::Context(request) => {
                let key = self.catalog.tenant_secret(asker).await?;
                let (query, budget, rules) = (question.query.clone(), request.budget, request.rules.clone());
                let packed = self.compute.run(move || pack::pack(admitted, &query, budget, &rules, &key)).await??;
                Ok(packed.fate_of(doc))
            }
        }
    }

    /// Where the rows `seen` of one document stand in each arm.
    async fn arms(
        &self,
        asker: &Scope,
        view: &View,
        question: &Question,
        seen: &[RowId],
    ) -> Result<Ranks, RetrievalError> {
        let vector = if question.mode.uses_dense() {
            let embedded = self.embedder.embed_query(asker.tenant(), &question.query).await.ok();
            embedded.map(|embedded| QueryVector { recipe: self.recipe.clone(), values: embedded.values })
        } else {
            None
        };
        let terms = question.mode.uses_lexical().then(|| LexicalQuery::parse(&question.query));
        let (snapshot, visible, seen) = (Arc::clone(&view.snapshot), Arc::clone(&view.visible), seen.to_vec());
        let work = move || -> Result<Ranks, IndexError> {
            let rank = |hits: Vec<Hit>, scores: Vec<f32>| best(&snapshot, &seen, &hits, &scores);
            let mut ranks = Ranks::default();
            if let Some(terms) = terms {
                let hits = snapshot.lexical(&terms, &visible, RANKS_MAX)?;
                ranks.lexical = rank(hits, snapshot.lexical_scores(&terms, &visible, &seen)?).filter(|r| r.score > 0.0);
            }
            // A vector of another model is an arm that did not take part; the answer's `degraded` says so.
            if let Some(vector) = vector.filter(|vector| vector.recipe.has_model_of(snapshot.recipe())) {
                let hits = snapshot.dense(&vector, &visible, RANKS_MAX)?;
                ranks.dense = rank(hits, snapshot.dense_scores(&vector, &seen)?);
            }
            Ok(ranks)
        };
        Ok(self.compute.run(work).await??)
    }
}

/// What keeps a document from taking part at all.
fn kept_out(state: &DocumentState, explained: &DocumentExplained, rows: &[RowId]) -> Option<Fate> {
    if state.live == Liveness::Deleted {
        return Some(Fate::Deleted);
    }
    if !state.decision.is_admitted() {
        return Some(Fate::Refused);
    }
    if let Some(part) = &explained.refused_by_filter {
        return Some(Fate::Filtered(part.clone()));
    }
    rows.is_empty().then_some(Fate::NotIndexed)
}

/// The best of the rows in an arm's list, or by its score where it is not on the list.
fn best(snapshot: &Snapshot, rows: &[RowId], hits: &[Hit], scores: &[f32]) -> Option<Rank> {
    if let Some((at, hit)) = hits.iter().enumerate().find(|(_, hit)| rows.contains(&hit.row)) {
        return Some(Rank { rank: Some(at + 1), score: hit.score, chunk: snapshot.key(hit.row).chunk });
    }
    let (row, score) = rows.iter().zip(scores).max_by(|one, other| one.1.total_cmp(other.1))?;
    Some(Rank { rank: None, score: *score, chunk: snapshot.key(*row).chunk })
}

impl DocumentExplained {
    fn record(&self, document: &DocumentId, draft: Draft) -> Draft {
        let version = self.state.as_ref().map(|state| state.version.0);
        let mut draft = draft;
        draft.outcome = catena_audit::Outcome::Done;
        draft.objects.push(Object { version, ..Object::new("document", document.as_str()) });
        draft.seq = Some(self.seq.0);
        draft.generation = Some(self.generation.to_string());
        draft.recipe = Some(self.recipe.to_string());
        draft
    }
}
