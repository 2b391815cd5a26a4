//! A model that another server runs, behind the OpenAI-compatible `/v1/embeddings`.
//!
//! Promises: several texts of one tenant go in one request; a request has a deadline, and is repeated where that can help
//! and no longer; a server that is away is left alone for a while (see `breaker`); an answer counts only if it has one
//! vector of the right length for each text; the key goes to the configured address alone. Does not: trust the server with
//! cutting texts to length, follow redirects, or log what it sends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use catena_runtime::{clock, random};
use reqwest::{Client as Http, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::answer::Vector;
use crate::breaker::Breaker;
use crate::description::Remote;
use crate::error::EmbeddingError;
use crate::lane::{Input, Job, Reply, Turn};
use crate::model::Facts;
use crate::session::Work;
use crate::tokens::{self, Role};
use crate::worker::Worker;

/// Texts in one request, and their bytes.
const REQUEST: Turn = Turn { texts: 32, bytes: 64 << 10 };
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// How long all attempts for documents may take together.
const DOCUMENTS_DEADLINE: Duration = Duration::from_secs(60);
/// The same for a query, which somebody waits for.
const QUERY_DEADLINE: Duration = Duration::from_millis(2_500);
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a vector's number may take as text, to bound an answer.
const BYTES_PER_NUMBER: usize = 32;
const ANSWER_SPARE_BYTES: usize = 1 << 20;

/// Something that must not be shown.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("(secret)")
    }
}

/// A server, as all workers see it.
pub(crate) struct Upstream {
    facts: Arc<Facts>,
    address: reqwest::Url,
    model: String,
    key: Option<Secret>,
    breaker: Breaker,
}

#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    input: &'a [String],
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Response {
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    index: usize,
    embedding: Vec<f32>,
}

/// Why an attempt gave no vectors.
enum Failure {
    /// Another attempt may go better, after a pause that the server asked for.
    Passing { reason: String, wait: Option<Duration> },
    /// The server will say the same again.
    Lasting(String),
}

impl Upstream {
    pub(crate) fn new(facts: &Arc<Facts>, remote: &Remote, key: Option<Secret>) -> Result<Self, EmbeddingError> {
        let wrong = |reason: &dyn std::fmt::Display| facts.unusable(format!("[remote] url {}: {reason}", remote.url));
        let address = format!("{}/embeddings", remote.url.trim_end_matches('/'));
        let address = reqwest::Url::parse(&address).map_err(|error| wrong(&error))?;
        let breaker = Breaker::new();
        let upstream = Self { facts: Arc::clone(facts), address, model: remote.model.clone(), key, breaker };
        if upstream.key.is_some() && upstream.address.scheme() != "https" && !upstream.is_here() {
            return Err(wrong(&"a key is only sent over https, or to this machine"));
        }
        Ok(upstream)
    }

    /// Whether it is on this machine.
    fn is_here(&self) -> bool {
        matches!(self.address.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// A connection for one worker.
    pub(crate) fn client(self: &Arc<Self>) -> Result<Client, EmbeddingError> {
        let waiting = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| EmbeddingError::Thread { source })?;
        let mut http = Http::builder().connect_timeout(CONNECT_DEADLINE).redirect(reqwest::redirect::Policy::none());
        if self.is_here() {
            // The key may go over plain HTTP to this machine, so nothing stands in between.
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| self.facts.unusable(error.to_string()))?;
        Ok(Client { upstream: Arc::clone(self), http, waiting: Some(waiting) })
    }

    fn away(&self, reason: impl Into<String>) -> EmbeddingError {
        EmbeddingError::RemoteAway { address: self.shown(), reason: reason.into() }
    }

    fn shown(&self) -> String {
        let mut shown = self.address.clone();
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        shown.set_query(None);
        shown.to_string()
    }
}

/// One worker's way to the server.
pub(crate) struct Client {
    upstream: Arc<Upstream>,
    http: Http,
    /// There until it is dropped.
    waiting: Option<Runtime>,
}

impl Drop for Client {
    fn drop(&mut self) {
        // A client whose neighbour could not be made is dropped where others wait, and there a runtime may not block.
        if let Some(waiting) = self.waiting.take() {
            waiting.shutdown_background();
        }
    }
}

/// A text that may be sent.
struct Ready<A> {
    reply: Reply<A>,
    position: usize,
    truncated: usize,
}

impl<A: Vector> Worker<A> for Client {
    fn turn(&self) -> Turn {
        if A::ROLE == Role::Query { Turn::ONE } else { REQUEST }
    }

    fn answer(&mut self, jobs: Vec<Job<A>>) -> Work {
        let (mut ready, mut texts, mut work) = (Vec::new(), Vec::new(), Work::default());
        for job in jobs {
            let (position, input, reply) = job.begin();
            match self.readable(A::ROLE, position, &input) {
                Ok((text, tokens, truncated)) => {
                    work += Work { texts: 1, tokens };
                    texts.push(text);
                    ready.push(Ready { reply, position, truncated });
                }
                Err(error) => _ = reply.send(Err(error)),
            }
        }
        if ready.is_empty() {
            return Work::default();
        }
        let deadline = if A::ROLE == Role::Query { QUERY_DEADLINE } else { DOCUMENTS_DEADLINE };
        let Some(waiting) = &self.waiting else { return Work::default() };
        let called = waiting.block_on(async {
            tokio::select! {
                vectors = tokio::time::timeout(deadline, self.call(&texts)) => vectors.unwrap_or_else(|_| {
                    self.upstream.breaker.failed();
                    Err(self.upstream.away(format!("no answer within {} ms", deadline.as_millis())))
                }),
                // A request that nobody waits for any more is broken off.
                () = all_gone(&mut ready) => Err(EmbeddingError::Stopped),
            }
        });
        let normalise = self.upstream.facts.description.normalise;
        match called {
            Ok(vectors) => {
                for (Ready { reply, position, truncated }, values) in ready.into_iter().zip(vectors) {
                    let answer = A::of(&values, normalise, truncated);
                    let _ = reply.send(answer.map_err(|defect| EmbeddingError::BadVector { position, defect }));
                }
                work
            }
            Err(error) => {
                for Ready { reply, .. } in ready {
                    let _ = reply.send(Err(error.again()));
                }
                Work::default()
            }
        }
    }
}

/// Ends when the last caller has gone.
async fn all_gone<A>(ready: &mut [Ready<A>]) {
    for one in ready {
        one.reply.closed().await;
    }
}

impl Client {
    /// The text as it is sent, its tokens, and how many of a query's did not fit.
    fn readable(&self, role: Role, position: usize, input: &Input) -> Result<(String, usize, usize), EmbeddingError> {
        let facts = &self.upstream.facts;
        let read = tokens::read(facts, role, position, input)?;
        let Input::Text(text) = input else { return Err(facts.unusable("a remote model judges nothing")) };
        let whole = tokens::prefixed(facts, role, text);
        let sent = match read.truncated {
            0 => whole.into_owned(),
            truncated => tokens::without_end(facts, &whole, truncated),
        };
        Ok((sent, read.len(), read.truncated))
    }

    /// The vectors of texts, in their order.
    async fn call(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        let upstream = &self.upstream;
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            if !upstream.breaker.may_call() {
                return Err(upstream.away("it failed several times in a row and is left alone for a while"));
            }
            let failure = match self.attempt(texts).await {
                Ok(vectors) => {
                    upstream.breaker.succeeded();
                    return Ok(vectors);
                }
                Err(failure) => failure,
            };
            match failure {
                Failure::Lasting(reason) => {
                    // It answers: that it does not like the question says nothing of the next one.
                    upstream.breaker.succeeded();
                    return Err(EmbeddingError::RemoteRefused { address: upstream.shown(), reason });
                }
                Failure::Passing { reason, .. } if attempt == ATTEMPTS => {
                    upstream.breaker.failed();
                    return Err(upstream.away(reason));
                }
                Failure::Passing { wait, .. } => {
                    upstream.breaker.failed();
                    metrics::counter!("catena_embedding_server_retries_total").increment(1);
                    // Workers that failed together do not come back together, and never before they were asked to.
                    let [chance] = random::bytes().unwrap_or([u8::MAX]);
                    let apart = pause * u32::from(chance) / u32::from(u8::MAX);
                    clock::pause(wait.map_or(pause / 2, |wait| wait.min(LONGEST_PAUSE)) + apart / 2).await;
                    pause *= 2;
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn attempt(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, Failure> {
        let upstream = &self.upstream;
        let body = Request { model: &upstream.model, input: texts, encoding_format: "float" };
        let mut request = self.http.post(upstream.address.clone()).json(&body);
        if let Some(Secret(key)) = &upstream.key {
            request = request.bearer_auth(key);
        }
        let passing = |error: reqwest::Error| Failure::Passing { reason: plain(&error), wait: None };
        let response = request.send().await.map_err(passing)?;
        let status = response.status();
        if !status.is_success() {
            let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let reason = format!("it answers {status}");
            return Err(match status {
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                    Failure::Passing { reason, wait: wait.map(Duration::from_secs) }
                }
                status if status.is_server_error() => Failure::Passing { reason, wait: wait.map(Duration::from_secs) },
                _ => Failure::Lasting(reason),
            });
        }
        let dimension = upstream.facts.description.dimension;
        let limit = texts.len() * dimension * BYTES_PER_NUMBER + ANSWER_SPARE_BYTES;
        let bytes = bounded(response, limit).await?;
        let response: Response = serde_json::from_slice(&bytes)
            .map_err(|error| Failure::Lasting(format!("its answer is not understood: {error}")))?;
        ordered(response, texts.len(), dimension).map_err(Failure::Lasting)
    }
}

/// The body, unless it is longer than any answer can be.
async fn bounded(mut response: reqwest::Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(bytes),
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= limit => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Lasting(format!("its answer is longer than {limit} bytes"))),
            Err(error) => return Err(Failure::Passing { reason: plain(&error), wait: None }),
        }
    }
}

/// One vector for each text, in their order.
fn ordered(response: Response, texts: usize, dimension: usize) -> Result<Vec<Vec<f32>>, String> {
    let given = response.data.len();
    let mut by_index: HashMap<usize, Vec<f32>> =
        response.data.into_iter().map(|datum| (datum.index, datum.embedding)).collect();
    let mut vectors = Vec::with_capacity(texts);
    for index in 0..texts {
        let vector = by_index.remove(&index).ok_or_else(|| format!("its answer has no vector for text {index}"))?;
        if vector.len() != dimension {
            return Err(format!("its vectors have {} numbers, the model's description says {dimension}", vector.len()));
        }
        vectors.push(vector);
    }
    if given == texts { Ok(vectors) } else { Err("its answer has more vectors than there are texts".to_owned()) }
}

/// What went wrong with a connection, down to its cause, without the address (which may hold a password).
fn plain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() { format!("no answer in time ({cause})") } else { cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(data: &[(usize, &[f32])]) -> Response {
        let datum = |(index, embedding): &(usize, &[f32])| Datum { index: *index, embedding: embedding.to_vec() };
        Response { data: data.iter().map(datum).collect() }
    }

    #[test]
    fn vectors_are_put_in_the_order_of_the_texts() {
        let swapped = response(&[(1, &[2.0, 2.0]), (0, &[1.0, 1.0])]);
        assert_eq!(ordered(swapped, 2, 2), Ok(vec![vec![1.0, 1.0], vec![2.0, 2.0]]));
    }

    #[test]
    fn an_answer_that_does_not_fit_the_question_counts_for_nothing() {
        let one: &[f32] = &[1.0, 1.0];
        for (data, wrong) in [
            (vec![(0, one)], "no vector for text 1"),
            (vec![(0, one), (0, one)], "no vector for text 1"),
            (vec![(0, one), (1, &[1.0])], "have 1 numbers"),
            (vec![(0, one), (1, one), (2, one)], "more vectors"),
            (vec![(0, one), (1, one), (1, &[2.0, 2.0])], "more vectors"),
        ] {
            let error = ordered(response(&data), 2, 2).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!format!("{:?}", Secret::new("hush".to_owned())).contains("hush"));
    }
}
