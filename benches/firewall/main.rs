//! What does the firewall find where nothing was planted, what of what is planted, and how fast?
//!
//! Measured: findings for each detector in every 1,000 documents of the given collections, which hold few secrets and
//! little personal data, so that most of it is what a person would call wrong; with `--show`, the lines themselves, for a
//! person to judge. Of synthetic plants, put into documents of the same collections one by one, how many are found where
//! they are. The time of one pass over all texts with every detector on, on one thread, best of three.
//!
//! Collections are folders in the BEIR layout (`corpus.jsonl`) or folders of text files; none is part of this project.
//! Caveat: plants are made by rules, so what they measure is that the forms are known, not that all of the world's are.

mod plants;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use catena_firewall::{Action, Class, Noticed, Policy, detector, detectors, screen};
use clap::Parser;
use serde::Deserialize;
use tokio::time::Instant;

/// Documents into which plants are put.
const BEDS: usize = 500;

#[derive(Parser)]
struct Arguments {
    /// The folder that holds the collections.
    #[arg(long, env = "CATENA_BENCH_DATA")]
    data: PathBuf,
    /// Show the lines in which this detector found something.
    #[arg(long, value_name = "DETECTOR")]
    show: Option<String>,
    /// The collections: names of folders.
    #[arg(default_values = ["beir/scifact", "beir/squad_v2_dev", "changes/prometheus-docs/2026-06-01"])]
    sets: Vec<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    title: String,
    text: String,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut all = Vec::new();
    for set in &arguments.sets {
        let documents = read(&arguments.data.join(set))?;
        match &arguments.show {
            Some(name) => show(name, &documents),
            None => count(set, &documents),
        }
        all.extend(documents);
    }
    if arguments.show.is_none() {
        speed(&all);
        recall(&all);
    }
    Ok(())
}

fn read(folder: &Path) -> anyhow::Result<Vec<String>> {
    let corpus = folder.join("corpus.jsonl");
    if corpus.is_file() {
        let text = std::fs::read_to_string(&corpus)?;
        let line = |line: &str| -> anyhow::Result<String> {
            let Line { title, text } = serde_json::from_str(line)?;
            Ok(format!("{title}\n\n{text}"))
        };
        return text.lines().map(line).collect();
    }
    let mut documents = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                documents.push(text);
            }
        }
    }
    Ok(documents)
}

/// Everything on, and nothing changed.
fn everything() -> Policy {
    let detectors = detectors().map(|detector| (detector.name.to_owned(), Action::Flag)).collect();
    Policy { detectors, ..Policy::default() }
}

fn count(set: &str, documents: &[String]) {
    let policy = everything();
    let (mut findings, mut with): (BTreeMap<&str, u32>, BTreeMap<&str, u32>) = Default::default();
    let mut flagged: HashMap<Class, u32> = HashMap::new();
    for document in documents {
        let report = screen(&policy, Noticed::default(), document.clone(), Vec::new()).report;
        for (name, times) in report.counts {
            *findings.entry(name).or_default() += times;
            *with.entry(name).or_default() += 1;
        }
        report.flags.into_iter().for_each(|class| *flagged.entry(class).or_default() += 1);
    }
    let per_thousand = |count: u32| f64::from(count) * 1_000.0 / documents.len().max(1) as f64;
    println!("\n{set}: {} documents", documents.len());
    println!("{:<20} {:>10} {:>10} {:>18}", "detector", "findings", "documents", "findings per 1,000");
    for detector in detectors() {
        let times = findings.get(detector.name).copied().unwrap_or_default();
        if times > 0 {
            println!("{:<20} {times:>10} {:>10} {:>18.2}", detector.name, with[detector.name], per_thousand(times));
        }
    }
    for class in Class::ALL {
        let documents = flagged.get(&class).copied().unwrap_or_default();
        println!(
            "{:<20} {:>10} {documents:>10} {:>18.2}",
            format!("class {}", class.as_str()),
            "",
            per_thousand(documents)
        );
    }
}

fn show(name: &str, documents: &[String]) {
    let policy = everything();
    for document in documents {
        for span in screen(&policy, Noticed::default(), document.clone(), Vec::new()).report.spans {
            if span.detector == name {
                let from = document.floor_char_boundary(span.start.saturating_sub(50));
                let to = document.ceil_char_boundary(span.end + 20);
                let confidence = span.confidence.as_str();
                println!("{confidence:<6} {:?}", document.get(from..to).unwrap_or_default());
            }
        }
    }
}

fn speed(documents: &[String]) {
    let bytes: usize = documents.iter().map(String::len).sum();
    for (name, policy) in [("the default policy", Policy::default()), ("every detector on", everything())] {
        let pass = || {
            let begun = Instant::now();
            for document in documents {
                std::hint::black_box(screen(&policy, Noticed::default(), document.clone(), Vec::new()));
            }
            begun.elapsed().as_secs_f64()
        };
        let best = (0..3).map(|_| pass()).fold(f64::MAX, f64::min);
        println!("\n{name}: {:.1} MB in {best:.2} s, {:.1} MB/s", bytes as f64 / 1e6, bytes as f64 / 1e6 / best);
    }
}

/// Puts each plant between two paragraphs of a document, and looks whether it is found where it is.
fn recall(documents: &[String]) {
    let policy = everything();
    let beds: Vec<&String> = documents.iter().filter(|it| it.len() > 400).take(BEDS).collect();
    let mut found: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for (number, plant) in plants::all().into_iter().enumerate() {
        let Some(bed) = beds.get(number * 7 % beds.len().max(1)) else { return };
        let middle = bed.floor_char_boundary(bed.len() / 2);
        let at = bed[middle..].find(['\n', '.']).map_or(bed.len(), |end| middle + end + 1);
        let text = format!("{}\n\n{}\n\n{}", &bed[..at], plant.text, &bed[at..]);
        let start = at + 2 + plant.text.find(&plant.part).unwrap_or_default();
        let end = start + plant.part.len();
        let class = detector(plant.detector).map(|it| it.class);
        let spans = screen(&policy, Noticed::default(), text, Vec::new()).report.spans;
        let hit = spans.iter().any(|it| Some(it.class) == class && it.start < end && it.end > start);
        let tally = found.entry(plant.detector).or_default();
        tally.0 += u32::from(hit);
        tally.1 += 1;
    }
    println!("\n{:<20} {:>8} {:>8}", "planted", "found", "of");
    for (name, (hits, all)) in found {
        println!("{name:<20} {hits:>8} {all:>8}");
    }
}
