//! `passkeys`, and what rules say of them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{base, decode, faults};
use crate::{
    config::{ActionSpec, RuleSpec},
    crypto::{Algorithm, new_private_jwk},
    passkeys::{CeremonyRule, PasskeyStoreSpec},
    policy::Policy,
    rbac::{PasskeyUse, StepUp},
};

/// [`base`] with all that passkeys need, and a rule that asks for one; `members` replace those of the section that stands
/// at `pointer`, null takes one out.
fn document(pointer: &str, members: &Value) -> Value {
    let mut document = base();
    document["signingKeys"] = json!({"keys": [new_private_jwk(Algorithm::EdDsa).unwrap()]});
    document["sessions"] = json!({"issuer": "https://gateway.example", "audiences": ["api"]});
    document["passkeys"] = json!({
        "relyingParty": {"id": "example.com", "origins": ["https://shop.example.com"]},
        "sharedData": true,
    });
    let transfer = json!({
        "name": "transfer",
        "matches": [{"path": {"type": "Exact", "value": "/transfer"}}],
        "authenticate": {"anyOf": [{"jwt": "sessions"}]},
        "authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path"]}}},
    });
    document["rules"].as_array_mut().unwrap().insert(0, transfer);
    let section = document.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    for (name, value) in members.as_object().unwrap_or(&Map::new()) {
        match value {
            Value::Null => section.shift_remove(name),
            value => section.insert(name.clone(), value.clone()),
        };
    }
    document
}

fn step_up(rule: &RuleSpec) -> StepUp {
    let ActionSpec::Allow { authorize: Some(asked), .. } = &rule.action else { panic!("{rule:?}") };
    asked.any_of[0].step_up.clone().unwrap()
}

fn policy_faults(document: &Value) -> Vec<String> {
    let compiled = Policy::compile(document.to_string().as_bytes(), "test");
    compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_read_and_what_is_left_out() {
    let read = decode(document("/passkeys", &json!({})).to_string().as_bytes()).unwrap();
    let section = read.passkeys.unwrap();
    let spec = &section.spec;
    assert_eq!(spec.path, "/.well-known/portcullis/webauthn/");
    assert_eq!((spec.provider.as_deref(), spec.enrolment_codes), (None, true));
    assert!(spec.requires_user_verification);
    assert_eq!((spec.timeout, spec.session_max_age), (Duration::from_secs(300), Duration::from_secs(600)));
    assert!(matches!(spec.store, PasskeyStoreSpec::SharedData));
    assert_eq!(section.relying_party.name, "example.com");
    assert_eq!(section.relying_party.algorithms, [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256]);
    assert_eq!(section.rules.map(|rule| rule.name), CeremonyRule::ALL.map(CeremonyRule::name));
    let asked = step_up(&read.rules[0]);
    let options = "/.well-known/portcullis/webauthn/step-up/options".to_owned();
    assert_eq!(asked.passkey, Some(PasskeyUse::Confirmation { with_body: false, options }));
    let signed_in = json!({"stepUp": {"passkey": {"maxAge": "5m"}}});
    let read = decode(document("/rules/0", &json!({"authorize": signed_in})).to_string().as_bytes()).unwrap();
    let asked = step_up(&read.rules[0]);
    assert_eq!(
        asked.passkey,
        Some(PasskeyUse::SignIn {
            sessions: "sessions".to_owned(),
            max_age: Duration::from_secs(300),
            options: "/.well-known/portcullis/webauthn/authentication/options".to_owned(),
        })
    );
}

#[test]
fn what_may_stand_there_beside_its_nearest_that_may_not() {
    let etcd = json!({"uri": "http://etcd:2379", "cluster": "etcd"});
    let (own, party, registration) = ("/passkeys", "/passkeys/relyingParty", "/passkeys/registration");
    let with = |pointer: &str, members: &Value| match pointer {
        "/passkeys/registration" => document("/passkeys", &json!({"registration": members})),
        _ => document(pointer, members),
    };
    for (pointer, good, bad, expected) in [
        (
            own,
            json!({"path": "/passkeys/"}),
            json!({"path": "/passkeys"}),
            "passkeys.path: \"/passkeys\" must end with /, and be more than that",
        ),
        (
            own,
            json!({"path": "/p/"}),
            json!({"path": "/"}),
            "passkeys.path: \"/\" must end with /, and be more than that",
        ),
        (
            own,
            json!({"timeout": "30s"}),
            json!({"timeout": "29s"}),
            "passkeys.timeout: must be from 30s to 1h, found \"29s\"",
        ),
        (
            own,
            json!({"userVerification": "Preferred"}),
            json!({"userVerification": "Discouraged"}),
            "passkeys.userVerification: \"Discouraged\" is not a choice (one of Required, Preferred)",
        ),
        (
            own,
            json!({"sharedData": null, "etcd": etcd}),
            json!({"etcd": etcd}),
            "passkeys.sharedData: contradicts etcd; give one of them",
        ),
        (
            own,
            json!({}),
            json!({"sharedData": null}),
            "passkeys: names no store; give etcd, or sharedData: true to try it out",
        ),
        (
            registration,
            json!({"jwt": "corp"}),
            json!({"jwt": "corq"}),
            "passkeys.registration.jwt: unknown provider \"corq\"; did you mean \"corp\"?",
        ),
        (
            registration,
            json!({"enrolmentCodes": "Refuse", "jwt": "corp"}),
            json!({"enrolmentCodes": "Refuse"}),
            "passkeys.registration: lets nobody make a passkey; name a provider in jwt, or accept enrolment codes",
        ),
        (
            registration,
            json!({"jwt": "corp", "stepUp": {"acrValues": ["phr"]}}),
            json!({"stepUp": {"acrValues": ["phr"]}}),
            "passkeys.registration.stepUp: has no effect without jwt: nobody makes a passkey by a token",
        ),
        (
            party,
            json!({"algorithms": ["ES256"]}),
            json!({"algorithms": ["ES256", "ES256"]}),
            "passkeys.relyingParty.algorithms[1]: is listed twice",
        ),
        (
            party,
            json!({"algorithms": ["RS256"]}),
            json!({"algorithms": ["PS256"]}),
            "passkeys.relyingParty.algorithms[0]: \"PS256\" is not an algorithm (one of ES256, EdDSA, RS256); did you mean \"ES256\"?",
        ),
        (
            party,
            json!({"origins": ["https://example.com:443"]}),
            json!({"origins": ["https://example.com/login"]}),
            "passkeys.relyingParty.origins[0]: must be an origin, without path and query",
        ),
        (
            "/rules/0/authorize/stepUp/passkey",
            json!({"boundTo": ["Path", "Method", "Body"]}),
            json!({"boundTo": ["Method", "Body"]}),
            "rules[0].authorize.stepUp.passkey.boundTo: must list Method and Path, which a confirmation is always bound to",
        ),
        (
            "/rules/0/authorize/stepUp/passkey",
            json!({"boundTo": null, "maxAge": "1s"}),
            json!({"maxAge": "1s"}),
            "rules[0].authorize.stepUp.passkey.boundTo: contradicts maxAge; give one of them",
        ),
        (
            "/rules/0/authorize/stepUp/passkey",
            json!({}),
            json!({"boundTo": null}),
            "rules[0].authorize.stepUp.passkey: asks for nothing; give maxAge or boundTo",
        ),
    ] {
        let none: [String; 0] = [];
        assert_eq!(faults(&with(pointer, &good)), none, "{good}");
        assert_eq!(faults(&with(pointer, &bad)), [expected], "{bad}");
    }
}

/// Two tenants may both have a user of that name.
#[test]
fn passkeys_are_made_by_tokens_of_one_issuer() {
    let with = |provider: &Value| {
        let mut document = document("/passkeys", &json!({"registration": {"jwt": "staff"}}));
        let mut provider = provider.clone();
        let own = json!({
            "name": "staff", "audiences": ["api"], "algorithms": ["RS256"],
            "jwks": {"uri": "https://login.example/keys", "cluster": "login"},
        });
        provider.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        document["jwt"]["providers"].as_array_mut().unwrap().push(provider);
        document["rules"][0]["authenticate"]["anyOf"] = json!([{"jwt": "sessions"}, {"jwt": "staff"}]);
        document
    };
    let none: [String; 0] = [];
    assert_eq!(policy_faults(&with(&json!({"issuer": "https://login.example/1111/v2.0"}))), none);
    let tenants = json!({"issuer": "https://login.example/{tenant}/v2.0", "tenants": ["1111"]});
    let expected = "passkeys.registration.jwt: \"staff\" has tenants, whose users may be called the same; name a provider of one issuer";
    assert_eq!(policy_faults(&with(&tenants)), [expected]);
}

#[test]
fn the_relying_party_is_judged_with_its_place() {
    for (good, bad, expected) in [
        (json!({"id": "shop.example.com"}), json!({"id": "192.0.2.1"}), "passkeys.relyingParty.id: "),
        (json!({"id": "shop.example.com"}), json!({"id": "com"}), "passkeys.relyingParty.id: "),
        (json!({"id": "example.com"}), json!({"id": "example.org"}), "passkeys.relyingParty.origins[0]: "),
        (
            json!({"origins": ["https://example.com"]}),
            json!({"origins": ["http://example.com"]}),
            "passkeys.relyingParty.origins[0]: ",
        ),
        (
            json!({"relatedOrigins": ["https://example.net"]}),
            json!({"relatedOrigins": ["https://www.example.com"]}),
            "passkeys.relyingParty.relatedOrigins[0]: ",
        ),
    ] {
        let none: [String; 0] = [];
        assert_eq!(policy_faults(&document("/passkeys/relyingParty", &good)), none, "{good}");
        let found = policy_faults(&document("/passkeys/relyingParty", &bad));
        assert!(
            !found.is_empty() && found.iter().all(|fault| fault.starts_with(expected)),
            "{bad}: {found:?}"
        );
    }
}

#[test]
fn sections_need_each_other() {
    let without = |names: &[&str]| {
        let mut document = document("/passkeys", &json!({}));
        let members = document.as_object_mut().unwrap();
        names.iter().for_each(|name| drop(members.shift_remove(*name)));
        faults(&document)
    };
    let none: [String; 0] = [];
    assert_eq!(without(&[]), none);
    assert_eq!(
        without(&["passkeys"]),
        ["rules[0].authorize.stepUp.passkey: there are no passkeys; the policy needs the section passkeys"]
    );
    let found = without(&["sessions"]);
    assert!(
        found.contains(&"sessions: required with passkeys, whose users get sessions".to_owned()),
        "{found:?}"
    );
}
