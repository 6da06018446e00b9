//! Who is calling: finds the one credential of a request and has it verified.

use std::rc::Rc;

use super::{Around, Gate, record::Trace};
use crate::{
    identity::{Principal, header_text},
    jwt::{CompactToken, JwtError, Provider},
    policy::Access,
    problem::Reason,
    rbac::{Grants, Vocabulary},
    request::{Location, Lookup, RequestHead, credential},
};

/// A verified principal with everything that each of its requests needs, made once.
#[derive(Debug)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// What it holds of what rules ask for.
    pub grants: Grants,
    /// The index of the provider of its token; `None` for an API key.
    pub(super) provider: Option<usize>,
    /// Ready to send.
    pub(super) headers: HeaderTexts,
}

/// Identity as header values.
#[derive(Debug)]
pub(super) struct HeaderTexts {
    pub(super) subject: Rc<str>,
    pub(super) scopes: Rc<str>,
    pub(super) roles: Rc<str>,
    /// The place of an entry in the provider's `claimToHeaders`, and the claim's value.
    pub(super) claims: Vec<(usize, Rc<str>)>,
}

impl Caller {
    /// The holder of an API key.
    pub(crate) fn of_key(principal: Principal, vocabulary: &Vocabulary) -> Self {
        Self::new(principal, vocabulary, None, Vec::new())
    }

    /// The bearer of a token that the provider at `index` has verified.
    fn of_token(principal: Principal, vocabulary: &Vocabulary, index: usize, provider: &Provider) -> Self {
        let claims = provider.claim_headers(&principal.claims);
        let claims = claims.into_iter().map(|(place, value)| (place, value.into())).collect();
        Self::new(principal, vocabulary, Some(index), claims)
    }

    fn new(
        principal: Principal,
        vocabulary: &Vocabulary,
        provider: Option<usize>,
        claims: Vec<(usize, Rc<str>)>,
    ) -> Self {
        let join = |names: &[Box<str>], separator: &str, also: &[u8]| {
            let names: Vec<_> = names.iter().map(|name| header_text(name, also)).collect();
            Rc::from(names.join(separator))
        };
        Self {
            grants: vocabulary.grants(&principal),
            provider,
            headers: HeaderTexts {
                subject: header_text(&principal.subject, b"").into(),
                scopes: join(&principal.scopes, " ", b" "),
                roles: join(&principal.roles, ",", b","),
                claims,
            },
            principal,
        }
    }
}

/// Verifies the one credential that the rule's `access` takes.
///
/// Credentials of a kind that the rule does not take are not looked at: they prove nothing here. Two that it
/// takes are refused, whatever they are worth, because the client and we could mean different ones.
pub(super) fn authenticate(
    gate: &Gate,
    access: &Access,
    head: &RequestHead<'_>,
    query: Option<&str>,
    around: &Around<'_>,
    trace: &mut Trace,
) -> Result<Rc<Caller>, Reason> {
    let policy = gate.policy();
    let token = credential::find(&access.token_locations, head, query);
    let keys = policy.api_keys.as_ref().filter(|_| access.api_key);
    let key = keys.map_or(Lookup::Absent, |keys| credential::find(keys.locations(), head, query));
    match (token, key) {
        (Lookup::Absent, Lookup::Absent) => Err(Reason::CredentialsMissing),
        (Lookup::One((token, location)), Lookup::Absent) => {
            verify_token(gate, access, &token, location, around).map_err(|error| {
                trace.detail = Some(error.to_string());
                error.reason()
            })
        }
        (Lookup::Malformed, Lookup::Absent) => Err(Reason::TokenMalformed),
        (Lookup::Absent, Lookup::One((key, _))) => verify_key(gate, &key, around, trace),
        (Lookup::Absent, Lookup::Malformed) => Err(Reason::ApiKeyUnknown),
        _ => Err(Reason::CredentialsAmbiguous),
    }
}

fn verify_key(gate: &Gate, key: &str, around: &Around<'_>, trace: &mut Trace) -> Result<Rc<Caller>, Reason> {
    let keys = gate.policy().api_keys.as_ref().ok_or(Reason::ApiKeyUnknown)?;
    let verified = keys.authenticate(key.as_bytes(), around.now);
    verified.cloned().map_err(|refused| {
        trace.principal = refused.caller.cloned();
        refused.reason
    })
}

fn verify_token(
    gate: &Gate,
    access: &Access,
    text: &str,
    location: &Location,
    around: &Around<'_>,
) -> Result<Rc<Caller>, JwtError> {
    let policy = gate.policy();
    let candidates = || access.providers.iter().filter_map(|i| Some((*i, policy.providers.get(*i)?)));
    let max_size = candidates().map(|(_, provider)| provider.spec().max_token_size).max().unwrap_or(0);
    let token = CompactToken::parse(text, max_size)?;
    // The issuer is not verified yet: it only selects whose keys and rules the token is held against, and those
    // compare it again.
    let issuer = token.issuer();
    let (index, provider) = candidates()
        .find(|(_, provider)| {
            Some(provider.issuer()) == issuer && provider.spec().locations.contains(location)
        })
        .ok_or(JwtError::Issuer)?;
    // Cheap checks first: a token that would be refused anyway costs no signature check.
    provider.check_header(&token)?;
    provider.check_claims(token.claims(), around.now)?;
    let verified = gate
        .with_keys(index, around.now, |keys| provider.verify_signature(&token, keys, around.crypto))
        .ok_or(JwtError::KeysUnavailable)?;
    if let Err(JwtError::UnknownKey { kid }) = &verified {
        gate.note_unknown_key(index, kid, around);
    }
    verified?;
    let principal = provider.principal(token.into_claims())?;
    Ok(Rc::new(Caller::of_token(principal, &policy.vocabulary, index, provider)))
}
