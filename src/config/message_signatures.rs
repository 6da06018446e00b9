//! `messageSignatures`: who signs requests (RFC 9421), with which keys, and what their signatures must cover.

use super::{
    faults::quoted,
    http_names::header_name,
    keys::secret,
    model::{Bound, Form, HOUR, Kind, MINUTE, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    reader::{Node, Object},
    roles::{self, HOLDER_ROLES, HOLDER_SCOPES, HOLDER_TIER},
};
use crate::{
    crypto::{Algorithm, PublicKey, SecretKey},
    jose,
    message_signature::{ALGORITHMS, DERIVED, HEADERS, KeyMaterial, SignerKey, SignerSpec},
    request::Location,
};

/// Most keys of one signer.
const MOST_KEYS: usize = 16;

/// Most components that must be covered, as far as the policy says.
const MOST_COMPONENTS: usize = 16;

/// The longest key in PEM, in bytes: RSA with 4096 bits has 800.
const MAX_PEM: usize = 4096;

const NO_SIGNERS: &str = "no signers; leave messageSignatures out if no signed requests are accepted";

pub(super) static MESSAGE_SIGNATURES: Shape = Shape::new(&[required(
    "signers",
    Kind::List(NO_SIGNERS, &Kind::Object(&SIGNER)),
    "Those who sign requests.",
)]);

pub(super) static SIGNER: Shape = Shape::new(&[
    required("name", Kind::Text(Form::Name), "What rules call it; the principal's subject."),
    required(
        "keys",
        Kind::Few(MOST_KEYS, "no keys; nothing could be verified", &Kind::Object(&SIGNER_KEY)),
        "Any one of them may have signed, so that a key can be replaced, see below.",
    ),
    default(
        "components",
        Kind::Few(
            MOST_COMPONENTS,
            "no components; a signature of nothing would be good for everything",
            &Kind::Either(&[Kind::Choice("", &DERIVED), Kind::Text(Form::Header)]),
        ),
        "@method @authority @path @query",
        "What each signature must cover at least, `@query` where the request has a query. `@target-uri` covers `@scheme`, \
         `@authority`, `@path` and `@query`, too, and `@request-target` the last two. A request with a body must be signed \
         with `content-digest`, whatever stands here.",
    ),
    default(
        "maxAge",
        Kind::Duration(SECOND, HOUR),
        "5m",
        "How long after `created`, which must be there, a signature counts; where it says `expires`, no longer.",
    ),
    default(
        "clockSkew",
        Kind::Duration(0, 5 * MINUTE),
        "30s",
        "How far the signer's clock may be off, in either direction.",
    ),
    default(
        "once",
        Kind::Boolean,
        "false",
        "Whether each signature is good once, over all workers, see below.",
    ),
    optional(
        "label",
        Kind::Text(Form::Label),
        "absent: whatever it is called",
        "What the signature is called in `Signature-Input`. Others are passed over.",
    ),
    optional(
        "tag",
        Kind::Text(Form::Any),
        "absent: any, or none",
        "What the signature must have for its `tag`: for which application it was made.",
    ),
    default(
        "maxBodyBytes",
        Kind::Number(1, 1_048_576),
        "262144",
        "A longer body is refused with 413. Envoy's `per_connection_buffer_limit_bytes` must be as large, see \
         [bodies](envoy.md#bodies).",
    ),
    default(
        "forward",
        Kind::Boolean,
        "true",
        "Whether `Signature-Input` and `Signature` go upstream where the signature was verified: it opens nothing but this \
         request, and upstreams may look at it again.",
    ),
    HOLDER_SCOPES,
    HOLDER_ROLES,
    HOLDER_TIER,
]);

pub(super) static SIGNER_KEY: Shape = Shape::bound(
    &[
        required(
            "keyId",
            Kind::Text(Form::Any),
            "What signatures call it (`keyid`). All signers' keys have different ones.",
        ),
        required(
            "algorithm",
            Kind::Choice("an algorithm", &words(&ALGORITHMS)),
            "What it signs with, and nothing else. Where a signature says `alg`, it must be the same.",
        ),
        optional(
            "publicKey",
            Kind::PublicKey,
            "one of these three is required",
            "The key, as `-----BEGIN PUBLIC KEY-----` has it.",
        ),
        optional("jwk", Kind::PublicJwk, "", "The key, as a public JWK (RFC 7517)."),
        optional("secret", Kind::Secret, "", "The secret of `hmac-sha256`, at least 32 bytes long."),
    ],
    &[Bound::One(&KEYS)],
);

const KEYS: [&str; 3] = ["publicKey", "jwk", "secret"];

/// Roles have been read.
pub(super) fn signers(mut o: Object<'_>, defs: &mut Definitions) -> Option<Vec<SignerSpec>> {
    for name in HEADERS {
        defs.headers.note_read(name, &o.path);
    }
    let node = o.take("signers")?;
    defs.signers.expect(node.count());
    let mut index = 0_usize;
    node.filled(NO_SIGNERS)?.all(|n| {
        let place = index;
        index = index.saturating_add(1);
        signer(n.object(&SIGNER)?, place, defs)
    })
}

fn signer(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<SignerSpec> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.signers.define(name, index, (), &o.at("name"), o.faults);
    }
    let keys = o.objects("keys", |o| key(o, index, defs));
    let components = components(&mut o);
    let max_age = o.duration("maxAge");
    let clock_skew = o.duration("clockSkew");
    let once = o.boolean("once");
    let label = o.text("label");
    let tag = o.text("tag");
    let max_body_bytes = o.number("maxBodyBytes");
    let forward = o.boolean("forward");
    let scopes = o.texts("scopes");
    let roles = roles::held(&mut o, defs);
    let tier = o.text("tier");
    // Faulty and noted: never a signature that may be called anything, or be for anything.
    if (o.has("label") && label.is_none()) || (o.has("tag") && tag.is_none()) {
        return None;
    }
    if label.as_deref().is_some_and(|label| !is_label(label)) {
        return o.fault_at(
            "label",
            "no signature is called so: labels are lower-case letters, digits and _ - . *, a letter first",
        );
    }
    if tag.as_deref().is_some_and(|tag| !tag.is_ascii()) {
        return o.fault_at("tag", NOT_ASCII);
    }
    Some(SignerSpec {
        name: name?,
        keys: keys?,
        components: components?,
        label,
        tag,
        max_age: max_age?,
        clock_skew: clock_skew?,
        once,
        max_body_bytes: max_body_bytes?.try_into().ok()?,
        forward,
        scopes: scopes.unwrap_or_default(),
        roles: roles.unwrap_or_default(),
        tier,
        locations: HEADERS.map(|name| Location::Header { name: name.to_owned(), prefix: String::new() }),
    })
}

const NOT_ASCII: &str =
    "is not ASCII, in which it would have to stand in a signature (RFC 9651 section 3.3.3)";

/// Whether it is a key of a dictionary (RFC 9651 section 3.1.2).
fn is_label(label: &str) -> bool {
    label.starts_with(|first: char| first.is_ascii_lowercase() || first == '*')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte))
}

fn components(o: &mut Object<'_>) -> Option<Vec<String>> {
    if let Some(names) = o.left_out("components") {
        return Some(names.split(' ').map(str::to_owned).collect());
    }
    let mut seen: Vec<String> = Vec::new();
    o.list("components")?.all(|node| {
        let (path, faults) = (node.path, node.faults);
        let name = component(node)?;
        if seen.contains(&name) {
            faults.add(&path, format!("{} is listed twice", quoted(&name)));
            return None;
        }
        seen.push(name.clone());
        Some(name)
    })
}

fn component(node: Node<'_>) -> Option<String> {
    match node.value.as_str() {
        Some(name) if DERIVED.contains(&name) => Some(name.to_owned()),
        Some(name) if name.starts_with('@') => node.fault(format!(
            "{} is no component that must be covered; known are {}",
            quoted(name),
            DERIVED.join(", ")
        )),
        _ => header_name(node),
    }
}

/// Nothing of a secret is ever shown.
fn key(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<SignerKey> {
    let id = o.text("keyId");
    if let Some(id) = &id {
        defs.signer_keys.define(id, index, (), &o.at("keyId"), o.faults);
        if !id.is_ascii() {
            o.fault_at::<()>("keyId", NOT_ASCII);
        }
    }
    let algorithm = o.choice("algorithm", &ALGORITHMS);
    let public = o.take("publicKey").and_then(|n| public_key(n, algorithm));
    let jwk = o.take("jwk").and_then(|n| jwk(n, algorithm));
    let secret = o.take("secret").and_then(|n| shared_secret(n, algorithm));
    let material = match KEYS.iter().filter(|field| o.has(field)).count() {
        0 => o.fault("has no key; give publicKey, jwk or secret"),
        1 => public.or(jwk).map(KeyMaterial::Public).or(secret.map(KeyMaterial::Secret)),
        _ => o.fault("has more than one key; list them as items of their own"),
    };
    Some(SignerKey { id: id?, algorithm: algorithm?, material: material? })
}

/// What is said of a key and an algorithm with keys of another kind.
const OTHER_KIND: &str = "does not fit the algorithm";

/// Without an algorithm, which is a fault already, there is nothing to judge it by.
fn public_key(mut node: Node<'_>, algorithm: Option<Algorithm>) -> Option<PublicKey> {
    let pem = node.text("a public key in PEM")?;
    let algorithm = algorithm?;
    if algorithm.is_symmetric() {
        return node.fault(OTHER_KIND);
    }
    match Some(pem)
        .filter(|pem| pem.len() <= MAX_PEM)
        .and_then(|pem| PublicKey::from_pem(algorithm.key_type(), &pem))
    {
        Some(Ok(key)) => Some(key),
        Some(Err(fault)) => node.fault(format!("{fault}")),
        None => {
            node.fault("is no public key for the algorithm: expected PEM with -----BEGIN PUBLIC KEY-----")
        }
    }
}

fn jwk(node: Node<'_>, algorithm: Option<Algorithm>) -> Option<PublicKey> {
    if !node.value.is_object() {
        return node.mismatch("a JWK");
    }
    match jose::lone_key(&node.value, algorithm?) {
        Ok(key) => Some(key),
        Err(fault) => node.fault(format!("{fault}")),
    }
}

fn shared_secret(node: Node<'_>, algorithm: Option<Algorithm>) -> Option<SecretKey> {
    let (path, faults) = (node.path, node.faults);
    let key = SecretKey::new(&secret(node)?);
    let algorithm = algorithm?;
    if key.fits(algorithm) {
        return Some(key);
    }
    faults.add(&path, if algorithm.is_symmetric() { "is shorter than 32 bytes" } else { OTHER_KIND });
    None
}
