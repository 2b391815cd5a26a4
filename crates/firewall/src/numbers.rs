//! Checksums of numbers that people bear.

/// The digits of a text, and nothing else of it.
pub(crate) fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|digit| digit - b'0').collect()
}

/// Whether the last digit is the check digit of a card number.
pub(crate) fn is_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, u32::from(digit) * 2) {
            (0, _) => u32::from(digit),
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the check digits of an IBAN, without its blanks, are right.
pub(crate) fn is_iban(iban: &str) -> bool {
    let Some((head, tail)) = iban.split_at_checked(4) else { return false };
    let mut rest = 0u32;
    for byte in tail.bytes().chain(head.bytes()) {
        rest = match byte {
            b'0'..=b'9' => rest * 10 + u32::from(byte - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(byte - b'A') + 10,
            _ => return false,
        } % 97;
    }
    rest == 1
}

/// The length of a country's IBANs.
pub(crate) fn iban_length(country: &str) -> Option<usize> {
    const LENGTHS: &[(usize, &str)] = &[
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FO GL NL"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "PT"),
        (26, "IS TR"),
        (27, "FR GR IT MC MR SM"),
        (28, "AL AZ CY DO GT HU LB PL"),
        (29, "BR PS QA UA"),
        (30, "JO KW MU"),
        (31, "MT SC"),
    ];
    LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|it| it == country)).map(|&(length, _)| length)
}

/// Whether eleven digits are a German tax number for persons: one digit of the first ten comes twice or three times and
/// all others at most once, and the last one checks them (ISO 7064, MOD 11,10).
pub(crate) fn is_german_tax_id(digits: &[u8]) -> bool {
    let Some((&check, ten)) = digits.split_last() else { return false };
    if ten.len() != 10 || ten[0] == 0 {
        return false;
    }
    let mut times = [0u8; 10];
    for &digit in ten {
        times[usize::from(digit)] += 1;
    }
    let repeated: Vec<u8> = times.iter().copied().filter(|&count| count > 1).collect();
    if !matches!(repeated[..], [2 | 3]) {
        return false;
    }
    let product = ten.iter().fold(10, |product, &digit| {
        let sum = (u32::from(digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    u32::from(check) == (11 - product) % 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_the_standards() {
        assert!(is_luhn(&digits("4539 1488 0343 6467")));
        assert!(!is_luhn(&digits("4539 1488 0343 6468")));
        assert!(is_iban("GB82WEST12345698765432"));
        assert!(is_iban("DE89370400440532013000"));
        assert!(!is_iban("DE89370400440532013001"));
        assert!(is_german_tax_id(&digits("86095742719")));
        assert!(is_german_tax_id(&digits("47036892816")));
        assert!(!is_german_tax_id(&digits("47036892817")));
        assert!(!is_german_tax_id(&digits("11111111111")));
    }
}
