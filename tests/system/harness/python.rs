//! The scripts beside these tests: the reference MCP client, and SQLite seen from outside.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start processes, and there is no runtime crate to do it for them"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::place;

/// Runs a script of `tests/system/python` with JSON on its input and JSON on its output.
pub(crate) fn run(script: &str, input: &Value) -> Value {
    let path = place::project().join("tests/system/python").join(script);
    let mut command = Command::new("python3");
    for name in place::variables_to_drop() {
        command.env_remove(name);
    }
    command.arg("-B").arg(&path).env("PYTHONPATH", place::provision().join("python"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python3 is needed for these tests and was not found");
    let mut stdin = child.stdin.take().expect("a pipe to the script");
    stdin.write_all(input.to_string().as_bytes()).expect("the script reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("the script ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed:\n{complaint}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{script} gave no JSON ({error}): {}\n{complaint}", String::from_utf8_lossy(&output.stdout))
    })
}

/// The same, where other requests go on meanwhile.
pub(crate) async fn run_beside(script: &'static str, input: Value) -> Value {
    tokio::task::spawn_blocking(move || run(script, &input)).await.expect("the script was waited for")
}
