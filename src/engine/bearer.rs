//! Access tokens: verified once, judged on every request.

use std::rc::Rc;

use super::{
    Around, Attempt, Caller, Gate, Purpose, opaque,
    refusal::{Stop, Wait},
};
use crate::{
    answer::Reason,
    jose::{CompactToken, KeyError, KeySet, Malformed, TokenError},
    jwt::{JwtError, Provider, Validity},
    policy::Access,
    request::{Location, credential::Credential},
    time::Timestamp,
};

/// A token whose signature and form were verified. Only what does not change is kept.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    caller: Rc<Caller>,
    /// The index of the provider whose token it is.
    provider: usize,
    validity: Validity,
}

/// Verifies a token: by its signature, by having done so before, by asking its issuer, or by both where the policy says
/// so.
pub(super) fn verify(
    attempt: &mut Attempt<'_, '_>,
    access: &Access,
    token: &Credential<'_, '_>,
) -> Result<Rc<Caller>, Stop> {
    let gate = attempt.gate;
    let verified = match gate.remembered(token.bytes(), attempt.around) {
        Some(verified) => match still_good(gate, access, token.location, &verified, attempt.around) {
            Ok(()) => verified,
            Err(error) => {
                attempt.trace.principal = Some(verified.caller);
                return Err(attempt.refused(&error, error.reason()));
            }
        },
        None => match verify_now(attempt, access, token)? {
            Now::Verified(verified) => verified,
            Now::Vouched(caller) => return Ok(caller),
        },
    };
    let provider = gate.policy().providers.get(verified.provider);
    if provider.is_some_and(|provider| provider.introspects(true)) {
        // Good as it is, it may have been revoked since.
        if let Err(stop) = opaque::ask(attempt, verified.provider, text(token)?) {
            attempt.trace.principal = Some(verified.caller);
            return Err(stop);
        }
    }
    Ok(verified.caller)
}

/// A token that was not verified before.
enum Now {
    Verified(Verified),
    /// Its issuer says whose it is.
    Vouched(Rc<Caller>),
}

/// Apart, so that the way of a token that is remembered is short.
#[inline(never)]
fn verify_now(
    attempt: &mut Attempt<'_, '_>,
    access: &Access,
    token: &Credential<'_, '_>,
) -> Result<Now, Stop> {
    match verify_anew(attempt, access, text(token)?, token.location) {
        Ok(verified) => {
            attempt.gate.remember(token.bytes(), &verified, attempt.around);
            Ok(Now::Verified(verified))
        }
        Err(Failure::NotVerifiable { provider }) => {
            opaque::ask(attempt, provider, text(token)?).map(|verified| Now::Vouched(verified.caller()))
        }
        Err(Failure::Token(error)) => Err(attempt.refused(&error, error.reason())),
        Err(Failure::Keys { error, provider, until }) => {
            let (otherwise, now) = (error.reason(), attempt.now());
            attempt.note(&error, otherwise);
            // Keys that were fetched since the request came do not change by waiting on.
            let fetched_at = attempt.gate.keys_fetched_at(provider, now);
            let began = attempt.exchange.began(attempt.around);
            let final_word = fetched_at.is_some_and(|fetched_at| fetched_at >= began);
            Err(match until.filter(|_| !final_word) {
                Some(until) => Stop::Wait(Wait { call: Purpose::KeySet { provider }, until, otherwise }),
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
    NotVerifiable { provider: usize },
    /// The keys for it are not there; they may come until then.
    Keys { error: JwtError, provider: usize, until: Option<Timestamp> },
}

impl From<JwtError> for Failure {
    fn from(error: JwtError) -> Self {
        Self::Token(error)
    }
}

/// A token that was verified before: the rule at hand may take other providers, or tokens at other places, than the
/// one it was verified for, and its time may have passed.
fn still_good(
    gate: &Gate,
    access: &Access,
    location: &Location,
    verified: &Verified,
    around: &Around<'_>,
) -> Result<(), JwtError> {
    accepting(gate, access, location)
        .find(|(index, _)| *index == verified.provider)
        .ok_or(JwtError::Issuer)?;
    verified.validity.check(around.now())
}

/// The providers whose tokens the rule takes at `location`.
fn accepting<'a, 'r>(
    gate: &'a Gate,
    access: &'r Access,
    location: &'r Location,
) -> impl Iterator<Item = (usize, &'a Provider)> + use<'a, 'r> {
    let providers =
        access.offer.providers.iter().filter_map(|i| Some((*i, gate.policy().providers.get(*i)?)));
    providers.filter(|(_, provider)| provider.spec().locations.contains(location))
}

fn verify_anew(
    attempt: &mut Attempt<'_, '_>,
    access: &Access,
    text: &str,
    location: &Location,
) -> Result<Verified, Failure> {
    let gate = attempt.gate;
    let sizes = accepting(gate, access, location).map(|(_, provider)| provider.spec().max_token_size);
    let asked = || accepting(gate, access, location).find(|(_, provider)| provider.introspects(false));
    let token = match (CompactToken::parse(text, sizes.max().unwrap_or(0)), asked()) {
        (Ok(token), _) => token,
        // A JWT that nobody here could verify is no opaque token: who has keys is not asked what it is worth.
        (
            Err(error @ (TokenError::AlgorithmUnknown | TokenError::Malformed(Malformed::Extension))),
            Some((_, provider)),
        ) if provider.has_keys() => {
            return Err(JwtError::from(error).into());
        }
        (Err(_), Some((provider, _))) => return Err(Failure::NotVerifiable { provider }),
        (Err(error), None) => return Err(JwtError::from(error).into()),
    };
    let (index, provider, validity) = match judge(attempt, access, &token, location) {
        Ok(judged) => judged,
        Err(failure) => {
            if let Failure::Token(error) | Failure::Keys { error, .. } = &failure {
                attempt.keep_token(token, error.reason());
            }
            return Err(failure);
        }
    };
    let principal = provider.principal(token.into_claims()).inspect_err(|error| {
        // Its claims went with the principal that did not come of them.
        if let Ok(token) = CompactToken::parse(text, text.len()) {
            attempt.keep_token(token, error.reason());
        }
    })?;
    let caller = Rc::new(Caller::of_token(principal, &gate.policy().vocabulary, index, provider));
    Ok(Verified::new(caller, index, validity))
}

/// Whose token it is, and when it is valid, if everything about it is good but what it says of its user.
fn judge<'a>(
    attempt: &mut Attempt<'a, '_>,
    access: &Access,
    token: &CompactToken<'_>,
    location: &Location,
) -> Result<(usize, &'a Provider, Validity), Failure> {
    // The issuer is not verified yet: it only selects whose keys and rules the token is held against, and those
    // compare it again. A JWT of somebody else is nobody's opaque token.
    let issuer = token.issuer();
    let (index, provider) = accepting(attempt.gate, access, location)
        .find(|(_, provider)| Some(provider.issuer()) == issuer)
        .ok_or(JwtError::Issuer)?;
    if !provider.has_keys() {
        return Err(Failure::NotVerifiable { provider: index });
    }
    // Cheap checks first: a token that would be refused anyway costs no signature check.
    provider.check_header(token)?;
    let validity = provider.check_claims(token.claims().object(), attempt.now())?;
    verify_signature(attempt, index, provider, token)?;
    Ok((index, provider, validity))
}

/// Whether a key of the provider at `index` made the signature of `token`.
fn verify_signature(
    attempt: &mut Attempt<'_, '_>,
    index: usize,
    provider: &Provider,
    token: &CompactToken<'_>,
) -> Result<(), Failure> {
    let (gate, around, now) = (attempt.gate, attempt.around, attempt.now());
    let exchange = &mut *attempt.exchange;
    let verify = || {
        let keys = |keys: &KeySet| provider.verify_signature(token, keys, around.crypto);
        gate.with_keys(index, now, keys).unwrap_or(Err(JwtError::KeysUnavailable))
    };
    let verified = match exchange.unsigned_by {
        // It was held against these very keys before it waited for others.
        Some(_) if exchange.unsigned_by == gate.key_generation(index, now) => {
            let refusal = gate.with_keys(index, now, |keys| keys.refusal(token));
            Err(refusal.map_or(JwtError::KeysUnavailable, JwtError::Key))
        }
        _ => verify(),
    };
    let verified = match verified {
        Err(JwtError::Key(KeyError::UnknownKey { kid })) if gate.note_unknown_key(index, &kid, around) => {
            verify()
        }
        Err(error) if error.is_of_keys() && gate.note_wrong_signature(index, token.kid(), around) => verify(),
        verified => verified,
    };
    let Err(error) = verified else { return Ok(()) };
    let until = match error {
        // A key that was published since the last fetch is as good as any other: its first token waits for it.
        JwtError::Key(KeyError::UnknownKey { .. }) | JwtError::KeysUnavailable => {
            gate.keys_may_come(index, now)
        }
        // As is one that replaced another under its name.
        _ if error.is_of_keys() => match gate.key_may_be_replaced(index, token.kid(), now) {
            None => return Err(error.into()),
            until => until,
        },
        error => return Err(error.into()),
    };
    exchange.unsigned_by = gate.key_generation(index, now);
    Err(Failure::Keys { error, provider: index, until })
}

impl Verified {
    /// `provider` is the index of whose token it is.
    pub(super) fn new(caller: Rc<Caller>, provider: usize, validity: Validity) -> Self {
        Self { caller, provider, validity }
    }

    pub(super) fn caller(&self) -> Rc<Caller> {
        Rc::clone(&self.caller)
    }

    /// Whether it is valid at `now`; nothing else of it changes with time.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<(), JwtError> {
        self.validity.check(now)
    }

    pub(super) fn provider(&self) -> usize {
        self.provider
    }
}
