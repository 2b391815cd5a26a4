//! One file for each family of tables, and beside the statements the methods that run them.

mod chain;
mod codec;
mod derived;
mod documents;
mod feed;
mod generations;
mod groups;
mod held;
mod jobs;
mod keys;
mod page;
mod passages;
mod reads;
mod record;
mod removal;
mod tenants;
mod text;
mod usage;
mod verify;

pub(crate) use record::Recorder;
pub use removal::Removal;
pub use verify::verify_record;

/// What tests inside this crate reach for.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::codec::sha256;
    pub(crate) use super::documents::put;
    pub(crate) use super::removal::TABLES;
}
