//! A page's tree as Markdown.

use dom_query::NodeRef;

use super::table;
use crate::draft::{Draft, one_line};

/// What to do with a page's menus, footers and side bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chrome {
    Leave,
    Keep,
}

/// A tree as Markdown.
pub(super) struct Rendered {
    pub(super) draft: Draft,
    /// Words that are no part of a link.
    pub(super) unlinked_words: usize,
}

pub(super) fn render(root: &NodeRef<'_>, chrome: Chrome) -> Rendered {
    let mut renderer = Renderer {
        draft: Draft::default(),
        chrome,
        line: String::new(),
        lists: Vec::new(),
        mark: None,
        links: 0,
        unlinked_words: 0,
    };
    renderer.children(root);
    renderer.end_block();
    Rendered { draft: renderer.draft, unlinked_words: renderer.unlinked_words }
}

/// A list that is being written: the next item's number, or none where it has marks alone.
type List = Option<u32>;

struct Renderer {
    draft: Draft,
    chrome: Chrome,
    /// The block that is being gathered.
    line: String,
    lists: Vec<List>,
    /// The mark of an item whose text is still to come.
    mark: Option<String>,
    links: usize,
    unlinked_words: usize,
}

impl Renderer {
    fn children(&mut self, node: &NodeRef<'_>) {
        for child in node.children_it(false) {
            if self.draft.is_over() {
                return;
            }
            self.node(&child);
        }
    }

    fn node(&mut self, node: &NodeRef<'_>) {
        if node.is_text() {
            let text = node.text();
            if self.links == 0 {
                self.unlinked_words += text.split_whitespace().count();
            }
            push_collapsed(&mut self.line, &text);
            return;
        }
        let Some(name) = node.node_name().filter(|_| node.is_element()) else { return };
        if self.chrome == Chrome::Leave && is_chrome(node, &name) {
            return;
        }
        match &*name {
            "head" | "title" | "select" | "textarea" | "datalist" => {}
            "br" => self.line.push('\n'),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => self.heading(node, usize::from(name.as_bytes()[1] - b'0')),
            "ul" | "ol" | "menu" => self.list(node, &name),
            "li" => self.item(node),
            "dt" | "dd" => {
                self.end_block();
                self.mark = (&*name == "dd").then(|| "-".to_owned());
                self.children(node);
                self.end_block();
            }
            "pre" => {
                self.end_block();
                self.unlinked_words += node.text().split_whitespace().count();
                self.draft.code(&node.text());
            }
            "code" | "kbd" | "samp" => self.code(node),
            "table" => self.table(node),
            "a" => self.link(node),
            "img" => self.picture(node),
            "q" => self.around("\"", node, "\""),
            "sup" | "sub" if node.text().trim().len() > 3 => self.around(" ", node, ""),
            _ if is_block(&name) => {
                self.end_block();
                self.children(node);
                self.end_block();
            }
            _ => self.children(node),
        }
    }

    fn around(&mut self, before: &str, node: &NodeRef<'_>, after: &str) {
        self.line.push_str(before);
        self.children(node);
        self.line.push_str(after);
    }

    /// Writes the block that was gathered.
    fn end_block(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim().is_empty() {
            return;
        }
        match (self.mark.take(), self.lists.len()) {
            (Some(mark), depth) => self.draft.item(depth.saturating_sub(1), &mark, &line),
            // A further paragraph of an item.
            (None, depth) if depth > 0 => self.draft.item(depth - 1, " ", &line),
            (None, _) => self.draft.paragraph(&line),
        }
    }

    fn heading(&mut self, node: &NodeRef<'_>, level: usize) {
        self.end_block();
        self.children(node);
        let text = one_line(&std::mem::take(&mut self.line));
        if self.mark.is_some() {
            self.line = text;
            self.end_block();
        } else {
            self.draft.heading(level, &text);
        }
    }

    fn list(&mut self, node: &NodeRef<'_>, name: &str) {
        self.end_block();
        let first = node.attr("start").and_then(|start| start.parse().ok()).unwrap_or(1);
        self.lists.push((name == "ol").then_some(first));
        let mark = self.mark.take();
        self.children(node);
        self.end_block();
        self.mark = mark;
        self.lists.pop();
    }

    fn item(&mut self, node: &NodeRef<'_>) {
        self.end_block();
        let is_outside = self.lists.is_empty();
        if is_outside {
            self.lists.push(None);
        }
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number = number.saturating_add(1);
                format!("{}.", number.saturating_sub(1))
            }
            _ => "-".to_owned(),
        };
        self.mark = Some(mark);
        self.children(node);
        self.end_block();
        self.mark = None;
        if is_outside {
            self.lists.pop();
        }
    }

    fn code(&mut self, node: &NodeRef<'_>) {
        let text = one_line(&node.text());
        self.unlinked_words += text.split_whitespace().count();
        match text.as_str() {
            "" => {}
            text if text.contains('`') => self.line.push_str(text),
            text => self.line.push_str(&format!("`{text}`")),
        }
    }

    fn link(&mut self, node: &NodeRef<'_>) {
        let start = self.line.len();
        self.links += 1;
        self.children(node);
        self.links -= 1;
        let Some(target) = node.attr("href") else { return };
        let is_web = target.starts_with("https://") || target.starts_with("http://") || target.starts_with("mailto:");
        let text = self.line.get(start..).map(one_line).unwrap_or_default();
        if is_web
            && !text.is_empty()
            && !target.contains(char::is_whitespace)
            && target.len() <= LINK_BYTES_MAX
            && text != *target
        {
            let is_spaced = self.line[start..].starts_with(char::is_whitespace);
            self.line.truncate(start);
            self.line.push_str(if is_spaced { " " } else { "" });
            self.line.push_str(&format!("[{text}]({target})"));
        }
    }

    fn picture(&mut self, node: &NodeRef<'_>) {
        if let Some(text) = node.attr("alt").map(|text| one_line(&text)).filter(|text| !text.is_empty()) {
            self.line.push_str(&format!(" [{text}] "));
        }
    }

    fn table(&mut self, node: &NodeRef<'_>) {
        if table::is_layout(node) {
            self.end_block();
            self.children(node);
            self.end_block();
            return;
        }
        self.end_block();
        let mark = self.mark.take();
        let rows = table::rows(node, &mut |cell| self.cell(cell));
        if let Some(caption) = node.children_it(false).find(|child| child.has_name("caption")) {
            self.children(&caption);
            self.end_block();
        }
        self.draft.table(&rows);
        self.mark = mark;
    }

    /// A cell's text in one line.
    fn cell(&mut self, node: &NodeRef<'_>) -> String {
        let inner = Self {
            draft: Draft::default(),
            chrome: Chrome::Keep,
            line: String::new(),
            lists: Vec::new(),
            mark: None,
            links: self.links,
            unlinked_words: 0,
        };
        let mut inner = inner;
        inner.children(node);
        self.unlinked_words += inner.unlinked_words;
        if inner.draft.is_empty() {
            return one_line(&inner.line);
        }
        inner.end_block();
        one_line(inner.draft.as_str())
    }
}

/// The longest address that is kept.
const LINK_BYTES_MAX: usize = 300;

/// Adds text as a page shows it: every run of white space is one space.
fn push_collapsed(line: &mut String, text: &str) {
    if text.starts_with(|c: char| c.is_ascii_whitespace()) && !line.ends_with(char::is_whitespace) {
        line.push(' ');
    }
    let mut words = text.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        line.push_str(word);
        if words.peek().is_some() || text.ends_with(|c: char| c.is_ascii_whitespace()) {
            line.push(' ');
        }
    }
}

fn is_chrome(node: &NodeRef<'_>, name: &str) -> bool {
    match name {
        "nav" | "aside" => true,
        // Inside an article, these are the article's own.
        "footer" => node
            .ancestors_it(None)
            .all(|above| !matches!(above.node_name().as_deref(), Some("article" | "main" | "section"))),
        "button" | "form" => node.attr("role").is_some_and(|role| &*role == "search"),
        _ => node
            .attr("role")
            .is_some_and(|role| matches!(&*role, "navigation" | "contentinfo" | "complementary" | "search")),
    }
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "center"
            | "details"
            | "dialog"
            | "dir"
            | "div"
            | "dl"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "header"
            | "hgroup"
            | "hr"
            | "legend"
            | "main"
            | "nav"
            | "option"
            | "p"
            | "section"
            | "summary"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "caption"
            | "html"
            | "search"
    )
}
