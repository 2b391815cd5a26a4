//! Measuring pieces of a text, and cutting a piece that is too large into finer ones.
//!
//! Promises: refining always ends, keeps every byte that is not whitespace, and costs about as much as measuring the
//! piece once. Does not: decide what goes together.

use unicode_segmentation::UnicodeSegmentation;

use crate::chunk::{ChunkRules, Keeping};
use crate::outline::{BlockKind, readable_span};
use crate::plain::is_item;

/// Sentence rules look ahead; in a window their cost stays bounded.
const SENTENCE_WINDOW_BYTES: usize = 2_048;
/// Longest indentation that a piece keeps, in bytes.
const INDENT_BYTES_MAX: usize = 64;
/// Pieces that words are gathered into: this many fill the target.
const WORD_PIECES_PER_TARGET: usize = 4;

/// How good it is to cut right before an atom, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Border {
    AfterHeading,
    Word,
    Fine,
    BlankLine,
    Block,
}

/// Where a piece can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    BlankLine,
    Item,
    Line,
    Sentence,
    Word,
}

const PROSE: &[Step] = &[Step::BlankLine, Step::Sentence, Step::Line, Step::Word];
const LIST: &[Step] = &[Step::BlankLine, Step::Item, Step::Sentence, Step::Line, Step::Word];
const ROWS: &[Step] = &[Step::BlankLine, Step::Line, Step::Sentence, Step::Word];

fn steps(kind: BlockKind) -> &'static [Step] {
    match kind {
        BlockKind::ListItem => LIST,
        BlockKind::Table
        | BlockKind::Code
        | BlockKind::Html
        | BlockKind::Metadata
        | BlockKind::Rule
        | BlockKind::Comment => ROWS,
        BlockKind::Heading { .. } | BlockKind::Paragraph | BlockKind::Quote | BlockKind::Footnote => PROSE,
    }
}

/// A piece of text that stays whole until it has to be refined.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Atom {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// None when it is too long to be a chunk, and so was not measured.
    pub(crate) tokens: Option<usize>,
    pub(crate) kind: BlockKind,
    pub(crate) border: Border,
    /// The next of the kind's steps to refine by.
    step: usize,
}

impl Atom {
    /// Whether it is a block of lines that was not parted into them yet.
    pub(crate) fn has_lines(&self) -> bool {
        let by_lines = steps(self.kind).iter().position(|step| *step == Step::Line);
        by_lines.is_some_and(|by_lines| self.step <= by_lines)
    }

    /// Its tokens; more than any target when it was not measured.
    pub(crate) fn tokens_or_many(&self) -> usize {
        self.tokens.unwrap_or(usize::MAX / 2)
    }

    pub(crate) fn is_heading(&self) -> bool {
        matches!(self.kind, BlockKind::Heading { .. })
    }
}

/// A text with the means to measure it.
pub(crate) struct Gauge<'g> {
    pub(crate) text: &'g str,
    pub(crate) rules: ChunkRules,
    measure: &'g dyn Fn(&str) -> usize,
}

impl<'g> Gauge<'g> {
    pub(crate) fn new(text: &'g str, rules: &ChunkRules, measure: &'g dyn Fn(&str) -> usize) -> Self {
        let window_tokens = rules.window_tokens.max(1);
        let rules = ChunkRules {
            window_tokens,
            target_tokens: rules.target_tokens.clamp(1, window_tokens),
            // The longest character has four bytes.
            max_bytes: rules.max_bytes.max(4),
            ..*rules
        };
        Self { text, rules, measure }
    }

    pub(crate) fn tokens(&self, text: &str) -> usize {
        (self.measure)(text)
    }

    /// What can be read in `start..end` as an atom that is next refined by `step`; `None` when that is nothing.
    pub(crate) fn atom(&self, start: usize, end: usize, kind: BlockKind, step: usize, border: Border) -> Option<Atom> {
        let span = readable_span(self.text, start, end)?;
        let (readable_start, end) = (span.start as usize, span.end as usize);
        let line_start = self.text[start..readable_start].rfind('\n').map_or(start, |at| start + at + 1);
        let start = if readable_start - line_start <= INDENT_BYTES_MAX { line_start } else { readable_start };
        let is_measured = end - start <= self.rules.max_bytes;
        let tokens = is_measured.then(|| self.tokens(&self.text[start..end]));
        Some(Atom { start, end, tokens, kind, border, step })
    }

    /// Whether a block of this kind stays whole while it fits a chunk.
    pub(crate) fn keeps(&self, kind: BlockKind) -> bool {
        match kind {
            BlockKind::Table => self.rules.tables == Keeping::Whole,
            BlockKind::Code => self.rules.code == Keeping::Whole,
            _ => true,
        }
    }

    /// Whether `atom` has more than one character.
    pub(crate) fn can_refine(&self, atom: &Atom) -> bool {
        self.text[atom.start..atom.end].chars().nth(1).is_some()
    }

    /// `atom` in finer pieces, or as it is but with a finer step to come. Only for an atom that can be refined.
    pub(crate) fn refine(&self, atom: &Atom) -> Vec<Atom> {
        let steps = steps(atom.kind);
        let step = steps.get(atom.step).copied().unwrap_or(Step::Word);
        let slice = &self.text[atom.start..atom.end];
        let (borders, strength) = match step {
            Step::BlankLine => (line_borders(slice, |_, after_blank| after_blank), Border::BlankLine),
            Step::Item => (line_borders(slice, |line, _| is_item(line.trim_start())), Border::Fine),
            Step::Line => (line_borders(slice, |_, _| true), Border::Fine),
            Step::Sentence => (sentence_borders(slice), Border::Fine),
            Step::Word => (word_borders(slice, self.word_piece_bytes(atom)), Border::Word),
        };
        if borders.is_empty() {
            return vec![Atom { step: atom.step + 1, ..*atom }];
        }
        let starts = std::iter::once(0).chain(borders.iter().copied());
        let ends = borders.iter().copied().chain([slice.len()]);
        let mut pieces: Vec<Atom> = starts
            .zip(ends)
            .filter_map(|(start, end)| {
                self.atom(atom.start + start, atom.start + end, atom.kind, atom.step + 1, strength)
            })
            .collect();
        if let Some(first) = pieces.first_mut() {
            first.border = atom.border;
        }
        pieces
    }

    fn word_piece_bytes(&self, atom: &Atom) -> usize {
        let bytes = atom.end - atom.start;
        match atom.tokens {
            None => self.rules.max_bytes,
            Some(tokens) => {
                let piece_tokens = self.rules.target_tokens / WORD_PIECES_PER_TARGET;
                (bytes.saturating_mul(piece_tokens) / tokens.max(1)).clamp(1, bytes.div_ceil(2))
            }
        }
    }
}

/// Starts of the lines that `starts_piece`, told each line and whether a blank one stands before it; never the first.
fn line_borders(slice: &str, starts_piece: impl Fn(&str, bool) -> bool) -> Vec<usize> {
    let mut borders = Vec::new();
    let (mut at_byte, mut after_blank) = (0, false);
    for line in slice.split_inclusive('\n') {
        let is_blank = line.trim().is_empty();
        if at_byte > 0 && !is_blank && starts_piece(line, after_blank) {
            borders.push(at_byte);
        }
        after_blank = is_blank;
        at_byte += line.len();
    }
    borders
}

/// Starts of sentences, never the first. A line's end alone does not end a sentence: running text may be wrapped.
fn sentence_borders(slice: &str) -> Vec<usize> {
    let mut borders = Vec::new();
    let mut from = 0;
    while from < slice.len() {
        let to = border_after(slice, from, SENTENCE_WINDOW_BYTES);
        let window = &slice[from..to];
        let mut starts: Vec<usize> = window.split_sentence_bound_indices().map(|(at, _)| at).skip(1).collect();
        let next = if to == slice.len() {
            to
        } else {
            // The last start was found without what follows the window, so the next window sees it again. Windows thus
            // begin with sentences, and an edit does not move the borders far below it.
            starts.truncate(starts.len().saturating_sub(1).max(1));
            starts.last().map_or(to, |&start| from + start)
        };
        borders.extend(starts.into_iter().filter(|&at| ends_sentence(&window[..at])).map(|at| from + at));
        from = next;
    }
    borders
}

fn ends_sentence(before: &str) -> bool {
    if !before.ends_with('\n') {
        return true;
    }
    let last = before.trim_end().trim_end_matches(['"', '\'', '”', '’', '»', ')', ']', '*', '_', '`']);
    last.ends_with(['.', '!', '?', '…', '。', '！', '？', ':', '：'])
}

/// Borders that part `slice` into pieces of at most `piece_bytes` (one character at least): after whitespace where
/// there is some in a piece's second half, else between words, else between characters.
fn word_borders(slice: &str, piece_bytes: usize) -> Vec<usize> {
    let mut borders = Vec::new();
    let mut from = 0;
    loop {
        let to = border_after(slice, from, piece_bytes);
        if to >= slice.len() {
            return borders;
        }
        let middle = border_after(slice, from, piece_bytes / 2).min(to);
        let tail = &slice[middle..to];
        let next_is_space = slice[to..].starts_with(char::is_whitespace);
        let border = if next_is_space {
            to
        } else if let Some(at) = tail.rfind(char::is_whitespace) {
            border_after(slice, middle + at, 1)
        } else {
            let word = tail.split_word_bound_indices().map(|(at, _)| middle + at).next_back();
            word.filter(|&at| at > from && at > middle).unwrap_or(to)
        };
        borders.push(border);
        from = border;
    }
}

/// The character border at most `bytes` after `from`, one character further at least.
fn border_after(slice: &str, from: usize, bytes: usize) -> usize {
    let border = crate::border_at_or_before(slice, from.saturating_add(bytes));
    if border > from { border } else { from + slice[from..].chars().next().map_or(0, char::len_utf8) }
}
