//! What can be reached, against addresses, names that change their meaning, and answers that lead elsewhere.

use super::*;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Answers each question with the next of its answers, and then with the last again.
struct Changing(Mutex<Vec<IpAddr>>);

impl Resolve for Changing {
    fn resolve(&self, _name: Name) -> Resolving {
        let mut answers = self.0.lock().unwrap();
        let address = if answers.len() > 1 { answers.remove(0) } else { answers[0] };
        Box::pin(async move { Ok(Box::new(std::iter::once(SocketAddr::new(address, 0))) as Addrs) })
    }
}

fn outward(hosts: &[&str], networks: &[&str], answers: &[&str]) -> Outward {
    let surroundings = Surroundings {
        hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        ..Surroundings::default()
    };
    let answers = answers.iter().map(|address| address.parse().unwrap()).collect();
    Outward::resolving_by(&surroundings, Arc::new(Changing(Mutex::new(answers)))).unwrap()
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

/// A server on this machine that answers everything alike.
async fn server(answer: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

#[test]
fn an_address_is_refused_by_what_it_says_however_it_is_written() {
    let closed = outward(&[], &[], &["1.1.1.1"]);
    for text in [
        "ftp://example.org/",
        "file:///etc/passwd",
        "gopher://example.org/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://169.254.169.254/latest/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://１２７.0.0.1/",
        "https://user:secret@example.org/",
        "https://user@example.org/",
        "http://example.org:22/",
        "https://example.org:8443/",
        "http://1.1.1.1:6379/",
    ] {
        let error = closed.check(&url(text)).unwrap_err();
        assert!(matches!(error, SourceError::Refused { .. }), "{text}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    for text in ["https://example.org/", "http://example.org/x?y", "http://8.8.8.8/", "https://[2606:4700::1]/"] {
        assert_eq!(closed.check(&url(text)), Ok(()), "{text}");
    }
}

#[test]
fn a_host_that_the_operator_names_is_open_at_the_ports_named() {
    let open =
        outward(&["wiki.internal", "git.internal:3000", "[fd00::7]:8080", "10.0.0.9"], &["10.1.0.0/16"], &["10.0.0.1"]);
    for (text, expected) in [
        ("http://wiki.internal:9000/", true),
        ("http://WIKI.internal/", true),
        ("http://git.internal:3000/", true),
        ("http://git.internal/", false),
        ("http://git.internal:22/", false),
        ("http://git.internal./", false),
        ("https://GIT.internal./", false),
        ("http://git.internal.:3000/", true),
        ("http://[fd00::7]:8080/", true),
        ("http://[fd00::7]/", false),
        ("http://10.0.0.9:1/", true),
        ("http://10.1.2.3:8080/", true),
        ("http://10.2.2.3/", false),
        ("http://other.internal:3000/", false),
    ] {
        assert_eq!(open.check(&url(text)).is_ok(), expected, "{text}");
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_and_does_not_say_where() {
    for inside in ["127.0.0.1", "169.254.169.254", "10.0.0.5", "::1", "::ffff:10.0.0.5", "fd00:ec2::254"] {
        let closed = outward(&[], &[], &[inside]);
        let error = closed.get(&url("http://rebind.example.org/"), HeaderMap::new()).await.unwrap_err().to_string();
        assert!(error.contains("not public") && !error.contains(inside), "{error}");
        assert!(closed.addresses(&url("https://rebind.example.org/")).await.is_err());
    }
}

#[tokio::test]
async fn a_name_is_checked_again_for_each_connection_so_rebinding_gains_nothing() {
    let port = server("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi").await;
    // First it leads to where the operator allows, then somewhere else inside.
    let open = outward(&[], &["127.0.0.1/32"], &["127.0.0.1", "127.0.0.2"]);
    let address = url(&format!("http://127.0.0.1:{port}/"));
    assert!(open.get(&address, HeaderMap::new()).await.is_ok());
    assert_eq!(
        open.addresses(&url("http://rebind.example.org/")).await.unwrap(),
        ["127.0.0.1".parse::<IpAddr>().unwrap()]
    );
    let error = open.get(&url("http://rebind.example.org/"), HeaderMap::new()).await.unwrap_err();
    assert!(error.to_string().contains("not public"), "{error}");
}

#[tokio::test]
async fn one_private_address_among_public_ones_closes_the_name() {
    struct Both;
    impl Resolve for Both {
        fn resolve(&self, _name: Name) -> Resolving {
            let both = ["1.1.1.1:0".parse().unwrap(), "10.0.0.1:0".parse().unwrap()];
            Box::pin(async move { Ok(Box::new(both.into_iter()) as Addrs) })
        }
    }
    let closed = Outward::resolving_by(&Surroundings::default(), Arc::new(Both)).unwrap();
    assert!(closed.addresses(&url("https://both.example.org/")).await.is_err());
}

#[tokio::test]
async fn redirects_are_not_followed_and_bodies_end_at_their_bound() {
    let port = server("HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: http://169.254.169.254/\r\ncontent-length: 5\r\n\r\nabcde").await;
    let open = outward(&[&format!("127.0.0.1:{port}")], &[], &["1.1.1.1"]);
    let address = url(&format!("http://127.0.0.1:{port}/"));
    let response = open.get(&address, HeaderMap::new()).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(body(response, 5).await.unwrap(), b"abcde");
    let response = open.get(&address, HeaderMap::new()).await.unwrap();
    assert_eq!(body(response, 4).await, Err(Cut::TooLong));
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_not_the_whole_body() {
    let port = server("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 50\r\n\r\nabcde").await;
    let open = outward(&["127.0.0.1"], &[], &["1.1.1.1"]);
    let response = open.get(&url(&format!("http://127.0.0.1:{port}/")), HeaderMap::new()).await.unwrap();
    assert!(matches!(body(response, 100).await, Err(Cut::Broken(_))));
}

#[test]
fn what_is_shown_of_an_address_holds_no_secret() {
    let address = url("https://user:secret@example.org/a?sig=secret#secret");
    assert_eq!(shown(&address), "https://example.org/a");
}
