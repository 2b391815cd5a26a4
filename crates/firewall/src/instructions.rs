//! What speaks to a model instead of a reader: orders to forget its orders, marks of a conversation, calls of tools,
//! orders to keep something from people, orders that are hidden.
//!
//! These are the known forms. A text that says the same in other words is not found, and a page about such texts is.

use aho_corasick::AhoCorasick;
use std::sync::LazyLock;

use crate::detector::{Candidate, Detector, How, Then, Verdict};
use crate::finding::{Class, Confidence};

const MARK: &str = "text to a model";

const fn instruction(
    name: &'static str,
    looks_for: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    judge: fn(Candidate<'_>) -> Option<Verdict>,
) -> Detector {
    let how = How::Pattern { keywords, pattern, judge, then: Then::AfterIt };
    Detector { name, class: Class::Instruction, version: 1, looks_for, mark: MARK, only_by_name: false, how }
}

pub(crate) const DETECTORS: &[Detector] = &[
    instruction(
        "ignore-orders",
        "orders to ignore, forget or replace earlier instructions, in English, German, French and Spanish",
        &["ignore", "disregard", "forget", "override", "bypass", "ignorier", "vergiss", "oublie", "ignora", "olvida"],
        r"(?i:\b(?:ignore|disregard|forget|override|bypass|do not follow|stop following)\b[\s\W_]{1,8}(?:(?:all|any|every|everything|of|the|your|my|these|those|our|other|about)[\s\W_]{1,8}){0,4}(?:(?:previous|prior|preceding|earlier|above|foregoing|existing|original|initial|system|safety|former|past)[\s\W_]{1,8}){1,3}(?:and[\s\W_]{1,4}\w{1,16}[\s\W_]{1,4})?(?:instructions?|prompts?|rules|guidelines?|directions?|directives?|orders?|commands?|context|constraints|messages?|training)\b|\b(?:ignore|disregard|forget)[\s\W_]{1,8}(?:all|everything)[\s\W_]{1,8}(?:of[\s\W_]{1,4})?(?:the[\s\W_]{1,4}|your[\s\W_]{1,4})?(?:instructions|rules|prompts?|above|before)\b|\b(?:ignoriere?|vergiss|missachte)[\s\W_]{1,8}(?:alle[\s\W_]{1,8})?(?:die[\s\W_]{1,8}|deine[\s\W_]{1,8})?(?:vorherigen|bisherigen|obigen|vorigen|fr\xC3\xBCheren)[\s\W_]{1,8}(?:anweisungen|instruktionen|befehle|regeln)|\b(?:ignore[zr]?|oublie[zr]?)[\s\W_]{1,8}(?:toutes[\s\W_]{1,8})?(?:les|tes|vos)[\s\W_]{1,8}instructions[\s\W_]{1,8}(?:pr\xC3\xA9c\xC3\xA9dentes|ant\xC3\xA9rieures)|\b(?:ignora|olvida)[\s\W_]{1,8}(?:todas[\s\W_]{1,8})?(?:las|tus)[\s\W_]{1,8}(?:instrucciones|\xC3\xB3rdenes)[\s\W_]{1,8}(?:anteriores|previas))",
        surely,
    ),
    instruction(
        "new-role",
        "orders to be somebody else: you are now, act as, developer mode",
        &["you are now", "act as", "pretend", "from now on", "developer mode", "jailbreak", "your new "],
        r"(?i:\byou are now (?:an? |the )?(?:\w+ ){0,2}(?:ai|assistant|model|chatbot|agent|dan|unrestricted|uncensored|free from|in (?:developer|god|admin|debug|maintenance) mode)\b|\bact as (?:an? )?(?:unrestricted|uncensored|jailbroken|evil|rogue|unfiltered)\b|\bpretend (?:that )?(?:you are|you're|to be) (?:an? )?(?:\w+ ){0,2}(?:ai|assistant|model|system|administrator|developer)\b|\bfrom now on,? you (?:are|will|must|shall|have to)\b|\b(?:enable|enter|switch to|activate) (?:developer|god|jailbreak|dan) mode\b|\byour new (?:instructions?|role|task|goal|objective|system prompt) (?:is|are)\b)",
        maybe,
    ),
    instruction(
        "prompt-theft",
        "orders to show the system prompt or earlier instructions",
        &["prompt", "instructions"],
        r"(?i:\b(?:reveal|print|repeat|output|leak|disclose|tell me|expose|dump|write out|echo)\b[\s\W_]{1,8}(?:(?:me|us|all|of|the|your|its|full|entire|complete|exact|hidden|secret|verbatim)[\s\W_]{1,8}){1,5}(?:system[\s\W_]{1,4}prompts?|system[\s\W_]{1,4}messages?|initial[\s\W_]{1,4}(?:instructions|prompts?)|original[\s\W_]{1,4}(?:instructions|prompts?)|(?:secret|hidden)[\s\W_]{1,4}(?:instructions|prompts?)|prompts?[\s\W_]{1,4}above|instructions[\s\W_]{1,4}(?:above|you were given)))",
        surely,
    ),
    instruction(
        "role-mark",
        "marks by which chat templates tell who speaks",
        &["<|", "[inst]", "<<sys>>", "[/inst]", "<start_of_turn>", "### instruction", "### system", "###system"],
        r"<\|(?:im_start|im_end|system|user|assistant|endoftext|begin_of_text|end_of_text|start_header_id|end_header_id|eot_id|channel|message)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|(?m:^)###? ?(?i:instructions?|system)(?: prompt)?:[ \t\n]",
        surely,
    ),
    instruction(
        "tool-call",
        "calls of tools as models write them",
        &["tool_call", "function_call", "invoke name", "<function", "tool_use", "tool_code", "recipient_name"],
        r#"</?(?:\w{1,16}:)?(?:tool_call|tool_calls|function_call|function_calls|tool_use)>|<(?:\w{1,16}:)?invoke name=|<function=[A-Za-z_]|"(?:tool_calls|function_call)"[ \t]{0,4}:[ \t]{0,4}[\[{]|"type"[ \t]{0,4}:[ \t]{0,4}"tool_use"|```tool_code|"recipient_name"[ \t]{0,4}:"#,
        maybe,
    ),
    instruction(
        "concealment",
        "orders to keep something from the user",
        &["the user", "anyone", "the human", "the reader"],
        r"(?i:\b(?:do not|don't|never|must not|without)[\s\W_]{1,4}(?:ever[\s\W_]{1,4})?(?:tell(?:ing)?|inform(?:ing)?|mention(?:ing)?|reveal(?:ing)?|notify(?:ing)?|alert(?:ing)?|disclos(?:e|ing)|let(?:ting)?|warn(?:ing)?)[\s\W_]{1,4}(?:(?:this|it|that|any of this|anything)[\s\W_]{1,4})?(?:to[\s\W_]{1,4})?(?:the[\s\W_]{1,4}(?:user|human|reader)\b|anyone\b))",
        concealment,
    ),
    instruction(
        "exfiltration",
        "orders to send what a model knows elsewhere, and images whose address would carry it",
        &["send", "post", "forward", "upload", "exfiltrate", "transmit", "!["],
        r"(?i:\b(?:send|post|forward|upload|exfiltrate|transmit|e-?mail)\b[\s\W_]{1,4}(?:(?:me|all|of|the|this|entire|full|whole|your|its|every|user'?s?|our)[\s\W_]{1,4}){0,5}(?:conversation|chat history|chat|context window|system prompt|api keys?|credentials|passwords?|secrets?|retrieved documents|previous messages)\b[^\n.]{0,60}\b(?:to|at|via)\b[^\n]{0,20}(?:https?://|@))|!\[[^\]\n]{0,100}\]\(https?://[^)\s]{1,200}[?&][A-Za-z_]{1,20}=(?:\{|\[|%7B|<|\$)",
        surely,
    ),
    instruction(
        "addressed-to-model",
        "texts that address an AI, a model or an assistant and say what it must do",
        &[" ai", "ai ", "assistant", "language model", "llm", "chatbot"],
        r"(?i:\b(?:attention|important|note|notice|instructions?|message|hey|dear|hello)[\s\W_]{1,6}(?:(?:for|to|all|any|the|every)[\s\W_]{1,4}){0,3}(?:ai|llms?|language models?|chatbots?|ai (?:assistants?|models?|agents?)|assistants?)\b[^\n]{0,40}\b(?:must|should|have to|always|never|please|when|if|you)\b|\bif you are an? (?:ai|llm|language model|chatbot|ai (?:assistant|model|agent)|large language model)\b)",
        maybe,
    ),
    instruction(
        "encoded-orders",
        "instructions written in base64",
        &[
            "awdub3jl",
            "lnbm9yz",
            "pz25vcm",
            "zgltcmvnyxjk",
            "kaxnyzwdhcm",
            "rpc3jlz2fyz",
            "aw5zdhj1y3rpb25",
            "luc3rydwn0aw9u",
            "pbnn0cnvjdglvb",
            "c3lzdgvtihbyb21wd",
            "n5c3rlbsbwcm9tch",
            "zexn0zw0gchjvbxb0",
        ],
        r"[A-Za-z0-9+/_-]{24,4000}={0,2}",
        encoded,
    ),
    Detector {
        name: "invisible-text",
        class: Class::Instruction,
        version: 1,
        looks_for: "runs of characters that nobody sees, such as tags and zero-width marks, which can spell a text",
        mark: "invisible characters",
        only_by_name: false,
        how: How::Invisible,
    },
];

fn surely(candidate: Candidate<'_>) -> Option<Verdict> {
    candidate.is(Confidence::High)
}

fn maybe(candidate: Candidate<'_>) -> Option<Verdict> {
    candidate.is(Confidence::Medium)
}

/// Handbooks say what users are not told as well; said to a model, it stands beside words for one.
fn concealment(candidate: Candidate<'_>) -> Option<Verdict> {
    let words =
        ["assistant", "model", "prompt", "instruction", " ai ", "respond", "your answer", "your response", "tool"];
    if candidate.is_near(&words) { candidate.is(Confidence::High) } else { candidate.is(Confidence::Medium) }
}

static ORDERS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let words = ["ignore", "disregard", "instruction", "system prompt"];
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words)
        .unwrap_or_else(|error| unreachable!("four words are patterns: {error}"))
});

fn encoded(candidate: Candidate<'_>) -> Option<Verdict> {
    let decoded = decode(candidate.found());
    let readable = decoded.iter().filter(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()).count();
    if readable * 10 >= decoded.len() * 9 && ORDERS.is_match(&decoded) { candidate.is(Confidence::High) } else { None }
}

/// What a text in base64 says, of either alphabet; it ends at the first letter that is none.
fn decode(text: &str) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(text.len() * 3 / 4), 0u32, 0u32);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
        held &= (1 << bits) - 1;
    }
    bytes
}
