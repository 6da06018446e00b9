//! What the sections of a document must be to each other, and every fault of one that cannot be read as a whole.

use std::slice;

use crate::{
    config::{ActionSpec, Document, MethodSpec, Rejected, RuleSpec},
    fault::Fault,
    jwt::{Provider, ProviderSpec},
    rate_limit::Limiter,
    request::{Location, alike::is_alike},
    route::Router,
};

/// All that is wrong with a document: to the faults of form and of names are added those that the features find
/// in the parts that have none.
pub(super) fn every_fault(rejected: Rejected) -> Vec<Fault> {
    let Rejected { mut faults, providers, rate_limits, rules } = rejected;
    for (i, spec) in &providers {
        let found = Provider::compile(spec).err().unwrap_or_default();
        faults.extend(found.into_iter().map(|fault| fault.within(&format!("jwt.providers[{i}]"))));
    }
    for (i, spec) in &rate_limits {
        // Alone: how many there are is not known while some of them cannot be read.
        let found = Limiter::compile(slice::from_ref(spec), "").err().unwrap_or_default();
        faults.extend(found.into_iter().map(|fault| renumbered(fault, &[*i]).within("rateLimits")));
    }
    let places: Vec<_> = rules.iter().map(|(i, _)| *i).collect();
    let routes: Vec<_> = rules.iter().map(|(_, rule)| (rule.name.as_str(), &rule.route)).collect();
    // A rule that cannot be reached among some of the rules cannot among all of them.
    let found = Router::compile(&routes).err().unwrap_or_default();
    faults.extend(found.into_iter().map(|fault| renumbered(fault, &places).within("rules")));
    let found = owner_variables(rules.iter().map(|(i, rule)| (*i, rule)), None);
    faults.extend(found.into_iter().map(|fault| fault.within("rules")));
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

/// An owner's path variable must be there in every match of its rule, or the condition could never hold. `router`
/// has all the rules; without it each is compiled alone.
pub(super) fn owner_variables<'a>(
    rules: impl Iterator<Item = (usize, &'a RuleSpec)>,
    router: Option<&Router>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, rule) in rules {
        let Some(requirement) = rule.requirement() else { continue };
        for (k, alternative) in requirement.any_of.iter().enumerate() {
            let Some(owner) = &alternative.owner else { continue };
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
                    format!("[{i}].authorize{listed}.owner.pathVariable"),
                    format!(
                        "not every match of the rule has a path template with the variable \"{variable}\""
                    ),
                ));
            }
        }
    }
    faults
}

/// An opaque token does not say whose it is, so at most one issuer may be asked about what stands in one place:
/// the others would be told a token that is none of theirs.
pub(super) fn opaque_tokens(document: &Document) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, rule) in document.rules.iter().enumerate() {
        let ActionSpec::Allow { authenticate, .. } = &rule.action else { continue };
        let asked: Vec<_> = authenticate
            .iter()
            .filter_map(|method| match method {
                MethodSpec::Jwt(name) => document.providers.iter().find(|provider| provider.name == *name),
                _ => None,
            })
            .filter(|provider| provider.introspection.is_some())
            .collect();
        for (n, provider) in asked.iter().enumerate() {
            let shares = |other: &&&ProviderSpec| {
                // Where there are proofs, `Authorization: DPoP` is such a place too.
                (other.dpop.is_some() && provider.dpop.is_some())
                    || other.locations.iter().any(|location| provider.locations.contains(location))
            };
            if let Some(other) = asked.iter().take(n).find(shares) {
                faults.push(Fault::new(
                    format!("[{i}].authenticate"),
                    format!(
                        "\"{}\" and \"{}\" both have introspection and look for tokens in the same place; \
                         an opaque token does not say whose it is",
                        other.name, provider.name
                    ),
                ));
            }
        }
    }
    faults
}

/// A token that a provider forwards stands in a header that must be let through.
pub(super) fn removed_headers(document: &Document) -> Vec<Fault> {
    let forwarding = || document.providers.iter().filter(|provider| provider.forward);
    let stands_in = |provider: &&ProviderSpec, removed: &str| {
        provider.locations.iter().any(|location| match location {
            Location::Header { name, .. } => is_alike(name.as_bytes(), removed.as_bytes()),
            Location::Cookie(_) | Location::Query(_) => false,
        })
    };
    let faults = document.request_headers.remove.iter().enumerate().filter_map(|(i, removed)| {
        let provider = forwarding().find(|provider| stands_in(provider, removed))?;
        let message =
            format!("contradicts forward: true of provider \"{}\", whose tokens stand there", provider.name);
        Some(Fault::new(format!("remove[{i}]"), message))
    });
    faults.collect()
}
