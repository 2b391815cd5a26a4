//! Models by name: fastembed's list of published models, and fetching one of them into the models folder.
//!
//! Promises: a fetched model becomes an ordinary model folder whose description pins the hash of every file, so the
//! network is needed once; the folder appears whole or not at all; a network that is missing or silent is an error within
//! `PATIENCE`, with two ways out. Does not: choose a model, or update one that is there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use catena_runtime::thread::{self, Priority};
use fastembed::{EmbeddingModel, ModelInfo, OutputKey, QuantizationMode, RerankerModelInfo, TextEmbedding, TextRerank};
use hf_hub::Cache;
use hf_hub::api::Progress;
use hf_hub::api::sync::ApiBuilder;
use sha2::{Digest, Sha256};

use crate::description::{DESCRIPTION, Description, GRAPH, Kind, Pooling, Precision, TOKENIZER};
use crate::error::EmbeddingError;
use crate::model::hex;

/// How long a download may stand still.
const PATIENCE: Duration = Duration::from_secs(60);
const RETRIES: usize = 3;
/// What published models are run with where they allow it; longer windows are a matter for a folder of one's own.
const WINDOW_TOKENS: usize = 512;
const CONFIG: &str = "tokenizer_config.json";
const CONFIG_LIMIT_BYTES: u64 = 64 << 20;
const COPY_BYTES: usize = 1 << 20;

/// A model of the registry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its name here: fastembed's identifier.
    name: String,
    kind: Kind,
    repository: String,
    graph: String,
    external: Vec<String>,
    dimension: usize,
    pooling: Pooling,
    precision: Precision,
    output: Option<String>,
}

/// What the registry says of a model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Registered {
    /// The name by which it is fetched.
    pub name: String,
    /// Where it was published.
    pub repository: String,
    /// What it makes of a text.
    pub kind: &'static str,
    /// Numbers in a vector.
    pub dimension: usize,
}

/// The models that can be fetched where there is a network.
#[must_use]
pub fn registry() -> Vec<Registered> {
    let registered = |entry: Entry| Registered {
        name: entry.name,
        repository: entry.repository,
        kind: entry.kind.as_str(),
        dimension: entry.dimension,
    };
    let mut all: Vec<Registered> = entries().into_iter().map(registered).collect();
    all.sort();
    all
}

/// The folder of a model that was wished for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// It was fetched.
    Fetched(PathBuf),
    /// It was there already, and was not fetched again.
    WasThere(PathBuf),
}

/// Fetches a model of the registry into a folder below `models_dir`, if it is not there. It can take minutes and blocks.
pub fn pull_model(models_dir: &Path, name: &str) -> Result<Pulled, EmbeddingError> {
    match find(name) {
        Some(entry) => bring(&entry, models_dir),
        None => Err(EmbeddingError::ModelMissing { name: name.to_owned(), models_dir: models_dir.to_owned() }),
    }
}

/// The model of this identifier, or of this repository (of its several precisions the full one).
pub(crate) fn find(name: &str) -> Option<Entry> {
    let mut entries = entries();
    entries.sort_by_key(|entry| entry.precision != Precision::Fp32);
    let by_name = entries.iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
    by_name.or_else(|| entries.iter().find(|entry| entry.repository.eq_ignore_ascii_case(name))).cloned()
}

fn entries() -> Vec<Entry> {
    let embedders = TextEmbedding::list_supported_models().into_iter().map(entry);
    embedders.chain(TextRerank::list_supported_models().into_iter().map(judge)).collect()
}

fn judge(info: RerankerModelInfo) -> Entry {
    Entry {
        name: format!("{:?}", info.model),
        kind: Kind::Reranker,
        repository: info.model_code,
        graph: info.model_file,
        external: info.additional_files,
        dimension: 1,
        pooling: Pooling::Cls,
        precision: Precision::Fp32,
        output: None,
    }
}

fn entry(info: ModelInfo<EmbeddingModel>) -> Entry {
    let pooling = match TextEmbedding::get_default_pooling_method(&info.model) {
        Some(fastembed::Pooling::Mean) => Pooling::Mean,
        Some(fastembed::Pooling::Cls) | None => Pooling::Cls,
    };
    let precision = match TextEmbedding::get_quantization_mode(&info.model) {
        QuantizationMode::None if info.model_file.contains("q4") => Precision::Int4,
        QuantizationMode::None => Precision::Fp32,
        QuantizationMode::Static | QuantizationMode::Dynamic => Precision::Int8,
    };
    let output = match info.output_key {
        Some(OutputKey::ByName(name)) => Some(name.to_owned()),
        Some(OutputKey::OnlyOne | OutputKey::ByOrder(_)) | None => None,
    };
    Entry {
        name: format!("{:?}", info.model),
        kind: Kind::Embedder,
        repository: info.model_code,
        graph: info.model_file,
        external: info.additional_files,
        dimension: info.dim,
        pooling,
        precision,
        output,
    }
}

/// What these models were trained to see before a query and before a document.
fn prefixes(repository: &str) -> (&'static str, &'static str) {
    let repository = repository.to_ascii_lowercase();
    let is = |part: &str| repository.contains(part);
    if is("multilingual-e5") {
        ("query: ", "passage: ")
    } else if is("nomic-embed") || is("modernbert-embed") {
        ("search_query: ", "search_document: ")
    } else if is("embeddinggemma") {
        ("task: search result | query: ", "title: none | text: ")
    } else if is("snowflake-arctic") || is("mxbai-embed") || (is("bge-") && is("-en-")) {
        ("Represent this sentence for searching relevant passages: ", "")
    } else {
        ("", "")
    }
}

/// The model's folder below `models_dir`, fetched if it is not there.
fn bring(entry: &Entry, models_dir: &Path) -> Result<Pulled, EmbeddingError> {
    let hub = Hub {
        endpoint: catena_runtime::environment::variable("HF_ENDPOINT"),
        token: catena_runtime::environment::variable("HF_TOKEN"),
    };
    bring_from(hub, entry, models_dir)
}

/// Where models are fetched from: the library's own default, or another.
#[derive(Debug, Clone)]
struct Hub {
    endpoint: Option<String>,
    token: Option<String>,
}

fn bring_from(hub: Hub, entry: &Entry, models_dir: &Path) -> Result<Pulled, EmbeddingError> {
    let folder = models_dir.join(entry.name.to_ascii_lowercase());
    if folder.join(DESCRIPTION).is_file() {
        return Ok(Pulled::WasThere(folder));
    }
    let not_fetched = |reason: String| EmbeddingError::ModelNotFetched {
        name: entry.name.clone(),
        reason,
        models_dir: models_dir.to_owned(),
    };
    let cache = models_dir.join(".fetched");
    std::fs::create_dir_all(&cache).map_err(|source| EmbeddingError::ModelFile { path: cache.clone(), source })?;
    // The library makes links between these paths and wants them absolute.
    let cache = cache.canonicalize().map_err(|source| EmbeddingError::ModelFile { path: cache.clone(), source })?;
    tracing::info!(model = entry.name, "fetching a model of the registry");
    let mut wanted = vec![entry.graph.clone(), TOKENIZER.to_owned(), CONFIG.to_owned()];
    wanted.extend(entry.external.iter().cloned());
    let fetched = fetch(hub, entry.repository.clone(), wanted, cache.clone()).map_err(not_fetched)?;
    assemble(entry, &fetched, &folder).map_err(|error| not_fetched(error.to_string()))?;
    // What is left there are second copies; a failure to remove them costs only room.
    let _ = std::fs::remove_dir_all(&cache);
    Ok(Pulled::Fetched(folder))
}

enum Event {
    Moving,
    Done(Result<BTreeMap<String, PathBuf>, String>),
}

/// Tells that bytes arrive.
struct Beat(mpsc::SyncSender<Event>);

impl Progress for Beat {
    fn init(&mut self, _size: usize, _filename: &str) {
        self.update(0);
    }

    fn update(&mut self, _size: usize) {
        // A full channel already says that something moves.
        let _ = self.0.try_send(Event::Moving);
    }

    fn finish(&mut self) {
        self.update(0);
    }
}

/// Downloads on a thread of its own: the client has no time limits, and a wait that can be given up needs them.
fn fetch(
    hub: Hub,
    repository: String,
    files: Vec<String>,
    cache: PathBuf,
) -> Result<BTreeMap<String, PathBuf>, String> {
    let (events, arriving) = mpsc::sync_channel(2);
    let work = move || {
        let result = download(hub, repository, files, cache, &events);
        let _ = events.send(Event::Done(result));
    };
    thread::spawn("fetch-model", Priority::Foreground, work).map_err(|error| error.to_string())?;
    loop {
        match arriving.recv_timeout(PATIENCE) {
            Ok(Event::Moving) => {}
            Ok(Event::Done(result)) => return result,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("nothing arrived for {} seconds", PATIENCE.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => return Err("the download ended without a result".to_owned()),
        }
    }
}

fn download(
    hub: Hub,
    repository: String,
    files: Vec<String>,
    cache: PathBuf,
    events: &mpsc::SyncSender<Event>,
) -> Result<BTreeMap<String, PathBuf>, String> {
    let mut builder = ApiBuilder::from_cache(Cache::new(cache)).with_progress(false).with_retries(RETRIES);
    if let Some(endpoint) = hub.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if hub.token.is_some() {
        builder = builder.with_token(hub.token);
    }
    let remote = builder.build().map_err(|error| error.to_string())?.model(repository);
    let mut fetched = BTreeMap::new();
    for file in files {
        let path =
            remote.download_with_progress(&file, Beat(events.clone())).map_err(|error| format!("{file}: {error}"))?;
        fetched.insert(file, path);
    }
    Ok(fetched)
}

/// Makes a model folder of what was fetched, under another name until it is whole.
fn assemble(entry: &Entry, fetched: &BTreeMap<String, PathBuf>, folder: &Path) -> Result<(), std::io::Error> {
    let partial = folder.with_file_name(format!(".{}.partial", entry.name.to_ascii_lowercase()));
    if partial.exists() {
        std::fs::remove_dir_all(&partial)?;
    }
    std::fs::create_dir_all(&partial)?;
    let mut files = BTreeMap::new();
    let mut max_tokens = WINDOW_TOKENS;
    for (remote, path) in fetched {
        if remote == CONFIG {
            max_tokens = window(path)?;
            continue;
        }
        // The graph has one name here; its external data keeps the name by which the graph refers to it.
        let name = if *remote == entry.graph { GRAPH } else { remote.rsplit('/').next().unwrap_or(remote) };
        files.insert(name.to_owned(), copy_hashed(path, &partial.join(name))?);
    }
    let (query_prefix, document_prefix) = prefixes(&entry.repository);
    let description = Description {
        name: entry.name.to_ascii_lowercase(),
        kind: entry.kind,
        dimension: entry.dimension,
        max_tokens,
        pooling: entry.pooling,
        normalise: entry.kind == Kind::Embedder,
        query_prefix: query_prefix.to_owned(),
        document_prefix: document_prefix.to_owned(),
        precision: Some(entry.precision),
        output: entry.output.clone(),
        files,
        remote: None,
    };
    let text = toml::to_string(&description).map_err(std::io::Error::other)?;
    let mut file = File::create(partial.join(DESCRIPTION))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    File::open(&partial)?.sync_all()?;
    std::fs::rename(&partial, folder)?;
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// The window that the model's tokenizer states, up to ours.
fn window(config: &Path) -> Result<usize, std::io::Error> {
    let text = std::io::read_to_string(File::open(config)?.take(CONFIG_LIMIT_BYTES))?;
    let config: serde_json::Value = serde_json::from_str(&text)?;
    let stated = config.get("model_max_length").and_then(serde_json::Value::as_f64).unwrap_or(WINDOW_TOKENS as f64);
    // "No limit" is written as a huge number.
    Ok(if stated >= 1.0 && stated < WINDOW_TOKENS as f64 { stated as usize } else { WINDOW_TOKENS })
}

/// Copies a file and returns its SHA-256. Large files are stored under theirs: if so, the two must agree.
fn copy_hashed(from: &Path, to: &Path) -> Result<String, std::io::Error> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = source.read(&mut buffer)?;
        let Some(block) = buffer.get(..read).filter(|block| !block.is_empty()) else { break };
        hasher.update(block);
        target.write_all(block)?;
    }
    target.sync_all()?;
    let found = hex(&hasher.finalize());
    let stored = from.canonicalize()?;
    let stored = stored.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if stored.len() == found.len() && stored != found {
        return Err(std::io::Error::other(format!("{} arrived damaged, fetch it again", from.display())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    type Outcome = Result<(), Box<dyn Error>>;

    #[test]
    fn a_model_is_found_by_identifier_or_repository_and_by_the_latter_in_full_precision() {
        let name = |asked: &str| find(asked).map(|entry| entry.name);
        assert_eq!(name("bgesmallenv15q").as_deref(), Some("BGESmallENV15Q"));
        assert_eq!(name("xenova/ALL-MiniLM-L12-v2").as_deref(), Some("AllMiniLML12V2"));
        assert_eq!(name("no such model"), None);
        assert!(registry().iter().any(|model| model.name == "BGESmallENV15" && model.kind == "embedder"));
        assert!(registry().iter().any(|model| model.name == "BGERerankerBase" && model.kind == "reranker"));
        assert!(entries().iter().all(|entry| crate::description::is_plain_name(&entry.name.to_ascii_lowercase())));
    }

    #[test]
    fn without_a_network_the_error_names_the_model_and_two_ways_out() -> Outcome {
        let models = tempfile::tempdir()?;
        let entry = find("BGESmallENV15").ok_or("a known model")?;
        // A port that was just free: nothing listens there.
        let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
        let hub = Hub { endpoint: Some(closed), token: None };
        let Err(error) = bring_from(hub, &entry, models.path()) else { return Err("there is no network".into()) };
        let text = error.to_string();
        for part in ["BGESmallENV15", "bring its folder", "provision.py", &models.path().display().to_string()] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(!models.path().join("bgesmallenv15").exists());
        Ok(())
    }

    #[test]
    fn a_fetched_model_becomes_a_folder_with_pinned_hashes_and_is_not_fetched_again() -> Outcome {
        let models = tempfile::tempdir()?;
        let entry = find("EmbeddingGemma300MQ4").ok_or("a known model")?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        thread::spawn("fake-hub", Priority::Foreground, move || {
            for stream in listener.incoming().flatten() {
                // A failed answer shows as a failed fetch.
                let _ = answer(stream);
            }
        })?;
        let hub = Hub { endpoint: Some(endpoint), token: None };
        let Pulled::Fetched(folder) = bring_from(hub.clone(), &entry, models.path())? else {
            return Err("nothing was there".into());
        };
        let description: Description = toml::from_str(&std::fs::read_to_string(folder.join(DESCRIPTION))?)?;
        assert_eq!(description.max_tokens, 100);
        assert_eq!((description.precision, description.dimension), (Some(Precision::Int4), 768));
        assert_eq!(description.output.as_deref(), Some("sentence_embedding"));
        assert_eq!(description.query_prefix, "task: search result | query: ");
        for name in [GRAPH, TOKENIZER, "model_q4.onnx_data"] {
            let bytes = std::fs::read(folder.join(name))?;
            assert_eq!(description.files.get(name), Some(&hex(&Sha256::digest(&bytes))));
        }
        assert_eq!(std::fs::read(folder.join(GRAPH))?, body("/onnx/model_q4.onnx"));
        assert_eq!(std::fs::read_dir(models.path())?.count(), 1, "nothing else is left");
        let gone = Hub { endpoint: Some("http://127.0.0.1:9".to_owned()), token: None };
        assert_eq!(bring_from(gone, &entry, models.path())?, Pulled::WasThere(folder));
        Ok(())
    }

    fn body(path: &str) -> Vec<u8> {
        if path.ends_with(CONFIG) { br#"{"model_max_length": 100}"#.to_vec() } else { path.repeat(50_000).into_bytes() }
    }

    /// One request to a hub of files whose content follows from their names.
    fn answer(mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut last = usize::MAX;
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            if line.eq_ignore_ascii_case("range: bytes=0-0") {
                last = 0;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let path = path.split_once("/resolve/main").map_or(path, |(_, file)| file);
        let whole = body(path);
        let part = whole.get(..=last.min(whole.len() - 1)).unwrap_or_default();
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nx-repo-commit: c0ffee\r\netag: \"e{}\"\r\ncontent-range: bytes 0-{}/{}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            path.replace('/', "-"),
            part.len() - 1,
            whole.len(),
            part.len()
        )?;
        stream.write_all(part)
    }
}
