//! The named points: every kind of call that the program makes on every kind of file, found by watching it work.
//!
//! So a new file or a new call is covered without a word here.

use std::collections::BTreeMap;

use super::{Subject, load_until};
use crate::harness::Chance;
use crate::harness::faults::{Action, Rule, When};

/// When in its life the program makes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// While it starts on an empty folder.
    FirstStart,
    Work,
    /// While it starts on a folder that a killed one left.
    Recovery,
}

/// A kind of call on a kind of file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) phase: Phase,
    pub(crate) call: String,
    pub(crate) kind: String,
}

/// Writes of the watched load.
const WATCHED_ACKS: u64 = 150;

/// Which points there are, and how often each was passed while the program was watched.
pub(crate) async fn discover(subject: &Subject, chance: &mut Chance) -> BTreeMap<Point, u64> {
    let mut points = BTreeMap::new();
    let mut life = subject.life();
    life.faults.set(&[Rule::new("*", "*", 1, Action::Trace)]);
    let server = life.start().await;
    life.note_points(Phase::FirstStart, &mut points);
    life.settle(&server).await;
    life.faults.traced();
    let work = load_until(&life, &server, WATCHED_ACKS, chance).await;
    server.kill();
    work.writers.join_all().await;
    life.note_points(Phase::Work, &mut points);
    let server = life.start().await;
    life.note_points(Phase::Recovery, &mut points);
    life.check(&server, chance).await;
    points
}

impl super::Life {
    fn note_points(&self, phase: Phase, points: &mut BTreeMap<Point, u64>) {
        for (call, path) in self.faults.traced() {
            *points.entry(Point { phase, call, kind: kind(&path) }).or_default() += 1;
        }
    }
}

/// What kind of file it is: names that are made up differ only in what a star stands for.
fn kind(path: &str) -> String {
    let is_made_up = |word: &str| super::TENANTS.contains(&word) || word.len() > 4 && word.contains(char::is_numeric);
    let name = |name: &str| {
        let words = name.split('.').map(|word| if is_made_up(word) { "*" } else { word });
        words.collect::<Vec<_>>().join(".")
    };
    path.split('/').map(name).collect::<Vec<_>>().join("/")
}

impl Point {
    /// The ways in which the power may go, or the process die, at this point.
    pub(crate) fn actions(&self, chance: &mut Chance) -> Vec<Action> {
        let seed = chance.next() | 1;
        let mut actions = vec![
            Action::Kill(When::Before),
            Action::Kill(When::After),
            Action::Power(When::Before, 0),
            Action::Power(When::After, seed),
        ];
        if self.call == "write" {
            actions.push(Action::Torn);
        }
        actions
    }

    pub(crate) fn rule(&self, nth: u64, action: Action) -> Rule {
        Rule::new(&self.call, &self.kind, nth, action)
    }
}
