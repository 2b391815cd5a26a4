//! What a tenant holds, used and may, for its administrators and the operator.

use std::collections::BTreeMap;

use axum::extract::State;
use catena_access::Right;
use catena_catalog::{Held, Quotas, Usage, UsageKind, Used};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::Caller;
use crate::http::problem::Problem;
use crate::http::wire::{Body, Place};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeldBody {
    /// Documents that are not deleted.
    documents: u64,
    /// Bytes of their current texts.
    text_bytes: u64,
    /// Chunks of their current versions.
    chunks: u64,
}

impl From<Held> for HeldBody {
    fn from(held: Held) -> Self {
        Self { documents: held.documents, text_bytes: held.text_bytes, chunks: held.chunks }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsedBody {
    /// Writes of documents and of their access lists.
    writes: u64,
    /// Searches and contexts that were answered.
    queries: u64,
    /// Tokens embedded for documents.
    embedding_tokens: u64,
    /// Bytes of new versions' texts.
    ingested_bytes: u64,
}

impl From<Used> for UsedBody {
    fn from(used: Used) -> Self {
        Self {
            writes: used.of(UsageKind::Writes),
            queries: used.of(UsageKind::Queries),
            embedding_tokens: used.of(UsageKind::EmbeddingTokens),
            ingested_bytes: used.of(UsageKind::IngestedBytes),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UsageBody {
    tenant: String,
    /// `active` or `suspended`.
    state: &'static str,
    held: HeldBody,
    /// Since midnight UTC.
    today: UsedBody,
    /// Today and the 29 days before.
    last_30_days: UsedBody,
    /// Those that are set.
    quotas: BTreeMap<&'static str, u64>,
}

/// Quotas by their names on the wire.
pub(crate) fn quotas_body(quotas: &Quotas) -> BTreeMap<&'static str, u64> {
    quotas.iter().map(|(quota, limit)| (quota.as_str(), limit)).collect()
}

/// What the tenant holds, what it used today and in the last 30 days, and its quotas.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/usage", tag = "tenants", operation_id = "get_usage",
    responses((status = 200, body = UsageBody), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<UsageBody>, Problem> {
    caller.trail.doing("usage.read");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let Usage { state, held, today, month, quotas } = app.catalog().usage(&scope).await?;
    Ok(Body(UsageBody {
        tenant: scope.tenant().to_string(),
        state: state.as_str(),
        held: held.into(),
        today: today.into(),
        last_30_days: month.into(),
        quotas: quotas_body(&quotas),
    }))
}
