//! What should not get into an index unseen: secrets, personal data, text that speaks to a model.
//!
//! Promises: pure functions of text and policy; cost grows about linearly with the text, whatever the text is; a finding
//! says where, what kind and by which detector, and never holds what it found.
//! Does not: decide who may read a document, or store anything.
