//! The `vectors.b1` file: rows gathered around centres, each with one bit a number, to find out cheaply which are worth a
//! look.
//!
//! A row is what its list's centre is, plus a rest; of the rest, the signs are kept and how much they weigh. A query asks
//! first which lists can hold anything good ([`Coarse::rank`]), then estimates the rows of those ([`Coarse::estimate`]).
//! An estimate decides what is looked at and never what is answered: scores come from `vectors.f16`.
//!
//! Promises: the same rows make the same bytes. Does not: know who may see a row.
//!
//! Layout, every part on a border of 64 bytes: a line with the number of lists and of blocks; the centres in eight bits;
//! for each list what a step of its centre is worth, how far its rows spread, and at which block it begins; for each place
//! of a block its row ([`NO_ROW`] fills up a list's last block), and two factors; the blocks of bits.

mod build;
mod cluster;
mod layout;
mod query;

pub(crate) use build::build;
pub(crate) use layout::{Coarse, Prospect};
pub(crate) use query::planes;

/// Rows from which on a segment has the file. Below, a scan of all rows is as fast.
pub(crate) const FROM_ROWS: u32 = 8_192;

/// Fills up the last block of a list.
const NO_ROW: u32 = u32::MAX;
