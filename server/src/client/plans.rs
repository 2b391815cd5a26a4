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
        let mut first: Vec<String> = listed.iter().take(SHOWN).map(text).collect();
        if count(kind) > SHOWN as u64 {
            first.push(format!("and {} more", count(kind) - SHOWN as u64));
        }
        first.join("\n")
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
    let rows = [
        ["add".to_owned(), count("adds").to_string(), first("adds", name)],
        ["change".to_owned(), count("changes").to_string(), first("changes", name)],
        ["move".to_owned(), count("moves").to_string(), first("moves", moved)],
        [held.to_owned(), count("deletes").to_string(), first("deletes", name)],
        ["other readers".to_owned(), count("access").to_string(), first("access", reader)],
        ["as it is".to_owned(), plan["unchanged"].to_string(), String::new()],
        ["embed".to_owned(), estimate["documents"].to_string(), embedded],
        ["time".to_owned(), String::new(), or_dash(seconds)],
        ["broke off".to_owned(), String::new(), or_dash(plan["broken"].as_str().map(str::to_owned))],
    ];
    table(["what", "documents", "which"], rows)
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
            "deletes": {"count": 1, "documents": ["old.md"]}, "deletes_held": true, "unchanged": 3,
            "access": {"count": 1, "documents": [{"document": "a.md", "wider": "everyone", "held": true}]},
            "estimate": {"documents": 12, "sampled": 12, "chunks": 40, "tokens": 9000, "seconds": 2.5},
        });
        let shown = table_of(&plan);
        for needle in
            ["and 2 more", "delete, after approval", "a.md: everyone, after approval", "40 chunks, 9000 tokens"]
        {
            assert!(shown.contains(needle), "{needle} is not in\n{shown}");
        }
    }
}
