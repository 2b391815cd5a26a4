//! Who asks.

use std::collections::BTreeSet;

use catena_domain::{GroupName, Label, UserName};

/// The user whom a request names, when its credential may act on behalf of users.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnBehalf {
    /// The user; without one, only the groups and `everyone` admit.
    pub user: Option<UserName>,
    /// Groups that the caller vouches for, besides those of the tenant's directory.
    pub groups: Vec<GroupName>,
}

/// The labels for which somebody is cleared, resolved: the order of a tenant's labels is used up here.
///
/// Empty, it clears for nothing, and every labelled document is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clearance {
    /// The labels at or below one's own.
    pub cleared: BTreeSet<Label>,
    /// All labels of the tenant.
    pub known: BTreeSet<Label>,
}

/// Who asks, as ACLs see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Principal {
    pub(crate) user: Option<UserName>,
    pub(crate) groups: BTreeSet<GroupName>,
    pub(crate) clearance: Clearance,
    pub(crate) administrator: bool,
    pub(crate) nobody: bool,
}

impl Principal {
    /// The user, if any.
    #[must_use]
    pub fn user(&self) -> Option<&UserName> {
        self.user.as_ref()
    }

    /// The groups, those of the directory and those vouched for.
    #[must_use]
    pub fn groups(&self) -> &BTreeSet<GroupName> {
        &self.groups
    }

    /// The labels for which it is cleared. An administrator is cleared for all that are known, whatever this says.
    #[must_use]
    pub fn clearance(&self) -> &Clearance {
        &self.clearance
    }

    /// Whether this is an administrator of the tenant, acting as itself.
    #[must_use]
    pub fn is_administrator(&self) -> bool {
        self.administrator
    }

    /// Whether this stands for nobody at all: the service at work for itself, or an operator. Nothing admits it.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.nobody
    }

    /// A principal for tests; real ones come out of a [`crate::Scope`].
    #[must_use]
    pub fn new(user: Option<UserName>, groups: impl IntoIterator<Item = GroupName>) -> Self {
        Self { user, groups: groups.into_iter().collect(), ..Self::default() }
    }

    /// A text that is equal for equal principals and for no others: the key of caches that hold what one principal may
    /// see. Each list goes with its number of parts and each part with its length, so it has one reading only.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = format!("{}{}", u8::from(self.administrator), u8::from(self.nobody));
        push_list(&mut text, self.user.iter().map(UserName::as_str));
        push_list(&mut text, self.groups.iter().map(GroupName::as_str));
        push_list(&mut text, self.clearance.cleared.iter().map(Label::as_str));
        push_list(&mut text, self.clearance.known.iter().map(Label::as_str));
        text
    }
}

fn push_list<'a>(text: &mut String, parts: impl Iterator<Item = &'a str> + Clone) {
    text.push_str(&format!("{};", parts.clone().count()));
    for part in parts {
        text.push_str(&format!("{}:{part}", part.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names that look like pieces of a fingerprint, of each other, or of what stands between them.
    fn nasty() -> impl Strategy<Value = String> {
        prop_oneof!["[01;.a ]{1,4}", "[0-9]{1,2};[0-9]", "ä|ａ|a\u{0308}", "a;b|a|b|0;|1;1"]
    }

    fn principals() -> impl Strategy<Value = Principal> {
        let names = || prop::collection::vec(nasty(), 0..3);
        let powers = (any::<bool>(), any::<bool>());
        (prop::option::of(nasty()), names(), names(), names(), powers).prop_map(
            |(user, groups, cleared, known, (administrator, nobody))| {
                let labels = |names: Vec<String>| names.iter().map(|name| Label::new(name).unwrap()).collect();
                let user = user.map(|name| UserName::new(&name).unwrap());
                let groups = groups.iter().map(|name| GroupName::new(name).unwrap()).collect();
                let clearance = Clearance { cleared: labels(cleared), known: labels(known) };
                Principal { user, groups, clearance, administrator, nobody }
            },
        )
    }

    /// Reads a fingerprint back. What can be read back has one origin only.
    fn read(text: &str) -> Principal {
        let (powers, mut rest) = text.split_at(2);
        let mut list = || -> Vec<String> {
            let (count, mut parts) = rest.split_once(';').unwrap();
            let read = (0..count.parse::<usize>().unwrap()).map(|_| {
                let (length, after) = parts.split_once(':').unwrap();
                let (part, after) = after.split_at(length.parse().unwrap());
                parts = after;
                part.to_owned()
            });
            let read = read.collect();
            rest = parts;
            read
        };
        let (user, groups, cleared, known) = (list(), list(), list(), list());
        assert!(rest.is_empty());
        let labels = |names: Vec<String>| names.iter().map(|name| Label::new(name).unwrap()).collect();
        Principal {
            user: user.first().map(|name| UserName::new(name).unwrap()),
            groups: groups.iter().map(|name| GroupName::new(name).unwrap()).collect(),
            clearance: Clearance { cleared: labels(cleared), known: labels(known) },
            administrator: powers.starts_with('1'),
            nobody: powers.ends_with('1'),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_fingerprint_belongs_to_one_principal_only(one in principals(), other in principals()) {
            prop_assert_eq!(&read(&one.fingerprint()), &one);
            prop_assert_eq!(one.fingerprint() == other.fingerprint(), one == other);
        }

        /// What belongs to one field does not look the same in another, whole or split.
        #[test]
        fn moving_a_name_to_another_field_changes_the_fingerprint(name in nasty(), other in nasty()) {
            let group = |name: &str| GroupName::new(name).unwrap();
            let label = |name: &str| Label::new(name).unwrap();
            let cleared = Clearance { cleared: [label(&name)].into(), known: BTreeSet::new() };
            let known = Clearance { cleared: BTreeSet::new(), known: [label(&name)].into() };
            let all = [
                Principal::default(),
                Principal::new(Some(UserName::new(&name).unwrap()), []),
                Principal::new(None, [group(&name)]),
                Principal::new(None, [group(&format!("{name}{other}"))]),
                Principal::new(None, [group(&name), group(&format!("{other}+"))]),
                Principal { clearance: cleared, ..Principal::default() },
                Principal { clearance: known, ..Principal::default() },
                Principal { administrator: true, ..Principal::default() },
                Principal { nobody: true, ..Principal::default() },
            ];
            for (at, one) in all.iter().enumerate() {
                for two in &all[at + 1..] {
                    prop_assert!(one == two || one.fingerprint() != two.fingerprint(), "{:?} and {:?}", one, two);
                }
            }
        }
    }
}
