//! The compiled policy: what a document comes to when every name is resolved and every number checked.

mod accepted_credentials;
mod caller;
mod coherence;
mod compile;
mod guards;
mod impassable;
mod other_case;
mod passkeys;
mod places;
mod provider;
mod readings;
mod resource;
mod rule;
mod shadow;
mod unused;

pub(crate) use self::{
    accepted_credentials::AcceptedCredentials,
    caller::{Caller, Callers},
    passkeys::Passkeys,
    provider::Provider,
    resource::ProtectedResource,
    rule::{Access, Action, Rule},
    shadow::NextRules,
};

use std::rc::Rc;

use crate::{
    api_key::{ApiKeys, UsageSpec},
    certificate::ClientCertificatesSpec,
    config::{AccessLogField, IdentityHeadersSpec, Interlock, RecordNames},
    fault::Fault,
    hmac::HmacSourceSpec,
    message_signature::SignerSpec,
    passkeys::{NOT_KEPT, PasskeyStoreSpec},
    rate_limit::Limiter,
    rbac::Vocabulary,
    replica::ReplicaSpec,
    request::{Location, credential::CredentialNames, guarded::GuardedHeaders, path::Kept},
    revocation::RevocationSpec,
    route::Router,
    session::Sessions,
    statement::Statements,
    transport::Transport,
};

/// The mark of a filter that has no name.
const UNNAMED: &[u8] = b"portcullis";

/// A policy that can decide. There is no partly valid one.
pub struct Policy {
    pub(crate) realm: String,
    pub(crate) transport: Transport,
    router: Router,
    /// In the document's order; the router's results are indexes into it.
    pub(crate) rules: Vec<Rule>,
    /// The next list of rules, which decides beside the one in force; `None`: there is none.
    pub(crate) next_rules: Option<NextRules>,
    /// Some rule has a shadow, or there is a next list.
    has_shadow_rules: bool,
    pub(crate) providers: Vec<Rc<Provider>>,
    /// The gateway's own keys, as others may have them; `None`: it has none.
    pub(crate) published_keys: Option<PublishedKeys>,
    /// What upstreams are told of callers, signed; `None`: nothing.
    pub(crate) statements: Option<Statements>,
    /// `None`: nobody signs in here.
    sessions: Option<Sessions>,
    /// `None`: the gateway keeps no passkeys.
    pub(crate) passkeys: Option<Passkeys>,
    pub(crate) api_keys: Option<ApiKeys<Caller>>,
    pub(crate) client_certificates: Option<ClientCertificatesSpec>,
    pub(crate) hmac_sources: Vec<Rc<HmacSourceSpec>>,
    pub(crate) signers: Vec<Rc<SignerSpec>>,
    /// Where more API keys are; `None`: nowhere.
    pub(crate) key_store: Option<ReplicaSpec>,
    /// How uses of API keys are counted; `None`: not at all.
    pub(crate) key_usage: Option<UsageSpec>,
    pub(crate) revocation: Option<RevocationSpec>,
    /// Where revocations are kept one by one; `None`: nowhere.
    pub(crate) revocation_store: Option<ReplicaSpec>,
    pub(crate) limiter: Limiter,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) identity_headers: IdentityHeadersSpec,
    /// Headers that never reach the upstream as the client sent them.
    pub(crate) guarded_headers: GuardedHeaders,
    /// Everywhere a token or an API key may stand, each once.
    pub(crate) credential_locations: Vec<Location>,
    /// The names of those that are cookies and parameters.
    pub(crate) credential_names: CredentialNames,
    /// The APIs of which clients are told; empty: none.
    pub(crate) resources: Vec<Rc<ProtectedResource>>,
    /// In bytes, with the query.
    max_path_length: usize,
    /// What any of its rules keeps.
    kept: Kept,
    /// Some rule takes plain HTTP although the policy requires TLS.
    pub(crate) has_plain_rules: bool,
    needs: Needs,
    interlock: Interlock,
    /// What each decision leaves for Envoy's access log, each once.
    pub(crate) access_log: Vec<AccessLogField>,
    pub(crate) log_allowed: bool,
    pub(crate) log_all_denied: bool,
    pub(crate) record_names: RecordNames,
    pub(crate) chain_records: bool,
    count_by_rule: bool,
    pub(crate) rate_limit_headers_always: bool,
    warnings: Vec<Fault>,
    hash: u64,
}

/// A JWK set, and where it is served.
pub(crate) struct PublishedKeys {
    /// In canonical form.
    pub(crate) path: String,
    /// JSON.
    pub(crate) set: String,
}

/// What deciding asks of the connection; worked out once, for it is asked of every request.
#[derive(Clone, Copy)]
struct Needs {
    tls: bool,
    peer_certificate: bool,
    remote_address: bool,
    body: bool,
}

impl Policy {
    /// What is odd about the policy and makes no decision wrong: parts that let nobody pass, or that nothing uses. By
    /// place, the first 1000.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// What is revoked before its time; `None`: nothing.
    pub fn revocation(&self) -> Option<&RevocationSpec> {
        self.revocation.as_ref()
    }

    /// Sessions, for whoever signs users in; `None`: nobody signs in here.
    pub fn sessions(&self) -> Option<&Sessions> {
        self.sessions.as_ref()
    }

    /// The provider of this name.
    pub(crate) fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().map(Rc::as_ref).find(|provider| **provider.name() == *name)
    }

    /// What is lost when Envoy ends, for operators to be told at every start; `None`: nothing.
    pub fn loss(&self) -> Option<&'static str> {
        let passkeys = self.passkeys.as_ref()?;
        matches!(passkeys.spec.store, PasskeyStoreSpec::SharedData).then_some(NOT_KEPT)
    }

    /// What the policy holds, in a few words for the log.
    pub fn summary(&self) -> String {
        format!("{} rules, {} token providers, hash {}", self.rules.len(), self.providers.len(), self.hash)
    }

    /// Tells policies apart: 48 bits of a digest of what the document says, however it is written. A metric holds it
    /// exactly.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether deciding needs to know if the connection carried TLS.
    pub fn needs_connection(&self) -> bool {
        self.needs.tls
    }

    /// Whether deciding needs the certificate that the client showed on Envoy's own connection.
    pub fn needs_peer_certificate(&self) -> bool {
        self.needs.peer_certificate
    }

    /// The name of the filter state that marks allowed requests, so that another filter can refuse what lacks it;
    /// `None`: they are not marked. `filter` is the name of ours in Envoy's configuration, any bytes or none.
    ///
    /// Each filter of a chain has a mark of its own. With one for all, the first filter's mark would let a request
    /// pass that a second one never saw, because it is switched off or could not start.
    pub fn mark(&self, filter: &[u8]) -> Option<Box<[u8]>> {
        (self.interlock != Interlock::Off).then(|| self.own_name(filter).into())
    }

    /// What each field for Envoy's access log is called, of the filter that has this name: as its mark, and the field
    /// behind that. So each filter of a chain has fields of its own.
    pub fn access_log_names(&self, filter: &[u8]) -> Vec<(AccessLogField, Box<[u8]>)> {
        let named = |field: &AccessLogField| {
            let name = [self.own_name(filter), b".", field.name().as_bytes()].concat();
            (*field, name.into_boxed_slice())
        };
        self.access_log.iter().map(named).collect()
    }

    fn own_name<'n>(&'n self, filter: &'n [u8]) -> &'n [u8] {
        match (&self.interlock, filter) {
            (Interlock::Marked(name), _) => name.as_bytes(),
            (_, []) => UNNAMED,
            (_, name) => name,
        }
    }

    /// Whether decisions are counted by rule and reason, too.
    pub fn counts_by_rule(&self) -> bool {
        self.count_by_rule
    }

    /// Whether rules decide beside those in force.
    #[inline]
    pub(crate) fn has_shadow_rules(&self) -> bool {
        self.has_shadow_rules
    }

    /// Whether some requests are decided by their bodies.
    pub fn reads_bodies(&self) -> bool {
        self.needs.body
    }

    /// Whether deciding needs the client's address.
    pub fn needs_remote_address(&self) -> bool {
        self.needs.remote_address
    }
}
