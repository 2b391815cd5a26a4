//! The only door to time, chance, environment and threads, and the bridge from waiting to computing.
//!
//! Promises: code that needs one of these says so by a call into this crate, so that a failure can be replayed with
//! other answers; computing never runs on the threads that wait. Does not: know anything of documents or tenants.

pub mod bucket;
pub mod clock;
pub mod compute;
pub mod environment;
pub mod random;
pub mod telemetry;
pub mod thread;

pub use compute::{Compute, ComputeError};
