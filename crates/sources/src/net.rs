//! The way out to the network, for every source that asks somebody.
//!
//! Promises: only http and https, only ports that are usual or that the operator names, and no connection to an address
//! that is not public unless the operator names its host or its network. A name is resolved once for each connection, each
//! of its addresses is checked, and exactly those are connected to, so a name that means something else a moment later
//! gains nothing. No proxy, no cookie, and no redirect that the caller does not follow itself, through the same check.
//! Does not: retry, or know what an answer means.

mod addresses;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;
use reqwest::{Client, ClientBuilder, Response};
use url::{Host, Url};

use crate::error::SourceError;
use crate::surroundings::Surroundings;

/// As which program the service shows itself, also to `robots.txt`.
pub(crate) const AGENT: &str = concat!("catena/", env!("CARGO_PKG_VERSION"));
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence within an answer.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest time for one answer, its body included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest time for the resolution of a name.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most addresses of a name that are looked at.
const ADDRESSES_MAX: usize = 64;

/// What goes out, and what may be reached.
#[derive(Clone)]
pub(crate) struct Outward {
    client: Client,
    allowed: Arc<Allowed>,
}

/// What may be reached besides the public internet, and how names become addresses.
pub(crate) struct Allowed {
    hosts: Vec<(String, Option<u16>)>,
    networks: Vec<IpNet>,
    names: Arc<dyn Resolve>,
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// It is longer than allowed.
    TooLong,
    /// The connection ended, or was silent too long.
    Broken(String),
}

impl Outward {
    pub(crate) fn new(surroundings: &Surroundings) -> Result<Self, SourceError> {
        Self::resolving_by(surroundings, Arc::new(System))
    }

    /// The same with another way from names to addresses.
    pub(crate) fn resolving_by(surroundings: &Surroundings, names: Arc<dyn Resolve>) -> Result<Self, SourceError> {
        let hosts = surroundings.hosts.iter().map(|host| host_and_port(host)).collect();
        let allowed = Arc::new(Allowed { hosts, networks: surroundings.networks.clone(), names });
        let client = build(Client::builder(), &allowed)?;
        Ok(Self { client, allowed })
    }

    /// A client for a library that makes its requests itself. Bodies come as they were sent.
    pub(crate) fn plain_client(&self) -> Result<Client, SourceError> {
        build(Client::builder().no_gzip(), &self.allowed)
    }

    /// Asks for an address, and follows nothing.
    pub(crate) async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Response, SourceError> {
        self.allowed.check(url)?;
        let sent = self.client.get(url.clone()).headers(headers).send().await;
        sent.map_err(|error| failed(url, error))
    }

    /// Whether an address may be asked for at all, as far as that is known before its name is resolved.
    pub(crate) fn check(&self, url: &Url) -> Result<(), SourceError> {
        self.allowed.check(url)
    }

    /// Whether the operator names the host of an address.
    pub(crate) fn is_named(&self, url: &Url) -> bool {
        self.allowed.names(url)
    }

    /// The addresses that may be connected to for `url`, for a program that connects by itself.
    pub(crate) async fn addresses(&self, url: &Url) -> Result<Vec<IpAddr>, SourceError> {
        self.allowed.check(url)?;
        let host = url.host_str().unwrap_or_default();
        if let Some(Host::Ipv4(_) | Host::Ipv6(_)) = url.host() {
            return Ok(Vec::new());
        }
        let found = Arc::clone(&self.allowed).open_addresses(host.to_owned()).await;
        let found = found.map_err(|error| SourceError::unreachable(shown(url), error.to_string()))?;
        Ok(found.into_iter().map(|address| address.ip()).collect())
    }
}

impl fmt::Debug for Outward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outward")
    }
}

fn build(builder: ClientBuilder, allowed: &Arc<Allowed>) -> Result<Client, SourceError> {
    builder
        .user_agent(AGENT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_TIMEOUT)
        .timeout(ANSWER_TIMEOUT)
        .pool_max_idle_per_host(2)
        .dns_resolver(Guard(Arc::clone(allowed)))
        .build()
        .map_err(|error| SourceError::invalid(format!("no client for http could be made: {}", reasons(&error))))
}

impl Allowed {
    /// What can be refused by the address alone. Of hosts that are names the addresses are checked when it is connected.
    pub(crate) fn check(&self, url: &Url) -> Result<(), SourceError> {
        let refuse = |reason: String| Err(SourceError::refused(shown(url), reason));
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("only http and https are asked".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("a user name or a password stands in the address; give those as credentials".to_owned());
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return refuse("it names no host".to_owned());
        };
        // A dot at the end changes nothing about which host it is.
        let name = url.host_str().unwrap_or_default().trim_end_matches('.');
        let named = self.names(url);
        let in_network = match host {
            Host::Ipv4(four) => Some(four.into()),
            Host::Ipv6(six) => Some(six.into()),
            Host::Domain(_) => None,
        };
        let in_network = in_network.map(|address| {
            (addresses::is_open(address, &self.networks), addresses::is_allowed(address, &self.networks))
        });
        match in_network {
            _ if named => Ok(()),
            Some((false, _)) => {
                refuse("it is not a public address; the operator can allow its host or network".to_owned())
            }
            Some((_, true)) => Ok(()),
            None if self.hosts.iter().any(|(host, _)| host == name) => {
                refuse(format!("the operator allows this host at other ports than {port}"))
            }
            _ if !matches!(port, 80 | 443) => {
                refuse(format!("port {port} is not asked unless the operator allows the host"))
            }
            _ => Ok(()),
        }
    }

    fn names(&self, url: &Url) -> bool {
        let name = url.host_str().unwrap_or_default().trim_end_matches('.');
        let port = url.port_or_known_default();
        self.hosts.iter().any(|(host, only)| host == name && only.is_none_or(|only| Some(only) == port))
    }

    /// Every address of a host, or an error if one of them may not be reached.
    async fn open_addresses(self: Arc<Self>, host: String) -> Result<Vec<SocketAddr>, Refusal> {
        let name: Name = host.parse().map_err(|_| Refusal::Unknown)?;
        let resolving = self.names.resolve(name);
        let answer = tokio::time::timeout(RESOLVE_TIMEOUT, resolving).await.map_err(|_| Refusal::Unknown)?;
        let found: Vec<SocketAddr> = answer.map_err(|_| Refusal::Unknown)?.take(ADDRESSES_MAX).collect();
        if found.is_empty() {
            return Err(Refusal::Unknown);
        }
        let named = self.hosts.iter().any(|(allowed, _)| *allowed == host.trim_end_matches('.').to_ascii_lowercase());
        if !named && found.iter().any(|address| !addresses::is_open(address.ip(), &self.networks)) {
            return Err(Refusal::Private);
        }
        Ok(found)
    }
}

/// Why a name leads nowhere. It does not say which addresses there are inside.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("its name cannot be resolved")]
    Unknown,
    #[error("its name leads to an address that is not public; the operator can allow its host or network")]
    Private,
}

/// The refusal behind an error, if that is what caused it.
pub(crate) fn refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    error.downcast_ref::<Refusal>().map(ToString::to_string)
}

/// Lets through what may be reached.
struct Guard(Arc<Allowed>);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.0);
        Box::pin(async move {
            let found = allowed.open_addresses(name.as_str().to_owned()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The machine's own way from names to addresses.
struct System;

impl Resolve for System {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// `name`, `name:port`, `[address]:port` or an address, as the operator writes it.
fn host_and_port(text: &str) -> (String, Option<u16>) {
    let text = text.trim().to_ascii_lowercase();
    let parsed = Url::parse(&format!("catena://{text}/")).ok();
    let split = parsed.and_then(|url| Some((url.host_str()?.to_owned(), url.port())));
    split.unwrap_or((text, None))
}

/// An address as it is shown: without what may be a secret in it.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

fn failed(url: &Url, error: reqwest::Error) -> SourceError {
    let error = error.without_url();
    let reason = if error.is_timeout() { "it does not answer in time".to_owned() } else { reasons(&error) };
    SourceError::unreachable(shown(url), reason)
}

/// An error with what caused it, in one line.
pub(crate) fn reasons(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    for _ in 0..8 {
        let Some(one) = cause else { break };
        let said = one.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = one.source();
    }
    text
}

/// Reads a body that is at most so long, after what its transfer packed was unpacked.
pub(crate) async fn body(response: Response, bytes_max: u64) -> Result<Vec<u8>, Cut> {
    let mut bytes = Vec::new();
    let mut parts = response.bytes_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| Cut::Broken(reasons(&error.without_url())))?;
        if bytes.len() as u64 + part.len() as u64 > bytes_max {
            return Err(Cut::TooLong);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
