//! The second stage: one order out of two.
//!
//! A convex combination of each arm's scores, scaled per query to 0..1 over the candidates. Because both arms score
//! every candidate exactly, nothing is guessed for a row that one arm did not find. Pure.

use catena_index::RowKey;

use crate::candidates::{Candidate, Candidates};
use crate::request::Mode;

/// The dense arm's share of the score; the lexical arm has the rest.
const DENSE_WEIGHT: f32 = 0.5;

/// A candidate with its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Document, version and chunk.
    pub key: RowKey,
    /// The score it is ranked by, 0 to 1 within this query.
    pub score: f32,
    /// The lexical arm's scaled score.
    pub lexical: Option<f32>,
    /// The dense arm's scaled score.
    pub dense: Option<f32>,
    /// The plain cosine with the query, which can be compared between queries.
    pub cosine: Option<f32>,
}

/// Candidates in their order.
#[derive(Debug, Clone)]
pub struct Fused {
    pub(crate) list: Vec<Ranked>,
    pub(crate) degraded: Vec<String>,
}

impl Fused {
    /// Ranks `candidates` and keeps the first `keep`.
    #[must_use]
    pub fn rank(candidates: Candidates, mode: Mode, keep: usize) -> Self {
        let Candidates { list, degraded } = candidates;
        let lexical = scaled(&list, |candidate| candidate.lexical);
        let dense = scaled(&list, |candidate| candidate.dense);
        let mut ranked: Vec<Ranked> = list
            .iter()
            .enumerate()
            .map(|(at, candidate)| {
                let (lexical, dense) = (lexical.as_ref().map(|all| all[at]), dense.as_ref().map(|all| all[at]));
                let score = combine(mode, lexical, dense);
                Ranked { key: candidate.key, score, lexical, dense, cosine: candidate.dense }
            })
            .collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.key.cmp(&b.key)));
        ranked.truncate(keep);
        Self { list: ranked, degraded }
    }
}

fn combine(mode: Mode, lexical: Option<f32>, dense: Option<f32>) -> f32 {
    match (mode, lexical, dense) {
        (Mode::Hybrid, Some(lexical), Some(dense)) => (1.0 - DENSE_WEIGHT) * lexical + DENSE_WEIGHT * dense,
        (_, Some(one), None) | (_, None, Some(one)) => one,
        (Mode::Lexical, Some(lexical), _) => lexical,
        (Mode::Dense, _, Some(dense)) => dense,
        (_, None, None) => 0.0,
    }
}

/// One arm's scores moved to 0..1; all 1 when they are equal and positive. `None` when the arm took no part.
fn scaled(list: &[Candidate], score: impl Fn(&Candidate) -> Option<f32>) -> Option<Vec<f32>> {
    let scores: Vec<f32> = list.iter().map(score).collect::<Option<_>>()?;
    let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = most - least;
    let even = if most > 0.0 { 1.0 } else { 0.0 };
    Some(scores.into_iter().map(|score| if range > 0.0 { (score - least) / range } else { even }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use catena_domain::{DocNo, VersionNo};
    use proptest::prelude::*;

    fn candidate(doc: u32, lexical: Option<f32>, dense: Option<f32>) -> Candidate {
        Candidate { key: RowKey { doc: DocNo(doc), version: VersionNo(1), chunk: 0 }, lexical, dense }
    }

    fn order(mode: Mode, list: Vec<Candidate>) -> Vec<u32> {
        let fused = Fused::rank(Candidates { list, degraded: vec![] }, mode, 100);
        fused.list.iter().map(|ranked| ranked.key.doc.0).collect()
    }

    #[test]
    fn a_row_that_both_arms_like_comes_before_one_that_only_one_arm_likes() {
        let list = || {
            vec![
                candidate(1, Some(10.0), Some(0.1)),
                candidate(2, Some(9.0), Some(0.8)),
                candidate(3, Some(0.0), Some(0.9)),
            ]
        };
        assert_eq!(order(Mode::Hybrid, list()), [2, 1, 3]);
        assert_eq!(order(Mode::Lexical, list()), [1, 2, 3]);
        assert_eq!(order(Mode::Dense, list()), [3, 2, 1]);
    }

    #[test]
    fn equal_scores_are_ordered_by_document_so_that_an_answer_repeats() {
        let list = vec![candidate(7, Some(1.0), Some(0.5)), candidate(3, Some(1.0), Some(0.5))];
        assert_eq!(order(Mode::Hybrid, list), [3, 7]);
    }

    proptest! {
        #[test]
        fn every_score_lies_between_zero_and_one(
            scores in prop::collection::vec((0f32..50.0, -1f32..1.0), 0..40),
        ) {
            let list = scores.iter().enumerate()
                .map(|(doc, &(lexical, dense))| candidate(doc as u32, Some(lexical), Some(dense))).collect();
            let fused = Fused::rank(Candidates { list, degraded: vec![] }, Mode::Hybrid, 100);
            prop_assert!(fused.list.iter().all(|ranked| (0.0..=1.0).contains(&ranked.score)));
            prop_assert!(fused.list.is_sorted_by(|a, b| a.score >= b.score));
        }
    }
}
