//! What a text becomes: a document's vector, a query's vector, or a score.

use half::f16;

use crate::description::Description;
use crate::tokens::{Role, Tokens};
use crate::vector::{Row, finish};

/// Something that is read out of one row of a run's output.
pub(crate) trait Answer: Sized + Send + 'static {
    /// What the text is read as.
    const ROLE: Role;

    /// Reads the row of a text with these tokens. `sum` is scratch space.
    fn read(row: Row<'_>, description: &Description, tokens: &Tokens, sum: &mut Vec<f32>)
    -> Result<Self, &'static str>;
}

/// An answer that is a vector, wherever it was computed.
pub(crate) trait Vector: Answer {
    /// The answer from the numbers of another server.
    fn of(values: &[f32], normalise: bool, truncated_tokens: usize) -> Result<Self, &'static str>;
}

/// A document's vector, as it is kept.
pub(crate) type DocumentVector = Vec<f16>;

/// A query's vector, and whether it stands for the whole query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryVector {
    /// The vector.
    pub values: Vec<f32>,
    /// Tokens at the query's end that did not fit the model's window; 0 when all did.
    pub truncated_tokens: usize,
}

/// How well a passage answers a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// The model's own number: higher is better, and only comparable within one model.
    pub value: f32,
    /// Tokens of the query and the passage that the model did not see; 0 when it saw all.
    pub truncated_tokens: usize,
}

impl Answer for DocumentVector {
    const ROLE: Role = Role::Document;

    fn read(
        row: Row<'_>,
        description: &Description,
        tokens: &Tokens,
        sum: &mut Vec<f32>,
    ) -> Result<Self, &'static str> {
        row.vector(description, tokens.encoding.get_attention_mask(), sum)
    }
}

impl Vector for DocumentVector {
    fn of(values: &[f32], normalise: bool, _truncated_tokens: usize) -> Result<Self, &'static str> {
        finish(values, normalise)
    }
}

impl Answer for QueryVector {
    const ROLE: Role = Role::Query;

    fn read(
        row: Row<'_>,
        description: &Description,
        tokens: &Tokens,
        sum: &mut Vec<f32>,
    ) -> Result<Self, &'static str> {
        let values = row.vector(description, tokens.encoding.get_attention_mask(), sum)?;
        Ok(Self { values, truncated_tokens: tokens.truncated })
    }
}

impl Vector for QueryVector {
    fn of(values: &[f32], normalise: bool, truncated_tokens: usize) -> Result<Self, &'static str> {
        Ok(Self { values: finish(values, normalise)?, truncated_tokens })
    }
}

impl Answer for Score {
    const ROLE: Role = Role::Judged;

    fn read(
        row: Row<'_>,
        _description: &Description,
        tokens: &Tokens,
        _sum: &mut Vec<f32>,
    ) -> Result<Self, &'static str> {
        Ok(Self { value: row.score()?, truncated_tokens: tokens.truncated })
    }
}
