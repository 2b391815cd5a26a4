//! What several routes have in common on the wire: bodies, times, pages.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use catena_audit::LeafRef;
use catena_domain::{Timestamp, limits};
use chrono::{DateTime, SecondsFormat, Utc};
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::http::problem::Problem;

/// A JSON body, or the problem that says why it is none.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::<T>::from_request(request, state).await?;
        Ok(Self(body))
    }
}

/// What stands behind the question mark, or the problem that says what is wrong with it.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(Problem::malformed(format!("{}.", rejection.body_text()))),
        }
    }
}

/// The names in a path. What cannot be a name is as absent as what is none.
pub(crate) struct Place<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Place<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(place) = Path::<T>::from_request_parts(parts, state).await.map_err(|_| Problem::not_found())?;
        Ok(Self(place))
    }
}

impl<T: Serialize> IntoResponse for Body<T> {
    fn into_response(self) -> Response {
        Json(self.0).into_response()
    }
}

/// A time on the wire: RFC 3339 in UTC.
pub(crate) fn time(at: Timestamp) -> String {
    DateTime::from_timestamp_micros(at.0).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A time as a request gives it.
pub(crate) fn parse_time(field: &str, text: &str) -> Result<Timestamp, Problem> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| Timestamp(at.with_timezone(&Utc).timestamp_micros()))
        .map_err(|_| Problem::invalid(format!("`{field}` is not a time; write it like 2026-05-04T10:00:00Z.")))
}

/// What is said to be nothing is another thing than what is not said.
pub(crate) fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(from).map(Some)
}

/// A text of bounded length out of a request.
pub(crate) fn bounded(field: &str, text: &str) -> Result<(), Problem> {
    let most = limits::ATTRIBUTE_BYTES_MAX;
    if text.len() <= most {
        return Ok(());
    }
    Err(Problem::invalid(format!("`{field}` is {} bytes long; the limit is {most}.", text.len())))
}

/// Where a list goes on.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// The `next` of the page before.
    #[serde(default)]
    pub(crate) after: Option<String>,
    /// Items of one page.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
}

impl Paging {
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(100),
            Some(limit) if (1..=limits::PAGE_ITEMS_MAX).contains(&limit) => Ok(limit),
            Some(limit) => {
                let most = limits::PAGE_ITEMS_MAX;
                Err(Problem::invalid(format!("`limit` is {limit}; it must lie between 1 and {most}.")))
            }
        }
    }
}

/// The leaf of the record that an answer was written down in.
#[derive(Debug, Serialize, ToSchema, schemars::JsonSchema)]
pub(crate) struct Receipt {
    /// Its place in the tenant's record.
    pub(crate) leaf: u64,
    /// Its hash.
    pub(crate) hash: String,
}

impl From<LeafRef> for Receipt {
    fn from(leaf: LeafRef) -> Self {
        Self { leaf: leaf.index, hash: leaf.hash.to_string() }
    }
}

/// A score on the wire: the same digits through every door, and no more of them than mean something.
pub(crate) fn score(score: f32) -> f64 {
    (f64::from(score) * 1e6).round() / 1e6
}

/// A time on the wire, to the microsecond.
pub(crate) fn milliseconds(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of bytes, in hexadecimal digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex(&sha2::Sha256::digest(bytes))
}
