//! Presentations as Markdown: a heading for each slide's title, its text as lists, tables, charts, and notes.
//!
//! Promises: slides in the order in which they are shown, each at its number; hidden slides, hidden shapes and comments
//! are counted and left out; notes of the speaker are there, under their own label. Does not: read pictures, or text that
//! every slide has from its master.

use catena_text::{Position, Reading};

use crate::archive::Archive;
use crate::draft::{Draft, one_line};
use crate::error::FormatError;
use crate::office::{self, Relations, drawn_text};
use crate::xml::{Below, Element};

const PRESENTATION: &str = "ppt/presentation.xml";

/// Reads a presentation.
pub(crate) fn read(bytes: &[u8]) -> Result<Reading, FormatError> {
    let mut archive = Archive::open(bytes, "presentation")?;
    let relations = Relations::of(&mut archive, PRESENTATION)?;
    let presentation = archive.needed(PRESENTATION)?.tree()?;
    let order = presentation.child("p:sldIdLst").into_iter().flat_map(Element::children);
    let slides: Vec<String> =
        order.filter_map(|slide| relations.target(slide.attribute("r:id")?)).map(str::to_owned).collect();
    let mut draft = Draft::default();
    for (index, part) in slides.iter().enumerate() {
        slide(&mut archive, part, u32::try_from(index + 1).unwrap_or(u32::MAX), &mut draft)?;
        if draft.is_over() {
            break;
        }
    }
    draft.noticed.scripts += office::macros(&archive);
    draft.title = office::own_title(&mut archive)?.or(draft.title);
    draft.finish()
}

fn slide(archive: &mut Archive<'_>, part: &str, number: u32, draft: &mut Draft) -> Result<(), FormatError> {
    let relations = Relations::of(archive, part)?;
    let slide = archive.needed(part)?.tree()?;
    for comments in relations.of_kind("comments") {
        draft.noticed.comments += office::count(archive, comments, &["p:cm", "cm"])?;
    }
    if matches!(slide.attribute("show"), Some("0" | "false")) {
        draft.noticed.hidden_text = draft.noticed.hidden_text.saturating_add(1);
        return Ok(());
    }
    draft.place(Position::Slide(number));
    let mut shown = Shown::default();
    if let Some(tree) = slide.child("p:cSld").and_then(|content| content.child("p:spTree")) {
        // The title is read first, wherever it lies among the shapes.
        let titles: Vec<&Element> = tree.children().filter(|shape| is_title(shape) && !is_hidden(shape)).collect();
        for title in &titles {
            let text = one_line(&shape_text(title));
            draft.heading(2, &text);
            if number == 1 && draft.title.is_none() && !text.is_empty() {
                draft.title = Some(text);
            }
        }
        shapes(tree, draft, &mut shown);
    }
    for chart in shown.charts.iter().filter_map(|id| relations.target(id)) {
        office::chart(archive, chart, draft)?;
    }
    for data in shown.diagrams.iter().filter_map(|id| relations.target(id)) {
        if let Some(xml) = archive.xml(data)? {
            for line in drawn_text(&xml.tree()?).lines() {
                draft.item(0, "-", line);
            }
        }
    }
    for notes in relations.of_kind("notesSlide") {
        let Some(xml) = archive.xml(notes)? else { continue };
        let notes = xml.tree()?;
        let mut texts = Vec::new();
        notes.walk(&mut |element| {
            if element.name == "p:sp" && placeholder(element) == Some("body") {
                texts.push(shape_text(element));
            }
            Below::Look
        });
        let text = texts.join("\n");
        if !text.trim().is_empty() {
            draft.paragraph(&format!("Notes:\n{text}"));
        }
    }
    Ok(())
}

/// What the frames of a slide show that lies in parts of its own: ids of relationships.
#[derive(Default)]
struct Shown<'e> {
    charts: Vec<&'e str>,
    diagrams: Vec<&'e str>,
}

fn shapes<'e>(tree: &'e Element, draft: &mut Draft, shown: &mut Shown<'e>) {
    for shape in tree.children() {
        if is_hidden(shape) {
            let has_parts = shape.find("c:chart").or_else(|| shape.find("relIds")).is_some();
            if has_parts || !drawn_text(shape).trim().is_empty() {
                draft.noticed.hidden_text = draft.noticed.hidden_text.saturating_add(1);
            }
            continue;
        }
        match shape.name.as_str() {
            "p:sp" if !is_title(shape) => text_shape(shape, draft),
            "p:grpSp" => shapes(shape, draft, shown),
            "p:graphicFrame" => {
                if let Some(table) = shape.find("a:tbl") {
                    draft.table(&rows(table));
                }
                shown.charts.extend(shape.find("c:chart").and_then(|chart| chart.attribute("r:id")));
                shown.diagrams.extend(shape.find("relIds").and_then(|diagram| diagram.attribute("r:dm")));
            }
            "mc:AlternateContent" => {
                if let Some(choice) = shape.child("mc:Choice").or_else(|| shape.child("mc:Fallback")) {
                    shapes(choice, draft, shown);
                }
            }
            _ => {}
        }
    }
}

/// A shape's paragraphs: items where it is a list of them, else as they are.
fn text_shape(shape: &Element, draft: &mut Draft) {
    if matches!(placeholder(shape), Some("sldNum" | "dt" | "ftr" | "hdr")) {
        return;
    }
    let Some(body) = shape.child("p:txBody") else { return };
    let paragraphs: Vec<&Element> = body
        .children()
        .filter(|paragraph| paragraph.name == "a:p" && !drawn_text(paragraph).trim().is_empty())
        .collect();
    let is_list = placeholder(shape).is_some_and(|kind| kind != "subTitle") && paragraphs.len() > 1;
    let mut number = 0;
    for paragraph in paragraphs {
        let own = paragraph.child("a:pPr");
        let depth = own.and_then(|own| own.attribute("lvl")).and_then(|level| level.parse().ok()).unwrap_or(0);
        let is_numbered = own.is_some_and(|own| own.child("a:buAutoNum").is_some());
        let has_mark = own.is_some_and(|own| own.child("a:buChar").is_some());
        let text = drawn_text(paragraph);
        if is_numbered {
            number += 1;
            draft.item(depth, &format!("{number}."), &text);
        } else if (is_list || has_mark || depth > 0) && own.is_none_or(|own| own.child("a:buNone").is_none()) {
            draft.item(depth, "-", &text);
        } else {
            draft.paragraph(&text);
        }
    }
}

fn rows(table: &Element) -> Vec<Vec<String>> {
    let rows = table.children().filter(|row| row.name == "a:tr");
    rows.map(|row| row.children().filter(|cell| cell.name == "a:tc").map(|cell| one_line(&drawn_text(cell))).collect())
        .collect()
}

fn shape_text(shape: &Element) -> String {
    shape.child("p:txBody").map(drawn_text).unwrap_or_default()
}

/// The kind of placeholder that a shape fills: `body` where it says none.
fn placeholder(shape: &Element) -> Option<&str> {
    let holder = shape.child("p:nvSpPr")?.child("p:nvPr")?.child("p:ph")?;
    Some(holder.attribute("type").unwrap_or("body"))
}

fn is_hidden(shape: &Element) -> bool {
    let mut own = shape.children().filter_map(|own| own.child("p:cNvPr"));
    own.any(|own| matches!(own.attribute("hidden"), Some("1" | "true")))
}

fn is_title(shape: &Element) -> bool {
    shape.name == "p:sp" && matches!(placeholder(shape), Some("title" | "ctrTitle"))
}
