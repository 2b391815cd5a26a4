//! The rules of access, written down a second time.
//!
//! From the words of the rules and in the plainest way: texts, lists and loops, no sets, nothing remembered, nothing
//! from the crates under test. What this says is what the program should say; it is slow and has no other use.

/// What a question about a document is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Admitted,
    Refused,
    Unknown,
}

#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) name: String,
    /// Which user is in which group: group, user.
    pub(super) members: Vec<(String, String)>,
    /// The tenant's labels, the lowest first.
    pub(super) labels: Vec<String>,
    /// Whose own label is which: user, label. Who is not here has none.
    pub(super) clearances: Vec<(String, String)>,
    pub(super) documents: Vec<Document>,
}

#[derive(Debug, Clone)]
pub(super) struct Document {
    /// Deleted, or the text in question is not the current one.
    pub(super) gone: bool,
    pub(super) access: Access,
}

#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) allow: Vec<Entry>,
    pub(super) deny: Vec<Entry>,
    pub(super) label: Option<String>,
    /// Why nobody could read who may see the document.
    pub(super) unknown: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// `everyone`, `user:NAME` or `group:NAME`.
    pub(super) names: String,
    pub(super) from: Option<i64>,
    pub(super) until: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    /// The tenant that it belongs to; an operator's belongs to none.
    pub(super) tenant: Option<String>,
    pub(super) rights: Vec<String>,
    pub(super) user: Option<String>,
    pub(super) groups: Vec<String>,
}

/// Whom a request speaks for.
#[derive(Debug, Clone)]
pub(super) struct Behalf {
    pub(super) user: Option<String>,
    pub(super) groups: Vec<String>,
}

/// May the holder of this key, speaking for this person if any, see a document of the tenant at this moment?
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) tenant: String,
    pub(super) key: Key,
    pub(super) behalf: Option<Behalf>,
    pub(super) now: i64,
}

pub(super) fn answer(tenant: &Tenant, document: &Document, question: &Question) -> Answer {
    // A key opens its own tenant. An operator's opens each, and sees no document in any.
    if has(&question.key.rights, "operator") {
        return Answer::Refused;
    }
    if question.tenant != tenant.name || question.key.tenant.as_ref() != Some(&tenant.name) {
        return Answer::Refused;
    }
    // Reading needs the right to read, and speaking for somebody the right to do so.
    if !has(&question.key.rights, "read") {
        return Answer::Refused;
    }
    if question.behalf.is_some() && !has(&question.key.rights, "impersonate") {
        return Answer::Refused;
    }
    // What is gone is gone for all.
    if document.gone {
        return Answer::Refused;
    }
    // Unknown: the permissions could not be read, or the label is none of the tenant's. It wins over all that follows.
    if document.access.unknown.is_some() {
        return Answer::Unknown;
    }
    if let Some(label) = &document.access.label
        && !has(&tenant.labels, label)
    {
        return Answer::Unknown;
    }
    let person = person(tenant, question);
    // Deny wins over allow.
    for entry in &document.access.deny {
        if in_force(entry, question.now) && names(entry, &person) {
            return Answer::Refused;
        }
    }
    // A label asks for a clearance at or above it, besides the lists.
    if let Some(label) = &document.access.label
        && !person.administrator
        && !is_cleared(tenant, &person, label)
    {
        return Answer::Refused;
    }
    for entry in &document.access.allow {
        if in_force(entry, question.now) && names(entry, &person) {
            return Answer::Admitted;
        }
    }
    if person.administrator { Answer::Admitted } else { Answer::Refused }
}

struct Person {
    user: Option<String>,
    groups: Vec<String>,
    administrator: bool,
}

/// Who is concerned: the person spoken for, or else the key's own user with the key's own groups and powers. Either way
/// with the groups that the tenant's directory gives to the user.
fn person(tenant: &Tenant, question: &Question) -> Person {
    let mut person = match &question.behalf {
        Some(behalf) => Person { user: behalf.user.clone(), groups: behalf.groups.clone(), administrator: false },
        None => Person {
            user: question.key.user.clone(),
            groups: question.key.groups.clone(),
            administrator: has(&question.key.rights, "admin"),
        },
    };
    for (group, member) in &tenant.members {
        if person.user.as_ref() == Some(member) {
            person.groups.push(group.clone());
        }
    }
    person
}

fn names(entry: &Entry, person: &Person) -> bool {
    if entry.names == "everyone" {
        return true;
    }
    for group in &person.groups {
        if entry.names == format!("group:{group}") {
            return true;
        }
    }
    match &person.user {
        Some(user) => entry.names == format!("user:{user}"),
        None => false,
    }
}

/// From its first moment on, and no longer at its last.
fn in_force(entry: &Entry, now: i64) -> bool {
    let has_begun = match entry.from {
        Some(from) => now >= from,
        None => true,
    };
    let has_ended = match entry.until {
        Some(until) => now >= until,
        None => false,
    };
    has_begun && !has_ended
}

/// Whether the user's own label is this one or one above it.
fn is_cleared(tenant: &Tenant, person: &Person, label: &str) -> bool {
    for (user, own) in &tenant.clearances {
        if person.user.as_ref() == Some(user) {
            let mut reached = false;
            for one in &tenant.labels {
                reached = reached || one == label;
                if one == own {
                    return reached;
                }
            }
        }
    }
    false
}

fn has(list: &[String], wanted: &str) -> bool {
    for one in list {
        if one == wanted {
            return true;
        }
    }
    false
}
