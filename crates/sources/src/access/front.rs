//! What a Markdown document says of itself in its front matter:
//!
//! ```yaml
//! ---
//! title: Signing keys
//! catena:
//!   allow: [group:eng, {entry: user:eve, until: 2026-12-01T00:00:00Z}]
//!   deny: [user:pavel]
//!   label: internal
//!   attributes: {lang: en}
//! ---
//! ```
//!
//! Promises: a document that has front matter which is no YAML, or that has no end, or in which `catena` is not understood,
//! said something that cannot be read. Does not: look at other keys; `access`, `visibility` and the like belong to others.

use catena_access::Attributes;
use serde::Deserialize;

use super::{EntryText, Said, rules};
use crate::Access;

/// Longest front matter, in bytes.
const BYTES_MAX: usize = 64 * 1024;

#[derive(Deserialize)]
struct FrontText {
    #[serde(default, deserialize_with = "present")]
    catena: Option<CatenaText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatenaText {
    #[serde(default)]
    allow: Option<Vec<EntryText>>,
    #[serde(default)]
    deny: Vec<EntryText>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    attributes: Attributes,
}

/// A key that is there says something: `catena:` with nothing behind it is a half statement, and no silence.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<CatenaText>, D::Error> {
    CatenaText::deserialize(deserializer).map(Some)
}

/// What these bytes of a Markdown document say.
pub(crate) fn said_in(bytes: &[u8]) -> Said {
    match block(bytes) {
        Ok(None) => Said::default(),
        Ok(Some(block)) => read(block),
        Err(reason) => Said::unreadable(reason),
    }
}

fn read(block: &str) -> Said {
    let catena = match serde_saphyr::from_str::<Option<FrontText>>(block) {
        Ok(front) => front.and_then(|front| front.catena),
        Err(error) => {
            let error: String = error.to_string().lines().next().unwrap_or_default().chars().take(200).collect();
            return Said::unreadable(format!("the document's front matter is not understood: {error}"));
        }
    };
    let Some(catena) = catena else { return Said::default() };
    let half = catena.allow.is_none() && (!catena.deny.is_empty() || catena.label.is_some());
    if half || (catena.allow.is_none() && catena.attributes.is_empty()) {
        return Said::unreadable(
            "the document's front matter says catena, but not who may read it: catena.allow is missing",
        );
    }
    let access = catena.allow.map(|allow| {
        let read = rules::acl(&allow, &catena.deny, catena.label.as_deref());
        read.map_or_else(|error| Access::Unreadable { reason: error.to_string() }, Access::Stated)
    });
    Said { access, attributes: catena.attributes }
}

/// The front matter between two lines `---` at the very beginning. A rule (`---`) with an empty line below it begins none.
fn block(bytes: &[u8]) -> Result<Option<&str>, &'static str> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err("the document is UTF-16, in which front matter is not read; save it as UTF-8");
    }
    let start = [b"---\n".as_slice(), b"---\r\n", b"---\r"].into_iter().find_map(|mark| bytes.strip_prefix(mark));
    let Some(rest) = start.or_else(|| padded(bytes)) else { return Ok(None) };
    let mut at = 0;
    let head = &rest[..rest.len().min(BYTES_MAX)];
    for line in head.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        if matches!(line.trim_ascii_end(), b"---" | b"...") {
            let block = std::str::from_utf8(&rest[..at]).map_err(|_| "the document's front matter is not UTF-8")?;
            return Ok(Some(block));
        }
        if at == 0 && line.trim_ascii().is_empty() {
            return Ok(None);
        }
        at += line.len();
    }
    Err("the document begins like one with front matter, whose end was not found")
}

/// `---` with blanks behind it.
fn padded(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    (bytes[..end].trim_ascii_end() == b"---").then(|| &bytes[end + 1..])
}
