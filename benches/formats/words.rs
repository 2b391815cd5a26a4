//! Two texts compared by their words.

use std::collections::HashMap;

/// The words of a text, without case, marks, and the targets of links. Authors' comments, which the other converter
/// writes as `[author: ...]` and readers leave out on purpose, do not count; its escaped signs do as what they stand for.
pub(crate) fn words(text: &str) -> Vec<String> {
    let text: String =
        text.lines().filter(|line| !line.starts_with("[author:")).flat_map(|line| [line, "\n"]).collect();
    let text = without(&without(&text, "<!--", "-->"), "](", ")");
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

fn without(text: &str, open: &str, close: &str) -> String {
    let (mut left, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(open) {
        left.push_str(before);
        left.push(' ');
        rest = after.split_once(close).map_or("", |(_, rest)| rest);
    }
    left.push_str(rest);
    left
}

/// The share of the expected words that were found, each as often as it was expected.
pub(crate) fn recall(expected: &[String], found: &[String]) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for word in found {
        *left.entry(word).or_default() += 1;
    }
    let mut hits = 0_usize;
    for word in expected {
        if let Some(count) = left.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            hits += 1;
        }
    }
    hits as f64 / expected.len().max(1) as f64
}

/// The share of the expected words that stand in the same order in both: their longest common row.
pub(crate) fn order(expected: &[String], found: &[String]) -> f64 {
    let mut row = vec![0_u32; found.len() + 1];
    for word in expected {
        let mut diagonal = 0;
        for (index, other) in found.iter().enumerate() {
            let above = row[index + 1];
            row[index + 1] = if word == other { diagonal + 1 } else { above.max(row[index]) };
            diagonal = above;
        }
    }
    f64::from(row[found.len()]) / expected.len().max(1) as f64
}
