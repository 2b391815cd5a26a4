//! What tells of a person: addresses, numbers that states and banks give, dates of birth.
//!
//! A number is a finding by its checksum where it has one, or by the words around it. Names are not looked for.

use crate::detector::{Candidate, Detector, How, Then, Verdict};
use crate::finding::{Class, Confidence};
use crate::numbers;

const fn personal(
    name: &'static str,
    mark: &'static str,
    looks_for: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    judge: fn(Candidate<'_>) -> Option<Verdict>,
) -> Detector {
    let how = How::Pattern { keywords, pattern, judge, then: Then::AfterItsFirstWord };
    Detector { name, class: Class::Personal, version: 1, looks_for, mark, only_by_name: false, how }
}

pub(crate) const DETECTORS: &[Detector] = &[
    personal(
        "payment-card",
        "card number",
        "numbers of payment cards, by their checksum; the numbers that makers publish for tests are left out",
        &[],
        r"\b[2-6][0-9](?:[ -]?[0-9]){11,17}\b",
        payment_card,
    ),
    personal(
        "iban",
        "IBAN",
        "account numbers (IBAN), by country, length and checksum",
        &[],
        r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}",
        iban,
    ),
    personal(
        "us-ssn",
        "social security number",
        "social security numbers of the United States",
        &[],
        r"\b[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}\b",
        us_ssn,
    ),
    personal(
        "uk-nino",
        "national insurance number",
        "national insurance numbers of the United Kingdom",
        &[],
        r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b",
        uk_nino,
    ),
    personal(
        "german-tax-id",
        "tax number",
        "tax numbers of persons in Germany, by their checksum and the words around them",
        &["steuer", "idnr", "tax id", "tax-id", "tin"],
        r"\b[1-9][0-9](?: ?[0-9]{3}){3}\b",
        german_tax_id,
    ),
    Detector {
        how: How::Pattern {
            keywords: &["@"],
            pattern: r"\b[A-Za-z0-9_%+-](?:[A-Za-z0-9._%+-]{0,63})@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.)+[A-Za-z]{2,24}\b",
            judge: email,
            then: Then::AfterIt,
        },
        ..personal(
            "email",
            "e-mail address",
            "e-mail addresses; those of domains that are kept for examples are left out",
            &[],
            "",
            email,
        )
    },
    personal(
        "phone",
        "telephone number",
        "telephone numbers with a country's code, others beside a word such as phone or mobile",
        &[],
        r"(?:\+[1-9]|\(?\b0|\(?\b[2-9])[0-9]?(?:[ ()./-]{0,2}[0-9]){6,13}\b",
        phone,
    ),
    personal(
        "date-of-birth",
        "date of birth",
        "dates after words such as date of birth or born",
        &["birth", "dob", "d.o.b", "born", "geb.", "geburts", "geboren", "naissance", "nacimiento"],
        r"(?i:\bdate of birth|\bbirth ?date|\bd\.?o\.?b\.?\b|\bborn(?: on)?|\bgeburtsdatum|\bgeb\.|\bgeboren(?: am)?|\bdate de naissance|\bfecha de nacimiento)[^A-Za-z0-9\n]{1,8}(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{1,2}[./-][0-9]{1,2}[./-](?:[0-9]{4}|[0-9]{2})|[0-9]{1,2}\.? (?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|m\xC3\xA4r|mai|okt|dez)[a-z]{0,6}\.? [0-9]{4}|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.? [0-9]{1,2},? [0-9]{4})\b",
        date_of_birth,
    ),
    Detector {
        only_by_name: true,
        ..personal(
            "ip-address",
            "IP address",
            "public IPv4 addresses; on only when a policy names this detector",
            &[],
            r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b",
            ip_address,
        )
    },
];

/// Numbers that card schemes and payment services publish for tests.
const TEST_CARDS: &[&str] = &[
    "4111111111111111",
    "4242424242424242",
    "4012888888881881",
    "4000056655665556",
    "4000000000000002",
    "4222222222222",
    "5555555555554444",
    "5105105105105100",
    "5200828282828210",
    "2223003122003222",
    "2223000048400011",
    "378282246310005",
    "371449635398431",
    "378734493671000",
    "6011111111111117",
    "6011000990139424",
    "3530111333300000",
    "3566002020360505",
    "30569309025904",
    "38520000023237",
    "3056930009020004",
    "6200000000000005",
    "1234567890123452",
];

/// The lengths that numbers beginning so have; none for numbers that no scheme gives out.
fn card_lengths(digits: &[u8]) -> &'static [usize] {
    let first = digits.iter().take(4).fold(0u32, |number, &digit| number * 10 + u32::from(digit));
    match first {
        4000..=4999 => &[16, 13],
        5100..=5599 | 2221..=2720 => &[16],
        3400..=3499 | 3700..=3799 => &[15],
        3528..=3589 | 6011 | 6440..=6599 => &[16],
        3000..=3059 | 3600..=3699 | 3800..=3899 => &[14],
        6200..=6299 => &[16, 19],
        _ => &[],
    }
}

fn payment_card(candidate: Candidate<'_>) -> Option<Verdict> {
    let (found, digits) = (candidate.found(), numbers::digits(candidate.found()));
    let length = *card_lengths(&digits).iter().find(|&&length| length <= digits.len())?;
    let number = &digits[..length];
    let end = found.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).nth(length - 1)?.0 + 1;
    let (whole, rest) = found.split_at_checked(end)?;
    let (blanks, dashes) = (whole.matches(' ').count(), whole.matches('-').count());
    let text: String = number.iter().map(|&digit| char::from(b'0' + digit)).collect();
    let cut = Candidate { end: candidate.start + end, ..candidate };
    let is_one = numbers::is_luhn(number)
        && !rest.starts_with(|c: char| c.is_ascii_digit())
        && (blanks == 0 || dashes == 0)
        && is_grouped_like_a_card(whole)
        && !TEST_CARDS.contains(&text.as_str())
        && number.iter().any(|&digit| digit != number[0])
        && !cut.is_inside_a_number();
    if !is_one {
        return None;
    }
    let words = ["card", "visa", "mastercard", "amex", "credit", "debit", "karte", "carte", "pan"];
    cut.is(if blanks + dashes >= 2 || cut.is_near(&words) { Confidence::High } else { Confidence::Medium })
}

/// Whether blanks and dashes stand where they stand on cards. Lists of numbers have them elsewhere.
fn is_grouped_like_a_card(number: &str) -> bool {
    let groups: Vec<usize> = number.split([' ', '-']).map(str::len).collect();
    matches!(groups[..], [_] | [4, 4, 4, 4] | [4, 6, 5] | [4, 6, 4] | [4, 4, 4, 4, 3])
}

fn iban(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    let length = numbers::iban_length(&found[..2])?;
    let end = found.bytes().enumerate().filter(|(_, byte)| *byte != b' ').nth(length - 1)?.0 + 1;
    let whole = found[..end].replace(' ', "");
    let examples = ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606"];
    let goes_on = found[end..].starts_with(|c: char| c.is_ascii_alphanumeric())
        || (end == found.len() && candidate.after(1).starts_with(|c: char| c.is_ascii_alphanumeric()));
    if goes_on || !numbers::is_iban(&whole) || examples.contains(&whole.as_str()) {
        return None;
    }
    candidate.part(0, end, Confidence::High)
}

fn us_ssn(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    let examples = ["078-05-1120", "219-09-9999", "123-45-6789", "111-11-1111"];
    let never = found.starts_with("000") || found.starts_with("666") || &found[4..6] == "00" || &found[7..] == "0000";
    if never || examples.contains(&found) || candidate.is_inside_a_number() {
        return None;
    }
    let words = ["ssn", "social security", "tax id", "itin"];
    candidate.is(if candidate.is_near(&words) { Confidence::High } else { Confidence::Medium })
}

fn uk_nino(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    let never = ["BG", "GB", "KN", "NK", "NT", "TN", "ZZ"].contains(&&found[..2]);
    let words = ["national insurance", "nino", "ni number", "insurance no"];
    let digits = numbers::digits(found);
    let is_near = candidate.is_near(&words);
    let is_grouped = found.matches(' ').count() >= 3;
    // Codes of substances and parts look the same when nothing stands around them.
    if never || digits == [1, 2, 3, 4, 5, 6] || !(is_near || is_grouped) {
        return None;
    }
    candidate.is(if is_near { Confidence::High } else { Confidence::Medium })
}

fn german_tax_id(candidate: Candidate<'_>) -> Option<Verdict> {
    let words = ["steuer", "idnr", "tax id", "tax-id", "tin"];
    let is_one = numbers::is_german_tax_id(&numbers::digits(candidate.found()))
        && !candidate.is_inside_a_number()
        && candidate.is_near(&words);
    if is_one { candidate.is(Confidence::High) } else { None }
}

fn email(candidate: Candidate<'_>) -> Option<Verdict> {
    let (local, domain) = candidate.found().rsplit_once('@')?;
    let domain = domain.to_ascii_lowercase();
    let is_example = ["example", "test", "invalid", "localhost", "local", "internal"]
        .iter()
        .any(|top| domain.strip_suffix(top).is_some_and(|rest| rest.ends_with('.')))
        || ["example.com", "example.org", "example.net", "example.edu", "domain.com", "email.com"]
            .iter()
            .any(|known| domain.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let files = ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "ts", "css", "json", "yaml", "yml", "service"];
    let is_file = domain.rsplit('.').next().is_some_and(|end| files.contains(&end));
    // user@host:path of a repository, a version of an action or an image.
    let is_address_of_code = local == "git" || candidate.after(1) == ":" && !candidate.after(2).ends_with([' ', '\n']);
    if is_example || is_file || is_address_of_code { None } else { candidate.is(Confidence::High) }
}

fn phone(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    let digits = numbers::digits(found).len();
    let is_fiction = found.contains("555-01") || found.contains("555 01") || found.contains("5550100");
    if is_fiction || !(8..=15).contains(&digits) || candidate.is_inside_a_number() {
        return None;
    }
    if found.starts_with('+') {
        let is_sum = candidate.before(2).ends_with(|c: char| c.is_ascii_alphanumeric() || c == ')');
        return if is_sum { None } else { candidate.is(Confidence::High) };
    }
    let words = ["phone", "tel.", "tel:", "telefon", "mobile", "mobil:", "cell:", "fax", "call ", "handy", "whatsapp"];
    let is_date = found.len() == 10 && (found.as_bytes()[4] == b'-' || found.as_bytes()[2] == b'.');
    if candidate.is_near(&words) && !is_date { candidate.is(Confidence::Medium) } else { None }
}

fn date_of_birth(candidate: Candidate<'_>) -> Option<Verdict> {
    candidate.is(Confidence::High)
}

fn ip_address(candidate: Candidate<'_>) -> Option<Verdict> {
    let octets: Vec<u8> = candidate.found().split('.').map_while(|octet| octet.parse().ok()).collect();
    let is_public = match octets[..] {
        [0 | 10 | 127 | 224..=255, ..]
        | [169, 254, ..]
        | [192, 168, ..]
        | [192, 0, 2, _]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [198, 18..=19, ..] => false,
        [172, second, ..] => !(16..32).contains(&second),
        [100, second, ..] => !(64..128).contains(&second),
        // Four small numbers are a version more often than an address.
        [a, b, c, d] => a >= 20 || b > 20 || c > 20 || d > 20,
        _ => false,
    };
    if is_public && !candidate.is_inside_a_number() { candidate.is(Confidence::Medium) } else { None }
}
