//! Tags with more attributes than anybody writes.
//!
//! A reader of HTML compares each attribute of a tag with those before it, so one tag can cost the square of its length.
//! Promises: goes through a page once, by the rules by which HTML is read; what it leaves out is whole tags. Does not: read
//! anything.

use std::ops::Range;

/// Most attributes of a tag that is read.
const ATTRIBUTES_MAX: usize = 500;
/// Elements whose content is no HTML.
const RAW: [&str; 8] = ["script", "style", "xmp", "iframe", "noembed", "noframes", "textarea", "title"];

/// The pieces of a page between tags that have too many attributes.
pub(super) fn without_overloaded(html: &str) -> Vec<Range<usize>> {
    let (bytes, mut pieces, mut kept, mut at) = (html.as_bytes(), Vec::new(), 0, 0);
    while let Some(start) = find(bytes, at, b"<") {
        let rest = &bytes[start..];
        if let Some(end) = comment_end(bytes, start) {
            at = end;
            continue;
        }
        let is_end = rest.get(1) == Some(&b'/');
        let name = start + 1 + usize::from(is_end);
        if !bytes.get(name).is_some_and(u8::is_ascii_alphabetic) {
            at = start + 1;
            continue;
        }
        let (end, attributes) = tag(bytes, name);
        if attributes > ATTRIBUTES_MAX {
            pieces.push(kept..start);
            kept = end;
        }
        at = end;
        let length = bytes[name..].iter().take_while(|byte| !ends_name(**byte)).count();
        let name = &html[name..name + length];
        if attributes <= ATTRIBUTES_MAX && !is_end {
            at = RAW.iter().find(|raw| raw.eq_ignore_ascii_case(name)).map_or(end, |raw| raw_end(bytes, end, raw));
        }
    }
    pieces.push(kept..html.len());
    pieces
}

/// Where a comment, or what is taken for one, ends.
fn comment_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start + 1..];
    let is_like_one = match rest {
        [b'!' | b'?', ..] => true,
        [b'/', next, ..] => !next.is_ascii_alphabetic(),
        _ => false,
    };
    if !rest.starts_with(b"!--") {
        return is_like_one.then(|| find(bytes, start, b">").map_or(bytes.len(), |end| end + 1));
    }
    // `<!-->` is a whole one.
    let mut at = start + 2;
    while let Some(dashes) = find(bytes, at, b"--") {
        match &bytes[dashes + 2..] {
            [b'>', ..] => return Some(dashes + 3),
            [b'!', b'>', ..] if dashes >= start + 4 => return Some(dashes + 4),
            _ => at = dashes + 1,
        }
    }
    Some(bytes.len())
}

/// Where the tag whose name begins here ends, and how many attributes it has.
fn tag(bytes: &[u8], name: usize) -> (usize, usize) {
    let skip = |mut at: usize, over: fn(u8) -> bool| {
        while bytes.get(at).is_some_and(|byte| over(*byte)) {
            at += 1;
        }
        at
    };
    let (mut at, mut count) = (skip(name, |byte| !ends_name(byte)), 0);
    loop {
        at = skip(at, |byte| is_space(byte) || byte == b'/');
        match bytes.get(at) {
            None => return (at, count),
            Some(b'>') => return (at + 1, count),
            Some(_) => count += 1,
        }
        // The first byte may be `=`, and is a part of the name then.
        at = skip(at + 1, |byte| !ends_name(byte) && byte != b'=');
        let value = skip(at, is_space);
        if bytes.get(value) != Some(&b'=') {
            continue;
        }
        at = skip(value + 1, is_space);
        at = match bytes.get(at) {
            Some(b'"') => skip(at + 1, |byte| byte != b'"') + 1,
            Some(b'\'') => skip(at + 1, |byte| byte != b'\'') + 1,
            _ => skip(at, |byte| !is_space(byte) && byte != b'>'),
        };
        at = at.min(bytes.len());
    }
}

/// Where the end tag of a raw element begins, or the end.
fn raw_end(bytes: &[u8], from: usize, name: &str) -> usize {
    let mut at = from;
    while let Some(start) = find(bytes, at, b"</") {
        let rest = &bytes[start + 2..];
        let is_it = rest.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()));
        if is_it && rest.get(name.len()).is_some_and(|byte| ends_name(*byte)) {
            return start;
        }
        at = start + 2;
    }
    bytes.len()
}

fn find(bytes: &[u8], from: usize, text: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(text.len()).position(|window| window == text).map(|more| from + more)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0C')
}

fn ends_name(byte: u8) -> bool {
    is_space(byte) || matches!(byte, b'/' | b'>')
}
