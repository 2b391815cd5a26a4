//! Texts to try a model with, made of a few words: the same at every run, and of any length in tokens.
//!
//! Promises: a text has as many tokens as were asked for where words of one token can fill it, and never more. Does not:
//! make sense.

/// Common words, which most vocabularies have whole.
const WORDS: [&str; 32] = [
    "the", "key", "of", "a", "house", "is", "turned", "by", "its", "owner", "every", "year", "and", "water", "from",
    "north", "gate", "runs", "under", "old", "stone", "bridge", "where", "two", "ships", "wait", "for", "light", "in",
    "winter", "report", "page",
];
/// What fills the last place.
const FILLER: &str = " a";

/// A sequence of words that begins anew at every run.
pub(super) struct Words(u64);

impl Words {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn word(&mut self) -> &'static str {
        // The constants are Knuth's; the upper bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(self.0 >> 59) as usize % WORDS.len()]
    }

    /// A text of so many tokens, as `count` counts them.
    pub(super) fn text(&mut self, tokens: usize, count: &impl Fn(&str) -> usize) -> String {
        let mut words = vec![self.word()];
        loop {
            let have = count(&words.join(" "));
            if have >= tokens {
                break;
            }
            // Half of what is missing at a time, because a word may have several tokens and counting is not free.
            words.extend((0..(tokens - have).div_ceil(2)).map(|_| self.word()));
        }
        while words.len() > 1 && count(&words.join(" ")) > tokens {
            words.pop();
        }
        let mut text = words.join(" ");
        while count(&format!("{text}{FILLER}")) <= tokens {
            text.push_str(FILLER);
        }
        text
    }
}

/// The same text, longer than so many tokens by as little as possible.
pub(super) fn beyond(text: &str, tokens: usize, count: &impl Fn(&str) -> usize) -> String {
    let mut longer = text.to_owned();
    while count(&longer) <= tokens {
        longer.push_str(FILLER);
    }
    longer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of five letters have two tokens.
    fn count(text: &str) -> usize {
        text.split_whitespace().map(|word| if word.len() == 5 { 2 } else { 1 }).sum()
    }

    #[test]
    fn a_text_has_the_tokens_that_were_asked_for_and_one_beyond_has_one_more() {
        let mut words = Words::new(1);
        for tokens in 2..300 {
            let text = words.text(tokens, &count);
            assert_eq!(count(&text), tokens, "{text}");
            assert_eq!(count(&beyond(&text, tokens, &count)), tokens + 1);
        }
    }

    #[test]
    fn texts_differ_from_each_other_and_are_the_same_at_every_run() {
        let texts = || {
            let mut words = Words::new(7);
            (0..500).map(|_| words.text(12, &count)).collect::<Vec<_>>()
        };
        assert_eq!(texts(), texts());
        assert_eq!(texts().into_iter().collect::<std::collections::HashSet<_>>().len(), 500);
    }
}
