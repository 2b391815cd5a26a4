//! Bytes of any known format to one normalised text, with the pages, slides and rows that it came from.
//!
//! Promises: text is read here; whatever else there is is read in a child process that is killed when it takes too
//! long, grows too large or says too much; one bad file is one error with a reason that a person can act on.
//! Does not: cut text into chunks, or decide who may see it.

pub mod child;
pub mod error;
pub mod sniff;

mod archive;
mod clean;
mod csv;
mod decode;
mod docx;
mod draft;
mod email;
mod html;
mod json;
mod math;
mod office;
mod pdf;
mod pool;
mod pptx;
mod read;
#[cfg(test)]
mod tests;
mod text;
mod wire;
mod xlsx;
mod xml;

use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catena_domain::limits::{DOCUMENT_BODY_BYTES_MAX, DOCUMENT_FILE_BYTES_MAX};
use catena_runtime::{Compute, environment};
use catena_text::{Format, Reading, TextError};

pub use child::serve_if_called;
pub use error::FormatError;

/// The readers. Cloning gives another handle to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Formats {
    pool: Option<Arc<pool::Pool>>,
    compute: Option<Compute>,
}

impl Formats {
    /// Readers of every format: text on `compute`, everything else in at most so many processes of the running program,
    /// which has to call [`serve_if_called`] first of all.
    pub fn start(processes: NonZeroUsize, compute: Compute) -> io::Result<Self> {
        let program = environment::executable()?;
        Ok(Self { compute: Some(compute), ..Self::with_program(program, pool::arguments(), processes, None) })
    }

    /// Readers in processes of another program, which is called with these arguments.
    #[must_use]
    pub fn with_program(
        program: PathBuf,
        arguments: Vec<String>,
        processes: NonZeroUsize,
        wall: Option<Duration>,
    ) -> Self {
        Self { pool: Some(pool::Pool::new(program, arguments, processes, wall)), compute: None }
    }

    /// Reads `bytes`, which are of `format`. `charset` is what their sender says of their characters. Readers that were
    /// not started (the default) read formats of text alone.
    pub async fn read(&self, format: Format, charset: Option<String>, bytes: Vec<u8>) -> Result<Reading, FormatError> {
        let limit_bytes = if format.is_text() { DOCUMENT_BODY_BYTES_MAX } else { DOCUMENT_FILE_BYTES_MAX };
        if bytes.len() > limit_bytes {
            return Err(TextError::TooLong { bytes: bytes.len(), limit_bytes }.into());
        }
        if bytes.is_empty() {
            return Err(TextError::Empty.into());
        }
        if format.is_text() {
            let work = move || read::read_here(format, charset.as_deref(), &bytes);
            return match &self.compute {
                Some(compute) => compute.run(work).await.map_err(|_| FormatError::NoReader)?,
                None => work(),
            };
        }
        let Some(pool) = &self.pool else {
            return Err(FormatError::Unsupported { content_type: format.as_content_type().to_owned() });
        };
        pool.read(format, charset.as_deref(), &bytes).await
    }
}
