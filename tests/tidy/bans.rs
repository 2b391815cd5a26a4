//! Names that may not stand in the code, or only in the crate that owns them.

use crate::rules::{Ban, TABLE, TestCode};
use crate::source::{Source, line_of, places};

/// Every banned text that stands where it may not.
pub(crate) fn check(bans: &[Ban], sources: &[Source]) -> Vec<String> {
    let mut violations = Vec::new();
    for source in sources {
        let begins = |prefix: &String| source.path.starts_with(prefix.as_str());
        for ban in bans.iter().filter(|ban| ban.r#in.iter().any(begins) && !ban.except.iter().any(begins)) {
            let code = if ban.test_code == TestCode::Free { &source.shipped } else { &source.code };
            for text in &ban.texts {
                for at in places(code, text) {
                    let line = line_of(code, at);
                    violations.push(format!("{}:{line}: `{text}`: {} ({TABLE})", source.path, ban.reason));
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Rules;
    use crate::tree::repository_root;

    /// Every line of the table is tried: the text where it is banned, where it is allowed, in a comment, in a test.
    #[test]
    fn each_banned_text_is_found_where_it_is_banned_and_only_there() {
        let bans = Rules::read(&repository_root()).unwrap().ban;
        for ban in &bans {
            for text in &ban.texts {
                let one = std::slice::from_ref(ban);
                let tried = |path: &str, code: &str| check(one, &Source::alone(path, code)).len();
                let folder = ban.r#in.first().map(String::as_str).unwrap_or_default();
                let path = format!("{folder}x/src/a.rs");
                let code = format!("fn a() {{ {text} }}\n");
                assert_eq!(tried(&path, &code), 1, "{text} in {path}");
                assert_eq!(tried(&path, &format!("// {code}")), 0, "{text} in a comment");
                assert_eq!(tried(&path, &format!("const A: &str = r#\"{text}\"#;\n")), 0, "{text} in a literal");
                let in_test = tried(&path, &format!("#[cfg(test)]\nmod tests {{ {code} }}\n"));
                assert_eq!(in_test, usize::from(ban.test_code == TestCode::Bound), "{text} in a test");
                for allowed in &ban.except {
                    assert_eq!(tried(&format!("{allowed}src/a.rs"), &code), 0, "{text} in {allowed}");
                }
            }
        }
    }
}
