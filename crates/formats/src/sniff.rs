//! What bytes are: by what was said of them, else by themselves, else by their name.
//!
//! Promises: a stated type that is known is believed; where none is, or it says nothing, marks at the beginning of the
//! bytes go before the name's ending. Does not: guess between formats of text without an ending.

use std::io::Cursor;

use catena_text::Format;

use crate::error::FormatError;

/// The format of `bytes`, which were stated to be of some content type, and are called `name`.
pub fn format(stated: Option<&str>, name: &str, bytes: &[u8]) -> Result<Format, FormatError> {
    let essence = stated.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    match essence.as_deref() {
        None | Some("" | "application/octet-stream" | "binary/octet-stream" | "application/x-download") => {}
        Some(kind) => match Format::from_content_type(kind) {
            Ok(format) => return Ok(format),
            Err(error) => return Err(error.into()),
        },
    }
    by_bytes(bytes).or_else(|| Format::from_path(name)).ok_or(FormatError::Unknown)
}

/// The format that the bytes name themselves.
fn by_bytes(bytes: &[u8]) -> Option<Format> {
    if bytes[..bytes.len().min(1024)].windows(5).any(|window| window == b"%PDF-") {
        return Some(Format::Pdf);
    }
    match infer::get(bytes)?.extension() {
        "pdf" => Some(Format::Pdf),
        "docx" => Some(Format::Docx),
        "pptx" => Some(Format::Pptx),
        "xlsx" => Some(Format::Xlsx),
        "zip" => by_parts(bytes),
        _ => None,
    }
}

/// The Office format that an archive's parts name.
fn by_parts(bytes: &[u8]) -> Option<Format> {
    let archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let parts = [
        ("word/document.xml", Format::Docx),
        ("ppt/presentation.xml", Format::Pptx),
        ("xl/workbook.xml", Format::Xlsx),
    ];
    parts.into_iter().find(|(part, _)| archive.index_for_name(part).is_some()).map(|(_, format)| format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_goes_before_the_bytes_and_those_before_the_name() {
        for (stated, name, bytes, found) in [
            (Some("text/html; charset=utf-8"), "a.md", "%PDF-1.7", Some(Format::Html)),
            (None, "a.md", "%PDF-1.7", Some(Format::Pdf)),
            (Some("application/octet-stream"), "report", "%PDF-1.7", Some(Format::Pdf)),
            (Some("application/octet-stream"), "notes.rst", "Title", Some(Format::ReStructuredText)),
            (None, "data.jsonl", "{}", Some(Format::JsonLines)),
            (None, "notes", "Title", None),
            (Some("image/tiff"), "notes.md", "Title", None),
        ] {
            assert_eq!(format(stated, name, bytes.as_bytes()).ok(), found, "{stated:?} {name}");
        }
    }
}
