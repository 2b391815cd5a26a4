//! The other server, as a process of its own, and a model that it runs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::server::Launch;
use crate::harness::{Client, Home, place, text};

/// What the other server wants to be shown.
pub(super) const KEY: &str = "sk-the-key-of-the-embedding-server";
/// Enough that texts without a common word are not alike.
pub(super) const NUMBERS: usize = 64;
/// What the model is called there.
pub(super) const MODEL: &str = "words-64";

/// A server of embeddings that runs until the test kills it or ends.
#[derive(Debug)]
pub(super) struct Upstream {
    process: Child,
    pub(super) url: String,
    client: Client,
}

impl Upstream {
    pub(super) fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    fn start_at(address: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_catena-tests-embedding-server"))
            .args([address, &NUMBERS.to_string(), KEY])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the other server starts");
        let printed = process.stdout.take().expect("what it prints");
        let mut line = String::new();
        BufReader::new(printed).read_line(&mut line).expect("a line");
        let url = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Self { process, client: Client::new(&url, None), url }
    }

    /// Ends it, as a power cut would.
    pub(super) fn kill(mut self) -> String {
        self.end();
        self.url.clone()
    }

    /// Starts it where it was.
    pub(super) fn again(url: &str) -> Self {
        Self::start_at(url.strip_prefix("http://").expect("an address"))
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// From now on it answers so; well again after so many requests, if there is a number.
    pub(super) async fn behave(&self, manner: Value, times: Option<u32>) {
        self.client.post("/behave", &json!({"manner": manner, "times": times})).await.expect(204);
    }

    pub(super) async fn behave_well(&self) {
        self.behave(json!("well"), None).await;
    }

    /// What it was asked.
    pub(super) async fn seen(&self) -> Value {
        self.client.get("/seen").await.expect(200).json()
    }

    /// How many requests for vectors there have been.
    pub(super) async fn requests(&self) -> u64 {
        self.seen().await["requests"].as_u64().expect("a number")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.end();
    }
}

/// A folder of models with one that this server runs.
pub(super) fn models(home: &Home, url: &str) -> PathBuf {
    let models = home.path().join("models");
    let folder = models.join("elsewhere");
    fs::create_dir_all(&folder).expect("a folder for a model");
    let tokenizer = place::provision().join("models/all-minilm-l6-v2-int8/tokenizer.json");
    let tokenizer = fs::read(tokenizer).expect("the provisioned tokenizer");
    fs::write(folder.join("tokenizer.json"), &tokenizer).expect("a copy of it");
    let description = format!(
        "name = \"elsewhere\"\ndimension = {NUMBERS}\nmax_tokens = 256\nnormalise = true\n\n\
         [remote]\nurl = \"{url}/v1\"\nmodel = \"{MODEL}\"\n\n[files]\n\"tokenizer.json\" = \"{}\"\n",
        text::sha256(&tokenizer)
    );
    fs::write(folder.join("catena-model.toml"), description).expect("a description");
    models
}

/// `catena` with these arguments and that model.
pub(super) fn program(home: &Home, url: &str, arguments: &[&str]) -> Launch {
    on_model(Launch::new(home.path(), arguments).variable("CATENA_PROVISION", place::provision().display()), home, url)
}

fn on_model(launch: Launch, home: &Home, url: &str) -> Launch {
    launch
        .variable("CATENA_MODELS", models(home, url).display())
        .variable("CATENA_MODEL", "elsewhere")
        .variable("CATENA_EMBEDDING_KEY", KEY)
}

/// The model's fingerprint, as `catena model list` says it.
pub(super) async fn fingerprint(home: &Home, url: &str) -> String {
    let ended = program(home, url, &["model", "list", "--json"]).ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let listed: Value = serde_json::from_str(&ended.out).expect("JSON");
    listed["models"][0]["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

/// `catena serve` on that model, which is allowed.
pub(super) async fn serve(home: &Home, url: &str) -> Launch {
    let fingerprint = fingerprint(home, url).await;
    on_model(home.serve(), home, url).variable("CATENA_ALLOWED_MODELS", fingerprint).variable("CATENA_LOG", "debug")
}
