//! The decision record: one line of JSON per decision, for operators.
//!
//! It names the rule, the reason and who asked, never what they asked with: no token, key, cookie, header
//! value but the ids of request and trace, and no query string, which may hold credentials.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
    rc::Rc,
};

use super::{
    record_members::{ECS_VERSION, Member, ecs_outcome},
    shadow_outcome::{Reached, ShadowOutcome, Shadowed},
};
use crate::{
    answer::Reason,
    config::RecordNames,
    identity::Party,
    jose::CompactToken,
    json::{Json, Members},
    policy::{Access, Action, Caller, Callers, Policy, Provider},
    rate_limit::LimitId,
    request::{RequestHead, trace_context},
};

/// What became known while deciding.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// The place of the matched rule.
    pub(super) rule: Option<usize>,
    /// Who it was, or whose credential it would have been.
    pub(super) callers: Callers,
    /// Whose credential is looked at, or was last.
    pub(super) party: Party,
    /// The limit that refused.
    pub(super) limit: Option<LimitId>,
    /// More about the reason, for operators.
    pub(super) detail: Option<String>,
    /// The provider that was asked about a token.
    pub(super) provider: Option<Rc<Provider>>,
    /// What a token that was refused says of itself; `None` where it is known whose credential it was, or there was
    /// none.
    pub(super) token: Option<Box<Claimed>>,
    /// A nonce that the client should use from now on; never part of the record.
    pub(super) dpop_nonce: Option<String>,
    /// Rate-limit entries that had to make room.
    pub(super) evicted: u32,
    /// How far rules let the request come.
    pub(super) reached: Reached,
    /// It is let go on only if its user confirms it.
    pub(super) to_confirm: bool,
    /// What a shadow would have decided otherwise; `None`: nothing, or there is none.
    pub(super) shadow: Option<Box<Shadowed>>,
    /// The request was let go on before; what is decided is that its stream ends.
    pub(super) ends_stream: bool,
}

/// Records that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct RecordKind {
    /// Why it is refused; of an allowed request, why a shadow would refuse it.
    pub(super) reason: Reason,
    pub(super) rule: Option<usize>,
    pub(super) ends_stream: bool,
    pub(super) shadow: Option<ShadowOutcome>,
}

/// What a token that was refused says of itself: nothing of it is verified.
pub(super) struct Claimed {
    kid: Option<Box<str>>,
    claims: Members,
}

/// Shows no claims: they speak of somebody.
impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed").finish_non_exhaustive()
    }
}

/// Client-chosen text is cut to this many characters.
pub(super) const LONGEST_TEXT: usize = 256;
/// The most entries of a list that are shown.
pub(super) const MOST_ITEMS: usize = 8;

impl Trace {
    /// Keeps whose credential is looked at.
    pub(super) fn known(&mut self, caller: Rc<Caller>) {
        match self.party {
            Party::Principal => self.callers.principal = Some(caller),
            Party::Actor => self.callers.actor = Some(caller),
        }
    }

    /// Keeps what a token says of itself.
    pub(super) fn keep_token(&mut self, token: CompactToken<'_>) {
        let kid = token.kid().map(Into::into);
        self.token = Some(Box::new(Claimed { kid, claims: token.into_claims() }));
    }

    /// `target` is the request's target as it may be shown; `None`: as it came. Its query is never shown. `reason` is
    /// `None` for an allowed request.
    #[cold]
    pub(super) fn record(
        &self,
        policy: &Policy,
        head: &RequestHead<'_>,
        target: Option<&str>,
        reason: Option<Reason>,
    ) -> String {
        let header = |name| head.single(name).one().and_then(|value| str::from_utf8(value).ok());
        let mut line = Line::of(policy.record_names);
        let decision = match reason {
            Some(_) if self.ends_stream => "end",
            Some(_) => "deny",
            None => "allow",
        };
        line.add_decision(decision);
        line.add(Member::Reason, reason.map(Reason::code));
        line.add(Member::Detail, self.detail.as_deref());
        if let Some(reason) = reason {
            line.add_all(Member::Missing, &mut self.missing(policy, reason).into_iter());
            line.add(Member::Party, Some("actor").filter(|_| self.party == Party::Actor));
        }
        line.add(Member::Rule, self.rule.and_then(|rule| policy.rules.get(rule)).map(|rule| &*rule.name));
        line.add(Member::Method, header(":method"));
        line.add(
            Member::Path,
            target.or_else(|| header(":path")).and_then(|target| target.split('?').next()),
        );
        line.add_caller(
            self.callers.actor.as_deref(),
            [Member::Actor, Member::ActorKind, Member::ActorAuthority, Member::ActorCredential],
        );
        line.add_caller(
            self.callers.principal.as_deref(),
            [Member::Principal, Member::Kind, Member::Authority, Member::Credential],
        );
        if let Some(reason) = reason.filter(|_| self.callers.principal.is_none()) {
            let claimed = |name| self.token.as_ref().and_then(|token| token.claims.get(name));
            let issuer = claimed("iss").and_then(Json::as_str);
            line.add(Member::Provider, self.provider(policy, issuer));
            line.add(Member::Issuer, issuer);
            line.add_all(Member::Audience, &mut claimed("aud").into_iter().flat_map(strings));
            line.add(Member::Kid, self.token.as_ref().and_then(|token| token.kid.as_deref()));
            line.add(Member::Certificate, certificate(policy, head, reason).as_deref());
        }
        if reason.is_none() {
            line.add_all(Member::Unsent, &mut self.unsent().iter().map(String::as_str));
        }
        line.add(Member::Limit, self.limit.map(|limit| policy.limiter.name(limit)));
        if let Some(shadow) = &self.shadow {
            line.add(Member::Shadow, Some(shadow.outcome.as_str()));
            line.add(Member::ShadowReason, shadow.why().map(Reason::code));
            line.add(Member::ShadowRule, shadow.rule.as_deref());
            line.add(Member::ShadowLimit, shadow.limit.as_deref());
        }
        line.add_address(head.remote_address);
        line.add(Member::RequestId, header("x-request-id"));
        line.add(Member::TraceId, head.single("traceparent").one().and_then(trace_context::trace_id));
        line.end()
    }

    /// The names that whoever was refused lacks.
    fn missing<'a>(&'a self, policy: &'a Policy, reason: Reason) -> Vec<&'a str> {
        let rule = self.rule.and_then(|rule| policy.rules.get(rule));
        match (rule.map(|rule| &rule.action), self.callers.of(self.party)) {
            (Some(Action::Allow(Access { requirement: Some(requirement), .. })), Some(caller)) => {
                requirement.missing(reason, self.party, &caller.grants, &policy.vocabulary)
            }
            _ => Vec::new(),
        }
    }

    /// The provider that was asked about the token, or whose it would be.
    fn provider<'a>(&'a self, policy: &'a Policy, issuer: Option<&str>) -> Option<&'a str> {
        let asked = self.provider.as_ref();
        let own = || policy.providers.iter().find(|provider| issuer.is_some() && provider.jwt.judges(issuer));
        asked.or_else(own).map(|provider| &**provider.name())
    }

    /// Headers of `claimToHeaders` that the upstream misses although their claims say something, and why.
    fn unsent(&self) -> Vec<String> {
        let mut all = Vec::new();
        for caller in [&self.callers.principal, &self.callers.actor].into_iter().flatten() {
            let provider = caller.provider.as_ref();
            let headers =
                provider.map(|provider| provider.spec().claim_to_headers.as_slice()).unwrap_or_default();
            let unsent = caller.headers.unsent.iter();
            all.extend(
                unsent.filter_map(|(place, why)| Some(format!("{}: {why}", headers.get(*place)?.header))),
            );
        }
        all
    }
}

/// An object as it is written, one member after the other.
struct Line {
    text: String,
    names: RecordNames,
}

impl Line {
    const fn of(names: RecordNames) -> Self {
        Self { text: String::new(), names }
    }

    fn add_decision(&mut self, decision: &str) {
        self.add(Member::Decision, Some(decision));
        if self.names == RecordNames::Ecs {
            let [outcome, kind] = ecs_outcome(decision);
            _ = write!(
                self.text,
                ",\"event.outcome\":\"{outcome}\",\"event.kind\":\"event\",\"event.category\":[\"api\"],\
                 \"event.type\":[\"{kind}\"],\"ecs.version\":\"{ECS_VERSION}\""
            );
        }
    }

    /// The Elastic Common Schema has the client among the sources of events, too.
    fn add_address(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        self.add(Member::Address, Some(&address.to_string()));
        if self.names == RecordNames::Ecs {
            _ = write!(self.text, ",\"source.ip\":\"{address}\"");
        }
    }

    /// Adds a member that has something to say.
    #[inline(never)]
    fn add(&mut self, member: Member, value: Option<&str>) {
        if let Some(value) = value {
            self.name(member);
            self.push(value);
        }
    }

    /// Adds the first of some, if there are any.
    #[inline(never)]
    fn add_all(&mut self, member: Member, values: &mut dyn Iterator<Item = &str>) {
        let mut values = values.take(MOST_ITEMS).peekable();
        if values.peek().is_none() {
            return;
        }
        self.name(member);
        for (place, value) in values.enumerate() {
            self.text.push(if place == 0 { '[' } else { ',' });
            self.push(value);
        }
        self.text.push(']');
    }

    /// Adds who it is: its subject, kind, authority and credential, under these names.
    fn add_caller(&mut self, caller: Option<&Caller>, [subject, kind, authority, credential]: [Member; 4]) {
        let Some(Caller { principal, .. }) = caller else { return };
        let named = |value| Some(value).filter(|value: &&str| !value.is_empty());
        self.add(subject, Some(&principal.subject));
        self.add(kind, Some(principal.kind.as_str()));
        self.add(authority, named(&principal.authority));
        self.add(credential, named(&principal.credential_id));
    }

    fn name(&mut self, member: Member) {
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        self.push(member.name(self.names));
        self.text.push(':');
    }

    fn push(&mut self, text: &str) {
        self.text.push('"');
        push_escaped(&mut self.text, text);
        self.text.push('"');
    }

    fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// Adds `text`, cut, and escaped so that it stays on the line (RFC 8259 section 7) and moves no cursor.
#[inline(never)]
pub(super) fn push_escaped(to: &mut String, text: &str) {
    for c in text.chars().take(LONGEST_TEXT) {
        match c {
            '"' | '\\' => to.extend(['\\', c]),
            '\u{2028}' | '\u{2029}' => _ = write!(to, "\\u{:04x}", u32::from(c)),
            c if c.is_control() => _ = write!(to, "\\u{:04x}", u32::from(c)),
            c => to.push(c),
        }
    }
}

/// Whether [`push_escaped`] adds a text as it is, as far as that is quickly seen.
pub(super) fn is_plain(text: &str) -> bool {
    text.len() <= LONGEST_TEXT
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// A string, or those of a list.
fn strings(value: Json<'_>) -> impl Iterator<Item = &str> {
    let alone = value.as_str().into_iter();
    alone.chain(value.as_list().into_iter().flat_map(|list| list.iter().filter_map(Json::as_str)))
}

/// The name of a certificate that is nobody's.
fn certificate(policy: &Policy, head: &RequestHead<'_>, reason: Reason) -> Option<String> {
    let certificates =
        policy.client_certificates.as_ref().filter(|_| reason == Reason::CertificateUnknown)?;
    let certificate = certificates.find(head).ok()??;
    certificate.shown_name().map(str::to_owned)
}
