//! The third stage: every passage is decided on again, from the catalog's rows as they are now.
//!
//! Promises: text comes into the query here and nowhere else, and only with the decision that let it in. What the index
//! took for visible and the catalog refuses is dropped, counted and recorded. Does not: trust the pre-filter.

use catena_access::Scope;
use catena_catalog::{Catalog, CatalogError, PassageKey, StoredPassage};

use crate::fuse::{Fused, Ranked};
use crate::view::View;

/// A passage that the principal may see at this moment.
#[derive(Debug, Clone)]
pub struct Passage {
    /// Its place.
    pub rank: Ranked,
    /// Its text and where it comes from.
    pub stored: StoredPassage,
    /// The reranker's number, if it judged the passage.
    pub judged: Option<f32>,
}

/// Passages that passed the gate, in their order.
#[derive(Debug, Clone)]
pub struct Admitted {
    pub(crate) list: Vec<Passage>,
    pub(crate) dropped: usize,
    pub(crate) degraded: Vec<String>,
    /// The reranker that put them in their order, by name and fingerprint; none if the order is that of the fusion.
    pub(crate) reranker: Option<String>,
}

impl Admitted {
    pub(crate) async fn through(
        catalog: &Catalog,
        scope: &Scope,
        view: &View,
        fused: Fused,
    ) -> Result<Self, CatalogError> {
        let asked = fused.list.len();
        let keys: Vec<PassageKey> = fused.list.iter().map(key).collect();
        let stored = catalog.passages(scope, &view.recipe, &keys).await?;
        let list: Vec<Passage> = fused
            .list
            .into_iter()
            .zip(stored)
            .filter_map(|(rank, stored)| Some(Passage { rank, stored: stored?, judged: None }))
            .collect();
        let dropped = asked - list.len();
        count(scope, dropped);
        Ok(Self { list, dropped, degraded: fused.degraded, reranker: None })
    }

    /// Decides once more, after a wait in which access may have been taken away. The order stays.
    pub(crate) async fn again(mut self, catalog: &Catalog, scope: &Scope, view: &View) -> Result<Self, CatalogError> {
        let asked = self.list.len();
        let keys: Vec<PassageKey> = self.list.iter().map(|passage| key(&passage.rank)).collect();
        let stored = catalog.passages(scope, &view.recipe, &keys).await?;
        let admitted = self.list.into_iter().zip(stored);
        self.list = admitted.filter_map(|(passage, stored)| Some(Passage { stored: stored?, ..passage })).collect();
        let dropped = asked - self.list.len();
        count(scope, dropped);
        self.dropped += dropped;
        Ok(self)
    }
}

fn key(ranked: &Ranked) -> PassageKey {
    PassageKey { doc: ranked.key.doc, version: ranked.key.version, chunk: ranked.key.chunk }
}

fn count(scope: &Scope, dropped: usize) {
    if dropped > 0 {
        // A write between the view and the gate does this too; a count that keeps rising does not.
        metrics::counter!("catena_gate_dropped_total").increment(dropped as u64);
        tracing::info!(tenant = %scope.tenant(), dropped, "the gate dropped passages that the index took for visible");
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use catena_access::Who;
    use catena_access::acl::{Grant, Rule};
    use catena_domain::{AclId, DocNo, DocumentId, Span, Timestamp, VersionNo};
    use catena_index::RowKey;

    use super::*;

    /// A passage that the gate might have let in, for the stages behind it.
    pub(crate) fn passage(doc: u32, chunk: u32, span: (usize, usize), lead: &str, text: &str) -> Passage {
        let key = RowKey { doc: DocNo(doc), version: VersionNo(1), chunk };
        let rank = Ranked { key, score: 0.5, lexical: None, dense: None, cosine: Some(0.6) };
        let stored = StoredPassage {
            document: DocumentId::new(&format!("doc-{doc}.md")).unwrap(),
            doc: DocNo(doc),
            version: VersionNo(1),
            title: "Keys".into(),
            uri: None,
            attributes: catena_access::Attributes::new(),
            source: None,
            modified_at: None,
            indexed_at: Timestamp(0),
            chunk,
            chunks_total: 3,
            span: Span { start: span.0 as u32, end: span.1 as u32 },
            headings: vec!["Rotation".into()],
            lines: (chunk * 2 + 1, chunk * 2 + 1),
            places: catena_catalog::Places::default(),
            lead: lead.into(),
            text: text.into(),
            text_sha256: [0; 32],
            flags: Vec::new(),
            rule: Rule { by: Grant::Entry(Who::Everyone.into()), cleared: None },
            acl: AclId(0),
        };
        Passage { rank, stored, judged: None }
    }
}
