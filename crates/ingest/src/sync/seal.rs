//! Credentials of sources, sealed for the catalog.
//!
//! Promises: what is stored can be opened only with this installation's secret, and only for the tenant and the source
//! that it was sealed for; a wrong secret is a clear error, and no error says anything of what is sealed.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use catena_access::Pepper;
use catena_catalog::SealedCredentials;
use catena_domain::{SourceName, TenantId};
use catena_runtime::random;
use catena_sources::Credentials;

use crate::IngestError;

/// What the key is derived for; another purpose gives another key.
const PURPOSE: &str = "catena 2026-11 credentials of sources";
/// How the sealed bytes are laid out: this byte, the nonce, then what was sealed with its tag.
const LAYOUT: u8 = 1;

/// Seals credentials for one source of one tenant.
pub(crate) fn seal(
    pepper: &Pepper,
    tenant: &TenantId,
    source: &SourceName,
    credentials: &Credentials,
) -> Result<SealedCredentials, IngestError> {
    if credentials.is_empty() {
        return Ok(SealedCredentials::default());
    }
    let names = credentials.names().map(str::to_owned).collect();
    let broken = || IngestError::Sealing { source_name: source.clone() };
    let nonce: [u8; NONCE_LEN] = random::bytes().map_err(|_| broken())?;
    let mut sealed = serde_json::to_vec(credentials).map_err(|_| broken())?;
    let aad = Aad::from(bound_to(tenant, source));
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    key(pepper, source)?.seal_in_place_append_tag(nonce_used, aad, &mut sealed).map_err(|_| broken())?;
    let mut bytes = vec![LAYOUT];
    bytes.extend_from_slice(&nonce);
    bytes.append(&mut sealed);
    Ok(SealedCredentials { sealed: Some(bytes), names })
}

/// Opens what was sealed for this source of this tenant.
pub(crate) fn unseal(
    pepper: &Pepper,
    tenant: &TenantId,
    source: &SourceName,
    sealed: &SealedCredentials,
) -> Result<Credentials, IngestError> {
    let Some(bytes) = &sealed.sealed else { return Ok(Credentials::default()) };
    let broken = || IngestError::Sealed { source_name: source.clone() };
    let (&layout, rest) = bytes.split_first().ok_or_else(broken)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
    if layout != LAYOUT {
        return Err(broken());
    }
    let mut bytes = sealed.to_vec();
    let aad = Aad::from(bound_to(tenant, source));
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let opened = key(pepper, source)?.open_in_place(nonce, aad, &mut bytes).map_err(|_| broken())?;
    serde_json::from_slice(opened).map_err(|_| broken())
}

fn key(pepper: &Pepper, source: &SourceName) -> Result<LessSafeKey, IngestError> {
    let key = UnboundKey::new(&AES_256_GCM, &pepper.derive(PURPOSE, b""));
    key.map(LessSafeKey::new).map_err(|_| IngestError::Sealing { source_name: source.clone() })
}

/// Neither name has a zero byte in it, so that no two sources are bound to the same bytes.
fn bound_to(tenant: &TenantId, source: &SourceName) -> Vec<u8> {
    [tenant.as_str().as_bytes(), b"\0", source.as_str().as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn names() -> (TenantId, SourceName) {
        (TenantId::new("acme").unwrap(), SourceName::new("handbook").unwrap())
    }

    #[test]
    fn what_is_sealed_opens_for_its_source_alone_and_shows_nothing() {
        let (acme, handbook) = names();
        let pepper = Pepper::new([7; 32]);
        let secret = Credentials::new(BTreeMap::from([("token".to_owned(), "hunter2-hunter2".to_owned())]));
        let sealed = seal(&pepper, &acme, &handbook, &secret).unwrap();
        assert_eq!(sealed.names, ["token"]);
        let bytes = sealed.sealed.clone().unwrap();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "it is stored in clear");
        assert_eq!(unseal(&pepper, &acme, &handbook, &sealed).unwrap(), secret);
        let again = seal(&pepper, &acme, &handbook, &secret).unwrap();
        assert_ne!(again.sealed, sealed.sealed, "equal credentials are equal bytes");

        let (globex, other) = (TenantId::new("globex").unwrap(), SourceName::new("other").unwrap());
        let mut torn = sealed.clone();
        torn.sealed.as_mut().unwrap()[20] ^= 1;
        for (pepper, tenant, source, sealed) in [
            (&Pepper::new([8; 32]), &acme, &handbook, &sealed),
            (&pepper, &globex, &handbook, &sealed),
            (&pepper, &acme, &other, &sealed),
            (&pepper, &acme, &handbook, &torn),
        ] {
            let error = unseal(pepper, tenant, source, sealed).unwrap_err().to_string();
            assert!(error.contains("give them again") && !error.contains("hunter2"), "{error}");
        }
    }
}
