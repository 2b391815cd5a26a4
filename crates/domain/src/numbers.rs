//! Numbers that count different things and are therefore different types.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $type:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $type(pub $inner);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A tenant's write sequence number: zero before the first write, then without gaps.
    Seq, u64);
number!(
    /// A document's ordinal inside its tenant, dense from zero and never used twice.
    DocNo, u32);
number!(
    /// A version of a document, from one.
    VersionNo, u32);
number!(
    /// An interned ACL of a tenant.
    AclId, u32);
number!(
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp, i64);

/// A byte range of a version's normalised text, on character borders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span from `start` to `end`; `None` when it runs backwards.
    #[must_use]
    pub fn new(start: u32, end: u32) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// Bytes in the span.
    #[must_use]
    pub fn len_bytes(self) -> usize {
        (self.end - self.start) as usize
    }

    /// The text under the span; `None` when it reaches beyond `text` or splits a character.
    #[must_use]
    pub fn of(self, text: &str) -> Option<&str> {
        text.get(self.start as usize..self.end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_never_splits_a_character() {
        let text = "aéb";
        assert_eq!(Span { start: 0, end: 2 }.of(text), None);
        assert_eq!(Span { start: 1, end: 3 }.of(text), Some("é"));
        assert_eq!(Span { start: 0, end: 9 }.of(text), None);
        assert_eq!(Span::new(3, 2), None);
    }
}
