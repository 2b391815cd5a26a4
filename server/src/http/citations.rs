//! Checking citations later: does this quote still stand there, word for word?

use axum::extract::State;
use catena_access::Right;
use catena_domain::{DocumentId, Span, VersionNo, limits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::door::{As, Caller};
use crate::http::problem::Problem;
use crate::http::search::on_behalf;
use crate::http::wire::{Body, Place};

#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct CitedBody {
    document: String,
    version: u32,
    span: [u32; 2],
    quote: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyBody {
    /// Citations as a context gave them; further fields are ignored.
    citations: Vec<CitedBody>,
    /// Whom the request speaks for. Needs the scope `impersonate`.
    #[serde(default, rename = "as")]
    on_behalf: Option<As>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Verdict {
    document: String,
    version: u32,
    /// `valid`: the quote stands there in the current version. `superseded`: there is a newer version; that the quote
    /// stands in the cited one is checked for administrators alone. `altered`: other words stand there. `unavailable`: the document is not there, or not yours to see.
    verdict: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerifyAnswer {
    results: Vec<Verdict>,
}

/// Check citations against the stored versions.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/citations:verify", tag = "retrieval",
    operation_id = "verify_citations", request_body = VerifyBody,
    responses((status = 200, body = VerifyAnswer), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn verify(
    State(app): State<App>,
    caller: Caller,
    Place(tenant): Place<String>,
    Body(body): Body<VerifyBody>,
) -> Result<Body<VerifyAnswer>, Problem> {
    caller.trail.doing("citations.verify");
    let scope = caller.enter_as(&app, &tenant, Right::Read, on_behalf(body.on_behalf)?).await?;
    if body.citations.len() > limits::CITATIONS_PER_VERIFY_MAX {
        let (given, most) = (body.citations.len(), limits::CITATIONS_PER_VERIFY_MAX);
        return Err(Problem::invalid(format!("{given} citations were given; the limit is {most}.")));
    }
    let mut results = Vec::with_capacity(body.citations.len());
    for cited in body.citations {
        let verdict = judge(&app, &scope, &cited).await?;
        results.push(Verdict { document: cited.document, version: cited.version, verdict });
    }
    Ok(Body(VerifyAnswer { results }))
}

async fn judge(app: &App, scope: &catena_access::Scope, cited: &CitedBody) -> Result<&'static str, Problem> {
    let Ok(id) = DocumentId::new(&cited.document) else { return Ok("unavailable") };
    let version = VersionNo(cited.version);
    let Some(current) = app.catalog().current(scope, &id).await? else { return Ok("unavailable") };
    let Some((text, _)) = app.catalog().version_text(scope, &id, version).await? else { return Ok("unavailable") };
    let is_current = current.version == version;
    // Word for word, an earlier text is checked for administrators alone: its access list may have been narrower than
    // today's, and whoever may ask often enough could read it out letter by letter.
    if !is_current && !scope.principal().is_administrator() {
        return Ok("superseded");
    }
    let quoted = Span::new(cited.span[0], cited.span[1]).and_then(|span| span.of(&text));
    Ok(match quoted {
        Some(text) if text == cited.quote && is_current => "valid",
        Some(text) if text == cited.quote => "superseded",
        _ => "altered",
    })
}
