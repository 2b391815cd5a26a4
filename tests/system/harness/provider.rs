//! An identity provider of the tests' own: a description, a set of keys, and a list of all that it was asked.
//!
//! Speaks as much HTTP as a reader of keys needs, one request to a connection. Its signing keys are files beside this one.

use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{place, text};

/// What the provider does with those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers.
    Up,
    /// Answers that it is out of order.
    Down,
    /// Lets those who ask for keys wait.
    Slow,
    /// Sends those who ask for keys elsewhere.
    Elsewhere,
    /// Answers with its keys and far too much besides.
    Endless,
}

/// A provider that listens until the test ends.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) url: String,
    manner: watch::Sender<Manner>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<Value>,
    issuer: String,
    asked: Vec<String>,
}

/// The path of its keys.
const KEYS: &str = "/keys";

impl Provider {
    /// Starts one that publishes the keys of these signers.
    pub(crate) async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (manner, seen) = watch::channel(Manner::Up);
        let state = Arc::new(Mutex::new(State { issuer: format!("{url}/realm"), ..State::default() }));
        let provider = Self { url: url.clone(), manner, state: Arc::clone(&state) };
        provider.publish(signers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, url.clone(), seen.clone(), Arc::clone(&state)));
            }
        });
        provider
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The issuer's name.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/realm", self.url)
    }

    /// Publishes the keys of these signers and no others.
    pub(crate) fn publish(&self, signers: &[&Signer]) {
        let keys = signers.iter().map(|signer| signer.public()).collect();
        self.state(|state| state.keys = keys);
    }

    /// Describes itself under another name.
    pub(crate) fn pretend_to_be(&self, issuer: &str) {
        self.state(|state| issuer.clone_into(&mut state.issuer));
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// Every request, as it came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state(|state| state.asked.clone())
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked_for_keys(&self) -> usize {
        self.asked().iter().filter(|request| request.starts_with(&format!("GET {KEYS} "))).count()
    }
}

async fn serve(mut stream: TcpStream, url: String, mut manner: watch::Receiver<Manner>, state: Arc<Mutex<State>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (keys, issuer) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.push(request);
        (json!({"keys": state.keys}), state.issuer.clone())
    };
    let _ = manner.wait_for(|manner| *manner != Manner::Slow || path != KEYS).await;
    let now = *manner.borrow();
    let (status, header, body) = match (path.as_str(), now) {
        (_, Manner::Down) => ("503 Out Of Order", String::new(), String::new()),
        (KEYS, Manner::Elsewhere) => ("302 Found", format!("location: {url}/elsewhere\r\n"), String::new()),
        (KEYS, Manner::Endless) => ("200 OK", String::new(), with_padding(keys, 1_000_000).to_string()),
        (KEYS | "/elsewhere", _) => ("200 OK", String::new(), keys.to_string()),
        ("/realm/.well-known/openid-configuration", _) => {
            ("200 OK", String::new(), json!({"issuer": issuer, "jwks_uri": format!("{url}{KEYS}")}).to_string())
        }
        _ => ("404 Not Found", String::new(), String::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
}

/// The same keys, and very much besides.
fn with_padding(mut keys: Value, bytes: usize) -> Value {
    keys["padding"] = json!("x".repeat(bytes));
    keys
}

/// A private key with a name.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
}

/// A file of the folder of keys.
pub(crate) fn key_file(name: &str) -> Vec<u8> {
    let path = place::project().join("tests/system/harness/keys").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Signer {
    /// The key on the curve P-256 in the file `ec-NAME.pem`.
    pub(crate) fn ec(name: &str) -> Self {
        let key = EncodingKey::from_ec_pem(&key_file(&format!("ec-{name}.pem"))).expect("a key");
        Self { kid: name.to_owned(), algorithm: Algorithm::ES256, key }
    }

    /// The RSA key.
    pub(crate) fn rsa() -> Self {
        let key = EncodingKey::from_rsa_pem(&key_file("rsa.pem")).expect("a key");
        Self { kid: "rsa".to_owned(), algorithm: Algorithm::RS256, key }
    }

    /// A shared secret of these bytes.
    pub(crate) fn secret(kid: &str, secret: &[u8]) -> Self {
        Self { kid: kid.to_owned(), algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret) }
    }

    /// The same key under another name.
    pub(crate) fn named(&self, kid: &str) -> Self {
        Self { kid: kid.to_owned(), ..self.clone() }
    }

    /// The public half, as it is published.
    pub(crate) fn public(&self) -> Value {
        let key = Jwk::from_encoding_key(&self.key, self.algorithm).expect("a public half");
        let mut key = serde_json::to_value(key).expect("a key is JSON");
        key["kid"] = json!(self.kid);
        key["use"] = json!("sig");
        key
    }

    /// What the header of a token of this key usually is.
    pub(crate) fn header(&self) -> Value {
        json!({"typ": "at+jwt", "alg": format!("{:?}", self.algorithm), "kid": self.kid})
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A token out of a header and claims as they stand.
    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", text::base64url(header.as_bytes()), text::base64url(claims.as_bytes()));
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).expect("a signature");
        format!("{message}.{signature}")
    }
}
