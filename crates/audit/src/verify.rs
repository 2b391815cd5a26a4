//! Checking a chain, from its leaves' bytes and its head alone.

use catena_domain::{ErrorKind, Timestamp};
use serde::Deserialize;

use crate::{LeafHash, LeafRef};

/// What is wrong with a chain, and at which leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// Bytes that are no leaf.
    #[error("leaf {index} of {chain} cannot be read: its bytes were changed")]
    Unreadable {
        /// The chain.
        chain: String,
        /// The place in it.
        index: u64,
    },
    /// A leaf that was written for another chain.
    #[error("in the place of leaf {index} of {chain} there is a leaf of {found:?}")]
    OtherChain {
        /// The chain.
        chain: String,
        /// The place in it.
        index: u64,
        /// The chain that the leaf names.
        found: String,
    },
    /// A leaf that comes too early: those before it are gone, or the order was changed.
    #[error("leaf {index} of {chain} is missing: leaf {found} stands in its place")]
    Missing {
        /// The chain.
        chain: String,
        /// The place in it.
        index: u64,
        /// The leaf that is there.
        found: u64,
    },
    /// A leaf that comes again, or too late.
    #[error("in the place of leaf {index} of {chain} there is leaf {found} once more, or out of order")]
    Repeated {
        /// The chain.
        chain: String,
        /// The place in it.
        index: u64,
        /// The leaf that is there.
        found: u64,
    },
    /// A leaf whose hash is not the one that the next leaf, or the head, names.
    #[error(
        "leaf {index} of {chain} was changed, or what was written after it: its hash is {found}, and {expected} is named by {named_by}"
    )]
    Changed {
        /// The chain.
        chain: String,
        /// The leaf.
        index: u64,
        /// Its hash as computed.
        found: LeafHash,
        /// The hash that was named.
        expected: LeafHash,
        /// Who named it.
        named_by: String,
    },
    /// The first leaf names a leaf before it.
    #[error("leaf 0 of {chain} names a leaf before it: it was changed, or the chain's beginning was cut off")]
    Beginning {
        /// The chain.
        chain: String,
    },
    /// Leaves are missing at the end.
    #[error(
        "{chain} ends after {found} leaves, but its head says that there are {expected}: the last ones were cut off"
    )]
    Truncated {
        /// The chain.
        chain: String,
        /// Leaves that are there.
        found: u64,
        /// Leaves that should be.
        expected: u64,
    },
    /// Leaves that the head does not know.
    #[error(
        "{chain} has {found} leaves, but its head says that there are {expected}: some were added, or the head is old"
    )]
    Surplus {
        /// The chain.
        chain: String,
        /// Leaves that are there.
        found: u64,
        /// Leaves that should be.
        expected: u64,
    },
}

impl Finding {
    /// A finding is damage, whoever did it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

/// A chain in which nothing was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The chain's name.
    pub chain: String,
    /// How many leaves it has.
    pub leaves: u64,
    /// Its last leaf.
    pub head: Option<LeafRef>,
    /// When its first leaf was written.
    pub first_at: Option<Timestamp>,
    /// When its last leaf was written.
    pub last_at: Option<Timestamp>,
}

/// The part of a leaf that a check reads.
#[derive(Deserialize)]
struct Place {
    v: u8,
    chain: String,
    index: u64,
    at_us: i64,
    previous: String,
}

/// Checks one chain, leaf by leaf. After a finding, the check is over.
#[derive(Debug, Clone)]
pub struct Verifier {
    chain: String,
    leaves: u64,
    last: LeafHash,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
}

impl Verifier {
    /// A check of the chain of this name; see [`crate::Chain::name`].
    #[must_use]
    pub fn new(chain: impl Into<String>) -> Self {
        Self { chain: chain.into(), leaves: 0, last: LeafHash::GENESIS, first_at: None, last_at: None }
    }

    /// Checks the next leaf.
    pub fn leaf(&mut self, bytes: &[u8]) -> Result<(), Finding> {
        let (chain, index) = (self.chain.clone(), self.leaves);
        let unreadable = || Finding::Unreadable { chain: chain.clone(), index };
        let place: Place = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
        let previous: LeafHash = place.previous.parse().map_err(|_| unreadable())?;
        if place.v != 1 {
            return Err(unreadable());
        }
        if place.chain != chain {
            return Err(Finding::OtherChain { chain, index, found: place.chain });
        }
        if place.index > index {
            return Err(Finding::Missing { chain, index, found: place.index });
        }
        if place.index < index {
            return Err(Finding::Repeated { chain, index, found: place.index });
        }
        if previous != self.last {
            let Some(before) = index.checked_sub(1) else { return Err(Finding::Beginning { chain }) };
            let named_by = format!("leaf {index}");
            return Err(Finding::Changed { chain, index: before, found: self.last, expected: previous, named_by });
        }
        self.leaves += 1;
        self.last = LeafHash::of(bytes);
        self.first_at = self.first_at.or(Some(Timestamp(place.at_us)));
        self.last_at = Some(Timestamp(place.at_us));
        Ok(())
    }

    /// Ends the check: the leaves must be exactly those up to `head`; `None` is the head of an empty chain.
    pub fn finish(self, head: Option<LeafRef>) -> Result<Summary, Finding> {
        let Self { chain, leaves: found, last, first_at, last_at } = self;
        let expected = head.map_or(0, |head| head.index.saturating_add(1));
        if found < expected {
            return Err(Finding::Truncated { chain, found, expected });
        }
        if found > expected {
            return Err(Finding::Surplus { chain, found, expected });
        }
        if let Some(head) = head
            && head.hash != last
        {
            let (index, named_by) = (head.index, "the head".to_owned());
            return Err(Finding::Changed { chain, index, found: last, expected: head.hash, named_by });
        }
        Ok(Summary { chain, leaves: found, head, first_at, last_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Chain, Draft, Object, seal};
    use catena_domain::TenantId;
    use proptest::prelude::*;

    fn written(chain: Chain<'_>, requests: &[String]) -> (Vec<Vec<u8>>, Option<LeafRef>) {
        let (mut leaves, mut head) = (Vec::new(), None);
        let mut previous = LeafHash::GENESIS;
        for (request, index) in requests.iter().zip(0u64..) {
            let draft =
                Draft { objects: vec![Object::new("document", request)], ..Draft::new(request, "document.put") };
            let sealed = seal(chain, index, Timestamp(index as i64), &previous, &draft);
            previous = sealed.hash;
            head = Some(LeafRef { index, hash: sealed.hash });
            leaves.push(sealed.bytes);
        }
        (leaves, head)
    }

    fn checked(leaves: &[Vec<u8>], head: Option<LeafRef>) -> Result<Summary, Finding> {
        let mut verifier = Verifier::new("tenant:acme");
        for leaf in leaves {
            verifier.leaf(leaf)?;
        }
        verifier.finish(head)
    }

    fn requests() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[a-z]{1,6}", 1..12)
    }

    proptest! {
        #[test]
        fn a_chain_as_it_was_written_is_found_to_be_so(requests in prop::collection::vec("\\PC{0,20}", 0..12)) {
            let tenant = TenantId::new("acme").unwrap();
            let (leaves, head) = written(Chain::Tenant(&tenant), &requests);
            let summary = checked(&leaves, head).unwrap();
            prop_assert_eq!(summary.leaves, requests.len() as u64);
            prop_assert_eq!(summary.head, head);
        }

        #[test]
        fn one_changed_byte_anywhere_is_found(requests in requests(), leaf: prop::sample::Index, at: prop::sample::Index, by in 1u8..=255) {
            let tenant = TenantId::new("acme").unwrap();
            let (mut leaves, head) = written(Chain::Tenant(&tenant), &requests);
            let leaf = leaf.index(leaves.len());
            let at = at.index(leaves[leaf].len());
            leaves[leaf][at] ^= by;
            prop_assert!(checked(&leaves, head).is_err());
        }

        #[test]
        fn a_removed_a_repeated_and_a_moved_leaf_are_found(requests in requests(), one: prop::sample::Index, other: prop::sample::Index) {
            let tenant = TenantId::new("acme").unwrap();
            let (leaves, head) = written(Chain::Tenant(&tenant), &requests);
            let (one, other) = (one.index(leaves.len()), other.index(leaves.len()));
            let mut removed = leaves.clone();
            removed.remove(one);
            prop_assert!(checked(&removed, head).is_err());
            let mut repeated = leaves.clone();
            repeated.insert(other, leaves[one].clone());
            prop_assert!(checked(&repeated, head).is_err());
            let mut swapped = leaves.clone();
            swapped.swap(one, other);
            prop_assert_eq!(checked(&swapped, head).is_err(), one != other);
            prop_assert!(checked(&leaves[..one], head).is_err());
        }

        #[test]
        fn a_leaf_of_another_chain_is_found(requests in requests(), at: prop::sample::Index) {
            let (acme, globex) = (TenantId::new("acme").unwrap(), TenantId::new("globex").unwrap());
            let (mut leaves, head) = written(Chain::Tenant(&acme), &requests);
            let (foreign, _) = written(Chain::Tenant(&globex), &requests);
            let at = at.index(leaves.len());
            leaves[at] = foreign[at].clone();
            let found = checked(&leaves, head);
            prop_assert!(matches!(found, Err(Finding::OtherChain { .. })), "{found:?}");
        }
    }

    #[test]
    fn a_finding_says_which_leaf_and_what() {
        let tenant = TenantId::new("acme").unwrap();
        let requests: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let (leaves, head) = written(Chain::Tenant(&tenant), &requests);
        let said = |leaves: &[Vec<u8>]| checked(leaves, head).unwrap_err().to_string();
        let [a, b, c] = [&leaves[0], &leaves[1], &leaves[2]].map(Clone::clone);
        assert_eq!(said(&[a.clone(), c.clone()]), "leaf 1 of tenant:acme is missing: leaf 2 stands in its place");
        assert!(
            said(&[a.clone(), b.clone()])
                .starts_with("tenant:acme ends after 2 leaves, but its head says that there are 3")
        );
        let changed = String::from_utf8(b).unwrap().replace(r#""status":200"#, r#""status":404"#).into_bytes();
        let text = said(&[a, changed, c]);
        assert!(
            text.starts_with("leaf 1 of tenant:acme was changed") && text.ends_with("is named by leaf 2"),
            "{text}"
        );
    }
}
