//! A small HTTP server on a real socket: it answers as the test says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path with its query, as it was sent.
    pub(crate) target: String,
    /// Names in small letters.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub(crate) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether the connection ends before the body does.
    pub(crate) is_cut: bool,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), is_cut: false }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// The server. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Request>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Answers at once.
    pub(crate) async fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::start_slow(move |request| {
            let answer = Arc::clone(&answer);
            Box::pin(async move { answer(&request) })
        })
        .await
    }

    /// Answers when its answer is there.
    pub(crate) async fn start_slow(answer: impl Fn(Request) -> Answering + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, remembered) = (Arc::new(answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, remembered) = (Arc::clone(&answer), Arc::clone(&remembered));
                tokio::spawn(async move {
                    if let Some((mut stream, request)) = read(stream).await {
                        remembered.lock().unwrap().push(request.clone());
                        let response = answer(request).await;
                        let _ = write(&mut stream, response).await;
                    }
                });
            }
        });
        Self { port, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(mut stream: TcpStream) -> Option<(TcpStream, Request)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let mut request = Request {
        method: first.next()?.to_owned(),
        target: first.next()?.to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: bytes[end + 4..].to_vec(),
    };
    let length: usize = request.header("content-length").parse().unwrap_or(0);
    while request.body.len() < length {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.ok().filter(|read| *read > 0)?;
        request.body.extend_from_slice(&part[..read]);
    }
    Some((stream, request))
}

async fn write(stream: &mut TcpStream, response: Response) -> std::io::Result<()> {
    let length = response.body.len() + usize::from(response.is_cut);
    let mut head = format!("HTTP/1.1 {} Answer\r\nconnection: close\r\n", response.status);
    if response.status != 304 {
        head += &format!("content-length: {length}\r\n");
    }
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    stream.write_all(&response.body).await?;
    stream.shutdown().await
}
