//! Word documents as Markdown: headings, lists, tables, notes, formulas.
//!
//! Promises: what Word shows is the text, in its order; hidden runs, deleted revisions and comments are counted and left
//! out; one paragraph or table is in memory at a time. Does not: read headers and footers, which stand on every page, or
//! pictures.

mod inline;
mod numbering;
mod styles;

use std::collections::BTreeSet;

use catena_text::Reading;

use crate::archive::Archive;
use crate::draft::{Draft, one_line};
use crate::error::FormatError;
use crate::office::{self, Relations};
use crate::xml::Element;
use inline::Inline;
use numbering::Numbering;
use styles::Styles;

const DOCUMENT: &str = "word/document.xml";

/// Reads a Word document.
pub(crate) fn read(bytes: &[u8]) -> Result<Reading, FormatError> {
    let mut archive = Archive::open(bytes, "Word document")?;
    let relations = Relations::of(&mut archive, DOCUMENT)?;
    let styles = match archive.xml("word/styles.xml")? {
        Some(xml) => Styles::of(&xml.tree()?),
        None => Styles::default(),
    };
    let numbering = match archive.xml("word/numbering.xml")? {
        Some(xml) => Numbering::of(&xml.tree()?),
        None => Numbering::default(),
    };
    let mut writer = Writer {
        draft: Draft::default(),
        relations,
        styles,
        numbering,
        notes: BTreeSet::new(),
        charts: Vec::new(),
        is_hidden: false,
    };
    let mut document = archive.needed(DOCUMENT)?;
    if document.find(&["w:body"])?.is_none() {
        return Err(FormatError::damaged("Word document", "it has no body"));
    }
    while let Some(block) = document.next_child()? {
        writer.block(&block);
        if writer.draft.is_over() {
            break;
        }
    }
    drop(document);
    for chart in std::mem::take(&mut writer.charts) {
        office::chart(&mut archive, &chart, &mut writer.draft)?;
    }
    for (part, element, kind) in [("word/footnotes.xml", "w:footnote", ""), ("word/endnotes.xml", "w:endnote", "e")] {
        if let Some(mut xml) = archive.xml(part)? {
            while let Some(note) = xml.find(&[element])? {
                let note = xml.fill(note)?;
                writer.note(kind, &note);
            }
        }
    }
    let mut draft = writer.draft;
    draft.noticed.comments += office::count(&mut archive, "word/comments.xml", &["w:comment"])?;
    draft.noticed.scripts += office::macros(&archive);
    if draft.title.is_none() {
        draft.title = office::own_title(&mut archive)?;
    }
    draft.finish()
}

struct Writer {
    draft: Draft,
    relations: Relations,
    styles: Styles,
    numbering: Numbering,
    /// Notes that the text calls for, by kind and number.
    notes: BTreeSet<String>,
    charts: Vec<String>,
    /// Whether the run before was hidden too, so that one stretch counts once.
    is_hidden: bool,
}

impl Writer {
    fn block(&mut self, block: &Element) {
        match block.name.as_str() {
            "w:p" => self.paragraph(block),
            "w:tbl" => self.table(block),
            "w:del" | "w:moveFrom" => self.notice_hidden(),
            "w:sdt" => {
                block.children().filter(|child| child.name == "w:sdtContent").for_each(|child| self.blocks(child))
            }
            "w:customXml" | "w:ins" | "w:moveTo" | "w:sdtContent" | "w:txbxContent" => self.blocks(block),
            "mc:AlternateContent" => {
                if let Some(choice) = block.child("mc:Choice").or_else(|| block.child("mc:Fallback")) {
                    self.blocks(choice);
                }
            }
            _ => {}
        }
    }

    fn blocks(&mut self, parent: &Element) {
        for block in parent.children() {
            self.block(block);
        }
    }

    fn paragraph(&mut self, paragraph: &Element) {
        let properties = paragraph.child("w:pPr");
        let style = self.styles.paragraph(properties);
        let inline = self.inline(paragraph, style.is_hidden);
        let text = inline.text.trim();
        let number = properties.and_then(|own| own.child("w:numPr")).map_or(style.numbering.clone(), |own| {
            let level = own.value_of("w:ilvl").and_then(|level| level.parse().ok()).unwrap_or(0);
            own.value_of("w:numId").map(|id| (id.to_owned(), level))
        });
        let outline =
            properties.and_then(|own| own.value_of("w:outlineLvl")).and_then(|level| level.parse::<usize>().ok());
        let level = style.heading.or_else(|| outline.filter(|level| *level < 9).map(|level| level + 1));
        if !text.is_empty() {
            let label = number.as_ref().and_then(|(id, level)| self.numbering.next(id, *level));
            match (level, number, label) {
                (Some(level), _, label) => {
                    let label = label.filter(|label| label.chars().any(char::is_alphanumeric)).map(|label| label + " ");
                    self.draft.heading(level, &(label.unwrap_or_default() + text));
                }
                (None, Some((_, depth)), Some(label)) => self.item(depth, &label, text),
                (None, _, _) => self.draft.paragraph(text),
            }
            if style.is_title && self.draft.title.is_none() {
                self.draft.title = Some(one_line(text));
            }
        }
        self.charts.extend(inline.charts);
        for block in inline.boxes {
            self.blocks(block);
        }
    }

    /// An item of a list: Markdown's own numbers where those say the same, else the label in front of the text.
    fn item(&mut self, depth: usize, label: &str, text: &str) {
        let digits = label.trim_end_matches(['.', ')']);
        let is_plain = !digits.is_empty() && digits.len() < 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_plain {
            self.draft.item(depth, &format!("{digits}."), text);
        } else if label.chars().any(char::is_alphanumeric) {
            self.draft.item(depth, "-", &format!("{label} {text}"));
        } else {
            self.draft.item(depth, "-", text);
        }
    }

    fn table(&mut self, table: &Element) {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut cells: Vec<&Element> = Vec::new();
        for row in inline::through(table, "w:tr") {
            if row.child("w:trPr").is_some_and(|own| own.child("w:del").is_some()) {
                self.notice_hidden();
                continue;
            }
            let mut texts = Vec::new();
            for cell in inline::through(row, "w:tc") {
                let own = cell.child("w:tcPr");
                let columns =
                    own.and_then(|own| own.value_of("w:gridSpan")).and_then(|span| span.parse().ok()).unwrap_or(1);
                let goes_on = own
                    .and_then(|own| own.child("w:vMerge"))
                    .is_some_and(|merge| merge.attribute("val") != Some("restart"));
                let text = match rows.last().and_then(|above: &Vec<String>| above.get(texts.len())) {
                    // A cell that reaches over several rows stands in each, so that each row can be read alone.
                    Some(above) if goes_on => above.clone(),
                    _ => self.cell(cell),
                };
                cells.push(cell);
                texts.extend(std::iter::repeat_n(text, usize::clamp(columns, 1, 100)));
            }
            rows.push(texts);
        }
        // A table of one cell is a frame around text.
        if let [only] = cells.as_slice() {
            self.blocks(only);
        } else {
            self.draft.table(&rows);
        }
    }

    /// A cell's text in one line, with that of tables in it.
    fn cell(&mut self, cell: &Element) -> String {
        let outer = std::mem::take(&mut self.draft);
        self.blocks(cell);
        let inner = std::mem::replace(&mut self.draft, outer);
        crate::draft::add(&mut self.draft.noticed, inner.noticed);
        let lines = inner.as_str().lines().filter(|line| !line.starts_with("|---"));
        lines.map(|line| line.trim().trim_matches('|').replace("\\|", "|")).collect::<Vec<_>>().join(" ")
    }

    fn note(&mut self, kind: &str, note: &Element) {
        let Some(id) = note.attribute("id").map(|id| format!("{kind}{id}")) else { return };
        if !self.notes.contains(&id) {
            return;
        }
        let text = self.cell(note);
        if !text.trim().is_empty() {
            self.draft.markdown(&format!("[^{id}]: {}", one_line(&text)));
        }
    }

    fn notice_hidden(&mut self) {
        if !self.is_hidden {
            self.draft.noticed.hidden_text = self.draft.noticed.hidden_text.saturating_add(1);
        }
        self.is_hidden = true;
    }

    fn inline<'e>(&mut self, parent: &'e Element, is_hidden: bool) -> Inline<'e> {
        self.is_hidden = false;
        let mut inline = Inline::default();
        self.runs(parent, is_hidden, &mut inline);
        inline
    }
}

#[cfg(test)]
mod tests;
