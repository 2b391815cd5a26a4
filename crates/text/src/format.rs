//! The formats that have a parser, and how a content type or a path names one.

use crate::error::{TextError, shortened};

/// A format that [`crate::outline()`] can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// CommonMark with tables, footnotes, strikethrough and task lists.
    Markdown,
    /// Text whose structure shows only in its layout.
    PlainText,
}

impl Format {
    /// The format that a `Content-Type` names. A character set other than UTF-8 is refused, for nothing here converts.
    pub fn from_content_type(content_type: &str) -> Result<Self, TextError> {
        let mut parts = content_type.split(';');
        let essence = parts.next().unwrap_or_default().trim();
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let charset = value.trim().trim_matches('"');
            let taken = ["utf-8", "utf8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known));
            if name.trim().eq_ignore_ascii_case("charset") && !taken {
                return Err(TextError::UnsupportedCharset { charset: shortened(charset) });
            }
        }
        if ["text/markdown", "text/x-markdown"].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
            Ok(Self::Markdown)
        } else if essence.eq_ignore_ascii_case("text/plain") {
            Ok(Self::PlainText)
        } else {
            Err(TextError::UnsupportedContentType { content_type: shortened(content_type) })
        }
    }

    /// The format that a path's ending names, or none.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let name = path.rsplit(['/', '\\']).next()?;
        let (stem, ending) = name.rsplit_once('.')?;
        if stem.is_empty() {
            return None;
        }
        match ending.to_ascii_lowercase().as_str() {
            "md" | "markdown" => Some(Self::Markdown),
            "txt" | "text" => Some(Self::PlainText),
            _ => None,
        }
    }

    /// The content type to store and to send.
    #[must_use]
    pub fn as_content_type(self) -> &'static str {
        match self {
            Self::Markdown => "text/markdown",
            Self::PlainText => "text/plain",
        }
    }
}
