//! `catena model`: what an operator sees of the models on a machine, without a service.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::server::{Ended, Launch};
use crate::harness::{Home, place};

const DEFAULT: &str = "all-minilm-l6-v2-int8";

fn model(home: &Home, models: &Path, arguments: &[&str]) -> Launch {
    Launch::new(home.path(), &[&["model"], arguments].concat())
        .variable("CATENA_PROVISION", place::provision().display())
        .variable("CATENA_MODELS", models.display())
}

/// A folder of models with a copy of the default one under this name, described in another way.
fn described(home: &Home, name: &str, change: impl FnOnce(String) -> String) -> std::path::PathBuf {
    let models = home.path().join("models");
    let (from, to) = (place::provision().join("models").join(DEFAULT), models.join(name));
    fs::create_dir_all(&to).expect("a folder for a model");
    for entry in fs::read_dir(from).expect("the provisioned model").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy of the model");
    }
    let description = to.join("catena-model.toml");
    let text = fs::read_to_string(&description).expect("its description");
    fs::write(description, change(text)).expect("another description");
    models
}

#[track_caller]
fn json(ended: &Ended, code: i32) -> Value {
    assert_eq!(ended.code, Some(code), "{}", ended.text);
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error} in: {}", ended.out))
}

/// What `check` says of one thing that it looked at.
#[track_caller]
fn grade<'a>(report: &'a Value, what: &str) -> &'a str {
    let findings = report["findings"].as_array().expect("findings");
    let finding = findings.iter().find(|finding| finding["what"] == what);
    finding.unwrap_or_else(|| panic!("no {what} in {report}"))["grade"].as_str().expect("a grade")
}

#[tokio::test]
async fn models_are_listed_with_what_is_wrong_with_them_and_which_is_in_use() {
    let home = Home::new();
    let models = described(&home, DEFAULT, |text| text);
    described(&home, "shorter", |text| text.replace("max_tokens = 256", "max_tokens = 128"));
    described(&home, "damaged", |text| text);
    fs::write(models.join("damaged/tokenizer.json"), "{}").expect("the file is spoiled");
    fs::create_dir(models.join("empty")).expect("a folder");
    let listed = json(&model(&home, &models, &["list", "--known", "--json"]).ended().await, 0);
    let row = |name: &str| {
        let rows = listed["models"].as_array().expect("rows");
        rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {listed}")).clone()
    };
    let used = row(DEFAULT);
    assert_eq!((&used["in_use"], &used["allowed"]), (&true.into(), &true.into()), "{used}");
    assert_eq!((&used["kind"], &used["precision"]), (&"embedder".into(), &"int8".into()), "{used}");
    assert_eq!((&used["dimension"], &used["window_tokens"]), (&384.into(), &256.into()), "{used}");
    assert!(used["size_bytes"].as_u64() > Some(10_000_000), "{used}");
    let shorter = row("shorter");
    assert_eq!((&shorter["in_use"], &shorter["allowed"]), (&false.into(), &false.into()), "{shorter}");
    assert!(row("damaged")["error"].as_str().is_some_and(|text| text.contains("tokenizer.json is damaged")));
    assert!(row("empty")["error"].as_str().is_some_and(|text| text.contains("catena-model.toml")));
    assert!(listed["known"].as_array().expect("names").iter().any(|known| known["name"] == "BGESmallENV15"));

    let table = model(&home, &models, &["list"]).ended().await.out;
    let line = |name: &str| table.lines().find(|line| line.contains(name)).expect("a line").to_owned();
    assert!(line(DEFAULT).starts_with('*') && line(DEFAULT).contains("yes"), "{table}");
    assert!(line("shorter").contains(" no ") && line("damaged").contains("DAMAGED"), "{table}");
}

#[tokio::test]
async fn the_model_in_use_is_in_order_and_one_that_is_not_allowed_is_said_to_be() {
    let home = Home::new();
    let models = described(&home, DEFAULT, |text| text);
    let report = json(&model(&home, &models, &["check", "--json"]).ended().await, 0);
    for what in ["files", "allowed", "loading", "dimension", "numbers", "length", "sameness", "window"] {
        assert_eq!(grade(&report, what), "ok", "{report}");
    }
    described(&home, "shorter", |text| text.replace("max_tokens = 256", "max_tokens = 128"));
    let check = model(&home, &models, &["check", "shorter", "--json"]);
    let report = json(&check.clone().ended().await, 0);
    assert_eq!((grade(&report, "allowed"), grade(&report, "window")), ("note", "ok"), "{report}");
    let fingerprint = report["fingerprint"].as_str().expect("a fingerprint");
    let report = json(&check.variable("CATENA_ALLOWED_MODELS", fingerprint).ended().await, 0);
    assert_eq!(grade(&report, "allowed"), "ok", "{report}");
    let in_use = model(&home, &models, &["check", "--json"]).variable("CATENA_MODEL", "shorter");
    assert_eq!(grade(&json(&in_use.ended().await, 1), "allowed"), "wrong");
}

#[tokio::test]
async fn a_model_that_is_damaged_or_does_not_do_what_it_says_is_not_in_order() {
    let home = Home::new();
    let models = described(&home, "wide", |text| text.replace("dimension = 384", "dimension = 385"));
    described(&home, "damaged", |text| text);
    fs::write(models.join("damaged/model.onnx"), "nothing").expect("the file is spoiled");
    for (name, words) in [("wide", "385"), ("damaged", "model.onnx is damaged"), ("absent", "no model absent")] {
        let ended = model(&home, &models, &["check", name]).ended().await;
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        assert!(ended.out.contains("WRONG") && ended.out.contains(words), "{}", ended.text);
        assert!(ended.out.contains("is not in order"), "{}", ended.text);
    }
}

#[tokio::test]
async fn a_model_is_measured_and_one_that_is_there_is_not_fetched() {
    let home = Home::new();
    let models = described(&home, DEFAULT, |text| text);
    let measured = json(&model(&home, &models, &["bench", "--seconds", "1", "--json"]).ended().await, 0);
    for figure in ["/long_documents/tokens_per_s", "/query_alone/p50_ms", "/query_beside_documents/p99_ms", "/load_ms"]
    {
        assert!(measured.pointer(figure).and_then(Value::as_f64) > Some(0.0), "{figure}: {measured}");
    }
    assert_eq!(measured["long_documents"]["tokens_in_a_text"], 250.0, "{measured}");
    let pulled = json(&model(&home, &models, &["pull", DEFAULT, "--json"]).ended().await, 0);
    assert_eq!((&pulled["fetched"], &pulled["allowed"]), (&false.into(), &true.into()), "{pulled}");
    let unknown = model(&home, &models, &["pull", "no-such-model"]).ended().await;
    assert_eq!(unknown.code, Some(1), "{}", unknown.text);
    let unreachable = model(&home, &models, &["pull", "BGESmallENV15"]).variable("HF_ENDPOINT", "http://127.0.0.1:9");
    let ended = unreachable.ended().await;
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert!(ended.text.contains("BGESmallENV15") && ended.text.contains("provision.py"), "{}", ended.text);
}
