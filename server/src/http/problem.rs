//! Errors as RFC 9457 problems.
//!
//! Promises: `type` and `code` are stable; what is denied and what is absent give the same bytes; what went wrong inside
//! stays in the log. Every refusal says what to do.

use axum::Json;
use axum::response::{IntoResponse, Response};
use catena_access::Right;
use catena_catalog::{CatalogError, Exceeded, Quota};
use catena_domain::{ErrorKind, limits};
use catena_embedding::EmbeddingError;
use catena_formats::FormatError;
use catena_ingest::IngestError;
use catena_retrieval::RetrievalError;
use catena_text::TextError;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal, as a person and a program read it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A stable name for this kind of problem.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The kind of problem, for people.
    pub(crate) title: &'static str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What happened and what to do.
    pub(crate) detail: String,
    /// The last part of `type`.
    pub(crate) code: &'static str,
    /// Of `index-behind`: the write that the index has reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reached: Option<u64>,
    /// The quota that was reached, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<&'static str>,
    /// How much of it the tenant may have.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// How much of it the tenant has.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
    #[serde(skip)]
    retry_after_s: Option<u32>,
    #[serde(skip)]
    challenge: Option<String>,
    #[serde(skip)]
    lacks_room: bool,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:catena:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code,
            reached: None,
            quota: None,
            limit: None,
            used: None,
            retry_after_s: None,
            challenge: None,
            lacks_room: false,
        }
    }

    /// What is to be said to whoever asked.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", "The request cannot be meant", detail)
    }

    /// The same problem under a name of its own, for programs that tell it from others of its status.
    pub(crate) fn named(self, code: &'static str, title: &'static str) -> Self {
        Self { kind: format!("urn:catena:problem:{code}"), code, title, ..self }
    }

    /// The same problem in other words.
    pub(crate) fn saying(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    /// The same problem, of which it is known when it will be over.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-request", "The request cannot be read", detail)
    }

    /// The one answer for everything that is not there or not the caller's to see.
    pub(crate) fn not_found() -> Self {
        let detail = "There is nothing of that name here, or it is not yours to see. Check the path and the key.";
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    pub(crate) fn unauthenticated(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid key is needed", detail);
        Self { challenge: Some("Bearer".to_owned()), ..problem }
    }

    /// The one answer for every token that is turned away: why, is in the log alone.
    pub(crate) fn invalid_token() -> Self {
        let detail = "The token is not accepted here: it has expired, or it is not one for this service. Get a new one \
                      from your identity provider; if that does not help, the operator finds the reason in the log.";
        Self { challenge: Some(r#"Bearer error="invalid_token""#.to_owned()), ..Self::unauthenticated(detail) }
    }

    /// The same refusal, if it asks for a credential, with the address that says who gives out tokens.
    pub(crate) fn with_metadata_at(mut self, address: &str) -> Self {
        if let Some(challenge) = &mut self.challenge {
            let comma = if challenge.contains('=') { "," } else { "" };
            challenge.push_str(&format!(r#"{comma} resource_metadata="{address}""#));
        }
        self
    }

    pub(crate) fn missing_right(right: &str) -> Self {
        let detail = if right == Right::Operator.as_str() {
            "This needs the operator's key, which whoever runs the service has.".to_owned()
        } else {
            format!("This key lacks the scope `{right}`. Ask an administrator of the tenant for one that has it.")
        };
        Self::new(StatusCode::FORBIDDEN, "missing-scope", "The key may not do this", detail)
    }

    pub(crate) fn too_many_groups() -> Self {
        let most = limits::GROUPS_PER_PRINCIPAL_MAX;
        let detail = format!(
            "The token names more than {most} groups, or says that it leaves some out. Have the identity provider put \
             fewer into tokens for this service."
        );
        Self::new(StatusCode::FORBIDDEN, "too-many-groups", "The token names too many groups", detail)
    }

    pub(crate) fn suspended() -> Self {
        let detail = "The key is right, but its tenant is suspended: nothing is lost, and nothing is answered. Ask whoever \
                      runs the service to resume it.";
        Self::new(StatusCode::FORBIDDEN, "tenant-suspended", "The tenant is suspended", detail)
    }

    /// A quota that the request would exceed: what is held is too much for the tenant, what is used too much for now.
    pub(crate) fn quota(exceeded: Exceeded) -> Self {
        let status = match exceeded.quota {
            Quota::Documents | Quota::TextBytes | Quota::Chunks => StatusCode::PAYLOAD_TOO_LARGE,
            Quota::EmbeddingTokensPerDay | Quota::WritesPerMinute | Quota::QueriesPerMinute | Quota::Concurrency => {
                StatusCode::TOO_MANY_REQUESTS
            }
        };
        let detail = sentence(&exceeded.to_string());
        Self {
            quota: Some(exceeded.quota.as_str()),
            limit: Some(exceeded.limit),
            used: Some(exceeded.used),
            retry_after_s: exceeded.retry_after_s,
            ..Self::new(status, "quota-exceeded", "The tenant's quota is used up", detail)
        }
    }

    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("The body is larger than {limit_bytes} bytes, the limit here. Send less, or split it.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large", detail)
    }

    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "The state is not what the request expects", detail)
    }

    pub(crate) fn precondition() -> Self {
        let detail = "The document is not what `if-match` or `if-none-match` says. Read it again, then decide.";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "The document has changed", detail)
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not possible right now", detail);
        Self { retry_after_s: Some(1), ..problem }
    }

    pub(crate) fn busy() -> Self {
        let detail = "The service has as many requests at work as it takes. Send this one again after a second.";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "Too many requests at once", detail);
        Self { retry_after_s: Some(1), ..problem }
    }

    pub(crate) fn internal() -> Self {
        let detail = "The service made a mistake. Nothing was half-done; the operator finds the cause in the log by the \
                      x-request-id of this answer.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "A mistake of ours", detail)
    }

    /// The problem that an error of this kind is, when nothing more is to be said than its text.
    fn of_kind(kind: ErrorKind, text: &str) -> Self {
        match kind {
            ErrorKind::Invalid => Self::invalid(sentence(text)),
            ErrorKind::Denied => Self::unauthenticated(sentence(text)),
            ErrorKind::NotFound => Self::not_found(),
            ErrorKind::Conflict => Self::conflict(sentence(text)),
            ErrorKind::Busy => Self::busy(),
            ErrorKind::Unavailable => Self::unavailable(
                "A part of the service that this needs does not work right now. Nothing was half-done; try again.",
            ),
            ErrorKind::Corrupt | ErrorKind::Internal => Self::internal(),
        }
    }

    /// The disk is full. Whoever watches readiness is told as well.
    fn no_room() -> Self {
        let detail = "The service's disk is full, so nothing can be written, and no answer can be recorded. Nothing was \
                      half-done; try again when the operator has made room.";
        Self { lacks_room: true, ..Self::unavailable(detail) }
    }

    /// The problem of `error`, which is logged here once if it is ours.
    fn of_error(kind: ErrorKind, error: &(dyn std::error::Error + 'static)) -> Self {
        if matches!(kind, ErrorKind::Unavailable | ErrorKind::Corrupt | ErrorKind::Internal) {
            tracing::error!(kind = kind.as_str(), error = %chain(error), "a request failed");
        }
        Self::of_kind(kind, &error.to_string())
    }

    /// What kept a text from having vectors. Where another server is, is for the log alone.
    fn of_embedding(error: &EmbeddingError) -> Self {
        let problem = Self::of_error(error.kind(), error);
        match error {
            EmbeddingError::RemoteAway { .. } => Self::unavailable(
                "The server that embeds texts is away, so nothing was written. Try again in a moment; the service asks \
                 that server again by itself.",
            ),
            EmbeddingError::RemoteRefused { .. } => Self::unavailable(
                "The server that embeds texts gives no vectors that fit the model, so nothing was written. The operator \
                 finds the cause in the log by the x-request-id of this answer.",
            ),
            _ => problem,
        }
    }
}

fn text_code(error: &TextError) -> (&'static str, &'static str) {
    match error {
        TextError::InvalidUtf8 { .. } => ("invalid-utf8", "The text is not UTF-8"),
        TextError::Empty => ("empty-document", "The document holds nothing"),
        TextError::TooLong { .. } => ("text-too-long", "The text is too long"),
        TextError::UnsupportedContentType { .. } | TextError::UnsupportedCharset { .. } => {
            ("content-type", "No parser takes this kind of text")
        }
        TextError::UnknownTokenizer { .. } => ("unknown-tokenizer", "The tokenizer is not known"),
    }
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn sentence(text: &str) -> String {
    let text = text.trim_start_matches("Failed to deserialize the JSON body into the target type: ");
    let text = text.trim_start_matches("Failed to parse the request body as JSON: ");
    // A field's name stays as it is written.
    if text.split(' ').next().is_some_and(|word| word.contains(['_', '.', ':', '`', '"'])) {
        return format!("{}.", text.trim_end_matches('.'));
    }
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::Catalog(error) => error.into(),
            IngestError::Text(error) | IngestError::Format(FormatError::Text(error)) => {
                let (code, title) = text_code(&error);
                Self::invalid(sentence(&error.to_string())).named(code, title)
            }
            IngestError::AclNeeded => {
                Self::invalid(sentence(&error.to_string())).named("acl-needed", "Who may read it must be said")
            }
            IngestError::Embedding(error) => Self::of_embedding(&error),
            error => Self::of_error(error.kind(), &error),
        }
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Precondition { .. } => Self::precondition(),
            CatalogError::QuotaExceeded(exceeded) => Self::quota(exceeded),
            error => {
                let problem = Self::of_error(error.kind(), &error);
                if error.is_for_want_of_room() { Self::no_room() } else { problem }
            }
        }
    }
}

impl From<RetrievalError> for Problem {
    fn from(error: RetrievalError) -> Self {
        let text = sentence(&error.to_string());
        match error {
            RetrievalError::BudgetTooSmall { .. } => {
                Self::invalid(text).named("budget-too-small", "No passage fits the budget")
            }
            RetrievalError::NotWritten { .. } => Self::invalid(text),
            RetrievalError::Behind { reached, .. } => {
                let problem = Self::unavailable(text).named("index-behind", "The index has not reached that write");
                Self { reached: Some(reached.0), ..problem }
            }
            RetrievalError::NoIndex | RetrievalError::Arm { .. } => Self::unavailable(text),
            RetrievalError::Catalog(error) => error.into(),
            error => Self::of_error(error.kind(), &error),
        }
    }
}

impl From<catena_retrieval::request::RequestError> for Problem {
    fn from(error: catena_retrieval::request::RequestError) -> Self {
        Self::invalid(sentence(&error.to_string()))
    }
}

impl From<catena_domain::NameError> for Problem {
    fn from(error: catena_domain::NameError) -> Self {
        Self::invalid(sentence(&error.to_string()))
    }
}

impl From<catena_access::AttributeError> for Problem {
    fn from(error: catena_access::AttributeError) -> Self {
        Self::invalid(sentence(&error.to_string()))
    }
}

impl From<catena_access::AclError> for Problem {
    fn from(error: catena_access::AclError) -> Self {
        Self::invalid(sentence(&error.to_string()))
    }
}

impl From<catena_access::Denied> for Problem {
    fn from(denied: catena_access::Denied) -> Self {
        match denied {
            catena_access::Denied::OtherTenant => Self::not_found(),
            catena_access::Denied::Right(right) => Self::missing_right(right.as_str()),
        }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::of_error(ErrorKind::Unavailable, &error)
    }
}

impl From<axum::extract::rejection::JsonRejection> for Problem {
    fn from(rejection: axum::extract::rejection::JsonRejection) -> Self {
        use axum::extract::rejection::JsonRejection as R;
        match rejection {
            R::MissingJsonContentType(_) => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content-type",
                "The body's kind is not known here",
                "Send JSON, with the header `content-type: application/json`.",
            ),
            R::BytesRejection(rejection) => rejection.into(),
            R::JsonDataError(error) => Self::invalid(sentence(&error.body_text())),
            error => Self::malformed(sentence(&error.body_text())),
        }
    }
}

impl From<axum::extract::rejection::BytesRejection> for Problem {
    fn from(rejection: axum::extract::rejection::BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::too_large(limits::REQUEST_BODY_BYTES_MAX)
        } else {
            Self::malformed("The body broke off. Send the request again.")
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (retry_after_s, challenge, lacks_room, code) =
            (self.retry_after_s, self.challenge.clone(), self.lacks_room, self.code);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(ProblemCode(code));
        if lacks_room {
            response.extensions_mut().insert(LacksRoom);
        }
        response
    }
}

/// A problem's code, for the record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProblemCode(pub(crate) &'static str);

/// An answer that failed because the disk is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LacksRoom;
