//! The compiled policy: what a document comes to when every name is resolved and every number checked.

use std::rc::Rc;

use crate::{
    api_key::ApiKeys,
    config::{self, ActionSpec, Document, IdentityField, IdentityHeadersSpec, MethodSpec, RuleSpec},
    engine::Caller,
    fault::Fault,
    identity::header_text,
    jwt::Provider,
    rate_limit::{LimitId, Limiter},
    rbac::{Names, Requirement, Vocabulary},
    request::Location,
    resource_metadata::{Derived, ResourceMetadata},
    route::Router,
    transport::Transport,
};

/// A policy that can decide. There is no partly valid one.
pub struct Policy {
    pub(crate) realm: String,
    pub(crate) transport: Transport,
    pub(crate) router: Router,
    /// In the document's order; the router's results are indexes into it.
    pub(crate) rules: Vec<Rule>,
    pub(crate) providers: Vec<Provider>,
    pub(crate) api_keys: Option<ApiKeys<Caller>>,
    pub(crate) limiter: Limiter,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) identity_headers: IdentityHeadersSpec,
    /// Names that only this filter may set upstream: lower case, with `-` for `_`.
    pub(crate) owned_headers: Vec<String>,
    /// Everywhere a token or an API key may stand, each once.
    pub(crate) credential_locations: Vec<Location>,
    /// What clients are told of the API; `None`: nothing.
    pub(crate) resource_metadata: Option<ResourceMetadata>,
    pub(crate) log_allowed: bool,
    pub(crate) rate_limit_headers_always: bool,
}

/// One rule.
pub(crate) struct Rule {
    pub(crate) name: Rc<str>,
    /// The name as a header value.
    pub(crate) header: String,
    pub(crate) action: Action,
    /// CORS preflights of its requests pass without credentials.
    pub(crate) cors_preflight: bool,
    pub(crate) limits: Vec<LimitId>,
}

/// What a rule does.
pub(crate) enum Action {
    Deny,
    AllowAnyone,
    Allow(Access),
}

/// Whom a rule lets pass.
pub(crate) struct Access {
    /// Indexes of the providers whose tokens it takes; may be empty if it takes API keys.
    pub(crate) providers: Vec<usize>,
    /// Where those tokens may stand, each once.
    pub(crate) token_locations: Vec<Location>,
    /// It takes API keys.
    pub(crate) api_key: bool,
    /// `None`: every authenticated principal may.
    pub(crate) requirement: Option<Requirement>,
}

impl Policy {
    /// Reads and compiles a document. All or nothing: one fault and there is no policy.
    ///
    /// A pure function of its arguments, because a filter whose configuration fails on one thread only is left
    /// out there by Envoy. `namespace` keeps this policy's shared state apart from that of others.
    ///
    /// # Errors
    /// Every fault of the document, each with its path.
    pub fn compile(bytes: &[u8], namespace: &str) -> Result<Self, Vec<Fault>> {
        let document = config::decode(bytes)?;
        let mut faults = Vec::new();
        let mut keep = |prefix: &str, found: Vec<Fault>| {
            faults.extend(found.into_iter().map(|fault| fault.within(prefix)));
        };

        let routes: Vec<_> = document.rules.iter().map(|rule| (rule.name.as_str(), &rule.route)).collect();
        let router = Router::compile(&routes).map_err(|found| keep("rules", found)).ok();
        let mut providers = Vec::with_capacity(document.providers.len());
        for (i, spec) in document.providers.iter().enumerate() {
            match Provider::compile(spec) {
                Ok(provider) => providers.push(provider),
                Err(found) => keep(&format!("jwt.providers[{i}]"), found),
            }
        }
        let limiter = Limiter::compile(&document.rate_limits, namespace)
            .map_err(|found| keep("rateLimits", found))
            .ok();
        let requirements = document.rules.iter().filter_map(RuleSpec::requirement);
        let vocabulary =
            Vocabulary::compile(&document.roles, requirements).map_err(|found| keep("roles", found)).ok();
        if let Some(router) = &router {
            keep("rules", owner_variables(&document, router));
        }
        let metadata = resource_metadata(&document).unwrap_or_else(|found| {
            keep("protectedResource", found);
            None
        });
        faults.sort();
        faults.dedup();
        match (router, limiter, vocabulary) {
            (Some(router), Some(limiter), Some(vocabulary)) if faults.is_empty() => {
                let mut policy = Self::assemble(document, router, providers, limiter, vocabulary)?;
                policy.resource_metadata = metadata;
                Ok(policy)
            }
            _ if faults.is_empty() => Err(vec![Fault::new("", "the policy cannot be compiled")]),
            _ => Err(faults),
        }
    }

    fn assemble(
        document: Document,
        router: Router,
        providers: Vec<Provider>,
        limiter: Limiter,
        vocabulary: Vocabulary,
    ) -> Result<Self, Vec<Fault>> {
        let rules: Result<Vec<_>, _> = document
            .rules
            .iter()
            .enumerate()
            .map(|(i, rule)| {
                rule.compile(&document, &limiter, &vocabulary)
                    .ok_or_else(|| vec![Fault::new(format!("rules[{i}]"), "names something unknown")])
            })
            .collect();
        let identity = &document.identity_headers;
        let api_keys = document
            .api_keys
            .as_ref()
            .map(|spec| ApiKeys::compile(spec, |principal| Caller::of_key(principal, &vocabulary)));
        let claim_headers = document.providers.iter().flat_map(|provider| &provider.claim_to_headers);
        let owned = [&identity.subject, &identity.kind, &identity.scopes, &identity.roles, &identity.rule];
        let mut owned_headers: Vec<String> = owned
            .into_iter()
            .chain(claim_headers.map(|(_, header)| header))
            .map(|name| name.replace('_', "-"))
            .collect();
        owned_headers.sort();
        owned_headers.dedup();
        let mut credential_locations = Vec::new();
        for provider in &document.providers {
            add_new(&mut credential_locations, &provider.locations);
        }
        if let Some(keys) = &document.api_keys {
            add_new(&mut credential_locations, &keys.locations);
        }
        Ok(Self {
            rules: rules?,
            realm: document.realm,
            transport: Transport::compile(&document.transport),
            router,
            providers,
            api_keys,
            limiter,
            vocabulary,
            identity_headers: document.identity_headers,
            owned_headers,
            credential_locations,
            resource_metadata: None,
            log_allowed: document.log_allowed,
            rate_limit_headers_always: document.rate_limit_headers_always,
        })
    }

    /// What the policy holds, in a few words for the log.
    pub fn summary(&self) -> String {
        format!("{} rules, {} token providers", self.rules.len(), self.providers.len())
    }

    /// Whether deciding needs to know if the connection carried TLS.
    pub fn needs_connection(&self) -> bool {
        self.transport.needs_connection()
    }

    /// Whether deciding needs the client's address.
    pub fn needs_remote_address(&self) -> bool {
        self.limiter.needs_remote_address()
    }
}

impl RuleSpec {
    fn requirement(&self) -> Option<&crate::rbac::RequirementSpec> {
        match &self.action {
            ActionSpec::Allow { authorize, .. } => authorize.as_ref(),
            ActionSpec::Deny | ActionSpec::AllowAnyone => None,
        }
    }

    /// `None` when a name is unknown.
    fn compile(&self, document: &Document, limiter: &Limiter, vocabulary: &Vocabulary) -> Option<Rule> {
        let action = match &self.action {
            ActionSpec::Deny => Action::Deny,
            ActionSpec::AllowAnyone => Action::AllowAnyone,
            ActionSpec::Allow { authenticate, authorize } => {
                let mut access = Access {
                    providers: Vec::new(),
                    token_locations: Vec::new(),
                    api_key: false,
                    requirement: authorize.as_ref().map(|spec| Requirement::compile(spec, vocabulary)),
                };
                for method in authenticate {
                    match method {
                        MethodSpec::ApiKey => access.api_key = true,
                        MethodSpec::Jwt(name) => {
                            let index = document.providers.iter().position(|spec| spec.name == *name)?;
                            access.providers.push(index);
                            add_new(&mut access.token_locations, &document.providers.get(index)?.locations);
                        }
                    }
                }
                Action::Allow(access)
            }
        };
        let limits = self.rate_limits.iter().map(|name| limiter.id(name)).collect::<Option<_>>()?;
        Some(Rule {
            name: self.name.as_str().into(),
            header: header_text(&self.name, b""),
            action,
            cors_preflight: self.cors_preflight,
            limits,
        })
    }
}

/// What the section leaves out is told as the rest of the policy has it.
fn resource_metadata(document: &Document) -> Result<Option<ResourceMetadata>, Vec<Fault>> {
    let Some(spec) = &document.protected_resource else { return Ok(None) };
    let issuers: Vec<&str> = document.providers.iter().map(|provider| provider.issuer.as_str()).collect();
    let locations: Vec<&Location> =
        document.providers.iter().flat_map(|provider| &provider.locations).collect();
    let takes_tokens = |rule: &&RuleSpec| match &rule.action {
        ActionSpec::Allow { authenticate, .. } => {
            authenticate.iter().any(|method| matches!(method, MethodSpec::Jwt(_)))
        }
        ActionSpec::Deny | ActionSpec::AllowAnyone => false,
    };
    let requirements = document.rules.iter().filter(takes_tokens).filter_map(RuleSpec::requirement);
    let alternatives = requirements.flat_map(|requirement| &requirement.any_of);
    let scopes: Vec<&str> = alternatives
        .filter_map(|alternative| alternative.scopes.as_ref())
        .flat_map(|(Names::All(names) | Names::Any(names))| names)
        .map(String::as_str)
        .collect();
    let derived = Derived { issuers: &issuers, scopes: &scopes, token_locations: &locations };
    ResourceMetadata::compile(spec, derived).map(Some)
}

/// An owner's path variable must be there in every match of its rule, or the condition could never hold.
fn owner_variables(document: &Document, router: &Router) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, rule) in document.rules.iter().enumerate() {
        let alternatives = rule.requirement().into_iter().flat_map(|requirement| &requirement.any_of);
        for owner in alternatives.filter_map(|alternative| alternative.owner.as_ref()) {
            if !router.variables_of(i).contains(&owner.path_variable.as_str()) {
                faults.push(Fault::new(
                    format!("[{i}].authorize.owner.pathVariable"),
                    format!(
                        "not every match of the rule has a path template with the variable \"{}\"",
                        owner.path_variable
                    ),
                ));
            }
        }
    }
    faults
}

/// Adds what is not there yet.
fn add_new(all: &mut Vec<Location>, some: &[Location]) {
    for location in some {
        if !all.contains(location) {
            all.push(location.clone());
        }
    }
}

impl IdentityHeadersSpec {
    pub(crate) fn sends(&self, field: IdentityField) -> bool {
        self.send.contains(&field)
    }
}
