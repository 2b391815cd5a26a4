//! `catena model check`: whether a model is whole, may run, and gives vectors as it must.
//!
//! Promises: goes on to the next look where one has failed and that is possible; a failure is a line that begins with
//! WRONG and an exit code of 1. Does not: judge how well a model finds things; `bench` says how fast it is.

use std::fmt;

use anyhow::bail;
use catena_embedding::{Embedder, EmbeddingError, Kind, ModelSpec, Reranker, inspect_model};
use catena_runtime::clock::Stopwatch;
use serde::Serialize;

use super::words::{Words, beyond};
use super::{allowing, milliseconds, nobody, show};
use crate::client::Ended;
use crate::client::output::{Output, clean};
use crate::settings::Settings;

/// How far the length of a vector of 16-bit numbers may be from one.
const LENGTH_TOLERANCE: f64 = 0.005;
/// How alike two vectors of one text must be that another server computed.
const REMOTE_LIKENESS: f64 = 0.999;
/// Texts that are embedded beside those that are looked at.
const COMPANY: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Ok,
    Note,
    Wrong,
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong => "WRONG",
        })
    }
}

#[derive(Debug, Serialize)]
struct Finding {
    grade: Grade,
    what: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    fingerprint: Option<String>,
    in_order: bool,
    findings: Vec<Finding>,
}

impl Report {
    fn say(&mut self, grade: Grade, what: &'static str, text: impl Into<String>) {
        self.in_order &= grade != Grade::Wrong;
        self.findings.push(Finding { grade, what, text: text.into() });
    }

    /// Good if there is nothing to object to.
    fn judge(&mut self, what: &'static str, good: impl Into<String>, objection: Option<String>) {
        match objection {
            None => self.say(Grade::Ok, what, good),
            Some(objection) => self.say(Grade::Wrong, what, objection),
        }
    }
}

pub(super) async fn run(settings: &Settings, name: Option<&str>, output: Output) -> anyhow::Result<Ended> {
    let (name, is_in_use) = (name.unwrap_or(&settings.model), name.is_none());
    let mut report = Report { model: name.to_owned(), fingerprint: None, in_order: true, findings: Vec::new() };
    match inspect_model(&settings.models, name) {
        Err(error) => report.say(Grade::Wrong, "files", error.to_string()),
        Ok(model) => {
            report.fingerprint = Some(model.fingerprint().to_owned());
            described(&mut report, &model, settings, is_in_use);
            let tried = match model.kind() {
                Kind::Embedder => embedder(&mut report, model, settings).await,
                Kind::Reranker => reranker(&mut report, model, settings).await,
            };
            if let Err(error) = tried {
                report.say(Grade::Wrong, "running", error.to_string());
            }
        }
    }
    show(output, &report, as_text)?;
    Ok(if report.in_order { Ended::Done } else { Ended::Failed })
}

fn as_text(report: &Report) -> String {
    let lines = report.findings.iter().map(|it| format!("{:<6} {:<12} {}", it.grade, it.what, clean(&it.text)));
    let verdict = if report.in_order { "is in order" } else { "is not in order" };
    format!("{}\n\n{} {verdict}.", lines.collect::<Vec<_>>().join("\n"), report.model)
}

fn described(report: &mut Report, model: &ModelSpec, settings: &Settings, is_in_use: bool) {
    let runs = match (model.remote_url(), model.precision()) {
        (Some(url), _) => format!("run by {url}"),
        (None, Some(precision)) => precision.as_str().to_owned(),
        (None, None) => "of no precision".to_owned(),
    };
    let text = format!("{} {}, {runs}; every file as it was described", model.kind().as_str(), model.name());
    report.say(Grade::Ok, "files", text);
    let fingerprint = model.fingerprint();
    if settings.allowed_models.has(fingerprint) {
        return report.say(Grade::Ok, "allowed", format!("it may run; its fingerprint is {fingerprint}"));
    }
    // A model that no service is told to use may be looked at before anybody allows it.
    let grade = if is_in_use { Grade::Wrong } else { Grade::Note };
    let line = allowing(settings, fingerprint);
    report.say(grade, "allowed", format!("it may not run; to allow it, write into catena.toml: {line}"));
}

/// A vector in the two forms in which it is looked at.
struct Seen {
    bits: Vec<u16>,
    values: Vec<f64>,
}

async fn embed(embedder: &Embedder, tenant: usize, texts: Vec<String>) -> Result<Vec<Seen>, EmbeddingError> {
    let vectors = embedder.embed_documents(&nobody(tenant), texts).await?;
    let seen = vectors.into_iter().map(|vector| Seen {
        bits: vector.iter().map(|number| number.to_bits()).collect(),
        values: vector.iter().map(|number| number.to_f64()).collect(),
    });
    Ok(seen.collect())
}

async fn embedder(report: &mut Report, model: ModelSpec, settings: &Settings) -> anyhow::Result<()> {
    let (dimension, normalises, is_remote) = (model.dimension(), model.normalises(), model.remote_url().is_some());
    let watch = Stopwatch::start();
    let embedder = Embedder::start(model, &settings.place())?;
    started(report, &embedder, settings, &watch);
    let (limit, count) = (embedder.max_tokens(), |text: &str| embedder.count_tokens(text));
    let mut words = Words::new(1);
    let lengths = [1, 8, 40, limit / 2, limit].map(|tokens| tokens.clamp(1, limit));
    let texts: Vec<String> = lengths.iter().map(|tokens| words.text(*tokens, &count)).collect();
    let company: Vec<String> = (0..COMPANY).map(|at| words.text(lengths[at % lengths.len()], &count)).collect();

    let watch = Stopwatch::start();
    let mut alone = embed(&embedder, 0, texts[..1].to_vec()).await?;
    let first_ms = watch.elapsed_ms();
    for text in &texts[1..] {
        alone.extend(embed(&embedder, 0, vec![text.clone()]).await?);
    }
    let (beside, crowd) =
        tokio::join!(embed(&embedder, 0, [texts.clone(), company.clone()].concat()), embed(&embedder, 1, company));
    crowd?;
    let together = beside?;

    let numbers = alone.iter().find(|seen| seen.values.len() != dimension).map(|seen| seen.values.len());
    let objection = numbers.map(|found| format!("{found} numbers, described are {dimension}"));
    report.judge(
        "dimension",
        format!("{dimension} numbers; the first text took {}", milliseconds(first_ms)),
        objection,
    );
    report.judge("numbers", "all of them finite", (!all_finite(&alone)).then(|| "some are not finite".to_owned()));
    lengths_of(report, &alone, normalises);
    if is_remote {
        similar(report, &alone, &together)
    } else {
        same(report, &alone, &together)
    }
    too_long(report, &embedder, &texts[texts.len() - 1]).await;
    Ok(())
}

fn started(report: &mut Report, embedder: &Embedder, settings: &Settings, watch: &Stopwatch) {
    let took = milliseconds(watch.elapsed_ms());
    match (embedder.device(), embedder.device_missed()) {
        (None, _) => report.say(Grade::Ok, "loading", format!("nothing is loaded here; ready in {took}")),
        (Some(device), Some(reason)) => {
            let (wanted, used) = (settings.device.as_str(), device.as_str());
            let text = format!("ready in {took}, on {used}, because {wanted} cannot be used: {reason}");
            report.say(Grade::Note, "loading", text);
        }
        (Some(device), None) => report.say(Grade::Ok, "loading", format!("ready in {took}, on {}", device.as_str())),
    }
}

fn all_finite(seen: &[Seen]) -> bool {
    seen.iter().flat_map(|seen| &seen.values).all(|value| value.is_finite())
}

fn lengths_of(report: &mut Report, seen: &[Seen], normalises: bool) {
    let lengths = seen.iter().map(|seen| seen.values.iter().map(|value| value * value).sum::<f64>().sqrt());
    let furthest = lengths.map(|length| (length - 1.0).abs()).fold(0.0, f64::max);
    if normalises {
        let wrong = (furthest > LENGTH_TOLERANCE).then(|| format!("a vector's length is off one by {furthest:.4}"));
        report.judge("length", "every vector has length one", wrong);
    }
}

fn same(report: &mut Report, alone: &[Seen], together: &[Seen]) {
    let differ = alone.iter().zip(together).filter(|(one, other)| one.bits != other.bits).count();
    let good = format!("{} texts have the same bits alone and beside {COMPANY} others", alone.len());
    let wrong = format!("{differ} of {} texts have other bits beside others than alone", alone.len());
    report.judge("sameness", good, (differ > 0).then_some(wrong));
}

/// What another server computes need not be the same to the last bit.
fn similar(report: &mut Report, alone: &[Seen], together: &[Seen]) {
    let product = |one: &Seen, other: &Seen| one.values.iter().zip(&other.values).map(|(a, b)| a * b).sum::<f64>();
    let cosine = |(one, other)| product(one, other) / (product(one, one) * product(other, other)).sqrt();
    let cosines: Vec<f64> = alone.iter().zip(together).map(cosine).collect();
    let least = cosines.iter().copied().fold(1.0, f64::min);
    let are_same = alone.iter().zip(together).all(|(one, other)| one.bits == other.bits);
    // A vector of zeros is like none, and its cosine is no number.
    if !cosines.iter().all(|cosine| *cosine >= REMOTE_LIKENESS) {
        let text = format!("a text alone and the same beside others are alike to {least:.4} only");
        report.say(Grade::Wrong, "sameness", text);
    } else if are_same {
        report.say(Grade::Ok, "sameness", "texts have the same bits alone and beside others");
    } else {
        let text = format!("alone and beside others, a text's vectors are alike to {least:.6}, not to the bit");
        report.say(Grade::Note, "sameness", text);
    }
}

async fn too_long(report: &mut Report, embedder: &Embedder, longest: &str) {
    let (limit, count) = (embedder.max_tokens(), |text: &str| embedder.count_tokens(text));
    let text = beyond(longest, limit, &count);
    let tokens = count(&text);
    let wrong = match embed(embedder, 0, vec![text]).await {
        Err(EmbeddingError::TextTooLong { .. }) => None,
        Err(error) => Some(error.to_string()),
        Ok(_) => Some(format!("a text of {tokens} tokens was taken, and {limit} fit")),
    };
    report.judge("window", format!("texts of {} tokens are taken, of {tokens} refused", count(longest)), wrong);
}

async fn reranker(report: &mut Report, model: ModelSpec, settings: &Settings) -> anyhow::Result<()> {
    let watch = Stopwatch::start();
    let reranker = Reranker::start(model, &settings.place())?;
    report.say(Grade::Ok, "loading", format!("ready in {}", milliseconds(watch.elapsed_ms())));
    let query = "How often are the keys of a house turned?";
    let passages: Vec<String> = [
        "The keys of a house are turned by its owner every year.",
        "Two ships wait for light under the old bridge.",
        "Water",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut alone = Vec::new();
    for passage in &passages {
        alone.extend(reranker.judge(&nobody(0), query, vec![passage.clone()]).await?);
    }
    let together = reranker.judge(&nobody(0), query, passages).await?;
    let bits = |scores: &[catena_embedding::Score]| scores.iter().map(|it| it.value.to_bits()).collect::<Vec<_>>();
    let (Some(fitting), Some(other)) = (alone.first(), alone.get(1)) else { bail!("it gave no scores") };
    let differ = bits(&alone) != bits(&together);
    let wrong = differ.then(|| "a passage's score depends on the passages beside it".to_owned());
    report.judge("sameness", "a passage has the same score alone and beside others", wrong);
    let (fitting, other) = (fitting.value, other.value);
    let grade = if fitting > other { Grade::Ok } else { Grade::Note };
    report.say(grade, "scores", format!("a passage that fits has {fitting:.3}, one that does not {other:.3}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(values: &[f64]) -> Seen {
        Seen { bits: values.iter().map(|value| (value * 1_000.0) as u16).collect(), values: values.to_vec() }
    }

    fn grade(look: impl FnOnce(&mut Report)) -> Grade {
        let mut report = Report { model: "m".to_owned(), fingerprint: None, in_order: true, findings: Vec::new() };
        look(&mut report);
        let last = report.findings.pop().unwrap();
        assert_eq!(report.in_order, last.grade != Grade::Wrong, "{last:?}");
        last.grade
    }

    #[test]
    fn a_vector_that_depends_on_its_neighbours_is_wrong_and_of_another_server_if_it_is_far_off() {
        let (one, near, far) = (seen(&[0.6, 0.8]), seen(&[0.601, 0.799]), seen(&[0.8, 0.6]));
        let pair = |of: &Seen| [seen(&of.values)];
        assert_eq!(grade(|report| same(report, &pair(&one), &pair(&one))), Grade::Ok);
        assert_eq!(grade(|report| same(report, &pair(&one), &pair(&near))), Grade::Wrong);
        assert_eq!(grade(|report| similar(report, &pair(&one), &pair(&one))), Grade::Ok);
        assert_eq!(grade(|report| similar(report, &pair(&one), &pair(&near))), Grade::Note);
        assert_eq!(grade(|report| similar(report, &pair(&one), &pair(&far))), Grade::Wrong);
        assert_eq!(grade(|report| similar(report, &pair(&one), &pair(&seen(&[0.0, 0.0])))), Grade::Wrong);
    }

    #[test]
    fn a_length_that_is_not_one_is_wrong_where_it_was_described_so() {
        assert_eq!(grade(|report| lengths_of(report, &[seen(&[0.6, 0.8])], true)), Grade::Ok);
        assert_eq!(grade(|report| lengths_of(report, &[seen(&[0.6, 0.8]), seen(&[3.0, 4.0])], true)), Grade::Wrong);
        assert!(!all_finite(&[seen(&[1.0, f64::NAN])]));
    }
}
