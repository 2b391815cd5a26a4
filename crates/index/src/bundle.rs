//! Several files in one: fewer files to sync, to verify and to map.
//!
//! Layout: the length of the list, the list as JSON, then the files, each on a 64-byte border. Bundles are made and
//! opened inside verified files alone, so what is odd here is a mistake and not an attack; still nothing is read beyond
//! the bundle's end.

use std::ops::Range;

use serde::{Deserialize, Serialize};

const ALIGN_BYTES: usize = 64;
const HEAD_BYTES: usize = size_of::<u32>();

/// One file of a bundle; `at` counts from the end of the list, rounded up to a border.
#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    at: usize,
    bytes: usize,
}

/// Bundles `files`.
pub(crate) fn pack(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, serde_json::Error> {
    let mut at = 0;
    let mut entries = Vec::with_capacity(files.len());
    for (name, content) in files {
        entries.push(Entry { name: name.clone(), at, bytes: content.len() });
        at = (at + content.len()).next_multiple_of(ALIGN_BYTES);
    }
    let list = serde_json::to_vec(&entries)?;
    let mut bundle = (list.len() as u32).to_le_bytes().to_vec();
    bundle.extend_from_slice(&list);
    for (_, content) in files {
        bundle.resize(bundle.len().next_multiple_of(ALIGN_BYTES), 0);
        bundle.extend_from_slice(content);
    }
    Ok(bundle)
}

/// Where each file lies in `bundle`, or what is wrong with it.
pub(crate) fn list(bundle: &[u8]) -> Result<Vec<(String, Range<usize>)>, String> {
    let head = bundle.first_chunk::<HEAD_BYTES>().ok_or("it is too short for a list")?;
    let list_end = HEAD_BYTES + u32::from_le_bytes(*head) as usize;
    let list = bundle.get(HEAD_BYTES..list_end).ok_or("its list ends beyond it")?;
    let entries: Vec<Entry> = serde_json::from_slice(list).map_err(|error| format!("its list is none: {error}"))?;
    let base = list_end.next_multiple_of(ALIGN_BYTES);
    let place = |entry: Entry| {
        let start = base.checked_add(entry.at)?;
        let end = start.checked_add(entry.bytes)?;
        (end <= bundle.len()).then_some((entry.name, start..end))
    };
    entries.into_iter().map(|entry| place(entry).ok_or_else(|| "a file ends beyond it".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn files_come_out_as_they_went_in(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..6)) {
            let files: Vec<(String, Vec<u8>)> =
                contents.into_iter().enumerate().map(|(at, content)| (format!("file-{at}"), content)).collect();
            let bundle = pack(&files).unwrap();
            let listed = list(&bundle).unwrap();
            let out: Vec<(String, Vec<u8>)> =
                listed.into_iter().map(|(name, range)| (name, bundle[range].to_vec())).collect();
            prop_assert_eq!(out, files);
        }

        #[test]
        fn any_bytes_are_listed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(files) = list(&bytes) {
                for (_, range) in files {
                    prop_assert!(bytes.get(range).is_some());
                }
            }
        }
    }
}
