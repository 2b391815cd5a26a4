//! Backup beside a running service, and what comes back elsewhere after the first machine is gone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::harness::server::{Ended, Launch, verify};
use crate::harness::{Chance, Client, Home, place, text, wait};

/// `catena` with these arguments, to its end.
async fn catena(home: &Home, arguments: &[&str]) -> Ended {
    Launch::new(home.path(), arguments).ended().await
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

async fn backup(home: &Home, file: &Path) -> String {
    let ended = catena(home, &["backup", &shown(file), "--data", &shown(&home.data())]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    ended.out
}

/// Writes document after document until the service is gone: what was acknowledged, in order.
async fn write_until_cut(client: Client, acks: watch::Sender<u64>) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let (id, text) = (format!("tide-{number}.md"), format!("# Tide {number}\n\nTide {number} turns at the weir."));
        let envelope = json!({"text": text, "acl": {"allow": ["everyone"]}});
        let request = client.request(reqwest::Method::PUT, &client.document(&id)).json(&envelope);
        let Ok(reply) = client.try_send(request).await else { break };
        assert_eq!(reply.status, 201, "{}", reply.text());
        acknowledged.push((id, text));
        acks.send_modify(|acks| *acks += 1);
    }
    acknowledged
}

/// What is asked before and after: answers with their citations, without what differs between two askings.
async fn answers(client: &Client) -> Vec<Value> {
    let mut told = Vec::new();
    for query in ["which lamp is lit at dusk", "who opens the sluice", "lamp 3"] {
        for mode in ["hybrid", "lexical", "dense"] {
            let body = json!({"query": query, "mode": mode, "top_k": 5, "filter": {"source": ["harbour"]}});
            told.push(client.search(&body).await.expect(200).json());
        }
        let body = json!({"query": query, "budget": {"tokens": 600}, "filter": {"source": ["harbour"]}});
        told.push(client.context(&body).await.expect(200).json());
    }
    for answer in &mut told {
        *answer = text::answer_in_any_generation(answer);
        answer.as_object_mut().expect("an object").remove("seq");
    }
    told
}

async fn lamps(admin: &Client) {
    for at in 0..8 {
        let text = format!("# Lamp {at}\n\nLamp {at} is lit at dusk.\n\nThe sluice is opened by keeper {at}.");
        let envelope = json!({"text": text, "acl": {"allow": ["everyone"]}, "source": "harbour"});
        admin.envelope(&format!("lamp-{at}.md"), &envelope).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_is_made_while_documents_are_written_serves_elsewhere_when_the_first_machine_is_gone() {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let reader = server.key("acme", &["read"], Some("marit"), &[]).await;
    lamps(&admin).await;
    admin.write_for("secret.md", "# Sluice\n\nThe sluice has a second key.", &["user:ann"]).await;
    let before = answers(&reader).await;
    assert!(before.iter().all(|answer| answer["results"] != json!([]) && answer["citations"] != json!([])));

    let (acks, mut acknowledged) = watch::channel(0);
    let writer = tokio::spawn(write_until_cut(admin.clone(), acks));
    acknowledged.wait_for(|acks| *acks >= 5).await.expect("a writer writes");
    let at_least = *acknowledged.borrow();
    let file = home.path().join("backup");
    let said = backup(&home, &file).await;
    let at_most = *acknowledged.borrow() + 1;
    assert!(said.contains("WITH ITS SECRET") && said.contains("tenant acme: "), "{said}");
    acknowledged.wait_for(|acks| *acks > at_most + 2).await.expect("a writer writes");
    server.kill();
    let written = writer.await.expect("the writer ends");

    let elsewhere = Home::new();
    let ended = catena(&elsewhere, &["restore", &shown(&file), "--data", &shown(&elsewhere.data())]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(ended.out.contains("leaves are as they were written"), "{}", ended.out);
    let server = elsewhere.start().await;
    let again = |old: Client| server.client(&old.key.expect("a key")).in_tenant("acme");
    let (reader, admin) = (again(reader), again(admin));
    assert_eq!(answers(&reader).await, before, "old keys, and the same citations");
    reader.get(&reader.document("secret.md")).await.expect(404);
    let (mut found, mut is_over) = (0u64, false);
    for (id, text) in &written {
        let reply = admin.get(&admin.document(id)).await;
        if reply.status == 404 {
            is_over = true;
            continue;
        }
        assert!(!is_over, "{id} is there, and one that was written before it is not");
        assert_eq!(reply.expect(200).json()["text"], json!(text));
        let body = json!({"query": text.lines().next(), "mode": "lexical", "top_k": 1});
        let answer = admin.search(&body).await.expect(200).json();
        assert_eq!(text::documents(&answer["results"]), std::slice::from_ref(id));
        found += 1;
    }
    assert!(at_least <= found && found <= at_most, "{at_least} <= {found} <= {at_most} of {}", written.len());
    server.operator().get("/v1/tenants/acme").await.expect(200);
    admin.write("after.md", "# After\n\nWrites go on.").await;
    server.stop().await;
    let verified = elsewhere.verify().await;
    assert_eq!(verified.code, Some(0), "{}", verified.text);
}

/// Restores, and is killed after so long: whether it had ended before.
async fn restore_and_kill(file: &Path, data: &Path, catalog: &[String], microseconds: u64) -> bool {
    let mut command = Command::new(place::program());
    for name in place::variables_to_drop() {
        command.env_remove(name);
    }
    command.args(["restore", &shown(file), "--data", &shown(data)]).args(catalog);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    wait::moment(microseconds).await;
    let ended = child.try_wait().expect("a child can be asked").is_some();
    let _ = child.kill();
    child.wait().expect("the child ends");
    ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_is_killed_at_any_moment_leaves_nothing_and_the_next_one_ends_well() {
    let mut chance = Chance::new("killed restores");
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    let long: String = (0..3_000).map(|at| format!("Lantern {at} hangs at pier {}.\n\n", at % 7)).collect();
    admin.envelope("long.md", &json!({"text": long, "acl": {"allow": ["everyone"]}})).await;
    let file = home.path().join("backup");
    backup(&home, &file).await;
    server.stop().await;
    let postgres = catena_tests::postgres::shared();
    for in_postgres in [false, true] {
        let catalog: Vec<String> = if in_postgres {
            let made = postgres.database("restored");
            let address = [("--catalog", made.app_url()), ("--catalog-owner", made.owner_url())];
            address.iter().flat_map(|(flag, url)| [(*flag).to_owned(), (*url).to_owned()]).collect()
        } else {
            Vec::new()
        };
        let elsewhere = Home::new();
        let (data, mut killed, mut limit_us) = (elsewhere.data(), 0, 40_000);
        while !restore_and_kill(&file, &data, &catalog, chance.below(limit_us) as u64).await {
            killed += 1;
            limit_us += limit_us / 4;
            if killed >= 12 {
                break;
            }
        }
        println!("{killed} restores were killed, in PostgreSQL: {in_postgres}");
        assert!(killed > 0);
        let mut arguments = vec!["restore".to_owned(), shown(&file), "--data".to_owned(), shown(&data)];
        arguments.extend(catalog.iter().cloned());
        let ended = catena(&elsewhere, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
        // A restore that was killed after its commit is whole, and refuses a second one.
        let is_done = ended.code == Some(0) || ended.text.contains("it holds 1 tenants");
        assert!(is_done, "{}", ended.text);
        let launch = catalog.iter().fold(elsewhere.serve(), |launch, argument| launch.argument(argument));
        let server = launch.start().await;
        let client = server.client(admin.key.as_deref().expect("a key")).in_tenant("acme");
        let read = client.get(&client.document("long.md")).await.expect(200).json();
        assert!(read["text"] == json!(long), "the text is not whole");
        server.stop().await;
        if !in_postgres {
            let verified = verify(elsewhere.path(), &data).await;
            assert_eq!(verified.code, Some(0), "{}", verified.text);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_backed_up_or_restored_is_refused_with_what_to_do() {
    let home = Home::new();
    let server = home.start().await;
    server.tenant("acme").await;
    let (file, data) = (home.path().join("backup"), shown(&home.data()));
    backup(&home, &file).await;
    let refused = async |arguments: &[&str], said: &str| {
        let ended = catena(&home, arguments).await;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {}", ended.text);
        assert!(ended.text.contains(said), "{arguments:?}: {}", ended.text);
    };
    refused(&["backup", &shown(&file), "--data", &data], "is there already").await;
    refused(&["backup", "other"], "--data").await;
    refused(&["backup", "other", "--data", &data, "--tenant", "nowhere"], "there is no tenant nowhere").await;
    refused(&["restore", &shown(&file), "--data", &data], "another catena runs").await;
    let cut: PathBuf = home.path().join("cut");
    let bytes = std::fs::read(&file).expect("the backup");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("a file");
    let elsewhere = shown(&home.path().join("elsewhere"));
    refused(&["restore", &shown(&cut), "--data", &elsewhere], "cut off or changed").await;
    refused(&["restore", &shown(&cut), "--check"], "cut off or changed").await;
    refused(&["restore", &data, "--data", &elsewhere], "is no file").await;
    assert!(!home.path().join("elsewhere").exists());
    let checked = catena(&home, &["restore", &shown(&file), "--check"]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.text);
    assert!(checked.out.contains("tenant acme: 0 documents up to write 0, 1 keys"), "{}", checked.out);
    let one = home.path().join("one");
    let ended = catena(&home, &["backup", &shown(&one), "--data", &data, "--tenant", "acme"]).await;
    assert!(ended.code == Some(0) && !ended.out.contains("SECRET"), "{}", ended.text);
    let ended = catena(&home, &["restore", &shown(&one), "--data", &elsewhere]).await;
    assert!(ended.code == Some(0) && ended.out.contains("1 keys were left out"), "{}", ended.text);
    server.stop().await;
}
