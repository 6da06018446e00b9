//! A client and its authenticator that do what a test wants. Keys and signatures are ring's.

use std::sync::OnceLock;

use jwt_simple::algorithms::RS256KeyPair;
use ring::{
    rand::SystemRandom,
    rsa::PublicKeyComponents,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use serde_json::{Value, json};

use super::super::*;
use crate::{
    crypto::{Algorithm, sha256},
    text::base64url,
};

pub(crate) const RP_ID: &str = "app.example";
pub(crate) const ORIGIN: &str = "https://app.example";
pub(crate) const CHALLENGE: &[u8] = b"32 bytes that nobody can foresee";
pub(crate) const USER: &[u8] = b"user-7";

pub(crate) const UP: u8 = 1;
pub(crate) const UV: u8 = 1 << 2;
pub(crate) const BE: u8 = 1 << 3;
pub(crate) const BS: u8 = 1 << 4;
pub(crate) const AT: u8 = 1 << 6;
pub(crate) const ED: u8 = 1 << 7;

/// CBOR, as canonical as what is put in.
pub(crate) mod encoder {
    pub(crate) fn head(major: u8, number: u64) -> Vec<u8> {
        let major = major << 5;
        let bytes = number.to_be_bytes();
        match number {
            0..24 => vec![major | bytes[7]],
            24..0x100 => vec![major | 24, bytes[7]],
            0x100..0x1_0000 => [&[major | 25], &bytes[6..]].concat(),
            0x1_0000..0x1_0000_0000 => [&[major | 26], &bytes[4..]].concat(),
            _ => [&[major | 27][..], &bytes].concat(),
        }
    }

    pub(crate) fn int(number: i64) -> Vec<u8> {
        if number < 0 { head(1, !number.cast_unsigned()) } else { head(0, number.cast_unsigned()) }
    }

    pub(crate) fn bytes(bytes: &[u8]) -> Vec<u8> {
        [&*head(2, bytes.len().try_into().unwrap()), bytes].concat()
    }

    pub(crate) fn text(text: &str) -> Vec<u8> {
        [&*head(3, text.len().try_into().unwrap()), text.as_bytes()].concat()
    }

    pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
        [head(4, items.len().try_into().unwrap()), items.concat()].concat()
    }

    pub(crate) fn map(members: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
        let encoded = members.iter().flat_map(|(key, value)| [&**key, value].concat());
        head(5, members.len().try_into().unwrap()).into_iter().chain(encoded).collect()
    }

    /// With texts as keys.
    pub(crate) fn named(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        map(&members.iter().map(|(name, value)| (text(name), value.clone())).collect::<Vec<_>>())
    }

    /// With numbers as keys.
    pub(crate) fn labelled(members: &[(i64, Vec<u8>)]) -> Vec<u8> {
        map(&members.iter().map(|(label, value)| (int(*label), value.clone())).collect::<Vec<_>>())
    }
}

/// The key pair of a credential.
pub(crate) enum Keys {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

/// The same for all tests of one run.
pub(crate) fn keys(algorithm: Algorithm) -> &'static Keys {
    static KEYS: [OnceLock<Keys>; 3] = [const { OnceLock::new() }; 3];
    let place = ALGORITHMS.iter().position(|other| *other == algorithm).unwrap();
    KEYS[place].get_or_init(|| Keys::generate(algorithm))
}

impl Keys {
    pub(crate) fn generate(algorithm: Algorithm) -> Self {
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Es256 => {
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref(), &random);
                Self::Es256(pair.unwrap())
            }
            Algorithm::EdDsa => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                Self::EdDsa(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap())
            }
            _ => {
                let pkcs8 = RS256KeyPair::generate(2048).unwrap().to_der().unwrap();
                Self::Rs256(Box::new(RsaKeyPair::from_pkcs8(&pkcs8).unwrap()))
            }
        }
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
            Self::Rs256(_) => Algorithm::Rs256,
        }
    }

    /// The parameters of the public key, in canonical order.
    pub(crate) fn parameters(&self) -> Vec<(i64, Vec<u8>)> {
        use encoder::{bytes, int};
        match self {
            Self::Es256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                vec![(1, int(2)), (3, int(-7)), (-1, int(1)), (-2, bytes(x)), (-3, bytes(y))]
            }
            Self::EdDsa(pair) => {
                let x = pair.public_key().as_ref();
                vec![(1, int(1)), (3, int(-8)), (-1, int(6)), (-2, bytes(x))]
            }
            Self::Rs256(pair) => {
                let PublicKeyComponents { n, e } = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                vec![(1, int(3)), (3, int(-257)), (-1, bytes(&n)), (-2, bytes(&e))]
            }
        }
    }

    pub(crate) fn cose(&self) -> Vec<u8> {
        encoder::labelled(&self.parameters())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// What a client and an authenticator put together, before it is written down.
pub(crate) struct Parts {
    pub(crate) keys: &'static Keys,
    /// Of `clientDataJSON`.
    pub(crate) client_data: Value,
    pub(crate) rp_id: &'static str,
    /// Without AT and ED, which follow from what is there.
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    /// `None`: no attested credential data.
    pub(crate) attested: Option<Attested>,
    /// An encoded map.
    pub(crate) extensions: Option<Vec<u8>>,
    /// Behind all that the flags announce.
    pub(crate) trailing: Vec<u8>,
    pub(crate) format: &'static str,
    /// `None`: as the format has it.
    pub(crate) statement: Option<Vec<u8>>,
    /// Members that the body has in the place of its own.
    pub(crate) body: Value,
    /// The same within `response`.
    pub(crate) response: Value,
}

pub(crate) struct Attested {
    pub(crate) aaguid: [u8; 16],
    pub(crate) id: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
}

pub(crate) const CREDENTIAL_ID: &[u8] = b"credential-1";

/// A registration, or with `Ceremony::Authentication` an assertion, that passes.
pub(crate) fn parts(ceremony: client_data::Ceremony, algorithm: Algorithm) -> Parts {
    let keys = keys(algorithm);
    let (kind, attested) = match ceremony {
        client_data::Ceremony::Registration => {
            let (id, public_key) = (CREDENTIAL_ID.to_vec(), keys.cose());
            ("webauthn.create", Some(Attested { aaguid: [0; 16], id, public_key }))
        }
        client_data::Ceremony::Authentication => ("webauthn.get", None),
    };
    Parts {
        keys,
        client_data: json!({
            "type": kind,
            "challenge": base64url::encode(CHALLENGE),
            "origin": ORIGIN,
            "crossOrigin": false,
        }),
        rp_id: RP_ID,
        flags: UP | UV,
        counter: 0,
        attested,
        extensions: None,
        trailing: Vec::new(),
        format: "none",
        statement: None,
        body: json!({}),
        response: json!({}),
    }
}

impl Parts {
    pub(crate) fn client_data_json(&self) -> Vec<u8> {
        self.client_data.to_string().into_bytes()
    }

    pub(crate) fn authenticator_data(&self) -> Vec<u8> {
        let announced =
            if self.attested.is_some() { AT } else { 0 } | if self.extensions.is_some() { ED } else { 0 };
        let mut data = sha256(self.rp_id.as_bytes()).to_vec();
        data.push(self.flags | announced);
        data.extend(self.counter.to_be_bytes());
        if let Some(Attested { aaguid, id, public_key }) = &self.attested {
            data.extend(aaguid);
            data.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
            data.extend(id);
            data.extend(public_key);
        }
        data.extend(self.extensions.iter().flatten());
        data.extend(&self.trailing);
        data
    }

    pub(crate) fn signed(&self) -> Vec<u8> {
        [self.authenticator_data(), sha256(&self.client_data_json()).to_vec()].concat()
    }

    /// `attStmt` of `packed` self attestation.
    pub(crate) fn self_attestation(&self) -> Vec<(&'static str, Vec<u8>)> {
        let alg = cose_key::cose_algorithm(self.keys.algorithm()).unwrap();
        vec![("alg", encoder::int(alg)), ("sig", encoder::bytes(&self.keys.sign(&self.signed())))]
    }

    pub(crate) fn attestation_object(&self) -> Vec<u8> {
        let statement = match self.format {
            _ if self.statement.is_some() => self.statement.clone().unwrap(),
            "packed" => encoder::named(&self.self_attestation()),
            _ => encoder::named(&[]),
        };
        encoder::named(&[
            ("fmt", encoder::text(self.format)),
            ("attStmt", statement),
            ("authData", encoder::bytes(&self.authenticator_data())),
        ])
    }

    /// As `toJSON()` of a registration writes it.
    pub(crate) fn registration(&self) -> Value {
        let id = self.attested.as_ref().map_or(CREDENTIAL_ID, |attested| &attested.id);
        let mut body = self.common(id);
        body["response"]["attestationObject"] = json!(base64url::encode(&self.attestation_object()));
        body["response"]["transports"] = json!(["internal", "hybrid"]);
        self.with_changes(body)
    }

    /// As `toJSON()` of an assertion writes it.
    pub(crate) fn assertion(&self) -> Value {
        let mut body = self.common(CREDENTIAL_ID);
        body["response"]["authenticatorData"] = json!(base64url::encode(&self.authenticator_data()));
        body["response"]["signature"] = json!(base64url::encode(&self.keys.sign(&self.signed())));
        body["response"]["userHandle"] = json!(base64url::encode(USER));
        self.with_changes(body)
    }

    fn common(&self, id: &[u8]) -> Value {
        json!({
            "id": base64url::encode(id),
            "rawId": base64url::encode(id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {"clientDataJSON": base64url::encode(&self.client_data_json())},
        })
    }

    fn with_changes(&self, mut body: Value) -> Value {
        body.as_object_mut().unwrap().extend(self.body.as_object().unwrap().clone());
        body["response"].as_object_mut().unwrap().extend(self.response.as_object().unwrap().clone());
        body
    }
}

pub(crate) fn spec() -> RelyingPartySpec {
    RelyingPartySpec {
        id: RP_ID.into(),
        name: "Example".into(),
        origins: vec![Origin::parse(ORIGIN).unwrap()],
        related_origins: vec![],
        top_origins: vec![],
        algorithms: ALGORITHMS.to_vec(),
        other_attestation: OtherAttestation::Ignored,
        counter: CounterPolicy::Refuse,
    }
}

/// The relying party of [`spec`], changed.
pub(crate) fn relying_party(change: impl FnOnce(&mut RelyingPartySpec)) -> RelyingParty {
    let mut spec = spec();
    change(&mut spec);
    RelyingParty::new(spec).unwrap()
}
