//! A bucket behind a small server that speaks S3 on a real socket: lists in pages, gets, etags, signatures asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use catena_sources::spec::{ObjectsSpec, Store};
use catena_sources::{Source, SourceSpec, Surroundings};

use crate::http::{Request, Response, Server};
use crate::suite::Place;
use crate::{access, credentials, open};

const SECRET: &str = "SECRETaccessKEY0123456789abcdef";
const KEY_ID: &str = "AKIDEXAMPLE42";
/// Objects of one page of a listing.
const PAGE: usize = 2;

#[derive(Default)]
struct Inside {
    objects: BTreeMap<String, (Vec<u8>, u32)>,
    clock: u32,
    is_damaged: bool,
}

struct Bucket {
    inside: Arc<Mutex<Inside>>,
    server: Server,
    source: Box<dyn Source>,
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn answer(inside: &Mutex<Inside>, request: &Request) -> Response {
    let signed = request.header("authorization");
    if !signed.starts_with("AWS4-HMAC-SHA256") || !signed.contains(KEY_ID) {
        return Response::new(403, "<Error><Code>AccessDenied</Code></Error>");
    }
    let inside = inside.lock().unwrap();
    let path = percent_encoding::percent_decode_str(request.path()).decode_utf8_lossy().into_owned();
    let path = path.trim_start_matches("/bucket").trim_start_matches('/').to_owned();
    if path.is_empty() {
        return list(&inside, request);
    }
    let Some((bytes, at)) = inside.objects.get(&path) else {
        return Response::new(404, "<Error><Code>NoSuchKey</Code></Error>");
    };
    let etag = etag(bytes);
    if request.header("if-none-match") == etag {
        return Response::new(304, "").with("etag", &etag);
    }
    Response::new(200, bytes.as_slice())
        .with("etag", &etag)
        .with("last-modified", &format!("Mon, 04 May 2026 10:{:02}:{:02} GMT", at / 60, at % 60))
        .with("content-type", "binary/octet-stream")
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &blake3::hash(bytes).to_hex()[..32])
}

fn list(inside: &Inside, request: &Request) -> Response {
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(request.query().as_bytes()).into_owned().collect();
    let (prefix, token) = (query.get("prefix"), query.get("continuation-token"));
    let keys = inside.objects.iter().filter(|(key, _)| prefix.is_none_or(|prefix| key.starts_with(prefix.as_str())));
    let mut keys = keys.filter(|(key, _)| token.is_none_or(|token| *key > token));
    let page: Vec<_> = keys.by_ref().take(PAGE).collect();
    let more = keys.next().is_some();
    if inside.is_damaged && token.is_some() {
        return Response::new(
            403,
            format!("<Error><Code>SlowDown</Code><Hint>{}</Hint></Error>", request.header("authorization")),
        );
    }
    let contents: String = page
        .iter()
        .map(|(key, (bytes, at))| {
            format!(
                "<Contents><Key>{}</Key><LastModified>2026-05-04T10:{:02}:{:02}.000Z</LastModified><ETag>{}</ETag><Size>{}</Size></Contents>",
                escaped(key),
                at / 60,
                at % 60,
                etag(bytes).replace('"', "&quot;"),
                bytes.len()
            )
        })
        .collect();
    let next = page
        .last()
        .filter(|_| more)
        .map(|(key, _)| format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(key)));
    let body = format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{more}</IsTruncated>{}{contents}</ListBucketResult>",
        next.unwrap_or_default()
    );
    Response::new(200, body).with("content-type", "application/xml")
}

fn source(server: &Server) -> Box<dyn Source> {
    let spec = ObjectsSpec {
        store: Store::S3,
        bucket: "bucket".to_owned(),
        prefix: Some("docs/en".to_owned()),
        region: None,
        endpoint: Some(server.url("")),
        account: None,
        include: Vec::new(),
        exclude: Vec::new(),
        access: access(true),
    };
    let secrets = credentials(&[("access_key_id", KEY_ID), ("secret_access_key", SECRET)]);
    let surroundings = Surroundings { hosts: vec![format!("127.0.0.1:{}", server.port)], ..Surroundings::default() };
    open(&SourceSpec::Objects(spec), &secrets, &surroundings)
}

async fn place() -> Bucket {
    let inside = Arc::new(Mutex::new(Inside::default()));
    inside.lock().unwrap().objects.insert("docs/english-is-not-in-the-prefix.md".to_owned(), (b"x".to_vec(), 0));
    let served = Arc::clone(&inside);
    let server = Server::start(move |request| answer(&served, request)).await;
    Bucket { source: source(&server), inside, server }
}

fn key(path: &str) -> String {
    format!("docs/en/{path}")
}

impl Place for Bucket {
    const HAS_CURSOR: bool = false;
    const TELLS_MOVES: bool = false;
    const SPEAKS: bool = true;

    fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    fn again(&self) -> Box<dyn Source> {
        source(&self.server)
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        let mut inside = self.inside.lock().unwrap();
        inside.clock += 1;
        let clock = inside.clock;
        inside.objects.insert(key(path), (bytes.to_vec(), clock));
    }

    fn remove(&mut self, path: &str) {
        self.inside.lock().unwrap().objects.remove(&key(path));
    }

    fn rename(&mut self, from: &str, to: &str) {
        let held = self.inside.lock().unwrap().objects.remove(&key(from)).unwrap();
        self.put(to, &held.0);
    }

    fn put_hostile_names(&mut self) {
        let long = format!("{}.md", "x".repeat(600));
        for name in ["folder/", "pic.png", "noending", "evil\u{202E}dm.md", &long] {
            self.put(name, b"x");
        }
    }

    fn damage(&mut self) {
        self.inside.lock().unwrap().is_damaged = true;
    }

    fn mend(&mut self) {
        self.inside.lock().unwrap().is_damaged = false;
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned(), KEY_ID.to_owned(), "Signature=".to_owned()]
    }
}

crate::keeps_every_promise!(promises, super::place());
