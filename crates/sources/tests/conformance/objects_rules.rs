//! What an object store promises beyond the suite.

use std::sync::{Arc, Mutex};

use catena_access::Acl;
use catena_sources::spec::{ObjectsSpec, Store};
use catena_sources::{Access, AccessSpec, Fetch, Source, SourceError, SourceSpec, Surroundings};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http::{Request, Response, Server};
use crate::suite::{look, other_rules_are_another_tag, try_look};
use crate::{access, credentials, open};

fn spec(store: Store, endpoint: Option<String>) -> ObjectsSpec {
    ObjectsSpec {
        store,
        bucket: "bucket".to_owned(),
        prefix: None,
        region: None,
        endpoint,
        account: (store == Store::Azure).then(|| "acme".to_owned()),
        include: Vec::new(),
        exclude: Vec::new(),
        access: access(true),
    }
}

fn source(server: &Server, secrets: &[(&str, &str)]) -> Box<dyn Source> {
    let surroundings = Surroundings { hosts: vec![format!("127.0.0.1:{}", server.port)], ..Surroundings::default() };
    open(&SourceSpec::Objects(spec(Store::S3, Some(server.url("")))), &credentials(secrets), &surroundings)
}

fn listing(names: &[&str]) -> Response {
    let contents = names.iter().map(|name| {
        format!("<Contents><Key>{name}</Key><LastModified>2026-05-04T10:00:00.000Z</LastModified><ETag>\"1\"</ETag><Size>4</Size></Contents>")
    });
    Response::new(
        200,
        format!(
            "<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>",
            contents.collect::<String>()
        ),
    )
}

fn object(bytes: impl Into<Vec<u8>>) -> Response {
    Response::new(200, bytes).with("etag", "\"1\"").with("last-modified", "Mon, 04 May 2026 10:00:00 GMT")
}

#[tokio::test]
async fn metadata_say_who_may_read_an_object_before_its_front_matter_and_before_rules() {
    let server = Server::start(|request: &Request| match request.path() {
        "/bucket/open/said.md" => object("---\ncatena: {allow: [everyone]}\n---\n")
            .with("x-amz-meta-catena-allow", "group:eng, user:bob")
            .with("x-amz-meta-catena-attribute-lang", "en"),
        "/bucket/open/broken.pdf" => object("%PDF").with("x-amz-meta-catena-allow", "eng"),
        "/bucket/open/silent.pdf" => object("%PDF").with("x-amz-meta-owner", "x"),
        "/bucket" | "/bucket/" => listing(&["open/broken.pdf", "open/said.md", "open/silent.pdf"]),
        _ => Response::new(404, ""),
    })
    .await;
    let source = source(&server, &[]);
    let seen = look(source.as_ref()).await;
    let mut accesses = Vec::new();
    for item in seen.found.values() {
        assert_eq!(item.access, None, "a listing does not know metadata");
        let Fetch::Document { fetched, .. } = source.fetch(item, None).await.unwrap() else { panic!("{}", item.id) };
        accesses.push((fetched.access, fetched.attributes.len()));
    }
    assert!(matches!(accesses[0].0, Access::Unreadable { .. }));
    assert_eq!(accesses[1], (Access::Stated(Acl::parse(&["group:eng", "user:bob"], &[]).unwrap()), 1));
    assert_eq!(accesses[2].0, Access::Stated(Acl::parse(&["everyone"], &[]).unwrap()));
    assert!(server.asked().iter().all(|request| request.header("authorization").is_empty()), "nobody asks as nobody");
}

#[tokio::test]
async fn a_rule_reaches_an_object_that_may_speak_for_itself() {
    let rules: Arc<Mutex<String>> = Arc::default();
    let served = Arc::clone(&rules);
    let server = Server::start(move |request: &Request| match request.path() {
        "/bucket/access.toml" => object(served.lock().unwrap().as_bytes()),
        "/bucket/a.md" => object("# A\n"),
        _ => listing(&["a.md", "access.toml"]),
    })
    .await;
    let access = AccessSpec { from_file: true, from_documents: true, ..AccessSpec::default() };
    let spec = ObjectsSpec { access, ..spec(Store::S3, Some(server.url(""))) };
    let surroundings = Surroundings { hosts: vec![format!("127.0.0.1:{}", server.port)], ..Surroundings::default() };
    let source = open(&SourceSpec::Objects(spec), &credentials(&[]), &surroundings);
    other_rules_are_another_tag(source.as_ref(), |text| text.clone_into(&mut rules.lock().unwrap())).await;
}

#[tokio::test]
async fn packed_objects_are_unpacked_within_a_bound_and_others_are_refused() {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut packed, b"# Packed").unwrap();
    let packed = packed.finish().unwrap();
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    std::io::Write::write_all(&mut bomb, &vec![0; 70 * 1024 * 1024]).unwrap();
    let bomb = bomb.finish().unwrap();
    let server = Server::start(move |request: &Request| match request.path() {
        "/bucket/a.md" => object(packed.as_slice()).with("content-encoding", "gzip"),
        "/bucket/b.md" => object(bomb.as_slice()).with("content-encoding", "gzip"),
        "/bucket/c.md" => object("x").with("content-encoding", "br"),
        _ => listing(&["a.md", "b.md", "c.md"]),
    })
    .await;
    let source = source(&server, &[]);
    let seen = look(source.as_ref()).await;
    let Fetch::Document { fetched, .. } = source.fetch(&seen.found["a.md"], None).await.unwrap() else { panic!() };
    assert_eq!(fetched.bytes, b"# Packed");
    for name in ["b.md", "c.md"] {
        let error = source.fetch(&seen.found[name], None).await.unwrap_err();
        assert!(matches!(error, SourceError::Document { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn an_empty_bucket_and_a_key_that_cannot_be_listed_are_errors_and_never_a_part() {
    for (names, needle) in [(vec![], "holds nothing"), (vec!["a.md", "x//b.md"], "cannot be listed")] {
        let server = Server::start(move |_: &Request| listing(&names)).await;
        let error = try_look(source(&server, &[]).as_ref(), None).await.map(|look| look.found).unwrap_err();
        assert!(error.to_string().contains(needle), "{error}");
    }
}

#[tokio::test]
async fn what_a_store_says_in_an_error_is_told_by_its_code_alone() {
    let server = Server::start(|request: &Request| {
        let echo =
            format!("<Error><Code>SignatureDoesNotMatch</Code><X>{}</X></Error>", request.header("authorization"));
        Response::new(403, echo)
    })
    .await;
    let secrets = [("access_key_id", "AKIDEXAMPLE42"), ("secret_access_key", "s3cr3t-0815")];
    let source = source(&server, &secrets);
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
    let text = format!("{error} {error:?} {source:?}");
    assert!(text.contains("SignatureDoesNotMatch"), "{text}");
    for secret in ["AKIDEXAMPLE42", "0815", "Signature=", "Credential="] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    drop(server);
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err().to_string();
    assert!(error.contains("s3://bucket/") && error.contains("connection refused"), "{error}");
}

#[tokio::test]
async fn a_store_is_no_way_into_the_operators_network() {
    let refuse = |spec: ObjectsSpec, secrets: &[(&str, &str)]| {
        let opened = catena_sources::open(&SourceSpec::Objects(spec), &credentials(secrets), &Surroundings::default());
        opened.map(|_| ()).unwrap_err()
    };
    for endpoint in
        ["http://127.0.0.1:9000", "http://169.254.169.254", "https://[::1]", "https://store.example.org:9000"]
    {
        let error = refuse(spec(Store::S3, Some(endpoint.to_owned())), &[]);
        assert!(matches!(error, SourceError::Refused { .. }), "{endpoint}: {error}");
    }
    let keys = [("access_key_id", "a"), ("secret_access_key", "b")];
    let clear = refuse(spec(Store::S3, Some("http://store.example.org".to_owned())), &keys);
    assert!(clear.to_string().contains("in clear"), "{clear}");
    // A service account's key names where its tokens come from; that is asked by the same way out.
    let server = Server::start(|_: &Request| Response::new(200, "{\"access_token\": \"t\", \"expires_in\": 60}")).await;
    let key = serde_json::json!({
        "gcs_base_url": server.url(""), "disable_oauth": true, "client_email": "a@b", "private_key": "", "private_key_id": "",
    });
    let secrets = credentials(&[("service_account_key", &key.to_string())]);
    match catena_sources::open(&SourceSpec::Objects(spec(Store::Gcs, None)), &secrets, &Surroundings::default()) {
        Ok(source) => assert!(try_look(source.as_ref(), None).await.is_err()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    assert!(server.asked().is_empty(), "the key of an account led inside");
}

#[test]
fn azure_and_google_open_with_their_own_credentials_and_with_none() {
    for (store, secrets) in [
        (Store::Azure, vec![("access_key", "c2VjcmV0")]),
        (Store::Azure, vec![("sas_token", "?sv=2024&sig=abc")]),
        (Store::Azure, vec![]),
        (Store::Gcs, vec![]),
        (Store::S3, vec![]),
    ] {
        let source = open(&SourceSpec::Objects(spec(store, None)), &credentials(&secrets), &Surroundings::default());
        assert!(!format!("{source:?}").contains("abc"));
    }
    let wrong = catena_sources::open(
        &SourceSpec::Objects(spec(Store::Gcs, None)),
        &credentials(&[("service_account_key", "{not json s3cret}")]),
        &Surroundings::default(),
    );
    assert!(!wrong.map(|_| ()).unwrap_err().to_string().contains("s3cret"));
}
