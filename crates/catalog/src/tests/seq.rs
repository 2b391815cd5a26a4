//! A tenant's sequence numbers have no gap, whatever fails and whoever goes away.

use std::future::poll_fn;
use std::task::Poll;

use super::*;
use crate::tables::testing;
use catena_domain::Seq;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

/// What one writer does next.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    /// Over a version that is not there.
    PutWrong(u8),
    /// With vectors that nobody has.
    PutWithout(u8),
    /// Cut off after so many polls.
    PutCut(u8, u8),
    Acl(u8, u8),
    AclWrong(u8),
    Delete(u8),
    Purge(u8),
    /// Under a name that others use as well.
    Named(u8, u8),
}

fn deeds() -> impl Strategy<Value = Vec<Vec<Step>>> {
    let doc = || 0u8..4;
    let deed = prop_oneof![
        4 => (doc(), 0u8..6).prop_map(|(doc, text)| Step::Put(doc, text)),
        2 => doc().prop_map(Step::PutWrong),
        1 => doc().prop_map(Step::PutWithout),
        3 => (doc(), 0u8..24).prop_map(|(doc, polls)| Step::PutCut(doc, polls)),
        2 => (doc(), 0u8..3).prop_map(|(doc, acl)| Step::Acl(doc, acl)),
        1 => doc().prop_map(Step::AclWrong),
        2 => doc().prop_map(Step::Delete),
        1 => doc().prop_map(Step::Purge),
        2 => (doc(), 0u8..6).prop_map(|(doc, key)| Step::Named(doc, key)),
    ];
    prop::collection::vec(prop::collection::vec(deed, 1..12), 4)
}

async fn polled(polls: u8, future: impl Future) {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        future.as_mut().poll(context).map(|_| ())
    })
    .await;
}

/// Does one deed; whether it succeeds is no matter here.
async fn take(catalog: &Catalog, deed: Step, number: usize) {
    let (scope, any) = (admin("acme"), Expect::Any);
    let name = |doc: u8| id(&format!("d{doc}"));
    let new = |doc: u8, text: String| document(&format!("d{doc}"), &text);
    match deed {
        Step::Put(doc, text) => {
            let _ = catalog.put_document(&scope, new(doc, format!("text {text}")), draft("put")).await;
        }
        Step::PutWrong(doc) => {
            let wrong = NewDocument { expect: Expect::Version(VersionNo(999)), ..new(doc, "wrong".into()) };
            catalog.put_document(&scope, wrong, draft("put")).await.unwrap_err();
        }
        Step::PutWithout(doc) => {
            let without = NewDocument { embeddings: vec![], ..new(doc, format!("nobody has a vector for {number}")) };
            catalog.put_document(&scope, without, draft("put")).await.unwrap_err();
        }
        Step::PutCut(doc, polls) => {
            let new = new(doc, format!("cut off {number}"));
            polled(polls, testing::put(catalog.store.clone(), tenant("acme"), new, draft("put").into())).await;
        }
        Step::Acl(doc, to) => {
            let to = [acl(&["everyone"], &[]), acl(&[], &[]), acl(&["user:ann"], &[])][usize::from(to)].clone();
            let _ = catalog.set_acl(&scope, &name(doc), &to, any, draft("acl")).await;
        }
        Step::AclWrong(doc) => {
            let wrong = Expect::Version(VersionNo(999));
            let _ = catalog.set_acl(&scope, &name(doc), &acl(&[], &[]), wrong, draft("acl")).await;
        }
        Step::Delete(doc) => {
            let _ = catalog.delete_document(&scope, &name(doc), any, draft("delete")).await;
        }
        Step::Purge(doc) => {
            let _ = catalog.purge_document(&scope, &name(doc), any, draft("purge")).await;
            for pending in catalog.pending_purges(&scope).await.unwrap() {
                while catalog.purge_step(&scope, pending).await.unwrap() == PurgeStep::More {}
            }
        }
        Step::Named(doc, key) => {
            let _ =
                catalog.put_document(&scope, new(doc, format!("named {number}")), named(&format!("k{key}"), 1)).await;
        }
    }
}

/// The sequence numbers that the tenant's leaves name, in the order of the leaves.
async fn recorded(catalog: &Catalog) -> Vec<u64> {
    let (mut seqs, mut from) = (Vec::new(), 0);
    loop {
        let leaves = catalog.leaves(&admin("acme"), from, 500).await.unwrap();
        let Some(last) = leaves.last() else { return seqs };
        from = last.index + 1;
        for leaf in leaves {
            let leaf: serde_json::Value = serde_json::from_slice(&leaf.bytes).unwrap();
            seqs.extend(leaf["seq"].as_u64());
        }
    }
}

async fn the_leaves_of_many_writers_name_each_number_once_whatever_fails(on: On) {
    let home = on.home_with_tenants().await;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::default());
    let mut before = 0;
    for _ in 0..24 {
        let plan = deeds().new_tree(&mut runner).unwrap().current();
        let writers = plan.clone().into_iter().enumerate().map(|(writer, deeds)| {
            let catalog = home.catalog.clone();
            tokio::spawn(async move {
                for (number, deed) in deeds.into_iter().enumerate() {
                    take(&catalog, deed, writer * 100 + number).await;
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
        // A write of our own waits for whatever was cut off and is still under way.
        put(&home.catalog, &admin("acme"), document("barrier", &format!("after {before}"))).await;
        let seqs = recorded(&home.catalog).await;
        let last = home.catalog.seq(&admin("acme")).await.unwrap();
        assert_eq!(last, Seq(seqs.len() as u64), "{plan:?}");
        assert!(seqs.iter().copied().eq(1..=last.0), "{plan:?} gave {seqs:?}");
        before = last.0;
    }
    assert!(before > 100, "only {before} numbers were taken");
}

on_both! {
    the_leaves_of_many_writers_name_each_number_once_whatever_fails,
}
