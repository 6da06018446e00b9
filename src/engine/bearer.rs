//! Access tokens: verified once, judged on every request.

use std::rc::Rc;

use super::{Around, Caller, Gate};
use crate::{
    jwt::{CompactToken, JwtError, Provider, Validity},
    policy::Access,
    request::Location,
};

/// A token whose signature and form were verified. Only what does not change is kept.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    caller: Rc<Caller>,
    /// The index of the provider whose token it is.
    provider: usize,
    validity: Validity,
}

/// Verifies the token that stands at `location`, by the signature or by having done so before.
pub(super) fn verify(
    gate: &Gate,
    access: &Access,
    text: &str,
    location: &Location,
    around: &Around<'_>,
) -> Result<Rc<Caller>, JwtError> {
    if let Some(verified) = gate.remembered(text, around) {
        // The rule at hand may take other providers, or tokens at other places, than the one it was verified for.
        accepting(gate, access, location)
            .find(|(index, _)| *index == verified.provider)
            .ok_or(JwtError::Issuer)?;
        verified.validity.check(around.now)?;
        return Ok(verified.caller);
    }
    let verified = verify_anew(gate, access, text, location, around)?;
    gate.remember(text, &verified, around);
    Ok(verified.caller)
}

/// The providers whose tokens the rule takes at `location`.
fn accepting<'a>(
    gate: &'a Gate,
    access: &'a Access,
    location: &'a Location,
) -> impl Iterator<Item = (usize, &'a Provider)> {
    let providers = access.providers.iter().filter_map(|i| Some((*i, gate.policy().providers.get(*i)?)));
    providers.filter(|(_, provider)| provider.spec().locations.contains(location))
}

fn verify_anew(
    gate: &Gate,
    access: &Access,
    text: &str,
    location: &Location,
    around: &Around<'_>,
) -> Result<Verified, JwtError> {
    let sizes = accepting(gate, access, location).map(|(_, provider)| provider.spec().max_token_size);
    let token = CompactToken::parse(text, sizes.max().unwrap_or(0))?;
    // The issuer is not verified yet: it only selects whose keys and rules the token is held against, and those
    // compare it again.
    let issuer = token.issuer();
    let (index, provider) = accepting(gate, access, location)
        .find(|(_, provider)| Some(provider.issuer()) == issuer)
        .ok_or(JwtError::Issuer)?;
    // Cheap checks first: a token that would be refused anyway costs no signature check.
    provider.check_header(&token)?;
    let validity = provider.check_claims(token.claims(), around.now)?;
    let signature = gate
        .with_keys(index, around.now, |keys| provider.verify_signature(&token, keys, around.crypto))
        .ok_or(JwtError::KeysUnavailable)?;
    if let Err(JwtError::UnknownKey { .. }) = signature {
        gate.note_unknown_key(index, around);
    }
    signature?;
    let principal = provider.principal(token.into_claims())?;
    let caller = Rc::new(Caller::of_token(principal, &gate.policy().vocabulary, index, provider));
    Ok(Verified { caller, provider: index, validity })
}

impl Verified {
    pub(super) fn provider(&self) -> usize {
        self.provider
    }
}
