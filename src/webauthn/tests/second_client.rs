//! Ceremonies with another implementation: client and authenticator of the crate `passkey`, which are asked by our options
//! and answer with what we verify.

use std::{fmt::Debug, pin::Pin, time::Duration};

use passkey::{
    authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod},
    client::{Client, DefaultClientData},
    crypto::AvailableBackend,
    types::{
        Passkey,
        ctap2::{Aaguid, Ctap2Error},
    },
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    super::{authentication, registration, *},
    authenticator::{CHALLENGE, ORIGIN, USER, relying_party},
};
use crate::crypto::{Algorithm, HostCrypto, NoHostCrypto, test_host::RingHost};

/// A user who is there, and who can be verified or not.
struct Person {
    can_be_verified: bool,
}

impl UserValidationMethod for Person {
    type PasskeyItem = Passkey;

    fn check_user<'hint, 'own, 'future>(
        &'own self,
        _: UiHint<'hint, Passkey>,
        presence: bool,
        verification: bool,
    ) -> Pin<Box<dyn Future<Output = Result<UserCheck, Ctap2Error>> + Send + 'future>>
    where
        'hint: 'future,
        'own: 'future,
    {
        let verification = verification && self.can_be_verified;
        Box::pin(async move { Ok(UserCheck { presence, verification }) })
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(self.can_be_verified)
    }
}

/// What a client is asked for, as it reads it.
fn asked<T: DeserializeOwned>(options: Value) -> T {
    serde_json::from_value(json!({ "publicKey": options })).unwrap()
}

fn over_both_roads<T: Debug + PartialEq>(verify: impl Fn(&dyn HostCrypto) -> T) -> T {
    let in_module = verify(&NoHostCrypto);
    assert_eq!(in_module, verify(&RingHost), "the two roads part");
    in_module
}

fn registered(
    body: &[u8],
    relying_party: &RelyingParty,
    user_verification: UserVerification,
) -> Result<NewCredential, RegistrationFault> {
    let response = RegistrationResponse::read(body).unwrap();
    let expected = ExpectedRegistration { challenge: CHALLENGE, user_verification, is_conditional: false };
    over_both_roads(|host| registration::verify(&response, relying_party, &expected, host))
}

fn authenticated(
    body: &[u8],
    credential: &NewCredential,
    relying_party: &RelyingParty,
    user_verification: UserVerification,
) -> Result<Assertion, AuthenticationFault> {
    let response = AuthenticationResponse::read(body).unwrap();
    let stored = StoredCredential {
        id: &credential.id,
        public_key: &credential.public_key,
        user_handle: USER,
        counter: credential.counter,
        user_verified: credential.user_verified,
        backup_eligible: Some(credential.backup_eligible),
    };
    let expected =
        ExpectedAuthentication { challenge: CHALLENGE, user_verification, user_handle: None, allowed: &[] };
    over_both_roads(|host| authentication::verify(&response, &stored, relying_party, &expected, host))
}

#[test]
fn register_and_sign_in() {
    use UserVerification::{Preferred, Required};
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let origin = url::Url::parse(ORIGIN).unwrap();
    for (algorithm, counts, can_be_verified) in [
        (Algorithm::Es256, false, true),
        (Algorithm::Es256, true, true),
        (Algorithm::Es256, true, false),
        (Algorithm::EdDsa, true, true),
    ] {
        let relying_party = relying_party(|spec| spec.algorithms = vec![algorithm]);
        let user_verification = if can_be_verified { Required } else { Preferred };
        let mut authenticator = Authenticator::new(
            Aaguid::new_empty(),
            None::<Passkey>,
            Person { can_be_verified },
            AvailableBackend,
        );
        authenticator.set_make_credentials_with_signature_counter(counts);
        // Who cannot verify is not asked to.
        let mut client = Client::new(authenticator).user_verification_when_preferred(can_be_verified);
        let timeout = Duration::from_secs(300);
        let options = CreationOptions {
            challenge: CHALLENGE,
            user_handle: USER,
            user_name: "alice",
            display_name: "Alice",
            exclude: &[],
            resident_key: ResidentKey::Required,
            user_verification,
            timeout,
        };
        let options = asked(options.to_json(&relying_party));
        let made = runtime.block_on(client.register(&origin, options, DefaultClientData)).unwrap();
        let made = serde_json::to_vec(&made).unwrap();
        let mut credential = registered(&made, &relying_party, user_verification).unwrap();
        assert_eq!((credential.algorithm, credential.user_verified), (algorithm, can_be_verified));
        assert_eq!(credential.is_discoverable, Some(true));
        assert_eq!(credential.attestation_type, AttestationType::None);
        if !can_be_verified {
            let fault = RegistrationFault::Context(ContextFault::UserVerification);
            assert_eq!(registered(&made, &relying_party, Required), Err(fault));
        }
        // Found without a name, then by its name.
        for is_named in [false, true] {
            let (id, transports) = (credential.id.clone(), credential.transports.clone());
            let descriptor = [Descriptor { id: &id, transports: &transports }];
            let allow = if is_named { &descriptor[..] } else { &[] };
            let options = RequestOptions { challenge: CHALLENGE, allow, user_verification, timeout };
            let options = asked(options.to_json(&relying_party));
            let made = runtime.block_on(client.authenticate(&origin, options, DefaultClientData)).unwrap();
            let made = serde_json::to_vec(&made).unwrap();
            let assertion = authenticated(&made, &credential, &relying_party, user_verification).unwrap();
            assert_eq!(assertion.user_verified, can_be_verified);
            assert_eq!(assertion.counter > credential.counter, counts);
            // The same once more: only an authenticator that counts shows it by itself.
            credential.counter = assertion.counter;
            let again = authenticated(&made, &credential, &relying_party, user_verification);
            assert_eq!(again.is_err(), counts, "{again:?}");
        }
    }
}
