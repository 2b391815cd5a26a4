//! What the tests of the whole system share: starting and ending servers, asking them, reading the corpora.
//!
//! Promises: a server gets none of the `CATENA_*` variables of whoever runs the tests; it never outlives the tests; each
//! has a folder of its own. Waiting means looking for something that will be there, with a bound. Does not: retry a
//! request that failed.

pub(crate) mod chance;
pub(crate) mod client;
pub(crate) mod corpora;
pub(crate) mod demo;
pub(crate) mod faults;
pub(crate) mod place;
pub(crate) mod provider;
pub(crate) mod python;
pub(crate) mod server;
pub(crate) mod text;
pub(crate) mod wait;

pub(crate) use chance::Chance;
pub(crate) use client::{Client, Reply};
pub(crate) use server::{Home, Server};
