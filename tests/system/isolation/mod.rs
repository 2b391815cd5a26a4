//! The walls: between tenants, between groups, between what is denied and what is not there.
//!
//! The corpora hold canaries, invented words that occur behind one wall each. Whoever meets one where it may not be has
//! found a hole, whatever the rest of the answer says.

mod canaries;
mod golden;
mod routes;
mod twins;
mod walk;

use crate::harness::Reply;

/// Everything of an answer is looked through: status, headers, body. Says what was found where it may not be.
pub(super) fn leaked(reply: &Reply, forbidden: &[String]) -> Vec<String> {
    let everything = reply.everything().to_lowercase();
    forbidden.iter().filter(|word| everything.contains(word.as_str())).cloned().collect()
}
