//! What opens a door: tokens by the forms that their makers gave them, private keys, passwords in settings.
//!
//! Where a form has a checksum it is checked. Values that examples and templates use in place of a secret are none.

use crate::detector::{Candidate, Detector, How, Then, Verdict};
use crate::finding::{Class, Confidence};

const fn secret(
    name: &'static str,
    mark: &'static str,
    looks_for: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    judge: fn(Candidate<'_>) -> Option<Verdict>,
) -> Detector {
    let how = How::Pattern { keywords, pattern, judge, then: Then::AfterIt };
    Detector { name, class: Class::Secret, version: 1, looks_for, mark, only_by_name: false, how }
}

pub(crate) const DETECTORS: &[Detector] = &[
    secret(
        "catena-key",
        "Catena key",
        "keys of this service, by their checksum",
        &["cat_"],
        r"\bcat_[a-z2-7]{16}_[a-z2-7]{52}_[a-z2-7]{7}\b",
        catena_key,
    ),
    secret(
        "private-key",
        "private key",
        "private keys in PEM or OpenPGP blocks, whole or cut off",
        &["private key"],
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
        private_key,
    ),
    secret(
        "aws-key",
        "AWS key",
        "access key ids of Amazon Web Services, and secret access keys beside their names",
        &["akia", "asia", "secret"],
        r#"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b|(?i:aws_?secret_?(?:access_?)?key|secret_?access_?key)["']?[ \t]{0,4}[=:][ \t]{0,4}["']?[A-Za-z0-9/+]{40}"#,
        aws_key,
    ),
    secret(
        "google-key",
        "Google key",
        "API keys, OAuth client secrets and access tokens of Google Cloud",
        &["aiza", "gocspx-", "ya29."],
        r"\bAIza[A-Za-z0-9_-]{35}|\bGOCSPX-[A-Za-z0-9_-]{28}|\bya29\.[A-Za-z0-9_-]{40}[A-Za-z0-9_-]*",
        fixed_form,
    ),
    secret(
        "azure-key",
        "Azure key",
        "account keys, shared access signatures and client secrets of Microsoft Azure",
        &["accountkey=", "sharedaccesskey=", "sig=", "q~"],
        r"(?i:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{43}[A-Za-z0-9+/]*={1,2}|[?&]sig=[A-Za-z0-9%]{43,100}%3[Dd]|\b[A-Za-z0-9_.-]{3}[0-9]Q~[A-Za-z0-9_.~-]{31,34}",
        fixed_form,
    ),
    secret(
        "github-token",
        "GitHub token",
        "tokens of GitHub, by their checksum",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        r"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
        github_token,
    ),
    secret(
        "gitlab-token",
        "GitLab token",
        "tokens of GitLab",
        &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-"],
        r"\bgl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_-]{20}[A-Za-z0-9_.-]*",
        fixed_form,
    ),
    secret(
        "slack-token",
        "Slack token",
        "tokens and webhook addresses of Slack",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xapp-", "hooks.slack.com"],
        r"\bxox[abeprs]-[0-9A-Za-z]{8,}[0-9A-Za-z-]*|\bxapp-[0-9]-[A-Za-z0-9-]{20,}|hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,32}",
        fixed_form,
    ),
    secret(
        "stripe-key",
        "Stripe key",
        "secret and restricted keys and webhook secrets of Stripe",
        &["sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_"],
        r"\b(?:[sr]k_(?:live|test)_[A-Za-z0-9]{20,}|whsec_[A-Za-z0-9]{32,})",
        stripe_key,
    ),
    secret(
        "vendor-token",
        "access token",
        "tokens with a form of their own: npm, PyPI, Hugging Face, SendGrid, DigitalOcean, Shopify, providers of models",
        &["npm_", "pypi-age", "hf_", "sg.", "dop_v1_", "shpat_", "sk-"],
        r"\bnpm_[A-Za-z0-9]{36}\b|\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}|\bhf_[A-Za-z]{34}\b|\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}|\bdop_v1_[a-f0-9]{64}\b|\bshpat_[a-fA-F0-9]{32}\b|\bsk-(?:proj|svcacct|admin|ant-api03)-[A-Za-z0-9_-]{40,}|\bsk-[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}",
        fixed_form,
    ),
    secret(
        "jwt",
        "token",
        "JSON Web Tokens with a signature",
        &["eyj"],
        r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{20,}",
        jwt,
    ),
    secret(
        "connection-string",
        "password in an address",
        "addresses that hold a user's password: scheme://user:password@host",
        &["://"],
        r#"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[A-Za-z0-9._~%+-]{0,64}:[^\s/@:"'<>`{}$]{3,128}@[A-Za-z0-9.\[-]"#,
        connection_string,
    ),
    Detector {
        version: 2,
        ..secret(
            "password",
            "password",
            "values that look random beside the words password, secret, token or API key",
            &[
                "passw",
                "pwd",
                "secret",
                "token",
                "api_key",
                "apikey",
                "api-key",
                "access_key",
                "accesskey",
                "private_key",
            ],
            r#"(?i:passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key)["'`]?(?:[ \t]{0,8}(?::=|=>|[:=])[ \t]{0,8}|[ \t]{1,4}is[ \t]{1,4}|>)(?i:basic |bearer )?["'`]?[^\s"'`<>,;]{8,200}"#,
            password,
        )
    },
];

/// Words that stand in a value only where it is none yet.
const PLACEHOLDERS: &[&str] = &[
    "example",
    "changeme",
    "change-me",
    "change_me",
    "your",
    "xxxx",
    "****",
    "....",
    "placeholder",
    "redacted",
    "dummy",
    "sample",
    "todo",
    "insert",
    "replace",
    "12345678",
    "abcdefgh",
    "00000000",
    "password",
    "secret",
    "token",
    "foobar",
    "hunter2",
    "fake",
];

fn is_placeholder(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| value.contains(word))
}

/// How much its letters say, in bits a letter: words and repetitions say little, random ones much.
fn entropy_bits(value: &str) -> f64 {
    let mut times = [0u32; 256];
    for byte in value.bytes() {
        times[usize::from(byte)] += 1;
    }
    let length = value.len() as f64;
    times.iter().filter(|&&count| count > 0).map(|&count| f64::from(count) / length).map(|p| -p * p.log2()).sum()
}

fn fixed_form(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    let is_example = found.to_ascii_lowercase().contains("example") || entropy_bits(found) < 2.5;
    if is_example { None } else { candidate.is(Confidence::High) }
}

fn catena_key(candidate: Candidate<'_>) -> Option<Verdict> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (body, check) = candidate.found().rsplit_once('_')?;
    // 32 bits in letters of five bits each, the last one filled up.
    let bits = u64::from(crc32fast::hash(body.as_bytes())) << 3;
    let letters = (0..7).rev().map(|place| ALPHABET[(bits >> (5 * place)) as usize & 31]);
    if letters.eq(check.bytes()) { candidate.is(Confidence::High) } else { None }
}

/// From the first line of a key to its last one. Of a key that is cut off, as far as lines look like one.
fn private_key(candidate: Candidate<'_>) -> Option<Verdict> {
    const KEY_BYTES_MAX: usize = 16 * 1024;
    const LAST_LINE_MAX: usize = 80;
    let rest = candidate.after(KEY_BYTES_MAX);
    let rest = &rest[..rest.find("-----BEGIN").unwrap_or(rest.len())];
    let length = match rest.find("-----END") {
        Some(end) => {
            let line = &rest[end..rest.floor_char_boundary(end + LAST_LINE_MAX)];
            let name = "-----END".len();
            end + line[name..].find("-----").map_or(name, |close| name + close + "-----".len())
        }
        None => rest.bytes().take_while(|&byte| is_of_a_key(byte)).count(),
    };
    let body = rest.get(..length)?.bytes().filter(u8::is_ascii_alphanumeric).count();
    // A heading without a key under it is talk about keys.
    if body < 40 { None } else { candidate.part(0, candidate.end - candidate.start + length, Confidence::High) }
}

fn is_of_a_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'+' | b'/' | b'=' | b'\n' | b'\\' | b'"' | b':' | b',' | b'-' | b' ')
}

fn aws_key(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    if found.contains("EXAMPLE") || candidate.after(10).to_ascii_uppercase().starts_with("EXAMPLE") {
        return None;
    }
    let value = found.rsplit([':', '=', ' ', '\t', '"', '\'']).next().unwrap_or(found);
    if entropy_bits(value) < 3.0 || candidate.after(1).starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    candidate.part(found.len() - value.len(), found.len(), Confidence::High)
}

fn github_token(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    if found.starts_with("github_pat_") {
        return fixed_form(candidate);
    }
    let (random, check) = found.split_once('_')?.1.split_at_checked(30)?;
    let mut sum = crc32fast::hash(random.as_bytes());
    let mut letters = *b"000000";
    for letter in letters.iter_mut().rev() {
        *letter = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[sum as usize % 62];
        sum /= 62;
    }
    if letters == check.as_bytes() {
        return candidate.is(Confidence::High);
    }
    // Tokens of servers have not always had a checksum.
    if entropy_bits(random) > 3.5 && !is_placeholder(found) { candidate.is(Confidence::Medium) } else { None }
}

fn stripe_key(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    if is_placeholder(found) || entropy_bits(found) < 3.0 {
        return None;
    }
    candidate.is(if found.contains("_test_") { Confidence::Medium } else { Confidence::High })
}

fn jwt(candidate: Candidate<'_>) -> Option<Verdict> {
    // `"alg":` in the three ways in which it can lie in base64.
    let header = candidate.found().split('.').next()?;
    let names_algorithm = ["hbGciO", "FsZyI6", "YWxnIj"].iter().any(|piece| header.contains(piece));
    if names_algorithm { candidate.is(Confidence::High) } else { None }
}

fn connection_string(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    let (scheme, rest) = found.split_once("://")?;
    let (user, rest) = rest.split_once(':')?;
    let password = &rest[..rest.rfind('@')?];
    let lower = password.to_ascii_lowercase();
    let is_stand_in = is_placeholder(password)
        || ["pass", "pwd", "passwd", "pw", "user", "admin", "root", "postgres", "guest", "test", "..."]
            .contains(&lower.as_str())
        || lower == user.to_ascii_lowercase()
        || lower.starts_with(['%', '*', '[', '('])
        || (lower.bytes().all(|byte| byte.is_ascii_digit()) && lower.len() < 6)
        || password.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    if is_stand_in {
        return None;
    }
    let start = scheme.len() + "://".len() + user.len() + 1;
    let confidence = if entropy_bits(password) > 2.5 { Confidence::High } else { Confidence::Medium };
    candidate.part(start, start + password.len(), confidence)
}

fn password(candidate: Candidate<'_>) -> Option<Verdict> {
    let found = candidate.found();
    let from = found.find([':', '=', '>']).or_else(|| found.to_ascii_lowercase().find(" is ").map(|at| at + 3))?;
    let value = found[from..].trim_start_matches([':', '=', '>', ' ', '\t', '"', '\'', '`']);
    let value = ["basic ", "bearer "]
        .iter()
        .find_map(|scheme| {
            value.get(..scheme.len()).filter(|it| it.eq_ignore_ascii_case(scheme)).map(|it| &value[it.len()..])
        })
        .unwrap_or(value)
        .trim_start_matches(['"', '\'', '`']);
    let start = found.len() - value.len();
    let value = value.trim_end_matches(['.', ')', ']', '}', '\\', '|', '*', '_']);
    if value.len() < 8 || is_placeholder(value) || is_name_or_code(value) {
        return None;
    }
    let bits = entropy_bits(value);
    let is_long = value.len() >= 20 && bits >= 3.7;
    if bits < 2.75 || (!is_long && !is_mixed(value)) {
        return None;
    }
    let more = more_of_it(candidate, start);
    let end = if more == 0 { start + value.len() } else { found.len() + more };
    candidate.part(start, end, if is_long { Confidence::High } else { Confidence::Medium })
}

/// How far a value goes on behind what has its form: in quotes, up to the closing one or the end of the line; without
/// them, up to what is no visible ASCII, a quote, a tag, or the next setting.
fn more_of_it(candidate: Candidate<'_>, start: usize) -> usize {
    const VALUE_BYTES_MAX: usize = 16 * 1024;
    let (found, rest) = (candidate.found(), candidate.after(VALUE_BYTES_MAX));
    let bytes = rest.as_bytes();
    let end_of_line = || bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
    match found[..start].bytes().last().filter(|byte| matches!(byte, b'"' | b'\'' | b'`')) {
        Some(quote) => {
            let end = end_of_line();
            let mut is_escaped = found.ends_with('\\');
            let closes = |&byte: &u8| {
                let closes = byte == quote && !is_escaped;
                is_escaped = byte == b'\\' && !is_escaped;
                closes
            };
            let end = bytes[..end].iter().position(closes).unwrap_or(end);
            rest[..end].trim_end().len()
        }
        None => {
            let is_of_it = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`');
            let rest = &rest[..bytes.iter().position(|byte| !is_of_it(byte)).unwrap_or(bytes.len())];
            let mut marks = rest.match_indices([',', ';', '<', '>']).map(|(at, _)| at);
            let end = marks.find(|&at| begins_something_else(&rest[at..])).unwrap_or(rest.len());
            rest[..end].trim_end_matches(['.', ',', ';', '<', '>', ')', ']', '}', '\\', '|', '*', '_']).len()
        }
    }
}

/// Whether a mark between two values has a tag or the name of a setting behind it.
fn begins_something_else(rest: &str) -> bool {
    const NAME_BYTES_MAX: usize = 32;
    let bytes = rest.as_bytes();
    if bytes[0] == b'<' {
        return bytes.get(1).is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'!'));
    }
    let is_of_a_name = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let name = bytes[1..].iter().take(NAME_BYTES_MAX).take_while(is_of_a_name).count();
    name > 0 && matches!(bytes.get(1 + name), Some(b'=' | b':')) && !matches!(bytes.get(2 + name), None | Some(b'='))
}

fn is_mixed(value: &str) -> bool {
    let has = |of: fn(&u8) -> bool| value.bytes().any(|byte| of(&byte));
    let kinds = [has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit)];
    has(u8::is_ascii_digit) && kinds.iter().filter(|&&has| has).count() >= 2
}

/// Names of variables and files, calls, paths, addresses, templates: what programs write in place of a value.
fn is_name_or_code(value: &str) -> bool {
    let begins = ['$', '{', '<', '%', '[', '(', '&', '@', '/', '.', '#', '-', '*', '!', '~'];
    let is_words = value.split(['_', '-', '.', ':', '/']).all(|word| {
        word.bytes().all(|byte| byte.is_ascii_lowercase())
            || word.bytes().all(|byte| byte.is_ascii_uppercase())
            || word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() < 6
    });
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    value.starts_with(begins)
        || value.contains(['(', '{', '[', '\\', '|'])
        || ["://", "->", "::", "=="].iter().any(|piece| value.contains(piece))
        || is_words
        || (!has_digit && value.bytes().all(|byte| byte.is_ascii_alphabetic() || b"_-.".contains(&byte)))
        || value.matches(['/', '.']).count() > 2 && value.len() < 40
}
