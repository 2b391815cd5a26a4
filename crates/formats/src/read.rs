//! The one place that knows which reader takes which format.

use catena_text::{Format, Reading};

use crate::decode::Stated;
use crate::error::FormatError;
use crate::{csv, docx, email, html, json, pdf, pptx, text, xlsx};

/// Reads `bytes` in this process, whatever they are.
pub(crate) fn read_here(format: Format, charset: Option<&str>, bytes: &[u8]) -> Result<Reading, FormatError> {
    let stated = charset.map_or(Stated::Nothing, Stated::Surely);
    match format {
        Format::Markdown | Format::PlainText | Format::ReStructuredText | Format::AsciiDoc | Format::Code(_) => {
            text::read(format, stated, bytes)
        }
        Format::Html => html::read(stated, bytes),
        Format::Csv => csv::read(stated, bytes),
        Format::Json => json::read(stated, bytes),
        Format::JsonLines => json::read_lines(stated, bytes),
        Format::Email => email::read(bytes, 0),
        Format::Docx => docx::read(bytes),
        Format::Pptx => pptx::read(bytes),
        Format::Xlsx => xlsx::read(bytes),
        Format::Pdf => pdf::read(bytes),
    }
}
