//! What is missing from an index is counted, told and brought back: by `catena doctor`, and by the service itself.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::server::Ended;
use crate::harness::{Client, Home, Server, place, text, wait};

const DOCUMENTS: usize = 54;

/// A folder of data, and how the program finds its catalog.
struct Place {
    home: Home,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    fn sqlite() -> Self {
        Self { home: Home::new(), variables: Vec::new() }
    }

    fn postgres() -> Self {
        let made = catena_tests::postgres::shared().database("verify");
        let variables =
            vec![("CATENA_CATALOG", made.app_url().to_owned()), ("CATENA_CATALOG_OWNER", made.owner_url().to_owned())];
        Self { home: Home::new(), variables }
    }

    async fn start(&self) -> Server {
        let launch =
            self.variables.iter().fold(self.home.serve(), |launch, (name, value)| launch.variable(name, value));
        launch.start().await
    }

    /// `catena doctor` with these flags.
    async fn doctor(&self, flags: &[&str]) -> Ended {
        let data = self.home.data().display().to_string();
        let launch = crate::harness::server::Launch::new(self.home.path(), &["doctor", "--data", &data])
            .variable("CATENA_PROVISION", place::provision().display());
        let launch = self.variables.iter().fold(launch, |launch, (name, value)| launch.variable(name, value));
        flags.iter().fold(launch, |launch, flag| launch.argument(flag)).ended().await
    }

    /// The folder of a tenant's one generation.
    fn generation(&self, tenant: &str) -> PathBuf {
        let mut found = std::fs::read_dir(self.home.data().join("index").join(tenant)).expect("an index");
        found.next().expect("a generation").expect("an entry").path()
    }
}

async fn barrels(admin: &Client) {
    for at in 0..DOCUMENTS {
        admin.write(&format!("barrel-{at}.md"), &format!("# Barrel {at}\n\nBarrel {at} holds cider.")).await;
    }
}

async fn answers(client: &Client) -> Value {
    let reply = client.search(&json!({"query": "which barrel holds cider", "top_k": 50})).await.expect(200).json();
    text::answer_in_any_generation(&reply)
}

/// The index of the generation that answers, as its tenant's administrator is told of it.
async fn told(client: &Client) -> Value {
    let generations = client.get(&client.path("generations")).await.expect(200).json();
    let live = generations["data"].as_array().expect("a list").iter().find(|row| row["state"] == "live");
    live.expect("a live generation")["index"].clone()
}

/// Takes segments out of a generation, the smallest first, until a tenth of its rows is gone, so that nothing but their
/// absence shows it. Says how many rows were there and how many went.
fn take_out_a_tenth(generation: &Path) -> (u64, u64) {
    let path = generation.join("manifest.json");
    let mut sealed: Value = serde_json::from_slice(&std::fs::read(&path).expect("a manifest")).expect("JSON");
    let segments = sealed["manifest"]["segments"].as_array_mut().expect("segments");
    let rows = |segment: &Value| segment["rows"].as_u64().expect("a count");
    let all: u64 = segments.iter().map(rows).sum();
    segments.sort_by_key(|segment| std::cmp::Reverse(rows(segment)));
    let mut gone = 0;
    while gone * 10 < all {
        gone += rows(&segments.pop().expect("a segment"));
    }
    let body = sealed["manifest"].to_string();
    let hash = blake3::hash(body.as_bytes()).to_hex();
    std::fs::write(&path, format!("{{\"manifest\":{body},\"blake3\":\"{hash}\"}}\n")).expect("a manifest is written");
    (all, gone)
}

async fn a_missing_tenth_is_found_and_repaired(place: Place) {
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    barrels(&admin).await;
    let healthy = server.tenant("healthy").await;
    healthy.write("a.md", "# Pear\n\nThe pear tree is old.").await;
    let (key, before) = (admin.key.clone().expect("a key"), answers(&admin).await);
    assert_eq!((told(&admin).await["complete_percent"].clone(), before["degraded"].clone()), (json!(100.0), json!([])));
    let running = place.doctor(&["--verify"]).await;
    assert_eq!(running.code, Some(0), "beside a service: {}", running.text);
    assert!(running.out.contains("100.0 % complete") && running.out.contains("Nothing is missing"), "{}", running.text);
    server.stop().await;

    let (all, gone) = take_out_a_tenth(&place.generation("acme"));
    // How many segments there are is up to the merges that had come by then.
    assert!(gone * 10 >= all && gone < all, "{gone} of {all} rows");
    let found = place.doctor(&["--verify"]).await;
    assert_eq!(found.code, Some(1), "{}", found.text);
    let percent = format!("{:.1} % complete", ((all - gone) * 1_000 / all) as f64 / 10.0);
    let line = |tenant: &str| {
        let line = found.out.lines().find(|line| line.split_whitespace().nth(1) == Some(tenant));
        line.unwrap_or_else(|| panic!("no line for {tenant}: {}", found.text)).to_owned()
    };
    assert!(line("acme").contains(&percent) && line("acme").contains(&format!("{gone} missing")), "{}", found.text);
    assert!(line("healthy").starts_with("ok"), "{}", found.text);
    assert_eq!(place.doctor(&["--verify", "--tenant", "healthy"]).await.code, Some(0));
    assert_eq!(place.doctor(&["--verify", "--tenant", "nobody"]).await.code, Some(1));

    let server = place.start().await;
    let refused = place.doctor(&["--repair"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    assert!(refused.out.contains("Nothing was repaired") && refused.out.contains("catena reindex"), "{}", refused.text);
    server.stop().await;
    let repaired = place.doctor(&["--repair"]).await;
    assert_eq!(repaired.code, Some(0), "{}", repaired.text);
    assert!(repaired.out.contains(&format!("repaired acme: {gone} rows of {gone} documents")), "{}", repaired.text);
    let server = place.start().await;
    assert_eq!(answers(&server.client(&key).in_tenant("acme")).await, before);
    for at in 0..DOCUMENTS {
        let (client, id) = (server.client(&key).in_tenant("acme"), format!("barrel-{at}.md"));
        assert!(client.found(&format!("barrel {at}")).await.contains(&id), "{id} is not found");
    }
}

#[tokio::test]
async fn a_missing_tenth_is_found_and_repaired_with_sqlite() {
    a_missing_tenth_is_found_and_repaired(Place::sqlite()).await;
}

#[tokio::test]
async fn a_missing_tenth_is_found_and_repaired_with_postgresql() {
    a_missing_tenth_is_found_and_repaired(Place::postgres()).await;
}

#[tokio::test]
async fn a_damaged_segment_is_told_of_in_answers_and_brought_back_by_the_service_while_it_answers() {
    let place = Place::sqlite();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    barrels(&admin).await;
    let (key, before) = (admin.key.clone().expect("a key"), answers(&admin).await);
    server.stop().await;
    let generation = place.generation("acme");
    let mut segments: Vec<PathBuf> =
        std::fs::read_dir(&generation).expect("a generation").map(|entry| entry.expect("an entry").path()).collect();
    segments.retain(|path| path.is_dir());
    segments.sort();
    std::fs::write(segments[1].join("rows"), b"damage").expect("a file is spoiled");
    let found = place.doctor(&["--verify"]).await;
    assert!(found.code == Some(1) && found.text.contains("rows is damaged"), "{}", found.text);
    assert!(segments[1].is_dir(), "a look has changed something");

    let server = place.start().await;
    let client = server.client(&key).in_tenant("acme");
    let whole = || async {
        let (answer, index) = (answers(&client).await, told(&client).await);
        let degraded = answer["degraded"].as_array().expect("a list").clone();
        for sentence in &degraded {
            let sentence = sentence.as_str().expect("a sentence");
            assert!(sentence.contains("being brought back") && !sentence.contains("barrel"), "{sentence}");
        }
        assert!(index["complete_percent"].as_f64().is_some_and(|percent| percent > 50.0), "{index}");
        (degraded.is_empty() && index["damaged_segments"] == 0 && answer == before).then_some(())
    };
    wait::until("the index is whole again", 60, whole).await;
    assert!(server.logged().contains("an index was mended"), "{}", server.logged());
    assert!(generation.join(format!("{}.damaged-1", name(&segments[1]))).is_dir(), "what was damaged is not kept");
    server.stop().await;
    let found = place.doctor(&["--verify"]).await;
    assert!(found.code == Some(0) && found.text.contains("1 segments put aside"), "{}", found.text);
}

fn name(path: &Path) -> String {
    path.file_name().expect("a name").to_string_lossy().into_owned()
}
