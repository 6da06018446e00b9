//! Section 7.1, step by step.

use serde_json::json;

use super::{
    super::{
        attestation::AttestationFault,
        authenticator_data::AuthenticatorDataFault,
        cbor::CborFault,
        client_data::Ceremony,
        cose_key::CoseKeyFault,
        registration::{self, ExpectedRegistration, NewCredential, RegistrationFault},
        *,
    },
    authenticator::*,
};
use crate::{
    crypto::{Algorithm, HostCrypto, KeyFault, NoHostCrypto, test_host::RingHost},
    origin::WebOrigin,
    text::base64url,
};

const EXPECTED: ExpectedRegistration<'_> = ExpectedRegistration {
    challenge: CHALLENGE,
    user_verification: UserVerification::Required,
    is_conditional: false,
};

/// Reads a registration and verifies it over both roads.
fn verify(
    parts: &Parts,
    relying_party: &RelyingParty,
    expected: &ExpectedRegistration<'_>,
) -> Result<NewCredential, RegistrationFault> {
    let response = RegistrationResponse::read(parts.registration().to_string().as_bytes()).unwrap();
    let by = |host: &dyn HostCrypto| registration::verify(&response, relying_party, expected, host);
    let in_module = by(&NoHostCrypto);
    assert_eq!(in_module, by(&RingHost), "the two roads part");
    in_module
}

type Row = (&'static str, fn(&mut Parts), Result<(), RegistrationFault>);

fn check(rows: &[Row], relying_party: &RelyingParty, expected: &ExpectedRegistration<'_>) {
    for (what, change, due) in rows {
        let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
        change(&mut parts);
        let found = verify(&parts, relying_party, expected).map(|_| ());
        assert_eq!(&found, due, "{what}");
    }
}

fn context(fault: ContextFault) -> Result<(), RegistrationFault> {
    Err(RegistrationFault::Context(fault))
}

fn attestation(fault: AttestationFault) -> Result<(), RegistrationFault> {
    Err(RegistrationFault::Attestation(fault))
}

fn data(fault: AuthenticatorDataFault) -> Result<(), RegistrationFault> {
    Err(RegistrationFault::AuthenticatorData(fault))
}

fn key(fault: CoseKeyFault) -> Result<(), RegistrationFault> {
    Err(RegistrationFault::Key(fault))
}

fn attested(parts: &mut Parts) -> &mut Attested {
    parts.attested.as_mut().unwrap()
}

/// The public key with one parameter replaced, or added.
fn with_parameter(parts: &mut Parts, label: i64, value: Vec<u8>) {
    let mut parameters = parts.keys.parameters();
    parameters.retain(|(other, _)| *other != label);
    parameters.push((label, value));
    attested(parts).public_key = encoder::labelled(&parameters);
}

#[test]
fn the_credential_of_every_algorithm_is_stored_as_it_is() {
    for algorithm in ALGORITHMS {
        let mut parts = parts(Ceremony::Registration, algorithm);
        parts.counter = 41;
        parts.flags |= BE | BS;
        attested(&mut parts).aaguid = [9; 16];
        parts.body = json!({"clientExtensionResults": {"credProps": {"rk": true}}});
        let found = verify(&parts, &relying_party(|_| ()), &EXPECTED).unwrap();
        let due = NewCredential {
            id: CREDENTIAL_ID.to_vec(),
            public_key: parts.keys.cose(),
            algorithm,
            counter: 41,
            user_verified: true,
            backup_eligible: true,
            backed_up: true,
            transports: vec!["internal".into(), "hybrid".into()],
            is_discoverable: Some(true),
            aaguid: [9; 16],
            attestation_format: "none".into(),
            attestation_type: AttestationType::None,
        };
        assert_eq!(found, due);
    }
}

#[test]
fn client_data() {
    let rows: &[Row] = &[
        ("as it is", |_| (), Ok(())),
        (
            "step 7: of an assertion",
            |p| p.client_data["type"] = json!("webauthn.get"),
            context(ContextFault::Ceremony),
        ),
        (
            "step 7: of a payment",
            |p| p.client_data["type"] = json!("payment.get"),
            context(ContextFault::Ceremony),
        ),
        (
            "step 8: another challenge",
            |p| p.client_data["challenge"] = json!(base64url::encode(b"32 bytes that nobody can forese3")),
            context(ContextFault::Challenge),
        ),
        (
            "step 8: a part of the challenge",
            |p| p.client_data["challenge"] = json!(base64url::encode(&CHALLENGE[..31])),
            context(ContextFault::Challenge),
        ),
        (
            "step 8: the challenge in another member alone",
            |p| {
                p.client_data["challenge"] = json!("AAAA");
                p.client_data["extra"] = json!(format!("\"challenge\":\"{}\"", base64url::encode(CHALLENGE)));
            },
            context(ContextFault::Challenge),
        ),
        (
            "step 9: another port",
            |p| p.client_data["origin"] = json!("https://app.example:8443"),
            context(ContextFault::Origin),
        ),
        (
            "step 9: a subdomain that is not listed",
            |p| p.client_data["origin"] = json!("https://pages.app.example"),
            context(ContextFault::Origin),
        ),
        (
            "step 9: without TLS",
            |p| p.client_data["origin"] = json!("http://app.example"),
            context(ContextFault::Origin),
        ),
        (
            "step 9: as no client writes it",
            |p| p.client_data["origin"] = json!("https://app.example/"),
            context(ContextFault::Origin),
        ),
        ("step 9: of no site", |p| p.client_data["origin"] = json!("null"), context(ContextFault::Origin)),
        (
            "step 10: in a frame",
            |p| p.client_data["crossOrigin"] = json!(true),
            context(ContextFault::CrossOrigin),
        ),
        (
            "step 10: without the member",
            |p| drop(p.client_data.as_object_mut().unwrap().remove("crossOrigin")),
            Ok(()),
        ),
        (
            "step 11: in a frame that is not said to be one",
            |p| p.client_data["topOrigin"] = json!("https://other.example"),
            context(ContextFault::CrossOrigin),
        ),
        ("section 5.8.1: members that nobody knows", |p| p.client_data["future"] = json!({"a": [1]}), Ok(())),
    ];
    check(rows, &relying_party(|_| ()), &EXPECTED);
}

#[test]
fn frames() {
    let framed = relying_party(|spec| {
        spec.top_origins = vec![WebOrigin::parse("https://portal.example").unwrap()];
    });
    let rows: &[Row] = &[
        ("in no frame", |_| (), Ok(())),
        (
            "step 10: whose page, the client does not say",
            |p| p.client_data["crossOrigin"] = json!(true),
            Ok(()),
        ),
        (
            "step 11: of a page that is listed",
            |p| {
                p.client_data["crossOrigin"] = json!(true);
                p.client_data["topOrigin"] = json!("https://portal.example");
            },
            Ok(()),
        ),
        (
            "step 11: of a page that is not",
            |p| {
                p.client_data["crossOrigin"] = json!(true);
                p.client_data["topOrigin"] = json!("https://portal.example:8443");
            },
            context(ContextFault::TopOrigin),
        ),
        (
            "step 11: of our own page, which is not listed",
            |p| p.client_data["topOrigin"] = json!(ORIGIN),
            context(ContextFault::TopOrigin),
        ),
    ];
    check(rows, &framed, &EXPECTED);
}

#[test]
fn origins_of_other_domains_and_of_apps() {
    const APP: &str = "android:apk-key-hash:7d1D7vF4oUNXoeuRl8gjFmKkVbuU-iSdGMzzVoTKc-c";
    const IN_STORE: &str = "android:apk-key-hash:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let relying_party = relying_party(|spec| {
        spec.origins = [ORIGIN, "https://login.app.example:443/", APP, IN_STORE]
            .map(|origin| Origin::parse(origin).unwrap())
            .to_vec();
        spec.related_origins = vec![WebOrigin::parse("https://app.test").unwrap()];
    });
    let other = APP.replace("7d1D", "7d1E");
    for (origin, is_taken) in [
        (ORIGIN, true),
        ("https://login.app.example", true),
        ("https://login.app.example:443", false),
        (APP, true),
        (IN_STORE, true),
        (other.as_str(), false),
        ("https://app.test", true),
        ("https://login.app.test", false),
    ] {
        let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
        parts.client_data["origin"] = json!(origin);
        let due = if is_taken { Ok(()) } else { context(ContextFault::Origin) };
        assert_eq!(verify(&parts, &relying_party, &EXPECTED).map(|_| ()), due, "{origin}");
    }
}

#[test]
fn attestation_objects_and_authenticator_data() {
    let rows: &[Row] = &[
        ("step 14: of another relying party", |p| p.rp_id = "example", context(ContextFault::RpId)),
        ("step 15: nobody was there", |p| p.flags = UV, context(ContextFault::UserPresence)),
        ("step 16: the user was not verified", |p| p.flags = UP, context(ContextFault::UserVerification)),
        ("step 17: eligible, and backed up", |p| p.flags |= BE | BS, Ok(())),
        ("step 17: eligible", |p| p.flags |= BE, Ok(())),
        ("step 17: backed up, and not eligible", |p| p.flags |= BS, context(ContextFault::BackupState)),
        ("section 6.1: flags of the future", |p| p.flags |= 1 << 1 | 1 << 5, Ok(())),
        (
            "section 6.1: no credential, as AT has it",
            |p| {
                p.attested = None;
                p.body = json!({"id": "Y3JlZGVudGlhbC0x", "rawId": "Y3JlZGVudGlhbC0x"});
            },
            Err(RegistrationFault::NoCredential),
        ),
        ("section 6.1: bytes behind", |p| p.trailing = vec![0], data(AuthenticatorDataFault::TrailingBytes)),
        (
            "section 6.1: extensions, as ED has it",
            |p| {
                p.extensions =
                    Some(encoder::named(&[("credProtect", encoder::int(2)), ("hmac-secret", vec![0xf5])]))
            },
            Ok(()),
        ),
        (
            "section 6.1: extensions that ED does not announce",
            |p| p.trailing = encoder::named(&[("credProtect", encoder::int(2))]),
            data(AuthenticatorDataFault::TrailingBytes),
        ),
        (
            "section 6.1: ED without extensions",
            |p| p.flags |= ED,
            data(AuthenticatorDataFault::ExtensionsCbor(CborFault::Truncated)),
        ),
        (
            "section 6.1: extensions that are no map",
            |p| p.extensions = Some(encoder::array(&[])),
            data(AuthenticatorDataFault::Extensions),
        ),
        (
            "section 6.1: an extension by number",
            |p| p.extensions = Some(encoder::labelled(&[(1, encoder::int(2))])),
            data(AuthenticatorDataFault::Extensions),
        ),
        (
            "section 2.4: an extension twice",
            |p| {
                let again = ("credProtect", encoder::int(2));
                p.extensions = Some(encoder::named(&[again.clone(), again]));
            },
            data(AuthenticatorDataFault::ExtensionsCbor(CborFault::DuplicateKey)),
        ),
        ("step 25: an id of one byte", |p| attested(p).id = vec![7], Ok(())),
        ("step 25: an id of 1023 bytes", |p| attested(p).id = vec![7; 1023], Ok(())),
        (
            "step 25: an id of 1024 bytes",
            |p| attested(p).id = vec![7; 1024],
            data(AuthenticatorDataFault::CredentialIdLength),
        ),
        (
            "step 25: no id",
            |p| {
                attested(p).id = vec![];
                p.body = json!({"id": "AA", "rawId": "AA"});
            },
            data(AuthenticatorDataFault::CredentialIdLength),
        ),
        (
            "section 5.1.3: the client names another credential",
            |p| p.body = json!({"id": "AA", "rawId": "AA"}),
            Err(RegistrationFault::CredentialId),
        ),
        ("section 5.1.3: with the authenticator's model", |p| attested(p).aaguid = [7; 16], Ok(())),
    ];
    check(rows, &relying_party(|_| ()), &EXPECTED);
}

#[test]
fn without_verification_and_without_presence() {
    let preferred = ExpectedRegistration { user_verification: UserVerification::Preferred, ..EXPECTED };
    let conditional = ExpectedRegistration { is_conditional: true, ..preferred };
    let rows: [(&ExpectedRegistration<'_>, u8, Result<bool, ContextFault>); 6] = [
        (&EXPECTED, UP | UV, Ok(true)),
        (&preferred, UP | UV, Ok(true)),
        (&preferred, UP, Ok(false)),
        (&preferred, 0, Err(ContextFault::UserPresence)),
        (&conditional, 0, Ok(false)),
        (&ExpectedRegistration { is_conditional: true, ..EXPECTED }, 0, Err(ContextFault::UserVerification)),
    ];
    for (expected, flags, due) in rows {
        let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
        parts.flags = flags;
        let found =
            verify(&parts, &relying_party(|_| ()), expected).map(|credential| credential.user_verified);
        assert_eq!(found, due.map_err(RegistrationFault::Context), "{expected:?} {flags:b}");
    }
}

#[test]
fn public_keys() {
    let rows: &[Row] = &[
        (
            "section 5.8.5: another algorithm than type and curve have",
            |p| with_parameter(p, 3, encoder::int(-8)),
            key(CoseKeyFault::Unsupported),
        ),
        (
            "section 5.8.5: ES256 with P-384",
            |p| with_parameter(p, -1, encoder::int(2)),
            key(CoseKeyFault::Unsupported),
        ),
        (
            "section 5.8.5: the compressed form",
            |p| with_parameter(p, -3, vec![0xf5]),
            key(CoseKeyFault::Parameter { label: -3 }),
        ),
        (
            "section 5.8.5: off the curve",
            |p| with_parameter(p, -3, encoder::bytes(&[1; 32])),
            key(CoseKeyFault::Key(KeyFault::Point)),
        ),
        (
            "section 6.5.1: without `alg`",
            |p| {
                let mut parameters = p.keys.parameters();
                parameters.remove(1);
                attested(p).public_key = encoder::labelled(&parameters);
            },
            key(CoseKeyFault::Parameter { label: 3 }),
        ),
        (
            "section 6.5.1: with the private key",
            |p| with_parameter(p, -4, encoder::bytes(&[1; 32])),
            key(CoseKeyFault::Surplus),
        ),
        (
            "section 2.4: a parameter twice",
            |p| {
                let mut parameters = p.keys.parameters();
                parameters.push((3, encoder::int(-7)));
                attested(p).public_key = encoder::labelled(&parameters);
            },
            data(AuthenticatorDataFault::PublicKeyCbor(CborFault::DuplicateKey)),
        ),
        (
            "section 2.4: a parameter twice, once in a longer form",
            |p| {
                let mut parameters = p.keys.parameters();
                parameters.remove(0);
                let mut key = encoder::labelled(&parameters);
                // Five members again: `alg` as two bytes, and its value.
                key[0] = 0xa5;
                key.extend([0x18, 3, 0x26]);
                attested(p).public_key = key;
            },
            data(AuthenticatorDataFault::PublicKeyCbor(CborFault::NotCanonical)),
        ),
        ("not a map", |p| attested(p).public_key = encoder::array(&[]), key(CoseKeyFault::NotAMap)),
    ];
    check(rows, &relying_party(|_| ()), &EXPECTED);
}

#[test]
fn what_can_be_copied_and_what_is() {
    for (flags, due) in [(0, (false, false)), (BE, (true, false)), (BE | BS, (true, true))] {
        let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
        parts.flags |= flags;
        let found = verify(&parts, &relying_party(|_| ()), &EXPECTED).unwrap();
        assert_eq!((found.backup_eligible, found.backed_up), due, "{flags:b}");
    }
}

/// X25519 has keys of the same form, for agreement alone.
#[test]
fn eddsa_with_another_curve_than_ed25519() {
    for (crv, due) in [(6, Ok(())), (4, key(CoseKeyFault::Unsupported)), (7, key(CoseKeyFault::Unsupported))]
    {
        let mut parts = parts(Ceremony::Registration, Algorithm::EdDsa);
        with_parameter(&mut parts, -1, encoder::int(crv));
        let found = verify(&parts, &relying_party(|_| ()), &EXPECTED).map(|_| ());
        assert_eq!(found, due, "{crv}");
    }
}

/// Stored with the extensions behind it, a key would never verify anything.
#[test]
fn extensions_are_no_part_of_the_key() {
    let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
    parts.extensions = Some(encoder::named(&[("credProtect", encoder::int(2))]));
    let found = verify(&parts, &relying_party(|_| ()), &EXPECTED).unwrap();
    assert_eq!(found.public_key, parts.keys.cose());
}

/// One authenticator of 2023 announced a member fewer than the key has.
#[test]
fn a_key_that_announces_three_members_and_has_four() {
    let mut parts = parts(Ceremony::Registration, Algorithm::EdDsa);
    attested(&mut parts).public_key[0] = 0xa3;
    let found = verify(&parts, &relying_party(|_| ()), &EXPECTED).map(|_| ());
    assert_eq!(found, data(AuthenticatorDataFault::TrailingBytes));
}

#[test]
fn only_algorithms_that_were_offered() {
    for offered in [&ALGORITHMS[..], &[Algorithm::Es256], &[Algorithm::EdDsa, Algorithm::Rs256]] {
        let relying_party = relying_party(|spec| spec.algorithms = offered.to_vec());
        for algorithm in ALGORITHMS {
            let parts = parts(Ceremony::Registration, algorithm);
            let due = match offered.contains(&algorithm) {
                true => Ok(()),
                false => Err(RegistrationFault::Algorithm(algorithm)),
            };
            assert_eq!(
                verify(&parts, &relying_party, &EXPECTED).map(|_| ()),
                due,
                "{algorithm} of {offered:?}"
            );
        }
    }
}

#[test]
fn self_attestation() {
    let with_statement = |change: fn(&mut Vec<(&'static str, Vec<u8>)>)| {
        let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
        parts.format = "packed";
        let mut statement = parts.self_attestation();
        change(&mut statement);
        parts.statement = Some(encoder::named(&statement));
        verify(&parts, &relying_party(|_| ()), &EXPECTED).map(|credential| credential.attestation_type)
    };
    let fault = |fault| Err(RegistrationFault::Attestation(fault));
    assert_eq!(with_statement(|_| ()), Ok(AttestationType::SelfAttestation));
    // By order it is said first that the algorithm is another, which is not even tried.
    assert_eq!(with_statement(|s| s[0].1 = encoder::int(-8)), fault(AttestationFault::Algorithm));
    assert_eq!(with_statement(|s| s[0].1 = encoder::int(-35)), fault(AttestationFault::Algorithm));
    assert_eq!(with_statement(|s| *s[1].1.last_mut().unwrap() ^= 1), fault(AttestationFault::Signature));
    assert_eq!(with_statement(|s| s[1].1 = encoder::bytes(&[])), fault(AttestationFault::Signature));
    assert_eq!(with_statement(|s| s[1].1 = encoder::text("x")), fault(AttestationFault::Statement));
    assert_eq!(with_statement(|s| drop(s.remove(0))), fault(AttestationFault::Statement));
    assert_eq!(with_statement(|s| drop(s.remove(1))), fault(AttestationFault::Statement));
    assert_eq!(with_statement(|s| s.push(("more", vec![0xf6]))), fault(AttestationFault::Statement));
    // With certificates it is none.
    assert_eq!(with_statement(|s| s.push(("x5c", encoder::array(&[])))), Ok(AttestationType::Ignored));
    assert_eq!(
        with_statement(|s| s.push(("ecdaaKeyId", encoder::bytes(&[1])))),
        Ok(AttestationType::Ignored)
    );
    for algorithm in ALGORITHMS {
        let mut parts = parts(Ceremony::Registration, algorithm);
        parts.format = "packed";
        let found = verify(&parts, &relying_party(|_| ()), &EXPECTED).unwrap();
        assert_eq!(found.attestation_type, AttestationType::SelfAttestation, "{algorithm}");
        // Over other client data.
        parts.statement = Some(encoder::named(&parts.self_attestation()));
        parts.client_data["future"] = json!(1);
        let found = verify(&parts, &relying_party(|_| ()), &EXPECTED).map(|_| ());
        assert_eq!(found, attestation(AttestationFault::Signature), "{algorithm}");
    }
}

#[test]
fn no_attestation_and_those_of_other_formats() {
    let rows: &[Row] = &[
        ("none", |_| (), Ok(())),
        (
            "section 8.7: none that says something",
            |p| p.statement = Some(encoder::named(&[("alg", encoder::int(-7))])),
            attestation(AttestationFault::Statement),
        ),
        (
            "section 8.7: none that is no map",
            |p| p.statement = Some(vec![0xf6]),
            attestation(AttestationFault::Member("attStmt")),
        ),
        ("section 8.1: an empty format", |p| p.format = "", attestation(AttestationFault::Member("fmt"))),
        (
            "section 8.1: a format with a quote",
            |p| p.format = "a\"b",
            attestation(AttestationFault::Member("fmt")),
        ),
        (
            "section 8.1: a format of 33 bytes",
            |p| p.format = "com.example.a-format-that-is-long",
            attestation(AttestationFault::Member("fmt")),
        ),
    ];
    let (lenient, strict) =
        (relying_party(|_| ()), relying_party(|spec| spec.other_attestation = OtherAttestation::Refused));
    check(rows, &lenient, &EXPECTED);
    check(rows, &strict, &EXPECTED);
    for format in [
        "tpm",
        "android-key",
        "android-safetynet",
        "fido-u2f",
        "apple",
        "compound",
        "None",
        "com.example.new",
    ] {
        let mut parts = parts(Ceremony::Registration, Algorithm::Es256);
        parts.format = format;
        parts.statement = Some(encoder::named(&[("sig", encoder::bytes(&[1]))]));
        let taken = verify(&parts, &lenient, &EXPECTED).unwrap();
        assert_eq!(taken.attestation_type, AttestationType::Ignored);
        assert_eq!(&*taken.attestation_format, format);
        let refused = verify(&parts, &strict, &EXPECTED).map(|_| ());
        assert_eq!(refused, attestation(AttestationFault::Format(format.into())));
    }
}

/// Clients write the members of an attestation object in orders that are not canonical.
#[test]
fn any_order_and_no_member_twice() {
    let parts = parts(Ceremony::Registration, Algorithm::Es256);
    let members = [
        ("authData", encoder::bytes(&parts.authenticator_data())),
        ("fmt", encoder::text("none")),
        ("attStmt", encoder::named(&[])),
    ];
    let verify = |members: &[(&str, Vec<u8>)]| {
        let mut body = parts.registration();
        body["response"]["attestationObject"] = json!(base64url::encode(&encoder::named(members)));
        let response = RegistrationResponse::read(body.to_string().as_bytes()).unwrap();
        registration::verify(&response, &relying_party(|_| ()), &EXPECTED, &NoHostCrypto).map(|_| ())
    };
    assert_eq!(verify(&members), Ok(()));
    for missing in 0..3 {
        let mut fewer = members.to_vec();
        let (name, _) = fewer.remove(missing);
        assert_eq!(verify(&fewer), attestation(AttestationFault::Member(name)));
    }
    let mut more = members.to_vec();
    more.push(("future", encoder::int(1)));
    assert_eq!(verify(&more), Ok(()));
    more.push(("fmt", encoder::text("none")));
    assert_eq!(verify(&more), attestation(AttestationFault::Cbor(CborFault::DuplicateKey)));
}
