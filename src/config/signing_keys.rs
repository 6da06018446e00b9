//! `signingKeys`: the gateway's own keys.

use super::{
    SigningKeysSpec,
    faults::quoted,
    model::{Form, Kind, Shape, default, required},
    reader::{Node, Object},
};
use crate::jose::{OwnKey, SigningKeys};

/// One that signs, one that is about to, and those of which tokens may still be about.
const MOST_KEYS: usize = 8;

const NO_KEYS: &str = "no keys; nothing could be signed";

pub(super) static SIGNING_KEYS: Shape = Shape::new(&[
    required(
        "keys",
        Kind::Few(MOST_KEYS, NO_KEYS, &Kind::Jwk),
        "The keys, for ES256 or EdDSA. The first signs and is private. The others only verify what was signed before, or are \
         published before they sign; of these the public JWK is enough. Without `kid` a key is called by its thumbprint \
         (RFC 7638).",
    ),
    default(
        "jwksPath",
        Kind::Text(Form::Path),
        "/.well-known/portcullis/jwks.json",
        "Where their public halves are served as a JWK set, on every host and to everybody.",
    ),
]);

pub(super) fn signing_keys(mut o: Object<'_>) -> Option<SigningKeysSpec> {
    let mut known: Vec<OwnKey> = Vec::new();
    let keys = o.list("keys").and_then(|items| {
        items.all(|node| {
            let key = own_key(&node, &known)?;
            known.push(key.clone());
            Some(key)
        })
    });
    let jwks_path = o.text("jwksPath");
    Some(SigningKeysSpec { keys: SigningKeys::new(keys?)?, jwks_path: jwks_path? })
}

/// The next one behind those that are `known`. Nothing of a private half is ever shown.
fn own_key(node: &Node<'_>, known: &[OwnKey]) -> Option<OwnKey> {
    if !node.value.is_object() {
        return node.mismatch("a JWK");
    }
    let key = match OwnKey::from_jwk(&node.value) {
        Ok(key) => key,
        Err(fault) => return node.fault(fault.to_string()),
    };
    if known.is_empty() && !key.signs() {
        return node.fault("has no private half (`d`), and the first key signs");
    }
    if known.iter().any(|other| other.is_same(&key)) {
        return node.fault("is listed twice");
    }
    if known.iter().any(|other| other.kid() == key.kid()) {
        return node.fault(format!("duplicate kid {}", quoted(key.kid())));
    }
    Some(key)
}
