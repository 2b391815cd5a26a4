//! The crate's promises as tests: generated documents for what must always hold, examples for what must read well.

mod chunks;
mod cost;
mod documents;
mod outlines;
mod small;
mod structure;
