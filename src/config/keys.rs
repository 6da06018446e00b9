//! Where the keys of a token issuer are: `jwks`, `discovery` and `symmetricKeys`.

use hashbrown::HashSet;
use serde_json::Value;

use super::{
    faults::{Path, quoted},
    model::{Bound, DAY, Field, Form, HOUR, Kind, MINUTE, SECOND, Shape, default, optional, required},
    reader::{Node, Object},
};
use crate::{
    jose::{IssuerTemplate, SymmetricKey},
    jwt::{DiscoverySpec, JwksLocation, KeySource, RemoteJwks, issuer_url},
    text::base64url,
    url::Url,
};

const CACHE_DURATION: Field = default(
    "cacheDuration",
    Kind::Duration(SECOND, DAY),
    "10m",
    "How long a fetched set is fresh. Where the answer's `Cache-Control`, `Expires` and `Age` say less, less; but it \
     is not fetched again within `minRefetchInterval`.",
);
const TIMEOUT: Field = default("timeout", Kind::Duration(100, MINUTE), "5s", "Per fetch.");
const MAX_STALE: Field = default(
    "maxStale",
    Kind::Duration(0, 7 * DAY),
    "1h",
    "How long after its last successful fetch a set may still be used while fetching fails. At least `cacheDuration`, \
     which it is where that is longer than the default.",
);
const MIN_REFETCH_INTERVAL: Field = default(
    "minRefetchInterval",
    Kind::Duration(SECOND, HOUR),
    "30s",
    "How soon after one fetch a token may cause the next, over all workers: one with a `kid` that no key has, or one, \
     good otherwise, that no key made which may be its own. A `kid` for which a fetch brought nothing new causes the \
     next one after twice as long, and so on up to `cacheDuration`.",
);
const WAIT_TIMEOUT: Field = default(
    "waitTimeout",
    Kind::Duration(0, 30 * SECOND),
    "2s",
    "How long a request may wait for keys that are due or being fetched. One whose signature is wrong waits only for \
     a fetch that is due now or under way, and not again while its `kid` causes none. Where fetching failed and is to \
     be tried again later, no request waits: 503 with `Retry-After`.",
);

/// What belongs to a key set that is fetched.
const FETCHED: [&str; 7] =
    ["uri", "cluster", "cacheDuration", "timeout", "maxStale", "minRefetchInterval", "waitTimeout"];

pub(super) static JWKS: Shape = Shape::bound(
    &[
        optional(
            "inline",
            Kind::KeySet,
            "",
            "The keys themselves (RFC 7517), each of them usable; each of `algorithms` has a key. Refused together \
             with the fields below.",
        ),
        optional("uri", Kind::Url { https: false }, "required without `inline`", "Where the set is fetched."),
        optional(
            "cluster",
            Kind::Text(Form::Label),
            "required without `inline`",
            "The Envoy cluster that reaches it.",
        ),
        CACHE_DURATION,
        TIMEOUT,
        MAX_STALE,
        MIN_REFETCH_INTERVAL,
        WAIT_TIMEOUT,
    ],
    &[Bound::Given(
        &["inline"],
        &[
            Bound::Forbidden("uri"),
            Bound::Forbidden("cluster"),
            Bound::Forbidden("cacheDuration"),
            Bound::Forbidden("timeout"),
            Bound::Forbidden("maxStale"),
            Bound::Forbidden("minRefetchInterval"),
            Bound::Forbidden("waitTimeout"),
        ],
        &[Bound::Required("uri"), Bound::Required("cluster")],
    )],
);

pub(super) static DISCOVERY: Shape = Shape::new(&[
    required(
        "cluster",
        Kind::Text(Form::Label),
        "The Envoy cluster that reaches the document, and the keys if they are on the same host.",
    ),
    optional(
        "uri",
        Kind::Url { https: false },
        "absent: made of `issuer`",
        "Where the document is. Absent: `<issuer>/.well-known/openid-configuration`; where that is not found (400 to \
         499), `/.well-known/oauth-authorization-server` between the issuer's host and path. Required where `issuer` has \
         a variable.",
    ),
    optional(
        "jwksCluster",
        Kind::Text(Form::Label),
        "absent: such a document is refused",
        "The Envoy cluster that reaches the keys if they are on another host than the document.",
    ),
    CACHE_DURATION,
    TIMEOUT,
    MAX_STALE,
    MIN_REFETCH_INTERVAL,
    WAIT_TIMEOUT,
]);

pub(super) static SYMMETRIC_KEY: Shape = Shape::new(&[
    optional(
        "kid",
        Kind::Text(Form::Any),
        "absent: whatever `kid` a token names",
        "The `kid` of the tokens that it verifies.",
    ),
    required("secret", Kind::Secret, "The secret."),
]);

/// Where the keys are; a fault if that is said nowhere, or more than once.
pub(super) fn key_source(o: &mut Object<'_>, issuer: Option<&str>) -> Option<KeySource> {
    let given: Vec<&str> =
        ["jwks", "discovery", "symmetricKeys"].into_iter().filter(|field| o.has(field)).collect();
    let jwks = o.object("jwks").and_then(jwks);
    let issuer = if o.has("discovery") { issuer.and_then(|issuer| with_document(o, issuer)) } else { None };
    let discovery = o.object("discovery").and_then(|o| discovery(o, issuer));
    let mut ids = HashSet::new();
    let symmetric = o.objects("symmetricKeys", |o| symmetric_key(o, &mut ids));
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

fn jwks(mut o: Object<'_>) -> Option<KeySource> {
    if o.has("inline") {
        for field in FETCHED.into_iter().filter(|field| o.has(field)) {
            o.fault_at::<()>(field, "belongs to a remote key set and contradicts inline");
        }
        return o.take("inline").and_then(inline);
    }
    if !o.has_one(&["uri", "cluster"]) {
        return o.fault("give inline, or uri and cluster");
    }
    let uri = o.url("uri");
    for field in ["uri", "cluster"].into_iter().filter(|field| !o.has(field)) {
        o.fault_at::<()>(field, "required");
    }
    fetched(&mut o, uri.map(JwksLocation::Uri))
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

/// The issuer as one that can have a discovery document.
fn with_document(o: &Object<'_>, issuer: &str) -> Option<Url> {
    match issuer_url(issuer) {
        Ok(url) => Some(url),
        Err(message) => o.fault_at("issuer", format!("{message}: discovery asks the issuer for its keys")),
    }
}

/// `issuer`: `None` where it has a fault.
fn discovery(mut o: Object<'_>, issuer: Option<Url>) -> Option<KeySource> {
    let (uri, jwks_cluster) = (o.url("uri"), o.text("jwksCluster"));
    let is_template = issuer.as_ref().is_some_and(|issuer| IssuerTemplate::is_meant_by(issuer.as_str()));
    if is_template && !o.has("uri") {
        o.fault_at::<()>(
            "uri",
            "required: where the document for all tenants is does not follow from issuer",
        );
    }
    let spec = issuer.map(|issuer| DiscoverySpec { issuer, uri, jwks_cluster });
    let location = spec.map(|spec| JwksLocation::Discovery(Box::new(spec)));
    fetched(&mut o, location)
}

/// What all key sets have that are fetched.
fn fetched(o: &mut Object<'_>, location: Option<JwksLocation>) -> Option<KeySource> {
    let cluster = o.text("cluster");
    let cache_duration = o.duration("cacheDuration");
    let timeout = o.duration("timeout");
    let (max_stale, is_usual) = (o.duration("maxStale"), !o.has("maxStale"));
    let min_refetch_interval = o.duration("minRefetchInterval");
    let wait_timeout = o.duration("waitTimeout");
    let cache_duration = cache_duration?;
    Some(KeySource::Remote(RemoteJwks {
        location: location?,
        cluster: cluster?,
        cache_duration,
        timeout: timeout?,
        // A set that is still fresh is never too stale.
        max_stale: max_stale.map(|stale| if is_usual { stale.max(cache_duration) } else { stale })?,
        min_refetch_interval: min_refetch_interval?,
        wait_timeout: wait_timeout?,
    }))
}

fn symmetric_key(mut o: Object<'_>, ids: &mut HashSet<String>) -> Option<SymmetricKey> {
    let mut id = o.text("kid");
    if let Some(kid) = &id
        && !ids.insert(kid.clone())
    {
        id = o.fault_at("kid", format!("duplicate kid {}", quoted(kid)));
    }
    let secret = o.take("secret").and_then(secret);
    if o.has("kid") && id.is_none() {
        return None;
    }
    Some(SymmetricKey { id, secret: secret? })
}

pub(super) fn secret(mut node: Node<'_>) -> Option<Vec<u8>> {
    let text = node.text("base64url text")?;
    match base64url::decode_secret(&text) {
        Some(secret) if secret.is_empty() => node.fault("must not be empty"),
        Some(secret) => Some(secret),
        None => node.fault("is not base64url without padding (RFC 7515 section 2)"),
    }
}
