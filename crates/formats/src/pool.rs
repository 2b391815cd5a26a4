//! Reader processes from outside: a few of them, kept while they behave.
//!
//! Promises: a document costs at most its time and its memory, whatever it is, and then its process is killed and another
//! takes its place; a process that dies, says something odd or has read many documents is not used again; a caller that
//! goes away takes its process along. No more processes than were allowed ever run at once.
//! Does not: try a document twice. What kills a reader once does so again.

use std::io;
use std::num::NonZeroUsize;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catena_domain::limits::{READER_MEMORY_BYTES_MAX, READER_PROCESSOR_S_MAX, READER_WALL_S_MAX};
use catena_text::{Format, Reading};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::child::SUBCOMMAND;
use crate::error::FormatError;
use crate::wire::{Answer, HEADER_BYTES_MAX, Question, TEXT_BYTES_MAX};

/// Documents that one process reads before another takes its place: what leaks in a reader leaks no longer than that.
const DOCUMENTS_PER_PROCESS: u32 = 64;
/// How much of what a process complains about is kept.
const COMPLAINT_BYTES: usize = 4096;
/// How long a process that ended its output may take to end itself.
const END_WAIT: Duration = Duration::from_secs(5);

/// The processes.
#[derive(Debug)]
pub(crate) struct Pool {
    program: PathBuf,
    arguments: Vec<String>,
    turns: Semaphore,
    idle: Mutex<Vec<Process>>,
    wall: Duration,
}

#[derive(Debug)]
struct Process {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    complaints: JoinHandle<Vec<u8>>,
    read: u32,
}

/// What went wrong with a process, as far as that is known yet.
enum Broken {
    Error(FormatError),
    /// It ended, and its end says why.
    Ended,
}

impl Pool {
    pub(crate) fn new(
        program: PathBuf,
        arguments: Vec<String>,
        processes: NonZeroUsize,
        wall: Option<Duration>,
    ) -> Arc<Self> {
        let wall = wall.unwrap_or(Duration::from_secs(READER_WALL_S_MAX));
        Arc::new(Self {
            program,
            arguments,
            turns: Semaphore::new(processes.get()),
            idle: Mutex::new(Vec::new()),
            wall,
        })
    }

    /// Reads a document in a process.
    pub(crate) async fn read(
        &self,
        format: Format,
        charset: Option<&str>,
        bytes: &[u8],
    ) -> Result<Reading, FormatError> {
        let _turn = self.turns.acquire().await.map_err(|_| FormatError::NoReader)?;
        let mut process = self.take()?;
        let question = Question {
            content_type: format.as_content_type().to_owned(),
            charset: charset.map(str::to_owned),
            bytes: bytes.len(),
        };
        // The process is owned here: when the caller goes away, it is dropped, which kills it.
        let asked = tokio::time::timeout(self.wall, process.ask(&question, bytes)).await;
        match asked {
            Ok(Ok(answer)) => {
                process.read += 1;
                if process.read < DOCUMENTS_PER_PROCESS {
                    self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(process);
                }
                answer
            }
            Ok(Err(Broken::Error(error))) => Err(error),
            Ok(Err(Broken::Ended)) => Err(process.why_it_ended().await),
            Err(_) => Err(FormatError::TookTooLong { seconds: self.wall.as_secs() }),
        }
    }

    fn take(&self) -> Result<Process, FormatError> {
        loop {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut process) = idle else {
                return self.start().map_err(|error| {
                    tracing::error!(%error, program = %self.program.display(), "no reader process can be started");
                    FormatError::NoReader
                });
            };
            // One that was killed while it was idle is nobody's failed document.
            if matches!(process.child.try_wait(), Ok(None)) {
                return Ok(process);
            }
        }
    }

    fn start(&self) -> io::Result<Process> {
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Process { child, input, output, complaints: tokio::spawn(complaints(errors)), read: 0 })
    }
}

/// The arguments by which a program is a reader.
pub(crate) fn arguments() -> Vec<String> {
    vec![SUBCOMMAND.to_owned()]
}

impl Process {
    async fn ask(&mut self, question: &Question, bytes: &[u8]) -> Result<Result<Reading, FormatError>, Broken> {
        let header = serde_json::to_vec(question).map_err(|_| Broken::Ended)?;
        let length = u32::try_from(header.len()).map_err(|_| Broken::Ended)?;
        let input = &mut self.input;
        for part in [&length.to_le_bytes(), header.as_slice(), bytes] {
            input.write_all(part).await.map_err(|_| Broken::Ended)?;
        }
        input.flush().await.map_err(|_| Broken::Ended)?;
        let output = &mut self.output;
        let length = output.read_u32_le().await.map_err(|_| Broken::Ended)?;
        if length > HEADER_BYTES_MAX {
            return Err(Broken::Error(too_long()));
        }
        let mut header = vec![0; length as usize];
        output.read_exact(&mut header).await.map_err(|_| Broken::Ended)?;
        let head = match serde_json::from_slice(&header) {
            Ok(Answer::Read(head)) => head,
            Ok(Answer::Failed(error)) => return Ok(Err(error)),
            Err(_) => return Err(Broken::Error(FormatError::ReaderEnded)),
        };
        if head.text_bytes > TEXT_BYTES_MAX {
            return Err(Broken::Error(too_long()));
        }
        let mut text = vec![0; head.text_bytes];
        output.read_exact(&mut text).await.map_err(|_| Broken::Ended)?;
        let text = String::from_utf8(text).map_err(|_| Broken::Error(FormatError::ReaderEnded))?;
        // What a reader says is no more to be believed than what it read.
        let mut last = 0;
        for place in &head.places {
            if place.start < last || !text.is_char_boundary(place.start as usize) {
                return Err(Broken::Error(FormatError::ReaderEnded));
            }
            last = place.start;
        }
        Ok(Ok(Reading { text, title: head.title, places: head.places, noticed: head.noticed }))
    }

    async fn why_it_ended(mut self) -> FormatError {
        let status = match tokio::time::timeout(END_WAIT, self.child.wait()).await {
            Ok(Ok(status)) => status,
            _ => return FormatError::ReaderEnded,
        };
        let complaints = match tokio::time::timeout(END_WAIT, self.complaints).await {
            Ok(Ok(complaints)) => String::from_utf8_lossy(&complaints).into_owned(),
            _ => String::new(),
        };
        why(status, &complaints)
    }
}

fn too_long() -> FormatError {
    let limit_bytes = TEXT_BYTES_MAX;
    catena_text::TextError::TooLong { bytes: limit_bytes + 1, limit_bytes }.into()
}

/// Which of its limits a process met.
fn why(status: ExitStatus, complaints: &str) -> FormatError {
    if complaints.contains("memory allocation of") || complaints.contains("capacity overflow") {
        return FormatError::NeededTooMuchMemory { mebibytes: READER_MEMORY_BYTES_MAX / 1024 / 1024 };
    }
    if complaints.contains("overflowed its stack") {
        return FormatError::damaged("document", "it nests too deep");
    }
    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => FormatError::TookTooLong { seconds: READER_PROCESSOR_S_MAX },
        Some(signal)
            if [Signal::SEGV, Signal::BUS, Signal::ILL, Signal::FPE].iter().any(|one| one.as_raw() == signal) =>
        {
            FormatError::damaged("document", "its reader crashed over it")
        }
        _ => FormatError::ReaderEnded,
    }
}

/// Reads what a process complains about to its end, so that it never waits for that, and keeps the last of it.
async fn complaints(mut errors: ChildStderr) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(read @ 1..) = errors.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        let over = kept.len().saturating_sub(COMPLAINT_BYTES);
        kept.drain(..over);
    }
    kept
}
