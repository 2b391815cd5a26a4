//! A filter, held against a second reading of its words.

use std::collections::BTreeMap;

use catena_access::attribute::Number;
use catena_access::{Attribute, Attributes, Scalar};
use proptest::prelude::*;

use super::*;
use crate::{Clause, Comparison, Test};

/// A value together with what it means, so that the second reading need not find that out.
#[derive(Debug, Clone, PartialEq)]
enum Meaning {
    Word(&'static str),
    Worth(f64),
    Flag(bool),
    Moment(i64),
    Words(Vec<&'static str>),
}

type Stated = (&'static str, Meaning);

/// Values as JSON. Several mean the same, and some mean nearly the same.
fn stated() -> impl Strategy<Value = Stated> {
    let (day, list) = (86_400_000_000, |words: &[&'static str]| Meaning::Words(words.to_vec()));
    prop::sample::select(vec![
        ("\"a\"", Meaning::Word("a")),
        ("\"b\"", Meaning::Word("b")),
        ("\"1\"", Meaning::Word("1")),
        ("\"true\"", Meaning::Word("true")),
        ("1", Meaning::Worth(1.0)),
        ("1.0", Meaning::Worth(1.0)),
        ("2", Meaning::Worth(2.0)),
        ("-0.5", Meaning::Worth(-0.5)),
        ("0", Meaning::Worth(0.0)),
        ("true", Meaning::Flag(true)),
        ("false", Meaning::Flag(false)),
        ("\"1970-01-01\"", Meaning::Moment(0)),
        ("\"1970-01-01T00:00:00Z\"", Meaning::Moment(0)),
        ("\"1970-01-02T02:00:00+02:00\"", Meaning::Moment(day)),
        ("\"1970-01-02T00:00:00.000001Z\"", Meaning::Moment(day + 1)),
        ("[]", list(&[])),
        ("[\"a\"]", list(&["a"])),
        ("[\"b\",\"a\"]", list(&["b", "a"])),
        ("[\"1970-01-01\"]", list(&["1970-01-01"])),
    ])
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["x", "y"])
}

fn source() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["mail", "wiki"])
}

/// A clause as the second reading has it: words, and values that carry their meaning.
#[derive(Debug, Clone)]
enum Words {
    All(Vec<Words>),
    Any(Vec<Words>),
    Not(Box<Words>),
    Source(Vec<&'static str>),
    There(&'static str),
    NotThere(&'static str),
    OneOf(&'static str, Vec<Stated>),
    Compared(&'static str, &'static str, Stated),
    Dated(&'static str, Option<i64>, Option<i64>),
}

fn words() -> impl Strategy<Value = Words> {
    let number = stated().prop_filter("a number", |(_, meaning)| matches!(meaning, Meaning::Worth(_)));
    let single = stated().prop_filter("not a list", |(_, meaning)| !matches!(meaning, Meaning::Words(_)));
    let sign = prop::sample::select(vec![">", ">=", "<", "<="]);
    let moment = || prop::option::of(prop::sample::select(vec![0, 1, 86_400_000_000, 86_400_000_001]));
    let leaf = prop_oneof![
        prop::collection::vec(source(), 0..3).prop_map(Words::Source),
        name().prop_map(Words::There),
        name().prop_map(Words::NotThere),
        (name(), prop::collection::vec(single, 0..3)).prop_map(|(name, values)| Words::OneOf(name, values)),
        (name(), sign, number).prop_map(|(name, sign, number)| Words::Compared(name, sign, number)),
        (name(), moment(), moment()).prop_map(|(name, from, until)| Words::Dated(name, from, until)),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Words::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Words::Any),
            inner.prop_map(|inside| Words::Not(Box::new(inside))),
        ]
    })
}

fn scalar((json, _): &Stated) -> Scalar {
    serde_json::from_str(json).unwrap()
}

/// The clause that the words stand for.
fn clause(words: &Words) -> Clause {
    let test = |name: &&str, tests: Vec<Test>| Clause::Attribute((*name).to_owned(), tests);
    match words {
        Words::All(inside) => Clause::All(inside.iter().map(clause).collect()),
        Words::Any(inside) => Clause::Any(inside.iter().map(clause).collect()),
        Words::Not(inside) => Clause::Not(Box::new(clause(inside))),
        Words::Source(sources) => Clause::Source(sources.iter().map(|source| (*source).to_owned()).collect()),
        Words::There(name) => test(name, vec![Test::Present]),
        Words::NotThere(name) => test(name, vec![Test::Missing]),
        Words::OneOf(name, values) => test(name, vec![Test::In(values.iter().map(scalar).collect())]),
        Words::Compared(name, sign, (json, _)) => {
            let comparison = match *sign {
                ">" => Comparison::Above,
                ">=" => Comparison::AtLeast,
                "<" => Comparison::Below,
                _ => Comparison::AtMost,
            };
            test(name, vec![Test::Number(comparison, serde_json::from_str::<Number>(json).unwrap())])
        }
        Words::Dated(name, from, until) => {
            let from = from.map(|at| Test::From(Timestamp(at)));
            test(name, from.into_iter().chain(until.map(|at| Test::Until(Timestamp(at)))).collect())
        }
    }
}

/// The second reading.
fn is_true(words: &Words, source: Option<&str>, attributes: &BTreeMap<&str, Stated>) -> bool {
    let meaning = |name: &str| attributes.get(name).map(|(_, meaning)| meaning.clone());
    match words {
        Words::All(inside) => !inside.iter().any(|one| !is_true(one, source, attributes)),
        Words::Any(inside) => inside.iter().map(|one| u8::from(is_true(one, source, attributes))).sum::<u8>() > 0,
        Words::Not(inside) => !is_true(inside, source, attributes),
        Words::Source(sources) => sources.iter().any(|one| Some(*one) == source),
        Words::There(name) => meaning(name).is_some(),
        Words::NotThere(name) => meaning(name).is_none(),
        Words::OneOf(name, values) => {
            let (Some(found), given) = (meaning(name), attributes.get(name).map(|(json, _)| *json)) else {
                return false;
            };
            values.iter().any(|(json, value)| match (&found, value) {
                (Meaning::Words(words), Meaning::Word(word)) => words.contains(word),
                // A date is a string like others where it is not compared as a date.
                (Meaning::Words(words), Meaning::Moment(_)) => words.iter().any(|word| format!("\"{word}\"") == *json),
                (Meaning::Moment(_), Meaning::Moment(_)) => given == Some(*json),
                (found, value) => found == value,
            })
        }
        Words::Compared(name, sign, (_, Meaning::Worth(bound))) => match (meaning(name), *sign) {
            (Some(Meaning::Worth(worth)), ">") => worth > *bound,
            (Some(Meaning::Worth(worth)), ">=") => worth >= *bound,
            (Some(Meaning::Worth(worth)), "<") => worth < *bound,
            (Some(Meaning::Worth(worth)), _) => worth <= *bound,
            _ => false,
        },
        Words::Compared(..) => unreachable!("numbers are compared with numbers"),
        Words::Dated(_, None, None) => true,
        Words::Dated(name, from, until) => match meaning(name) {
            Some(Meaning::Moment(at)) => from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until),
            _ => false,
        },
    }
}

proptest! {
    // Most clauses and documents have nothing to do with each other.
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn a_clause_means_what_its_words_say(
        words in words(),
        source in prop::option::of(source()),
        attributes in prop::collection::btree_map(name(), stated(), 0..3),
    ) {
        let given: Attributes = attributes.iter()
            .map(|(name, (json, _))| ((*name).to_owned(), serde_json::from_str::<Attribute>(json).unwrap())).collect();
        let document = LiveDocument {
            source: source.map(Arc::from), attributes: Arc::new(given), ..document(0, 1, OPEN)
        };
        let filter = Filter { clause: Some(clause(&words)), ..Filter::default() };
        let truth = is_true(&words, source, &attributes);
        prop_assert_eq!(filter.admits(&document), truth);
        prop_assert_eq!(filter.refusal(&document).is_none(), truth, "what refuses is named exactly when it does");
    }
}

#[test]
fn what_keeps_a_document_out_is_named_by_its_place() {
    let exists = |name: &str| Clause::Attribute(name.to_owned(), vec![Test::Present]);
    let filter = Filter {
        sources: vec!["wiki".to_owned()],
        attributes: BTreeMap::from([("lang".to_owned(), vec!["en".into()])]),
        clause: Some(Clause::All(vec![
            exists("lang"),
            Clause::Not(Box::new(exists("draft"))),
            Clause::All(vec![exists("lang"), Clause::Any(vec![exists("kind"), exists("year")])]),
        ])),
    };
    let document = |source: &str, attributes: &[&str]| {
        let attributes = attributes.iter().map(|name| ((*name).to_owned(), "en".into())).collect();
        LiveDocument { source: Some(source.into()), attributes: Arc::new(attributes), ..document(0, 1, OPEN) }
    };
    for (document, refusal) in [
        (document("mail", &[]), Some("source")),
        (document("wiki", &[]), Some("attributes.lang")),
        (document("wiki", &["lang", "draft"]), Some("where.all[1].not")),
        (document("wiki", &["lang"]), Some("where.all[2].all[1].any")),
        (document("wiki", &["lang", "year"]), None),
    ] {
        assert_eq!(filter.refusal(&document).as_deref(), refusal);
    }
}
