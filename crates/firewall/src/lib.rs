//! What should not get into an index unseen: secrets, personal data, text that speaks to a model.
//!
//! Promises: pure functions of text and policy; cost grows about linearly with the text, whatever the text is; a finding
//! says where, what kind and by which detector, and never holds what it found; what is redacted is gone from the text
//! that comes back, with its lines still counting as before.
//! Does not: decide who may read a document, store anything, or know every secret there is. It reads what is written, and
//! whoever wants to hide something from it can.

mod detector;
mod finding;
mod instructions;
mod numbers;
mod personal;
mod plain;
mod policy;
mod redact;
mod scan;
mod screen;
mod secrets;
#[cfg(test)]
mod tests;

pub use detector::{Detector, detector, detectors};
pub use finding::{Action, Class, Confidence, Finding};
pub use policy::{Policy, PolicyError};
pub use redact::Cuts;
pub use scan::{FINDINGS_MAX, Noticed};
pub use screen::{Fate, Report, SPANS_KEPT_MAX, Screened, screen};
