//! The load: several writers who put, rewrite, delete, change access lists and keys, ask and re-index, until the service
//! is gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::ledger::{KeyState, KnownKey, Ledger, State};
use crate::harness::{Chance, Client, Reply};

/// Documents of one writer: few, so that most writes change something that is there.
const DOCUMENTS: usize = 12;

/// Writer number `name` of a tenant.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) client: Client,
    pub(crate) name: usize,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) chance: Chance,
    /// How much was acknowledged to all writers together.
    pub(crate) acks: watch::Sender<u64>,
}

/// The service is gone: a request got no answer.
pub(crate) struct Gone;

impl Writer {
    /// Works until a request gets no answer.
    pub(crate) async fn work(mut self) {
        while self.step().await.is_ok() {
            self.acks.send_modify(|acks| *acks += 1);
        }
    }

    fn note(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn step(&mut self) -> Result<(), Gone> {
        let id = format!("{}/{}.md", self.name, self.chance.below(DOCUMENTS));
        match self.chance.below(32) {
            0..16 => self.put(&id).await,
            16..19 => self.delete(&id).await,
            19..24 => self.change_access(&id).await,
            24..26 => self.search(&id).await,
            26..28 => self.context().await,
            28 => self.make_key().await,
            29 => self.revoke_key().await,
            _ => self.reindex().await,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, Gone> {
        self.client.try_send(request).await.map_err(|_| Gone)
    }

    fn request(&self, method: Method, rest: &str) -> RequestBuilder {
        self.client.request(method, &self.client.path(rest))
    }

    pub(crate) async fn put(&mut self, id: &str) -> Result<(), Gone> {
        let state = State { text: body(&mut self.chance), allow: list(&mut self.chance) };
        self.note().wants(id, Some(state.clone()));
        let wait = ["", "?wait=searchable"][self.chance.below(2)];
        let path = format!("{}{wait}", self.client.document(id));
        let reply = self.send(self.client.request(Method::PUT, &path).json(&state.envelope())).await?;
        assert!(matches!(reply.status, 200 | 201), "a write was refused: {}", reply.text());
        self.note().acknowledged(id, seq(&reply));
        Ok(())
    }

    async fn delete(&mut self, id: &str) -> Result<(), Gone> {
        let was_there = self.note().of(id).is_some();
        self.note().wants(id, None);
        let reply = self.send(self.client.request(Method::DELETE, &self.client.document(id))).await?;
        assert_eq!(reply.status, if was_there { 200 } else { 404 }, "{id}: {}", reply.text());
        self.note().acknowledged(id, seq(&reply).filter(|_| was_there));
        Ok(())
    }

    async fn change_access(&mut self, id: &str) -> Result<(), Gone> {
        let Some(now) = self.note().of(id) else { return self.put(id).await };
        let other = State { allow: other_list(&now.allow, &mut self.chance), ..now };
        self.note().wants(id, Some(other.clone()));
        let path = format!("{}/acl", self.client.document(id));
        let reply = self.send(self.client.request(Method::PUT, &path).json(&other.acl())).await?;
        assert_eq!(reply.status, 200, "{id}: {}", reply.text());
        self.note().acknowledged(id, seq(&reply));
        Ok(())
    }

    async fn search(&mut self, id: &str) -> Result<(), Gone> {
        let query = self.note().of(id).map_or_else(|| "kept dry".to_owned(), |state| state.word().to_owned());
        let mode = ["hybrid", "lexical", "dense"][self.chance.below(3)];
        let reply =
            self.send(self.request(Method::POST, "search").json(&json!({"query": query, "mode": mode}))).await?;
        assert_eq!(reply.status, 200, "a search was refused: {}", reply.text());
        Ok(())
    }

    async fn context(&mut self) -> Result<(), Gone> {
        let body = json!({"query": "what is kept dry", "budget": {"tokens": 600}});
        let reply = self.send(self.request(Method::POST, "context").json(&body)).await?;
        assert_eq!(reply.status, 200, "a context was refused: {}", reply.text());
        let receipt = &reply.json()["receipt"];
        let hash = receipt["hash"].as_str().expect("a receipt has a hash").to_owned();
        self.note().receipts.push((receipt["leaf"].as_u64().expect("a receipt names a leaf"), hash));
        Ok(())
    }

    pub(crate) async fn make_key(&mut self) -> Result<(), Gone> {
        let reply =
            self.send(self.request(Method::POST, "keys").json(&json!({"name": "k", "scopes": ["read"]}))).await?;
        assert_eq!(reply.status, 201, "a key was refused: {}", reply.text());
        let made = reply.json();
        let text = |field: &str| made[field].as_str().expect("a key is shown").to_owned();
        let key = KnownKey { secret: text("key"), state: KeyState::Valid, touched: true };
        self.note().keys.insert(text("id"), key);
        Ok(())
    }

    async fn revoke_key(&mut self) -> Result<(), Gone> {
        let at = self.chance.next() as usize;
        let id = {
            let mut ledger = self.note();
            let valid: Vec<_> = ledger.keys.iter_mut().filter(|(_, key)| key.state == KeyState::Valid).collect();
            let count = valid.len().max(1);
            let Some((id, key)) = valid.into_iter().nth(at % count) else { return Ok(()) };
            (key.state, key.touched) = (KeyState::Either, true);
            id.clone()
        };
        let reply = self.send(self.request(Method::DELETE, &format!("keys/{id}"))).await?;
        assert_eq!(reply.status, 204, "a revocation was refused: {}", reply.text());
        self.note().keys.get_mut(&id).expect("the key is known").state = KeyState::Revoked;
        Ok(())
    }

    async fn reindex(&mut self) -> Result<(), Gone> {
        let reply = self.send(self.request(Method::POST, "reindex").json(&json!({}))).await?;
        assert!(matches!(reply.status, 202 | 409), "a re-index was refused: {}", reply.text());
        if reply.status == 202 {
            self.note().jobs.insert(reply.json()["id"].as_str().expect("a job has an id").to_owned());
        }
        Ok(())
    }
}

fn seq(reply: &Reply) -> Option<u64> {
    reply.json()["seq"].as_u64()
}

/// A text whose first line is a word of its own, and whose size varies.
pub(crate) fn body(chance: &mut Chance) -> String {
    let word = chance.word();
    let sentences = 1 + chance.below(8) * chance.below(4);
    let sentence = format!("The {word} is kept dry and is turned every {sentences} days. ");
    format!("# {word}\n\n{}", sentence.repeat(sentences).trim_end())
}

const LISTS: [&[&str]; 4] = [&["everyone"], &["group:crew"], &["user:bob"], &["group:crew", "user:ann"]];

pub(crate) fn list(chance: &mut Chance) -> Vec<String> {
    LISTS[chance.below(LISTS.len())].iter().map(|&entry| entry.to_owned()).collect()
}

fn other_list(now: &[String], chance: &mut Chance) -> Vec<String> {
    std::iter::repeat_with(|| list(chance)).find(|list| list != now).unwrap_or_default()
}

/// Whether the user bob, who is in no group, may read it.
pub(crate) fn admits_bob(state: &State) -> bool {
    state.allow.iter().any(|entry| entry == "everyone" || entry == "user:bob")
}

/// What a job is, if the service says it.
pub(crate) fn state_of(job: &Value) -> &str {
    job["state"].as_str().unwrap_or_default()
}
