//! A paragraph's runs as one text.

use super::Writer;
use crate::math;
use crate::xml::{Below, Element};

/// What a paragraph holds.
#[derive(Debug, Default)]
pub(super) struct Inline<'e> {
    pub(super) text: String,
    /// Frames of text that hang on it.
    pub(super) boxes: Vec<&'e Element>,
    /// Parts with charts that stand in it.
    pub(super) charts: Vec<String>,
}

/// The elements of a name in `parent`, also inside controls and revisions that only wrap them.
pub(super) fn through<'e>(parent: &'e Element, name: &str) -> Vec<&'e Element> {
    let mut found = Vec::new();
    for child in parent.children() {
        if child.name == name {
            found.push(child);
        } else if matches!(
            child.name.as_str(),
            "w:sdt" | "w:sdtContent" | "w:ins" | "w:moveTo" | "w:customXml" | "w:bookmarkStart"
        ) {
            found.extend(through(child, name));
        }
    }
    found
}

impl Writer {
    pub(super) fn runs<'e>(&mut self, parent: &'e Element, is_hidden: bool, inline: &mut Inline<'e>) {
        for child in parent.children() {
            match child.name.as_str() {
                "w:r" => self.run(child, is_hidden, inline),
                "w:del" | "w:moveFrom" => self.notice_hidden(),
                "w:hyperlink" => self.link(child, is_hidden, inline),
                "w:ins" | "w:moveTo" | "w:smartTag" | "w:sdt" | "w:sdtContent" | "w:fldSimple" | "w:customXml"
                | "w:dir" | "w:bdo" => {
                    self.runs(child, is_hidden, inline);
                }
                "m:oMath" => formula(&mut inline.text, &math::latex(child), "$"),
                "m:oMathPara" => {
                    for math in child.children().filter(|math| math.name == "m:oMath") {
                        formula(&mut inline.text, &math::latex(math), "$$");
                    }
                }
                "mc:AlternateContent" => drawings(self, child, inline),
                _ => {}
            }
        }
    }

    fn link<'e>(&mut self, link: &'e Element, is_hidden: bool, inline: &mut Inline<'e>) {
        let start = inline.text.len();
        self.runs(link, is_hidden, inline);
        let target = link.attribute("r:id").and_then(|id| self.relations.target(id)).unwrap_or_default();
        let is_web = ["https://", "http://", "mailto:"].iter().any(|begins| target.starts_with(begins));
        let text = inline.text[start..].trim().to_owned();
        if is_web && !text.is_empty() && text != target && target.len() <= 300 && !target.contains(char::is_whitespace)
        {
            inline.text.truncate(start);
            inline.text.push_str(&format!("[{text}]({target})"));
        }
    }

    fn run<'e>(&mut self, run: &'e Element, is_hidden: bool, inline: &mut Inline<'e>) {
        if self.styles.hides(run.child("w:rPr"), is_hidden) {
            if run.children().any(|child| child.name == "w:t" && !child.text().trim().is_empty()) {
                self.notice_hidden();
            }
            return;
        }
        let start = inline.text.len();
        for child in run.children() {
            match child.name.as_str() {
                "w:t" => inline.text.push_str(&child.text()),
                "w:tab" | "w:ptab" => inline.text.push(' '),
                "w:br" | "w:cr" => inline.text.push('\n'),
                "w:noBreakHyphen" => inline.text.push('-'),
                "w:sym" => inline.text.extend(symbol(child)),
                "w:footnoteReference" => self.reference("", child, inline),
                "w:endnoteReference" => self.reference("e", child, inline),
                "w:drawing" | "w:pict" | "w:object" | "mc:AlternateContent" => drawings(self, child, inline),
                _ => {}
            }
        }
        if inline.text.len() > start {
            self.is_hidden = false;
        }
    }

    fn reference(&mut self, kind: &str, reference: &Element, inline: &mut Inline<'_>) {
        if let Some(id) = reference.attribute("id") {
            let id = format!("{kind}{id}");
            inline.text.push_str(&format!("[^{id}]"));
            self.notes.insert(id);
        }
    }
}

/// Frames of text, text in drawings and charts. Of what is there twice, for old programs, the first is taken.
fn drawings<'e>(writer: &Writer, element: &'e Element, inline: &mut Inline<'e>) {
    element.walk(&mut |inner| match inner.name.as_str() {
        "mc:Fallback" if element.name == "mc:AlternateContent" || inner.name != element.name => Below::Skip,
        "w:txbxContent" => {
            inline.boxes.push(inner);
            Below::Skip
        }
        "a:p" => {
            let text = crate::office::drawn_text(inner);
            if !text.trim().is_empty() {
                inline.text.push('\n');
                inline.text.push_str(&text);
            }
            Below::Skip
        }
        "c:chart" => {
            inline.charts.extend(inner.attribute("r:id").and_then(|id| writer.relations.target(id)).map(str::to_owned));
            Below::Skip
        }
        _ => Below::Look,
    });
}

fn formula(text: &mut String, latex: &str, mark: &str) {
    let latex = latex.trim();
    if !latex.is_empty() {
        text.push_str(&format!("{mark}{latex}{mark}"));
    }
}

/// A sign of a symbol font, where it has a place of its own in Unicode.
fn symbol(sign: &Element) -> Option<char> {
    let code = u32::from_str_radix(sign.attribute("char")?, 16).ok()?;
    char::from_u32(code).filter(|c| !matches!(c, '\u{E000}'..='\u{F8FF}'))
}
