//! A folder on the disk and a tenant that holds what the folder holds.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::server::{Launch, Server};
use crate::harness::{Client, Home, wait};

/// A service whose tenants may read one folder.
struct Place {
    home: Home,
    folder: PathBuf,
}

impl Place {
    fn new() -> Self {
        let home = Home::new();
        let folder = home.path().join("papers");
        fs::create_dir(&folder).expect("a folder");
        Self { home, folder }
    }

    async fn start(&self) -> Server {
        self.home.serve().variable("CATENA_SOURCE_FOLDERS", self.folder.display()).start().await
    }

    fn write(&self, id: &str, text: &str) {
        let path = self.folder.join(id);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("a folder");
        fs::write(path, text).expect("a file is written");
    }

    fn described(&self) -> Value {
        let rules = json!([{"path": "**", "allow": ["everyone"]}, {"path": "board/**", "allow": ["group:board"]}]);
        json!({"name": "papers", "spec": {"kind": "folder", "path": told(&self.folder), "access": {"rules": rules}}})
    }

    async fn made(&self, client: &Client) {
        client.post(&client.path("sources"), &self.described()).await.expect(201);
    }
}

fn told(path: &Path) -> String {
    path.display().to_string()
}

fn paper(at: usize) -> String {
    let line =
        |line: usize| format!("Paper {at} tells in line {line} how the lock of weir {at} is opened by hand.\n\n");
    format!("# Paper {at}\n\n{}", (0..6).map(line).collect::<String>())
}

async fn sync(client: &Client) -> Value {
    let asked = client.post(&client.path("sources/papers/sync"), &json!({})).await.expect(202).json();
    ended(client, asked["id"].as_str().expect("an id")).await
}

/// The job, once it does not move any more.
async fn ended(client: &Client, job: &str) -> Value {
    let path = client.path(&format!("jobs/{job}"));
    wait::until("the job ends", 120, || async {
        let job = client.get(&path).await.expect(200).json();
        let state = job["state"].as_str().expect("a state").to_owned();
        ["succeeded", "failed", "cancelled", "held"].contains(&state.as_str()).then_some(job)
    })
    .await
}

async fn last(client: &Client) -> Value {
    client.get(&client.path("sources/papers")).await.expect(200).json()["last"].clone()
}

fn counts(last: &Value) -> Vec<(String, u64)> {
    let kinds = ["added", "changed", "restated", "moved", "deleted", "failed", "chunks_embedded"];
    kinds
        .iter()
        .map(|kind| ((*kind).to_owned(), last[*kind].as_u64().expect("a count")))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[tokio::test]
async fn a_folder_is_held_as_it_is_and_its_changes_alone_are_read() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    (0..4).for_each(|at| place.write(&format!("{at}.md"), &paper(at)));
    place.write("board/minutes.md", "# Minutes\n\nThe board met at the old weir and closed the lower lock.\n");
    place.made(&admin).await;
    let plan = admin.post(&admin.path("sources/papers/plan"), &json!({})).await.expect(200).json();
    assert_eq!((&plan["adds"]["count"], &plan["estimate"]["sampled"]), (&json!(5), &json!(5)), "{plan}");
    assert_eq!(sync(&admin).await["state"], "succeeded");
    assert_eq!(last(&admin).await["chunks_embedded"], plan["estimate"]["chunks"]);

    admin.put(&admin.path("groups/board"), &json!({"members": ["olga"]})).await.expect(204);
    let guest = server.key("acme", &["read"], None, &[]).await;
    let olga = server.key("acme", &["read"], Some("olga"), &[]).await;
    wait::until("the papers are found", 20, || async {
        (guest.found("lock of weir 3").await.len() >= 4).then_some(())
    })
    .await;
    assert!(!guest.found("the board met").await.contains(&"papers/board/minutes.md".to_owned()));
    assert!(olga.found("the board met").await.contains(&"papers/board/minutes.md".to_owned()));

    assert_eq!(sync(&admin).await["state"], "succeeded");
    assert_eq!(counts(&last(&admin).await), []);
    fs::create_dir(place.folder.join("moved")).expect("a folder");
    fs::rename(place.folder.join("1.md"), place.folder.join("moved/1.md")).expect("a file moves");
    fs::remove_file(place.folder.join("2.md")).expect("a file goes");
    place.write("3.md", &paper(33));
    let before = admin.get(&admin.document("papers/1.md")).await.expect(200).json();
    assert_eq!(sync(&admin).await["state"], "succeeded");
    let did = counts(&last(&admin).await);
    assert!(did.starts_with(&[("changed".into(), 1), ("moved".into(), 1), ("deleted".into(), 1)]), "{did:?}");
    let after = admin.get(&admin.document("papers/moved/1.md")).await.expect(200).json();
    assert_eq!((&after["version"], &after["text"]), (&before["version"], &before["text"]));
    admin.get(&admin.document("papers/1.md")).await.expect(404);
    admin.get(&admin.document("papers/2.md")).await.expect(404);

    // A folder that is away is an error, and nothing is gone.
    fs::rename(&place.folder, place.home.path().join("away")).expect("a folder moves");
    let failed = sync(&admin).await;
    assert_eq!(failed["state"], "failed", "{failed}");
    admin.get(&admin.document("papers/0.md")).await.expect(200);
    fs::rename(place.home.path().join("away"), &place.folder).expect("a folder moves back");
    assert_eq!(sync(&admin).await["state"], "succeeded");
    assert_eq!(counts(&last(&admin).await), []);

    let actions: Vec<String> = leaves(&admin).await;
    for action in ["source.create", "source.sync", "document.move", "document.put", "document.delete"] {
        assert!(actions.iter().any(|found| found == action), "no leaf says {action}");
    }
    assert_eq!(server.stop().await.code(), Some(0));
    assert_eq!(place.home.verify().await.code, Some(0));
}

async fn leaves(client: &Client) -> Vec<String> {
    let page = client.get(&client.path("audit/leaves?limit=500")).await.expect(200).text();
    let action = |line: &str| {
        let leaf: Value = serde_json::from_str(line).expect("a leaf is JSON");
        leaf["action"].as_str().unwrap_or_default().to_owned()
    };
    page.lines().filter(|line| !line.is_empty()).map(action).collect()
}

#[tokio::test]
async fn many_deletions_wait_for_somebody_who_approves_exactly_these() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    (0..15).for_each(|at| place.write(&format!("{at:02}.md"), &paper(at)));
    place.made(&admin).await;
    sync(&admin).await;
    (0..12).for_each(|at| fs::remove_file(place.folder.join(format!("{at:02}.md"))).expect("a file goes"));
    let held = sync(&admin).await;
    assert_eq!((&held["state"], &held["approval"]["plan"]["deletes"]["count"]), (&json!("held"), &json!(12)), "{held}");
    admin.get(&admin.document("papers/00.md")).await.expect(200);
    let job = held["id"].as_str().expect("an id");
    let approve = admin.path(&format!("jobs/{job}/approve"));
    admin.post(&approve, &json!({"digest": "0".repeat(64)})).await.refused(409, "conflict");
    admin.post(&approve, &json!({"digest": held["approval"]["digest"]})).await.expect(202);
    assert_eq!(ended(&admin, job).await["state"], "succeeded");
    admin.get(&admin.document("papers/00.md")).await.expect(404);
    admin.get(&admin.document("papers/14.md")).await.expect(200);
}

#[tokio::test]
async fn the_operator_reaches_no_document_through_sources_and_jobs() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    let operator = server.operator().in_tenant("acme");
    (0..15).for_each(|at| place.write(&format!("{at:02}.md"), &paper(at)));
    operator.post(&operator.path("sources"), &place.described()).await.refused(403, "missing-scope");
    place.made(&admin).await;
    sync(&admin).await;
    (0..12).for_each(|at| fs::remove_file(place.folder.join(format!("{at:02}.md"))).expect("a file goes"));
    let held = sync(&admin).await;
    assert_eq!(held["state"], "held", "{held}");
    let job = held["id"].as_str().expect("an id");

    let source = operator.path("sources/papers");
    let change = operator.request(Method::PATCH, &source).json(&json!({"state": "paused"}));
    operator.send(change).await.refused(403, "missing-scope");
    operator.delete(&source).await.refused(403, "missing-scope");
    operator.delete(&format!("{source}?documents=delete")).await.refused(403, "missing-scope");
    operator.get(&format!("{source}/items?state=ok")).await.refused(403, "missing-scope");
    operator.get(&operator.path(&format!("jobs/{job}/failures"))).await.refused(403, "missing-scope");
    for path in ["sources/papers/plan", "sources/papers/sync", "documents/papers%2F00.md/purge"] {
        operator.post(&operator.path(path), &json!({})).await.refused(403, "missing-scope");
    }
    operator.post(&operator.path("documents:purge"), &json!({"source": "papers"})).await.refused(403, "missing-scope");
    let approval = json!({"digest": held["approval"]["digest"]});
    operator.post(&operator.path(&format!("jobs/{job}/approve")), &approval).await.refused(403, "missing-scope");

    // What there is to run the house: the sources, and how jobs stand.
    let shown = operator.get(&source).await.expect(200);
    let told = operator.get(&operator.path(&format!("jobs/{job}"))).await.expect(200);
    let listed = operator.get(&operator.path("jobs")).await.expect(200);
    for reply in [&shown, &told, &listed] {
        assert!(!reply.text().contains("papers/0"), "{}", reply.text());
    }
    assert_eq!(told.json()["approval"], json!({"digest": held["approval"]["digest"]}));
    admin.post(&admin.path(&format!("jobs/{job}/approve")), &approval).await.expect(202);
    assert_eq!(ended(&admin, job).await["state"], "succeeded");
}

#[tokio::test]
async fn a_guard_that_a_change_does_not_name_stays() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    place.made(&admin).await;
    let changed = async |body: Value| {
        let change = admin.request(Method::PATCH, &admin.path("sources/papers")).json(&body);
        let guards = admin.send(change).await.expect(200).json()["guards"].clone();
        (guards["deletes_max_share"].clone(), guards["deletes_free"].clone(), guards["widening_max_readers"].clone())
    };
    let first = changed(json!({"guards": {"deletes_max_share": 0.5, "deletes_free": 3}})).await;
    assert_eq!(first, (json!(0.5), json!(3), json!(100)));
    assert_eq!(changed(json!({"guards": {"widening_max_readers": 7}})).await, (json!(0.5), json!(3), json!(7)));
    assert_eq!(changed(json!({"guards": {"deletes_max_share": null}})).await, (Value::Null, json!(3), json!(7)));
    assert_eq!(changed(json!({"state": "paused"})).await, (Value::Null, json!(3), json!(7)));
}

#[tokio::test]
async fn a_sync_that_is_killed_goes_on_and_embeds_nothing_twice() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    const PAPERS: usize = 240;
    (0..PAPERS).for_each(|at| place.write(&format!("{at:03}.md"), &paper(at)));
    place.made(&admin).await;
    let asked = admin.post(&admin.path("sources/papers/sync"), &json!({})).await.expect(202).json();
    let job = asked["id"].as_str().expect("an id").to_owned();
    let path = admin.path(&format!("jobs/{job}"));
    let done = wait::until("a part is done", 60, || async {
        let done = admin.get(&path).await.expect(200).json()["tally"]["documents"]["done"].as_u64().expect("a count");
        (done > 20).then_some(done)
    })
    .await;
    server.kill();
    assert!((done as usize) < PAPERS, "it was done before it could be killed");

    let server = place.start().await;
    let admin = server.client(admin.key.as_deref().expect("a key")).in_tenant("acme");
    assert_eq!(ended(&admin, &job).await["state"], "succeeded");
    let last = last(&admin).await;
    let embedded = last["chunks_embedded"].as_u64().expect("a count");
    let of = last["added"].as_u64().expect("a count");
    assert!(of < PAPERS as u64, "everything was read again: {last}");
    assert!(embedded <= of, "{last}");
    let counted = admin.get(&admin.path("sources/papers")).await.expect(200).json();
    assert_eq!(counted["documents"], json!({"ok": PAPERS}));
    assert_eq!(sync(&admin).await["state"], "succeeded");
    let again = self::last(&admin).await;
    assert_eq!((counts(&again), &again["unchanged"]), (vec![], &json!(PAPERS)));
}

#[tokio::test]
async fn a_folder_with_a_schedule_is_synced_after_it_changed() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    place.write("0.md", &paper(0));
    let mut described = place.described();
    described["schedule"] = json!({"every_s": 86_400});
    admin.post(&admin.path("sources"), &described).await.expect(201);
    assert_eq!(sync(&admin).await["state"], "succeeded");
    // The list of what is watched is read now and then.
    let mut at = 0;
    wait::until("a change is seen", 90, || {
        at += 1;
        place.write("1.md", &paper(at));
        let admin = admin.clone();
        async move { (admin.get(&admin.document("papers/1.md")).await.status == 200).then_some(()) }
    })
    .await;
}

#[tokio::test]
async fn what_opens_a_source_is_never_shown_and_what_is_not_allowed_is_refused() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    let git = json!({"name": "code", "spec": {"kind": "git", "url": "https://git.example/code.git"},
        "credentials": {"token": "s3cr3t-of-the-forge"}});
    let made = admin.post(&admin.path("sources"), &git).await.expect(201);
    assert_eq!(made.json()["credentials"], json!(["token"]));
    let shown = admin.get(&admin.path("sources/code")).await.expect(200);
    let moved = json!({"spec": {"kind": "git", "url": "https://elsewhere.example/code.git"}});
    let patch = admin.request(Method::PATCH, &admin.path("sources/code")).json(&moved);
    let refused = admin.send(patch).await;
    assert_eq!(refused.status, 422, "{}", refused.everything());
    assert!(refused.detail().contains("credentials"), "{}", refused.everything());
    let unknown = json!({"name": "bad", "spec": {"kind": "push"}, "credentials": {"token": "s3cr3t-of-the-forge"}});
    let bad = admin.post(&admin.path("sources"), &unknown).await;
    for reply in [&made, &shown, &refused, &bad] {
        assert!(!reply.everything().contains("s3cr3t"), "{}", reply.everything());
    }
    assert_eq!(bad.status, 422);
    for (body, needle) in [
        (json!({"name": "etc", "spec": {"kind": "folder", "path": "/etc"}}), "folder"),
        (json!({"name": "Bad Name", "spec": {"kind": "push"}}), "name"),
        (
            json!({"name": "often", "spec": {"kind": "git", "url": "https://git.example/a.git"}, "schedule": {"every_s": 5}}),
            "60",
        ),
        (json!({"name": "p", "spec": {"kind": "push"}, "schedule": {"every_s": 3600}}), "handed in"),
        (json!({"name": "g", "spec": {"kind": "push"}, "guards": {"deletes_max_share": 7}}), "share"),
    ] {
        let reply = admin.post(&admin.path("sources"), &body).await;
        assert_eq!(reply.status, 422, "{body}: {}", reply.everything());
        assert!(reply.detail().contains(needle), "{body}: {}", reply.everything());
    }
    admin.post(&admin.path("sources"), &git).await.refused(409, "conflict");
    assert!(!server.printed().contains("s3cr3t"));
    let stored = fs::read(place.home.data().join("catalog.db")).unwrap_or_default();
    assert!(!stored.windows(6).any(|window| window == b"s3cr3t"), "the database holds it in clear");
}

#[tokio::test]
async fn the_command_line_makes_plans_syncs_and_removes_a_source() {
    let place = Place::new();
    let server = place.start().await;
    let admin = server.tenant("acme").await;
    (0..3).for_each(|at| place.write(&format!("{at}.md"), &paper(at)));
    place.write("odd.bin", "\u{1}\u{2}");
    let catena = async |arguments: &[&str]| {
        let launch = Launch::new(place.home.path(), arguments).variable("CATENA_URL", &server.url);
        let key = admin.key.clone().expect("a key");
        launch.variable("CATENA_KEY", key).variable("CATENA_TENANT", "acme").ended().await
    };
    let spec = place.described()["spec"].to_string();
    let made = catena(&["source", "add", "papers", "--spec", &spec, "--every", "6h"]).await;
    assert_eq!(made.code, Some(0), "{}", made.text);
    assert!(made.out.contains("every 21600 s"), "{}", made.out);
    let plan = catena(&["source", "plan", "papers"]).await;
    assert!(plan.out.contains("papers/0.md") && plan.out.contains("tokens"), "{}", plan.text);
    let synced = catena(&["source", "sync", "papers", "--follow"]).await;
    assert_eq!(synced.code, Some(0), "{}", synced.text);
    let listed = catena(&["source", "list"]).await;
    assert!(listed.out.contains("3 added"), "{}", listed.text);
    let shown = catena(&["source", "show", "papers"]).await;
    assert!(shown.out.contains("3 ok"), "{}", shown.text);
    let set = catena(&["source", "set", "papers", "--pause", "--deletes-max-share", "0.5"]).await;
    assert!(set.out.contains("paused"), "{}", set.text);
    let items = catena(&["source", "items", "papers", "--state", "skipped"]).await;
    assert_eq!(items.code, Some(0), "{}", items.text);
    let removed = catena(&["source", "remove", "papers", "--documents"]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.text);
    wait::until("the documents are gone", 30, || async {
        (admin.get(&admin.document("papers/0.md")).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(catena(&["source", "show", "papers"]).await.code, Some(1));
}
