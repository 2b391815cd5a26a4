//! Attributes and filters on the wire.
//!
//! Promises: a filter that leaves this module is within every limit, and says what the request said; what cannot be meant
//! is refused with its place in the request. Does not: decide what a clause is true of.

use std::collections::BTreeMap;

use catena_access::attribute::{Number, moment};
use catena_access::{Attribute, Scalar};
use catena_domain::limits;
use catena_index::{Clause, Comparison, Filter, Test};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::wire::bounded;

/// A single value of an attribute.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(untagged, expecting = "expected a string, a number, true or false")]
pub(crate) enum ScalarBody {
    Text(String),
    Number(NumberBody),
    Flag(bool),
}

#[derive(Debug, Clone, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(transparent)]
#[schema(value_type = f64)]
pub(crate) struct NumberBody(serde_json::Number);

/// An attribute's value: a string, a number, true or false, or a list of strings.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(untagged, expecting = "an attribute is a string, a number, true or false, or a list of strings")]
pub(crate) enum AttributeBody {
    One(ScalarBody),
    Many(Vec<String>),
}

impl From<ScalarBody> for Scalar {
    fn from(body: ScalarBody) -> Self {
        match body {
            ScalarBody::Text(text) => text.into(),
            ScalarBody::Number(number) => number.0.into(),
            ScalarBody::Flag(flag) => flag.into(),
        }
    }
}

impl From<Scalar> for ScalarBody {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => Self::Text(text),
            Scalar::Number(number) => Self::Number(NumberBody(number.into())),
            Scalar::Flag(flag) => Self::Flag(flag),
        }
    }
}

impl From<AttributeBody> for Attribute {
    fn from(body: AttributeBody) -> Self {
        match body {
            AttributeBody::One(scalar) => Self::One(scalar.into()),
            AttributeBody::Many(items) => Self::Many(items),
        }
    }
}

impl From<Attribute> for AttributeBody {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::One(scalar) => Self::One(scalar.into()),
            Attribute::Many(items) => Self::Many(items),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FilterBody {
    /// Any of these sources.
    #[serde(default)]
    pub(crate) source: Vec<String>,
    /// Each of these attributes, with this value or any of these values.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, OneOrMany>,
    /// What else must be true, as one clause. A clause is one of `{"all": [clauses]}`, `{"any": [clauses]}`, `{"not": clause}`,
    /// `{"source": [names]}`, or `{"attribute": NAME}` with at least one of eq (a value), in (values), gt, gte, lt, lte
    /// (numbers), from and until (dates or times in RFC 3339; from includes, until does not), exists (true or false).
    #[serde(default, rename = "where", deserialize_with = "given")]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub(crate) clause: Option<ClauseBody>,
}

#[derive(Debug, Clone, Deserialize, ToSchema, schemars::JsonSchema)]
#[serde(untagged, expecting = "expected a value (a string, a number, true or false) or a list of values")]
pub(crate) enum OneOrMany {
    One(ScalarBody),
    Many(Vec<ScalarBody>),
}

/// One of `all`, `any`, `not`, `source`, or `attribute` with what must be true of it.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClauseBody {
    /// All of these are true.
    #[serde(default, deserialize_with = "given")]
    #[schema(no_recursion)]
    all: Option<Vec<ClauseBody>>,
    /// One of these is true at least.
    #[serde(default, deserialize_with = "given")]
    #[schema(no_recursion)]
    any: Option<Vec<ClauseBody>>,
    /// This is not true.
    #[serde(default, deserialize_with = "given")]
    #[schema(no_recursion)]
    not: Option<Box<ClauseBody>>,
    /// The document comes from one of these sources.
    #[serde(default, deserialize_with = "given")]
    source: Option<Vec<String>>,
    /// An attribute's name.
    #[serde(default, deserialize_with = "given")]
    attribute: Option<String>,
    /// It is this, or a list that has this.
    #[serde(default, deserialize_with = "given")]
    eq: Option<ScalarBody>,
    /// It is one of these, or a list that has one of these.
    #[serde(default, rename = "in", deserialize_with = "given")]
    one_of: Option<Vec<ScalarBody>>,
    /// It is a number above this one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = f64)]
    gt: Option<ScalarBody>,
    /// It is this number, or one above it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = f64)]
    gte: Option<ScalarBody>,
    /// It is a number below this one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = f64)]
    lt: Option<ScalarBody>,
    /// It is this number, or one below it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = f64)]
    lte: Option<ScalarBody>,
    /// It is this date or time, or a later one.
    #[serde(default, deserialize_with = "given")]
    from: Option<String>,
    /// It is a date or time before this one.
    #[serde(default, deserialize_with = "given")]
    until: Option<String>,
    /// Whether it is there.
    #[serde(default, deserialize_with = "given")]
    exists: Option<bool>,
}

/// A field that is there has a value: null is a mistake, not the same as nothing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl FilterBody {
    pub(crate) fn parse(self) -> Result<Filter, Problem> {
        let mut reader = Reader::default();
        if self.attributes.len() > limits::ATTRIBUTES_MAX {
            let (given, most) = (self.attributes.len(), limits::ATTRIBUTES_MAX);
            return Err(Problem::invalid(format!("`filter.attributes` has {given} names; the limit is {most}.")));
        }
        let sources = reader.texts(self.source, "filter.source")?;
        let mut attributes = BTreeMap::new();
        for (name, values) in self.attributes {
            bounded("filter.attributes", &name)?;
            let values = match values {
                OneOrMany::One(value) => vec![value],
                OneOrMany::Many(values) => values,
            };
            let values = reader.values(values, &format!("filter.attributes.{name}"))?;
            attributes.insert(name, values);
        }
        let clause = self.clause.map(|clause| reader.clause(clause, "filter.where")).transpose()?;
        Ok(Filter { sources, attributes, clause })
    }
}

/// Reads clauses, and counts what it has read.
#[derive(Default)]
struct Reader {
    depth: usize,
    clauses: usize,
    values: usize,
}

impl Reader {
    /// The clause at `path`.
    fn clause(&mut self, body: ClauseBody, path: &str) -> Result<Clause, Problem> {
        self.clauses += 1;
        if self.clauses > limits::FILTER_CLAUSES_MAX {
            let most = limits::FILTER_CLAUSES_MAX;
            return Err(Problem::invalid(format!(
                "The filter has more than {most} clauses; `{path}` is one too many."
            )));
        }
        if self.depth == limits::FILTER_DEPTH_MAX {
            let most = limits::FILTER_DEPTH_MAX;
            return Err(Problem::invalid(format!("`{path}` lies deeper than {most} clauses inside one another.")));
        }
        self.depth += 1;
        let clause = self.clause_of(body, path);
        self.depth -= 1;
        clause
    }

    fn clause_of(&mut self, mut body: ClauseBody, path: &str) -> Result<Clause, Problem> {
        let parts = (body.all.take(), body.any.take(), body.not.take(), body.source.take(), body.attribute.take());
        let clause = match parts {
            (Some(all), None, None, None, None) => Clause::All(self.clauses(all, &format!("{path}.all"))?),
            (None, Some(any), None, None, None) => Clause::Any(self.clauses(any, &format!("{path}.any"))?),
            (None, None, Some(not), None, None) => Clause::Not(Box::new(self.clause(*not, &format!("{path}.not"))?)),
            (None, None, None, Some(sources), None) => Clause::Source(self.texts(sources, &format!("{path}.source"))?),
            (None, None, None, None, Some(name)) => {
                bounded(path, &name)?;
                return self.attribute(name, body, path);
            }
            _ => {
                let one = "must have exactly one of `all`, `any`, `not`, `source` and `attribute`";
                return Err(Problem::invalid(format!("`{path}` {one}.")));
            }
        };
        if body.has_tests() {
            let text = format!("`{path}` compares something; say with `attribute` what, in a clause of its own.");
            return Err(Problem::invalid(text));
        }
        Ok(clause)
    }

    fn clauses(&mut self, bodies: Vec<ClauseBody>, path: &str) -> Result<Vec<Clause>, Problem> {
        bodies.into_iter().enumerate().map(|(at, body)| self.clause(body, &format!("{path}[{at}]"))).collect()
    }

    fn attribute(&mut self, name: String, body: ClauseBody, path: &str) -> Result<Clause, Problem> {
        let mut tests = Vec::new();
        if let Some(exists) = body.exists {
            tests.push(if exists { Test::Present } else { Test::Missing });
        }
        if let Some(value) = body.eq {
            tests.push(Test::In(self.values(vec![value], &format!("{path}.eq"))?));
        }
        if let Some(values) = body.one_of {
            tests.push(Test::In(self.values(values, &format!("{path}.in"))?));
        }
        for (field, comparison, bound) in [
            ("gt", Comparison::Above, body.gt),
            ("gte", Comparison::AtLeast, body.gte),
            ("lt", Comparison::Below, body.lt),
            ("lte", Comparison::AtMost, body.lte),
        ] {
            if let Some(bound) = bound {
                tests.push(Test::Number(comparison, number(bound, &format!("{path}.{field}"))?));
            }
        }
        if let Some(from) = body.from {
            tests.push(Test::From(date(&from, &format!("{path}.from"))?));
        }
        if let Some(until) = body.until {
            tests.push(Test::Until(date(&until, &format!("{path}.until"))?));
        }
        if tests.is_empty() {
            let some = "say what must be true of the attribute: `eq`, `in`, `gt`, `gte`, `lt`, `lte`, `from`, `until` or `exists`";
            return Err(Problem::invalid(format!("In `{path}`, {some}.")));
        }
        Ok(Clause::Attribute(name, tests))
    }

    fn values(&mut self, bodies: Vec<ScalarBody>, path: &str) -> Result<Vec<Scalar>, Problem> {
        self.count(bodies.len(), path)?;
        let value = |body: ScalarBody| {
            if let ScalarBody::Text(text) = &body {
                bounded(path, text)?;
            }
            Ok(body.into())
        };
        bodies.into_iter().map(value).collect()
    }

    fn texts(&mut self, texts: Vec<String>, path: &str) -> Result<Vec<String>, Problem> {
        self.count(texts.len(), path)?;
        texts.iter().try_for_each(|text| bounded(path, text))?;
        Ok(texts)
    }

    fn count(&mut self, more: usize, path: &str) -> Result<(), Problem> {
        self.values += more;
        let most = limits::FILTER_VALUES_MAX;
        if self.values > most {
            return Err(Problem::invalid(format!("The filter has more than {most} values, up to `{path}`.")));
        }
        Ok(())
    }
}

impl ClauseBody {
    fn has_tests(&self) -> bool {
        let numbers = [&self.eq, &self.gt, &self.gte, &self.lt, &self.lte];
        numbers.iter().any(|bound| bound.is_some())
            || self.one_of.is_some()
            || self.from.is_some()
            || self.until.is_some()
            || self.exists.is_some()
    }
}

fn number(body: ScalarBody, path: &str) -> Result<Number, Problem> {
    match body {
        ScalarBody::Number(number) => Ok(number.0.into()),
        ScalarBody::Text(_) => {
            let way = "Write a number; for dates and times there are `from` and `until`";
            Err(Problem::invalid(format!("`{path}` is a string, and compares numbers. {way}.")))
        }
        ScalarBody::Flag(_) => {
            Err(Problem::invalid(format!("`{path}` is no number; to compare true or false, use `eq`.")))
        }
    }
}

fn date(text: &str, path: &str) -> Result<catena_domain::Timestamp, Problem> {
    moment(text).ok_or_else(|| {
        let form = "write it like 2026-05-04 (midnight, UTC) or 2026-05-04T10:00:00Z";
        Problem::invalid(format!("`{path}` is neither a date nor a time; {form}."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(filter: Value) -> Result<Filter, String> {
        let body: FilterBody = serde_json::from_value(filter).map_err(|error| error.to_string())?;
        body.parse().map_err(|problem| problem.detail)
    }

    #[test]
    fn a_filter_says_what_the_request_said() {
        let filter = parsed(json!({
            "source": ["wiki"], "attributes": {"lang": ["en", "de"], "year": 2024, "draft": false},
            "where": {"all": [
                {"attribute": "year", "gte": 2020, "lt": 2025.5},
                {"any": [{"attribute": "kind", "in": ["howto", 3]}, {"not": {"attribute": "draft", "exists": true}}]},
                {"attribute": "reviewed", "from": "2026-01-01", "until": "2026-07-01T00:00:00+02:00"},
                {"source": ["wiki", "mail"]},
            ]},
        }))
        .unwrap();
        assert_eq!(filter.sources, ["wiki"]);
        assert_eq!(filter.attributes["lang"], ["en".into(), "de".into()]);
        assert_eq!(filter.attributes["year"], [2024.into()]);
        let number = |text: &str| serde_json::from_str(text).unwrap();
        let attribute = |name: &str, tests| Clause::Attribute(name.to_owned(), tests);
        let day = |text: &str| moment(text).unwrap();
        assert_eq!(
            filter.clause.unwrap(),
            Clause::All(vec![
                attribute(
                    "year",
                    vec![
                        Test::Number(Comparison::AtLeast, number("2020")),
                        Test::Number(Comparison::Below, number("2025.5"))
                    ]
                ),
                Clause::Any(vec![
                    attribute("kind", vec![Test::In(vec!["howto".into(), 3.into()])]),
                    Clause::Not(Box::new(attribute("draft", vec![Test::Present]))),
                ]),
                attribute("reviewed", vec![Test::From(day("2026-01-01")), Test::Until(day("2026-06-30T22:00:00Z"))]),
                Clause::Source(vec!["wiki".to_owned(), "mail".to_owned()]),
            ])
        );
        assert_eq!(parsed(json!({})).unwrap(), Filter::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let deep = (0..8).fold(json!({"attribute": "a", "eq": 1}), |inside, _| json!({"not": inside}));
        let wide: Vec<Value> = (0..64).map(|_| json!({"attribute": "a", "eq": 1})).collect();
        let values: Vec<String> = (0..600).map(|at| at.to_string()).collect();
        for (filter, words) in [
            (json!({"where": {}}), "exactly one of"),
            (json!({"where": {"all": [], "any": []}}), "exactly one of"),
            (json!({"where": {"all": [{"all": [{"attribute": "a"}]}]}}), "filter.where.all[0].all[0]"),
            (json!({"where": {"all": [], "gte": 1}}), "`filter.where` compares something"),
            (json!({"where": {"attribute": "a", "gte": "2020-01-01"}}), "`from` and `until`"),
            (json!({"where": {"attribute": "a", "gte": true}}), "`filter.where.gte` is no number"),
            (json!({"where": {"attribute": "a", "from": "soon"}}), "`filter.where.from` is neither a date nor a time"),
            (json!({"where": {"attribute": "a", "from": null}}), "null"),
            (json!({"where": {"attribute": "a", "eq": ["x"]}}), "a string, a number, true or false"),
            (json!({"where": {"attribute": "a", "near": 1}}), "near"),
            (json!({"where": null}), "null"),
            (json!({"attributes": {"a": {"b": 1}}}), "a list of values"),
            (json!({"attributes": {"a": null}}), "a list of values"),
            (json!({"where": deep}), "deeper than 8"),
            (json!({"where": {"all": wide}}), "more than 64 clauses"),
            (json!({"source": values, "attributes": {"a": values}}), "more than 1024 values"),
            (json!({"source": ["x".repeat(1025)]}), "1025 bytes"),
            (json!({"where": {"attribute": "x".repeat(1025), "eq": 1}}), "1025 bytes"),
        ] {
            let refusal = parsed(filter.clone()).unwrap_err();
            assert!(refusal.contains(words), "{filter}: {refusal}");
        }
    }
}
