//! The time during which an entry of an access list holds.

use std::fmt;

use catena_domain::Timestamp;
use chrono::{DateTime, SecondsFormat};

use super::AclError;

/// From one moment, inclusive, until another, exclusive; either may be left open. Never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Window {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Window {
    /// All of time.
    pub const ALWAYS: Self = Self { from: None, until: None };

    /// The window between two moments.
    pub fn new(from: Option<Timestamp>, until: Option<Timestamp>) -> Result<Self, AclError> {
        match (from, until) {
            (Some(from), Some(until)) if from >= until => {
                Err(AclError::Window { from: moment(from), until: moment(until) })
            }
            _ => Ok(Self { from, until }),
        }
    }

    /// The window between two moments in RFC 3339, as requests and mapping files give them.
    pub fn parse(from: Option<&str>, until: Option<&str>) -> Result<Self, AclError> {
        let time = |field, text: Option<&str>| {
            let parsed = text.map(DateTime::parse_from_rfc3339).transpose();
            let time = parsed.map_err(|_| AclError::Time { field, text: text.unwrap_or_default().to_owned() })?;
            Ok::<_, AclError>(time.map(|time| Timestamp(time.timestamp_micros())))
        };
        Self::new(time("from", from)?, time("until", until)?)
    }

    /// The first moment of it; `None` when it has always been open.
    #[must_use]
    pub fn from(&self) -> Option<Timestamp> {
        self.from
    }

    /// The first moment after it; `None` when it never closes.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    pub(super) fn contains(&self, now: Timestamp) -> bool {
        let too_early = matches!(self.from, Some(from) if now < from);
        let too_late = matches!(self.until, Some(until) if now >= until);
        !too_early && !too_late
    }
}

impl fmt::Display for Window {
    /// Nothing for [`Window::ALWAYS`], else each bound with a space before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (word, bound) in [("from", self.from), ("until", self.until)] {
            if let Some(bound) = bound {
                write!(f, " {word} {}", moment(bound))?;
            }
        }
        Ok(())
    }
}

/// A moment in RFC 3339; one beyond the calendar as its microseconds.
fn moment(at: Timestamp) -> String {
    DateTime::from_timestamp_micros(at.0)
        .map_or_else(|| format!("{} us", at.0), |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}
