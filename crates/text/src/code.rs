//! The structure of source code: functions, types and modules as sections, each under what holds it.
//!
//! Promises: a pure function of the text, bounded by the text's size and never by a clock, so that equal code is always
//! cut equally; what cannot be parsed within the bounds is one block of code without sections. What stands right above
//! a declaration, such as its documentation, stays with it. A function that is long is parted between its statements.
//! Does not: resolve names, or tell right code from wrong; what is not understood lies between the sections.

mod grammars;

use std::ops::{ControlFlow, Range};

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use crate::format::Language;
use crate::outline::{BlockKind, Collector, HEADING_DEPTH_MAX, Outline, readable_span};
use grammars::{Grammar, Role};

/// Longest code that is parsed, in bytes.
const PARSED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// The parser reports after every hundred steps. It may do so this often, and once more for so many bytes of text.
const REPORTS_MIN: usize = 100;
const BYTES_PER_REPORT: usize = 16;
/// Of these, so many while it looks for a way on after something that it does not understand: such steps cost far more.
const REPORTS_ASTRAY_MIN: usize = 20;
const BYTES_PER_REPORT_ASTRAY: usize = 5_000;
/// The level of sections that nothing holds. Small ones that stand side by side may share a chunk.
const LEVEL_TOP: u8 = 3;
/// How deep things that are looked through may hold each other.
const DEPTH_MAX: usize = 32;
/// A declaration from this size on is parted between its statements, in bytes.
const PARTED_BYTES_MIN: usize = 600;

pub(crate) fn outline(language: Language, text: &str) -> Outline {
    let grammar = Grammar::of(language);
    let mut collector = Collector::new(text);
    match parse(&grammar, text) {
        Some(tree) => {
            let mut walk = Walk { text, grammar, collector, done: 0, opens: None };
            walk.children(tree.root_node(), LEVEL_TOP, 0);
            walk.rest(text.len(), LEVEL_TOP);
            collector = walk.collector;
        }
        None => collector.block(BlockKind::Code, 0, text.len()),
    }
    collector.finish(None)
}

/// The tree of `text`; `None` when that takes more steps than code of this size should.
fn parse(grammar: &Grammar, text: &str) -> Option<Tree> {
    if text.len() > PARSED_BYTES_MAX {
        return None;
    }
    let mut parser = Parser::new();
    parser.set_language(&grammar.language).ok()?;
    let mut left = REPORTS_MIN + text.len() / BYTES_PER_REPORT;
    let mut left_astray = REPORTS_ASTRAY_MIN + text.len() / BYTES_PER_REPORT_ASTRAY;
    let mut report = |state: &ParseState| {
        left = left.saturating_sub(1);
        left_astray = left_astray.saturating_sub(usize::from(state.has_error()));
        if left == 0 || left_astray == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut report);
    let bytes = text.as_bytes();
    parser.parse_with_options(&mut |at, _| bytes.get(at..).unwrap_or_default(), None, Some(options))
}

struct Walk<'t> {
    text: &'t str,
    grammar: Grammar,
    collector: Collector<'t>,
    /// Up to here, the text is in blocks.
    done: usize,
    /// The level of the section whose first block comes next.
    opens: Option<u8>,
}

impl Walk<'_> {
    /// The declarations among a node's children, which are sections of `level`.
    fn children(&mut self, of: Node<'_>, level: u8, depth: usize) {
        let mut cursor = of.walk();
        let mut lead: Option<Range<usize>> = None;
        for child in of.children(&mut cursor) {
            let near = lead.take().filter(|lead| self.is_near(lead.end, child.start_byte()));
            let start = near.map_or(child.start_byte(), |lead| lead.start);
            if self.grammar.is_lead(child.kind()) {
                lead = Some(start..child.end_byte());
                continue;
            }
            let Some((role, declared)) = self.declared(child) else { continue };
            match role {
                Role::Open if depth < DEPTH_MAX => self.children(declared, level, depth + 1),
                Role::Open => {}
                Role::Section | Role::Container => self.section(start, child.end_byte(), declared, role, level, depth),
            }
        }
    }

    /// What a node declares, looking through what only wraps it.
    fn declared<'n>(&self, node: Node<'n>) -> Option<(Role, Node<'n>)> {
        let mut node = node;
        for _ in 0..DEPTH_MAX {
            if let Some(role) = self.grammar.role(node) {
                return Some((role, node));
            }
            if !self.grammar.is_wrapper(node.kind()) {
                return None;
            }
            let mut cursor = node.walk();
            let inner = node.named_children(&mut cursor).filter(|child| !self.grammar.is_lead(child.kind())).last();
            node = inner?;
        }
        None
    }

    fn section(&mut self, start: usize, end: usize, node: Node<'_>, role: Role, level: u8, depth: usize) {
        // Two declarations on one line, or a lead that belongs to both.
        let start = start.max(self.done);
        self.rest(start, level);
        self.collector.enter(level, &self.grammar.label(node, self.text));
        self.opens = Some(level);
        let body = node.child_by_field_name("body");
        match (role, body) {
            (Role::Container, Some(body)) if usize::from(level) < HEADING_DEPTH_MAX => {
                self.children(body, level + 1, depth + 1);
                self.rest(end, level + 1);
            }
            (_, body) => self.parted(end, body),
        }
    }

    /// A block up to `end`, parted between the statements of its body when it is long.
    fn parted(&mut self, end: usize, body: Option<Node<'_>>) {
        if let Some(body) = body.filter(|_| end.saturating_sub(self.done) >= PARTED_BYTES_MIN) {
            let mut cursor = body.walk();
            let mut lead: Option<Range<usize>> = None;
            for (number, statement) in body.named_children(&mut cursor).enumerate() {
                let near = lead.take().filter(|lead| self.is_near(lead.end, statement.start_byte()));
                let start = near.map_or(statement.start_byte(), |lead| lead.start);
                if self.grammar.is_lead(statement.kind()) {
                    lead = Some(start..statement.end_byte());
                } else if number > 0 {
                    // The first statement stays with the line that declares what it is in.
                    self.emit(start);
                }
            }
        }
        self.emit(end);
    }

    /// What lies before `end` and in no section; a section of its own, unless it only closes what stands before it.
    fn rest(&mut self, end: usize, level: u8) {
        if end <= self.done {
            return;
        }
        let between = &self.text[self.done..end];
        if self.opens.is_none() {
            if !between.chars().any(char::is_alphanumeric) && self.collector.stretch(end) {
                self.done = end;
                return;
            }
            self.collector.enter(level, "");
            self.opens = Some(level);
        }
        self.emit(end);
    }

    fn emit(&mut self, end: usize) {
        if readable_span(self.text, self.done, end).is_some() {
            match self.opens.take() {
                Some(level) => self.collector.opening(BlockKind::Code, level, self.done, end),
                None => self.collector.block(BlockKind::Code, self.done, end),
            }
        }
        self.done = self.done.max(end);
    }

    /// Whether what starts at `start` stands on the line after `end`, or on the same.
    fn is_near(&self, end: usize, start: usize) -> bool {
        // Some grammars let a comment take its line break along.
        let ended = usize::from(self.text[..end].ends_with('\n'));
        let between = self.text.get(end..start).unwrap_or_default();
        between.trim().is_empty() && between.matches('\n').count() + ended <= 1
    }
}
