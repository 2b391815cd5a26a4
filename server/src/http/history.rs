//! Earlier versions and deleted documents: read, restored, purged.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use catena_access::Right;
use catena_catalog::{Changed, PutOutcome};
use catena_domain::{DocumentId, VersionNo};
use catena_ingest::{Freshness, Purged, Put, Restore, Thoroughness};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::acl::AclBody;
use crate::http::admission::{AdminWriting, Writing};
use crate::http::documents::{PutBody, Wait, put_answer};
use crate::http::door::Caller;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::submission::expected_version;
use crate::http::wire::{self, Body, Params, Place};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionBody {
    document: String,
    version: u32,
    title: String,
    content_type: String,
    created_at: String,
    bytes_sha256: String,
    /// The normalised text, which spans of this version refer to.
    text: String,
    text_sha256: String,
}

/// Read one version of a document.
///
/// For the tenant's administrators: an earlier text may have been meant for fewer readers than the current one.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/documents/{document}/versions/{version}", tag = "documents",
    operation_id = "get_version", responses((status = 200, body = VersionBody), (status = 404, body = Problem)))]
pub(crate) async fn version(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, document, version)): Place<(String, String, String)>,
) -> Result<Body<VersionBody>, Problem> {
    caller.trail.doing("document.version");
    let scope = caller.enter(&app, &tenant, Right::Admin).await?;
    let (id, version) = named(&document, &version)?;
    let version = app.catalog().version(&scope, &id, version).await?.ok_or_else(Problem::not_found)?;
    let body = VersionBody {
        document: id.to_string(),
        version: version.version.0,
        title: version.title,
        content_type: version.content_type,
        created_at: wire::time(version.created_at),
        bytes_sha256: wire::hex(&version.bytes_sha256),
        text: version.text,
        text_sha256: wire::hex(&version.text_sha256),
    };
    caller.trail.left(catena_audit::Object {
        version: Some(body.version),
        sha256: Some(body.text_sha256.clone()),
        rule: Some(version.rule.to_string()),
        ..catena_audit::Object::new("document", &body.document)
    });
    Ok(Body(body))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreBody {
    /// Who may read it then. Without one, whoever may now; a deleted document comes back only with one.
    #[serde(default)]
    acl: Option<AclBody>,
}

/// Restore a version.
///
/// Its text, title and kind of text become a new version. What is said of the document now (address, attributes, source,
/// access list) stays. Nothing is embedded that has a vector under the recipe. A deleted document comes back by it.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/documents/{document}/versions/{version}/restore", tag = "documents",
    operation_id = "restore_version", params(Wait), request_body = RestoreBody,
    responses((status = 200, body = PutBody), (status = 201, body = PutBody), (status = 404, body = Problem),
        (status = 412, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn restore(
    State(app): State<App>,
    Writing(caller): Writing,
    Place((tenant, document, version)): Place<(String, String, String)>,
    Params(wait): Params<Wait>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Problem> {
    caller.trail.doing("document.restore");
    let scope = caller.enter(&app, &tenant, Right::Write).await?;
    let (id, version) = named(&document, &version)?;
    let (freshness, body) = (wait.freshness()?, restore_body(&body?)?);
    let acl = body.acl.map(|acl| acl.parse()).transpose()?;
    let restore = Restore { id: id.clone(), version, acl, expect: expected_version(&headers)? };
    let deed = caller.deed("document.restore", StatusCode::OK, {
        let id = id.clone();
        move |outcome: &PutOutcome| {
            put_answer(&id, &Put { searchable: freshness == Freshness::Searchable, ..Put::of(outcome) })
        }
    });
    let written = app.ingest().restore(&scope, restore, freshness, deed).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(put_answer(&id, &written.value))
}

/// Nothing, or the JSON that says who may read it.
fn restore_body(bytes: &Bytes) -> Result<RestoreBody, Problem> {
    if bytes.is_empty() {
        return Ok(RestoreBody::default());
    }
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            Problem::invalid(format!("The body is not as it should be: {error}."))
        } else {
            Problem::malformed(format!("The body is not JSON: {error}."))
        }
    })
}

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitDone {
    /// `done`: answer when nothing is left. Otherwise as soon as the purge is durably begun.
    #[serde(default)]
    wait: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PurgeBody {
    document: String,
    /// The last version that is gone by it.
    version: u32,
    /// The tenant's sequence number after the write that began the purge.
    seq: u64,
    /// Whether nothing is left of it in the catalog and in the index.
    done: bool,
}

fn purge_answer(id: &DocumentId, purged: &Purged) -> Answer {
    let Purged { changed, is_done } = *purged;
    let body = PurgeBody { document: id.to_string(), version: changed.version.0, seq: changed.seq.0, done: is_done };
    Answer::new(StatusCode::OK, &body).tagged(changed.version.0)
}

/// Purge a deleted document: all its versions, their texts, chunks and vectors go for good.
///
/// From the first moment nothing of it can be read or restored. Its id can be written anew; versions go on counting.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/documents/{document}/purge", tag = "documents",
    operation_id = "purge_document", params(WaitDone),
    responses((status = 200, body = PurgeBody), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 412, body = Problem)))]
pub(crate) async fn purge(
    State(app): State<App>,
    AdminWriting(caller): AdminWriting,
    Place((tenant, document)): Place<(String, String)>,
    Params(wait): Params<WaitDone>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    caller.trail.doing("document.purge");
    let scope = caller.administer(&app, &tenant).await?;
    let id = DocumentId::new(&document).map_err(|_| Problem::not_found())?;
    let thoroughness = match wait.wait.as_deref() {
        None => Thoroughness::Begun,
        Some("done") => Thoroughness::Done,
        Some(_) => return Err(Problem::invalid("`wait` may only be `done`.")),
    };
    let deed = caller.deed("document.purge", StatusCode::OK, {
        let id = id.clone();
        move |changed: &Changed| {
            purge_answer(&id, &Purged { changed: *changed, is_done: thoroughness == Thoroughness::Done })
        }
    });
    let expect = expected_version(&headers)?;
    let written = app.ingest().purge(&scope, &id, expect, thoroughness, deed).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(purge_answer(&id, &written.value))
}

fn named(document: &str, version: &str) -> Result<(DocumentId, VersionNo), Problem> {
    let id = DocumentId::new(document).map_err(|_| Problem::not_found())?;
    Ok((id, VersionNo(version.parse().map_err(|_| Problem::not_found())?)))
}
