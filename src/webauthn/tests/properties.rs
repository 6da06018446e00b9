//! What holds for any bytes.

use proptest::prelude::*;
use serde_json::json;

use super::{
    super::{
        attestation::AttestationObject,
        authentication::{self, ExpectedAuthentication, StoredCredential},
        authenticator_data::AuthenticatorData,
        cbor::Cbor,
        client_data::{Ceremony, ClientData},
        cose_key::CoseKey,
        registration::{self, ExpectedRegistration},
        *,
    },
    authenticator::*,
};
use crate::{
    crypto::{Algorithm, NoHostCrypto},
    text::base64url,
};

/// Whether an assertion passes in which `member` has another byte at a place; with no change where `by` is 0.
fn passes(parts: &Parts, member: &str, place: usize, by: u8) -> bool {
    let mut body = parts.assertion();
    let mut bytes = base64url::decode(body["response"][member].as_str().unwrap().as_bytes()).unwrap();
    let place = place % bytes.len();
    bytes[place] ^= by;
    body["response"][member] = json!(base64url::encode(&bytes));
    let Ok(response) = AuthenticationResponse::read(body.to_string().as_bytes()) else { return false };
    let public_key = parts.keys.cose();
    let credential = StoredCredential {
        id: CREDENTIAL_ID,
        public_key: &public_key,
        user_handle: USER,
        counter: 0,
        user_verified: true,
        backup_eligible: None,
    };
    let expected = ExpectedAuthentication {
        challenge: CHALLENGE,
        user_verification: UserVerification::Preferred,
        user_handle: Some(USER),
        allowed: &[],
    };
    let relying_party = relying_party(|spec| spec.counter = CounterPolicy::Report);
    authentication::verify(&response, &credential, &relying_party, &expected, &NoHostCrypto).is_ok()
}

/// The same of a registration that attests itself.
fn registers(parts: &Parts, in_attestation_object: bool, place: usize, by: u8) -> bool {
    let mut body = parts.registration();
    let member = if in_attestation_object { "attestationObject" } else { "clientDataJSON" };
    let mut bytes = base64url::decode(body["response"][member].as_str().unwrap().as_bytes()).unwrap();
    let place = place % bytes.len();
    bytes[place] ^= by;
    body["response"][member] = json!(base64url::encode(&bytes));
    let Ok(response) = RegistrationResponse::read(body.to_string().as_bytes()) else { return false };
    let expected = ExpectedRegistration {
        challenge: CHALLENGE,
        user_verification: UserVerification::Preferred,
        is_conditional: false,
    };
    let strict = relying_party(|spec| spec.other_attestation = OtherAttestation::Refused);
    registration::verify(&response, &strict, &expected, &NoHostCrypto).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_assertion_with_another_byte(
        which in 0..ALGORITHMS.len(),
        member in prop_oneof![Just("authenticatorData"), Just("clientDataJSON"), Just("signature")],
        place in 0..4096_usize,
        by in 1..=u8::MAX,
    ) {
        let parts = parts(Ceremony::Authentication, ALGORITHMS[which]);
        prop_assert!(passes(&parts, member, place, 0));
        prop_assert!(!passes(&parts, member, place, by));
    }

    #[test]
    fn no_self_attestation_with_another_byte(
        in_attestation_object: bool,
        place in 0..4096_usize,
        by in 1..=u8::MAX,
    ) {
        let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
        parts.format = "packed";
        prop_assert!(registers(&parts, in_attestation_object, place, 0));
        prop_assert!(!registers(&parts, in_attestation_object, place, by));
    }
}

proptest! {
    /// Nothing panics, and what is read was read to its end.
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = ClientData::read(&bytes);
        let _ = AuthenticatorData::read(&bytes);
        let _ = AttestationObject::read(&bytes);
        let _ = CoseKey::read(&bytes);
        let _ = RegistrationResponse::read(&bytes);
        let _ = AuthenticationResponse::read(&bytes);
        if let Ok((_, rest)) = Cbor::read_first(&bytes) {
            prop_assert!(rest.len() < bytes.len());
            prop_assert!(Cbor::read(&bytes[..bytes.len() - rest.len()]).is_ok());
        }
    }

    /// The same close to what is good: a whole object, cut or with a byte changed.
    #[test]
    fn damaged_objects(cut in 0..512_usize, place in 0..512_usize, by in prop_oneof![Just(0), any::<u8>()]) {
        let mut parts = parts(Ceremony::Registration, Algorithm::EdDsa);
        parts.extensions = Some(encoder::named(&[("credProtect", encoder::int(2))]));
        for whole in [parts.authenticator_data(), parts.attestation_object(), parts.keys.cose()] {
            let mut bytes = whole[..whole.len() - cut % whole.len()].to_vec();
            let place = place % bytes.len();
            bytes[place] ^= by;
            let _ = AuthenticatorData::read(&bytes);
            let _ = CoseKey::read(&bytes);
            let object = AttestationObject::read(&bytes);
            // Cut off anywhere, it is none; but for a byte that says the new length.
            prop_assert!(cut % whole.len() == 0 || by != 0 || object.is_err());
        }
    }
}
