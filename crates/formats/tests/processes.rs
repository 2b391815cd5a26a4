//! The reader processes as they really are: this program, called anew. It has no usual test harness, because that would
//! write into the pipe through which a reader answers.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "this is a test, though the compiler is not told so"
)]

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use catena_formats::{FormatError, Formats};
use catena_text::{Format, Reading};

fn main() -> ExitCode {
    if let Some(code) = catena_formats::serve_if_called() {
        return code;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    type Test<'a> = (&'a str, fn(&tokio::runtime::Runtime));
    let tests: [Test<'_>; 9] = [
        ("documents_of_several_formats_are_read_one_after_another", |run| run.block_on(formats())),
        ("a_killed_reader_is_one_failed_document", |run| run.block_on(killed())),
        ("a_reader_that_was_killed_while_idle_is_nobodys_failed_document", |run| run.block_on(killed_idle())),
        ("a_document_that_takes_too_long_is_one_failed_document", |run| run.block_on(slow())),
        ("a_document_that_needs_too_much_memory_is_one_failed_document", |run| run.block_on(hungry())),
        ("a_document_that_nests_beyond_the_stack_is_one_failed_document", |run| run.block_on(deep())),
        ("no_more_readers_run_than_were_allowed", |run| run.block_on(crowd())),
        ("a_reader_has_no_environment_and_may_open_nothing", |run| run.block_on(bare())),
        ("a_caller_that_goes_away_takes_its_reader_along", |run| run.block_on(abandoned())),
    ];
    for (name, test) in tests {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            test(&runtime);
            runtime.block_on(until("the readers of the test are gone", || children().is_empty().then_some(())));
            println!("test {name} ... ok");
        }
    }
    ExitCode::SUCCESS
}

fn readers(processes: usize, wall: Option<Duration>) -> Formats {
    let program: PathBuf = std::env::current_exe().unwrap();
    Formats::with_program(program, vec!["read-document".to_owned()], NonZeroUsize::new(processes).unwrap(), wall)
}

async fn read(readers: &Formats, format: Format, bytes: impl Into<Vec<u8>>) -> Result<Reading, FormatError> {
    readers.read(format, None, bytes.into()).await
}

async fn assert_work_on(readers: &Formats) {
    let reading = read(readers, Format::Csv, "port,fee\nLarkmoor,12\n").await.unwrap();
    assert_eq!(reading.text, "| port | fee |\n|---|---|\n| Larkmoor | 12 |\n");
}

/// The processes that are children of this one, as the system lists them.
fn children() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let ids: Vec<String> =
        lists.flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    let lives =
        |id: &String| std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    ids.into_iter().filter(lives).collect()
}

async fn until<T>(what: &str, mut looked: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = looked() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain until {what}");
        tokio::task::yield_now().await;
    }
}

/// Stops a reader: it goes on only to be killed, and does not end because its pipe does.
fn stop(child: &str) {
    Command::new("kill").args(["-STOP", child]).status().unwrap();
}

/// A file that keeps its reader busy for a while: many rows of many cells.
fn long_file() -> Vec<u8> {
    "cell,".repeat(100).into_bytes().into_iter().chain(*b"end\n").collect::<Vec<u8>>().repeat(20_000)
}

async fn formats() {
    let readers = readers(1, None);
    for (format, bytes, text) in [
        (Format::Html, "<p hidden>no</p><h1>Ferry</h1>", "# Ferry\n"),
        (Format::Json, "{\"leaves\": \"noon\"}", "- leaves: noon\n"),
        (Format::JsonLines, "{\"id\": 7}\n", "## 7\n\n- id: 7\n"),
        (Format::Email, "Subject: Ferry\n\nAt noon.\n", "# Ferry\n\nAt noon.\n"),
    ] {
        assert_eq!(read(&readers, format, bytes).await.unwrap().text, text, "{format:?}");
    }
    assert_eq!(children().len(), 1, "one process read all of them");
    let error = readers.read(Format::Csv, Some("utf-8".to_owned()), b"caf\xe9,1\nx,2\n".to_vec()).await.unwrap_err();
    assert!(error.to_string().contains("byte 3"), "{error}");
}

async fn killed() {
    let readers = readers(1, None);
    let reading = tokio::spawn({
        let readers = readers.clone();
        async move { read(&readers, Format::Csv, long_file()).await }
    });
    let child = until("there is a reader", || children().pop()).await;
    Command::new("kill").args(["-9", &child]).status().unwrap();
    assert_eq!(reading.await.unwrap().map(|reading| reading.text.len()), Err(FormatError::ReaderEnded));
    assert_work_on(&readers).await;
}

async fn killed_idle() {
    let readers = readers(1, None);
    assert_work_on(&readers).await;
    let child = children().pop().unwrap();
    Command::new("kill").args(["-9", &child]).status().unwrap();
    until("the reader is gone", || (!children().contains(&child)).then_some(())).await;
    assert_work_on(&readers).await;
}

async fn slow() {
    let readers = readers(1, Some(Duration::from_millis(500)));
    let start = Instant::now();
    let reading = tokio::spawn({
        let readers = readers.clone();
        async move { read(&readers, Format::Csv, long_file()).await }
    });
    stop(&until("there is a reader", || children().pop()).await);
    let failed = reading.await.unwrap();
    assert_eq!(failed.map(|reading| reading.text.len()), Err(FormatError::TookTooLong { seconds: 0 }));
    assert!(start.elapsed() < Duration::from_secs(10));
    until("the reader is gone", || children().is_empty().then_some(())).await;
}

async fn hungry() {
    let readers = readers(1, None);
    let failed = read(&readers, Format::Json, format!("[{}0]", "[],".repeat(12_000_000))).await;
    assert_eq!(failed.map(|reading| reading.text.len()), Err(FormatError::NeededTooMuchMemory { mebibytes: 512 }));
    assert_work_on(&readers).await;
}

async fn deep() {
    let readers = readers(1, None);
    let pdf = format!("%PDF-1.7\n1 0 obj\n{}\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF", "[".repeat(100_000));
    let failed = read(&readers, Format::Pdf, pdf).await.unwrap_err();
    assert!(matches!(failed, FormatError::Damaged { .. }), "{failed}");
    assert_work_on(&readers).await;
}

async fn crowd() {
    let readers = readers(2, None);
    let reads: Vec<_> = (0..24)
        .map(|n| {
            let readers = readers.clone();
            tokio::spawn(async move {
                let reading = read(&readers, Format::Html, format!("<p>Berth {n}</p>")).await.unwrap();
                assert_eq!(reading.text, format!("Berth {n}\n"), "each gets its own answer");
                assert!(children().len() <= 2, "{:?}", children());
            })
        })
        .collect();
    for read in reads {
        read.await.unwrap();
    }
    assert!(children().len() <= 2);
}

async fn bare() {
    let readers = readers(1, None);
    assert_work_on(&readers).await;
    let child = children().pop().unwrap();
    assert_eq!(std::fs::read(format!("/proc/{child}/environ")).unwrap(), b"");
    let limits = std::fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
    let hard = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(
        (hard("Max open files"), hard("Max core file size"), hard("Max file size")),
        ("3".into(), "0".into(), "0".into())
    );
    assert!(hard("Max address space").parse::<u64>().unwrap() < 4 * 1024 * 1024 * 1024);
    assert_ne!(
        limits.lines().find(|line| line.starts_with("Max cpu time")).unwrap().split_whitespace().nth(3),
        Some("unlimited")
    );
}

async fn abandoned() {
    let readers = readers(1, None);
    let reading = tokio::spawn({
        let readers = readers.clone();
        async move { read(&readers, Format::Csv, long_file()).await }
    });
    let child = until("there is a reader", || children().pop()).await;
    stop(&child);
    reading.abort();
    until("the reader is gone", || (!children().contains(&child)).then_some(())).await;
    assert_work_on(&readers).await;
}
