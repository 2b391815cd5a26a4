//! Small things about text: paths, hashes, and what is the same in two answers.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// A document's id as one segment of a path.
pub(crate) fn encoded(id: &str) -> String {
    id.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

/// SHA-256 in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hash of a leaf of the record, by RFC 6962.
pub(crate) fn leaf_hash(bytes: &[u8]) -> String {
    sha256(&[&[0], bytes].concat())
}

/// The documents of results or citations, in their order, each once.
pub(crate) fn documents(list: &Value) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for entry in list.as_array().into_iter().flatten() {
        let id = entry["document"].as_str().expect("a passage names its document").to_owned();
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

/// What must be equal in two answers to one question: all but the answer's own id, its leaf and how long it took.
pub(crate) fn answer(body: &Value) -> Value {
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        for own in ["id", "receipt", "timings_ms"] {
            // A document's id is not an answer's.
            if own != "id" || fields.contains_key("receipt") {
                fields.remove(own);
            }
        }
    }
    body
}

/// The same, when the index was built anew in between.
pub(crate) fn answer_in_any_generation(body: &Value) -> Value {
    let mut body = answer(body);
    if let Some(fields) = body.as_object_mut() {
        fields.remove("generation");
    }
    body
}

/// Base64 for addresses, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sextets = |chunk: &[u8]| {
        let number = chunk.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        (0..=chunk.len())
            .map(move |at| char::from(LETTERS[(number >> (18 - 6 * at)) as usize & 63]))
            .collect::<String>()
    };
    bytes.chunks(3).map(sextets).collect()
}
