//! How the user of a token must have logged in (RFC 9470).

use std::time::Duration;

use crate::{
    identity::{Principal, PrincipalKind, numeric_date},
    time::Timestamp,
};

/// How far the clock of an issuer may be ahead.
const FUTURE: Duration = Duration::from_secs(60);

/// How the user must have logged in (RFC 9470). At least one of the two is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// The claim `acr` must be one of these; empty: not asked.
    pub acr_values: Vec<String>,
    /// How long ago, at most, the login was (claim `auth_time`). In whole seconds; `None`: not asked.
    pub max_age: Option<Duration>,
}

impl StepUp {
    /// Whether the token says that its user logged in so (RFC 9470 section 6.1). A claim that is missing or of a
    /// wrong form says nothing.
    pub(super) fn is_met_by(&self, principal: &Principal, now: Timestamp) -> bool {
        if principal.kind != PrincipalKind::Jwt {
            return false;
        }
        let text = |name: &str| principal.claims.get(name).and_then(|value| value.as_str());
        let class = self.acr_values.is_empty()
            || text("acr").is_some_and(|acr| self.acr_values.iter().any(|value| value == acr));
        let login = || principal.claims.get("auth_time").and_then(numeric_date);
        let recent = self.max_age.is_none_or(|max_age| {
            login().is_some_and(|login| login <= now.saturating_add(FUTURE) && now.since(login) <= max_age)
        });
        class && recent
    }
}
