//! Backup and restore: what comes back is what was there at one moment, whichever database it was in and goes to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use catena_audit::Finding;
use catena_domain::{ContextId, Seq};

/// The documents of a furnished tenant, deleted ones as well.
const DOCUMENTS: [&str; 6] = ["long", "open", "ann's", "no bob", "nobody's", "gone"];

/// A catalog in which two tenants have something of everything, more of it than is read at once.
async fn furnished(on: On) -> Home {
    let home = on.home_with_tenants().await;
    for tenant in ["acme", "globex"] {
        let (scope, catalog) = (admin(tenant), &home.catalog);
        let long: String = (0..600).map(|n| format!("paragraph {n} of {tenant}\n\n")).collect();
        put(catalog, &scope, document("long", &long)).await;
        for (name, allow, deny) in [
            ("open", vec!["everyone"], vec![]),
            ("ann's", vec!["user:ann"], vec![]),
            ("no bob", vec!["everyone"], vec!["user:bob"]),
            ("nobody's", vec![], vec![]),
            ("gone", vec!["group:eng"], vec![]),
        ] {
            for text in [format!("{name} at first in {tenant}"), format!("{name} é 語 now in {tenant}")] {
                put(catalog, &scope, NewDocument { acl: acl(&allow, &deny), ..document(name, &text) }).await;
            }
        }
        catalog.delete_document(&scope, &id("gone"), Expect::Any, draft("delete")).await.unwrap();
        catalog.put_group(&scope, &group("eng"), of(&["ann", "cem"]), draft("group")).await.unwrap();
        catalog.put_group(&scope, &group("empty"), of(&["group:eng"]), draft("group")).await.unwrap();
        for key in ["k", "revoked"] {
            catalog.create_key(&scope, new_key(&format!("{key}{tenant}")), draft("key")).await.unwrap();
        }
        let revoked = KeyId::new(&format!("revoked{tenant}")).unwrap();
        catalog.revoke_key(&scope, &revoked, draft("revoke")).await.unwrap();
        request_import(catalog, &scope, tenant).await;
        catalog.create_generation(&scope, &recipe(), 4, &Chunking::default(), None).await.unwrap();
        catalog.keep_back(&scope, suspect("kept back", tenant), Expect::Any, draft("put")).await.unwrap();
        catalog.put_firewall_policy(&scope, r#"{"secret":"redact"}"#.into(), draft("firewall")).await.unwrap();
        sources::furnish_source(catalog, &scope).await;
        audit::ask(catalog, &scope).await;
    }
    home.catalog.set_operator_key_hash(KeyHash::from_bytes([9; 32])).await.unwrap();
    home.catalog.record(catena_audit::Chain::Service, draft("refused")).await.unwrap();
    home
}

/// Everything that anybody can read of a tenant, but for which generation answers and for the leaves from `leaves` on.
async fn picture(catalog: &Catalog, tenant_id: &str, leaves: usize) -> Vec<String> {
    let (scope, service) = (admin(tenant_id), Scope::service(&tenant(tenant_id)));
    let mut seen = Vec::new();
    let mut show = |what: &str, value: &dyn std::fmt::Debug| seen.push(format!("{what}: {value:?}"));
    let row = catalog.tenant(&operator(), &tenant(tenant_id)).await.unwrap().unwrap();
    show("tenant", &(row.id, row.name, row.created_at, row.seq, row.held, row.quotas));
    show("secret", &catalog.tenant_secret(&scope).await.unwrap());
    for asker in [scope.clone(), app(tenant_id), as_user(tenant_id, "ann", &["eng"]), as_user(tenant_id, "bob", &[])] {
        show("list", &catalog.documents(&asker, None, 500).await.unwrap());
        for name in DOCUMENTS {
            show("document", &catalog.document(&asker, &id(name)).await.unwrap());
            show("versions", &catalog.versions(&asker, &id(name)).await.unwrap());
            for version in [1, 2, 3] {
                let text = catalog.version_text(&asker, &id(name), VersionNo(version)).await.unwrap();
                show("text", &(name, version, text));
            }
        }
        let keys: Vec<PassageKey> = (0..7).map(|doc| key(DocNo(doc), VersionNo(2), 0)).collect();
        show("gate", &catalog.passages(&asker, &recipe(), &keys).await.unwrap());
    }
    show("keys", &catalog.keys(&scope, None, 100).await.unwrap());
    let stored = catalog.find_key(&KeyId::new(&format!("k{tenant_id}")).unwrap()).await.unwrap();
    show("key", &stored.map(|key| (key.credential, *key.hash.as_bytes())));
    show("groups", &catalog.groups(&scope).await.unwrap());
    show("group", &catalog.group(&scope, &group("eng")).await.unwrap());
    show("directory", &directory(catalog, tenant_id, "cem").await);
    show("live", &catalog.live_changes(&service, Seq(0)).await.unwrap());
    show("index", &catalog.index_changes(&service, &recipe(), Seq(0), 1_000).await.unwrap());
    for job in catalog.jobs(&scope, 10).await.unwrap() {
        show("failures", &catalog.job_failures(&scope, &job.id, None, 10).await.unwrap());
        for item in catalog.job_items(&scope, &job.id, 10).await.unwrap() {
            show("item", &(item.item, item.document, item.content));
        }
        show("job", &job);
    }
    show("policy", &catalog.firewall_policy(&scope).await.unwrap());
    show("findings", &catalog.findings(&scope, None, 100).await.unwrap());
    show("kept back", &catalog.suspect(&scope, &id("kept back")).await.unwrap());
    show("context", &catalog.context(&scope, &ContextId::new("ctx_1").unwrap()).await.unwrap());
    for leaf in catalog.leaves(&scope, 0, leaves).await.unwrap() {
        show("leaf", &String::from_utf8(leaf.bytes));
    }
    seen
}

/// What is restored from a file, in a place of its own.
async fn restored(on: On, file: &Path, only: Option<&str>) -> Result<(Home, RestoreReport), CatalogError> {
    let (folder, database) = (TempDir::new().unwrap(), on.database());
    restored_in(folder, database, file, only).await
}

async fn restored_in(
    folder: TempDir,
    database: Database,
    file: &Path,
    only: Option<&str>,
) -> Result<(Home, RestoreReport), CatalogError> {
    let only = only.map(tenant);
    let report = restore(folder.path(), &database, file, only.as_ref(), DamagedRecord::Refuse).await?;
    let catalog = Catalog::open(folder.path(), &database).await?;
    Ok((Home { folder, database, catalog }, report))
}

async fn backed_up(home: &Home, only: Option<&str>) -> (TempDir, PathBuf, BackupReport) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("backup");
    let only = only.map(tenant);
    let report = back_up(home.folder.path(), &home.database, only.as_ref(), &file).await.unwrap();
    (folder, file, report)
}

async fn assert_restored(source: &Home, copy: &Home, report: &RestoreReport, tenants: &[&str]) {
    for tenant in tenants {
        let leaves = source.catalog.leaves(&admin(tenant), 0, 500).await.unwrap().len();
        let (was, is) = (picture(&source.catalog, tenant, leaves).await, picture(&copy.catalog, tenant, leaves).await);
        for (was, is) in was.iter().zip(&is) {
            assert_eq!(is, was, "{tenant}");
        }
        assert_eq!(was.len(), is.len(), "{tenant}");
        let added = copy.catalog.leaves(&admin(tenant), leaves as u64, 10).await.unwrap();
        let added: Vec<serde_json::Value> =
            added.iter().map(|leaf| serde_json::from_slice(&leaf.bytes).unwrap()).collect();
        assert_eq!(added.len(), 1, "{added:?}");
        assert_eq!(
            (&added[0]["action"], &added[0]["objects"][0]["kind"]),
            (&"tenant.restore".into(), &"backup".into())
        );
        let (old, new) = (
            source.catalog.live_generation(&admin(tenant)).await.unwrap(),
            copy.catalog.live_generation(&admin(tenant)).await.unwrap(),
        );
        assert_ne!(old.id, new.id, "an index of before could be taken for the restored tenant's");
        assert_eq!((old.recipe, old.dimension), (new.recipe, new.dimension));
        let all = copy.catalog.generations(&admin(tenant)).await.unwrap();
        assert!(all.iter().all(|row| (row.state == GenerationState::Retired) == (row.id != new.id)), "{all:?}");
        let record = report.records.iter().find(|(name, _)| *name == format!("tenant:{tenant}")).unwrap();
        assert_eq!(record.1.as_ref().unwrap().leaves, leaves as u64 + 1);
    }
}

async fn everything_comes_back_as_it_was(on: On) {
    let home = furnished(on).await;
    let (_kept, file, made) = backed_up(&home, None).await;
    let told: Vec<_> = made.sections.iter().map(|section| (section.tenant.clone(), section.documents)).collect();
    assert_eq!(told, [(None, 0), (Some(tenant("acme")), 5), (Some(tenant("globex")), 5)]);
    assert_eq!(check_backup(&file).unwrap(), made);
    let (copy, report) = restored(on, &file, None).await.unwrap();
    assert_eq!(report.backup, made);
    assert_restored(&home, &copy, &report, &["acme", "globex"]).await;
    assert_eq!(copy.catalog.pepper().hash("key"), home.catalog.pepper().hash("key"));
    let operators = copy.catalog.operator_key_hash().await.unwrap().unwrap();
    assert_eq!(operators, KeyHash::from_bytes([9; 32]));
    assert_eq!(copy.chains().await["service"], home.chains().await["service"] + 1);
    // Writes go on where they stopped.
    let (was, scope) = (copy.catalog.seq(&admin("acme")).await.unwrap(), admin("acme"));
    let next = put(&copy.catalog, &scope, document("new", "text")).await;
    assert_eq!(next.value.seq, Some(Seq(was.0 + 1)));
    copy.chains().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_one_database_goes_into_the_other_and_back() {
    let home = furnished(On::Sqlite).await;
    let (_first, file, _) = backed_up(&home, None).await;
    let (there, report) = restored(On::Postgres, &file, None).await.unwrap();
    assert_restored(&home, &there, &report, &["acme", "globex"]).await;
    let (_second, file, _) = backed_up(&there, None).await;
    let (back, report) = restored(On::Sqlite, &file, None).await.unwrap();
    assert_restored(&there, &back, &report, &["acme", "globex"]).await;
}

/// Writes documents in two tenants, in turns, until told to stop: the name, the text and the number of each write.
async fn write_until(catalog: Catalog, stop: Arc<AtomicBool>) -> Vec<(String, String, u64)> {
    let mut written = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let (name, text) = (format!("w{number}"), format!("written as number {number}"));
        for tenant in ["acme", "globex"] {
            let put = put(&catalog, &admin(tenant), document(&name, &text)).await;
            if tenant == "acme" {
                written.push((name.clone(), text.clone(), put.value.seq.unwrap().0));
            }
        }
    }
    written
}

async fn a_backup_that_is_made_while_documents_are_written_is_of_one_moment(on: On) {
    let home = furnished(on).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write_until(home.catalog.clone(), Arc::clone(&stop)));
    let before = home.catalog.seq(&admin("acme")).await.unwrap();
    let (_kept, file, _) = backed_up(&home, None).await;
    let after = home.catalog.seq(&admin("acme")).await.unwrap();
    // Some more, so that something must be missing.
    while home.catalog.seq(&admin("acme")).await.unwrap() < Seq(after.0 + 3) {
        tokio::task::yield_now().await;
    }
    stop.store(true, Ordering::Release);
    let written = writer.await.unwrap();
    let (copy, _) = restored(on, &file, None).await.unwrap();
    let upto = copy.catalog.seq(&admin("acme")).await.unwrap();
    assert!(before <= upto && upto <= after, "{before} <= {upto} <= {after}");
    assert!(after > before, "nothing was written meanwhile");
    for (name, text, seq) in &written {
        let found = copy.catalog.document(&admin("acme"), &id(name)).await.unwrap();
        assert_eq!(found.map(|found| found.text), (*seq <= upto.0).then(|| text.clone()), "{name} at {seq} of {upto}");
    }
    let count = async |tenant| copy.catalog.document_count(&admin(tenant)).await.unwrap();
    let (acme, globex) = (count("acme").await, count("globex").await);
    assert!(acme == globex || acme == globex + 1, "of two moments: {acme} and {globex}");
    let (was, is) = (
        home.catalog.leaves(&admin("acme"), 0, 500).await.unwrap(),
        copy.catalog.leaves(&admin("acme"), 0, 500).await.unwrap(),
    );
    let restored = is.len() - 1;
    assert_eq!(is[..restored], was[..restored], "the record is not the beginning of the record");
}

async fn one_tenant_goes_into_another_installation_without_its_keys_and_touches_nobody(on: On) {
    let (home, other) = (furnished(on).await, on.home().await);
    other.catalog.create_tenant(&operator(), &tenant("other"), "x", &recipe(), 4, draft("create")).await.unwrap();
    put(&other.catalog, &admin("other"), document("mine", "text of another")).await;
    let theirs = picture(&other.catalog, "other", 100).await;
    let (_kept, file, made) = backed_up(&home, Some("acme")).await;
    assert_eq!((made.tenant, made.sections.len()), (Some(tenant("acme")), 1));
    assert!(!holds(&file, home.folder.path()), "the installation's secret is in a tenant's backup");
    other.catalog.close().await.unwrap();
    let (other, report) = restored_in(other.folder, other.database, &file, None).await.unwrap();
    assert_eq!(report.keys_left_out, 2);
    assert_eq!(other.catalog.keys(&admin("acme"), None, 10).await.unwrap().items, []);
    assert_eq!(picture(&other.catalog, "other", 100).await, theirs);
    let found = other.catalog.document(&as_user("acme", "ann", &[]), &id("ann's")).await.unwrap().unwrap();
    assert_eq!(found.text, "ann's é 語 now in acme");
    assert_eq!(other.chains().await.keys().collect::<Vec<_>>(), ["service", "tenant:acme", "tenant:other"]);
    assert!(other.catalog.all_tenants().await.unwrap().iter().all(|tenant| tenant.as_str() != "globex"));
}

/// Whether a backup of all, which holds the secret, or one without it: by the secret's text.
fn holds(file: &Path, folder: &Path) -> bool {
    let secret = std::fs::read(folder.join("secret.key")).unwrap();
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = std::fs::read(file).unwrap();
    let found = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    found(text.as_bytes()) || found(&secret)
}

async fn one_tenant_out_of_a_backup_of_all_keeps_its_keys_where_the_secret_is_the_same(on: On) {
    let home = furnished(on).await;
    let (_kept, file, _) = backed_up(&home, None).await;
    assert!(holds(&file, home.folder.path()), "the test that a tenant's backup holds no secret is worth nothing");
    let folder = TempDir::new().unwrap();
    std::fs::copy(home.folder.path().join("secret.key"), folder.path().join("secret.key")).unwrap();
    let (copy, report) = restored_in(folder, on.database(), &file, Some("globex")).await.unwrap();
    assert_eq!(report.keys_left_out, 0);
    assert_restored(&home, &copy, &report, &["globex"]).await;
    assert_eq!(copy.catalog.all_tenants().await.unwrap(), [tenant("globex")]);
    let error = restored(on, &file, Some("nowhere")).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("holds no tenant nowhere"), "{error}");
}

async fn a_tenant_never_takes_the_place_of_one_that_is_or_was_there(on: On) {
    let home = furnished(on).await;
    let (_kept, file, _) = backed_up(&home, Some("acme")).await;
    put(&home.catalog, &admin("acme"), document("later", "text")).await;
    let before = picture(&home.catalog, "acme", 100).await;
    home.catalog.close().await.unwrap();
    let refused = restore(home.folder.path(), &home.database, &file, None, DamagedRecord::Refuse).await.unwrap_err();
    assert!(refused.to_string().contains("is there, or was"), "{refused}");
    let catalog = Catalog::open(home.folder.path(), &home.database).await.unwrap();
    assert_eq!(picture(&catalog, "acme", 100).await, before);
}

async fn an_installation_goes_into_an_empty_place_only(on: On) {
    let home = furnished(on).await;
    let (_kept, file, _) = backed_up(&home, None).await;
    let try_in = async |folder: &Path, database: &Database| {
        restore(folder, database, &file, None, DamagedRecord::Refuse).await.unwrap_err()
    };
    // While the service runs, its folder and its database are taken.
    let error = try_in(home.folder.path(), &home.database).await;
    assert!(matches!(error, CatalogError::Locked { .. }), "{error}");
    if on == On::Postgres {
        let error = try_in(TempDir::new().unwrap().path(), &home.database).await;
        assert!(matches!(error, CatalogError::Taken { .. }), "{error}");
    }
    home.catalog.close().await.unwrap();
    let error = try_in(home.folder.path(), &home.database).await;
    assert!(error.to_string().contains("it holds 2 tenants"), "{error}");
    // Somebody began something there.
    let begun = on.home().await;
    begun.catalog.close().await.unwrap();
    let error = try_in(begun.folder.path(), &begun.database).await;
    assert!(error.to_string().contains("the secret of another installation"), "{error}");
    let secret = home.folder.path().join("secret.key");
    let served = TempDir::new().unwrap();
    std::fs::copy(secret, served.path().join("secret.key")).unwrap();
    let database = on.database();
    let catalog = Catalog::open(served.path(), &database).await.unwrap();
    catalog.set_operator_key_hash(KeyHash::from_bytes([1; 32])).await.unwrap();
    catalog.close().await.unwrap();
    let error = try_in(served.path(), &database).await;
    assert!(error.to_string().contains("an operator's key"), "{error}");
}

async fn a_restore_that_is_cut_off_leaves_nothing_and_the_next_one_ends_well(on: On) {
    let home = furnished(on).await;
    let (_kept, file, _) = backed_up(&home, None).await;
    let (folder, database) = (TempDir::new().unwrap(), on.database());
    let (mut cut_off, mut patience_us) = (0, 500);
    let report = loop {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (path, to, from) = (folder.path().to_owned(), database.clone(), file.clone());
        let restoring =
            runtime.spawn(async move { restore(&path, &to, &from, None, DamagedRecord::Refuse).await.unwrap() });
        let ended = tokio::time::timeout(std::time::Duration::from_micros(patience_us), restoring).await;
        // Whatever is under way ends at its next await, as with the process.
        runtime.shutdown_background();
        if let Ok(Ok(report)) = ended {
            break report;
        }
        assert!(patience_us < 60_000_000, "a restore never ended well");
        patience_us += patience_us / 3;
        if !folder.path().join("secret.key").exists() {
            continue;
        }
        let catalog = loop {
            match Catalog::open(folder.path(), &database).await {
                Ok(catalog) => break catalog,
                Err(CatalogError::Locked { .. } | CatalogError::Taken { .. }) => tokio::task::yield_now().await,
                // Cut off before the folder was made, or while it was.
                Err(error) => panic!("{error}"),
            }
        };
        let tenants = catalog.all_tenants().await.unwrap();
        catalog.close().await.unwrap();
        if tenants.is_empty() {
            cut_off += 1;
            continue;
        }
        // It was committed, and cut off in what comes after that.
        assert_eq!(tenants, [tenant("acme"), tenant("globex")], "half of a backup was restored");
        let error = restore(folder.path(), &database, &file, None, DamagedRecord::Refuse).await.unwrap_err();
        assert!(matches!(error, CatalogError::NotEmpty { .. }), "{error}");
        let records = verify_record(folder.path(), &database).await.unwrap();
        break RestoreReport { backup: check_backup(&file).unwrap(), records, keys_left_out: 0 };
    };
    assert!(cut_off >= 3, "only {cut_off} restores were cut off");
    let catalog = Catalog::open(folder.path(), &database).await.unwrap();
    let copy = Home { folder, database, catalog };
    assert_restored(&home, &copy, &report, &["acme", "globex"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_was_damaged_before_is_told_and_restored_only_by_whoever_says_so() {
    let home = furnished(On::Sqlite).await;
    let mut tx = home.catalog.store.write(&tenant("acme")).await.unwrap();
    let damage = "UPDATE audit_outbox SET bytes = CAST(replace(bytes, '\"status\":201', '\"status\":404') AS BLOB)
                  WHERE tenant = 'acme' AND leaf_index = 2";
    sqlx::query(damage).execute(tx.connection().sqlite()).await.unwrap();
    tx.commit().await.unwrap();
    let (_kept, file, made) = backed_up(&home, None).await;
    let findings: Vec<&Finding> = made.sections.iter().filter_map(|section| section.finding.as_ref()).collect();
    assert!(matches!(findings[..], [Finding::Changed { index: 2, .. }]), "{findings:?}");
    let error = restored(On::Sqlite, &file, None).await.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("--accept-damaged-record"), "{error}");
    restored(On::Sqlite, &file, Some("globex")).await.unwrap();
    let folder = TempDir::new().unwrap();
    let report = restore(folder.path(), &Database::Embedded, &file, None, DamagedRecord::Accept).await.unwrap();
    let damaged: Vec<&str> =
        report.records.iter().filter(|(_, found)| found.is_err()).map(|(name, _)| name.as_str()).collect();
    assert_eq!(damaged, ["tenant:acme"]);
}

on_both! {
    everything_comes_back_as_it_was,
    a_backup_that_is_made_while_documents_are_written_is_of_one_moment,
    one_tenant_goes_into_another_installation_without_its_keys_and_touches_nobody,
    one_tenant_out_of_a_backup_of_all_keeps_its_keys_where_the_secret_is_the_same,
    a_tenant_never_takes_the_place_of_one_that_is_or_was_there,
    an_installation_goes_into_an_empty_place_only,
    a_restore_that_is_cut_off_leaves_nothing_and_the_next_one_ends_well,
}
