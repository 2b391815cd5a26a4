//! Many documents at once: written or deleted as an import, purged as a job.
//!
//! Promises: an import is read as it comes, line by line, and held compressed; a line that cannot be done is one failed
//! document with its line's number, and the others go on; what is answered with 202 is durable. Does not: write any of
//! it, which is the job's.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body as Stream;
use axum::extract::State;
use catena_access::Right;
use catena_catalog::Job;
use catena_domain::{DocumentId, TenantId, limits};
use catena_ingest::{Import, ImportChange, Purging};
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::ENVELOPE_BYTES;
use crate::http::admission::{AdminWriting, Writing};
use crate::http::jobs::{JobBody, job_answer};
use crate::http::once::Answer;
use crate::http::problem::Problem;
use crate::http::submission::submission;
use crate::http::turns::{Full, Turn, Turns};
use crate::http::wire::{Body, Place, bounded};

/// Imports that are received at once; each may hold its whole body, compressed.
const RECEIVED_AT_ONCE: usize = 8;
/// Of these, imports of one tenant.
const RECEIVED_PER_TENANT: usize = 2;
/// How long an import may take to arrive.
const RECEIVED_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Longest line.
const LINE_BYTES_MAX: usize = limits::DOCUMENT_BODY_BYTES_MAX + ENVELOPE_BYTES;

/// Nobody receives anything yet.
pub(crate) fn turns() -> Turns<TenantId> {
    Turns::new(RECEIVED_PER_TENANT, RECEIVED_AT_ONCE)
}

/// A turn to receive an import, held until the job is made.
#[derive(Debug, Clone)]
pub(crate) struct Receiving(#[expect(dead_code, reason = "held, not read")] Arc<Turn<TenantId>>);

/// Takes a turn for the tenant.
pub(crate) fn receiving(app: &App, tenant: &TenantId) -> Result<Receiving, Problem> {
    let full = |full| {
        let detail = match full {
            Full::Own => format!(
                "{RECEIVED_PER_TENANT} imports of this tenant are arriving, which is the most at once. Send this one when \
                 one of them has arrived; several small imports are better sent as one."
            ),
            Full::All => format!(
                "The service is receiving {RECEIVED_AT_ONCE} imports, which is the most at once for all its tenants. Send \
                 this one again after some seconds."
            ),
        };
        Problem::busy().saying(detail).named("too-many-imports", "Too many imports are arriving")
    };
    app.imports().take(tenant).map(|turn| Receiving(Arc::new(turn))).map_err(full)
}

/// What comes of receiving a body, if it comes in time.
pub(crate) async fn in_time<T>(received: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let slow = |_| Problem::malformed("The body did not arrive within ten minutes. Send fewer documents at once.");
    tokio::time::timeout(RECEIVED_WITHIN, received).await.map_err(slow)?
}

/// One line of an import.
#[derive(Debug, Deserialize)]
struct Line {
    id: String,
    #[serde(default)]
    delete: bool,
    /// The envelope, as in a write of one document.
    #[serde(flatten)]
    envelope: serde_json::Map<String, serde_json::Value>,
}

/// Write and delete many documents: an import, which is a job.
///
/// The body is NDJSON: in each line the JSON envelope of one document and its `id`, or `{"id": "…", "delete": true}`.
/// Lines are done in any order, but those about one document in theirs. A line that cannot be done is one failed
/// document of the job, named by its line. The answer leaves once all is stored durably; the job writes it.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/documents:batch", tag = "documents", operation_id = "import_documents",
    request_body(content = String, content_type = "application/x-ndjson"),
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
pub(crate) async fn import(
    State(app): State<App>,
    Writing(caller): Writing,
    Place(tenant): Place<String>,
    held: Option<Extension<Receiving>>,
    body: Stream,
) -> Result<Answer, Problem> {
    caller.trail.doing("document.import");
    let scope = caller.enter(&app, &tenant, Right::Write).await?;
    let _turn = match held {
        Some(Extension(turn)) => turn,
        None => receiving(&app, scope.tenant())?,
    };
    let import = in_time(receive(body)).await?;
    if import.lines() == 0 {
        return Err(Problem::invalid("The body holds no line. Send one JSON envelope with its `id` in each line."));
    }
    let answer = move |job: &Job| job_answer(&tenant, job);
    let deed = caller.deed("document.import", StatusCode::ACCEPTED, answer.clone());
    let written = app.ingest().request_import(&scope, import, deed).await?;
    caller.trail.recorded(written.leaf);
    Ok(answer(&written.value))
}

/// Reads the lines of a body as they come.
async fn receive(body: Stream) -> Result<Import, Problem> {
    let mut lines = Lines::default();
    let mut stream = body.into_data_stream();
    while let Some(part) = stream.next().await {
        let part =
            part.map_err(|_| Problem::malformed("The body broke off. Nothing of it was taken; send it again."))?;
        lines.feed(&part)?;
        tokio::task::yield_now().await;
    }
    lines.end()
}

/// The lines of an import, put together from the parts in which they come.
#[derive(Default)]
struct Lines {
    import: Import,
    line: Vec<u8>,
    /// The line is longer than it may be, and its rest is passed over.
    is_too_long: bool,
    number: u64,
    bytes: usize,
}

impl Lines {
    fn feed(&mut self, part: &[u8]) -> Result<(), Problem> {
        self.bytes += part.len();
        if self.bytes > limits::IMPORT_BODY_BYTES_MAX {
            return Err(Problem::too_large(limits::IMPORT_BODY_BYTES_MAX));
        }
        let mut pieces = part.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            if !self.is_too_long && self.line.len() + piece.len() > LINE_BYTES_MAX {
                self.is_too_long = true;
                self.line.clear();
            }
            if !self.is_too_long {
                self.line.extend_from_slice(piece);
            }
            if pieces.peek().is_some() {
                self.end_line()?;
            }
        }
        Ok(())
    }

    fn end(mut self) -> Result<Import, Problem> {
        self.end_line()?;
        Ok(self.import)
    }

    fn end_line(&mut self) -> Result<(), Problem> {
        self.number += 1;
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_too_long) {
            self.import.refuse(
                self.number,
                None,
                &format!("is longer than {LINE_BYTES_MAX} bytes; split the document"),
            );
            return Ok(());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        if self.import.lines() >= limits::IMPORT_LINES_MAX {
            let most = limits::IMPORT_LINES_MAX;
            return Err(Problem::invalid(format!("The body has more than {most} lines. Send it in several parts."))
                .named("too-many-lines", "The import has too many lines"));
        }
        match change(&line) {
            Ok(change) => self.import.add(self.number, &change)?,
            Err((id, problem)) => self.import.refuse(self.number, id.as_deref(), problem.detail()),
        }
        Ok(())
    }
}

/// What a line asks for, or the document and why it cannot be done.
fn change(line: &[u8]) -> Result<ImportChange, (Option<String>, Problem)> {
    let Line { id, delete, envelope } = serde_json::from_slice(line)
        .map_err(|error| (None, Problem::invalid(format!("The line is no envelope with an `id`: {error}."))))?;
    let document = DocumentId::new(&id).map_err(|error| (None, error.into()))?;
    let named = |problem| (Some(id.clone()), problem);
    if delete {
        if !envelope.is_empty() {
            return Err(named(Problem::invalid("A line with `delete` has nothing beside its `id`.")));
        }
        return Ok(ImportChange::Delete(document));
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let envelope = serde_json::to_vec(&envelope).unwrap_or_default();
    let submission = submission(document, &headers, envelope.into()).map_err(named)?;
    Ok(ImportChange::Write(Box::new(submission)))
}

/// What is to be purged: one of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgingBody {
    /// Every deleted document of this source.
    #[serde(default)]
    source: Option<String>,
    /// These documents, each of which must be deleted.
    #[serde(default)]
    ids: Option<Vec<String>>,
}

/// Purge many deleted documents, as a job.
///
/// A document that is not deleted is one failed document of the job.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/documents:purge", tag = "documents", operation_id = "purge_documents",
    request_body = PurgingBody,
    responses((status = 202, body = JobBody), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(crate) async fn purge(
    State(app): State<App>,
    AdminWriting(caller): AdminWriting,
    Place(tenant): Place<String>,
    Body(body): Body<PurgingBody>,
) -> Result<Answer, Problem> {
    caller.trail.doing("document.purge_many");
    let scope = caller.administer(&app, &tenant).await?;
    let purging = purging(body)?;
    let answer = move |job: &Job| job_answer(&tenant, job);
    let deed = caller.deed("document.purge_many", StatusCode::ACCEPTED, answer.clone());
    let written = app.ingest().request_purge(&scope, purging, deed).await?;
    caller.trail.recorded(written.leaf);
    Ok(answer(&written.value))
}

fn purging(body: PurgingBody) -> Result<Purging, Problem> {
    match body {
        PurgingBody { source: Some(source), ids: None } => {
            bounded("source", &source)?;
            Ok(Purging::Source(source))
        }
        PurgingBody { source: None, ids: Some(ids) } => {
            let most = limits::PURGE_DOCUMENTS_MAX;
            if ids.is_empty() || ids.len() > most {
                return Err(Problem::invalid(format!("`ids` names {} documents; it may be 1 to {most}.", ids.len())));
            }
            ids.iter().try_for_each(|id| DocumentId::new(id).map(|_| ()))?;
            Ok(Purging::Ids(ids))
        }
        _ => Err(Problem::invalid("Say what to purge: either `source` or `ids`.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines_of(parts: &[&[u8]]) -> Import {
        let mut lines = Lines::default();
        for part in parts {
            lines.feed(part).map_err(|problem| problem.detail().to_owned()).unwrap();
        }
        lines.end().map_err(|problem| problem.detail().to_owned()).unwrap()
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_the_body_is_cut(cuts in prop::collection::vec(0usize..120, 0..6)) {
            let body = b"{\"id\":\"a\",\"text\":\"x\"}\r\n\n{\"id\":\"b\",\"delete\":true}\nno json\n{\"id\":\"c\",\"txt\":1}\n{\"id\":\"d\",\"text\":\"y\"}";
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            let (cut, whole) = (lines_of(&parts), lines_of(&[body]));
            prop_assert_eq!(whole.lines(), 5);
            prop_assert_eq!(format!("{cut:?}"), format!("{whole:?}"));
            prop_assert!(format!("{whole:?}").contains("\"line 4\""), "{:?}", whole);
            prop_assert!(format!("{whole:?}").contains("line 5: "), "{:?}", whole);
        }
    }

    #[test]
    fn a_line_or_a_body_that_is_too_long_is_refused_without_being_held() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..=LINE_BYTES_MAX / piece.len() {
            assert!(lines.feed(&piece).is_ok());
        }
        assert!(lines.line.is_empty(), "{} bytes of a line that is refused are held", lines.line.len());
        assert!(lines.feed(b"\n{\"id\":\"a\",\"text\":\"x\"}\n").is_ok());
        assert_eq!(lines.import.lines(), 2);
        while lines.bytes <= limits::IMPORT_BODY_BYTES_MAX - piece.len() {
            assert!(lines.feed(&piece).is_ok());
        }
        assert!(lines.feed(&piece).is_err());
    }
}
