//! The operator's key: given by the setting, or made at the first start and shown once.

use anyhow::{Context as _, bail};
use catena_access::{KeyHash, KeyText};
use catena_catalog::Catalog;
use catena_runtime::random;

/// A key of one's own choosing must be at least this long.
const OWN_KEY_BYTES_MIN: usize = 24;

/// The hash that an operator's request must match, and the key itself if it was made just now.
pub(crate) async fn key(catalog: &Catalog, given: Option<&str>) -> anyhow::Result<(KeyHash, Option<String>)> {
    if let Some(given) = given {
        if given.len() < OWN_KEY_BYTES_MIN {
            bail!(
                "CATENA_OPERATOR_KEY has {} characters; give at least {OWN_KEY_BYTES_MIN} random ones, \
                 or leave it out and one is made",
                given.len()
            );
        }
        return Ok((catalog.pepper().hash(given), None));
    }
    if let Some(hash) = catalog.operator_key_hash().await? {
        return Ok((hash, None));
    }
    let key = KeyText::mint(&random::bytes().context("no operator key can be made")?);
    let hash = catalog.pepper().hash(key.reveal());
    catalog.set_operator_key_hash(hash).await?;
    Ok((hash, Some(key.reveal().to_owned())))
}
