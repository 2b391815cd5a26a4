//! A text's blocks as runs under one heading, small neighbours joined.
//!
//! Promises: the runs cover all that can be read, whatever the outline claims, but for what nobody sees; and no run
//! reaches across that. Does not: cut blocks.

use std::ops::Range;
use std::sync::Arc;

use crate::outline::{BlockKind, Outline};
use crate::refine::{Atom, Border, Gauge};

/// Up to this many sections, sections under different first or second headings stay apart however small they are. A text
/// with more is not structured by its headings, and keeping them apart would only make millions of chunks.
const SECTIONS_KEPT_APART_MAX: usize = 4_096;
/// The deepest heading level whose sections are never joined with each other.
const LEVEL_KEPT_APART: u8 = 2;
/// A section is small when it fills less than this share of the target.
const SMALL_SHARE: usize = 4;

/// Atoms that stand under the same headings.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    pub(crate) atoms: Range<usize>,
    pub(crate) headings: Arc<[String]>,
    /// Level of the heading that opens the section; zero when none does.
    level: u8,
    tokens: usize,
    /// Whether it is a heading and nothing else.
    is_bare: bool,
    /// Whether it was joined of small sections, and so may take another.
    is_joined: bool,
    /// Whether something that nobody sees stands before it, which no chunk may hold.
    is_cut: bool,
}

/// The whole text as measured atoms, one for each block and each stretch that no block claims, in sections.
pub(crate) fn cover(gauge: &Gauge<'_>, outline: &Outline) -> (Vec<Atom>, Vec<Section>) {
    let mut runs = Runs { gauge, atoms: Vec::new(), sections: Vec::new(), headings: Arc::from([]), is_cut: false };
    let mut covered = 0;
    for block in &outline.blocks {
        let start = crate::border_at_or_before(gauge.text, block.span.start as usize).max(covered);
        let end = crate::border_at_or_before(gauge.text, block.span.end as usize);
        if start >= end {
            continue;
        }
        runs.add(BlockKind::Paragraph, covered, start, None, None);
        if block.kind == BlockKind::Comment {
            runs.is_cut = true;
        } else {
            let start = if block.kind == BlockKind::Code { indented(gauge.text, start, covered) } else { start };
            runs.add(block.kind, start, end, Some(&block.headings), block.opens);
        }
        covered = end;
    }
    runs.add(BlockKind::Paragraph, covered, gauge.text.len(), None, None);
    (runs.atoms, runs.sections)
}

/// Where the line begins that `start` stands in, when there is only whitespace between and it is not before `least`: in
/// code, indentation means something.
fn indented(text: &str, start: usize, least: usize) -> usize {
    let line_start = text[least..start].rfind('\n').map_or(least, |at| least + at + 1);
    if text[line_start..start].trim().is_empty() { line_start } else { start }
}

struct Runs<'r, 'g> {
    gauge: &'r Gauge<'g>,
    atoms: Vec<Atom>,
    sections: Vec<Section>,
    headings: Arc<[String]>,
    /// Whether what comes next may not be in one chunk with what came last.
    is_cut: bool,
}

impl Runs<'_, '_> {
    /// Adds what can be read in `start..end`, under `headings` or, when they are not known, under those before.
    /// With `opens`, a section of that level begins here.
    fn add(&mut self, kind: BlockKind, start: usize, end: usize, headings: Option<&Arc<[String]>>, opens: Option<u8>) {
        let Some(atom) = self.gauge.atom(start, end, kind, 0, Border::Block) else { return };
        let is_cut = std::mem::take(&mut self.is_cut);
        let is_same = headings.is_none_or(|new| Arc::ptr_eq(new, &self.headings) || **new == *self.headings);
        if let Some(new) = headings {
            self.headings = Arc::clone(new);
        }
        let tokens = atom.tokens_or_many();
        self.atoms.push(atom);
        let end = self.atoms.len();
        match self.sections.last_mut() {
            Some(last) if is_same && opens.is_none() && !is_cut => {
                last.atoms.end = end;
                last.tokens = last.tokens.saturating_add(tokens);
                last.is_bare = false;
            }
            _ => self.sections.push(Section {
                atoms: end - 1..end,
                headings: Arc::clone(&self.headings),
                level: opens.unwrap_or_default(),
                tokens,
                is_bare: matches!(kind, BlockKind::Heading { .. }),
                is_joined: false,
                is_cut,
            }),
        }
    }
}

/// Joins neighbours: a heading without text of its own with the first section below it, and small sections that stand
/// under the same first and second headings. What is joined bears the headings that are common to all of it.
pub(crate) fn merge_small(gauge: &Gauge<'_>, atoms: &[Atom], sections: Vec<Section>) -> Vec<Section> {
    let keep_apart = sections.len() <= SECTIONS_KEPT_APART_MAX;
    let mut merged: Vec<Section> = Vec::new();
    for section in with_bare_headings(sections) {
        match merged.last_mut() {
            Some(last)
                if !section.is_cut
                    && (!keep_apart || section.level > LEVEL_KEPT_APART)
                    && joins(gauge, atoms, last, &section) =>
            {
                last.headings = common_headings(&last.headings, &section.headings);
                last.atoms.end = section.atoms.end;
                last.tokens += section.tokens;
                last.is_joined = true;
            }
            _ => merged.push(section),
        }
    }
    merged
}

/// A heading right above a deeper one opens the deeper one's section, so that it does not end up as a chunk by itself.
fn with_bare_headings(sections: Vec<Section>) -> Vec<Section> {
    let mut result: Vec<Section> = Vec::with_capacity(sections.len());
    for mut section in sections {
        if let Some(last) = result.last()
            && last.is_bare
            && !section.is_cut
            && section.headings.len() > last.headings.len()
            && section.headings.starts_with(&last.headings)
        {
            section.atoms.start = last.atoms.start;
            section.tokens = section.tokens.saturating_add(last.tokens);
            section.level = last.level;
            section.is_cut = last.is_cut;
            result.pop();
        }
        result.push(section);
    }
    result
}

fn joins(gauge: &Gauge<'_>, atoms: &[Atom], last: &Section, section: &Section) -> bool {
    let target = gauge.rules.target_tokens;
    let is_small = |one: &Section| one.tokens < target / SMALL_SHARE;
    (last.is_joined || is_small(last))
        && is_small(section)
        && last.tokens + section.tokens <= target
        && atoms[section.atoms.end - 1].end - atoms[last.atoms.start].start <= gauge.rules.max_bytes
}

fn common_headings(one: &Arc<[String]>, other: &Arc<[String]>) -> Arc<[String]> {
    let common = one.iter().zip(other.iter()).take_while(|(a, b)| a == b).count();
    if common == one.len() { Arc::clone(one) } else { one[..common].into() }
}
