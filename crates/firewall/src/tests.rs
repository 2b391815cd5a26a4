//! What is found and what is not, what is left after redaction, and what it costs.

mod cost;
mod redaction;
mod table;
