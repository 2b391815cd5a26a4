//! How a source is described: what it is, under which ids its documents lie, when it is looked at, what waits for approval.
//!
//! Promises: what passes the check is within every bound and says what it means; what is stored reads back the same.

use std::time::Duration;

use catena_domain::{DocumentId, NameError, SourceName, Timestamp};
use catena_sources::SourceSpec;
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use serde::{Deserialize, Serialize};

use crate::IngestError;

/// Least time between two looks that nobody asked for.
pub const EVERY_MIN: Duration = Duration::from_secs(60);
/// Most time between two of them.
pub const EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// Longest prefix of a source's ids, in bytes.
const PREFIX_BYTES_MAX: usize = 256;
/// Longest description, in bytes.
const SPEC_BYTES_MAX: usize = 64 * 1024;

/// What a source is, and what stands before the ids of its documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// What it is and where.
    pub spec: SourceSpec,
    /// What stands before each id in the tenant.
    pub prefix: String,
}

impl Place {
    /// A source of this description; without a prefix of its own, its ids lie below its name.
    pub fn new(name: &SourceName, spec: SourceSpec, prefix: Option<String>) -> Result<Self, IngestError> {
        spec.check()?;
        let prefix = prefix.unwrap_or_else(|| format!("{name}/"));
        let is_fit = prefix.is_empty() || DocumentId::new(&prefix).is_ok();
        if !is_fit || prefix.len() > PREFIX_BYTES_MAX || prefix.starts_with('/') {
            let reason = format!(
                "its prefix must be at most {PREFIX_BYTES_MAX} bytes of visible characters that do not begin with /"
            );
            return Err(IngestError::Description { reason });
        }
        let place = Self { spec, prefix };
        match place.text()?.len() {
            bytes if bytes > SPEC_BYTES_MAX => {
                let reason = format!("its description is {bytes} bytes long; the limit is {SPEC_BYTES_MAX}");
                Err(IngestError::Description { reason })
            }
            _ => Ok(place),
        }
    }

    /// What the catalog keeps.
    pub(crate) fn text(&self) -> Result<String, IngestError> {
        text(self)
    }

    pub(crate) fn read(text: &str) -> Result<Self, IngestError> {
        read(text)
    }

    /// A document's id in the tenant.
    pub(crate) fn outer(&self, id: &DocumentId) -> Result<DocumentId, NameError> {
        if self.prefix.is_empty() { Ok(id.clone()) } else { DocumentId::new(&format!("{}{id}", self.prefix)) }
    }
}

/// When a source is looked at by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// So many seconds after the last time.
    #[serde(rename = "every_s")]
    EverySeconds(u64),
    /// At the times of a cron expression of five fields, in UTC.
    Cron(String),
}

impl Schedule {
    /// Refuses what is too often, too seldom or no expression.
    pub fn check(&self) -> Result<(), IngestError> {
        match self {
            Self::EverySeconds(seconds) => {
                let bounds = EVERY_MIN.as_secs()..=EVERY_MAX.as_secs();
                if bounds.contains(seconds) {
                    return Ok(());
                }
                let reason = format!(
                    "it cannot be looked at every {seconds} s; the time between two looks must lie between {} and {} s",
                    bounds.start(),
                    bounds.end()
                );
                Err(IngestError::Description { reason })
            }
            Self::Cron(_) => self.after(Timestamp(0)).map(|_| ()),
        }
    }

    /// The first time after `now`.
    pub fn after(&self, now: Timestamp) -> Result<Timestamp, IngestError> {
        match self {
            Self::EverySeconds(seconds) => {
                let micros = i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
                Ok(Timestamp(now.0.saturating_add(micros)))
            }
            Self::Cron(expression) => {
                let unfit = |error: &dyn std::fmt::Display| IngestError::Description {
                    reason: format!(
                        "{expression:?} is no cron expression of five fields (minute hour day month weekday): {error}"
                    ),
                };
                let cron: Cron = CronParser::builder()
                    .seconds(Seconds::Disallowed)
                    .build()
                    .parse(expression)
                    .map_err(|e| unfit(&e))?;
                let from = DateTime::<Utc>::from_timestamp_micros(now.0).unwrap_or_default();
                let next = cron.find_next_occurrence(&from, false).map_err(|error| unfit(&error))?;
                Ok(Timestamp(next.timestamp_micros()))
            }
        }
    }

    pub(crate) fn text(&self) -> Result<String, IngestError> {
        text(self)
    }

    pub(crate) fn read(text: &str) -> Result<Self, IngestError> {
        read(text)
    }
}

/// What a sync does not do before somebody approves it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// The greatest share of a source's documents that one sync deletes by itself; none for no bound.
    pub deletes_max_share: Option<f64>,
    /// So many it deletes whatever their share is, so that small sources do not ask all the time.
    pub deletes_free: u64,
    /// The most readers that one document gains by itself; becoming visible to everyone is always beyond it. None for
    /// no bound.
    pub widening_max_readers: Option<u64>,
}

impl Default for Guards {
    fn default() -> Self {
        Self { deletes_max_share: Some(0.2), deletes_free: 10, widening_max_readers: Some(100) }
    }
}

/// What changes about guards; what is not named stays. `Some(None)` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GuardsChange {
    /// See [`Guards::deletes_max_share`].
    pub deletes_max_share: Option<Option<f64>>,
    /// See [`Guards::deletes_free`].
    pub deletes_free: Option<u64>,
    /// See [`Guards::widening_max_readers`].
    pub widening_max_readers: Option<Option<u64>>,
}

impl From<Guards> for GuardsChange {
    fn from(guards: Guards) -> Self {
        let Guards { deletes_max_share, deletes_free, widening_max_readers } = guards;
        Self {
            deletes_max_share: Some(deletes_max_share),
            deletes_free: Some(deletes_free),
            widening_max_readers: Some(widening_max_readers),
        }
    }
}

impl GuardsChange {
    /// The guards that come of these.
    #[must_use]
    pub fn of(self, before: Guards) -> Guards {
        Guards {
            deletes_max_share: self.deletes_max_share.unwrap_or(before.deletes_max_share),
            deletes_free: self.deletes_free.unwrap_or(before.deletes_free),
            widening_max_readers: self.widening_max_readers.unwrap_or(before.widening_max_readers),
        }
    }
}

impl Guards {
    /// Refuses a share that is none.
    pub fn check(&self) -> Result<(), IngestError> {
        match self.deletes_max_share {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                let reason = format!("deletes_max_share is {share}; a share lies between 0 and 1");
                Err(IngestError::Description { reason })
            }
            _ => Ok(()),
        }
    }

    /// Whether `deletes` of `known` documents wait for approval.
    pub(crate) fn hold_deletes(&self, deletes: usize, known: usize) -> bool {
        let (deletes, known) = (deletes as u64, known as u64);
        let share = self.deletes_max_share;
        deletes > self.deletes_free && share.is_some_and(|share| deletes as f64 > share * known as f64)
    }

    pub(crate) fn text(&self) -> Result<String, IngestError> {
        text(self)
    }

    pub(crate) fn read(text: &str) -> Result<Self, IngestError> {
        read(text)
    }
}

fn text<T: Serialize>(value: &T) -> Result<String, IngestError> {
    serde_json::to_string(value).map_err(|error| IngestError::Description { reason: error.to_string() })
}

fn read<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, IngestError> {
    serde_json::from_str(text).map_err(|error| IngestError::Description {
        reason: format!("what is stored of it is not understood ({error}); describe it again"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_says_when_and_refuses_what_is_too_often() {
        let noon = Timestamp(1_764_158_400_000_000); // 2025-11-26T12:00:00Z
        assert_eq!(Schedule::EverySeconds(90).after(noon).unwrap(), Timestamp(noon.0 + 90_000_000));
        let nightly = Schedule::Cron("30 3 * * *".to_owned());
        assert_eq!(nightly.after(noon).unwrap(), Timestamp(noon.0 + (15 * 60 + 30) * 60 * 1_000_000));
        nightly.check().unwrap();
        for bad in [
            Schedule::EverySeconds(59),
            Schedule::EverySeconds(u64::MAX),
            Schedule::Cron("* * * * * *".to_owned()),
            Schedule::Cron("soon".to_owned()),
            Schedule::Cron("0 0 30 2 *".to_owned()),
        ] {
            assert!(matches!(bad.check(), Err(IngestError::Description { .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_guard_on_deletes_knows_shares_and_leaves_small_numbers_alone() {
        let guards = Guards::default();
        for (deletes, known, held) in
            [(10, 10, false), (11, 11, true), (20, 100, false), (21, 100, true), (0, 0, false), (11, 1_000, false)]
        {
            assert_eq!(guards.hold_deletes(deletes, known), held, "{deletes} of {known}");
        }
        assert!(!Guards { deletes_max_share: None, ..guards }.hold_deletes(1_000, 1_000));
        assert!(Guards { deletes_max_share: Some(1.5), ..guards }.check().is_err());
        assert!(Guards { deletes_max_share: Some(f64::NAN), ..guards }.check().is_err());
    }
}
