//! JSON and lines of JSON as Markdown that a person can read: names as labels, records as sections.
//!
//! Promises: no name and no value is left out, and they keep the order that they have in the file; depth is bounded.
//! Does not: check a schema, or keep numbers in more digits than a double has.

use std::fmt;

use catena_domain::limits::JSON_DEPTH_MAX;
use catena_text::{Position, Reading};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::decode::{Stated, decode};
use crate::draft::{Draft, one_line};
use crate::error::FormatError;

/// A value whose members keep their order, whatever map the rest of the program's JSON uses.
#[derive(Debug)]
enum Json {
    Scalar(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

impl Json {
    /// Whether it fits in a line: a scalar, or nothing at all.
    fn is_short(&self) -> bool {
        match self {
            Self::Scalar(_) => true,
            Self::List(items) => items.is_empty(),
            Self::Object(members) => members.is_empty(),
        }
    }
}

struct Values;

impl<'de> Visitor<'de> for Values {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Scalar(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Scalar("null".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}

/// Reads one JSON value.
pub(crate) fn read(stated: Stated<'_>, bytes: &[u8]) -> Result<Reading, FormatError> {
    let text = decode(bytes, stated)?;
    let value = parse(&text).map_err(|why| why.told("JSON file", None))?;
    let mut draft = Draft::default();
    draft.title = own_title(&value);
    write(&mut draft, &value, "", 1);
    draft.finish()
}

/// Reads a JSON value in each line. Empty lines are passed over.
pub(crate) fn read_lines(stated: Stated<'_>, bytes: &[u8]) -> Result<Reading, FormatError> {
    let text = decode(bytes, stated)?;
    let mut draft = Draft::default();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let number = index + 1;
        let value = parse(line).map_err(|why| why.told("file of JSON lines", Some(number)))?;
        draft.place(Position::Part(format!("line {number}")));
        draft.heading(2, &own_title(&value).unwrap_or_else(|| format!("Record {number}")));
        write(&mut draft, &value, "", 3);
        if draft.is_over() {
            break;
        }
    }
    draft.finish()
}

/// Why a value cannot be read.
enum Why {
    Deep,
    NotJson { line: usize, column: usize },
}

impl Why {
    fn told(self, format: &str, at_line: Option<usize>) -> FormatError {
        match self {
            Self::Deep => FormatError::too_much("lists and objects inside one another", JSON_DEPTH_MAX),
            Self::NotJson { line, column } => {
                let line = at_line.unwrap_or(line);
                FormatError::damaged(format, format!("line {line}, column {column} is not JSON"))
            }
        }
    }
}

fn parse(text: &str) -> Result<Json, Why> {
    if depth(text) > JSON_DEPTH_MAX {
        return Err(Why::Deep);
    }
    serde_json::from_str(text.trim_start_matches('\u{FEFF}'))
        .map_err(|error| Why::NotJson { line: error.line(), column: error.column() })
}

/// How many lists and objects lie inside one another, by their brackets outside strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut is_string, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b'[' | b'{' if !is_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !is_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What an object calls itself.
fn own_title(value: &Json) -> Option<String> {
    let Json::Object(members) = value else { return None };
    ["title", "name", "subject", "id"].iter().find_map(|wanted| {
        members.iter().find_map(|(name, value)| match value {
            Json::Scalar(text) if name.eq_ignore_ascii_case(wanted) && !text.trim().is_empty() && text.len() <= 250 => {
                Some(one_line(text))
            }
            _ => None,
        })
    })
}

/// Writes a value: its scalars as labelled lines, then what is larger as sections of `level`.
fn write(draft: &mut Draft, value: &Json, label: &str, level: usize) {
    match value {
        Json::Scalar(text) => labelled(draft, label, text),
        Json::List(items) => {
            for (index, item) in items.iter().enumerate() {
                match item {
                    Json::Scalar(text) => draft.item(0, "-", text),
                    larger => {
                        let name = own_title(larger).unwrap_or_else(|| match label {
                            "" => format!("Item {}", index + 1),
                            label => format!("{label} {}", index + 1),
                        });
                        draft.heading(level, &name);
                        write(draft, larger, label, level + 1);
                    }
                }
            }
        }
        Json::Object(members) => {
            let (short, larger): (Vec<_>, Vec<_>) = members.iter().partition(|(_, value)| value.is_short());
            for (name, value) in short {
                match value {
                    Json::Scalar(text) => labelled(draft, name, text),
                    Json::List(_) | Json::Object(_) => labelled(draft, name, "none"),
                }
            }
            for (name, value) in larger {
                draft.heading(level, name);
                write(draft, value, name, level + 1);
            }
        }
    }
}

fn labelled(draft: &mut Draft, label: &str, text: &str) {
    match label {
        "" => draft.paragraph(text),
        label if text.contains('\n') => {
            draft.item(0, "-", &format!("{label}:"));
            draft.paragraph(text);
        }
        label => draft.item(0, "-", &format!("{label}: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_object_reads_as_labels_and_sections_in_its_own_order() {
        let text = r#"{"title": "Berths", "port": "Larkmoor", "fees": {"day": 12.5, "night": 4}, "tags": ["ice", "deep"], "moorings": [{"name": "North", "depth": 8}, {"depth": 5}], "notes": []}"#;
        let reading = read(Stated::Nothing, text.as_bytes()).unwrap();
        assert_eq!(reading.title.as_deref(), Some("Berths"));
        assert_eq!(
            reading.text,
            "- title: Berths\n- port: Larkmoor\n- notes: none\n\n# fees\n\n- day: 12.5\n- night: 4\n\n# tags\n\n- ice\n- deep\n\n\
             # moorings\n\n## North\n\n- name: North\n- depth: 8\n\n## moorings 2\n\n- depth: 5\n"
        );
    }

    #[test]
    fn each_json_line_is_a_section_that_names_its_line() {
        let reading =
            read_lines(Stated::Nothing, b"{\"id\": \"A-1\", \"state\": \"open\"}\n\n{\"state\": \"shut\"}\n").unwrap();
        assert_eq!(reading.text, "## A-1\n\n- id: A-1\n- state: open\n\n## Record 3\n\n- state: shut\n");
        let lines: Vec<_> =
            reading.places.iter().map(|place| (&reading.text[place.start as usize..][..5], &place.position)).collect();
        assert_eq!(lines, [("## A-", &Position::Part("line 1".into())), ("## Re", &Position::Part("line 3".into()))]);
    }

    #[test]
    fn too_deep_or_broken_json_says_so() {
        let deep = "[".repeat(100_000);
        assert_eq!(
            read(Stated::Nothing, deep.as_bytes()),
            Err(FormatError::too_much("lists and objects inside one another", 64))
        );
        let error = read_lines(Stated::Nothing, b"{}\n{\"a\": }\n").unwrap_err();
        assert!(error.to_string().contains("line 2, column 7 is not JSON"), "{error}");
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            "[a-z ]{0,12}".prop_map(serde_json::Value::from),
            any::<i32>().prop_map(serde_json::Value::from)
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                proptest::collection::btree_map("[a-z]{1,6}", inner, 0..5).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    fn words(value: &serde_json::Value, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Array(items) => items.iter().for_each(|item| words(item, into)),
            serde_json::Value::Object(members) => members.iter().for_each(|(name, value)| {
                into.push(name.clone());
                words(value, into);
            }),
            serde_json::Value::String(text) => into.extend(text.split_whitespace().map(str::to_owned)),
            other => into.push(other.to_string()),
        }
    }

    proptest! {
        #[test]
        fn no_name_and_no_value_is_lost(value in value()) {
            if let Ok(reading) = read(Stated::Nothing, value.to_string().as_bytes()) {
                let mut all = Vec::new();
                words(&value, &mut all);
                for word in all {
                    prop_assert!(reading.text.contains(&word), "{} in {}", word, reading.text);
                }
            }
        }

        #[test]
        fn any_bytes_are_json_or_an_error(text in "[\\[\\]{}\",:a-z0-9\\\\ \n]{0,120}") {
            let _ = read(Stated::Nothing, text.as_bytes());
            let _ = read_lines(Stated::Nothing, text.as_bytes());
        }
    }
}
