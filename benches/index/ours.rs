//! The index of this project, as the benches use it. Every call to it stands here.
//!
//! A row is a document of its own, whose number is the row's, in its first version. Which rows may be seen is decided as in
//! the service: by access lists of a live table, for a principal who is in some groups.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use catena_access::{Acl, Credential, Directory, Entry, LiveDocument, Liveness, OnBehalf, Right, Rights, Scope};
use catena_domain::{AclId, DocNo, GenerationId, GroupName, KeyId, RecipeId, Seq, TenantId, VersionNo};
use catena_index::{
    Counted, Effort, Filter, Generation, Index, LexicalQuery, LiveTable, QueryVector, RowInput, Snapshot, Visible,
};
use catena_runtime::clock::{self, Stopwatch};
use half::f16;

pub(crate) const TENANT: &str = "bench";
const GENERATION: &str = "g1";
const FIRST: VersionNo = VersionNo(1);
/// The seq of live tables: later than any publication here.
const LATER: Seq = Seq(1_000_000);
/// The list of rows that everyone may see; the others are numbered like their groups.
const EVERYONE: u32 = 1_000_000;

/// A row before it is one.
pub(crate) struct Raw<'a> {
    pub(crate) text: &'a str,
    pub(crate) vector: &'a [f32],
}

/// Whether an index that an earlier run has made may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Reuse,
    BuildAnew,
}

/// A tenant's index, with every row in it.
pub(crate) struct Ours {
    generation: Arc<Generation>,
    /// What building it took; `None` when it was there.
    pub(crate) build_seconds: Option<f64>,
    folder: PathBuf,
}

/// Who may see which rows.
pub(crate) enum Readers<'a> {
    /// Everyone may see everything.
    Everyone,
    /// Row by row, the group that may see it.
    Groups(&'a [u16]),
}

impl Ours {
    /// Builds the index of `rows` in `folder`: one publication, and merges for as long as the index wants any.
    pub(crate) fn build<'a>(
        folder: &Path,
        kept: Kept,
        rows: usize,
        dimension: usize,
        raw: impl Fn() -> anyhow::Result<Box<dyn Iterator<Item = anyhow::Result<RowInput>> + 'a>>,
    ) -> anyhow::Result<Self> {
        let open = || generation(folder, dimension);
        if kept == Kept::Reuse && folder.is_dir() {
            let generation = open()?;
            if generation.snapshot().rows() == rows {
                return Ok(Self { generation, build_seconds: None, folder: folder.to_owned() });
            }
        }
        if folder.exists() {
            std::fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
        }
        let generation = open()?;
        let inputs = raw()?.collect::<anyhow::Result<Vec<_>>>()?;
        let (to_publish, live) = (inputs.clone(), live(rows, &Readers::Everyone)?);
        let watch = Stopwatch::start();
        generation.publish(to_publish, Seq(1))?;
        merge_all(&generation, &live)?;
        Ok(Self { build_seconds: Some(watch.elapsed().as_secs_f64()), generation, folder: folder.to_owned() })
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.generation.snapshot()
    }

    pub(crate) fn segments(&self) -> usize {
        self.generation.segments()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// The rows of an index, published in so many batches and not merged yet.
pub(crate) fn publish(
    folder: &Path,
    dimension: usize,
    rows: Vec<RowInput>,
    batches: usize,
) -> anyhow::Result<Arc<Generation>> {
    let generation = generation(folder, dimension)?;
    let size = rows.len().div_ceil(batches).max(1);
    for (batch, seq) in rows.chunks(size).zip(1..) {
        generation.publish(batch.to_vec(), Seq(seq))?;
    }
    Ok(generation)
}

/// Merges for as long as the index says so. The rows that were written, of documents with one row each.
pub(crate) fn merge_all(generation: &Generation, live: &LiveTable) -> anyhow::Result<usize> {
    let mut written = 0;
    while let Some(plan) = generation.merge_plan(live) {
        written += plan.documents().len();
        generation.merge(&plan)?;
    }
    Ok(written)
}

/// The generation of the one tenant whose index lies below `folder`.
fn generation(folder: &Path, dimension: usize) -> anyhow::Result<Arc<Generation>> {
    let index = Index::new(folder.to_owned(), NonZeroUsize::MIN);
    let (tenant, recipe) = (TenantId::new(TENANT)?, RecipeId::new(TENANT)?);
    Ok(index.generation(&Scope::service(&tenant), &GenerationId::new(GENERATION)?, &recipe, dimension)?)
}

/// A row for the index.
pub(crate) fn input(number: usize, raw: &Raw<'_>) -> anyhow::Result<RowInput> {
    Ok(RowInput {
        doc: DocNo(u32::try_from(number)?),
        version: FIRST,
        chunk: 0,
        title: String::new(),
        headings: String::new(),
        language: None,
        body: raw.text.to_owned(),
        vector: raw.vector.iter().map(|&number| f16::from_f32(number)).collect(),
    })
}

/// The live table of rows that are all there.
pub(crate) fn live(rows: usize, readers: &Readers<'_>) -> anyhow::Result<LiveTable> {
    let documents = (0..rows).map(|number| {
        let acl = match readers {
            Readers::Everyone => EVERYONE,
            Readers::Groups(groups) => u32::from(*groups.get(number).context("a row has no group")?),
        };
        let doc = DocNo(u32::try_from(number)?);
        let (live, attributes) = (Liveness::Live, Arc::default());
        Ok(LiveDocument { doc, version: FIRST, acl: AclId(acl), live, source: None, attributes })
    });
    let acls = match readers {
        Readers::Everyone => vec![(AclId(EVERYONE), Arc::new(Acl::parse(&["everyone"], &[])?))],
        Readers::Groups(groups) => (0..=groups.iter().copied().max().unwrap_or_default())
            .map(|group| {
                let name = format!("group:{}", group_name(group));
                Ok((AclId(u32::from(group)), Arc::new(Acl::parse(&[name.as_str()], &[])?)))
            })
            .collect::<anyhow::Result<_>>()?,
    };
    Ok(LiveTable::empty().with(LATER, documents.collect::<anyhow::Result<_>>()?, acls))
}

fn group_name(group: u16) -> String {
    format!("g{group}")
}

/// What a reader who is in these groups may see.
pub(crate) fn visible(snapshot: &Snapshot, live: &LiveTable, groups: &[u16]) -> anyhow::Result<Arc<Visible>> {
    Ok(snapshot.visible(&reader(TENANT, groups)?, live, &Filter::default(), Counted::Live, clock::now()))
}

fn reader(tenant: &str, groups: &[u16]) -> anyhow::Result<Scope> {
    let tenant = TenantId::new(tenant)?;
    let rights = Rights::of(&[Right::Read, Right::Impersonate]);
    let (key, clearance) = (KeyId::new(TENANT)?, None);
    let credential = Credential {
        key,
        name: TENANT.into(),
        tenant: Some(tenant.clone()),
        rights,
        user: None,
        groups: vec![],
        clearance,
    };
    let groups = groups.iter().map(|&group| Ok(GroupName::new(&group_name(group))?)).collect::<anyhow::Result<_>>()?;
    let on_behalf = Some(OnBehalf { user: None, groups });
    Ok(credential.enter(Entry { tenant: &tenant, need: Right::Read, on_behalf, directory: Directory::default() })?)
}

/// A query for an index that was built here.
pub(crate) fn query(values: Vec<f32>) -> anyhow::Result<QueryVector> {
    Ok(QueryVector { recipe: RecipeId::new(TENANT)?, values })
}

/// The rows' numbers by vectors, best first.
pub(crate) fn dense(
    snapshot: &Snapshot,
    query: &QueryVector,
    visible: &Visible,
    limit: usize,
    effort: Effort,
) -> anyhow::Result<Vec<u32>> {
    let hits = snapshot.dense_with(query, visible, limit, effort)?;
    Ok(hits.iter().map(|hit| snapshot.key(hit.row).doc.0).collect())
}

/// The rows' numbers by words, best first.
pub(crate) fn lexical(
    snapshot: &Snapshot,
    query: &LexicalQuery,
    visible: &Visible,
    limit: usize,
) -> anyhow::Result<Vec<u32>> {
    let hits = snapshot.lexical(query, visible, limit)?;
    Ok(hits.iter().map(|hit| snapshot.key(hit.row).doc.0).collect())
}
