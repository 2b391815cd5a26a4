//! What a sync did, counted.

use std::time::Duration;

use catena_catalog::{Count, Tally};
use catena_runtime::clock;
use serde::{Deserialize, Serialize};

use super::one::{Again, Became, Done};

/// What a sync did, by documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// New ones.
    pub added: u64,
    /// Those with a new version.
    pub changed: u64,
    /// Those of which only what is said changed: access list, address, attributes.
    pub restated: u64,
    /// Those that have another id now.
    pub moved: u64,
    /// Those that went.
    pub deleted: u64,
    /// Those that are as they were.
    pub unchanged: u64,
    /// Those that could not be read.
    pub failed: u64,
    /// Those of which the source could not say who may see them.
    pub quarantined: u64,
    /// What is no document.
    pub skipped: u64,
    /// Those whose wider access list, or whose deletion, waits for approval.
    pub withheld: u64,
    /// Chunks of what was written.
    pub chunks: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Of these, chunks that were embedded.
    pub chunks_embedded: u64,
    /// Their tokens.
    pub tokens_embedded: u64,
    /// Failures that may be none the next time.
    #[serde(skip)]
    pub(crate) to_try_again: u64,
    /// Documents done, and to be done.
    #[serde(skip)]
    pub(crate) documents: (u64, u64),
}

impl Totals {
    pub(crate) fn count(&mut self, done: &Done) {
        self.documents.0 += 1;
        self.chunks += done.cut.chunks;
        self.tokens += done.cut.tokens;
        self.chunks_embedded += done.embedded.chunks;
        self.tokens_embedded += done.embedded.tokens;
        self.moved += u64::from(done.moved_from.is_some());
        let quarantined = catena_catalog::ItemState::Quarantined;
        self.quarantined += u64::from(done.note.as_ref().is_some_and(|note| note.state == quarantined));
        match &done.became {
            Became::Added => self.added += 1,
            Became::Changed => self.changed += 1,
            Became::Restated => self.restated += 1,
            Became::Unchanged if done.moved_from.is_none() => self.unchanged += 1,
            Became::Unchanged => {}
            // It is found again or missed by the next look.
            Became::Vanished => self.to_try_again += 1,
            Became::Failed { again, .. } => {
                self.failed += 1;
                self.to_try_again += u64::from(*again != Again::Unlikely);
            }
            Became::Withheld(_) => self.withheld += 1,
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        let (done, total) = self.documents;
        let whole = |done| Count { done, total: done };
        let documents = Count { done, total: total.max(done) };
        let mut tally = Tally { documents, chunks: whole(self.chunks), tokens: whole(self.tokens) };
        tally.reckon();
        tally
    }

    pub(crate) fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("added", self.added),
            ("changed", self.changed),
            ("restated", self.restated),
            ("moved", self.moved),
            ("deleted", self.deleted),
            ("unchanged", self.unchanged),
            ("failed", self.failed),
            ("quarantined", self.quarantined),
            ("skipped", self.skipped),
            ("withheld", self.withheld),
            ("chunks_embedded", self.chunks_embedded),
        ]
    }

    pub(crate) fn note(&self) -> String {
        let told = self.named().into_iter().filter(|&(name, count)| count > 0 && name != "chunks_embedded");
        let mut told: Vec<String> = told.map(|(name, count)| format!("{count} {name}")).collect();
        if self.chunks > 0 {
            told.push(format!("{} of {} chunks embedded", self.chunks_embedded, self.chunks));
        }
        if told.is_empty() { "nothing to do".to_owned() } else { told.join(", ") }
    }
}

/// What the last sync of a source came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastSync {
    /// When it ended, in microseconds since 1970.
    pub at_us: i64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Why it did not come to its end, if it did not.
    pub error: Option<String>,
    /// What it did.
    pub totals: Totals,
    /// Chunks that it embedded in a second, if it embedded enough to say.
    pub chunks_per_s: Option<f64>,
}

/// Fewer chunks say nothing of a rate.
const CHUNKS_FOR_A_RATE: u64 = 16;

impl LastSync {
    pub(crate) fn of(totals: Totals, error: Option<String>, took: Duration) -> Self {
        let is_enough = totals.chunks_embedded >= CHUNKS_FOR_A_RATE && !took.is_zero();
        Self {
            at_us: clock::now().0,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            error,
            chunks_per_s: is_enough.then(|| totals.chunks_embedded as f64 / took.as_secs_f64()),
            totals,
        }
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What the catalog keeps of it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
