//! From a document to a policy, or to everything that is wrong with it.

use std::{rc::Rc, slice};

use super::{
    Needs, Passkeys, Policy, ProtectedResource, Provider, PublishedKeys, Rule, coherence, guards, impassable,
    other_case, places, resource,
    rule::{RuleCompiler, Signing, add_new},
    shadow::{NextRules, Planned, limits_looked_at},
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
    /// The rules as they would be, with their router where they are a list of their own; `None`: as they are.
    planned: Option<(Planned, Option<Router>)>,
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
        let mut document = document.map_err(coherence::every_fault)?;
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
        let requirements = document.all_rules().filter_map(RuleSpec::requirement);
        let mut vocabulary = Vocabulary::compile(&document.roles, requirements);
        keep("rules", coherence::claim_comparisons(&vocabulary).into_iter().collect());
        let of_rules = coherence::of_rules(&document, router.as_ref());
        let planned = Planned::of(&document);
        let next_router = match planned {
            Some(Planned::List) => {
                let routes: Vec<_> =
                    document.shadow_rules.iter().map(|rule| (rule.name.as_str(), &rule.route)).collect();
                Router::compile(&routes).map_err(|found| keep("shadow.rules", found)).ok()
            }
            _ => None,
        };
        let next = match planned {
            Some(Planned::List) => next_router.as_ref(),
            _ => router.as_ref(),
        };
        if let (Some(planned), Some(_)) = (planned, next) {
            let found = planned.with(&mut document, |document| coherence::of_rules(document, next));
            keep("", planned.renamed(&document, found, &of_rules));
        }
        keep("", of_rules);
        keep("", coherence::shared_issuers(&document.providers));
        keep("", places::tokens_without_issuer(&document.providers));
        keep("passkeys.registration", coherence::tenants_with_passkeys(&document).into_iter().collect());
        keep("requestHeaders", coherence::removed_headers(&document));
        keep("identityHeaders.signed", coherence::statements_for_clients(&document).into_iter().collect());
        let resources = resource::compile(&document, &mut vocabulary).unwrap_or_else(|found| {
            keep("", found);
            Vec::new()
        });
        let lacks_router = planned == Some(Planned::List) && next_router.is_none();
        let assembled = match (router, limiter) {
            (Some(router), Some(limiter)) if !lacks_router => {
                let planned = planned.map(|planned| (planned, next_router));
                let parts = Parts { router, planned, providers, limiter, vocabulary, resources };
                // Also where there are faults already, to find those that only show when the parts come together.
                Self::assemble(document, parts)
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

    fn assemble(mut document: Document, parts: Parts) -> Result<Self, Vec<Fault>> {
        let Parts { router, planned, providers, limiter, vocabulary, resources } = parts;
        let hmac_sources: Vec<_> = document.hmac_sources.iter().cloned().map(Rc::new).collect();
        let signers: Vec<_> = document.signers.iter().cloned().map(Rc::new).collect();
        let signing = Signing { hmac_sources: &hmac_sources, signers: &signers };
        let mut compiler =
            RuleCompiler::new(&document, &providers, signing, &resources, &limiter, &vocabulary);
        let mut rules = compiler.compile_all(&document.rules, "rules")?;
        let next_rules = compiler.compile_all(&document.shadow_rules, "shadow.rules")?;
        let first_ceremony_rule = rules.len();
        if let Some(section) = &document.passkeys {
            rules.extend(section.rules.iter().filter_map(|rule| compiler.compile(rule)));
        }
        let of_rules = |document: &Document, rules: &[&Rule], router: Option<&Router>| {
            let impassable::Found { faults, mut warnings } = impassable::judge(document, rules, &vocabulary);
            warnings.extend(unused::counts_of_keys(document));
            warnings.extend(resource::elsewhere(document, &resources));
            if let Some(router) = router {
                warnings.extend(other_case::warnings(document, router));
                warnings.extend(router.warnings().into_iter().map(|warning| warning.within("rules")));
            }
            (faults, warnings)
        };
        let in_force: Vec<&Rule> = rules.iter().collect();
        let (mut faults, mut warnings) = of_rules(&document, &in_force, Some(&router));
        let has_shadow_rules = planned.is_some();
        let mut next_router = None;
        if let Some((planned, router)) = planned {
            let next: Vec<&Rule> = match planned {
                Planned::List => next_rules.iter().collect(),
                Planned::Own => rules.iter().map(|rule| rule.shadow.as_deref().unwrap_or(rule)).collect(),
            };
            let found = planned.with(&mut document, |document| of_rules(document, &next, router.as_ref()));
            let (more_faults, more_warnings) = (
                planned.renamed(&document, found.0, &faults),
                planned.renamed(&document, found.1, &warnings),
            );
            faults.extend(more_faults);
            warnings.extend(more_warnings);
            warnings.extend(limits_looked_at(&document));
            next_router = router;
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        warnings.extend(unused::unused(&document, &vocabulary));
        warnings.extend(resource::warnings(&document));
        warnings.sort();
        warnings.truncate(MAX_WARNINGS);
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
        let asks_for_address =
            document.all_rules().filter_map(RuleSpec::requirement).any(RequirementSpec::asks_for_address);
        let asks_for_tls = document.all_rules().any(|rule| rule.require_tls == Some(true));
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
        let kept = document.rules.iter().fold(Kept::default(), |kept, rule| kept.or(rule.route.kept));
        let needs = Needs {
            // A DPoP proof is for a URL, which says whether it is `https`, and so may a signature be.
            tls: transport.needs_connection()
                || asks_for_tls
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
            next_rules: next_router.map(|router| NextRules::new(router, next_rules, kept)),
            has_shadow_rules,
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
            kept,
            has_plain_rules: document.rules.iter().any(|rule| rule.require_tls == Some(false)),
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
