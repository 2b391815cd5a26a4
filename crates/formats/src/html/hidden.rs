//! What of a page a visitor does not see, taken out of it and counted.
//!
//! Knows attributes, an element's own style, and rules of the page's own style sheets for one class, id or element.
//! Does not: compute styles. A page that means to hide can; what it hides is then text like any other.

use std::collections::HashSet;

use catena_text::Noticed;
use dom_query::{Document, NodeRef};

/// Longest style sheet that is looked through.
const STYLE_BYTES_MAX: usize = 256 * 1024;

/// Takes comments, scripts, styles and hidden elements out of the page, and says how many there were.
pub(super) fn prune(page: &Document) -> Noticed {
    let mut noticed = Noticed::default();
    let rules = hiding_rules(page);
    let mut open: Vec<NodeRef<'_>> = vec![page.root()];
    while let Some(node) = open.pop() {
        let children = node.children();
        for child in children {
            let counter = match what_of(&child, &rules) {
                What::Seen => {
                    open.push(child);
                    continue;
                }
                What::Comment => Some(&mut noticed.comments),
                What::Script => Some(&mut noticed.scripts),
                What::Hidden => (!child.text().trim().is_empty()).then_some(&mut noticed.hidden_text),
                What::Unshown => None,
            };
            if let Some(counter) = counter {
                *counter = counter.saturating_add(1);
            }
            child.remove_from_parent();
        }
    }
    noticed
}

enum What {
    Seen,
    Comment,
    Script,
    Hidden,
    /// Neither text nor anything to count.
    Unshown,
}

fn what_of(node: &NodeRef<'_>, rules: &HashSet<String>) -> What {
    if node.is_comment() {
        return What::Comment;
    }
    let Some(name) = node.node_name().filter(|_| node.is_element()) else { return What::Seen };
    match &*name {
        "script" => return What::Script,
        "style" | "noscript" | "template" | "iframe" | "object" | "embed" | "canvas" | "audio" | "video" | "svg" => {
            return What::Unshown;
        }
        "html" | "body" | "head" | "title" => return What::Seen,
        _ => {}
    }
    let by_attribute = node.has_attr("hidden")
        || node.attr("aria-hidden").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || (&*name == "input" && node.attr("type").is_some_and(|value| value.eq_ignore_ascii_case("hidden")));
    let by_style = || node.attr("style").is_some_and(|style| hides(&style));
    let by_rule = || {
        !rules.is_empty()
            && (rules.contains(&*name)
                || node.attr("id").is_some_and(|id| rules.contains(&format!("#{id}")))
                || node.attr("class").is_some_and(|classes| {
                    classes.split_whitespace().any(|class| rules.contains(&format!(".{class}")))
                }))
    };
    if by_attribute || by_style() || by_rule() { What::Hidden } else { What::Seen }
}

/// Whether these declarations keep an element from being seen.
fn hides(style: &str) -> bool {
    let style = style.to_ascii_lowercase();
    let (mut color, mut background, mut is_positioned, mut is_outside) = (None, None, false, false);
    for declaration in style.split(';') {
        let Some((name, value)) = declaration.split_once(':') else { continue };
        let value = value.trim().trim_end_matches("!important").trim();
        match name.trim() {
            "display" if value == "none" => return true,
            "visibility" if value == "hidden" || value == "collapse" => return true,
            "font-size" | "opacity" | "max-height" | "max-width" if is_nought(value) => return true,
            "clip" if value.replace(' ', "").starts_with("rect(0") => return true,
            "clip-path" if value.contains("inset(100%") => return true,
            "color" => color = Some(plain_color(value)),
            "background" | "background-color" => background = Some(plain_color(value)),
            "position" => is_positioned = matches!(value, "absolute" | "fixed"),
            "left" | "top" | "right" | "bottom" => is_outside |= is_far(value),
            "text-indent" | "margin-left" if is_far(value) => return true,
            _ => {}
        }
    }
    (is_positioned && is_outside) || (color.is_some() && color == background)
}

/// A length of nought or next to it: a pixel or less.
fn is_nought(value: &str) -> bool {
    let number: String = value.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let unit = &value[number.len()..];
    number.parse::<f32>().is_ok_and(|number| number == 0.0 || (number <= 1.0 && matches!(unit, "px" | "pt")))
}

fn is_far(value: &str) -> bool {
    let digits: String = value.strip_prefix('-').unwrap_or_default().chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u64>().is_ok_and(|far| far >= 500) || digits.len() > 18
}

/// One of the usual ways of writing white and black, and any other colour as it is written.
fn plain_color(value: &str) -> String {
    match value.replace(' ', "").as_str() {
        "white" | "#fff" | "#ffffff" | "rgb(255,255,255)" => "#ffffff".to_owned(),
        "black" | "#000" | "#000000" | "rgb(0,0,0)" => "#000000".to_owned(),
        other => other.to_owned(),
    }
}

/// The classes, ids and elements that the page's style sheets hide everywhere.
fn hiding_rules(page: &Document) -> HashSet<String> {
    let mut rules = HashSet::new();
    for style in page.select("style").nodes() {
        let sheet = style.text();
        if sheet.len() > STYLE_BYTES_MAX {
            continue;
        }
        for (selectors, declarations) in top_rules(&sheet) {
            if !declarations.contains('{') && hides(declarations) {
                let simple = |selector: &&str| {
                    let name = selector.strip_prefix(['.', '#']).unwrap_or(selector);
                    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_')
                };
                rules.extend(selectors.split(',').map(str::trim).filter(simple).map(str::to_owned));
            }
        }
    }
    for never in ["html", "body", "main", "article"] {
        rules.remove(never);
    }
    rules
}

/// A sheet's rules that hold under no condition: selectors and declarations.
fn top_rules(sheet: &str) -> Vec<(&str, &str)> {
    let (mut rules, mut depth, mut selectors, mut start) = (Vec::new(), 0_usize, "", 0);
    for (at, byte) in sheet.bytes().enumerate() {
        match byte {
            b'{' => {
                if depth == 0 {
                    selectors = sheet[start..at].rsplit("*/").next().unwrap_or_default().trim();
                    start = at + 1;
                }
                depth += 1;
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    if !selectors.starts_with('@') {
                        rules.push((selectors, &sheet[start..at]));
                    }
                    start = at + 1;
                }
            }
            _ => {}
        }
    }
    rules
}
