//! Access tokens: verified once, judged on every request.

use std::rc::Rc;

use super::{
    Attempt, HostServices, Purpose, WorkerState, opaque,
    refusal::{Stop, Wait},
};
use crate::{
    answer::Reason,
    jose::{CompactToken, KeyError, Malformed, TokenError},
    jwt::{CheckedToken, JwtError, Provider, Validity, VerifiedToken},
    policy::{Access, Caller},
    rbac::Vocabulary,
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
    let worker = attempt.worker;
    let verified = match worker.remembered(token.bytes(), attempt.services) {
        Some(verified) => match still_good(worker, access, token.location, &verified, attempt.services) {
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
    let provider = worker.policy().providers.get(verified.provider);
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
            attempt.worker.remember(token.bytes(), &verified, attempt.services);
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
            let fetched_at = attempt.worker.keys_fetched_at(provider, now);
            let began = attempt.exchange.began(attempt.services);
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
    worker: &WorkerState,
    access: &Access,
    location: &Location,
    verified: &Verified,
    services: &HostServices<'_>,
) -> Result<(), JwtError> {
    accepting(worker, access, location)
        .find(|(index, _)| *index == verified.provider)
        .ok_or(JwtError::Issuer)?;
    verified.validity.check(services.now())
}

/// The providers whose tokens the rule takes at `location`.
fn accepting<'a, 'r>(
    worker: &'a WorkerState,
    access: &'r Access,
    location: &'r Location,
) -> impl Iterator<Item = (usize, &'a Provider)> + use<'a, 'r> {
    let providers =
        access.accepted.providers.iter().filter_map(|i| Some((*i, worker.policy().providers.get(*i)?)));
    providers.filter(|(_, provider)| provider.spec().locations.contains(location))
}

fn verify_anew(
    attempt: &mut Attempt<'_, '_>,
    access: &Access,
    text: &str,
    location: &Location,
) -> Result<Verified, Failure> {
    let worker = attempt.worker;
    let sizes = accepting(worker, access, location).map(|(_, provider)| provider.spec().max_token_size);
    let asked = || accepting(worker, access, location).find(|(_, provider)| provider.introspects(false));
    let mut token = match (CompactToken::parse(text, sizes.max().unwrap_or(0)), asked()) {
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
    judge(attempt, access, &mut token, location).inspect_err(|failure| {
        if let Failure::Token(error) | Failure::Keys { error, .. } = failure {
            attempt.keep_token(token, error.reason());
        }
    })
}

/// Holds `token` against the rules and the keys of its provider.
fn judge(
    attempt: &mut Attempt<'_, '_>,
    access: &Access,
    token: &mut CompactToken<'_>,
    location: &Location,
) -> Result<Verified, Failure> {
    let worker = attempt.worker;
    // The issuer is not verified yet: it only selects whose keys and rules the token is held against, and those
    // compare it again. A JWT of somebody else is nobody's opaque token.
    let issuer = token.issuer();
    let (index, provider) = accepting(worker, access, location)
        .find(|(_, provider)| Some(provider.issuer()) == issuer)
        .ok_or(JwtError::Issuer)?;
    if !provider.has_keys() {
        return Err(Failure::NotVerifiable { provider: index });
    }
    let checked = provider.check(token, attempt.now())?;
    let token = verify_signature(attempt, index, checked)?;
    Ok(Verified::new(token, &worker.policy().vocabulary, index, provider))
}

/// The token itself, if a key of the provider at `index` made its signature.
fn verify_signature(
    attempt: &mut Attempt<'_, '_>,
    index: usize,
    mut token: CheckedToken<'_, '_>,
) -> Result<VerifiedToken, Failure> {
    let (worker, services, now) = (attempt.worker, attempt.services, attempt.now());
    let exchange = &mut *attempt.exchange;
    let verify = |token: &mut CheckedToken<'_, '_>| {
        let verified = worker.with_keys(index, now, |keys| token.verify(keys, services.crypto));
        verified.unwrap_or(Err(JwtError::KeysUnavailable))
    };
    let verified = match exchange.unsigned_by {
        // It was held against these very keys before it waited for others.
        Some(_) if exchange.unsigned_by == worker.key_generation(index, now) => {
            let refusal = worker.with_keys(index, now, |keys| token.refusal(keys));
            Err(refusal.unwrap_or(JwtError::KeysUnavailable))
        }
        _ => verify(&mut token),
    };
    let verified = match verified {
        Err(JwtError::Key(KeyError::UnknownKey { kid }))
            if worker.note_unknown_key(index, &kid, services) =>
        {
            verify(&mut token)
        }
        Err(error) if error.is_of_keys() && worker.note_wrong_signature(index, token.kid(), services) => {
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
        JwtError::Key(KeyError::UnknownKey { .. }) | JwtError::KeysUnavailable => {
            worker.keys_may_come(index, now)
        }
        // As is one that replaced another under its name.
        _ if error.is_of_keys() => match worker.key_may_be_replaced(index, token.kid(), now) {
            None => return Err(error.into()),
            until => until,
        },
        error => return Err(error.into()),
    };
    exchange.unsigned_by = worker.key_generation(index, now);
    Err(Failure::Keys { error, provider: index, until })
}

impl Verified {
    /// Makes of a token of `provider`, which stands at `index`, what each of its requests needs.
    pub(super) fn new(
        token: VerifiedToken,
        vocabulary: &Vocabulary,
        index: usize,
        provider: &Provider,
    ) -> Self {
        let validity = token.validity();
        let caller = Caller::of_token(token, vocabulary, index, provider);
        Self { caller: Rc::new(caller), provider: index, validity }
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
