//! What the writers know: which of their writes were acknowledged, and which got no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

/// A document as a write makes it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) text: String,
    /// Who may read it, sorted.
    pub(crate) allow: Vec<String>,
}

impl State {
    pub(crate) fn envelope(&self) -> Value {
        json!({"text": self.text, "acl": self.acl()})
    }

    pub(crate) fn acl(&self) -> Value {
        json!({"allow": self.allow})
    }

    /// The document as it is read by an administrator.
    pub(crate) fn of(body: &Value) -> Self {
        let entries = body["acl"]["allow"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let mut allow: Vec<String> = entries.map(str::to_owned).collect();
        allow.sort();
        Self { text: body["text"].as_str().unwrap_or_default().to_owned(), allow }
    }

    /// A word that stands in this text and in no other.
    pub(crate) fn word(&self) -> &str {
        self.text.trim_start_matches("# ").lines().next().unwrap_or_default()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes for {:?}", self.word(), self.text.len(), self.allow)
    }
}

/// What the writers know of one document.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// What it is after the last acknowledged write; `None` when it was deleted or never acknowledged.
    pub(crate) acknowledged: Option<State>,
    /// What a write without an answer wanted it to be.
    pub(crate) wanted: Option<Option<State>>,
    /// Words that it had and has no more.
    pub(crate) former: Vec<String>,
    pub(crate) touched: bool,
}

/// What an administrator knows of one key.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) secret: String,
    pub(crate) state: KeyState,
    pub(crate) touched: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    Valid,
    /// The revocation got no answer.
    Either,
    Revoked,
}

/// Everything that was acknowledged to the writers of one tenant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    pub(crate) documents: BTreeMap<String, Known>,
    pub(crate) keys: BTreeMap<String, KnownKey>,
    /// The sequence numbers that were acknowledged since the last check, and for which document.
    pub(crate) writes: BTreeMap<u64, String>,
    /// The receipts that were given since the last check: leaf and hash.
    pub(crate) receipts: Vec<(u64, String)>,
    pub(crate) jobs: BTreeSet<String>,
}

impl Ledger {
    /// A write is about to be sent.
    pub(crate) fn wants(&mut self, id: &str, state: Option<State>) {
        let known = self.documents.entry(id.to_owned()).or_default();
        (known.wanted, known.touched) = (Some(state), true);
    }

    /// The write that was sent last was acknowledged.
    pub(crate) fn acknowledged(&mut self, id: &str, seq: Option<u64>) {
        let known = self.documents.entry(id.to_owned()).or_default();
        let now = known.wanted.take().expect("a write was sent");
        known.settle(now);
        if let Some(seq) = seq {
            let twice = self.writes.insert(seq, id.to_owned());
            assert_eq!(twice, None, "seq {seq} was acknowledged twice, for {id} as well");
        }
    }

    pub(crate) fn of(&self, id: &str) -> Option<State> {
        self.documents.get(id).and_then(|known| known.acknowledged.clone())
    }
}

impl Known {
    /// From now on the document is known to be this.
    pub(crate) fn settle(&mut self, now: Option<State>) {
        const FORMER_MAX: usize = 3;
        let word = |state: &Option<State>| state.as_ref().map(|state| state.word().to_owned());
        let lost = [word(&self.acknowledged), self.wanted.as_ref().and_then(word)].into_iter().flatten();
        self.former.extend(lost.filter(|lost| Some(lost) != word(&now).as_ref()));
        let many = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..many);
        (self.acknowledged, self.wanted) = (now, None);
    }
}
