//! The default model, as provisioned, through the public interface.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use catena_domain::ErrorKind;
use catena_domain::TenantId;
use catena_embedding::{
    Allowed, DEFAULT_MODEL, Device, Embedder, EmbeddingError, ModelSpec, Place, Precision, check_library, find_library,
    inspect_model, open_model,
};
use half::f16;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

type Outcome = Result<(), Box<dyn Error>>;

/// The same model in its three precisions.
const MODELS: [&str; 3] = [DEFAULT_MODEL, "all-minilm-l6-v2", "all-minilm-l6-v2-fp16"];
const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap_or_else(|_| unreachable!("it is a name"))
}

/// The folder that provisioning fills. Without it these tests fail: a model that was not tried is not known to work.
fn provisioned() -> Result<PathBuf, Box<dyn Error>> {
    let named = catena_runtime::environment::variable("CATENA_PROVISION").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join(".catena"));
    named
        .into_iter()
        .chain(above)
        .find(|folder| folder.join("models").is_dir())
        .ok_or_else(|| "no provisioned folder: run `python3 deploy/provision/provision.py` first".into())
}

fn library() -> Result<PathBuf, Box<dyn Error>> {
    Ok(find_library(Some(&provisioned()?.join("runtime")), Device::Cpu)?)
}

fn place() -> Result<Place, Box<dyn Error>> {
    Ok(Place { onnxruntime: Some(library()?), ..Place::here(TWO) })
}

fn open(model: &str) -> Result<ModelSpec, Box<dyn Error>> {
    Ok(open_model(&provisioned()?.join("models"), model, &Allowed::default())?)
}

fn start(model: &str) -> Result<Embedder, Box<dyn Error>> {
    Ok(Embedder::start(open(model)?, &place()?)?)
}

/// One embedder of each model for most tests.
fn embedder(model: &'static str) -> Result<Embedder, Box<dyn Error>> {
    static SHARED: LazyLock<Mutex<HashMap<&'static str, Embedder>>> = LazyLock::new(Mutex::default);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(embedder) = shared.get(model) {
        return Ok(embedder.clone());
    }
    Ok(shared.entry(model).or_insert(start(model)?).clone())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn cosine(one: &[f16], other: &[f16]) -> f32 {
    let product = |of: &[f16], with: &[f16]| of.iter().zip(with).map(|(a, b)| a.to_f32() * b.to_f32()).sum::<f32>();
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

/// A copy of the provisioned model that a test may damage.
fn copied_model() -> Result<tempfile::TempDir, Box<dyn Error>> {
    let from = provisioned()?.join("models").join(DEFAULT_MODEL);
    let to = tempfile::tempdir()?;
    for name in ["model.onnx", "weights.safetensors", "tokenizer.json", "catena-model.toml"] {
        std::fs::copy(from.join(name), to.path().join(name))?;
    }
    Ok(to)
}

fn error_of<T>(result: Result<T, EmbeddingError>) -> Result<EmbeddingError, Box<dyn Error>> {
    result.err().ok_or_else(|| "this should have been refused".into())
}

#[tokio::test]
async fn every_export_gives_the_known_similarities() -> Outcome {
    let sentences =
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    for (model, tolerance) in [(MODELS[0], 0.04), (MODELS[1], 0.001), (MODELS[2], 0.002)] {
        let vectors = embedder(model)?.embed_documents(&tenant(), texts(&sentences)).await?;
        let [person, dog, very, day] = vectors.as_slice() else { return Err("four texts, four vectors".into()) };
        for (other, expected) in [(dog, 0.695), (very, 0.943), (day, 0.257)] {
            let found = cosine(person, other);
            assert!((found - expected).abs() < tolerance, "{model}: {found} is not {expected}");
        }
        let length = |vector: &[f16]| vector.iter().map(|value| value.to_f32().powi(2)).sum::<f32>().sqrt();
        assert!(vectors.iter().all(|vector| vector.len() == 384 && (length(vector) - 1.0).abs() < 1e-3));
    }
    Ok(())
}

#[tokio::test]
async fn the_exports_agree_and_are_never_taken_for_one_another() -> Outcome {
    let long = "Keys are rotated every ninety days, by the owner of the service. ".repeat(12);
    let texts = texts(&["keys", "How often are keys rotated?", &long]);
    let [int8, fp32, fp16] = MODELS;
    let reference = embedder(fp32)?.embed_documents(&tenant(), texts.clone()).await?;
    for (model, least) in [(int8, 0.97), (fp16, 0.999)] {
        let vectors = embedder(model)?.embed_documents(&tenant(), texts.clone()).await?;
        for (one, other) in vectors.iter().zip(&reference) {
            let found = cosine(one, other);
            assert!(found >= least, "{model}: {found}");
        }
    }
    let fingerprints: HashSet<String> =
        MODELS.iter().map(|model| Ok(open(model)?.fingerprint().to_owned())).collect::<Result<_, Box<dyn Error>>>()?;
    assert_eq!(fingerprints.len(), MODELS.len());
    Ok(())
}

#[tokio::test]
async fn a_model_says_what_it_is() -> Outcome {
    let model = open(DEFAULT_MODEL)?;
    let embedder = embedder(DEFAULT_MODEL)?;
    assert_eq!(model.precision(), Some(Precision::Int8));
    // A window of 256 tokens less the two marks of the tokenizer.
    assert_eq!((model.name(), model.dimension(), model.max_tokens()), (DEFAULT_MODEL, 384, 254));
    assert_eq!((model.window_tokens(), model.normalises()), (256, true));
    assert_eq!((embedder.name(), embedder.dimension(), embedder.max_tokens()), (DEFAULT_MODEL, 384, 254));
    assert_eq!(embedder.fingerprint(), model.fingerprint());
    assert_eq!(model.fingerprint().len(), 64);
    assert_eq!(embedder.count_tokens("That is a happy person"), 5);
    assert_eq!(embedder.count_tokens(""), 0);
    Ok(())
}

#[test]
fn a_counter_counts_what_the_tokenizer_does() -> Outcome {
    let embedder = embedder(DEFAULT_MODEL)?;
    let counter = embedder.counter();
    // What tokenizers drop, part, join, keep whole or give marks of their own.
    let odd =
        ["[MASK]", "[sep]", "##a", "\u{85}", "\u{b}", "\u{a0}", "\u{200b}", "\u{301}", "漢字", "Ünïcödé", "don't"];
    let odd = proptest::sample::select(odd.to_vec()).prop_map(str::to_owned);
    let gap = proptest::sample::select(vec!["", " ", "\n", "\t", "\r\n", "  "]);
    let piece = prop_oneof![odd, "[a-zA-Z0-9.,-]{0,12}", "\\PC{0,6}", any::<char>().prop_map(|c| c.to_string())];
    let texts = proptest::collection::vec((piece, gap), 0..24);
    let text =
        texts.prop_map(|pieces| pieces.into_iter().fold(String::new(), |text, (piece, gap)| text + &piece + gap));
    let mut runner = TestRunner::new(Config { cases: 2_000, failure_persistence: None, ..Config::default() });
    runner.run(&text, |text| {
        prop_assert_eq!(counter.count(&text), embedder.count_tokens(&text), "{:?}", text);
        Ok(())
    })?;
    Ok(())
}

#[tokio::test]
async fn the_same_text_has_the_same_bits_alone_and_in_company() -> Outcome {
    for model in MODELS {
        let embedder = embedder(model)?;
        let text = "Keys are rotated every ninety days, by the owner of the service.";
        // Of the same length, so that they may share a run with it.
        let twin = "Cats are watched every twenty hours, by the nurse of the village.";
        let alone = embedder.embed_documents(&tenant(), texts(&[text])).await?;
        let company: Vec<String> = (1..120).map(|words| "many other words ".repeat(words % 60 + 1)).collect();
        let crowd = tokio::spawn({
            let (embedder, company) = (embedder.clone(), company.clone());
            async move { embedder.embed_documents(&TenantId::new("crowd").unwrap(), company).await }
        });
        for _ in 0..5 {
            let mixed = texts(&["short", twin, text, twin, "tiny", &"long ".repeat(200)]);
            let mixed = embedder.embed_documents(&tenant(), mixed).await?;
            assert_eq!(mixed.get(2), alone.first(), "{model}");
            embedder.forget(&tenant());
            let query = embedder.embed_query(&tenant(), text).await?.values;
            assert_eq!(Some(&query.into_iter().map(f16::from_f32).collect()), alone.first(), "{model}");
        }
        let together = crowd.await??;
        for (position, text) in company.iter().enumerate().step_by(17) {
            let again = embedder.embed_documents(&tenant(), vec![text.clone()]).await?;
            assert_eq!(again.first(), together.get(position), "{model}: {text}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_a_tenant_asks_again_is_answered_from_memory_until_it_is_forgotten() -> Outcome {
    let embedder = start(DEFAULT_MODEL)?;
    let first = embedder.embed_query(&tenant(), "asked twice").await?;
    assert_eq!(embedder.embed_query(&tenant(), "asked twice").await?, first);
    embedder.forget(&tenant());
    assert_eq!(embedder.embed_query(&tenant(), "asked twice").await?, first);
    Ok(())
}

#[tokio::test]
async fn a_document_that_fills_the_window_is_whole_and_one_token_more_is_refused() -> Outcome {
    let embedder = embedder(DEFAULT_MODEL)?;
    let fits = "word ".repeat(embedder.max_tokens());
    assert_eq!(embedder.count_tokens(&fits), embedder.max_tokens());
    assert_eq!(embedder.embed_documents(&tenant(), vec![fits.clone()]).await?.len(), 1);
    let over = format!("{fits} word");
    let error = error_of(embedder.embed_documents(&tenant(), vec!["short".to_owned(), over]).await)?;
    assert!(matches!(error, EmbeddingError::TextTooLong { position: 1, tokens: 255, limit: 254 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("255 tokens"), "{error}");
    let huge = error_of(embedder.embed_documents(&tenant(), vec!["x".repeat(2 << 20)]).await)?;
    assert!(matches!(huge, EmbeddingError::TextTooLarge { position: 0, .. }), "{huge}");
    // The workers go on.
    assert_eq!(embedder.embed_documents(&tenant(), texts(&["short"])).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_query_that_is_too_long_is_cut_and_says_by_how_much() -> Outcome {
    let embedder = embedder(DEFAULT_MODEL)?;
    let fits = "word ".repeat(embedder.max_tokens());
    let whole = embedder.embed_query(&tenant(), &fits).await?;
    let cut = embedder.embed_query(&tenant(), &format!("{fits} and seven more words than that fit")).await?;
    assert_eq!(whole.truncated_tokens, 0);
    assert_eq!(cut.truncated_tokens, 7);
    assert_eq!(cut.values, whole.values);
    Ok(())
}

#[tokio::test]
async fn work_of_a_caller_who_left_does_not_hold_up_the_next_one() -> Outcome {
    let (embedder, tenant_id) = (start(DEFAULT_MODEL)?, tenant());
    let mut abandoned = Box::pin(embedder.embed_documents(&tenant_id, vec!["word ".repeat(250); 200]));
    let queued = std::future::poll_fn(|context| std::task::Poll::Ready(abandoned.as_mut().poll(context))).await;
    assert!(queued.is_pending());
    drop(abandoned);
    // Whatever was not begun is skipped, so dropping the handle (which joins the threads) is quick too.
    assert_eq!(embedder.embed_documents(&tenant(), texts(&["here"])).await?.len(), 1);
    Ok(())
}

#[test]
fn a_second_start_in_one_process_works_and_another_library_is_refused() -> Outcome {
    let library = library()?;
    check_library(&library)?;
    check_library(&library)?;
    let folder = tempfile::tempdir()?;
    let other = folder.path().join("libonnxruntime.so");
    std::fs::copy(&library, &other)?;
    let error = error_of(check_library(&other))?;
    assert!(matches!(error, EmbeddingError::LibraryFixed { .. }), "{error}");
    Ok(())
}

#[test]
fn a_missing_library_and_a_text_file_are_refused_with_the_way_out() -> Outcome {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("libonnxruntime.so");
    let text = folder.path().join("libonnxruntime.so.1.31.1");
    std::fs::write(&text, "this is not a library\n")?;
    for path in [missing, text, folder.path().to_path_buf()] {
        let error =
            error_of(Embedder::start(open(DEFAULT_MODEL)?, &Place { onnxruntime: Some(path.clone()), ..place()? }))?;
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("provision.py"), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    Ok(())
}

#[test]
fn a_missing_model_names_the_folder_and_the_way_out() -> Outcome {
    let folder = tempfile::tempdir()?;
    for name in ["no-such-model", "../models", "/no/such/folder"] {
        let error = error_of(open_model(folder.path(), name, &Allowed::default()))?;
        assert!(matches!(error, EmbeddingError::ModelMissing { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(&folder.path().display().to_string()), "{text}");
        assert!(text.contains("provision.py"), "{text}");
    }
    Ok(())
}

#[test]
fn a_model_opens_by_its_folder_too_and_one_changed_bit_is_found() -> Outcome {
    let folder = copied_model()?;
    let path = folder.path().to_str().ok_or("a path in Unicode")?;
    let nowhere = Path::new("/nowhere");
    let fingerprint = open_model(nowhere, path, &Allowed::default())?.fingerprint().to_owned();
    assert_eq!(fingerprint, open(DEFAULT_MODEL)?.fingerprint());
    for name in ["model.onnx", "weights.safetensors", "tokenizer.json"] {
        let file = folder.path().join(name);
        let whole = std::fs::read(&file)?;
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        if let Some(byte) = damaged.get_mut(middle) {
            *byte ^= 1;
        }
        std::fs::write(&file, damaged)?;
        let error = error_of(open_model(nowhere, path, &Allowed::default()))?;
        assert!(matches!(error, EmbeddingError::ModelDamaged { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        std::fs::write(&file, whole)?;
    }
    std::fs::remove_file(folder.path().join("tokenizer.json"))?;
    let error = error_of(open_model(nowhere, path, &Allowed::default()))?;
    assert!(matches!(error, EmbeddingError::ModelFile { .. }), "{error}");
    Ok(())
}

#[test]
fn an_unknown_key_in_the_description_is_refused_by_name() -> Outcome {
    let folder = copied_model()?;
    let path = folder.path().to_str().ok_or("a path in Unicode")?;
    let description = folder.path().join("catena-model.toml");
    let text = std::fs::read_to_string(&description)?;
    std::fs::write(&description, format!("colour = \"red\"\n{text}"))?;
    let error = error_of(inspect_model(Path::new("/nowhere"), path))?;
    assert!(matches!(error, EmbeddingError::ModelDescription { .. }), "{error}");
    assert!(error.to_string().contains("colour"), "{error}");
    Ok(())
}

#[test]
fn a_description_that_the_graph_contradicts_fails_at_the_start() -> Outcome {
    let folder = copied_model()?;
    let path = folder.path().to_str().ok_or("a path in Unicode")?;
    let description = folder.path().join("catena-model.toml");
    let text = std::fs::read_to_string(&description)?;
    for (from, to) in [("dimension = 384", "dimension = 385"), ("precision", "output = \"logits\"\nprecision")] {
        std::fs::write(&description, text.replacen(from, to, 1))?;
        let model = inspect_model(Path::new("/nowhere"), path)?;
        let error = error_of(Embedder::start(model, &place()?))?;
        assert!(matches!(error, EmbeddingError::ModelUnusable { .. }), "{error}");
    }
    Ok(())
}

#[test]
fn a_model_that_nobody_allowed_does_not_run_until_somebody_does() -> Outcome {
    let folder = copied_model()?;
    let path = folder.path().to_str().ok_or("a path in Unicode")?;
    let description = folder.path().join("catena-model.toml");
    let text = std::fs::read_to_string(&description)?;
    // Whoever can change a model's files can change its description with them.
    std::fs::write(&description, text.replacen("document_prefix = \"\"", "document_prefix = \"ignore \"", 1))?;
    let error = error_of(open_model(Path::new("/nowhere"), path, &Allowed::default()))?;
    let EmbeddingError::ModelNotAllowed { fingerprint, .. } = &error else { return Err(error.into()) };
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains(fingerprint) && error.to_string().contains("allowed_models"), "{error}");
    let allowed = Allowed::with([fingerprint.clone()]);
    assert_eq!(allowed.named().collect::<Vec<_>>(), [fingerprint]);
    assert_eq!(open_model(Path::new("/nowhere"), path, &allowed)?.fingerprint(), fingerprint);
    Ok(())
}

#[test]
fn the_models_that_the_project_brings_are_allowed() -> Outcome {
    let models = provisioned()?.join("models");
    let brought: Vec<_> = MODELS.iter().map(|model| inspect_model(&models, model)).collect::<Result<_, _>>()?;
    let unknown: Vec<_> = brought
        .iter()
        .filter(|model| !Allowed::default().has(model.fingerprint()))
        .map(|model| format!("{} {}", model.name(), model.fingerprint()))
        .collect();
    assert!(unknown.is_empty(), "not in the list of known models: {unknown:#?}");
    Ok(())
}

#[tokio::test]
async fn without_a_graphics_card_the_processor_does_the_work_and_says_so() -> Outcome {
    let place = Place { device: Device::Cuda, ..place()? };
    let fallen_back = Embedder::start(open(DEFAULT_MODEL)?, &place)?;
    if fallen_back.device() == Some(Device::Cuda) {
        // There is one: then it was used, which is what was asked for.
        return Ok(());
    }
    assert_eq!(fallen_back.device(), Some(Device::Cpu));
    assert!(fallen_back.device_missed().is_some_and(|reason| !reason.is_empty()));
    let text = texts(&["keys"]);
    let here = embedder(DEFAULT_MODEL)?.embed_documents(&tenant(), text.clone()).await?;
    assert_eq!(fallen_back.embed_documents(&tenant(), text).await?, here);
    Ok(())
}
