//! `jwt`: the token issuers.

use std::time::Duration;

use ct_codecs::{Base64UrlSafeNoPadding, Decoder};
use hashbrown::HashSet;
use serde_json::Value;

use super::{
    algorithms::{ALGORITHMS, not_accepted},
    binding,
    extract_from::extract_from,
    http_names::owned_header_name,
    introspection::introspection,
    names::Definitions,
    reader::{Node, Object, Path, quoted},
    scalar::{boolean, claim_path, duration, integer, label, name, text, unique},
};
use crate::{
    crypto::Algorithm,
    dpop,
    identity::ClaimPath,
    jose::SymmetricKey,
    jwt::{DiscoverySpec, JwksLocation, KeySource, ProviderSpec, RemoteJwks},
    request::Location,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn providers(node: Node<'_>, defs: &mut Definitions) -> Vec<Option<ProviderSpec>> {
    // Until the list is seen: there is one, and it is not known.
    defs.providers.expect(1);
    let providers = node.object(|o| {
        o.required("providers", |n| {
            defs.providers.expect(n.items());
            let empty = "no providers; leave jwt out if no tokens are accepted";
            Some(n.each(empty, |index, n| provider(n, index, defs)))
        })
    });
    providers.unwrap_or_default()
}

fn provider(node: Node<'_>, index: usize, defs: &mut Definitions) -> Option<ProviderSpec> {
    node.object(|o| {
        let name = o.required("name", |n| {
            let (path, faults) = (n.path, n.faults);
            let name = name(n)?;
            defs.providers.define(&name, index, (), &path, faults);
            Some(name)
        });
        let issuer = o.required("issuer", |n| {
            let (path, faults) = (n.path, n.faults);
            let issuer = text(n)?;
            // The provider of a token is chosen by its issuer.
            defs.issuers.define(&issuer, index, (), &path, faults);
            Some(issuer)
        });
        let audiences = audiences(o);
        let symmetric = o.has("symmetricKeys");
        // Then the issuer's word is all there is.
        let keyless = o.has("introspection") && !o.has("jwks") && !o.has("discovery") && !symmetric;
        let (algorithms, keys) = match keyless {
            true => (no_keys(o), Some(KeySource::None)),
            false => (o.required("algorithms", |n| algorithms(n, symmetric)), key_source(o)),
        };
        let introspection = o.optional("introspection", |n| introspection(n, keyless));
        let types = o.optional("types", |n| {
            let empty = "no types; leave the field out to accept JWT, at+jwt or none";
            unique(n, empty, |n| text(n).map(|t| token_type(&t)))
        });
        let clock_skew = o.optional("clockSkew", duration(Duration::ZERO..=MINUTE.saturating_mul(5)));
        let max_token_size = o.optional("maxTokenSize", integer(256..=65_536));
        let max_lifetime = o.optional("maxLifetime", duration(SECOND..=DAY.saturating_mul(3650)));
        let claims = o.optional("claims", claims).unwrap_or_default();
        let claim_to_headers = o.optional("claimToHeaders", |n| {
            n.filled("no claims; leave the field out", |n| claim_to_header(n, index, defs))
        });
        let locations = o.optional("extractFrom", |n| extract_from(n, defs));
        let forward = o.optional("forward", boolean).unwrap_or(false);
        let (bound_to_key, bound_to_certificate) = (o.has("dpop"), o.has("mtls"));
        let dpop = o.optional("dpop", binding::dpop);
        let mtls = o.optional("mtls", |n| binding::mtls(n, defs));
        // A binding that is faulty must never become one that is not asked.
        if bound_to_key != dpop.is_some() || bound_to_certificate != mtls.is_some() {
            return None;
        }
        let mut locations = locations.unwrap_or_else(|| {
            vec![Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }]
        });
        if dpop.is_some() && !locations.contains(&dpop::location()) {
            locations.push(dpop::location());
        }
        Some(ProviderSpec {
            name: name?,
            issuer: issuer?,
            audiences: audiences?,
            algorithms: algorithms?,
            keys: keys?,
            introspection,
            types: types.unwrap_or_default(),
            clock_skew: clock_skew.unwrap_or(MINUTE),
            max_token_size: max_token_size.unwrap_or(8192),
            max_lifetime,
            subject_claim: claims.subject.unwrap_or_else(|| ClaimPath::dotted("sub")),
            scope_claims: claims
                .scopes
                .unwrap_or_else(|| vec![ClaimPath::dotted("scope"), ClaimPath::dotted("scp")]),
            role_claims: claims.roles.unwrap_or_default(),
            tier_claim: claims.tier,
            claim_to_headers: claim_to_headers.unwrap_or_default(),
            locations,
            forward,
            dpop,
            mtls,
        })
    })
}

/// RFC 7515 section 4.1.9: `application/` may be left out, and media types have no case.
fn token_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    lower.strip_prefix("application/").map(str::to_owned).unwrap_or(lower)
}

/// `Some(None)`: waived in writing.
#[expect(clippy::option_option, reason = "the outer one is a fault, the inner one a waiver")]
fn audiences(o: &mut Object<'_>) -> Option<Option<Vec<String>>> {
    let (listed, waived) = (o.has("audiences"), o.has("anyAudience"));
    let audiences = o.optional("audiences", |n| {
        unique(n, "no audiences; write anyAudience: true to accept tokens for any audience", text)
    });
    let any = o.optional("anyAudience", |n| {
        let (path, faults) = (n.path, n.faults);
        match boolean(n)? {
            true => Some(()),
            false => {
                faults.add(&path, "only true is allowed; list audiences instead");
                None
            }
        }
    });
    match (listed, waived) {
        (true, true) => o.fault_at("anyAudience", "contradicts audiences; give one of them"),
        (true, false) => audiences.map(Some),
        (false, true) => any.map(|()| None),
        (false, false) => o.fault_at(
            "audiences",
            "required; a token for another service must not open this one (anyAudience: true waives it)",
        ),
    }
}

/// Shared secrets and public keys never meet: else a public key, which anyone knows, could be used as an HMAC
/// secret (RFC 8725 section 2.1).
fn algorithms(node: Node<'_>, symmetric: bool) -> Option<Vec<Algorithm>> {
    let mut seen = HashSet::new();
    node.filled("no algorithms; list those that the issuer signs with", |mut n| {
        let text = n.text("an algorithm such as \"ES256\"")?;
        let Some((name, algorithm)) = ALGORITHMS.iter().find(|(name, _)| *name == text) else {
            if text.eq_ignore_ascii_case("none") {
                return n.fault("none is never accepted: it means tokens without a signature");
            }
            let accepted = ALGORITHMS.iter().filter(|(_, other)| other.is_symmetric() == symmetric);
            let message = not_accepted(&text, accepted.map(|(name, _)| *name), n.faults);
            return n.fault(message);
        };
        if !seen.insert(*algorithm) {
            return n.fault(format!("{name} is listed twice"));
        }
        match (algorithm.is_symmetric(), symmetric) {
            (true, false) => n.fault(format!(
                "{name} needs symmetricKeys and is refused together with a public key set: the keys are no secret"
            )),
            (false, true) => n.fault(format!("{name} needs jwks; symmetricKeys serve HS256, HS384 and HS512")),
            _ => Some(*algorithm),
        }
    })
}

/// No algorithms, and nothing else that only JWTs have.
fn no_keys(o: &mut Object<'_>) -> Option<Vec<Algorithm>> {
    for field in ["algorithms", "types"] {
        if o.has(field) {
            o.fault_at::<()>(field, "has no effect without jwks: the issuer is asked about every token");
        }
        o.optional(field, |_| Some(()));
    }
    // Known, for the sake of suggestions; they are absent.
    for field in ["jwks", "discovery", "symmetricKeys"] {
        o.optional(field, |_| Some(()));
    }
    Some(Vec::new())
}

fn key_source(o: &mut Object<'_>) -> Option<KeySource> {
    let given: Vec<&str> =
        ["jwks", "discovery", "symmetricKeys"].into_iter().filter(|field| o.has(field)).collect();
    let jwks = o.optional("jwks", jwks);
    let discovery = o.optional("discovery", discovery);
    let mut ids = HashSet::new();
    let symmetric = o.optional("symmetricKeys", |n| {
        n.filled("no keys; nothing could be verified", |n| symmetric_key(n, &mut ids))
    });
    match given.as_slice() {
        [] => o.fault_at(
            "jwks",
            "required (or discovery, or symmetricKeys, or introspection): without keys nothing can be verified",
        ),
        [_] => jwks.or(discovery).or(symmetric.map(KeySource::Symmetric)),
        [first, others @ ..] => {
            for other in others {
                o.fault_at::<()>(other, format!("contradicts {first}; give one of them"));
            }
            None
        }
    }
}

fn jwks(node: Node<'_>) -> Option<KeySource> {
    const REMOTE: [&str; 7] =
        ["uri", "cluster", "cacheDuration", "timeout", "maxStale", "minRefetchInterval", "waitTimeout"];
    node.object(|o| {
        if !o.has("inline") {
            if !o.has("uri") && !o.has("cluster") {
                // Known, for the sake of suggestions; some may be there.
                for field in ["inline"].into_iter().chain(REMOTE) {
                    o.optional(field, |_| Some(()));
                }
                return o.fault("give inline, or uri and cluster");
            }
            return remote(o);
        }
        for field in REMOTE {
            if o.optional(field, |_| Some(())).is_some() {
                o.fault_at::<()>(field, "belongs to a remote key set and contradicts inline");
            }
        }
        o.optional("inline", inline)
    })
}

/// The keys themselves are judged where they are used.
fn inline(node: Node<'_>) -> Option<KeySource> {
    let form = "a JWK set: an object with a list of keys (RFC 7517 section 5)";
    let Value::Object(set) = &node.value else { return node.mismatch(form) };
    match set.get("keys") {
        Some(Value::Array(keys)) if keys.is_empty() => {
            node.faults.add(&Path::Field(&node.path, "keys"), "no keys; nothing could be verified");
            None
        }
        Some(Value::Array(_)) => Some(KeySource::Inline(node.value)),
        _ => node.fault(format!("expected {form}")),
    }
}

fn remote(o: &mut Object<'_>) -> Option<KeySource> {
    // Known, for the sake of suggestions; it was absent.
    o.optional("inline", |_| Some(()));
    let location = o.required("uri", uri).map(JwksLocation::Uri);
    fetched(o, location)
}

/// Whether the issuer has such a document is judged where it is used.
fn discovery(node: Node<'_>) -> Option<KeySource> {
    node.object(|o| {
        let spec =
            DiscoverySpec { uri: o.optional("uri", uri), jwks_cluster: o.optional("jwksCluster", label) };
        fetched(o, Some(JwksLocation::Discovery(spec)))
    })
}

/// What all key sets have that are fetched.
fn fetched(o: &mut Object<'_>, location: Option<JwksLocation>) -> Option<KeySource> {
    let cluster = o.required("cluster", label);
    let cache_duration = o.optional("cacheDuration", duration(SECOND..=DAY));
    let timeout = o.optional("timeout", duration(Duration::from_millis(100)..=MINUTE));
    let max_stale = o.optional("maxStale", duration(Duration::ZERO..=DAY.saturating_mul(7)));
    let min_refetch_interval = o.optional("minRefetchInterval", duration(SECOND..=HOUR));
    let wait_timeout = o.optional("waitTimeout", duration(Duration::ZERO..=SECOND.saturating_mul(30)));
    let fresh = cache_duration.unwrap_or(MINUTE.saturating_mul(10));
    Some(KeySource::Remote(RemoteJwks {
        location: location?,
        cluster: cluster?,
        cache_duration: fresh,
        timeout: timeout.unwrap_or(SECOND.saturating_mul(5)),
        // A set that is still fresh is never too stale.
        max_stale: max_stale.unwrap_or(HOUR.max(fresh)),
        min_refetch_interval: min_refetch_interval.unwrap_or(SECOND.saturating_mul(30)),
        wait_timeout: wait_timeout.unwrap_or(SECOND.saturating_mul(2)),
    }))
}

/// An absolute `http` or `https` URL in plain ASCII, without user and fragment, which are never sent.
pub(super) fn uri(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let authority = rest.map(|rest| rest.split(['/', '?']).next().unwrap_or_default());
    let good = authority.is_some_and(|a| !a.is_empty() && !a.contains('@'))
        && text.chars().all(|c| c.is_ascii_graphic())
        && !text.contains(['#', '\\', '"', '<', '>']);
    if good {
        return Some(text);
    }
    // Not shown: an address with a user may hold a password.
    faults.add(&path, "must be an absolute http or https URL without user and fragment");
    None
}

fn symmetric_key(node: Node<'_>, ids: &mut HashSet<String>) -> Option<SymmetricKey> {
    node.object(|o| {
        let given = o.has("kid");
        let id = o.optional("kid", |n| {
            let (path, faults) = (n.path, n.faults);
            let id = text(n)?;
            if !ids.insert(id.clone()) {
                faults.add(&path, format!("duplicate kid {}", quoted(&id)));
                return None;
            }
            Some(id)
        });
        let secret = o.required("secret", |mut n| {
            let text = n.text("base64url text")?;
            match Base64UrlSafeNoPadding::decode_to_vec(&text, None) {
                Ok(secret) if secret.is_empty() => n.fault("must not be empty"),
                Ok(secret) => Some(secret),
                Err(_) => n.fault("is not base64url without padding (RFC 7515 section 2)"),
            }
        });
        if given && id.is_none() {
            return None;
        }
        Some(SymmetricKey { id, secret: secret? })
    })
}

#[derive(Default)]
struct Claims {
    subject: Option<ClaimPath>,
    scopes: Option<Vec<ClaimPath>>,
    roles: Option<Vec<ClaimPath>>,
    tier: Option<ClaimPath>,
}

fn claims(node: Node<'_>) -> Option<Claims> {
    node.object(|o| {
        Some(Claims {
            subject: o.optional("subject", claim_path),
            scopes: o.optional("scopes", claim_paths),
            roles: o.optional("roles", claim_paths),
            tier: o.optional("tier", claim_path),
        })
    })
}

/// One claim, or a list of claims. A list of names within one claim is written `{path: [..]}`.
fn claim_paths(node: Node<'_>) -> Option<Vec<ClaimPath>> {
    if node.value.is_array() {
        return node.filled("no claims; leave the field out to mean its default", claim_path);
    }
    claim_path(node).map(|path| vec![path])
}

fn claim_to_header(node: Node<'_>, provider: usize, defs: &mut Definitions) -> Option<(ClaimPath, String)> {
    node.object(|o| {
        let claim = o.required("claim", claim_path);
        let header = o.required("header", |n| {
            let (path, faults) = (n.path, n.faults);
            let header = owned_header_name(n)?;
            defs.headers.take_for_claim(&header, provider, &path, faults);
            Some(header)
        });
        Some((claim?, header?))
    })
}
