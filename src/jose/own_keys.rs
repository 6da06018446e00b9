//! The gateway's own keys: the first signs, and all of them verify, so that one can follow another without a break.

use std::fmt;

use serde_json::{Map, Value, json};

use super::{
    bounds::MAX_KID_LEN,
    jwk::{Unusable, lone_key},
    sign::sign,
    thumbprint::thumbprint,
};
use crate::{
    crypto::{Algorithm, SigningKey, sha256},
    text::base64url,
};

/// One of them. Its `Debug` never shows the private half.
#[derive(Clone, Debug)]
pub struct OwnKey {
    kid: Box<str>,
    algorithm: Algorithm,
    /// `None`: it only verifies.
    private: Option<SigningKey>,
    /// What others may know of it, as a JWK.
    public: Value,
    thumbprint: [u8; 32],
}

/// Why a JWK is none of them. Says nothing of its private half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKeyFault {
    /// `kid` is no text, or one that is empty, long or has control characters.
    Kid,
    /// Neither a key on P-256 nor one of Ed25519.
    Kind,
    /// It has a private half that cannot sign, or that is not the half of the public one.
    Private,
    /// A standard prints its private half.
    Printed,
    /// It has a public half alone, which is unusable.
    Public(Unusable),
}

/// All of them.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    key: SigningKey,
    kid: Box<str>,
    /// All that have a private half, `key` first.
    private: Vec<SigningKey>,
    algorithms: Vec<Algorithm>,
    set: Value,
}

/// The algorithms that they can be made for: those whose signatures are short and always the same for one text, so that
/// no randomness that fails gives the key away (RFC 6979, RFC 8032).
pub const OWN_ALGORITHMS: [Algorithm; 2] = [Algorithm::Es256, Algorithm::EdDsa];

/// `x` of keys whose private half is printed in RFC 7515 appendix A.3, RFC 7517 appendix A.2 and RFC 8037 appendix A.1:
/// they are copied from there, and whoever can read can sign with them.
const PRINTED: [&str; 3] = [
    "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
];

impl OwnKey {
    /// A key as a JWK (RFC 7517) for one of [`OWN_ALGORITHMS`], private or public. Without `kid` it is called by its
    /// thumbprint (RFC 7638).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_jwk(jwk: &Value) -> Result<Self, OwnKeyFault> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let algorithm = match (text("kty"), text("crv")) {
            (Some("EC"), Some("P-256")) => Algorithm::Es256,
            (Some("OKP"), Some("Ed25519")) => Algorithm::EdDsa,
            _ => return Err(OwnKeyFault::Kind),
        };
        let kid = match jwk.get("kid") {
            None => None,
            Some(_) => Some(text("kid").filter(|kid| is_kid(kid)).ok_or(OwnKeyFault::Kid)?),
        };
        let (private, mut public) = match jwk.get("d") {
            Some(_) => {
                let key = SigningKey::from_jwk(algorithm, jwk).map_err(|_| OwnKeyFault::Private)?;
                let public = key.public_jwk().ok_or(OwnKeyFault::Private)?;
                (Some(key), public)
            }
            None => {
                lone_key(jwk, algorithm).map_err(OwnKeyFault::Public)?;
                let members = ["kty", "crv", "x", "y"].into_iter();
                let members = members.filter_map(|name| Some((name.to_owned(), jwk.get(name)?.clone())));
                (None, Value::Object(members.collect()))
            }
        };
        if public.get("x").and_then(Value::as_str).is_some_and(|x| PRINTED.contains(&x)) {
            return Err(OwnKeyFault::Printed);
        }
        // What was read above has all members of which it is made.
        let thumbprint = thumbprint(&public).ok_or(OwnKeyFault::Kind)?;
        let kid = kid.map_or_else(|| base64url::encode(&thumbprint), str::to_owned);
        for (name, value) in [("kid", kid.as_str()), ("alg", algorithm.name()), ("use", "sig")] {
            if let Some(members) = public.as_object_mut() {
                members.insert(name.to_owned(), value.into());
            }
        }
        Ok(Self { kid: kid.into(), algorithm, private, public, thumbprint })
    }

    /// What tokens call it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Whether it has its private half.
    pub fn signs(&self) -> bool {
        self.private.is_some()
    }

    /// Whether it is the same key as another one, whatever they are called.
    pub fn is_same(&self, other: &Self) -> bool {
        self.thumbprint == other.thumbprint
    }

    /// What others may know of it, as a JWK.
    pub fn public(&self) -> &Value {
        &self.public
    }
}

impl SigningKeys {
    /// `keys` in their order; `None` where there is no first that signs. Each `kid` and each key is there once.
    pub fn new(keys: Vec<OwnKey>) -> Option<Self> {
        let first = keys.first()?;
        let (key, kid) = (first.private.clone()?, first.kid.clone());
        let mut algorithms = Vec::new();
        for own in &keys {
            if !algorithms.contains(&own.algorithm) {
                algorithms.push(own.algorithm);
            }
        }
        let private = keys.iter().filter_map(|own| own.private.clone()).collect();
        let public: Vec<Value> = keys.into_iter().map(|own| own.public).collect();
        Some(Self { key, kid, private, algorithms, set: json!({"keys": public}) })
    }

    /// All public halves, as a JWK set (RFC 7517 section 5).
    pub fn set(&self) -> &Value {
        &self.set
    }

    /// Those of all keys, each once.
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Secrets for `purpose`, one of each key that has its private half, the first key's first: digests of a signature, of
    /// which there is one alone for each key and text. Nobody who reads signatures of other texts learns them.
    pub(crate) fn secrets(&self, purpose: &[u8]) -> Vec<[u8; 32]> {
        // No token begins like this.
        let text = [b"\0secret:", purpose].concat();
        self.private.iter().filter_map(|key| Some(sha256(&key.sign(&text)?))).collect()
    }

    /// `claims`, signed by the first key; `None` when no signature can be made. `typ` says what kind of token it is, so
    /// that none is taken for another (RFC 8725 section 3.11).
    pub(crate) fn sign(&self, typ: &str, claims: Map<String, Value>) -> Option<String> {
        sign(&self.key, typ, Some(&self.kid), claims)
    }
}

fn is_kid(kid: &str) -> bool {
    !kid.is_empty() && kid.len() <= MAX_KID_LEN && !kid.chars().any(char::is_control)
}

impl fmt::Display for OwnKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kid => write!(f, "`kid` is not a text of 1 to {MAX_KID_LEN} bytes without control characters"),
            Self::Kind => f.write_str("not a JWK for ES256 (`EC`, `P-256`) or EdDSA (`OKP`, `Ed25519`)"),
            Self::Private => f.write_str(
                "not a usable private JWK: `d`, `x` and `y` belong together, `use` is `sig` and `key_ops` has `sign` where \
                 they are given",
            ),
            Self::Printed => {
                f.write_str("a standard prints this key, so everybody has it; `portcullis signing-key new` makes one")
            }
            Self::Public(unusable) => unusable.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{NoHostCrypto, new_private_jwk},
        jose::{CompactToken, KeyError, KeySet},
    };

    fn private(algorithm: Algorithm) -> Value {
        new_private_jwk(algorithm).unwrap()
    }

    fn with(jwk: &Value, changes: &Value) -> Value {
        let mut jwk = jwk.clone();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => jwk.as_object_mut().unwrap().shift_remove(name),
                value => jwk.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        jwk
    }

    /// What each change makes of a private key for ES256.
    #[test]
    fn what_is_a_key_of_ours() {
        use OwnKeyFault::{Kid, Kind, Private, Public};
        let (key, other) = (private(Algorithm::Es256), private(Algorithm::Es256));
        let rows = [
            (json!({}), None),
            (json!({"alg": null, "use": null}), None),
            (json!({"key_ops": ["sign"]}), None),
            (json!({"kid": "2027"}), None),
            (json!({"kid": "k".repeat(256)}), None),
            (json!({"kid": "k".repeat(257)}), Some(Kid)),
            (json!({"kid": ""}), Some(Kid)),
            (json!({"kid": "a\nb"}), Some(Kid)),
            (json!({"kid": 7}), Some(Kid)),
            (json!({"kty": "RSA"}), Some(Kind)),
            (json!({"kty": "oct", "k": "AAAA"}), Some(Kind)),
            (json!({"crv": "P-384"}), Some(Kind)),
            (json!({"crv": "secp256k1"}), Some(Kind)),
            (json!({"crv": null}), Some(Kind)),
            (json!({"alg": "ES384"}), Some(Private)),
            (json!({"use": "enc"}), Some(Private)),
            (json!({"key_ops": ["verify"]}), Some(Private)),
            (json!({"d": other["d"]}), Some(Private)),
            (json!({"x": other["x"]}), Some(Private)),
            (json!({"d": "AA"}), Some(Private)),
            (json!({"d": base64url::encode(&[0; 32])}), Some(Private)),
            (json!({"d": base64url::encode(&[0xff; 32])}), Some(Private)),
            (json!({"d": ""}), Some(Private)),
            (json!({"d": 1}), Some(Private)),
            (json!({"y": null}), Some(Private)),
            // It only verifies.
            (json!({"d": null}), None),
            (
                json!({"d": null, "x": other["x"]}),
                Some(Public(Unusable::Key(crate::crypto::KeyFault::Point))),
            ),
            (json!({"d": null, "use": "enc"}), Some(Public(Unusable::Use))),
            (json!({"d": null, "p": "AAAA"}), Some(Public(Unusable::Private))),
        ];
        for (change, expected) in rows {
            let read = OwnKey::from_jwk(&with(&key, &change));
            assert_eq!(read.as_ref().err(), expected.as_ref(), "{change}");
            if let Ok(read) = read {
                assert_eq!(read.signs(), change.get("d").is_none(), "{change}");
            }
        }
        for jwk in [json!(null), json!("EC"), json!({}), json!([])] {
            assert_eq!(OwnKey::from_jwk(&jwk).err(), Some(Kind), "{jwk}");
        }
    }

    #[test]
    fn keys_that_standards_print() {
        for jwk in [
            json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}),
            json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
                "d": "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}),
        ] {
            for jwk in [&jwk, &with(&jwk, &json!({"d": null}))] {
                assert_eq!(OwnKey::from_jwk(jwk).err(), Some(OwnKeyFault::Printed), "{jwk}");
            }
        }
    }

    #[test]
    fn a_key_without_a_name_is_called_by_its_thumbprint() {
        for algorithm in OWN_ALGORITHMS {
            let jwk = private(algorithm);
            let key = OwnKey::from_jwk(&jwk).unwrap();
            assert_eq!(key.kid(), base64url::encode(&thumbprint(&jwk).unwrap()));
            let named = OwnKey::from_jwk(&with(&jwk, &json!({"kid": "k"}))).unwrap();
            assert_eq!(named.kid(), "k");
            assert!(named.is_same(&key));
            assert!(!key.is_same(&OwnKey::from_jwk(&private(algorithm)).unwrap()));
        }
    }

    #[test]
    fn the_first_signs_and_all_verify_and_nothing_private_is_told() {
        let jwks = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Es256].map(private);
        let keys = |order: &[usize]| order.iter().map(|n| OwnKey::from_jwk(&jwks[*n]).unwrap()).collect();
        let all = SigningKeys::new(keys(&[0, 1, 2])).unwrap();
        assert_eq!(all.algorithms(), [Algorithm::EdDsa, Algorithm::Es256]);
        let (set, unusable) = KeySet::from_json(all.set()).unwrap();
        assert_eq!((set.len(), unusable), (3, vec![]));
        let own = |n: usize| SigningKeys::new(keys(&[n])).unwrap();
        let [first, other] = [own(0), own(2)];
        let (others, _) = KeySet::from_json(other.set()).unwrap();
        let claims = json!({"sub": "alice"}).as_object().unwrap().clone();
        for (signer, by_one) in [(&all, Err(KeyError::UnknownKey { kid: all.kid.clone() })), (&other, Ok(()))]
        {
            let text = signer.sign("x+jwt", claims.clone()).unwrap();
            let token = CompactToken::parse(&text, 8192).unwrap();
            assert_eq!((token.typ(), token.kid()), (Some("x+jwt"), Some(&*signer.kid)));
            assert_eq!(set.verify(&token, &NoHostCrypto), Ok(()));
            assert_eq!(others.verify(&token, &NoHostCrypto), by_one);
        }
        assert_eq!(all.sign("x+jwt", claims.clone()), first.sign("x+jwt", claims));
        let told = format!("{} {all:?} {:?}", all.set(), OwnKey::from_jwk(&jwks[0]).unwrap());
        for jwk in &jwks {
            assert!(told.contains(jwk["x"].as_str().unwrap()));
            assert!(!told.contains(jwk["d"].as_str().unwrap()), "{told}");
        }
        let members = |jwk: &Value| jwk.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(members(&all.set()["keys"][0]), ["kty", "crv", "x", "kid", "alg", "use"]);
        assert_eq!(members(&all.set()["keys"][1]), ["kty", "crv", "x", "y", "kid", "alg", "use"]);
        let public = OwnKey::from_jwk(&with(&jwks[0], &json!({"d": null}))).unwrap();
        assert!(SigningKeys::new(vec![public]).is_none());
        assert!(SigningKeys::new(vec![]).is_none());
    }
}
