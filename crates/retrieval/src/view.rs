//! What one question looks at: a snapshot of the index, and in it the rows that its principal may see.

use std::sync::Arc;
use std::time::Duration;

use catena_access::Scope;
use catena_catalog::Statistics;
use catena_domain::{GenerationId, RecipeId, Seq, limits};
use catena_index::{Counted, Filter, Generation, LiveTable, Snapshot, Visible};
use catena_runtime::clock::{self, Stopwatch};

use crate::{Retrieval, RetrievalError};

/// How often a question that waits for a write looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Tries to open the generation that answers, which a re-index may replace between the question and the opening.
const OPEN_TRIES: usize = 3;

/// One question's view of one tenant.
pub(crate) struct View {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) live: Arc<LiveTable>,
    pub(crate) visible: Arc<Visible>,
    pub(crate) seq: Seq,
    pub(crate) generation: GenerationId,
    pub(crate) recipe: RecipeId,
}

impl Retrieval {
    pub(crate) async fn view(
        &self,
        scope: &Scope,
        filter: &Filter,
        min_seq: Option<Seq>,
    ) -> Result<View, RetrievalError> {
        let (generation, counted) = self.reached(scope, min_seq).await?;
        let snapshot = generation.snapshot();
        // Read after the snapshot: a row that was superseded since then is hidden, never shown.
        let live = self.live.current(&self.catalog, scope, generation.id()).await?;
        let (of, by, scope, filter) = (Arc::clone(&snapshot), Arc::clone(&live), scope.clone(), filter.clone());
        let visible = self.compute.run(move || of.visible(&scope, &by, &filter, counted, clock::now())).await?;
        Ok(View {
            seq: snapshot.applied_seq(),
            generation: generation.id().clone(),
            recipe: generation.recipe().clone(),
            snapshot,
            live,
            visible,
        })
    }

    /// The live generation, once it has applied `min_seq`; waits for it a bounded time.
    async fn reached(&self, scope: &Scope, min_seq: Option<Seq>) -> Result<(Arc<Generation>, Counted), RetrievalError> {
        let mut reached = self.live_generation(scope).await?;
        let Some(wanted) = min_seq else { return Ok(reached) };
        let last = self.catalog.seq(scope).await?;
        if wanted > last {
            return Err(RetrievalError::NotWritten { wanted, last });
        }
        let watch = Stopwatch::start();
        while reached.0.applied_seq() < wanted {
            if watch.elapsed() > Duration::from_millis(limits::MIN_SEQ_WAIT_MS) {
                return Err(RetrievalError::Behind { wanted, reached: reached.0.applied_seq() });
            }
            clock::pause(LOOK_AGAIN).await;
            reached = self.live_generation(scope).await?;
        }
        Ok(reached)
    }

    /// The live generation, open, and what the tenant's scores are counted over.
    async fn live_generation(&self, scope: &Scope) -> Result<(Arc<Generation>, Counted), RetrievalError> {
        for _ in 0..OPEN_TRIES {
            let answering = self.catalog.answering(scope).await?;
            let (row, counted) = (answering.generation, counted(answering.statistics));
            let (index, owner) = (Arc::clone(&self.index), scope.clone());
            let opened = self.compute.run(move || index.existing(&owner, &row.id, &row.recipe, row.dimension as usize));
            match opened.await? {
                Ok(Some(generation)) => return Ok((generation, counted)),
                Ok(None) => {}
                // The index has noted it, and it is rebuilt in a moment.
                Err(error) if error.is_damage() => {
                    tracing::error!(tenant = %scope.tenant(), %error, "a question met an index that cannot be read");
                    return Err(RetrievalError::NoIndex);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RetrievalError::NoIndex)
    }
}

fn counted(statistics: Statistics) -> Counted {
    match statistics {
        Statistics::Live => Counted::Live,
        Statistics::Visible => Counted::Visible,
    }
}
