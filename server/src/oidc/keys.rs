//! An issuer's keys, kept for a while.
//!
//! Promises: keys are asked for at most once in a while, and by one request for all that wait; a key that the issuer has
//! withdrawn is used no longer than its age; keys that cannot be read again are used for a bounded time. Does not: use a
//! key for an algorithm that it is not for, or a shared secret at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use catena_runtime::clock::Stopwatch;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::Refusal;
use super::fetch::Reader;
use super::settings::{Ages, Source, Trust};
use super::token::KID_BYTES_MAX;

/// Most keys that are taken from one issuer.
const KEYS_MAX: usize = 64;
/// Requests that may wait for one issuer's keys at once; more than these are refused rather than kept waiting.
const WAITING_MAX: usize = 128;
/// What a key of RSA can check.
const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// One key, and what it is for.
pub(super) struct Key {
    kid: String,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of one answer.
pub(super) struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct Answer {
    keys: Vec<Value>,
}

/// What is known at a moment.
#[derive(Clone, Default)]
struct Held {
    keys: Option<(Arc<KeySet>, Stopwatch)>,
    tried: Option<Stopwatch>,
}

/// One issuer's keys.
pub(super) struct Keys {
    name: String,
    algorithms: Vec<Algorithm>,
    ages: Ages,
    source: Source,
    reader: Reader,
    described: Mutex<Option<Url>>,
    held: Mutex<Held>,
    turn: Arc<tokio::sync::Mutex<()>>,
    waiting: Semaphore,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.name)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Keys {
    pub(super) fn new(trust: &Trust) -> anyhow::Result<Self> {
        Ok(Self {
            name: trust.name.clone(),
            algorithms: trust.algorithms.clone(),
            ages: trust.ages,
            source: trust.source.clone(),
            reader: Reader::new(trust)?,
            described: Mutex::new(None),
            held: Mutex::new(Held::default()),
            turn: Arc::default(),
            waiting: Semaphore::new(WAITING_MAX),
        })
    }

    /// The issuer's key of this name, if it is for this algorithm.
    pub(super) async fn find(self: &Arc<Self>, kid: &str, algorithm: Algorithm) -> Result<DecodingKey, Refusal> {
        if self.is_due(kid) {
            let _place = self.waiting.try_acquire().map_err(|_| Refusal::NoKeys)?;
            self.refresh(kid).await;
        }
        let held = lock(&self.held).clone();
        match held.keys {
            Some((keys, since)) if since.elapsed() < self.ages.max + self.ages.outage => keys.find(kid, algorithm),
            _ => Err(Refusal::NoKeys),
        }
    }

    /// Whether the keys should be asked for before one of this name is looked up.
    fn is_due(&self, kid: &str) -> bool {
        let held = lock(&self.held);
        if held.tried.is_some_and(|tried| tried.elapsed() < self.ages.between) {
            return false;
        }
        !held.keys.as_ref().is_some_and(|(keys, since)| since.elapsed() < self.ages.max && keys.holds(kid))
    }

    /// Asks for the keys, unless another did while this one waited. It goes on when the request that wanted it is gone, so
    /// that whoever breaks off early cannot make it be repeated.
    async fn refresh(self: &Arc<Self>, kid: &str) {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        if !self.is_due(kid) {
            return;
        }
        let keys = Arc::clone(self);
        let reading = tokio::spawn(async move {
            let read = keys.read().await;
            let mut held = lock(&keys.held);
            held.tried = Some(Stopwatch::start());
            match read {
                Ok(read) => held.keys = Some((Arc::new(read), Stopwatch::start())),
                Err(error) => {
                    tracing::warn!(issuer = keys.name, error = %format!("{error:#}"), "the issuer's keys cannot be read");
                }
            }
            drop(held);
            drop(turn);
        });
        let _ = reading.await;
    }

    async fn read(&self) -> anyhow::Result<KeySet> {
        let url = self.url().await?;
        let bytes = self.reader.get(&url).await?;
        let set = KeySet::read(&bytes, &self.algorithms).with_context(|| format!("{url} holds no set of keys"))?;
        tracing::debug!(issuer = self.name, keys = set.0.len(), "the issuer's keys were read");
        if set.0.is_empty() {
            tracing::warn!(issuer = self.name, "the issuer has no key for any of `algorithms`");
        }
        Ok(set)
    }

    /// Where the keys are; the description is read once.
    async fn url(&self) -> anyhow::Result<Url> {
        let description = match &self.source {
            Source::Known(url) => return Ok(url.clone()),
            Source::Described(description) => description,
        };
        let known = lock(&self.described).clone();
        if let Some(url) = known {
            return Ok(url);
        }
        let url = self.reader.described(description).await?;
        *lock(&self.described) = Some(url.clone());
        Ok(url)
    }

    /// How many keys there are, asked now.
    pub(super) async fn look(&self) -> anyhow::Result<usize> {
        Ok(self.read().await?.0.len())
    }
}

impl KeySet {
    /// The keys that can check a signature by one of `algorithms`. Others are passed over: a set may hold keys of all kinds.
    pub(super) fn read(bytes: &[u8], algorithms: &[Algorithm]) -> anyhow::Result<Self> {
        let answer: Answer = serde_json::from_slice(bytes)?;
        let usable = answer.keys.into_iter().filter_map(|key| Key::of(key, algorithms));
        Ok(Self(usable.take(KEYS_MAX).collect()))
    }

    fn holds(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    pub(super) fn find(&self, kid: &str, algorithm: Algorithm) -> Result<DecodingKey, Refusal> {
        let key = self.0.iter().find(|key| key.kid == kid && key.algorithms.contains(&algorithm));
        match key {
            Some(key) => Ok(key.key.clone()),
            None if self.holds(kid) => Err(Refusal::unproven("the key of its `kid` is not for its algorithm")),
            None => Err(Refusal::unproven("the issuer has no key of its `kid`")),
        }
    }
}

impl Key {
    fn of(value: Value, wanted: &[Algorithm]) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let kid = jwk.common.key_id.clone().filter(|kid| (1..=KID_BYTES_MAX).contains(&kid.len()))?;
        if !jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature) {
            return None;
        }
        if !jwk.common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify)) {
            return None;
        }
        let named = match jwk.common.key_algorithm {
            Some(name) => Some(name.to_string().parse::<Algorithm>().ok()?),
            None => None,
        };
        let fits =
            |algorithm: &&Algorithm| wanted.contains(algorithm) && named.is_none_or(|named| named == **algorithm);
        let algorithms: Vec<Algorithm> = possible(&jwk).iter().filter(fits).copied().collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Self { kid, algorithms, key: DecodingKey::from_jwk(&jwk).ok()? })
    }
}

/// What a key of this kind can check.
fn possible(jwk: &Jwk) -> &'static [Algorithm] {
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &RSA,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        _ => &[],
    }
}
