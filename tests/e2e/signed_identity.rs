//! What upstreams are told of callers, signed: as an upstream verifies it, by another implementation.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::harness::{
    envoy_config::ClientCertificates,
    gateway::{Gateway, gateway},
    issuer::{AUDIENCE, ISSUER_KEYS, token},
    now,
    policy::{anyone, api_key, api_key_entry, provider, rule, with_api_key, with_token},
    request::{Answer, Request, get},
    tls::{CLIENTS, client_with},
};

const HEADER: &str = "x-portcullis-identity";
const GATEWAY: &str = "https://gateway.test";
const UPSTREAMS: &str = "urn:upstreams";

fn policy(algorithm: Algorithm) -> Value {
    let both = json!({"authenticate": {"allOf": ["apiKey", {"jwt": "test"}]}});
    let optional = json!({"authenticate": {"anyOf": [{"jwt": "test"}], "optional": true}});
    json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": [api_key_entry("shop", json!({"scopes": ["orders"], "roles": ["partner"]}))]},
        "clientCertificates": {"principals": [{"uri": "spiffe://td/*", "roles": ["partner"]}]},
        "roles": [{"name": "partner"}],
        "signingKeys": {"keys": [ISSUER_KEYS.private_jwk(algorithm)]},
        "identityHeaders": {"signed": {"issuer": GATEWAY, "audience": UPSTREAMS}},
        "rules": [
            rule("token", "Exact", "/token", with_token()),
            rule("key", "Exact", "/key", with_api_key()),
            rule("certificate", "Exact", "/certificate", json!({"authenticate": {"anyOf": ["clientCertificate"]}})),
            rule("both", "Exact", "/both", both),
            rule("optional", "Exact", "/optional", optional),
            rule("anyone", "Exact", "/anyone", anyone()),
            rule("through", "Exact", "/through", json!({"authenticate": {"passThrough": true}})),
        ],
        "defaultAction": "Deny",
    })
}

/// The claims, if an upstream would believe them.
async fn believed(gateway: &Gateway, statement: &str) -> Value {
    let set = gateway.send(&get("/.well-known/portcullis/jwks.json")).await;
    let set: JwkSet = serde_json::from_slice(&set.body).unwrap();
    let header = jsonwebtoken::decode_header(statement).unwrap();
    assert_eq!(header.typ.as_deref(), Some("identity+jwt"));
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[UPSTREAMS]);
    validation.set_issuer(&[GATEWAY]);
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let claims = jsonwebtoken::decode::<Value>(statement, &key, &validation).unwrap().claims;
    let (issued, expires) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    assert_eq!(expires - issued, 60);
    assert!((issued..expires).contains(&now()), "{claims}");
    claims
}

/// With what a client would like to be told of itself.
fn forged(request: Request) -> Request {
    request.header(HEADER, "forged").header("X_Portcullis_Identity", "forged")
}

fn statements(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.seen();
    assert!(seen.header("x_portcullis_identity").is_empty());
    seen.header(HEADER).into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_caller_is_stated_to_the_upstream() {
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let gateway =
            gateway(&policy(algorithm)).client_certificates(ClientCertificates::Optional).start().await;
        let alice = token("alice").roles(&["admin"]).scope("a b").sign();
        let of_alice =
            json!({"sub": "alice", "kind": "jwt", "authority": "test", "scope": "a b", "roles": ["admin"]});
        let of_shop = json!({"sub": "shop", "kind": "api-key", "scope": "orders", "roles": ["partner"]});
        let mut of_both = of_alice.clone();
        of_both["act"] = of_shop.clone();
        let plain = client_with(&CLIENTS.identity("spiffe://elsewhere/a"));
        let machine = client_with(&CLIENTS.identity("spiffe://td/a"));
        for (client, request, expected) in [
            (&plain, get("/token").bearer(&alice), Some(&of_alice)),
            (&plain, get("/key").api_key(&api_key("shop")), Some(&of_shop)),
            (
                &machine,
                get("/certificate"),
                Some(
                    &json!({"sub": "spiffe://td/a", "kind": "client-certificate", "authority": "uri", "roles": ["partner"]}),
                ),
            ),
            (&plain, get("/both").api_key(&api_key("shop")).bearer(&alice), Some(&of_both)),
            (&plain, get("/optional").bearer(&alice), Some(&of_alice)),
            (&plain, get("/optional"), None),
            (&plain, get("/anyone").bearer(&alice), None),
            (&plain, get("/through").bearer(&alice), None),
        ] {
            let answer = gateway.send_as(client.clone(), &forged(request.clone())).await.unwrap();
            let told = statements(&answer);
            let Some(expected) = expected else {
                assert!(told.is_empty(), "{request:?}: {told:?}");
                continue;
            };
            let [statement] = told.as_slice() else { panic!("{request:?}: {told:?}") };
            let mut claims = believed(&gateway, statement).await;
            let members = claims.as_object_mut().unwrap();
            members.retain(|name, _| !["iss", "aud", "iat", "exp"].contains(&name.as_str()));
            assert_eq!(claims, *expected, "{request:?}");
            // The same for the next request.
            let again = gateway.send_as(client.clone(), &request).await.unwrap();
            assert_eq!(statements(&again), told);
            assert!(!gateway.log().contains(statement));
        }
    }
}

/// Who gets hold of a statement cannot use it as a token, nor a token as a statement.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_opens_nothing() {
    let mut policy = policy(Algorithm::ES256);
    policy["sessions"] = json!({"issuer": GATEWAY, "audiences": [AUDIENCE]});
    policy["rules"].as_array_mut().unwrap().push(rule(
        "session",
        "Exact",
        "/session",
        json!({"authenticate": {"anyOf": [{"jwt": "sessions"}]}}),
    ));
    let gateway = gateway(&policy).https_only().start().await;
    let answer = gateway.send(&get("/token").bearer(&token("alice").sign())).await;
    let [statement] = &statements(&answer)[..] else { panic!("{answer:?}") };
    for path in ["/session", "/token"] {
        assert_eq!(gateway.send(&get(path).bearer(statement)).await.status, 401, "{path}");
    }
    // Of the right audience it is still of the wrong kind.
    let session = |typ: &str| {
        let session = token("alice").claim("iss", GATEWAY).claim("aud", json!([AUDIENCE, UPSTREAMS]));
        get("/session").bearer(&session.header("typ", typ).sign())
    };
    assert_eq!(gateway.send(&session("at+jwt")).await.status, 200);
    assert_eq!(gateway.send(&session("identity+jwt")).await.reason().as_deref(), Some("token_malformed"));
}
