//! The guard on widened visibility: who sees more once a document has another access list.
//!
//! Promises: becoming visible to everyone is always beyond the bound, and so is a group of which the directory knows
//! nothing; what is withheld never keeps somebody in who was taken out. Does not: decide who may see a document.

use std::collections::{BTreeSet, HashMap};

use catena_access::acl::Lists;
use catena_access::{Acl, AclEntry, Scope, Who, Window};
use catena_catalog::Catalog;
use catena_domain::Label;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::description::Guards;
use crate::IngestError;

/// Answers that are remembered: most documents of a source share a few lists.
const REMEMBERED_MAX: usize = 1_000;

/// How much wider a list is than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wider {
    /// Everyone in the tenant sees it now.
    Everyone,
    /// So many users see it now who did not.
    Readers(u64),
    /// A group sees it now that the directory does not know.
    UnknownGroup,
    /// It asks for a lower clearance, or for none.
    Clearance,
}

/// The guard of one sync.
pub(crate) struct Guard<'a> {
    catalog: &'a Catalog,
    scope: &'a Scope,
    bound: Option<u64>,
    remembered: Mutex<HashMap<(Acl, Acl), Option<Wider>>>,
}

impl<'a> Guard<'a> {
    pub(crate) fn new(catalog: &'a Catalog, scope: &'a Scope, guards: Guards) -> Self {
        Self { catalog, scope, bound: guards.widening_max_readers, remembered: Mutex::default() }
    }

    /// Whether `after` in place of `before` is beyond the bound. How much wider it is, is said as of what holds until
    /// somebody decides, so that the look after an approval says the same.
    pub(crate) async fn beyond(&self, before: &Acl, after: &Acl) -> Result<Option<Wider>, IngestError> {
        let Some(bound) = self.bound else { return Ok(None) };
        let wider = self.wider(before, after).await?.filter(|wider| match wider {
            Wider::Readers(gained) => *gained > bound,
            Wider::Everyone | Wider::UnknownGroup | Wider::Clearance => true,
        });
        let Some(wider) = wider else { return Ok(None) };
        Ok(Some(self.wider(&meanwhile(before, after), after).await?.unwrap_or(wider)))
    }

    /// How much wider `after` is than `before`, if at all.
    pub(crate) async fn wider(&self, before: &Acl, after: &Acl) -> Result<Option<Wider>, IngestError> {
        if before == after {
            return Ok(None);
        }
        let pair = (before.clone(), after.clone());
        if let Some(known) = self.remembered.lock().await.get(&pair) {
            return Ok(*known);
        }
        let wider = self.measure(before, after).await?;
        let mut remembered = self.remembered.lock().await;
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(pair, wider);
        }
        Ok(wider)
    }

    async fn measure(&self, before: &Acl, after: &Acl) -> Result<Option<Wider>, IngestError> {
        // A list that is unknown admits nobody.
        let nobody = Lists::default();
        let (before, Some(after)) = (before.lists().unwrap_or(&nobody), after.lists()) else { return Ok(None) };
        if opens_to_everyone(before, after) {
            return Ok(Some(Wider::Everyone));
        }
        if let Some(label) = before.label()
            && after.label() != Some(label)
            && !is_above(&self.catalog.labels(self.scope).await?, after.label(), label)
        {
            return Ok(Some(Wider::Clearance));
        }
        let denied = after.deny().iter().filter(|entry| always(entry) || before.deny().contains(*entry));
        let (had, has) = if admits_everyone(before) {
            // Whoever was refused by name and is not any more.
            (Acl::default(), list(before.deny().iter(), denied))
        } else {
            let had = before.allow().iter().filter(|entry| always(entry) || after.allow().contains(*entry));
            (list(had, before.deny().iter()), list(after.allow().iter(), denied))
        };
        let (Some(had), Some(has)) = (had.lists(), has.lists()) else { return Ok(None) };
        let gained = self.catalog.gained_readers(self.scope, had, has).await?;
        Ok(match (gained.unknown_groups, gained.users) {
            (0, 0) => None,
            (0, users) => Some(Wider::Readers(users)),
            _ => Some(Wider::UnknownGroup),
        })
    }
}

fn always(entry: &AclEntry) -> bool {
    entry.window == Window::ALWAYS
}

fn list<'e>(allow: impl Iterator<Item = &'e AclEntry>, deny: impl Iterator<Item = &'e AclEntry>) -> Acl {
    Acl::of(allow.cloned().collect(), deny.cloned().collect(), None).unwrap_or_default()
}

/// The entries of a side that name everyone.
fn of_everyone(side: &BTreeSet<AclEntry>) -> impl Iterator<Item = &AclEntry> {
    side.iter().filter(|entry| entry.who == Who::Everyone)
}

/// Whether everyone is admitted, at every moment.
fn admits_everyone(lists: &Lists) -> bool {
    of_everyone(lists.allow()).any(always) && of_everyone(lists.deny()).next().is_none()
}

/// Whether there may be a moment at which `after` admits everyone and `before` does not.
fn opens_to_everyone(before: &Lists, after: &Lists) -> bool {
    let covers = |side: &BTreeSet<AclEntry>, entry: &AclEntry| side.contains(entry) || of_everyone(side).any(always);
    if of_everyone(after.allow()).next().is_none() || of_everyone(after.deny()).any(always) {
        return false;
    }
    let is_longer = of_everyone(after.allow()).any(|entry| !covers(before.allow(), entry));
    is_longer || of_everyone(before.deny()).any(|entry| !covers(after.deny(), entry))
}

/// Whether `label` asks for more than `than` does.
fn is_above(labels: &[Label], label: Option<&Label>, than: &Label) -> bool {
    let place = |label: &Label| labels.iter().position(|known| known == label);
    match (label.map(place), place(than)) {
        // A label that the tenant does not have hides the document from all.
        (Some(None), _) => true,
        (Some(Some(label)), Some(than)) => label > than,
        _ => false,
    }
}

/// What holds while a wider list waits for approval: those whom both lists admit, less those whom either refuses. The
/// label stays, and where the other list has another one nobody sees it until it is decided.
pub(crate) fn meanwhile(before: &Acl, after: &Acl) -> Acl {
    let (Some(before), Some(after)) = (before.lists(), after.lists()) else { return Acl::default() };
    let label = || before.label().cloned();
    let nobody = || Acl::of(Vec::new(), Vec::new(), label()).unwrap_or_default();
    if before.label() != after.label() {
        return nobody();
    }
    let deny: BTreeSet<AclEntry> = before.deny().union(after.deny()).cloned().collect();
    let allow = before.allow().intersection(after.allow()).cloned().collect();
    // Two lists of denials together may be longer than one may be; then nobody sees it until it is decided.
    Acl::of(allow, deny.into_iter().collect(), label()).unwrap_or_else(|_| nobody())
}

/// An access list as a plan shows it.
pub(crate) fn shown(acl: &Acl) -> serde_json::Value {
    match acl.lists() {
        None => serde_json::json!({"unknown": true}),
        Some(lists) => {
            let side = |side: &BTreeSet<AclEntry>| side.iter().map(ToString::to_string).collect::<Vec<_>>();
            let label = lists.label().map(ToString::to_string);
            serde_json::json!({"allow": side(lists.allow()), "deny": side(lists.deny()), "label": label})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acl(allow: &[&str], deny: &[&str]) -> Acl {
        Acl::parse(allow, deny).unwrap()
    }

    #[test]
    fn what_holds_meanwhile_admits_nobody_whom_either_list_refuses() {
        let before = acl(&["group:a", "group:b", "user:x"], &["user:y"]);
        let after = acl(&["everyone", "group:a"], &["user:z"]);
        assert_eq!(meanwhile(&before, &after), acl(&["group:a"], &["user:y", "user:z"]));
        assert_eq!(meanwhile(&Acl::unknown("403"), &after), Acl::default());
        let secret = Label::new("secret").unwrap();
        let labelled = Acl::of(vec![AclEntry::from(Who::Everyone)], vec![], Some(secret)).unwrap();
        let nobody = Acl::of(vec![], vec![], labelled.lists().unwrap().label().cloned()).unwrap();
        assert_eq!(meanwhile(&labelled, &acl(&["everyone"], &[])), nobody, "the label is forgotten");
    }

    #[test]
    fn a_label_is_above_another_only_where_the_tenant_says_so() {
        let label = |name: &str| Label::new(name).unwrap();
        let labels = [label("internal"), label("secret")];
        assert!(is_above(&labels, Some(&label("secret")), &label("internal")));
        assert!(is_above(&labels, Some(&label("of-nobody")), &label("internal")));
        assert!(!is_above(&labels, Some(&label("internal")), &label("secret")));
        assert!(!is_above(&labels, None, &label("internal")));
    }
}
