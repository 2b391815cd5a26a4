//! What tests of the whole system share.
//!
//! Promises: such tests speak to Catena as its users do, over HTTP and by its command line, so they hold for any build
//! of the binary; who needs PostgreSQL gets a real server. Does not: reach into the crates that serve, search or store;
//! `tidy/rules.toml` sees to that.

pub mod postgres;
