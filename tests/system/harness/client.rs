//! Asking the service over HTTP.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::text;

/// Longer than anything that is asked here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One who asks: an address, a key, a tenant.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
    pub(crate) key: Option<String>,
    pub(crate) tenant: String,
}

/// A request that is begun and does not go on.
#[derive(Debug)]
pub(crate) struct Begun(TcpStream);

impl Begun {
    /// What is answered to it nevertheless, within some seconds.
    pub(crate) async fn answer(&mut self) -> String {
        let mut answer = vec![0; 4_096];
        let read = tokio::time::timeout(Duration::from_secs(15), self.0.read(&mut answer)).await;
        let read = read.expect("an answer to a request whose body does not come").expect("an answer");
        String::from_utf8_lossy(&answer[..read]).into_owned()
    }
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Reply {
    async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Self { status, headers, bytes: response.bytes().await?.to_vec() })
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answered: {}", self.text());
        self
    }

    /// The refusal, which must be a whole problem with this status and code.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let reply = self.expect(status);
        assert_eq!(reply.header("content-type"), "application/problem+json", "{}", reply.text());
        let problem = reply.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["type"], format!("urn:catena:problem:{code}"), "{problem}");
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "no {field}: {problem}");
        }
        reply
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error} in: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// What the refusal says.
    #[track_caller]
    pub(crate) fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Everything that came, headers as well, to look for words in.
    pub(crate) fn everything(&self) -> String {
        format!("{} {:?}\n{}", self.status, self.headers, self.text())
    }
}

impl Client {
    pub(crate) fn new(url: &str, key: Option<&str>) -> Self {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("an HTTP client");
        Self { http, url: url.to_owned(), key: key.map(str::to_owned), tenant: String::new() }
    }

    /// The same, whose paths below a tenant are this tenant's.
    pub(crate) fn in_tenant(&self, tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), ..self.clone() }
    }

    /// The same with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// A path below the tenant.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/tenants/{}/{rest}", self.tenant)
    }

    /// The path of a document.
    pub(crate) fn document(&self, id: &str) -> String {
        self.path(&format!("documents/{}", text::encoded(id)))
    }

    /// A request with the key.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends it; a broken connection is an error to the caller.
    pub(crate) async fn try_send(&self, request: RequestBuilder) -> reqwest::Result<Reply> {
        Reply::of(request.send().await?).await
    }

    /// Sends it; a broken connection fails the test.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Reply {
        self.try_send(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// Begins a POST whose body does not come.
    pub(crate) async fn begin(&self, path: &str, headers: &[(&str, &str)]) -> Begun {
        let address = self.url.trim_start_matches("http://");
        let key = self.key.as_deref().unwrap_or_default();
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {key}\r\n");
        for (name, value) in headers.iter().chain(&[("content-length", "60000000")]) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(address).await.expect("the service listens");
        stream.write_all(format!("{head}\r\n").as_bytes()).await.expect("a request begins");
        Begun(stream)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// Writes a Markdown document that everyone may read, and waits until a search finds it.
    pub(crate) async fn write(&self, id: &str, text: &str) -> Value {
        self.write_for(id, text, &["everyone"]).await
    }

    /// Writes a Markdown document with this access list.
    pub(crate) async fn write_for(&self, id: &str, text: &str, allow: &[&str]) -> Value {
        self.envelope(id, &json!({"text": text, "acl": {"allow": allow}})).await
    }

    /// Writes a document as this envelope says.
    pub(crate) async fn envelope(&self, id: &str, envelope: &Value) -> Value {
        let reply = self.put(&format!("{}?wait=searchable", self.document(id)), envelope).await;
        assert!(matches!(reply.status, 200 | 201), "{id} was not written: {}", reply.text());
        let written = reply.json();
        assert_eq!(written["searchable"], true, "{written}");
        written
    }

    pub(crate) async fn search(&self, body: &Value) -> Reply {
        self.post(&self.path("search"), body).await
    }

    /// The documents that a search finds, in their order, each once.
    pub(crate) async fn found(&self, query: &str) -> Vec<String> {
        let reply = self.search(&json!({"query": query, "top_k": 50})).await.expect(200).json();
        text::documents(&reply["results"])
    }

    pub(crate) async fn context(&self, body: &Value) -> Reply {
        self.post(&self.path("context"), body).await
    }

    /// A context of so many tokens.
    pub(crate) async fn context_of(&self, query: &str, tokens: usize) -> Value {
        self.context(&json!({"query": query, "budget": {"tokens": tokens}})).await.expect(200).json()
    }

    /// A call of an MCP tool, as the bare message that every client sends.
    pub(crate) async fn tool(&self, id: u64, name: &str, arguments: &Value) -> Reply {
        let params = json!({"name": name, "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        self.send(self.mcp(&message)).await
    }

    /// An MCP message, not yet sent.
    pub(crate) fn mcp(&self, message: &Value) -> RequestBuilder {
        self.request(Method::POST, "/mcp")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25")
            .json(message)
    }

    /// The tenant's last write.
    pub(crate) async fn seq(&self) -> u64 {
        let reply = self.search(&json!({"query": "seq", "top_k": 1})).await.expect(200).json();
        reply["seq"].as_u64().expect("an answer names its seq")
    }
}
