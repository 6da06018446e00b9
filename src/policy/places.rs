//! Places where more than one kind of credential may stand, or those of more than one issuer: something must tell them
//! apart.

use std::slice;

use crate::{
    api_key::ApiKeysSpec,
    config::{ActionSpec, Document, MethodSpec, ProviderSpec},
    fault::Fault,
    request::{Location, alike::is_alike},
};

/// Whether something may stand at one of `some` and one of `others`.
pub(super) fn has_shared(some: &[Location], others: &[Location]) -> bool {
    some.iter().any(|place| others.iter().any(|other| place.is_same_place(other)))
}

/// Of the rules, with paths from there on.
pub(super) fn faults(document: &Document) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (i, rule) in document.rules.iter().enumerate() {
        let ActionSpec::Allow { authenticate, actor, .. } = &rule.action else { continue };
        if let (Some(actor), Some(principal)) = (actor, authenticate.first()) {
            let fault = |message: String| Fault::new(format!("[{i}].authenticate.allOf"), message);
            faults.extend(never_both(document, actor, principal).map(fault));
            continue;
        }
        let providers: Vec<_> =
            authenticate.iter().filter_map(|method| provider_of(document, method)).collect();
        let keys = document.api_keys.as_ref().filter(|_| authenticate.contains(&MethodSpec::ApiKey));
        let found = [
            several_issuers(&providers),
            nobody_said(&providers),
            keys_or_opaque_tokens(&providers, keys),
            several_prefixes(&providers, keys),
            signatures_or_others(document, authenticate, &providers, keys),
        ];
        let found = found.into_iter().flatten();
        faults.extend(found.map(|message| Fault::new(format!("[{i}].authenticate"), message)));
    }
    faults
}

fn provider_of<'a>(document: &'a Document, method: &MethodSpec) -> Option<&'a ProviderSpec> {
    let MethodSpec::Jwt(name) = method else { return None };
    document.providers.iter().find(|provider| provider.jwt.name == *name)
}

/// Where the signatures of a source or signer stand; `None`: it is neither.
fn of_signatures<'a>(document: &'a Document, method: &MethodSpec) -> Option<(&'a str, &'a [Location])> {
    match method {
        MethodSpec::Hmac(name) => {
            let source = document.hmac_sources.iter().find(|source| source.name == *name)?;
            Some((&source.name, slice::from_ref(&source.location)))
        }
        MethodSpec::MessageSignature(name) => {
            let signer = document.signers.iter().find(|signer| signer.name == *name)?;
            Some((&signer.name, &signer.locations))
        }
        MethodSpec::ApiKey | MethodSpec::ClientCertificate | MethodSpec::Jwt(_) => None,
    }
}

/// What stands in the header of a signature could be a token or a key as well, or a signature of another kind.
fn signatures_or_others(
    document: &Document,
    methods: &[MethodSpec],
    providers: &[&ProviderSpec],
    keys: Option<&ApiKeysSpec>,
) -> Option<String> {
    let others = providers.iter().flat_map(|provider| &provider.jwt.locations);
    let others: Vec<_> = others.chain(keys.into_iter().flat_map(|keys| &keys.locations)).collect();
    methods.iter().find_map(|method| {
        let (name, own) = of_signatures(document, method)?;
        let is_signer = matches!(method, MethodSpec::MessageSignature(_));
        let webhooks = methods.iter().filter(|other| is_signer && matches!(other, MethodSpec::Hmac(_)));
        let webhooks =
            webhooks.filter_map(|other| of_signatures(document, other)).flat_map(|(_, places)| places);
        let others: Vec<_> = others.iter().copied().chain(webhooks).collect();
        let place = own.iter().find(|place| others.iter().any(|other| place.excludes(other)))?;
        Some(format!(
            "\"{name}\" looks for its signature in {place}, where other credentials of the rule may stand"
        ))
    })
}

/// Why no request could have both credentials, or why the upstream could not tell them apart.
fn never_both(document: &Document, actor: &MethodSpec, principal: &MethodSpec) -> Option<String> {
    let providers = [actor, principal].map(|method| provider_of(document, method));
    let places = [actor, principal].map(|method| match (method, provider_of(document, method)) {
        (MethodSpec::ApiKey, _) => document.api_keys.as_ref().map(|keys| keys.locations.as_slice()),
        (_, Some(provider)) => Some(provider.jwt.locations.as_slice()),
        (method, None) => of_signatures(document, method).map(|(_, places)| places),
    });
    let [some, others] = places.map(Option::unwrap_or_default);
    let meeting = |place: &&Location| others.iter().any(|other| place.excludes(other));
    if let Some(place) = some.iter().find(meeting) {
        return Some(format!(
            "both are looked for in {place}, where only one can stand; give one another place"
        ));
    }
    let [Some(actor), Some(principal)] = providers else { return None };
    let is_set_by = |provider: &ProviderSpec, header: &str| {
        let mut own = provider.jwt.claim_to_headers.iter().map(|spec| spec.header.as_bytes());
        own.any(|own| is_alike(own, header.as_bytes()))
    };
    let twice = actor.jwt.claim_to_headers.iter().find(|spec| is_set_by(principal, &spec.header))?;
    Some(format!(
        "\"{}\" and \"{}\" both set the header {:?}, and the upstream could not tell whose claim it is",
        actor.jwt.name, principal.jwt.name, twice.header
    ))
}

/// An opaque token does not say whose it is, so at most one issuer may be asked about what stands in one place:
/// the others would be told a token that is none of theirs.
fn several_issuers(providers: &[&ProviderSpec]) -> Option<String> {
    let asked: Vec<_> = providers.iter().filter(|provider| provider.introspection.is_some()).collect();
    asked.iter().enumerate().find_map(|(n, provider)| {
        let shares = |other: &&&&ProviderSpec| has_shared(&other.jwt.locations, &provider.jwt.locations);
        let other = asked.iter().take(n).find(shares)?;
        Some(format!(
            "\"{}\" and \"{}\" both have introspection and look for tokens in the same place; \
             an opaque token does not say whose it is",
            other.jwt.name, provider.jwt.name
        ))
    })
}

/// A token without issuer does not say whose it is.
fn nobody_said(providers: &[&ProviderSpec]) -> Option<String> {
    let mut lenient = providers.iter().filter(|provider| !provider.jwt.require_issuer);
    lenient.find_map(|one| {
        let is_another = |other: &&&ProviderSpec| other.jwt.name != one.jwt.name;
        let mut others = providers.iter().filter(is_another);
        let other = others.find(|other| has_shared(&one.jwt.locations, &other.jwt.locations))?;
        Some(format!(
            "\"{}\" has requireIssuer: false and looks for tokens in the same place as \"{}\"; a token without iss does \
             not say whose it is",
            one.jwt.name, other.jwt.name
        ))
    })
}

/// Nor may it be of one provider under one rule and of another one under the next.
pub(super) fn tokens_without_issuer(providers: &[ProviderSpec]) -> Vec<Fault> {
    let lenient: Vec<_> = providers.iter().filter(|provider| !provider.jwt.require_issuer).collect();
    let faults = lenient.iter().enumerate().filter_map(|(n, provider)| {
        let mut before = lenient.iter().take(n);
        let other = before.find(|other| has_shared(&other.jwt.locations, &provider.jwt.locations))?;
        let message = format!("\"{}\" takes tokens without iss in the same place", other.jwt.name);
        Some(Fault::new("requireIssuer", message).within(&provider.path))
    });
    faults.collect()
}

/// An opaque token does not say either that it is no API key, nor has a padded one the form of a token, so the two may share
/// a place only where keys have a prefix.
fn keys_or_opaque_tokens(providers: &[&ProviderSpec], keys: Option<&ApiKeysSpec>) -> Option<String> {
    let keys = keys.filter(|keys| keys.prefix.is_none())?;
    providers.iter().find_map(|provider| {
        let (field, token) = match (&provider.introspection, provider.jwt.load_balancers.as_slice()) {
            (Some(_), _) => ("introspection", "an opaque token"),
            (None, [_, ..]) => ("awsLoadBalancers", "a padded token"),
            (None, []) => return None,
        };
        has_shared(&keys.locations, &provider.jwt.locations).then(|| {
            format!(
                "\"{}\" has {field} and looks for tokens where API keys may stand; {token} is not told from a key. Give \
                 apiKeys.prefix, which all keys there begin with, or another place",
                provider.jwt.name
            )
        })
    })
}

/// What begins with the longer of two prefixes of one header begins with the shorter one, too, so it would always be
/// two credentials.
fn several_prefixes(providers: &[&ProviderSpec], keys: Option<&ApiKeysSpec>) -> Option<String> {
    let places =
        providers.iter().map(|provider| &provider.jwt.locations).chain(keys.map(|keys| &keys.locations));
    let headers: Vec<_> = places
        .flatten()
        .filter_map(|location| match location {
            Location::Header { name, prefix } => Some((name, prefix)),
            Location::Cookie(_) | Location::Query(_) | Location::WebSocketProtocol(_) => None,
        })
        .collect();
    headers.iter().find_map(|(name, long)| {
        let begins = |(other, short): &&(&String, &String)| {
            let (long, short) = (long.trim_ascii_end().as_bytes(), short.trim_ascii_end().as_bytes());
            other == name
                && long.len() > short.len()
                && long.get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short))
        };
        let (_, short) = headers.iter().find(begins)?;
        let short =
            if short.is_empty() { "without a prefix".to_owned() } else { format!("behind \"{short}\"") };
        Some(format!(
            "credentials stand in {name} behind \"{long}\" and {short}; what is the one is the other, too, \
             and would always be two"
        ))
    })
}
