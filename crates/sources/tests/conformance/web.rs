//! A web site on a real socket, whose first page leads to every other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use catena_sources::spec::WebSpec;
use catena_sources::{Source, SourceSpec, Surroundings};
use url::Url;

use crate::http::{Request, Response, Server};
use crate::suite::Place;
use crate::{access, credentials, open};

const TOKEN: &str = "tok-en-91c2";

type Pages = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

struct Site {
    pages: Pages,
    server: Server,
    home: tempfile::TempDir,
    source: Box<dyn Source>,
}

fn answer(pages: &Pages, request: &Request) -> Response {
    if request.header("authorization") != format!("Bearer {TOKEN}") {
        return Response::new(401, "who are you?");
    }
    let pages = pages.lock().unwrap();
    match request.path() {
        "/robots.txt" => Response::new(200, "User-agent: *\nDisallow: /closed/\n"),
        "/hub/" => {
            let links = pages.keys().map(|path| format!("<a href=\"{}\">x</a>", path.replace('"', "&quot;")));
            Response::new(200, links.collect::<String>()).with("content-type", "text/html; charset=utf-8")
        }
        "/broken.md" => Response::new(500, format!("you are {}", request.header("authorization"))),
        path => {
            let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
            let Some(bytes) = pages.get(&path) else { return Response::new(404, "not here") };
            let etag = format!("\"{}\"", blake3::hash(bytes).to_hex());
            if request.header("if-none-match") == etag {
                return Response::new(304, "").with("etag", &etag);
            }
            let kind = if path.ends_with(".png") { "image/png" } else { "text/plain; charset=utf-8" };
            Response::new(200, bytes.as_slice()).with("content-type", kind).with("etag", &etag)
        }
    }
}

fn source(server: &Server, home: &tempfile::TempDir) -> Box<dyn Source> {
    let spec = WebSpec {
        start: vec![server.url("/hub/")],
        exclude: vec!["**/hub/".to_owned()],
        delay_ms: 0,
        access: access(false),
        ..WebSpec::default()
    };
    let surroundings = Surroundings {
        hosts: vec![format!("127.0.0.1:{}", server.port)],
        mirror: Some(home.path().join("kept")),
        ..Surroundings::default()
    };
    open(&SourceSpec::Web(spec), &credentials(&[("token", TOKEN)]), &surroundings)
}

async fn place() -> Site {
    let pages = Pages::default();
    let served = Arc::clone(&pages);
    let server = Server::start(move |request| answer(&served, request)).await;
    let home = tempfile::tempdir().unwrap();
    Site { source: source(&server, &home), pages, server, home }
}

impl Place for Site {
    const HAS_CURSOR: bool = false;
    const TELLS_MOVES: bool = false;
    const SPEAKS: bool = false;

    fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    fn again(&self) -> Box<dyn Source> {
        source(&self.server, &self.home)
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        self.pages.lock().unwrap().insert(format!("/{path}"), bytes.to_vec());
    }

    fn remove(&mut self, path: &str) {
        self.pages.lock().unwrap().remove(&format!("/{path}"));
    }

    fn rename(&mut self, from: &str, to: &str) {
        let mut pages = self.pages.lock().unwrap();
        let bytes = pages.remove(&format!("/{from}")).unwrap();
        pages.insert(format!("/{to}"), bytes);
    }

    fn put_hostile_names(&mut self) {
        let long = format!("{}.md", "x".repeat(600));
        for path in ["pic.png", "closed/a.md", &long] {
            self.put(path, b"x");
        }
        let port = self.server.port;
        for link in [
            "mailto:a@example.org".to_owned(),
            "javascript:alert(1)".to_owned(),
            "http://169.254.169.254/latest/meta-data.md".to_owned(),
            format!("http://user:pass@127.0.0.1:{port}/secret.md"),
            format!("http://localhost:{port}/elsewhere.md"),
            "file:///etc/passwd.md".to_owned(),
            "http://[bad".to_owned(),
        ] {
            self.pages.lock().unwrap().insert(link, b"x".to_vec());
        }
    }

    fn damage(&mut self) {
        self.put("broken.md", b"x");
    }

    fn mend(&mut self) {
        self.remove("broken.md");
    }

    fn id(&self, path: &str) -> String {
        let url = Url::parse(&self.server.url("/")).unwrap().join(path).unwrap();
        url.as_str().trim_start_matches("http://").to_owned()
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }
}

crate::keeps_every_promise!(promises, super::place());
