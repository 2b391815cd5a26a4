//! Word documents of a few lines each: what is shown, what is not, and what is no Word document.

use super::*;
use crate::tests::zipped;

const SPACES: &str = r#"xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006""#;

fn word(body: &str, more: &[(&str, String)]) -> Result<Reading, FormatError> {
    let document = format!("<w:document {SPACES}><w:body>{body}</w:body></w:document>");
    let mut parts = vec![("word/document.xml", document)];
    parts.extend(more.iter().map(|(name, text)| (*name, text.clone())));
    let parts: Vec<(&str, &[u8])> = parts.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    read(&zipped(&parts))
}

fn paragraph(style: &str, text: &str) -> String {
    format!(r#"<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"#)
}

fn styles() -> (&'static str, String) {
    let style = |id: &str, name: &str, more: &str| {
        format!(r#"<w:style w:type="paragraph" w:styleId="{id}"><w:name w:val="{name}"/>{more}</w:style>"#)
    };
    let all = [
        style("Title", "Title", ""),
        style("H1", "heading 1", ""),
        style("Own", "Our chapter", r#"<w:basedOn w:val="H1"/>"#),
        style("Gone", "Gone", r#"<w:rPr><w:vanish/></w:rPr>"#),
    ];
    ("word/styles.xml", format!("<w:styles {SPACES}>{}</w:styles>", all.concat()))
}

#[test]
fn headings_come_from_styles_and_what_they_are_based_on() {
    let body = paragraph("Title", "Mooring rules") + &paragraph("Own", "Fees") + &paragraph("None", "Twelve a day.");
    let reading = word(&body, &[styles()]).unwrap();
    assert_eq!(reading.text, "# Mooring rules\n\n# Fees\n\nTwelve a day.\n");
    assert_eq!(reading.title.as_deref(), Some("Mooring rules"));
}

#[test]
fn what_word_does_not_show_is_counted_and_left_out() {
    let hidden = [
        "<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>SECRET</w:t></w:r></w:p>".to_owned(),
        "<w:p><w:del><w:r><w:delText>SECRET</w:delText></w:r></w:del></w:p>".to_owned(),
        "<w:p><w:moveFrom><w:r><w:t>SECRET</w:t></w:r></w:moveFrom></w:p>".to_owned(),
        "<w:p><w:r><w:rPr><w:sz w:val=\"1\"/></w:rPr><w:t>SECRET</w:t></w:r></w:p>".to_owned(),
        paragraph("Gone", "SECRET"),
    ];
    for one in hidden {
        let reading = word(&format!("<w:p><w:r><w:t>Seen.</w:t></w:r></w:p>{one}"), &[styles()]).unwrap();
        assert_eq!((reading.text.as_str(), reading.noticed.hidden_text), ("Seen.\n", 1), "{one}");
    }
    let comments = format!(
        "<w:comments {SPACES}><w:comment w:id=\"0\"><w:p><w:r><w:t>SECRET</w:t></w:r></w:p></w:comment></w:comments>"
    );
    let shown = "<w:p><w:r><w:rPr><w:vanish w:val=\"0\"/></w:rPr><w:t>Seen.</w:t></w:r><w:ins><w:r><w:t> New.</w:t></w:r></w:ins></w:p>";
    let reading = word(shown, &[("word/comments.xml", comments)]).unwrap();
    assert_eq!((reading.text.as_str(), reading.noticed.comments, reading.noticed.hidden_text), ("Seen. New.\n", 1, 0));
}

#[test]
fn lists_tables_notes_links_and_formulas_are_kept() {
    let numbering = format!(
        r#"<w:numbering {SPACES}><w:abstractNum w:abstractNumId="7"><w:lvl w:ilvl="0"><w:start w:val="3"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl>
        <w:lvl w:ilvl="1"><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%1.%2)"/></w:lvl></w:abstractNum><w:num w:numId="1"><w:abstractNumId w:val="7"/></w:num></w:numbering>"#
    );
    let item = |level: u8, text: &str| {
        format!(
            r#"<w:p><w:pPr><w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"#
        )
    };
    let cell =
        |own: &str, text: &str| format!("<w:tc><w:tcPr>{own}</w:tcPr><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>");
    let body = item(0, "Bow")
        + &item(1, "line")
        + &item(0, "Stern")
        + &format!(
            "<w:tbl><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr><w:tr>{}{}</w:tr></w:tbl>",
            cell("", "Boat"),
            cell("", "Fee"),
            cell(r#"<w:vMerge w:val="restart"/>"#, "Barge"),
            cell("", "12"),
            cell("<w:vMerge/>", ""),
            cell("", "9")
        )
        + r#"<w:p><w:hyperlink r:id="r9"><w:r><w:t>Ring</w:t></w:r></w:hyperlink><w:r><w:t xml:space="preserve"> twice</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r><m:oMath><m:f><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r></m:den></m:f></m:oMath></w:p>"#;
    let relations = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r9" Type="x/hyperlink" TargetMode="External" Target="https://bell.example/"/></Relationships>"#;
    let notes = format!(
        r#"<w:footnotes {SPACES}><w:footnote w:id="1"><w:p><w:r><w:t>uncalled</w:t></w:r></w:p></w:footnote><w:footnote w:id="2"><w:p><w:r><w:t>By day.</w:t></w:r></w:p></w:footnote></w:footnotes>"#
    );
    let reading = word(
        &body,
        &[
            ("word/numbering.xml", numbering),
            ("word/_rels/document.xml.rels", relations.to_owned()),
            ("word/footnotes.xml", notes),
        ],
    )
    .unwrap();
    assert_eq!(
        reading.text,
        "3. Bow\n    - 3.a) line\n4. Stern\n\n| Boat | Fee |\n|---|---|\n| Barge | 12 |\n| Barge | 9 |\n\n\
         [Ring](https://bell.example/) twice[^2]$\\frac{a}{b}$\n\n[^2]: By day.\n"
    );
}

#[test]
fn what_is_no_word_document_says_what_it_is() {
    assert!(read(b"PK\x03\x04 cut").unwrap_err().to_string().contains("not a whole archive"));
    assert!(read(&zipped(&[("a.txt", b"x")])).unwrap_err().to_string().contains("word/document.xml is missing"));
    let mut encrypted = vec![0xD0, 0xCF, 0x11, 0xE0];
    encrypted.extend("EncryptionInfo".encode_utf16().flat_map(u16::to_le_bytes));
    assert!(matches!(read(&encrypted), Err(FormatError::Encrypted { .. })));
    assert!(read(&[0xD0, 0xCF, 0x11, 0xE0]).unwrap_err().to_string().contains("before 2007"));
}
