//! One file for each family of tables, and beside the statements the methods that run them.

pub(crate) mod chain;
pub(crate) mod codec;
mod derived;
mod documents;
mod feed;
pub(crate) mod generations;
mod groups;
mod jobs;
mod keys;
mod page;
mod passages;
mod reads;
mod record;
mod tenants;
mod text;
mod verify;

pub(crate) use record::Recorder;
pub(crate) use verify::open as open_to_read;
pub use verify::verify_record;

/// What tests inside this crate reach for.
#[cfg(test)]
pub(crate) mod testing {
    pub(crate) use super::codec::sha256;
    pub(crate) use super::documents::put;
}
