//! Byte offsets to line numbers.

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
