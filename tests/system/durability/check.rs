//! The checker: what is there, held against exactly what was acknowledged.
//!
//! A write without an answer was made whole or not at all; the record says which, and everything must agree with it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;
use tokio::task::JoinSet;

use super::ledger::{KeyState, Ledger, State};
use super::load::{admits_bob, state_of};
use super::record::Record;
use crate::harness::{Chance, Client, Server, text};

/// How many documents and keys are looked at that no writer has touched since the last check.
const SAMPLE: usize = 4;
const PAGE: usize = 500;

/// One tenant, with all that its writers know.
#[derive(Debug)]
pub(crate) struct Tenant {
    name: String,
    admin: String,
    /// The key of the user bob, who is in no group.
    reader: String,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    record: Record,
}

/// One document as it must be.
struct Expected {
    id: String,
    state: Option<State>,
    /// Words by which it must not be found.
    gone: Vec<String>,
}

impl Tenant {
    pub(crate) async fn new(server: &Server, name: &str) -> Self {
        let admin = server.tenant(name).await.key.expect("a key");
        let reader = server.key(name, &["read"], Some("bob"), &[]).await.key.expect("a key");
        let (ledger, record) = (Arc::default(), Record::default());
        Self { name: name.to_owned(), admin, reader, ledger, record }
    }

    /// The same with a ledger of its own.
    pub(crate) fn copy(&self) -> Self {
        let ledger = Arc::new(Mutex::new(self.note().clone()));
        let (name, admin, reader) = (self.name.clone(), self.admin.clone(), self.reader.clone());
        Self { name, admin, reader, ledger, record: self.record.clone() }
    }

    pub(crate) fn client(&self, server: &Server) -> Client {
        server.client(&self.admin).in_tenant(&self.name)
    }

    pub(crate) fn note(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the service against what was acknowledged, and says how many documents were looked at.
    pub(crate) async fn check(&mut self, server: &Server, chance: &mut Chance) -> usize {
        let (client, reader) = (self.client(server), server.client(&self.reader).in_tenant(&self.name));
        let seq = client.seq().await;
        let made = self.check_record(&client, seq).await;
        let expected = self.expected(&made, chance);
        self.check_list(&client, &made).await;
        let looked_at = expected.len();
        let mut looking = JoinSet::new();
        for document in expected {
            looking.spawn(check_document(client.clone(), reader.clone(), document, seq));
        }
        looking.join_all().await;
        self.check_keys(&client, chance).await;
        self.check_jobs(&client).await;
        let mut ledger = self.note();
        for (id, known) in &mut ledger.documents {
            if let Some(wanted) = known.wanted.take() {
                let now = if made.contains(id) { wanted.clone() } else { known.acknowledged.clone() };
                known.wanted = Some(wanted);
                known.settle(now);
            }
            known.touched = false;
        }
        looked_at
    }

    /// Says which writes without an answer were made.
    async fn check_record(&mut self, client: &Client, seq: u64) -> BTreeSet<String> {
        let news = self.record.follow(client).await;
        assert_eq!(self.record.seq, seq, "the record and the tenant disagree on the last write");
        let mut ledger = self.note();
        let mut made = BTreeSet::new();
        for (seq, document) in &news.changes {
            match ledger.writes.remove(seq) {
                Some(written) => assert_eq!(*document, written, "seq {seq} was acknowledged for another document"),
                None => {
                    let known = ledger.documents.get(document);
                    let is_wanted = known.is_some_and(|known| known.wanted.is_some());
                    assert!(is_wanted && made.insert(document.clone()), "nobody wrote {document} with seq {seq}");
                }
            }
        }
        assert!(ledger.writes.is_empty(), "acknowledged writes are not in the record: {:?}", ledger.writes);
        for (leaf, hash) in ledger.receipts.drain(..) {
            assert_eq!(news.hashes.get(&leaf), Some(&hash), "a receipt's leaf is not in the record");
        }
        made
    }

    fn expected(&self, made: &BTreeSet<String>, chance: &mut Chance) -> Vec<Expected> {
        let ledger = self.note();
        let untouched = ledger.documents.values().filter(|known| !known.touched).count();
        let mut expected = Vec::new();
        for (id, known) in &ledger.documents {
            if !known.touched && chance.below(untouched) >= SAMPLE {
                continue;
            }
            let wanted = known.wanted.clone().flatten();
            let is_made = made.contains(id);
            let state = if is_made { wanted.clone() } else { known.acknowledged.clone() };
            let was = if is_made { known.acknowledged.as_ref() } else { wanted.as_ref() };
            let mut gone = known.former.clone();
            gone.extend(was.map(|was| was.word().to_owned()));
            gone.retain(|word| state.as_ref().is_none_or(|state| state.word() != word));
            expected.push(Expected { id: id.clone(), state, gone });
        }
        expected
    }

    /// Every document is listed, and none that nobody wrote.
    async fn check_list(&self, client: &Client, made: &BTreeSet<String>) {
        let page = client.get(&client.path(&format!("documents?limit={PAGE}"))).await.expect(200).json();
        assert!(page["next"].is_null(), "more documents than one page holds");
        let listed: BTreeSet<String> = text::documents(&page["data"]).into_iter().collect();
        let is_there = |(id, known): (&String, &super::ledger::Known)| match &known.wanted {
            Some(wanted) if made.contains(id) => wanted.is_some(),
            _ => known.acknowledged.is_some(),
        };
        let ledger = self.note();
        let there = ledger.documents.iter().filter(|&entry| is_there(entry)).map(|(id, _)| id.clone()).collect();
        assert_eq!(listed, there, "the list is not what was acknowledged");
    }

    async fn check_keys(&self, client: &Client, chance: &mut Chance) {
        let keys: Vec<_> = self.note().keys.iter().map(|(id, key)| (id.clone(), key.clone())).collect();
        for (id, key) in &keys {
            if !key.touched && chance.below(keys.len()) >= SAMPLE {
                continue;
            }
            let user = client.with_key(&key.secret);
            let status = user.get(&user.path("documents?limit=1")).await.status;
            let state = match (key.state, status) {
                (KeyState::Valid | KeyState::Either, 200) => KeyState::Valid,
                (KeyState::Revoked | KeyState::Either, 401) => KeyState::Revoked,
                (state, status) => panic!("the key {id} is {state:?}, and was answered with {status}"),
            };
            if let Some(known) = self.note().keys.get_mut(id) {
                (known.state, known.touched) = (state, false);
            }
        }
    }

    /// Every job that was accepted is there and has not failed, and one generation answers.
    async fn check_jobs(&self, client: &Client) {
        let jobs = self.note().jobs.clone();
        for id in jobs {
            let job = client.get(&client.path(&format!("jobs/{id}"))).await.expect(200).json();
            assert!(matches!(state_of(&job), "queued" | "running" | "succeeded"), "{job}");
            if state_of(&job) == "succeeded" {
                self.note().jobs.remove(&id);
            }
        }
        let generations = client.get(&client.path("generations")).await.expect(200).json();
        let live = generations["data"].as_array().into_iter().flatten().filter(|row| state_of(row) == "live").count();
        assert_eq!(live, 1, "{generations}");
    }
}

/// Looks at one document in every way.
async fn check_document(client: Client, reader: Client, expected: Expected, seq: u64) {
    let Expected { id, state, gone } = expected;
    let reply = client.get(&client.document(&id)).await;
    let stored = match reply.status {
        404 => None,
        _ => Some(State::of(&reply.expect(200).json())),
    };
    assert_eq!(stored, state, "{id} is not what was acknowledged");
    let is_bobs = state.as_ref().is_some_and(admits_bob);
    reader.get(&reader.document(&id)).await.expect(if is_bobs { 200 } else { 404 });
    let word = state.as_ref().map(State::word);
    for (who, word, may_find) in word
        .map(|word| [(&client, word, true), (&reader, word, is_bobs)])
        .into_iter()
        .flatten()
        .chain(gone.iter().map(|word| (&client, word.as_str(), false)))
    {
        let body = json!({"query": word, "mode": "lexical", "min_seq": seq, "top_k": 5});
        let found = text::documents(&who.search(&body).await.expect(200).json()["results"]);
        let right = if may_find { vec![id.clone()] } else { vec![] };
        assert_eq!(found, right, "{id}, which is {state:?}, by the word {word}");
    }
}
