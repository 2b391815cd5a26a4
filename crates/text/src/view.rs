//! What a model is shown of a text: the same text without what no reader would see.
//!
//! Promises: every visible character stays, in order. Does not: change what is stored, hashed, cited or measured.

use std::borrow::Cow;

use catena_domain::names::is_invisible;

/// `text` without invisible characters; borrowed when it holds none.
#[must_use]
pub fn for_model(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_invisible) {
        Cow::Owned(text.chars().filter(|&c| !is_invisible(c)).collect())
    } else {
        Cow::Borrowed(text)
    }
}
