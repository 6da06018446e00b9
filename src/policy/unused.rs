//! What a document defines and no rule has a use for: harmless, and most often a slip.

use hashbrown::HashSet;

use crate::{
    config::{Document, MethodSpec, RuleSpec},
    fault::Fault,
    rate_limit::{KeyPart, LimitSpec, WindowSpec},
    rbac::Vocabulary,
};

/// A warning for each.
#[cold]
#[inline(never)]
pub(super) fn unused(document: &Document, vocabulary: &Vocabulary) -> Vec<Fault> {
    let mut warnings = Vec::new();
    credentials(document, &mut warnings);
    roles(document, vocabulary, &mut warnings);
    limits(document, &mut warnings);
    warnings
}

fn methods(rule: &RuleSpec) -> impl Iterator<Item = &MethodSpec> {
    rule.action.methods()
}

fn provider_of(method: &MethodSpec) -> Option<&str> {
    match method {
        MethodSpec::Jwt(provider) => Some(provider),
        MethodSpec::ApiKey
        | MethodSpec::ClientCertificate
        | MethodSpec::Hmac(_)
        | MethodSpec::MessageSignature(_) => None,
    }
}

fn credentials(document: &Document, warnings: &mut Vec<Fault>) {
    let is_taken = |wanted: fn(&MethodSpec) -> bool| document.all_rules().flat_map(methods).any(wanted);
    let tokens: HashSet<&str> = document.all_rules().flat_map(methods).filter_map(provider_of).collect();
    for provider in &document.providers {
        if !tokens.contains(provider.jwt.name.as_str()) {
            let message = format!("no rule takes tokens of \"{}\"", provider.jwt.name);
            warnings.push(Fault::new(provider.path.as_str(), message));
        }
    }
    let signs = document.sessions.is_some() || document.identity_headers.signed.is_some();
    if document.signing_keys.is_some() && !signs {
        let message = "nothing is signed with them: there are neither sessions nor identityHeaders.signed";
        warnings.push(Fault::new("signingKeys", message));
    }
    let taken: HashSet<&MethodSpec> = document.all_rules().flat_map(methods).collect();
    for (i, source) in document.hmac_sources.iter().enumerate() {
        if !taken.contains(&MethodSpec::Hmac(source.name.clone())) {
            let message = format!("no rule takes webhooks of \"{}\"", source.name);
            warnings.push(Fault::new(format!("hmac.sources[{i}]"), message));
        }
    }
    for (i, signer) in document.signers.iter().enumerate() {
        if !taken.contains(&MethodSpec::MessageSignature(signer.name.clone())) {
            let message = format!("no rule takes signatures of \"{}\"", signer.name);
            warnings.push(Fault::new(format!("messageSignatures.signers[{i}]"), message));
        }
    }
    if let Some(spec) = &document.api_keys {
        if !is_taken(|method| *method == MethodSpec::ApiKey) {
            warnings.push(Fault::new("apiKeys", "no rule takes API keys"));
        }
        // What keys elsewhere have is not known.
        let is_held = |level| document.key_store.is_some() || spec.keys.has_level(level);
        for (level, _) in spec.levels.iter().filter(|(level, _)| !is_held(*level)) {
            warnings.push(Fault::new(format!("apiKeys.levels.{level:?}"), "no key has this level"));
        }
    }
    if let Some(spec) = &document.client_certificates {
        let taken = is_taken(|method| *method == MethodSpec::ClientCertificate);
        if spec.principals.is_some() && !taken {
            warnings.push(Fault::new("clientCertificates.principals", "no rule takes clientCertificate"));
        } else if !taken && document.providers.is_empty() {
            let message = "no rule takes clientCertificate, and no token can be bound to one";
            warnings.push(Fault::new("clientCertificates", message));
        }
    }
}

/// Upstreams are told of roles too: one that a key or a certificate holds is of use even where no rule asks for it.
fn roles(document: &Document, vocabulary: &Vocabulary, warnings: &mut Vec<Fault>) {
    let keys = document.api_keys.iter().flat_map(|spec| spec.keys.roles());
    let principals =
        document.client_certificates.iter().filter_map(|spec| spec.principals.as_ref()).flatten();
    let sources = document.hmac_sources.iter().flat_map(|source| &source.roles);
    let signers = document.signers.iter().flat_map(|signer| &signer.roles);
    let roles = principals.flat_map(|principal| &principal.roles).chain(sources).chain(signers);
    let held: HashSet<&str> = keys.chain(roles.map(String::as_str)).collect();
    for (i, role) in document.roles.iter().enumerate() {
        if document.key_store.is_none()
            && !vocabulary.is_asked_for(&role.name)
            && !held.contains(role.name.as_str())
        {
            warnings.push(Fault::new(format!("roles[{i}]"), "gives nothing that a rule asks for"));
        }
    }
}

fn limits(document: &Document, warnings: &mut Vec<Fault>) {
    let named: HashSet<&str> =
        document.all_rules().flat_map(|rule| &rule.rate_limits).map(String::as_str).collect();
    let keys = document.api_keys.iter().flat_map(|spec| spec.keys.tiers());
    let principals =
        document.client_certificates.iter().filter_map(|spec| spec.principals.as_ref()).flatten();
    let sources = document.hmac_sources.iter().filter_map(|source| source.tier.as_deref());
    let principals = principals.filter_map(|principal| principal.tier.as_deref());
    let signers = document.signers.iter().filter_map(|signer| signer.tier.as_deref());
    let tiers: HashSet<&str> = keys.chain(principals).chain(sources).chain(signers).collect();
    let any_tier = document.key_store.is_some()
        || document.providers.iter().any(|provider| provider.jwt.tier_claim.is_some());
    for (i, limit) in document.rate_limits.iter().enumerate() {
        if !limit.before_authentication && !named.contains(limit.name.as_str()) {
            warnings.push(Fault::new(format!("rateLimits[{i}]"), "limits nothing: no rule names it"));
        }
        let has_keys_alone = |window: &WindowSpec| window.own.as_ref().is_some_and(|own| own.claim.is_none());
        let has_number = document.key_store.is_some()
            || document.api_keys.as_ref().is_some_and(|spec| spec.keys.has_own_requests(&limit.name));
        if let Some(k) = limit.windows.iter().position(has_keys_alone).filter(|_| !has_number) {
            let message = "no API key has a number for this limit, and no claim is named";
            warnings.push(Fault::new(format!("rateLimits[{i}].limits[{k}].ownRequests"), message));
        }
        for (k, (tier, _)) in limit.tiers.iter().enumerate() {
            if !any_tier && !tiers.contains(tier.as_str()) {
                let message = format!("nobody has the tier {tier:?}, and no provider has claims.tier");
                warnings.push(Fault::new(format!("rateLimits[{i}].tiers[{k}]"), message));
            }
        }
    }
}

/// Of limits by the key alone that rules name which take no keys.
pub(super) fn counts_of_keys(document: &Document) -> Vec<Fault> {
    let mut warnings = Vec::new();
    let by_key: HashSet<&str> = document
        .rate_limits
        .iter()
        .filter(|limit| counts_by_key_alone(limit))
        .map(|limit| limit.name.as_str())
        .collect();
    for (i, rule) in document.rules.iter().enumerate().filter(|_| !by_key.is_empty()) {
        let takes_keys = methods(rule).any(|method| *method == MethodSpec::ApiKey);
        for (k, name) in rule.rate_limits.iter().enumerate() {
            if !takes_keys && by_key.contains(name.as_str()) {
                let message = "counts by apiKey, which no request of the rule has: they all share one count";
                warnings.push(Fault::new(format!("rules[{i}].rateLimits[{k}]"), message));
            }
        }
    }
    warnings
}

fn counts_by_key_alone(limit: &LimitSpec) -> bool {
    limit.key.as_slice() == [KeyPart::ApiKey]
}
