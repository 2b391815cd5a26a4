//! Starting and ending the program.
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::time::Instant;

use super::client::Client;
use super::{place, wait};

/// The operator's key of every server that a test starts.
pub(crate) const OPERATOR_KEY: &str = "operator-key-of-the-system-tests";
/// A start with the demo's documents embeds some thousand chunks.
const START_LIMIT_S: u64 = 240;
const SIGKILL: i32 = 9;
/// A start that must fail, fails before this.
const REFUSAL_LIMIT_S: u64 = 20;

/// A folder of its own for one service: its data, and what it printed.
#[derive(Debug)]
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("catena-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Self(folder.expect("a folder for a test"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// `catena serve` on this folder, not yet started.
    pub(crate) fn serve(&self) -> Launch {
        let data = self.data().display().to_string();
        Launch::new(self.path(), &["serve", "--listen", "127.0.0.1:0", "--data", &data])
            .variable("CATENA_OPERATOR_KEY", OPERATOR_KEY)
            .variable("CATENA_PROVISION", place::provision().display())
    }

    pub(crate) async fn start(&self) -> Server {
        self.serve().start().await
    }

    /// `catena audit verify` on the data as it lies there.
    pub(crate) async fn verify(&self) -> Ended {
        verify(self.path(), &self.data()).await
    }
}

/// `catena audit verify` on a folder of data.
pub(crate) async fn verify(home: &Path, data: &Path) -> Ended {
    Launch::new(home, &["audit", "verify", "--data", &data.display().to_string()]).ended().await
}

/// The program with its arguments and variables.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    home: PathBuf,
    folder: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Launch {
    pub(crate) fn new(home: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { home: home.to_owned(), folder: home.to_owned(), arguments, variables: Vec::new() }
    }

    pub(crate) fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs it in `folder` instead of its own.
    pub(crate) fn inside(mut self, folder: &Path) -> Self {
        self.folder = folder.to_owned();
        self
    }

    fn command(&self, program: &Path, before: &[&str]) -> Command {
        let mut command = Command::new(program);
        for name in place::variables_to_drop() {
            command.env_remove(name);
        }
        command.args(before).args(&self.arguments).current_dir(&self.folder).stdin(Stdio::null());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdout(self.log("out")).stderr(self.log("err"));
        command
    }

    fn log(&self, kind: &str) -> File {
        let path = self.home.join(format!("log.{kind}"));
        OpenOptions::new().create(true).append(true).open(path).expect("a file for what is printed")
    }

    fn printed(&self, kind: &str) -> String {
        let bytes = std::fs::read(self.home.join(format!("log.{kind}"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(self) -> Server {
        let Starting { process, launch, from } = self.begin();
        Server::when_listening(launch, process, from).await
    }

    /// Starts it and waits for nothing.
    pub(crate) fn begin(self) -> Starting {
        let from = self.printed("out").len();
        let process = Process(self.command(&place::program(), &[]).spawn().expect("the program starts"));
        Starting { process, launch: self, from }
    }

    /// Starts it so that it ends, and its folder goes, when this process ends, however that happens: a shell waits
    /// for the end of the pipe that only this process holds.
    pub(crate) async fn start_for_all(self) -> Server {
        let script = r#"exec 3<&0; folder=$1; shift
            "$@" 3<&- & served=$!
            (cat <&3 >/dev/null; kill -9 $served 2>/dev/null) & exec 3<&-
            wait $served; status=$?; rm -rf "$folder"; exit $status"#;
        let (program, home) = (place::program().display().to_string(), self.home.display().to_string());
        let mut command = self.command(Path::new("sh"), &["-c", script, "sh", &home, &program]);
        let child = command.stdin(Stdio::piped()).spawn().expect("a shell starts");
        Server::when_listening(self, Process(child), 0).await
    }

    /// Runs it to its end, which must come soon.
    pub(crate) async fn ended(self) -> Ended {
        let from = (self.printed("out").len(), self.printed("err").len());
        let started = Instant::now();
        let mut child = Process(self.command(&place::program(), &[]).spawn().expect("the program starts"));
        let what = format!("the end of `catena {}`", self.arguments.join(" "));
        let status = wait::until(&what, REFUSAL_LIMIT_S, || {
            let status = child.0.try_wait().expect("a child can be asked");
            async move { status }
        });
        let status = status.await;
        let out = self.printed("out")[from.0..].to_owned();
        let text = format!("{out}{}", &self.printed("err")[from.1..]);
        Ended { code: status.code(), out, text, took: started.elapsed() }
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    /// What it printed on its standard output.
    pub(crate) out: String,
    /// What it printed anywhere.
    pub(crate) text: String,
    pub(crate) took: Duration,
}

/// A child that ends with its owner.
#[derive(Debug)]
struct Process(Child);

impl Process {
    /// How it ended, if it has.
    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("a child can be asked")
    }

    /// Ends it as a power cut would, if it has not ended so already: no handler runs.
    fn kill(mut self) {
        self.0.kill().expect("SIGKILL is sent");
        let status = self.0.wait().expect("the child ends");
        assert_eq!(status.signal(), Some(SIGKILL), "the service ended by itself, with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that was started, and may not listen yet.
#[derive(Debug)]
pub(crate) struct Starting {
    process: Process,
    launch: Launch,
    /// How much had been printed before.
    from: usize,
}

impl Starting {
    /// Waits until it listens, or until it was killed, and says whether it was.
    pub(crate) async fn is_killed(&mut self) -> bool {
        wait::until("the service listens or is killed", START_LIMIT_S, || {
            let (ended, printed) = (self.process.ended(), self.launch.printed("out"));
            let is_listening = printed[self.from..].contains("listening on ");
            let is_killed = ended.map(|status| status.signal() == Some(SIGKILL));
            assert!(is_killed != Some(false), "the start failed:\n{printed}{}", self.launch.printed("err"));
            async move { is_killed.or(is_listening.then_some(false)) }
        })
        .await
    }

    pub(crate) fn kill(self) {
        self.process.kill();
    }
}

/// A service that listens.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    launch: Launch,
    pub(crate) url: String,
}

impl Server {
    async fn when_listening(launch: Launch, mut process: Process, from: usize) -> Self {
        let url = wait::until("the service listens", START_LIMIT_S, || {
            let ended = process.0.try_wait().expect("a child can be asked");
            let printed = launch.printed("out");
            assert!(ended.is_none(), "the service ended with {ended:?}:\n{printed}{}", launch.printed("err"));
            let url = printed[from..].lines().find_map(|line| line.strip_prefix("listening on ").map(str::to_owned));
            async move { url }
        })
        .await;
        Self { process, launch, url }
    }

    /// What it has logged, since its folder was made.
    pub(crate) fn logged(&self) -> String {
        self.launch.printed("err")
    }

    /// Everything it has printed, since its folder was made.
    pub(crate) fn printed(&self) -> String {
        format!("{}{}", self.launch.printed("out"), self.launch.printed("err"))
    }

    /// Ends it as a power cut would: no handler runs.
    pub(crate) fn kill(self) {
        self.process.kill();
    }

    /// Waits until it was killed by somebody else.
    pub(crate) async fn killed(mut self, limit_s: u64) {
        wait::until("the service is killed", limit_s, || {
            let ended = self.process.ended();
            async move { ended }
        })
        .await;
        self.process.kill();
    }

    /// Asks it to end, and waits until it has drained.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        let id = self.process.0.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM was not sent");
        let status = wait::until("the service drains", 40, || {
            let status = self.process.0.try_wait().expect("a child can be asked");
            async move { status }
        })
        .await;
        assert!(status.success(), "the service ended with {status}:\n{}", self.printed());
        status
    }

    /// A client with this key.
    pub(crate) fn client(&self, key: &str) -> Client {
        Client::new(&self.url, Some(key))
    }

    /// A client without any key.
    pub(crate) fn nobody(&self) -> Client {
        Client::new(&self.url, None)
    }

    pub(crate) fn operator(&self) -> Client {
        self.client(OPERATOR_KEY)
    }

    /// Makes a tenant, and a key that may do everything in it except speak for others.
    pub(crate) async fn tenant(&self, id: &str) -> Client {
        self.operator().post("/v1/tenants", &json!({"id": id, "name": id})).await.expect(201);
        self.key(id, &["read", "write", "admin", "audit"], None, &[]).await
    }

    /// A key of a tenant, as a client.
    pub(crate) async fn key(&self, tenant: &str, scopes: &[&str], user: Option<&str>, groups: &[&str]) -> Client {
        let body = json!({"name": "system test", "scopes": scopes, "user": user, "groups": groups});
        let made = self.operator().post(&format!("/v1/tenants/{tenant}/keys"), &body).await.expect(201).json();
        let key = made["key"].as_str().expect("a new key is shown");
        self.client(key).in_tenant(tenant)
    }
}
