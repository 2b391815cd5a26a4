//! A reader process from inside: limits first, then one document after another.
//!
//! Promises: before it sees a byte of a document, the process has bounded its memory and its processor time and can open
//! no file, no socket and (where the system lets it) no process; a reader that panics is a document that failed.
//! Does not: keep anything between documents, or outlive the pipe that it reads from.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use catena_domain::limits::{READER_MEMORY_BYTES_MAX, READER_PROCESSOR_S_MAX};
use catena_runtime::environment;
use catena_text::Format;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::error::FormatError;
use crate::read::read_here;
use crate::wire::{Answer, DOCUMENT_BYTES_MAX, HEADER_BYTES_MAX, Head, Question};

/// The subcommand by which the program is a reader.
pub(crate) const SUBCOMMAND: &str = "read-document";
/// What a program takes of address space before it reads anything, where the system does not say.
const PROGRAM_BYTES: u64 = 1024 * 1024 * 1024;
/// Ticks of the processor's clock in a second, as Linux shows them to every program.
const TICKS_PER_S: u64 = 100;

/// If the program was called as a reader, reads documents until there are no more, and says how to end. A program calls
/// this first of all, before it has threads or open files.
#[must_use]
pub fn serve_if_called() -> Option<ExitCode> {
    if environment::first_argument().as_deref() != Some(SUBCOMMAND) {
        return None;
    }
    Some(match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody is there to be told: the pipe is what failed.
        Err(_) => ExitCode::FAILURE,
    })
}

fn serve() -> io::Result<()> {
    // A panic is told in the answer; what it says of a document is nobody's.
    std::panic::set_hook(Box::new(|_| {}));
    let clock = Clock::open();
    bound()?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(header) = next_header(&mut input)? {
        let question: Question = serde_json::from_slice(&header)?;
        if question.bytes > DOCUMENT_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut bytes = vec![0; question.bytes];
        input.read_exact(&mut bytes)?;
        clock.allow()?;
        let (answer, text) = answered(&question, &bytes);
        drop(bytes);
        let header = serde_json::to_vec(&answer)?;
        let length = u32::try_from(header.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        output.write_all(&length.to_le_bytes())?;
        output.write_all(&header)?;
        output.write_all(text.as_bytes())?;
        output.flush()?;
    }
    Ok(())
}

fn next_header(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u32::from_le_bytes(length);
    if length > HEADER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut header = vec![0; length as usize];
    input.read_exact(&mut header)?;
    Ok(Some(header))
}

fn answered(question: &Question, bytes: &[u8]) -> (Answer, String) {
    let read = || {
        let format = Format::from_content_type(&question.content_type)?;
        read_here(format, question.charset.as_deref(), bytes)
    };
    // The reader has the document alone, and that is dropped: nothing half done is seen by the next.
    let read = catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(FormatError::damaged("document", "its parts contradict each other")));
    match read {
        Ok(reading) => {
            let text = reading.text;
            let head =
                Head { title: reading.title, places: reading.places, noticed: reading.noticed, text_bytes: text.len() };
            (Answer::Read(head), text)
        }
        Err(error) => (Answer::Failed(error), String::new()),
    }
}

/// Sets the limits that hold as long as the process lives.
fn bound() -> io::Result<()> {
    let held = held_bytes().unwrap_or(PROGRAM_BYTES);
    let limits = [
        (Resource::As, held + READER_MEMORY_BYTES_MAX),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        // The three pipes are open; a number beyond them is never given out.
        (Resource::Nofile, 3),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })?;
    }
    // Some systems have no such limit, and none holds the administrator to it.
    let _ = setrlimit(Resource::Nproc, Rlimit { current: Some(0), maximum: Some(0) });
    Ok(())
}

/// The address space that the process takes as it begins.
fn held_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"))?;
    Some(kibibytes.trim().parse::<u64>().ok()? * 1024)
}

/// How much processor time the process has had. The file is opened before no more files can be.
struct Clock(Option<std::fs::File>);

impl Clock {
    fn open() -> Self {
        Self(std::fs::File::open("/proc/self/stat").ok())
    }

    /// Allows one more document's worth of processor time. Where the time had is not known, that is for all documents
    /// together, and the process is replaced when it is spent.
    fn allow(&self) -> io::Result<()> {
        let limit = self.spent_s().unwrap_or(0) + READER_PROCESSOR_S_MAX;
        Ok(setrlimit(Resource::Cpu, Rlimit { current: Some(limit), maximum: None })?)
    }

    fn spent_s(&self) -> Option<u64> {
        let mut buffer = [0; 1024];
        let read = self.0.as_ref()?.read_at(&mut buffer, 0).ok()?;
        let stat = String::from_utf8_lossy(&buffer[..read]).into_owned();
        // The program's name is in brackets and may hold anything; the fields behind it do not.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some((user + system).div_ceil(TICKS_PER_S))
    }
}
