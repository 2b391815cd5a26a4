//! One service with the demo tenants, started once, for all tests that only ask.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::client::Client;
use super::corpora::Corpus;
use super::server::{Home, Server};
use super::{place, text};

static DEMO: OnceCell<Demo> = OnceCell::const_new();

/// The service, and what is needed to ask it.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) server: Server,
    pub(crate) tenants: Vec<DemoTenant>,
}

/// A tenant with a key of every kind, and with one thing of each sort.
#[derive(Debug)]
pub(crate) struct DemoTenant {
    pub(crate) corpus: Corpus,
    keys: BTreeMap<String, String>,
    /// A re-index job.
    pub(crate) job: String,
    /// A source that nobody looks at.
    pub(crate) source: String,
    /// A context that the administrator's key asked for.
    pub(crate) context: String,
    /// The id of a key that nobody uses.
    pub(crate) spare_key: String,
}

/// Kinds of keys beside those of the personas: name, scopes.
const KINDS: [(&str, &[&str]); 5] = [
    ("admin", &["read", "write", "admin", "audit"]),
    ("app", &["read", "impersonate"]),
    ("guest", &["read"]),
    ("writer", &["write"]),
    ("auditor", &["audit"]),
];

/// The demo service; starts it if nobody has.
pub(crate) async fn demo() -> &'static Demo {
    DEMO.get_or_init(Demo::start).await
}

impl Demo {
    async fn start() -> Self {
        let home = Home::new();
        let server = home.serve().argument("--demo").inside(place::project()).start_for_all().await;
        let mut tenants = Vec::new();
        for corpus in Corpus::all() {
            tenants.push(DemoTenant::prepare(&server, corpus).await);
        }
        // From here on the shell around the service removes the folder, when the tests end.
        std::mem::forget(home);
        Self { server, tenants }
    }

    /// A client with one of a tenant's keys: a kind's or a persona's.
    pub(crate) fn client(&self, tenant: &DemoTenant, name: &str) -> Client {
        self.server.client(&tenant.keys[name]).in_tenant(tenant.corpus.id)
    }

    pub(crate) fn tenant(&self, id: &str) -> &DemoTenant {
        self.tenants.iter().find(|tenant| tenant.corpus.id == id).expect("a demo tenant")
    }

    /// The tenants other than `id`.
    pub(crate) fn others(&self, id: &str) -> impl Iterator<Item = &DemoTenant> {
        self.tenants.iter().filter(move |tenant| tenant.corpus.id != id)
    }

    /// Words that must never reach `user` of `tenant`: other tenants' canaries, and those of rooms closed to the user.
    pub(crate) fn forbidden(&self, tenant: &DemoTenant, user: Option<&str>) -> Vec<String> {
        let foreign = self.others(tenant.corpus.id).flat_map(|other| other.corpus.all_canaries());
        foreign.chain(tenant.corpus.closed_to(user)).collect()
    }

    /// Words that must never reach anybody outside the tenant: what an administrator of `tenant` must not meet.
    pub(crate) fn foreign(&self, tenant: &DemoTenant) -> Vec<String> {
        self.others(tenant.corpus.id).flat_map(|other| other.corpus.all_canaries()).collect()
    }

    /// The log must hold no document text, no query and no key.
    pub(crate) fn assert_log_is_silent_on(&self, queries: &[String]) {
        let log = self.server.logged().to_lowercase();
        assert!(!log.is_empty(), "nothing was logged, so nothing was checked");
        for tenant in &self.tenants {
            for word in tenant.corpus.all_canaries() {
                assert!(!log.contains(&word), "the log holds the canary {word} of {}", tenant.corpus.id);
            }
            for (name, key) in &tenant.keys {
                let secret = key.split('_').nth(2).expect("a key has a secret");
                assert!(!log.contains(secret), "the log holds the key {name} of {}", tenant.corpus.id);
            }
        }
        for query in queries {
            assert!(!log.contains(&query.to_lowercase()), "the log holds the query {query:?}");
        }
    }
}

impl DemoTenant {
    async fn prepare(server: &Server, corpus: Corpus) -> Self {
        let path = format!("/v1/tenants/{}/keys", corpus.id);
        let make = async |body: Value| -> Value { server.operator().post(&path, &body).await.expect(201).json() };
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut keys = BTreeMap::new();
        for (name, scopes) in KINDS {
            let made = make(json!({"name": name, "scopes": scopes})).await;
            keys.insert(name.to_owned(), text(&made["key"]));
        }
        for persona in &corpus.personas {
            let made = make(json!({"name": persona.name, "scopes": ["read"], "user": persona.user})).await;
            keys.insert(persona.name.clone(), text(&made["key"]));
        }
        let spare_key = text(&make(json!({"name": "spare", "scopes": ["read"]})).await["id"]);
        let admin = server.client(&keys["admin"]).in_tenant(corpus.id);
        let context = text(&admin.context_of("what is kept secret here?", 1_500).await["id"]);
        let job = text(&admin.post(&admin.path("reindex"), &json!({})).await.expect(202).json()["id"]);
        let source = format!("of-{}", corpus.id);
        let described = json!({"name": source, "spec": {"kind": "push"}});
        admin.post(&admin.path("sources"), &described).await.expect(201);
        Self { corpus, keys, job, source, context, spare_key }
    }

    /// A document that `user` may not read.
    pub(crate) fn hidden_from(&self, user: Option<&str>) -> &str {
        let hidden = |document: &&String| !self.corpus.admits(user, document);
        self.corpus.documents.iter().find(hidden).expect("every persona is shut out of something")
    }

    /// Documents as an administrator lists them: id and version.
    pub(crate) async fn inventory(&self, admin: &Client) -> BTreeMap<String, u64> {
        let page = admin.get(&admin.path("documents?limit=500")).await.expect(200).json();
        let rows = page["data"].as_array().expect("a page").iter();
        rows.map(|row| (row["document"].as_str().expect("an id").to_owned(), row["version"].as_u64().unwrap_or(0)))
            .collect()
    }

    /// Documents of an answer, wherever it names them.
    pub(crate) fn named(answer: &Value) -> Vec<String> {
        ["results", "citations", "omitted"].iter().flat_map(|list| text::documents(&answer[*list])).collect()
    }
}
