//! The formats that are read, and how a content type or a path names one.
//!
//! Promises: what a format's content type says, [`Format::from_content_type`] reads again. Does not: look at bytes.

use crate::error::{TextError, shortened};

/// A format of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// CommonMark with tables, footnotes, strikethrough and task lists.
    Markdown,
    /// Text whose structure shows only in its layout.
    PlainText,
    /// reStructuredText.
    ReStructuredText,
    /// AsciiDoc.
    AsciiDoc,
    /// Source code.
    Code(Language),
    /// A web page.
    Html,
    /// Rows of cells, parted by commas or the like.
    Csv,
    /// One JSON value.
    Json,
    /// A JSON value in each line.
    JsonLines,
    /// PDF.
    Pdf,
    /// A Word document.
    Docx,
    /// A PowerPoint presentation.
    Pptx,
    /// An Excel workbook.
    Xlsx,
    /// A mail with its attachments.
    Email,
}

/// A programming language whose structure is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// C, and headers.
    C,
    /// Go.
    Go,
    /// Java.
    Java,
    /// JavaScript, with JSX.
    JavaScript,
    /// Python.
    Python,
    /// Rust.
    Rust,
    /// TypeScript.
    TypeScript,
    /// TypeScript with JSX.
    Tsx,
}

/// What is known of a format: its own content type, other names of it, and the endings of its files.
struct Known {
    format: Format,
    content_type: &'static str,
    others: &'static [&'static str],
    endings: &'static [&'static str],
}

const fn known(
    format: Format,
    content_type: &'static str,
    others: &'static [&'static str],
    endings: &'static [&'static str],
) -> Known {
    Known { format, content_type, others, endings }
}

const KNOWN: [Known; 21] = [
    known(Format::Markdown, "text/markdown", &["text/x-markdown"], &["md", "markdown"]),
    known(Format::PlainText, "text/plain", &[], &["txt", "text", "log"]),
    known(Format::ReStructuredText, "text/x-rst", &["text/prs.fallenstein.rst"], &["rst", "rest"]),
    known(Format::AsciiDoc, "text/asciidoc", &["text/x-asciidoc"], &["adoc", "asciidoc", "asc"]),
    known(Format::Code(Language::C), "text/x-c", &["text/x-csrc", "text/x-chdr"], &["c", "h"]),
    known(Format::Code(Language::Go), "text/x-go", &[], &["go"]),
    known(Format::Code(Language::Java), "text/x-java", &["text/x-java-source"], &["java"]),
    known(
        Format::Code(Language::JavaScript),
        "text/javascript",
        &["application/javascript", "text/x-javascript"],
        &["js", "mjs", "cjs", "jsx"],
    ),
    known(Format::Code(Language::Python), "text/x-python", &["text/x-script.python"], &["py"]),
    known(Format::Code(Language::Rust), "text/x-rust", &["text/rust"], &["rs"]),
    known(Format::Code(Language::TypeScript), "text/x-typescript", &["application/typescript"], &["ts", "mts"]),
    known(Format::Code(Language::Tsx), "text/x-tsx", &[], &["tsx"]),
    known(Format::Html, "text/html", &["application/xhtml+xml"], &["html", "htm", "xhtml"]),
    known(Format::Csv, "text/csv", &["text/tab-separated-values"], &["csv", "tsv"]),
    // A write's envelope is JSON too; a document that is JSON is handed in with this type inside the envelope, or by a source.
    known(Format::Json, "application/json", &["text/json"], &["json"]),
    known(
        Format::JsonLines,
        "application/x-ndjson",
        &["application/jsonl", "application/x-jsonlines"],
        &["jsonl", "ndjson"],
    ),
    known(Format::Pdf, "application/pdf", &["application/x-pdf"], &["pdf"]),
    known(Format::Docx, "application/vnd.openxmlformats-officedocument.wordprocessingml.document", &[], &["docx"]),
    known(Format::Pptx, "application/vnd.openxmlformats-officedocument.presentationml.presentation", &[], &["pptx"]),
    known(Format::Xlsx, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &[], &["xlsx"]),
    known(Format::Email, "message/rfc822", &[], &["eml"]),
];

impl Format {
    /// Every format.
    pub fn all() -> impl Iterator<Item = Self> {
        KNOWN.iter().map(|known| known.format)
    }

    /// The format that a `Content-Type` names, whatever its parameters say.
    pub fn from_content_type(content_type: &str) -> Result<Self, TextError> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let names = |known: &&Known| {
            [known.content_type].iter().chain(known.others).any(|name| essence.eq_ignore_ascii_case(name))
        };
        KNOWN
            .iter()
            .find(names)
            .map(|known| known.format)
            .ok_or_else(|| TextError::UnsupportedContentType { content_type: shortened(content_type) })
    }

    /// The format that a path's ending names, or none.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next()?;
        let (stem, ending) = name.rsplit_once('.')?;
        if stem.is_empty() {
            return None;
        }
        let has_ending = |known: &&Known| known.endings.iter().any(|one| ending.eq_ignore_ascii_case(one));
        KNOWN.iter().find(has_ending).map(|known| known.format)
    }

    /// The content type to store and to send.
    #[must_use]
    pub fn as_content_type(self) -> &'static str {
        KNOWN.iter().find(|known| known.format == self).map_or("text/plain", |known| known.content_type)
    }

    /// Whether the normalised text is the document's own, so that its lines are the original's. Of the others, a reader
    /// makes Markdown.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Markdown | Self::PlainText | Self::ReStructuredText | Self::AsciiDoc | Self::Code(_))
    }

    /// The character set that a `Content-Type` names, if it names one.
    #[must_use]
    pub fn charset(content_type: &str) -> Option<&str> {
        content_type.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        })
    }
}
