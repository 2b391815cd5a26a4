//! From a draft to the bytes of a leaf.
//!
//! The bytes never exceed [`LEAF_BYTES_MAX`], because a longer entry cannot be carried by the logs that others know how
//! to verify. Objects that do not fit are left out, counted and hashed; a single text that is too long is cut.

use catena_domain::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::{Chain, Draft, LeafHash, Object};

/// Longest leaf, in bytes.
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Longest text of one field, in bytes; what is longer is cut there and ends in `...`.
pub const TEXT_BYTES_MAX: usize = 512;
/// Room that is kept for what is said about objects left out.
const LEFT_OUT_BYTES: usize = 160;

/// A leaf: its bytes, and their hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What is stored and hashed.
    pub bytes: Vec<u8>,
    /// The hash, which the next leaf names.
    pub hash: LeafHash,
}

/// The fields of a leaf in their order. That order is part of the format.
#[derive(Serialize)]
struct Leaf<'a> {
    v: u8,
    chain: &'a str,
    index: u64,
    at_us: i64,
    previous: &'a LeafHash,
    request: &'a str,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_sha256: Option<&'a str>,
    on_behalf: bool,
    outcome: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reranker: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects_total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects_sha256: Option<String>,
    objects: &'a [Thing<'a>],
}

#[derive(Serialize)]
struct Thing<'a> {
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

/// Gives `draft` its place in a chain: after `index` leaves, the last of which has the hash `previous`.
#[must_use]
pub fn seal(chain: Chain<'_>, index: u64, at: Timestamp, previous: &LeafHash, draft: &Draft) -> Sealed {
    let texts = Texts::of(draft);
    let things: Vec<Thing<'_>> = texts.objects.iter().zip(&draft.objects).map(|(texts, it)| texts.thing(it)).collect();
    let name = chain.name();
    let mut leaf = Leaf {
        v: 1,
        chain: &name,
        index,
        at_us: at.0,
        previous,
        request: &texts.request,
        action: draft.action,
        actor: texts.actor.as_deref(),
        user: texts.user.as_deref(),
        principal_sha256: texts.principal_sha256.as_deref(),
        on_behalf: draft.on_behalf,
        outcome: draft.outcome.as_str(),
        status: draft.status,
        reason: texts.reason.as_deref(),
        seq: draft.seq,
        generation: texts.generation.as_deref(),
        recipe: texts.recipe.as_deref(),
        reranker: texts.reranker.as_deref(),
        policy: texts.policy.as_deref(),
        request_sha256: texts.request_sha256.as_deref(),
        objects_total: None,
        objects_sha256: None,
        objects: &things,
    };
    let mut bytes = json(&leaf);
    if bytes.len() > LEAF_BYTES_MAX {
        let all = json(&things);
        leaf.objects_total = Some(things.len());
        leaf.objects_sha256 = Some(LeafHash(Sha256::digest(&all).into()).to_string());
        let others = bytes.len() - all.len();
        let room = LEAF_BYTES_MAX.saturating_sub(others + LEFT_OUT_BYTES);
        leaf.objects = &things[..fitting(&things, room)];
        bytes = json(&leaf);
    }
    debug_assert!(bytes.len() <= LEAF_BYTES_MAX, "a leaf of {} bytes", bytes.len());
    let hash = LeafHash::of(&bytes);
    Sealed { bytes, hash }
}

/// How many things, from the first, fit into `room` bytes of a JSON list.
fn fitting(things: &[Thing<'_>], room: usize) -> usize {
    let mut used = "[]".len();
    things
        .iter()
        .take_while(|thing| {
            used += json(thing).len() + ",".len();
            used <= room
        })
        .count()
}

/// Plain structs of texts and numbers have no way of failing to become JSON.
fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_else(|_| unreachable!("texts and numbers are JSON"))
}

/// The draft's texts, cut to their limit.
struct Texts {
    request: String,
    actor: Option<String>,
    user: Option<String>,
    principal_sha256: Option<String>,
    reason: Option<String>,
    generation: Option<String>,
    recipe: Option<String>,
    reranker: Option<String>,
    policy: Option<String>,
    request_sha256: Option<String>,
    objects: Vec<ObjectTexts>,
}

struct ObjectTexts {
    id: String,
    sha256: Option<String>,
    rule: Option<String>,
}

impl Texts {
    fn of(draft: &Draft) -> Self {
        let cut_some = |text: &Option<String>| text.as_deref().map(cut);
        Self {
            request: cut(&draft.request),
            actor: cut_some(&draft.actor),
            user: cut_some(&draft.user),
            principal_sha256: cut_some(&draft.principal_sha256),
            reason: cut_some(&draft.reason),
            generation: cut_some(&draft.generation),
            recipe: cut_some(&draft.recipe),
            reranker: cut_some(&draft.reranker),
            policy: cut_some(&draft.policy),
            request_sha256: cut_some(&draft.request_sha256),
            objects: draft
                .objects
                .iter()
                .map(|object| ObjectTexts {
                    id: cut(&object.id),
                    sha256: cut_some(&object.sha256),
                    rule: cut_some(&object.rule),
                })
                .collect(),
        }
    }
}

impl ObjectTexts {
    fn thing(&self, object: &Object) -> Thing<'_> {
        Thing {
            kind: object.kind,
            id: &self.id,
            version: object.version,
            span: object.span,
            sha256: self.sha256.as_deref(),
            rule: self.rule.as_deref(),
        }
    }
}

fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let mark = "...";
    format!("{}{mark}", &text[..text.floor_char_boundary(TEXT_BYTES_MAX - mark.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_domain::TenantId;
    use proptest::prelude::*;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof!["[a-z]{0,20}", "\\PC{0,300}", Just("\u{1}".repeat(2_000)), Just("é".repeat(2_000))]
    }

    fn draft() -> impl Strategy<Value = Draft> {
        let objects = prop::collection::vec((text(), prop::option::of(text()), prop::option::of(text())), 0..20);
        (prop::array::uniform9(text()), objects, 1usize..60).prop_map(|(texts, objects, times)| {
            let [request, actor, user, principal, reason, generation, recipe, reranker, policy] = texts;
            let objects: Vec<Object> = objects
                .into_iter()
                .map(|(id, sha256, rule)| Object { sha256, rule, ..Object::new("passage", id) })
                .collect();
            let objects = objects.iter().cycle().take(objects.len() * times).cloned().collect();
            Draft {
                actor: Some(actor),
                user: Some(user),
                principal_sha256: Some(principal),
                reason: Some(reason),
                generation: Some(generation),
                recipe: Some(recipe),
                reranker: Some(reranker),
                policy: Some(policy),
                objects,
                ..Draft::new(request, "context")
            }
        })
    }

    proptest! {
        #[test]
        fn a_leaf_always_fits_is_one_line_and_counts_what_it_leaves_out(draft in draft(), index: u64, at: i64) {
            let sealed = seal(Chain::Service, index, Timestamp(at), &LeafHash::GENESIS, &draft);
            prop_assert!(sealed.bytes.len() <= LEAF_BYTES_MAX);
            prop_assert!(!sealed.bytes.contains(&b'\n'));
            prop_assert_eq!(sealed.hash, LeafHash::of(&sealed.bytes));
            let leaf: serde_json::Value = serde_json::from_slice(&sealed.bytes).unwrap();
            let kept = leaf["objects"].as_array().unwrap().len();
            match leaf.get("objects_total") {
                None => prop_assert_eq!(kept, draft.objects.len()),
                Some(total) => {
                    prop_assert_eq!(total, draft.objects.len());
                    prop_assert!(kept < draft.objects.len());
                    prop_assert!(leaf["objects_sha256"].as_str().unwrap().parse::<LeafHash>().is_ok());
                    // As many were kept as fit: the next one would have gone over, but for the room kept aside.
                    prop_assert!(sealed.bytes.len() > LEAF_BYTES_MAX - 2 * LEFT_OUT_BYTES - 6 * 4 * TEXT_BYTES_MAX);
                }
            }
        }
    }

    #[test]
    fn the_bytes_of_a_leaf_are_fixed() {
        // Who changes these bytes makes every chain written before unreadable for the eyes of others: a new `v` then.
        let tenant = TenantId::new("acme").unwrap();
        let object = Object {
            version: Some(3),
            span: Some((10, 25)),
            sha256: Some("ab".into()),
            rule: Some("allow group:eng".into()),
            ..Object::new("passage", "a \"b\".md")
        };
        let draft =
            Draft { actor: Some("k1".into()), seq: Some(7), objects: vec![object], ..Draft::new("r1", "context") };
        let sealed = seal(Chain::Tenant(&tenant), 2, Timestamp(1_000_001), &LeafHash::GENESIS, &draft);
        let zeros = "0".repeat(64);
        let expected = format!(
            r#"{{"v":1,"chain":"tenant:acme","index":2,"at_us":1000001,"previous":"{zeros}","request":"r1","#
        ) + r#""action":"context","actor":"k1","on_behalf":false,"outcome":"done","status":200,"seq":7,"objects":["#
            + r#"{"kind":"passage","id":"a \"b\".md","version":3,"span":[10,25],"sha256":"ab","rule":"allow group:eng"}]}"#;
        assert_eq!(String::from_utf8(sealed.bytes).unwrap(), expected);
    }

    #[test]
    fn what_is_left_out_is_still_bound_by_its_hash() {
        let objects = |last: &str| {
            let mut objects = vec![Object::new("passage", "x".repeat(400)); 300];
            objects.push(Object::new("passage", last));
            Draft { objects, ..Draft::new("r", "context") }
        };
        let seal = |draft: &Draft| seal(Chain::Service, 0, Timestamp(0), &LeafHash::GENESIS, draft);
        assert_ne!(seal(&objects("a")).hash, seal(&objects("b")).hash);
    }
}
