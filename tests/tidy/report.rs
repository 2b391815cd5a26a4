//! What a rule found, in words. A test returns it, so that a failure prints one violation a line.

use std::fmt;

/// Why a tidy test fails: its violations, or what kept it from looking.
pub(crate) struct Report(Vec<String>);

impl Report {
    /// Fails when there is a violation.
    pub(crate) fn of(violations: Vec<String>) -> Result<(), Self> {
        if violations.is_empty() { Ok(()) } else { Err(Self(violations)) }
    }

    /// A rule that could not be checked counts as broken.
    pub(crate) fn unreadable(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self(vec![format!("{what} cannot be read: {cause}")])
    }
}

// The test harness prints an error by `Debug`.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} to mend", self.0.len())?;
        self.0.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}
