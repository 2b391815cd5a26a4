//! The ingest firewall, for administrators: the policy, the detectors, what they found, and what waits because of it.
//!
//! Promises: no answer here holds what was found, but for the one that shows a quarantined text, which is asked for by
//! name and is recorded. Does not: let an operator in, who administers and sees no document.

use std::collections::BTreeMap;

use axum::extract::State;
use catena_audit::Object;
use catena_catalog::{DetectorTally, DocumentFindings, FoundSpan, PutOutcome, SuspectRow};
use catena_domain::DocumentId;
use catena_firewall::{Action, Confidence, Policy, detectors};
use catena_ingest::{Freshness, KeptBack, Put, WouldBe};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admission::AdminWriting;
use crate::http::documents::{PutBody, Wait, put_answer};
use crate::http::door::Caller;
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::wire::{self, Body, Paging, Params, Place};

/// A tenant's policy. What is left out is as in the policy of a new tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// What is done about secrets: `off`, `flag`, `redact` or `quarantine` (also `block`).
    #[serde(default = "default_secret")]
    secret: String,
    /// About personal data.
    #[serde(default = "default_off")]
    personal: String,
    /// About text that speaks to a model.
    #[serde(default = "default_off")]
    instruction: String,
    /// About what single detectors find, by their names, whatever is said of their class.
    #[serde(default)]
    detectors: BTreeMap<String, String>,
    /// How sure a detector must be at least: `medium` or `high`.
    #[serde(default = "default_confidence")]
    confidence: String,
    /// Texts that are never findings: a known example, or the domain of e-mail addresses that may be seen.
    #[serde(default)]
    allow: Vec<String>,
}

fn default_secret() -> String {
    Policy::default().secret.as_str().to_owned()
}

fn default_off() -> String {
    Action::Off.as_str().to_owned()
}

fn default_confidence() -> String {
    Confidence::default().as_str().to_owned()
}

impl PolicyBody {
    fn of(policy: Policy) -> Self {
        let named = policy.detectors.into_iter().map(|(name, action)| (name, action.as_str().to_owned()));
        Self {
            secret: policy.secret.as_str().to_owned(),
            personal: policy.personal.as_str().to_owned(),
            instruction: policy.instruction.as_str().to_owned(),
            detectors: named.collect(),
            confidence: policy.confidence.as_str().to_owned(),
            allow: policy.allow,
        }
    }

    fn parse(self) -> Result<Policy, Problem> {
        let action = |field: &str, text: &str| match text {
            "off" => Ok(Action::Off),
            "flag" => Ok(Action::Flag),
            "redact" => Ok(Action::Redact),
            "quarantine" | "block" => Ok(Action::Quarantine),
            _ => Err(Problem::invalid(format!("`{field}` may be `off`, `flag`, `redact` or `quarantine`."))),
        };
        let named = self.detectors.iter().map(|(name, text)| Ok((name.clone(), action("detectors", text)?)));
        let policy = Policy {
            secret: action("secret", &self.secret)?,
            personal: action("personal", &self.personal)?,
            instruction: action("instruction", &self.instruction)?,
            detectors: named.collect::<Result<_, Problem>>()?,
            confidence: match self.confidence.as_str() {
                "medium" => Confidence::Medium,
                "high" => Confidence::High,
                _ => return Err(Problem::invalid("`confidence` may be `medium` or `high`.")),
            },
            allow: self.allow,
        };
        policy.check().map_err(|error| Problem::invalid(format!("The policy cannot be meant: {error}.")))?;
        Ok(policy)
    }
}

/// Read the tenant's firewall policy.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/firewall", tag = "firewall", operation_id = "get_firewall",
    responses((status = 200, body = PolicyBody), (status = 404, body = Problem)))]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<PolicyBody>, Problem> {
    caller.trail.doing("firewall.read");
    let scope = caller.administer(&app, &tenant).await?;
    Ok(Body(PolicyBody::of(app.ingest().firewall_policy(&scope).await?)))
}

/// Set the tenant's firewall policy.
///
/// It holds from the next write on. What is there stays as it is until it is written again.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/firewall", tag = "firewall", operation_id = "put_firewall",
    request_body = PolicyBody,
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Body(body): Body<PolicyBody>,
) -> Result<StatusCode, Problem> {
    caller.trail.doing("firewall.put");
    let scope = caller.administer(&app, &tenant).await?;
    let policy = serde_json::to_string(&body.parse()?).map_err(|_| Problem::internal())?;
    let draft = caller.trail.draft("firewall.put", StatusCode::NO_CONTENT);
    let written = app.catalog().put_firewall_policy(&scope, policy, draft).await?;
    caller.trail.recorded(written.leaf);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetectorBody {
    name: &'static str,
    /// `secret`, `personal` or `instruction`.
    class: &'static str,
    /// Counts how it judges.
    version: u32,
    looks_for: &'static str,
    /// What the policy does about what it finds.
    action: &'static str,
    /// Documents in whose current version it found something.
    documents: u64,
    /// What it found in them, all together.
    findings: u64,
    /// Documents that wait in the quarantine and in which it found something.
    waiting: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetectorList {
    data: Vec<DetectorBody>,
}

/// List the detectors, what they look for, and how much they found.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/firewall/detectors", tag = "firewall",
    operation_id = "list_detectors", responses((status = 200, body = DetectorList), (status = 404, body = Problem)))]
pub(crate) async fn list_detectors(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
) -> Result<Body<DetectorList>, Problem> {
    caller.trail.doing("firewall.detectors");
    let scope = caller.administer(&app, &tenant).await?;
    let policy = app.ingest().firewall_policy(&scope).await?;
    let tallies = app.catalog().detector_tallies(&scope).await?;
    let data = detectors().map(|detector| {
        let DetectorTally { documents, findings, waiting } = tallies.get(detector.name).copied().unwrap_or_default();
        DetectorBody {
            name: detector.name,
            class: detector.class.as_str(),
            version: detector.version,
            looks_for: detector.looks_for,
            action: policy.action(detector).as_str(),
            documents,
            findings,
            waiting,
        }
    });
    Ok(Body(DetectorList { data: data.collect() }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpanBody {
    detector: String,
    /// `medium` or `high`.
    confidence: String,
    /// `flag`, `redact` or `quarantine`.
    action: String,
    /// Bytes of the version's normalised text; of what was redacted, those of the mark.
    span: [u32; 2],
}

impl From<FoundSpan> for SpanBody {
    fn from(it: FoundSpan) -> Self {
        Self { detector: it.detector, confidence: it.confidence, action: it.action, span: [it.start, it.end] }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingsItem {
    document: String,
    version: u32,
    /// The classes of what can be seen in it.
    flags: Vec<String>,
    /// How often each detector found something.
    found: BTreeMap<String, u64>,
    /// Where in the text, as far as that is kept: the first 200.
    spans: Vec<SpanBody>,
    /// The key that let it in although the policy had kept it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    released_by: Option<String>,
}

impl From<DocumentFindings> for FindingsItem {
    fn from(it: DocumentFindings) -> Self {
        Self {
            document: it.document.to_string(),
            version: it.version.0,
            flags: it.flags,
            found: it.found,
            spans: it.spans.into_iter().map(SpanBody::from).collect(),
            released_by: it.released_by,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FindingsPage {
    data: Vec<FindingsItem>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List the documents in whose current version something was found.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/firewall/findings", tag = "firewall", operation_id = "list_findings",
    params(Paging), responses((status = 200, body = FindingsPage), (status = 404, body = Problem)))]
pub(crate) async fn findings(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(paging): Params<Paging>,
) -> Result<Body<FindingsPage>, Problem> {
    caller.trail.doing("firewall.findings");
    let scope = caller.administer(&app, &tenant).await?;
    let after = paging.after.as_deref().map(DocumentId::new).transpose()?;
    let page = app.catalog().findings(&scope, after.as_ref(), paging.limit()?).await?;
    Ok(Body(FindingsPage { data: page.items.into_iter().map(FindingsItem::from).collect(), next: page.next }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WouldItem {
    document: String,
    version: u32,
    /// The strictest thing that would be done: `flag`, `redact` or `quarantine`.
    action: &'static str,
    found: BTreeMap<String, u64>,
}

impl From<WouldBe> for WouldItem {
    fn from(it: WouldBe) -> Self {
        Self { document: it.document.to_string(), version: it.version.0, action: it.action.as_str(), found: it.found }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WouldPage {
    data: Vec<WouldItem>,
    /// Give it as `after` for the documents behind; absent after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Try a policy on what is there, without changing anything.
///
/// Looks through up to 100 documents a request and names those that something would be done to.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/firewall/try", tag = "firewall", operation_id = "try_firewall",
    params(Paging), request_body = PolicyBody,
    responses((status = 200, body = WouldPage), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn try_policy(
    State(app): State<App>,
    AdminWriting(caller): AdminWriting,
    Place(tenant): Place<String>,
    Params(paging): Params<Paging>,
    Body(body): Body<PolicyBody>,
) -> Result<Body<WouldPage>, Problem> {
    caller.trail.doing("firewall.try");
    let scope = caller.administer(&app, &tenant).await?;
    let after = paging.after.as_deref().map(DocumentId::new).transpose()?;
    let page = app.ingest().would(&scope, &body.parse()?, after.as_ref(), paging.limit()?).await?;
    Ok(Body(WouldPage { data: page.items.into_iter().map(WouldItem::from).collect(), next: page.next }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuspectItem {
    document: String,
    handed_in_at: String,
    bytes: u64,
    /// SHA-256 of the bytes as they were handed in.
    bytes_sha256: String,
    /// Whether there was a document of that id, whose version stays as it is.
    replaces: bool,
    found: BTreeMap<String, u64>,
}

impl From<SuspectRow> for SuspectItem {
    fn from(row: SuspectRow) -> Self {
        Self {
            document: row.document.to_string(),
            handed_in_at: wire::time(row.handed_in_at),
            bytes: row.bytes,
            bytes_sha256: wire::hex(&row.bytes_sha256),
            replaces: row.base.is_some(),
            found: row.found,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuspectPage {
    data: Vec<SuspectItem>,
    /// Give it as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// List what the policy keeps back.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/firewall/quarantine", tag = "firewall",
    operation_id = "list_suspects", params(Paging),
    responses((status = 200, body = SuspectPage), (status = 404, body = Problem)))]
pub(crate) async fn suspects(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Params(paging): Params<Paging>,
) -> Result<Body<SuspectPage>, Problem> {
    caller.trail.doing("firewall.quarantine");
    let scope = caller.administer(&app, &tenant).await?;
    let after = paging.after.as_deref().map(DocumentId::new).transpose()?;
    let page = app.catalog().suspects(&scope, after.as_ref(), paging.limit()?).await?;
    Ok(Body(SuspectPage { data: page.items.into_iter().map(SuspectItem::from).collect(), next: page.next }))
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SuspectBody {
    #[serde(flatten)]
    listed: SuspectItem,
    title: Option<String>,
    uri: Option<String>,
    source: Option<String>,
    content_type: String,
    spans: Vec<SpanBody>,
    /// Its normalised text, with what was found in it.
    text: String,
}

impl From<KeptBack> for SuspectBody {
    fn from(kept: KeptBack) -> Self {
        Self {
            title: kept.title,
            uri: kept.uri,
            source: kept.source,
            content_type: kept.content_type,
            spans: kept.suspect.spans.into_iter().map(SpanBody::from).collect(),
            text: kept.text,
            listed: kept.suspect.row.into(),
        }
    }
}

/// Read what the policy keeps back of a document, with what was found in it. The record names who did.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/firewall/quarantine/{document}", tag = "firewall",
    operation_id = "get_suspect", responses((status = 200, body = SuspectBody), (status = 404, body = Problem)))]
pub(crate) async fn suspect(
    State(app): State<App>,
    caller: Caller,
    Place((tenant, document)): Place<(String, String)>,
) -> Result<Body<SuspectBody>, Problem> {
    caller.trail.doing("quarantine.read");
    let scope = caller.administer(&app, &tenant).await?;
    let id = DocumentId::new(&document).map_err(|_| Problem::not_found())?;
    let kept = app.ingest().kept_back(&scope, &id).await?.ok_or_else(Problem::not_found)?;
    let sha256 = Some(wire::hex(&kept.suspect.row.bytes_sha256));
    caller.trail.left(Object { sha256, ..Object::new("quarantined", id.as_str()) });
    Ok(Body(kept.into()))
}

/// Release what the policy keeps back: it becomes a version like any other, and the record names who let it in.
///
/// What the policy redacts is redacted, all else that was found is flagged. Refused when the document was changed after
/// it was handed in.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/firewall/quarantine/{document}/release", tag = "firewall",
    operation_id = "release_suspect", params(Wait),
    responses((status = 200, body = PutBody), (status = 201, body = PutBody), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 429, body = Problem)))]
pub(crate) async fn release(
    State(app): State<App>,
    AdminWriting(caller): AdminWriting,
    Place((tenant, document)): Place<(String, String)>,
    Params(wait): Params<Wait>,
) -> Result<Answer, Problem> {
    caller.trail.doing("quarantine.release");
    let scope = caller.administer(&app, &tenant).await?;
    let id = DocumentId::new(&document).map_err(|_| Problem::not_found())?;
    let freshness = wait.freshness()?;
    let deed = caller.deed("quarantine.release", StatusCode::OK, {
        let id = id.clone();
        move |outcome: &PutOutcome| {
            put_answer(&id, &Put { searchable: freshness == Freshness::Searchable, ..Put::of(outcome) })
        }
    });
    let written = app.ingest().release(&scope, &id, freshness, deed).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(put_answer(&id, &written.value))
}

/// Reject what the policy keeps back: it is gone.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/firewall/quarantine/{document}", tag = "firewall",
    operation_id = "reject_suspect", responses((status = 204), (status = 404, body = Problem)))]
pub(crate) async fn reject(
    State(app): State<App>,
    AdminWriting(caller): AdminWriting,
    Place((tenant, document)): Place<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.trail.doing("quarantine.reject");
    let scope = caller.administer(&app, &tenant).await?;
    let id = DocumentId::new(&document).map_err(|_| Problem::not_found())?;
    let draft = caller.trail.draft("quarantine.reject", StatusCode::NO_CONTENT);
    let written = app.catalog().reject(&scope, &id, draft).await?.ok_or_else(Problem::not_found)?;
    caller.trail.recorded(written.leaf);
    Ok(StatusCode::NO_CONTENT)
}
