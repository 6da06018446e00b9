//! OAuth2 access tokens: RFC 7515 to 7519, with the rules of RFC 8725 and RFC 9068.
//!
//! A text becomes a [`CompactToken`](crate::jose::CompactToken) (well-formed, not believed); its [`Provider`] makes of it a
//! [`CheckedToken`] (meant for us now, if it is genuine); and with the keys of a [`KeySet`](crate::jose::KeySet) that
//! becomes a [`VerifiedToken`], which alone has a principal. So does what an issuer says of a token of its own. Fetched key
//! sets live in [`RemoteKeys`].

mod claim_headers;
mod claims;
mod compile;
mod discovery;
mod error;
mod issuer;
mod principal;
mod provider;
mod remote;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, clippy::string_slice, reason = "test code may panic")]
pub(crate) mod tests;
mod token;
mod vouched;

use std::time::Duration;

use crate::{
    cross_site::Origins, crypto::Algorithm, identity::ClaimPath, jose::SymmetricKey, request::Location,
    url::Url,
};

pub(crate) use self::vouched::{NotVouched, VouchedToken};
pub use self::{
    claim_headers::{HeaderForm, Unsendable},
    claims::Validity,
    discovery::issuer_url,
    error::JwtError,
    issuer::{Issuer, Tenants},
    provider::{ClaimHeaders, Provider},
    remote::RemoteKeys,
    token::{CheckedToken, VerifiedToken},
};

/// One token issuer, as configured. Names, texts and claim paths are not empty, lists but those that may be hold something,
/// and each entry once; nobody checks that again.
#[derive(Clone, Debug)]
pub struct ProviderSpec {
    /// Unique name that rules refer to.
    pub name: String,
    /// What `iss` must be.
    pub issuer: Issuer,
    /// Whether there must be one. Default yes; no where it is the issuer of a tenant.
    pub require_issuer: bool,
    /// Any one of these must be in `aud`; never empty. `None`: waived in writing (`anyAudience: true`).
    pub audiences: Option<Vec<String>>,
    /// The only algorithms accepted, all with shared secrets or all with public keys, as the keys are; empty exactly when
    /// there are no keys.
    pub algorithms: Vec<Algorithm>,
    /// Where the keys come from.
    pub keys: KeySource,
    /// Accepted `typ` values, lower case and without `application/`. Empty: `jwt`, `at+jwt` or none.
    pub types: Vec<String>,
    /// Tolerance for `exp`, `nbf` and `iat`. Default 60 s; at most 5 min.
    pub clock_skew: Duration,
    /// The AWS load balancers that make its tokens, by their ARNs: these are padded, and name one of them as `signer`.
    /// Empty: it has other tokens.
    pub load_balancers: Vec<String>,
    /// Longest token in bytes, at least 1. Default 8192.
    pub max_token_size: usize,
    /// Longest allowed `exp - iat`; `None`: not checked. When set, `iat` is required.
    pub max_lifetime: Option<Duration>,
    /// Claims that may become the subject; the first that is present does. Never empty. Default `sub`.
    pub subject_claims: Vec<ClaimPath>,
    /// Whether a subject may be a whole number, which is then read in decimal. Default no: RFC 7519 section 4.1.2 has it be
    /// text, and an issuer that writes both could mean two by `7` and `"7"`.
    pub numeric_subject: bool,
    /// Claims with scopes, as a space-separated string or a list; the first that is present counts. Default `scope`, `scp`.
    pub scope_claims: Vec<ClaimPath>,
    /// Claims with roles; all that are present count. Default none.
    pub role_claims: Vec<RoleClaim>,
    /// Whether a token passes that has roles in a form that cannot be read, as one of whose roles nothing is known.
    /// Default no.
    pub ignore_malformed_roles: bool,
    /// The claim with the rate-limit tier. Default none.
    pub tier_claim: Option<ClaimPath>,
    /// What goes upstream of the claims, as headers.
    pub claim_to_headers: Vec<ClaimHeaderSpec>,
    /// Where the token is looked for; never empty. Default `Authorization: Bearer`.
    pub locations: Vec<Location>,
    /// Whose pages may have it sent in a cookie. `None`: everybody's.
    pub cookie_origins: Option<Origins>,
    /// Whether the token itself goes upstream. Default no.
    pub forward: bool,
}

/// A header that is made of a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHeaderSpec {
    /// Of which claim; empty: of all, as one object.
    pub claim: ClaimPath,
    /// Its name, lower case.
    pub header: String,
    /// How the claim stands in it.
    pub form: HeaderForm,
}

/// A claim with roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleClaim {
    /// Which claim.
    pub claim: ClaimPath,
    /// How they stand in it.
    pub form: RoleForm,
}

/// How roles stand in a claim. Whole numbers count as text, in decimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleForm {
    /// One role, or a list of roles. The default.
    Names,
    /// Text with several roles, this between them and blanks around them; or a list of such.
    Separated(String),
    /// The names of an object's members.
    Keys,
}

/// Where a provider's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A public JWK set within the policy (RFC 7517).
    Inline(serde_json::Value),
    /// Nowhere: the issuer is asked about every token.
    None,
    /// Symmetric keys for HS256, HS384 and HS512, at least one, each `kid` once.
    Symmetric(Vec<SymmetricKey>),
    /// A JWK set that is fetched over an Envoy cluster.
    Remote(RemoteJwks),
}

/// How to fetch a JWK set.
#[derive(Clone, Debug)]
pub struct RemoteJwks {
    /// Where it is.
    pub location: JwksLocation,
    /// The Envoy cluster that reaches the URI; with discovery, the document.
    pub cluster: String,
    /// How long a fetched set is fresh. Default 10 min. An answer whose headers say less is refreshed sooner, but
    /// never sooner than `min_refetch_interval`.
    pub cache_duration: Duration,
    /// Per fetch. Default 5 s.
    pub timeout: Duration,
    /// How long after its last successful fetch a set may still be used while fetching fails. Default 1 h; at
    /// least `cache_duration`.
    pub max_stale: Duration,
    /// How soon after one fetch an unknown `kid` may cause the next, over all workers. Default 30 s. A fetch that
    /// failed is tried again sooner: after 1 s, doubling up to `cache_duration`.
    pub min_refetch_interval: Duration,
    /// How long a request may wait for keys that are being fetched. Default 2 s; zero: not at all.
    pub wait_timeout: Duration,
}

/// Where a JWK set is.
#[derive(Clone, Debug)]
pub enum JwksLocation {
    /// Here.
    Uri(Url),
    /// Where the issuer's discovery document says (RFC 8414, OpenID Connect Discovery 1.0).
    Discovery(Box<DiscoverySpec>),
}

/// How to find an issuer's discovery document.
#[derive(Clone, Debug)]
pub struct DiscoverySpec {
    /// The issuer, as [`issuer_url`] reads it.
    pub issuer: Url,
    /// Its URL. `None`: made of the issuer, as OpenID Connect says, and where that is not found as RFC 8414 says.
    pub uri: Option<Url>,
    /// The Envoy cluster that reaches the keys where they are on another host than the document. `None`: such a
    /// document is refused.
    pub jwks_cluster: Option<String>,
}
