//! The hash of a leaf, and its text form.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// What stands before a leaf's bytes when they are hashed, so that no leaf can be taken for an inner node.
const LEAF_PREFIX: [u8; 1] = [0];

/// The hash of one leaf. As text: 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafHash(pub [u8; 32]);

/// A text that is no hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a leaf hash is 64 lower-case hexadecimal digits")]
pub struct HashError;

impl LeafHash {
    /// What the first leaf of a chain names as the hash before it.
    pub const GENESIS: Self = Self([0; 32]);

    /// The hash of a leaf's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::new().chain_update(LEAF_PREFIX).chain_update(bytes).finalize().into())
    }
}

impl fmt::Display for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for LeafHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(HashError);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = value(pair[0]) << 4 | value(pair[1]);
        }
        Ok(Self(bytes))
    }
}

impl Serialize for LeafHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn value(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_hash_reads_back_as_it_was_written(bytes in prop::array::uniform32(any::<u8>())) {
            prop_assert_eq!(LeafHash(bytes).to_string().parse(), Ok(LeafHash(bytes)));
        }
    }

    #[test]
    fn what_is_not_64_lower_case_digits_is_no_hash() {
        for bad in ["", "00", &"A".repeat(64), &"g".repeat(64), &"0".repeat(65), &"é".repeat(32)] {
            assert_eq!(bad.parse::<LeafHash>(), Err(HashError), "{bad:?}");
        }
    }

    #[test]
    fn a_leaf_hash_is_that_of_rfc_6962() {
        // The hash of an empty leaf as given by the test data of RFC 6962 implementations.
        let empty = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(LeafHash::of(b"").to_string(), empty);
    }
}
