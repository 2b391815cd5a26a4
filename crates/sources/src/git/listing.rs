//! What git says about a tree, and about what differs between two.
//!
//! Promises: a record that is not of the form that was asked for is an error, never left out. Does not: run git.

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) blob: String,
    pub(super) bytes: Option<u64>,
    pub(super) path: Vec<u8>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Link,
    Submodule,
}

/// A difference between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    /// It is new, or is another one now.
    There(Entry),
    /// It is the same, and lay elsewhere.
    Moved { from: Vec<u8>, to: Entry },
    /// It is gone.
    Gone(Vec<u8>),
}

fn kind(mode: &[u8]) -> Option<Kind> {
    match mode {
        b"100644" | b"100755" | b"100664" => Some(Kind::File),
        b"120000" => Some(Kind::Link),
        b"160000" => Some(Kind::Submodule),
        _ => None,
    }
}

/// Whether a text is an object's name: SHA-1 or SHA-256 in hexadecimal.
pub(super) fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn object(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().filter(|text| is_object(text)).map(ToOwned::to_owned)
}

/// A record of `ls-tree -r -z -l`: mode, type, object, length, a tab, path.
pub(super) fn entry(record: &[u8]) -> Option<Entry> {
    let tab = record.iter().position(|&byte| byte == b'\t')?;
    let (facts, path) = (&record[..tab], &record[tab + 1..]);
    let mut facts = facts.split(u8::is_ascii_whitespace).filter(|fact| !fact.is_empty());
    let kind = kind(facts.next()?)?;
    let _type = facts.next()?;
    let blob = object(facts.next()?)?;
    let bytes = std::str::from_utf8(facts.next()?).ok()?.parse().ok();
    (facts.next().is_none() && !path.is_empty()).then(|| Entry { kind, blob, bytes, path: path.to_vec() })
}

/// The records of `diff-tree -r -z --raw -M100%`: facts, then one path, or two for a move.
pub(super) fn differences(said: &[u8]) -> Option<Vec<Difference>> {
    let mut parts = said.split(|&byte| byte == 0).filter(|part| !part.is_empty());
    let mut found = Vec::new();
    while let Some(facts) = parts.next() {
        let facts: Vec<&[u8]> = facts.strip_prefix(b":")?.split(|&byte| byte == b' ').collect();
        let &[_, mode, _, blob, status] = facts.as_slice() else { return None };
        let first = parts.next()?;
        let there =
            |path: &[u8]| Some(Entry { kind: kind(mode)?, blob: object(blob)?, bytes: None, path: path.to_vec() });
        found.push(match status.first()? {
            b'A' | b'M' | b'T' => Difference::There(there(first)?),
            b'D' => Difference::Gone(first.to_vec()),
            b'R' => Difference::Moved { from: first.to_vec(), to: there(parts.next()?)? },
            _ => return None,
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";

    #[test]
    fn entries_are_read_whatever_their_names_hold() {
        let read = |record: &str| entry(record.as_bytes());
        let file = read(&format!("100644 blob {A}      12\ta b\tc\n.md")).unwrap();
        assert_eq!((file.kind, file.bytes, file.path.as_slice()), (Kind::File, Some(12), b"a b\tc\n.md".as_slice()));
        assert_eq!(read(&format!("120000 blob {A}       1\tl")).unwrap().kind, Kind::Link);
        assert_eq!(read(&format!("160000 commit {A}       -\tm")).unwrap().kind, Kind::Submodule);
        for wrong in
            ["", "100644", &format!("100644 blob {A} 1"), &format!("777 blob {A} 1\ta"), "100644 blob xyz 1\ta"]
        {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn differences_are_read_whole_or_not_at_all() {
        let said = format!(
            ":000000 100644 {A} {A} A\0new.md\0:100644 000000 {A} {A} D\0old.md\0:100644 100644 {A} {A} R100\0x.md\0y z.md\0"
        );
        let found = differences(said.as_bytes()).unwrap();
        assert!(matches!(&found[0], Difference::There(entry) if entry.path == b"new.md"));
        assert_eq!(found[1], Difference::Gone(b"old.md".to_vec()));
        assert!(matches!(&found[2], Difference::Moved { from, to } if from == b"x.md" && to.path == b"y z.md"));
        assert_eq!(differences(b"").unwrap(), []);
        let cut = &said.as_bytes()[..said.len() - "y z.md\0".len()];
        assert_eq!(differences(cut), None);
        assert_eq!(differences(b"new.md\0"), None);
    }
}
