//! How the user of a token must have logged in (RFC 9470).

use std::time::Duration;

use crate::{
    identity::{Principal, PrincipalKind, numeric_date},
    time::Timestamp,
};

/// How far the clock of an issuer may be ahead.
const FUTURE: Duration = Duration::from_secs(60);

/// How the user must have logged in (RFC 9470). At least one of these is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// The claim `acr` must be one of these; empty: not asked.
    pub acr_values: Vec<String>,
    /// How long ago, at most, the login was (claim `auth_time`). In whole seconds; `None`: not asked.
    pub max_age: Option<Duration>,
    /// A passkey that the gateway keeps must have been used; `None`: not asked.
    pub passkey: Option<PasskeyUse>,
}

/// How a passkey must have been used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasskeyUse {
    /// For the sign-in.
    SignIn {
        /// The provider whose tokens say so: the sessions of the gateway's own.
        sessions: String,
        /// How long ago, at most. In whole seconds.
        max_age: Duration,
        /// The path at which a client gets options for another.
        options: String,
    },
    /// For this very request.
    Confirmation {
        /// For its body, too.
        with_body: bool,
        /// The path at which a client gets options for it.
        options: String,
    },
}

/// The request is allowed, if its user confirms it with a passkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unconfirmed {
    /// The body is to be confirmed, too.
    pub with_body: bool,
}

impl From<PasskeyUse> for StepUp {
    fn from(passkey: PasskeyUse) -> Self {
        Self { passkey: Some(passkey), ..Self::default() }
    }
}

impl PasskeyUse {
    /// The path at which a client gets options.
    fn options(&self) -> &str {
        match self {
            Self::SignIn { options, .. } | Self::Confirmation { options, .. } => options,
        }
    }
}

impl StepUp {
    /// Whether the token says that its user logged in so (RFC 9470 section 6.1). A claim that is missing or of a
    /// wrong form says nothing.
    pub(crate) fn is_met_by(&self, principal: &Principal, now: Timestamp) -> bool {
        if principal.kind != PrincipalKind::Jwt {
            return false;
        }
        let text = |name: &str| principal.claims.get(name).and_then(|value| value.as_str());
        let class = self.acr_values.is_empty()
            || text("acr").is_some_and(|acr| self.acr_values.iter().any(|value| value == acr));
        let login = || principal.claims.get("auth_time").and_then(numeric_date);
        let is_recent = |max_age: Duration| {
            login().is_some_and(|login| login <= now.saturating_add(FUTURE) && now.since(login) <= max_age)
        };
        let by_passkey = match &self.passkey {
            Some(PasskeyUse::SignIn { sessions, max_age, .. }) => {
                principal.provider() == Some(sessions) && is_recent(*max_age)
            }
            Some(PasskeyUse::Confirmation { .. }) | None => true,
        };
        class && self.max_age.is_none_or(is_recent) && by_passkey
    }

    /// How long ago the login was at most, whoever says so; `None`: not asked.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        match &self.passkey {
            Some(PasskeyUse::SignIn { max_age, .. }) => {
                Some(self.max_age.map_or(*max_age, |other| other.min(*max_age)))
            }
            _ => self.max_age,
        }
    }

    /// The path at which a client gets options for its passkey; `None`: none is asked for.
    pub(crate) fn passkey_options(&self) -> Option<&str> {
        self.passkey.as_ref().map(PasskeyUse::options)
    }

    /// What is to be confirmed beside; `None`: nothing.
    pub(super) fn unconfirmed(&self) -> Option<Unconfirmed> {
        match &self.passkey {
            Some(PasskeyUse::Confirmation { with_body, .. }) => Some(Unconfirmed { with_body: *with_body }),
            _ => None,
        }
    }
}
