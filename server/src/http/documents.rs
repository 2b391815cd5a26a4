//! Documents: write, read, list, delete, and their access lists.
//!
//! What a write may look like stands in `submission`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use catena_access::{Right, Scope};
use catena_catalog::{Change, Changed, DeletedRow, Document, DocumentRow, PutOutcome, VersionRow};
use catena_domain::DocumentId;
use catena_ingest::{Freshness, Put};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::acl::AclBody;
use crate::http::admission::Writing;
use crate::http::door::{As, Caller};
use crate::http::filter::AttributeBody;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::submission::{Envelope, body_bytes, expected_version, submission};
use crate::http::wire::{self, Body, Paging, Params, Place};

#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wait {
    /// `searchable`: answer when a search finds the write. Otherwise as soon as it is durable.
    #[serde(default)]
    wait: Option<String>,
}

impl Wait {
    pub(crate) fn freshness(&self) -> Result<Freshness, Problem> {
        match self.wait.as_deref() {
            None => Ok(Freshness::Durable),
            Some("searchable") => Ok(Freshness::Searchable),
            Some(_) => Err(Problem::invalid("`wait` may only be `searchable`.")),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChunkCounts {
    total: u64,
    embedded: u64,
    reused: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PutBody {
    document: String,
    version: u32,
    /// Whether anything changed.
    changed: bool,
    /// `created`, `version`, `metadata` or `none`; `quarantined` when the tenant's policy keeps it back until an
    /// administrator decides, and what was there before stays as it is. `version` is then 0 where nothing was.
    change: &'static str,
    /// The tenant's sequence number after this write; give it as `min_seq` to a read that must see it.
    seq: u64,
    /// Whether a search finds this write already.
    searchable: bool,
    chunks: ChunkCounts,
}

/// The answer to a write that makes a version.
pub(crate) fn put_answer(id: &DocumentId, put: &Put) -> Answer {
    let status = match put.change {
        Change::Created => StatusCode::CREATED,
        Change::Quarantined => return Answer::new(StatusCode::ACCEPTED, &put_body(id, put)),
        Change::NewVersion | Change::Metadata | Change::None => StatusCode::OK,
    };
    Answer::new(status, &put_body(id, put)).tagged(put.version.0)
}

fn put_body(id: &DocumentId, put: &Put) -> PutBody {
    PutBody {
        document: id.to_string(),
        version: put.version.0,
        changed: !matches!(put.change, Change::None | Change::Quarantined),
        change: match put.change {
            Change::Created => "created",
            Change::NewVersion => "version",
            Change::Metadata => "metadata",
            Change::None => "none",
            Change::Quarantined => "quarantined",
        },
        seq: put.at.0,
        searchable: put.searchable,
        chunks: ChunkCounts {
            total: put.cut.chunks,
            embedded: put.embedded.chunks,
            reused: put.cut.chunks - put.embedded.chunks,
        },
    }
}

/// Write a document.
///
/// The body is the JSON envelope, or the document's bytes with its `content-type`: Markdown, plain text, code,
/// reStructuredText, AsciiDoc, HTML, CSV, JSON lines, a mail, PDF, DOCX, PPTX or XLSX; a JSON document goes into an
/// envelope. Without a `content-type`, marks in the bytes and the id's ending say what they are. Beside bytes, title, uri, access list,
/// attributes, source and time come in the headers `catena-title`, `catena-uri`, `catena-allow`, `catena-deny` (entries
/// with commas between), `catena-attributes` (`name=value`, commas between), `catena-source`, `catena-modified-at`,
/// percent-encoded where they are not plain ASCII.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/documents/{document}", tag = "documents",
    operation_id = "put_document", params(Wait), request_body = Envelope,
    responses((status = 200, body = PutBody), (status = 201, body = PutBody), (status = 202, body = PutBody),
        (status = 412, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn put(
    State(app): State<App>,
    Writing(caller): Writing,
    Place((tenant, document)): Place<(String, String)>,
    Params(wait): Params<Wait>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Answer, Problem> {
    caller.trail.doing("document.put");
    let scope = caller.enter(&app, &tenant, Right::Write).await?;
    let id = DocumentId::new(&document)?;
    let freshness = wait.freshness()?;
    let submission = submission(id.clone(), &headers, body_bytes(body)?)?;
    let deed = caller.deed("document.put", StatusCode::OK, {
        let id = id.clone();
        move |outcome: &PutOutcome| {
            put_answer(&id, &Put { searchable: freshness == Freshness::Searchable, ..Put::of(outcome) })
        }
    });
    let written = app.ingest().put(&scope, submission, freshness, deed).await?;
    caller.trail.recorded(written.leaf);
    Ok(put_answer(&id, &written.value))
}

#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct DocumentBody {
    /// The document's id; the same as `document`, under the name that agents' clients expect.
    pub(crate) id: String,
    pub(crate) document: String,
    pub(crate) title: String,
    /// Where a person finds the original; the same as `uri`, never absent.
    pub(crate) url: String,
    pub(crate) uri: Option<String>,
    pub(crate) content_type: String,
    pub(crate) version: u32,
    pub(crate) versions: u32,
    pub(crate) attributes: BTreeMap<String, AttributeBody>,
    /// The same as `attributes`, under the name that agents' clients expect.
    pub(crate) metadata: BTreeMap<String, AttributeBody>,
    pub(crate) source: Option<String>,
    /// For keys that write documents or administer the tenant, as themselves; absent for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acl: Option<AclBody>,
    pub(crate) modified_at: Option<String>,
    pub(crate) indexed_at: String,
    /// The normalised text, which spans refer to.
    pub(crate) text: String,
    /// SHA-256 of that text.
    pub(crate) text_sha256: String,
    /// What was found in the original and is no part of the text, each with how often: `hidden_text`, `comments`,
    /// `scripts`, `invisible_characters`, `control_characters`. What was not found is not named.
    pub(crate) noticed: BTreeMap<String, u32>,
    /// What the tenant's firewall found in it: `secret`, `personal`, `instruction`. Absent when it found nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flags: Option<Vec<String>>,
}

/// Flags, if there are any.
pub(crate) fn some_flags(flags: Vec<String>) -> Option<Vec<String>> {
    Some(flags).filter(|flags| !flags.is_empty())
}

/// The address of a document: its own, or a stable one of ours.
pub(crate) fn url(uri: Option<&str>, tenant: &str, document: &str) -> String {
    uri.map_or_else(|| format!("catena://{tenant}/{document}"), str::to_owned)
}

impl DocumentBody {
    pub(crate) fn of(document: Document, scope: &Scope) -> Self {
        let tenant = scope.tenant().as_str();
        let rights = scope.rights();
        let keeps_lists = (rights.has(Right::Write) || rights.has(Right::Admin)) && !scope.is_on_behalf();
        let attributes: BTreeMap<String, AttributeBody> =
            document.attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
        Self {
            id: document.id.to_string(),
            url: url(document.uri.as_deref(), tenant, document.id.as_str()),
            document: document.id.to_string(),
            title: document.title,
            uri: document.uri,
            content_type: document.content_type,
            version: document.version.0,
            versions: document.versions,
            metadata: attributes.clone(),
            attributes,
            source: document.source,
            acl: keeps_lists.then(|| AclBody::of(&document.acl)),
            modified_at: document.modified_at.map(wire::time),
            indexed_at: wire::time(document.indexed_at),
            text: document.text,
            flags: some_flags(document.flags),
            text_sha256: wire::hex(&document.text_sha256),
            noticed: document.noticed,
        }
    }
}

/// Read a document.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/documents/{document}", tag = "documents",
    operation_id = "get_document", params(AsParams),
    responses((status = 200, body = DocumentBody), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, document)): Place<(String, String)>,
    Params(on_behalf): Params<AsParams>,
) -> Result<Response, Problem> {
    caller.trail.doing("document.read");
    let scope = caller.enter_as(&app, &tenant, Right::Read, on_behalf.parse()?).await?;
    let document = read(&app, &caller, &scope, &document).await?;
    let tag = HeaderValue::from_str(&format!("\"v{}\"", document.version)).map_err(|_| Problem::internal())?;
    let mut response = Body(document).into_response();
    response.headers_mut().insert(header::ETAG, tag);
    Ok(response)
}

/// Reads a document for HTTP and MCP alike, and notes what leaves.
pub(crate) async fn read(app: &App, caller: &Caller, scope: &Scope, document: &str) -> Result<DocumentBody, Problem> {
    let id = DocumentId::new(document).map_err(|_| Problem::not_found())?;
    let document = app.catalog().document(scope, &id).await?.ok_or_else(Problem::not_found)?;
    let rule = document.rule.to_string();
    let body = DocumentBody::of(document, scope);
    caller.trail.left(catena_audit::Object {
        version: Some(body.version),
        sha256: Some(body.text_sha256.clone()),
        rule: Some(rule),
        ..catena_audit::Object::new("document", &body.id)
    });
    Ok(body)
}

/// Whom a read speaks for, where there is no body to say it in. Needs the scope `impersonate`.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AsParams {
    /// The user.
    #[serde(default)]
    as_user: Option<String>,
    /// Groups that the caller vouches for, with commas between.
    #[serde(default)]
    as_groups: Option<String>,
}

impl AsParams {
    pub(crate) fn parse(self) -> Result<Option<catena_access::OnBehalf>, Problem> {
        if self.as_user.is_none() && self.as_groups.is_none() {
            return Ok(None);
        }
        let groups = self.as_groups.unwrap_or_default();
        let groups = groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
        Ok(Some(As { user: self.as_user, groups }.parse()?))
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentItem {
    document: String,
    title: String,
    uri: Option<String>,
    version: u32,
    source: Option<String>,
    modified_at: Option<String>,
    indexed_at: String,
    /// When it was deleted; in the list of deleted documents alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
}

impl From<DeletedRow> for DocumentItem {
    fn from(deleted: DeletedRow) -> Self {
        Self { deleted_at: Some(wire::time(deleted.deleted_at)), ..deleted.row.into() }
    }
}

impl From<DocumentRow> for DocumentItem {
    fn from(row: DocumentRow) -> Self {
        Self {
            document: row.id.to_string(),
            title: row.title,
            uri: row.uri,
            version: row.version.0,
            source: row.source,
            modified_at: row.modified_at.map(wire::time),
            indexed_at: wire::time(row.indexed_at),
            deleted_at: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DocumentPage {
    data: Vec<DocumentItem>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List the documents that the principal may see; with `state=deleted`, for administrators, those that are deleted.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/documents", tag = "documents", operation_id = "list_documents",
    params(Paging, AsParams, StateParam), responses((status = 200, body = DocumentPage), (status = 404, body = Problem)))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(query): Params<ListParams>,
) -> Result<Body<DocumentPage>, Problem> {
    caller.trail.doing("document.list");
    let ListParams { after, limit, as_user, as_groups, state } = query;
    let on_behalf = AsParams { as_user, as_groups }.parse()?;
    let paging = Paging { after, limit };
    match state.as_deref() {
        None | Some("live") => {}
        Some("deleted") if on_behalf.is_none() => return deleted(&app, &caller, &tenant, &paging).await,
        Some("deleted") => return Err(Problem::invalid("Deleted documents are listed for administrators alone.")),
        Some(_) => return Err(Problem::invalid("`state` may be `live` or `deleted`.")),
    }
    let scope = caller.enter_as(&app, &tenant, Right::Read, on_behalf).await?;
    let after = paging.after.as_deref().map(DocumentId::new).transpose()?;
    let page = app.catalog().documents(&scope, after.as_ref(), paging.limit()?).await?;
    for row in &page.items {
        caller.trail.left(catena_audit::Object::new("title", row.id.as_str()));
    }
    Ok(Body(DocumentPage { data: page.items.into_iter().map(DocumentItem::from).collect(), next: page.next }))
}

async fn deleted(app: &App, caller: &Caller, tenant: &str, paging: &Paging) -> Result<Body<DocumentPage>, Problem> {
    let scope = caller.enter(app, tenant, Right::Admin).await?;
    let after = paging.after.as_deref().map(DocumentId::new).transpose()?;
    let page = app.catalog().deleted_documents(&scope, after.as_ref(), paging.limit()?).await?;
    for deleted in &page.items {
        caller.trail.left(catena_audit::Object::new("title", deleted.row.id.as_str()));
    }
    Ok(Body(DocumentPage { data: page.items.into_iter().map(DocumentItem::from).collect(), next: page.next }))
}

/// Which documents a list shows.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes a parameter that `ListParams` reads")]
pub(crate) struct StateParam {
    /// `live`, or `deleted`, which needs the scope `admin`.
    state: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListParams {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    as_user: Option<String>,
    #[serde(default)]
    as_groups: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeqBody {
    /// The tenant's sequence number after this write.
    seq: u64,
}

fn changed_answer(changed: &Changed) -> Answer {
    Answer::new(StatusCode::OK, &SeqBody { seq: changed.seq.0 }).tagged(changed.version.0)
}

/// Delete a document. No query finds it from the next one on.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/documents/{document}", tag = "documents",
    operation_id = "delete_document", responses((status = 200, body = SeqBody), (status = 404, body = Problem),
        (status = 412, body = Problem)))]
pub(crate) async fn delete(
    State(app): State<App>,
    Writing(caller): Writing,
    Place((tenant, document)): Place<(String, String)>,
    headers: HeaderMap,
) -> Result<Answer, Problem> {
    caller.trail.doing("document.delete");
    let scope = caller.enter(&app, &tenant, Right::Write).await?;
    let id = DocumentId::new(&document).map_err(|_| Problem::not_found())?;
    let deed = caller.deed("document.delete", StatusCode::OK, changed_answer);
    let expect = expected_version(&headers)?;
    let written = app.ingest().delete(&scope, &id, expect, deed).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(changed_answer(&written.value))
}

/// Replace a document's access list. The next query obeys it.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/documents/{document}/acl", tag = "documents",
    operation_id = "put_acl", request_body = AclBody,
    responses((status = 200, body = SeqBody), (status = 404, body = Problem), (status = 412, body = Problem)))]
pub(crate) async fn put_acl(
    State(app): State<App>,
    Writing(caller): Writing,
    Place((tenant, document)): Place<(String, String)>,
    headers: HeaderMap,
    Body(body): Body<AclBody>,
) -> Result<Answer, Problem> {
    caller.trail.doing("document.acl");
    let scope = caller.enter(&app, &tenant, Right::Write).await?;
    let id = DocumentId::new(&document).map_err(|_| Problem::not_found())?;
    let deed = caller.deed("document.acl", StatusCode::OK, changed_answer);
    let (acl, expect) = (body.parse()?, expected_version(&headers)?);
    let written = app.ingest().set_acl(&scope, &id, &acl, expect, deed).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(changed_answer(&written.value))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionItem {
    version: u32,
    created_at: String,
    bytes: u64,
    bytes_sha256: String,
    text_sha256: String,
    chunks: u32,
}

impl From<VersionRow> for VersionItem {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version.0,
            created_at: wire::time(row.created_at),
            bytes: row.bytes,
            bytes_sha256: wire::hex(&row.bytes_sha256),
            text_sha256: wire::hex(&row.text_sha256),
            chunks: row.chunks,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionList {
    data: Vec<VersionItem>,
}

/// List a document's versions.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/documents/{document}/versions", tag = "documents",
    operation_id = "list_versions", params(AsParams),
    responses((status = 200, body = VersionList), (status = 404, body = Problem)))]
pub(crate) async fn versions(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, document)): Place<(String, String)>,
    Params(on_behalf): Params<AsParams>,
) -> Result<Body<VersionList>, Problem> {
    caller.trail.doing("document.versions");
    let scope = caller.enter_as(&app, &tenant, Right::Read, on_behalf.parse()?).await?;
    let id = DocumentId::new(&document).map_err(|_| Problem::not_found())?;
    let versions = app.catalog().versions(&scope, &id).await?.ok_or_else(Problem::not_found)?;
    Ok(Body(VersionList { data: versions.into_iter().map(VersionItem::from).collect() }))
}
