//! Lines: where they are, and which one holds a byte.

use std::ops::Range;

/// Where each line of a text starts.
pub(crate) struct LineIndex {
    starts: Vec<usize>,
}

impl LineIndex {
    pub(crate) fn new(text: &str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The line, from one, that holds the byte at `at_byte`.
    pub(crate) fn line_of(&self, at_byte: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|&start| start <= at_byte)).unwrap_or(u32::MAX)
    }
}

/// The lines of a text, for parsers that go from one to the next. Beyond the last there are empty ones.
pub(crate) struct Lines<'t> {
    text: &'t str,
    ranges: Vec<Range<usize>>,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut start = 0;
        let ranges = text
            .split_inclusive('\n')
            .map(|line| {
                let range = start..start + line.trim_end_matches('\n').len();
                start += line.len();
                range
            })
            .collect();
        Self { text, ranges }
    }

    pub(crate) fn count(&self) -> usize {
        self.ranges.len()
    }

    /// The line without its break and without the whitespace at its end.
    pub(crate) fn at(&self, number: usize) -> &'t str {
        self.ranges.get(number).map_or("", |range| self.text[range.clone()].trim_end())
    }

    pub(crate) fn is_blank(&self, number: usize) -> bool {
        self.at(number).is_empty()
    }

    /// Whether the line begins with whitespace and holds something.
    pub(crate) fn is_indented(&self, number: usize) -> bool {
        self.at(number).starts_with([' ', '\t'])
    }

    /// Where the line begins; the text's end for lines beyond the last.
    pub(crate) fn start(&self, number: usize) -> usize {
        self.ranges.get(number).map_or(self.text.len(), |range| range.start)
    }

    /// The first line from `number` on that `is_wanted`, or the number of lines.
    pub(crate) fn find(&self, number: usize, is_wanted: impl Fn(&'t str) -> bool) -> usize {
        (number..self.count()).find(|&at| is_wanted(self.at(at))).unwrap_or(self.count())
    }

    /// The first line from `number` on that is blank.
    pub(crate) fn blank_from(&self, number: usize) -> usize {
        self.find(number, str::is_empty)
    }

    /// The first line from `number` on that is not blank.
    pub(crate) fn filled_from(&self, number: usize) -> usize {
        self.find(number, |line| !line.is_empty())
    }

    /// The first line from `number` on that is neither blank nor indented: the end of an indented body.
    pub(crate) fn outdented_from(&self, number: usize) -> usize {
        self.find(number, |line| !line.is_empty() && !line.starts_with([' ', '\t']))
    }
}
