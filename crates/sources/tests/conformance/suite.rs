//! What every source promises, whatever lies behind it.

use std::collections::{BTreeMap, BTreeSet};

use catena_access::Acl;
use catena_sources::{Access, Coverage, Cursor, Event, Fetch, Item, Source, SourceError};
use futures::StreamExt;

/// A real place with a source over it, which the suite changes and looks at.
pub(crate) trait Place {
    /// Whether looks can begin at a cursor.
    const HAS_CURSOR: bool;
    /// Whether the source itself says that a document was moved.
    const TELLS_MOVES: bool;
    /// Whether documents may say who may read them.
    const SPEAKS: bool;

    fn source(&self) -> &dyn Source;
    /// Another source over the same place, as after a restart.
    fn again(&self) -> Box<dyn Source>;
    fn put(&mut self, path: &str, bytes: &[u8]);
    fn remove(&mut self, path: &str);
    fn rename(&mut self, from: &str, to: &str);
    /// Makes what was changed visible, where that is a step of its own.
    fn publish(&mut self) {}
    /// Puts names there that are none for a document, as far as the place can hold them.
    fn put_hostile_names(&mut self);
    /// From now on a look sees only a part, until it is mended.
    fn damage(&mut self);
    fn mend(&mut self);
    /// The id of the document at a path.
    fn id(&self, path: &str) -> String {
        path.to_owned()
    }
    /// What must never be shown.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}

pub(crate) const RULES: [(&str, &[&str]); 2] = [("**/open/**", &["everyone"]), ("**/open/eng/**", &["group:eng"])];

/// A look with its end, or what it broke off with.
pub(crate) struct Look {
    pub(crate) found: BTreeMap<String, Item>,
    pub(crate) gone: BTreeSet<String>,
    pub(crate) skipped: Vec<String>,
    pub(crate) coverage: Coverage,
    pub(crate) cursor: Option<Cursor>,
}

pub(crate) async fn try_look(source: &dyn Source, since: Option<Cursor>) -> Result<Look, SourceError> {
    let mut look = Look {
        found: BTreeMap::new(),
        gone: BTreeSet::new(),
        skipped: Vec::new(),
        coverage: Coverage::Everything,
        cursor: None,
    };
    let mut events = source.look(since);
    while let Some(event) = events.next().await {
        match event? {
            Event::Found(item) => {
                let twice = look.found.insert(item.id.to_string(), item);
                assert!(twice.is_none(), "a look tells of a document once: {twice:?}");
            }
            Event::Gone(id) => {
                look.gone.insert(id.to_string());
            }
            Event::Skipped { name, reason } => {
                assert!(!name.chars().any(char::is_control), "{name:?} can be shown");
                look.skipped.push(format!("{name}: {reason}"));
            }
            Event::End(ended) => {
                assert!(events.next().await.is_none(), "the end is the last event");
                look.coverage = ended.coverage;
                look.cursor = ended.cursor;
                assert!(look.coverage == Coverage::SinceCursor || look.gone.is_empty());
                return Ok(look);
            }
        }
    }
    panic!("the look ended without an end and without an error");
}

pub(crate) async fn look(source: &dyn Source) -> Look {
    try_look(source, None).await.unwrap()
}

async fn bytes(source: &dyn Source, item: &Item) -> Vec<u8> {
    match source.fetch(item, None).await.unwrap() {
        Fetch::Document { fetched, tag } => {
            assert_eq!(tag, item.tag, "the tag of what was fetched is the one that the listing showed");
            fetched.bytes
        }
        other => panic!("{}: {other:?}", item.id),
    }
}

/// Where a document may say who reads it, a listing does not; so what the rules of the place say of it is in its tag.
pub(crate) async fn other_rules_are_another_tag(source: &dyn Source, mut rule: impl FnMut(&str)) {
    let mut before: Option<Item> = None;
    let attributed = "allow = ['group:eng']\nattributes = { lang = 'en' }";
    for (text, attributes) in [("allow = ['everyone']", 0), ("allow = ['group:eng']", 0), (attributed, 1)] {
        rule(&format!("[[rule]]\npath = '**'\n{text}\n"));
        let item = look(source).await.found["a.md"].clone();
        assert_eq!(item.access, None);
        let known = before.as_ref().map(|before| before.tag.as_str());
        let found = source.fetch(&item, known).await.unwrap();
        let Fetch::Document { fetched, tag } = found else { panic!("{text} is not seen: {found:?}") };
        let who = if text.contains("everyone") { "everyone" } else { "group:eng" };
        assert_eq!(fetched.access, Access::Stated(Acl::parse(&[who], &[]).unwrap()));
        assert_eq!((fetched.attributes.len(), &tag), (attributes, &item.tag));
        assert_ne!(Some(tag.as_str()), known);
        assert_eq!(source.fetch(&item, Some(&tag)).await.unwrap(), Fetch::Unchanged);
        assert_eq!(look(source).await.found["a.md"].tag, tag);
        before = Some(item);
    }
}

fn filled<P: Place>(mut place: P) -> P {
    place.put("a.md", b"# A\n");
    place.put("deep/er/b.txt", b"b");
    place.put("deep/über (1).md", "# Über\n".as_bytes());
    place.publish();
    place
}

pub(crate) async fn a_look_finds_everything_and_a_fetch_gives_its_bytes<P: Place>(place: P) {
    let place = filled(place);
    let look = look(place.source()).await;
    let ids: Vec<&String> = look.found.keys().collect();
    let mut expected = ["a.md", "deep/er/b.txt", "deep/über (1).md"].map(|path| place.id(path));
    expected.sort();
    assert_eq!(ids, expected.iter().collect::<Vec<_>>());
    assert_eq!(look.coverage, Coverage::Everything);
    assert_eq!(look.cursor.is_some(), P::HAS_CURSOR);
    assert_eq!(bytes(place.source(), &look.found[&place.id("a.md")]).await, b"# A\n");
    assert_eq!(bytes(place.source(), &look.found[&place.id("deep/über (1).md")]).await, "# Über\n".as_bytes());
}

pub(crate) async fn a_tag_stays_while_the_bytes_stay_and_changes_with_them<P: Place>(place: P) {
    let mut place = filled(place);
    let first = look(place.source()).await;
    let second = look(place.source()).await;
    let tags = |look: &Look| look.found.iter().map(|(id, item)| (id.clone(), item.tag.clone())).collect::<Vec<_>>();
    assert_eq!(tags(&first), tags(&second));
    place.put("a.md", b"# B\n");
    place.publish();
    let third = look(place.source()).await;
    let a = place.id("a.md");
    assert_ne!(third.found[&a].tag, first.found[&a].tag, "equal length, other bytes");
    for (id, item) in first.found.iter().filter(|(id, _)| **id != a) {
        assert_eq!(third.found[id].tag, item.tag, "{id}");
    }
    assert_eq!(bytes(place.source(), &third.found[&a]).await, b"# B\n");
}

pub(crate) async fn what_was_fetched_already_is_not_sent_again<P: Place>(place: P) {
    let mut place = filled(place);
    let first = look(place.source()).await;
    let item = &first.found[&place.id("a.md")];
    let fetched = place.source().fetch(item, Some(&item.tag)).await.unwrap();
    assert_eq!(fetched, Fetch::Unchanged);
    place.put("a.md", b"# B\n");
    place.publish();
    let second = look(place.source()).await;
    let changed = place.source().fetch(&second.found[&place.id("a.md")], Some(&item.tag)).await.unwrap();
    assert!(matches!(changed, Fetch::Document { fetched, .. } if fetched.bytes == b"# B\n"));
}

pub(crate) async fn what_is_deleted_is_gone_from_the_next_look_and_the_next_fetch<P: Place>(place: P) {
    let mut place = filled(place);
    let first = look(place.source()).await;
    place.remove("a.md");
    place.publish();
    let item = &first.found[&place.id("a.md")];
    let second = look(place.source()).await;
    assert!(!second.found.contains_key(&place.id("a.md")));
    assert_eq!(second.found.len(), 2);
    assert_eq!(place.source().fetch(item, None).await.unwrap(), Fetch::Gone);
    assert_eq!(place.source().fetch(item, Some(&item.tag)).await.unwrap(), Fetch::Gone);
    if P::HAS_CURSOR {
        let since = try_look(place.source(), first.cursor).await.unwrap();
        assert_eq!((since.coverage, since.found.len()), (Coverage::SinceCursor, 0));
        assert_eq!(since.gone, BTreeSet::from([place.id("a.md")]));
    }
}

pub(crate) async fn what_is_moved_is_found_at_its_new_place_alone<P: Place>(place: P) {
    let mut place = filled(place);
    let first = look(place.source()).await;
    place.rename("a.md", "moved/c.md");
    place.publish();
    let second = look(place.source()).await;
    assert!(second.found.contains_key(&place.id("moved/c.md")) && !second.found.contains_key(&place.id("a.md")));
    if P::TELLS_MOVES {
        let since = try_look(place.source(), first.cursor).await.unwrap();
        let item = &since.found[&place.id("moved/c.md")];
        assert_eq!(item.moved_from.as_ref().map(ToString::to_string), Some(place.id("a.md")));
        assert!(since.gone.is_empty(), "what moved is not told as gone: {:?}", since.gone);
        assert_eq!(bytes(place.source(), item).await, b"# A\n");
    }
}

pub(crate) async fn a_look_since_a_cursor_tells_only_what_changed<P: Place>(place: P) {
    let mut place = filled(place);
    let first = look(place.source()).await;
    place.put("new.md", b"# New\n");
    place.put("a.md", b"# A, changed\n");
    place.publish();
    let since = try_look(place.source(), first.cursor.clone()).await.unwrap();
    let expected: BTreeSet<String> = if P::HAS_CURSOR {
        assert_eq!(since.coverage, Coverage::SinceCursor);
        ["a.md", "new.md"].map(|path| place.id(path)).into()
    } else {
        assert_eq!(since.coverage, Coverage::Everything);
        ["a.md", "new.md", "deep/er/b.txt", "deep/über (1).md"].map(|path| place.id(path)).into()
    };
    assert_eq!(since.found.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let quiet = try_look(place.source(), since.cursor.clone()).await.unwrap();
    assert_eq!(quiet.found.is_empty(), P::HAS_CURSOR, "nothing has changed since");
    // A cursor of elsewhere begins nowhere: everything is told, and said to be everything.
    let strange = try_look(place.source(), Some(Cursor("0".repeat(40) + ":0"))).await.unwrap();
    assert_eq!((strange.coverage, strange.found.len()), (Coverage::Everything, 4));
}

pub(crate) async fn a_look_that_sees_only_a_part_ends_with_an_error<P: Place>(place: P) {
    let mut place = filled(place);
    let before = look(place.source()).await;
    place.damage();
    for since in [None, before.cursor.clone()] {
        let broken = try_look(place.source(), since).await;
        let error = broken.map(|look| look.found).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    place.mend();
    let after = look(place.source()).await;
    assert_eq!(after.found.keys().collect::<Vec<_>>(), before.found.keys().collect::<Vec<_>>());
}

pub(crate) async fn who_may_read_is_stated_or_unstated_or_unreadable_and_never_guessed<P: Place>(mut place: P) {
    place.put("closed.txt", b"x");
    place.put("x/open/a.txt", b"x");
    place.put("x/open/eng/b.txt", b"x");
    place.put("x/open/says.md", b"---\ncatena: {allow: [user:bob]}\n---\n# Says\n");
    place.put("x/open/broken.md", b"---\ncatena: {allow: [bob]}\n---\n# Broken\n");
    place.publish();
    let stated = |who: &str| Access::Stated(Acl::parse(&[who], &[]).unwrap());
    let look = look(place.source()).await;
    let open = stated("everyone");
    for (path, expected) in [
        ("closed.txt", Some(Access::Unstated)),
        ("x/open/a.txt", Some(open.clone())),
        ("x/open/eng/b.txt", Some(stated("group:eng"))),
        ("x/open/says.md", Some(if P::SPEAKS { stated("user:bob") } else { open.clone() })),
        ("x/open/broken.md", (!P::SPEAKS).then_some(open.clone())),
    ] {
        let item = &look.found[&place.id(path)];
        let Fetch::Document { fetched, .. } = place.source().fetch(item, None).await.unwrap() else { panic!("{path}") };
        match expected {
            Some(expected) => assert_eq!(fetched.access, expected, "{path}"),
            None => assert!(matches!(fetched.access, Access::Unreadable { .. }), "{path}: {:?}", fetched.access),
        }
        if let Some(listed) = &item.access {
            assert_eq!(*listed, fetched.access, "{path}: a listing says nothing, or what the fetch says");
        }
    }
}

pub(crate) async fn names_that_are_none_are_skipped_and_never_become_documents<P: Place>(place: P) {
    let mut place = filled(place);
    place.put_hostile_names();
    place.publish();
    let look = look(place.source()).await;
    let mut expected = ["a.md", "deep/er/b.txt", "deep/über (1).md"].map(|path| place.id(path));
    expected.sort();
    assert_eq!(look.found.keys().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
}

pub(crate) async fn ids_and_tags_are_the_same_for_a_source_that_is_opened_again<P: Place>(place: P) {
    let place = filled(place);
    let first = look(place.source()).await;
    let again = place.again();
    let second = try_look(again.as_ref(), first.cursor.clone()).await.unwrap();
    if P::HAS_CURSOR {
        assert!(second.found.is_empty() && second.gone.is_empty(), "a cursor outlives the source");
    }
    let all = look(again.as_ref()).await;
    for (id, item) in &first.found {
        assert_eq!(all.found[id].tag, item.tag, "{id}");
    }
    // What an earlier one found can be fetched by a later one that has not looked yet.
    let item = &first.found[&place.id("a.md")];
    assert_eq!(bytes(place.again().as_ref(), item).await, b"# A\n");
}

pub(crate) async fn nothing_secret_is_shown<P: Place>(place: P) {
    let mut place = filled(place);
    let secrets = place.secrets();
    let shows = |text: String| {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret:?} is shown in {text}");
        }
    };
    shows(format!("{:?}", place.source()));
    let before = look(place.source()).await;
    shows(format!("{:?} {:?}", before.found, before.skipped));
    place.damage();
    let error = try_look(place.source(), None).await.map(|look| look.found).unwrap_err();
    shows(format!("{error} {error:?}"));
    for item in before.found.values() {
        if let Err(error) = place.source().fetch(item, None).await {
            shows(format!("{error} {error:?}"));
        }
    }
}

/// Every promise, for one place.
#[macro_export]
macro_rules! keeps_every_promise {
    ($module:ident, $make:expr, $($promise:ident),+ $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $promise() {
                    $crate::suite::$promise($make.await).await;
                }
            )+
        }
    };
    ($module:ident, $make:expr) => {
        $crate::keeps_every_promise!(
            $module,
            $make,
            a_look_finds_everything_and_a_fetch_gives_its_bytes,
            a_tag_stays_while_the_bytes_stay_and_changes_with_them,
            what_was_fetched_already_is_not_sent_again,
            what_is_deleted_is_gone_from_the_next_look_and_the_next_fetch,
            what_is_moved_is_found_at_its_new_place_alone,
            a_look_since_a_cursor_tells_only_what_changed,
            a_look_that_sees_only_a_part_ends_with_an_error,
            who_may_read_is_stated_or_unstated_or_unreadable_and_never_guessed,
            names_that_are_none_are_skipped_and_never_become_documents,
            ids_and_tags_are_the_same_for_a_source_that_is_opened_again,
            nothing_secret_is_shown,
        );
    };
}
