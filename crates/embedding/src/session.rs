//! ONNX Runtime sessions over one graph, each owned by one worker.
//!
//! Promises: a session computes on the thread that calls it; a text's answer depends on the text alone, whatever else is
//! in its run; a model that does not fit its description fails before anything is asked of it; where a graphics card was
//! asked for and cannot be used, the processor does the work, and the log and a metric say so. Does not: queue.

use std::sync::Arc;

use ort::environment::Environment;
use ort::memory::MemoryInfo;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use crate::answer::Answer;
use crate::device::Device;
use crate::error::EmbeddingError;
use crate::lane::{Input, Job, Reply, Turn};
use crate::model::{Facts, Graph};
use crate::runs::{Plan, Run};
use crate::tokens::{self, Role, Tokens};
use crate::vector::Output;
use crate::weights::Weights;
use crate::worker::Worker;

const USUAL_OUTPUT: &str = "last_hidden_state";
/// Tokens in a run of short texts: more does not pay on a processor, whose caches a larger run leaves.
const RUN_TOKENS: usize = 256;
/// Tokens in a run on a graphics card, which is only busy when it has much to do.
const DEVICE_RUN_TOKENS: usize = 16_384;
/// About the bytes of a token, to turn a budget in tokens into one that costs nothing to check.
const BYTES_PER_TOKEN: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Feed {
    Ids,
    Mask,
    Types,
}

/// What all sessions of a graph have in common.
pub(crate) struct Engines {
    facts: Arc<Facts>,
    environment: Environment,
    graph: Graph,
    weights: Option<Weights>,
    device: Device,
    missed: Option<String>,
}

impl Engines {
    /// Loads the weights once.
    pub(crate) fn load(
        environment: Environment,
        facts: Arc<Facts>,
        mut graph: Graph,
        wanted: Device,
    ) -> Result<Self, EmbeddingError> {
        let weights = graph.weights.take().map(|file| Weights::read(&file, graph.precision)).transpose();
        let weights = weights.map_err(|reason| facts.unusable(format!("its weights cannot be read: {reason}")))?;
        let mut engines = Self { facts, environment, graph, weights, device: wanted, missed: None };
        (engines.device, engines.missed) =
            wanted.usable(|| engines.session(wanted).map(drop).map_err(|error| error.to_string()));
        Ok(engines)
    }

    /// What computes.
    pub(crate) fn device(&self) -> Device {
        self.device
    }

    /// Why it is not what was asked for, if it is not.
    pub(crate) fn missed(&self) -> Option<String> {
        self.missed.clone()
    }

    /// A session for one worker, tried once on a short text.
    pub(crate) fn engine<A: Answer>(&self) -> Result<Engine, EmbeddingError> {
        let transfer = match self.device {
            Device::Cpu => Transfer::Direct,
            Device::Cuda => Transfer::Bound,
        };
        self.engine_by::<A>(self.plan(), transfer)
    }

    fn engine_by<A: Answer>(&self, plan: Plan, transfer: Transfer) -> Result<Engine, EmbeddingError> {
        let unusable = |reason: String| self.facts.unusable(reason);
        let session = self.session(self.device).map_err(|error| unusable(error.to_string()))?;
        let feeds = session.inputs().iter().map(|input| feed(input.name())).collect::<Result<Vec<_>, _>>();
        let feeds = feeds.map_err(unusable)?;
        let names: Vec<&str> = session.outputs().iter().map(|output| output.name()).collect();
        let wanted = self.facts.description.output.as_deref().unwrap_or(USUAL_OUTPUT);
        let output = match (names.iter().find(|name| **name == wanted), names.first()) {
            (Some(name), _) => (*name).to_owned(),
            (None, Some(first)) if self.facts.description.output.is_none() => (*first).to_owned(),
            _ => return Err(unusable(format!("it has no output {wanted}, but {}", names.join(", ")))),
        };
        let facts = Arc::clone(&self.facts);
        let mut engine = Engine { session, facts, feeds, output, plan, transfer, sum: Vec::new() };
        let input = match A::ROLE {
            Role::Query | Role::Document => Input::Text("a".to_owned()),
            Role::Judged => Input::Pair { query: "a".into(), passage: "a".to_owned() },
        };
        let tried = engine.try_one::<A>(&input);
        tried.map_err(|error| unusable(format!("a first text failed: {error}")))?;
        Ok(engine)
    }

    fn plan(&self) -> Plan {
        match (self.device, self.graph.precision.may_share_a_run()) {
            (Device::Cuda, true) => {
                Plan::Padded { budget_tokens: DEVICE_RUN_TOKENS, window_tokens: self.facts.description.max_tokens }
            }
            (Device::Cpu, true) => Plan::EqualLengths { budget_tokens: RUN_TOKENS },
            (_, false) => Plan::Alone,
        }
    }

    fn session(&self, device: Device) -> ort::Result<Session> {
        let builder = Session::builder(&self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_parallel_execution(false)?
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?
            // Lengths differ from text to text: a remembered memory plan for each would only grow.
            .with_memory_pattern(false)?;
        let mut builder: SessionBuilder = device.prepare(builder)?;
        if let Some(weights) = &self.weights {
            builder = weights.lend_to(builder)?;
        }
        for (name, bytes) in &self.graph.external {
            builder = builder.with_external_initializer_file_in_memory(name, Arc::clone(bytes))?;
        }
        builder.commit_from_memory(&self.graph.nodes)
    }
}

fn feed(name: &str) -> Result<(String, Feed), String> {
    let feed = match name {
        "input_ids" => Feed::Ids,
        "attention_mask" => Feed::Mask,
        "token_type_ids" => Feed::Types,
        other => return Err(format!("its graph wants an input {other}, which is not known here")),
    };
    Ok((name.to_owned(), feed))
}

/// How numbers get to where they are computed with, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transfer {
    /// They are there.
    Direct,
    /// Copied while the device is still busy with what came before.
    Bound,
}

/// One session, owned by one thread.
pub(crate) struct Engine {
    session: Session,
    facts: Arc<Facts>,
    feeds: Vec<(String, Feed)>,
    output: String,
    plan: Plan,
    transfer: Transfer,
    sum: Vec<f32>,
}

impl Engine {
    /// Computes one run and tells those who wait for it.
    fn answer_run<A: Answer>(&mut self, run: &Run, members: Vec<Ready<A>>) -> Work {
        let tokens: Vec<&Tokens> = members.iter().map(|ready| &ready.tokens).collect();
        let work = Work { texts: tokens.len(), tokens: tokens.iter().map(|tokens| tokens.len()).sum() };
        match self.run::<A>(run, &tokens) {
            Ok(answers) => {
                for (Ready { position, reply, .. }, answer) in members.into_iter().zip(answers) {
                    let _ = reply.send(answer.map_err(|defect| EmbeddingError::BadVector { position, defect }));
                }
            }
            Err(reason) => {
                for Ready { position, reply, .. } in members {
                    let _ = reply.send(Err(EmbeddingError::Run { position, reason: reason.clone() }));
                }
            }
        }
        work
    }

    fn try_one<A: Answer>(&mut self, input: &Input) -> Result<(), EmbeddingError> {
        let tokens = tokens::read(&self.facts, A::ROLE, 0, input)?;
        let plan = self.plan.runs(&[tokens.len()]);
        for run in plan {
            let answers = self.run::<A>(&run, &[&tokens]);
            for answer in answers.map_err(|reason| EmbeddingError::Run { position: 0, reason })? {
                answer.map_err(|defect| EmbeddingError::BadVector { position: 0, defect })?;
            }
        }
        Ok(())
    }

    /// Computes one run. The texts may be fewer than its rows.
    fn run<A: Answer>(&mut self, run: &Run, texts: &[&Tokens]) -> Result<Vec<Result<A, &'static str>>, String> {
        let text = |error: ort::Error| error.to_string();
        // A run that lost a member is smaller, unless its shape must not say so.
        let rows = if matches!(self.plan, Plan::Padded { .. }) { run.rows } else { texts.len() };
        let mut inputs: Vec<(&str, Tensor<i64>)> = Vec::with_capacity(self.feeds.len());
        for (name, feed) in &self.feeds {
            let mut numbers = vec![0_i64; rows * run.width];
            for (row, tokens) in numbers.chunks_exact_mut(run.width).zip(texts) {
                let given = match feed {
                    Feed::Ids => tokens.encoding.get_ids(),
                    Feed::Mask => tokens.encoding.get_attention_mask(),
                    Feed::Types => tokens.encoding.get_type_ids(),
                };
                row.iter_mut().zip(given).for_each(|(cell, number)| *cell = i64::from(*number));
            }
            inputs.push((name, Tensor::from_array(([rows, run.width], numbers)).map_err(text)?));
        }
        let mut binding;
        let outputs = match self.transfer {
            Transfer::Direct => {
                let inputs: Vec<(&str, SessionInputValue<'_>)> =
                    inputs.into_iter().map(|(name, tensor)| (name, tensor.into())).collect();
                self.session.run(inputs)
            }
            Transfer::Bound => {
                binding = self.session.create_binding().map_err(text)?;
                for (name, tensor) in &inputs {
                    binding.bind_input(*name, tensor).map_err(text)?;
                }
                binding.bind_output_to_device(&self.output, &MemoryInfo::default()).map_err(text)?;
                self.session.run_binding(&binding)
            }
        };
        let outputs = outputs.map_err(text)?;
        let output = outputs.get(&self.output).ok_or_else(|| format!("there is no output {}", self.output))?;
        let (shape, numbers) = output.try_extract_tensor::<f32>().map_err(text)?;
        let output = Output::new(shape, numbers, (rows, run.width), self.facts.description.dimension)?;
        let sum = &mut self.sum;
        let answer = |(row, tokens): (usize, &&Tokens)| A::read(output.row(row), &self.facts.description, tokens, sum);
        Ok(texts.iter().enumerate().map(answer).collect())
    }
}

impl<A: Answer> Worker<A> for Engine {
    /// What fills a few runs, so that nobody waits long for the next turn.
    fn turn(&self) -> Turn {
        let (texts, tokens) = match (A::ROLE, self.plan) {
            (Role::Query, _) => return Turn::ONE,
            (_, Plan::Alone) => (8, RUN_TOKENS),
            (_, Plan::EqualLengths { budget_tokens }) => (64, 4 * budget_tokens),
            (_, Plan::Padded { budget_tokens, .. }) => (512, 2 * budget_tokens),
        };
        Turn { texts, bytes: tokens * BYTES_PER_TOKEN }
    }

    fn answer(&mut self, jobs: Vec<Job<A>>) -> Work {
        let mut ready = Vec::with_capacity(jobs.len());
        for job in jobs {
            let (position, input, reply) = job.begin();
            match tokens::read(&self.facts, A::ROLE, position, &input) {
                Ok(tokens) => ready.push(Some(Ready { position, tokens, reply })),
                Err(error) => _ = reply.send(Err(error)),
            }
        }
        let lengths: Vec<usize> = ready.iter().flatten().map(|ready| ready.tokens.len()).collect();
        let mut work = Work::default();
        for run in self.plan.runs(&lengths) {
            let members = run.members.iter().filter_map(|&place| ready.get_mut(place)?.take());
            // Time has passed since the turn began: who left in between is left out.
            let members: Vec<_> = members.filter(|ready| !ready.reply.is_closed()).collect();
            if !members.is_empty() {
                work += self.answer_run(&run, members);
            }
        }
        work
    }
}

/// A text that has been read.
struct Ready<A> {
    position: usize,
    tokens: Tokens,
    reply: Reply<A>,
}

/// What a turn amounted to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Work {
    pub(crate) texts: usize,
    pub(crate) tokens: usize,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.texts += other.texts;
        self.tokens += other.tokens;
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use half::f16;

    use super::*;
    use crate::answer::DocumentVector;
    use crate::model::{Allowed, Source, open_model};

    fn provisioned() -> PathBuf {
        let named = catena_runtime::environment::variable("CATENA_PROVISION").map(PathBuf::from);
        named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.catena"))
    }

    fn engines(model: &str) -> Engines {
        let library = crate::find_library(Some(&provisioned().join("runtime")), Device::Cpu).unwrap();
        let model = open_model(&provisioned().join("models"), model, &Allowed::default()).unwrap();
        let Source::Graph(graph) = model.source else { unreachable!("it is a graph") };
        Engines::load(crate::library::environment(&library).unwrap(), model.facts, graph, Device::Cpu).unwrap()
    }

    fn vectors(engine: &mut Engine, texts: &[&str]) -> Vec<DocumentVector> {
        let read = |text: &&str| tokens::read(&engine.facts, Role::Document, 0, &Input::Text((*text).to_owned()));
        let tokens: Vec<Tokens> = texts.iter().map(read).collect::<Result<_, _>>().unwrap();
        let lengths: Vec<usize> = tokens.iter().map(Tokens::len).collect();
        let mut vectors = vec![Vec::new(); texts.len()];
        for run in engine.plan.runs(&lengths) {
            let members: Vec<&Tokens> = run.members.iter().map(|&place| &tokens[place]).collect();
            let answers = engine.run::<DocumentVector>(&run, &members).unwrap();
            for (&place, answer) in run.members.iter().zip(answers) {
                vectors[place] = answer.unwrap();
            }
        }
        vectors
    }

    fn cosine(one: &[f16], other: &[f16]) -> f32 {
        one.iter().zip(other).map(|(a, b)| a.to_f32() * b.to_f32()).sum()
    }

    /// The way of a graphics card, walked by the processor: what padding and company do to a vector shows here as well.
    #[test]
    fn padded_runs_of_one_shape_give_each_text_its_own_vector() {
        let engines = engines("all-minilm-l6-v2-fp16");
        let plan = Plan::Padded { budget_tokens: 256, window_tokens: 256 };
        let mut padded = engines.engine_by::<DocumentVector>(plan, Transfer::Bound).unwrap();
        let mut plain = engines.engine::<DocumentVector>().unwrap();
        let long = "keys are rotated every ninety days ".repeat(9);
        let texts = ["keys", "how are keys rotated", "cats sleep all day", &long, "the owner of the service decides"];
        let together = vectors(&mut padded, &texts);
        for ((text, vector), plain) in texts.iter().zip(&together).zip(vectors(&mut plain, &texts)) {
            assert_eq!(&vectors(&mut padded, &[text])[0], vector, "{text}");
            assert!(cosine(vector, &plain) > 0.999, "{text}: {}", cosine(vector, &plain));
        }
    }
}
