//! How a document stands, for administrators who ask why somebody does not find it.
//!
//! Does not: show a title or a text, or anything at all to others.

use catena_access::{Liveness, Principal, Scope};
use catena_domain::{DocNo, DocumentId, RecipeId, Seq, VersionNo};
use catena_runtime::clock;

use crate::Catalog;
use crate::error::Result;
use crate::model::DocumentState;
use crate::store::sql;

impl Catalog {
    /// How a document stands, deleted ones included, and what its access list says to `principal`. To all but
    /// administrators of the tenant who act as themselves, there is none.
    pub async fn document_state(
        &self,
        scope: &Scope,
        id: &DocumentId,
        recipe: &RecipeId,
        principal: &Principal,
    ) -> Result<Option<DocumentState>> {
        if !scope.principal().is_administrator() {
            return Ok(None);
        }
        let mut tx = self.store.read(scope).await?;
        let row = sql("SELECT d.doc, d.version, d.live, d.changed_seq, a.entries, k.chunks
             FROM documents d
             JOIN acls a ON a.tenant = d.tenant AND a.acl = d.acl
             LEFT JOIN chunkings k
                 ON k.tenant = d.tenant AND k.doc = d.doc AND k.version = d.version AND k.recipe = $3
             WHERE d.tenant = $1 AND d.document = $2")
        .bind(scope.tenant().as_str())
        .bind(id.as_str())
        .bind(recipe.as_str())
        .fetch_optional(&mut tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(DocumentState {
            doc: DocNo(row.u32("doc")?),
            version: VersionNo(row.u32("version")?),
            live: if row.flag("live")? { Liveness::Live } else { Liveness::Deleted },
            changed_seq: Seq(row.u64("changed_seq")?),
            chunks: row.long_or_null("chunks")?.and_then(|chunks| u32::try_from(chunks).ok()),
            decision: row.acl("entries")?.decide(principal, clock::now()),
        }))
    }
}
