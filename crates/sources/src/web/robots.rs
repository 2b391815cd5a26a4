//! `robots.txt` as RFC 9309 has it: which paths a program may ask for, and how slowly.
//!
//! Promises: the group that names this program decides alone, else that of `*`; the longest rule that matches wins, and of
//! equal ones the one that allows; a line that is not understood changes nothing. Does not: fetch the file.

use std::time::Duration;

/// What is read of a file, in bytes.
pub(super) const BYTES_MAX: usize = 512 * 1024;
/// Most rules that are kept.
const RULES_MAX: usize = 10_000;
/// Longest delay that is obeyed. A site that asks for more is asked this slowly.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// As whom the program knows itself in the file.
const NAME: &str = "catena";

/// What one site allows this program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Robots {
    rules: Vec<Rule>,
    /// Least time between two requests.
    pub(super) delay: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    allows: bool,
    pattern: String,
}

/// Which lines concern this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Concerns {
    Nobody,
    Everybody,
    Us,
}

impl Robots {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES_MAX)]);
        let (mut ours, mut everybodys) = (Self::default(), Self::default());
        let mut is_named = false;
        let (mut concerns, mut in_heads) = (Concerns::Nobody, false);
        for line in text.trim_start_matches('\u{FEFF}').lines() {
            let line = line.split('#').next().unwrap_or_default();
            let Some((key, value)) = line.split_once(':') else { continue };
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
            if key == "user-agent" {
                // Heads that follow each other open one group.
                concerns = if in_heads { concerns.max(whom(value)) } else { whom(value) };
                in_heads = true;
                is_named |= concerns == Concerns::Us;
                continue;
            }
            let group = match concerns {
                Concerns::Us => &mut ours,
                Concerns::Everybody => &mut everybodys,
                Concerns::Nobody => {
                    in_heads &= !matches!(key.as_str(), "allow" | "disallow" | "crawl-delay");
                    continue;
                }
            };
            match key.as_str() {
                "allow" | "disallow" => {
                    in_heads = false;
                    if !value.is_empty() && group.rules.len() < RULES_MAX {
                        group.rules.push(Rule { allows: key == "allow", pattern: normal(value) });
                    }
                }
                "crawl-delay" => {
                    in_heads = false;
                    let seconds = value.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && seconds.is_finite());
                    let seconds = seconds.unwrap_or_default().min(DELAY_MAX.as_secs_f64());
                    group.delay = Duration::from_secs_f64(seconds);
                }
                _ => {}
            }
        }
        if is_named { ours } else { everybodys }
    }

    /// Whether a path, with its query, may be asked for.
    pub(super) fn allow(&self, path: &str) -> bool {
        if path == "/robots.txt" {
            return true;
        }
        let path = normal(path);
        let matching = self.rules.iter().filter(|rule| matches(&rule.pattern, &path));
        matching.max_by_key(|rule| (rule.pattern.len(), rule.allows)).is_none_or(|rule| rule.allows)
    }
}

fn whom(agent: &str) -> Concerns {
    let name: String = agent.chars().take_while(|c| c.is_ascii_alphabetic() || matches!(c, '-' | '_')).collect();
    match () {
        () if agent == "*" => Concerns::Everybody,
        () if name.eq_ignore_ascii_case(NAME) => Concerns::Us,
        () => Concerns::Nobody,
    }
}

/// A path in one form, whichever of its characters are written in percent.
fn normal(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        let coded =
            match (bytes[at], bytes.get(at + 1).copied().and_then(hex), bytes.get(at + 2).copied().and_then(hex)) {
                (b'%', Some(high), Some(low)) => u8::try_from(high * 16 + low).ok(),
                _ => None,
            };
        let (byte, is_coded) = coded.map_or((bytes[at], false), |byte| (byte, true));
        let plain =
            if is_coded { byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) } else { byte.is_ascii_graphic() };
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        at += if is_coded { 3 } else { 1 };
    }
    out
}

/// Whether a pattern matches the beginning of a path: `*` any characters, `$` at its end the path's end. In time that does
/// not grow beyond the product of both lengths.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, to_end) = pattern.strip_suffix('$').map_or((pattern, false), |pattern| (pattern, true));
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else { return !to_end || rest.is_empty() };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    if to_end { rest.ends_with(last) } else { rest.contains(last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rule_wins_and_of_equal_ones_the_one_that_allows() {
        let robots = Robots::parse(
            b"User-agent: *\nDisallow: /private/\nAllow: /private/open\nDisallow: /private/open/not\nDisallow: /*.pdf$\nAllow: /same\nDisallow: /same\nDisallow:\n",
        );
        for (path, allowed) in [
            ("/", true),
            ("/private/a", false),
            ("/private", true),
            ("/private/open/a", true),
            ("/private/open/not", false),
            ("/a.pdf", false),
            ("/a.pdf?x", true),
            ("/same", true),
            ("/pri%76ate/a", false),
            ("/robots.txt", true),
        ] {
            assert_eq!(robots.allow(path), allowed, "{path}");
        }
    }

    #[test]
    fn the_group_that_names_us_decides_alone() {
        let robots = Robots::parse(
            b"User-agent: *\nDisallow: /\n\nuser-agent: other\nuser-agent: Catena/1.0\nDisallow: /no # why\nCrawl-delay: 2.5\n\n\
              User-agent: catena\nDisallow: /nor\n\nUser-agent: catenary\nDisallow: /\n",
        );
        assert!(robots.allow("/yes") && !robots.allow("/no") && !robots.allow("/nor"));
        assert_eq!(robots.delay, Duration::from_millis(2_500));
        let others = Robots::parse(b"User-agent: other\nDisallow: /\nCrawl-delay: 9");
        assert_eq!(others, Robots::default());
        assert!(!Robots::parse(b"User-agent: *\nDisallow: /").allow("/a"));
    }

    #[test]
    fn a_group_begins_anew_after_its_rules() {
        let robots = Robots::parse(b"User-agent: catena\nDisallow: /a\nUser-agent: other\nDisallow: /b\n");
        assert!(!robots.allow("/a") && robots.allow("/b"));
        let robots = Robots::parse(b"User-agent: other\nDisallow: /b\nUser-agent: catena\nDisallow: /a\n");
        assert!(!robots.allow("/a") && robots.allow("/b"));
    }

    #[test]
    fn patterns_match_beginnings_and_a_hostile_one_takes_no_time() {
        for (pattern, path, expected) in [
            ("/a", "/ab", true),
            ("/a$", "/ab", false),
            ("/*/b", "/a/c/b/d", true),
            ("/*a*b$", "/aab", true),
            ("/*b$", "/bab", true),
            ("/x*", "/x", true),
            ("*", "/", true),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
        assert!(!matches(&"*a".repeat(5_000), &format!("/{}", "a".repeat(4_000))));
        assert_eq!(Robots::parse(b"User-agent: *\nCrawl-delay: 99999999\n").delay, DELAY_MAX);
        for odd in ["-1", "nan", "inf", "x"] {
            Robots::parse(format!("User-agent: *\nCrawl-delay: {odd}\n").as_bytes());
        }
    }
}
