//! Groups in groups: against a walk through a graph that knows nothing of databases, by hand, and by several at once.

use std::collections::BTreeSet;

use super::*;
use catena_domain::ErrorKind;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// Users, groups and labels that the histories are made of.
const USERS: usize = 4;
const GROUPS: usize = 7;
const LABELS: usize = 4;

async fn put(home: &Home, name: &str, members: &[&str]) -> Result<(), CatalogError> {
    home.catalog.put_group(&admin("acme"), &group(name), of(members), draft("group.put")).await.map(|_| ())
}

async fn delete(home: &Home, name: &str) -> Result<bool, CatalogError> {
    Ok(home.catalog.delete_group(&admin("acme"), &group(name), draft("group.delete")).await?.is_some())
}

async fn groups_of(home: &Home, name: &str) -> Vec<String> {
    directory(&home.catalog, "acme", name).await.groups.iter().map(ToString::to_string).collect()
}

async fn who_is_in_a_group_is_in_all_that_it_is_in_until_a_membership_ends(on: On) {
    let home = on.home_with_tenants().await;
    put(&home, "sre", &["ann"]).await.unwrap();
    put(&home, "eng", &["group:sre", "bob"]).await.unwrap();
    put(&home, "staff", &["group:eng", "group:sre", "carl"]).await.unwrap();
    assert_eq!(groups_of(&home, "ann").await, ["eng", "sre", "staff"]);
    assert_eq!(groups_of(&home, "bob").await, ["eng", "staff"]);
    assert_eq!(groups_of(&home, "carl").await, ["staff"]);
    let shown = home.catalog.group(&admin("acme"), &group("staff")).await.unwrap();
    assert_eq!(shown, Some(of(&["carl", "group:eng", "group:sre"])));
    // Another tenant's groups of the same names are its own.
    assert!(directory(&home.catalog, "globex", "ann").await.groups.is_empty());
    put(&home, "staff", &["group:eng"]).await.unwrap();
    put(&home, "eng", &["bob"]).await.unwrap();
    assert_eq!(groups_of(&home, "ann").await, ["sre"]);
    // Groups that a key carries or a caller vouches for are in others as well, and need not be of the directory.
    let carried = [group("eng"), group("elsewhere")];
    let concerned = Concerned { groups: &carried, ..Concerned::default() };
    let found = home.catalog.directory(&tenant("acme"), concerned).await.unwrap().groups;
    assert_eq!(found, [group("elsewhere"), group("eng"), group("staff")]);
}

async fn a_cycle_is_refused_and_named(on: On) {
    let home = on.home_with_tenants().await;
    put(&home, "c", &["ann"]).await.unwrap();
    put(&home, "b", &["group:c"]).await.unwrap();
    put(&home, "a", &["group:b"]).await.unwrap();
    for (name, member, cycle) in [
        ("c", "group:a", "group:c in group:b in group:a in group:c"),
        ("b", "group:a", "group:b in group:a in group:b"),
        ("a", "group:a", "group:a in group:a"),
        ("new", "group:new", "group:new in group:new"),
    ] {
        let error = put(&home, name, &[member]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let said = format!("a group cannot be inside itself, and {cycle} would be; leave one of these memberships out");
        assert_eq!(error.to_string(), said);
    }
    // What was refused left everything as it was.
    assert_eq!(groups_of(&home, "ann").await, ["a", "b", "c"]);
    assert!(home.catalog.group(&admin("acme"), &group("new")).await.unwrap().is_none());
}

async fn a_group_that_does_not_exist_is_no_member(on: On) {
    let home = on.home_with_tenants().await;
    let error = put(&home, "eng", &["ann", "group:sre"]).await.unwrap_err();
    let said = "group:sre, named as a member of group:eng, does not exist; make that group first";
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Conflict, said));
    assert!(home.catalog.group(&admin("acme"), &group("eng")).await.unwrap().is_none());
}

async fn sixteen_groups_may_be_inside_one_another_and_not_seventeen(on: On) {
    let home = on.home_with_tenants().await;
    put(&home, "g1", &["ann"]).await.unwrap();
    for at in 2..=16 {
        put(&home, &format!("g{at}"), &[&format!("group:g{}", at - 1)]).await.unwrap();
    }
    assert_eq!(groups_of(&home, "ann").await.len(), 16);
    let error = put(&home, "g17", &["group:g16"]).await.unwrap_err();
    assert!(error.to_string().contains("more than 16 groups"), "{error}");
    // Also when the chain is joined in the middle, from either side.
    put(&home, "below", &["bob"]).await.unwrap();
    assert!(put(&home, "g1", &["group:below"]).await.is_err());
    put(&home, "g9", &["ann"]).await.unwrap();
    put(&home, "g1", &["group:below"]).await.unwrap();
    assert!(put(&home, "g9", &["group:g8"]).await.is_err());
    put(&home, "g1", &["ann"]).await.unwrap();
    put(&home, "g9", &["group:g8"]).await.unwrap();
}

async fn a_group_that_denies_or_is_in_another_is_not_deleted(on: On) {
    let home = on.home_with_tenants().await;
    let scope = admin("acme");
    for name in ["sales", "quote\"d\\", "idle"] {
        put(&home, name, &["ann"]).await.unwrap();
    }
    let write = async |name: &str, acl: Acl| {
        super::put(&home.catalog, &scope, NewDocument { acl, ..document(name, name) }).await;
    };
    let past = catena_access::Window::new(None, Some(catena_domain::Timestamp(1))).unwrap();
    let to_come = catena_access::Window::new(Some(catena_domain::Timestamp(i64::MAX - 1)), None).unwrap();
    let deny = |name: &str, window| {
        let entry = catena_access::AclEntry { who: format!("group:{name}").parse().unwrap(), window };
        Acl::of(vec![], vec![entry], None).unwrap()
    };
    write("a", acl(&["everyone"], &["group:sales", "user:eve"])).await;
    write("b", acl(&["everyone"], &["group:sales"])).await;
    write("c", acl(&["group:sales", "group:idle"], &["group:sales2", "user:sales"])).await;
    write("d", acl(&[], &["group:quote\"d\\"])).await;
    write("e", Acl::unknown("group:idle \"deny\":[\"group:idle\"]")).await;
    write("f", deny("idle", past)).await;
    let error = delete(&home, "sales").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let said = "group:sales, which the deny lists of 2 documents name, cannot be deleted, because whom it denies would \
                see them; change their lists first";
    assert_eq!(error.to_string(), said);
    assert!(delete(&home, "quote\"d\\").await.is_err());
    // A denial that is over denies nobody; one that is to come will.
    write("g", deny("idle", to_come)).await;
    assert!(delete(&home, "idle").await.is_err());
    write("g", acl(&[], &[])).await;
    assert!(delete(&home, "idle").await.unwrap());
    // Lists that no current document has any more are in nobody's way.
    home.catalog.set_acl(&scope, &id("a"), &acl(&["everyone"], &[]), Expect::Any, draft("acl")).await.unwrap().unwrap();
    home.catalog.delete_document(&scope, &id("b"), Expect::Any, draft("delete")).await.unwrap().unwrap();
    put(&home, "staff", &["group:sales"]).await.unwrap();
    put(&home, "zoo", &["group:sales"]).await.unwrap();
    let error = delete(&home, "sales").await.unwrap_err().to_string();
    assert!(error.starts_with("group:sales, a member of group:staff and of 1 more, cannot be deleted"), "{error}");
    put(&home, "staff", &[]).await.unwrap();
    put(&home, "zoo", &[]).await.unwrap();
    assert!(delete(&home, "sales").await.unwrap());
}

async fn two_halves_of_a_cycle_at_once_never_both_get_in(on: On) {
    let home = on.home_with_tenants().await;
    let mut refused = 0;
    for round in 0..20 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        put(&home, &a, &["ann"]).await.unwrap();
        put(&home, &b, &["ann"]).await.unwrap();
        let half = |outer: &str, inner: &str| {
            let (catalog, outer, inner) = (home.catalog.clone(), group(outer), of(&[&format!("group:{inner}")]));
            tokio::spawn(async move { catalog.put_group(&admin("acme"), &outer, inner, draft("group.put")).await })
        };
        let (one, other) = (half(&a, &b), half(&b, &a));
        let ended = [one.await.unwrap(), other.await.unwrap()];
        let errors: Vec<_> = ended.into_iter().filter_map(Result::err).collect();
        assert_eq!(errors.len(), 1, "one of the two comes second");
        assert!(errors[0].to_string().contains("inside itself"), "{}", errors[0]);
        refused += errors.len();
    }
    assert_eq!(refused, 20);
}

/// A change of the directory.
#[derive(Debug, Clone)]
enum Edit {
    Put { group: usize, users: Vec<usize>, groups: Vec<usize>, clearance: Option<usize> },
    Delete(usize),
    Labels(Vec<usize>),
}

/// What a question is about.
#[derive(Debug, Clone)]
struct Asked {
    user: Option<usize>,
    groups: Vec<usize>,
    clearance: Option<usize>,
}

fn edits() -> impl Strategy<Value = Vec<(Edit, Asked)>> {
    let users = || prop::collection::vec(0..USERS, 0..3);
    let groups = || prop::collection::vec(0..GROUPS, 0..3);
    let clearance = || prop::option::of(0..LABELS);
    let labels = Just((0..LABELS).collect::<Vec<_>>()).prop_shuffle();
    let labels = (labels, 0..=LABELS).prop_map(|(all, kept)| all[..kept].to_vec());
    let edit = prop_oneof![
        8 => (0..GROUPS, users(), groups(), clearance())
            .prop_map(|(group, users, groups, clearance)| Edit::Put { group, users, groups, clearance }),
        2 => (0..GROUPS).prop_map(Edit::Delete),
        2 => labels.prop_map(Edit::Labels),
    ];
    // A group that the directory does not have may be carried as well.
    let asked = (prop::option::of(0..USERS), prop::collection::vec(0..GROUPS + 1, 0..3), clearance())
        .prop_map(|(user, groups, clearance)| Asked { user, groups, clearance });
    prop::collection::vec((edit, asked), 120..=120)
}

/// A group of the model: its users, its groups, the label up to which it clears.
type Node = (BTreeSet<usize>, BTreeSet<usize>, Option<usize>);

/// The directory as a graph in memory, walked without any cleverness.
#[derive(Debug, Default)]
struct Model {
    groups: BTreeMap<usize, Node>,
    labels: Vec<usize>,
}

impl Model {
    /// Whether somebody in `inner` is in `outer`.
    fn is_inside(&self, inner: usize, outer: usize) -> bool {
        inner == outer
            || self.groups.get(&outer).is_some_and(|(_, inside, _)| inside.iter().any(|at| self.is_inside(inner, *at)))
    }

    /// Makes the edit if it may be made; whether it was.
    fn apply(&mut self, edit: &Edit) -> bool {
        match edit {
            Edit::Put { group, users, groups, clearance } => {
                let is_there = |at: &usize| at == group || self.groups.contains_key(at);
                let makes_cycle = groups.iter().any(|inner| self.is_inside(*group, *inner));
                let knows_label = clearance.is_none_or(|label| self.labels.contains(&label));
                if makes_cycle || !groups.iter().all(is_there) || !knows_label {
                    return false;
                }
                let said = (users.iter().copied().collect(), groups.iter().copied().collect(), *clearance);
                self.groups.insert(*group, said);
                true
            }
            Edit::Delete(group) => {
                let is_member = self.groups.values().any(|(_, inside, _)| inside.contains(group));
                !is_member && self.groups.remove(group).is_some()
            }
            Edit::Labels(labels) => {
                self.labels.clone_from(labels);
                true
            }
        }
    }

    fn answer(&self, asked: &Asked) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let holds = |user: usize, outer: usize| {
            let mut inside = self.groups.keys().filter(|inner| self.is_inside(**inner, outer));
            inside.any(|inner| self.groups[inner].0.contains(&user))
        };
        let by_user = self.groups.keys().copied().filter(|outer| asked.user.is_some_and(|user| holds(user, *outer)));
        let by_group = self.groups.keys().copied().filter(|at| asked.groups.iter().any(|of| self.is_inside(*of, *at)));
        let all: BTreeSet<usize> = by_user.chain(by_group).chain(asked.groups.iter().copied()).collect();
        let clearances = all.iter().filter_map(|at| self.groups.get(at)?.2).chain(asked.clearance);
        let place = |label: usize| self.labels.iter().position(|known| *known == label);
        let cleared = match clearances.filter_map(place).max() {
            Some(highest) => self.labels[..=highest].iter().copied().collect(),
            None => BTreeSet::new(),
        };
        (all, cleared)
    }
}

async fn make(home: &Home, edit: &Edit) -> bool {
    let scope = admin("acme");
    let name = |number: &usize| format!("g{number}");
    match edit {
        Edit::Put { group: at, users, groups, clearance } => {
            let users = users.iter().map(|number| Member::User(user(&format!("u{number}"))));
            let groups = groups.iter().map(|number| Member::Group(group(&name(number))));
            let clearance = clearance.map(|number| label(&format!("l{number}")));
            let said = Group { clearance, ..users.chain(groups).collect() };
            home.catalog.put_group(&scope, &group(&name(at)), said, draft("group.put")).await.is_ok()
        }
        Edit::Delete(at) => delete(home, &name(at)).await.is_ok_and(|deleted| deleted),
        Edit::Labels(labels) => {
            let labels: Vec<Label> = labels.iter().map(|number| label(&format!("l{number}"))).collect();
            home.catalog.put_labels(&scope, &labels, draft("labels.put")).await.is_ok()
        }
    }
}

async fn ask(home: &Home, asked: &Asked) -> Directory {
    let name = asked.user.map(|number| user(&format!("u{number}")));
    let groups: Vec<GroupName> = asked.groups.iter().map(|number| group(&format!("g{number}"))).collect();
    let clearance = asked.clearance.map(|number| label(&format!("l{number}")));
    let concerned = Concerned { user: name.as_ref(), groups: &groups, clearance: clearance.as_ref() };
    home.catalog.directory(&tenant("acme"), concerned).await.unwrap()
}

async fn after_any_history_the_directory_answers_as_a_walk_through_the_graph_does(on: On) {
    let mut runner = TestRunner::default();
    let (mut made, mut refused) = (0, 0);
    for _ in 0..3 {
        let history = edits().new_tree(&mut runner).unwrap().current();
        let (home, mut model) = (on.home_with_tenants().await, Model::default());
        for (edit, asked) in &history {
            let expected = model.apply(edit);
            assert_eq!(make(&home, edit).await, expected, "{edit:?} on {model:?}, in {history:?}");
            made += usize::from(expected);
            refused += usize::from(!expected);
            let found = ask(&home, asked).await;
            let (groups, cleared) = model.answer(asked);
            let named = |prefix: &str, numbers: &BTreeSet<usize>| -> BTreeSet<String> {
                numbers.iter().map(|number| format!("{prefix}{number}")).collect()
            };
            let texts = |labels: &BTreeSet<Label>| labels.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            let said = format!("{asked:?} of {model:?}, in {history:?}");
            assert_eq!(
                found.groups.iter().map(ToString::to_string).collect::<BTreeSet<_>>(),
                named("g", &groups),
                "{said}"
            );
            assert_eq!(texts(&found.clearance.cleared), named("l", &cleared), "{said}");
            assert_eq!(texts(&found.clearance.known), named("l", &model.labels.iter().copied().collect()), "{said}");
        }
    }
    assert!(made > 60 && refused > 60, "{made} edits were made and {refused} refused");
}

on_both! {
    who_is_in_a_group_is_in_all_that_it_is_in_until_a_membership_ends,
    a_cycle_is_refused_and_named,
    a_group_that_does_not_exist_is_no_member,
    sixteen_groups_may_be_inside_one_another_and_not_seventeen,
    a_group_that_denies_or_is_in_another_is_not_deleted,
    two_halves_of_a_cycle_at_once_never_both_get_in,
    after_any_history_the_directory_answers_as_a_walk_through_the_graph_does,
}
