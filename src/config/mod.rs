//! The policy document: bytes to a compiled policy, all or nothing, every fault at once with its path.
//!
//! Each section's file begins with what may stand there, as data ([`model`]), and goes on with how it is read.
//! [`decode`] checks the form of every field and resolves every name. What a pattern, a template or a key set
//! means is judged by the feature that uses it.

mod access_log;
mod algorithms;
mod api_keys;
mod authenticate;
mod binding;
mod claim_conditions;
mod client_certificates;
mod deciding;
mod decision_log;
mod digest;
mod document;
mod etcd;
mod extract_from;
mod faults;
mod fields;
mod form;
mod hmac;
mod http_names;
mod identity_headers;
mod inheritance;
mod input;
mod introspection;
mod issuer;
mod jwt;
mod keys;
mod limit_windows;
mod message_signatures;
mod metrics;
mod model;
mod names;
mod nearest;
mod networks;
mod passkeys;
mod protected_resource;
mod rate_limits;
mod reader;
#[cfg(not(target_arch = "wasm32"))]
mod reference;
mod request_headers;
mod requirement;
mod revocation;
mod roles;
mod route_match;
mod rule_shadow;
mod rules;
mod scalar;
#[cfg(not(target_arch = "wasm32"))]
mod schema;
mod sessions;
mod shadow;
mod signing_keys;
mod token_claims;
mod transport;
mod urls;

#[cfg(test)]
mod tests;

pub use self::{api_keys::stored_key, document::decode, input::MAX_POLICY_BYTES};
#[cfg(not(target_arch = "wasm32"))]
pub use self::{reference::reference, schema::schema};
use std::time::Duration;

use crate::{
    api_key::ApiKeysSpec,
    certificate::ClientCertificatesSpec,
    confirmation::BindingMode,
    dpop::DpopSpec,
    fault::Fault,
    hmac::HmacSourceSpec,
    identity::Party,
    introspection::IntrospectionSpec,
    jose::SigningKeys,
    message_signature::SignerSpec,
    passkeys::{CeremonyRule, PasskeysSpec},
    rate_limit::LimitSpec,
    rbac::{RequirementSpec, RoleSpec, StepUp},
    replica::ReplicaSpec,
    request::alike::is_alike,
    resource_metadata::ResourceMetadataSpec,
    revocation::RevocationSpec,
    route::RouteSpec,
    session::SessionsSpec,
    transport::TransportSpec,
    url::Url,
    webauthn::RelyingPartySpec,
};

/// A policy document whose every field has the right form and whose every name is known.
#[derive(Clone, Debug)]
pub struct Document {
    /// SHA-256 of what it says, however it is written.
    pub digest: [u8; 32],
    /// `realm` of challenges. Default `portcullis`.
    pub realm: String,
    /// See [`TransportSpec`].
    pub transport: TransportSpec,
    /// Longest path, with its query, in bytes. Default 8192.
    pub max_path_length: usize,
    /// Token issuers, the gateway itself among them where it has sessions.
    pub providers: Vec<ProviderSpec>,
    /// The gateway's own keys; `None`: it has none.
    pub signing_keys: Option<SigningKeysSpec>,
    /// `None`: there are no sessions. Whose tokens they are is one of [`Document::providers`], the last.
    pub sessions: Option<SessionsSpec>,
    /// `None`: the gateway keeps no passkeys.
    pub passkeys: Option<PasskeysSection>,
    /// The APIs of which clients are told. Empty: none.
    pub protected_resources: Vec<ProtectedResourceSpec>,
    /// `None`: the document has no `apiKeys`.
    pub api_keys: Option<ApiKeysSpec>,
    /// Where more API keys are; `None`: nowhere.
    pub key_store: Option<ReplicaSpec>,
    /// `None`: the document has no `clientCertificates`.
    pub client_certificates: Option<ClientCertificatesSpec>,
    /// Senders of webhooks.
    pub hmac_sources: Vec<HmacSourceSpec>,
    /// Those who sign requests.
    pub signers: Vec<SignerSpec>,
    /// Where revocations are kept one by one; `None`: nowhere.
    pub revocation_store: Option<ReplicaSpec>,
    /// `None`: nothing is revoked.
    pub revocation: Option<RevocationSpec>,
    /// Roles.
    pub roles: Vec<RoleSpec>,
    /// Limits.
    pub rate_limits: Vec<LimitSpec>,
    /// Rules in order.
    pub rules: Vec<RuleSpec>,
    /// The next list of rules whole, which decides beside the one in force; empty: there is none, and rules may have shadows
    /// of their own.
    pub shadow_rules: Vec<RuleSpec>,
    /// See [`IdentityHeadersSpec`].
    pub identity_headers: IdentityHeadersSpec,
    /// See [`RequestHeadersSpec`].
    pub request_headers: RequestHeadersSpec,
    /// How allowed requests are marked for Envoy's rbac filter behind this one.
    pub interlock: Interlock,
    /// What each decision leaves for Envoy's access log, each once; empty: nothing.
    pub access_log: Vec<AccessLogField>,
    /// Whether allowed requests get a decision record too. Default false.
    pub log_allowed: bool,
    /// Whether every denied request gets one; else, of those alike, the first and then one now and then. Default false.
    pub log_all_denied: bool,
    /// What the members of decision records are called. Default: our own names.
    pub record_names: RecordNames,
    /// Whether each record holds the digest of the one before it. Default false.
    pub chain_records: bool,
    /// Whether decisions are counted by rule and reason, too. Default false.
    pub count_by_rule: bool,
    /// Whether allowed answers carry `RateLimit` and `RateLimit-Policy` too, not only 429. Default false.
    pub rate_limit_headers_always: bool,
}

impl Document {
    /// Every rule, those that decide beside the ones in force, too.
    pub(crate) fn all_rules(&self) -> impl Iterator<Item = &RuleSpec> {
        let own = self.rules.iter().filter_map(|rule| rule.shadow.as_deref());
        self.rules.iter().chain(own).chain(&self.shadow_rules)
    }
}

/// What is wrong with a document, and those of its parts in which nothing is wrong so far, limits and rules each with its
/// place in its list: a feature may still find a fault in them.
#[derive(Clone, Debug, Default)]
pub struct Rejected {
    /// Every fault of form and of names; never empty.
    pub faults: Vec<Fault>,
    /// Token issuers.
    pub providers: Vec<ProviderSpec>,
    /// Of `rateLimits`.
    pub rate_limits: Vec<(usize, LimitSpec)>,
    /// Of `rules`.
    pub rules: Vec<(usize, RuleSpec)>,
    /// Of `shadow.rules`.
    pub shadow_rules: Vec<(usize, RuleSpec)>,
}

/// One token issuer.
#[derive(Clone, Debug)]
pub struct ProviderSpec {
    /// Where it stands in the document.
    pub path: String,
    /// How its tokens are judged here.
    pub jwt: crate::jwt::ProviderSpec,
    /// How to ask it about tokens; `None`: it is not asked.
    pub introspection: Option<IntrospectionSpec>,
    /// Tokens that are bound to a key (RFC 9449). `None`: they are refused.
    pub dpop: Option<DpopSpec>,
    /// Tokens that are bound to a client certificate (RFC 8705 section 3). They pass with that certificate only,
    /// whatever stands here; `None`: nothing is asked of others.
    pub mtls: Option<BindingMode>,
}

/// The gateway's own keys, and where they are told.
#[derive(Clone, Debug)]
pub struct SigningKeysSpec {
    /// The keys.
    pub keys: SigningKeys,
    /// The path, in canonical form, at which their public halves are served.
    pub jwks_path: String,
}

/// Passkeys that the gateway keeps itself.
#[derive(Clone, Debug)]
pub struct PasskeysSection {
    /// What is done with them.
    pub spec: PasskeysSpec,
    /// What they are made for.
    pub relying_party: RelyingPartySpec,
    /// How whoever makes one by a token must have logged in; `None`: anyhow.
    pub registration_step_up: Option<StepUp>,
    /// Who may ask for what, one rule for each of [`CeremonyRule::ALL`]; they match nothing by themselves.
    pub rules: [RuleSpec; CeremonyRule::ALL.len()],
}

/// An API of which clients are told.
#[derive(Clone, Debug)]
pub struct ProtectedResourceSpec {
    /// What rules call it; `None`: it is the only one, and every rule's.
    pub name: Option<String>,
    /// Of which a token must have one. `None`: any that its provider accepts.
    pub audiences: Option<Vec<String>>,
    /// What clients are told.
    pub metadata: ResourceMetadataSpec,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// Unique.
    pub name: String,
    /// When it applies.
    pub route: RouteSpec,
    /// What it does.
    pub action: ActionSpec,
    /// Whether its requests must come over TLS; `None`: as [`TransportSpec::require_tls`] says.
    pub require_tls: Option<bool>,
    /// Whether the CORS preflights of its requests pass without credentials. Default false.
    pub cors_preflight: bool,
    /// Whether its requests end when their credential runs out or is revoked. Default false.
    pub end_streams: bool,
    /// The place, in [`Document::protected_resources`], of the API that it belongs to; `None`: it belongs to none, or takes
    /// no tokens.
    pub resource: Option<usize>,
    /// Names of limits.
    pub rate_limits: Vec<String>,
    /// The rule as it would be, which takes the same requests; `None`: it stays as it is.
    pub shadow: Option<Box<RuleSpec>>,
}

/// What a rule does with the requests it matches.
#[derive(Clone, Debug)]
pub enum ActionSpec {
    /// Refuses them.
    Deny,
    /// Lets anyone pass (`authenticate: {anonymous: true}`).
    AllowAnyone {
        /// Whether credentials reach the upstream as they were sent (`passThrough: true`), for it to judge them.
        pass_through: bool,
        /// Asks for nothing but the client's address. `None`: from everywhere.
        authorize: Option<RequirementSpec>,
    },
    /// Lets principals pass.
    Allow {
        /// Any one of these; never empty.
        authenticate: Vec<MethodSpec>,
        /// And this one, which says who acts for the principal (`allOf`). `None`: nobody else does.
        actor: Option<MethodSpec>,
        /// Whether requests without a credential pass, too; `None`: no. Then `authorize` asks for nothing but the client's
        /// address.
        optional: Option<InvalidCredentials>,
        /// `None`: every authenticated principal.
        authorize: Option<RequirementSpec>,
    },
}

/// What becomes of a credential that proves nothing, where none is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidCredentials {
    /// The request is refused.
    Refuse,
    /// It is taken for one without a credential.
    Anonymous,
}

impl ActionSpec {
    /// Whether requests come by two credentials.
    pub(crate) fn has_actor(&self) -> bool {
        matches!(self, Self::Allow { actor: Some(_), .. })
    }

    /// The ways by which `party` may come.
    pub(crate) fn methods_of(&self, party: Party) -> &[MethodSpec] {
        match (self, party) {
            (Self::Allow { authenticate, .. }, Party::Principal) => authenticate,
            (Self::Allow { actor, .. }, Party::Actor) => actor.as_slice(),
            (Self::Deny | Self::AllowAnyone { .. }, _) => &[],
        }
    }

    /// All ways to authenticate.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &MethodSpec> {
        self.methods_of(Party::Actor).iter().chain(self.methods_of(Party::Principal))
    }
}

/// A way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MethodSpec {
    /// A token of the named provider.
    Jwt(String),
    /// An API key.
    ApiKey,
    /// The certificate of the TLS client.
    ClientCertificate,
    /// A webhook of the named source.
    Hmac(String),
    /// A request that the named signer has signed.
    MessageSignature(String),
}

/// Headers that tell the upstream who is calling. All of them are removed from every inbound request.
#[derive(Clone, Debug)]
pub struct IdentityHeadersSpec {
    /// Default `x-portcullis-subject`.
    pub subject: String,
    /// Default `x-portcullis-kind`.
    pub kind: String,
    /// Default `x-portcullis-scopes`.
    pub scopes: String,
    /// Default `x-portcullis-roles`.
    pub roles: String,
    /// Default `x-portcullis-rule`.
    pub rule: String,
    /// Default `x-portcullis-actor`.
    pub actor: String,
    /// Which are sent. Default: all of them.
    pub send: Vec<IdentityField>,
    /// Default `x-portcullis-identity`; where `signed` is `None`, too.
    pub identity: String,
    /// What stands in it; `None`: it is not sent.
    pub signed: Option<SignedIdentitySpec>,
}

/// A signed statement of who is calling.
#[derive(Clone, Debug)]
pub struct SignedIdentitySpec {
    /// `iss`: an `https` URL, as it was written. `None`: that of the sessions.
    pub issuer: Option<Url>,
    /// `aud`.
    pub audience: String,
    /// How long one is good, in whole seconds; never zero.
    pub lifetime: Duration,
}

impl IdentityHeadersSpec {
    /// The names of all of them, whether sent or not. One that were missing here could be forged by clients.
    pub(crate) fn names(&self) -> [&str; 7] {
        let Self { subject, kind, scopes, roles, rule, actor, identity, send: _, signed: _ } = self;
        [subject, kind, scopes, roles, rule, actor, identity]
    }

    pub(crate) fn sends(&self, field: IdentityField) -> bool {
        self.send.contains(&field)
    }
}

/// The mark of allowed requests, without which Envoy's rbac filter behind this one refuses them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interlock {
    /// There is none.
    Off,
    /// It has the name that the filter has in Envoy's configuration. The default.
    Named,
    /// It has this name.
    Marked(String),
}

/// Which headers of requests do not reach the upstream, beside those that the filter sets itself and credentials.
#[derive(Clone, Debug, Default)]
pub struct RequestHeadersSpec {
    /// Beside [`crate::request::overriding::NAMES`]; lower case, each in any spelling.
    pub remove: Vec<String>,
    /// Those of [`crate::request::overriding::NAMES`] that reach it, lower case: each in the spelling that stands here, and in no other.
    pub keep: Vec<String>,
}

impl RequestHeadersSpec {
    /// Whether the header `name` is kept, in whatever spelling.
    pub fn keeps(&self, name: &str) -> bool {
        self.keep.iter().any(|kept| is_alike(kept.as_bytes(), name.as_bytes()))
    }
}

/// What Envoy's access log may be told of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLogField {
    /// The rule's name.
    Rule,
    /// Why it was refused.
    Reason,
    /// Who it was.
    Principal,
    /// How that one authenticated.
    Kind,
    /// Who speaks for that one: a provider, a tenant, a kind of name of a certificate.
    Authority,
    /// The id of the credential.
    Credential,
    /// The limit that refused.
    Limit,
}

impl AccessLogField {
    /// As filter state calls it, behind the name of the filter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Reason => "reason",
            Self::Principal => "principal",
            Self::Kind => "kind",
            Self::Authority => "authority",
            Self::Credential => "credential",
            Self::Limit => "limit",
        }
    }
}

/// What the members of decision records are called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordNames {
    /// As this project calls them.
    #[default]
    Portcullis,
    /// As the Elastic Common Schema does, where it has a name.
    Ecs,
}

/// One of the identity headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the headers are")]
pub enum IdentityField {
    Subject,
    Kind,
    Scopes,
    Roles,
    Rule,
    Actor,
}
