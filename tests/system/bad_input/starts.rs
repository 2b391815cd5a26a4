//! A service that cannot start says so at once, names what is wrong and the way out, and leaves its data alone.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::harness::server::{Ended, Launch};
use crate::harness::{Home, place};

/// A refusal comes before anybody wonders whether the program hangs.
const SOON: Duration = Duration::from_secs(10);
/// The default model.
const MODEL: &str = "all-minilm-l6-v2-int8";

#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{}", ended.text);
    assert!(ended.took < SOON, "it took {:?}: {}", ended.took, ended.text);
    for word in words {
        assert!(ended.text.contains(word), "{word:?} is not in: {}", ended.text);
    }
    assert!(!ended.text.contains("panicked"), "{}", ended.text);
}

/// A folder of data with a document in it, its service stopped.
async fn data() -> (Home, String) {
    let home = Home::new();
    let server = home.start().await;
    let admin = server.tenant("acme").await;
    admin.write("swifts.md", "# Swifts\n\nSwifts sleep on the wing.").await;
    server.stop().await;
    (home, admin.key.expect("a key"))
}

async fn assert_unharmed(home: &Home, key: &str) {
    let server = home.start().await;
    let client = server.client(key).in_tenant("acme");
    assert_eq!(client.found("how do swifts sleep").await, ["swifts.md"]);
    server.stop().await;
}

/// A folder of models in which the default one can be spoiled.
fn models(home: &Home) -> std::path::PathBuf {
    let models = home.path().join("models");
    let from = place::provision().join("models").join(MODEL);
    let to = models.join(MODEL);
    fs::create_dir_all(&to).expect("a folder for a model");
    for entry in fs::read_dir(from).expect("the provisioned model").flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy of the model");
    }
    models
}

fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a file");
    change(&mut bytes);
    fs::write(path, bytes).expect("the file is changed");
}

#[tokio::test]
async fn a_runtime_library_that_is_missing_or_wrong_is_named() {
    let (home, key) = data().await;
    let text = home.path().join("libonnxruntime.so");
    fs::write(&text, "This is not a library.\n").expect("a file");
    let empty = home.path().join("empty");
    fs::create_dir_all(&empty).expect("a folder");
    let missing = home.path().join("nonexistent").display().to_string();
    for (library, words) in [
        (missing.as_str(), vec!["nonexistent", "CATENA_ONNXRUNTIME", "provision.py"]),
        (&empty.display().to_string(), vec!["empty", "CATENA_ONNXRUNTIME", "provision.py"]),
        (&text.display().to_string(), vec!["libonnxruntime.so", "CATENA_ONNXRUNTIME", "provision.py"]),
    ] {
        let ended = home.serve().variable("CATENA_ONNXRUNTIME", library).ended().await;
        assert_refused(&ended, &words);
        assert_refused(&home.serve().variable("ORT_DYLIB_PATH", library).ended().await, &words);
    }
    assert_unharmed(&home, &key).await;
}

#[tokio::test]
async fn a_model_that_is_missing_or_damaged_is_named() {
    let (home, key) = data().await;
    let with = |models: &Path| home.serve().variable("CATENA_MODELS", models.display());
    let none = home.path().join("no-models");
    assert_refused(&with(&none).ended().await, &["no-models", MODEL]);
    let unknown = home.serve().variable("CATENA_MODEL", "no-such-model").ended().await;
    assert_refused(&unknown, &["no-such-model"]);

    let models = models(&home);
    let model = models.join(MODEL);
    with(&models).start().await.stop().await;
    for (file, what) in [("model.onnx", "damaged"), ("weights.safetensors", "damaged"), ("tokenizer.json", "damaged")] {
        let path = model.join(file);
        let whole = fs::read(&path).expect("a file of the model");
        overwrite(&path, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        assert_refused(&with(&models).ended().await, &[file, what]);
        overwrite(&path, |bytes| bytes.truncate(bytes.len() / 3));
        assert_refused(&with(&models).ended().await, &[file, what]);
        fs::remove_file(&path).expect("the file is removed");
        assert_refused(&with(&models).ended().await, &[file]);
        fs::write(&path, whole).expect("the file is mended");
    }
    overwrite(&model.join("catena-model.toml"), |bytes| bytes.extend_from_slice(b"\nsurprise = ["));
    assert_refused(&with(&models).ended().await, &["catena-model.toml"]);
    assert_unharmed(&home, &key).await;
}

#[tokio::test]
async fn a_setting_that_is_not_known_is_refused_by_name() {
    let (home, key) = data().await;
    let variable = home.serve().variable("CATENA_LISTN", "127.0.0.1:1").ended().await;
    assert_refused(&variable, &["CATENA_LISTN"]);
    let wrong = home.serve().variable("CATENA_WORKERS", "many").ended().await;
    assert_refused(&wrong, &["CATENA_WORKERS", "many"]);
    let file = home.path().join("catena.toml");
    fs::write(&file, "workers = 2\nwrokers = 3\n").expect("a file");
    assert_refused(&home.serve().ended().await, &["catena.toml", "wrokers"]);
    fs::write(&file, "workers = \n").expect("a file");
    assert_refused(&home.serve().ended().await, &["catena.toml"]);
    fs::remove_file(&file).expect("the file is removed");
    let named = home.serve().argument("--config").argument("no-such.toml").ended().await;
    assert_refused(&named, &["no-such.toml"]);
    let short = home.serve().variable("CATENA_OPERATOR_KEY", "short").ended().await;
    assert_refused(&short, &["CATENA_OPERATOR_KEY", "24"]);
    assert!(!short.text.contains("\"short\""), "the key is shown: {}", short.text);
    let flag = home.serve().argument("--dta").ended().await;
    assert_eq!(flag.code, Some(2), "{}", flag.text);
    assert_unharmed(&home, &key).await;
}

#[tokio::test]
async fn the_demo_is_not_shown_to_the_world() {
    let home = Home::new();
    let data = home.data().display().to_string();
    let launch = Launch::new(home.path(), &["serve", "--demo", "--listen", "0.0.0.0:0", "--data", &data]);
    let ended = launch.variable("CATENA_PROVISION", place::provision().display()).ended().await;
    assert_refused(&ended, &["--demo", "0.0.0.0"]);
    assert!(!home.data().exists(), "the refused demo left a folder");
}

#[tokio::test]
async fn a_port_in_use_and_a_folder_that_is_none_are_named() {
    let (home, key) = data().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let data = home.data().display().to_string();
    let launch = |arguments: &[&str]| {
        Launch::new(home.path(), arguments).variable("CATENA_PROVISION", place::provision().display())
    };
    assert_refused(&launch(&["serve", "--listen", &address, "--data", &data]).ended().await, &[&address]);
    let file = home.path().join("file");
    fs::write(&file, "").expect("a file");
    let inside = file.join("data").display().to_string();
    assert_refused(&launch(&["serve", "--listen", "127.0.0.1:0", "--data", &inside]).ended().await, &[&inside]);
    let other = Home::new();
    fs::create_dir_all(other.data()).expect("a folder");
    fs::write(other.data().join("catalog.db"), "not a database, but in its place").expect("a file");
    let ended = other.serve().ended().await;
    assert_refused(&ended, &["data"]);
    assert_eq!(fs::read(other.data().join("catalog.db")).ok(), Some(b"not a database, but in its place".to_vec()));
    assert_unharmed(&home, &key).await;
}

#[tokio::test]
async fn the_operators_key_is_made_once_and_shown_once() {
    let home = Home::new();
    let data = home.data().display().to_string();
    let launch = || {
        Launch::new(home.path(), &["serve", "--listen", "127.0.0.1:0", "--data", &data])
            .variable("CATENA_PROVISION", place::provision().display())
    };
    let server = launch().start().await;
    let shown = server.printed();
    let key =
        shown.split_whitespace().find(|word| word.starts_with("cat_")).expect("a new operator key is shown").to_owned();
    server.client(&key).post("/v1/tenants", &json!({"id": "acme"})).await.expect(201);
    server.stop().await;
    let server = launch().start().await;
    assert_eq!(server.printed().matches(&key).count(), 1, "the key was shown again");
    server.client(&key).get("/v1/tenants/acme").await.expect(200);
    server.stop().await;
    let stored = fs::read(home.data().join("catalog.db")).expect("a database");
    let secret = key.split('_').nth(2).expect("a secret").as_bytes();
    assert!(!stored.windows(secret.len()).any(|window| window == secret), "the key itself is stored");
}
