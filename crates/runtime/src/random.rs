//! Chance, from the operating system.
#![expect(clippy::disallowed_methods, reason = "this module is where randomness is drawn")]

use std::fmt::Write as _;
use std::io;

use crate::clock;

/// `N` bytes fit for secrets.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no randomness from the system: {error}")))?;
    Ok(bytes)
}

/// A new identifier of 32 hexadecimal digits: the time in milliseconds, then 80 random bits. Later ones sort later.
pub fn identifier() -> io::Result<String> {
    let millis = (clock::now().0 / 1_000).unsigned_abs() & 0xFFFF_FFFF_FFFF;
    let mut text = format!("{millis:012x}");
    for byte in bytes::<10>()? {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {

    #[test]
    fn identifiers_differ_and_have_one_length() {
        let ids: std::collections::HashSet<String> = (0..1_000).map(|_| super::identifier().unwrap()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.len() == 32));
    }
}
