//! PDF as Markdown: its lines in the order in which they are read, headings by their size, each page at its number.
//!
//! Promises: a page without text is counted, and a file without any is an error that says so; letters too small to be
//! seen, or outside their page, are counted and left out. Does not: recognise text in pictures, or rebuild tables.

use catena_domain::limits::PAGES_MAX;
use catena_text::{Position, Reading};
use pdf_oxide::PdfDocument;

use crate::draft::Draft;
use crate::error::FormatError;

const FORMAT: &str = "PDF";

/// Reads a PDF.
pub(crate) fn read(bytes: &[u8]) -> Result<Reading, FormatError> {
    let broken = |what: &str| FormatError::damaged(FORMAT, what);
    let document = PdfDocument::from_bytes(bytes.to_vec()).map_err(|error| told(&error))?;
    if document.is_encrypted() && !document.authenticate(b"").unwrap_or(false) {
        return Err(FormatError::Encrypted { format: FORMAT.to_owned() });
    }
    let pages = document.page_count().map_err(|error| told(&error))?;
    if pages == 0 {
        return Err(broken("it has no pages"));
    }
    if pages > PAGES_MAX {
        return Err(FormatError::too_much("pages", PAGES_MAX));
    }
    let mut draft = Draft::default();
    for page in 0..pages {
        let number = u32::try_from(page + 1).unwrap_or(u32::MAX);
        draft.place(Position::Page(number));
        let text = document.extract_text(page).map_err(|error| told(&error))?;
        if text.trim().is_empty() {
            draft.noticed.unread_pages += 1;
        }
        for block in text.split("\n\n") {
            draft.paragraph(block);
        }
        if draft.is_over() {
            break;
        }
    }
    if draft.is_empty() {
        return Err(FormatError::OnlyPictures { pages: u32::try_from(pages).unwrap_or(u32::MAX) });
    }
    draft.finish()
}

fn told(error: &pdf_oxide::error::Error) -> FormatError {
    match error {
        pdf_oxide::error::Error::EncryptedPdf => FormatError::Encrypted { format: FORMAT.to_owned() },
        _ => FormatError::damaged(FORMAT, "its structure is broken"),
    }
}
