//! Tokens that prove nothing: others' tokens, others' signatures, times and headers as no provider sends them.

use chrono::Utc;
use serde_json::{Value, json};

use super::{claims, with};
use crate::harness::provider::{Provider, Signer, key_file};

/// Tokens that prove nothing, and what is wrong with each. `signer` is the provider's own key.
pub(super) fn all(provider: &Provider, signer: &Signer) -> Vec<(&'static str, String)> {
    let wrong = [wrong_claims(provider, signer), wrong_headers(provider, signer), wrong_signatures(provider, signer)];
    wrong.into_iter().flatten().collect()
}

fn wrong_claims(provider: &Provider, signer: &Signer) -> Vec<(&'static str, String)> {
    let good = || claims(provider, "ann", &[]);
    let now = Utc::now().timestamp();
    let claim = |name: &str, value: Value| signer.token(&with(good(), name, value));
    let twice = good().to_string().replacen('{', r#"{"sub": "root", "#, 1);
    vec![
        ("another audience", claim("aud", json!("account"))),
        ("an audience that begins alike", claim("aud", json!(["catena-tests2", "catena"]))),
        ("another issuer", claim("iss", json!(format!("{}/evil", provider.url)))),
        ("an issuer with a slash more", claim("iss", json!(format!("{}/", provider.issuer())))),
        ("an ID token", claim("nonce", json!("n"))),
        ("an ID token by its hash", claim("at_hash", json!("h"))),
        ("a refresh token", claim("typ", json!("Refresh"))),
        ("expired", claim("exp", json!(now - 120))),
        ("not yet valid", claim("nbf", json!(now + 3_600))),
        ("issued in the future", claim("iat", json!(now + 3_600))),
        ("exp as text", claim("exp", json!("99999999999"))),
        ("exp null", claim("exp", Value::Null)),
        ("exp as a list", claim("exp", json!([now + 600]))),
        ("exp with a fraction", claim("exp", json!(1.0e10))),
        ("exp of 2^63", claim("exp", json!(9_223_372_036_854_775_808_u64))),
        ("nbf as text", claim("nbf", json!("0"))),
        ("nbf null", claim("nbf", Value::Null)),
        ("nbf of 2^63", claim("nbf", json!(9_223_372_036_854_775_808_u64))),
        ("no user", claim("sub", Value::Null)),
        ("a user of odd letters", claim("sub", json!("a:b"))),
        ("a claim twice", signer.sign(&signer.header().to_string(), &twice)),
        ("bound to a key", claim("cnf", json!({"jkt": "x"}))),
        ("huge", claim("padding", json!("x".repeat(20_000)))),
    ]
}

fn wrong_headers(provider: &Provider, signer: &Signer) -> Vec<(&'static str, String)> {
    let good = claims(provider, "ann", &[]);
    let header =
        |name: &str, value: Value| signer.sign(&with(signer.header(), name, value).to_string(), &good.to_string());
    let evil = json!(format!("{}/evil", provider.url));
    vec![
        ("a token of another type", header("typ", json!("JWT"))),
        ("a logout token", header("typ", json!("logout+jwt"))),
        ("a token of no type", header("typ", Value::Null)),
        ("an algorithm that is not admitted", header("alg", json!("PS256"))),
        ("an algorithm of another kind of key", header("alg", json!("RS256"))),
        ("an unknown kid", signer.named("unknown").token(&good)),
        ("a huge kid", signer.named(&"k".repeat(4_000)).token(&good)),
        ("a kid like SQL", signer.named("' OR 1=1; DROP TABLE keys; --").token(&good)),
        ("a kid like a path", signer.named("../../../dev/null").token(&good)),
        ("no kid", header("kid", Value::Null)),
        ("a kid that is a number", header("kid", json!(1))),
        ("jku", header("jku", evil.clone())),
        ("x5u", header("x5u", evil)),
        ("jwk", header("jwk", Signer::ec("stranger").public())),
        ("x5c", header("x5c", json!(["MIIB"]))),
        ("crit", header("crit", json!(["exp"]))),
    ]
}

fn wrong_signatures(provider: &Provider, signer: &Signer) -> Vec<(&'static str, String)> {
    let good = claims(provider, "ann", &[]);
    let secret = |secret: &[u8], alg: &str| {
        let signer = Signer::secret("rsa", secret);
        signer.sign(&with(signer.header(), "alg", json!(alg)).to_string(), &good.to_string())
    };
    let unsigned = |alg: &str| {
        let header = with(signer.header(), "alg", json!(alg)).to_string();
        let token = signer.sign(&header, &good.to_string());
        format!("{}.", token.rsplit_once('.').expect("a signature").0)
    };
    let rsa = Signer::rsa().public();
    vec![
        ("HS256 by the public key", secret(&key_file("rsa.pub.pem"), "HS256")),
        ("HS256 by the modulus", secret(rsa["n"].as_str().expect("a modulus").as_bytes(), "HS256")),
        ("RS256 that is HS256", secret(&key_file("rsa.pub.pem"), "RS256")),
        ("HS256 by nothing", secret(b"", "HS256")),
        ("alg none", unsigned("none")),
        ("alg None", unsigned("NoNe")),
        ("no signature", unsigned("ES256")),
        ("signed by a stranger", Signer::ec("stranger").named(&signer.kid).token(&good)),
        ("cut", signer.token(&good).split_off(40)),
        ("a dot", ".".to_owned()),
        ("dots", "a.b.c".to_owned()),
        ("more dots", "a.b.c.d.e".to_owned()),
    ]
}
