//! Kills in the middle of work, of the first start and of recovery: at random moments and at named points.

use std::fmt;

use tokio::time::Instant;

use super::points::{Phase, Point, discover};
use super::{Counts, Life, Subject, load_until};
use crate::harness::faults::{Action, Rule, When};
use crate::harness::{Chance, Server, place, wait};

/// Kills of one run; `CATENA_SYSTEM_TESTS_KILLS` wishes for another number.
const KILLS: u64 = 200;
/// The same with the catalog in PostgreSQL; `CATENA_SYSTEM_TESTS_POSTGRES_KILLS` wishes for another number.
const POSTGRES_KILLS: u64 = 30;
/// Kills that one data folder lives through.
const KILLS_OF_A_LIFE: u64 = 10;
/// A named point that was not passed in so many acknowledged requests is given up, and the process is killed from
/// outside. Twice as many for what is rare.
const ACKS_MAX: u64 = 80;
/// A point is rare if the watched load passed it less often.
const RARE: u64 = 12;
/// A named point is met at one of its first passings.
const NTH_MAX: u64 = 12;
/// A process that is to be dead is dead by then.
const DEATH_LIMIT_S: u64 = 30;

/// How one process ends.
#[derive(Debug, Clone)]
enum Cut {
    /// SIGKILL from outside, at a moment that nothing announces.
    Kill,
    /// The power goes at such a moment.
    Power(u64),
    /// At a named point.
    At { point: Point, rule: Rule, acks_max: u64 },
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => write!(f, "SIGKILL at any moment"),
            Self::Power(seed) => write!(f, "no power at any moment, seed {seed}"),
            Self::At { rule, .. } => write!(f, "{rule}"),
        }
    }
}

/// What is done to the program, and what came of it.
struct Campaign {
    chance: Chance,
    points: Vec<(Point, u64)>,
    /// Points that have not had their turn.
    waiting: Vec<(Point, u64)>,
    kills: u64,
    kinds: Counts<&'static str>,
    passed: Counts<Point>,
    missed: Counts<Point>,
}

impl Campaign {
    async fn begin(subject: &Subject) -> Self {
        let mut chance = Chance::new("kills");
        let points: Vec<_> = discover(subject, &mut chance).await.into_iter().collect();
        for (Point { phase, call, kind }, passings) in &points {
            println!("named point: {phase:?} {call} {kind}, passed {passings} times");
        }
        let (kinds, passed, missed) = Default::default();
        Self { chance, points, waiting: Vec::new(), kills: 0, kinds, passed, missed }
    }

    /// A named point of this phase, those first that have not had their turn.
    fn point(&mut self, phase: Phase) -> Option<Cut> {
        let of_phase = |points: &[(Point, u64)]| -> Vec<usize> {
            (0..points.len()).filter(|&at| points[at].0.phase == phase).collect()
        };
        if of_phase(&self.waiting).is_empty() {
            self.waiting.extend(self.points.iter().filter(|(point, _)| point.phase == phase).cloned());
        }
        let candidates = of_phase(&self.waiting);
        let chosen = *candidates.get(self.chance.below(candidates.len()))?;
        let (point, passings) = self.waiting.swap_remove(chosen);
        let actions = point.actions(&mut self.chance);
        let action = actions[self.chance.below(actions.len())];
        let nth = 1 + self.chance.below((passings / 4).clamp(1, NTH_MAX) as usize) as u64;
        let rule = point.rule(nth, action);
        let acks_max = if passings < RARE { 2 * ACKS_MAX } else { ACKS_MAX };
        Some(Cut::At { point, rule, acks_max })
    }

    fn moment(&mut self) -> Cut {
        match self.chance.below(4) {
            0 => Cut::Power(0),
            1 => Cut::Power(self.chance.next() | 1),
            _ => Cut::Kill,
        }
    }

    fn cut(&mut self, phase: Phase) -> Cut {
        // Some named points will be missed, and there are few first starts.
        let is_named = phase == Phase::FirstStart || self.chance.below(8) < 5;
        let named = if is_named { self.point(phase) } else { None };
        named.unwrap_or_else(|| self.moment())
    }

    fn died(&mut self, cut: &Cut, is_at_its_point: bool) {
        self.kills += 1;
        let kind = match cut {
            Cut::Kill => "killed at any moment",
            Cut::Power(_) => "without power at any moment",
            Cut::At { point, .. } if !is_at_its_point => {
                *self.missed.entry(point.clone()).or_default() += 1;
                "killed at any moment"
            }
            Cut::At { point, rule, .. } => {
                *self.passed.entry(point.clone()).or_default() += 1;
                match rule.action {
                    Action::Power(..) => "without power at a named point",
                    _ => "killed at a named point",
                }
            }
        };
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// Works until the cut, and a little of whatever else goes on then.
    async fn work(&mut self, life: &Life, server: Server, cut: &Cut) {
        let enough = match cut {
            Cut::At { rule, acks_max, .. } => {
                life.faults.set(std::slice::from_ref(rule));
                *acks_max
            }
            _ => 1 + self.chance.below(16) as u64,
        };
        let work = load_until(life, &server, enough, &mut self.chance).await;
        let is_at_its_point = work.acks.has_changed().is_err();
        if !is_at_its_point {
            wait::moment(self.chance.below(20_000) as u64).await;
        }
        if let Cut::Power(seed) = cut {
            life.faults.set(&[Rule::new("*", "*", 1, Action::Power(When::After, *seed))]);
            server.killed(DEATH_LIMIT_S).await;
        } else {
            server.kill();
        }
        work.writers.join_all().await;
        life.faults.clear();
        self.died(cut, is_at_its_point);
    }

    /// A start that is cut off, or one that was through before the cut came.
    async fn cut_start(&mut self, life: &Life, cut: &Cut, start_us: u64) {
        let mut child = match cut {
            Cut::At { rule, .. } => {
                life.faults.set(std::slice::from_ref(rule));
                life.launch.clone().begin()
            }
            _ => {
                let child = life.launch.clone().begin();
                wait::moment(self.chance.below(start_us as usize) as u64).await;
                child
            }
        };
        if let Cut::Power(seed) = cut {
            life.faults.set(&[Rule::new("*", "*", 1, Action::Power(When::After, *seed))]);
        }
        let is_at_its_point = if matches!(cut, Cut::Kill) { false } else { child.is_killed().await };
        child.kill();
        life.faults.clear();
        self.died(cut, is_at_its_point);
    }

    async fn live(&mut self, subject: &Subject, until: u64) {
        let mut life = subject.life();
        let first = self.cut(Phase::FirstStart);
        let (mut start_us, mut acknowledged) = (400_000, 0);
        self.cut_start(&life, &first, start_us).await;
        let mut server = life.start().await;
        life.settle(&server).await;
        while self.kills < until {
            let cut = self.cut(Phase::Work);
            println!("kill {}: {cut}", self.kills);
            self.work(&life, server, &cut).await;
            while self.kills < until && self.chance.below(4) == 0 {
                let cut = self.cut(Phase::Recovery);
                println!("kill {} while it starts: {cut}", self.kills);
                self.cut_start(&life, &cut, start_us).await;
            }
            let started = Instant::now();
            server = life.start().await;
            start_us = started.elapsed().as_micros() as u64;
            let checked = Instant::now();
            acknowledged = life.check(&server, &mut self.chance).await;
            println!(
                "  started in {} ms, {acknowledged} documents checked in {:?}",
                start_us / 1000,
                checked.elapsed()
            );
        }
        server.stop().await;
        life.verify().await;
        println!("a life of {} kills is over, {acknowledged} documents", self.kills);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kills_and_power_cuts_at_any_moment() {
    survives(Subject::sqlite(), place::wish("KILLS").unwrap_or(KILLS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_catalog_in_postgresql_it_survives_kills_of_the_service_as_well() {
    survives(Subject::postgres(), place::wish("POSTGRES_KILLS").unwrap_or(POSTGRES_KILLS)).await;
}

async fn survives(subject: Subject, kills: u64) {
    let started = Instant::now();
    let mut campaign = Campaign::begin(&subject).await;
    while campaign.kills < kills {
        let until = kills.min(campaign.kills + KILLS_OF_A_LIFE);
        campaign.live(&subject, until).await;
    }
    println!("{} kills in {:?}: {:?}", campaign.kills, started.elapsed(), campaign.kinds);
    let missed = campaign.missed.keys().filter(|point| !campaign.passed.contains_key(point));
    let missed: Vec<String> = missed.map(|Point { call, kind, .. }| format!("{call} {kind}")).collect();
    println!("{} of {} named points were met; missed: {missed:?}", campaign.passed.len(), campaign.points.len());
    assert_eq!(campaign.kinds.values().sum::<u64>(), campaign.kills);
}
