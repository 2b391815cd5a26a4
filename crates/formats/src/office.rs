//! What the Office formats share: relationships between parts, the stated title, charts.

use std::collections::HashMap;

use crate::archive::Archive;
use crate::draft::{Draft, one_line};
use crate::error::FormatError;
use crate::xml::{Below, Element};

/// Titles that programs give by themselves and that say nothing.
const EMPTY_TITLES: [&str; 6] =
    ["PowerPoint Presentation", "PowerPoint-Präsentation", "Document", "Word Document", "Untitled", "Slide 1"];

/// A part's relationships: kind and target by id. Targets are names in the archive.
#[derive(Debug, Default)]
pub(crate) struct Relations(HashMap<String, (String, String)>);

impl Relations {
    /// Those of the part of this name. Without any, none.
    pub(crate) fn of(archive: &mut Archive<'_>, part: &str) -> Result<Self, FormatError> {
        let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
        let Some(xml) = archive.xml(&format!("{folder}/_rels/{file}.rels"))? else { return Ok(Self::default()) };
        let mut relations = HashMap::new();
        for relation in xml.tree()?.children() {
            let (Some(id), Some(target)) = (relation.attribute("Id"), relation.attribute("Target")) else { continue };
            let kind = relation.attribute("Type").unwrap_or_default().rsplit('/').next().unwrap_or_default();
            let target = match relation.attribute("TargetMode") {
                Some("External") => target.to_owned(),
                _ => resolved(folder, target),
            };
            relations.insert(id.to_owned(), (kind.to_owned(), target));
        }
        Ok(Self(relations))
    }

    /// The target of a relationship.
    pub(crate) fn target(&self, id: &str) -> Option<&str> {
        self.0.get(id).map(|(_, target)| target.as_str())
    }

    /// The targets of all relationships of a kind, in order.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<&str> {
        let mut targets: Vec<&str> =
            self.0.values().filter(|(known, _)| known == kind).map(|(_, target)| target.as_str()).collect();
        targets.sort_unstable();
        targets
    }
}

/// A target as a name in the archive. It cannot leave it: a name that goes above the root names nothing.
fn resolved(folder: &str, target: &str) -> String {
    if let Some(absolute) = target.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The title that the file states about itself.
pub(crate) fn own_title(archive: &mut Archive<'_>) -> Result<Option<String>, FormatError> {
    let Some(xml) = archive.xml("docProps/core.xml")? else { return Ok(None) };
    let title = xml.tree()?.child("dc:title").map(Element::text).map(|title| one_line(&title)).unwrap_or_default();
    let says_nothing = title.is_empty() || title.starts_with("Microsoft ") || EMPTY_TITLES.contains(&title.as_str());
    Ok((!says_nothing).then_some(title))
}

/// How many macro projects the file has.
pub(crate) fn macros(archive: &Archive<'_>) -> u32 {
    let count = archive.names().iter().filter(|name| name.ends_with("vbaProject.bin")).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Elements of these names in a part, which is read as a stream.
pub(crate) fn count(archive: &mut Archive<'_>, part: &str, names: &[&str]) -> Result<u32, FormatError> {
    let Some(mut xml) = archive.xml(part)? else { return Ok(0) };
    let mut count = 0_u32;
    while xml.find(names)?.is_some() {
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// A chart's title and its numbers as a table.
pub(crate) fn chart(archive: &mut Archive<'_>, part: &str, draft: &mut Draft) -> Result<(), FormatError> {
    let Some(xml) = archive.xml(part)? else { return Ok(()) };
    let chart = xml.tree()?;
    let title = chart.find("c:chart").and_then(|chart| chart.child("c:title")).map(drawn_text).unwrap_or_default();
    draft.paragraph(&title);
    let mut series = Vec::new();
    chart.walk(&mut |element| {
        if element.name == "c:ser" {
            series.push(element);
            return Below::Skip;
        }
        Below::Look
    });
    let Some(first) = series.first() else { return Ok(()) };
    let categories = points(first.child("c:cat").or_else(|| first.child("c:xVal")));
    let values: Vec<Vec<String>> =
        series.iter().map(|one| points(one.child("c:val").or_else(|| one.child("c:yVal")))).collect();
    let mut rows = vec![
        std::iter::once(String::new())
            .chain(series.iter().map(|one| points(one.child("c:tx")).join(" ")))
            .collect::<Vec<String>>(),
    ];
    let longest = values.iter().map(Vec::len).max().unwrap_or(0).max(categories.len());
    for index in 0..longest {
        let at = |list: &Vec<String>| list.get(index).cloned().unwrap_or_default();
        rows.push(std::iter::once(at(&categories)).chain(values.iter().map(at)).collect());
    }
    draft.table(&rows);
    Ok(())
}

/// The cached points below an element.
fn points(element: Option<&Element>) -> Vec<String> {
    let mut texts = Vec::new();
    let Some(element) = element else { return texts };
    element.walk(&mut |element| {
        if element.name == "c:v" {
            texts.push(element.text());
        }
        Below::Look
    });
    texts
}

/// All text that is drawn below an element, its paragraphs as lines.
pub(crate) fn drawn_text(element: &Element) -> String {
    let mut text = String::new();
    element.walk(&mut |element| {
        match element.name.as_str() {
            "a:p" if !text.is_empty() => text.push('\n'),
            "a:br" => text.push('\n'),
            "a:t" => text.push_str(&element.text()),
            _ => {}
        }
        Below::Look
    });
    text
}
