//! What is said of a document beside its text: names with values, for filters.
//!
//! Promises: a value is kept and shown as it was given, a number as the same number; values of different kinds are never
//! equal, and numbers are compared by what they are worth. Does not: give a name a kind; what one document states as a number, another may
//! state as a word, and a filter then simply does not find it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use catena_domain::{Timestamp, limits};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

/// A document's attributes by name.
pub type Attributes = BTreeMap<String, Attribute>;

/// One attribute's value. Its form in the catalog is the JSON value that it was given as.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "an attribute is a string, a number, true or false, or a list of strings")]
pub enum Attribute {
    /// A single value.
    One(Scalar),
    /// A list of strings.
    Many(Vec<String>),
}

/// A single value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged, expecting = "a value is a string, a number, or true or false")]
pub enum Scalar {
    /// A string; one that is a date counts as one where dates are compared.
    Text(String),
    /// A number.
    Number(Number),
    /// True or false.
    Flag(bool),
}

/// A number. `==` asks whether it was written alike; [`Number::compare`] whether it is worth the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(serde_json::Number);

/// Why attributes were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Too many of them.
    #[error("{given} attributes were given; the limit is {}", limits::ATTRIBUTES_MAX)]
    TooMany {
        /// Attributes given.
        given: usize,
    },
    /// Too long a name.
    #[error("an attribute's name is {bytes} bytes long; the limit is {}", limits::ATTRIBUTE_BYTES_MAX)]
    LongName {
        /// Its length.
        bytes: usize,
    },
    /// Too long a value.
    #[error("the attribute {name:?} is {bytes} bytes long; the limit is {most}")]
    LongValue {
        /// The attribute.
        name: String,
        /// Its length.
        bytes: usize,
        /// The limit for its kind.
        most: usize,
    },
    /// Too long a list.
    #[error("the attribute {name:?} has {items} items; the limit is {}", limits::ATTRIBUTE_ITEMS_MAX)]
    ManyItems {
        /// The attribute.
        name: String,
        /// Items given.
        items: usize,
    },
}

/// Refuses attributes that are beyond a limit.
pub fn check(attributes: &Attributes) -> Result<(), AttributeError> {
    if attributes.len() > limits::ATTRIBUTES_MAX {
        return Err(AttributeError::TooMany { given: attributes.len() });
    }
    for (name, value) in attributes {
        if name.len() > limits::ATTRIBUTE_BYTES_MAX {
            return Err(AttributeError::LongName { bytes: name.len() });
        }
        value.check(name)?;
    }
    Ok(())
}

impl Attribute {
    /// The string, if it is a single one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::One(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<&Number> {
        match self {
            Self::One(Scalar::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// The moment, if it is a single string that is a date or a time. See [`moment`].
    #[must_use]
    pub fn moment(&self) -> Option<Timestamp> {
        self.text().and_then(moment)
    }

    /// Whether it is `wanted`, or a list that holds it.
    #[must_use]
    pub fn has(&self, wanted: &Scalar) -> bool {
        match self {
            Self::One(value) => value.is_same_as(wanted),
            Self::Many(items) => matches!(wanted, Scalar::Text(text) if items.contains(text)),
        }
    }

    fn check(&self, name: &str) -> Result<(), AttributeError> {
        let (bytes, most) = match self {
            Self::One(Scalar::Text(text)) => (text.len(), limits::ATTRIBUTE_BYTES_MAX),
            Self::One(Scalar::Number(_) | Scalar::Flag(_)) => return Ok(()),
            Self::Many(items) if items.len() > limits::ATTRIBUTE_ITEMS_MAX => {
                return Err(AttributeError::ManyItems { name: name.to_owned(), items: items.len() });
            }
            Self::Many(items) => (items.iter().map(String::len).sum(), limits::ATTRIBUTE_LIST_BYTES_MAX),
        };
        if bytes > most {
            return Err(AttributeError::LongValue { name: name.to_owned(), bytes, most });
        }
        Ok(())
    }
}

impl Scalar {
    /// Whether both are of one kind and worth the same. Text is compared byte by byte.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.compare(other) == Ordering::Equal,
            (one, other) => one == other,
        }
    }
}

impl Number {
    /// Which is more. Whole numbers are compared exactly; one that is not whole, and whatever is compared with it, as the
    /// nearest number of 64 bits.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        match (self.whole(), other.whole()) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => self.real().partial_cmp(&other.real()).unwrap_or(Ordering::Equal),
        }
    }

    fn whole(&self) -> Option<i128> {
        self.0.as_i64().map(i128::from).or_else(|| self.0.as_u64().map(i128::from))
    }

    /// JSON has no number that is not finite.
    fn real(&self) -> f64 {
        self.0.as_f64().unwrap_or_default()
    }
}

/// The moment that a text states: a time in RFC 3339 with its offset, or a date, which begins at midnight UTC.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    const FORM: &[u8] = b"0000-00-00";
    let alike = |(given, form): (u8, &u8)| given == *form || given.is_ascii_digit() && *form == b'0';
    if text.len() < FORM.len() || !text.bytes().zip(FORM).all(alike) {
        return None;
    }
    if text.len() == FORM.len() {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        return Some(Timestamp(date.and_time(NaiveTime::MIN).and_utc().timestamp_micros()));
    }
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp(time.with_timezone(&Utc).timestamp_micros()))
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Scalar {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<serde_json::Number> for Scalar {
    fn from(number: serde_json::Number) -> Self {
        Self::Number(Number(number))
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        serde_json::Number::from(number).into()
    }
}

impl<T: Into<Scalar>> From<T> for Attribute {
    fn from(value: T) -> Self {
        Self::One(value.into())
    }
}

impl From<serde_json::Number> for Number {
    fn from(number: serde_json::Number) -> Self {
        Self(number)
    }
}

impl From<Number> for serde_json::Number {
    fn from(number: Number) -> Self {
        number.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_value_is_shown_as_it_was_given() {
        let given =
            r#"{"big":18446744073709551615,"date":"2026-01-31","draft":false,"half":0.5,"one":1.0,"tags":["a","b"]}"#;
        let read: Attributes = serde_json::from_str(given).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), given);
        for wrong in ["null", "{}", "[1]", "[[\"a\"]]"] {
            let error = serde_json::from_str::<Attribute>(wrong).unwrap_err().to_string();
            assert!(error.contains("a list of strings"), "{wrong}: {error}");
        }
    }

    #[test]
    fn numbers_are_compared_by_what_they_are_worth() {
        assert_eq!(number("1").compare(&number("1.0")), Ordering::Equal);
        assert_eq!(number("0").compare(&number("-0.0")), Ordering::Equal);
        assert_eq!(number("9007199254740993").compare(&number("9007199254740992")), Ordering::Greater);
        assert_eq!(number("-1").compare(&number("18446744073709551615")), Ordering::Less);
        assert!(Scalar::from(1).is_same_as(&Scalar::Number(number("1.0"))));
        assert!(!Scalar::from(1).is_same_as(&Scalar::from("1")));
        assert!(!Scalar::from(1).is_same_as(&Scalar::from(true)));
    }

    #[test]
    fn a_date_begins_at_midnight_utc_and_what_is_no_date_is_no_moment() {
        assert_eq!(moment("1970-01-02"), Some(Timestamp(86_400_000_000)));
        assert_eq!(moment("1970-01-02T02:00:00+02:00"), moment("1970-01-02"));
        assert_eq!(moment("1970-01-01T00:00:00.000001Z"), Some(Timestamp(1)));
        for other in [
            "",
            "soon",
            "1970",
            "1970-1-2",
            "1970-01-2 ",
            "1970-02-30",
            "1970-01-02T00:00:00",
            "+970-01-02",
            "11970-01-2",
        ] {
            assert_eq!(moment(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_beyond_a_limit_is_refused_by_name() {
        let of = |name: &str, value: Attribute| check(&Attributes::from([(name.to_owned(), value)]));
        let text = |bytes: usize| "x".repeat(bytes);
        assert_eq!(of("a", text(1_024).into()), Ok(()));
        assert!(matches!(of("a", text(1_025).into()), Err(AttributeError::LongValue { bytes: 1_025, .. })));
        assert!(matches!(of(&text(1_025), true.into()), Err(AttributeError::LongName { .. })));
        assert!(matches!(of("a", Attribute::Many(vec![String::new(); 65])), Err(AttributeError::ManyItems { .. })));
        assert!(matches!(of("a", Attribute::Many(vec![text(100); 64])), Err(AttributeError::LongValue { .. })));
        let many = (0..65).map(|at| (at.to_string(), true.into())).collect();
        assert_eq!(check(&many), Err(AttributeError::TooMany { given: 65 }));
    }

    proptest! {
        #[test]
        fn every_moment_of_four_digit_years_is_read_back(at in 0_i64..253_402_300_800_000_000) {
            let text = DateTime::from_timestamp_micros(at).unwrap().to_rfc3339();
            prop_assert_eq!(moment(&text), Some(Timestamp(at)));
        }
    }
}
