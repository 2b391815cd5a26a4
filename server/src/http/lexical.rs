//! What a request can say to the lexical arm beside its free text: typed, and never a grammar inside a text.

use catena_domain::limits;
use catena_index::Typos;
use catena_retrieval::request::Question;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::wire::bounded;

/// What is looked for by words, beside the query's own.
#[derive(Debug, Clone, Default, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LexicalBody {
    /// Words that stand side by side exactly as written here, but for case and accents. Passages that have them gain.
    #[serde(default)]
    phrases: Vec<String>,
    /// Beginnings of words. Passages that have such a word gain.
    #[serde(default)]
    prefixes: Vec<String>,
    /// What becomes of words that no document has.
    #[serde(default)]
    typos: TyposBody,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize, ToSchema, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TyposBody {
    /// They are read as the nearest words that there are.
    #[default]
    Auto,
    /// They find nothing.
    Off,
}

impl LexicalBody {
    /// The question with all of it.
    pub(crate) fn said(self, question: Question) -> Result<Question, Problem> {
        let mut question = question.with_typos(match self.typos {
            TyposBody::Auto => Typos::Auto,
            TyposBody::Off => Typos::Off,
        });
        for phrase in few("lexical.phrases", self.phrases, limits::QUERY_PHRASES_MAX)? {
            question = question.with_phrase(&phrase)?;
        }
        for prefix in few("lexical.prefixes", self.prefixes, limits::QUERY_PREFIXES_MAX)? {
            question = question.with_prefix(&prefix)?;
        }
        Ok(question)
    }
}

fn few(field: &'static str, texts: Vec<String>, most: usize) -> Result<Vec<String>, Problem> {
    if texts.len() > most {
        return Err(Problem::invalid(format!("`{field}` has {} entries; the limit is {most}.", texts.len())));
    }
    for text in &texts {
        bounded(field, text)?;
    }
    Ok(texts)
}
