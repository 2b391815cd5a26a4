//! Sitemaps and indexes of them.
//!
//! Promises: a file that is no sitemap, is cut off, or is larger than allowed once unpacked is an error, so that half a
//! sitemap never counts as the whole. Does not: believe `lastmod` more than as a hint.

use std::io::Read as _;

use catena_access::attribute;
use catena_domain::Timestamp;
use flate2::read::MultiGzDecoder;
use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};

/// Largest sitemap once unpacked, in bytes: what the format itself allows.
pub(super) const BYTES_MAX: u64 = 50 * 1024 * 1024;
/// Most entries of one file: what the format itself allows.
const ENTRIES_MAX: usize = 50_000;
/// Longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 2_048;

/// What a sitemap names.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sitemap {
    /// Pages, with the time of their last change where it is said.
    pub(super) pages: Vec<(String, Option<Timestamp>)>,
    /// Other sitemaps.
    pub(super) sitemaps: Vec<String>,
}

/// Reads a sitemap, packed or not.
pub(super) fn parse(bytes: &[u8]) -> Result<Sitemap, String> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        let read = MultiGzDecoder::new(bytes).take(BYTES_MAX + 1).read_to_end(&mut unpacked);
        read.map_err(|_| "it is damaged: it cannot be unpacked".to_owned())?;
        if unpacked.len() as u64 > BYTES_MAX {
            return Err(format!("it is larger than {BYTES_MAX} bytes once unpacked, the limit of the format"));
        }
        return read_xml(&unpacked);
    }
    read_xml(bytes)
}

/// Which entry is open, and what was read of it.
#[derive(Default)]
struct Open {
    is_page: bool,
    field: Option<Field>,
    address: String,
    changed: String,
}

#[derive(Clone, Copy)]
enum Field {
    Address,
    Changed,
}

fn read_xml(bytes: &[u8]) -> Result<Sitemap, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{FEFF}'));
    let mut found = Sitemap::default();
    let mut open: Option<Open> = None;
    let (mut is_sitemap, mut depth) = (false, 0_u32);
    loop {
        let event = reader.read_event().map_err(|error| format!("it is no sitemap: {error}"))?;
        match event {
            Event::Start(tag) => {
                depth += 1;
                match (depth, tag.local_name().as_ref()) {
                    (1, "urlset" | "sitemapindex") => is_sitemap = true,
                    (2, "url") => open = Some(Open { is_page: true, ..Open::default() }),
                    (2, "sitemap") => open = Some(Open::default()),
                    (3, name) => set(&mut open, name),
                    _ => {}
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                match (depth, open.as_mut()) {
                    (2, Some(open)) => open.field = None,
                    (1, Some(_)) => close(open.take(), &mut found)?,
                    _ => {}
                }
            }
            Event::Text(text) => add(&mut open, &text.xml_content(XmlVersion::Implicit1_0)),
            Event::CData(text) => add(&mut open, &text.xml_content(XmlVersion::Implicit1_0)),
            Event::GeneralRef(name) => match (name.resolve_char_ref(), name.as_ref()) {
                (Ok(Some(character)), _) => add(&mut open, character.encode_utf8(&mut [0; 4])),
                (_, "amp") => add(&mut open, "&"),
                (_, "lt") => add(&mut open, "<"),
                (_, "gt") => add(&mut open, ">"),
                (_, "quot") => add(&mut open, "\""),
                (_, "apos") => add(&mut open, "'"),
                _ => return Err("it uses an entity that is not of XML itself".to_owned()),
            },
            Event::DocType(_) => return Err("it declares a document type, which a sitemap does not need".to_owned()),
            Event::Eof if depth > 0 => return Err("it is cut off".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    if is_sitemap { Ok(found) } else { Err("it is no sitemap; it holds neither urlset nor sitemapindex".to_owned()) }
}

fn set(open: &mut Option<Open>, name: &str) {
    if let Some(open) = open {
        open.field = match name {
            "loc" => Some(Field::Address),
            "lastmod" => Some(Field::Changed),
            _ => None,
        };
    }
}

fn add(open: &mut Option<Open>, text: &str) {
    if let Some(Open { field: Some(field), address, changed, .. }) = open {
        let into = match field {
            Field::Address => address,
            Field::Changed => changed,
        };
        // One byte more than is allowed shows that it is too long.
        if into.len() <= ADDRESS_BYTES_MAX {
            into.push_str(text);
        }
    }
}

fn close(open: Option<Open>, found: &mut Sitemap) -> Result<(), String> {
    let Some(open) = open else { return Ok(()) };
    let address = open.address.trim();
    if address.is_empty() || address.len() > ADDRESS_BYTES_MAX {
        return Ok(());
    }
    if found.pages.len() + found.sitemaps.len() >= ENTRIES_MAX {
        return Err(format!("it names more than {ENTRIES_MAX} addresses, the limit of the format"));
    }
    if open.is_page {
        found.pages.push((address.to_owned(), attribute::moment(open.changed.trim())));
    } else {
        found.sitemaps.push(address.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    const PAGES: &str = "<?xml version='1.0'?><urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>\
        <url><loc> https://a.org/x?a=1&amp;b=&#50; </loc><lastmod>2026-01-02</lastmod></url>\
        <url><loc><![CDATA[https://a.org/y]]></loc><lastmod>soon</lastmod>\
        <image:image><image:loc>https://a.org/i.png</image:loc></image:image></url><url/></urlset>";

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(text).unwrap();
        gz.finish().unwrap()
    }

    #[test]
    fn pages_and_indexes_are_read_packed_or_not() {
        let read = parse(PAGES.as_bytes()).unwrap();
        let addresses: Vec<&str> = read.pages.iter().map(|(address, _)| address.as_str()).collect();
        assert_eq!(addresses, ["https://a.org/x?a=1&b=2", "https://a.org/y"]);
        assert!(read.pages[0].1.is_some() && read.pages[1].1.is_none());
        assert_eq!(parse(&packed(PAGES.as_bytes())).unwrap(), read);
        let index = "<sitemapindex><sitemap><loc>https://a.org/1.xml.gz</loc></sitemap></sitemapindex>";
        assert_eq!(parse(index.as_bytes()).unwrap().sitemaps, ["https://a.org/1.xml.gz"]);
        assert_eq!(parse(b"<urlset></urlset>").unwrap(), Sitemap::default());
    }

    #[test]
    fn what_is_no_whole_sitemap_is_an_error() {
        let bomb = packed(&vec![b' '; usize::try_from(BYTES_MAX).unwrap() + 1]);
        let many = format!("<urlset>{}</urlset>", "<url><loc>a</loc></url>".repeat(ENTRIES_MAX + 1));
        for (case, bytes, needle) in [
            ("cut off in a tag", &PAGES.as_bytes()[..150], "no sitemap"),
            ("cut off between tags", PAGES.trim_end_matches("<url/></urlset>").as_bytes(), "cut off"),
            ("a packed one cut off", &packed(PAGES.as_bytes())[..60], "damaged"),
            ("a page", b"<html><body>Not found</body></html>".as_slice(), "no sitemap"),
            ("nothing", b"", "no sitemap"),
            ("a bomb", &bomb, "once unpacked"),
            ("too many", many.as_bytes(), "more than 50000"),
            ("entities", b"<!DOCTYPE a [<!ENTITY b 'c'>]><urlset><url><loc>&b;</loc></url></urlset>", "document type"),
            ("an unknown entity", b"<urlset><url><loc>&b;</loc></url></urlset>", "entity"),
            ("another encoding", b"\xFF\xFE<", "UTF-8"),
        ] {
            let error = parse(bytes).unwrap_err();
            assert!(error.contains(needle), "{case}: {error}");
        }
    }
}
