//! Mails: who wrote to whom, when and about what, the body, and what is attached.
//!
//! Promises: a mail's own text comes first, its plain part where it has one; each attachment is read by its format's own
//! reader, under a heading with its name; what cannot be read is named, with why. Mails in mails are bounded.
//! Does not: check signatures, decrypt, or follow a link to a part outside.

use catena_domain::limits::{ATTACHMENTS_MAX, MAIL_DEPTH_MAX};
use catena_text::{Format, Position, Reading};
use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};

use crate::clean::clean;
use crate::draft::{Draft, add, one_line};
use crate::error::FormatError;
use crate::html;
use crate::read::read_here;
use crate::sniff;

/// The longest name of an attachment that is kept.
const NAME_CHARS_MAX: usize = 120;

/// Reads a mail. `depth` is how many mails it lies in.
pub(crate) fn read(bytes: &[u8], depth: usize) -> Result<Reading, FormatError> {
    let mail =
        MessageParser::default().parse(bytes).ok_or_else(|| FormatError::damaged("mail", "it has no headers"))?;
    let mut draft = Draft::default();
    write(&mut draft, &mail, depth)?;
    draft.title = mail.subject().map(str::to_owned);
    draft.finish()
}

fn write(draft: &mut Draft, mail: &Message<'_>, depth: usize) -> Result<(), FormatError> {
    draft.heading(if depth == 0 { 1 } else { 3 }, mail.subject().unwrap_or_default());
    let people = [("From", mail.from()), ("To", mail.to()), ("Cc", mail.cc())];
    for (label, addresses) in people {
        if let Some(named) = addresses.map(named).filter(|named| !named.is_empty()) {
            draft.item(0, "-", &format!("{label}: {named}"));
        }
    }
    if let Some(date) = mail.date() {
        draft.item(0, "-", &format!("Date: {}", date.to_rfc3339()));
    }
    body(draft, mail)?;
    for (index, part) in mail.attachments().enumerate() {
        if index == ATTACHMENTS_MAX {
            return Err(FormatError::too_much("attachments", ATTACHMENTS_MAX));
        }
        if draft.is_over() {
            break;
        }
        let name = part.attachment_name().map_or_else(|| format!("part {}", index + 1), one_line);
        let name: String = clean(&name).text.chars().take(NAME_CHARS_MAX).collect();
        let stated = part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default()));
        if is_picture(stated.as_deref(), part.contents()) {
            continue;
        }
        draft.place(Position::Part(name.clone()));
        draft.heading(2, &format!("Attachment: {name}"));
        let read = match &part.body {
            PartType::Message(_) if depth + 1 >= MAIL_DEPTH_MAX => {
                Err(FormatError::too_much("mails inside one another", MAIL_DEPTH_MAX))
            }
            PartType::Message(inner) => {
                write(draft, inner, depth + 1)?;
                continue;
            }
            PartType::Html(text) => html::read_text(text),
            PartType::Text(text) => attached(&name, stated.as_deref(), text.as_bytes(), depth),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => attached(&name, stated.as_deref(), bytes, depth),
            PartType::Multipart(_) => continue,
        };
        match read {
            // Its pages and rows are those of the part, so the part's name is what finds them.
            Ok(reading) => draft.append(Reading { places: Vec::new(), ..reading }),
            Err(error) => draft.paragraph(&format!("(This attachment was not read: {error}.)")),
        }
    }
    Ok(())
}

/// The mail's own text: the plain part, else the page.
fn body(draft: &mut Draft, mail: &Message<'_>) -> Result<(), FormatError> {
    let plain: Vec<_> = mail.text_bodies().filter_map(|part| part_text(&part.body)).collect();
    if plain.iter().any(|text| !text.trim().is_empty()) {
        for text in plain {
            for block in text.replace("\r\n", "\n").split("\n\n") {
                draft.paragraph(block);
            }
        }
        return Ok(());
    }
    for part in mail.html_bodies() {
        if let PartType::Html(page) = &part.body {
            match html::read_text(page) {
                Ok(Reading { text, noticed, .. }) => {
                    draft.markdown(&text);
                    add(&mut draft.noticed, noticed);
                }
                Err(FormatError::Text(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn part_text<'a>(body: &'a PartType<'_>) -> Option<&'a str> {
    if let PartType::Text(text) = body { Some(text) } else { None }
}

fn attached(name: &str, stated: Option<&str>, bytes: &[u8], depth: usize) -> Result<Reading, FormatError> {
    // What programs say of attachments is often made up, so the bytes and the name are asked too.
    let format =
        sniff::format(stated, name, bytes).or_else(|error| sniff::format(None, name, bytes).map_err(|_| error))?;
    match format {
        Format::Email if depth + 1 >= MAIL_DEPTH_MAX => {
            Err(FormatError::too_much("mails inside one another", MAIL_DEPTH_MAX))
        }
        Format::Email => read(bytes, depth + 1),
        format => read_here(format, None, bytes),
    }
}

/// Pictures in a mail are signatures and logos, and are passed over without a word.
fn is_picture(stated: Option<&str>, bytes: &[u8]) -> bool {
    stated.is_some_and(|kind| kind.starts_with("image/")) || infer::is_image(bytes)
}

fn named(addresses: &Address<'_>) -> String {
    let each = addresses.iter().map(|one| match (one.name(), one.address()) {
        (Some(name), Some(address)) => format!("{name} <{address}>"),
        (name, address) => name.or(address).unwrap_or_default().to_owned(),
    });
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAIL: &str = "From: Ada Pell <ada@harbour.example>\r\nTo: crew@harbour.example\r\nSubject: =?utf-8?q?Mooring_f=C3=A9es?=\r\n\
        Date: Tue, 3 Mar 2026 09:15:00 +0100\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\nContent-Type: text/plain\r\n\r\nThe fees rise in May.\r\n\
        --c\r\nContent-Type: text/html\r\n\r\n<p>The fees rise in <b>May</b>.</p>\r\n--c--\r\n\
        --b\r\nContent-Type: text/csv; name=fees.csv\r\nContent-Disposition: attachment; filename=fees.csv\r\n\r\nport,fee\r\nLarkmoor,12\r\n\
        --b\r\nContent-Type: application/zip\r\nContent-Disposition: attachment; filename=old.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBAoAAAAAAA==\r\n--b--\r\n";

    #[test]
    fn a_mail_reads_as_headers_body_and_attachments_with_their_names() {
        let reading = read(MAIL.as_bytes(), 0).unwrap();
        assert_eq!(reading.title.as_deref(), Some("Mooring fées"));
        assert!(reading.text.starts_with(
            "# Mooring fées\n\n- From: Ada Pell <ada@harbour.example>\n- To: crew@harbour.example\n- Date: 2026-03-03T09:15:00+01:00\n\nThe fees rise in May.\n"
        ), "{}", reading.text);
        assert_eq!(reading.text.matches("rise").count(), 1, "the same text in two forms counts once");
        assert!(
            reading.text.contains("## Attachment: fees.csv\n\n| port | fee |\n|---|---|\n| Larkmoor | 12 |\n"),
            "{}",
            reading.text
        );
        assert!(reading.text.contains("## Attachment: old.zip\n\n(This attachment was not read: "), "{}", reading.text);
        let names: Vec<_> = reading
            .places
            .iter()
            .map(|place| (place.position.clone(), &reading.text[place.start as usize..][..4]))
            .collect();
        assert_eq!(names, [(Position::Part("fees.csv".into()), "## A"), (Position::Part("old.zip".into()), "## A")]);
    }

    #[test]
    fn a_mail_of_one_page_is_read_like_a_page() {
        let mail =
            "From: a@b.example\nSubject: Hi\nContent-Type: text/html\n\n<h2>News</h2><p hidden>no</p><p>Yes.</p>\n";
        let reading = read(mail.as_bytes(), 0).unwrap();
        assert!(reading.text.ends_with("## News\n\nYes.\n"), "{}", reading.text);
        assert_eq!(reading.noticed.hidden_text, 1);
    }

    #[test]
    fn mails_inside_one_another_are_bounded() {
        let mut mail = "Subject: innermost\n\nThe end.\n".to_owned();
        for depth in 0..12 {
            mail = format!(
                "Subject: level {depth}\nContent-Type: multipart/mixed; boundary=b{depth}\n\n--b{depth}\nContent-Type: message/rfc822\n\n{mail}\n--b{depth}--\n"
            );
        }
        let reading = read(mail.as_bytes(), 0).unwrap();
        assert!(reading.text.contains("level 11") && !reading.text.contains("innermost"));
        assert!(reading.text.contains("more than 4 mails inside one another"), "{}", reading.text);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_mail_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, 0);
        }
    }
}
