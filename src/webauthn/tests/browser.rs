//! What a browser sent: Chromium, with the virtual authenticator that it has for tests, asked by options as ours are.

use serde_json::Value;

use super::{
    super::{
        authentication::{self, ExpectedAuthentication, StoredCredential},
        registration::{self, ExpectedRegistration},
        *,
    },
    authenticator::relying_party,
};
use crate::{
    crypto::{Algorithm, HostCrypto, NoHostCrypto, test_host::RingHost},
    text::base64url,
};

/// What was recorded at one `http://localhost` origin: a registration and an assertion of each kind, with their challenges.
const RECORDED: &str = include_str!("chromium.json");

fn challenge(ceremony: &Value, name: &str) -> Vec<u8> {
    base64url::decode(ceremony[name].as_str().unwrap().as_bytes()).unwrap()
}

fn body(ceremony: &Value, name: &str) -> Vec<u8> {
    ceremony[name].to_string().into_bytes()
}

#[test]
fn ceremonies_of_chromium() {
    use AttestationType::{Ignored, None as Nothing};
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    let relying_party = relying_party(|spec| {
        spec.id = "localhost".into();
        spec.origins = vec![Origin::parse(recorded["origin"].as_str().unwrap()).unwrap()];
    });
    let due = [
        (Algorithm::Es256, true, false, Some(true), Nothing),
        (Algorithm::EdDsa, true, false, Some(true), Nothing),
        (Algorithm::Rs256, true, false, Some(true), Nothing),
        (Algorithm::Es256, true, false, Some(true), Ignored),
        (Algorithm::Es256, false, true, None, Nothing),
    ];
    let ceremonies = recorded["ceremonies"].as_array().unwrap();
    assert_eq!(ceremonies.len(), due.len());
    for (ceremony, due) in ceremonies.iter().zip(due) {
        let name = &ceremony["name"];
        let (algorithm, user_verified, is_copied, is_discoverable, attestation_type) = due;
        let user_verification =
            if user_verified { UserVerification::Required } else { UserVerification::Preferred };
        let roads: [&dyn HostCrypto; 2] = [&NoHostCrypto, &RingHost];
        for host in roads {
            let response = RegistrationResponse::read(&body(ceremony, "registration")).unwrap();
            let expected = ExpectedRegistration {
                challenge: &challenge(ceremony, "registrationChallenge"),
                user_verification,
                is_conditional: false,
            };
            let credential = registration::verify(&response, &relying_party, &expected, host)
                .unwrap_or_else(|fault| panic!("{name}: {fault}"));
            assert_eq!(
                (credential.algorithm, credential.attestation_type),
                (algorithm, attestation_type),
                "{name}"
            );
            assert_eq!(
                (credential.user_verified, credential.is_discoverable),
                (user_verified, is_discoverable),
                "{name}"
            );
            assert_eq!((credential.backup_eligible, credential.backed_up), (is_copied, is_copied), "{name}");
            assert_eq!(credential.transports, [Box::from("internal")], "{name}");
            let stored = StoredCredential {
                id: &credential.id,
                public_key: &credential.public_key,
                user_handle: b"user-7",
                counter: credential.counter,
                user_verified,
                backup_eligible: Some(is_copied),
            };
            let expected = ExpectedAuthentication {
                challenge: &challenge(ceremony, "assertionChallenge"),
                user_verification,
                // A credential that is not discoverable says of no user.
                user_handle: (!user_verified).then_some(b"user-7"),
                allowed: &[&credential.id],
            };
            let response = AuthenticationResponse::read(&body(ceremony, "assertion")).unwrap();
            let assertion = authentication::verify(&response, &stored, &relying_party, &expected, host)
                .unwrap_or_else(|fault| panic!("{name}: {fault}"));
            assert_eq!(
                (assertion.user_verified, assertion.counter),
                (user_verified, credential.counter + 1),
                "{name}"
            );
        }
    }
}
