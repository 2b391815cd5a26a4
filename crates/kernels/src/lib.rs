//! Products of vectors at the processor's speed, and read-only memory maps: the only place for `unsafe`.
//!
//! Promises: each kernel has a scalar twin and equals it exactly, on every machine; the fastest one that the processor
//! has is chosen when it is called. Does not: know what a vector or a file means.
#![expect(unsafe_code, reason = "the one crate that may: intrinsics and memory maps cannot be had otherwise")]

mod dot_f16;
mod dot_i8;
mod map;
mod planes;

pub use dot_f16::dot_f16;
pub use dot_i8::{dot_i8, dot_i8_rows};
pub use map::Map;
pub use planes::{BLOCK_ROWS, PLANES, PlaneQuery, reaching};
