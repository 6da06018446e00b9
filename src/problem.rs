//! Why a request was refused: one stable reason code each, and what the client is told.

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
}
