//! Pages of a few lines each: what a visitor sees is the text, and what he does not see is counted.

use super::*;
use proptest::prelude::*;

fn page(html: &str) -> Reading {
    read(Stated::Nothing, html.as_bytes()).unwrap()
}

#[test]
fn headings_lists_code_links_and_tables_are_kept() {
    let reading = page(
        "<title>Locks</title><h1>Lock 4</h1><p>Open from <b>six</b> to\n ten.<br>Ring <a href='https://x.example/b'>the bell</a>.</p>\
         <ul><li>Bow<ol><li>line</li><li>fender</li></ol></li><li>Stern</li></ul><pre>let a\n  = 1;</pre>\
         <table><tr><th>Boat</th><th>Fee</th></tr><tr><td rowspan=2>Barge</td><td>12</td></tr><tr><td>9|10</td></tr></table>",
    );
    assert_eq!(reading.title.as_deref(), Some("Locks"));
    assert_eq!(
        reading.text,
        "# Lock 4\n\nOpen from six to\n\nten.\n"
            .replace("to\n\nten", "to ten")
            .replace("ten.\n", "ten.\nRing [the bell](https://x.example/b).\n")
            + "\n- Bow\n    1. line\n    2. fender\n- Stern\n\n```\nlet a\n  = 1;\n```\n\n| Boat | Fee |\n|---|---|\n| Barge | 12 |\n| Barge | 9\\|10 |\n"
    );
}

#[test]
fn what_a_visitor_does_not_see_is_counted_and_left_out() {
    let hidden = [
        "<p hidden>SECRET</p>",
        "<p aria-hidden=true>SECRET</p>",
        "<div style='display: none'><p>SECRET</p></div>",
        "<p style='VISIBILITY:hidden'>SECRET</p>",
        "<p style='font-size:0px'>SECRET</p>",
        "<p style='color:#fff;background:white'>SECRET</p>",
        "<p style='position:absolute; left:-9999px'>SECRET</p>",
        "<p class='x gone'>SECRET</p>",
        "<p id=away>SECRET</p>",
    ];
    for one in hidden {
        let reading = page(&format!(
            "<style>@media print {{ .seen {{display:none}} }} .gone, #away {{ display:none }}</style><p class=seen>Seen.</p>{one}"
        ));
        assert_eq!((reading.text.as_str(), reading.noticed.hidden_text), ("Seen.\n", 1), "{one}");
    }
    let reading = page("<p>Seen.</p><!-- SECRET --><script>SECRET</script><noscript>SECRET</noscript>");
    assert_eq!(reading.text, "Seen.\n");
    assert_eq!((reading.noticed.comments, reading.noticed.scripts), (1, 1));
}

#[test]
fn menus_are_left_out_and_running_text_never_is() {
    let words = |n: usize, word: &str| vec![word; n].join(" ");
    let text = format!(
        "<body><nav><a href=/a>Menu</a></nav><div id=content><h1>Ferry</h1><p>{}</p><p>{}</p></div><div class=sidebar><p>{}</p></div>\
         <footer>Imprint</footer></body>",
        words(120, "timetable,"),
        words(120, "crossing."),
        words(60, "important"),
    );
    let reading = page(&text);
    assert!(!reading.text.contains("Menu") && !reading.text.contains("Imprint"), "{}", reading.text);
    assert_eq!(reading.text.matches("important").count(), 60, "more than a tenth of the text lies there");
    assert_eq!(page("<nav>Only a menu</nav>").text, "Only a menu\n");
}

#[test]
fn a_page_says_which_characters_it_has() {
    let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode("<meta charset=\"windows-1251\"><p>Паром</p>");
    assert_eq!(read(Stated::Nothing, &bytes).unwrap().text, "Паром\n");
    assert_eq!(read(Stated::Nothing, "<meta charset='iso-8859-99'><p>é</p>".as_bytes()).unwrap().text, "é\n");
}

#[test]
fn a_page_that_nests_too_deep_is_refused_at_once() {
    let deep = "<div>".repeat(200_000);
    assert_eq!(
        read(Stated::Nothing, deep.as_bytes()),
        Err(FormatError::too_much("HTML elements inside one another", 512))
    );
    let long = "<p>one<li>two<td>three".repeat(2_000);
    assert!(page(&long).text.contains("three"), "what need not be closed does not count");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_page_is_a_text_or_an_error(html in "(<(p|div|table|tr|td|ul|li|a|b|script|/p|/div|/table|/td|/li|/a|!--|pre|h1)( hidden| style='x:y'| colspan=9)?>|[a-z ]{0,6}|-->){0,40}") {
        let _ = read(Stated::Nothing, html.as_bytes());
    }
}
