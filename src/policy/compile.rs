//! From a document to a policy, or to everything that is wrong with it.

use std::{rc::Rc, slice};

use super::{
    Needs, Passkeys, Policy, ProtectedResource, Provider, PublishedKeys, coherence, guards, impassable,
    other_case, places, resource,
    rule::{RuleCompiler, Signing, add_new},
    unused,
};
use crate::{
    api_key::ApiKeys,
    certificate::ClientCertificatesSpec,
    config::{self, Document, Rejected, RuleSpec},
    dpop,
    fault::Fault,
    rate_limit::Limiter,
    rbac::{RequirementSpec, Vocabulary},
    request::{Location, credential::CredentialNames, path::Kept},
    route::Router,
    session::Sessions,
    statement::Statements,
    transport::Transport,
    url::Url,
};

/// Warnings beyond so many say nothing new.
const MAX_WARNINGS: usize = 1000;

/// What the features made of their sections.
struct Parts {
    router: Router,
    providers: Vec<Rc<Provider>>,
    limiter: Limiter,
    vocabulary: Vocabulary,
    resources: Vec<Rc<ProtectedResource>>,
}

impl Policy {
    /// Reads and compiles a document. All or nothing: one fault and there is no policy.
    ///
    /// A pure function of its arguments, because a filter whose configuration fails on one thread only is left
    /// out there by Envoy. `namespace` keeps this policy's shared state apart from that of others.
    ///
    /// # Errors
    /// Every fault of the document, each with its path.
    ///
    /// ```
    /// use portcullis::policy::Policy;
    ///
    /// let document = br#"{"rules": [{"name": "all", "authenticate": {"anonymous": true}, "ratelimits": []}]}"#;
    /// let faults = Policy::compile(document, "example").err().unwrap_or_default();
    /// let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    /// assert_eq!(told, ["rules[0].ratelimits: unknown field; did you mean \"rateLimits\"?"]);
    /// ```
    pub fn compile(bytes: &[u8], namespace: &str) -> Result<Self, Vec<Fault>> {
        Self::of(config::decode(bytes), namespace)
    }

    /// As [`Self::compile`], of a document that was read already, whose bytes are of no use any more.
    pub(crate) fn of(document: Result<Document, Rejected>, namespace: &str) -> Result<Self, Vec<Fault>> {
        let document = document.map_err(coherence::every_fault)?;
        let mut faults = Vec::new();
        let mut keep = |prefix: &str, found: Vec<Fault>| {
            faults.extend(found.into_iter().map(|fault| fault.within(prefix)));
        };

        let routes: Vec<_> = document.rules.iter().map(|rule| (rule.name.as_str(), &rule.route)).collect();
        let router = Router::compile(&routes).map_err(|found| keep("rules", found)).ok();
        let mut providers = Vec::with_capacity(document.providers.len());
        for spec in &document.providers {
            match Provider::compile(spec) {
                Ok(provider) => providers.push(Rc::new(provider)),
                Err(found) => keep(&spec.path, found),
            }
        }
        let limiter = Limiter::compile(&document.rate_limits, namespace)
            .map_err(|found| keep("rateLimits", found))
            .ok();
        let requirements = document.rules.iter().filter_map(RuleSpec::requirement);
        let mut vocabulary = Vocabulary::compile(&document.roles, requirements);
        keep("rules", coherence::claim_comparisons(&vocabulary).into_iter().collect());
        keep("rules", coherence::owner_variables(document.rules.iter().enumerate(), router.as_ref()));
        keep("rules", coherence::counted_variables(&document, router.as_ref()));
        keep("rules", coherence::endless_streams(&document));
        keep("", coherence::shared_issuers(&document.providers));
        keep("", places::tokens_without_issuer(&document.providers));
        keep("rules", places::faults(&document));
        keep("passkeys.registration", coherence::tenants_with_passkeys(&document).into_iter().collect());
        keep("requestHeaders", coherence::removed_headers(&document));
        keep("identityHeaders.signed", coherence::statements_for_clients(&document).into_iter().collect());
        let resources = resource::compile(&document, &mut vocabulary).unwrap_or_else(|found| {
            keep("", found);
            Vec::new()
        });
        let assembled = match (router, limiter) {
            (Some(router), Some(limiter)) => {
                // Also where there are faults already, to find those that only show when the parts come together.
                Self::assemble(document, Parts { router, providers, limiter, vocabulary, resources })
            }
            _ => Err(Vec::new()),
        };
        match assembled {
            Ok(policy) if faults.is_empty() => return Ok(policy),
            Ok(_) => {}
            Err(found) => faults.extend(found),
        }
        if faults.is_empty() {
            faults.push(Fault::new("", "the policy cannot be compiled"));
        }
        faults.sort();
        faults.dedup();
        Err(faults)
    }

    fn assemble(document: Document, parts: Parts) -> Result<Self, Vec<Fault>> {
        let Parts { router, providers, limiter, vocabulary, resources } = parts;
        let hmac_sources: Vec<_> = document.hmac_sources.iter().cloned().map(Rc::new).collect();
        let signers: Vec<_> = document.signers.iter().cloned().map(Rc::new).collect();
        let signing = Signing { hmac_sources: &hmac_sources, signers: &signers };
        let mut compiler =
            RuleCompiler::new(&document, &providers, signing, &resources, &limiter, &vocabulary);
        let rules: Result<Vec<_>, _> = document
            .rules
            .iter()
            .enumerate()
            .map(|(i, rule)| {
                let unknown = || vec![Fault::new(format!("rules[{i}]"), "names something unknown")];
                compiler.compile(rule).ok_or_else(unknown)
            })
            .collect();
        let mut rules = rules?;
        let impassable::Found { faults, mut warnings } = impassable::judge(&document, &rules, &vocabulary);
        if !faults.is_empty() {
            return Err(faults);
        }
        warnings.extend(unused::unused(&document, &vocabulary));
        warnings.extend(resource::warnings(&document, &resources));
        warnings.extend(other_case::warnings(&document, &router));
        warnings.extend(router.warnings().into_iter().map(|warning| warning.within("rules")));
        warnings.sort();
        warnings.truncate(MAX_WARNINGS);
        let first_ceremony_rule = rules.len();
        if let Some(section) = &document.passkeys {
            rules.extend(section.rules.iter().filter_map(|rule| compiler.compile(rule)));
        }
        let mut credential_locations = Vec::new();
        for provider in &document.providers {
            add_new(&mut credential_locations, &provider.jwt.locations);
        }
        if let Some(keys) = &document.api_keys {
            add_new(&mut credential_locations, &keys.locations);
        }
        for source in &hmac_sources {
            add_new(&mut credential_locations, slice::from_ref(&source.location));
        }
        for signer in &signers {
            add_new(&mut credential_locations, &signer.locations);
        }
        if providers.iter().any(|provider| provider.dpop.is_some()) {
            let proof = Location::Header { name: dpop::HEADER.to_owned(), prefix: String::new() };
            add_new(&mut credential_locations, &[proof]);
        }
        let guarded_headers = guards::guarded_headers(&document, &credential_locations);
        let own_keys = document.signing_keys.map(|spec| (Rc::new(spec.keys), spec.jwks_path));
        let keys = own_keys.as_ref().map(|(keys, _)| keys);
        let signed = document.identity_headers.signed.as_ref().zip(keys);
        let issuer = document.sessions.as_ref().map(|spec| &spec.issuer);
        let statements = signed.map(|(spec, keys)| Statements {
            // One of the two is there.
            issuer: spec.issuer.as_ref().or(issuer).map(Url::as_str).unwrap_or_default().to_owned(),
            audience: spec.audience.clone(),
            lifetime: spec.lifetime,
            keys: Rc::clone(keys),
        });
        let session_lifetime = document.sessions.as_ref().map(|spec| spec.lifetime);
        let sessions = document.sessions.zip(keys).map(|(spec, keys)| Sessions::new(spec, Rc::clone(keys)));
        let transport = Transport::compile(&document.transport);
        let certificates = document.client_certificates.as_ref();
        let asks_for_address =
            document.rules.iter().filter_map(RuleSpec::requirement).any(RequirementSpec::asks_for_address);
        let rules_say = |tls| document.rules.iter().any(|rule| rule.require_tls == Some(tls));
        let needs = Needs {
            // A DPoP proof is for a URL, which says whether it is `https`, and so may a signature be.
            tls: transport.needs_connection()
                || rules_say(true)
                || !signers.is_empty()
                || providers.iter().any(|provider| provider.dpop.is_some()),
            peer_certificate: certificates.is_some_and(ClientCertificatesSpec::of_connection),
            remote_address: limiter.needs_remote_address()
                || asks_for_address
                // What keys elsewhere ask for is not known.
                || document.key_store.is_some()
                || document.api_keys.as_ref().is_some_and(|spec| spec.keys.asks_for_address()),
            body: !hmac_sources.is_empty() || !signers.is_empty() || document.passkeys.is_some(),
        };
        let passkeys = match (document.passkeys, keys) {
            (Some(section), Some(keys)) => {
                let revocations = document.revocation_store.as_ref();
                let first = first_ceremony_rule;
                Some(Passkeys::compile(section, keys, session_lifetime, revocations, first)?)
            }
            _ => None,
        };
        Ok(Self {
            hash: hash(&document.digest),
            rules,
            realm: document.realm,
            transport,
            router,
            providers,
            published_keys: own_keys.map(|(keys, path)| PublishedKeys { path, set: keys.set().to_string() }),
            statements,
            sessions,
            passkeys,
            api_keys: document.api_keys.as_ref().map(ApiKeys::compile),
            key_usage: document.api_keys.as_ref().and_then(|keys| keys.usage),
            key_store: document.key_store,
            client_certificates: document.client_certificates,
            hmac_sources,
            signers,
            revocation: document.revocation,
            revocation_store: document.revocation_store,
            limiter,
            vocabulary,
            identity_headers: document.identity_headers,
            guarded_headers,
            credential_names: CredentialNames::of(&credential_locations),
            credential_locations,
            resources,
            max_path_length: document.max_path_length,
            kept: document.rules.iter().fold(Kept::default(), |kept, rule| kept.or(rule.route.kept)),
            has_plain_rules: rules_say(false),
            needs,
            interlock: document.interlock,
            access_log: document.access_log,
            log_allowed: document.log_allowed,
            log_all_denied: document.log_all_denied,
            record_names: document.record_names,
            chain_records: document.chain_records,
            count_by_rule: document.count_by_rule,
            rate_limit_headers_always: document.rate_limit_headers_always,
            warnings,
        })
    }
}

/// The first 48 bits of a digest: metrics are doubles, which hold no more than 53 exactly.
fn hash(digest: &[u8; 32]) -> u64 {
    digest.iter().take(6).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}
