//! What a web page says to a visitor that is a program: where it leads, what it is called, and whether it may be kept.
//!
//! Promises: any bytes are read in time that grows with their length, off the threads that wait, and at most so many of them
//! and so many links. Does not: read its text, which is the readers' of formats.

mod tags;

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

use catena_runtime::thread::Priority;
use catena_runtime::{Compute, ComputeError};

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::RawKind;
use html5ever::tokenizer::{BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts};
use reqwest::header::HeaderMap;

use crate::error::SourceError;

/// So much of a page is looked at; its head and what it leads to stand far before that.
const BYTES_MAX: usize = 2 * 1024 * 1024;
/// Most links of one page that are looked at.
const LINKS_MAX: usize = 5_000;
/// Longest link, in bytes.
const LINK_BYTES_MAX: usize = 2_048;

/// Where pages are looked at, one at a time.
static LOOKING: LazyLock<Result<Compute, ComputeError>> =
    LazyLock::new(|| Compute::start(NonZeroUsize::MIN, "pages", Priority::Background));

/// What a page, or the answer it came with, says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Where its links lead, as they are written.
    pub(super) links: Vec<String>,
    /// From where its links are to be read, if not from its own address.
    pub(super) base: Option<String>,
    /// The address under which it wants to be known.
    pub(super) canonical: Option<String>,
    /// Whether it asks not to be kept.
    pub(super) noindex: bool,
    /// Whether it asks not to follow its links.
    pub(super) nofollow: bool,
}

impl Facts {
    /// What the page's bytes say, found out elsewhere.
    pub(super) async fn read(bytes: &[u8]) -> Result<Self, SourceError> {
        let failed = |error: &ComputeError| SourceError::unreachable("the machine", error.to_string());
        let looking = LOOKING.as_ref().map_err(failed)?;
        let head = bytes[..bytes.len().min(BYTES_MAX)].to_vec();
        looking.run(move || Self::of_html(&head)).await.map_err(|error| failed(&error))
    }

    /// What the page's bytes say.
    fn of_html(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES_MAX)]);
        let sink = Sink(RefCell::default());
        let queue = BufferQueue::default();
        for piece in tags::without_overloaded(&text) {
            queue.push_back(StrTendril::from_slice(&text[piece]));
        }
        let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
        // Scripts are raw text to the sink, so the tokenizer never stops for one.
        let _ = tokenizer.feed(&queue);
        tokenizer.end();
        tokenizer.sink.0.into_inner()
    }

    /// What the answer's `X-Robots-Tag` says; a part that names another program is not for us.
    pub(super) fn heed(&mut self, headers: &HeaderMap) {
        for value in headers.get_all("x-robots-tag") {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            let (agent, words) = match text.split_once(':') {
                Some((agent, words)) if !agent.contains(',') && !agent.trim().starts_with("unavailable") => {
                    (agent.trim(), words)
                }
                _ => ("catena", text.as_str()),
            };
            if agent == "catena" {
                self.obey(words);
            }
        }
    }

    fn obey(&mut self, words: &str) {
        for word in words.split([',', ' ', ';']).map(str::trim) {
            self.noindex |= word.eq_ignore_ascii_case("noindex") || word.eq_ignore_ascii_case("none");
            self.nofollow |= word.eq_ignore_ascii_case("nofollow") || word.eq_ignore_ascii_case("none");
        }
    }

    fn see(&mut self, tag: &Tag) {
        let value = |name: &str| tag.attrs.iter().find(|one| &*one.name.local == name).map(|one| &*one.value);
        let short = |text: &str| (text.len() <= LINK_BYTES_MAX).then(|| text.trim().to_owned());
        let has = |list: Option<&str>, word: &str| {
            list.is_some_and(|list| list.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case(word)))
        };
        match &*tag.name {
            "a" | "area" if self.links.len() < LINKS_MAX && !has(value("rel"), "nofollow") => {
                self.links.extend(value("href").and_then(short));
            }
            "base" if self.base.is_none() => self.base = value("href").and_then(short),
            "link" if self.canonical.is_none() && has(value("rel"), "canonical") => {
                self.canonical = value("href").and_then(short);
            }
            "meta" => {
                let name = value("name").unwrap_or_default();
                if name.eq_ignore_ascii_case("robots") || name.eq_ignore_ascii_case("catena") {
                    self.obey(value("content").unwrap_or_default());
                }
            }
            _ => {}
        }
    }
}

struct Sink(RefCell<Facts>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
        if tag.kind == TagKind::EndTag {
            return TokenSinkResult::Continue;
        }
        self.0.borrow_mut().see(&tag);
        match &*tag.name {
            // What is raw here is so in [`tags`] as well.
            "script" | "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
                TokenSinkResult::RawData(RawKind::Rawtext)
            }
            "textarea" | "title" => TokenSinkResult::RawData(RawKind::Rcdata),
            "plaintext" => TokenSinkResult::Plaintext,
            _ => TokenSinkResult::Continue,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links_are_those_of_the_page_and_not_of_its_scripts_and_comments() {
        let facts = Facts::of_html(
            b"<!doctype html><title><a href=no1></title><base href='/docs/'><link rel='x Canonical' href=/c>\
              <a href='a?x=1&amp;y=2'>A</a><a rel=nofollow href=no2></a><!-- <a href=no3> -->\
              <script>document.write('<a href=no4>')</script><style>a{}</style><A HREF=\" b \">B</A><a>no</a>",
        );
        assert_eq!(facts.links, ["a?x=1&y=2", "b"]);
        assert_eq!((facts.base.as_deref(), facts.canonical.as_deref()), (Some("/docs/"), Some("/c")));
        assert!(!facts.noindex && !facts.nofollow);
    }

    #[test]
    fn a_page_that_asks_not_to_be_kept_is_heard_however_it_says_so() {
        for (head, noindex, nofollow) in [
            ("<meta name=robots content='NOINDEX, follow'>", true, false),
            ("<META NAME=Robots CONTENT=none>", true, true),
            ("<meta name=catena content=nofollow>", false, true),
            ("<meta name=otherbot content=noindex>", false, false),
        ] {
            let facts = Facts::of_html(head.as_bytes());
            assert_eq!((facts.noindex, facts.nofollow), (noindex, nofollow), "{head}");
        }
        for (header, noindex) in [
            ("noindex", true),
            ("catena: noindex", true),
            ("otherbot: noindex", false),
            ("unavailable_after: 25 Jun 2010 15:00:00 PST", false),
            ("nofollow, none", true),
        ] {
            let mut facts = Facts::default();
            facts.heed(&HeaderMap::from_iter([("x-robots-tag".parse().unwrap(), header.parse().unwrap())]));
            assert_eq!(facts.noindex, noindex, "{header}");
        }
    }

    #[test]
    fn a_tag_of_too_many_attributes_is_passed_over_and_the_page_goes_on() {
        let many = |count: usize| (0..count).map(|n| format!(" a{n}='>'")).collect::<String>();
        let text = format!("<a href=one{}><!--> --><a href=two{}><a href=three>", many(10), many(5_000));
        assert_eq!(Facts::of_html(text.as_bytes()).links, ["one", "three"]);
        let late = "x".repeat(BYTES_MAX) + "<a href=late>";
        assert_eq!(Facts::of_html(late.as_bytes()).links, [""; 0]);
    }

    #[test]
    fn one_tag_of_many_attributes_costs_no_more_than_many_tags_of_few() {
        let attributes = |count: usize| (0..count).map(|n| format!(" a{n}")).collect::<String>();
        let cost = |text: &str| {
            let once = || {
                let watch = catena_runtime::clock::Stopwatch::start();
                Facts::of_html(text.as_bytes());
                watch.elapsed()
            };
            (0..3).map(|_| once()).min().unwrap()
        };
        let many_tags = cost(&format!("<a{}>", attributes(50)).repeat(2_000));
        let all = attributes(100_000);
        for (name, begin, end) in [
            ("a tag", "<a", ">"),
            ("a tag without an end", "<a", ""),
            ("an end", "</a", ">"),
            ("a tag behind an empty comment", "<!--><a", ">"),
            ("a tag behind a comment", "<!-- --!><a", ">"),
            ("a tag behind a script", "<script></scripts></script ><a", ">"),
            ("a tag behind what is no script any more", "<script><!--<script></script><title></script></title><a", ">"),
            ("a tag behind a title in a comment", "<!x <title><a", ">"),
            ("a tag behind a title in an end", "</ <title><a", ">"),
            ("a tag behind a title", "<title></TITLE/><a", ">"),
        ] {
            let one_tag = cost(&(begin.to_owned() + &all + end));
            assert!(one_tag < many_tags * 10, "{name}: {many_tags:?} for many tags, {one_tag:?} for one");
        }
    }

    proptest! {
        #[test]
        fn what_has_few_attributes_is_left_whole(text in "[<>a-c/=\"' !-]{0,60}") {
            let pieces: String = tags::without_overloaded(&text).into_iter().map(|piece| &text[piece]).collect();
            prop_assert_eq!(pieces, text);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            Facts::of_html(&bytes);
        }
    }
}
