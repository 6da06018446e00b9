//! Why a request was refused: one table, a row for each reason.

/// Makes [`Reason`] of the table, so that there is no reason without a row, and none that [`Reason::ALL`] lacks.
macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal $((told $told:literal))?, $status:ident, $challenge:ident, $title:literal;)*) => {
        /// The reason of a refusal. The client sees [`Reason::public_code`]; detail goes to the decision record alone.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, for defining counters.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$name),*];

            const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => &Row {
                        code: $code,
                        public_code: [$($told,)? $code][0],
                        status: Status::$status,
                        challenge: Challenge::$challenge,
                        title: $title,
                    },)*
                }
            }
        }
    };
}

// The code, what the client is told instead, the status, how the answer challenges; the title.
//
// Whoever holds an expired key may know that it has expired; whether a key is unknown, disabled or not yet valid is for
// the decision record alone.
reasons! {
    /// The request target can be read in two ways.
    AmbiguousPath = "ambiguous_path", BadRequest, None,
        "The request target can be read in more than one way";
    /// What some server reads as a header or query parameter that a rule asks for, and others do not.
    AmbiguousName = "ambiguous_name", BadRequest, None,
        "A header or query parameter has a name that can be read in more than one way";
    /// A header or query parameter that a rule asks for has a value that nobody can be sure of: given twice, not to be
    /// decoded, or too long to be tried.
    AmbiguousValue = "ambiguous_value", BadRequest, None,
        "A header or query parameter has a value that can be read in more than one way";
    /// The request target is longer than the filter reads.
    PathTooLong = "path_too_long", UriTooLong, None,
        "The request target is too long";
    /// A request without method, path or authority, or with more than one of them.
    MalformedRequest = "malformed_request", BadRequest, None,
        "The request is malformed";
    /// Plain HTTP where TLS is required.
    TlsRequired = "tls_required", Forbidden, None,
        "This API is served over HTTPS only";
    /// No rule matches, or the matching rule denies.
    NoRule = "no_rule", Forbidden, None,
        "No rule allows this request";
    /// The matching rule denies.
    RuleDenied = "rule_denied", Forbidden, None,
        "A rule denies this request";
    /// No credential that the rule accepts.
    CredentialsMissing = "credentials_missing", Unauthorized, Missing,
        "Credentials are required";
    /// More than one credential in one request.
    CredentialsAmbiguous = "credentials_ambiguous", BadRequest, InvalidRequest,
        "The request carries more than one credential";
    /// A token that is not a well-formed, signed JWT of an accepted kind.
    TokenMalformed = "token_malformed", Unauthorized, InvalidToken,
        "The access token is malformed";
    /// A token signed with an algorithm that the provider does not allow.
    TokenAlgorithm = "token_algorithm", Unauthorized, InvalidToken,
        "The access token is signed with an algorithm that is not accepted";
    /// No provider of the rule issues this token.
    TokenIssuer = "token_issuer", Unauthorized, InvalidToken,
        "The access token comes from an issuer that is not accepted here";
    /// No usable key for this token.
    TokenKey = "token_key", Unauthorized, InvalidToken,
        "The access token is signed with an unknown key";
    /// The signature does not verify.
    TokenSignature = "token_signature", Unauthorized, InvalidToken,
        "The signature of the access token is invalid";
    /// A token meant for somebody else.
    TokenAudience = "token_audience", Unauthorized, InvalidToken,
        "The access token is meant for another audience";
    /// The token has expired.
    TokenExpired = "token_expired", Unauthorized, InvalidToken,
        "The access token has expired";
    /// The token is not valid yet.
    TokenNotYetValid = "token_not_yet_valid", Unauthorized, InvalidToken,
        "The access token is not valid yet";
    /// A claim that the provider requires is missing or wrong.
    TokenClaims = "token_claims", Unauthorized, InvalidToken,
        "The claims of the access token are not acceptable";
    /// The token is bound to another sender, or to none where it must be.
    TokenBinding = "token_binding", Unauthorized, InvalidToken,
        "The access token is bound to another sender";
    /// No DPoP proof, more than one, or one that does not fit the request.
    DpopProofInvalid = "dpop_proof_invalid", Unauthorized, InvalidProof,
        "The DPoP proof is missing or does not fit the request";
    /// The DPoP proof was used before.
    DpopProofReplayed = "dpop_proof_replayed", Unauthorized, InvalidProof,
        "The DPoP proof was used before";
    /// The DPoP proof lacks a current nonce; the answer has one.
    DpopNonceRequired = "dpop_nonce_required", Unauthorized, Nonce,
        "The DPoP proof must carry the nonce of this answer";
    /// The issuer says that the token is not (or no longer) good.
    TokenInactive = "token_inactive", Unauthorized, InvalidToken,
        "The access token is not active";
    /// A list of revoked tokens names the token, its session, its client or its subject.
    TokenRevoked = "token_revoked", Unauthorized, InvalidToken,
        "The access token has been revoked";
    /// An API key that nobody knows.
    ApiKeyUnknown = "api_key_unknown" (told "api_key_invalid"), Unauthorized, ApiKey,
        "The API key is not valid";
    /// The API key has expired.
    ApiKeyExpired = "api_key_expired", Unauthorized, ApiKey,
        "The API key has expired";
    /// The API key is not valid yet.
    ApiKeyNotYetValid = "api_key_not_yet_valid" (told "api_key_invalid"), Unauthorized, ApiKey,
        "The API key is not valid";
    /// The API key is disabled.
    ApiKeyDisabled = "api_key_disabled" (told "api_key_invalid"), Unauthorized, ApiKey,
        "The API key is not valid";
    /// The API key is revoked.
    ApiKeyRevoked = "api_key_revoked" (told "api_key_invalid"), Unauthorized, ApiKey,
        "The API key is not valid";
    /// The API key may not be used from the client's address, or for this host.
    ApiKeyRestricted = "api_key_restricted", Forbidden, None,
        "The API key may not be used here";
    /// The client certificate has no usable name, or none that the policy lists.
    CertificateUnknown = "client_certificate_unknown", Forbidden, None,
        "The client certificate is not accepted here";
    /// No client certificate, where nothing else would do.
    // Not 401, which must say how to authenticate (RFC 9110 section 15.5.2): no HTTP scheme asks for a certificate,
    // and HTTP/2 cannot ask for one on a connection that is open (RFC 9113 section 9.2.3).
    CertificateMissing = "client_certificate_missing", Forbidden, None,
        "A client certificate is required";
    /// A credential in a cookie, or a ceremony, with a request that a page of somebody else may have had sent.
    CrossSiteRequest = "cross_site_request", Forbidden, None,
        "The page that this request comes from may not send it";
    /// No signature of the request, where nothing else would do.
    // Not 401: no HTTP scheme asks for one, neither of a sender of webhooks nor of RFC 9421.
    SignatureMissing = "signature_missing", Forbidden, None,
        "The request must be signed";
    /// The signature of the request, or what is signed beside it, cannot be read.
    SignatureMalformed = "signature_malformed", BadRequest, None,
        "The signature of the request is malformed";
    /// The request was signed too long ago, or too far ahead.
    SignatureExpired = "signature_expired", Forbidden, None,
        "The signature of the request has expired";
    /// No key that the policy knows made the signature of this request.
    SignatureInvalid = "signature_invalid", Forbidden, None,
        "The signature of the request is invalid";
    /// The signature of the request does not cover what it must: a part of its head, or its body.
    SignatureIncomplete = "signature_incomplete", Forbidden, None,
        "The signature of the request does not cover all that it must";
    /// The signature of the request was used before.
    SignatureReplayed = "signature_replayed", Forbidden, None,
        "The signature of the request was used before";
    /// The body is not the one whose digest is signed, or the digest cannot be read.
    ContentDigestInvalid = "content_digest_invalid", BadRequest, None,
        "The Content-Digest of the request cannot be read or is not that of its body";
    /// A scope is missing.
    InsufficientScope = "insufficient_scope", Forbidden, InsufficientScope,
        "A required scope is missing";
    /// A permission is missing.
    InsufficientPermission = "insufficient_permission", Forbidden, None,
        "A required permission is missing";
    /// A role is missing.
    InsufficientRole = "insufficient_role", Forbidden, None,
        "A required role is missing";
    /// A claim does not have the value that is required.
    InsufficientClaims = "insufficient_claims", Forbidden, None,
        "A claim does not have a required value";
    /// What the rule rules out holds for the principal, or may hold.
    PrincipalExcluded = "principal_excluded", Forbidden, None,
        "The rule excludes this principal";
    /// The client's address is not among those that the rule allows, or is not known.
    AddressNotAllowed = "address_not_allowed", Forbidden, None,
        "Requests from this address are not allowed here";
    /// The resource belongs to somebody else.
    NotOwner = "not_owner", Forbidden, None,
        "This resource belongs to somebody else";
    /// The user must log in again, or in a stronger way.
    InsufficientUserAuthentication = "insufficient_user_authentication", Unauthorized, StepUp,
        "A more recent or stronger login of the user is required";
    /// Too many requests.
    RateLimited = "rate_limited", TooManyRequests, None,
        "Too many requests";
    /// The key set of the token's provider is not there yet.
    KeysUnavailable = "keys_unavailable", ServiceUnavailable, None,
        "The keys to check this token with are not available";
    /// The issuer could not be asked about the token.
    IntrospectionUnavailable = "introspection_unavailable", ServiceUnavailable, None,
        "The issuer of this token cannot be asked about it now";
    /// The list of revoked tokens is not there yet, or too old.
    RevocationUnavailable = "revocation_unavailable", ServiceUnavailable, None,
        "Whether this token has been revoked is not known now";
    /// The body by which the request is decided is longer than the policy lets it be, or has no end.
    BodyTooLarge = "body_too_large", ContentTooLarge, None,
        "The request has a body that is too large";
    /// The body by which the request is decided did not come in time.
    BodyTimeout = "body_timeout", RequestTimeout, None,
        "The body of the request did not come in time";
    /// The body by which the request is decided is not handed over, or there is no room to wait for it.
    BodyUnavailable = "body_unavailable", ServiceUnavailable, None,
        "The body of the request cannot be read now";
    /// Nothing is at this path.
    NotFound = "not_found", NotFound, None,
        "There is nothing here";
    /// What is at this path is not asked for by this method.
    MethodNotAllowed = "method_not_allowed", MethodNotAllowed, None,
        "This method is not allowed here";
    /// A body that is not said to be JSON.
    UnsupportedMediaType = "unsupported_media_type", UnsupportedMediaType, None,
        "The body must be JSON, with content-type: application/json";
    /// A body that is not JSON, or not of the form that is due.
    BodyMalformed = "body_malformed", BadRequest, None,
        "The body of the request is malformed";
    /// A passkey's answer to a challenge that does not fit it, or an account that may have no more passkeys.
    PasskeyRefused = "passkey_refused", Forbidden, None,
        "The passkey is not accepted";
    /// A passkey that no account has.
    PasskeyUnknown = "passkey_unknown", Forbidden, None,
        "No account has this passkey";
    /// An answer to a challenge whose time is over.
    ChallengeExpired = "challenge_expired", Forbidden, None,
        "The challenge has expired; ask for new options";
    /// An enrolment code that nobody knows, that was used, or whose time is over.
    EnrolmentRefused = "enrolment_refused", Forbidden, None,
        "The enrolment code is not valid";
    /// What is kept of passkeys cannot be read or written.
    PasskeysUnavailable = "passkeys_unavailable", ServiceUnavailable, None,
        "Passkeys cannot be read or written now";
    /// State that the decision needs could not be read or written.
    StateUnavailable = "state_unavailable", ServiceUnavailable, None,
        "The request cannot be decided now";
    /// No valid policy was ever loaded.
    NoPolicy = "no_policy", ServiceUnavailable, None,
        "No policy is loaded";
}

/// What is to be known of a reason.
struct Row {
    code: &'static str,
    public_code: &'static str,
    status: Status,
    challenge: Challenge,
    /// Our own words, without a character that JSON, a quoted string or gRPC would escape.
    title: &'static str,
}

/// The statuses of refusals, in HTTP and in gRPC.
#[derive(Clone, Copy)]
enum Status {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    ContentTooLarge,
    UriTooLong,
    UnsupportedMediaType,
    TooManyRequests,
    ServiceUnavailable,
}

impl Status {
    const fn in_http(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::ContentTooLarge => 413,
            Self::UriTooLong => 414,
            Self::UnsupportedMediaType => 415,
            Self::TooManyRequests => 429,
            Self::ServiceUnavailable => 503,
        }
    }

    /// The codes of <https://grpc.io/docs/guides/status-codes/>.
    const fn in_grpc(self) -> i32 {
        match self {
            Self::BadRequest | Self::UriTooLong | Self::UnsupportedMediaType => 3,
            Self::NotFound => 5,
            Self::MethodNotAllowed => 12,
            Self::RequestTimeout => 4,
            Self::Forbidden => 7,
            Self::ContentTooLarge | Self::TooManyRequests => 8,
            Self::ServiceUnavailable => 14,
            Self::Unauthorized => 16,
        }
    }
}

/// What a refusal asks for in `www-authenticate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Nothing: no other credential would do better.
    None,
    /// Any credential, for there was none.
    Missing,
    /// Another API key, or what else would do.
    ApiKey,
    /// One credential instead of several.
    InvalidRequest,
    /// Another token.
    InvalidToken,
    /// A token with more scopes.
    InsufficientScope,
    /// A token of a user who logged in otherwise (RFC 9470).
    StepUp,
    /// Another DPoP proof.
    InvalidProof,
    /// A DPoP proof with another nonce.
    Nonce,
}

impl Challenge {
    /// `error` of a Bearer or DPoP challenge (RFC 6750 section 3.1, RFC 9449 section 7.1); `None` where these want none:
    /// when the request carried no credentials, or the refusal has nothing to do with a token.
    pub(super) const fn error(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Missing | Self::ApiKey => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::StepUp => Some("insufficient_user_authentication"),
            Self::InvalidProof => Some("invalid_dpop_proof"),
            Self::Nonce => Some("use_dpop_nonce"),
        }
    }

    /// Another token would do: then it says which scopes that must have (RFC 6750 section 3).
    pub(super) const fn names_scopes(self) -> bool {
        match self {
            Self::Missing | Self::InvalidToken | Self::InsufficientScope => true,
            Self::None
            | Self::ApiKey
            | Self::InvalidRequest
            | Self::StepUp
            | Self::InvalidProof
            | Self::Nonce => false,
        }
    }

    /// It concerns a DPoP proof, of which a Bearer challenge knows nothing.
    pub(super) const fn is_about_proof(self) -> bool {
        match self {
            Self::InvalidProof | Self::Nonce => true,
            Self::None
            | Self::Missing
            | Self::ApiKey
            | Self::InvalidRequest
            | Self::InvalidToken
            | Self::InsufficientScope
            | Self::StepUp => false,
        }
    }
}

impl Reason {
    /// The stable code that counters and decision records carry.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The code that the client is told.
    pub const fn public_code(self) -> &'static str {
        self.row().public_code
    }

    /// The status of the answer.
    pub const fn status(self) -> u16 {
        self.row().status.in_http()
    }

    /// The gRPC status for the same answer.
    pub const fn grpc_status(self) -> i32 {
        self.row().status.in_grpc()
    }

    /// What the answer says to people.
    pub(super) const fn title(self) -> &'static str {
        self.row().title
    }

    pub(super) const fn challenge(self) -> Challenge {
        self.row().challenge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_code() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
    }

    /// RFC 9110 section 15.5.2.
    #[test]
    fn whoever_is_unauthorized_is_told_how_to_authenticate() {
        for reason in Reason::ALL {
            let challenges = reason.challenge() != Challenge::None;
            assert!(challenges || reason.status() != 401, "{reason:?}");
            assert!(!challenges || matches!(reason.status(), 400 | 401 | 403), "{reason:?}");
        }
    }
}
