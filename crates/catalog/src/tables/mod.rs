//! One file for each family of tables, and beside the statements the methods that run them.

mod answers;
mod census;
pub(crate) mod chain;
pub(crate) mod codec;
mod derived;
mod directory;
mod disused;
mod documents;
mod feed;
pub(crate) mod generations;
mod groups;
mod held;
mod history;
mod job_items;
mod job_runs;
mod jobs;
mod key_uses;
mod keys;
mod moves;
mod nesting;
mod page;
mod passages;
mod places;
mod purges;
mod quarantine;
mod readers;
mod reads;
mod record;
mod removal;
mod schedules;
mod screenings;
mod sources;
mod standing;
mod suspects;
mod tenants;
mod text;
mod usage;
mod verify;

pub use census::CatalogReader;
pub use disused::{Disused, Dropped};
pub(crate) use key_uses::KeyUses;
pub(crate) use record::Recorder;
pub use removal::Removal;
pub(crate) use verify::open as open_to_read;
pub use verify::verify_record;

/// What tests inside this crate reach for.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::codec::{hex, sha256};
    pub(crate) use super::documents::put;
    pub(crate) use super::removal::TABLES;
}
