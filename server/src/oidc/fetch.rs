//! Reading an issuer's description and keys.
//!
//! Promises: one request, no redirects, an answer of bounded size in a bounded time, over TLS unless the issuer is on
//! this machine. Does not: send anything but the address.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use super::settings::{Source, Trust, address, is_loopback};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long an answer may take, all in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// What of an issuer's description is needed.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

/// Reads from one issuer.
#[derive(Debug)]
pub(super) struct Reader {
    http: Client,
    issuer: String,
}

impl Reader {
    pub(super) fn new(trust: &Trust) -> anyhow::Result<Self> {
        let (Source::Known(url) | Source::Described(url)) = &trust.source;
        let mut builder = Client::builder()
            .user_agent(concat!("catena/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .redirect(Policy::none());
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        if url.scheme() != "https" {
            // Without this, a machine that has no certificates could not even speak plain HTTP to itself.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().context("TLS cannot be set up; are the system's certificates installed?")?;
        Ok(Self { http, issuer: trust.issuer.clone() })
    }

    /// The address of the keys, out of the description at `url`.
    pub(super) async fn described(&self, url: &Url) -> anyhow::Result<Url> {
        let description: Description =
            serde_json::from_slice(&self.get(url).await?).with_context(|| format!("{url} is no description"))?;
        ensure!(description.issuer == self.issuer, "{url} describes another issuer than {:?}", self.issuer);
        let keys = address("jwks_uri", &description.jwks_uri)?;
        ensure!(is_loopback(&keys) <= is_loopback(url), "{url} sends to this machine for the keys");
        Ok(keys)
    }

    /// What is at `url`.
    pub(super) async fn get(&self, url: &Url) -> anyhow::Result<Vec<u8>> {
        let mut response = self.http.get(url.clone()).send().await?;
        if response.status() != StatusCode::OK {
            bail!("{url} answered {}", response.status());
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            ensure!(
                bytes.len() + chunk.len() <= ANSWER_BYTES_MAX,
                "{url} answered with more than {ANSWER_BYTES_MAX} bytes"
            );
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}
