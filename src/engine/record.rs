//! The decision record: one line of JSON per decision, for operators.
//!
//! It names the rule, the reason and who asked, never what they asked with: no token, key, cookie, header
//! value but the request id, and no query string, which may hold credentials.

use std::{fmt, rc::Rc};

use serde_json::{Map, Value};

use super::{Caller, authenticate::Unverified};
use crate::{
    policy::Policy,
    problem::Reason,
    request::RequestHead,
    route::{Doubt, Unclear},
};

/// What became known while deciding.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Whether a refusal is going to be recorded: else what is for operators alone is not even put together.
    pub(super) of_refused: bool,
    /// The place of the matched rule.
    pub(super) rule: Option<usize>,
    /// Who it was, or whose credential it would have been.
    pub(super) principal: Option<Rc<Caller>>,
    /// The limit that refused.
    pub(super) limit: Option<String>,
    /// More about the reason, for operators.
    pub(super) detail: Option<String>,
    /// A nonce that the client should use from now on; never part of the record.
    pub(super) dpop_nonce: Option<String>,
    /// Rate-limit entries that had to make room.
    pub(super) evicted: u32,
}

/// Client-chosen text is cut to this many characters.
const LONGEST_TEXT: usize = 256;

impl Trace {
    /// Notes what is wrong, for operators.
    pub(super) fn refused(&mut self, detail: &dyn fmt::Display, reason: Reason) -> Unverified {
        if self.of_refused {
            self.detail = Some(detail.to_string());
        }
        Unverified::Refused(reason)
    }

    /// Notes why nobody can tell which rule it is.
    #[cold]
    pub(super) fn unclear(&mut self, unclear: &Unclear<'_>) -> Reason {
        self.rule = Some(unclear.rule);
        if self.of_refused {
            self.detail = Some(unclear.to_string());
        }
        match unclear.doubt {
            Doubt::Name => Reason::AmbiguousName,
            Doubt::Value => Reason::AmbiguousValue,
            Doubt::Path => Reason::PathTooLong,
        }
    }

    /// `target` is what of the request's is to be shown; `None`: all but its query. `reason` is `None` for an allowed
    /// request.
    #[cold]
    pub(super) fn record(
        &self,
        policy: &Policy,
        head: &RequestHead<'_>,
        target: Option<&str>,
        reason: Option<Reason>,
    ) -> String {
        let text = |text: &str| Value::from(text.chars().take(LONGEST_TEXT).collect::<String>());
        let header = |name| head.single(name).one().and_then(|value| str::from_utf8(value).ok());
        let mut record = Map::new();
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                record.insert(name.to_owned(), value);
            }
        };
        add("decision", Some(if reason.is_some() { "deny" } else { "allow" }.into()));
        add("reason", reason.map(|reason| reason.code().into()));
        add("detail", self.detail.as_deref().map(text));
        add("rule", self.rule.and_then(|rule| policy.rules.get(rule)).map(|rule| text(&rule.name)));
        add("method", header(":method").map(text));
        let path = target.or_else(|| header(":path")).and_then(|target| target.split('?').next());
        add("path", path.map(text));
        if let Some(caller) = &self.principal {
            let principal = &caller.principal;
            add("principal", Some(text(&principal.subject)));
            add("kind", Some(principal.kind.as_str().into()));
            let named = |value: &str| (!value.is_empty()).then(|| text(value));
            add("authority", named(&principal.authority));
            add("credential", named(&principal.credential_id));
        }
        if reason.is_none() {
            add("unsent", self.unsent(policy));
        }
        add("limit", self.limit.as_deref().map(text));
        add("address", head.remote_address.map(|address| address.to_string().into()));
        add("requestId", header("x-request-id").map(text));
        Value::Object(record).to_string()
    }

    /// Headers of `claimToHeaders` that the upstream misses although their claims say something, and why.
    fn unsent(&self, policy: &Policy) -> Option<Value> {
        let caller = self.principal.as_ref().filter(|caller| !caller.headers.unsent.is_empty())?;
        let headers = &policy.providers.get(caller.provider?)?.spec().claim_to_headers;
        let named = caller.headers.unsent.iter().filter_map(|(place, why)| {
            let (_, header) = headers.get(*place)?;
            Some(format!("{header}: {why}").into())
        });
        Some(Value::Array(named.collect()))
    }
}
