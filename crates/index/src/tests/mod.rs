//! Tests of the crate as a whole: a generation on a disk, its writers, its readers, and what may befall it.

mod child;
mod cuts;
mod damage;
mod deciding;
mod filtering;
mod golden;
mod holding;
mod kills;
mod lists;
mod merging;
mod publishing;
mod reference;
mod remembering;
mod searching;
mod seeing;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use catena_access::{Acl, Credential, Directory, Entry, LiveDocument, Liveness, Right, Rights, Scope};
use catena_domain::{AclId, DocNo, GenerationId, KeyId, RecipeId, Seq, TenantId, Timestamp, UserName, VersionNo};
use half::f16;

use crate::{
    Counted, Filter, Generation, Hit, Index, IndexError, LexicalQuery, LiveTable, QueryVector, RowInput, RowKey,
    Snapshot, Visible,
};

const DIMENSION: usize = 8;
/// A moment for tests in which time does not matter.
const NOW: Timestamp = Timestamp(0);

fn tenant(id: &str) -> TenantId {
    TenantId::new(id).unwrap()
}

fn generation_id(id: &str) -> GenerationId {
    GenerationId::new(id).unwrap()
}

fn recipe() -> RecipeId {
    RecipeId::new("recipe-1").unwrap()
}

/// A key's scope; with [`Right::Admin`], an administrator's.
fn scope_of(user: &str, rights: &[Right]) -> Scope {
    let acme = tenant("acme");
    let credential = Credential {
        key: KeyId::new("k1").unwrap(),
        name: "test".into(),
        tenant: Some(acme.clone()),
        rights: Rights::of(rights),
        user: Some(UserName::new(user).unwrap()),
        groups: vec![],
        clearance: None,
    };
    credential
        .enter(Entry { tenant: &acme, need: Right::Read, on_behalf: None, directory: Directory::default() })
        .unwrap()
}

fn ann() -> Scope {
    scope_of("ann", &[Right::Read])
}

/// An index in a folder of its own, with one generation of tenant `acme`.
struct Fixture {
    folder: tempfile::TempDir,
    index: Index,
}

impl Fixture {
    fn new() -> Self {
        Self::with_open_max(4)
    }

    fn with_open_max(open_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::new(folder.path().to_owned(), NonZeroUsize::new(open_max).unwrap());
        Self { folder, index }
    }

    fn open(&self) -> Result<Arc<Generation>, IndexError> {
        self.open_named("g1")
    }

    fn open_named(&self, id: &str) -> Result<Arc<Generation>, IndexError> {
        self.index.generation(&Scope::service(&tenant("acme")), &generation_id(id), &recipe(), DIMENSION)
    }

    fn generation(&self) -> Arc<Generation> {
        self.open().unwrap()
    }

    /// Forgets what is open, as a restart does.
    fn restart(&mut self) {
        self.index = Index::new(self.folder.path().to_owned(), NonZeroUsize::new(4).unwrap());
    }

    /// A fixture whose generation's folder holds these files.
    fn of(image: &BTreeMap<PathBuf, Vec<u8>>) -> Self {
        let fixture = Self::new();
        for (name, content) in image {
            let path = fixture.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        fixture
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("acme").join("g1")
    }
}

/// A direction that depends on `seed` alone.
fn direction(seed: u64, dimension: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32
    };
    // The sum of a few even numbers is nearly a normal one.
    (0..dimension).map(|_| (0..6).map(|_| next()).sum::<f32>() - 3.0).collect()
}

fn halves(values: &[f32]) -> Vec<f16> {
    values.iter().map(|&value| f16::from_f32(value)).collect()
}

fn row(doc: u32, version: u32, chunk: u32, body: &str) -> RowInput {
    let seed = u64::from(doc) << 32 | u64::from(version) << 16 | u64::from(chunk);
    RowInput {
        doc: DocNo(doc),
        version: VersionNo(version),
        chunk,
        title: format!("title {doc}"),
        headings: String::new(),
        body: body.to_owned(),
        language: None,
        vector: halves(&direction(seed, DIMENSION)),
    }
}

fn key(doc: u32, version: u32, chunk: u32) -> RowKey {
    RowKey { doc: DocNo(doc), version: VersionNo(version), chunk }
}

fn document(doc: u32, version: u32, acl: u32) -> LiveDocument {
    LiveDocument {
        doc: DocNo(doc),
        version: VersionNo(version),
        acl: AclId(acl),
        live: Liveness::Live,
        source: None,
        attributes: Arc::default(),
    }
}

const OPEN: u32 = 0;
const CLOSED: u32 = 1;

/// A table in which list [`OPEN`] admits everyone and list [`CLOSED`] nobody.
fn live(seq: u64, documents: Vec<LiveDocument>) -> LiveTable {
    let open = Arc::new(Acl::parse(&["everyone"], &[]).unwrap());
    let acls = vec![(AclId(OPEN), open), (AclId(CLOSED), Arc::new(Acl::default()))];
    LiveTable::empty().with(Seq(seq), documents, acls)
}

/// A table in which these documents are open to everyone.
fn all_open(seq: u64, documents: &[(u32, u32)]) -> LiveTable {
    live(seq, documents.iter().map(|&(doc, version)| document(doc, version, OPEN)).collect())
}

fn seen(snapshot: &Snapshot, live: &LiveTable) -> Arc<Visible> {
    snapshot.visible(&ann(), live, &Filter::default(), Counted::Live, NOW)
}

fn words(snapshot: &Snapshot, live: &LiveTable, query: &str) -> Vec<(RowKey, f32)> {
    let hits = snapshot.lexical(&LexicalQuery::parse(query), &seen(snapshot, live), 1_000).unwrap();
    keyed(snapshot, &hits)
}

fn vectors(snapshot: &Snapshot, live: &LiveTable, seed: u64, limit: usize) -> Vec<(RowKey, f32)> {
    let hits = snapshot.dense(&query_vector(seed), &seen(snapshot, live), limit).unwrap();
    keyed(snapshot, &hits)
}

fn query_vector(seed: u64) -> QueryVector {
    QueryVector { recipe: recipe(), values: direction(seed, DIMENSION) }
}

fn keyed(snapshot: &Snapshot, hits: &[Hit]) -> Vec<(RowKey, f32)> {
    hits.iter().map(|hit| (snapshot.key(hit.row), hit.score)).collect()
}

fn keys(hits: &[(RowKey, f32)]) -> Vec<RowKey> {
    hits.iter().map(|hit| hit.0).collect()
}

/// Every file below a folder, by its path in it.
fn files(folder: &std::path::Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
