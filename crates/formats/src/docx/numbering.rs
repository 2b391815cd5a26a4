//! The numbers that Word shows before headings and items and does not write into the text.

use std::collections::HashMap;

use crate::xml::Element;

/// Levels that a list has in Word.
const LEVELS: usize = 9;

#[derive(Debug, Clone)]
struct Level {
    format: String,
    /// What is shown: `%1.%2` with the numbers of the levels in their place.
    text: String,
    start: u32,
}

/// All lists, and how far each has come.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    /// By number: the definition it is of, with levels that begin anew.
    numbers: HashMap<String, (String, HashMap<usize, u32>)>,
    definitions: HashMap<String, Vec<Option<Level>>>,
    /// By definition: the last number of each level.
    at: HashMap<String, [Option<u32>; LEVELS]>,
    started: std::collections::HashSet<String>,
}

impl Numbering {
    pub(super) fn of(part: &Element) -> Self {
        let mut numbering = Self::default();
        for child in part.children() {
            match child.name.as_str() {
                "w:abstractNum" => {
                    if let Some(id) = child.attribute("abstractNumId") {
                        numbering.definitions.insert(id.to_owned(), levels(child));
                    }
                }
                "w:num" => {
                    if let (Some(id), Some(of)) = (child.attribute("numId"), child.value_of("w:abstractNumId")) {
                        let overrides = child.children().filter(|one| one.name == "w:lvlOverride").filter_map(|one| {
                            let start = one.value_of("w:startOverride")?.parse().ok()?;
                            Some((one.attribute("ilvl")?.parse().ok()?, start))
                        });
                        numbering.numbers.insert(id.to_owned(), (of.to_owned(), overrides.collect()));
                    }
                }
                _ => {}
            }
        }
        numbering
    }

    /// Counts one on, and says what is shown there. None where the list has no such level, or none at all.
    pub(super) fn next(&mut self, id: &str, level: usize) -> Option<String> {
        if id == "0" || level >= LEVELS {
            return None;
        }
        let Some((of, overrides)) = self.numbers.get(id) else { return Some("-".to_owned()) };
        let levels = self.definitions.get(of)?;
        let own = levels.get(level)?.as_ref()?;
        let at = self.at.entry(of.clone()).or_insert([None; LEVELS]);
        if self.started.insert(id.to_owned()) {
            for (level, start) in overrides.iter().filter(|(level, _)| **level < LEVELS) {
                at[*level] = start.checked_sub(1);
            }
        }
        at[level] = Some(at[level].map_or(own.start, |number| number.saturating_add(1)));
        for deeper in at.iter_mut().skip(level + 1) {
            *deeper = None;
        }
        if own.format == "bullet" || own.format == "none" {
            return Some("-".to_owned());
        }
        let mut label = own.text.clone();
        for (index, known) in levels.iter().enumerate().take(level + 1) {
            let Some(known) = known else { continue };
            let format = if index == level { &own.format } else { &known.format };
            label = label.replace(&format!("%{}", index + 1), &written(at[index].unwrap_or(known.start), format));
        }
        Some(label.trim().to_owned())
    }
}

fn levels(definition: &Element) -> Vec<Option<Level>> {
    let mut levels = vec![None; LEVELS];
    for level in definition.children().filter(|child| child.name == "w:lvl") {
        let Some(slot) = level.attribute("ilvl").and_then(|index| levels.get_mut(index.parse::<usize>().ok()?)) else {
            continue;
        };
        *slot = Some(Level {
            format: level.value_of("w:numFmt").unwrap_or("decimal").to_owned(),
            text: level.value_of("w:lvlText").unwrap_or_default().to_owned(),
            start: level.value_of("w:start").and_then(|start| start.parse().ok()).unwrap_or(1),
        });
    }
    levels
}

/// A number as a list writes it.
fn written(number: u32, format: &str) -> String {
    let letter = |first: u8| {
        let (index, times) = (number.saturating_sub(1) % 26, number.saturating_sub(1) / 26 + 1);
        char::from(first + u8::try_from(index).unwrap_or(0)).to_string().repeat(times.min(8) as usize)
    };
    match format {
        "lowerLetter" => letter(b'a'),
        "upperLetter" => letter(b'A'),
        "lowerRoman" => roman(number).to_lowercase(),
        "upperRoman" => roman(number),
        "decimalZero" => format!("{number:02}"),
        _ => number.to_string(),
    }
}

fn roman(number: u32) -> String {
    const SIGNS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if number > 4_000 {
        return number.to_string();
    }
    let (mut left, mut text) = (number, String::new());
    for (value, sign) in SIGNS {
        while left >= value {
            text.push_str(sign);
            left -= value;
        }
    }
    text
}
