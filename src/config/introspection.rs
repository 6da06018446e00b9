//! `introspection` of a provider.

use serde_json::Value;

use super::{
    algorithms::{named, not_accepted},
    model::{Bound, Form, HOUR, Kind, MINUTE, Shape, default, optional, required, words},
    reader::{Node, Object},
};
use crate::{
    crypto::{Algorithm, SigningKey},
    introspection::{ClientProof, ClientSecret, IntrospectionMode, IntrospectionSpec},
};

/// The longest private key, in bytes: RSA with 4096 bits takes about 3300.
const MAX_KEY: usize = 16 * 1024;

/// Names of those that we sign with.
const ALGORITHMS: [&str; 6] = Algorithm::names(&SigningKey::ALGORITHMS);

const MODES: [(&str, IntrospectionMode); 2] =
    [("Opaque", IntrospectionMode::Opaque), ("Always", IntrospectionMode::Always)];

pub(super) static INTROSPECTION: Shape = Shape::bound(
    &[
        required("endpoint", Kind::Url { https: true }, "The introspection endpoint."),
        required("cluster", Kind::Text(Form::Label), "The Envoy cluster that reaches it."),
        required("clientId", Kind::Text(Form::Any), "Our name there."),
        optional(
            "clientSecret",
            Kind::Text(Form::Any),
            "one of these two is required",
            "Our password, sent by HTTP Basic.",
        ),
        optional(
            "privateKeyJwt",
            Kind::Object(&PRIVATE_KEY_JWT),
            "",
            "Proof by a JWT of our own instead (RFC 7523), see below.",
        ),
        default(
            "mode",
            Kind::Choice("a mode", &words(&MODES)),
            "Opaque",
            "`Opaque`: asked about tokens that are not JWTs of a provider with keys. `Always`: about JWTs too, after \
             they are verified, so that what the issuer revokes is refused within `cacheDuration`. Refused without \
             keys.",
        ),
        default(
            "cacheDuration",
            Kind::Duration(0, HOUR),
            "60s",
            "How long an active token counts as such; never past its `exp`. `0s`: asked for each request, except that \
             requests which wait for one token at the same time share one call.",
        ),
        default(
            "inactiveCacheDuration",
            Kind::Duration(0, HOUR),
            "10s",
            "How long a refused token stays refused.",
        ),
        default("timeout", Kind::Duration(100, MINUTE), "3s", "Per call."),
        default("tokenTypeHint", Kind::Text(Form::Any), "access_token", "`token_type_hint`."),
    ],
    &[Bound::One(&["clientSecret", "privateKeyJwt"])],
);

pub(super) static PRIVATE_KEY_JWT: Shape = Shape::new(&[
    required("algorithm", Kind::Algorithm(&ALGORITHMS), "RSA costs some milliseconds for each call."),
    required("key", Kind::PrivateKey, "The private key."),
    optional("kid", Kind::Text(Form::Label), "absent: none", "`kid` of the JWT."),
    optional("audience", Kind::Text(Form::Any), "`issuer` of the provider", "`aud` of the JWT."),
]);

/// `keyless`: the provider has no keys, so that nothing is verified here.
pub(super) fn introspection(mut o: Object<'_>, keyless: bool) -> Option<IntrospectionSpec> {
    let endpoint = o.url("endpoint");
    let cluster = o.text("cluster");
    let client_id = o.text("clientId");
    let proof = proof(&mut o);
    let mode = o.choice("mode", &MODES);
    if keyless && mode == Some(IntrospectionMode::Always) {
        o.fault_at::<()>("mode", "Always needs jwks; without keys every token is asked about anyway");
    }
    let cache_duration = o.duration("cacheDuration");
    let inactive_cache_duration = o.duration("inactiveCacheDuration");
    let timeout = o.duration("timeout");
    let token_type_hint = o.text("tokenTypeHint");
    Some(IntrospectionSpec {
        endpoint: endpoint?,
        cluster: cluster?,
        client_id: client_id?,
        proof: proof?,
        mode: mode?,
        cache_duration: cache_duration?,
        inactive_cache_duration: inactive_cache_duration?,
        timeout: timeout?,
        token_type_hint: token_type_hint?,
    })
}

fn proof(o: &mut Object<'_>) -> Option<ClientProof> {
    let secret = o.text("clientSecret");
    let key = o.object("privateKeyJwt").and_then(private_key_jwt);
    match (o.has("clientSecret"), o.has("privateKeyJwt")) {
        (true, true) => o.fault_at("privateKeyJwt", "contradicts clientSecret; give one of them"),
        (true, false) => secret.map(|secret| ClientProof::Secret(ClientSecret(secret))),
        (false, true) => key,
        (false, false) => o.fault_at(
            "clientSecret",
            "required (or privateKeyJwt): the endpoint answers known clients only (RFC 7662 section 2.1)",
        ),
    }
}

fn private_key_jwt(mut o: Object<'_>) -> Option<ClientProof> {
    let algorithm = o.take("algorithm").and_then(algorithm);
    let key = o.take("key").and_then(|n| private_key(n, algorithm));
    let (kid, audience) = (o.text("kid"), o.text("audience"));
    if (o.has("kid") && kid.is_none()) || (o.has("audience") && audience.is_none()) {
        return None;
    }
    Some(ClientProof::PrivateKeyJwt { key: key?, kid, audience })
}

/// One that we sign with.
fn algorithm(mut node: Node<'_>) -> Option<Algorithm> {
    let text = node.text("an algorithm such as \"ES256\"")?;
    if let Some(algorithm) = named(&text, &ALGORITHMS) {
        return Some(algorithm);
    }
    if Algorithm::from_name(&text).is_some() {
        return node.fault(format!("{text} is not supported here; use one of {}", ALGORITHMS.join(", ")));
    }
    node.fault(not_accepted(&text, &ALGORITHMS, node.faults))
}

/// PKCS #8 in PEM, or a private JWK. Nothing of it is ever shown.
fn private_key(mut node: Node<'_>, algorithm: Option<Algorithm>) -> Option<SigningKey> {
    let form = "a private key: PKCS #8 in PEM, or a JWK";
    let key = match &mut node.value {
        jwk @ Value::Object(_) => algorithm.map(|algorithm| SigningKey::from_jwk(algorithm, jwk)),
        Value::String(pem) if pem.len() > MAX_KEY => {
            return node.fault(format!("is longer than {MAX_KEY} bytes"));
        }
        Value::String(pem) => algorithm.map(|algorithm| SigningKey::from_pem(algorithm, pem)),
        _ => return node.mismatch(form),
    };
    // Without an algorithm, which is a fault already, there is nothing to judge it by.
    match key? {
        Ok(key) => Some(key),
        Err(fault) => node.fault(format!("{fault}; expected {form}")),
    }
}
