//! What `www-authenticate` says to whoever is refused.

use std::{borrow::Cow, time::Duration};

use super::reason::{Challenge, Reason};

/// Which ways of authenticating a rule offers, for `www-authenticate`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Challenges<'a> {
    /// Protection space (RFC 9110 section 11.5).
    pub realm: &'a str,
    /// An access token would do, sent as it is.
    pub bearer: bool,
    /// The algorithms of DPoP proofs, if an access token with such a proof would do; empty: it would not.
    pub dpop: &'a [&'static str],
    /// An API key would do.
    pub api_key: bool,
    /// Scopes that suffice for the resource; empty: not named.
    pub scopes: &'a [String],
    /// In which of these ways the user must have logged in (RFC 9470 section 3); empty: not named.
    pub acr_values: &'a [String],
    /// How long ago that was, at most; `None`: not named.
    pub max_age: Option<Duration>,
    /// Where the options are for a passkey to be used again; `None`: not named.
    pub passkey_options: Option<&'a str>,
    /// Where the resource's metadata is (RFC 9728 section 5.1); `None`: not named.
    pub metadata: Option<&'a str>,
}

impl Challenges<'_> {
    /// The values of `www-authenticate` with a refusal for `reason`.
    pub(super) fn to(&self, reason: Reason) -> impl Iterator<Item = String> {
        let by_token = reason.status() == 401 || reason.challenge().error().is_some();
        let bearer = (by_token && self.bearer).then(|| self.token_challenge("Bearer", reason));
        let dpop = (by_token && !self.dpop.is_empty()).then(|| {
            [&self.token_challenge("DPoP", reason), ", algs=\"", &self.dpop.join(" "), "\""].concat()
        });
        let api_key = (reason.status() == 401 && self.api_key)
            .then(|| ["ApiKey realm=\"", &quoted(self.realm), "\""].concat());
        [bearer, dpop, api_key].into_iter().flatten()
    }

    fn token_challenge(&self, scheme: &str, reason: Reason) -> String {
        let mut value = String::with_capacity(192);
        let mut add = |pieces: &[&str]| pieces.iter().for_each(|piece| value.push_str(piece));
        add(&[scheme, " realm=\"", &quoted(self.realm), "\""]);
        if let Some(error) = reason.challenge().error()
            && (scheme == "DPoP" || !reason.challenge().is_about_proof())
        {
            add(&[", error=\"", error, "\", error_description=\"", reason.title(), "\""]);
        }
        if reason.challenge() == Challenge::StepUp {
            if !self.acr_values.is_empty() {
                add(&[", acr_values=\"", &quoted(&self.acr_values.join(" ")), "\""]);
            }
            if let Some(max_age) = self.max_age {
                add(&[", max_age=\"", &max_age.as_secs().to_string(), "\""]);
            }
            if let Some(options) = self.passkey_options {
                add(&[", passkey_options=\"", &quoted(options), "\""]);
            }
        }
        if reason.challenge().names_scopes() && !self.scopes.is_empty() {
            add(&[", scope=\"", &quoted(&self.scopes.join(" ")), "\""]);
        }
        if let Some(url) = self.metadata {
            add(&[", resource_metadata=\"", &quoted(url), "\""]);
        }
        value
    }
}

/// The inside of a quoted-string (RFC 9110 section 5.6.4). Configured text only, so dropping the rest is enough.
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        return Cow::Borrowed(text);
    }
    text.chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Reply;

    #[test]
    fn challenges_follow_rfc_6750() {
        let scopes = ["orders:read".to_owned(), "orders:write".to_owned()];
        let both = Challenges {
            realm: "api",
            bearer: true,
            api_key: true,
            scopes: &scopes,
            ..Challenges::default()
        };
        let challenges = |reason, offered| {
            let reply = Reply::refusal(reason, offered);
            let values = reply.headers.into_iter().filter(|(name, _)| *name == "www-authenticate");
            values.map(|(_, value)| value).collect::<Vec<_>>()
        };
        let unscoped = Challenges { scopes: &[], ..both };
        assert_eq!(
            challenges(Reason::CredentialsMissing, unscoped),
            ["Bearer realm=\"api\"", "ApiKey realm=\"api\""]
        );
        assert_eq!(
            challenges(Reason::TokenExpired, Challenges { api_key: false, ..unscoped }),
            [
                "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"The access token has expired\""
            ]
        );
        // Whoever has to get a token asks for one that will do.
        assert_eq!(
            challenges(Reason::CredentialsMissing, both),
            ["Bearer realm=\"api\", scope=\"orders:read orders:write\"", "ApiKey realm=\"api\""]
        );
        assert_eq!(
            challenges(Reason::TokenExpired, Challenges { api_key: false, ..both }),
            [
                "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"The access token has expired\", \
                 scope=\"orders:read orders:write\""
            ]
        );
        assert_eq!(
            challenges(Reason::InsufficientScope, both),
            [
                "Bearer realm=\"api\", error=\"insufficient_scope\", error_description=\"A required scope is missing\", \
              scope=\"orders:read orders:write\""
            ]
        );
        assert_eq!(
            challenges(Reason::ApiKeyUnknown, Challenges { bearer: false, ..both }),
            ["ApiKey realm=\"api\""]
        );
        assert!(challenges(Reason::RateLimited, both).is_empty());
        // RFC 9728 section 5.1, on every challenge for tokens and on no other.
        let told = Challenges { metadata: Some("https://api.example/.well-known/x"), ..unscoped };
        assert_eq!(
            challenges(Reason::CredentialsMissing, told),
            [
                "Bearer realm=\"api\", resource_metadata=\"https://api.example/.well-known/x\"",
                "ApiKey realm=\"api\""
            ]
        );
        assert!(
            challenges(Reason::InsufficientScope, told)
                .concat()
                .ends_with(", resource_metadata=\"https://api.example/.well-known/x\"")
        );
    }

    #[test]
    fn challenges_follow_rfc_9449_and_9470() {
        let acr_values = ["phr".to_owned(), "phrh".to_owned()];
        let offered = Challenges {
            realm: "api",
            bearer: true,
            dpop: &["ES256", "EdDSA"],
            acr_values: &acr_values,
            max_age: Some(Duration::from_secs(300)),
            ..Challenges::default()
        };
        let challenges = |reason| {
            let values = Reply::refusal(reason, offered).headers.into_iter();
            let values = values.filter(|(name, _)| *name == "www-authenticate");
            values.map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(
            challenges(Reason::CredentialsMissing),
            ["Bearer realm=\"api\"", "DPoP realm=\"api\", algs=\"ES256 EdDSA\""]
        );
        assert_eq!(
            challenges(Reason::DpopProofReplayed),
            [
                "Bearer realm=\"api\"",
                "DPoP realm=\"api\", error=\"invalid_dpop_proof\", \
                 error_description=\"The DPoP proof was used before\", algs=\"ES256 EdDSA\""
            ]
        );
        assert!(challenges(Reason::DpopNonceRequired)[1].contains("error=\"use_dpop_nonce\""));
        assert!(
            challenges(Reason::TokenBinding).iter().all(|value| value.contains("error=\"invalid_token\""))
        );
        assert_eq!(
            challenges(Reason::InsufficientUserAuthentication)[0],
            "Bearer realm=\"api\", error=\"insufficient_user_authentication\", \
             error_description=\"A more recent or stronger login of the user is required\", \
             acr_values=\"phr phrh\", max_age=\"300\""
        );
        assert!(!challenges(Reason::TokenExpired)[0].contains("acr_values"));
    }
}
