//! What people and programs get wrong: every refusal says what was wrong and what to do, and harms nothing.

mod documents;
mod doors;
mod questions;
mod starts;

use serde_json::json;

use crate::harness::{Client, Home, Reply, Server};

/// A service with one tenant and one document, which must be found after every mistake.
struct Ground {
    _home: Home,
    server: Server,
    admin: Client,
}

impl Ground {
    async fn new() -> Self {
        let home = Home::new();
        let server = home.start().await;
        let admin = server.tenant("acme").await;
        admin.write("storks.md", "# Storks\n\nStorks come back to the same nest every spring.").await;
        Self { _home: home, server, admin }
    }

    /// A good request still works, and nothing was lost or added.
    async fn assert_unharmed(&self, after: &str) {
        assert_eq!(self.admin.found("when do storks come back").await, ["storks.md"], "after {after}");
        let page = self.admin.get(&self.admin.path("documents")).await.expect(200).json();
        assert_eq!(page["data"].as_array().map(Vec::len), Some(1), "after {after}: {page}");
        let listed = self.server.operator().get("/v1/tenants/acme").await.expect(200).json();
        assert_eq!(listed["documents"], json!(1), "after {after}");
    }
}

/// Every word of `words` stands in the refusal.
#[track_caller]
fn assert_says(reply: &Reply, words: &[&str]) {
    let detail = reply.detail().to_lowercase();
    for word in words {
        assert!(detail.contains(&word.to_lowercase()), "{word:?} is not in: {detail}");
    }
}
