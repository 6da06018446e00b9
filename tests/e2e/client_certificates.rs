//! Clients that show a certificate to Envoy: as themselves, and with tokens that are bound to it (RFC 8705).

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_rustls::rustls::ClientConfig;

use crate::harness::{
    envoy_config::ClientCertificates,
    gateway::{Builder, Gateway, Wire, gateway},
    idp::Idp,
    issuer::token,
    policy::{anyone, merge, provider, rule, with_token},
    request::{Answer, get},
    tls::{self, CLIENTS, IDENTITY, STRANGERS, client_with},
};

fn policy(provider: &Value) -> Value {
    json!({
        "jwt": {"providers": [provider]},
        "transport": {"requireTls": false},
        "clientCertificates": {"principals": [
            {"uri": "spiffe://td/ns/admin", "roles": ["admin"]},
            {"uri": "spiffe://td/ns/*", "scopes": ["orders:read"]},
            {"dns": "*.clients.test", "scopes": ["orders:read"]},
        ]},
        "roles": [{"name": "admin", "permissions": ["*"]}],
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            rule("machines", "Exact", "/machines", json!({"authenticate": {"anyOf": ["clientCertificate"]}})),
            rule("admins", "Exact", "/admins", json!({
                "authenticate": {"anyOf": ["clientCertificate"]}, "authorize": {"roles": ["admin"]},
            })),
            rule("tokens", "Exact", "/tokens", with_token()),
            rule("either", "Exact", "/either", json!({
                "authenticate": {"anyOf": ["clientCertificate", {"jwt": "test"}]}, "authorize": {"scopes": ["orders:read"]},
            })),
        ],
        "defaultAction": "Deny",
    })
}

fn before(asked: ClientCertificates) -> Builder {
    gateway(&policy(&provider())).client_certificates(asked)
}

fn named(name: &str) -> Arc<ClientConfig> {
    client_with(&CLIENTS.identity(name))
}

async fn ask(gateway: &Gateway, client: &Arc<ClientConfig>, path: &str) -> (u16, Option<String>, Answer) {
    let answer = gateway.send_as(client.clone(), &get(path)).await.unwrap();
    (answer.status, answer.reason(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_a_principal() {
    let gateway = before(ClientCertificates::Optional).workers(2).start().await;
    for (name, path, expected) in [
        ("spiffe://td/ns/admin", "/admins", None),
        ("spiffe://td/ns/admin", "/machines", None),
        ("spiffe://td/ns/a", "/machines", None),
        ("spiffe://td/ns/a", "/admins", Some((403, "insufficient_role"))),
        ("a.clients.test", "/machines", None),
        // The names of others.
        ("spiffe://td/other/a", "/machines", Some((403, "client_certificate_unknown"))),
        ("spiffe://td.evil/ns/a", "/machines", Some((403, "client_certificate_unknown"))),
        ("clients.test", "/machines", Some((403, "client_certificate_unknown"))),
        ("spiffe://td/other/a", "/open", None),
    ] {
        let client = named(name);
        // The second connection takes up the TLS session of the first.
        for _ in 0..2 {
            let (status, reason, answer) = ask(&gateway, &client, path).await;
            match expected {
                None => assert_eq!(status, 200, "{name} {path}: {answer:?}"),
                Some((_, expected)) => {
                    assert_eq!(reason.as_deref(), Some(expected), "{name} {path}: {answer:?}");
                    assert!((401..=403).contains(&status), "{name} {path}: {answer:?}");
                }
            }
            if (path, expected) == ("/machines", None) {
                let seen = answer.seen();
                assert_eq!(seen.header("x-portcullis-subject"), [name]);
                assert!(seen.header("x-forwarded-client-cert").is_empty());
            }
        }
    }
    // Nobody in particular, and somebody who only says so.
    let nobody = tls::client(&IDENTITY.certificate, "http/1.1");
    let claimed = "By=spiffe://td/ns/gateway;Hash=00;URI=spiffe://td/ns/admin";
    for client in [nobody.clone(), nobody] {
        let request = get("/admins").header("x-forwarded-client-cert", claimed);
        let answer = gateway.send_as(client, &request).await.unwrap();
        assert_eq!(
            (answer.status, answer.reason().as_deref()),
            (403, Some("client_certificate_missing")),
            "{answer:?}"
        );
    }
    let answer =
        gateway.send_over(Wire::Plain, &get("/admins").header("x-forwarded-client-cert", claimed)).await;
    assert_eq!(answer.reason().as_deref(), Some("client_certificate_missing"), "{answer:?}");
    // A token would do, and can be asked for.
    let nobody = tls::client(&IDENTITY.certificate, "http/1.1");
    let answer = gateway.send_as(nobody, &get("/either")).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("credentials_missing")), "{answer:?}");
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"portcullis\", scope=\"orders:read\""),
        "{answer:?}"
    );
    assert_eq!(ask(&gateway, &named("spiffe://td/ns/a"), "/either").await.0, 200);
    // Of an authority that is not ours: Envoy lets nobody in.
    let stranger = client_with(&STRANGERS.identity("spiffe://td/ns/admin"));
    assert!(gateway.send_as(stranger, &get("/admins")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_requires_certificates() {
    let gateway = before(ClientCertificates::Required).start().await;
    assert_eq!(ask(&gateway, &named("spiffe://td/ns/a"), "/machines").await.0, 200);
    let nobody = tls::client(&IDENTITY.certificate, "http/1.1");
    assert!(gateway.send_as(nobody, &get("/open")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_bound_to_a_certificate() {
    for mode in ["Accepted", "Required"] {
        let mut provider = provider();
        merge(&mut provider, json!({"mtls": {"mode": mode}}));
        let gateway =
            gateway(&policy(&provider)).client_certificates(ClientCertificates::Optional).start().await;
        let identity = CLIENTS.identity("spiffe://td/ns/a");
        let bound = token("alice").claim("cnf", json!({"x5t#S256": identity.thumbprint()})).sign();
        let (owner, same_name) = (client_with(&identity), named("spiffe://td/ns/a"));
        let nobody = tls::client(&IDENTITY.certificate, "http/1.1");
        let binding = Some("token_binding");
        let unbound = if mode == "Required" { binding } else { None };
        for (name, client, token, expected) in [
            ("its own", &owner, &bound, None),
            ("another of the same name", &same_name, &bound, binding),
            ("none", &nobody, &bound, binding),
            ("not bound", &owner, &token("alice").sign(), unbound),
            ("not bound, no certificate", &nobody, &token("alice").sign(), unbound),
        ] {
            // Known by now, the second time.
            for _ in 0..2 {
                let answer = gateway.send_as(client.clone(), &get("/tokens").bearer(token)).await.unwrap();
                assert_eq!(answer.reason().as_deref(), expected, "{mode} {name}: {answer:?}");
                assert_eq!(
                    answer.status,
                    if expected.is_some() { 401 } else { 200 },
                    "{mode} {name}: {answer:?}"
                );
                if expected.is_some() {
                    let challenge = answer.header("www-authenticate").unwrap();
                    assert!(challenge.contains("error=\"invalid_token\""), "{mode} {name}: {challenge}");
                }
            }
        }
        let answer = gateway.send_over(Wire::Plain, &get("/tokens").bearer(&bound)).await;
        assert_eq!(answer.reason().as_deref(), binding, "{answer:?}");
    }
}

/// Bound by a real authorization server, which saw the certificate at its token endpoint.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_a_real_server_bound() {
    let idp = Idp::start_with(json!({"certificate": IDENTITY.certificate, "key": IDENTITY.key})).await;
    let provider = json!({"mtls": {"mode": "Required"}});
    let mut real = idp.provider(json!({}));
    merge(&mut real, provider);
    let gateway = gateway(&policy(&real))
        .secure_jwks(idp.address)
        .client_certificates(ClientCertificates::Optional)
        .start()
        .await;
    let identity = CLIENTS.identity("spiffe://td/ns/a");
    let owner = client_with(&identity);
    let token = idp.token_bound_to_certificate("urn:api:es256", owner.clone()).await;
    let answer = gateway.send_as(owner, &get("/tokens").bearer(&token)).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let thief = named("spiffe://td/ns/a");
    let answer = gateway.send_as(thief, &get("/tokens").bearer(&token)).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("token_binding")), "{answer:?}");
}

/// What a proxy appends counts, here Envoy itself; whatever its client sends before, nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_itself_in_the_header_counts_never() {
    let mut policy = policy(&provider());
    policy["clientCertificates"]["forwardedClientCert"] = json!({"trustedHops": 1});
    let gateway = gateway(&policy)
        .client_certificates(ClientCertificates::Required)
        .appends_client_cert()
        .start()
        .await;
    let client = named("spiffe://td/ns/a");
    assert_eq!(ask(&gateway, &client, "/machines").await.0, 200);
    for (sent, expected) in [
        ("URI=spiffe://td/ns/admin", "insufficient_role"),
        ("URI=spiffe://td/ns/admin;Subject=\"x\"", "insufficient_role"),
        ("URI=spiffe://td/ns/admin;Subject=\"é\"", "insufficient_role"),
        ("URI=spiffe://td/ns/admin;Subject=\"x\"é", "client_certificate_unknown"),
        ("URI=spiffe://td/ns/admin;Subject=\"x\" é", "client_certificate_unknown"),
        ("URI=spiffe://td/ns/admin;Subject=\"x\"x", "client_certificate_unknown"),
        ("URI=spiffe://td/ns/admin;Subject=\"", "client_certificate_unknown"),
    ] {
        let request = get("/admins").header("x-forwarded-client-cert", sent);
        let answer = gateway.send_as(client.clone(), &request).await.unwrap();
        assert_eq!(answer.reason().as_deref(), Some(expected), "{sent}: {answer:?}");
    }
}
