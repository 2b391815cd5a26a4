//! A reranker through the public interface, with a graph whose every score can be counted by hand (`models/overlap`).

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use catena_domain::{ErrorKind, TenantId};
use catena_embedding::{
    Allowed, DEFAULT_MODEL, Device, Embedder, EmbeddingError, Kind, ModelSpec, Place, Reranker, Score, find_library,
    inspect_model, open_model,
};

type Outcome = Result<(), Box<dyn Error>>;

const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
/// What the graph takes off for each token of a passage.
const PENALTY: f32 = 1.0 / 128.0;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap_or_else(|_| unreachable!("it is a name"))
}

/// The folder that provisioning fills; it has the tokenizer.
fn provisioned() -> Result<PathBuf, Box<dyn Error>> {
    let named = catena_runtime::environment::variable("CATENA_PROVISION").map(PathBuf::from);
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join(".catena"));
    named
        .into_iter()
        .chain(above)
        .find(|folder| folder.join("models").is_dir())
        .ok_or_else(|| "no provisioned folder: run `python3 deploy/provision/provision.py` first".into())
}

/// The model, put together with the tokenizer, which is too large to be kept twice.
fn folder() -> Result<tempfile::TempDir, Box<dyn Error>> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/overlap");
    let to = tempfile::tempdir()?;
    for name in ["model.onnx", "catena-model.toml"] {
        std::fs::copy(kept.join(name), to.path().join(name))?;
    }
    let tokenizer = provisioned()?.join("models").join(DEFAULT_MODEL).join("tokenizer.json");
    std::fs::copy(tokenizer, to.path().join("tokenizer.json"))?;
    Ok(to)
}

fn path(folder: &tempfile::TempDir) -> Result<&str, Box<dyn Error>> {
    Ok(folder.path().to_str().ok_or("a path in Unicode")?)
}

fn model() -> Result<ModelSpec, Box<dyn Error>> {
    Ok(inspect_model(Path::new("/nowhere"), path(&folder()?)?)?)
}

fn place() -> Result<Place, Box<dyn Error>> {
    let library = find_library(Some(&provisioned()?.join("runtime")), Device::Cpu)?;
    Ok(Place { onnxruntime: Some(library), ..Place::here(TWO) })
}

/// One for most tests.
fn reranker() -> Result<Reranker, Box<dyn Error>> {
    static SHARED: OnceLock<Reranker> = OnceLock::new();
    if let Some(reranker) = SHARED.get() {
        return Ok(reranker.clone());
    }
    let started = Reranker::start(model()?, &place()?)?;
    Ok(SHARED.get_or_init(|| started).clone())
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The score of so many hits in a passage of so many tokens.
fn counted(hits: u8, tokens: u8) -> f32 {
    f32::from(hits) - PENALTY * f32::from(tokens)
}

fn values(scores: &[Score]) -> Vec<f32> {
    scores.iter().map(|score| score.value).collect()
}

#[tokio::test]
async fn passages_are_scored_as_the_model_says_and_in_the_order_they_came() -> Outcome {
    let passages = texts(&["dog", "a red cat", "a red cat in a house", "the red cat and the dog", ""]);
    let scores = reranker()?.judge(&tenant("acme"), "red cat house", passages).await?;
    let expected = [counted(0, 1), counted(2, 3), counted(3, 6), counted(2, 6), counted(0, 0)];
    assert_eq!(values(&scores), expected);
    assert!(scores.iter().all(|score| score.truncated_tokens == 0));
    assert!(reranker()?.judge(&tenant("acme"), "red cat house", Vec::new()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_pair_has_the_same_bits_alone_and_in_company() -> Outcome {
    let reranker = reranker()?;
    let (query, passage) = ("which red cat", "a red cat in a house");
    let alone = reranker.judge(&tenant("acme"), query, texts(&[passage])).await?;
    // Of its own length, so that they may share a run with it, and of others.
    let company: Vec<String> = (0..40).map(|words| "big dog ".repeat(words % 8) + "with two red cat houses").collect();
    let crowd = tokio::spawn({
        let (reranker, company) = (reranker.clone(), company.clone());
        async move { reranker.judge(&tenant("crowd"), "big cat", company).await }
    });
    for at in [0, 17, company.len()] {
        let mut all = company.clone();
        all.insert(at, passage.to_owned());
        let scores = reranker.judge(&tenant("acme"), query, all).await?;
        assert_eq!(scores[at].value.to_bits(), alone[0].value.to_bits(), "at place {at}");
    }
    let crowd = crowd.await??;
    assert_eq!(values(&crowd), values(&reranker.judge(&tenant("crowd"), "big cat", company).await?));
    Ok(())
}

#[tokio::test]
async fn a_pair_longer_than_the_window_says_how_much_was_not_seen() -> Outcome {
    let reranker = reranker()?;
    // A window of 64 tokens less three marks.
    let fits = format!("{}cat", "dog ".repeat(57));
    let long = format!("{}cat", "dog ".repeat(99));
    let scores = reranker.judge(&tenant("acme"), "red cat house", vec![fits, long]).await?;
    assert_eq!(values(&scores), [counted(1, 58), counted(0, 58)]);
    let unseen: Vec<_> = scores.iter().map(|score| score.truncated_tokens).collect();
    assert_eq!(unseen, [0, 42]);
    let both = reranker.judge(&tenant("acme"), &"red ".repeat(40), vec!["dog ".repeat(40)]).await?;
    assert_eq!(both[0].truncated_tokens, 40 + 40 - 61);
    Ok(())
}

#[test]
fn a_reranker_and_an_embedder_are_never_taken_for_one_another() -> Outcome {
    let overlap = model()?;
    assert_eq!((overlap.name(), overlap.kind()), ("overlap", Kind::Reranker));
    let embedder = open_model(&provisioned()?.join("models"), DEFAULT_MODEL, &Allowed::default())?;
    let place = place()?;
    for (error, is) in [
        (Embedder::start(overlap, &place).err(), "of the kind reranker"),
        (Reranker::start(embedder, &place).err(), "of the kind embedder"),
    ] {
        let error = error.ok_or("it was taken for the other")?;
        assert!(matches!(error, EmbeddingError::ModelUnusable { .. }), "{error}");
        assert!(error.to_string().contains(is), "{error}");
    }
    Ok(())
}

#[test]
fn a_reranker_that_nobody_allowed_does_not_run_until_somebody_does() -> Outcome {
    let folder = folder()?;
    let (nowhere, path) = (Path::new("/nowhere"), path(&folder)?);
    let error = open_model(nowhere, path, &Allowed::default()).err().ok_or("it was opened")?;
    let EmbeddingError::ModelNotAllowed { fingerprint, .. } = &error else { return Err(error.into()) };
    assert_eq!(error.kind(), ErrorKind::Denied);
    let allowed = Allowed::with([fingerprint.clone()]);
    let reranker = Reranker::start(open_model(nowhere, path, &allowed)?, &place()?)?;
    assert_eq!((reranker.name(), reranker.fingerprint()), ("overlap", fingerprint.as_str()));
    Ok(())
}
