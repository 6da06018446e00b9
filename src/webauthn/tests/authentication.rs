//! Section 7.2, step by step.

use serde_json::json;

use super::{
    super::{
        authentication::{self, Assertion, AuthenticationFault, ExpectedAuthentication, StoredCredential},
        authenticator_data::AuthenticatorDataFault,
        client_data::Ceremony,
        cose_key::CoseKeyFault,
        *,
    },
    authenticator::*,
};
use crate::{
    crypto::{Algorithm, HostCrypto, NoHostCrypto, sha256, test_host::RingHost},
    text::base64url,
};

const EXPECTED: ExpectedAuthentication<'_> = ExpectedAuthentication {
    challenge: CHALLENGE,
    user_verification: UserVerification::Required,
    user_handle: Some(USER),
    allowed: &[],
};

fn stored(public_key: &[u8]) -> StoredCredential<'_> {
    StoredCredential {
        id: CREDENTIAL_ID,
        public_key,
        user_handle: USER,
        counter: 0,
        user_verified: true,
        backup_eligible: Some(false),
    }
}

/// Reads an assertion and verifies it over both roads.
fn verify(
    parts: &Parts,
    credential: &StoredCredential<'_>,
    relying_party: &RelyingParty,
    expected: &ExpectedAuthentication<'_>,
) -> Result<Assertion, AuthenticationFault> {
    let response = AuthenticationResponse::read(parts.assertion().to_string().as_bytes()).unwrap();
    let by =
        |host: &dyn HostCrypto| authentication::verify(&response, credential, relying_party, expected, host);
    let in_module = by(&NoHostCrypto);
    assert_eq!(in_module, by(&RingHost), "the two roads part");
    in_module
}

type Row = (&'static str, fn(&mut Parts), Result<(), AuthenticationFault>);

fn context(fault: ContextFault) -> Result<(), AuthenticationFault> {
    Err(AuthenticationFault::Context(fault))
}

#[test]
fn assertions_of_every_algorithm() {
    for algorithm in ALGORITHMS {
        let mut parts = parts(Ceremony::Authentication, algorithm);
        let public_key = parts.keys.cose();
        let verify = |parts: &Parts| {
            let due = Assertion {
                user_verified: true,
                counter: 7,
                counter_went_back: false,
                backup_eligible: false,
                backed_up: false,
            };
            let found = verify(parts, &stored(&public_key), &relying_party(|_| ()), &EXPECTED);
            found.map(|assertion| assert_eq!(assertion, due))
        };
        parts.counter = 7;
        assert_eq!(verify(&parts), Ok(()), "{algorithm}");
        // By another key of the same kind.
        parts.keys = Box::leak(Box::new(Keys::generate(algorithm)));
        assert_eq!(verify(&parts), Err(AuthenticationFault::Signature), "{algorithm}");
    }
}

/// The steps that need no more than one credential.
#[test]
fn step_by_step() {
    let rows: &[Row] = &[
        ("as it is", |_| (), Ok(())),
        (
            "step 5: another credential than the stored one",
            |p| p.body = json!({"id": "AA", "rawId": "AA"}),
            Err(AuthenticationFault::Credential),
        ),
        (
            "step 10: of a registration",
            |p| p.client_data["type"] = json!("webauthn.create"),
            context(ContextFault::Ceremony),
        ),
        (
            "step 11: another challenge",
            |p| p.client_data["challenge"] = json!(base64url::encode(b"32 bytes that nobody can forese3")),
            context(ContextFault::Challenge),
        ),
        (
            "step 12: another origin",
            |p| p.client_data["origin"] = json!("https://app.example:8443"),
            context(ContextFault::Origin),
        ),
        (
            "step 13: in a frame",
            |p| p.client_data["crossOrigin"] = json!(true),
            context(ContextFault::CrossOrigin),
        ),
        (
            "step 14: in a frame that is not said to be one",
            |p| p.client_data["topOrigin"] = json!(ORIGIN),
            context(ContextFault::CrossOrigin),
        ),
        ("step 15: of another relying party", |p| p.rp_id = "example", context(ContextFault::RpId)),
        ("step 16: nobody was there", |p| p.flags = UV, context(ContextFault::UserPresence)),
        ("step 17: the user was not verified", |p| p.flags = UP, context(ContextFault::UserVerification)),
        ("step 18: backed up, and not eligible", |p| p.flags |= BS, context(ContextFault::BackupState)),
        ("step 19: eligible, and was not", |p| p.flags |= BE, Err(AuthenticationFault::BackupEligibility)),
        (
            "step 21: a signature of nothing",
            |p| p.response = json!({"signature": "MAYCAQECAQE"}),
            Err(AuthenticationFault::Signature),
        ),
        (
            "step 21: over other authenticator data",
            |p| {
                let mut other = p.authenticator_data();
                other[36] = 1;
                p.response = json!({"authenticatorData": base64url::encode(&other)});
            },
            Err(AuthenticationFault::Signature),
        ),
        (
            "step 21: over other client data",
            |p| {
                let other = [p.client_data_json(), b" ".to_vec()].concat();
                p.response = json!({"clientDataJSON": base64url::encode(&other)});
            },
            Err(AuthenticationFault::Signature),
        ),
        (
            "section 6.1: with a new credential",
            |p| p.attested = parts(Ceremony::Registration, Algorithm::Es256).attested,
            Err(AuthenticationFault::AttestedCredential),
        ),
        (
            "section 6.1: bytes behind",
            |p| p.trailing = vec![0],
            Err(AuthenticationFault::AuthenticatorData(AuthenticatorDataFault::TrailingBytes)),
        ),
        (
            "step 23: extensions that nobody asked for",
            |p| {
                p.extensions =
                    Some(encoder::named(&[("uvm", encoder::array(&[encoder::array(&[encoder::int(2)])]))]))
            },
            Ok(()),
        ),
    ];
    let public_key = keys(Algorithm::Es256).cose();
    for (what, change, due) in rows {
        let mut parts = parts(Ceremony::Authentication, Algorithm::Es256);
        change(&mut parts);
        let found = verify(&parts, &stored(&public_key), &relying_party(|_| ()), &EXPECTED).map(|_| ());
        assert_eq!(&found, due, "{what}");
    }
}

#[test]
fn credentials_that_were_asked_for() {
    let public_key = keys(Algorithm::Es256).cose();
    let parts = parts(Ceremony::Authentication, Algorithm::Es256);
    let verify = |allowed: &[&[u8]], id: &[u8]| {
        let credential = StoredCredential { id, ..stored(&public_key) };
        let expected = ExpectedAuthentication { allowed, ..EXPECTED };
        verify(&parts, &credential, &relying_party(|_| ()), &expected).map(|_| ())
    };
    assert_eq!(verify(&[], CREDENTIAL_ID), Ok(()));
    assert_eq!(verify(&[b"another", CREDENTIAL_ID], CREDENTIAL_ID), Ok(()));
    assert_eq!(verify(&[b"another"], CREDENTIAL_ID), Err(AuthenticationFault::Credential));
    // Of the caller, who looked up another one.
    assert_eq!(verify(&[], b"another"), Err(AuthenticationFault::Credential));
}

#[test]
fn users() {
    let public_key = keys(Algorithm::Es256).cose();
    let other = json!(base64url::encode(b"user-8"));
    let own = json!(base64url::encode(USER));
    let wrong = Err(AuthenticationFault::User);
    let unknown = Err(AuthenticationFault::UserUnknown);
    for (known_before, said, owner, due) in [
        // Known before: what the client says of the user may be missing, and must not be another.
        (Some(USER), own.clone(), USER, Ok(())),
        (Some(USER), json!(null), USER, Ok(())),
        (Some(USER), json!(""), USER, Ok(())),
        (Some(USER), other.clone(), USER, wrong),
        // Another user's credential, whatever the client says.
        (Some(USER), own.clone(), b"user-8", wrong),
        (Some(USER), other.clone(), b"user-8", wrong),
        (Some(USER), json!(null), b"user-8", wrong),
        // Not known before: the client must say who it is.
        (None, own.clone(), USER, Ok(())),
        (None, json!(null), USER, unknown),
        (None, json!(""), USER, unknown),
        (None, other, USER, wrong),
        (None, own, b"user-8", wrong),
    ] {
        let mut parts = parts(Ceremony::Authentication, Algorithm::Es256);
        parts.response = json!({"userHandle": said});
        let credential = StoredCredential { user_handle: owner, ..stored(&public_key) };
        let expected = ExpectedAuthentication { user_handle: known_before, ..EXPECTED };
        let found = verify(&parts, &credential, &relying_party(|_| ()), &expected).map(|_| ());
        assert_eq!(found, due, "{known_before:?} {said} {owner:?}");
    }
}

/// Step 17, and section 4 of `uvInitialized`.
#[test]
fn user_verification() {
    use UserVerification::{Preferred, Required};
    let public_key = keys(Algorithm::Es256).cose();
    let not_verified = Err(AuthenticationFault::Context(ContextFault::UserVerification));
    for (asked, flags, registered_with, due) in [
        (Required, UP | UV, true, Ok(true)),
        (Required, UP, true, not_verified),
        (Required, UP, false, not_verified),
        // The first verification by a credential is no factor, unless another one has confirmed it.
        (Required, UP | UV, false, Err(AuthenticationFault::UserVerificationNew)),
        (Preferred, UP | UV, true, Ok(true)),
        (Preferred, UP, true, Ok(false)),
        (Preferred, UP | UV, false, Ok(false)),
        (Preferred, UP, false, Ok(false)),
    ] {
        let mut parts = parts(Ceremony::Authentication, Algorithm::Es256);
        parts.flags = flags;
        let credential = StoredCredential { user_verified: registered_with, ..stored(&public_key) };
        let expected = ExpectedAuthentication { user_verification: asked, ..EXPECTED };
        let found = verify(&parts, &credential, &relying_party(|_| ()), &expected);
        assert_eq!(
            found.map(|assertion| assertion.user_verified),
            due,
            "{asked:?} {flags:b} {registered_with}"
        );
    }
}

/// Steps 18 and 19.
#[test]
fn backups() {
    let public_key = keys(Algorithm::Es256).cose();
    let changed = Err(AuthenticationFault::BackupEligibility);
    for (stored_as, flags, due) in [
        (Some(false), 0, Ok((false, false))),
        (Some(false), BE, changed),
        (Some(false), BE | BS, changed),
        (Some(true), 0, changed),
        // Copies come and go.
        (Some(true), BE, Ok((true, false))),
        (Some(true), BE | BS, Ok((true, true))),
        // Of a credential that comes from elsewhere, what the first assertion says is stored.
        (None, 0, Ok((false, false))),
        (None, BE | BS, Ok((true, true))),
        (None, BS, Err(AuthenticationFault::Context(ContextFault::BackupState))),
    ] {
        let mut parts = parts(Ceremony::Authentication, Algorithm::Es256);
        parts.flags |= flags;
        let credential = StoredCredential { backup_eligible: stored_as, ..stored(&public_key) };
        let found = verify(&parts, &credential, &relying_party(|_| ()), &EXPECTED);
        let found = found.map(|assertion| (assertion.backup_eligible, assertion.backed_up));
        assert_eq!(found, due, "{stored_as:?} {flags:b}");
    }
}

/// Step 22.
#[test]
fn counters() {
    let public_key = keys(Algorithm::Es256).cose();
    for (stored_as, sent, goes_up, to_be_stored) in [
        (0, 0, true, 0),
        (0, 1, true, 1),
        (100, 101, true, 101),
        (0, u32::MAX, true, u32::MAX),
        (100, 100, false, 100),
        (100, 99, false, 100),
        // A credential that went to an authenticator that does not count.
        (100, 0, false, 100),
        (u32::MAX, 0, false, u32::MAX),
    ] {
        let mut parts = parts(Ceremony::Authentication, Algorithm::Es256);
        parts.counter = sent;
        let credential = StoredCredential { counter: stored_as, ..stored(&public_key) };
        let with = |policy| {
            let relying_party = relying_party(|spec| spec.counter = policy);
            let found = verify(&parts, &credential, &relying_party, &EXPECTED);
            found.map(|assertion| (assertion.counter, assertion.counter_went_back))
        };
        assert_eq!(with(CounterPolicy::Report), Ok((to_be_stored, !goes_up)), "{stored_as} {sent}");
        let due = match goes_up {
            true => Ok((to_be_stored, false)),
            false => Err(AuthenticationFault::Counter { sent, stored: stored_as }),
        };
        assert_eq!(with(CounterPolicy::Refuse), due, "{stored_as} {sent}");
    }
}

/// Step 21, in the forms of section 6.5.5: ECDSA as DER with integers of any length.
#[test]
fn forms_of_ecdsa_signatures() {
    let public_key = keys(Algorithm::Es256).cose();
    let mut parts = parts(Ceremony::Authentication, Algorithm::Es256);
    let verify = |parts: &mut Parts, signature: &[u8]| {
        parts.response = json!({ "signature": base64url::encode(signature) });
        verify(parts, &stored(&public_key), &relying_party(|_| ()), &EXPECTED).map(|_| ())
    };
    // One integer in 256 begins with a zero, so that it is shorter than the field.
    let is_short = |der: &[u8]| der[3] < 32;
    let make = || parts.keys.sign(&parts.signed());
    let long = make();
    let short = std::iter::repeat_with(make).take(20_000).find(|der| is_short(der)).unwrap();
    for der in [long, short] {
        assert_eq!(verify(&mut parts, &der), Ok(()), "{der:02x?}");
        let (r, s) = der[2..].split_at(2 + usize::from(der[3]));
        // What BER has beside it: a length in the long form, and integers with a zero too many.
        let long_form = [&[0x30, 0x81, der[1]], r, s].concat();
        let zero = [&[0x30, der[1] + 1, 2, r[1] + 1, 0], &r[2..], s].concat();
        let trailing = [&der[..], &[0]].concat();
        // As JOSE has it.
        let raw = [[0; 32].as_slice(), &r[2..]].concat();
        for other in [long_form, zero, trailing, raw] {
            assert_eq!(verify(&mut parts, &other), Err(AuthenticationFault::Signature), "{other:02x?}");
        }
    }
}

/// Ed25519 signs the message, and not a hash of it.
#[test]
fn a_prehashed_ed25519_signature() {
    let mut parts = parts(Ceremony::Authentication, Algorithm::EdDsa);
    let public_key = parts.keys.cose();
    let prehashed = parts.keys.sign(&sha256(&parts.signed()));
    parts.response = json!({ "signature": base64url::encode(&prehashed) });
    let found = verify(&parts, &stored(&public_key), &relying_party(|_| ()), &EXPECTED);
    assert_eq!(found, Err(AuthenticationFault::Signature));
}

#[test]
fn a_stored_key_that_is_none() {
    let parts = parts(Ceremony::Authentication, Algorithm::Es256);
    for (public_key, due) in [
        (vec![], CoseKeyFault::Cbor(cbor::CborFault::Truncated)),
        // With extensions behind it, as some have stored it.
        (
            [parts.keys.cose(), encoder::named(&[])].concat(),
            CoseKeyFault::Cbor(cbor::CborFault::TrailingBytes),
        ),
    ] {
        let found = verify(&parts, &stored(&public_key), &relying_party(|_| ()), &EXPECTED);
        assert_eq!(found, Err(AuthenticationFault::Key(due)));
    }
}
