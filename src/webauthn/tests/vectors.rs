//! The test vectors of WebAuthn Level 3, section 16. They are read from a folder beside the repository, or the one that
//! `PORTCULLIS_VECTORS` names; without it their test says so and passes.

use std::path::{Path, PathBuf};

use ct_codecs::{Decoder, Hex};
use serde_json::{Value, json};

use super::{
    super::{
        attestation::AttestationFault,
        authentication,
        cose_key::CoseKeyFault,
        registration::{self, NewCredential},
        *,
    },
    authenticator::spec,
};
use crate::{
    crypto::{Algorithm, HostCrypto, NoHostCrypto, test_host::RingHost},
    origin::WebOrigin,
    text::base64url,
};

/// What comes of the registration where attestations that are not verified are ignored, and where they are refused.
enum Due {
    /// Taken, by this algorithm and as this type, and refused for the format if any.
    Taken(Algorithm, AttestationType, Option<&'static str>),
    /// A public key that is not supported.
    Unsupported,
}

fn due(case: &str) -> Due {
    use Algorithm::{EdDsa, Es256, Rs256};
    use AttestationType::{Ignored, None as Nothing, SelfAttestation};
    match case {
        "packed-self-es256" => Due::Taken(Es256, SelfAttestation, None),
        "packed-es256" => Due::Taken(Es256, Ignored, Some("packed")),
        "packed-rs256" => Due::Taken(Rs256, Ignored, Some("packed")),
        "packed-eddsa" => Due::Taken(EdDsa, Ignored, Some("packed")),
        "packed-es384" | "packed-es512" | "packed-ed448" => Due::Unsupported,
        "tpm-es256" => Due::Taken(Es256, Ignored, Some("tpm")),
        "android-key-es256" => Due::Taken(Es256, Ignored, Some("android-key")),
        "apple-es256" => Due::Taken(Es256, Ignored, Some("apple")),
        "fido-u2f-es256" => Due::Taken(Es256, Ignored, Some("fido-u2f")),
        none => {
            assert!(none.starts_with("none-es256"), "{none} is new");
            Due::Taken(Es256, Nothing, None)
        }
    }
}

fn vectors() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("PORTCULLIS_VECTORS").map(PathBuf::from);
    let places = [named, Some(beside.join("../shared/vectors")), Some(beside.join("../../shared/vectors"))];
    places.into_iter().flatten().map(|place| place.join("webauthn-level3.json")).find(|place| place.is_file())
}

/// The values called `name`: first of the registration, then of the authentication.
fn values(case: &Value, name: &str) -> Vec<Vec<u8>> {
    let values = case["values"].as_array().unwrap().iter().filter(|value| value["name"] == name);
    values.map(|value| Hex::decode_to_vec(value["hex"].as_str().unwrap(), None).unwrap()).collect()
}

fn body(id: &[u8], response: &Value) -> Vec<u8> {
    let id = base64url::encode(id);
    json!({"id": id, "rawId": id, "type": "public-key", "response": response}).to_string().into_bytes()
}

fn register(
    case: &Value,
    relying_party: &RelyingParty,
    host: &dyn HostCrypto,
) -> Result<NewCredential, RegistrationFault> {
    let response = json!({
        "clientDataJSON": base64url::encode(&values(case, "clientDataJSON")[0]),
        "attestationObject": base64url::encode(&values(case, "attestationObject")[0]),
    });
    let response = RegistrationResponse::read(&body(&values(case, "credential_id")[0], &response)).unwrap();
    let expected = ExpectedRegistration {
        challenge: &values(case, "challenge")[0],
        user_verification: UserVerification::Preferred,
        is_conditional: false,
    };
    registration::verify(&response, relying_party, &expected, host)
}

fn authenticate(
    case: &Value,
    credential: &NewCredential,
    signature: &[u8],
    relying_party: &RelyingParty,
    host: &dyn HostCrypto,
) -> Result<Assertion, AuthenticationFault> {
    let response = json!({
        "clientDataJSON": base64url::encode(&values(case, "clientDataJSON")[1]),
        "authenticatorData": base64url::encode(&values(case, "authenticatorData")[0]),
        "signature": base64url::encode(signature),
    });
    let response = AuthenticationResponse::read(&body(&credential.id, &response)).unwrap();
    let stored = StoredCredential {
        id: &credential.id,
        public_key: &credential.public_key,
        user_handle: b"u",
        counter: credential.counter,
        user_verified: credential.user_verified,
        backup_eligible: Some(credential.backup_eligible),
    };
    let expected = ExpectedAuthentication {
        challenge: &values(case, "challenge")[1],
        user_verification: UserVerification::Preferred,
        user_handle: Some(b"u"),
        allowed: &[],
    };
    authentication::verify(&response, &stored, relying_party, &expected, host)
}

#[test]
fn webauthn_section_16() {
    let Some(file) = vectors() else {
        eprintln!("webauthn_section_16: no vectors found, 1 file not checked");
        return;
    };
    let relying_party = |other_attestation| {
        RelyingParty::new(RelyingPartySpec {
            id: "example.org".into(),
            origins: vec![Origin::parse("https://example.org").unwrap()],
            top_origins: vec![WebOrigin::parse("https://example.com").unwrap()],
            other_attestation,
            ..spec()
        })
        .unwrap()
    };
    let (lenient, strict) =
        (relying_party(OtherAttestation::Ignored), relying_party(OtherAttestation::Refused));
    let document: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let (mut taken, mut refused) = (0, 0);
    for case in document["cases"].as_array().unwrap() {
        let name = case["id"].as_str().unwrap();
        // Of all attestations.
        if name == "attestation-root-cert" {
            continue;
        }
        let roads: [&dyn HostCrypto; 2] = [&NoHostCrypto, &RingHost];
        for host in roads {
            let found = register(case, &lenient, host);
            let (algorithm, attestation_type, other) = match due(name) {
                Due::Taken(algorithm, attestation_type, other) => (algorithm, attestation_type, other),
                Due::Unsupported => {
                    assert_eq!(found, Err(RegistrationFault::Key(CoseKeyFault::Unsupported)), "{name}");
                    refused += 1;
                    continue;
                }
            };
            let credential = found.unwrap_or_else(|fault| panic!("{name}: {fault}"));
            assert_eq!(
                (credential.algorithm, credential.attestation_type),
                (algorithm, attestation_type),
                "{name}"
            );
            assert_eq!(credential.aaguid.to_vec(), values(case, "aaguid")[0], "{name}");
            let strictly = register(case, &strict, host).err();
            let fault =
                other.map(|format| RegistrationFault::Attestation(AttestationFault::Format(format.into())));
            assert_eq!(strictly, fault, "{name}");
            let mut signature = values(case, "signature")[0].clone();
            authenticate(case, &credential, &signature, &lenient, host)
                .unwrap_or_else(|fault| panic!("{name}: {fault}"));
            *signature.last_mut().unwrap() ^= 1;
            let forged = authenticate(case, &credential, &signature, &lenient, host);
            assert_eq!(forged, Err(AuthenticationFault::Signature), "{name}");
            taken += 1;
        }
    }
    assert_eq!((taken, refused), (24, 6), "pairs over both roads");
}
