//! Every route of `/openapi.json`, and how the tests call it.
//!
//! A route that is not in this table fails the walk, so that no new one is added without walls being tested.

use catena_domain::limits;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Reply, text};

/// The names in a path, of whatever tenant they are.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) tenant: String,
    pub(super) document: String,
    pub(super) group: String,
    pub(super) key: String,
    pub(super) job: String,
    pub(super) source: String,
    pub(super) context: String,
}

impl Names {
    /// Names that nothing bears, in a tenant that may exist.
    pub(super) fn absent(tenant: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            document: "no/such-page.md".to_owned(),
            group: "no-such-group".to_owned(),
            key: "aaaaaaaaaaaaaaaa".to_owned(),
            job: "no-such-job".to_owned(),
            source: "no-such-source".to_owned(),
            context: "ctx_nosuchcontext".to_owned(),
        }
    }
}

/// What a call does where it is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Reads,
    /// Changes something, and does no harm to others with the names of the walk.
    Changes,
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) operation: &'static str,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) query: &'static str,
    pub(super) body: Value,
    pub(super) effect: Effect,
}

impl Call {
    fn reads(operation: &'static str) -> Self {
        let (method, path) = operation.split_once(' ').expect("an operation is `METHOD path`");
        let method = method.parse().expect("a method");
        Self { operation, method, path, query: "", body: Value::Null, effect: Effect::Reads }
    }

    fn changes(operation: &'static str) -> Self {
        Self { effect: Effect::Changes, ..Self::reads(operation) }
    }

    fn with(self, body: Value) -> Self {
        Self { body, ..self }
    }

    fn asking(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    /// Whether its path has a name of this kind in it.
    pub(super) fn names(&self, kind: &str) -> bool {
        self.path.contains(&format!("{{{kind}}}"))
    }

    pub(super) fn is_in_a_tenant(&self) -> bool {
        self.names("tenant")
    }

    /// Makes the call with these names.
    pub(super) async fn send(&self, client: &Client, names: &Names) -> Reply {
        let path = [
            ("{tenant}", &names.tenant),
            ("{document}", &text::encoded(&names.document)),
            ("{group}", &names.group),
            ("{key}", &names.key),
            ("{job}", &names.job),
            ("{source}", &names.source),
            ("{context}", &names.context),
            ("{version}", &"1".to_owned()),
        ];
        let path = path.iter().fold(self.path.to_owned(), |path, (slot, name)| path.replace(slot, name));
        assert!(!path.contains('{'), "{} has a name that the tests do not know", self.operation);
        let request = client.request(self.method.clone(), &format!("{path}{}", self.query));
        client.send(if self.body.is_null() { request } else { request.json(&self.body) }).await
    }
}

/// What is asked of every tenant: a question that speaks to what each of them keeps closed.
pub(super) const QUESTION: &str = "minutes of the board, fraud cases, signing keys, trial kits, secrets and salaries";

/// Every call of the walk.
pub(super) fn calls() -> Vec<Call> {
    let cited = json!({"document": "board/minutes-2025-11.md", "version": 1, "span": [0, 40], "quote": "Minutes"});
    let mut calls = vec![
        Call::reads("GET /v1/tenants"),
        Call::changes("POST /v1/tenants").with(json!({"id": "made-by-the-walk"})),
        Call::reads("GET /v1/tenants/{tenant}"),
        Call::changes("PATCH /v1/tenants/{tenant}").with(json!({"state": "suspended"})),
        Call::changes("DELETE /v1/tenants/{tenant}"),
        Call::reads("GET /v1/tenants/{tenant}/usage"),
        Call::reads("GET /v1/tenants/{tenant}/keys"),
        Call::changes("POST /v1/tenants/{tenant}/keys").with(json!({"name": "walk", "scopes": ["read"]})),
        Call::changes("DELETE /v1/tenants/{tenant}/keys/{key}"),
        Call::changes("POST /v1/tenants/{tenant}/keys/{key}/rotate").with(json!({"overlap_s": 60})),
        Call::reads("GET /v1/tenants/{tenant}/groups"),
        Call::changes("PUT /v1/tenants/{tenant}/groups/{group}").with(json!({"members": ["nobody-of-note"]})),
        Call::reads("GET /v1/tenants/{tenant}/groups/{group}"),
        Call::changes("DELETE /v1/tenants/{tenant}/groups/{group}"),
        Call::reads("GET /v1/tenants/{tenant}/labels"),
        Call::changes("PUT /v1/tenants/{tenant}/labels").with(json!({"labels": ["walked"]})),
        Call::reads("GET /v1/tenants/{tenant}/quarantine"),
        Call::reads("GET /v1/tenants/{tenant}/firewall"),
        Call::changes("PUT /v1/tenants/{tenant}/firewall").with(json!({"secret": "flag"})),
        Call::reads("GET /v1/tenants/{tenant}/firewall/detectors"),
        Call::reads("GET /v1/tenants/{tenant}/firewall/findings"),
        Call::reads("POST /v1/tenants/{tenant}/firewall/try").with(json!({"personal": "redact"})),
        Call::reads("GET /v1/tenants/{tenant}/firewall/quarantine"),
        Call::reads("GET /v1/tenants/{tenant}/firewall/quarantine/{document}"),
        Call::changes("POST /v1/tenants/{tenant}/firewall/quarantine/{document}/release"),
        Call::changes("DELETE /v1/tenants/{tenant}/firewall/quarantine/{document}"),
        Call::reads("GET /v1/tenants/{tenant}/documents"),
        Call::reads("GET /v1/tenants/{tenant}/documents").asking("?limit=500"),
        Call::reads("GET /v1/tenants/{tenant}/documents").asking("?as_user=solveig&as_groups=board,it"),
        Call::changes("PUT /v1/tenants/{tenant}/documents/{document}").with(json!({"text": "# Overwritten"})),
        Call::reads("GET /v1/tenants/{tenant}/documents/{document}"),
        Call::reads("GET /v1/tenants/{tenant}/documents/{document}").asking("?as_user=aurelio&as_groups=board"),
        Call::changes("DELETE /v1/tenants/{tenant}/documents/{document}"),
        Call::changes("PUT /v1/tenants/{tenant}/documents/{document}/acl").with(json!({"allow": ["everyone"]})),
        Call::reads("GET /v1/tenants/{tenant}/documents").asking("?state=deleted"),
        Call::reads("GET /v1/tenants/{tenant}/documents/{document}/versions"),
        Call::reads("GET /v1/tenants/{tenant}/documents/{document}/versions/{version}"),
        Call::changes("POST /v1/tenants/{tenant}/documents/{document}/versions/{version}/restore")
            .with(json!({"acl": {"allow": ["everyone"]}})),
        Call::changes("POST /v1/tenants/{tenant}/documents/{document}/purge"),
        Call::reads("GET /v1/tenants/{tenant}/contexts/{context}"),
        Call::reads("POST /v1/tenants/{tenant}/citations:verify").with(json!({"citations": [cited]})),
        Call::changes("POST /v1/tenants/{tenant}/reindex"),
        Call::reads("GET /v1/tenants/{tenant}/jobs"),
        Call::reads("GET /v1/tenants/{tenant}/jobs/{job}"),
        Call::reads("GET /v1/tenants/{tenant}/jobs/{job}/events"),
        Call::reads("GET /v1/tenants/{tenant}/jobs/{job}/failures"),
        Call::changes("POST /v1/tenants/{tenant}/jobs/{job}/cancel"),
        Call::changes("POST /v1/tenants/{tenant}/jobs/{job}/pause"),
        Call::changes("POST /v1/tenants/{tenant}/jobs/{job}/resume"),
        Call::changes("POST /v1/tenants/{tenant}/jobs/{job}/approve").with(json!({"digest": "0".repeat(64)})),
        Call::changes("POST /v1/tenants/{tenant}/jobs/{job}/refuse"),
        Call::changes("POST /v1/tenants/{tenant}/jobs/{job}/retry"),
        Call::changes("POST /v1/tenants/{tenant}/documents:batch")
            .with(json!({"id": "no/such-page.md", "delete": true})),
        Call::changes("POST /v1/tenants/{tenant}/documents:purge").with(json!({"ids": ["no/such-page.md"]})),
        Call::reads("GET /v1/tenants/{tenant}/generations"),
        Call::reads("GET /v1/tenants/{tenant}/audit/leaves").asking("?limit=500"),
        Call::reads("GET /v1/tenants/{tenant}/audit/head"),
    ];
    calls.extend(sources());
    calls.extend(questions());
    calls
}

/// What is asked of sources.
fn sources() -> Vec<Call> {
    vec![
        Call::reads("GET /v1/tenants/{tenant}/sources"),
        Call::changes("POST /v1/tenants/{tenant}/sources").with(json!({"name": "walked", "spec": {"kind": "push"}})),
        Call::reads("GET /v1/tenants/{tenant}/sources/{source}"),
        Call::reads("GET /v1/tenants/{tenant}/sources/{source}/items").asking("?state=failed"),
        Call::reads("POST /v1/tenants/{tenant}/sources/{source}/plan"),
        Call::changes("PATCH /v1/tenants/{tenant}/sources/{source}").with(json!({"state": "paused"})),
        Call::changes("POST /v1/tenants/{tenant}/sources/{source}/sync"),
        Call::changes("DELETE /v1/tenants/{tenant}/sources/{source}"),
    ]
}

/// Searches and contexts, in each mode, for oneself and for another.
fn questions() -> Vec<Call> {
    let mut calls = Vec::new();
    for mode in ["hybrid", "lexical", "dense"] {
        let search = json!({"query": QUESTION, "mode": mode, "top_k": limits::TOP_K_MAX});
        calls.push(Call::reads("POST /v1/tenants/{tenant}/search").with(search));
        let context =
            json!({"query": QUESTION, "mode": mode, "budget": {"tokens": 20_000}, "limits": {"per_document": 50}});
        calls.push(Call::reads("POST /v1/tenants/{tenant}/context").with(context));
    }
    let explain = json!({"document": "board/minutes-2025-11.md", "query": QUESTION});
    calls.push(Call::reads("POST /v1/tenants/{tenant}/explain").with(explain));
    let explained = json!({"query": QUESTION, "explain": true, "filter": {"where": {"not": {"source": ["mail"]}}}});
    calls.push(Call::reads("POST /v1/tenants/{tenant}/search").with(explained));
    let whom = json!({"user": "aurelio", "groups": ["board", "fraud", "security", "pharmacy"]});
    calls.push(Call::reads("POST /v1/tenants/{tenant}/search").with(json!({"query": QUESTION, "as": whom})));
    let context = json!({"query": QUESTION, "as": whom, "budget": {"tokens": 4_000}});
    calls.push(Call::reads("POST /v1/tenants/{tenant}/context").with(context));
    // Bad requests, whose refusals must be as silent.
    calls.push(Call::reads("POST /v1/tenants/{tenant}/search").with(json!({"query": QUESTION, "mode": "veiled"})));
    calls.push(
        Call::reads("POST /v1/tenants/{tenant}/context").with(json!({"query": QUESTION, "budget": {"tokens": 3}})),
    );
    calls.push(Call::reads("POST /v1/tenants/{tenant}/search").with(json!({"query": QUESTION, "min_seq": 9_999_999})));
    calls
}

/// The operations that the service says it has.
pub(super) async fn described(client: &Client) -> Vec<String> {
    let description = client.get("/openapi.json").await.expect(200).json();
    let paths = description["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, methods) in paths {
        for method in ["get", "put", "post", "delete", "patch", "head", "options"] {
            if methods.get(method).is_some() {
                operations.push(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    operations
}
