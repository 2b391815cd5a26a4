//! A site from date to date, and the same chunks through the bare embedder.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use catena_access::Scope;
use catena_benches::median;
use catena_catalog::{Catalog, Database};
use catena_domain::{Seq, TenantId};
use catena_embedding::Embedder;
use catena_runtime::clock;

use crate::tenant::{Synced, Tenant};

/// A site's dates, the oldest first, each with its folder.
pub(crate) struct Site(Vec<(String, PathBuf)>);

impl Site {
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
        let mut dates: Vec<(String, PathBuf)> = entries
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
            .collect();
        dates.sort();
        if dates.is_empty() {
            bail!("{} holds no dates", folder.display());
        }
        Ok(Self(dates))
    }

    fn last(&self) -> &Path {
        self.0.last().map_or(Path::new(""), |(_, path)| path)
    }
}

/// Syncs every date over the one before, and each into a fresh tenant.
pub(crate) async fn dates(url: &str, place: &Path, site: &Site) -> anyhow::Result<()> {
    let followed = Tenant::make(url, "followed").await?;
    let folder = place.join("followed");
    std::fs::create_dir_all(&folder)?;
    followed.add_folder(&folder).await?;
    println!(
        "{:<28} {:>6} {:>7} {:>9} {:>8} {:>8}  what the job says",
        "sync", "files", "chunks", "tokens", "seconds", "share"
    );
    let mut whole = Synced::default();
    for (date, path) in &site.0 {
        let files = bring(&folder, path)?;
        let changed = followed.sync().await?;
        let fresh = Tenant::make(url, &format!("whole-{date}")).await?;
        fresh.add_folder(path_in(place, date, path)?.as_path()).await?;
        whole = fresh.sync().await?;
        print(&format!("{date}, all of it"), files_of(path)?.len(), &whole, &whole);
        print(&format!("{date}, what changed"), files, &changed, &whole);
    }
    print("again, nothing changed", 0, &followed.sync().await?, &whole);
    let touched = files_of(&folder)?;
    for file in touched.keys() {
        let path = folder.join(file);
        let bytes = std::fs::read(&path)?;
        std::fs::write(&path, bytes)?;
    }
    print("again, every file touched", touched.len(), &followed.sync().await?, &whole);
    Ok(())
}

fn print(name: &str, files: usize, synced: &Synced, whole: &Synced) {
    let Synced { seconds, chunks, tokens, said } = synced;
    let share = seconds / whole.seconds * 100.0;
    println!("{name:<28} {files:>6} {chunks:>7} {tokens:>9} {seconds:>8.2} {share:>7.1}%  {said}");
}

/// A copy of a date below the folder that sources may read.
fn path_in(place: &Path, date: &str, from: &Path) -> anyhow::Result<PathBuf> {
    let folder = place.join(date);
    bring(&folder, from)?;
    Ok(folder)
}

/// Makes `folder` hold what `from` holds, without touching what is equal. Says how many files were written or removed.
fn bring(folder: &Path, from: &Path) -> anyhow::Result<usize> {
    let (there, wanted) = (files_of(folder)?, files_of(from)?);
    let mut changed = 0;
    for (file, bytes) in &wanted {
        if there.get(file) == Some(bytes) {
            continue;
        }
        let target = folder.join(file);
        std::fs::create_dir_all(target.parent().context("no folder")?)?;
        std::fs::write(&target, bytes)?;
        changed += 1;
    }
    for gone in there.keys().filter(|file| !wanted.contains_key(*file)) {
        std::fs::remove_file(folder.join(gone))?;
        changed += 1;
    }
    Ok(changed)
}

fn files_of(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(open) = folders.pop() {
        for entry in std::fs::read_dir(&open).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(folder)?.to_owned(), std::fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// A whole sync of the last date, into a fresh tenant.
pub(crate) async fn whole(url: &str, place: &Path, site: &Site, round: usize) -> anyhow::Result<Synced> {
    let folder = path_in(place, "throughput", site.last())?;
    let tenant = Tenant::make(url, &throughput_tenant(round)).await?;
    tenant.add_folder(&folder).await?;
    tenant.sync().await
}

fn throughput_tenant(round: usize) -> String {
    format!("throughput-{round}")
}

/// Rounds of whole syncs beside the bare embedder.
#[derive(Default)]
pub(crate) struct Rounds {
    chunks: usize,
    tokens: usize,
    ours: Vec<f64>,
    bare: Vec<f64>,
    ratios: Vec<f64>,
}

impl Rounds {
    /// Embeds once more what a whole sync embedded, and nothing else.
    pub(crate) async fn bare(
        &mut self,
        embedder: &Embedder,
        data: &Path,
        synced: &Synced,
        round: usize,
    ) -> anyhow::Result<()> {
        let inputs = inputs(data, &throughput_tenant(round)).await?;
        self.chunks = inputs.len();
        self.tokens = inputs.iter().map(|text| embedder.count_tokens(text) + 2).sum();
        let owner = TenantId::new("bare")?;
        embedder.embed_documents(&owner, inputs.iter().take(20).cloned().collect()).await?;
        let watch = clock::Stopwatch::start();
        embedder.embed_documents(&owner, inputs).await?;
        let seconds = watch.elapsed().as_secs_f64();
        self.ours.push(self.tokens as f64 / synced.seconds);
        self.bare.push(self.tokens as f64 / seconds);
        self.ratios.push(seconds / synced.seconds);
        Ok(())
    }

    pub(crate) fn print(mut self) {
        println!(
            "\n{} chunks, {} tokens, {} rounds: end to end {:.0} tokens/s, bare {:.0} tokens/s, ratio {:.2}",
            self.chunks,
            self.tokens,
            self.ratios.len(),
            median(&mut self.ours),
            median(&mut self.bare),
            median(&mut self.ratios)
        );
    }
}

/// What was embedded for a tenant, out of its catalog: each distinct text once.
async fn inputs(data: &Path, tenant: &str) -> anyhow::Result<Vec<String>> {
    let scope = Scope::service(&TenantId::new(tenant)?);
    let catalog = Catalog::open(data, &Database::Embedded).await?;
    let recipe = catalog.live_generation(&scope).await?.recipe;
    let (mut seen, mut inputs, mut after) = (HashSet::new(), Vec::new(), Seq(0));
    loop {
        let changes = catalog.index_changes(&scope, &recipe, after, 100).await?;
        for row in changes.rows {
            let breadcrumb = catena_text::breadcrumb(&row.title, &row.headings);
            let input = catena_text::embedding_text(&breadcrumb, &row.body);
            if seen.insert(blake3::hash(input.as_bytes())) {
                inputs.push(input);
            }
        }
        if changes.upto == after {
            break;
        }
        after = changes.upto;
    }
    catalog.close().await?;
    Ok(inputs)
}
