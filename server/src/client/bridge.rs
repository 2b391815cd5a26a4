//! `catena mcp`: a service's MCP endpoint on standard input and output, for clients that start their servers themselves.
//!
//! Promises: each message that comes in as a line is posted as it is, with the headers that its revision of MCP asks for;
//! each request gets one line back, also when the service is gone; standard output holds nothing else.
//! Does not: keep a session, or understand what the messages say beyond their method, name and version.

use std::io::{self, BufRead as _, Read as _};

use anyhow::Context as _;
use catena_domain::limits;
use catena_runtime::thread::{self, Priority};
use clap::Args;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Ended;
use super::connection::{ClientError, Connection, Refusal, ServerArguments};
use super::documents::AsWhom;
use super::output::{note, print};
use super::sse::Events;

/// Messages under way at once; further ones wait in the pipe.
const AT_ONCE: usize = 16;
/// The version under which a request describes itself, since 2026-07-28.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// JSON-RPC's codes for what is no JSON, what is no message, and what went wrong on our side.
const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;
const INTERNAL_ERROR: i64 = -32603;

#[derive(Debug, Args)]
pub(crate) struct BridgeArguments {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    whom: AsWhom,
}

pub(crate) async fn run(arguments: BridgeArguments) -> anyhow::Result<Ended> {
    let bridge = Bridge { server: Connection::open(&arguments.server)?, whom: arguments.whom };
    let (sender, mut lines) = mpsc::channel(1);
    thread::spawn("stdin", Priority::Foreground, move || read_lines(io::stdin().lock(), &sender))
        .context("standard input cannot be read")?;
    let mut version = None;
    let mut under_way = FuturesUnordered::new();
    let mut open = true;
    while open || !under_way.is_empty() {
        tokio::select! {
            line = lines.recv(), if open && under_way.len() < AT_ONCE => match line.map(|line| Message::read(line?)) {
                None => open = false,
                Some(Err(refusal)) => print_line(&refusal)?,
                // The handshake settles the version for all that follows, so nothing overtakes it.
                Some(Ok(message)) if message.is_handshake() => {
                    let answer = bridge.carry(message, None).await;
                    version = answer.iter().find_map(negotiated).or(version);
                    print_all(&answer)?;
                }
                Some(Ok(message)) => under_way.push(bridge.carry(message, version.clone())),
            },
            Some(answer) = under_way.next(), if !under_way.is_empty() => print_all(&answer)?,
        }
    }
    Ok(Ended::Done)
}

fn print_all(messages: &[Value]) -> io::Result<()> {
    messages.iter().try_for_each(print_line)
}

fn print_line(message: &Value) -> io::Result<()> {
    print(message.to_string().as_bytes())
}

/// The version that an answered handshake settled on.
fn negotiated(answer: &Value) -> Option<String> {
    answer.pointer("/result/protocolVersion")?.as_str().map(str::to_owned)
}

/// A line, or the answer to one that is too long.
type Line = Result<Vec<u8>, Value>;

/// Hands lines over until the input ends or nobody wants them.
fn read_lines(mut input: impl io::BufRead, sender: &mpsc::Sender<Line>) {
    let bytes_max = limits::REQUEST_BODY_BYTES_MAX;
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(bytes_max as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = if line.len() > bytes_max && !line.ends_with(b"\n") {
            if input.skip_until(b'\n').is_err() {
                return;
            }
            Err(failure(&Value::Null, INVALID_REQUEST, &format!("the message is longer than {bytes_max} bytes")))
        } else if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        } else {
            Ok(line)
        };
        if sender.blocking_send(line).is_err() {
            return;
        }
    }
}

fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// One message of the client.
#[derive(Debug)]
struct Message {
    /// The message as it came.
    line: Vec<u8>,
    body: Value,
}

impl Message {
    fn read(line: Vec<u8>) -> Result<Self, Value> {
        let body: Value = serde_json::from_slice(&line)
            .map_err(|error| failure(&Value::Null, PARSE_ERROR, &format!("the line is not JSON: {error}")))?;
        if !body.is_object() {
            let text = "a line must be one message; batches were taken out of MCP with 2025-06-18";
            return Err(failure(&Value::Null, INVALID_REQUEST, text));
        }
        Ok(Self { line, body })
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// The id of a request; a notification, and an answer of the client's, has none.
    fn id(&self) -> Option<&Value> {
        self.body.get("id").filter(|id| !id.is_null() && self.body.get("method").is_some())
    }

    fn is_handshake(&self) -> bool {
        self.text("/method") == Some("initialize")
    }

    /// The headers for this message: of the version that it names itself, else of the one that was settled.
    fn headers(&self, settled: Option<&str>) -> HeaderMap {
        let meta = self.body.pointer("/params/_meta").and_then(|meta| meta.get(META_VERSION)).and_then(Value::as_str);
        let name = match self.text("/method") {
            Some("tools/call" | "prompts/get") => self.text("/params/name"),
            Some("resources/read") => self.text("/params/uri"),
            _ => None,
        };
        let modern = meta.is_some();
        let parts = [
            (PROTOCOL_VERSION, meta.or(settled)),
            (METHOD, self.text("/method").filter(|_| modern)),
            (NAME, name.filter(|_| modern)),
        ];
        // A name that cannot stand in a header is not sent; the service then says that the header is missing.
        let parts = parts.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::from_str(text?).ok()?)));
        let mut headers = HeaderMap::from_iter(parts);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers
    }
}

struct Bridge {
    server: Connection,
    whom: AsWhom,
}

impl Bridge {
    /// Posts a message and gives what goes back to the client: for a request at least its answer.
    async fn carry(&self, message: Message, settled: Option<String>) -> Vec<Value> {
        let id = message.id().cloned();
        let answered = self.post(&message, settled.as_deref()).await;
        match (id, answered) {
            (Some(id), Ok(answers)) if answers.iter().any(|answer| answer.get("id") == Some(&id)) => answers,
            (Some(id), Ok(answers)) => {
                let lost = failure(&id, INTERNAL_ERROR, "the service gave no answer to this request");
                answers.into_iter().chain([lost]).collect()
            }
            (Some(id), Err(error)) => vec![failure(&id, INTERNAL_ERROR, &error.to_string())],
            (None, Ok(_)) => Vec::new(),
            (None, Err(error)) => {
                note(&format!("a notification was lost: {error}"));
                Vec::new()
            }
        }
    }

    async fn post(&self, message: &Message, settled: Option<&str>) -> Result<Vec<Value>, ClientError> {
        let request = self.whom.headers(self.server.request(Method::POST, &["mcp"]));
        let request = request.headers(message.headers(settled)).body(message.line.clone());
        let response = self.server.send_any(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = self.server.body(response).await?;
        read_answer(status, &headers, &body)
    }
}

/// The messages in an answer. An error of the protocol is one, whatever its status; another refusal is none.
fn read_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Value>, ClientError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let odd = |what: String| ClientError::Odd { what };
    if kind.starts_with("text/event-stream") && status.is_success() {
        let mut events = Events::default();
        let events = events.feed(body).map_err(|error| odd(error.to_string()))?;
        let message =
            |text: &str| serde_json::from_str(text).map_err(|error| odd(format!("an event is not JSON: {error}")));
        return events.iter().map(|event| message(&event.data)).collect();
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(message) if message.get("jsonrpc").is_some() => Ok(vec![message]),
        _ if status.is_success() && body.is_empty() => Ok(Vec::new()),
        _ if status.is_success() => Err(odd("the answer is no message of MCP; is --url right?".to_owned())),
        _ => Err(ClientError::Refused(Box::new(Refusal::of(status, headers, body)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: Value) -> Message {
        Message::read(body.to_string().into_bytes()).unwrap()
    }

    fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_request_that_describes_itself_gets_the_headers_of_its_version() {
        let call = message(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "search", "arguments": {}, "_meta": {META_VERSION: "2026-07-28"}}}));
        let headers = call.headers(Some("2025-11-25"));
        assert_eq!(header(&headers, "mcp-protocol-version"), Some("2026-07-28"));
        assert_eq!(header(&headers, "mcp-method"), Some("tools/call"));
        assert_eq!(header(&headers, "mcp-name"), Some("search"));
        assert_eq!(header(&headers, "accept"), Some("application/json, text/event-stream"));
    }

    #[test]
    fn after_a_handshake_the_settled_version_is_sent_and_nothing_newer() {
        let call = message(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search"}}));
        let headers = call.headers(Some("2025-11-25"));
        assert_eq!(header(&headers, "mcp-protocol-version"), Some("2025-11-25"));
        assert_eq!((header(&headers, "mcp-method"), header(&headers, "mcp-name")), (None, None));
        assert_eq!(header(&message(json!({"method": "initialize"})).headers(None), "mcp-protocol-version"), None);
        let answer = json!({"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18"}});
        assert_eq!(negotiated(&answer).as_deref(), Some("2025-06-18"));
    }

    #[test]
    fn only_requests_are_answered() {
        assert!(message(json!({"id": "a", "method": "ping"})).id().is_some());
        assert!(message(json!({"method": "notifications/initialized"})).id().is_none());
        assert!(message(json!({"id": 3, "result": {}})).id().is_none());
        assert_eq!(Message::read(b"{".to_vec()).unwrap_err()["error"]["code"], PARSE_ERROR);
        assert_eq!(Message::read(b"[]".to_vec()).unwrap_err()["error"]["code"], INVALID_REQUEST);
    }

    #[test]
    fn an_error_of_the_protocol_is_carried_and_another_is_told() {
        let mut headers = HeaderMap::new();
        let error = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"unknown"}}"#;
        assert_eq!(read_answer(StatusCode::NOT_FOUND, &headers, error).unwrap()[0]["error"]["code"], -32601);
        let problem = br#"{"type":"urn:x","title":"A valid key is needed","status":401,"detail":"No key.","code":"unauthenticated"}"#;
        let refused = read_answer(StatusCode::UNAUTHORIZED, &headers, problem).unwrap_err();
        assert_eq!(refused.to_string(), "A valid key is needed: No key. (unauthenticated)");
        assert!(read_answer(StatusCode::ACCEPTED, &headers, b"").unwrap().is_empty());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        let stream = b"data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1}\n\n";
        assert_eq!(read_answer(StatusCode::OK, &headers, stream).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_service_that_is_gone_is_an_answer_with_the_same_id() {
        let url = "http://127.0.0.1:1".parse().unwrap();
        let server = Connection::open(&ServerArguments::new(url, "k")).unwrap();
        let bridge = Bridge { server, whom: AsWhom::default() };
        let answers = bridge.carry(message(json!({"jsonrpc": "2.0", "id": "x7", "method": "ping"})), None).await;
        assert_eq!(answers.len(), 1);
        assert_eq!((&answers[0]["id"], &answers[0]["error"]["code"]), (&json!("x7"), &json!(INTERNAL_ERROR)));
        assert!(bridge.carry(message(json!({"method": "notifications/initialized"})), None).await.is_empty());
    }

    #[test]
    fn lines_come_one_by_one_and_one_that_is_too_long_is_refused_alone() {
        let (sender, mut lines) = mpsc::channel(8);
        let long = "x".repeat(limits::REQUEST_BODY_BYTES_MAX + 10);
        read_lines(format!("{{}}\n\n{long}\n{{\"a\":1}}").as_bytes(), &sender);
        assert_eq!(lines.try_recv().unwrap().unwrap(), b"{}\n");
        assert_eq!(lines.try_recv().unwrap().unwrap_err()["error"]["code"], INVALID_REQUEST);
        assert_eq!(lines.try_recv().unwrap().unwrap(), b"{\"a\":1}");
        assert!(lines.try_recv().is_err());
    }
}
