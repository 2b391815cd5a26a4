//! What readers are held to together, and files that are made for it.

use std::io::{Cursor, Read as _, Write as _};

use proptest::prelude::*;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::read::read_here;
use catena_text::Position;

const SHEET: &str = r#"xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships""#;
const SLIDE: &str = r#"xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships""#;

/// An archive with these files.
pub(crate) fn zipped(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A PDF with a page for each stream of drawing.
pub(crate) fn pdf_of(pages: &[&str]) -> Vec<u8> {
    let kids: String = (0..pages.len()).map(|page| format!("{} 0 R ", 4 + page * 2)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    for (page, content) in pages.iter().enumerate() {
        let stream = 5 + page * 2;
        objects.push(format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents {stream} 0 R >>"));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    let (mut file, mut offsets) = ("%PDF-1.4\n".to_owned(), Vec::new());
    for (index, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let start = file.len();
    file.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    offsets.iter().for_each(|offset| file.push_str(&format!("{offset:010} 00000 n \n")));
    file.push_str(&format!("trailer << /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n", objects.len() + 1));
    file.into_bytes()
}

fn relations(targets: &[(&str, &str, &str)]) -> String {
    let each = targets.iter().map(|(id, kind, target)| format!(r#"<Relationship Id="{id}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}" Target="{target}"/>"#));
    format!(
        r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>"#,
        each.collect::<String>()
    )
}

/// A workbook with these sheets: name, state, and rows in XML.
fn workbook(sheets: &[(&str, &str, String)]) -> Vec<u8> {
    let listed: String = sheets
        .iter()
        .enumerate()
        .map(|(at, (name, state, _))| {
            format!(r#"<sheet name="{name}" sheetId="{}" state="{state}" r:id="r{at}"/>"#, at + 1)
        })
        .collect();
    let targets: Vec<(String, String)> =
        (0..sheets.len()).map(|at| (format!("r{at}"), format!("worksheets/sheet{at}.xml"))).collect();
    let targets: Vec<(&str, &str, &str)> =
        targets.iter().map(|(id, target)| (id.as_str(), "worksheet", target.as_str())).collect();
    let mut parts = vec![
        ("xl/workbook.xml".to_owned(), format!("<workbook {SHEET}><sheets>{listed}</sheets></workbook>")),
        ("xl/_rels/workbook.xml.rels".to_owned(), relations(&targets)),
        ("_rels/.rels".to_owned(), relations(&[("r1", "officeDocument", "xl/workbook.xml")])),
        (
            "[Content_Types].xml".to_owned(),
            r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#.to_owned(),
        ),
    ];
    for (at, (_, _, rows)) in sheets.iter().enumerate() {
        parts.push((format!("xl/worksheets/sheet{at}.xml"), format!("<worksheet {SHEET}>{rows}</worksheet>")));
    }
    let parts: Vec<(&str, &[u8])> = parts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    zipped(&parts)
}

fn cell(at: &str, text: &str) -> String {
    format!(r#"<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>"#)
}

fn presentation(slides: &[String], more: &[(&str, String)]) -> Vec<u8> {
    let listed: String = (0..slides.len()).map(|at| format!(r#"<p:sldId id="{}" r:id="s{at}"/>"#, 256 + at)).collect();
    let targets: Vec<(String, String)> =
        (0..slides.len()).map(|at| (format!("s{at}"), format!("slides/slide{at}.xml"))).collect();
    let targets: Vec<(&str, &str, &str)> =
        targets.iter().map(|(id, target)| (id.as_str(), "slide", target.as_str())).collect();
    let mut parts = vec![
        (
            "ppt/presentation.xml".to_owned(),
            format!("<p:presentation {SLIDE}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>"),
        ),
        ("ppt/_rels/presentation.xml.rels".to_owned(), relations(&targets)),
    ];
    parts.extend(slides.iter().enumerate().map(|(at, slide)| (format!("ppt/slides/slide{at}.xml"), slide.clone())));
    parts.extend(more.iter().map(|(name, text)| ((*name).to_owned(), text.clone())));
    let parts: Vec<(&str, &[u8])> = parts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    zipped(&parts)
}

fn shape(kind: &str, own: &str, paragraphs: &[&str]) -> String {
    let text: String = paragraphs.iter().map(|text| format!("<a:p><a:r><a:t>{text}</a:t></a:r></a:p>")).collect();
    format!(
        r#"<p:sp><p:nvSpPr><p:cNvPr id="2" name="x" {own}/><p:nvPr>{kind}</p:nvPr></p:nvSpPr><p:txBody>{text}</p:txBody></p:sp>"#
    )
}

fn slide(own: &str, shapes: &str) -> String {
    format!("<p:sld {SLIDE} {own}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>")
}

#[test]
fn slides_have_their_numbers_titles_lists_and_notes_and_hidden_ones_are_counted() {
    let title = r#"<p:ph type="title"/>"#;
    let slides = [
        slide("", &(shape(r#"<p:ph idx="1"/>"#, "", &["Bow line", "Stern line"]) + &shape(title, "", &["Mooring"]))),
        slide(r#"show="0""#, &shape(title, "", &["SECRET"])),
        slide(
            "",
            &(shape(title, "", &["Fees"])
                + &shape("", r#"hidden="1""#, &["SECRET"])
                + &shape("", "", &["Due at noon."])),
        ),
    ];
    let notes = format!(
        "<p:notes {SLIDE}><p:cSld><p:spTree>{}</p:spTree></p:cSld></p:notes>",
        shape(r#"<p:ph type="body" idx="1"/>"#, "", &["Say it slowly."])
    );
    let more = [
        ("ppt/slides/_rels/slide0.xml.rels", relations(&[("n", "notesSlide", "../notesSlides/n.xml")])),
        ("ppt/notesSlides/n.xml", notes),
    ];
    let reading = pptx::read(&presentation(&slides, &more)).unwrap();
    assert_eq!(
        reading.text,
        "## Mooring\n\n- Bow line\n- Stern line\n\nNotes:\nSay it slowly.\n\n## Fees\n\nDue at noon.\n"
    );
    assert_eq!((reading.title.as_deref(), reading.noticed.hidden_text), (Some("Mooring"), 2));
    let slides: Vec<_> =
        reading.places.iter().map(|place| (&place.position, &reading.text[place.start as usize..][..6])).collect();
    assert_eq!(slides, [(&Position::Slide(1), "## Moo"), (&Position::Slide(3), "## Fee")]);
}

#[test]
fn a_hidden_title_is_none_and_a_diagram_is_read_where_its_frame_is_shown() {
    let frame = |own: &str, id: &str| {
        format!(
            r#"<p:graphicFrame><p:nvGraphicFramePr><p:cNvPr id="3" name="x" {own}/></p:nvGraphicFramePr><a:graphic><a:graphicData><dgm:relIds xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" r:dm="{id}"/></a:graphicData></a:graphic></p:graphicFrame>"#
        )
    };
    let title = shape(r#"<p:ph type="title"/>"#, r#"hidden="1""#, &["SECRET"]);
    let shapes = title + &frame(r#"hidden="1""#, "d1") + &frame("", "d2") + &shape("", "", &["Due at noon."]);
    let data = |text: &str| {
        format!(
            r#"<dgm:dataModel {SLIDE} xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram"><a:p><a:r><a:t>{text}</a:t></a:r></a:p></dgm:dataModel>"#
        )
    };
    let targets = [("d1", "diagramData", "../diagrams/1.xml"), ("d2", "diagramData", "../diagrams/2.xml")];
    let more = [
        ("ppt/slides/_rels/slide0.xml.rels", relations(&targets)),
        ("ppt/diagrams/1.xml", data("SECRET")),
        ("ppt/diagrams/2.xml", data("Bow line")),
    ];
    let reading = pptx::read(&presentation(&[slide("", &shapes)], &more)).unwrap();
    assert_eq!((reading.text.as_str(), reading.title), ("Due at noon.\n\n- Bow line\n", None));
    assert_eq!(reading.noticed.hidden_text, 2, "a title and a diagram");
}

#[test]
fn rows_of_sheets_have_their_numbers_and_hidden_ones_are_counted() {
    let rows = format!(
        r#"<cols><col min="3" max="3" hidden="1"/></cols><sheetData><row r="2">{}{}{}</row><row r="3" hidden="1">{}</row><row r="5">{}<c r="B5"><v>12.5</v></c></row><row r="6"><c r="B6" t="b"><v>1</v></c></row></sheetData>"#,
        cell("A2", "port"),
        cell("B2", "fee"),
        cell("C2", "SECRET"),
        cell("A3", "SECRET"),
        cell("A5", "Larkmoor")
    );
    let file = workbook(&[
        ("Fees", "visible", rows),
        ("Old", "hidden", format!("<sheetData><row r=\"1\">{}</row></sheetData>", cell("A1", "SECRET"))),
    ]);
    let reading = xlsx::read(&file).unwrap();
    assert_eq!(reading.text, "## Fees\n\n| port | fee |\n|---|---|\n| Larkmoor | 12.5 |\n|  | TRUE |\n");
    assert_eq!(reading.noticed.hidden_text, 3, "a sheet, a row and a column");
    let rows: Vec<_> = reading
        .places
        .iter()
        .map(|place| (place.position.clone(), reading.text[place.start as usize..].lines().next().unwrap()))
        .collect();
    let at = |first_row| Position::Rows { sheet: Some("Fees".to_owned()), first_row, columns: 2 };
    assert_eq!(rows, [(at(2), "| port | fee |"), (at(5), "| Larkmoor | 12.5 |")]);
}

/// A workbook again, with some of its bytes and names called otherwise.
fn renamed(file: &[u8], name: impl Fn(&str) -> String, text: impl Fn(&str) -> String) -> Vec<u8> {
    let mut zip = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut parts = Vec::new();
    for at in 0..zip.len() {
        let mut part = zip.by_index(at).unwrap();
        let mut said = String::new();
        part.read_to_string(&mut said).unwrap();
        let called = part.name().unwrap().into_owned();
        parts.push((name(&called), text(&said)));
    }
    let parts: Vec<(&str, &[u8])> = parts.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    zipped(&parts)
}

#[test]
fn hidden_rows_stay_hidden_however_the_parts_and_their_links_are_called() {
    let hidden = format!(
        r#"<sheetData><row r="1">{}</row><row r="2" hidden="1">{}</row></sheetData>"#,
        cell("A1", "port"),
        cell("A2", "SECRET")
    );
    let file = workbook(&[("Fees", "visible", hidden)]);
    let same = |text: &str| text.to_owned();
    let other_prefix = |text: &str| text.replace("xmlns:r=", "xmlns:q=").replace(" r:id=", " q:id=");
    let calls = |from: &'static str, to: &'static str| move |text: &str| text.replace(from, to);
    for (what, file) in [
        ("as it was", file.clone()),
        ("another case", renamed(&file, calls("xl/worksheets/sheet0", "xl/Worksheets/Sheet0"), same)),
        ("another case of the rest", renamed(&file, calls("xl/_rels", "XL/_RELS"), same)),
        ("the other slash", renamed(&file, calls("xl/worksheets/sheet0", "xl\\worksheets\\sheet0"), same)),
        ("another prefix", renamed(&file, same, other_prefix)),
        ("a part that is away", renamed(&file, calls("sheet0", "sheet7"), same)),
        ("a link of another kind", renamed(&file, same, calls(" r:id=", r#" q:id="r0" xmlns:q="urn:other" other="#))),
    ] {
        match xlsx::read(&file) {
            Ok(reading) => {
                assert_eq!(
                    (reading.text.as_str(), reading.noticed.hidden_text),
                    ("## Fees\n\n| port |\n|---|\n", 1),
                    "{what}"
                );
            }
            Err(error) => {
                assert!(matches!(error, FormatError::Damaged { .. }), "{what}: {error}");
                assert!(what.starts_with("a "), "{what}: {error}");
            }
        }
    }
}

#[test]
fn a_sheet_of_a_hundred_thousand_rows_and_one_with_far_corners_are_read_or_refused_at_once() {
    let rows: String = (1..=100_000)
        .map(|row| format!("<row r=\"{row}\"><c r=\"A{row}\"><v>{}</v></c></row>", row * 7919 % 100_003))
        .collect();
    let reading = xlsx::read(&workbook(&[("Rows", "visible", format!("<sheetData>{rows}</sheetData>"))])).unwrap();
    assert_eq!(reading.text.lines().count(), 100_000 + 3);
    let corners = format!(
        "<sheetData><row r=\"1\">{}</row><row r=\"1048576\">{}</row></sheetData>",
        cell("A1", "here"),
        cell("XFD1048576", "there")
    );
    let reading = xlsx::read(&workbook(&[("Far", "visible", corners)])).unwrap();
    assert!(reading.text.contains("here") && reading.text.contains("there") && reading.text.len() < 200_000);
}

#[test]
fn archives_that_unpack_to_too_much_are_refused_before_anything_is_made_of_them() {
    let zeros = vec![b' '; 40 * 1024 * 1024];
    for (what, file) in [
        ("100 times its size", zipped(&[("word/document.xml", &zeros)])),
        ("10000 files", {
            let names: Vec<String> = (0..10_001).map(|n| format!("p{n}")).collect();
            let parts: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"".as_slice())).collect();
            zipped(&parts)
        }),
    ] {
        for format in [Format::Docx, Format::Pptx, Format::Xlsx] {
            let error = read_here(format, None, &file).unwrap_err();
            assert!(error.to_string().contains(what), "{format:?}: {error}");
        }
    }
}

/// Every format with a small file of it.
pub(crate) fn small_files() -> Vec<(Format, Vec<u8>)> {
    let word = format!(
        r#"<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{WORDS}</w:t></w:r></w:p></w:body></w:document>"#
    );
    Format::all()
        .map(|format| {
            let bytes = match format {
                Format::Docx => zipped(&[("word/document.xml", word.as_bytes())]),
                Format::Pptx => presentation(&[slide("", &shape("", "", &[WORDS]))], &[]),
                Format::Xlsx => workbook(&[(
                    "S",
                    "visible",
                    format!("<sheetData><row r=\"1\">{}</row></sheetData>", cell("A1", WORDS)),
                )]),
                Format::Pdf => pdf_of(&[&format!("BT /F1 11 Tf 72 700 Td ({WORDS}) Tj ET")]),
                Format::Email => format!("Subject: x\n\n{WORDS}\n").into_bytes(),
                Format::Json | Format::JsonLines => format!("\"{WORDS}\"").into_bytes(),
                _ => WORDS.as_bytes().to_vec(),
            };
            (format, bytes)
        })
        .collect()
}

pub(crate) const WORDS: &str = "The ferry leaves at noon";

#[test]
fn every_format_has_a_reader() {
    for (format, bytes) in small_files() {
        let reading = read_here(format, None, &bytes).unwrap();
        assert!(reading.text.contains(WORDS), "{format:?}: {}", reading.text);
        assert!(reading.noticed.is_nothing(), "{format:?}: {:?}", reading.noticed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_damaged_file_is_a_text_or_an_error(which in 0_usize..21, at in any::<prop::sample::Index>(), byte: u8, cut in any::<bool>()) {
        let (format, mut bytes) = small_files().swap_remove(which);
        let at = at.index(bytes.len());
        // A damaged PDF may keep its reader busy for ever: that is what the process is for.
        if format != Format::Pdf {
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            if let Ok(reading) = read_here(format, None, &bytes) {
                prop_assert!(reading.places.iter().all(|place| reading.text.is_char_boundary(place.start as usize)));
            }
        }
    }
}
