//! The default model, as provisioned, through the public interface.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use catena_domain::ErrorKind;
use catena_embedding::{Embedder, EmbeddingError, check_library, find_library, open_model};

type Outcome = Result<(), Box<dyn Error>>;

const MODEL: &str = "all-minilm-l6-v2";
const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

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
    Ok(find_library(Some(&provisioned()?.join("runtime")))?)
}

fn start() -> Result<Embedder, Box<dyn Error>> {
    let model = open_model(&provisioned()?.join("models"), MODEL)?;
    Ok(Embedder::start(model, &library()?, TWO)?)
}

/// One embedder for most tests: starting one reads 90 MB.
fn embedder() -> Result<Embedder, Box<dyn Error>> {
    static SHARED: LazyLock<Mutex<Option<Embedder>>> = LazyLock::new(Mutex::default);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(embedder) = shared.as_ref() {
        return Ok(embedder.clone());
    }
    Ok(shared.insert(start()?).clone())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

/// A copy of the provisioned model that a test may damage.
fn copied_model() -> Result<tempfile::TempDir, Box<dyn Error>> {
    let from = provisioned()?.join("models").join(MODEL);
    let to = tempfile::tempdir()?;
    for name in ["model.onnx", "tokenizer.json", "catena-model.toml"] {
        std::fs::copy(from.join(name), to.path().join(name))?;
    }
    Ok(to)
}

fn error_of<T>(result: Result<T, EmbeddingError>) -> Result<EmbeddingError, Box<dyn Error>> {
    result.err().ok_or_else(|| "this should have been refused".into())
}

#[tokio::test]
async fn the_export_gives_the_known_similarities() -> Outcome {
    let sentences =
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"];
    let vectors = embedder()?.embed_documents(texts(&sentences)).await?;
    let [person, dog, very, day] = vectors.as_slice() else { return Err("four texts, four vectors".into()) };
    for (other, expected) in [(dog, 0.695), (very, 0.943), (day, 0.257)] {
        let found = cosine(person, other);
        assert!((found - expected).abs() < 0.001, "{found} is not {expected}");
    }
    assert!(vectors.iter().all(|vector| vector.len() == 384 && (cosine(vector, vector) - 1.0).abs() < 1e-5));
    Ok(())
}

#[tokio::test]
async fn a_model_says_what_it_is() -> Outcome {
    let model = open_model(&provisioned()?.join("models"), MODEL)?;
    let embedder = embedder()?;
    // A window of 256 tokens less the two marks of the tokenizer.
    assert_eq!((model.name(), model.dimension(), model.max_tokens()), (MODEL, 384, 254));
    assert_eq!((embedder.name(), embedder.dimension(), embedder.max_tokens()), (MODEL, 384, 254));
    assert_eq!(embedder.fingerprint(), model.fingerprint());
    assert_eq!(model.fingerprint().len(), 64);
    assert_eq!(embedder.count_tokens("That is a happy person"), 5);
    assert_eq!(embedder.count_tokens(""), 0);
    Ok(())
}

#[tokio::test]
async fn the_same_text_has_the_same_bits_alone_and_in_company() -> Outcome {
    let embedder = embedder()?;
    let text = "Keys are rotated every ninety days, by the owner of the service.";
    let alone = embedder.embed_documents(texts(&[text])).await?;
    let company: Vec<String> = (1..120).map(|words| "many other words ".repeat(words % 60 + 1)).collect();
    let crowd = tokio::spawn({
        let (embedder, company) = (embedder.clone(), company.clone());
        async move { embedder.embed_documents(company).await }
    });
    for _ in 0..10 {
        let mixed = embedder.embed_documents(texts(&["short", text, &"long ".repeat(200)])).await?;
        assert_eq!(mixed.get(1), alone.first());
        assert_eq!(Some(&embedder.embed_query(text).await?.values), alone.first());
    }
    let together = crowd.await??;
    for (position, text) in company.iter().enumerate().step_by(17) {
        let again = embedder.embed_documents(vec![text.clone()]).await?;
        assert_eq!(again.first(), together.get(position), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_document_that_fills_the_window_is_whole_and_one_token_more_is_refused() -> Outcome {
    let embedder = embedder()?;
    let fits = "word ".repeat(embedder.max_tokens());
    assert_eq!(embedder.count_tokens(&fits), embedder.max_tokens());
    assert_eq!(embedder.embed_documents(vec![fits.clone()]).await?.len(), 1);
    let over = format!("{fits} word");
    let error = error_of(embedder.embed_documents(vec!["short".to_owned(), over]).await)?;
    assert!(matches!(error, EmbeddingError::TextTooLong { position: 1, tokens: 255, limit: 254 }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("255 tokens"), "{error}");
    let huge = error_of(embedder.embed_documents(vec!["x".repeat(2 << 20)]).await)?;
    assert!(matches!(huge, EmbeddingError::TextTooLarge { position: 0, .. }), "{huge}");
    // The workers go on.
    assert_eq!(embedder.embed_documents(texts(&["short"])).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_query_that_is_too_long_is_cut_and_says_by_how_much() -> Outcome {
    let embedder = embedder()?;
    let fits = "word ".repeat(embedder.max_tokens());
    let whole = embedder.embed_query(&fits).await?;
    let cut = embedder.embed_query(&format!("{fits} and seven more words than that fit")).await?;
    assert_eq!(whole.truncated_tokens, 0);
    assert_eq!(cut.truncated_tokens, 7);
    assert_eq!(cut.values, whole.values);
    Ok(())
}

#[tokio::test]
async fn work_of_a_caller_who_left_does_not_hold_up_the_next_one() -> Outcome {
    let embedder = start()?;
    let mut abandoned = Box::pin(embedder.embed_documents(vec!["word ".repeat(250); 200]));
    let queued = std::future::poll_fn(|context| std::task::Poll::Ready(abandoned.as_mut().poll(context))).await;
    assert!(queued.is_pending());
    drop(abandoned);
    // Whatever was not begun is skipped, so dropping the handle (which joins the threads) is quick too.
    assert_eq!(embedder.embed_documents(texts(&["here"])).await?.len(), 1);
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
    let model = || -> Result<_, Box<dyn Error>> { Ok(open_model(&provisioned()?.join("models"), MODEL)?) };
    for path in [missing, text, folder.path().to_path_buf()] {
        let error = error_of(Embedder::start(model()?, &path, NonZeroUsize::MIN))?;
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
        let error = error_of(open_model(folder.path(), name))?;
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
    let fingerprint = open_model(nowhere, path)?.fingerprint().to_owned();
    assert_eq!(fingerprint, open_model(&provisioned()?.join("models"), MODEL)?.fingerprint());
    for name in ["model.onnx", "tokenizer.json"] {
        let file = folder.path().join(name);
        let whole = std::fs::read(&file)?;
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        if let Some(byte) = damaged.get_mut(middle) {
            *byte ^= 1;
        }
        std::fs::write(&file, damaged)?;
        let error = error_of(open_model(nowhere, path))?;
        assert!(matches!(error, EmbeddingError::ModelDamaged { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(&file.display().to_string()), "{error}");
        std::fs::write(&file, whole)?;
    }
    std::fs::remove_file(folder.path().join("tokenizer.json"))?;
    let error = error_of(open_model(nowhere, path))?;
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
    let error = error_of(open_model(Path::new("/nowhere"), path))?;
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
        let model = open_model(Path::new("/nowhere"), path)?;
        let error = error_of(Embedder::start(model, &library()?, NonZeroUsize::MIN))?;
        assert!(matches!(error, EmbeddingError::ModelUnusable { .. }), "{error}");
    }
    Ok(())
}
