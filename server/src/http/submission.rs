//! A document as it comes in: a JSON envelope, or its own bytes with `catena-*` headers beside them.
//!
//! Promises: what leaves this module is within every limit and parsed. What the bytes are is taken from what was said of
//! them; only where nothing was, from marks in them and from the id's ending, and never by trying readers.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use catena_access::{Attributes, attribute};
use catena_catalog::Expect;
use catena_domain::{DocumentId, VersionNo, limits};
use catena_formats::sniff;
use catena_ingest::{IngestError, Submission};
use catena_text::Format;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::acl::{AclBody, EntryBody};
use crate::http::filter::{AttributeBody, ScalarBody};
use crate::http::problem::Problem;
use crate::http::wire::{self, bounded};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    /// The document's text: Markdown, plain text, code, HTML, CSV, JSON, a mail.
    #[serde(default)]
    text: Option<String>,
    /// In place of `text`: the document's bytes in base64, as a PDF or an Office file needs them.
    #[serde(default)]
    base64: Option<String>,
    /// What the document is, such as `text/markdown`, `text/html`, `application/json` or `application/pdf`. With
    /// `base64`, it may name a `charset`.
    #[serde(default = "markdown")]
    content_type: String,
    /// Without one: the first heading, else the last part of the id.
    #[serde(default)]
    title: Option<String>,
    /// Where a person finds the original.
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    /// Names with values: strings, numbers, true or false, or lists of strings.
    attributes: BTreeMap<String, AttributeBody>,
    #[serde(default)]
    acl: AclBody,
    /// When the original was changed last, in RFC 3339.
    #[serde(default)]
    modified_at: Option<String>,
    /// The source that the document belongs to.
    #[serde(default)]
    source: Option<String>,
}

fn markdown() -> String {
    "text/markdown".to_owned()
}

pub(crate) fn body_bytes(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::too_large(limits::DOCUMENT_FILE_BYTES_MAX)
        } else {
            rejection.into()
        }
    })
}

/// The submission that a request makes.
pub(crate) fn submission(id: DocumentId, headers: &HeaderMap, bytes: Bytes) -> Result<Submission, Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let expect = expectation(headers)?;
    let is_envelope = content_type.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
    let (content, envelope) = if is_envelope {
        let mut envelope = parse_envelope(&bytes)?;
        (Content::of_envelope(&mut envelope)?, envelope)
    } else {
        let envelope = headers_as_envelope(content_type, headers)?;
        (Content::of_body(&id, content_type, bytes)?, envelope)
    };
    let Content { bytes, format, charset } = content;
    let most = if format.is_text() { limits::DOCUMENT_BODY_BYTES_MAX } else { limits::DOCUMENT_FILE_BYTES_MAX };
    if bytes.len() > most {
        return Err(Problem::too_large(most));
    }
    check_metadata(&envelope)?;
    let attributes: Attributes = envelope.attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
    attribute::check(&attributes)?;
    let modified_at = envelope.modified_at.as_deref().map(|text| wire::parse_time("modified_at", text)).transpose()?;
    Ok(Submission {
        id,
        bytes,
        format,
        charset,
        title: envelope.title.filter(|title| !title.trim().is_empty()),
        uri: envelope.uri,
        source: envelope.source,
        attributes,
        modified_at,
        acl: envelope.acl.parse()?,
        expect,
    })
}

/// A document's bytes, and what was said of them.
struct Content {
    bytes: Vec<u8>,
    format: Format,
    charset: Option<String>,
}

impl Content {
    /// What an envelope holds. Its text is UTF-8 already, whatever its content type says.
    fn of_envelope(envelope: &mut Envelope) -> Result<Self, Problem> {
        let format = Format::from_content_type(&envelope.content_type).map_err(IngestError::Text)?;
        match (envelope.text.take(), envelope.base64.take()) {
            (Some(_), None) if needs_bytes(format) => Err(Problem::invalid(format!(
                "A document of {} is no text: send its bytes as `base64` in place of `text`, or as the request's body. \
                 What is text can be sent as text/markdown.",
                format.as_content_type()
            ))),
            (Some(text), None) => Ok(Self { bytes: text.into_bytes(), format, charset: Some("utf-8".to_owned()) }),
            (None, Some(base64)) => {
                let bytes = BASE64.decode(base64.trim()).map_err(|_| {
                    Problem::invalid("`base64` is not base64 with the standard letters and its padding.")
                })?;
                let charset = Format::charset(&envelope.content_type).map(str::to_owned);
                Ok(Self { bytes, format, charset })
            }
            _ => Err(Problem::invalid("The envelope needs `text` or `base64`, and not both.")),
        }
    }

    /// What a body holds that is the document itself.
    fn of_body(id: &DocumentId, content_type: &str, bytes: Bytes) -> Result<Self, Problem> {
        let format = sniff::format(Some(content_type), id.as_str(), &bytes).map_err(IngestError::Format)?;
        let charset = Format::charset(content_type).map(str::to_owned);
        Ok(Self { bytes: bytes.to_vec(), format, charset })
    }
}

/// Whether a format's files are not made of characters.
fn needs_bytes(format: Format) -> bool {
    matches!(format, Format::Pdf | Format::Docx | Format::Pptx | Format::Xlsx)
}

fn parse_envelope(bytes: &[u8]) -> Result<Envelope, Problem> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        Problem::invalid(format!("The body is not UTF-8: byte {at} cannot be read. Convert it and send it again."))
            .named("invalid-utf8", "The text is not UTF-8")
    })?;
    serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            Problem::invalid(format!("The envelope is not as it should be: {error}."))
        } else {
            Problem::malformed(format!("The body is not JSON: {error}."))
        }
    })
}

fn check_metadata(envelope: &Envelope) -> Result<(), Problem> {
    for (field, value) in [("title", &envelope.title), ("uri", &envelope.uri), ("source", &envelope.source)] {
        bounded(field, value.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

/// What `If-Match` says, where something must be there in any case.
pub(crate) fn expected_version(headers: &HeaderMap) -> Result<Expect, Problem> {
    match expectation(headers)? {
        Expect::Absent => {
            Err(Problem::malformed("`if-none-match` is for writing a document; send `if-match: \"vN\"`."))
        }
        expect => Ok(expect),
    }
}

/// What `If-Match` and `If-None-Match` say of the version that the writer believes is there.
fn expectation(headers: &HeaderMap) -> Result<Expect, Problem> {
    let text =
        |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?").trim().to_owned());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Expect::Any),
        (None, Some(any)) if any == "*" => Ok(Expect::Absent),
        (Some(tag), None) => tag
            .trim_matches('"')
            .strip_prefix('v')
            .and_then(|number| number.parse().ok())
            .map(|number| Expect::Version(VersionNo(number)))
            .ok_or_else(|| Problem::malformed("`if-match` must be the ETag of a version, as in \"v3\".")),
        _ => Err(Problem::malformed("Send `if-match: \"vN\"`, or `if-none-match: *`, or neither.")),
    }
}

fn headers_as_envelope(content_type: &str, headers: &HeaderMap) -> Result<Envelope, Problem> {
    let list = |name| -> Result<Vec<String>, Problem> {
        let text = decoded(headers, name)?.unwrap_or_default();
        Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
    };
    let entries = |name| Ok::<_, Problem>(list(name)?.into_iter().map(EntryBody::from).collect());
    let pair = |text: String| {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Problem::malformed("`catena-attributes` must read `name=value, name=value`."))?;
        Ok((name.trim().to_owned(), AttributeBody::One(ScalarBody::Text(value.trim().to_owned()))))
    };
    Ok(Envelope {
        text: None,
        base64: None,
        content_type: content_type.to_owned(),
        title: decoded(headers, "catena-title")?,
        uri: decoded(headers, "catena-uri")?,
        attributes: list("catena-attributes")?.into_iter().map(pair).collect::<Result<_, Problem>>()?,
        acl: AclBody {
            allow: entries("catena-allow")?,
            deny: entries("catena-deny")?,
            label: decoded(headers, "catena-label")?,
            unknown: None,
        },
        modified_at: decoded(headers, "catena-modified-at")?,
        source: decoded(headers, "catena-source")?,
    })
}

/// A header's value, percent-decoded.
fn decoded(headers: &HeaderMap, name: &'static str) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text =
        value.to_str().map_err(|_| Problem::malformed(format!("`{name}` must be ASCII; percent-encode the rest.")))?;
    let text = percent_encoding::percent_decode_str(text).decode_utf8();
    text.map(|text| Some(text.into_owned())).map_err(|_| Problem::malformed(format!("`{name}` is not UTF-8.")))
}
