//! What a web site promises beyond the suite: politeness, what counts as gone, and where a look ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use catena_sources::spec::{QueryPolicy, WebSpec};
use catena_sources::{Fetch, Source, SourceSpec, Surroundings};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http::{Response, Server};
use crate::suite::{Look, look, try_look};
use crate::{access, credentials, open};

type Routes = Arc<Mutex<BTreeMap<String, Response>>>;

struct Site {
    routes: Routes,
    server: Server,
    home: tempfile::TempDir,
}

fn page(links: &[&str]) -> Response {
    let links: String = links.iter().map(|link| format!("<a href='{link}'>x</a>")).collect();
    Response::new(200, format!("<!doctype html><p>{links}</p>")).with("content-type", "text/html")
}

impl Site {
    async fn of(routes: &[(&str, Response)]) -> Self {
        let routes: Routes = Arc::new(Mutex::new(
            routes.iter().map(|(path, response)| ((*path).to_owned(), response.clone())).collect(),
        ));
        let served = Arc::clone(&routes);
        let server = Server::start(move |request| {
            let routes = served.lock().unwrap();
            let found = routes.get(&request.target).or_else(|| routes.get(request.path()));
            let response = found.cloned().unwrap_or_else(|| Response::new(404, "no"));
            let etag = response.headers.iter().find(|(name, _)| name == "etag").map(|(_, etag)| etag.as_str());
            if etag.is_some_and(|etag| request.header("if-none-match") == etag) {
                return Response::new(304, "");
            }
            response
        })
        .await;
        Self { routes, server, home: tempfile::tempdir().unwrap() }
    }

    fn set(&self, path: &str, response: Response) {
        self.routes.lock().unwrap().insert(path.to_owned(), response);
    }

    fn spec(&self) -> WebSpec {
        WebSpec { start: vec![self.server.url("/")], delay_ms: 0, access: access(false), ..WebSpec::default() }
    }

    fn source(&self, spec: WebSpec) -> Box<dyn Source> {
        let surroundings = Surroundings {
            hosts: vec![format!("127.0.0.1:{}", self.server.port)],
            mirror: Some(self.home.path().to_owned()),
            ..Surroundings::default()
        };
        open(&SourceSpec::Web(spec), &credentials(&[]), &surroundings)
    }

    /// Paths of what a look found.
    fn paths(&self, look: &Look) -> Vec<String> {
        let host = format!("127.0.0.1:{}", self.server.port);
        look.found.keys().map(|id| id.trim_start_matches(&host).to_owned()).collect()
    }

    fn asked(&self, path: &str) -> usize {
        self.server.asked().iter().filter(|request| request.target == path).count()
    }
}

#[tokio::test]
async fn robots_are_obeyed_by_looks_and_fetches() {
    let site = Site::of(&[
        ("/robots.txt", Response::new(200, "User-agent: *\nDisallow: /closed\nCrawl-delay: 0.01\n")),
        ("/", page(&["/open", "/closed/a", "/open?closed"])),
        ("/open", page(&[])),
        ("/closed/a", page(&[])),
    ])
    .await;
    let source = site.source(site.spec());
    let seen = look(source.as_ref()).await;
    assert_eq!(site.paths(&seen), ["/", "/open"]);
    assert!(seen.skipped.iter().any(|skipped| skipped.contains("/closed/a") && skipped.contains("robots.txt")));
    assert_eq!(site.asked("/closed/a"), 0);
    let mut item = seen.found.values().next().unwrap().clone();
    item.id = format!("127.0.0.1:{}/closed/a", site.server.port).parse().unwrap();
    assert!(source.fetch(&item, None).await.is_err());
    assert_eq!(site.asked("/closed/a"), 0);
}

#[tokio::test]
async fn while_robots_cannot_be_had_nothing_is_asked_for() {
    let site = Site::of(&[("/robots.txt", Response::new(503, "")), ("/", page(&[]))]).await;
    assert!(try_look(site.source(site.spec()).as_ref(), None).await.is_err());
    assert_eq!(site.asked("/"), 0);
    site.set("/robots.txt", Response::new(404, ""));
    assert_eq!(look(site.source(site.spec()).as_ref()).await.found.len(), 1);
}

#[tokio::test]
async fn a_page_that_gives_no_answer_stays_as_it_was_and_one_that_is_gone_does_not() {
    let site =
        Site::of(&[("/", page(&["/a", "/b"])), ("/a", page(&["/below"])), ("/b", page(&[])), ("/below", page(&[]))])
            .await;
    let source = site.source(site.spec());
    let first = look(source.as_ref()).await;
    assert_eq!(site.paths(&first), ["/", "/a", "/b", "/below"]);
    site.set("/a", Response::new(503, "later"));
    site.set("/b", Response::new(410, "never"));
    for source in [source, site.source(site.spec())] {
        let second = look(source.as_ref()).await;
        assert_eq!(site.paths(&second), ["/", "/a", "/below"], "what only the silent page leads to stays as well");
        let id = first.found.keys().nth(1).unwrap();
        assert_eq!(second.found[id].tag, first.found[id].tag);
    }
    // A silent page that nobody knows may lead anywhere: then nothing counts as gone.
    site.set("/", page(&["/new"]));
    site.set("/new", Response::new(500, ""));
    let error = try_look(site.source(site.spec()).as_ref(), None).await.map(|look| look.found).unwrap_err().to_string();
    assert!(error.contains("/new") && error.contains("nothing counts as gone"), "{error}");
    site.set("/new", page(&[]));
    let mended = look(site.source(site.spec()).as_ref()).await;
    assert_eq!(site.paths(&mended), ["/", "/new"]);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_no_answer() {
    let site = Site::of(&[("/", page(&["/a"])), ("/a", page(&[]))]).await;
    let source = site.source(site.spec());
    let first = look(source.as_ref()).await;
    site.set("/a", Response { is_cut: true, ..page(&["/x"]) });
    let second = look(source.as_ref()).await;
    assert_eq!(site.paths(&second), ["/", "/a"]);
    let id = first.found.keys().nth(1).unwrap();
    assert_eq!(second.found[id].tag, first.found[id].tag);
}

#[tokio::test]
async fn a_beginning_or_a_sitemap_that_is_gone_is_an_error() {
    let site = Site::of(&[("/a", page(&[]))]).await;
    assert!(try_look(site.source(site.spec()).as_ref(), None).await.is_err());
    for sitemap in
        [Response::new(404, ""), Response::new(200, "<html>login</html>"), Response::new(200, "<urlset><url>")]
    {
        site.set("/", page(&[]));
        site.set("/sitemap.xml", sitemap);
        let spec = WebSpec { sitemaps: vec![site.server.url("/sitemap.xml")], ..site.spec() };
        let error = try_look(site.source(spec).as_ref(), None).await.map(|look| look.found).unwrap_err();
        assert!(error.to_string().contains("sitemap"), "{error}");
    }
}

#[tokio::test]
async fn sitemaps_lead_to_pages_packed_and_through_indexes() {
    let site = Site::of(&[("/a", page(&["/linked"])), ("/b", page(&[])), ("/linked", page(&[]))]).await;
    let map = |paths: &[&str]| {
        let urls = paths.iter().map(|path| format!("<url><loc>{}</loc></url>", site.server.url(path)));
        format!("<urlset>{}<url><loc>https://elsewhere.example.org/</loc></url></urlset>", urls.collect::<String>())
    };
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut packed, map(&["/b"]).as_bytes()).unwrap();
    site.set("/one.xml", Response::new(200, map(&["/a", "/missing"])));
    site.set("/two.xml.gz", Response::new(200, packed.finish().unwrap()));
    let both = ["/one.xml", "/two.xml.gz", "/one.xml"]
        .map(|path| format!("<sitemap><loc>{}</loc></sitemap>", site.server.url(path)));
    site.set("/index.xml", Response::new(200, format!("<sitemapindex>{}</sitemapindex>", both.concat())));
    let spec = WebSpec { start: Vec::new(), sitemaps: vec![site.server.url("/index.xml")], depth: 0, ..site.spec() };
    let seen = look(site.source(spec).as_ref()).await;
    assert_eq!(site.paths(&seen), ["/a", "/b"]);
    assert!(seen.skipped.iter().any(|skipped| skipped.contains("elsewhere.example.org")));
    assert_eq!(site.asked("/one.xml"), 1);
}

#[tokio::test]
async fn an_unchanged_page_is_not_sent_again_nor_fetched_twice() {
    let site = Site::of(&[("/", page(&["/a"]).with("etag", "\"1\"")), ("/a", page(&[]).with("etag", "\"2\""))]).await;
    let source = site.source(site.spec());
    let first = look(source.as_ref()).await;
    let item = first.found.values().nth(1).unwrap();
    assert!(matches!(source.fetch(item, None).await.unwrap(), Fetch::Document { .. }));
    assert_eq!(site.asked("/a"), 1, "the look's own bytes are given to the fetch");
    site.server.forget();
    let second = look(source.as_ref()).await;
    assert_eq!(first.found, second.found);
    let conditional = site.server.asked().iter().filter(|request| !request.header("if-none-match").is_empty()).count();
    assert_eq!(conditional, 2);
    assert_eq!(source.fetch(item, Some(&item.tag)).await.unwrap(), Fetch::Unchanged);
}

#[tokio::test]
async fn redirects_lead_to_one_page_and_never_outside() {
    let site = Site::of(&[
        ("/", page(&["/old", "/new", "/out", "/inside", "/round", "/scheme"])),
        ("/old", Response::new(301, "").with("location", "/new")),
        ("/new", page(&[])),
        ("/out", Response::new(302, "").with("location", "https://elsewhere.example.org/")),
        ("/inside", Response::new(302, "").with("location", "http://169.254.169.254/latest/meta-data/")),
        ("/round", Response::new(302, "").with("location", "/round")),
        ("/scheme", Response::new(302, "").with("location", "file:///etc/passwd")),
    ])
    .await;
    let source = site.source(WebSpec { pages_max: 3, ..site.spec() });
    let broken = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err().to_string();
    assert!(broken.contains("/round"), "{broken}");
    site.set("/round", Response::new(404, ""));
    let seen = look(source.as_ref()).await;
    assert_eq!(site.paths(&seen), ["/", "/new"]);
    for path in ["/out", "/inside", "/scheme"] {
        assert!(seen.skipped.iter().any(|skipped| skipped.contains(path) && skipped.contains("outside")), "{path}");
    }
}

#[tokio::test]
async fn pages_that_ask_not_to_be_kept_or_are_known_elsewhere_are_no_documents() {
    let head = |head: &str| Response::new(200, format!("<head>{head}</head>")).with("content-type", "text/html");
    let site = Site::of(&[
        ("/", page(&["/noindex", "/header", "/copy", "/pic", "/pdf"])),
        ("/noindex", head("<meta name=robots content=noindex><a href=/from-noindex>x</a>")),
        ("/from-noindex", page(&[])),
        ("/header", page(&[]).with("x-robots-tag", "noindex")),
        ("/copy", head("<link rel=canonical href=/real>")),
        ("/real", page(&[])),
        ("/pic", Response::new(200, "x").with("content-type", "image/png")),
        ("/pdf", Response::new(200, "%PDF").with("content-type", "application/pdf")),
    ])
    .await;
    let seen = look(site.source(site.spec()).as_ref()).await;
    assert_eq!(site.paths(&seen), ["/", "/from-noindex", "/pdf", "/real"]);
}

#[tokio::test]
async fn bounds_hold_and_a_larger_site_is_an_error_and_no_part_of_it() {
    let site = Site::of(&[
        ("/", page(&["/1", "/q?id=1&s=2", "/q?s=3&id=1"])),
        ("/1", page(&["/2"])),
        ("/2", page(&["/3"])),
        ("/3", page(&[])),
        ("/q", page(&[])),
    ])
    .await;
    let query = QueryPolicy::Only(vec!["id".to_owned()]);
    let deep = look(site.source(WebSpec { depth: 2, query, ..site.spec() }).as_ref()).await;
    assert_eq!(site.paths(&deep), ["/", "/1", "/2", "/q?id=1"]);
    let flat = look(site.source(WebSpec { depth: 1, ..site.spec() }).as_ref()).await;
    assert_eq!(site.paths(&flat), ["/", "/1", "/q"]);
    let error = try_look(site.source(WebSpec { pages_max: 2, ..site.spec() }).as_ref(), None).await;
    assert!(error.map(|look| look.found).unwrap_err().to_string().contains("pages_max"));
}

#[tokio::test]
async fn pages_of_one_site_are_asked_for_one_after_the_other_with_time_between() {
    let site = Site::of(&[("/", page(&["/a", "/b"])), ("/a", page(&[])), ("/b", page(&[]))]).await;
    let source = site.source(WebSpec { delay_ms: 60, ..site.spec() });
    let began = catena_runtime::clock::Stopwatch::start();
    assert_eq!(look(source.as_ref()).await.found.len(), 3);
    assert!(began.elapsed_ms() >= 180.0, "robots.txt and three pages have three pauses between them");
}

#[tokio::test]
async fn credentials_stay_at_the_site_that_they_are_for() {
    let other =
        Site::of(&[("/", page(&[])), ("/robots.txt", Response::new(200, "User-agent: *\nDisallow: /closed"))]).await;
    let target = other.server.url("/");
    let away = Response::new(302, "").with("location", &other.server.url("/robots.txt"));
    let site = Site::of(&[("/", page(&[&target, "/closed"])), ("/robots.txt", away)]).await;
    let surroundings = Surroundings { hosts: vec!["127.0.0.1".to_owned()], ..Surroundings::default() };
    let secrets = credentials(&[("token", "s3cret")]);
    let source = open(&SourceSpec::Web(site.spec()), &secrets, &surroundings);
    assert_eq!(site.paths(&look(source.as_ref()).await), ["/"]);
    assert!(site.server.asked().iter().all(|request| request.header("authorization") == "Bearer s3cret"));
    let asked = other.server.asked();
    assert_eq!(asked.len(), 1, "only its robots.txt was asked for: another port is another site");
    assert_eq!(asked[0].header("authorization"), "");
    let elsewhere = WebSpec { start: vec!["http://docs.example.org/".to_owned()], ..WebSpec::default() };
    let refused = catena_sources::open(&SourceSpec::Web(elsewhere), &secrets, &Surroundings::default());
    assert!(refused.map(|_| ()).unwrap_err().to_string().contains("in clear"));
}

#[tokio::test]
async fn a_site_that_has_fallen_silent_is_not_asked_for_every_page_it_had() {
    let paths: Vec<String> = (0..40).map(|at| format!("/{at}")).collect();
    let links: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut routes = vec![("/", page(&links))];
    routes.extend(links.iter().map(|&path| (path, page(&[]))));
    let site = Site::of(&routes).await;
    let source = site.source(site.spec());
    assert_eq!(look(source.as_ref()).await.found.len(), 41);
    links.iter().for_each(|path| site.set(path, Response::new(503, "")));
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err().to_string();
    assert!(error.contains("nothing counts as gone"), "{error}");
}

#[tokio::test]
async fn a_trap_of_pages_that_ask_not_to_be_kept_ends_the_look_before_its_links_are_asked_for() {
    let server = Server::start(|request| {
        let path = request.path().trim_end_matches('/');
        let links: String = (0..200).map(|n| format!("<a href='{path}/{n}'>x</a>")).collect();
        Response::new(200, format!("<meta name=robots content=noindex>{links}")).with("content-type", "text/html")
    })
    .await;
    let surroundings = Surroundings { hosts: vec![format!("127.0.0.1:{}", server.port)], ..Surroundings::default() };
    let spec = WebSpec {
        start: vec![server.url("/")],
        delay_ms: 0,
        pages_max: 50,
        access: access(false),
        ..WebSpec::default()
    };
    let source = open(&SourceSpec::Web(spec), &credentials(&[]), &surroundings);
    let error = try_look(source.as_ref(), None).await.map(|look| look.found).unwrap_err();
    assert!(error.to_string().contains("pages_max"), "{error}");
    assert!(server.asked().len() < 10, "{} addresses were asked for", server.asked().len());
}
