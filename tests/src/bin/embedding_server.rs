//! A server behind `/v1/embeddings` for tests of remote models.
//!
//! Promises: the same text has the same vector, texts with common words have similar ones; it says at `GET /seen` what it
//! was asked, and misbehaves as `POST /behave` says. Prints `listening on http://ADDRESS`. Does not: keep connections, or
//! speak more HTTP than one client needs.
//!
//! Arguments: the address to listen on, the numbers in a vector, the key that it wants.

use std::error::Error;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How a request for vectors is answered.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Manner {
    /// Well.
    #[default]
    Well,
    /// With this status, and a `retry-after` if there is one.
    Fail { status: u16, retry_after: Option<u32> },
    /// Well, after so many milliseconds.
    Late { ms: u64 },
    /// With the first half of an answer.
    Cut,
    /// With vectors of so many numbers.
    Numbers { count: usize },
    /// With a vector less than there are texts.
    Few,
    /// With the last vector first.
    Swapped,
    /// With this body.
    Body { text: String },
    /// With blanks that do not end.
    Endless,
    /// By sending the client to this address.
    Elsewhere { url: String },
}

/// What `POST /behave` takes.
#[derive(Debug, Deserialize)]
struct Order {
    manner: Manner,
    /// So many requests are answered so, and all later ones well; without it, all are.
    times: Option<u32>,
}

/// What `GET /seen` tells.
#[derive(Debug, Default, Serialize)]
struct Seen {
    /// Requests for vectors, the refused ones included.
    requests: usize,
    /// How many texts each of them brought.
    batches: Vec<usize>,
    /// Those without the right key.
    without_key: usize,
    /// The names of the models that were asked for, each once.
    models: Vec<String>,
}

#[derive(Default)]
struct State {
    manner: Manner,
    times: Option<u32>,
    seen: Seen,
}

impl State {
    /// How the next request is answered.
    fn next(&mut self) -> Manner {
        match &mut self.times {
            None => self.manner.clone(),
            Some(0) => Manner::Well,
            Some(left) => {
                *left -= 1;
                self.manner.clone()
            }
        }
    }
}

struct Server {
    numbers: usize,
    key: String,
    state: Mutex<State>,
}

/// A request, as far as it matters here.
struct Request {
    line: String,
    authorization: String,
    body: Vec<u8>,
}

#[derive(Deserialize)]
struct Wanted {
    model: String,
    input: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("the argument {what} is missing"));
    let (address, numbers, key) = (next("ADDRESS")?, next("NUMBERS")?.parse()?, next("KEY")?);
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let server = Arc::new(Server { numbers, key, state: Mutex::default() });
    loop {
        let (stream, _) = listener.accept().await?;
        let server = Arc::clone(&server);
        // A client that broke off wants no answer.
        tokio::spawn(async move { server.serve(stream).await.ok() });
    }
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let Some(request) = read(&mut stream).await? else { return Ok(()) };
        let mut stream = stream.into_inner();
        match request.line.split(' ').collect::<Vec<_>>().as_slice() {
            ["GET", "/seen", ..] => {
                let seen = json!(self.state().seen);
                answer(&mut stream, "200 OK", "", seen.to_string().as_bytes()).await
            }
            ["POST", "/behave", ..] => match serde_json::from_slice::<Order>(&request.body) {
                Ok(Order { manner, times }) => {
                    {
                        let mut state = self.state();
                        (state.manner, state.times) = (manner, times);
                    }
                    answer(&mut stream, "204 No Content", "", b"").await
                }
                Err(error) => answer(&mut stream, "400 Bad Request", "", error.to_string().as_bytes()).await,
            },
            ["POST", "/v1/embeddings", ..] => self.embed(&mut stream, &request).await,
            _ => answer(&mut stream, "404 Not Found", "", b"").await,
        }
    }

    async fn embed(&self, stream: &mut TcpStream, request: &Request) -> std::io::Result<()> {
        let Ok(wanted) = serde_json::from_slice::<Wanted>(&request.body) else {
            return answer(stream, "400 Bad Request", "", b"").await;
        };
        let has_key = request.authorization == format!("Bearer {}", self.key);
        let manner = {
            let mut state = self.state();
            state.seen.requests += 1;
            state.seen.batches.push(wanted.input.len());
            state.seen.without_key += usize::from(!has_key);
            if !state.seen.models.contains(&wanted.model) {
                state.seen.models.push(wanted.model.clone());
            }
            state.next()
        };
        if !has_key {
            return answer(stream, "401 Unauthorized", "", b"").await;
        }
        let numbers = if let Manner::Numbers { count } = manner { count } else { self.numbers };
        let mut data: Vec<Value> = wanted
            .input
            .iter()
            .enumerate()
            .map(|(index, text)| json!({"object": "embedding", "index": index, "embedding": vector(text, numbers)}))
            .collect();
        match manner {
            Manner::Few => drop(data.pop()),
            Manner::Swapped => data.reverse(),
            _ => {}
        }
        let good = json!({"object": "list", "model": wanted.model, "data": data}).to_string();
        misbehave(stream, manner, &good).await
    }
}

/// Sends the good answer, or what is sent in its place.
async fn misbehave(stream: &mut TcpStream, manner: Manner, good: &str) -> std::io::Result<()> {
    match manner {
        Manner::Well | Manner::Numbers { .. } | Manner::Few | Manner::Swapped => {
            answer(stream, "200 OK", "", good.as_bytes()).await
        }
        Manner::Fail { status, retry_after } => {
            let header = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
            answer(stream, &format!("{status} As Told"), &header, b"").await
        }
        Manner::Late { ms } => {
            // Whoever breaks off meanwhile is not waited for.
            let _ = tokio::time::timeout(Duration::from_millis(ms), stream.read_u8()).await;
            answer(stream, "200 OK", "", good.as_bytes()).await
        }
        Manner::Cut => {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", good.len());
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&good.as_bytes()[..good.len() / 2]).await
        }
        Manner::Body { text } => answer(stream, "200 OK", "", text.as_bytes()).await,
        Manner::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n").await?;
            loop {
                stream.write_all(&[b' '; 16_384]).await?;
            }
        }
        Manner::Elsewhere { url } => {
            answer(stream, "307 Temporary Redirect", &format!("location: {url}\r\n"), b"").await
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        let mut headers = lines.iter().filter_map(|line| line.split_once(':'));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let authorization = header("authorization").unwrap_or_default();
    Ok(lines.into_iter().next().map(|line| Request { line, authorization, body }))
}

async fn answer(stream: &mut TcpStream, status: &str, header: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await
}

/// The sum of what the text's words hash to, so that a question is near to the texts that have its words.
fn vector(text: &str, numbers: usize) -> Vec<f32> {
    let mut vector = vec![0.1; numbers];
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        for (at, number) in vector.iter_mut().enumerate() {
            // This hasher's keys are fixed, so the numbers are the same in every process.
            let mut hasher = DefaultHasher::new();
            (word, at).hash(&mut hasher);
            *number += (hasher.finish() % 2_001) as f32 / 1_000.0 - 1.0;
        }
    }
    vector
}
