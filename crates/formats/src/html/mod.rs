//! Web pages as Markdown: what the page is about, with headings, lists, code and tables.
//!
//! Promises: scripts, styles, comments and what a visitor does not see are counted and left out; the main content is
//! taken only where hardly any running text lies outside it, else the whole page is; tables keep their rows. Does not:
//! run scripts, load style sheets, or fetch anything.

mod hidden;
mod render;
mod table;

use catena_domain::limits::HTML_DEPTH_MAX;
use catena_text::Reading;
use dom_query::{Document, NodeRef};
use dom_smoothie::{Config, Readability};

use crate::decode::{Stated, decode};
use crate::draft::{Draft, add};
use crate::error::FormatError;
use render::{Chrome, Rendered, render};

/// Of the words outside links, the main content has to hold this many in a hundred to stand for the page.
const KEPT_PERCENT_MIN: usize = 90;
/// Pages with fewer words outside links are taken whole: there is too little to tell main from other content by.
const WORDS_MIN: usize = 150;
/// How much of the bytes is looked at for a statement about their characters.
const HEAD_BYTES: usize = 4096;

/// Reads a page. What the sender says of its characters goes before what the page says.
pub(crate) fn read(stated: Stated<'_>, bytes: &[u8]) -> Result<Reading, FormatError> {
    let own = own_charset(bytes);
    let stated = match (stated, &own) {
        (Stated::Nothing, Some(own)) => Stated::Perhaps(own),
        (stated, _) => stated,
    };
    read_text(&decode(bytes, stated)?)
}

/// Reads a page's characters.
pub(crate) fn read_text(text: &str) -> Result<Reading, FormatError> {
    // Nesting is measured first: the parser's own work grows with the square of it.
    check_depth(text)?;
    let page = Document::from(text);
    let noticed = hidden::prune(&page);
    let title = page.select_single("head > title").text().trim().to_owned();
    let root = page.body().unwrap_or_else(|| page.root());
    let mut chosen = render(&root, Chrome::Leave);
    if chosen.draft.is_empty() {
        chosen = render(&root, Chrome::Keep);
    }
    if chosen.unlinked_words >= WORDS_MIN
        && let Some(main) = main_content(&page)
        && main.unlinked_words * 100 >= chosen.unlinked_words * KEPT_PERCENT_MIN
        && main.draft.as_str().len() < chosen.draft.as_str().len()
    {
        chosen = main;
    }
    let mut draft: Draft = chosen.draft;
    add(&mut draft.noticed, noticed);
    draft.title = Some(title);
    draft.finish()
}

/// The character set that a page states in its head.
fn own_charset(bytes: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(HEAD_BYTES)]).to_ascii_lowercase();
    let meta = head.split("<meta").skip(1).find_map(|meta| meta.split('>').next()?.split_once("charset="))?;
    let label: String = meta
        .1
        .trim_start_matches(['"', '\''])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
        .collect();
    Some(label).filter(|label| !label.is_empty())
}

/// Elements that a page may open without ever closing them.
const UNCLOSED: [&str; 31] = [
    "area", "base", "basefont", "body", "br", "col", "colgroup", "command", "dd", "dt", "embed", "frame", "hr", "html",
    "img", "input", "keygen", "li", "link", "meta", "option", "optgroup", "p", "param", "source", "tbody", "td", "th",
    "thead", "track", "wbr",
];

/// Refuses a page whose elements lie too deep inside one another, by its tags alone.
fn check_depth(text: &str) -> Result<(), FormatError> {
    let (mut depth, mut rest) = (0_usize, text);
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let is_close = rest.starts_with('/');
        let name: String = rest
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(12)
            .collect::<String>()
            .to_ascii_lowercase();
        if name.is_empty() || name == "tr" || UNCLOSED.contains(&name.as_str()) {
            continue;
        }
        if is_close {
            depth = depth.saturating_sub(1);
            continue;
        }
        if rest.split('>').next().is_some_and(|tag| tag.len() < 4096 && tag.ends_with('/')) {
            continue;
        }
        depth += 1;
        if depth > HTML_DEPTH_MAX {
            return Err(FormatError::too_much("HTML elements inside one another", HTML_DEPTH_MAX));
        }
    }
    Ok(())
}

/// The depth of a tree, by walking it without recursion.
fn is_too_deep(root: &NodeRef<'_>) -> bool {
    let mut open = vec![(*root, 1_usize)];
    while let Some((node, depth)) = open.pop() {
        if depth > HTML_DEPTH_MAX * 2 {
            return true;
        }
        open.extend(node.children_it(false).map(|child| (child, depth + 1)));
    }
    false
}

fn main_content(page: &Document) -> Option<Rendered> {
    if is_too_deep(&page.root()) {
        return None;
    }
    let config = Config { disable_json_ld: true, ..Config::default() };
    let article = Readability::with_document(page.clone(), None, Some(config)).ok()?.parse().ok()?;
    let content = Document::from(article.content);
    let main = render(&content.body()?, Chrome::Keep);
    Some(main)
}

#[cfg(test)]
mod tests;
