//! Who may do what inside one tenant: rights, keys, principals, ACLs, and the proof that a check took place.
//!
//! Promises: a [`Scope`] exists only after a credential was checked against a tenant and a right; an [`Acl`] decides
//! the same way everywhere; deny wins; an empty ACL admits nobody but the tenant's administrators, and one that is unknown
//! nobody at all.
//! Does not: read or store anything, know the wire, or know the index. There is no way to say "no filter".

pub mod acl;
pub mod attribute;
pub mod key;
pub mod live;
pub mod principal;
pub mod rights;
pub mod scope;

pub use acl::{Acl, AclEntry, AclError, Decision, Who, Window};
pub use attribute::{Attribute, AttributeError, Attributes, Scalar};
pub use key::{KeyError, KeyHash, KeyText, Pepper};
pub use live::{LiveChanges, LiveDocument, Liveness};
pub use principal::{Clearance, OnBehalf, Principal};
pub use rights::{Right, Rights};
pub use scope::{Concerned, Credential, Denied, Directory, Entry, Operator, Scope};
