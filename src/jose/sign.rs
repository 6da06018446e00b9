//! Tokens of our own: a signed JWT in compact form (RFC 7515 section 7.1).

use serde_json::{Map, Value};

use crate::{crypto::SigningKey, text::base64url};

/// `claims`, signed. `typ` goes into the header, and `kid` where there is one.
///
/// `None` when no signature can be made.
pub(crate) fn sign(
    key: &SigningKey,
    typ: &str,
    kid: Option<&str>,
    claims: Map<String, Value>,
) -> Option<String> {
    let mut header = Map::new();
    header.insert("alg".into(), key.algorithm().name().into());
    header.insert("typ".into(), typ.into());
    if let Some(kid) = kid {
        header.insert("kid".into(), kid.into());
    }
    let segment = |members| base64url::encode(Value::Object(members).to_string().as_bytes());
    let input = format!("{}.{}", segment(header), segment(claims));
    let signature = base64url::encode(&key.sign(input.as_bytes())?);
    Some(format!("{input}.{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{Algorithm, NoHostCrypto},
        jose::{CompactToken, KeyError, KeySet},
        json::Json,
    };
    use jwt_simple::algorithms::{ECDSAP256PublicKeyLike as _, ES256KeyPair};
    use serde_json::json;

    /// A private key and its public half.
    fn pair() -> (SigningKey, KeySet) {
        let pair = ES256KeyPair::generate();
        let point = pair.public_key().public_key().to_bytes_uncompressed();
        let octets = |range| base64url::encode(&point[range]);
        let jwk = json!({"kty": "EC", "crv": "P-256", "kid": "k", "x": octets(1..33), "y": octets(33..65)});
        let (keys, _) = KeySet::from_json(&json!({"keys": [jwk]})).unwrap();
        (SigningKey::from_pem(Algorithm::Es256, &pair.to_pem().unwrap()).unwrap(), keys)
    }

    #[test]
    fn what_is_signed_is_read_and_verifies_with_its_own_key_alone() {
        let ((key, keys), (_, others)) = (pair(), pair());
        for kid in [None, Some("k")] {
            let claims = json!({"iss": "gate", "n": 1, "text": "\"\u{e9}"});
            let text = sign(&key, "JWT", kid, claims.as_object().unwrap().clone()).unwrap();
            let token = CompactToken::parse(&text, 8192).unwrap();
            assert_eq!((token.algorithm(), token.typ(), token.kid()), (Algorithm::Es256, Some("JWT"), kid));
            assert_eq!(token.claims().get("text").and_then(Json::as_str), Some("\"\u{e9}"));
            assert_eq!(keys.verify(&token, &NoHostCrypto), Ok(()));
            assert_eq!(others.verify(&token, &NoHostCrypto), Err(KeyError::Signature));
        }
    }
}
