//! Why a request was refused: one stable reason code each, and what the client is told (RFC 9457).

use std::borrow::Cow;

/// The reason of a refusal. The client sees [`Reason::code`]; detail goes to the decision record alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The request target can be read in two ways.
    AmbiguousPath,
    /// What some server reads as a header or query parameter that a rule asks for, and others do not.
    AmbiguousName,
    /// A header or query parameter that a rule asks for has a value that nobody can be sure of: given twice, not to be
    /// decoded, or too long to be tried.
    AmbiguousValue,
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
    /// The token is bound to another sender, or to none where it must be.
    TokenBinding,
    /// No DPoP proof, more than one, or one that does not fit the request.
    DpopProofInvalid,
    /// The DPoP proof was used before.
    DpopProofReplayed,
    /// The DPoP proof lacks a current nonce; the answer has one.
    DpopNonceRequired,
    /// The issuer says that the token is not (or no longer) good.
    TokenInactive,
    /// A list of revoked tokens names the token, its session, its client or its subject.
    TokenRevoked,
    /// An API key that nobody knows.
    ApiKeyUnknown,
    /// The API key has expired.
    ApiKeyExpired,
    /// The API key is not valid yet.
    ApiKeyNotYetValid,
    /// The API key is disabled.
    ApiKeyDisabled,
    /// The client certificate has no usable name, or none that the policy lists.
    CertificateUnknown,
    /// No client certificate, where nothing else would do.
    CertificateMissing,
    /// A scope is missing.
    InsufficientScope,
    /// A permission is missing.
    InsufficientPermission,
    /// A role is missing.
    InsufficientRole,
    /// The resource belongs to somebody else.
    NotOwner,
    /// The user must log in again, or in a stronger way.
    InsufficientUserAuthentication,
    /// Too many requests.
    RateLimited,
    /// The key set of the token's provider is not there yet.
    KeysUnavailable,
    /// The issuer could not be asked about the token.
    IntrospectionUnavailable,
    /// The list of revoked tokens is not there yet, or too old.
    RevocationUnavailable,
    /// State that the decision needs could not be read or written.
    StateUnavailable,
    /// No valid policy was ever loaded.
    NoPolicy,
}

impl Reason {
    /// Every reason, for defining counters.
    pub const ALL: [Self; 42] = [
        Self::AmbiguousPath,
        Self::AmbiguousName,
        Self::AmbiguousValue,
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
        Self::TokenBinding,
        Self::DpopProofInvalid,
        Self::DpopProofReplayed,
        Self::DpopNonceRequired,
        Self::TokenInactive,
        Self::TokenRevoked,
        Self::ApiKeyUnknown,
        Self::ApiKeyExpired,
        Self::ApiKeyNotYetValid,
        Self::ApiKeyDisabled,
        Self::CertificateUnknown,
        Self::CertificateMissing,
        Self::InsufficientScope,
        Self::InsufficientPermission,
        Self::InsufficientRole,
        Self::NotOwner,
        Self::InsufficientUserAuthentication,
        Self::RateLimited,
        Self::KeysUnavailable,
        Self::IntrospectionUnavailable,
        Self::RevocationUnavailable,
        Self::StateUnavailable,
        Self::NoPolicy,
    ];

    /// The stable code that clients, counters and decision records carry.
    pub const fn code(self) -> &'static str {
        match self {
            Self::AmbiguousPath => "ambiguous_path",
            Self::AmbiguousName => "ambiguous_name",
            Self::AmbiguousValue => "ambiguous_value",
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
            Self::TokenBinding => "token_binding",
            Self::DpopProofInvalid => "dpop_proof_invalid",
            Self::DpopProofReplayed => "dpop_proof_replayed",
            Self::DpopNonceRequired => "dpop_nonce_required",
            Self::TokenInactive => "token_inactive",
            Self::TokenRevoked => "token_revoked",
            Self::ApiKeyUnknown => "api_key_unknown",
            Self::ApiKeyExpired => "api_key_expired",
            Self::ApiKeyNotYetValid => "api_key_not_yet_valid",
            Self::ApiKeyDisabled => "api_key_disabled",
            Self::CertificateUnknown => "client_certificate_unknown",
            Self::CertificateMissing => "client_certificate_missing",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientPermission => "insufficient_permission",
            Self::InsufficientRole => "insufficient_role",
            Self::NotOwner => "not_owner",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::RateLimited => "rate_limited",
            Self::KeysUnavailable => "keys_unavailable",
            Self::IntrospectionUnavailable => "introspection_unavailable",
            Self::RevocationUnavailable => "revocation_unavailable",
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
            Self::AmbiguousName => {
                (400, "A header or query parameter has a name that can be read in more than one way")
            }
            Self::AmbiguousValue => {
                (400, "A header or query parameter has a value that can be read in more than one way")
            }
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
            Self::TokenBinding => (401, "The access token is bound to another sender"),
            Self::DpopProofInvalid => (401, "The DPoP proof is missing or does not fit the request"),
            Self::DpopProofReplayed => (401, "The DPoP proof was used before"),
            Self::DpopNonceRequired => (401, "The DPoP proof must carry the nonce of this answer"),
            Self::TokenInactive => (401, "The access token is not active"),
            Self::TokenRevoked => (401, "The access token has been revoked"),
            Self::ApiKeyUnknown => (401, "The API key is not valid"),
            Self::ApiKeyExpired => (401, "The API key has expired"),
            Self::ApiKeyNotYetValid => (401, "The API key is not valid"),
            Self::ApiKeyDisabled => (401, "The API key is not valid"),
            Self::CertificateUnknown => (403, "The client certificate is not accepted here"),
            // Not 401, which must say how to authenticate (RFC 9110 section 15.5.2): no HTTP scheme asks for a
            // certificate, and HTTP/2 cannot ask for one on a connection that is open (RFC 9113 section 9.2.3).
            Self::CertificateMissing => (403, "A client certificate is required"),
            Self::InsufficientScope => (403, "A required scope is missing"),
            Self::InsufficientPermission => (403, "A required permission is missing"),
            Self::InsufficientRole => (403, "A required role is missing"),
            Self::NotOwner => (403, "This resource belongs to somebody else"),
            Self::InsufficientUserAuthentication => {
                (401, "A more recent or stronger login of the user is required")
            }
            Self::RateLimited => (429, "Too many requests"),
            Self::KeysUnavailable => (503, "The keys to check this token with are not available"),
            Self::IntrospectionUnavailable => (503, "The issuer of this token cannot be asked about it now"),
            Self::RevocationUnavailable => (503, "Whether this token has been revoked is not known now"),
            Self::StateUnavailable => (503, "The request cannot be decided now"),
            Self::NoPolicy => (503, "No policy is loaded"),
        }
    }

    /// `error` of a Bearer or DPoP challenge (RFC 6750 section 3.1, RFC 9449 section 7.1); `None` where these
    /// want none: when the request carried no credentials, or the refusal has nothing to do with the token.
    const fn token_error(self) -> Option<&'static str> {
        match self {
            Self::CredentialsAmbiguous => Some("invalid_request"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::InsufficientUserAuthentication => Some("insufficient_user_authentication"),
            Self::DpopProofInvalid | Self::DpopProofReplayed => Some("invalid_dpop_proof"),
            Self::DpopNonceRequired => Some("use_dpop_nonce"),
            Self::TokenMalformed
            | Self::TokenAlgorithm
            | Self::TokenIssuer
            | Self::TokenKey
            | Self::TokenSignature
            | Self::TokenAudience
            | Self::TokenExpired
            | Self::TokenNotYetValid
            | Self::TokenClaims
            | Self::TokenBinding
            | Self::TokenInactive
            | Self::TokenRevoked => Some("invalid_token"),
            _ => None,
        }
    }

    /// A challenge for tokens says which scopes the next one must have (RFC 6750 section 3).
    const fn is_met_by_another_token(self) -> bool {
        match self.token_error() {
            None => matches!(self, Self::CredentialsMissing),
            Some(error) => matches!(error.as_bytes(), b"invalid_token" | b"insufficient_scope"),
        }
    }

    /// It concerns a DPoP proof, of which a Bearer challenge knows nothing.
    const fn is_about_proof(self) -> bool {
        matches!(self, Self::DpopProofInvalid | Self::DpopProofReplayed | Self::DpopNonceRequired)
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

const RETRY_AFTER: &str = "retry-after";

const ANY_ORIGIN: (&str, &str) = ("access-control-allow-origin", "*");

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
    /// An access token would do, sent as it is.
    pub bearer: bool,
    /// The algorithms of DPoP proofs, if an access token with such a proof would do; empty: it would not.
    pub dpop: &'a [&'static str],
    /// An API key would do.
    pub api_key: bool,
    /// Scopes that suffice for the resource; empty: not named.
    pub scopes: &'a [String],
    /// How the user must have logged in, with [`Reason::InsufficientUserAuthentication`].
    pub step_up: Option<&'a StepUp>,
    /// Where the resource's metadata is (RFC 9728 section 5.1); `None`: not named.
    pub metadata: Option<&'a str>,
}

/// How the user must have logged in (RFC 9470). At least one of the two is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// The claim `acr` must be one of these; empty: not asked.
    pub acr_values: Vec<String>,
    /// How long ago, at most, the login was (claim `auth_time`). In whole seconds; `None`: not asked.
    pub max_age: Option<std::time::Duration>,
}

impl Reply {
    /// The answer to a refused request.
    pub fn refusal(reason: Reason, challenges: Challenges<'_>) -> Self {
        let (status, title) = reason.status_and_title();
        let code = reason.public_code();
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        if status == 503 {
            // RFC 9110 section 10.2.3; whoever knows better says so by [`Reply::set_retry_after`].
            headers.push((RETRY_AFTER, "1".to_owned()));
        }
        let wants_challenge = status == 401 || reason.token_error().is_some();
        if wants_challenge && challenges.bearer {
            headers.push(("www-authenticate", challenges.token_challenge("Bearer", reason, title)));
        }
        if wants_challenge && !challenges.dpop.is_empty() {
            let challenge = challenges.token_challenge("DPoP", reason, title);
            headers.push((
                "www-authenticate",
                [&challenge, ", algs=\"", &challenges.dpop.join(" "), "\""].concat(),
            ));
        }
        if status == 401 && challenges.api_key {
            headers.push(("www-authenticate", ["ApiKey realm=\"", &quoted(challenges.realm), "\""].concat()));
        }
        // Our own words, without a character that JSON would escape.
        let body = [
            "{\"type\":\"urn:portcullis:reason:",
            code,
            "\",\"title\":\"",
            title,
            "\",\"status\":",
            &status.to_string(),
            ",\"reason\":\"",
            code,
            "\"}",
        ]
        .concat();
        Self { status, headers, body, details: reason.code(), grpc_status: reason.grpc_status() }
    }

    /// The same for a gRPC client. Envoy makes `grpc-message` of the body, percent-encoded, and sets the content type: so
    /// the body is words and no document.
    #[cold]
    #[must_use]
    pub fn in_grpc(&self, reason: Reason) -> Self {
        let headers = self.headers.iter().filter(|(name, _)| *name != "content-type");
        let body = match self.body.as_str() {
            "" => String::new(),
            _ => [reason.status_and_title().1, " (", reason.public_code(), ")"].concat(),
        };
        Self {
            status: self.status,
            headers: headers.cloned().collect(),
            body,
            details: self.details,
            grpc_status: self.grpc_status,
        }
    }

    /// A document of ours that anyone may read.
    pub fn document(json: &str) -> Self {
        Self {
            status: 200,
            headers: [
                ("content-type", "application/json"),
                ("cache-control", "public, max-age=3600"),
                // Nothing in it is for some readers alone, so pages of every origin may read it.
                ANY_ORIGIN,
            ]
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec(),
            body: json.to_owned(),
            details: "resource_metadata",
            grpc_status: 0,
        }
    }

    /// Lets pages of every origin ask for [`Reply::document`], whatever headers they ask with (Fetch standard,
    /// section 3.3.3).
    pub fn document_preflight() -> Self {
        let headers = [
            ANY_ORIGIN,
            ("access-control-allow-methods", "GET, HEAD"),
            ("access-control-allow-headers", "*"),
            ("access-control-max-age", "3600"),
        ];
        Self {
            status: 204,
            headers: headers.map(|(name, value)| (name, value.to_owned())).to_vec(),
            body: String::new(),
            details: "resource_metadata",
            grpc_status: 0,
        }
    }

    /// Says when to come back, in seconds.
    pub fn set_retry_after(&mut self, seconds: u64) {
        self.headers.retain(|(name, _)| *name != RETRY_AFTER);
        self.headers.push((RETRY_AFTER, seconds.to_string()));
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
    fn token_challenge(&self, scheme: &str, reason: Reason, title: &str) -> String {
        let mut value = String::with_capacity(192);
        let mut add = |pieces: &[&str]| pieces.iter().for_each(|piece| value.push_str(piece));
        add(&[scheme, " realm=\"", &quoted(self.realm), "\""]);
        if let Some(error) = reason.token_error()
            && (scheme == "DPoP" || !reason.is_about_proof())
        {
            add(&[", error=\"", error, "\", error_description=\"", title, "\""]);
        }
        if reason == Reason::InsufficientUserAuthentication
            && let Some(step_up) = self.step_up
        {
            // RFC 9470 section 3.
            if !step_up.acr_values.is_empty() {
                add(&[", acr_values=\"", &quoted(&step_up.acr_values.join(" ")), "\""]);
            }
            if let Some(max_age) = step_up.max_age {
                add(&[", max_age=\"", &max_age.as_secs().to_string(), "\""]);
            }
        }
        if reason.is_met_by_another_token() && !self.scopes.is_empty() {
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
        let step_up = StepUp {
            acr_values: vec!["phr".to_owned(), "phrh".to_owned()],
            max_age: Some(std::time::Duration::from_secs(300)),
        };
        let offered = Challenges {
            realm: "api",
            bearer: true,
            dpop: &["ES256", "EdDSA"],
            step_up: Some(&step_up),
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

    #[test]
    fn grpc_clients_are_told_in_words() {
        for reason in Reason::ALL {
            let reply = Reply::refusal(reason, Challenges { bearer: true, ..Challenges::default() });
            let told = reply.in_grpc(reason);
            assert_eq!(
                (told.status, told.details, told.grpc_status),
                (reply.status, reply.details, reply.grpc_status)
            );
            assert_eq!(told.body, format!("{} ({})", reason.status_and_title().1, reason.public_code()));
            // What the gRPC protocol sends as it is.
            assert!(told.body.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'), "{reason:?}");
            let others =
                |reply: &Reply| reply.headers.iter().filter(|(name, _)| *name != "content-type").count();
            assert_eq!((told.headers.len(), others(&told)), (others(&reply), others(&reply)));
        }
        let redirect = Reply::redirect("https://a/".to_owned());
        assert_eq!(redirect.in_grpc(Reason::TlsRequired), redirect);
    }

    #[test]
    fn clients_cannot_tell_unknown_keys_from_disabled_ones() {
        let body = |reason| Reply::refusal(reason, Challenges::default()).body;
        assert_eq!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyDisabled));
        assert_eq!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyNotYetValid));
        assert_ne!(body(Reason::ApiKeyUnknown), body(Reason::ApiKeyExpired));
    }

    #[test]
    fn whatever_is_not_the_request_s_fault_says_when_to_come_back() {
        for reason in Reason::ALL {
            let mut reply = Reply::refusal(reason, Challenges::default());
            let waits = |reply: &Reply| {
                let values = reply.headers.iter().filter(|(name, _)| *name == "retry-after");
                values.map(|(_, value)| value.clone()).collect::<Vec<_>>()
            };
            let expected = if reason.status() == 503 { vec!["1".to_owned()] } else { vec![] };
            assert_eq!(waits(&reply), expected, "{reason:?}");
            reply.set_retry_after(7);
            assert_eq!(waits(&reply), ["7"]);
        }
    }
}
