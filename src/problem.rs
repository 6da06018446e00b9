//! Why a request was refused: one stable reason code each, and what the client is told (RFC 9457).

/// The reason of a refusal. The client sees [`Reason::code`]; detail goes to the decision record alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The request target or a header that a decision depends on can be read in two ways.
    AmbiguousPath,
    /// The request target is longer than the filter reads.
    PathTooLong,
    /// A request without method, path or authority, or with more than one of them.
    MalformedRequest,
    /// Plain HTTP where TLS is required.
    TlsRequired,
    /// No rule matches, or the matching rule denies.
    NoRule,
    /// The matching rule denies.
    RuleDenied,
    /// No credential that the rule accepts.
    CredentialsMissing,
    /// More than one credential in one request.
    CredentialsAmbiguous,
    /// A token that is not a well-formed, signed JWT of an accepted kind.
    TokenMalformed,
    /// A token signed with an algorithm that the provider does not allow.
    TokenAlgorithm,
    /// No provider of the rule issues this token.
    TokenIssuer,
    /// No usable key for this token.
    TokenKey,
    /// The signature does not verify.
    TokenSignature,
    /// A token meant for somebody else.
    TokenAudience,
    /// The token has expired.
    TokenExpired,
    /// The token is not valid yet.
    TokenNotYetValid,
    /// A claim that the provider requires is missing or wrong.
    TokenClaims,
    /// An API key that nobody knows.
    ApiKeyUnknown,
    /// The API key has expired.
    ApiKeyExpired,
    /// The API key is not valid yet.
    ApiKeyNotYetValid,
    /// The API key is disabled.
    ApiKeyDisabled,
    /// A scope is missing.
    InsufficientScope,
    /// A permission is missing.
    InsufficientPermission,
    /// A role is missing.
    InsufficientRole,
    /// The resource belongs to somebody else.
    NotOwner,
    /// Too many requests.
    RateLimited,
    /// The key set of the token's provider is not there yet.
    KeysUnavailable,
    /// State that the decision needs could not be read or written.
    StateUnavailable,
    /// No valid policy was ever loaded.
    NoPolicy,
}

impl Reason {
    /// Every reason, for defining counters.
    pub const ALL: [Self; 29] = [
        Self::AmbiguousPath,
        Self::PathTooLong,
        Self::MalformedRequest,
        Self::TlsRequired,
        Self::NoRule,
        Self::RuleDenied,
        Self::CredentialsMissing,
        Self::CredentialsAmbiguous,
        Self::TokenMalformed,
        Self::TokenAlgorithm,
        Self::TokenIssuer,
        Self::TokenKey,
        Self::TokenSignature,
        Self::TokenAudience,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenClaims,
        Self::ApiKeyUnknown,
        Self::ApiKeyExpired,
        Self::ApiKeyNotYetValid,
        Self::ApiKeyDisabled,
        Self::InsufficientScope,
        Self::InsufficientPermission,
        Self::InsufficientRole,
        Self::NotOwner,
        Self::RateLimited,
        Self::KeysUnavailable,
        Self::StateUnavailable,
        Self::NoPolicy,
    ];

    /// The stable code that clients, counters and decision records carry.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AmbiguousPath => "ambiguous_path",
            Self::PathTooLong => "path_too_long",
            Self::MalformedRequest => "malformed_request",
            Self::TlsRequired => "tls_required",
            Self::NoRule => "no_rule",
            Self::RuleDenied => "rule_denied",
            Self::CredentialsMissing => "credentials_missing",
            Self::CredentialsAmbiguous => "credentials_ambiguous",
            Self::TokenMalformed => "token_malformed",
            Self::TokenAlgorithm => "token_algorithm",
            Self::TokenIssuer => "token_issuer",
            Self::TokenKey => "token_key",
            Self::TokenSignature => "token_signature",
            Self::TokenAudience => "token_audience",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenClaims => "token_claims",
            Self::ApiKeyUnknown => "api_key_unknown",
            Self::ApiKeyExpired => "api_key_expired",
            Self::ApiKeyNotYetValid => "api_key_not_yet_valid",
            Self::ApiKeyDisabled => "api_key_disabled",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientPermission => "insufficient_permission",
            Self::InsufficientRole => "insufficient_role",
            Self::NotOwner => "not_owner",
            Self::RateLimited => "rate_limited",
            Self::KeysUnavailable => "keys_unavailable",
            Self::StateUnavailable => "state_unavailable",
            Self::NoPolicy => "no_policy",
        }
    }

    /// The code that the client is told. Whoever holds an expired key may know that it has expired; whether a
    /// key is unknown, disabled or not yet valid is for the decision record alone.
    pub const fn public_code(self) -> &'static str {
        match self {
            Self::ApiKeyUnknown | Self::ApiKeyNotYetValid | Self::ApiKeyDisabled => "api_key_invalid",
            _ => self.code(),
        }
    }

    /// The status of the answer.
    pub const fn status(self) -> u16 {
        self.status_and_title().0
    }

    const fn status_and_title(self) -> (u16, &'static str) {
        match self {
            Self::AmbiguousPath => (400, "The request target can be read in more than one way"),
            Self::PathTooLong => (414, "The request target is too long"),
            Self::MalformedRequest => (400, "The request is malformed"),
            Self::TlsRequired => (403, "This API is served over HTTPS only"),
            Self::NoRule => (403, "No rule allows this request"),
            Self::RuleDenied => (403, "A rule denies this request"),
            Self::CredentialsMissing => (401, "Credentials are required"),
            Self::CredentialsAmbiguous => (400, "The request carries more than one credential"),
            Self::TokenMalformed => (401, "The access token is malformed"),
            Self::TokenAlgorithm => {
                (401, "The access token is signed with an algorithm that is not accepted")
            }
            Self::TokenIssuer => (401, "The access token comes from an issuer that is not accepted here"),
            Self::TokenKey => (401, "The access token is signed with an unknown key"),
            Self::TokenSignature => (401, "The signature of the access token is invalid"),
            Self::TokenAudience => (401, "The access token is meant for another audience"),
            Self::TokenExpired => (401, "The access token has expired"),
            Self::TokenNotYetValid => (401, "The access token is not valid yet"),
            Self::TokenClaims => (401, "The claims of the access token are not acceptable"),
            Self::ApiKeyUnknown => (401, "The API key is not valid"),
            Self::ApiKeyExpired => (401, "The API key has expired"),
            Self::ApiKeyNotYetValid => (401, "The API key is not valid"),
            Self::ApiKeyDisabled => (401, "The API key is not valid"),
            Self::InsufficientScope => (403, "A required scope is missing"),
            Self::InsufficientPermission => (403, "A required permission is missing"),
            Self::InsufficientRole => (403, "A required role is missing"),
            Self::NotOwner => (403, "This resource belongs to somebody else"),
            Self::RateLimited => (429, "Too many requests"),
            Self::KeysUnavailable => (503, "The keys to check this token with are not available"),
            Self::StateUnavailable => (503, "The request cannot be decided now"),
            Self::NoPolicy => (503, "No policy is loaded"),
        }
    }

    /// `error` of a Bearer challenge (RFC 6750 section 3.1); `None` where the section wants none: when the
    /// request carried no credentials, or the refusal has nothing to do with the token.
    const fn bearer_error(self) -> Option<&'static str> {
        match self {
            Self::CredentialsAmbiguous => Some("invalid_request"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::TokenMalformed
            | Self::TokenAlgorithm
            | Self::TokenIssuer
            | Self::TokenKey
            | Self::TokenSignature
            | Self::TokenAudience
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenClaims => Some("invalid_token"),
            _ => None,
        }
    }

    /// The gRPC status for the same answer.
    pub const fn grpc_status(self) -> i32 {
        match self.status() {
            400 | 414 => 3,
            401 => 16,
            403 => 7,
            429 => 8,
            _ => 14,
        }
    }
}

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// Lower-case names; a name may occur more than once.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for none.
    pub body: String,
    /// Shown as `%RESPONSE_CODE_DETAILS%`.
    pub details: &'static str,
    /// For callers that speak gRPC.
    pub grpc_status: i32,
}

/// Which ways of authenticating a rule offers, for `www-authenticate`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Challenges<'a> {
    /// Protection space (RFC 9110 section 11.5).
    pub realm: &'a str,
    /// An access token would do.
    pub bearer: bool,
    /// An API key would do.
    pub api_key: bool,
    /// The scopes that the resource needs; empty: not named.
    pub scopes: &'a [String],
}

impl Reply {
    /// The answer to a refused request.
    pub fn refusal(reason: Reason, challenges: Challenges<'_>) -> Self {
        let (status, title) = reason.status_and_title();
        let code = reason.public_code();
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        let wants_challenge = status == 401 || reason.bearer_error().is_some();
        if wants_challenge && challenges.bearer {
            headers.push(("www-authenticate", challenges.bearer_challenge(reason, title)));
        }
        if status == 401 && challenges.api_key {
            headers.push(("www-authenticate", format!("ApiKey realm=\"{}\"", quoted(challenges.realm))));
        }
        // Our own words, without a character that JSON would escape.
        let body = format!(
            "{{\"type\":\"urn:portcullis:reason:{code}\",\"title\":\"{title}\",\"status\":{status},\"reason\":\"{code}\"}}"
        );
        Self { status, headers, body, details: reason.code(), grpc_status: reason.grpc_status() }
    }

    /// A permanent redirect that keeps the method (RFC 9110 section 15.4.9).
    pub fn redirect(location: String) -> Self {
        Self {
            status: 308,
            headers: vec![("location", location)],
            body: String::new(),
            details: "tls_redirect",
            grpc_status: Reason::TlsRequired.grpc_status(),
        }
    }
}

impl Challenges<'_> {
    fn bearer_challenge(&self, reason: Reason, title: &str) -> String {
        let mut value = format!("Bearer realm=\"{}\"", quoted(self.realm));
        if let Some(error) = reason.bearer_error() {
            value.push_str(&format!(", error=\"{error}\", error_description=\"{title}\""));
        }
        if reason == Reason::InsufficientScope && !self.scopes.is_empty() {
            value.push_str(&format!(", scope=\"{}\"", quoted(&self.scopes.join(" "))));
        }
        value
    }
}

/// The inside of a quoted-string (RFC 9110 section 5.6.4). Configured text only, so dropping the rest is enough.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| (' '..='~').contains(c) && !matches!(c, '"' | '\\')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_code_and_an_error_status() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        assert!(Reason::ALL.iter().all(|reason| (400..600).contains(&reason.status())));
        for reason in Reason::ALL {
            let body = Reply::refusal(reason, Challenges::default()).body;
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(body["title"], reason.status_and_title().1);
        }
    }

    #[test]
    fn challenges_follow_rfc_6750() {
        let scopes = ["orders:read".to_owned(), "orders:write".to_owned()];
        let both = Challenges { realm: "api", bearer: true, api_key: true, scopes: &scopes };
        let challenges = |reason, offered| {
            let reply = Reply::refusal(reason, offered);
            let values = reply.headers.into_iter().filter(|(name, _)| *name == "www-authenticate");
            values.map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(
            challenges(Reason::CredentialsMissing, both),
            ["Bearer realm=\"api\"", "ApiKey realm=\"api\""]
        );
        assert_eq!(
            challenges(Reason::TokenExpired, Challenges { api_key: false, ..both }),
            [
                "Bearer realm=\"api\", error=\"invalid_token\", error_description=\"The access token has expired\""
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
    }

    #[test]
    fn clients_cannot_tell_unknown_keys_from_disabled_ones() {
        let body = |reason| Reply::refusal(reason, Challenges::default()).body;
        assert_eq!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyDisabled));
        assert_eq!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyNotYetValid));
        assert_ne!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyExpired));
    }
}
