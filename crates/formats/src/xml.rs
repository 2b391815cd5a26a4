//! XML, one element at a time.
//!
//! Promises: elements are named by their namespace and not by the prefix that a file happens to use, and so are attributes
//! of relationships (with the usual prefix `r` also where that is not bound); depth, attributes and definitions are bounded or refused; a subtree is the only
//! thing that is held in memory.

use std::io::BufRead;

use catena_domain::limits::{XML_ATTRIBUTES_MAX, XML_DEPTH_MAX};
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{NamespaceResolver, ResolveResult};
use quick_xml::reader::NsReader;

use crate::error::FormatError;

/// Namespaces by what they contain, and the prefix by which they are called here.
const NAMESPACES: [(&str, &str); 13] = [
    ("wordprocessingml/2006/main", "w"),
    ("wordprocessingml/main", "w"),
    ("spreadsheetml", "x"),
    ("presentationml", "p"),
    ("wordprocessingDrawing", "wp"),
    ("drawingml/2006/chart", "c"),
    ("drawingml/chart", "c"),
    ("drawingml/2006/main", "a"),
    ("drawingml/main", "a"),
    ("officeDocument/2006/math", "m"),
    ("officeDocument/math", "m"),
    ("markup-compatibility", "mc"),
    ("purl.org/dc/elements", "dc"),
];

/// An element with all that is in it.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// Prefix and name, as in `w:p`; without a prefix where the namespace is none of those that are known.
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) nodes: Vec<Node>,
}

/// What is in an element.
#[derive(Debug)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// An attribute's value. Those of relationships are called `r:NAME`, all others by their name alone.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The elements in it.
    pub(crate) fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first element in it that has this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children().find(|child| child.name == name)
    }

    /// The attribute `val` of the first element in it that has this name.
    pub(crate) fn value_of(&self, name: &str) -> Option<&str> {
        self.child(name)?.attribute("val")
    }

    /// Whether a property is on: named, and not said to be off.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.child(name).is_some_and(|child| !matches!(child.attribute("val"), Some("0" | "false" | "off" | "none")))
    }

    /// All text directly in it.
    pub(crate) fn text(&self) -> String {
        self.nodes
            .iter()
            .filter_map(|node| if let Node::Text(text) = node { Some(text.as_str()) } else { None })
            .collect()
    }

    /// Calls `visit` for this element and those in it, as long as it wants to go on below.
    pub(crate) fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Element) -> Below) {
        if visit(self) == Below::Look {
            for child in self.children() {
                child.walk(visit);
            }
        }
    }

    /// The first element of this name in it, however deep.
    pub(crate) fn find(&self, name: &str) -> Option<&Element> {
        self.children().find_map(|child| if child.name == name { Some(child) } else { child.find(name) })
    }
}

/// Whether a walk goes on into an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Below {
    Look,
    Skip,
}

/// What comes next in a file.
pub(crate) enum Item {
    Open(Element),
    Text(String),
    Close,
    End,
}

/// A file that is read.
pub(crate) struct Xml<R> {
    reader: NsReader<R>,
    buffer: Vec<u8>,
    depth: usize,
    format: &'static str,
}

impl<R: BufRead> Xml<R> {
    pub(crate) fn new(source: R, format: &'static str) -> Self {
        let mut reader = NsReader::from_reader(source);
        reader.config_mut().expand_empty_elements = true;
        Self { reader, buffer: Vec::new(), depth: 0, format }
    }

    /// The next thing. Comments and processing instructions are passed over.
    pub(crate) fn next(&mut self) -> Result<Item, FormatError> {
        loop {
            self.buffer.clear();
            let broken = || FormatError::damaged(self.format, "its XML is broken");
            let (namespace, event) = self.reader.read_resolved_event_into(&mut self.buffer).map_err(|_| broken())?;
            match event {
                Event::Start(start) => {
                    let prefix = match &namespace {
                        ResolveResult::Bound(namespace) => prefix(namespace.0),
                        _ => "",
                    };
                    let element = element(prefix, &start, self.reader.resolver())
                        .map_err(|error| error.unwrap_or_else(broken))?;
                    self.depth += 1;
                    if self.depth > XML_DEPTH_MAX {
                        return Err(FormatError::too_much("XML elements inside one another", XML_DEPTH_MAX));
                    }
                    return Ok(Item::Open(element));
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    return Ok(Item::Close);
                }
                Event::Text(text) => return Ok(Item::Text(text.xml10_content().into_owned())),
                Event::CData(text) => return Ok(Item::Text(text.into_inner().into_owned())),
                Event::GeneralRef(reference) => {
                    let c = match reference.resolve_char_ref() {
                        Ok(Some(c)) => Some(c),
                        _ => predefined(&reference.into_inner()),
                    };
                    return c.map(|c| Item::Text(c.to_string())).ok_or(FormatError::Definitions);
                }
                Event::DocType(_) => return Err(FormatError::Definitions),
                Event::Eof if self.depth > 0 => return Err(broken()),
                Event::Eof => return Ok(Item::End),
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            }
        }
    }

    /// What is in the element that was just opened.
    pub(crate) fn fill(&mut self, mut element: Element) -> Result<Element, FormatError> {
        loop {
            match self.next()? {
                Item::Open(child) => {
                    let child = self.fill(child)?;
                    element.nodes.push(Node::Element(child));
                }
                Item::Text(text) => match element.nodes.last_mut() {
                    Some(Node::Text(before)) => before.push_str(&text),
                    _ => element.nodes.push(Node::Text(text)),
                },
                Item::Close => return Ok(element),
                Item::End => return Err(FormatError::damaged(self.format, "its XML is broken")),
            }
        }
    }

    /// Goes on to the next element of one of these names, whatever lies around it. Its content is still to come.
    pub(crate) fn find(&mut self, names: &[&str]) -> Result<Option<Element>, FormatError> {
        loop {
            match self.next()? {
                Item::Open(element) if names.contains(&element.name.as_str()) => return Ok(Some(element)),
                Item::End => return Ok(None),
                _ => {}
            }
        }
    }

    /// The next element inside the one that was opened last, whole; none where that one ends.
    pub(crate) fn next_child(&mut self) -> Result<Option<Element>, FormatError> {
        loop {
            match self.next()? {
                Item::Open(element) => return self.fill(element).map(Some),
                Item::Close | Item::End => return Ok(None),
                Item::Text(_) => {}
            }
        }
    }

    /// The whole file.
    pub(crate) fn tree(mut self) -> Result<Element, FormatError> {
        Ok(self.next_child()?.unwrap_or_default())
    }
}

fn prefix(namespace: &str) -> &'static str {
    NAMESPACES.iter().find(|(part, _)| namespace.contains(part)).map_or("", |(_, prefix)| prefix)
}

/// An element without its content. The error is none where its XML is broken.
fn element(prefix: &str, start: &BytesStart<'_>, names: &NamespaceResolver) -> Result<Element, Option<FormatError>> {
    let local = start.local_name();
    let name = if prefix.is_empty() { local.as_ref().to_owned() } else { format!("{prefix}:{}", local.as_ref()) };
    let mut attributes = Vec::new();
    // Without the check that no name comes twice, which takes longer the more there are.
    for attribute in start.attributes().with_checks(false) {
        let attribute = attribute.map_err(|_| None)?;
        if attributes.len() == XML_ATTRIBUTES_MAX {
            return Err(Some(FormatError::too_much("attributes of one XML element", XML_ATTRIBUTES_MAX)));
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| Some(FormatError::Definitions))?;
        let (namespace, local) = names.resolve_attribute(attribute.key);
        let is_link = match namespace {
            ResolveResult::Bound(namespace) => is_of_relationships(namespace.0),
            ResolveResult::Unbound => false,
            ResolveResult::Unknown(prefix) => prefix == "r",
        };
        let name = if is_link { format!("r:{}", local.as_ref()) } else { local.as_ref().to_owned() };
        attributes.push((name, value.into_owned()));
    }
    Ok(Element { name, attributes, nodes: Vec::new() })
}

/// Whether a namespace is that of relationships, in either edition of the standard.
fn is_of_relationships(namespace: &str) -> bool {
    namespace.contains("officeDocument") && namespace.ends_with("/relationships")
}

fn predefined(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Result<Element, FormatError> {
        Xml::new(text.as_bytes(), "file").tree()
    }

    #[test]
    fn elements_are_named_by_their_namespace() {
        let text = r#"<z:p xmlns:z="http://schemas.openxmlformats.org/wordprocessingml/2006/main" z:val="a&amp;b"><z:t>x &lt; &#121;</z:t></z:p>"#;
        let element = tree(text).unwrap();
        assert_eq!((element.name.as_str(), element.attribute("val")), ("w:p", Some("a&b")));
        assert_eq!(element.child("w:t").unwrap().text(), "x < y");
    }

    #[test]
    fn bombs_are_refused() {
        let deep = format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000));
        assert_eq!(tree(&deep).unwrap_err(), FormatError::too_much("XML elements inside one another", 256));
        let wide = format!("<a {}/>", (0..80_000).map(|n| format!("b{n}='' ")).collect::<String>());
        assert_eq!(tree(&wide).unwrap_err(), FormatError::too_much("attributes of one XML element", 1_024));
        let entities = r#"<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>"#;
        assert_eq!(tree(entities).unwrap_err(), FormatError::Definitions);
        assert_eq!(tree("<a>&b;</a>").unwrap_err(), FormatError::Definitions);
        assert!(matches!(tree("<a><b>").unwrap_err(), FormatError::Damaged { .. }));
    }
}
