//! Which texts are computed together.
//!
//! Promises: every text is in exactly one run; where padding would change a vector there is none; a run has a bound in
//! tokens. Pure. Does not: compute.

/// How texts may be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Each alone, because company would change its vector.
    Alone,
    /// With texts of its own length, up to so many tokens.
    EqualLengths { budget_tokens: usize },
    /// Padded to one of few lengths, and to a number of texts that depends on the length alone: a device then always
    /// computes the same shapes, and a text's place in them changes nothing.
    Padded { budget_tokens: usize, window_tokens: usize },
}

/// A rectangle of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The texts' places in what was planned.
    pub(crate) members: Vec<usize>,
    /// Tokens in each row.
    pub(crate) width: usize,
    /// Rows; those beyond the members are empty.
    pub(crate) rows: usize,
}

/// The shortest length that texts are padded to.
const NARROWEST_TOKENS: usize = 16;

impl Plan {
    /// Divides texts of these lengths into runs.
    pub(crate) fn runs(self, lengths: &[usize]) -> Vec<Run> {
        let mut order: Vec<(usize, usize)> =
            lengths.iter().enumerate().map(|(place, &length)| (self.width(length), place)).collect();
        order.sort_unstable();
        let mut runs: Vec<Run> = Vec::new();
        for (width, place) in order {
            match runs.last_mut() {
                Some(run) if run.width == width && run.members.len() < self.most(width) => run.members.push(place),
                _ => runs.push(Run { members: vec![place], width, rows: 0 }),
            }
        }
        for run in &mut runs {
            run.rows = match self {
                Self::Padded { .. } => self.most(run.width),
                Self::Alone | Self::EqualLengths { .. } => run.members.len(),
            };
        }
        runs
    }

    fn width(self, length: usize) -> usize {
        match self {
            Self::Alone | Self::EqualLengths { .. } => length,
            Self::Padded { window_tokens, .. } => {
                length.max(NARROWEST_TOKENS).next_power_of_two().min(window_tokens.max(length))
            }
        }
    }

    fn most(self, width: usize) -> usize {
        match self {
            Self::Alone => 1,
            Self::EqualLengths { budget_tokens } | Self::Padded { budget_tokens, .. } => {
                (budget_tokens / width.max(1)).max(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EQUAL: Plan = Plan::EqualLengths { budget_tokens: 256 };
    const PADDED: Plan = Plan::Padded { budget_tokens: 4_096, window_tokens: 384 };

    proptest! {
        #[test]
        fn every_text_is_in_one_run_that_holds_it_and_keeps_to_its_bound(
            lengths in proptest::collection::vec(1_usize..=384, 0..200),
            plan in prop_oneof![Just(Plan::Alone), Just(EQUAL), Just(PADDED)],
        ) {
            let runs = plan.runs(&lengths);
            let mut seen: Vec<usize> = runs.iter().flat_map(|run| run.members.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for run in &runs {
                prop_assert!(run.members.len() <= run.rows);
                prop_assert!(run.members.iter().all(|&place| lengths[place] <= run.width));
                match plan {
                    Plan::Alone => prop_assert_eq!(run.rows, 1),
                    Plan::EqualLengths { budget_tokens } => {
                        prop_assert!(run.members.iter().all(|&place| lengths[place] == run.width));
                        prop_assert_eq!(run.rows, run.members.len());
                        prop_assert!(run.rows == 1 || run.rows * run.width <= budget_tokens);
                    }
                    Plan::Padded { budget_tokens, .. } => {
                        prop_assert!(run.rows == 1 || run.rows * run.width <= budget_tokens);
                        // The shape says nothing of who else is there.
                        let alone = plan.runs(&[lengths[run.members[0]]]);
                        prop_assert_eq!((alone[0].width, alone[0].rows), (run.width, run.rows));
                    }
                }
            }
        }
    }

    #[test]
    fn short_texts_of_one_length_share_a_run() {
        let runs = EQUAL.runs(&[20, 30, 20, 300, 20]);
        let members: Vec<_> = runs.into_iter().map(|run| run.members).collect();
        assert_eq!(members, [vec![0, 2, 4], vec![1], vec![3]]);
    }
}
