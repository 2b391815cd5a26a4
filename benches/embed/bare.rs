//! The bare loop: what ONNX Runtime does with the same graph when nothing else is done.

use std::path::Path;
use std::sync::Mutex;

use anyhow::Context as _;
use catena_embedding::{Device, find_library};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::Tensor;
use tokenizers::Tokenizer;
use tokio::time::Instant;

use crate::Throughput;

const SESSIONS: usize = 2;
const INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

pub(crate) fn measure(model: &Path, texts: &[String]) -> anyhow::Result<Throughput> {
    let mut tokenizer = Tokenizer::from_file(model.join("tokenizer.json")).map_err(anyhow::Error::from_boxed)?;
    tokenizer.with_truncation(None).map_err(anyhow::Error::from_boxed)?;
    tokenizer.with_padding(None);
    let ids: Vec<Vec<i64>> = texts
        .iter()
        .map(|text| {
            let encoding = tokenizer.encode_fast(text.as_str(), true).map_err(anyhow::Error::from_boxed)?;
            Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
        })
        .collect::<anyhow::Result<_>>()?;
    let environment = ort::init_from(find_library(None, Device::Cpu)?)?.build()?;
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let mut session = session(&environment, model)?;
        for one in ids.iter().take(10) {
            run(&mut session, one)?;
        }
        sessions.push(session);
    }
    let (next, watch) = (Mutex::new(ids.iter()), Instant::now());
    std::thread::scope(|scope| {
        let loops: Vec<_> = sessions
            .iter_mut()
            .map(|session| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let one = next.lock().ok().and_then(|mut next| next.next());
                        let Some(one) = one else { return Ok(()) };
                        run(session, one)?;
                    }
                })
            })
            .collect();
        loops.into_iter().try_for_each(|thread| thread.join().ok().context("a loop panicked")?)
    })?;
    let seconds = watch.elapsed().as_secs_f64();
    Ok(Throughput { tokens: ids.iter().map(Vec::len).sum(), seconds, peak_rss_bytes: crate::peak_rss_bytes() })
}

fn session(environment: &Environment, model: &Path) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_intra_op_spinning(false)?
        .commit_from_file(model.join("model.onnx"))
}

fn run(session: &mut Session, ids: &[i64]) -> anyhow::Result<()> {
    let shape = [1, ids.len()];
    let columns = [ids.to_vec(), vec![1; ids.len()], vec![0; ids.len()]];
    let mut inputs: Vec<(&str, ort::session::SessionInputValue<'_>)> = Vec::with_capacity(INPUTS.len());
    for (name, column) in INPUTS.into_iter().zip(columns) {
        inputs.push((name, Tensor::from_array((shape, column))?.into()));
    }
    let outputs = session.run(inputs)?;
    outputs["last_hidden_state"].try_extract_tensor::<f32>()?;
    Ok(())
}
