//! The rows of one part of a query in one segment, with how much each row gains by it.
//!
//! Gains are whole numbers of 1/65,536, so that a sum does not depend on the order in which it is taken: skipping rows
//! that cannot win changes no score, nor does the place of a row. A gain grows with the frequency and falls with the
//! length, and rounding keeps that, so what a block's bound gains is never less than what one of its rows does.

use std::ops::Range;

use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::BlockSegmentPostings;

use crate::bits::{Bits, ones};
use crate::lexical::bounds::{BLOCK_ROWS, Bound};

/// What a score of one is in gains. A query's greatest score is some tens of thousands.
const ONE: f32 = 65_536.0;

/// A sum of gains as a score.
pub(crate) fn score(gains: u32) -> f32 {
    gains as f32 / ONE
}

/// Gains below which no sum has `score`. Great sums lose their last bits as scores, so some may be returned too low.
pub(crate) fn least_gains(score: f32) -> u32 {
    let gains = (score * ONE) as u32;
    gains - (gains >> 23)
}

/// How much a row gains by a word, given how often it has it and how long it is.
#[derive(Clone, Copy)]
pub(crate) struct Gain<'a> {
    pub(crate) weight: f32,
    /// For each length, how quickly frequency brings the weight.
    pub(crate) pace: &'a [f32; 256],
    pub(crate) lengths: &'a FieldNormReader,
}

impl Gain<'_> {
    fn at_most(&self, frequency: u32, length: u8) -> u32 {
        let share = self.weight - self.weight / (1.0 + frequency as f32 * self.pace[usize::from(length)]);
        // Whoever has the word gains something, however common it is.
        ((share * ONE) as u32).max(1)
    }

    fn of(&self, row: u32, frequency: u32) -> u32 {
        self.at_most(frequency, self.lengths.fieldnorm_id(row))
    }
}

/// Rows with frequencies that were put together for one query.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) rows: Vec<u32>,
    pub(crate) frequencies: Vec<u32>,
}

enum Source<'a> {
    Stored(Box<BlockSegmentPostings>),
    Gathered(&'a Gathered),
}

/// A block's last row, and the most that a row of it can gain.
struct Block {
    last: u32,
    most: u32,
}

/// Postings that are walked once, from the first row to the last.
pub(crate) struct Cursor<'a> {
    source: Source<'a>,
    gain: Gain<'a>,
    blocks: Vec<Block>,
    /// The block that is read, and the place in it.
    block: usize,
    at: usize,
    /// The first block that reaches into the window asked about last.
    ahead: usize,
}

impl<'a> Cursor<'a> {
    /// `bounds` is empty when the postings have one block.
    pub(crate) fn stored(postings: BlockSegmentPostings, bounds: &[Bound], gain: Gain<'a>) -> Self {
        let length = |row| gain.lengths.fieldnorm_id(row);
        let only = || Bound::of(postings.docs(), postings.freqs(), length).into_iter().collect();
        let blocks = if bounds.is_empty() { only() } else { bounds.to_vec() };
        Self::new(Source::Stored(Box::new(postings)), &blocks, gain)
    }

    pub(crate) fn gathered(gathered: &'a Gathered, gain: Gain<'a>) -> Self {
        let blocks = gathered.rows.chunks(BLOCK_ROWS).zip(gathered.frequencies.chunks(BLOCK_ROWS));
        let length = |row| gain.lengths.fieldnorm_id(row);
        let blocks: Vec<Bound> =
            blocks.filter_map(|(rows, frequencies)| Bound::of(rows, frequencies, length)).collect();
        Self::new(Source::Gathered(gathered), &blocks, gain)
    }

    fn new(source: Source<'a>, bounds: &[Bound], gain: Gain<'a>) -> Self {
        let block = |bound: &Bound| {
            let (frequency, length) = bound.best();
            Block { last: bound.last, most: gain.at_most(frequency, length) }
        };
        Self { source, gain, blocks: bounds.iter().map(block).collect(), block: 0, at: 0, ahead: 0 }
    }

    /// The most that a row of `window` can gain, and about how many rows of it are here. Windows are asked about in order.
    pub(crate) fn promise(&mut self, window: &Range<u32>) -> (u32, usize) {
        while self.blocks.get(self.ahead).is_some_and(|block| block.last < window.start) {
            self.ahead += 1;
        }
        let (mut most, mut rows) = (0, 0);
        let mut first = self.ahead.checked_sub(1).map_or(0, |before| self.blocks[before].last + 1);
        for block in &self.blocks[self.ahead..] {
            if first >= window.end {
                break;
            }
            most = most.max(block.most);
            let here = window.end.min(block.last + 1) - window.start.max(first);
            // As if a block's rows were spread evenly over what it spans.
            rows += here as usize * BLOCK_ROWS / (block.last + 1 - first) as usize;
            first = block.last + 1;
        }
        (most, rows)
    }

    /// Goes to the block that may hold `row`; rows are asked for in order. `false` when all rows lie before it.
    fn reach(&mut self, row: u32) -> bool {
        let mut to = self.block;
        while self.blocks.get(to).is_some_and(|block| block.last < row) {
            to += 1;
        }
        if to >= self.blocks.len() {
            self.block = to;
            return false;
        }
        if to > self.block {
            if let Source::Stored(postings) = &mut self.source {
                if to == self.block + 1 {
                    postings.advance();
                } else {
                    postings.seek(self.blocks[to - 1].last + 1);
                }
            }
            (self.block, self.at) = (to, 0);
        }
        true
    }

    /// What `row` gains; rows are asked for in order.
    pub(crate) fn gain_of(&mut self, row: u32) -> u32 {
        if !self.reach(row) {
            return 0;
        }
        let (rows, frequencies) = read(&self.source, self.block);
        self.at += rows[self.at..].partition_point(|&one| one < row);
        if rows.get(self.at) == Some(&row) { self.gain.of(row, frequencies[self.at]) } else { 0 }
    }

    /// Adds what the visible rows of the window gain, by walking over the postings.
    pub(crate) fn pour(&mut self, into: &mut Window, visible: &Bits) {
        let rows = into.rows.clone();
        let mut from = rows.start;
        while from < rows.end && self.reach(from) {
            let (here, frequencies) = read(&self.source, self.block);
            self.at += here[self.at..].partition_point(|&row| row < from);
            let end = self.at + here[self.at..].partition_point(|&row| row < rows.end);
            for (&row, &frequency) in here[self.at..end].iter().zip(&frequencies[self.at..end]) {
                if visible.has(row) {
                    into.add(row, self.gain.of(row, frequency));
                }
            }
            self.at = end;
            from = self.blocks[self.block].last.saturating_add(1);
        }
    }

    /// Adds what the visible rows of the window gain, by looking up each of them.
    pub(crate) fn look_up(&mut self, into: &mut Window, visible: &Bits) {
        let words = into.words();
        for row in words.flat_map(|at| ones(at, visible.word(at))) {
            let gain = self.gain_of(row);
            if gain > 0 {
                into.add(row, gain);
            }
        }
    }
}

/// The rows and frequencies of the block that is read.
fn read<'b>(source: &'b Source<'_>, block: usize) -> (&'b [u32], &'b [u32]) {
    match source {
        Source::Stored(postings) => (postings.docs(), postings.freqs()),
        Source::Gathered(all) => {
            let range = block * BLOCK_ROWS..all.rows.len().min((block + 1) * BLOCK_ROWS);
            (&all.rows[range.clone()], &all.frequencies[range])
        }
    }
}

/// Some neighbouring rows and what they have gained so far. It begins at a multiple of 64.
pub(crate) struct Window {
    pub(crate) rows: Range<u32>,
    gains: Vec<u32>,
    touched: Vec<u64>,
}

impl Window {
    pub(crate) fn new(rows_max: u32) -> Self {
        let words = rows_max.div_ceil(u64::BITS) as usize;
        Self { rows: 0..0, gains: vec![0; words * u64::BITS as usize], touched: vec![0; words] }
    }

    /// The runs of 64 rows that the window reaches into.
    pub(crate) fn words(&self) -> Range<usize> {
        (self.rows.start / u64::BITS) as usize..self.rows.end.div_ceil(u64::BITS) as usize
    }

    fn add(&mut self, row: u32, gain: u32) {
        let at = (row - self.rows.start) as usize;
        self.gains[at] += gain;
        self.touched[at / 64] |= 1 << (at % 64);
    }

    /// Shows each row that has gained something, in order, with how much, and forgets it.
    pub(crate) fn drain(&mut self, mut see: impl FnMut(u32, u32)) {
        for at in 0..self.touched.len() {
            for row in ones(at, std::mem::take(&mut self.touched[at])) {
                see(self.rows.start + row, std::mem::take(&mut self.gains[row as usize]));
            }
        }
    }
}
