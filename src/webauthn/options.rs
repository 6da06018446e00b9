//! What a client is asked at the beginning of a ceremony, as `parseCreationOptionsFromJSON()` and
//! `parseRequestOptionsFromJSON()` read it (WebAuthn sections 5.1.8, 5.1.9, 5.4 and 5.5).

use std::time::Duration;

use serde_json::{Value, json};

use super::{context::UserVerification, cose_key::cose_algorithm, relying_party::RelyingParty};
use crate::text::base64url;

/// The most credentials that are named to a client: some browsers take no more.
pub const MAX_DESCRIPTORS: usize = 20;

/// Whether a new credential is to be found without its id being named (section 5.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResidentKey {
    /// It must.
    Required,
    /// It should.
    Preferred,
}

/// A credential, as clients are told of it (section 5.8.3).
#[derive(Clone, Copy, Debug)]
pub struct Descriptor<'a> {
    /// Its id.
    pub id: &'a [u8],
    /// How its authenticator can be reached, as the client said; empty: not known.
    pub transports: &'a [Box<str>],
}

/// What a client is asked in order to make a credential.
#[derive(Clone, Copy, Debug)]
pub struct CreationOptions<'a> {
    /// The challenge.
    pub challenge: &'a [u8],
    /// The user's handle: 1 to 64 bytes that tell nothing about the user.
    pub user_handle: &'a [u8],
    /// The user's name, to tell accounts apart.
    pub user_name: &'a str,
    /// The name that the user likes to see; may be empty.
    pub display_name: &'a str,
    /// The credentials that the user has: their authenticators make no other. The first [`MAX_DESCRIPTORS`] are named.
    pub exclude: &'a [Descriptor<'a>],
    /// Whether the credential is to be discoverable.
    pub resident_key: ResidentKey,
    /// Whether the user must be verified.
    pub user_verification: UserVerification,
    /// How long the client waits for the user.
    pub timeout: Duration,
}

/// What a client is asked in order to sign an assertion.
#[derive(Clone, Copy, Debug)]
pub struct RequestOptions<'a> {
    /// The challenge.
    pub challenge: &'a [u8],
    /// The credentials that will do, of which the first [`MAX_DESCRIPTORS`] are named; empty: any that is discoverable.
    pub allow: &'a [Descriptor<'a>],
    /// Whether the user must be verified.
    pub user_verification: UserVerification,
    /// How long the client waits for the user.
    pub timeout: Duration,
}

impl CreationOptions<'_> {
    /// `PublicKeyCredentialCreationOptionsJSON`. No attestation is asked for, and whether the credential became
    /// discoverable is (section 10.1.3).
    pub fn to_json(&self, relying_party: &RelyingParty) -> Value {
        let spec = relying_party.spec();
        let algorithms = spec.algorithms.iter().filter_map(|algorithm| cose_algorithm(*algorithm));
        let algorithms: Vec<_> = algorithms.map(|alg| json!({"type": "public-key", "alg": alg})).collect();
        let is_required = self.resident_key == ResidentKey::Required;
        json!({
            "rp": {"id": spec.id, "name": spec.name},
            "user": {
                "id": base64url::encode(self.user_handle),
                "name": self.user_name,
                "displayName": self.display_name,
            },
            "challenge": base64url::encode(self.challenge),
            "pubKeyCredParams": algorithms,
            "timeout": milliseconds(self.timeout),
            "excludeCredentials": descriptors(self.exclude),
            "authenticatorSelection": {
                "residentKey": if is_required { "required" } else { "preferred" },
                // For clients from before Level 2.
                "requireResidentKey": is_required,
                "userVerification": self.user_verification.as_str(),
            },
            "attestation": "none",
            "extensions": {"credProps": true},
        })
    }
}

impl RequestOptions<'_> {
    /// `PublicKeyCredentialRequestOptionsJSON`.
    pub fn to_json(&self, relying_party: &RelyingParty) -> Value {
        json!({
            "challenge": base64url::encode(self.challenge),
            "timeout": milliseconds(self.timeout),
            "rpId": relying_party.spec().id,
            "allowCredentials": descriptors(self.allow),
            "userVerification": self.user_verification.as_str(),
        })
    }
}

fn descriptors(credentials: &[Descriptor<'_>]) -> Value {
    let descriptor = |credential: &Descriptor<'_>| {
        let (id, transports) = (base64url::encode(credential.id), credential.transports);
        match transports.is_empty() {
            true => json!({"type": "public-key", "id": id}),
            false => json!({"type": "public-key", "id": id, "transports": transports}),
        }
    };
    credentials.iter().take(MAX_DESCRIPTORS).map(descriptor).collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::tests::authenticator::relying_party, *};
    use crate::crypto::Algorithm;

    #[test]
    fn to_make_a_credential() {
        let transports: [Box<str>; 2] = ["internal".into(), "one-of-the-future".into()];
        let options = CreationOptions {
            challenge: &[1, 2, 3],
            user_handle: &[0xfb, 0xff],
            user_name: "alice",
            display_name: "Alice \"A\"",
            exclude: &[
                Descriptor { id: &[1], transports: &transports },
                Descriptor { id: &[2], transports: &[] },
            ],
            resident_key: ResidentKey::Preferred,
            user_verification: UserVerification::Required,
            timeout: Duration::from_secs(300),
        };
        let found = options.to_json(&relying_party(|_| ()));
        assert_eq!(
            found,
            json!({
                "rp": {"id": "app.example", "name": "Example"},
                "user": {"id": "-_8", "name": "alice", "displayName": "Alice \"A\""},
                "challenge": "AQID",
                "pubKeyCredParams": [
                    {"type": "public-key", "alg": -7},
                    {"type": "public-key", "alg": -8},
                    {"type": "public-key", "alg": -257},
                ],
                "timeout": 300_000,
                "excludeCredentials": [
                    {"type": "public-key", "id": "AQ", "transports": ["internal", "one-of-the-future"]},
                    {"type": "public-key", "id": "Ag"},
                ],
                "authenticatorSelection": {
                    "residentKey": "preferred",
                    "requireResidentKey": false,
                    "userVerification": "required",
                },
                "attestation": "none",
                "extensions": {"credProps": true},
            })
        );
        let options = CreationOptions {
            resident_key: ResidentKey::Required,
            user_verification: UserVerification::Preferred,
            ..options
        };
        let found = options.to_json(&relying_party(|spec| spec.algorithms = vec![Algorithm::Rs256]));
        assert_eq!(found["pubKeyCredParams"], json!([{"type": "public-key", "alg": -257}]));
        let selection = json!({
            "residentKey": "required",
            "requireResidentKey": true,
            "userVerification": "preferred",
        });
        assert_eq!(found["authenticatorSelection"], selection);
    }

    #[test]
    fn to_sign_an_assertion() {
        let ids: Vec<[u8; 1]> = (0..70).map(|n| [n]).collect();
        let allow: Vec<_> = ids.iter().map(|id| Descriptor { id, transports: &[] }).collect();
        let options = RequestOptions {
            challenge: &[1, 2, 3],
            allow: &[],
            user_verification: UserVerification::Preferred,
            timeout: Duration::from_millis(1),
        };
        let json = |allow| RequestOptions { allow, ..options }.to_json(&relying_party(|_| ()));
        assert_eq!(
            json(&[]),
            json!({
                "challenge": "AQID",
                "timeout": 1,
                "rpId": "app.example",
                "allowCredentials": [],
                "userVerification": "preferred",
            })
        );
        for (given, named) in [(19, 19), (20, 20), (21, 20), (70, 20)] {
            let found = json(&allow[..given]);
            assert_eq!(found["allowCredentials"].as_array().unwrap().len(), named, "{given}");
        }
        assert_eq!(json(&allow)["allowCredentials"][19], json!({"type": "public-key", "id": "Ew"}));
    }
}
