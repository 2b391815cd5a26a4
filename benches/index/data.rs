//! What is searched and what is asked: real texts and queries, their vectors, and more vectors made of them.
//!
//! Promises: the same collections, model and sizes give the same files, byte for byte. Vectors of queries are nowhere among
//! the rows. Whoever wants more rows than there are texts gets mixtures of two real vectors each (a + w b with w between
//! 0.2 and 1, then of length one): their neighbourhoods are like real ones, but nobody wrote them, and the output says so.
//! Does not: keep a file of a collection. What is kept lies in the cache, under a name that the model and the texts decide.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use catena_benches::{cut, open};
use catena_domain::TenantId;
use catena_embedding::Embedder;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Words of one piece of a text.
const WORDS: usize = 120;
/// The most queries that one collection gives.
const QUERIES_PER_SET: usize = 300;
/// Texts that the embedder is given at once.
const GROUP: usize = 500;
const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
const SEED: u64 = 5;

/// How much of the collections is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Every so-manieth text and query.
    Sample(usize),
}

/// The texts, the queries and where their vectors lie.
pub(crate) struct Data {
    /// Pieces of real texts.
    pub(crate) texts: Vec<String>,
    /// Real queries.
    pub(crate) queries: Vec<String>,
    /// The vectors of the queries.
    pub(crate) asked: Vectors,
    /// Where everything that can be made again is kept.
    pub(crate) cache: PathBuf,
}

/// A file of vectors: little-endian f32, one after the other.
pub(crate) struct Vectors {
    pub(crate) path: PathBuf,
    pub(crate) dimension: usize,
    pub(crate) rows: usize,
}

impl Vectors {
    pub(crate) fn of(path: PathBuf, dimension: usize) -> anyhow::Result<Self> {
        let bytes = path.metadata().with_context(|| format!("{} cannot be read", path.display()))?.len();
        let rows = usize::try_from(bytes)? / (dimension * size_of::<f32>());
        Ok(Self { path, dimension, rows })
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> anyhow::Result<impl Iterator<Item = std::io::Result<Vec<f32>>>> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(&self.path)?);
        let mut bytes = vec![0; self.dimension * size_of::<f32>()];
        Ok((0..self.rows).map(move |_| file.read_exact(&mut bytes).map(|()| floats(&bytes))))
    }

    pub(crate) fn all(&self) -> anyhow::Result<Vec<Vec<f32>>> {
        Ok(self.iter()?.collect::<Result<_, _>>()?)
    }

    /// Some of them, by number.
    pub(crate) fn some(&self, rows: impl Iterator<Item = u32>) -> anyhow::Result<Vec<Vec<f32>>> {
        let mut file = File::open(&self.path)?;
        let mut bytes = vec![0; self.dimension * size_of::<f32>()];
        rows.map(|row| {
            file.seek(SeekFrom::Start(u64::from(row) * bytes.len() as u64))?;
            file.read_exact(&mut bytes).with_context(|| format!("{} has no row {row}", self.path.display()))?;
            Ok(floats(&bytes))
        })
        .collect()
    }
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number)).collect()
}

impl Data {
    /// Reads the collections below `folder`, and embeds what has no vectors in the cache yet.
    pub(crate) async fn load(folder: &Path, model: &Path, cache: &Path, extent: Extent) -> anyhow::Result<Self> {
        let (texts, queries) = read(folder, extent)?;
        let embedder = open(model, TWO)?;
        let texts: Vec<String> = texts.into_iter().map(|text| cut(&embedder, text)).collect();
        let mut hash = Sha256::new();
        hash.update(embedder.fingerprint());
        for text in texts.iter().chain(&queries) {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let name = hash.finalize().iter().take(8).fold(String::new(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        });
        let cache = cache.join(name);
        std::fs::create_dir_all(&cache).with_context(|| format!("{} cannot be made", cache.display()))?;
        let path = cache.join("texts.f32");
        if !path.exists() {
            write(&path, documents(&embedder, &texts).await?.iter())?;
        }
        let path = cache.join("queries.f32");
        if !path.exists() {
            let tenant = TenantId::new("bench")?;
            let mut vectors = Vec::new();
            for query in &queries {
                vectors.push(embedder.embed_query(&tenant, query).await?.values);
            }
            write(&path, vectors.iter())?;
        }
        let asked = Vectors::of(path, embedder.dimension())?;
        Ok(Self { texts, queries, asked, cache })
    }

    /// The vectors of the texts themselves.
    pub(crate) fn real(&self) -> anyhow::Result<Vectors> {
        Vectors::of(self.cache.join("texts.f32"), self.asked.dimension)
    }

    /// So many vectors: of the texts while they last, then mixtures.
    pub(crate) fn rows(&self, wanted: usize) -> anyhow::Result<Vectors> {
        let path = self.cache.join(format!("rows-{wanted}.f32"));
        if !path.exists() {
            let real = self.real()?.all()?;
            let kept = real.len().min(wanted);
            let mut chance = Chance(SEED);
            let mixed = (kept..wanted).map(|_| mixture(&real, &mut chance));
            // Too many texts are thinned out evenly, so that every collection that is asked about is there.
            let taken = (0..kept).map(|at| real[at * real.len() / kept].clone());
            write(&path, taken.chain(mixed))?;
        }
        Vectors::of(path, self.asked.dimension)
    }

    /// The vectors of so many queries, from all collections.
    pub(crate) fn some_asked(&self, wanted: usize) -> anyhow::Result<Vectors> {
        let wanted = wanted.min(self.queries.len());
        let path = self.cache.join(format!("queries-{wanted}.f32"));
        if !path.exists() {
            let all = self.asked.all()?;
            write(&path, (0..wanted).map(|at| &all[at * all.len() / wanted]))?;
        }
        Vectors::of(path, self.asked.dimension)
    }

    /// What a number of rows consists of, in words.
    pub(crate) fn made_of(&self, rows: usize) -> String {
        match rows.checked_sub(self.texts.len()) {
            None | Some(0) => format!("{rows} rows, all of them vectors of real texts"),
            Some(mixed) => {
                let real = self.texts.len();
                format!("{rows} rows: {real} vectors of real texts and {mixed} mixtures of two of them each")
            }
        }
    }
}

/// Chance that is the same in every run: SplitMix64.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

fn mixture(real: &[Vec<f32>], chance: &mut Chance) -> Vec<f32> {
    let [one, other] = [(); 2].map(|()| &real[chance.below(real.len())]);
    let share = 0.2 + 0.8 * chance.below(1 << 24) as f32 / (1_u32 << 24) as f32;
    let sum: Vec<f32> = one.iter().zip(other).map(|(one, other)| one + share * other).collect();
    let length = sum.iter().map(|number| number * number).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.into_iter().map(|number| number / length).collect()
}

/// Writes vectors under a name that is not the file's until all of them are there.
fn write(path: &Path, vectors: impl Iterator<Item = impl AsRef<[f32]>>) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = BufWriter::new(File::create(&partial)?);
    for vector in vectors {
        for number in vector.as_ref() {
            file.write_all(&number.to_le_bytes())?;
        }
    }
    file.into_inner()?.sync_all()?;
    Ok(std::fs::rename(partial, path)?)
}

async fn documents(embedder: &Embedder, texts: &[String]) -> anyhow::Result<Vec<Vec<f32>>> {
    let tenant = TenantId::new("bench")?;
    let mut vectors = Vec::with_capacity(texts.len());
    for group in texts.chunks(GROUP) {
        let embedded = embedder.embed_documents(&tenant, group.to_vec()).await?;
        vectors.extend(embedded.into_iter().map(|vector| vector.iter().map(|number| number.to_f32()).collect()));
        eprintln!("embedded {} of {} texts; they are kept for the next run", vectors.len(), texts.len());
    }
    Ok(vectors)
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    title: String,
    text: String,
}

/// The pieces of all texts and some queries of each collection.
fn read(folder: &Path, extent: Extent) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut sets: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    sets.retain(|set| set.join("corpus.jsonl").is_file() && set.join("queries.jsonl").is_file());
    sets.sort();
    if sets.is_empty() {
        bail!(
            "{} has no folder with corpus.jsonl and queries.jsonl; name the folder of the collections",
            folder.display()
        );
    }
    let (mut texts, mut queries) = (Vec::new(), Vec::new());
    for set in sets {
        for Line { title, text } in lines(&set.join("corpus.jsonl"))? {
            let text = format!("{title}\n{text}");
            let words: Vec<&str> = text.split_whitespace().collect();
            texts.extend(words.chunks(WORDS).map(|piece| piece.join(" ")));
        }
        queries.extend(lines(&set.join("queries.jsonl"))?.into_iter().take(QUERIES_PER_SET).map(|line| line.text));
    }
    let Extent::Sample(step) = extent else { return Ok((texts, queries)) };
    Ok((texts.into_iter().step_by(step).collect(), queries.into_iter().step_by(step).collect()))
}

fn lines(path: &Path) -> anyhow::Result<Vec<Line>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}
