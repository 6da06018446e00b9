//! Requests with bound tokens and with certificates, through the whole engine.

use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
use serde_json::{Value, json};

use crate::{
    answer::Reason,
    crypto::{Algorithm, sha256},
    engine::{Exchange, HostServices, Step, WorkerState},
    jose::tests::tokens::{NOW, encode, foreign_keys, good_claims, keys, kid},
    policy::Policy,
    request::{RequestHead, client_certificate::PeerCertificate},
    store::MemoryStore,
    time::{Clock, Timestamp},
};

fn worker(provider: &Value, certificates: &Value) -> WorkerState {
    let mut corp = json!({
        "name": "corp",
        "issuer": "https://idp.example",
        "audiences": ["api"],
        "algorithms": ["ES256"],
        "jwks": {"inline": keys().only(&["es256"])},
        "mtls": {"mode": "Accepted"},
        "claims": {"roles": "roles"},
    });
    corp.as_object_mut().unwrap().extend(provider.as_object().unwrap().clone());
    let policy = json!({
        "clientCertificates": certificates,
        "jwt": {"providers": [corp]},
        "roles": [{"name": "payments"}],
        "rules": [
            {
                "name": "certificate",
                "matches": [{"path": {"type": "Exact", "value": "/certificate"}}],
                "authenticate": {"anyOf": ["clientCertificate", {"jwt": "corp"}]},
                "authorize": {"roles": ["payments"]},
            },
            {
                "name": "fresh",
                "matches": [{"path": {"type": "Exact", "value": "/fresh"}}],
                "authenticate": {"anyOf": [{"jwt": "corp"}]},
                "authorize": {"stepUp": {"acrValues": ["phr"], "maxAge": "5m"}},
            },
            {"name": "orders", "authenticate": {"anyOf": [{"jwt": "corp"}]}},
        ],
    });
    let policy =
        Policy::compile(policy.to_string().as_bytes(), "t").unwrap_or_else(|faults| panic!("{faults:?}"));
    assert!(policy.needs_peer_certificate() && policy.needs_connection());
    WorkerState::new(policy, "t")
}

fn accepting() -> WorkerState {
    worker(&json!({"dpop": {"mode": "Accepted"}}), &json!({}))
}

/// What the engine said: why not, and the headers of the answer.
#[derive(Debug)]
struct Answer {
    reason: Option<Reason>,
    headers: Vec<(String, String)>,
    removed: Vec<String>,
    set: Vec<(String, String)>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn challenge(&self, scheme: &str) -> &str {
        let mut challenges = self.headers.iter().filter(|(name, _)| name == "www-authenticate");
        challenges.find(|(_, value)| value.starts_with(scheme)).map_or("", |(_, value)| value)
    }
}

fn ask(
    worker: &WorkerState,
    store: &MemoryStore,
    path: &str,
    headers: &[(&str, &str)],
    certificate: Option<PeerCertificate>,
    now: u64,
) -> Answer {
    let line = [(":method", "GET"), (":path", path), (":authority", "api.example.com")];
    let headers = line.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let head = RequestHead {
        headers: headers.collect(),
        remote_address: None,
        tls: true,
        peer_certificate: certificate,
        ..RequestHead::default()
    };
    let services = HostServices {
        may_wait: &|| true,
        ..HostServices::new(Clock::at(Timestamp::from_secs(now)), store, &|| Some([9; 16]))
    };
    let mut exchange = Exchange::default();
    let decision = exchange.on_request(worker, &head, &services);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut answer = Answer { reason: decision.reason, headers: vec![], removed: vec![], set: vec![] };
    match &decision.step {
        Step::Reply(reply, _) => {
            answer.headers = reply.headers.iter().map(|(name, value)| owned((name, value))).collect();
        }
        Step::Forward(changes) => {
            let text = |name: &&[u8]| String::from_utf8_lossy(name).into_owned();
            answer.removed = changes.remove.iter().map(text).collect();
            answer.set = changes
                .replace
                .iter()
                .chain(&changes.add)
                .map(|(name, value)| owned((name, value.as_str())))
                .collect();
        }
        Step::Wait(_) => panic!("nothing to wait for"),
    }
    drop(decision);
    answer.headers.extend(exchange.on_response(worker).map(|(name, value)| owned((name, &value))));
    answer
}

fn key_of(keys: &crate::jose::tests::tokens::Keys, alg: Algorithm) -> Value {
    keys.only(&[kid(alg)])["keys"][0].clone()
}

/// A token, bound to the Ed25519 key of [`keys`].
fn bound_token() -> String {
    let jkt = encode(crate::jose::thumbprint(&key_of(keys(), Algorithm::EdDsa)).unwrap());
    token(&json!({"cnf": {"jkt": jkt}}))
}

fn token(more: &Value) -> String {
    let mut claims = good_claims();
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    keys().token(Algorithm::Es256, &claims)
}

fn proof(token: &str, jti: &str, nonce: Option<&str>) -> String {
    let ath = encode(sha256(token.as_bytes()));
    let mut claims = json!({
        "jti": jti, "htm": "GET", "htu": "https://api.example.com/orders", "iat": NOW, "ath": ath,
    });
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key_of(keys(), Algorithm::EdDsa)});
    keys().sign(Algorithm::EdDsa, &header, &claims)
}

#[test]
fn a_proof_for_a_bound_token_and_nothing_else() {
    let (worker, store) = (accepting(), MemoryStore::default());
    let (bound, free) = (bound_token(), token(&json!({})));
    let under = |scheme: &str, token: &str| format!("{scheme} {token}");
    let forged = {
        let header =
            json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key_of(foreign_keys(), Algorithm::EdDsa)});
        let claims = json!({
            "jti": "f", "htm": "GET", "htu": "https://api.example.com/orders", "iat": NOW,
            "ath": encode(sha256(bound.as_bytes())),
        });
        foreign_keys().sign(Algorithm::EdDsa, &header, &claims)
    };
    let good = proof(&bound, "a", None);
    for (path, authorization, proofs, expected) in [
        ("/orders?x=1", under("DPoP", &bound), vec![good.clone()], None),
        ("/orders", under("DPoP", &bound), vec![good.clone()], Some(Reason::DpopProofReplayed)),
        ("/orders", under("dpop", &bound), vec![proof(&bound, "b", None)], None),
        ("/orders/7", under("DPoP", &bound), vec![proof(&bound, "c", None)], Some(Reason::DpopProofInvalid)),
        ("/orders", under("DPoP", &bound), vec![], Some(Reason::DpopProofInvalid)),
        ("/orders", under("DPoP", &bound), vec![good.clone(), good.clone()], Some(Reason::DpopProofInvalid)),
        ("/orders", under("DPoP", &bound), vec![forged], Some(Reason::TokenBinding)),
        ("/orders", under("DPoP", &bound), vec![proof(&free, "d", None)], Some(Reason::DpopProofInvalid)),
        // RFC 9449 section 7.2: a bound token is no bearer token, with a proof or without.
        ("/orders", under("Bearer", &bound), vec![proof(&bound, "e", None)], Some(Reason::TokenBinding)),
        ("/orders", under("Bearer", &bound), vec![], Some(Reason::TokenBinding)),
        ("/orders", under("Bearer", &free), vec![], None),
        ("/orders", under("DPoP", &free), vec![proof(&free, "f", None)], Some(Reason::TokenBinding)),
    ] {
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(proofs.iter().map(|proof| ("dpop", proof.as_str())));
        let answer = ask(&worker, &store, path, &headers, None, NOW);
        assert_eq!(answer.reason, expected, "{path} {headers:?}");
        if expected.is_none() {
            // Neither token nor proof goes upstream.
            assert!(answer.removed.iter().any(|name| name == "authorization"), "{answer:?}");
            assert_eq!(answer.removed.iter().any(|name| name == "dpop"), !proofs.is_empty(), "{answer:?}");
        }
    }
    let missing = ask(&worker, &store, "/orders", &[], None, NOW);
    assert_eq!(missing.challenge("Bearer"), "Bearer realm=\"portcullis\"");
    assert!(missing.challenge("DPoP").starts_with("DPoP realm=\"portcullis\", algs=\"ES256 "), "{missing:?}");
}

#[test]
fn what_a_provider_requires_and_what_it_does_not_know() {
    let (bound, free) = (bound_token(), token(&json!({})));
    let required = worker(&json!({"dpop": {"mode": "Required"}}), &json!({}));
    let store = MemoryStore::default();
    for (token, scheme, expected) in [
        (&bound, "DPoP", None),
        (&free, "Bearer", Some(Reason::TokenBinding)),
        (&free, "DPoP", Some(Reason::TokenBinding)),
    ] {
        let authorization = format!("{scheme} {token}");
        let proof = proof(token, "a", None);
        let headers = [("authorization", authorization.as_str()), ("dpop", proof.as_str())];
        let answer = ask(&required, &store, "/orders", &headers, None, NOW);
        assert_eq!(answer.reason, expected, "{scheme}");
        if expected.is_some() {
            assert_eq!(answer.challenge("Bearer"), "", "tokens without proof are of no use here");
            assert!(answer.challenge("DPoP").contains("error=\"invalid_token\""));
        }
    }
}

#[test]
fn nonces() {
    let worker = worker(&json!({"dpop": {"mode": "Required", "nonce": {"lifetime": "10s"}}}), &json!({}));
    let (store, bound) = (MemoryStore::default(), bound_token());
    let authorization = format!("DPoP {bound}");
    let send = |jti: &str, nonce: Option<&str>, now| {
        let proof = proof(&bound, jti, nonce);
        ask(&worker, &store, "/orders", &[("authorization", &authorization), ("dpop", &proof)], None, now)
    };
    let first = send("a", None, NOW);
    assert_eq!(first.reason, Some(Reason::DpopNonceRequired));
    assert!(first.challenge("DPoP").contains("error=\"use_dpop_nonce\""));
    assert_eq!(first.headers.iter().filter(|(name, _)| name == "dpop-nonce").count(), 1);
    let nonce = first.header("dpop-nonce").unwrap().to_owned();
    // The refused proof took up no room: its id may come again.
    let second = send("a", Some(&nonce), NOW);
    assert_eq!((second.reason, second.header("dpop-nonce")), (None, None));
    // RFC 9449 section 8.2: a new one comes with the answer when the old one is about to end.
    let third = send("b", Some(&nonce), NOW + 10);
    assert_eq!(third.reason, None);
    assert!(third.header("dpop-nonce").is_some_and(|fresh| fresh != nonce));
    assert_eq!(send("c", Some(&nonce), NOW + 20).reason, Some(Reason::DpopNonceRequired));
    assert_eq!(send("d", Some("guessed"), NOW).reason, Some(Reason::DpopNonceRequired));
}

fn certificate(uri: &str) -> PeerCertificate {
    PeerCertificate {
        digest: Some(sha256(uri.as_bytes())),
        uri: Some(uri.to_owned()),
        ..PeerCertificate::default()
    }
}

#[test]
fn tokens_bound_to_certificates() {
    let (worker, store) = (accepting(), MemoryStore::default());
    let digest = Base64UrlSafeNoPadding::encode_to_string(sha256(b"spiffe://td/a")).unwrap();
    let bound = token(&json!({"cnf": {"x5t#S256": digest}}));
    let odd = token(&json!({"cnf": {"kid": "k"}}));
    let free = token(&json!({}));
    let required =
        self::worker(&json!({"mtls": {"mode": "Required"}, "dpop": {"mode": "Accepted"}}), &json!({}));
    for (worker, token, shown, expected) in [
        (&worker, &bound, Some("spiffe://td/a"), None),
        (&worker, &bound, Some("spiffe://td/b"), Some(Reason::TokenBinding)),
        (&worker, &bound, None, Some(Reason::TokenBinding)),
        (&worker, &free, None, None),
        (&worker, &free, Some("spiffe://td/b"), None),
        (&worker, &odd, Some("spiffe://td/a"), Some(Reason::TokenBinding)),
        (&required, &bound, Some("spiffe://td/a"), None),
        (&required, &free, Some("spiffe://td/a"), Some(Reason::TokenBinding)),
    ] {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        let answer = ask(worker, &store, "/orders", &headers, shown.map(certificate), NOW);
        assert_eq!(answer.reason, expected, "{shown:?}");
    }
    // Behind a proxy its header counts, and the connection's certificate is the proxy's own.
    let behind = self::worker_behind_proxy();
    let hash: String = sha256(b"spiffe://td/a").iter().map(|byte| format!("{byte:02x}")).collect();
    let authorization = format!("Bearer {bound}");
    for (forwarded, expected) in [
        (Some(format!("Hash={hash};URI=spiffe://td/a")), None),
        (Some(format!("Hash={hash},URI=spiffe://td/a")), Some(Reason::TokenBinding)),
        (Some(format!("Hash={hash};")), Some(Reason::TokenBinding)),
        (None, Some(Reason::TokenBinding)),
    ] {
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(forwarded.as_deref().map(|value| ("x-forwarded-client-cert", value)));
        let own = Some(certificate("spiffe://td/a"));
        let answer = ask(&behind, &store, "/orders", &headers, own, NOW);
        assert_eq!(answer.reason, expected, "{forwarded:?}");
    }
}

fn worker_behind_proxy() -> WorkerState {
    let policy = json!({
        "clientCertificates": {"forwardedClientCert": {"trustedHops": 1}},
        "jwt": {"providers": [{
            "name": "corp",
            "issuer": "https://idp.example",
            "audiences": ["api"],
            "algorithms": ["ES256"],
            "jwks": {"inline": keys().only(&["es256"])},
            "mtls": {"mode": "Accepted"},
        }]},
        "rules": [{"name": "orders", "authenticate": {"anyOf": [{"jwt": "corp"}]}}],
    });
    let policy =
        Policy::compile(policy.to_string().as_bytes(), "t").unwrap_or_else(|faults| panic!("{faults:?}"));
    assert!(!policy.needs_peer_certificate());
    WorkerState::new(policy, "t")
}

#[test]
fn certificates_as_principals() {
    let principals = json!({"principals": [{"uri": "spiffe://td/ns/pay/*", "roles": ["payments"]}, {"uri": "spiffe://td/poor"}]});
    let worker = worker(&json!({}), &principals);
    let store = MemoryStore::default();
    let free = format!("Bearer {}", token(&json!({})));
    for (path, headers, shown, expected) in [
        ("/certificate", &[][..], Some("spiffe://td/ns/pay/1"), None),
        ("/certificate", &[], Some("spiffe://td/poor"), Some(Reason::InsufficientRole)),
        ("/certificate", &[], Some("spiffe://evil/ns/pay/1"), Some(Reason::CertificateUnknown)),
        ("/certificate", &[], None, Some(Reason::CredentialsMissing)),
        // A credential in the request goes before the connection's certificate.
        (
            "/certificate",
            &[("authorization", free.as_str())],
            Some("spiffe://td/ns/pay/1"),
            Some(Reason::InsufficientRole),
        ),
        // Where the rule does not name certificates they are nobody's credential.
        ("/orders", &[], Some("spiffe://td/ns/pay/1"), Some(Reason::CredentialsMissing)),
    ] {
        let answer = ask(&worker, &store, path, headers, shown.map(certificate), NOW);
        assert_eq!(answer.reason, expected, "{path} {shown:?}");
        if expected.is_none() {
            let sent = |name: &str, value: &str| answer.set.contains(&(name.to_owned(), value.to_owned()));
            assert!(sent("x-portcullis-subject", "spiffe://td/ns/pay/1"), "{answer:?}");
            assert!(sent("x-portcullis-kind", "client-certificate"), "{answer:?}");
        }
    }
}

#[test]
fn step_up() {
    let (worker, store) = (accepting(), MemoryStore::default());
    for (claims, expected) in [
        (json!({"acr": "phr", "auth_time": NOW - 300}), None),
        (json!({"acr": "phr", "auth_time": NOW - 301}), Some(Reason::InsufficientUserAuthentication)),
        (json!({"acr": "pwd", "auth_time": NOW}), Some(Reason::InsufficientUserAuthentication)),
        (json!({"acr": "phr"}), Some(Reason::InsufficientUserAuthentication)),
    ] {
        let authorization = format!("Bearer {}", token(&claims));
        let answer = ask(&worker, &store, "/fresh", &[("authorization", &authorization)], None, NOW);
        assert_eq!(answer.reason, expected, "{claims}");
        if expected.is_some() {
            let challenge = answer.challenge("Bearer");
            assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
            assert!(challenge.ends_with("acr_values=\"phr\", max_age=\"300\""), "{challenge}");
        }
    }
}

/// A provider that takes tokens under the DPoP scheme and says nothing else of it.
#[test]
fn an_unbound_token_under_the_dpop_scheme_is_refused_whatever_the_provider_says() {
    for (prefix, expected) in [("Bearer ", None), ("DPoP ", Some(Reason::TokenBinding))] {
        let policy = json!({
            "jwt": {"providers": [{
                "name": "corp",
                "issuer": "https://idp.example",
                "audiences": ["api"],
                "algorithms": ["ES256"],
                "jwks": {"inline": keys().only(&["es256"])},
                "extractFrom": {"headers": [{"name": "authorization", "valuePrefix": prefix}]},
            }]},
            "rules": [{"name": "orders", "authenticate": {"anyOf": [{"jwt": "corp"}]}}],
        });
        let policy =
            Policy::compile(policy.to_string().as_bytes(), "t").unwrap_or_else(|faults| panic!("{faults:?}"));
        let worker = WorkerState::new(policy, "t");
        let value = format!("{prefix}{}", token(&json!({})));
        // Asked twice: what is remembered is held to the same.
        for _ in 0..2 {
            let answer =
                ask(&worker, &MemoryStore::default(), "/orders", &[("authorization", &value)], None, NOW);
            assert_eq!(answer.reason, expected, "{prefix}");
        }
    }
}
