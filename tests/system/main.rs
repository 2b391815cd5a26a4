//! The whole system as its users meet it: the real program, the provisioned model, a real folder of data.
//!
//! Promises: every test starts `catena` itself, speaks HTTP, MCP or the command line, and is never skipped: what is
//! missing (the program, the model, Python) is a failure that says how to get it. Does not: link what it tests; of the
//! project's crates it uses token counting alone, to check the service's arithmetic.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod chunking;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod firewall;
#[cfg(test)]
mod flow;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod history;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod job_events;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod mcp;
#[cfg(test)]
mod models;
#[cfg(test)]
mod oidc;
#[cfg(test)]
mod once;
#[cfg(test)]
mod record;
#[cfg(test)]
mod reindex;
#[cfg(test)]
mod remote_model;
#[cfg(test)]
mod rerank;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod start;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod verify;
mod words;
#[cfg(test)]
mod workers;
