//! How much the passages speak to the question.
//!
//! Judged on what the principal may see, and on nothing else: "none" says the same whether nothing exists or nothing is
//! theirs to see. The borders are those of the default model on short questions.

use crate::gate::Admitted;

/// From this cosine on, a passage is taken to answer.
const SUFFICIENT_COSINE: f32 = 0.5;
/// From this cosine on, a passage is taken to touch the question.
const WEAK_COSINE: f32 = 0.3;

/// The level of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// At least one passage probably answers.
    Sufficient,
    /// Something touches the question.
    Weak,
    /// Nothing does.
    None,
}

impl Level {
    /// The level's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sufficient => "sufficient",
            Self::Weak => "weak",
            Self::None => "none",
        }
    }
}

/// What the passages amount to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// The level.
    pub level: Level,
    /// The best passage's cosine with the question; 0 when the dense arm took no part.
    pub score: f32,
}

/// Judges `admitted`.
pub(crate) fn of(admitted: &Admitted) -> Evidence {
    let best = admitted.list.iter().filter_map(|passage| passage.rank.cosine).max_by(f32::total_cmp);
    match best {
        // Words alone, without the model, never count for more than a hint.
        None if admitted.list.is_empty() => Evidence { level: Level::None, score: 0.0 },
        None => Evidence { level: Level::Weak, score: 0.0 },
        Some(score) if score >= SUFFICIENT_COSINE => Evidence { level: Level::Sufficient, score },
        Some(score) if score >= WEAK_COSINE => Evidence { level: Level::Weak, score },
        Some(score) => Evidence { level: Level::None, score: score.max(0.0) },
    }
}
