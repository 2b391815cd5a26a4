//! What settings are taken, what claims become, which keys are used. Signatures and fetching are the system tests' part.

use catena_access::{Credential, Right};
use catena_domain::limits;
use jsonwebtoken::Algorithm;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::claims::Claims;
use super::keys::KeySet;
use super::{Given, Refusal, Trust};

const NOW_S: i64 = 1_790_000_000;
const LEAST: &str = r#"
    name = "corp"
    issuer = "https://login.example/realms/main"
    audience = ["https://catena.example/mcp", "catena"]
    tenant = "acme"
"#;

fn trust(text: &str) -> anyhow::Result<Trust> {
    let given: Given = toml::from_str(text)?;
    Ok(Trust::all(vec![given])?.remove(0))
}

fn least(more: &str) -> Trust {
    trust(&format!("{LEAST}{more}")).unwrap()
}

fn refused(text: &str) -> String {
    format!("{:#}", trust(text).map(|_| ()).unwrap_err())
}

fn usual() -> Value {
    json!({
        "iss": "https://login.example/realms/main", "aud": "catena", "sub": "ann",
        "iat": NOW_S - 10, "exp": NOW_S + 300, "groups": ["eng", "it"],
    })
}

fn with(claim: &str, value: Value) -> Value {
    let mut claims = usual();
    claims[claim] = value;
    claims
}

fn without(claim: &str) -> Value {
    let mut claims = usual();
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

fn check(trust: &Trust, claims: &Value) -> Result<(), Refusal> {
    serde_json::from_value::<Claims>(claims.clone()).unwrap().check(trust, NOW_S)
}

fn credential(trust: &Trust, claims: &Value) -> Result<Credential, Refusal> {
    serde_json::from_value::<Claims>(claims.clone()).unwrap().credential(trust)
}

#[test]
fn a_table_that_cannot_be_meant_is_refused_by_name() {
    for (text, word) in [
        (format!("{LEAST} algorithms = [\"HS256\"]"), "HS256"),
        (format!("{LEAST} algorithms = [\"none\"]"), "none"),
        (format!("{LEAST} algorithms = []"), "algorithms"),
        (format!("{LEAST} scopes = {{ all = [\"operator\"] }}"), "operator"),
        (format!("{LEAST} default_scopes = [\"operator\"]"), "operator"),
        (format!("{LEAST} default_scopes = [\"admin\"]"), "default_scopes"),
        (format!("{LEAST} default_scopes = [\"impersonate\"]"), "default_scopes"),
        (format!("{LEAST} default_scopes = [\"root\"]"), "root"),
        (format!("{LEAST} token_types = [\"id\"]"), "token_types"),
        (format!("{LEAST} tenant_claim = \"org\""), "tenant_claim"),
        (format!("{LEAST} leeway_s = 61"), "leeway_s"),
        (format!("{LEAST} keys_max_age_s = 301"), "keys_max_age_s"),
        (format!("{LEAST} keys_max_age_s = 10\nkeys_refresh_s = 11"), "keys_refresh_s"),
        (format!("{LEAST} jwks_url = \"http://login.example/keys\""), "jwks_url"),
        (format!("{LEAST} jwks_url = \"file:///etc/keys\""), "jwks_url"),
        (format!("{LEAST} secret = \"x\""), "secret"),
        (LEAST.replace("https://login", "http://login"), "issuer"),
        (LEAST.replace("https://login", "http://127.0.0.1.login"), "issuer"),
        (LEAST.replace("https://login", "https://me:word@login"), "issuer"),
        (LEAST.replace("\"corp\"", "\"Corp\""), "name"),
        (LEAST.replace("\"corp\"", "\"a-name-too-long\""), "name"),
        (LEAST.replace("tenant = \"acme\"", ""), "tenant"),
        (LEAST.replace("tenant = \"acme\"", "tenant_claim = \"org\""), "tenant_claim"),
        (LEAST.replace("\"acme\"", "\"Acme!\""), "tenant"),
        (LEAST.replace("[\"https://catena.example/mcp\", \"catena\"]", "[]"), "audience"),
    ] {
        let error = refused(&text);
        assert!(error.contains(word), "{text}\nis refused with: {error}");
    }
}

#[test]
fn an_issuer_stands_in_one_table_only() {
    let given = |text: &str| toml::from_str::<Given>(text).unwrap();
    let same_issuer = LEAST.replace("corp", "corp2");
    let same_name = LEAST.replace("login", "logon");
    for other in [&same_issuer, &same_name] {
        assert!(Trust::all(vec![given(LEAST), given(other)]).is_err(), "{other}");
    }
    let other = same_issuer.replace("login", "logon");
    assert_eq!(Trust::all(vec![given(LEAST), given(&other)]).unwrap().len(), 2);
}

#[test]
fn an_issuer_on_this_machine_needs_no_tls() {
    for host in ["http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:9000"] {
        assert!(trust(&LEAST.replace("https://login.example", host)).is_ok(), "{host}");
    }
}

#[test]
fn an_access_token_for_this_service_is_taken() {
    let trust = least("");
    assert_eq!(check(&trust, &usual()), Ok(()));
    assert_eq!(check(&trust, &with("aud", json!(["other", "catena"]))), Ok(()));
    assert_eq!(check(&trust, &with("nbf", json!(NOW_S + 20))), Ok(()), "clocks differ a little");
    assert_eq!(check(&trust, &with("typ", json!("Bearer"))), Ok(()));
}

#[test]
fn a_token_of_others_or_for_others_is_refused() {
    let trust = least("");
    for issuer in [json!("https://login.example/realms/main/"), json!("HTTPS://login.example/realms/main"), json!(1)] {
        assert!(check(&trust, &with("iss", issuer.clone())).is_err(), "{issuer}");
    }
    let both = json!(["https://login.example/realms/main", "https://evil.example"]);
    assert!(check(&trust, &with("iss", both)).is_err());
    for audience in
        [json!("caten"), json!("catena2"), json!(["other"]), json!([]), json!({"catena": 1}), json!(["catena", 1])]
    {
        assert!(check(&trust, &with("aud", audience.clone())).is_err(), "{audience}");
    }
    for claim in ["iss", "aud", "exp", "iat"] {
        assert!(check(&trust, &without(claim)).is_err(), "{claim}");
    }
}

#[test]
fn a_token_that_is_no_access_token_is_refused() {
    let trust = least("");
    for claim in ["nonce", "at_hash", "c_hash", "s_hash", "events", "cnf"] {
        assert!(check(&trust, &with(claim, json!("x"))).is_err(), "{claim}");
        assert!(check(&trust, &with(claim, Value::Null)).is_err(), "{claim}: null");
    }
    for kind in [json!("ID"), json!("Refresh"), json!(["Bearer"]), Value::Null] {
        assert!(check(&trust, &with("typ", kind.clone())).is_err(), "{kind}");
    }
}

#[test]
fn a_time_of_a_wrong_type_is_not_an_absent_time() {
    let trust = least("");
    let future = NOW_S + 300;
    for time in [
        Value::Null,
        json!(true),
        json!(future.to_string()),
        json!("99999999999"),
        json!([future]),
        json!({"at": future}),
        json!(1.8e9),
        json!(9_223_372_036_854_775_808_u64),
        json!(u64::MAX),
        json!(1e300),
    ] {
        for claim in ["exp", "nbf", "iat"] {
            assert!(check(&trust, &with(claim, time.clone())).is_err(), "{claim}: {time}");
        }
    }
}

#[test]
fn a_claim_that_stands_there_twice_is_refused() {
    assert!(serde_json::from_str::<Claims>(r#"{"exp": 1, "sub": "a", "exp": 2}"#).is_err());
    assert!(serde_json::from_str::<Claims>(r#"{"sub": "a", "\u0073ub": "b"}"#).is_err());
    assert!(serde_json::from_str::<Claims>(r#"["exp", 1]"#).is_err());
}

#[test]
fn a_claim_is_never_taken_for_a_tenant_by_itself() {
    let by_claim = LEAST.replace("tenant = \"acme\"", "tenant_claim = \"org\"\n[tenants]\n\"Acme Corp\" = \"acme\"");
    let trust = trust(&by_claim).unwrap();
    let tenant = |value: Value| credential(&trust, &with("org", value)).map(|credential| credential.tenant);
    assert_eq!(tenant(json!("Acme Corp")).unwrap().unwrap().as_str(), "acme");
    for value in [json!("acme"), json!("globex"), json!(["Acme Corp"]), json!(1), Value::Null, json!("")] {
        assert!(matches!(tenant(value.clone()), Err(Refusal::Unfit(_))), "{value}");
    }
    assert!(matches!(credential(&trust, &usual()), Err(Refusal::Unfit(_))));
}

#[test]
fn the_user_is_named_by_the_claim_of_the_settings_or_nobody_is() {
    let trust = least("user_claim = \"oid\"");
    let user = |value: Value| credential(&trust, &with("oid", value)).map(|credential| credential.user);
    assert_eq!(user(json!("a-1")).unwrap().unwrap().as_str(), "a-1");
    for value in
        [json!(""), json!("a:b"), json!("a,b"), json!("a\u{202E}b"), json!(7), json!(["a"]), json!("x".repeat(129))]
    {
        assert!(user(value.clone()).is_err(), "{value}");
    }
    assert!(credential(&trust, &usual()).is_err(), "`sub` stands in for nothing");
}

#[test]
fn groups_come_as_they_are_or_not_at_all() {
    let trust = least("");
    let groups = |claims: &Value| {
        credential(&trust, claims).map(|it| it.groups.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(groups(&without("groups")), Ok(vec![]));
    assert_eq!(groups(&usual()), Ok(vec!["eng".to_owned(), "it".to_owned()]));
    let odd = json!(["/eng/core", "a:b", "user:root", "", "eng,it", "Eng", "eng", "eng", "x".repeat(200)]);
    assert_eq!(groups(&with("groups", odd)).unwrap(), ["/eng/core", "Eng", "eng"]);
    for wrong in [json!("eng"), json!({"eng": true}), json!(1), Value::Null, json!(["eng", 1]), json!([["eng"]])] {
        assert!(matches!(groups(&with("groups", wrong.clone())), Err(Refusal::Unfit(_))), "{wrong}");
    }
}

#[test]
fn a_list_of_groups_that_is_not_whole_is_refused() {
    let trust = least("");
    let many = |count: usize| with("groups", (0..count).map(|at| format!("g{at}")).collect());
    let most = limits::GROUPS_PER_PRINCIPAL_MAX;
    assert_eq!(credential(&trust, &many(most)).unwrap().groups.len(), most);
    for claims in [
        many(most + 1),
        with("hasgroups", json!(true)),
        with("hasgroups", json!("true")),
        with("_claim_names", json!({"groups": "src1"})),
    ] {
        assert_eq!(credential(&trust, &claims), Err(Refusal::TooManyGroups), "{claims}");
    }
}

#[test]
fn each_user_has_a_name_of_its_own_in_the_record() {
    let key = |trust: &Trust, user: &str| credential(trust, &with("sub", json!(user))).unwrap().key.to_string();
    let (one, other) = (least(""), trust(&LEAST.replace("login", "logon")).unwrap());
    let ann = key(&one, "ann");
    assert!(ann.starts_with("oidc-corp-"), "{ann}");
    assert_eq!(ann, key(&one, "ann"));
    assert_ne!(ann, key(&one, "bob"));
    assert_ne!(ann, key(&other, "ann"));
    let longest = trust(&LEAST.replace("corp", "abcdefghijkl")).unwrap();
    assert!(key(&longest, "ann").len() <= 32);
}

#[test]
fn reading_is_free_unless_scopes_are_mapped() {
    let rights = |more: &str, claims: &Value| credential(&least(more), claims).unwrap().rights.to_string();
    let mapped = "scopes = { \"catena.read\" = [\"read\"], \"catena.all\" = [\"read\", \"write\", \"admin\"] }\n";
    assert_eq!(rights("", &usual()), "read");
    assert_eq!(rights(mapped, &usual()), "");
    assert_eq!(rights(mapped, &with("scope", json!("openid catena.read"))), "read");
    assert_eq!(rights(mapped, &with("scp", json!("catena.all"))), "read,write,admin");
    assert_eq!(rights(mapped, &with("scp", json!(["catena.read"]))), "read");
    assert_eq!(rights(mapped, &with("scope", json!("catena.reader catena read admin operator"))), "");
    assert_eq!(rights(&format!("default_scopes = [\"audit\"]\n{mapped}"), &usual()), "audit");
    assert!(credential(&least(mapped), &with("scope", json!(7))).is_err());
}

/// A set with one key of each kind that a provider might publish.
fn published() -> Value {
    json!({"keys": [
        {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB", "use": "sig"},
        {"kty": "RSA", "kid": "ps", "alg": "PS256", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "enc", "n": "AQAB", "e": "AQAB", "use": "enc"},
        {"kty": "RSA", "kid": "wrap", "n": "AQAB", "e": "AQAB", "key_ops": ["wrapKey"]},
        {"kty": "RSA", "kid": "hs", "alg": "HS256", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct", "kid": "secret", "k": "AQAB"},
        {"kty": "EC", "kid": "p256", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
        {"kty": "EC", "kid": "p384", "crv": "P-384", "x": "AQAB", "y": "AQAB"},
        {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": "AQAB"},
        {"kty": "XYZ", "kid": "new"},
        {"kid": 7}, "text", null,
    ]})
}

#[test]
fn a_key_is_used_for_what_it_is_for_and_nothing_else() {
    let all: Vec<Algorithm> =
        ["RS256", "PS256", "ES256", "ES384", "EdDSA"].iter().map(|it| it.parse().unwrap()).collect();
    let set = KeySet::read(published().to_string().as_bytes(), &all).unwrap();
    let fitting = [
        ("rsa", vec![Algorithm::RS256, Algorithm::PS256]),
        ("ps", vec![Algorithm::PS256]),
        ("p256", vec![Algorithm::ES256]),
        ("p384", vec![Algorithm::ES384]),
        ("ed", vec![Algorithm::EdDSA]),
    ];
    for kid in ["rsa", "ps", "enc", "wrap", "hs", "secret", "p256", "p384", "ed", "new", "", "7"] {
        for algorithm in all.iter().chain(&[Algorithm::HS256, Algorithm::RS384]) {
            let expected = fitting.iter().any(|(name, fits)| *name == kid && fits.contains(algorithm));
            assert_eq!(set.find(kid, *algorithm).is_ok(), expected, "{kid} {algorithm:?}");
        }
    }
    for nonsense in ["", "{}", "[]", r#"{"keys": {}}"#, "<html>"] {
        assert!(KeySet::read(nonsense.as_bytes(), &all).is_err(), "{nonsense}");
    }
}

proptest! {
    #[test]
    fn no_token_gets_a_right_that_no_scope_was_mapped_to(
        scopes in prop::collection::vec("(read|write|admin|impersonate|audit|operator|c[rw]|[a-z ]{0,9})", 0..8),
    ) {
        let trust = least("scopes = { cr = [\"read\"], cw = [\"write\"] }");
        let rights = credential(&trust, &with("scope", json!(scopes.join(" ")))).unwrap().rights;
        for right in [Right::Operator, Right::Admin, Right::Impersonate, Right::Audit] {
            prop_assert!(!rights.has(right), "{right:?}");
        }
    }

    #[test]
    fn a_token_holds_between_its_times_and_at_no_other(
        issued in -200_i64..200, begins in -200_i64..200, ends in -200_i64..200,
    ) {
        let trust = least("leeway_s = 30");
        let mut claims = with("iat", json!(NOW_S + issued));
        claims["nbf"] = json!(NOW_S + begins);
        claims["exp"] = json!(NOW_S + ends);
        prop_assert_eq!(check(&trust, &claims).is_ok(), issued <= 30 && begins <= 30 && ends > -30);
    }

    #[test]
    fn no_time_makes_the_arithmetic_fail(at in any::<i64>()) {
        let trust = least("leeway_s = 60");
        for claim in ["exp", "nbf", "iat"] {
            let _ = check(&trust, &with(claim, json!(at)));
        }
    }

    #[test]
    fn any_claims_give_a_sound_credential_or_none(user in "\\PC{0,40}", groups in prop::collection::vec("\\PC{0,20}", 0..20)) {
        let mut claims = with("sub", json!(user));
        claims["groups"] = json!(groups);
        if let Ok(credential) = credential(&least(""), &claims) {
            prop_assert_eq!(credential.user.map(|user| user.to_string()), Some(user));
            prop_assert!(credential.groups.iter().all(|group| groups.iter().any(|given| given == group.as_str())));
        }
    }
}
