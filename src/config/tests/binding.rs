//! `clientCertificates`, `dpop`, `mtls` and `stepUp`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{base, decode, faults};
use crate::{
    certificate::NamePattern,
    config::{ActionSpec, MethodSpec},
    confirmation::BindingMode,
    crypto::Algorithm,
    dpop,
};

/// [`base`] with certificates and all that speaks of them.
fn bound() -> Value {
    let mut document = base();
    document["clientCertificates"] = json!({
        "forwardedClientCert": {"trustedHops": 2},
        "principals": [
            {"uri": "spiffe://td/ns/payments/*", "roles": ["editor"], "scopes": ["a"], "tier": "gold"},
            {"dns": "*.Example.com"},
            {"subject": "CN=a,O=Acme"},
        ],
    });
    let corp = &mut document["jwt"]["providers"][0];
    corp["dpop"] = json!({
        "mode": "Required", "algorithms": ["ES256", "EdDSA"], "maxAge": "30s", "nonce": {"lifetime": "1m"},
    });
    corp["mtls"] = json!({"mode": "Accepted"});
    document["rules"][0]["authenticate"]["anyOf"] = json!([{"jwt": "corp"}, "clientCertificate"]);
    document["rules"][0]["authorize"] = json!({"stepUp": {"acrValues": ["phr", "phrh"], "maxAge": "5m"}});
    document
}

/// The faults of [`bound`] with what stands at `pointer` replaced, or removed for null.
fn faults_with(pointer: &str, value: Value) -> Vec<String> {
    let mut document = bound();
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    let parent = document.pointer_mut(parent).unwrap();
    match (parent, value) {
        (Value::Object(map), Value::Null) => drop(map.shift_remove(last)),
        (parent, value) if parent.is_object() => parent[last] = value,
        (parent, value) => parent[last.parse::<usize>().unwrap()] = value,
    }
    faults(&document)
}

#[test]
fn every_field_arrives() {
    let document = decode(bound().to_string().as_bytes()).expect("good");
    let certificates = document.client_certificates.unwrap();
    assert_eq!(certificates.trusted_hops, 2);
    let principals = certificates.principals.unwrap();
    assert_eq!(
        principals[0].name,
        NamePattern::UriLike {
            segments: ["spiffe:", "", "td", "ns", "payments"].map(|segment| Some(segment.to_owned())).into(),
            below: true,
        }
    );
    assert_eq!((&*principals[0].roles[0], &*principals[0].scopes[0]), ("editor", "a"));
    assert_eq!(principals[0].tier.as_deref(), Some("gold"));
    assert_eq!(principals[1].name, NamePattern::DnsBelow(".example.com".into()));
    assert_eq!(principals[2].name, NamePattern::Subject("CN=a,O=Acme".into()));
    let corp = &document.providers[0];
    assert_eq!(corp.mtls, Some(BindingMode::Accepted));
    let spec = corp.dpop.as_ref().unwrap();
    assert_eq!((spec.mode, spec.max_age), (BindingMode::Required, Duration::from_secs(30)));
    assert_eq!(spec.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    assert_eq!(spec.nonce_lifetime, Some(Duration::from_secs(60)));
    assert_eq!(corp.jwt.locations.last(), Some(&dpop::location()));
    let ActionSpec::Allow { authenticate, authorize: Some(authorize), .. } = &document.rules[0].action else {
        panic!("an action");
    };
    assert_eq!(authenticate[1], MethodSpec::ClientCertificate);
    let step_up = authorize.any_of[0].step_up.as_ref().unwrap();
    assert_eq!(step_up.acr_values, ["phr", "phrh"]);
    assert_eq!(step_up.max_age, Some(Duration::from_secs(300)));
}

#[test]
fn defaults() {
    let mut document = bound();
    document["clientCertificates"] = json!({});
    document["jwt"]["providers"][0]["dpop"] = json!({"mode": "Accepted"});
    let document = decode(document.to_string().as_bytes()).expect("good");
    let certificates = document.client_certificates.unwrap();
    assert!(certificates.of_connection() && certificates.principals.is_none());
    let spec = document.providers[0].dpop.as_ref().unwrap();
    assert_eq!((spec.mode, spec.max_age), (BindingMode::Accepted, Duration::from_secs(60)));
    assert_eq!(
        (spec.algs().join(" ").as_str(), spec.nonce_lifetime),
        ("ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512", None)
    );
    let base = decode(base().to_string().as_bytes()).expect("good");
    assert!(base.client_certificates.is_none());
    assert!(base.providers.iter().all(|provider| provider.dpop.is_none() && provider.mtls.is_none()));
    assert!(base.providers.iter().all(|provider| !provider.jwt.locations.contains(&dpop::location())));
}

#[test]
fn what_may_stand_there_and_what_may_not() {
    let none: [&str; 0] = [];
    let dpop = "/jwt/providers/0/dpop";
    let certificates = "/clientCertificates";
    let step_up = "/rules/0/authorize/stepUp";
    let rows: &[(&str, Value, Value, &str)] = &[
        (dpop, json!({"mode": "Accepted"}), json!({}), "dpop.mode: required"),
        (
            dpop,
            json!({"mode": "Required"}),
            json!({"mode": "required"}),
            "dpop.mode: \"required\" is not a mode (one of Accepted, Required); did you mean \"Required\"?",
        ),
        (
            dpop,
            json!({"mode": "Required", "algorithms": ["ES256", "Ed25519"]}),
            json!({"mode": "Required", "algorithms": ["ES256", "HS256"]}),
            "dpop.algorithms[1]: HS256 is no algorithm for proofs: proofs are signed with a client's own key (RFC 9449 section 4.2)",
        ),
        (
            dpop,
            json!({"mode": "Required", "algorithms": ["ES256K"]}),
            json!({"mode": "Required", "algorithms": ["none"]}),
            "dpop.algorithms[0]: none is no algorithm for proofs: proofs are signed with a client's own key (RFC 9449 section 4.2)",
        ),
        (
            dpop,
            json!({"mode": "Required", "algorithms": ["ES384"]}),
            json!({"mode": "Required", "algorithms": ["ES512"]}),
            "dpop.algorithms[0]: ES512 is not supported; use ES256 or ES384",
        ),
        (
            dpop,
            json!({"mode": "Required", "algorithms": ["ES256"]}),
            json!({"mode": "Required", "algorithms": ["es256"]}),
            "dpop.algorithms[0]: unknown algorithm \"es256\"; did you mean \"ES256\"?",
        ),
        (
            dpop,
            json!({"mode": "Required", "algorithms": ["ES256"]}),
            json!({"mode": "Required", "algorithms": ["hs256"]}),
            "dpop.algorithms[0]: unknown algorithm \"hs256\"",
        ),
        (
            dpop,
            json!({"mode": "Required", "algorithms": ["PS512"]}),
            json!({"mode": "Required", "algorithms": []}),
            "dpop.algorithms: no algorithms; leave the field out",
        ),
        (
            dpop,
            json!({"mode": "Required", "maxAge": "5m"}),
            json!({"mode": "Required", "maxAge": "301s"}),
            "dpop.maxAge: must be from 1s to 5m, found \"301s\"",
        ),
        (
            dpop,
            json!({"mode": "Required", "nonce": {}}),
            json!({"mode": "Required", "nonce": true}),
            "dpop.nonce: expected an object, found a boolean",
        ),
        (
            dpop,
            json!({"mode": "Required", "nonce": {"lifetime": "10s"}}),
            json!({"mode": "Required", "nonce": {"lifetime": "0s"}}),
            "dpop.nonce.lifetime: must be from 10s to 1h, found \"0s\"",
        ),
        (
            "/jwt/providers/0/mtls",
            json!({"mode": "Required"}),
            json!({"mode": "On"}),
            "mtls.mode: \"On\" is not a mode (one of Accepted, Required)",
        ),
        (
            certificates,
            json!({"forwardedClientCert": {"trustedHops": 1}}),
            json!({"forwardedClientCert": {"trustedHops": 0}}),
            "clientCertificates.forwardedClientCert.trustedHops: must be a whole number from 1 to 16, found 0",
        ),
        (
            certificates,
            json!({"principals": [{"uri": "spiffe://td/a"}]}),
            json!({"principals": []}),
            "clientCertificates.principals: no principals; leave the field out to take every certificate",
        ),
        (
            certificates,
            json!({"principals": [{"subject": "CN=a"}]}),
            json!({"principals": [{"subject": "CN=a", "dns": "a"}]}),
            "clientCertificates.principals[0]: give one of uri, dns and subject",
        ),
        (
            certificates,
            json!({"principals": [{"uri": "spiffe://td/*"}]}),
            json!({"principals": [{"uri": "spiffe://*"}]}),
            "clientCertificates.principals[0].uri: \"spiffe://*\" is not a URI such as spiffe://td/ns/a, nor a \
             pattern such as spiffe://td/ns/*/sa/web or, for all below, spiffe://td/ns/*",
        ),
        (
            certificates,
            json!({"principals": [{"uri": "spiffe://td/*/sa/web"}, {"uri": "spiffe://td/a/*/*"}]}),
            json!({"principals": [{"uri": "spiffe://td/a*"}]}),
            "clientCertificates.principals[0].uri: \"spiffe://td/a*\" is not a URI such as spiffe://td/ns/a, nor a \
             pattern such as spiffe://td/ns/*/sa/web or, for all below, spiffe://td/ns/*",
        ),
        (
            certificates,
            json!({"principals": [{"dns": "*.example.com"}]}),
            json!({"principals": [{"dns": "*"}]}),
            "clientCertificates.principals[0].dns: \"*\" is not a DNS name, nor one such as *.example.com",
        ),
        (
            certificates,
            json!({"principals": [{"dns": "a", "roles": ["editor"]}]}),
            json!({"principals": [{"dns": "a", "roles": ["editr"]}]}),
            "clientCertificates.principals[0].roles[0]: unknown role \"editr\"; did you mean \"editor\"?",
        ),
        (
            step_up,
            json!({"acrValues": ["phr"]}),
            json!({}),
            "stepUp: asks for nothing; give acrValues, maxAge or passkey",
        ),
        (
            step_up,
            json!({"acrValues": ["urn:mace:incommon:iap:silver"]}),
            json!({"acrValues": ["a b"]}),
            "stepUp.acrValues[0]: \"a b\" is not valid here: a scope is printable ASCII without space, \" and \\",
        ),
        (
            step_up,
            json!({"maxAge": "1s"}),
            json!({"maxAge": "1500ms"}),
            "stepUp.maxAge: must be in whole seconds (RFC 9470 section 3)",
        ),
        (
            "/rules/0/authenticate/anyOf",
            json!(["clientCertificate", {"jwt": "corp"}]),
            json!(["clientCertificate", "apiKey"]),
            "rules[0].authorize: stepUp asks how a user logged in, which only a token of {jwt: ..} can say",
        ),
        (
            "/rules/0/authenticate/anyOf",
            json!([{"clientCertificate": {}}, {"jwt": "corp"}]),
            json!([{"clientCertificate": {}, "jwt": "corp"}]),
            "anyOf[0]: names more than one way; list them as items of their own",
        ),
    ];
    for (pointer, good, bad, expected) in rows {
        assert_eq!(faults_with(pointer, good.clone()), none, "good {pointer} = {good}");
        let found = faults_with(pointer, bad.clone());
        assert!(found.len() == 1 && found[0].ends_with(expected), "bad {pointer} = {bad}: {found:?}");
    }
    // Without the section, whatever relies on it is refused.
    assert_eq!(
        faults_with(certificates, Value::Null),
        [
            "jwt.providers[0].mtls: the policy has no clientCertificates section, so no certificate is ever seen",
            "rules[0].authenticate.anyOf[1]: the policy has no clientCertificates section",
        ]
    );
}
