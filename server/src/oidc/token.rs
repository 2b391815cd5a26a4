//! A token as it came, and the proof that its issuer signed it.
//!
//! Promises: what a token says of keys (`jku`, `x5u`, `jwk`, `x5c`) is never followed; the settings say which algorithms
//! there are, and the key's kind must fit. Does not: say who somebody is before the signature was checked.

use catena_domain::limits;
use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, DecodingKey, Header, TokenData, Validation, decode};

use super::Refusal;
use super::claims::Claims;
use super::settings::Trust;

/// Longest name of a key.
pub(super) const KID_BYTES_MAX: usize = 256;

/// A token that anybody may have written.
pub(super) struct Unverified<'a> {
    text: &'a str,
    header: Header,
    kid: String,
    claims: Claims,
}

impl<'a> Unverified<'a> {
    /// Reads what can be read without trust in anybody.
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > limits::TOKEN_BYTES_MAX {
            return Err(Refusal::unproven(format!("it is longer than {} bytes", limits::TOKEN_BYTES_MAX)));
        }
        let TokenData { header, claims } = insecure_decode(text).map_err(|_| {
            Refusal::unproven("it is no signed token, or none of a known algorithm, or has a claim twice")
        })?;
        if header.jku.is_some() || header.x5u.is_some() || header.jwk.is_some() || header.x5c.is_some() {
            return Err(Refusal::unproven("its header brings a key or an address of keys"));
        }
        if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
            return Err(Refusal::unproven("its header asks for an extension"));
        }
        match header.kid.clone() {
            Some(kid) if (1..=KID_BYTES_MAX).contains(&kid.len()) => Ok(Self { text, header, kid, claims }),
            Some(_) => Err(Refusal::unproven(format!("its `kid` is empty or longer than {KID_BYTES_MAX} bytes"))),
            None => Err(Refusal::unproven("its header has no `kid`")),
        }
    }

    /// What it claims.
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Which key it says it was signed with.
    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    /// Which algorithm it says it was signed by.
    pub(super) fn algorithm(&self) -> Algorithm {
        self.header.alg
    }

    /// Whether its header is one that the settings admit.
    pub(super) fn check(&self, trust: &Trust) -> Result<(), Refusal> {
        if !trust.algorithms.contains(&self.header.alg) {
            return Err(Refusal::unproven("its algorithm is none of `algorithms`"));
        }
        if !trust.token_types.iter().any(|kind| kind.is(self.header.typ.as_deref())) {
            return Err(Refusal::unproven("its `typ` is none of `token_types`"));
        }
        Ok(())
    }

    /// The claims, if `key` signed them. They were checked before, and audience and issuer are looked at again here.
    pub(super) fn verify(&self, key: &DecodingKey, trust: &Trust) -> Result<Claims, Refusal> {
        let mut validation = Validation::new(self.header.alg);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.set_issuer(&[&trust.issuer]);
        validation.set_audience(&trust.audience);
        // Times are compared by the clock that everything here is measured by: see `Claims::check`.
        validation.validate_exp = false;
        let verified = decode::<Claims>(self.text, key, &validation);
        verified.map(|token| token.claims).map_err(|_| Refusal::unproven("its signature is not by that key"))
    }
}
