//! Access tokens: verified once, judged on every request.

use std::rc::Rc;

use super::{
    Attempt, opaque,
    provider::{ProviderState, Remembered},
    refusal::{Stop, Wait},
    verified::Verified,
};
use crate::{
    answer::Reason,
    jose::{CompactToken, KeyError, Malformed, TokenError},
    jwt::{CheckedToken, JwtError, VerifiedToken},
    policy::{AcceptedCredentials, Caller, Provider},
    request::{Location, credential::Credential},
    time::Timestamp,
};

/// Verifies a token: by its signature, by having done so before, by asking its issuer, or by both where the policy says
/// so.
pub(super) fn verify(
    attempt: &mut Attempt<'_, '_>,
    accepted: &AcceptedCredentials,
    credential: &Credential<'_, '_>,
) -> Result<Rc<Caller>, Stop> {
    let remembered = attempt.worker.remembered(credential.bytes(), attempt.services);
    let Remembered { token, provider } = match remembered {
        Some(remembered) => match still_good(accepted, credential.location, &remembered, attempt.now()) {
            Ok(()) => remembered,
            Err(error) => {
                attempt.trace.known(remembered.token.into_caller());
                return Err(attempt.refused(&error, error.reason()));
            }
        },
        None => match verify_now(attempt, accepted, credential)? {
            Now::Verified(verified) => verified,
            Now::Vouched(caller) => return Ok(caller),
        },
    };
    if provider.provider.introspects(true) {
        // Its signature is good, but it may have been revoked since it was made.
        if let Err(stop) = opaque::ask(attempt, &provider, text(credential)?) {
            attempt.trace.known(token.into_caller());
            return Err(stop);
        }
    }
    Ok(token.into_caller())
}

/// A token that was not verified before.
enum Now {
    Verified(Remembered),
    /// Its issuer says whose it is.
    Vouched(Rc<Caller>),
}

/// Apart, so that the way of a token that is remembered is short.
#[inline(never)]
fn verify_now(
    attempt: &mut Attempt<'_, '_>,
    accepted: &AcceptedCredentials,
    token: &Credential<'_, '_>,
) -> Result<Now, Stop> {
    if let (Some(_), Some((refused, reason))) = (attempt.dry, &attempt.exchange.refused_token)
        && **refused == *token.bytes()
    {
        return Err(Stop::Refuse(*reason));
    }
    let verified = verify_anew(attempt, accepted, text(token)?, token.location);
    if let Err(Failure::Token(error) | Failure::Keys { error, .. }) = &verified
        && error.is_of_keys()
        && attempt.policy().has_shadow_rules()
    {
        attempt.exchange.refused_token = Some((token.bytes().into(), error.reason()));
    }
    match verified {
        Ok(verified) => {
            attempt.worker.remember(token.bytes(), &verified, attempt.services);
            Ok(Now::Verified(verified))
        }
        Err(Failure::NotVerifiable { provider }) => {
            opaque::ask(attempt, &provider, text(token)?).map(|verified| Now::Vouched(verified.caller()))
        }
        Err(Failure::Token(error)) => Err(attempt.refused(&error, error.reason())),
        Err(Failure::Keys { error, provider, until }) => {
            let (otherwise, now) = (error.reason(), attempt.now());
            attempt.note(&error, otherwise);
            // Where the keys in use were fetched after the request came, waiting longer would bring no others.
            let fetched_at = provider.keys_fetched_at(now);
            let began = attempt.exchange.began(attempt.services);
            let final_word = fetched_at.is_some_and(|fetched_at| fetched_at >= began);
            Err(match until.filter(|_| !final_word) {
                Some(until) => Stop::Wait(Wait { call: provider.key_set(), until, otherwise }),
                None => Stop::Refuse(otherwise),
            })
        }
    }
}

fn text<'a>(token: &'a Credential<'_, '_>) -> Result<&'a str, Reason> {
    token.text().map_err(|unreadable| unreadable.reason(Reason::TokenMalformed))
}

/// Why a token is not verified here.
enum Failure {
    /// It is refused.
    Token(JwtError),
    /// Only its issuer can tell what it is worth.
    NotVerifiable { provider: Rc<ProviderState> },
    /// The keys for it are not there; they may come until then.
    Keys { error: JwtError, provider: Rc<ProviderState>, until: Option<Timestamp> },
}

impl From<JwtError> for Failure {
    fn from(error: JwtError) -> Self {
        Self::Token(error)
    }
}

/// Whether this request may pass with a token that was verified before. The rule at hand may take other providers, or
/// tokens at other places, than the one that it was verified for, and its time may have passed.
fn still_good(
    accepted: &AcceptedCredentials,
    location: &Location,
    Remembered { token, provider }: &Remembered,
    now: Timestamp,
) -> Result<(), JwtError> {
    let own = accepted.find(&provider.provider).ok_or(JwtError::Issuer)?;
    if !own.spec().locations.contains(location) {
        return Err(JwtError::Issuer);
    }
    token.check_times(now)
}

fn verify_anew(
    attempt: &mut Attempt<'_, '_>,
    accepted: &AcceptedCredentials,
    text: &str,
    location: &Location,
) -> Result<Remembered, Failure> {
    let providers = || accepted.providers_at(location);
    let sizes = providers().map(|provider| provider.spec().max_token_size);
    let asked = || providers().find(|provider| provider.introspects(false));
    let longest = sizes.max().unwrap_or(0);
    let may_be_padded = || providers().any(|provider| !provider.spec().load_balancers.is_empty());
    let parsed = match text.contains('=') && may_be_padded() {
        true => CompactToken::parse_padded(text, longest),
        false => CompactToken::parse(text, longest),
    };
    let mut token = match (parsed, asked()) {
        (Ok(token), _) => token,
        // A signed JWT of a kind that is not verified here is no opaque token: of a provider with keys, the issuer is
        // not asked about it.
        (
            Err(error @ (TokenError::AlgorithmUnknown | TokenError::Malformed(Malformed::Extension))),
            Some(provider),
        ) if provider.jwt.has_keys() => {
            return Err(JwtError::from(error).into());
        }
        (Err(_), Some(provider)) => {
            let provider = attempt.worker.state_of(provider).ok_or(JwtError::Issuer)?;
            return Err(Failure::NotVerifiable { provider: Rc::clone(provider) });
        }
        (Err(error), None) => return Err(JwtError::from(error).into()),
    };
    judge(attempt, accepted, &mut token, location).inspect_err(|failure| {
        if let Failure::Token(error) | Failure::Keys { error, .. } = failure {
            attempt.keep_token(token, error.reason());
        }
    })
}

/// Holds `token` against the rules and the keys of its provider.
fn judge(
    attempt: &mut Attempt<'_, '_>,
    accepted: &AcceptedCredentials,
    token: &mut CompactToken<'_>,
    location: &Location,
) -> Result<Remembered, Failure> {
    // The issuer is not verified yet: it only selects whose keys and rules the token is held against, and those
    // compare it again. A JWT of any other issuer is refused, and not taken for an opaque token.
    let is_own = |provider: &&Rc<Provider>| provider.jwt.judges(token.issuer());
    let provider = accepted.providers_at(location).find(is_own);
    let state = provider.and_then(|provider| attempt.worker.state_of(provider)).ok_or(JwtError::Issuer)?;
    if !state.provider.jwt.has_keys() {
        return Err(Failure::NotVerifiable { provider: Rc::clone(state) });
    }
    let checked = state.provider.jwt.check(token, attempt.now())?;
    attempt.worker.count_verified_anew();
    let token = verify_signature(attempt, state, checked)?;
    let token = Verified::new(token, &attempt.policy().vocabulary, &state.provider);
    Ok(Remembered { token, provider: Rc::clone(state) })
}

/// The token itself, if a key of `provider` made its signature.
fn verify_signature(
    attempt: &mut Attempt<'_, '_>,
    provider: &Rc<ProviderState>,
    mut token: CheckedToken<'_, '_>,
) -> Result<VerifiedToken, Failure> {
    let (services, now) = (attempt.services, attempt.now());
    let exchange = &mut *attempt.exchange;
    let verify = |token: &mut CheckedToken<'_, '_>| {
        let verified = provider.with_keys(now, |keys| token.verify(keys, services.crypto));
        verified.unwrap_or(Err(JwtError::KeysUnavailable))
    };
    let verified = match exchange.unsigned_by {
        // It was held against these very keys before it waited for others.
        Some(_) if exchange.unsigned_by == provider.key_set_in_use(now) => {
            let refusal = provider.with_keys(now, |keys| token.refusal(keys));
            Err(refusal.unwrap_or(JwtError::KeysUnavailable))
        }
        _ => verify(&mut token),
    };
    let verified = match verified {
        Err(JwtError::Key(KeyError::UnknownKey { kid })) if provider.note_unknown_key(&kid, services) => {
            verify(&mut token)
        }
        Err(error) if error.is_of_keys() && provider.note_wrong_signature(token.kid(), services) => {
            verify(&mut token)
        }
        verified => verified,
    };
    let error = match verified {
        Ok(verified) => return Ok(verified),
        Err(error) => error,
    };
    let until = match error {
        // A key that was published since the last fetch is as good as any other: its first token waits for it.
        JwtError::Key(KeyError::UnknownKey { .. }) | JwtError::KeysUnavailable => provider.keys_may_come(now),
        // So is a key that replaced another one of the same name.
        _ if error.is_of_keys() => match provider.key_may_be_replaced(token.kid(), now) {
            None => return Err(error.into()),
            until => until,
        },
        error => return Err(error.into()),
    };
    exchange.unsigned_by = provider.key_set_in_use(now);
    Err(Failure::Keys { error, provider: Rc::clone(provider), until })
}
