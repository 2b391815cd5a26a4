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
//! said something that cannot be read; so did one in an encoding in which front matter is not looked for. Does not: look at other keys; `access`, `visibility` and the like belong to others.

use catena_access::Attributes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{EntryText, Said, rules};
use crate::Access;

/// Longest front matter, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// So many bytes show whether letters are of more than one byte each.
const MARK_BYTES: usize = 4;

#[derive(Deserialize)]
struct FrontText {
    #[serde(default, deserialize_with = "something")]
    catena: Option<CatenaText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CatenaText {
    #[serde(default, deserialize_with = "something")]
    allow: Option<Vec<EntryText>>,
    #[serde(default, deserialize_with = "something")]
    deny: Option<Vec<EntryText>>,
    #[serde(default, deserialize_with = "something")]
    label: Option<String>,
    #[serde(default, deserialize_with = "something")]
    attributes: Option<Attributes>,
}

/// A key that is there says something: `catena:` or `allow:` with nothing behind it is a half statement, and no silence.
fn something<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    match Option::deserialize(deserializer)? {
        None => Err(D::Error::custom("nothing stands behind one of its keys")),
        some => Ok(some),
    }
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
    let attributes = catena.attributes.unwrap_or_default();
    let half = catena.allow.is_none() && (catena.deny.is_some() || catena.label.is_some());
    if half || (catena.allow.is_none() && attributes.is_empty()) {
        return Said::unreadable(
            "the document's front matter says catena, but not who may read it: catena.allow is missing",
        );
    }
    let access = catena.allow.map(|allow| {
        let read = rules::acl(&allow, &catena.deny.unwrap_or_default(), catena.label.as_deref());
        read.map_or_else(|error| Access::Unreadable { reason: error.to_string() }, Access::Stated)
    });
    Said { access, attributes }
}

/// The front matter between two lines `---` at the very beginning. A rule (`---`) with an empty line below it begins none,
/// unless `catena` stands below it, which was meant to be heard then.
fn block(bytes: &[u8]) -> Result<Option<&str>, &'static str> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err("the document is UTF-16, in which front matter is not read; save it as UTF-8");
    }
    if bytes.iter().take(MARK_BYTES).any(|byte| *byte == 0) {
        return Err("the document begins like UTF-16 or UTF-32, in which front matter is not read; save it as UTF-8");
    }
    let start = [b"---\n".as_slice(), b"---\r\n", b"---\r"].into_iter().find_map(|mark| bytes.strip_prefix(mark));
    let Some(rest) = start.or_else(|| padded(bytes)) else { return Ok(None) };
    let (mut at, mut is_rule) = (0, false);
    let head = &rest[..rest.len().min(BYTES_MAX)];
    for line in head.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        if matches!(line.trim_ascii_end(), b"---" | b"...") {
            if is_rule {
                return Ok(None);
            }
            let block = std::str::from_utf8(&rest[..at]).map_err(|_| "the document's front matter is not UTF-8")?;
            return Ok(Some(block));
        }
        is_rule |= at == 0 && line.trim_ascii().is_empty();
        if is_rule && names_catena(line) {
            return Err("the document says catena below an empty line, where no front matter is; take that line out");
        }
        at += line.len();
    }
    if is_rule {
        return Ok(None);
    }
    Err("the document begins like one with front matter, whose end was not found")
}

/// Whether a line has the key `catena`, in any of the forms that YAML has for it.
fn names_catena(line: &[u8]) -> bool {
    let is_mark = |byte: &u8| matches!(byte, b' ' | b'\t' | b'{' | b'?' | b'"' | b'\'');
    let from = line.iter().position(|byte| !is_mark(byte)).unwrap_or(line.len());
    let rest = line[from..].strip_prefix(b"catena").unwrap_or_default();
    rest.iter().find(|byte| !is_mark(byte)) == Some(&b':')
}

/// `---` with blanks behind it.
fn padded(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'))?;
    (bytes[..end].trim_ascii_end() == b"---").then(|| &bytes[end + 1..])
}
