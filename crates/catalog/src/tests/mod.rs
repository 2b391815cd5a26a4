//! What the catalog promises, tried out on real databases: one suite, run on SQLite and on PostgreSQL. What only one of
//! them has stands in `files` and in `apart`.

/// Makes two tests of each function: one on SQLite, one on PostgreSQL. A function that is not named is not used, which
/// the compiler says.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::On::Sqlite).await;
            })*
        }

        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::On::Postgres).await;
            })*
        }
    };
}

mod apart;
mod audit;
mod backup;
mod cancel;
mod directory;
mod documents;
mod door;
mod ends;
mod feed;
mod files;
mod firewall;
mod isolation;
mod jobs;
mod keys;
mod labels;
mod once;
mod places;
mod purge;
mod queue;
mod quotas;
mod removal;
mod seq;
mod sources;

use std::collections::BTreeMap;
use std::path::Path;

use catena_access::scope::{Concerned, Directory, Entry};
use catena_access::{Acl, Credential, KeyHash, OnBehalf, Operator, Right, Rights, Scope};
use catena_audit::Draft;
use catena_domain::{
    DocNo, DocumentId, GroupName, JobId, KeyId, Label, RecipeId, RequestKey, Span, TenantId, UserName, VersionNo,
};
use half::f16;
use tempfile::TempDir;

use crate::tables::testing::sha256;
use crate::*;

/// Which database a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    Sqlite,
    Postgres,
}

/// A catalog in a folder of its own, and in a database of its own if it is PostgreSQL's.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
    pub(crate) database: Database,
    pub(crate) catalog: Catalog,
}

impl On {
    pub(crate) async fn home(self) -> Home {
        let database = self.database();
        let folder = TempDir::new().unwrap();
        let catalog = Catalog::open(folder.path(), &database).await.unwrap();
        Home { folder, database, catalog }
    }

    /// A database that nothing is in.
    pub(crate) fn database(self) -> Database {
        match self {
            Self::Sqlite => Database::Embedded,
            Self::Postgres => {
                let made = catena_tests::postgres::shared().database("catalog");
                let place = PostgresPlace::new(made.app_url(), Some(made.owner_url().to_owned()));
                Database::Postgres(place.with_connections(4))
            }
        }
    }

    /// A catalog with the tenants `acme` and `globex`.
    pub(crate) async fn home_with_tenants(self) -> Home {
        let home = self.home().await;
        for id in ["acme", "globex"] {
            let draft = draft("tenant.create");
            home.catalog.create_tenant(&operator(), &tenant(id), id, &recipe(), 4, draft).await.unwrap();
        }
        home
    }
}

impl Home {
    /// Every chain of the record is whole; their lengths by name.
    pub(crate) async fn chains(&self) -> BTreeMap<String, u64> {
        chains(self.folder.path(), &self.database).await
    }
}

/// What a worker takes that has the index at hand.
pub(crate) fn taking() -> Taking {
    Taking { lease: std::time::Duration::from_secs(60), at_once_per_tenant: 1, reach: WorkerReach::Index }
}

/// Takes the next job: whose it is, what it is, and the right to do it.
pub(crate) async fn parts(catalog: &Catalog) -> (TenantId, Job, Lease) {
    let claimed = catalog.claim_job(&taking()).await.unwrap().unwrap();
    (claimed.tenant, claimed.job, claimed.lease)
}

/// An import that has a line to write and one that cannot be written.
pub(crate) async fn request_import(catalog: &Catalog, scope: &Scope, mark: &str) -> JobId {
    let item = NewJobItem::pack(1, &format!("{mark} item"), format!("{mark} content").as_bytes()).unwrap();
    let failure = JobFailure { document: "line 2".into(), reason: format!("{mark} reason") };
    let new = NewJob::of(JobKind::Import);
    catalog.enqueue_import(scope, new, vec![item], vec![failure], draft("import")).await.unwrap().value.id
}

/// Lets others have every job, as if its worker had been silent for long.
pub(crate) async fn let_go(home: &Home) {
    let mut tx = home.catalog.store.write(store::Reach::Installation).await.unwrap();
    store::sql("UPDATE jobs SET lease_until = 0 WHERE state = 'running'").execute(tx.connection()).await.unwrap();
    tx.commit().await.unwrap();
    home.catalog.release_leases().await.unwrap();
}

/// So many documents are done, of so many.
pub(crate) fn documents(done: u64, total: u64) -> Tally {
    Tally { documents: Count { done, total }, ..Tally::default() }
}

pub(crate) fn draft(action: &'static str) -> Draft {
    Draft::new("req-1", action)
}

/// A deed of the request that the caller named `key`, which says what `request` stands for.
pub(crate) fn named<T: std::fmt::Debug + 'static>(key: &str, request: u8) -> Deed<T> {
    let once = Once {
        holder: KeyId::new("adm1").unwrap(),
        key: RequestKey::new(key).unwrap(),
        request_sha256: [request; 32],
        answer: std::sync::Arc::new(|value: &T| format!("{value:?}")),
    };
    Deed::once(draft("named"), once)
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

pub(crate) fn recipe() -> RecipeId {
    RecipeId::new("recipe-1").unwrap()
}

pub(crate) fn id(text: &str) -> DocumentId {
    DocumentId::new(text).unwrap()
}

pub(crate) fn user(name: &str) -> UserName {
    UserName::new(name).unwrap()
}

pub(crate) fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

pub(crate) fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

/// A group of these members, each `NAME` of a user or `group:NAME`.
pub(crate) fn of(members: &[&str]) -> Group {
    members.iter().map(|member| member.parse::<Member>().unwrap()).collect()
}

/// What the directory says of a user.
pub(crate) async fn directory(catalog: &Catalog, in_tenant: &str, name: &str) -> Directory {
    let user = user(name);
    let concerned = Concerned { user: Some(&user), ..Concerned::default() };
    catalog.directory(&tenant(in_tenant), concerned).await.unwrap()
}

pub(crate) fn acl(allow: &[&str], deny: &[&str]) -> Acl {
    Acl::parse(allow, deny).unwrap()
}

fn credential(key: &str, tenant: Option<TenantId>, rights: &[Right]) -> Credential {
    let key = KeyId::new(key).unwrap();
    let (user, groups, clearance) = (None, vec![], None);
    Credential { key, name: "k".into(), tenant, rights: Rights::of(rights), user, groups, clearance }
}

pub(crate) fn operator() -> Operator {
    credential("op1", None, &[Right::Operator]).operate().unwrap()
}

fn enter(key: &str, rights: &[Right], in_tenant: &str, on_behalf: Option<OnBehalf>) -> Scope {
    let tenant = tenant(in_tenant);
    let entry = Entry { tenant: &tenant, need: rights[0], on_behalf, directory: Directory::default() };
    credential(key, Some(tenant.clone()), rights).enter(entry).unwrap()
}

/// The tenant's administrator.
pub(crate) fn admin(tenant: &str) -> Scope {
    enter("adm1", &[Right::Admin, Right::Read, Right::Write], tenant, None)
}

/// A user, for whom the key `app1` acts.
pub(crate) fn as_user(tenant: &str, name: &str, groups: &[&str]) -> Scope {
    let on_behalf = OnBehalf { user: Some(user(name)), groups: groups.iter().map(|name| group(name)).collect() };
    enter("app1", &[Right::Read, Right::Impersonate], tenant, Some(on_behalf))
}

/// The key `app1` itself, without a user.
pub(crate) fn app(tenant: &str) -> Scope {
    enter("app1", &[Right::Read, Right::Impersonate], tenant, None)
}

pub(crate) fn vector_of(hash: &ChunkHash) -> Vec<f16> {
    hash[..4].iter().map(|&byte| f16::from_f32(f32::from(byte) + 1.0)).collect()
}

/// A document whose paragraphs are its chunks, readable by everyone.
pub(crate) fn document(name: &str, text: &str) -> NewDocument {
    let title = format!("Title of {name}");
    let (chunks, embeddings) = cut(&title, text);
    NewDocument {
        id: id(name),
        title,
        uri: Some(format!("https://example.org/{name}")),
        content_type: "text/plain".into(),
        attributes: BTreeMap::from([("lang".into(), "en".into())]),
        source: Some("handbook".into()),
        modified_at: None,
        acl: acl(&["everyone"], &[]),
        bytes_sha256: sha256(text.as_bytes()),
        text: text.into(),
        text_sha256: sha256(text.as_bytes()),
        recipe: recipe(),
        chunks,
        embeddings,
        screening: Some(screening()),
        expect: Expect::Any,
        besides: Besides {
            places: vec![Place { start: 0, line: 1, position: Position::Page(1) }],
            noticed: [("comments".to_owned(), 2)].into(),
            ..Besides::default()
        },
    }
}

/// What a firewall may have found in a document.
pub(crate) fn screening() -> Screening {
    let span =
        FoundSpan { detector: "email".into(), confidence: "high".into(), action: "flag".into(), start: 0, end: 4 };
    Screening {
        policy: [7; 32],
        flags: vec!["personal".into()],
        found: FoundCounts::from([("email".into(), 1)]),
        spans: vec![span],
        admission: Admission::ByPolicy,
    }
}

/// A submission of a document that is to wait.
pub(crate) fn suspect(name: &str, text: &str) -> NewSuspect {
    let Screening { policy, found, spans, .. } = screening();
    NewSuspect {
        document: id(name),
        policy,
        bytes_sha256: sha256(text.as_bytes()),
        bytes: text.as_bytes().to_vec(),
        acl: acl(&["everyone"], &[]),
        said: "{}".into(),
        found,
        spans,
    }
}

pub(crate) fn cut(title: &str, text: &str) -> (Vec<NewChunk>, Vec<Embedding>) {
    let mut start = 0;
    let mut chunks = Vec::new();
    for paragraph in text.split_inclusive("\n\n") {
        let span = Span { start, end: start + paragraph.len() as u32 };
        start = span.end;
        let hash = sha256(format!("{title}\n{paragraph}").as_bytes());
        chunks.push(NewChunk { span, headings: vec![title.into()], lines: (1, 2), tokens: 3, hash });
    }
    let embeddings = chunks.iter().map(|chunk| (chunk.hash, vector_of(&chunk.hash))).collect();
    (chunks, embeddings)
}

pub(crate) async fn put(catalog: &Catalog, scope: &Scope, document: NewDocument) -> Written<PutOutcome> {
    catalog.put_document(scope, document, draft("document.put")).await.unwrap()
}

/// Drops all that a recipe made. Says in how many steps.
pub(crate) async fn drop_derived(catalog: &Catalog, scope: &Scope, recipe: &RecipeId) -> usize {
    let disused = Disused { recipe: recipe.clone(), chunking: Chunking::default() };
    let (mut last, mut steps) = (Dropped::default(), 0);
    while let Some(dropped) = catalog.drop_derived(scope, &disused, last, None).await.unwrap() {
        (last, steps) = (dropped, steps + 1);
    }
    steps
}

pub(crate) fn key(doc: DocNo, version: VersionNo, chunk: u32) -> PassageKey {
    PassageKey { doc, version, chunk }
}

pub(crate) fn new_key(id: &str) -> NewKey {
    NewKey {
        key: KeyId::new(id).unwrap(),
        hash: KeyHash::from_bytes([7; 32]),
        name: "app".into(),
        rights: Rights::of(&[Right::Read]),
        user: Some(user("ann")),
        groups: vec![group("eng")],
        clearance: None,
        expires_at: None,
    }
}

/// What a process that was killed at this moment leaves behind.
pub(crate) fn copy_of(folder: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// Every chain of the record is whole; their lengths by name.
pub(crate) async fn chains(folder: &Path, database: &Database) -> BTreeMap<String, u64> {
    let checked = verify_record(folder, database).await.unwrap();
    checked.into_iter().map(|(name, result)| (name, result.unwrap().leaves)).collect()
}
