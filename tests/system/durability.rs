//! Power cuts and damage: what was acknowledged is there, what was not is there whole or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::harness::server::verify;
use crate::harness::{Chance, Client, Home, Server, place, text, wait};

/// Power cuts of one run; `CATENA_SYSTEM_TESTS_KILLS` wishes for another number.
const KILLS: u64 = 8;
const WRITERS: usize = 4;

/// What the writers know of one document.
#[derive(Debug, Clone, Default)]
struct Known {
    /// What it is after the last acknowledged write: its text, or `None` when it was deleted or never acknowledged.
    acknowledged: Option<String>,
    /// What a write that got no answer wanted it to be, if the last one got none.
    wanted: Option<Option<String>>,
}

impl Known {
    fn may_be(&self, text: &Option<String>) -> bool {
        *text == self.acknowledged || self.wanted.as_ref() == Some(text)
    }
}

type Ledger = Arc<Mutex<BTreeMap<String, Known>>>;

/// One writer: writes, rewrites and deletes documents of its own until the service is gone.
async fn write_until_cut(client: Client, writer: String, ledger: Ledger, mut chance: Chance, acks: watch::Sender<u64>) {
    for at in 0.. {
        let id = format!("{writer}-{}.md", if chance.below(4) == 0 { at / 2 } else { at });
        let text = (chance.below(8) > 0).then(|| body(&mut chance));
        let note = |change: &dyn Fn(&mut Known)| {
            let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            change(ledger.entry(id.clone()).or_default());
        };
        note(&|known| known.wanted = Some(text.clone()));
        let path = client.document(&id);
        let request = match &text {
            Some(text) => {
                let wait = ["", "?wait=searchable"][chance.below(2)];
                let envelope = json!({"text": text, "acl": {"allow": ["everyone"]}});
                client.request(reqwest::Method::PUT, &format!("{path}{wait}")).json(&envelope)
            }
            None => client.request(reqwest::Method::DELETE, &path),
        };
        let Ok(reply) = client.try_send(request).await else { return };
        assert!(matches!(reply.status, 200 | 201 | 404), "a write was refused: {}", reply.text());
        note(&|known| (known.acknowledged, known.wanted) = (text.clone(), None));
        acks.send_modify(|acks| *acks += 1);
    }
}

/// A text whose first line is a word of its own, and whose size varies.
fn body(chance: &mut Chance) -> String {
    let word = chance.word();
    let sentences = 1 + chance.below(30);
    format!(
        "# {word}\n\n{}",
        format!("The {word} is kept dry and is turned every {sentences} days. ").repeat(sentences).trim_end()
    )
}

fn word_of(text: &str) -> &str {
    text.trim_start_matches("# ").lines().next().expect("a text begins with its word")
}

/// Looks at one document in every way, and holds it against what the writers know.
async fn assert_whole(client: &Client, id: &str, known: &Known, seq: u64) {
    let reply = client.get(&client.document(id)).await;
    let stored = match reply.status {
        404 => None,
        _ => reply.expect(200).json()["text"].as_str().map(str::to_owned),
    };
    assert!(known.may_be(&stored), "{id} is {stored:?}, but the writers know {known:?}");
    for text in [&known.acknowledged, &known.wanted.clone().flatten()].into_iter().flatten() {
        let body = json!({"query": word_of(text), "mode": "lexical", "min_seq": seq, "top_k": 5});
        let answer = client.search(&body).await.expect(200).json();
        let found = text::documents(&answer["results"]);
        let expected = if stored.as_ref() == Some(text) { vec![id.to_owned()] } else { vec![] };
        assert_eq!(found, expected, "by the word of {id} in version {:?}", stored.as_deref().map(word_of));
    }
}

async fn check(client: &Client, ledger: &Ledger) -> usize {
    let seq = client.seq().await;
    let last = client.get(&client.path("audit/head")).await.expect(200).json();
    assert!(last["leaf"].as_u64() > Some(0));
    let mut seen = ledger.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (id, known) in &mut seen {
        assert_whole(client, id, known, seq).await;
        // What a write without an answer did is known now.
        let reply = client.get(&client.document(id)).await;
        known.acknowledged = (reply.status == 200).then(|| reply.json()["text"].as_str().map(str::to_owned)).flatten();
        known.wanted = None;
    }
    *ledger.lock().unwrap_or_else(PoisonError::into_inner) = seen.clone();
    seen.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_power_cuts_at_any_moment() {
    let mut chance = Chance::new("power cuts");
    let home = Home::new();
    let mut server = home.start().await;
    let key = server.tenant("acme").await.key.expect("a key");
    let ledger: Ledger = Ledger::default();
    for round in 0..place::wish("KILLS").unwrap_or(KILLS) {
        let (acks, mut acknowledged) = watch::channel(0);
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let client = server.client(&key).in_tenant("acme");
            let name = format!("{round}/{writer}");
            writers.spawn(write_until_cut(client, name, Arc::clone(&ledger), chance.fork(), acks.clone()));
        }
        let enough = 4 + chance.below(40) as u64;
        acknowledged.wait_for(|acks| *acks >= enough).await.expect("writers write");
        wait::moment(chance.below(30_000) as u64).await;
        server.kill();
        writers.join_all().await;

        let verified = home.verify().await;
        assert_eq!(verified.code, Some(0), "round {round}: the record is damaged: {}", verified.text);
        server = home.start().await;
        let client = server.client(&key).in_tenant("acme");
        let documents = check(&client, &ledger).await;
        println!("round {round}: {} writes were acknowledged, {documents} documents are whole", *acknowledged.borrow());
    }
    server.stop().await;
    let verified = home.verify().await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// What a tenant answers to a few questions, whatever generation it answers from and whatever else was written since.
async fn answers(client: &Client) -> Vec<Value> {
    let mut told = Vec::new();
    for query in ["which lamp is lit at dusk", "when is the sluice opened", "lamp 7"] {
        for mode in ["hybrid", "lexical", "dense"] {
            let body = json!({"query": query, "mode": mode, "top_k": 50});
            told.push(client.search(&body).await.expect(200).json());
        }
        let body = json!({"query": query, "budget": {"tokens": 900}});
        told.push(client.context(&body).await.expect(200).json());
    }
    for answer in &mut told {
        *answer = text::answer_in_any_generation(answer);
        answer.as_object_mut().expect("an object").remove("seq");
    }
    told
}

async fn lamps(admin: &Client) {
    for at in 0..12 {
        let text =
            format!("# Lamp {at}\n\nLamp {at} is lit at dusk by keeper {}.\n\nThe sluice is opened at {at}.", at % 3);
        admin.write(&format!("lamp-{at}.md"), &text).await;
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    let at = at.min(bytes.len().saturating_sub(1));
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 0x40;
    }
    std::fs::write(path, bytes).expect("a file can be written");
}

fn truncate(path: &Path, bytes: u64) {
    std::fs::OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(bytes)).expect("a file is cut");
}

/// A way to damage an index: gets all its files, sorted, and damages some.
type Damage = (&'static str, Box<dyn Fn(&[PathBuf])>);

fn damages(chance: &mut Chance) -> Vec<Damage> {
    let (one, byte, two) = (chance.next() as usize, chance.next() as usize, chance.next() as usize);
    let pick = |files: &[PathBuf], of: usize| files[of % files.len()].clone();
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |data| data.len() as usize);
    vec![
        (
            "one byte of one file",
            Box::new(move |files| {
                let path = pick(files, one);
                flip(&path, byte % length(&path).max(1));
            }),
        ),
        ("one byte of every file", Box::new(move |files| files.iter().for_each(|path| flip(path, length(path) / 2)))),
        (
            "a file cut in half",
            Box::new(move |files| {
                let path = pick(files, two);
                truncate(&path, length(&path) as u64 / 2);
            }),
        ),
        ("every file empty", Box::new(move |files| files.iter().for_each(|path| truncate(path, 0)))),
        ("a file gone", Box::new(move |files| std::fs::remove_file(pick(files, two)).expect("a file is removed"))),
        (
            "the manifests gone",
            Box::new(move |files| {
                let manifests = files.iter().filter(|path| path.ends_with("manifest.json"));
                manifests.for_each(|path| std::fs::remove_file(path).expect("a file is removed"));
            }),
        ),
    ]
}

#[tokio::test]
async fn a_damaged_index_is_built_anew_and_answers_as_before() {
    let mut chance = Chance::new("damaged index");
    let home = Home::new();
    let mut server = home.start().await;
    let admin = server.tenant("acme").await;
    lamps(&admin).await;
    let healthy = server.tenant("healthy").await;
    lamps(&healthy).await;
    let (key, healthy_key) = (admin.key.clone().expect("a key"), healthy.key.clone().expect("a key"));
    let (before, healthy_before) = (answers(&admin).await, answers(&healthy).await);
    assert!(before.iter().all(|answer| answer["results"] != json!([]) && answer["citations"] != json!([])));
    let index = home.data().join("index").join("acme");
    for (what, damage) in damages(&mut chance) {
        server.stop().await;
        let all = files(&index);
        assert!(all.len() >= 3, "the index is not where the test looks for it: {all:?}");
        damage(&all);
        server = home.start().await;
        let client = server.client(&key).in_tenant("acme");
        assert_eq!(answers(&client).await, before, "after {what}");
        client.write("late.md", "# Late\n\nWritten after the damage.").await;
        client.delete(&client.document("late.md")).await.expect(200);
        let healthy = server.client(&healthy_key).in_tenant("healthy");
        assert_eq!(answers(&healthy).await, healthy_before, "after {what} in the other tenant");
    }
    server.stop().await;
    std::fs::remove_dir_all(home.data().join("index")).expect("the whole index is removed");
    let server = home.start().await;
    assert_eq!(answers(&server.client(&healthy_key).in_tenant("healthy")).await, healthy_before);
}

/// The state of a job once it has ended.
async fn ended(client: &Client, job: &str) -> Value {
    wait::until("the job ends", 60, || async {
        let job = client.get(&client.path(&format!("jobs/{job}"))).await.expect(200).json();
        (!matches!(job["state"].as_str(), Some("queued" | "running"))).then_some(job)
    })
    .await
}

#[tokio::test]
async fn a_power_cut_during_a_reindex_leaves_the_old_generation_and_the_job_goes_on() {
    let mut chance = Chance::new("cut during re-index");
    let home = Home::new();
    let mut server = home.start().await;
    let admin = server.tenant("acme").await;
    lamps(&admin).await;
    let key = admin.key.clone().expect("a key");
    let before = answers(&admin).await;
    let mut cut_short = 0;
    for _ in 0..6 {
        let client = server.client(&key).in_tenant("acme");
        let job = client.post(&client.path("reindex"), &json!({})).await.expect(202).json();
        let id = job["id"].as_str().expect("an id").to_owned();
        wait::moment(chance.below(25_000) as u64).await;
        server.kill();
        server = home.start().await;
        let client = server.client(&key).in_tenant("acme");
        let state = client.get(&client.path(&format!("jobs/{id}"))).await.expect(200).json();
        cut_short += usize::from(state["state"] != "succeeded");
        assert_eq!(answers(&client).await, before, "while the job is {state}");
        let job = ended(&client, &id).await;
        assert_eq!(job["state"], "succeeded", "{job}");
        assert_eq!(answers(&client).await, before, "after the job");
        let generations = client.get(&client.path("generations")).await.expect(200).json();
        let live = generations["data"].as_array().into_iter().flatten().filter(|row| row["state"] == "live").count();
        assert_eq!(live, 1, "{generations}");
    }
    println!("{cut_short} of 6 jobs were cut short");
    server.stop().await;
    let verified = verify(home.path(), &home.data()).await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
}

#[tokio::test]
async fn two_services_never_share_a_folder() {
    let home = Home::new();
    let server: Server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("a.md", "# Alone\n\nOne service at a time.").await;
    let second = home.serve().ended().await;
    assert_eq!(second.code, Some(1), "{}", second.text);
    assert!(second.text.contains(&home.data().display().to_string()), "the folder is not named: {}", second.text);
    assert_eq!(admin.found("one service at a time").await, ["a.md"]);
    server.stop().await;
    let server = home.start().await;
    let admin = server.client(&admin.key.expect("a key")).in_tenant("acme");
    assert_eq!(admin.found("one service at a time").await, ["a.md"]);
}
