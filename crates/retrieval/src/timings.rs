//! Where the time of an answer went. For people who tune; it decides nothing.

/// Where the time went, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timings {
    /// Embedding the query.
    pub embed: f64,
    /// Finding out what is searched: the live generation, the live table, the visible rows.
    pub view: f64,
    /// Both arms, without the embedding.
    pub search: f64,
    /// The lexical arm alone; none if it took no part.
    pub lexical: Option<f64>,
    /// The dense arm alone, without the embedding; none if it took no part.
    pub dense: Option<f64>,
    /// The gate.
    pub gate: f64,
    /// Reranking; none if nobody asked for it.
    pub rerank: Option<f64>,
    /// Packing.
    pub pack: f64,
    /// Everything but the record.
    pub total: f64,
}
