//! Files that are made to cost more than they should.

use std::io::{Cursor, Write as _};

use catena_text::Format;
use zip::write::{SimpleFileOptions, ZipWriter};

const WORD: &str = r#"xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main""#;
const SHEET: &str = r#"xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships""#;

/// Each with what it is called and the format that it claims.
pub fn files() -> anyhow::Result<Vec<(&'static str, Format, Vec<u8>)>> {
    let zeros = vec![b' '; 600 * 1024 * 1024];
    let deep = format!("<w:document {WORD}>{}", "<w:p>".repeat(100_000));
    let entities = format!(
        "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;\">]><w:document {WORD}><w:body><w:p><w:r><w:t>&b;</w:t></w:r></w:p></w:body></w:document>"
    );
    let attributes: String = (0..80_000).map(|n| format!("a{n}='' ")).collect();
    let attributes = format!("<w:document {WORD} {attributes}/>");
    let many: Vec<(String, &[u8])> = (0..12_000).map(|n| (format!("part{n}"), b"".as_slice())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    Ok(vec![
        ("zip bomb, 600 MiB of blanks", Format::Docx, archive(&[("word/document.xml", &zeros)])?),
        ("archive of 12,000 files", Format::Docx, archive(&many)?),
        ("XML nested 100,000 deep", Format::Docx, archive(&[("word/document.xml", deep.as_bytes())])?),
        ("XML entities", Format::Docx, archive(&[("word/document.xml", entities.as_bytes())])?),
        ("XML element with 80,000 attributes", Format::Docx, archive(&[("word/document.xml", attributes.as_bytes())])?),
        ("sheet of 100,000 rows", Format::Xlsx, sheet(100_000)?),
        ("JSON nested 1,000,000 deep", Format::Json, "[".repeat(1_000_000).into_bytes()),
        ("HTML nested 200,000 deep", Format::Html, "<div>".repeat(200_000).into_bytes()),
        ("HTML of 200,000 open tags", Format::Html, "<p><b><i><a>".repeat(50_000).into_bytes()),
        ("text of one line of 1 MB", Format::PlainText, "word ".repeat(200_000).into_bytes()),
        ("one word of 1 MB", Format::PlainText, vec![b'x'; 1_000_000]),
        ("CSV of one line of 1 MB", Format::Csv, "cell,".repeat(200_000).into_bytes()),
        ("PDF cut in the middle", Format::Pdf, b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pa".to_vec()),
        ("PDF nested 100,000 deep", Format::Pdf, format!("%PDF-1.7\n1 0 obj\n{}\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF", "[".repeat(100_000)).into_bytes()),
        ("PDF whose pages are their own parents", Format::Pdf, b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF".to_vec()),
    ])
}

fn archive(parts: &[(&str, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in parts {
        zip.start_file(*name, SimpleFileOptions::default())?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

fn sheet(rows: usize) -> anyhow::Result<Vec<u8>> {
    let mut cells = format!("<worksheet {SHEET}><sheetData>");
    for row in 1..=rows {
        cells.push_str(&format!(
            "<row r=\"{row}\"><c r=\"A{row}\"><v>{}</v></c><c r=\"B{row}\" t=\"inlineStr\"><is><t>item {}</t></is></c><c r=\"C{row}\"><v>{}.5</v></c></row>",
            row * 7919 % 100_003,
            row * 104_729 % 1_000_003,
            row * 31 % 977,
        ));
    }
    cells.push_str("</sheetData></worksheet>");
    let workbook =
        format!("<workbook {SHEET}><sheets><sheet name=\"Rows\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>");
    let kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    let root = format!(
        "<Relationships xmlns=\"{package}\"><Relationship Id=\"r1\" Type=\"{kind}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    );
    let relations = format!(
        "<Relationships xmlns=\"{package}\"><Relationship Id=\"r1\" Type=\"{kind}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
    );
    archive(&[
        ("[Content_Types].xml", b"<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>"),
        ("_rels/.rels", root.as_bytes()),
        ("xl/workbook.xml", workbook.as_bytes()),
        ("xl/_rels/workbook.xml.rels", relations.as_bytes()),
        ("xl/worksheets/sheet1.xml", cells.as_bytes()),
    ])
}
