//! What the sections of a document must be to each other, and every fault of one that cannot be read as a whole.

use std::slice;

use super::{Provider, places};
use crate::{
    config::{ActionSpec, Document, MethodSpec, ProviderSpec, Rejected, RuleSpec},
    fault::Fault,
    jwt::Issuer,
    rate_limit::{KeyPart, Limiter},
    rbac::Vocabulary,
    request::{Location, alike::is_alike},
    route::Router,
};

/// All that is wrong with a document that cannot be read as a whole: the faults of form and of names, and what the
/// features find in the parts that could be read.
pub(super) fn every_fault(rejected: Rejected) -> Vec<Fault> {
    let Rejected { mut faults, providers, rate_limits, rules, shadow_rules } = rejected;
    for spec in &providers {
        let found = Provider::compile(spec).err().unwrap_or_default();
        faults.extend(found.into_iter().map(|fault| fault.within(&spec.path)));
    }
    faults.extend(
        [shared_issuers(&providers), places::tokens_without_issuer(&providers)].into_iter().flatten(),
    );
    for (i, spec) in &rate_limits {
        // Each by itself: while some of them cannot be read, it is not known how many there are.
        let found = Limiter::compile(slice::from_ref(spec), "").err().unwrap_or_default();
        faults.extend(found.into_iter().map(|fault| renumbered(fault, &[*i]).within("rateLimits")));
    }
    faults.extend(of_some_rules(&rules).into_iter().map(|fault| fault.within("rules")));
    faults.extend(of_some_rules(&shadow_rules).into_iter().map(|fault| fault.within("shadow.rules")));
    faults
}

/// What is wrong with some rules of a list, each with its place there.
fn of_some_rules(rules: &[(usize, RuleSpec)]) -> Vec<Fault> {
    let places: Vec<_> = rules.iter().map(|(i, _)| *i).collect();
    let routes: Vec<_> = rules.iter().map(|(_, rule)| (rule.name.as_str(), &rule.route)).collect();
    // A rule that cannot be reached among some of the rules cannot among all of them.
    let found = Router::compile(&routes).err().unwrap_or_default();
    let mut faults: Vec<_> = found.into_iter().map(|fault| renumbered(fault, &places)).collect();
    faults.extend(owner_variables(rules.iter().map(|(i, rule)| (*i, rule)), None));
    faults
}

/// A fault of the `n`th of some items, `[n].name`, as one of the document's list, in which it has the `n`th of
/// `places`.
fn renumbered(mut fault: Fault, places: &[usize]) -> Fault {
    let split = fault.path.strip_prefix('[').and_then(|path| path.split_once(']'));
    if let Some((n, rest)) = split
        && let Some(place) = n.parse().ok().and_then(|n: usize| places.get(n))
    {
        fault.path = format!("[{place}]{rest}");
    }
    fault
}

/// What is wrong with the rules, once each of them can be read. `router` has them all.
pub(super) fn of_rules(document: &Document, router: Option<&Router>) -> Vec<Fault> {
    let mut faults = owner_variables(document.rules.iter().enumerate(), router);
    faults.extend(counted_variables(document, router));
    faults.extend(endless_streams(document));
    faults.extend(places::faults(document));
    faults.into_iter().map(|fault| fault.within("rules")).collect()
}

/// An owner's path variable must be there in every match of its rule, or the condition could never hold. `router`
/// has all the rules; without it each is compiled alone.
fn owner_variables<'a>(
    rules: impl Iterator<Item = (usize, &'a RuleSpec)>,
    router: Option<&Router>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, rule) in rules {
        let Some(requirement) = rule.requirement() else { continue };
        for (k, alternative) in requirement.any_of.iter().enumerate() {
            let own = alternative.owner.iter().map(|owner| (owner, ""));
            let actors = alternative.actor.iter().filter_map(|asked| Some((asked.owner.as_ref()?, ".actor")));
            for (owner, of) in own.chain(actors) {
                let variable = owner.path_variable.as_str();
                let known = match router {
                    Some(router) => router.variables_of(i).contains(&variable),
                    None => Router::compile(&[(&rule.name, &rule.route)])
                        // What is wrong with the route itself is said elsewhere.
                        .map_or(true, |router| router.variables_of(0).contains(&variable)),
                };
                if !known {
                    let listed = if requirement.listed { format!(".anyOf[{k}]") } else { String::new() };
                    faults.push(Fault::new(
                        format!("[{i}].authorize{listed}{of}.owner.pathVariable"),
                        format!(
                            "not every match of the rule has a path template with the variable \"{variable}\""
                        ),
                    ));
                }
            }
        }
    }
    faults
}

/// A variable that a limit counts by must be there in every match of each rule that names the limit, or all of them would
/// share one count.
fn counted_variables(document: &Document, router: Option<&Router>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let Some(router) = router else { return faults };
    for (i, rule) in document.rules.iter().enumerate() {
        for (k, name) in rule.rate_limits.iter().enumerate() {
            let limit = document.rate_limits.iter().find(|limit| limit.name == *name);
            for part in limit.into_iter().flat_map(|limit| &limit.key) {
                let KeyPart::PathVariable(variable) = part else { continue };
                if !router.variables_of(i).contains(&variable.as_str()) {
                    let message = format!(
                        "counts by the path variable \"{variable}\", which not every match of the rule has"
                    );
                    faults.push(Fault::new(format!("[{i}].rateLimits[{k}]"), message));
                }
            }
        }
    }
    faults
}

/// Streams end when a credential has run out or is revoked, so there must be one that can.
fn endless_streams(document: &Document) -> Vec<Fault> {
    if document.revocation.is_some() {
        return Vec::new();
    }
    let has_end = |method: &MethodSpec| match method {
        MethodSpec::Jwt(_) => true,
        // A key in etcd may be changed or taken away.
        MethodSpec::ApiKey => {
            document.key_store.is_some() || document.api_keys.as_ref().is_some_and(|spec| spec.keys.has_end())
        }
        MethodSpec::ClientCertificate | MethodSpec::Hmac(_) | MethodSpec::MessageSignature(_) => false,
    };
    let mut faults = Vec::new();
    for (i, rule) in document.rules.iter().enumerate().filter(|(_, rule)| rule.end_streams) {
        let ActionSpec::Allow { authenticate, actor, .. } = &rule.action else { continue };
        if !authenticate.iter().chain(actor).any(has_end) {
            let message = "has no effect: of the credentials that the rule takes nobody says when they run out (no API \
                           key has expiresAt, and of certificates it is not known), and the policy revokes none";
            faults.push(Fault::new(format!("[{i}].endStreams"), message));
        }
    }
    faults
}

/// The provider of a token is chosen by its issuer, so there is one. That two issuers are called the same is said where they
/// are read.
pub(super) fn shared_issuers(providers: &[ProviderSpec]) -> Vec<Fault> {
    let has_tenants = |spec: &ProviderSpec| matches!(spec.jwt.issuer, Issuer::Tenants(_));
    let mut faults = Vec::new();
    if !providers.iter().any(has_tenants) {
        return faults;
    }
    for (n, provider) in providers.iter().enumerate() {
        let meets = |other: &&ProviderSpec| {
            (has_tenants(provider) || has_tenants(other)) && provider.jwt.issuer.meets(&other.jwt.issuer)
        };
        if let Some(other) = providers.iter().take(n).find(meets) {
            let other = &other.jwt.name;
            let message = format!(
                "a token may be of this provider and of \"{other}\": their issuers have one in common"
            );
            faults.push(Fault::new("issuer", message).within(&provider.path));
        }
    }
    faults
}

/// Each condition on a claim is tried on every token that is new to a worker, each of its values on every member of a list.
const MAX_CLAIM_COMPARISONS: usize = 1024;

/// Bounds what a token costs when it is verified.
pub(super) fn claim_comparisons(vocabulary: &Vocabulary) -> Option<Fault> {
    let count = vocabulary.claim_comparisons();
    let message =
        || format!("ask {count} different values of claims; at most {MAX_CLAIM_COMPARISONS} are allowed");
    (count > MAX_CLAIM_COMPARISONS).then(|| Fault::new("", message()))
}

/// A user's passkeys are found by the subject alone, which two tenants may both give to somebody.
pub(super) fn tenants_with_passkeys(document: &Document) -> Option<Fault> {
    let name = document.passkeys.as_ref()?.spec.provider.as_ref()?;
    let spec = document.providers.iter().find(|spec| spec.jwt.name == *name)?;
    let message =
        format!("\"{name}\" has tenants, whose users may be called the same; name a provider of one issuer");
    matches!(spec.jwt.issuer, Issuer::Tenants(_)).then(|| Fault::new("jwt", message))
}

/// Whoever verifies only signature and audience must not take a session for a statement, which any user could then send
/// past the gateway.
pub(super) fn statements_for_clients(document: &Document) -> Option<Fault> {
    let (signed, sessions) = (document.identity_headers.signed.as_ref()?, document.sessions.as_ref()?);
    let message =
        "is an audience of sessions, too: whoever looks at no typ would take a session for a statement";
    sessions.audiences.contains(&signed.audience).then(|| Fault::new("audience", message))
}

/// A header with a credential that is to be forwarded must not be among those to remove.
pub(super) fn removed_headers(document: &Document) -> Vec<Fault> {
    let stands_in = |locations: &[Location], removed: &str| {
        let mut headers = locations.iter().filter_map(Location::header);
        headers.any(|name| is_alike(name.as_bytes(), removed.as_bytes()))
    };
    let forwarding = |removed: &str| {
        let stands_in = |locations: &[Location]| stands_in(locations, removed);
        let mut providers = document.providers.iter().filter(|provider| provider.jwt.forward);
        if let Some(provider) = providers.find(|provider| stands_in(&provider.jwt.locations)) {
            return Some(format!("provider \"{}\", whose tokens stand there", provider.jwt.name));
        }
        let keys = document.api_keys.as_ref().filter(|keys| keys.forward);
        keys.filter(|keys| stands_in(&keys.locations)).map(|_| "apiKeys, whose keys stand there".to_owned())
    };
    let faults = document.request_headers.remove.iter().enumerate().filter_map(|(i, removed)| {
        let message = format!("contradicts forward: true of {}", forwarding(removed)?);
        Some(Fault::new(format!("remove[{i}]"), message))
    });
    faults.collect()
}
