//! Credentials, and the proof that one may act inside one tenant.

use catena_domain::{GroupName, KeyId, Label, TenantId, UserName};

use crate::principal::{Clearance, OnBehalf, Principal};
use crate::rights::{Right, Rights};

/// A credential whose secret was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The key's public half, which names the actor in the record.
    pub key: KeyId,
    /// The name people gave to the key.
    pub name: String,
    /// The tenant that the key belongs to; `None` for the operator.
    pub tenant: Option<TenantId>,
    /// What the key may be used for.
    pub rights: Rights,
    /// The user that the key stands for.
    pub user: Option<UserName>,
    /// Groups that the key itself carries.
    pub groups: Vec<GroupName>,
    /// The label up to which the key itself is cleared.
    pub clearance: Option<Label>,
}

/// Why a credential was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The credential belongs elsewhere. Answered exactly as if the tenant did not exist.
    #[error("no such tenant")]
    OtherTenant,
    /// The credential lacks a right that the request needs.
    #[error("this key lacks the scope {}", .0.as_str())]
    Right(Right),
}

/// Whom a request concerns, as far as it is known before the tenant's directory was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Concerned<'a> {
    /// The user.
    pub user: Option<&'a UserName>,
    /// Groups that the credential carries or that the caller vouches for.
    pub groups: &'a [GroupName],
    /// The label up to which the credential is cleared by itself.
    pub clearance: Option<&'a Label>,
}

/// What a tenant's directory says of whom a request concerns. Empty, it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// All groups of the user, through other groups as well.
    pub groups: Vec<GroupName>,
    /// The labels of the tenant, and which of them the user is cleared for.
    pub clearance: Clearance,
}

/// What a credential asks to do.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Where.
    pub tenant: &'a TenantId,
    /// By which right.
    pub need: Right,
    /// For whom, if not for itself.
    pub on_behalf: Option<OnBehalf>,
    /// What the tenant's directory says of whom it concerns.
    pub directory: Directory,
}

impl Credential {
    /// Whom a request of this credential concerns: what to ask the directory about before entering. On behalf of a
    /// user, the credential's own groups and clearance count for nothing.
    #[must_use]
    pub fn concerned<'a>(&'a self, on_behalf: Option<&'a OnBehalf>) -> Concerned<'a> {
        match on_behalf {
            Some(behalf) => Concerned { user: behalf.user.as_ref(), groups: &behalf.groups, clearance: None },
            None => Concerned { user: self.user.as_ref(), groups: &self.groups, clearance: self.clearance.as_ref() },
        }
    }

    /// Enters a tenant for one request. The one door to a [`Scope`] for whoever comes from outside.
    pub fn enter(&self, entry: Entry<'_>) -> Result<Scope, Denied> {
        let operator = self.rights.has(Right::Operator);
        if !operator && self.tenant.as_ref() != Some(entry.tenant) {
            return Err(Denied::OtherTenant);
        }
        let rights = if operator { Rights::of(&[Right::Admin, Right::Audit]) } else { self.rights };
        if !rights.has(entry.need) {
            return Err(Denied::Right(entry.need));
        }
        if entry.on_behalf.is_some() && !rights.has(Right::Impersonate) {
            return Err(Denied::Right(Right::Impersonate));
        }
        let on_behalf = entry.on_behalf.is_some();
        let principal = self.principal(entry.on_behalf, entry.directory, operator);
        Ok(Scope { tenant: entry.tenant.clone(), principal, rights, actor: self.key.clone(), on_behalf })
    }

    fn principal(&self, on_behalf: Option<OnBehalf>, directory: Directory, operator: bool) -> Principal {
        match on_behalf {
            Some(behalf) => Principal {
                user: behalf.user,
                groups: behalf.groups.into_iter().chain(directory.groups).collect(),
                clearance: directory.clearance,
                administrator: false,
                nobody: false,
            },
            None => Principal {
                user: self.user.clone(),
                groups: self.groups.iter().cloned().chain(directory.groups).collect(),
                clearance: directory.clearance,
                administrator: self.rights.has(Right::Admin) && !operator,
                nobody: operator,
            },
        }
    }

    /// Enters the installation as its operator.
    pub fn operate(&self) -> Result<Operator, Denied> {
        if self.rights.has(Right::Operator) {
            Ok(Operator { actor: self.key.clone() })
        } else {
            Err(Denied::Right(Right::Operator))
        }
    }
}

/// Proof that a principal may act inside one tenant. Every function that touches a tenant's data takes one, first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    tenant: TenantId,
    principal: Principal,
    rights: Rights,
    actor: KeyId,
    on_behalf: bool,
}

impl Scope {
    /// The service at work for itself in one tenant: publishing, re-indexing. Its principal is nobody, so no ACL admits
    /// it and no passage can leave through it.
    #[must_use]
    pub fn service(tenant: &TenantId) -> Self {
        let actor = KeyId::new("service").unwrap_or_else(|_| unreachable!("a constant name is a name"));
        let principal = Principal { nobody: true, ..Principal::default() };
        Self { tenant: tenant.clone(), principal, rights: Rights::default(), actor, on_behalf: false }
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who asks.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The rights of the credential behind this scope.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The key that acts.
    #[must_use]
    pub fn actor(&self) -> &KeyId {
        &self.actor
    }

    /// Whether the key acts for a user that the request named.
    #[must_use]
    pub fn is_on_behalf(&self) -> bool {
        self.on_behalf
    }
}

/// Proof that a credential may run the installation: make tenants and their first keys. It opens no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    actor: KeyId,
}

impl Operator {
    /// The key that acts.
    #[must_use]
    pub fn actor(&self) -> &KeyId {
        &self.actor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Acl;
    use catena_domain::Timestamp;

    const NOW: Timestamp = Timestamp(0);

    fn tenant(id: &str) -> TenantId {
        TenantId::new(id).unwrap()
    }

    fn key(rights: &[Right]) -> Credential {
        Credential {
            key: KeyId::new("k1").unwrap(),
            name: "app".into(),
            tenant: Some(tenant("acme")),
            rights: Rights::of(rights),
            user: None,
            groups: vec![],
            clearance: None,
        }
    }

    fn entry(tenant: &TenantId, need: Right) -> Entry<'_> {
        Entry { tenant, need, on_behalf: None, directory: Directory::default() }
    }

    #[test]
    fn a_key_opens_its_own_tenant_and_no_other() {
        let all = key(&[Right::Read, Right::Write, Right::Admin, Right::Impersonate, Right::Audit]);
        assert!(all.enter(entry(&tenant("acme"), Right::Read)).is_ok());
        assert_eq!(all.enter(entry(&tenant("globex"), Right::Read)), Err(Denied::OtherTenant));
    }

    #[test]
    fn a_right_that_was_not_given_is_missing() {
        let reader = key(&[Right::Read]);
        for need in [Right::Write, Right::Admin, Right::Audit] {
            assert_eq!(reader.enter(entry(&tenant("acme"), need)), Err(Denied::Right(need)));
        }
        assert_eq!(reader.operate(), Err(Denied::Right(Right::Operator)));
    }

    #[test]
    fn acting_for_a_user_needs_impersonate_and_sheds_the_keys_own_powers() {
        let acme = tenant("acme");
        let behalf = || Some(OnBehalf { user: Some(UserName::new("ann").unwrap()), groups: vec![] });
        let ask = || Entry { on_behalf: behalf(), ..entry(&acme, Right::Read) };
        assert_eq!(key(&[Right::Read, Right::Admin]).enter(ask()), Err(Denied::Right(Right::Impersonate)));
        let scope = key(&[Right::Read, Right::Admin, Right::Impersonate]).enter(ask()).unwrap();
        assert!(!scope.principal().is_administrator());
        assert!(!Acl::default().decide(scope.principal(), NOW).is_admitted());
    }

    #[test]
    fn what_a_key_carries_counts_for_itself_and_not_for_those_it_speaks_for() {
        let secret = Label::new("secret").unwrap();
        let groups = vec![GroupName::new("eng").unwrap()];
        let user = UserName::new("bob").ok();
        let app = Credential { user, groups, clearance: Some(secret.clone()), ..key(&[Right::Read]) };
        let itself = app.concerned(None);
        assert_eq!((itself.user, itself.groups), (app.user.as_ref(), &app.groups[..]));
        assert_eq!(itself.clearance, Some(&secret));
        let behalf = OnBehalf { user: UserName::new("ann").ok(), groups: vec![] };
        let concerned = app.concerned(Some(&behalf));
        assert_eq!(concerned, Concerned { user: behalf.user.as_ref(), groups: &[], clearance: None });
    }

    #[test]
    fn the_operator_and_the_service_are_admitted_to_no_document() {
        let operator = Credential { tenant: None, ..key(&[Right::Operator]) };
        let scope = operator.enter(entry(&tenant("acme"), Right::Admin)).unwrap();
        let open = Acl::parse(&["everyone"], &[]).unwrap();
        assert!(!open.decide(scope.principal(), NOW).is_admitted());
        assert!(!open.decide(Scope::service(&tenant("acme")).principal(), NOW).is_admitted());
        assert_eq!(operator.enter(entry(&tenant("acme"), Right::Read)), Err(Denied::Right(Right::Read)));
    }
}
