//! RSA private keys, read and judged.

use rsa::{
    BoxedUint, PrivateKey,
    pkcs8::DecodePrivateKey as _,
    traits::{PrivateKeyParts as _, PublicKeyParts as _},
};
use serde_json::Value;

use super::{Algorithm, PublicKey, private_jwk::PrivateJwk};

/// From PKCS #8 in PEM. The library checks that its numbers belong together.
pub(super) fn from_pem(pem: &str) -> Option<PrivateKey> {
    PrivateKey::from_pkcs8_pem(pem).ok().filter(is_fit)
}

/// From a private JWK (RFC 7518 section 6.3.2) that is meant for signing with `algorithm`. Its CRT exponents and
/// coefficient are computed anew.
pub(super) fn from_jwk(algorithm: Algorithm, jwk: &Value) -> Option<PrivateKey> {
    let jwk = PrivateJwk::of(jwk, "RSA", algorithm)?;
    // More than two primes.
    if jwk.has("oth") {
        return None;
    }
    let bytes = |name: &str| jwk.bytes(name);
    let (n, e, d, p, q) = (bytes("n")?, bytes("e")?, bytes("d")?, bytes("p")?, bytes("q")?);
    // Before anything is computed with it, which takes longer the longer it is.
    if PublicKey::rsa(&n, &e).is_err() || [&d, &p, &q].iter().any(|number| number.len() > n.len()) {
        return None;
    }
    let [n, e, d, p, q] = [n, e, d, p, q].map(|bytes| BoxedUint::from_be_slice_vartime(&bytes));
    PrivateKey::from_components(n, e, d, vec![p, q]).ok().filter(is_fit)
}

/// As public keys are judged, of which ours will be one to whoever verifies.
fn is_fit(key: &PrivateKey) -> bool {
    key.primes().len() == 2 && PublicKey::rsa(&key.n_bytes(), &key.e_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use jwt_simple::algorithms::RS256KeyPair;
    use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
    use serde_json::json;

    use super::*;
    use crate::text::base64url;

    fn pem(bits: usize) -> String {
        let key = PrivateKey::new(&mut getrandom::SysRng, bits).unwrap();
        key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
    }

    #[test]
    fn sizes() {
        assert!(from_pem(&pem(2048)).is_some());
        assert!(from_pem(&pem(1024)).is_none());
    }

    #[test]
    fn a_jwk_is_for_signing_and_its_numbers_belong_together() {
        let good: Value = serde_json::from_str(&RS256KeyPair::generate(2048).unwrap().to_jwk()).unwrap();
        let with = |changes: Value| {
            let mut jwk = good.clone();
            for (name, value) in changes.as_object().unwrap() {
                match value {
                    Value::Null => jwk.as_object_mut().unwrap().remove(name),
                    value => jwk.as_object_mut().unwrap().insert(name.clone(), value.clone()),
                };
            }
            jwk
        };
        for changes in [
            json!({}),
            json!({"alg": null, "use": null, "kid": "a"}),
            json!({"key_ops": ["sign"]}),
            json!({"dp": null, "dq": null, "qi": null}),
            json!({"p": good["q"], "q": good["p"]}),
        ] {
            assert!(from_jwk(Algorithm::Rs256, &with(changes.clone())).is_some(), "{changes}");
        }
        let zeros = |count: usize| base64url::encode(&vec![0; count]);
        let ones = |count: usize| base64url::encode(&vec![255; count]);
        for changes in [
            json!({"kty": "EC"}),
            json!({"kty": null}),
            json!({"alg": "PS256"}),
            json!({"alg": 1}),
            json!({"use": "enc"}),
            json!({"key_ops": ["verify"]}),
            json!({"key_ops": "sign"}),
            json!({"oth": []}),
            json!({"n": null}),
            json!({"n": ""}),
            json!({"n": good["p"]}),
            json!({"n": zeros(256)}),
            json!({"n": ones(256)}),
            json!({"n": ones(1 << 16)}),
            json!({"e": "Aw"}),
            json!({"e": ""}),
            json!({"e": ones(256)}),
            json!({"d": null}),
            json!({"d": ""}),
            json!({"d": "Aw"}),
            json!({"d": good["n"]}),
            json!({"d": ones(1 << 16)}),
            json!({"d": 7}),
            json!({"p": null}),
            json!({"p": ""}),
            json!({"p": zeros(128)}),
            json!({"p": "AQ", "q": good["n"]}),
            json!({"p": ones(1 << 16)}),
            json!({"q": good["p"]}),
            json!({"q": "?"}),
        ] {
            assert!(from_jwk(Algorithm::Rs256, &with(changes.clone())).is_none(), "{changes}");
        }
        assert!(from_jwk(Algorithm::Ps256, &good).is_none());
        assert!(from_jwk(Algorithm::Ps256, &with(json!({"alg": null}))).is_some());
        assert!(from_jwk(Algorithm::Rs256, &json!("jwk")).is_none());
    }
}
