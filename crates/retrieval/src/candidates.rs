//! The first stage: both arms side by side, over the rows that the principal may see.
//!
//! Promises: every candidate has the exact score of both arms, whichever arm found it; an arm that fails or is late is
//! named in the answer, and the other answers alone. Does not: rank.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_embedding::EmbeddingError;
use catena_index::{Hit, IndexError, LexicalQuery, QueryVector, RowId, RowKey};
use catena_runtime::clock::Stopwatch;

use crate::request::{Mode, Question};
use crate::timings::Timings;
use crate::view::View;
use crate::{Retrieval, RetrievalError};

/// What an arm brings at least, so that the other arm's scores have something to be fused with.
const ARM_HITS_MIN: usize = 100;
/// How long an arm may take before the other answers alone.
const ARM_DEADLINE: Duration = Duration::from_secs(3);

/// What an answer says that comes from an index of which a part was lost and is not back yet.
const LACKING: &str = "index: a part of it was damaged and is being brought back; passages may be missing";

/// A row that may be part of the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Document, version and chunk.
    pub key: RowKey,
    /// BM25; `None` when the arm did not take part.
    pub lexical: Option<f32>,
    /// Cosine with the query; `None` when the arm did not take part.
    pub dense: Option<f32>,
}

/// What the arms found.
#[derive(Debug, Clone)]
pub struct Candidates {
    pub(crate) list: Vec<Candidate>,
    pub(crate) degraded: Vec<String>,
}

/// How many rows an arm is asked for when an answer wants `wanted`.
pub(crate) fn arm_limit(wanted: usize) -> usize {
    wanted.max(ARM_HITS_MIN)
}

enum ArmError {
    Late,
    Failed(RetrievalError),
}

impl<E: Into<RetrievalError>> From<E> for ArmError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl ArmError {
    fn reason(&self) -> String {
        match self {
            Self::Late => format!("no answer within {} s", ARM_DEADLINE.as_secs()),
            Self::Failed(RetrievalError::Index(IndexError::Recipe { .. })) => {
                "the index was built by another model; re-index the tenant".to_owned()
            }
            Self::Failed(RetrievalError::Embedding(EmbeddingError::Stopped)) => {
                "the model's workers stopped".to_owned()
            }
            Self::Failed(RetrievalError::Embedding(
                EmbeddingError::RemoteAway { .. } | EmbeddingError::RemoteRefused { .. },
            )) => "the embedding server gives no vectors".to_owned(),
            // What went wrong inside is for the log; the answer says which part is missing.
            Self::Failed(_) => "failed; see the service's log".to_owned(),
        }
    }
}

impl Candidates {
    pub(crate) async fn find(
        retrieval: &Retrieval,
        scope: &Scope,
        view: &View,
        question: &Question,
        wanted: usize,
        timings: &mut Timings,
    ) -> Result<Self, RetrievalError> {
        let limit = arm_limit(wanted);
        let watch = Stopwatch::start();
        let terms = Arc::new(question.lexical.clone());
        let lexical = with_deadline(question.mode.uses_lexical(), lexical_arm(retrieval, view, &terms, limit));
        let dense =
            with_deadline(question.mode.uses_dense(), dense_arm(retrieval, scope, view, &question.query, limit));
        let ((lexical, lexical_ms), (dense, dense_ms)) = tokio::join!(timed(lexical), timed(dense));

        let mut degraded = Vec::new();
        let lexical = unless_failed("lexical", lexical, question.mode, &mut degraded)?;
        let dense = unless_failed("dense", dense, question.mode, &mut degraded)?;
        if let Some(Dense { embed_ms, truncated_tokens, .. }) = &dense {
            timings.embed = *embed_ms;
            if *truncated_tokens > 0 {
                degraded.push(format!("dense: the query's last {truncated_tokens} tokens did not fit the model"));
            }
        }
        if view.snapshot.lacks_rows() {
            degraded.push(LACKING.to_owned());
        }
        timings.lexical = lexical.as_ref().map(|_| lexical_ms);
        timings.dense = dense.as_ref().map(|dense| dense_ms - dense.embed_ms);
        let list = score_all(retrieval, view, lexical.map(|hits| (terms, hits)), dense).await?;
        timings.search = watch.elapsed_ms() - timings.embed;
        Ok(Self { list, degraded })
    }
}

async fn lexical_arm(
    retrieval: &Retrieval,
    view: &View,
    terms: &Arc<LexicalQuery>,
    limit: usize,
) -> Result<Vec<Hit>, ArmError> {
    let (snapshot, visible, terms) = (Arc::clone(&view.snapshot), Arc::clone(&view.visible), Arc::clone(terms));
    Ok(retrieval.compute.run(move || snapshot.lexical(&terms, &visible, limit)).await??)
}

/// What the dense arm found, and by which vector.
struct Dense {
    vector: Arc<QueryVector>,
    hits: Vec<Hit>,
    embed_ms: f64,
    truncated_tokens: usize,
}

async fn dense_arm(
    retrieval: &Retrieval,
    scope: &Scope,
    view: &View,
    query: &str,
    limit: usize,
) -> Result<Dense, ArmError> {
    let watch = Stopwatch::start();
    let embedded = retrieval.embedder.embed_query(scope.tenant(), query).await?;
    let embed_ms = watch.elapsed_ms();
    let vector = Arc::new(QueryVector { recipe: retrieval.recipe.clone(), values: embedded.values });
    let (snapshot, visible, of) = (Arc::clone(&view.snapshot), Arc::clone(&view.visible), Arc::clone(&vector));
    let hits = retrieval.compute.run(move || snapshot.dense(&of, &visible, limit)).await??;
    Ok(Dense { vector, hits, embed_ms, truncated_tokens: embedded.truncated_tokens })
}

/// What comes of it, and after how many milliseconds.
async fn timed<T>(work: impl Future<Output = T>) -> (T, f64) {
    let watch = Stopwatch::start();
    (work.await, watch.elapsed_ms())
}

async fn with_deadline<T>(wanted: bool, arm: impl Future<Output = Result<T, ArmError>>) -> Option<Result<T, ArmError>> {
    if !wanted {
        return None;
    }
    Some(tokio::time::timeout(ARM_DEADLINE, arm).await.unwrap_or(Err(ArmError::Late)))
}

/// The arm's result; when it failed, a note for the answer, or an error if no other arm answers.
fn unless_failed<T>(
    arm: &'static str,
    result: Option<Result<T, ArmError>>,
    mode: Mode,
    degraded: &mut Vec<String>,
) -> Result<Option<T>, RetrievalError> {
    match result {
        None => Ok(None),
        Some(Ok(found)) => Ok(Some(found)),
        Some(Err(error)) => {
            if let ArmError::Failed(cause) = &error {
                tracing::warn!(arm, error = %cause, kind = cause.kind().as_str(), "an arm failed");
            }
            metrics::counter!("catena_arm_failed_total", "arm" => arm).increment(1);
            if mode != Mode::Hybrid {
                return Err(RetrievalError::Arm { arm, reason: error.reason() });
            }
            if !degraded.is_empty() {
                return Err(RetrievalError::Arm { arm: "lexical and the dense", reason: error.reason() });
            }
            degraded.push(format!("{arm}: {}", error.reason()));
            Ok(None)
        }
    }
}

async fn score_all(
    retrieval: &Retrieval,
    view: &View,
    lexical: Option<(Arc<LexicalQuery>, Vec<Hit>)>,
    dense: Option<Dense>,
) -> Result<Vec<Candidate>, RetrievalError> {
    let (snapshot, visible) = (Arc::clone(&view.snapshot), Arc::clone(&view.visible));
    let work = move || -> Result<Vec<Candidate>, IndexError> {
        let found = |hits: &[Hit]| hits.iter().map(|hit| hit.row).collect::<Vec<_>>();
        let mut rows: BTreeSet<RowId> = BTreeSet::new();
        rows.extend(lexical.iter().flat_map(|(_, hits)| found(hits)));
        rows.extend(dense.iter().flat_map(|dense| found(&dense.hits)));
        let rows: Vec<RowId> = rows.into_iter().collect();
        let lexical = lexical.map(|(terms, _)| snapshot.lexical_scores(&terms, &visible, &rows)).transpose()?;
        let dense = dense.map(|dense| snapshot.dense_scores(&dense.vector, &rows)).transpose()?;
        let candidate = |(at, &row): (usize, &RowId)| Candidate {
            key: snapshot.key(row),
            lexical: lexical.as_ref().map(|scores| scores[at]),
            dense: dense.as_ref().map(|scores| scores[at]),
        };
        Ok(rows.iter().enumerate().map(candidate).collect())
    };
    Ok(retrieval.compute.run(work).await??)
}
