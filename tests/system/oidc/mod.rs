//! Tokens of an identity provider: what they open, what they do not, and what the provider is asked.

mod worthless;

use std::collections::HashSet;
use std::fs;
use std::time::Duration;

use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::harness::provider::{Manner, Provider, Signer};
use crate::harness::server::Launch;
use crate::harness::{Client, Home, Reply, Server, place, text, wait};

/// How long the service of a test keeps keys, unless it says otherwise.
const AGES: &str = "keys_max_age_s = 300\nkeys_refresh_s = 300";
const PUBLIC: &str = "https://catena.example";

/// `catena serve` that trusts this provider, with these further lines in its table.
fn launch(home: &Home, provider: &Provider, more: &str) -> Launch {
    let file = settings(home, provider, more);
    home.serve().argument("--config").argument(&file).variable("CATENA_LOG", "debug")
}

/// The path of a file of settings for that.
fn settings(home: &Home, provider: &Provider, more: &str) -> String {
    let file = home.path().join("catena.toml");
    let table = format!(
        r#"public_url = "{PUBLIC}"
        [[oidc]]
        name = "corp"
        issuer = "{}"
        audience = ["catena-tests"]
        algorithms = ["ES256", "RS256"]
        tenant_claim = "org"
        {more}
        [oidc.tenants]
        "Acme Corp" = "acme"
        "Globex Inc" = "globex"
        "Ghost Ltd" = "ghost"
        [oidc.scopes]
        "catena.read" = ["read"]
        "catena.write" = ["read", "write"]
        "catena.app" = ["read", "impersonate"]
        "catena.chief" = ["read", "admin"]
        "#,
        provider.issuer()
    );
    fs::write(&file, table).expect("a file of settings");
    file.display().to_string()
}

/// The claims of a good token of `user`.
fn claims(provider: &Provider, user: &str, groups: &[&str]) -> Value {
    let now = Utc::now().timestamp();
    json!({
        "iss": provider.issuer(), "aud": ["account", "catena-tests"], "sub": user, "org": "Acme Corp",
        "scope": "openid catena.read", "groups": groups, "iat": now - 5, "exp": now + 600, "jti": "1",
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

/// A client with this token, in the tenant acme.
fn bearer(server: &Server, token: &str) -> Client {
    server.client(token).in_tenant("acme")
}

/// Any request that needs a credential.
async fn ask(server: &Server, token: &str) -> Reply {
    let client = bearer(server, token);
    client.get(&client.document("open.md")).await
}

/// Two tenants, with a page for each kind of reader in the first.
async fn furnish(server: &Server) -> Client {
    let admin = server.tenant("acme").await;
    let globex = server.tenant("globex").await;
    admin.write("open.md", "# Herons\n\nHerons stand still in shallow water.").await;
    admin.write_for("eng.md", "# Herons\n\nHerons are counted by the engineers.", &["group:eng"]).await;
    admin.write_for("ann.md", "# Herons\n\nHerons that Ann has seen.", &["user:ann"]).await;
    globex.write("globex.md", "# Herons\n\nHerons of the other company.").await;
    admin
}

#[tokio::test]
async fn a_token_opens_what_its_user_may_read_and_nothing_else() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer]).await;
    let server = launch(&home, &provider, AGES).start().await;
    let admin = furnish(&server).await;
    let token = |user: &str, groups: &[&str]| signer.token(&claims(&provider, user, groups));
    let found = async |client: &Client| client.found("herons").await.into_iter().collect::<HashSet<_>>();
    let pages = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();

    let ann = bearer(&server, &token("ann", &["eng", "not:a:group"]));
    let bob = bearer(&server, &token("bob", &[]));
    assert_eq!(found(&ann).await, pages(&["open.md", "eng.md", "ann.md"]));
    assert_eq!(found(&bob).await, pages(&["open.md"]));
    let hidden = bob.get(&bob.document("eng.md")).await.refused(404, "not-found");
    assert_eq!(hidden.bytes, bob.get(&bob.document("none.md")).await.refused(404, "not-found").bytes);
    admin.put(&admin.path("groups/eng"), &json!({"members": ["bob"]})).await;
    assert_eq!(found(&bob).await, pages(&["open.md", "eng.md"]), "the tenant's own groups count as well");

    // The claim decides the tenant. To others there is no way, and a claim that nothing is mapped to is no way in.
    let elsewhere = ann.in_tenant("globex");
    let other = elsewhere.get(&elsewhere.document("globex.md")).await.refused(404, "not-found");
    assert_eq!(other.bytes, hidden.bytes);
    let in_org = |org: &str| signer.token(&with(claims(&provider, "ann", &["eng"]), "org", json!(org)));
    let globex = server.client(&in_org("Globex Inc")).in_tenant("globex");
    assert_eq!(found(&globex).await, pages(&["globex.md"]));
    for org in ["acme", "globex", "Initech", "Ghost Ltd", ""] {
        ask(&server, &in_org(org)).await.refused(401, "unauthenticated");
    }
    scopes_give_what_they_are_mapped_to(&server, &provider, &signer).await;

    // What one user asked for is not another's to read again, though one issuer signed for both.
    let context = ann.context_of("herons", 500).await;
    let receipt = format!("contexts/{}", context["id"].as_str().expect("an id"));
    ann.get(&ann.path(&receipt)).await.expect(200);
    bob.get(&bob.path(&receipt)).await.refused(404, "not-found");
    let leaves = admin.get(&admin.path("audit/leaves?limit=500")).await.expect(200).text();
    let leaf = leaves.lines().map(|line| serde_json::from_str::<Value>(line).expect("a leaf is JSON"));
    let leaf = leaf.rev().find(|leaf| leaf["action"] == "context").expect("the leaf of the context");
    assert!(leaf["actor"].as_str().is_some_and(|actor| actor.starts_with("oidc-corp-")), "{leaf}");
    assert_eq!(leaf["user"], "ann", "{leaf}");
    server.stop().await;
}

async fn scopes_give_what_they_are_mapped_to(server: &Server, provider: &Provider, signer: &Signer) {
    let scoped =
        |scope: &str| bearer(server, &signer.token(&with(claims(provider, "cid", &[]), "scope", json!(scope))));
    let page = json!({"text": "# Egrets\n\nEgrets are white.", "acl": {"allow": ["everyone"]}});
    let write = async |client: &Client| client.put(&client.document("egrets.md"), &page).await;
    let as_ann = json!({"query": "herons", "as": {"user": "ann", "groups": []}});
    let (none, reader, writer) = (scoped("openid read admin operator"), scoped("catena.read"), scoped("catena.write"));
    none.search(&json!({"query": "herons"})).await.refused(403, "missing-scope");
    write(&reader).await.refused(403, "missing-scope");
    reader.search(&as_ann).await.refused(403, "missing-scope");
    write(&writer).await.expect(201);
    let app = scoped("catena.app").search(&as_ann).await.expect(200).json();
    assert!(text::documents(&app["results"]).contains(&"ann.md".to_owned()), "{app}");
    for client in [&none, &reader, &writer, &scoped("catena.chief")] {
        client.get("/v1/tenants").await.refused(403, "missing-scope");
    }
    let chief = scoped("catena.chief");
    chief.get(&chief.path("keys")).await.expect(200);
}

/// The bytes of the catalog's files.
fn stored(home: &Home) -> String {
    let files = fs::read_dir(home.data()).expect("a folder of data").flatten();
    let files = files.filter_map(|file| fs::read(file.path()).ok());
    let stored: String = files.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    assert!(stored.contains("oidc-corp-"), "the record of tokens lies elsewhere");
    stored
}

#[tokio::test]
async fn tokens_that_do_not_hold_are_refused_alike_and_asked_about_nowhere() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer, &Signer::rsa()]).await;
    let server = launch(&home, &provider, AGES).start().await;
    let admin = furnish(&server).await;
    for (what, token) in [
        ("another issuer", signer.token(&with(claims(&provider, "ann", &[]), "iss", json!("https://evil.example")))),
        ("expired", signer.token(&with(claims(&provider, "ann", &[]), "exp", json!(1)))),
    ] {
        assert_eq!(ask(&server, &token).await.status, 401, "{what}");
        assert_eq!(provider.asked(), Vec::<String>::new(), "{what}: the provider was asked");
    }
    let good = signer.token(&claims(&provider, "ann", &[]));
    ask(&server, &good).await.expect(200);
    ask(&server, &Signer::rsa().token(&claims(&provider, "ann", &[]))).await.expect(200);
    assert_eq!(provider.asked().len(), 2, "a description and keys: {:?}", provider.asked());

    let mut told = HashSet::new();
    let mut secrets = vec![good.clone()];
    for (what, token) in worthless::all(&provider, &signer) {
        let reply = ask(&server, &token).await;
        assert_eq!(reply.status, 401, "{what}: {}", reply.text());
        assert_eq!(reply.header("www-authenticate"), r#"Bearer error="invalid_token""#, "{what}");
        told.insert(reply.text());
        secrets.push(token);
    }
    assert_eq!(told.len(), 1, "{told:?}");
    let many: Vec<String> = (0..257).map(|at| format!("g{at}")).collect();
    let many = signer.token(&with(claims(&provider, "ann", &[]), "groups", json!(many)));
    ask(&server, &many).await.refused(403, "too-many-groups");
    let in_another_header = server.nobody().request(Method::GET, "/v1/tenants").header("x-api-key", &good);
    server.nobody().send(in_another_header).await.refused(401, "unauthenticated");
    assert_eq!(provider.asked().len(), 2, "somebody's token was asked about: {:?}", provider.asked());

    // Neither tokens nor their parts stand anywhere.
    secrets.push(many);
    let leaves = admin.get(&admin.path("audit/leaves?limit=500")).await.expect(200).text();
    let services = server.operator().get("/metrics").await.expect(200).text();
    let heard = format!("{}{leaves}{services}{}{}", server.printed(), stored(&home), provider.asked().concat());
    assert!(heard.contains("a token was refused"), "the operator is told a reason");
    for part in secrets.iter().flat_map(|token| token.split('.')).filter(|part| part.len() > 20) {
        assert!(!heard.contains(part), "a part of a token stands somewhere: {part}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_type_of_tokens_is_what_the_settings_say() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer]).await;
    let types = format!("{AGES}\ntoken_types = [\"at+jwt\", \"JWT\"]");
    let server = launch(&home, &provider, &types).start().await;
    furnish(&server).await;
    let typed =
        |typ: Value, claims: &Value| signer.sign(&with(signer.header(), "typ", typ).to_string(), &claims.to_string());
    let good = claims(&provider, "ann", &[]);
    for (typ, status) in
        [("JWT", 200), ("jwt", 200), ("at+jwt", 200), ("application/AT+JWT", 200), ("dpop+jwt", 401), ("", 401)]
    {
        assert_eq!(ask(&server, &typed(json!(typ), &good)).await.status, status, "{typ}");
    }
    assert_eq!(ask(&server, &typed(Value::Null, &good)).await.status, 401, "no type");
    let id_token = typed(json!("JWT"), &with(good, "nonce", json!("n")));
    assert_eq!(ask(&server, &id_token).await.status, 401, "an ID token");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_unknown_keys_is_one_question_to_the_provider() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer]).await;
    let server = launch(&home, &provider, AGES).start().await;
    let admin = furnish(&server).await;
    provider.behave(Manner::Slow);
    let mut asking = JoinSet::new();
    for at in 0..64 {
        let client = bearer(&server, &signer.named(&format!("unknown-{at}")).token(&claims(&provider, "ann", &[])));
        asking.spawn(async move { client.get(&client.document("open.md")).await.status });
    }
    wait::until("the provider is asked", 10, || {
        let asked = provider.asked_for_keys();
        async move { (asked > 0).then_some(()) }
    })
    .await;
    // Whoever has a key is not held up by those who wait.
    admin.get(&admin.document("open.md")).await.expect(200);
    provider.behave(Manner::Up);
    assert_eq!(asking.join_all().await, [401; 64]);
    assert_eq!(provider.asked_for_keys(), 1);
    for at in 0..64 {
        let token = signer.named(&format!("later-{at}")).token(&claims(&provider, "ann", &[]));
        assert_eq!(ask(&server, &token).await.status, 401);
    }
    ask(&server, &signer.token(&claims(&provider, "ann", &[]))).await.expect(200);
    assert_eq!(provider.asked_for_keys(), 1);
    server.stop().await;
}

/// Asks until a token is answered with `status`.
async fn until_status(server: &Server, token: &str, status: u16) {
    wait::until(&format!("an answer of {status}"), 20, || async {
        (ask(server, token).await.status == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_rotate_and_a_withdrawn_one_stops_within_its_age() {
    let (home, first, second) = (Home::new(), Signer::ec("first"), Signer::ec("second"));
    let provider = Provider::start(&[&first]).await;
    let server = launch(&home, &provider, "keys_max_age_s = 3\nkeys_refresh_s = 1").start().await;
    furnish(&server).await;
    let [old, new] = [&first, &second].map(|signer| signer.token(&claims(&provider, "ann", &[])));
    ask(&server, &old).await.expect(200);
    ask(&server, &new).await.expect(401);
    provider.publish(&[&first, &second]);
    until_status(&server, &new, 200).await;
    ask(&server, &old).await.expect(200);
    provider.publish(&[&second]);
    let withdrawn = Instant::now();
    until_status(&server, &old, 401).await;
    assert!(withdrawn.elapsed() < Duration::from_secs(4), "the old key was used for {:?}", withdrawn.elapsed());
    ask(&server, &new).await.expect(200);
    ask(&server, &old).await.expect(401);
    server.stop().await;
}

#[tokio::test]
async fn keys_bridge_an_outage_but_not_for_ever() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer]).await;
    let ages = "keys_max_age_s = 1\nkeys_refresh_s = 1\nkeys_outage_s = 3";
    let server = launch(&home, &provider, ages).start().await;
    let admin = furnish(&server).await;
    let token = signer.token(&claims(&provider, "ann", &[]));
    ask(&server, &token).await.expect(200);
    provider.behave(Manner::Down);
    let down = Instant::now();
    let asked = provider.asked_for_keys();
    wait::until("the provider is asked in vain", 10, || async {
        ask(&server, &token).await.expect(200);
        (provider.asked_for_keys() > asked).then_some(())
    })
    .await;
    until_status(&server, &token, 503).await;
    assert!(down.elapsed() < Duration::from_secs(6), "keys were used for {:?} of an outage", down.elapsed());
    let refused = ask(&server, &token).await.refused(503, "unavailable");
    assert_eq!(refused.header("retry-after"), "1");
    admin.get(&admin.document("open.md")).await.expect(200);

    // Nothing but the keys of the issuer itself, in one bounded answer, ends the outage.
    for manner in [Manner::Elsewhere, Manner::Endless] {
        provider.behave(manner);
        let asked = provider.asked_for_keys();
        wait::until("the provider is asked again", 10, || async {
            ask(&server, &token).await.refused(503, "unavailable");
            (provider.asked_for_keys() > asked).then_some(())
        })
        .await;
    }
    provider.behave(Manner::Up);
    until_status(&server, &token, 200).await;
    assert!(!provider.asked().iter().any(|request| request.contains("/elsewhere")), "a redirect was followed");
    server.stop().await;
}

#[tokio::test]
async fn a_description_of_another_issuer_is_not_believed() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer]).await;
    provider.pretend_to_be(&format!("{}/realm/", provider.url));
    let server = launch(&home, &provider, "keys_refresh_s = 1").start().await;
    furnish(&server).await;
    let token = signer.token(&claims(&provider, "ann", &[]));
    ask(&server, &token).await.refused(503, "unavailable");
    assert_eq!(provider.asked_for_keys(), 0);
    assert!(server.logged().contains("describes another issuer"), "{}", server.logged());
    provider.pretend_to_be(&provider.issuer());
    until_status(&server, &token, 200).await;
    server.stop().await;
}

#[tokio::test]
async fn an_agent_finds_the_provider_and_its_token_opens_the_tools() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer]).await;
    let server = launch(&home, &provider, AGES).start().await;
    furnish(&server).await;
    let nobody = server.nobody();
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let page = format!("{PUBLIC}/.well-known/oauth-protected-resource/mcp");
    let refused = nobody.send(nobody.mcp(&message)).await.refused(401, "unauthenticated");
    assert_eq!(refused.header("www-authenticate"), format!(r#"Bearer resource_metadata="{page}""#));
    let wrong = server.client("a.b.c");
    let refused = wrong.send(wrong.mcp(&message)).await.refused(401, "unauthenticated");
    let told = format!(r#"Bearer error="invalid_token", resource_metadata="{page}""#);
    assert_eq!(refused.header("www-authenticate"), told);
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"] {
        let said = nobody.get(path).await.expect(200).json();
        let expected = json!({
            "resource": format!("{PUBLIC}/mcp"), "authorization_servers": [provider.issuer()],
            "scopes_supported": ["catena.read"],
            "bearer_methods_supported": ["header"], "resource_name": "Catena",
        });
        assert_eq!(said, expected);
    }
    let arguments = json!({"query": "herons"});
    for (user, sees) in [("ann", true), ("bob", false)] {
        let client = bearer(&server, &signer.token(&claims(&provider, user, &[])));
        let told = client.tool(1, "search", &arguments).await.expect(200).text();
        assert_eq!(told.contains("ann.md"), sees, "{user}: {told}");
        assert!(told.contains("open.md") && !told.contains("globex.md"), "{user}: {told}");
    }
    server.stop().await;

    // Without a provider there is nothing to find.
    let home = Home::new();
    let server = home.start().await;
    let nobody = server.nobody();
    nobody.get("/.well-known/oauth-protected-resource/mcp").await.refused(404, "not-found");
    let refused = nobody.send(nobody.mcp(&message)).await.refused(401, "unauthenticated");
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    ask(&server, &signer.token(&claims(&provider, "ann", &[]))).await.refused(401, "unauthenticated");
    server.stop().await;
}

#[tokio::test]
async fn a_provider_that_must_not_be_trusted_so_is_refused_at_the_start() {
    let (home, provider) = (Home::new(), Provider::start(&[]).await);
    for (line, word) in [
        ("default_scopes = [\"operator\"]", "operator"),
        ("default_scopes = [\"admin\"]", "default_scopes"),
        ("keys_max_age_s = 3600", "keys_max_age_s"),
        ("jwks_url = \"http://keys.example/\"", "jwks_url"),
        ("client_secret = \"x\"", "client_secret"),
    ] {
        let ended = launch(&home, &provider, line).ended().await;
        assert_eq!(ended.code, Some(1), "{line}: {}", ended.text);
        assert!(ended.text.contains(word), "{line}: {}", ended.text);
    }
    assert!(!home.data().exists(), "nothing was begun");
}

#[tokio::test]
async fn doctor_says_whether_a_provider_gives_its_keys() {
    let (home, signer) = (Home::new(), Signer::ec("first"));
    let provider = Provider::start(&[&signer, &Signer::rsa()]).await;
    let (file, data) = (settings(&home, &provider, AGES), home.data().display().to_string());
    let look = Launch::new(home.path(), &["doctor", "--listen", "127.0.0.1:0", "--config", &file, "--data", &data]);
    let look = look.variable("CATENA_PROVISION", place::provision().display());
    let ended = look.clone().ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    let line = "ok       identity      corp gives its keys, 2 of them for its `algorithms`";
    assert!(ended.text.contains(line), "{}", ended.text);
    provider.behave(Manner::Down);
    let ended = look.ended().await;
    assert_eq!(ended.code, Some(0), "a service starts without its provider: {}", ended.text);
    assert!(ended.text.contains("note     identity      corp: "), "{}", ended.text);
}
