//! Two tenants with the same names for everything never see each other.

use std::fmt::Debug;

use super::*;
use catena_audit::Chain;
use catena_domain::{ContextId, GenerationId, JobId, Seq};

/// Everything that can be read of a tenant, under names that both tenants use.
async fn everything(catalog: &Catalog, tenant_id: &str, names: &Names) -> Vec<String> {
    let scope = enter("adm1", &[Right::Admin, Right::Read, Right::Audit], tenant_id, None);
    let service = Scope::service(&tenant(tenant_id));
    let keys: Vec<PassageKey> = (0..3).map(|doc| key(DocNo(doc), VersionNo(1), 0)).collect();
    let versions: Vec<(DocNo, VersionNo)> = keys.iter().map(|key| (key.doc, key.version)).collect();
    let hashes: Vec<ChunkHash> = ["acme", "globex"].map(|of| document("same", &text(of)).chunks[0].hash).to_vec();
    let other = RecipeId::new("recipe-2").unwrap();
    fn show<T: Debug>(what: &str, value: Result<T, CatalogError>) -> String {
        format!("{what}: {:?}", value.unwrap())
    }
    let mut seen = vec![
        show("keys", catalog.keys(&scope, None, 100).await),
        show("group", catalog.group(&scope, &group("eng")).await),
        show("groups", catalog.groups(&scope).await),
        show("directory", Ok(directory(catalog, tenant_id, "ann").await)),
        show("labels", catalog.labels(&scope).await),
        show("quarantine", catalog.quarantine(&scope, None, 100).await),
        show("current", catalog.current(&scope, &id("same")).await),
        show("document", catalog.document(&scope, &id("same")).await),
        show("versions", catalog.versions(&scope, &id("same")).await),
        show("documents", catalog.documents(&scope, None, 100).await),
        show("count", catalog.document_count(&scope).await),
        show("version_text", catalog.version_text(&scope, &id("same"), VersionNo(1)).await),
        show("known", catalog.embeddings_known(&scope, &recipe(), &hashes).await.map(|known| known.len())),
        show("changes", catalog.index_changes(&service, &recipe(), Seq(0), 100).await),
        show("rows", catalog.index_rows(&service, &recipe(), &versions).await),
        show("live", catalog.live_changes(&service, Seq(0)).await),
        show("passages", catalog.passages(&scope, &recipe(), &keys).await),
        show("seq", catalog.seq(&scope).await),
        show("uncut", catalog.documents_unchunked(&service, &other, None, 100).await),
        show("generations", catalog.generations(&scope).await),
        show("live generation", catalog.live_generation(&scope).await),
        show("jobs", catalog.jobs(&scope, 100).await),
        show(
            "leaves",
            catalog.leaves(&scope, 0, 100).await.map(|leaves| {
                leaves.into_iter().map(|leaf| String::from_utf8(leaf.bytes).unwrap()).collect::<Vec<_>>()
            }),
        ),
        show("policy", catalog.firewall_policy(&scope).await),
        show("findings", catalog.findings(&scope, None, 100).await),
        show("tallies", catalog.detector_tallies(&scope).await),
        show("waiting", catalog.waiting(&scope, &id("waits")).await),
        show("suspects", catalog.suspects(&scope, None, 100).await),
        show("suspect", catalog.suspect(&scope, &id("waits")).await),
        show("head", catalog.chain_head(&scope).await),
    ];
    for job in &names.jobs {
        seen.push(show("job", catalog.job(&scope, job).await));
        seen.push(show("failures", catalog.job_failures(&scope, job, None, 100).await));
        let items = catalog.job_items(&scope, job, 100).await;
        seen.push(show("items", items.map(|items| items.into_iter().map(|item| item.document).collect::<Vec<_>>())));
    }
    for context in &names.contexts {
        seen.push(show("context", catalog.context(&scope, context).await));
    }
    seen
}

/// Ids that are drawn and therefore differ, of both tenants.
#[derive(Default)]
struct Names {
    jobs: Vec<JobId>,
    contexts: Vec<ContextId>,
    generations: Vec<GenerationId>,
}

/// A tenant's text, which holds a word that no other tenant's does.
fn text(tenant: &str) -> String {
    format!("the canary of {tenant} sings")
}

async fn furnish(catalog: &Catalog, tenant_id: &str, names: &mut Names) {
    let scope = admin(tenant_id);
    let mark = |what: &str| format!("{what} {tenant_id}");
    put(catalog, &scope, NewDocument { uri: Some(mark("uri")), ..document("same", &text(tenant_id)) }).await;
    let key_id = format!("k{tenant_id}");
    catalog.create_key(&scope, NewKey { name: mark("key"), ..new_key(&key_id) }, draft("key.create")).await.unwrap();
    catalog.put_labels(&scope, &[label("open"), label(&mark("label"))], draft("labels.put")).await.unwrap();
    let members = Group { clearance: Some(label("open")), ..of(&["ann", &mark("user")]) };
    catalog.put_group(&scope, &group("eng"), members, draft("group.put")).await.unwrap();
    let around = of(&["group:eng"]);
    catalog.put_group(&scope, &group(&mark("around")), around, draft("group.put")).await.unwrap();
    let hidden = NewDocument { acl: Acl::unknown(&mark("why")), ..document("hidden", "nobody sees this") };
    put(catalog, &scope, hidden).await;
    names.jobs.push(request_import(catalog, &scope, &mark("import")).await);
    catalog.keep_back(&scope, suspect("waits", &text(tenant_id)), Expect::Any, draft("document.put")).await.unwrap();
    let policy = format!(r#"{{"allow": ["{}"]}}"#, mark("allowed"));
    catalog.put_firewall_policy(&scope, policy, draft("firewall.put")).await.unwrap();
    let context = ContextId::new(&format!("ctx_{tenant_id}")).unwrap();
    names.contexts.push(context.clone());
    let context =
        NewContext { id: context, request_sha256: [1; 32], text_sha256: [2; 32], tokens_used: 1, citations: vec![] };
    catalog.record_context(&scope, context, draft("context")).await.unwrap();
    catalog.record(Chain::Tenant(scope.tenant()), draft("search")).await.unwrap();
    names
        .generations
        .push(catalog.create_generation(&scope, &recipe(), 4, &Chunking::default(), None).await.unwrap().id);
}

async fn nothing_of_a_tenant_is_in_any_answer_to_another(on: On) {
    let home = on.home_with_tenants().await;
    let mut names = Names::default();
    furnish(&home.catalog, "acme", &mut names).await;
    let before = everything(&home.catalog, "acme", &names).await;
    assert!(before.iter().any(|answer| answer.contains("canary of acme")));
    furnish(&home.catalog, "globex", &mut names).await;
    put(&home.catalog, &admin("globex"), document("more", "and more")).await;
    let after = everything(&home.catalog, "acme", &names).await;
    let globex = everything(&home.catalog, "globex", &names).await;
    for answer in &before {
        assert!(after.contains(answer), "another tenant's writes changed this answer: {answer}");
    }
    for (answer, other) in after.iter().map(|answer| (answer, "globex")).chain(globex.iter().map(|it| (it, "acme"))) {
        assert!(!answer.contains(other), "an answer names another tenant: {answer}");
        for generation in &names.generations[..] {
            let own = if other == "globex" { &names.generations[0] } else { &names.generations[1] };
            assert!(generation == own || !answer.contains(generation.as_str()), "a foreign generation: {answer}");
        }
    }
}

async fn no_write_reaches_into_another_tenant(on: On) {
    let home = on.home_with_tenants().await;
    let (catalog, globex) = (&home.catalog, admin("globex"));
    let mut names = Names::default();
    furnish(catalog, "acme", &mut names).await;
    let before = everything(catalog, "acme", &names).await;
    assert!(catalog.set_acl(&globex, &id("same"), &acl(&[], &[]), Expect::Any, draft("acl")).await.unwrap().is_none());
    assert!(catalog.delete_document(&globex, &id("same"), Expect::Any, draft("delete")).await.unwrap().is_none());
    put(catalog, &globex, document("waits", "a document of this name")).await;
    assert!(catalog.reject(&globex, &id("waits"), draft("reject")).await.unwrap().is_none());
    catalog.put_firewall_policy(&globex, "{}".into(), draft("firewall.put")).await.unwrap();
    let kacme = KeyId::new("kacme").unwrap();
    assert!(catalog.revoke_key(&globex, &kacme, draft("revoke")).await.unwrap().is_none());
    let successor = keys::successor("k2", 0);
    assert!(catalog.rotate_key(&globex, &kacme, successor, draft("rotate")).await.unwrap().is_none());
    catalog.put_labels(&globex, &[], draft("labels")).await.unwrap();
    assert!(catalog.put_group(&globex, &group("own"), of(&["group:eng"]), draft("group")).await.is_err());
    assert!(catalog.delete_group(&globex, &group("eng"), draft("group")).await.unwrap().is_none());
    let job = &names.jobs[0];
    assert!(catalog.cancel_job(&globex, job, draft("cancel")).await.unwrap().is_none());
    assert!(catalog.pause_job(&globex, job, draft("pause")).await.unwrap().is_none());
    assert!(catalog.resume_job(&globex, job, draft("resume")).await.unwrap().is_none());
    assert!(catalog.approve_job(&globex, job, [0; 32], draft("approve")).await.unwrap().is_none());
    assert!(catalog.refuse_job(&globex, job, draft("refuse")).await.unwrap().is_none());
    assert!(catalog.retry_job(&globex, job, draft("retry")).await.unwrap().is_none());
    assert!(catalog.promote_generation(&globex, &names.generations[0], draft("promote")).await.is_err());
    catalog.forget_generation(&globex, &names.generations[0], None).await.unwrap();
    drop_derived(catalog, &globex, &recipe()).await;
    let (chunks, embeddings) = cut("T", &text("acme"));
    let put = catalog
        .put_chunks(&globex, DocNo(1), VersionNo(1), Cut { recipe: recipe(), chunks, embeddings }, None)
        .await
        .unwrap();
    assert_eq!(put, ChunksPut::Superseded);
    let (_, _, lease) = parts(catalog).await;
    assert!(catalog.progress_job(&globex, &names.jobs[0], &lease, &documents(1, 1), "").await.is_err());
    assert!(catalog.finish_job(&globex, &names.jobs[0], &lease, JobEnd::Succeeded).await.is_err());
    catalog.release_leases().await.unwrap();
    let without_start =
        |answers: Vec<String>| answers.into_iter().filter(|answer| !answer.starts_with("job")).collect::<Vec<_>>();
    assert_eq!(without_start(everything(catalog, "acme", &names).await), without_start(before));
}

on_both! {
    nothing_of_a_tenant_is_in_any_answer_to_another,
    no_write_reaches_into_another_tenant,
}
