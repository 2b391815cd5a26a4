//! Bytes of files out of a mirror: one `cat-file --batch` that answers one question after the other.
//!
//! Promises: an answer that is not whole is an error, and the next question goes to a new process. Does not: keep anything.

use std::process::Stdio;
use std::time::Duration;

use catena_runtime::clock;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::Mutex;

use super::command::{Git, Running};
use crate::FETCH_BYTES_MAX;
use crate::error::SourceError;

/// Longest time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The process that answers, while there is one.
#[derive(Default)]
pub(super) struct Blobs(Mutex<Option<Asked>>);

struct Asked {
    _running: Running,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What lies at a path of a commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blob {
    /// A file.
    There { name: String, bytes: Vec<u8> },
    /// A file that is too large to be read.
    TooLarge,
    /// Nothing, or no file.
    Gone,
}

impl Blobs {
    /// Asks for `COMMIT:PATH`.
    pub(super) async fn get(&self, git: &Git, question: &str) -> Result<Blob, SourceError> {
        let mut held = self.0.lock().await;
        let mut asked = match held.take() {
            Some(asked) => asked,
            None => Asked::start(git)?,
        };
        let answer = tokio::select! {
            answer = asked.ask(question) => answer,
            () = clock::pause(ANSWER_TIMEOUT) => None,
        };
        match answer {
            Some(Blob::TooLarge) => Ok(Blob::TooLarge),
            Some(blob) => {
                *held = Some(asked);
                Ok(blob)
            }
            None => Err(git.failed("its mirror could not be read; the next look fetches what is missing")),
        }
    }

    /// Ends the process, so that the next one sees what was fetched since.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

impl Asked {
    fn start(git: &Git) -> Result<Self, SourceError> {
        let mut command = git.command(&["cat-file", "--batch"]);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut running = git.start(command)?;
        match (running.child.stdin.take(), running.child.stdout.take()) {
            (Some(questions), Some(answers)) => {
                Ok(Self { _running: running, questions, answers: BufReader::new(answers) })
            }
            _ => Err(git.failed("git cannot be spoken to")),
        }
    }

    /// Nothing, if the answer is not of the form that it should have.
    async fn ask(&mut self, question: &str) -> Option<Blob> {
        debug_assert!(!question.contains('\n'), "a question is one line");
        self.questions.write_all(format!("{question}\n").as_bytes()).await.ok()?;
        self.questions.flush().await.ok()?;
        let mut head = Vec::new();
        (&mut self.answers).take(16 * 1024).read_until(b'\n', &mut head).await.ok()?;
        let head = String::from_utf8(head).ok()?;
        let head = head.strip_suffix('\n')?;
        if head.ends_with(" missing") || head.ends_with(" submodule") {
            return Some(Blob::Gone);
        }
        let facts: Vec<&str> = head.split(' ').collect();
        let &[name, kind, length] = facts.as_slice() else { return None };
        let length: u64 = length.parse().ok()?;
        if length > FETCH_BYTES_MAX {
            return Some(Blob::TooLarge);
        }
        let mut bytes = vec![0; usize::try_from(length).ok()? + 1];
        self.answers.read_exact(&mut bytes).await.ok()?;
        if bytes.pop() != Some(b'\n') {
            return None;
        }
        Some(if kind == "blob" { Blob::There { name: name.to_owned(), bytes } } else { Blob::Gone })
    }
}
