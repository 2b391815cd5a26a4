//! What does a tenant at rest cost? Memory of an open and of a closed one, the first query of a cold one, and the time
//! until a service with very many of them is ready.
//!
//! Each tenant has one generation of one segment, a copy of the same rows under its own name. Measured in this process,
//! against the index's own methods: opening (which reads and verifies every byte) and the first query of both arms, each
//! on its own tenant that was not open, with the files in the system's cache; resident memory of its own (`RssAnon`)
//! and of mapped files (`RssFile`), which the system takes back when it must. Then, with `--program`, a service is
//! started on a catalog that knows them all, and its time until it listens is measured.
//!
//! Caveat: files come from the page cache; a disk that has to be read first adds its own time.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use catena_access::{Acl, Credential, LiveDocument, Liveness, Right, Rights, Scope};
use catena_audit::Draft;
use catena_benches::{OPERATOR_KEY, Service, percentile};
use catena_catalog::{Catalog, Database};
use catena_domain::{AclId, DocNo, GenerationId, KeyId, RecipeId, Seq, TenantId, Timestamp, VersionNo};
use catena_index::{Counted, Filter, Generation, Index, LexicalQuery, LiveTable, OpenLimits, QueryVector, RowInput};
use catena_runtime::clock::Stopwatch;
use clap::Parser;
use half::f16;
use serde_json::{Value, json};

const DIMENSION: usize = 384;
const TEXT: &str = "The signing keys are rotated every ninety days; the old key is kept for one more week, and whoever \
                    holds it is told by the desk on the third floor, which is open until six on every working day.";

#[derive(Parser)]
struct Arguments {
    /// How many tenants.
    #[arg(long, default_value_t = 1_000)]
    tenants: usize,
    /// Rows of each.
    #[arg(long, default_value_t = 20)]
    rows: u32,
    /// Of how many tenants an index is kept open in the round that closes others.
    #[arg(long, default_value_t = NonZeroUsize::new(16).unwrap_or(NonZeroUsize::MIN))]
    open_tenants: NonZeroUsize,
    /// Start this program on as many tenants as well.
    #[arg(long)]
    program: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let template = Template::make(arguments.rows)?;
    let tenants: Vec<TenantId> =
        (0..arguments.tenants).map(|at| TenantId::new(&format!("t{at}"))).collect::<Result<_, _>>()?;
    let watch = Stopwatch::start();
    for tenant in &tenants {
        template.copy(folder.path(), tenant, &template.generation)?;
    }
    println!(
        "{} tenants of {} rows, {} KiB each, written in {:.1} s",
        tenants.len(),
        arguments.rows,
        template.bytes() / 1024,
        watch.elapsed().as_secs_f64()
    );
    glances(folder.path(), &tenants, &template)?;
    let all = NonZeroUsize::new(tenants.len()).context("no tenants")?;
    opened("all kept open", folder.path(), &tenants, &template, all)?;
    opened("few kept open", folder.path(), &tenants, &template, arguments.open_tenants)?;
    match &arguments.program {
        Some(program) => ready(program, &tenants, &template).await,
        None => Ok(()),
    }
}

/// How long it takes to ask every manifest whether there is something to do.
fn glances(root: &Path, tenants: &[TenantId], template: &Template) -> anyhow::Result<()> {
    let index = Index::new(root.to_owned(), NonZeroUsize::MIN);
    let watch = Stopwatch::start();
    for tenant in tenants {
        index.glance(&Scope::service(tenant), &template.generation)?.context("a tenant is gone")?;
    }
    println!("a glance at every manifest: {:.3} s", watch.elapsed().as_secs_f64());
    Ok(())
}

/// Opens every tenant and asks it one question of each arm.
fn opened(
    name: &str,
    root: &Path,
    tenants: &[TenantId],
    template: &Template,
    open: NonZeroUsize,
) -> anyhow::Result<()> {
    let live = template.live();
    let before = Memory::now()?;
    // No map is closed for want of room here.
    let index = Index::new(root.to_owned(), OpenLimits { maps: usize::MAX, ..OpenLimits::from(open) });
    let (mut opening, mut first) = (Vec::new(), Vec::new());
    for tenant in tenants {
        let scope = reader(tenant)?;
        let watch = Stopwatch::start();
        let generation = index.generation(&scope, &template.generation, &template.recipe, DIMENSION)?;
        opening.push(watch.elapsed());
        ask(&generation, &scope, &live, &template.query)?;
        first.push(watch.elapsed());
    }
    let now = Memory::now()?;
    let each = |now: u64, before: u64| (now as f64 - before as f64) / tenants.len() as f64;
    let [open_50, open_99] = [0.5, 0.99].map(|share| percentile(&mut opening, share).as_secs_f64() * 1e3);
    let [first_50, first_99] = [0.5, 0.99].map(|share| percentile(&mut first, share).as_secs_f64() * 1e3);
    println!(
        "{name}: opening p50 {open_50:.2} ms, p99 {open_99:.2} ms; with the first query p50 {first_50:.2} ms, p99 \
         {first_99:.2} ms; {:.1} KiB of its own and {:.1} KiB of mapped files for each tenant",
        each(now.own_kib, before.own_kib),
        each(now.mapped_kib, before.mapped_kib)
    );
    Ok(())
}

fn ask(generation: &Generation, scope: &Scope, live: &LiveTable, vector: &QueryVector) -> anyhow::Result<()> {
    let snapshot = generation.snapshot();
    let visible = snapshot.visible(scope, live, &Filter::default(), Counted::Live, Timestamp(0));
    let words = snapshot.lexical(&LexicalQuery::parse("rotate signing keys"), &visible, 10)?;
    let near = snapshot.dense(vector, &visible, 10)?;
    anyhow::ensure!(!words.is_empty() && !near.is_empty(), "a tenant did not answer");
    Ok(())
}

/// Starts a service whose catalog knows every tenant, and whose index is up to date.
async fn ready(program: &Path, tenants: &[TenantId], template: &Template) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    make_first(program, folder.path()).await?;
    let catalog = Catalog::open(folder.path(), &Database::Embedded).await?;
    let recipe = catalog.live_indexes().await?.pop().context("there is no first tenant")?.generation.recipe;
    let operator = credential(None, &[Right::Operator])?.operate()?;
    let watch = Stopwatch::start();
    for tenant in tenants {
        let draft = Draft::new("bench", "tenant.create");
        catalog.create_tenant(&operator, tenant, tenant.as_str(), &recipe, DIMENSION as u32, draft).await?;
    }
    for live in catalog.live_indexes().await? {
        let template = Template { recipe: recipe.clone(), seq: Seq(0), ..template.clone() };
        template.copy(&folder.path().join("index"), &live.tenant, &live.generation.id)?;
    }
    catalog.close().await?;
    println!("{} tenants were made in the catalog in {:.1} s", tenants.len(), watch.elapsed().as_secs_f64());
    for _ in 0..3 {
        let watch = Stopwatch::start();
        let service = Service::start(program, folder.path(), &[]).await?;
        let (listens, resident) = (watch.elapsed().as_secs_f64(), service.resident_kib()?);
        println!("a service with {} tenants listens after {listens:.2} s, {resident} KiB resident then", tenants.len());
        service.stop().await?;
    }
    let empty = tempfile::tempdir()?;
    for _ in 0..2 {
        let watch = Stopwatch::start();
        let service = Service::start(program, empty.path(), &[]).await?;
        let (listens, resident) = (watch.elapsed().as_secs_f64(), service.resident_kib()?);
        println!("one without tenants listens after {listens:.2} s, {resident} KiB resident then");
        service.stop().await?;
    }
    Ok(())
}

/// Lets a service make one tenant, by the recipe that it writes by.
async fn make_first(program: &Path, data: &Path) -> anyhow::Result<()> {
    let service = Service::start(program, data, &[]).await?;
    let request = reqwest::Client::new().post(format!("{}/v1/tenants", service.url)).bearer_auth(OPERATOR_KEY);
    request.json(&json!({ "id": "first" })).send().await?.error_for_status()?;
    service.stop().await
}

/// One generation, to be copied under other names.
#[derive(Clone)]
struct Template {
    folder: Arc<tempfile::TempDir>,
    generation: GenerationId,
    recipe: RecipeId,
    seq: Seq,
    rows: u32,
    query: QueryVector,
}

impl Template {
    fn make(rows: u32) -> anyhow::Result<Self> {
        let folder = Arc::new(tempfile::tempdir()?);
        let (generation, recipe) = (GenerationId::new("g1")?, RecipeId::new("recipe")?);
        let tenant = TenantId::new("template")?;
        let index = Index::new(folder.path().to_owned(), NonZeroUsize::MIN);
        let made = index.generation(&Scope::service(&tenant), &generation, &recipe, DIMENSION)?;
        let seq = Seq(u64::from(rows));
        made.publish((0..rows).map(row).collect(), seq)?;
        let query = QueryVector { recipe: recipe.clone(), values: direction(3).collect() };
        Ok(Self { folder, generation, recipe, seq, rows, query })
    }

    fn source(&self) -> PathBuf {
        self.folder.path().join("template").join("g1")
    }

    fn bytes(&self) -> u64 {
        files(&self.source()).iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum()
    }

    /// The generation under another name, and of another tenant.
    fn copy(&self, root: &Path, tenant: &TenantId, generation: &GenerationId) -> anyhow::Result<()> {
        let (from, to) = (self.source(), root.join(tenant.as_str()).join(generation.as_str()));
        for file in files(&from) {
            let target = to.join(file.strip_prefix(&from)?);
            std::fs::create_dir_all(target.parent().context("no folder")?)?;
            if !file.ends_with("manifest.json") {
                std::fs::copy(&file, &target)?;
                continue;
            }
            let mut sealed: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
            let manifest = &mut sealed["manifest"];
            manifest["tenant"] = json!(tenant.as_str());
            manifest["generation"] = json!(generation.as_str());
            manifest["recipe"] = json!(self.recipe.as_str());
            manifest["applied_seq"] = json!(self.seq.0);
            let body = serde_json::to_string(manifest)?;
            let hash = blake3::hash(body.as_bytes()).to_hex();
            std::fs::write(&target, format!("{{\"manifest\":{body},\"blake3\":\"{hash}\"}}\n"))?;
        }
        Ok(())
    }

    /// A table in which every row is everyone's.
    fn live(&self) -> LiveTable {
        let document = |doc| LiveDocument {
            doc: DocNo(doc),
            version: VersionNo(1),
            acl: AclId(0),
            live: Liveness::Live,
            source: None,
            attributes: Arc::default(),
        };
        let everyone = Acl::parse(&["everyone"], &[]).unwrap_or_default();
        LiveTable::empty().with(self.seq, (0..self.rows).map(document).collect(), vec![(AclId(0), Arc::new(everyone))])
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn row(doc: u32) -> RowInput {
    RowInput {
        doc: DocNo(doc),
        version: VersionNo(1),
        chunk: 0,
        title: format!("Page {doc} of the handbook"),
        headings: "Keys\nRotation".to_owned(),
        language: None,
        body: format!("{TEXT} Rule {doc} says so, and number {} of the annex repeats it.", doc * 7),
        vector: direction(u64::from(doc)).map(f16::from_f32).collect(),
    }
}

/// A direction that depends on `seed` alone.
fn direction(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    (0..DIMENSION).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    })
}

fn reader(tenant: &TenantId) -> anyhow::Result<Scope> {
    let key = credential(Some(tenant.clone()), &[Right::Read])?;
    let entry = catena_access::Entry { tenant, need: Right::Read, on_behalf: None, directory: Default::default() };
    Ok(key.enter(entry)?)
}

fn credential(tenant: Option<TenantId>, rights: &[Right]) -> anyhow::Result<Credential> {
    Ok(Credential {
        key: KeyId::new("bench")?,
        name: "bench".to_owned(),
        tenant,
        rights: Rights::of(rights),
        user: None,
        groups: vec![],
        clearance: None,
    })
}

/// What this process occupies.
struct Memory {
    own_kib: u64,
    mapped_kib: u64,
}

impl Memory {
    fn now() -> anyhow::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let value = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a line is missing")?;
            Ok(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Self { own_kib: value("RssAnon")?, mapped_kib: value("RssFile")? })
    }
}
