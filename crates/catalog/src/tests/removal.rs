//! Tenants that are suspended, and tenants that go for good.

use std::collections::BTreeMap;

use super::quotas::change;
use super::*;
use crate::store::{Connection, sql_of};
use crate::tables::testing::TABLES;
use catena_audit::Chain;
use catena_domain::{ErrorKind, Seq};
use sqlx::AssertSqlSafe;

/// Words that occur in what a tenant hands in, one for each place where such a thing is kept.
const CANARIES: [&str; 11] = [
    "qsuspected",
    "qallowed",
    "qtitle",
    "quri",
    "qattribute",
    "qsource",
    "qheading",
    "qmember",
    "qkeyname",
    "qname",
    "qentry",
];

fn service(of: Service) -> TenantChange {
    TenantChange { service: Some(of), ..TenantChange::default() }
}

/// Something in every table, twice: what was replaced is to go as well.
async fn furnish(home: &Home, tenant_id: &str) {
    let (scope, catalog) = (admin(tenant_id), &home.catalog);
    for round in 0..2 {
        for number in 0..30 {
            let base = document(&format!("d{number}"), &format!("text {round} {number}\n\n").repeat(30));
            let title = format!("qtitle {number} {round}");
            let (mut chunks, embeddings) = cut(&title, &base.text);
            chunks.iter_mut().for_each(|chunk| chunk.headings = vec!["qheading".into()]);
            let new = NewDocument {
                title,
                chunks,
                embeddings,
                uri: Some(format!("https://example.org/quri/{round}")),
                attributes: BTreeMap::from([("team".into(), format!("qattribute {round}").into())]),
                source: Some("qsource".into()),
                acl: acl(&[&format!("user:qentry{number}")], &[]),
                ..base
            };
            put(catalog, &scope, new).await;
        }
        let members = of(&[&format!("qmember{round}"), "ann"]);
        catalog.put_group(&scope, &group("eng"), members, draft("group.put")).await.unwrap();
    }
    catalog.put_group(&scope, &group("outer"), of(&["group:eng"]), draft("group.put")).await.unwrap();
    catalog.put_labels(&scope, &[label("qlabel")], draft("labels.put")).await.unwrap();
    for (number, doc) in [3, 4].into_iter().zip(["d3", "d4"]) {
        let deed = named(&format!("qdelete{number}"), number);
        catalog.delete_document(&scope, &id(doc), Expect::Any, deed).await.unwrap().unwrap();
    }
    catalog.purge_document(&scope, &id("d4"), Expect::Any, draft("purge")).await.unwrap().unwrap();
    let key = NewKey { name: "qkeyname".into(), ..new_key(&format!("k{tenant_id}")) };
    catalog.create_key(&scope, key, draft("key.create")).await.unwrap();
    request_import(catalog, &scope, "qimport").await;
    catalog.create_generation(&scope, &recipe(), 4, &Chunking::default(), None).await.unwrap();
    let kept_back = suspect("waits", "qsuspected text");
    catalog.keep_back(&scope, kept_back, Expect::Any, draft("document.put")).await.unwrap();
    catalog.put_firewall_policy(&scope, r#"{"allow": ["qallowed"]}"#.into(), draft("firewall.put")).await.unwrap();
    sources::furnish_source(catalog, &scope).await;
    audit::ask(catalog, &scope).await;
    change(home, TenantChange { name: Some("qname".into()), ..TenantChange::default() }).await.unwrap();
}

async fn tables(home: &Home) -> Vec<String> {
    let mut tx = home.catalog.store.read(&tenant("acme")).await.unwrap();
    let rows = sql_of(
        "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c ON c.name = 'tenant'
         WHERE m.type = 'table' ORDER BY m.name",
        "SELECT table_name::TEXT AS name FROM information_schema.columns
         WHERE table_schema = 'catena' AND column_name = 'tenant' ORDER BY 1",
    );
    rows.fetch_all(&mut tx).await.unwrap().iter().map(|row| row.text("name").unwrap()).collect()
}

/// How many rows of a tenant each table has.
async fn counts(home: &Home, tenant_id: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for table in tables(home).await {
        let mut tx = home.catalog.store.read(&tenant(tenant_id)).await.unwrap();
        let statement = AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE tenant = '{tenant_id}'"));
        let count: i64 = match &mut tx {
            Connection::Sqlite(tx) => sqlx::query_scalar(statement).fetch_one(&mut **tx).await.unwrap(),
            Connection::Postgres(tx) => sqlx::query_scalar(statement).fetch_one(&mut **tx).await.unwrap(),
        };
        counts.insert(table, count as u64);
    }
    counts
}

async fn delete(home: &Home) -> Tenant {
    let written = home.catalog.delete_tenant(&operator(), &tenant("acme"), draft("tenant.delete")).await;
    written.unwrap().unwrap().value
}

async fn reopened(home: Home) -> Home {
    home.catalog.close().await.unwrap();
    let catalog = Catalog::open(home.folder.path(), &home.database).await.unwrap();
    Home { catalog, ..home }
}

async fn every_table_with_a_tenant_is_emptied_or_is_the_record(on: On) {
    let home = on.home_with_tenants().await;
    let mut known: Vec<&str> = TABLES.iter().map(|table| table.name).chain(["tenants", "audit_outbox"]).collect();
    known.sort_unstable();
    assert_eq!(tables(&home).await, known, "name every table that has a tenant in `removal.rs`");
}

async fn a_removal_that_is_cut_off_goes_on_until_nothing_is_left_but_the_record(on: On) {
    let home = on.home_with_tenants().await;
    furnish(&home, "acme").await;
    put(&home.catalog, &admin("globex"), document("d0", "another tenant's")).await;
    let (before, others) = (counts(&home, "acme").await, counts(&home, "globex").await);
    assert!(before.values().all(|&rows| rows > 0), "the test is worth nothing: {before:?}");
    assert!(before["chunks"] > 1_000);
    assert_eq!(delete(&home).await.state, TenantState::Deleting);
    assert_eq!(home.catalog.remove_some(&tenant("acme")).await.unwrap(), Removal::More);
    let mut home = reopened(home).await;
    let mut steps = 1;
    assert_eq!(home.catalog.tenants_to_remove().await.unwrap(), [tenant("acme")]);
    while home.catalog.remove_some(&tenant("acme")).await.unwrap() == Removal::More {
        steps += 1;
        if steps % 7 == 0 {
            home = reopened(home).await;
        }
    }
    assert!(steps > 14, "{steps} steps");
    home.catalog.finish_removal(&tenant("acme"), draft("tenant.removed")).await.unwrap();
    assert!(home.catalog.tenants_to_remove().await.unwrap().is_empty());
    let after = counts(&home, "acme").await;
    for (table, rows) in &after {
        match table.as_str() {
            "tenants" => assert_eq!(*rows, 1),
            "audit_outbox" => assert_eq!(*rows, before[table] + 2),
            _ => assert_eq!(*rows, 0, "{table}"),
        }
    }
    assert_eq!(counts(&home, "globex").await, others);
    let left = home.catalog.tenant(&operator(), &tenant("acme")).await.unwrap().unwrap();
    assert_eq!((left.state, left.held, left.name.as_str()), (TenantState::Deleted, Held::default(), "acme"));
    assert_eq!(left.live_generation, None);
    let expected: BTreeMap<String, u64> =
        before.into_iter().filter(|(table, _)| table != "tenants" && table != "audit_outbox").collect();
    assert_eq!(left.removed, expected);
    assert_eq!(home.chains().await["tenant:acme"], after["audit_outbox"]);
    let last = home.catalog.leaves(&admin("acme"), after["audit_outbox"] - 1, 1).await.unwrap().remove(0);
    let last: serde_json::Value = serde_json::from_slice(&last.bytes).unwrap();
    assert_eq!(last["action"], "tenant.removed");
    assert!(last["objects"].to_string().contains(&format!("chunks={}", expected["chunks"])), "{last}");
}

async fn from_the_mark_on_nothing_is_written_for_the_tenant_and_its_id_is_never_given_again(on: On) {
    let home = on.home_with_tenants().await;
    furnish(&home, "acme").await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    let (_, job, lease) = parts(catalog).await;
    delete(&home).await;
    assert_eq!(catalog.standing(&tenant("acme")).await.unwrap().unwrap().state, TenantState::Deleting);
    fn gone<T>(what: &str, result: Result<T, CatalogError>) {
        assert!(matches!(result, Err(CatalogError::TenantGone { .. })), "{what}");
    }
    gone("put", catalog.put_document(&scope, document("late", "x"), draft("put")).await);
    gone("acl", catalog.set_acl(&scope, &id("d0"), &acl(&[], &[]), Expect::Any, draft("acl")).await);
    gone("delete", catalog.delete_document(&scope, &id("d0"), Expect::Any, draft("delete")).await);
    gone("key", catalog.create_key(&scope, new_key("klate"), draft("key")).await);
    gone("group", catalog.put_group(&scope, &group("late"), of(&[]), draft("group")).await);
    gone("job", catalog.enqueue_job(&scope, NewJob::of(JobKind::Reindex), draft("job")).await);
    gone("generation", catalog.create_generation(&scope, &recipe(), 4, &Chunking::default(), None).await);
    gone("tokens", catalog.spend_tokens(&scope, 1, Spending::Regardless).await);
    gone("progress", catalog.progress_job(&scope, &job.id, &lease, &documents(1, 2), "").await);
    gone("an answer on its way", catalog.record(Chain::Tenant(scope.tenant()), draft("search")).await);
    catalog.record_of_operator(&operator(), scope.tenant(), draft("audit.read")).await.unwrap();
    assert!(catalog.claim_job(&taking()).await.unwrap().is_none());
    assert!(catalog.all_tenants().await.unwrap() == [tenant("globex")]);
    for _ in 0..2 {
        let again = catalog.create_tenant(&operator(), &tenant("acme"), "x", &recipe(), 4, draft("create")).await;
        let error = again.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("never given again"), "{error}");
        assert_eq!(change(&home, service(Service::Resumed)).await.unwrap_err().kind(), ErrorKind::Conflict);
        while catalog.remove_some(&tenant("acme")).await.is_ok_and(|removal| removal == Removal::More) {}
        let _ = catalog.finish_removal(&tenant("acme"), draft("tenant.removed")).await;
        assert_eq!(delete(&home).await.state, TenantState::Deleted);
    }
    assert_eq!(catalog.seq(&admin("globex")).await.unwrap(), Seq(0));
    let nowhere = catalog.delete_tenant(&operator(), &tenant("nowhere"), draft("tenant.delete")).await.unwrap();
    assert!(nowhere.is_none());
    let error = catalog.remove_some(&tenant("globex")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "a tenant that nobody deleted was being removed");
}

async fn the_jobs_of_a_suspended_tenant_wait_and_go_on_where_they_were(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, scope) = (&home.catalog, admin("acme"));
    catalog.enqueue_job(&scope, NewJob::of(JobKind::Reindex), draft("reindex")).await.unwrap();
    let (_, job, lease) = parts(catalog).await;
    assert_eq!(change(&home, service(Service::Suspended)).await.unwrap().state, TenantState::Suspended);
    let told = catalog.progress_job(&scope, &job.id, &lease, &documents(3, 9), "").await.unwrap();
    assert_eq!(told, JobControl::Wait);
    catalog.finish_job(&scope, &job.id, &lease, JobEnd::Deferred).await.unwrap();
    let waiting = catalog.job(&scope, &job.id).await.unwrap().unwrap();
    assert_eq!((waiting.state, waiting.tally.documents.done, waiting.finished_at), (JobState::Queued, 3, None));
    assert!(catalog.claim_job(&taking()).await.unwrap().is_none());
    catalog.enqueue_job(&admin("globex"), NewJob::of(JobKind::Reindex), draft("reindex")).await.unwrap();
    assert_eq!(catalog.claim_job(&taking()).await.unwrap().unwrap().tenant, tenant("globex"));
    change(&home, service(Service::Resumed)).await.unwrap();
    let (of, again, lease) = parts(catalog).await;
    assert_eq!((of, &again.id), (tenant("acme"), &job.id));
    assert_eq!(
        catalog.progress_job(&scope, &job.id, &lease, &documents(4, 9), "").await.unwrap(),
        JobControl::Continue
    );
}

/// Everything that lies in the folder, byte by byte.
fn bytes_in(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.flat_map(|file| std::fs::read(file).unwrap()).collect()
}

fn holds(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

#[tokio::test]
async fn no_word_of_a_removed_tenant_is_left_in_the_files() {
    let home = On::Sqlite.home_with_tenants().await;
    furnish(&home, "acme").await;
    put(&home.catalog, &admin("globex"), document("d0", "another tenant's")).await;
    let blocks = {
        let mut tx = home.catalog.store.read(&tenant("acme")).await.unwrap();
        let blocks: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT zstd FROM version_text WHERE tenant = 'acme' AND length(zstd) < 2000")
                .fetch_all(tx.sqlite())
                .await
                .unwrap();
        blocks
    };
    assert!(blocks.len() >= 60);
    let before = bytes_in(home.folder.path());
    for canary in CANARIES {
        assert!(holds(&before, canary.as_bytes()), "{canary} is nowhere, so the test is worth nothing");
    }
    delete(&home).await;
    while home.catalog.remove_some(&tenant("acme")).await.unwrap() == Removal::More {}
    home.catalog.finish_removal(&tenant("acme"), draft("tenant.removed")).await.unwrap();
    let after = bytes_in(home.folder.path());
    for canary in CANARIES {
        assert!(!holds(&after, canary.as_bytes()), "{canary} is still there");
    }
    for block in blocks {
        assert!(!holds(&after, &block), "a block of text is still there");
    }
    assert!(holds(&after, b"Title of d0"), "another tenant's words went as well");
}

on_both! {
    every_table_with_a_tenant_is_emptied_or_is_the_record,
    a_removal_that_is_cut_off_goes_on_until_nothing_is_left_but_the_record,
    from_the_mark_on_nothing_is_written_for_the_tenant_and_its_id_is_never_given_again,
    the_jobs_of_a_suspended_tenant_wait_and_go_on_where_they_were,
}
