//! What a Word document's styles say of its paragraphs.

use std::collections::HashMap;

use crate::xml::Element;

/// Half points below which nobody reads a letter.
const UNREADABLE_HALF_POINTS: u32 = 2;
/// Styles on which a style is based, at most.
const BASES_MAX: usize = 20;

/// A style by itself, without what it is based on.
#[derive(Debug, Default, Clone)]
struct Own {
    based_on: Option<String>,
    heading: Option<usize>,
    is_title: bool,
    is_hidden: Option<bool>,
    numbering: Option<(String, usize)>,
}

/// What a paragraph's style comes to.
#[derive(Debug, Default, Clone)]
pub(super) struct Style {
    /// The level of heading, from one.
    pub(super) heading: Option<usize>,
    pub(super) is_title: bool,
    pub(super) is_hidden: bool,
    pub(super) numbering: Option<(String, usize)>,
}

/// All styles, by id.
#[derive(Debug, Default)]
pub(super) struct Styles(HashMap<String, Own>);

impl Styles {
    pub(super) fn of(part: &Element) -> Self {
        let styles = part.children().filter(|style| style.name == "w:style");
        Self(styles.filter_map(|style| Some((style.attribute("styleId")?.to_owned(), own(style)))).collect())
    }

    /// What the style that a paragraph's properties name comes to.
    pub(super) fn paragraph(&self, properties: Option<&Element>) -> Style {
        let name = properties.and_then(|own| own.value_of("w:pStyle"));
        let mut style = self.style(name);
        let mark = properties.and_then(|own| own.child("w:rPr"));
        // A paragraph whose properties hide it hides its mark; runs say for themselves.
        style.is_hidden |= mark.is_some_and(|mark| mark.is_on("w:specVanish"));
        style
    }

    fn style(&self, name: Option<&str>) -> Style {
        let (mut style, mut next, mut is_hidden) = (Style::default(), name, None);
        for _ in 0..BASES_MAX {
            let Some(own) = next.and_then(|name| self.0.get(name)) else { break };
            style.heading = style.heading.or(own.heading);
            style.is_title |= own.is_title;
            is_hidden = is_hidden.or(own.is_hidden);
            style.numbering = style.numbering.or_else(|| own.numbering.clone());
            next = own.based_on.as_deref();
        }
        style.is_hidden = is_hidden.unwrap_or(false);
        style
    }

    /// Whether a run is not seen, by its own properties, its style or its paragraph's.
    pub(super) fn hides(&self, properties: Option<&Element>, paragraph_hides: bool) -> bool {
        let Some(own) = properties else { return paragraph_hides };
        let tiny = own
            .value_of("w:sz")
            .and_then(|size| size.parse::<u32>().ok())
            .is_some_and(|size| size <= UNREADABLE_HALF_POINTS);
        if tiny {
            return true;
        }
        match (own.child("w:vanish"), own.value_of("w:rStyle")) {
            (Some(_), _) => own.is_on("w:vanish"),
            (None, Some(style)) => paragraph_hides || self.style(Some(style)).is_hidden,
            (None, None) => paragraph_hides,
        }
    }
}

fn own(style: &Element) -> Own {
    let name = style.value_of("w:name").unwrap_or_default().to_ascii_lowercase();
    let (paragraph, run) = (style.child("w:pPr"), style.child("w:rPr"));
    let by_name = name.strip_prefix("heading ").and_then(|level| level.trim().parse().ok());
    let by_outline =
        paragraph.and_then(|own| own.value_of("w:outlineLvl")).and_then(|level| level.parse::<usize>().ok());
    let is_title = name == "title";
    let numbering = paragraph.and_then(|own| own.child("w:numPr")).and_then(|own| {
        let level = own.value_of("w:ilvl").and_then(|level| level.parse().ok()).unwrap_or(0);
        Some((own.value_of("w:numId")?.to_owned(), level))
    });
    Own {
        based_on: style.value_of("w:basedOn").map(str::to_owned),
        heading: by_name.or(by_outline.filter(|level| *level < 9).map(|level| level + 1)).or(is_title.then_some(1)),
        is_title,
        is_hidden: run.filter(|own| own.child("w:vanish").is_some()).map(|own| own.is_on("w:vanish")),
        numbering,
    }
}
