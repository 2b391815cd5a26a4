//! Following a tenant's record: it only ever grows, hangs together, and its sequence numbers have no hole.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Client, text};

const PAGE: usize = 500;
/// What takes a sequence number.
const CHANGES: [&str; 3] = ["document.put", "document.delete", "document.acl"];

/// How far a tenant's record was followed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    leaves: u64,
    /// The hash of the last leaf that was seen.
    hash: Option<String>,
    /// The last sequence number that was seen.
    pub(crate) seq: u64,
}

/// What the record says since it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Which document each new sequence number was for.
    pub(crate) changes: BTreeMap<u64, String>,
    /// The hash of each new leaf.
    pub(crate) hashes: BTreeMap<u64, String>,
}

impl Record {
    /// Reads on to the end.
    pub(crate) async fn follow(&mut self, client: &Client) -> News {
        let mut news = News::default();
        loop {
            let path = client.path(&format!("audit/leaves?from={}&limit={PAGE}", self.leaves));
            let page = client.get(&path).await.expect(200);
            for line in page.bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
                self.take(line, &mut news);
            }
            if page.header("catena-next").is_empty() {
                return news;
            }
        }
    }

    fn take(&mut self, bytes: &[u8], news: &mut News) {
        let leaf: Value = serde_json::from_slice(bytes).expect("a leaf is JSON");
        assert_eq!(leaf["index"], self.leaves, "a leaf is out of its place: {leaf}");
        let previous = self.hash.take().unwrap_or_else(|| "0".repeat(64));
        assert_eq!(leaf["previous"], previous, "what was recorded before leaf {} is not what was read", self.leaves);
        let hash = text::leaf_hash(bytes);
        let is_change = leaf["action"].as_str().is_some_and(|action| CHANGES.contains(&action));
        if let Some(seq) = leaf["seq"].as_u64().filter(|_| is_change) {
            assert_eq!(leaf["outcome"], "done", "{leaf}");
            assert_eq!(seq, self.seq + 1, "there is a hole in the sequence numbers: {leaf}");
            self.seq = seq;
            let document = leaf["objects"][0]["id"].as_str().expect("a change names its document");
            news.changes.insert(seq, document.to_owned());
        }
        news.hashes.insert(self.leaves, hash.clone());
        self.leaves += 1;
        self.hash = Some(hash);
    }
}
