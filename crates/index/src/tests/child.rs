//! The test program, run again as a process of its own: to be killed, or to have nothing in it but one test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

use catena_runtime::environment;

/// What a child is told to do; who is told nothing is no child.
const TASK: &str = "CATENA_INDEX_TEST_TASK";
/// How a line for the parent begins; the test runner writes lines of its own.
const TO_PARENT: &str = "to the parent: ";
const SIGKILL: i32 = 9;

/// What this process was told to do, if it is a child.
pub(super) fn task() -> Option<String> {
    environment::variable(TASK)
}

/// Says a line to the parent.
pub(super) fn say(line: &str) {
    // Not by `println!`, which the test runner would keep.
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{TO_PARENT}{line}").and_then(|()| out.flush()).unwrap();
}

/// Says a line to the parent and does nothing more, so that the parent finds the process exactly here.
pub(super) fn say_and_stand_still(line: &str) {
    say(line);
    let _ = std::io::stdin().read(&mut [0]);
    panic!("the parent let go");
}

/// A child at work. Killed at the latest when this goes.
pub(super) struct Running {
    process: Child,
    lines: BufReader<ChildStdout>,
}

/// Runs the test of this name in a process of its own.
pub(super) fn start(test: &str, task: &str) -> Running {
    let mut process = Command::new(environment::executable().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(TASK, task)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap());
    Running { process, lines }
}

impl Running {
    /// The next line for the parent; `None` when the child has ended.
    pub(super) fn hear(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(line) = line.trim_end().strip_prefix(TO_PARENT) {
                return Some(line.to_owned());
            }
        }
    }

    /// Kills it where it stands, as `kill -9` does.
    pub(super) fn kill(mut self) {
        self.process.kill().unwrap();
        assert_eq!(self.process.wait().unwrap().signal(), Some(SIGKILL), "it ended by itself");
    }

    /// Waits until it has ended, well.
    pub(super) fn end(mut self) {
        while self.hear().is_some() {}
        assert!(self.process.wait().unwrap().success(), "the child failed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
