//! What is remembered of who may see what is never given to somebody else, for something else, or for too long.

use catena_access::{Clearance, OnBehalf};
use catena_domain::{GroupName, Label};
use proptest::prelude::*;

use super::*;
use crate::visible::LiveRows;
use crate::{Clause, Test};

/// Sees and counts anew, with nothing remembered.
fn anew(snapshot: &Snapshot, scope: &Scope, table: &LiveTable, wanted: (&Filter, Counted), now: Timestamp) -> Visible {
    let rows = LiveRows::of(snapshot.segments(), table);
    let any = snapshot.visible(scope, table, &Filter::default(), Counted::Live, now).snapshot;
    Visible::compute(any, snapshot.segments(), scope, (table, &rows), wanted, now)
}

fn agree(one: &Visible, other: &Visible) -> bool {
    let bits = |visible: &Visible| -> Vec<_> {
        visible.segments.iter().map(|segment| (segment.live.as_ref().clone(), segment.visible.clone())).collect()
    };
    bits(one) == bits(other)
        && (one.counted, one.counted_tokens, one.counted_rows(), one.rows())
            == (other.counted, other.counted_tokens, other.counted_rows(), other.rows())
}

const DOCUMENTS: u32 = 6;

/// Lists that open and close at moments 10, 20 and 30, for somebody, some group, everyone and nobody.
fn lists() -> Vec<(AclId, Arc<Acl>)> {
    let window = |who: &str, from: Option<i64>, until: Option<i64>| {
        let window = catena_access::Window::new(from.map(Timestamp), until.map(Timestamp)).unwrap();
        catena_access::AclEntry { who: who.parse().unwrap(), window }
    };
    let allow = |entries: Vec<catena_access::AclEntry>| Acl::of(entries, vec![], None).unwrap();
    let lists = vec![
        Acl::parse(&["everyone"], &[]).unwrap(),
        Acl::default(),
        Acl::parse(&["user:ann", "group:eng"], &["user:bob"]).unwrap(),
        allow(vec![window("user:ann", Some(10), Some(20))]),
        allow(vec![window("everyone", None, Some(30))]),
        Acl::of(vec![window("everyone", None, None)], vec![window("group:eng", Some(20), None)], None).unwrap(),
        Acl::of(vec![window("everyone", None, None)], vec![], Some(Label::new("secret").unwrap())).unwrap(),
    ];
    lists.into_iter().enumerate().map(|(id, acl)| (AclId(id as u32), Arc::new(acl))).collect()
}

/// Everybody who asks: users, members, the cleared, an administrator, and the service.
fn askers() -> Vec<Scope> {
    let acme = tenant("acme");
    let credential = Credential {
        key: KeyId::new("k1").unwrap(),
        name: "test".into(),
        tenant: Some(acme.clone()),
        rights: Rights::of(&[Right::Read, Right::Impersonate]),
        user: None,
        groups: vec![],
        clearance: None,
    };
    let (secret, eng) = (Label::new("secret").unwrap(), GroupName::new("eng").unwrap());
    let asker = |user: Option<&str>, groups: Vec<GroupName>, cleared: &[Label]| {
        let clearance =
            Clearance { cleared: cleared.iter().cloned().collect(), known: [secret.clone()].into_iter().collect() };
        let directory = Directory { groups, clearance };
        let user = user.map(|user| UserName::new(user).unwrap());
        let on_behalf = Some(OnBehalf { user, groups: vec![] });
        credential.enter(Entry { tenant: &acme, need: Right::Read, on_behalf, directory }).unwrap()
    };
    vec![
        asker(Some("ann"), vec![], &[]),
        asker(Some("bob"), vec![], &[]),
        asker(Some("bob"), vec![eng.clone()], &[]),
        asker(None, vec![eng], std::slice::from_ref(&secret)),
        asker(None, vec![], &[]),
        scope_of("ann", &[Right::Read, Right::Admin]),
        Scope::service(&acme),
    ]
}

fn filters() -> Vec<Filter> {
    let has = |name: &str| Clause::Attribute(name.to_owned(), vec![Test::Present]);
    let clause = |clause| Filter { clause: Some(clause), ..Filter::default() };
    vec![
        Filter::default(),
        Filter { sources: vec!["wiki".to_owned()], ..Filter::default() },
        clause(has("draft")),
        clause(Clause::Not(Box::new(has("draft")))),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Write { doc: u32, version: u32, acl: u32, stated: (bool, bool), live: bool },
    Ask { who: usize, filter: usize, counted: Counted, at: i64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..DOCUMENTS, 1..3_u32, 0..7_u32, any::<(bool, bool)>(), prop::bool::weighted(0.8))
        .prop_map(|(doc, version, acl, stated, live)| Step::Write { doc, version, acl, stated, live });
    let counted = prop::sample::select(vec![Counted::Live, Counted::Visible]);
    let at = prop::sample::select(vec![0, 9, 10, 19, 20, 29, 30]);
    let ask = (0..7_usize, 0..4_usize, counted, at).prop_map(|(who, filter, counted, at)| Step::Ask {
        who,
        filter,
        counted,
        at,
    });
    prop::collection::vec(prop_oneof![1 => write, 6 => ask], 1..60)
}

fn written(doc: u32, version: u32, acl: u32, (wiki, draft): (bool, bool), live: bool) -> LiveDocument {
    let attributes = draft.then(|| ("draft".to_owned(), true.into())).into_iter().collect();
    LiveDocument {
        live: if live { Liveness::Live } else { Liveness::Deleted },
        source: wiki.then(|| "wiki".into()),
        attributes: Arc::new(attributes),
        ..document(doc, version, acl)
    }
}

fn six_documents() -> (Fixture, Arc<Snapshot>) {
    let fixture = Fixture::new();
    let rows = |docs: std::ops::Range<u32>| -> Vec<RowInput> {
        let chunks = |doc| [row(doc, 1, 0, "a key"), row(doc, 1, 1, "a lock"), row(doc, 2, 0, "a door")];
        docs.flat_map(chunks).collect()
    };
    fixture.generation().publish(rows(0..4), Seq(1)).unwrap();
    fixture.generation().publish(rows(4..DOCUMENTS), Seq(2)).unwrap();
    let snapshot = fixture.generation().snapshot();
    (fixture, snapshot)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whoever_asks_whatever_whenever_gets_what_is_computed_anew(steps in steps()) {
        let (_fixture, snapshot) = six_documents();
        let all = (0..DOCUMENTS).map(|doc| written(doc, 1, doc, (true, false), true)).collect();
        let mut table = LiveTable::empty().with(Seq(1), all, lists());
        let (askers, filters) = (askers(), filters());
        for step in steps {
            match step {
                // All under one seq: what tells tables apart is not a number that others count.
                Step::Write { doc, version, acl, stated, live } => {
                    table = table.with(Seq(1), vec![written(doc, version, acl, stated, live)], vec![]);
                }
                Step::Ask { who, filter, counted, at } => {
                    let (scope, filter, now) = (&askers[who], &filters[filter], Timestamp(at));
                    let given = snapshot.visible(scope, &table, filter, counted, now);
                    let again = snapshot.visible(scope, &table, filter, counted, now);
                    let fresh = anew(&snapshot, scope, &table, (filter, counted), now);
                    prop_assert!(agree(&given, &fresh), "{given:?} is not {fresh:?}");
                    prop_assert!(Arc::ptr_eq(&given, &again), "what holds is remembered");
                }
            }
        }
    }
}

#[test]
fn a_stale_set_reaches_nobody() {
    let (_fixture, snapshot) = six_documents();
    let table = LiveTable::empty().with(Seq(1), vec![document(0, 1, 2), document(1, 1, 3)], lists());
    let askers = askers();
    let (ann, bob, member) = (&askers[0], &askers[1], &askers[2]);
    let rows = |scope: &Scope, table: &LiveTable, filter: &Filter, at: i64| {
        snapshot.visible(scope, table, filter, Counted::Live, Timestamp(at)).rows()
    };
    let everything = Filter::default();
    // Whoever else asks, asks right after somebody whose answer has just been remembered.
    let after_ann = |scope: &Scope, filter: &Filter, at: i64| {
        assert_eq!(rows(ann, &table, &everything, 19), 4, "both documents, while the window is open");
        rows(scope, &table, filter, at)
    };
    assert_eq!(after_ann(ann, &everything, 20), 2, "the window's end");
    assert_eq!(after_ann(ann, &everything, 9), 2, "a clock that was turned back to before the window");
    assert_eq!(after_ann(bob, &everything, 19), 0, "another principal");
    assert_eq!(after_ann(member, &everything, 19), 0, "one more, denied by name");
    assert_eq!(after_ann(ann, &filters()[2], 19), 0, "another filter");
    assert_eq!(after_ann(&Scope::service(&tenant("globex")), &everything, 19), 0, "another tenant");
    let revoked = table.with(Seq(1), vec![document(0, 1, 1)], vec![]);
    assert_eq!(rows(ann, &revoked, &everything, 19), 2, "a revocation");
    assert_eq!(rows(ann, &table, &everything, 19), 4, "who still holds the earlier table is told by it");
    assert_eq!(rows(ann, &revoked, &everything, 19), 2, "and leaves nothing behind");
}

#[test]
fn what_is_remembered_has_a_bound_and_what_is_asked_for_stays() {
    let (_fixture, snapshot) = six_documents();
    let table = all_open(1, &[(0, 1), (1, 1)]);
    let ask = |filter: &Filter| snapshot.visible(&ann(), &table, filter, Counted::Live, NOW);
    let kept = ask(&Filter::default());
    for at in 0..3_000 {
        ask(&Filter { sources: vec![format!("{at:04}{}", "x".repeat(8_000))], ..Filter::default() });
        assert!(Arc::ptr_eq(&kept, &ask(&Filter::default())), "what is asked for again and again was forgotten");
        assert!(snapshot.seen_bytes() <= 8 * 1024 * 1024);
    }
    assert!(snapshot.seen_bytes() > 7 * 1024 * 1024, "the room is used");
    let _ = snapshot.visible(&ann(), &all_open(2, &[(0, 1)]), &Filter::default(), Counted::Live, NOW);
    assert!(snapshot.seen_bytes() < 10_000, "a write forgets it all");
}

#[test]
fn strict_counting_keeps_what_is_hidden_out_of_the_scores() {
    let (_fixture, snapshot) = six_documents();
    // The last three have a version without the word.
    let open = |doc: u32| document(doc, if doc < 3 { 1 } else { 2 }, OPEN);
    let closed = |doc: u32| LiveDocument { acl: AclId(CLOSED), ..open(doc) };
    let score = |documents: Vec<LiveDocument>, counted| {
        let visible = snapshot.visible(&ann(), &live(1, documents), &Filter::default(), counted, NOW);
        let hits = snapshot.lexical(&LexicalQuery::parse("key"), &visible, 10).unwrap();
        keyed(&snapshot, &hits)[0].1
    };
    let with_hidden = || (0..2).map(open).chain((2..DOCUMENTS).map(closed)).collect();
    let alone = score((0..2).map(open).collect(), Counted::Live);
    assert_eq!(score(with_hidden(), Counted::Visible), alone, "the hidden are as good as not there");
    assert_eq!(score(with_hidden(), Counted::Live), score((0..DOCUMENTS).map(open).collect(), Counted::Live));
    assert_ne!(score(with_hidden(), Counted::Live), alone);
}
