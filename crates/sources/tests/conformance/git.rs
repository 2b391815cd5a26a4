//! A repository behind a real web server: git's own `http-backend`, which lets in only whoever has the password.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use catena_sources::spec::GitSpec;
use catena_sources::{Credentials, Source, SourceSpec, Surroundings};
use tokio::io::AsyncWriteExt as _;

use crate::http::{Request, Response, Server};
use crate::suite::Place;
use crate::{access, credentials, hostile_files, open, rename, write};

const PASSWORD: &str = "pass-word-7f3a";

pub(crate) struct Git {
    pub(crate) home: tempfile::TempDir,
    pub(crate) server: Server,
    source: Box<dyn Source>,
    hour: u64,
}

pub(crate) fn git(work: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(work).args(arguments);
    for (name, value) in [
        ("GIT_AUTHOR_NAME", "A"),
        ("GIT_COMMITTER_NAME", "A"),
        ("GIT_AUTHOR_EMAIL", "a@a"),
        ("GIT_COMMITTER_EMAIL", "a@a"),
    ] {
        command.env(name, value);
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let done = command.output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

fn work(home: &tempfile::TempDir) -> PathBuf {
    home.path().join("served/origin")
}

fn source(home: &tempfile::TempDir, server: &Server) -> Box<dyn Source> {
    let spec = GitSpec { url: server.url("/origin/.git"), access: access(true), ..GitSpec::default() };
    let surroundings = Surroundings {
        hosts: vec![format!("127.0.0.1:{}", server.port)],
        mirror: Some(home.path().join("mirror")),
        ..Surroundings::default()
    };
    open(&SourceSpec::Git(spec), &secrets(), &surroundings)
}

fn secrets() -> Credentials {
    credentials(&[("username", "alice"), ("password", PASSWORD)])
}

fn expected_header() -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("alice:{PASSWORD}")))
}

/// Hands a request to `git http-backend`, as a web server does.
async fn backend(root: PathBuf, request: Request) -> Response {
    if request.header("authorization") != expected_header() {
        return Response::new(401, "who are you?").with("www-authenticate", "Basic realm=\"git\"");
    }
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", request.path())
        .env("QUERY_STRING", request.query())
        .env("CONTENT_TYPE", request.header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.header("content-encoding"))
        .env("GIT_PROTOCOL", request.header("git-protocol"))
        .env("REMOTE_USER", "alice")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (_, done) = tokio::join!(
        async move {
            let _ = stdin.write_all(&request.body).await;
        },
        child.wait_with_output()
    );
    let said = done.unwrap().stdout;
    let Some(end) = said.windows(4).position(|window| window == b"\r\n\r\n") else { return Response::new(500, "") };
    let mut response = Response::new(200, &said[end + 4..]);
    for line in String::from_utf8_lossy(&said[..end]).split("\r\n") {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "status" => response.status = value[..3].parse().unwrap(),
            "content-length" => {}
            _ => response = response.with(name, value),
        }
    }
    response
}

pub(crate) async fn place() -> Git {
    let home = tempfile::tempdir().unwrap();
    let work = work(&home);
    std::fs::create_dir_all(&work).unwrap();
    git(&work, &["init", "--quiet", "--initial-branch=main"]);
    let root = home.path().join("served");
    let server = Server::start_slow(move |request| Box::pin(backend(root.clone(), request))).await;
    Git { source: source(&home, &server), home, server, hour: 1 }
}

impl Place for Git {
    const HAS_CURSOR: bool = true;
    const TELLS_MOVES: bool = true;
    const SPEAKS: bool = true;

    fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    fn again(&self) -> Box<dyn Source> {
        source(&self.home, &self.server)
    }

    fn put(&mut self, path: &str, bytes: &[u8]) {
        self.hour += 1;
        write(&work(&self.home).join(path), bytes, self.hour);
    }

    fn remove(&mut self, path: &str) {
        std::fs::remove_file(work(&self.home).join(path)).unwrap();
    }

    fn rename(&mut self, from: &str, to: &str) {
        rename(&work(&self.home), from, to);
    }

    fn publish(&mut self) {
        git(&work(&self.home), &["add", "--all"]);
        git(&work(&self.home), &["commit", "--quiet", "--allow-empty", "--message", "change"]);
    }

    fn put_hostile_names(&mut self) {
        hostile_files(&work(&self.home));
    }

    fn damage(&mut self) {
        std::fs::rename(work(&self.home), self.home.path().join("away")).unwrap();
    }

    fn mend(&mut self) {
        std::fs::rename(self.home.path().join("away"), work(&self.home)).unwrap();
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned(), expected_header()]
    }
}

crate::keeps_every_promise!(promises, super::place());
