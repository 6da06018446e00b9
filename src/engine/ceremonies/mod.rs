//! Ceremonies with passkeys, answered by the filter: who may ask was decided as of any request, by a rule of the
//! endpoint's own.
//!
//! A ceremony that waits, for its body or for the store, is gone through again from its beginning with the answers that it
//! has had: the same questions come to it in the same order (`asking.rs`).

mod asking;
mod authentication;
mod credentials;
mod endpoint;
mod operation;
mod registration;

pub(super) use self::endpoint::rule;

use std::{rc::Rc, time::Duration};

use serde_json::Value;

use self::endpoint::Endpoint;
use super::{
    Attempt, RequestLine,
    admitted::{Admitted, Goal},
    refusal::{Refusal, Stop, refuse},
};
use crate::{
    answer::{Reason, Reply},
    json::{self, Json, Members},
    passkeys::{Account, BoundTo, Challenge, ChallengeError, LONGEST_TIMEOUT, Passkey, Purpose},
    policy::Passkeys,
    rbac::{Denial, StepUp},
    replay::Table,
    session::Sessions,
    time::Timestamp,
    webauthn::Descriptor,
};

/// What `admitted` comes to: an answer, or `None`: it is confirmed and goes on.
pub(super) fn go_on<'a>(
    attempt: &mut Attempt<'a, '_>,
    admitted: &mut Admitted,
    line: &RequestLine<'a>,
) -> Result<Option<Reply>, Stop> {
    let passkeys = attempt.policy().passkeys.as_ref().ok_or(Reason::NoRule)?;
    let goal = admitted.goal;
    let mut ceremony = Ceremony { attempt, passkeys, line, admitted, asked: 0 };
    match goal {
        Goal::Answer => ceremony.answer().map(Some),
        Goal::Confirmation { with_body } => ceremony.confirm(with_body).map(|()| None),
    }
}

/// How large a body may be: a registration with an attestation and a chain of certificates has some 10 KiB.
const MAX_BODY: usize = 64 * 1024;

const USED_CHALLENGES: Table =
    Table { name: "challenges", horizon: Duration::from_secs(LONGEST_TIMEOUT.as_secs().saturating_add(60)) };

/// What answers of ours are called in access logs (`%RESPONSE_CODE_DETAILS%`).
const DETAILS: &str = "passkeys";

/// One ceremony: the request with all that it is answered with.
struct Ceremony<'c, 'a, 'e> {
    attempt: &'c mut Attempt<'a, 'e>,
    passkeys: &'a Passkeys,
    line: &'c RequestLine<'a>,
    admitted: &'c mut Admitted,
    /// How many questions it has come to on this way through.
    asked: usize,
}

impl<'a> Ceremony<'_, 'a, '_> {
    /// The answer to a request for an endpoint.
    fn answer(&mut self) -> Result<Reply, Stop> {
        self.check_page()?;
        let path = self.line.path.path();
        match endpoint::find(self.passkeys, self.line.method, path) {
            Endpoint::RegistrationOptions => self.registration_options(),
            Endpoint::Registration => self.register(),
            Endpoint::AuthenticationOptions => self.authentication_options(),
            Endpoint::Authentication => self.sign_in(),
            Endpoint::StepUpOptions => self.step_up_options(),
            Endpoint::Credentials => self.list(),
            Endpoint::Rename(id) => self.rename(id),
            Endpoint::Remove(id) => self.remove(id),
            Endpoint::SignOut => self.sign_out(),
            Endpoint::WrongMethod(allowed) => {
                let mut refusal = Refusal::from(Reason::MethodNotAllowed);
                Rc::make_mut(&mut refusal.reply).headers.push(("allow", allowed.to_owned()));
                Err(Stop::Answer(refusal))
            }
            Endpoint::Unknown => Err(Reason::NotFound.into()),
        }
    }

    /// Pages of other origins have no business here, whatever credentials their requests carry. Programs say no origin.
    fn check_page(&mut self) -> Result<(), Stop> {
        let mut origins = self.attempt.head.values("origin").peekable();
        if origins.peek().is_none() || self.line.method == "GET" {
            return Ok(());
        }
        let is_own = origins.all(|origin| self.origin(origin).is_some());
        if is_own {
            Ok(())
        } else {
            Err(self.refused(&"a page of another origin asks", Reason::CrossSiteRequest))
        }
    }

    /// `value` of the header `origin`, where it is one of the relying party.
    fn origin(&self, value: &[u8]) -> Option<&'a str> {
        let passkeys = self.passkeys;
        passkeys.relying_party.origins().find(|origin| origin.as_bytes() == value)
    }

    /// The origin of the page that asks.
    fn asking_origin(&self) -> Option<&'a str> {
        self.attempt.head.single("origin").one().and_then(|value| self.origin(value))
    }

    /// The body, an object of JSON that is said to be one: no page can have a form send that.
    fn body(&mut self) -> Result<Body, Stop> {
        let is_json = |value: &[u8]| {
            let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
            media_type.trim_ascii().eq_ignore_ascii_case(b"application/json")
        };
        if !self.attempt.head.single("content-type").one().is_some_and(is_json) {
            return Err(Reason::UnsupportedMediaType.into());
        }
        let bytes = self.attempt.body(MAX_BODY)?;
        match json::parse_object(&bytes) {
            Ok(members) => Ok(Body { bytes, members }),
            Err(fault) => Err(self.refused(&fault, Reason::BodyMalformed)),
        }
    }

    fn sessions(&self) -> Result<&'a Sessions, Stop> {
        self.attempt.policy().sessions().ok_or_else(|| Reason::StateUnavailable.into())
    }

    /// Refuses for want of another login (RFC 9470 section 3).
    #[cold]
    fn step_up(&self, asked: StepUp) -> Stop {
        let step_up = Some(Box::new(asked));
        let denial = Denial { step_up, ..Reason::InsufficientUserAuthentication.into() };
        match self.attempt.rule() {
            Some(rule) => Stop::Answer(refuse(self.attempt.policy(), rule, &denial)),
            None => denial.reason.into(),
        }
    }

    fn now(&self) -> Timestamp {
        self.attempt.now()
    }

    #[cold]
    fn refused(&mut self, detail: &dyn std::fmt::Display, reason: Reason) -> Stop {
        self.attempt.refused(detail, reason)
    }

    /// A challenge for options, bound to whoever asks.
    fn challenge(&mut self, purpose: Purpose, account: &str, operation: &[u8]) -> Result<Vec<u8>, Stop> {
        let to = BoundTo {
            rp_id: &self.passkeys.relying_party.spec().id,
            origin: self.asking_origin(),
            account,
            operation,
        };
        let random = (self.attempt.services.random)().ok_or(Reason::StateUnavailable)?;
        let made = self.passkeys.challenge_keys.make(purpose, &to, self.now(), random);
        made.ok_or_else(|| Reason::StateUnavailable.into())
    }

    /// Each challenge is looked at once, whatever comes of it (section 13.4.3): here for this gateway, and for all that share
    /// a store in the account that takes an answer to it.
    fn use_challenge(&mut self, challenge: &[u8], until: Timestamp) -> Result<(), Stop> {
        if std::mem::replace(&mut self.admitted.challenge_used, true) {
            return Ok(());
        }
        let place = self.passkeys.challenge_keys.place(challenge).ok_or(Reason::StateUnavailable)?;
        let (services, namespace) = (self.attempt.services, self.attempt.worker.namespace());
        match USED_CHALLENGES.claim(&place, until, services.store, namespace, self.now()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.refused(&"the challenge was answered before", Reason::PasskeyRefused)),
            Err(error) => Err(self.refused(&error, Reason::StateUnavailable)),
        }
    }

    /// Whether the challenge that was answered at `origin` is ours, for one of `purposes`: until when it is good.
    fn check_challenge<'b>(
        &mut self,
        given: &'b [u8],
        purposes: &[Purpose],
        origin: &str,
        account: &str,
        operation: &[u8],
    ) -> Result<(Challenge<'b>, Timestamp), Stop> {
        let challenge = Challenge::read(given).filter(|challenge| purposes.contains(&challenge.purpose));
        let Some(challenge) = challenge else {
            return Err(self.refused(&"the challenge is none of ours for this", Reason::PasskeyRefused));
        };
        let to = BoundTo {
            rp_id: &self.passkeys.relying_party.spec().id,
            origin: Some(origin),
            account,
            operation,
        };
        let keys = &self.passkeys.challenge_keys;
        match keys.verify(challenge, &to, self.passkeys.spec.timeout, self.now()) {
            Ok(until) => {
                self.use_challenge(given, until)?;
                Ok((challenge, until))
            }
            Err(ChallengeError::Expired) => {
                Err(self.refused(&"the challenge is too old", Reason::ChallengeExpired))
            }
            Err(ChallengeError::Unknown) => {
                let detail = "the challenge was not made for this account, page or operation";
                Err(self.refused(&detail, Reason::PasskeyRefused))
            }
        }
    }
}

/// An answer for whoever asked alone.
fn told(status: u16, value: &Value) -> Reply {
    Reply { status, ..Reply::private(DETAILS, Some(value)) }
}

/// The passkeys of an account, as browsers are told of them.
fn descriptors(account: &Account) -> Vec<Descriptor<'_>> {
    let passkeys = account.passkeys.iter();
    passkeys.map(|Passkey { id, transports, .. }| Descriptor { id, transports }).collect()
}

/// A body that was read.
struct Body {
    bytes: Vec<u8>,
    members: Members,
}

impl Body {
    /// A member that may be left out.
    ///
    /// # Errors
    /// It is no text.
    fn text(&self, name: &str) -> Result<Option<&str>, Stop> {
        match self.members.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text)),
            Some(_) => Err(Reason::BodyMalformed.into()),
        }
    }
}
