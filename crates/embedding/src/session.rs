//! One ONNX Runtime per process, and one session per worker that turns token ids into a vector.
//!
//! Promises: a library that is missing, not a library, or too old is an error before anything of it is used; asking
//! twice for the same library works; a run sees one text, with no padding, on one thread, so its vector depends on
//! nothing else. Does not: tokenise in bulk, queue, or choose the library (see `locate`).

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;
use tokenizers::{Encoding, TruncationDirection};

use crate::error::EmbeddingError;
use crate::model::{Facts, ModelSpec, Pooling};

/// More bytes than this are refused before they are tokenised.
const TEXT_LIMIT_BYTES: usize = 1 << 20;
const USUAL_OUTPUT: &str = "last_hidden_state";
#[cfg(target_os = "linux")]
const LIBRARY_MAGIC: &[u8] = b"\x7fELF";

/// What the process has loaded. Never unloaded: sessions may live as long as the process.
struct Loaded {
    path: PathBuf,
    environment: Environment,
}

static LOADED: Mutex<Option<Loaded>> = Mutex::new(None);

/// Loads the ONNX Runtime library into this process, if it is not loaded yet: says whether it can be used.
pub fn check_library(library: &Path) -> Result<(), EmbeddingError> {
    environment(library).map(drop)
}

/// The process's ONNX Runtime, loaded from `library` at the first call.
pub(crate) fn environment(library: &Path) -> Result<Environment, EmbeddingError> {
    let path =
        library.canonicalize().map_err(|_| EmbeddingError::LibraryMissing { looked: vec![library.to_owned()] })?;
    let unusable = |reason: String| EmbeddingError::LibraryUnusable { path: path.clone(), reason };
    require_library_format(&path).map_err(unusable)?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = loaded.as_ref() {
        return if known.path == path {
            Ok(known.environment.clone())
        } else {
            Err(EmbeddingError::LibraryFixed { loaded: known.path.clone(), asked: path })
        };
    }
    let builder = ort::init_from(&path).map_err(|error| match error {
        LoadDynamicError::BadVersion { version_str, path } => {
            EmbeddingError::LibraryTooOld { path, version: version_str }
        }
        LoadDynamicError::Dlopen { error, .. } => unusable(error.to_string()),
        LoadDynamicError::MissingApi { .. } => unusable("it is a library, but not ONNX Runtime".to_owned()),
        LoadDynamicError::InvalidVersionString => unusable("it does not say its version".to_owned()),
    })?;
    let environment = builder
        .with_name("catena")
        .with_telemetry(false)
        .with_logger(Arc::new(log))
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    environment.set_log_level(LogLevel::Warning);
    tracing::debug!(library = %path.display(), "onnx runtime loaded");
    *loaded = Some(Loaded { path, environment: environment.clone() });
    Ok(environment)
}

/// A readable refusal of what is no library at all; the loader's own words for that are less clear.
fn require_library_format(path: &Path) -> Result<(), String> {
    let mut file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().is_ok_and(|facts| facts.is_file()) {
        return Err("it is not a file".to_owned());
    }
    #[cfg(target_os = "linux")]
    {
        let mut start = [0; LIBRARY_MAGIC.len()];
        if file.read_exact(&mut start).is_err() || start != LIBRARY_MAGIC {
            return Err("it is not a shared library".to_owned());
        }
    }
    Ok(())
}

fn log(level: LogLevel, _category: &str, _id: &str, _location: &str, message: &str) {
    match level {
        LogLevel::Verbose | LogLevel::Info => {}
        LogLevel::Warning => tracing::debug!(target: "onnxruntime", "{message}"),
        LogLevel::Error | LogLevel::Fatal => tracing::warn!(target: "onnxruntime", "{message}"),
    }
}

/// What a text is embedded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Query,
    Document,
}

/// A vector and how many tokens of the text it does not cover (always 0 for a document).
#[derive(Debug)]
pub(crate) struct Embedded {
    pub(crate) values: Vec<f32>,
    pub(crate) truncated_tokens: usize,
}

#[derive(Debug, Clone, Copy)]
enum Input {
    Ids,
    Mask,
    Types,
}

/// One session, owned by one thread.
pub(crate) struct Runner {
    session: Session,
    facts: Arc<Facts>,
    inputs: Vec<(String, Input)>,
    output: String,
}

impl Runner {
    /// Builds the session and tries it once, so that a model that does not fit its description fails here.
    pub(crate) fn new(environment: &Environment, model: &ModelSpec) -> Result<Self, EmbeddingError> {
        let facts = Arc::clone(&model.facts);
        let unusable = |reason: String| EmbeddingError::ModelUnusable { name: facts.description.name.clone(), reason };
        let session = build(environment, model).map_err(|error| unusable(error.to_string()))?;
        let inputs = session.inputs().iter().map(|input| named_input(input.name())).collect::<Result<Vec<_>, _>>();
        let inputs = inputs.map_err(unusable)?;
        let outputs: Vec<&str> = session.outputs().iter().map(|output| output.name()).collect();
        let wanted = facts.description.output.as_deref().unwrap_or(USUAL_OUTPUT);
        let output = match (outputs.iter().find(|name| **name == wanted), outputs.first()) {
            (Some(name), _) => (*name).to_owned(),
            (None, Some(first)) if facts.description.output.is_none() => (*first).to_owned(),
            _ => return Err(unusable(format!("it has no output {wanted}, but {}", outputs.join(", ")))),
        };
        let mut runner = Self { session, facts: Arc::clone(&facts), inputs, output };
        runner.embed(Role::Document, 0, "a").map_err(|error| unusable(format!("a first text failed: {error}")))?;
        Ok(runner)
    }

    /// One text to one vector. `position` is only for messages.
    pub(crate) fn embed(&mut self, role: Role, position: usize, text: &str) -> Result<Embedded, EmbeddingError> {
        if text.len() > TEXT_LIMIT_BYTES {
            return Err(EmbeddingError::TextTooLarge { position, bytes: text.len(), limit_bytes: TEXT_LIMIT_BYTES });
        }
        let (encoding, truncated_tokens) = encode(&self.facts, role, position, text)?;
        let values = self.run(&encoding).map_err(|reason| EmbeddingError::Run { position, reason })?;
        let values = finish(values, self.facts.description.normalise)
            .map_err(|defect| EmbeddingError::BadVector { position, defect })?;
        Ok(Embedded { values, truncated_tokens })
    }

    fn run(&mut self, encoding: &Encoding) -> Result<Vec<f32>, String> {
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for (name, input) in &self.inputs {
            let numbers = match input {
                Input::Ids => encoding.get_ids(),
                Input::Mask => encoding.get_attention_mask(),
                Input::Types => encoding.get_type_ids(),
            };
            let numbers: Vec<i64> = numbers.iter().map(|number| i64::from(*number)).collect();
            let tensor = Tensor::from_array(([1, numbers.len()], numbers)).map_err(|error| error.to_string())?;
            inputs.push((name, tensor.into()));
        }
        let outputs = self.session.run(inputs).map_err(|error| error.to_string())?;
        let output = outputs.get(&self.output).ok_or_else(|| format!("there is no output {}", self.output))?;
        let (shape, numbers) = output.try_extract_tensor::<f32>().map_err(|error| error.to_string())?;
        let description = &self.facts.description;
        pool(shape, numbers, encoding.get_attention_mask(), description.pooling, description.dimension)
    }
}

fn build(environment: &Environment, model: &ModelSpec) -> ort::Result<Session> {
    let mut builder = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        // Lengths differ from text to text: a remembered memory plan for each would only grow.
        .with_memory_pattern(false)?;
    for (name, bytes) in &model.external {
        builder = builder.with_external_initializer_file_in_memory(name, Arc::clone(bytes))?;
    }
    builder.commit_from_memory(&model.graph)
}

fn named_input(name: &str) -> Result<(String, Input), String> {
    let input = match name {
        "input_ids" => Input::Ids,
        "attention_mask" => Input::Mask,
        "token_type_ids" => Input::Types,
        other => return Err(format!("its graph wants an input {other}, which is not known here")),
    };
    Ok((name.to_owned(), input))
}

/// The text with its prefix and marks as tokens, and how many tokens of a query did not fit.
fn encode(facts: &Facts, role: Role, position: usize, text: &str) -> Result<(Encoding, usize), EmbeddingError> {
    let failed = |error: tokenizers::Error| EmbeddingError::Tokenise { position, reason: error.to_string() };
    let description = &facts.description;
    let prefix = match role {
        Role::Query => &description.query_prefix,
        Role::Document => &description.document_prefix,
    };
    let whole = if prefix.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(format!("{prefix}{text}")) };
    let encoding = facts.tokenizer.encode_fast(whole.as_ref(), true).map_err(failed)?;
    let window = description.max_tokens;
    if encoding.len() <= window {
        return Ok((encoding, 0));
    }
    match role {
        Role::Document => {
            let tokens = encoding.len() - (window - facts.text_tokens);
            Err(EmbeddingError::TextTooLong { position, tokens, limit: facts.text_tokens })
        }
        Role::Query => {
            let mut bare = facts.tokenizer.encode_fast(whole.as_ref(), false).map_err(failed)?;
            let marks = encoding.len().saturating_sub(bare.len());
            let kept = window.saturating_sub(marks);
            let truncated = bare.len().saturating_sub(kept);
            bare.truncate(kept, 0, TruncationDirection::Right);
            Ok((facts.tokenizer.post_process(bare, None, true).map_err(failed)?, truncated))
        }
    }
}

/// One vector out of the graph's output, `[1, tokens, dimension]`, or `[1, dimension]` from a graph that pools by itself.
fn pool(shape: &[i64], numbers: &[f32], mask: &[u32], pooling: Pooling, dimension: usize) -> Result<Vec<f32>, String> {
    let sizes: Vec<usize> = shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect();
    match (sizes.as_slice(), pooling) {
        ([1, width], _) if *width == dimension && numbers.len() == dimension => Ok(numbers.to_vec()),
        ([1, tokens, width], _)
            if *tokens == mask.len() && *width == dimension && numbers.len() == mask.len() * dimension =>
        {
            match pooling {
                Pooling::Cls => Ok(numbers.iter().take(dimension).copied().collect()),
                Pooling::Mean => Ok(mean(numbers, mask, dimension)),
            }
        }
        _ => Err(format!("its output has the shape {sizes:?} for {} tokens and dimension {dimension}", mask.len())),
    }
}

fn mean(numbers: &[f32], mask: &[u32], dimension: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; dimension];
    let mut count = 0.0_f32;
    for (row, counts) in numbers.chunks_exact(dimension).zip(mask) {
        if *counts != 0 {
            count += 1.0;
            for (total, number) in sum.iter_mut().zip(row) {
                *total += number;
            }
        }
    }
    // With no token that counts the sum is zero, which is refused as a vector later.
    let count = count.max(1.0);
    sum.iter_mut().for_each(|total| *total /= count);
    sum
}

/// A vector that can be compared: of length one if the model says so, finite and not zero in any case.
fn finish(mut values: Vec<f32>, normalise: bool) -> Result<Vec<f32>, &'static str> {
    let length = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum::<f64>().sqrt();
    if !length.is_finite() {
        return Err("not finite");
    }
    if length < f64::from(f32::MIN_POSITIVE) {
        return Err("zero");
    }
    if normalise {
        for value in &mut values {
            *value = (f64::from(*value) / length) as f32;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_counts_only_the_tokens_of_the_mask() {
        let numbers = [1.0, 2.0, 3.0, 4.0, 50.0, 60.0];
        let pooled = pool(&[1, 3, 2], &numbers, &[1, 1, 0], Pooling::Mean, 2);
        assert_eq!(pooled, Ok(vec![2.0, 3.0]));
        assert_eq!(pool(&[1, 3, 2], &numbers, &[1, 1, 0], Pooling::Cls, 2), Ok(vec![1.0, 2.0]));
        assert_eq!(pool(&[1, 2], &numbers[..2], &[1, 1, 0], Pooling::Mean, 2), Ok(vec![1.0, 2.0]));
    }

    #[test]
    fn an_output_of_another_shape_is_refused() {
        for shape in [&[1, 3, 3][..], &[2, 3, 2], &[1, 2, 2], &[3, 2], &[], &[-1, 3, 2]] {
            assert!(pool(shape, &[0.5; 6], &[1, 1, 1], Pooling::Mean, 2).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn zero_and_infinite_vectors_are_refused_and_others_get_length_one() {
        assert_eq!(finish(vec![0.0; 3], true), Err("zero"));
        assert_eq!(finish(vec![0.0; 3], false), Err("zero"));
        assert_eq!(finish(vec![1.0, f32::NAN], true), Err("not finite"));
        assert_eq!(finish(vec![f32::INFINITY, 1.0], false), Err("not finite"));
        assert_eq!(finish(vec![3.0, 4.0], true), Ok(vec![0.6, 0.8]));
        assert_eq!(finish(vec![3.0, 4.0], false), Ok(vec![3.0, 4.0]));
    }
}
