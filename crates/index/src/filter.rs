//! What a question is restricted to, by what documents state of themselves.
//!
//! Promises: a clause is true or false of every document and nothing else: a comparison is true when the attribute is
//! there, is of the kind that is compared, and compares so; whatever else is false. `Not` turns that around, so it is
//! also true of documents without the attribute. Does not: bound a filter (whoever takes one from outside does), or grant
//! anything; access is decided beside it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use catena_access::attribute::Number;
use catena_access::{Attribute, LiveDocument, Scalar};
use catena_domain::Timestamp;

/// What documents a query is restricted to. Empty means no restriction, beyond what the principal may see.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Any of these sources.
    pub sources: Vec<String>,
    /// Every one of these attributes, with any of its values. An attribute with no value listed admits nothing.
    pub attributes: BTreeMap<String, Vec<Scalar>>,
    /// What else must be true.
    pub clause: Option<Clause>,
}

/// Something that is true or false of a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Clause {
    /// All of these are true; so are none.
    All(Vec<Clause>),
    /// One of these is true at least; of none, none is.
    Any(Vec<Clause>),
    /// This is false.
    Not(Box<Clause>),
    /// The document comes from one of these sources.
    Source(Vec<String>),
    /// All of these are true of one attribute.
    Attribute(String, Vec<Test>),
}

/// Something that is true or false of an attribute. But for [`Test::Missing`], nothing is true of one that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Test {
    /// It is there.
    Present,
    /// It is not.
    Missing,
    /// It is one of these, or a list in which one of these is.
    In(Vec<Scalar>),
    /// It is a number, and compares so.
    Number(Comparison, Number),
    /// It is a date or a time, this one or a later one.
    From(Timestamp),
    /// It is a date or a time before this one.
    Until(Timestamp),
}

/// How a number lies to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// More.
    Above,
    /// More, or as much.
    AtLeast,
    /// Less.
    Below,
    /// Less, or as much.
    AtMost,
}

impl Filter {
    /// Whether there is no restriction.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.attributes.is_empty() && self.clause.is_none()
    }

    pub(crate) fn admits(&self, document: &LiveDocument) -> bool {
        let named = |(name, values): (&String, &Vec<Scalar>)| is_one_of(document.attributes.get(name), values);
        (self.sources.is_empty() || comes_from(document, &self.sources))
            && self.attributes.iter().all(named)
            && self.clause.as_ref().is_none_or(|clause| clause.is_true_of(document))
    }

    /// The first part that keeps the document out, as a path into the filter; `None` when the filter admits it.
    #[must_use]
    pub fn refusal(&self, document: &LiveDocument) -> Option<String> {
        if !self.sources.is_empty() && !comes_from(document, &self.sources) {
            return Some("source".to_owned());
        }
        let refusing = self.attributes.iter().find(|(name, values)| !is_one_of(document.attributes.get(*name), values));
        if let Some((name, _)) = refusing {
            return Some(format!("attributes.{name}"));
        }
        let clause = self.clause.as_ref().filter(|clause| !clause.is_true_of(document))?;
        Some(clause.culprit(document, "where".to_owned()))
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, values)| name.len() + scalars_bytes(values)).sum();
        size_of::<Self>() + texts_bytes(&self.sources) + attributes + self.clause.as_ref().map_or(0, Clause::bytes)
    }
}

impl Clause {
    fn is_true_of(&self, document: &LiveDocument) -> bool {
        match self {
            Self::All(clauses) => clauses.iter().all(|clause| clause.is_true_of(document)),
            Self::Any(clauses) => clauses.iter().any(|clause| clause.is_true_of(document)),
            Self::Not(clause) => !clause.is_true_of(document),
            Self::Source(sources) => comes_from(document, sources),
            Self::Attribute(name, tests) => {
                let value = document.attributes.get(name);
                tests.iter().all(|test| test.is_true_of(value))
            }
        }
    }

    /// The path of what makes this clause, which is at `path`, false.
    fn culprit(&self, document: &LiveDocument, path: String) -> String {
        match self {
            Self::All(clauses) => match clauses.iter().enumerate().find(|(_, clause)| !clause.is_true_of(document)) {
                Some((at, clause)) => clause.culprit(document, format!("{path}.all[{at}]")),
                None => path,
            },
            Self::Any(_) => format!("{path}.any"),
            Self::Not(_) => format!("{path}.not"),
            Self::Source(_) | Self::Attribute(..) => path,
        }
    }

    fn bytes(&self) -> usize {
        let inside = match self {
            Self::All(clauses) | Self::Any(clauses) => clauses.iter().map(Self::bytes).sum(),
            Self::Not(clause) => clause.bytes(),
            Self::Source(sources) => texts_bytes(sources),
            Self::Attribute(name, tests) => name.len() + tests.iter().map(Test::bytes).sum::<usize>(),
        };
        size_of::<Self>() + inside
    }
}

impl Test {
    fn is_true_of(&self, value: Option<&Attribute>) -> bool {
        match self {
            Self::Present => value.is_some(),
            Self::Missing => value.is_none(),
            Self::In(wanted) => is_one_of(value, wanted),
            Self::Number(comparison, bound) => {
                value.and_then(Attribute::number).is_some_and(|number| comparison.is_true_of(number.compare(bound)))
            }
            Self::From(from) => value.and_then(Attribute::moment).is_some_and(|at| at >= *from),
            Self::Until(until) => value.and_then(Attribute::moment).is_some_and(|at| at < *until),
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + if let Self::In(wanted) = self { scalars_bytes(wanted) } else { 0 }
    }
}

impl Comparison {
    fn is_true_of(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

fn comes_from(document: &LiveDocument, sources: &[String]) -> bool {
    document.source.as_deref().is_some_and(|source| sources.iter().any(|wanted| wanted == source))
}

fn is_one_of(value: Option<&Attribute>, wanted: &[Scalar]) -> bool {
    value.is_some_and(|value| wanted.iter().any(|one| value.has(one)))
}

fn texts_bytes(texts: &[String]) -> usize {
    texts.iter().map(|text| size_of::<String>() + text.len()).sum()
}

fn scalars_bytes(scalars: &[Scalar]) -> usize {
    let text = |scalar: &Scalar| if let Scalar::Text(text) = scalar { text.len() } else { 0 };
    scalars.iter().map(|scalar| size_of::<Scalar>() + text(scalar)).sum()
}
