//! Three answers to one question, a hundred thousand times: the pre-filter's, the access list's own, and the model's in
//! [`super::reference`]. They share no code, and they must be one.
//!
//! `CATENA_DECISIONS` sets how many questions are asked, `CATENA_SEED` repeats a run; the seed is printed.
#![expect(clippy::disallowed_methods, reason = "how long the test runs, and by which seed, is set from outside")]

use std::hash::{BuildHasher as _, Hasher as _};

use catena_access::acl::Why;
use catena_access::{AclEntry, Clearance, Decision, OnBehalf, Window};
use catena_domain::{GroupName, Label};

use super::reference::{Access, Answer, Behalf, Document, Entry as Named, Key, Question, Tenant, answer};
use super::*;

/// Documents of each tenant, of one row each.
const DOCUMENTS: u32 = 60;
const TENANTS: [&str; 2] = ["acme", "globex"];
const NAMES: [&str; 4] = ["ann", "bob", "eng", "ops"];
/// Those that a tenant may have. `unheard-of` is never one of them.
const LABELS: [&str; 4] = ["internal", "confidential", "secret", "sealed"];
/// Moments are few, so that the bounds of windows are hit.
const MOMENTS: u64 = 8;

/// Chance that repeats by its seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len() as u64) as usize]
    }

    fn name(&mut self) -> String {
        self.pick(&NAMES).to_owned()
    }

    fn some<T>(&mut self, one_in: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(one_in).then(|| make(self))
    }

    fn list<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn entry(&mut self) -> Named {
        let names = match self.below(5) {
            0 => "everyone".to_owned(),
            1 | 2 => format!("user:{}", self.name()),
            _ => format!("group:{}", self.name()),
        };
        let moment = |chance: &mut Self| chance.below(MOMENTS) as i64;
        let (from, until) = (self.some(3, moment), self.some(3, moment));
        let empty = from.zip(until).is_some_and(|(from, until)| from >= until);
        Named { names, from, until: until.filter(|_| !empty) }
    }

    fn access(&mut self) -> Access {
        if self.one_in(12) {
            return Access { allow: vec![], deny: vec![], label: None, unknown: Some("403".into()) };
        }
        let label = self.some(3, |chance| match chance.below(6) {
            0 => "unheard-of".to_owned(),
            _ => chance.pick(&LABELS).to_owned(),
        });
        let deny = if self.one_in(2) { vec![] } else { self.list(2, Self::entry) };
        Access { allow: self.list(4, Self::entry), deny, label, unknown: None }
    }

    fn tenant(&mut self, name: &str) -> Tenant {
        let mut labels: Vec<String> = LABELS.map(str::to_owned).into();
        for at in (1..labels.len()).rev() {
            labels.swap(at, self.below(at as u64 + 1) as usize);
        }
        labels.truncate(2 + self.below(3) as usize);
        let own = |chance: &mut Self| labels[chance.below(labels.len() as u64) as usize].clone();
        let clearances = NAMES.iter().filter_map(|user| Some(((*user).to_owned(), self.some(2, own)?))).collect();
        // Few lists for many documents, so that one that was decided is met again.
        let lists: Vec<Access> = (0..25).map(|_| self.access()).collect();
        let documents = (0..DOCUMENTS).map(|_| Document {
            gone: self.one_in(10),
            access: lists[self.below(lists.len() as u64) as usize].clone(),
        });
        let documents = documents.collect();
        let members = self.list(8, |chance| (chance.name(), chance.name()));
        Tenant { name: name.to_owned(), members, labels, clearances, documents }
    }

    fn question(&mut self) -> Question {
        let tenant = self.pick(&TENANTS).to_owned();
        let rights: &[&str] = match self.below(12) {
            0 => &["operator"],
            1 => &["write", "admin"],
            2 | 3 => &["read", "admin"],
            4 | 5 => &["read", "admin", "impersonate"],
            6..9 => &["read", "impersonate"],
            _ => &["read"],
        };
        let home = if self.one_in(10) { self.pick(&TENANTS).to_owned() } else { tenant.clone() };
        let key = Key {
            tenant: (rights != ["operator"]).then_some(home),
            rights: rights.iter().map(|right| (*right).to_owned()).collect(),
            user: self.some(2, Self::name),
            groups: self.list(2, Self::name),
        };
        let speaks = rights.contains(&"impersonate") || self.one_in(12);
        let behalf = if speaks { self.some(2, Self::behalf) } else { None };
        Question { tenant, key, behalf, now: self.below(MOMENTS + 2) as i64 - 1 }
    }

    fn behalf(&mut self) -> Behalf {
        Behalf { user: if self.one_in(4) { None } else { Some(self.name()) }, groups: self.list(2, Self::name) }
    }
}

fn group_names(names: &[String]) -> Vec<GroupName> {
    names.iter().map(|name| GroupName::new(name).unwrap()).collect()
}

fn user_name(name: Option<&String>) -> Option<UserName> {
    name.map(|name| UserName::new(name).unwrap())
}

fn acl_of(access: &Access) -> Acl {
    if let Some(reason) = &access.unknown {
        return Acl::unknown(reason);
    }
    let entry = |named: &Named| AclEntry {
        who: named.names.parse().unwrap(),
        window: Window::new(named.from.map(Timestamp), named.until.map(Timestamp)).unwrap(),
    };
    let side = |entries: &[Named]| entries.iter().map(entry).collect();
    let label = access.label.as_deref().map(|label| Label::new(label).unwrap());
    Acl::of(side(&access.allow), side(&access.deny), label).unwrap()
}

/// What the door looks up before it lets somebody in.
fn directory_of(tenant: &Tenant, user: Option<&UserName>) -> Directory {
    let is_user = |name: &String| user.is_some_and(|user| user.as_str() == name);
    let groups: Vec<String> =
        tenant.members.iter().filter(|(_, member)| is_user(member)).map(|(group, _)| group.clone()).collect();
    let known: Vec<Label> = tenant.labels.iter().map(|label| Label::new(label).unwrap()).collect();
    let own = tenant.clearances.iter().find(|(name, _)| is_user(name));
    let level = own.map_or(0, |(_, own)| tenant.labels.iter().position(|label| label == own).unwrap() + 1);
    let cleared = known[..level].iter().cloned().collect();
    Directory { groups: group_names(&groups), clearance: Clearance { cleared, known: known.into_iter().collect() } }
}

/// The scope that the question is asked with, if the door opens.
fn scope_of_question(tenants: &[Tenant], question: &Question) -> Option<Scope> {
    let key = &question.key;
    let rights: Vec<Right> = key.rights.iter().map(|right| right.parse().unwrap()).collect();
    let credential = Credential {
        key: KeyId::new("k1").unwrap(),
        name: "test".into(),
        tenant: key.tenant.as_deref().map(tenant),
        rights: Rights::of(&rights),
        user: user_name(key.user.as_ref()),
        groups: group_names(&key.groups),
        clearance: None,
    };
    let on_behalf = question
        .behalf
        .as_ref()
        .map(|behalf| OnBehalf { user: user_name(behalf.user.as_ref()), groups: group_names(&behalf.groups) });
    let at = tenants.iter().find(|tenant| tenant.name == question.tenant).unwrap();
    let directory = directory_of(at, credential.concerned(on_behalf.as_ref()).user);
    // An operator enters by the right to administer, having none to read.
    let need = if rights == [Right::Operator] { Right::Admin } else { Right::Read };
    credential.enter(Entry { tenant: &tenant(&question.tenant), need, on_behalf, directory }).ok()
}

/// A tenant's index, which stays the same, and the table that says what of it may be seen, which does not.
struct Side {
    tenant: TenantId,
    snapshot: Arc<Snapshot>,
    live: LiveTable,
    acls: Vec<Acl>,
}

fn snapshot_of(index: &Index, name: &str) -> Arc<Snapshot> {
    let service = Scope::service(&tenant(name));
    let generation = index.generation(&service, &generation_id("g1"), &recipe(), DIMENSION).unwrap();
    generation.publish((0..DOCUMENTS).map(|doc| row(doc, 1, 0, "key")).collect(), Seq(1)).unwrap();
    generation.snapshot()
}

impl Side {
    fn of(snapshot: Arc<Snapshot>, of: &Tenant) -> Self {
        let acls: Vec<Acl> = of.documents.iter().map(|document| acl_of(&document.access)).collect();
        let id = |acl: &Acl| acls.iter().position(|other| other == acl).unwrap() as u32;
        let documents = of.documents.iter().zip(&acls).zip(0..).map(|((this, acl), doc)| match (this.gone, doc % 2) {
            (false, _) => document(doc, 1, id(acl)),
            (true, 0) => document(doc, 2, id(acl)),
            (true, _) => LiveDocument { live: Liveness::Deleted, ..document(doc, 1, id(acl)) },
        });
        let interned = acls.iter().map(|acl| (AclId(id(acl)), Arc::new(acl.clone()))).collect();
        let live = LiveTable::empty().with(Seq(1), documents.collect(), interned);
        Self { tenant: tenant(&of.name), snapshot, live, acls }
    }

    /// The documents that the pre-filter takes for visible.
    fn seen(&self, scope: Option<&Scope>, now: Timestamp) -> Vec<u32> {
        let Some(scope) = scope else { return vec![] };
        let visible = self.snapshot.visible(scope, &self.live, &Filter::default(), Counted::Live, now);
        let rows = visible.segments.iter().flat_map(|segment| segment.visible.iter().collect::<Vec<_>>());
        rows.map(|row| self.snapshot.key(crate::RowId { segment: 0, row }).doc.0).collect()
    }

    /// What the gate says of a document.
    fn decided(&self, doc: u32, scope: Option<&Scope>, now: Timestamp) -> Answer {
        let Some(scope) = scope.filter(|scope| *scope.tenant() == self.tenant) else {
            return Answer::Refused;
        };
        if self.live.current(DocNo(doc), VersionNo(1)).is_none() {
            return Answer::Refused;
        }
        match self.acls[doc as usize].decide(scope.principal(), now) {
            Decision::Admitted(_) => Answer::Admitted,
            Decision::Refused(_) => Answer::Refused,
            Decision::Unknown(Why::Label(_) | Why::Permissions(_)) => Answer::Unknown,
        }
    }
}

/// What the model is told instead of the truth, to see that the comparison would notice.
type Lie = fn(&mut Vec<Tenant>, &mut Question);

#[derive(Debug, Default)]
struct Tally {
    admitted: u64,
    refused: u64,
    unknown: u64,
    differences: Vec<String>,
}

impl Tally {
    fn decisions(&self) -> u64 {
        self.admitted + self.refused + self.unknown
    }
}

fn ask(seed: u64, decisions: u64, lie: Option<Lie>) -> Tally {
    let fixture = Fixture::new();
    let snapshots = TENANTS.map(|name| snapshot_of(&fixture.index, name));
    let (mut chance, mut tally) = (Chance(seed), Tally::default());
    while tally.decisions() < decisions && tally.differences.is_empty() {
        let tenants: Vec<Tenant> = TENANTS.iter().map(|name| chance.tenant(name)).collect();
        let sides: Vec<Side> =
            snapshots.iter().zip(&tenants).map(|(snapshot, tenant)| Side::of(Arc::clone(snapshot), tenant)).collect();
        for _ in 0..20 {
            let question = chance.question();
            let scope = scope_of_question(&tenants, &question);
            let (mut told, mut asked) = (tenants.clone(), question.clone());
            if let Some(lie) = lie {
                lie(&mut told, &mut asked);
            }
            for (side, told) in sides.iter().zip(&told) {
                compare(side, scope.as_ref(), told, &asked, &mut tally);
            }
        }
    }
    tally
}

fn compare(side: &Side, scope: Option<&Scope>, told: &Tenant, question: &Question, tally: &mut Tally) {
    let now = Timestamp(question.now);
    let seen = side.seen(scope, now);
    for (document, doc) in told.documents.iter().zip(0..) {
        let (model, gate, index) =
            (answer(told, document, question), side.decided(doc, scope, now), seen.contains(&doc));
        match gate {
            Answer::Admitted => tally.admitted += 1,
            Answer::Refused => tally.refused += 1,
            Answer::Unknown => tally.unknown += 1,
        }
        if model != gate || index != (gate == Answer::Admitted) {
            let found = format!(
                "the model says {model:?}, the list {gate:?}, the pre-filter {index}, of {document:#?}\nfor {question:#?}\n\
                 in {:?}, {:?}, {:?}, {:?}",
                told.name, told.members, told.labels, told.clearances
            );
            tally.differences.push(found);
        }
    }
}

fn set<T: std::str::FromStr>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn the_pre_filter_the_list_and_the_model_decide_alike() {
    let seed = set("CATENA_SEED").unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    let wanted = set("CATENA_DECISIONS").unwrap_or(100_000);
    println!("CATENA_SEED={seed} CATENA_DECISIONS={wanted}");
    let watch = std::time::Instant::now();
    let tally = ask(seed, wanted, None);
    println!("{} decisions in {:.1?}", tally.decisions(), watch.elapsed());
    println!("{} admitted, {} refused, {} unknown", tally.admitted, tally.refused, tally.unknown);
    assert!(tally.differences.is_empty(), "CATENA_SEED={seed}: {}", tally.differences[0]);
    assert!(tally.decisions() >= wanted);
    for (answer, count) in [("admitted", tally.admitted), ("refused", tally.refused), ("unknown", tally.unknown)] {
        assert!(count * 50 > tally.decisions(), "hardly anything was {answer}: the worlds are too plain to tell");
    }
}

fn for_each_access(tenants: &mut [Tenant], change: impl Fn(&mut Access)) {
    tenants.iter_mut().flat_map(|tenant| &mut tenant.documents).for_each(|document| change(&mut document.access));
}

fn for_each_entry(tenants: &mut [Tenant], change: impl Fn(&mut Named)) {
    for_each_access(tenants, |access| access.allow.iter_mut().chain(&mut access.deny).for_each(&change));
}

const LIES: [(&str, Lie); 16] = [
    ("denials are forgotten", |tenants, _| for_each_access(tenants, |access| access.deny.clear())),
    ("windows are forgotten", |tenants, _| {
        for_each_entry(tenants, |entry| (entry.from, entry.until) = (None, None));
    }),
    ("a window opens a moment late", |tenants, _| {
        for_each_entry(tenants, |entry| entry.from = entry.from.map(|from| from + 1));
    }),
    ("a window closes a moment late", |tenants, _| {
        for_each_entry(tenants, |entry| entry.until = entry.until.map(|until| until + 1));
    }),
    ("a user is a group of the same name", |tenants, _| {
        for_each_entry(tenants, |entry| entry.names = entry.names.replace("user:", "group:"));
    }),
    ("labels are forgotten", |tenants, _| for_each_access(tenants, |access| access.label = None)),
    ("the order of labels is turned round", |tenants, _| tenants.iter_mut().for_each(|tenant| tenant.labels.reverse())),
    ("a label of nobody's is one of the tenant's", |tenants, _| {
        tenants.iter_mut().for_each(|tenant| tenant.labels.insert(0, "unheard-of".into()));
    }),
    ("clearances are forgotten", |tenants, _| tenants.iter_mut().for_each(|tenant| tenant.clearances.clear())),
    ("unknown permissions are empty ones", |tenants, _| for_each_access(tenants, |access| access.unknown = None)),
    ("the directory is forgotten", |tenants, _| tenants.iter_mut().for_each(|tenant| tenant.members.clear())),
    ("what is gone is still there", |tenants, _| {
        tenants.iter_mut().flat_map(|tenant| &mut tenant.documents).for_each(|document| document.gone = false);
    }),
    ("the key's groups go with whom it speaks for", |_, question| {
        let groups = question.key.groups.clone();
        question.behalf.iter_mut().for_each(|behalf| behalf.groups.extend(groups.clone()));
    }),
    ("an administrator stays one when speaking for somebody", |_, question| {
        if question.key.rights.iter().any(|right| right == "impersonate")
            && let Some(behalf) = question.behalf.take()
        {
            (question.key.user, question.key.groups) = (behalf.user, behalf.groups);
        }
    }),
    ("an operator reads", |_, question| {
        if question.key.rights == ["operator"] {
            question.key.rights = vec!["read".into(), "admin".into()];
            question.key.tenant = Some(question.tenant.clone());
        }
    }),
    ("a key opens every tenant", |_, question| question.key.tenant = Some(question.tenant.clone())),
];

#[test]
fn a_rule_that_one_of_them_forgot_is_noticed() {
    for (lie, told) in LIES {
        let tally = ask(1, 20_000, Some(told));
        assert!(!tally.differences.is_empty(), "nobody noticed that {lie}, in {} decisions", tally.decisions());
    }
}
