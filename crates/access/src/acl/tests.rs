//! What an access list says, to whom and when: the properties that every list has.

use super::*;
use crate::principal::{Clearance, Principal};
use catena_domain::Timestamp;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(0);
/// The labels of the tenant, the lowest first. `unheard-of` is none of them.
const ORDER: [&str; 3] = ["internal", "confidential", "secret"];
/// Times are few, so that bounds are met and hit.
const TIMES: std::ops::Range<i64> = 0..6;

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

/// Who is cleared for the lowest `level` labels of the tenant.
fn clearance(level: usize) -> Clearance {
    let labels = |names: &[&str]| names.iter().map(|name| label(name)).collect();
    Clearance { cleared: labels(&ORDER[..level]), known: labels(&ORDER) }
}

fn user(name: &str) -> Principal {
    Principal::new(Some(UserName::new(name).unwrap()), [])
}

fn member(name: &str, group: &str) -> Principal {
    Principal::new(Some(UserName::new(name).unwrap()), [GroupName::new(group).unwrap()])
}

fn administrator() -> Principal {
    Principal { administrator: true, clearance: clearance(0), ..Principal::default() }
}

fn acl(allow: &[&str], deny: &[&str]) -> Acl {
    Acl::parse(allow, deny).unwrap()
}

fn labelled(allow: &[&str], name: &str) -> Acl {
    let allow = allow.iter().map(|entry| entry.parse::<Who>().unwrap().into()).collect();
    Acl::of(allow, vec![], Some(label(name))).unwrap()
}

fn entry(who: &str, from: Option<i64>, until: Option<i64>) -> AclEntry {
    let window = Window::new(from.map(Timestamp), until.map(Timestamp)).unwrap();
    AclEntry { who: who.parse().unwrap(), window }
}

fn admits(acl: &Acl, principal: &Principal) -> bool {
    acl.decide(principal, NOW).is_admitted()
}

#[test]
fn an_empty_acl_admits_nobody_but_administrators() {
    let empty = Acl::default();
    assert_eq!(empty.decide(&user("ann"), NOW), Decision::Refused(Reason::NotAllowed));
    assert!(admits(&empty, &administrator()));
    assert!(!admits(&acl(&["everyone"], &["everyone"]), &administrator()));
}

#[test]
fn deny_wins_over_every_way_of_being_allowed() {
    let list = acl(&["everyone", "user:ann", "group:eng"], &["group:contractors"]);
    assert!(admits(&list, &member("ann", "eng")));
    let groups = ["eng", "contractors"].map(|name| GroupName::new(name).unwrap());
    let contractor = Principal::new(Some(UserName::new("ann").unwrap()), groups);
    let denied = entry("group:contractors", None, None);
    assert_eq!(list.decide(&contractor, NOW), Decision::Refused(Reason::Denied(denied)));
}

#[test]
fn nobody_is_admitted_to_nothing() {
    let nobody = Principal { nobody: true, ..administrator() };
    for list in [acl(&["everyone"], &[]), Acl::unknown("403")] {
        assert_eq!(list.decide(&nobody, NOW), Decision::Refused(Reason::Nobody));
    }
}

#[test]
fn a_user_is_not_a_group_of_the_same_name() {
    assert!(!admits(&acl(&["group:ann"], &[]), &user("ann")));
    assert!(admits(&acl(&["user:ann"], &[]), &user("ann")));
}

#[test]
fn an_entry_of_no_known_form_is_refused_with_the_known_ones() {
    let error = Acl::parse(&["role:admin"], &[]).unwrap_err();
    assert!(error.to_string().contains("everyone, user:NAME or group:NAME"), "{error}");
}

#[test]
fn an_entry_holds_from_its_first_moment_until_just_before_its_last() {
    let list = Acl::of(vec![entry("everyone", Some(10), Some(20))], vec![], None).unwrap();
    let admitted = |at| list.decide(&user("ann"), Timestamp(at)).is_admitted();
    assert_eq!([9, 10, 19, 20].map(admitted), [false, true, true, false]);
    let denied = Acl::of(vec![entry("everyone", None, None)], vec![entry("user:ann", Some(10), Some(20))], None);
    let admitted = |at| denied.as_ref().unwrap().decide(&user("ann"), Timestamp(at)).is_admitted();
    assert_eq!([9, 10, 19, 20].map(admitted), [true, false, false, true]);
}

#[test]
fn a_window_that_is_empty_or_no_time_is_refused() {
    let window = |from, until| Window::parse(from, until).map_err(|error| error.to_string());
    let (first, then) = (Some("2026-01-01T00:00:00Z"), Some("2026-01-01T01:00:00+02:00"));
    assert!(window(first, first).unwrap_err().contains("from must be before until"));
    assert!(window(first, then).unwrap_err().contains("2025-12-31T23:00:00Z"), "bounds are compared as moments");
    assert!(window(then, first).is_ok());
    assert!(window(None, Some("tomorrow")).unwrap_err().contains("\"tomorrow\" as until"));
}

#[test]
fn a_label_asks_for_a_clearance_besides_the_lists() {
    let list = labelled(&["user:ann"], "confidential");
    let cleared = |level| Principal { clearance: clearance(level), ..user("ann") };
    let reason = Reason::NotCleared(label("confidential"));
    assert_eq!(list.decide(&cleared(1), NOW), Decision::Refused(reason));
    assert!(admits(&list, &cleared(2)) && admits(&list, &cleared(3)));
    assert!(!admits(&list, &Principal { clearance: clearance(3), ..user("bob") }), "a clearance admits nobody");
    assert!(admits(&list, &administrator()), "administrators are cleared for whatever the tenant knows");
}

#[test]
fn what_is_unknown_is_shown_to_nobody() {
    let everyone = Principal { clearance: clearance(3), ..administrator() };
    let unheard = labelled(&["everyone"], "unheard-of");
    assert_eq!(unheard.decide(&everyone, NOW), Decision::Unknown(Why::Label(label("unheard-of"))));
    let tricked = Clearance { cleared: [label("unheard-of")].into(), ..clearance(3) };
    assert!(!admits(&unheard, &Principal { clearance: tricked, ..administrator() }), "cleared, but for no label");
    let unread = Acl::unknown("listing permissions failed with 403");
    let Decision::Unknown(why) = unread.decide(&everyone, NOW) else { panic!("it was decided") };
    assert_eq!(unread.unknown_to(&everyone.clearance.known), Some(why.clone()));
    assert!(why.to_string().contains("failed with 403"), "{why}");
    assert_eq!(unheard.unknown_to(&[label("unheard-of")].into()), None);
}

#[test]
fn the_reason_of_an_unknown_acl_is_one_bounded_line_whatever_was_given() {
    let reason = |text: &str| match Acl::unknown(text) {
        Acl::Unknown(reason) => reason.as_str().to_owned(),
        Acl::Lists(_) => unreachable!(),
    };
    assert_eq!(reason(" HTTP 403\r\nForbidden\0 "), "HTTP 403  Forbidden");
    assert_eq!(reason("\n"), "no reason was given");
    let long = reason(&"ä".repeat(limits::ACL_UNKNOWN_BYTES_MAX));
    assert_eq!(long.len(), limits::ACL_UNKNOWN_BYTES_MAX);
}

#[test]
fn the_recorded_rule_says_which_entry_admitted_when_and_for_which_label() {
    let window = Window::parse(Some("2026-01-01T00:00:00Z"), Some("2026-02-01T12:00:00.5Z")).unwrap();
    let eve = AclEntry { who: "user:eve".parse().unwrap(), window };
    let list = Acl::of(vec![eve], vec![], Some(label("confidential"))).unwrap();
    let rule = |principal: &Principal| match list.decide(principal, window.from().unwrap()) {
        Decision::Admitted(rule) => rule.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(
        rule(&Principal { clearance: clearance(2), ..user("eve") }),
        "allow user:eve from 2026-01-01T00:00:00Z until 2026-02-01T12:00:00.500Z, cleared for confidential"
    );
    assert_eq!(rule(&administrator()), "tenant administrator, cleared for confidential");
    let Decision::Admitted(plain) = acl(&["group:eng"], &[]).decide(&member("ann", "eng"), NOW) else { panic!() };
    assert_eq!(plain.to_string(), "allow group:eng");
}

fn who() -> impl Strategy<Value = Who> {
    "(everyone|user:[ab]|group:[ab])".prop_map(|text| text.parse().unwrap())
}

fn windows() -> impl Strategy<Value = Window> {
    let bound = || prop::option::of(TIMES.prop_map(Timestamp));
    (bound(), bound()).prop_map(|(one, other)| {
        let swapped = || Window::new(other, one).unwrap_or(Window::ALWAYS);
        Window::new(one, other).unwrap_or_else(|_| swapped())
    })
}

fn side(entries_max: usize) -> impl Strategy<Value = Vec<AclEntry>> {
    prop::collection::vec((who(), windows()).prop_map(|(who, window)| AclEntry { who, window }), 0..=entries_max)
}

fn labels() -> impl Strategy<Value = Option<Label>> {
    prop_oneof![3 => Just(None), 3 => "(internal|confidential|secret)".prop_map(|name| Some(label(&name))),
        1 => Just(Some(label("unheard-of")))]
}

fn acls() -> impl Strategy<Value = Acl> {
    prop_oneof![
        9 => (side(4), side(2), labels()).prop_map(|(allow, deny, label)| Acl::of(allow, deny, label).unwrap()),
        1 => Just(Acl::unknown("403")),
    ]
}

fn principals() -> impl Strategy<Value = Principal> {
    let groups = prop::collection::btree_set("[abc]".prop_map(|name| GroupName::new(&name).unwrap()), 0..3);
    let user = prop::option::of("[abc]".prop_map(|name| UserName::new(&name).unwrap()));
    let powers = (prop::bool::weighted(0.2), prop::bool::weighted(0.1));
    (user, groups, 0..=ORDER.len(), powers).prop_map(|(user, groups, level, (administrator, nobody))| Principal {
        user,
        groups,
        clearance: clearance(level),
        administrator,
        nobody,
    })
}

fn now() -> impl Strategy<Value = Timestamp> {
    (TIMES.start - 1..TIMES.end + 1).prop_map(Timestamp)
}

/// The part of `window` that also lies in `within`, if there is any.
fn narrowed(window: Window, within: Window) -> Option<Window> {
    let from = window.from().max(within.from());
    let until = [window.until(), within.until()].into_iter().flatten().min();
    Window::new(from, until).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn adding_a_deny_never_enlarges(
        allow in side(4), deny in side(2), label in labels(), more in side(1), principal in principals(), now in now(),
    ) {
        let before = Acl::of(allow.clone(), deny.clone(), label.clone()).unwrap();
        let after = Acl::of(allow, [deny, more].concat(), label).unwrap();
        prop_assert!(before.decide(&principal, now).is_admitted() || !after.decide(&principal, now).is_admitted());
    }

    /// Where no deny names a group: leaving a group that is denied does enlarge, and the page on groups says so.
    #[test]
    fn removing_a_group_never_enlarges(
        allow in side(4), label in labels(), principal in principals(), now in now(), gone in "[abc]",
    ) {
        let acl = Acl::of(allow, vec![], label).unwrap();
        let mut fewer = principal.clone();
        fewer.groups.remove(&GroupName::new(&gone).unwrap());
        prop_assert!(acl.decide(&principal, now).is_admitted() || !acl.decide(&fewer, now).is_admitted());
    }

    /// Narrowing who is allowed, and widening who is denied.
    #[test]
    fn narrowing_a_window_never_enlarges(
        acl in (side(4), side(2)), label in labels(), which in any::<prop::sample::Index>(), within in windows(),
        principal in principals(), now in now(),
    ) {
        let (allow, deny) = acl;
        let before = Acl::of(allow.clone(), deny.clone(), label.clone()).unwrap();
        let mut less = allow.clone();
        if !less.is_empty() {
            let at = which.index(less.len());
            match narrowed(less[at].window, within) {
                Some(window) => less[at].window = window,
                None => drop(less.remove(at)),
            }
        }
        let after = Acl::of(less, deny.clone(), label.clone()).unwrap();
        prop_assert!(before.decide(&principal, now).is_admitted() || !after.decide(&principal, now).is_admitted());

        let mut part = deny.clone();
        part.retain_mut(|entry| narrowed(entry.window, within).map(|window| entry.window = window).is_some());
        let wider = Acl::of(allow, part, label).unwrap();
        prop_assert!(wider.decide(&principal, now).is_admitted() || !before.decide(&principal, now).is_admitted());
    }

    #[test]
    fn raising_a_label_never_enlarges(
        allow in side(4), deny in side(2), low in 0..=ORDER.len(), more in 0..=ORDER.len(),
        principal in principals(), now in now(),
    ) {
        let of = |level: usize| level.checked_sub(1).map(|at| label(ORDER[at.min(ORDER.len() - 1)]));
        let before = Acl::of(allow.clone(), deny.clone(), of(low)).unwrap();
        let after = Acl::of(allow, deny, of(low + more)).unwrap();
        prop_assert!(before.decide(&principal, now).is_admitted() || !after.decide(&principal, now).is_admitted());
    }

    #[test]
    fn removing_a_clearance_or_a_label_of_the_tenant_never_enlarges(
        acl in acls(), principal in principals(), gone in 0..ORDER.len(), now in now(),
    ) {
        let mut uncleared = principal.clone();
        uncleared.clearance.cleared.remove(&label(ORDER[gone]));
        let mut unheard = principal.clone();
        unheard.clearance.known.remove(&label(ORDER[gone]));
        let before = acl.decide(&principal, now).is_admitted();
        prop_assert!(before || !acl.decide(&uncleared, now).is_admitted());
        prop_assert!(before || !acl.decide(&unheard, now).is_admitted());
    }

    #[test]
    fn a_group_that_nobody_is_in_admits_nobody(
        windows in prop::collection::vec(windows(), 0..3), label in labels(), principal in principals(), now in now(),
    ) {
        let unknown: Who = "group:unknown".parse().unwrap();
        let allow = windows.into_iter().map(|window| AclEntry { who: unknown.clone(), window }).collect();
        let acl = Acl::of(allow, vec![], label).unwrap();
        prop_assert!(principal.administrator || !acl.decide(&principal, now).is_admitted());
    }

    #[test]
    fn what_is_unknown_is_visible_to_nobody_at_no_time(acl in acls(), principal in principals(), now in now()) {
        if acl.unknown_to(&principal.clearance.known).is_some() {
            prop_assert!(!acl.decide(&principal, now).is_admitted());
        }
    }

    #[test]
    fn until_the_next_change_a_decision_holds(acl in acls(), principal in principals(), now in now()) {
        let decided = acl.decide(&principal, now);
        let next = acl.next_change_after(now);
        prop_assert!(next.is_none_or(|next| next > now));
        let end = next.map_or(TIMES.end + 2, |next| next.0);
        for at in now.0..end {
            prop_assert_eq!(&acl.decide(&principal, Timestamp(at)), &decided);
        }
    }
}
