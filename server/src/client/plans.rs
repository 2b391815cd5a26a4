//! What a sync would do, for people: what would become of how many documents, and the first of them.

use serde_json::Value;

use super::output::{or_dash, table};

/// Documents of each kind that are shown.
const SHOWN: usize = 10;

/// A plan as a table.
pub(super) fn table_of(plan: &Value) -> String {
    let count = |kind: &str| plan[kind]["count"].as_u64().unwrap_or_default();
    let first = |kind: &str, text: fn(&Value) -> String| {
        let listed = plan[kind]["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
        told(listed, count(kind), text)
    };
    let name = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let moved = |value: &Value| {
        let of = |field: &str| value[field].as_str().unwrap_or_default();
        format!("{} -> {}", of("from"), of("to"))
    };
    let held = if plan["deletes_held"] == true { "delete, after approval" } else { "delete" };
    let estimate = &plan["estimate"];
    let is_exact = estimate["documents"] == estimate["sampled"];
    let embedded =
        format!("{}{} chunks, {} tokens", if is_exact { "" } else { "about " }, estimate["chunks"], estimate["tokens"]);
    let seconds = estimate["seconds"].as_f64().map(|seconds| format!("about {seconds:.0} s"));
    let quarantined = plan["quarantines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows = [
        ["add".to_owned(), count("adds").to_string(), first("adds", name)],
        ["change".to_owned(), count("changes").to_string(), first("changes", name)],
        ["move".to_owned(), count("moves").to_string(), first("moves", moved)],
        [held.to_owned(), count("deletes").to_string(), first("deletes", name)],
        ["other readers".to_owned(), count("access").to_string(), first("access", reader)],
        [
            "quarantine".to_owned(),
            quarantined.len().to_string(),
            told(quarantined, quarantined.len() as u64, kept_back),
        ],
        ["skip, no document".to_owned(), plan["skipped"].to_string(), String::new()],
        ["as it is".to_owned(), plan["unchanged"].to_string(), String::new()],
        ["embed".to_owned(), estimate["documents"].to_string(), embedded],
        ["time".to_owned(), String::new(), or_dash(seconds)],
        ["broke off".to_owned(), String::new(), or_dash(plan["broken"].as_str().map(str::to_owned))],
    ];
    table(["what", "documents", "which"], rows)
}

/// The first of them, and how many more there are.
fn told(listed: &[Value], count: u64, text: fn(&Value) -> String) -> String {
    let mut first: Vec<String> = listed.iter().take(SHOWN).map(text).collect();
    if count > SHOWN as u64 {
        first.push(format!("and {} more", count - SHOWN as u64));
    }
    first.join("\n")
}

fn kept_back(value: &Value) -> String {
    let of = |field: &str| value[field].as_str().unwrap_or_default();
    format!("{}: {}", of("document"), of("reason"))
}

fn reader(value: &Value) -> String {
    let wider = match value["wider"].as_str() {
        None => "nobody more".to_owned(),
        Some("everyone") => "everyone".to_owned(),
        Some("readers") => format!("{} more", value["readers_gained"]),
        Some(other) => other.replace('_', " "),
    };
    let held = if value["held"] == true { ", after approval" } else { "" };
    format!("{}: {wider}{held}", value["document"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plan_shows_what_waits_for_approval() {
        let plan = json!({
            "adds": {"count": 12, "documents": (0..12).map(|at| format!("{at}.md")).collect::<Vec<_>>()},
            "deletes": {"count": 1, "documents": ["old.md"]}, "deletes_held": true, "unchanged": 3, "skipped": 7,
            "quarantines": (0..11).map(|at| json!({"document": format!("q{at}.md"), "reason": "no owner"})).collect::<Vec<_>>(),
            "access": {"count": 1, "documents": [{"document": "a.md", "wider": "everyone", "held": true}]},
            "estimate": {"documents": 12, "sampled": 12, "chunks": 40, "tokens": 9000, "seconds": 2.5},
        });
        let shown = table_of(&plan);
        for needle in [
            "and 2 more",
            "delete, after approval",
            "a.md: everyone, after approval",
            "40 chunks, 9000 tokens",
            "q0.md: no owner",
            "and 1 more",
        ] {
            assert!(shown.contains(needle), "{needle} is not in\n{shown}");
        }
        let skipped = shown.lines().find(|line| line.starts_with("skip, no document"));
        assert!(skipped.is_some_and(|line| line.trim_end().ends_with(" 7")), "{shown}");
    }
}
