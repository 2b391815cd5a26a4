//! API keys: their text, and the keyed hash that is stored in their place.
//!
//! `cat_ID_SECRET_CHECK`: the id finds the key, the secret (256 bits) proves it, the check lets scanners and typing
//! errors be told from real keys without a look-up. Random secrets of that size need no slow hash.

use std::fmt;

use catena_domain::KeyId;
use subtle::ConstantTimeEq;

const PREFIX: &str = "cat";
const ID_BYTES: usize = 10;
const SECRET_BYTES: usize = 32;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Why a text is not one of our keys. Says nothing about whether a key exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not of the form of a key.
    #[error("this is not a catena key; a key looks like cat_ID_SECRET_CHECK")]
    Form,
    /// The checksum does not fit: a character was lost or changed.
    #[error("the key's checksum does not fit: a character was lost or changed in copying")]
    Checksum,
}

/// The whole key as its holder has it. Never logged: its `Debug` shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    id: KeyId,
    text: String,
}

impl KeyText {
    /// Random bytes that a new key needs.
    pub const RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;

    /// A key made of `random` bytes, which must come from a secure source and be used once.
    #[must_use]
    pub fn mint(random: &[u8; Self::RANDOM_BYTES]) -> Self {
        let (id, secret) = random.split_at(ID_BYTES);
        let id = base32(id);
        let body = format!("{PREFIX}_{id}_{}", base32(secret));
        let text = format!("{body}_{}", checksum(&body));
        let id = KeyId::new(&id).unwrap_or_else(|_| unreachable!("base32 text is a key id"));
        Self { id, text }
    }

    /// Reads a key as presented.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let (body, check) = text.rsplit_once('_').ok_or(KeyError::Form)?;
        let mut parts = body.split('_');
        let (Some(PREFIX), Some(id), Some(secret), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(KeyError::Form);
        };
        if id.len() != base32_len(ID_BYTES) || secret.len() != base32_len(SECRET_BYTES) {
            return Err(KeyError::Form);
        }
        if checksum(body) != check {
            return Err(KeyError::Checksum);
        }
        let id = KeyId::new(id).map_err(|_| KeyError::Form)?;
        Ok(Self { id, text: text.to_owned() })
    }

    /// The key's public half.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The whole key, to be shown once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyText({})", self.id)
    }
}

/// The installation's own secret, without which stored hashes are worth nothing.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    /// The pepper made of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash that is stored for a key text.
    #[must_use]
    pub fn hash(&self, key_text: &str) -> KeyHash {
        KeyHash(*blake3::keyed_hash(&self.0, key_text.as_bytes()).as_bytes())
    }

    /// Bytes that only this installation can derive for `purpose`.
    #[must_use]
    pub fn derive(&self, purpose: &str, of: &[u8]) -> [u8; 32] {
        let key = blake3::derive_key(purpose, &self.0);
        *blake3::keyed_hash(&key, of).as_bytes()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(..)")
    }
}

/// What is stored of a key. Compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// A hash as it was stored.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for KeyHash {}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

fn checksum(body: &str) -> String {
    base32(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

fn base32_len(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(base32_len(bytes.len()));
    let (mut bits, mut held) = (0u32, 0u32);
    for &byte in bytes {
        bits = (bits << 8) | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(ALPHABET[(bits >> held) as usize & 31] as char);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        text.push(ALPHABET[(bits << (5 - held)) as usize & 31] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_minted_key_reads_back_and_one_changed_character_is_noticed(
            random in prop::array::uniform32(any::<u8>()), more in prop::array::uniform10(any::<u8>()),
            at in 4usize..70,
        ) {
            let mut bytes = [0; KeyText::RANDOM_BYTES];
            bytes[..32].copy_from_slice(&random);
            bytes[32..].copy_from_slice(&more);
            let key = KeyText::mint(&bytes);
            prop_assert_eq!(&KeyText::parse(key.reveal()).unwrap(), &key);
            let mut changed = key.reveal().to_owned().into_bytes();
            let at = at % changed.len();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            prop_assert!(KeyText::parse(std::str::from_utf8(&changed).unwrap()).is_err());
        }
    }

    #[test]
    fn a_key_never_shows_its_secret_by_debug() {
        let key = KeyText::mint(&[7; KeyText::RANDOM_BYTES]);
        let secret = key.reveal().split('_').nth(2).unwrap();
        assert!(!format!("{key:?} {:?}", Pepper::new([1; 32]).hash(key.reveal())).contains(secret));
    }

    #[test]
    fn a_hash_depends_on_the_installation() {
        let key = KeyText::mint(&[7; KeyText::RANDOM_BYTES]);
        assert_ne!(Pepper::new([1; 32]).hash(key.reveal()), Pepper::new([2; 32]).hash(key.reveal()));
    }
}
