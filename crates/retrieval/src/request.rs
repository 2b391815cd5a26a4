//! What may be asked, checked once.

use std::fmt;
use std::str::FromStr;

use catena_domain::{Seq, limits};
use catena_index::{Filter, IndexError, LexicalQuery, Typos};
use catena_text::tokens::Tokenizer;

/// Which arms answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Both, fused.
    #[default]
    Hybrid,
    /// BM25 alone.
    Lexical,
    /// Vectors alone.
    Dense,
}

/// Who has the last word on the order of passages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Order {
    /// The arms, fused.
    #[default]
    Fused,
    /// The reranker.
    Reranked,
}

/// Whether an answer says how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Detail {
    /// It does not.
    #[default]
    Plain,
    /// It does.
    Explained,
}

/// A request that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No query.
    #[error("the query is empty; say what you look for")]
    EmptyQuery,
    /// Too long a query.
    #[error("the query is {bytes} bytes long; the limit is {}", limits::QUERY_BYTES_MAX)]
    LongQuery {
        /// Its length.
        bytes: usize,
    },
    /// A mode that is none.
    #[error("{0:?} is not a mode; use hybrid, lexical or dense")]
    Mode(String),
    /// A phrase or a prefix that cannot be looked for.
    #[error("{0}")]
    Lexical(String),
    /// A number outside its range.
    #[error("{what} is {given}; it must lie between {least} and {most}")]
    Range {
        /// The field.
        what: &'static str,
        /// Its value.
        given: usize,
        /// The least allowed.
        least: usize,
        /// The most allowed.
        most: usize,
    },
}

impl Mode {
    /// The mode's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::Lexical => "lexical",
            Self::Dense => "dense",
        }
    }

    pub(crate) fn uses_lexical(self) -> bool {
        self != Self::Dense
    }

    pub(crate) fn uses_dense(self) -> bool {
        self != Self::Lexical
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Mode {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        [Self::Hybrid, Self::Lexical, Self::Dense]
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| RequestError::Mode(text.to_owned()))
    }
}

/// What searches and contexts have in common.
#[derive(Debug, Clone)]
pub struct Question {
    pub(crate) query: String,
    pub(crate) lexical: LexicalQuery,
    pub(crate) mode: Mode,
    pub(crate) filter: Filter,
    pub(crate) min_seq: Option<Seq>,
    pub(crate) order: Order,
    pub(crate) detail: Detail,
}

impl Question {
    /// A question, checked.
    pub fn new(query: &str, mode: Mode, filter: Filter, min_seq: Option<Seq>) -> Result<Self, RequestError> {
        let query = query.trim();
        if query.is_empty() {
            return Err(RequestError::EmptyQuery);
        }
        if query.len() > limits::QUERY_BYTES_MAX {
            return Err(RequestError::LongQuery { bytes: query.len() });
        }
        let lexical = LexicalQuery::parse(query);
        Ok(Self { query: query.to_owned(), lexical, mode, filter, min_seq, order: Order::Fused, detail: Detail::Plain })
    }

    /// The same, and the lexical arm looks for these words side by side.
    pub fn with_phrase(self, phrase: &str) -> Result<Self, RequestError> {
        Ok(Self { lexical: self.lexical.with_phrase(phrase).map_err(lexical)?, ..self })
    }

    /// The same, and the lexical arm looks for words with this beginning.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, RequestError> {
        Ok(Self { lexical: self.lexical.with_prefix(prefix).map_err(lexical)?, ..self })
    }

    /// The same, with another rule for mistyped words.
    #[must_use]
    pub fn with_typos(self, typos: Typos) -> Self {
        Self { lexical: self.lexical.with_typos(typos), ..self }
    }

    /// The same, with the reranker's word on the order of what it finds.
    #[must_use]
    pub fn reranked(self) -> Self {
        Self { order: Order::Reranked, ..self }
    }

    /// The same, with an answer that says how it came about.
    #[must_use]
    pub fn explained(self) -> Self {
        Self { detail: Detail::Explained, ..self }
    }
}

/// A request for ranked passages.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    pub(crate) question: Question,
    pub(crate) top_k: usize,
}

impl SearchRequest {
    /// A search for `top_k` passages.
    pub fn new(question: Question, top_k: usize) -> Result<Self, RequestError> {
        in_range("top_k", top_k, limits::TOP_K_MAX)?;
        Ok(Self { question, top_k })
    }
}

/// How many tokens, as which tokenizer counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The most tokens of the rendered text.
    pub tokens: usize,
    /// Who counts.
    pub tokenizer: Tokenizer,
}

/// What else binds the choice of passages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackRules {
    /// Passages of one document, at most.
    pub per_document: usize,
}

/// A request for a context.
#[derive(Debug, Clone)]
pub struct ContextRequest {
    pub(crate) question: Question,
    pub(crate) budget: Budget,
    pub(crate) rules: PackRules,
}

impl ContextRequest {
    /// A context within `budget`.
    pub fn new(question: Question, budget: Budget, rules: PackRules) -> Result<Self, RequestError> {
        in_range("budget.tokens", budget.tokens, limits::BUDGET_TOKENS_MAX)?;
        in_range("limits.per_document", rules.per_document, limits::TOP_K_MAX)?;
        Ok(Self { question, budget, rules })
    }
}

fn lexical(refused: IndexError) -> RequestError {
    RequestError::Lexical(refused.to_string())
}

/// A request of either kind.
#[derive(Debug, Clone)]
pub enum Asked {
    /// For ranked passages.
    Search(SearchRequest),
    /// For a context.
    Context(ContextRequest),
}

impl Asked {
    pub(crate) fn question(&self) -> &Question {
        match self {
            Self::Search(request) => &request.question,
            Self::Context(request) => &request.question,
        }
    }
}

fn in_range(what: &'static str, given: usize, most: usize) -> Result<(), RequestError> {
    if (1..=most).contains(&given) { Ok(()) } else { Err(RequestError::Range { what, given, least: 1, most }) }
}
