//! Damage to the index, which is rebuilt; cuts during a re-index, which goes on; a folder that two services want.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::server::verify;
use crate::harness::{Chance, Client, Home, Server, text, wait};

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
        // A damaged segment is noticed when the index is opened, and brought back while the others answer.
        let as_before = || async { (answers(&client).await == before).then_some(()) };
        wait::until(&format!("answers are as before, after {what}"), 60, as_before).await;
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
