//! Tokens of a real authorization server, by each grant and algorithm that it has.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    idp::{AUDIENCE, Idp, text},
    policy::{merge, rule, with_token, with_token_and},
    request::get,
};

/// As provided for in `idp/server.mjs`.
const ALGORITHMS: [(&str, &str); 4] = [
    ("urn:api:rs256", "RS256"),
    ("urn:api:ps256", "PS256"),
    ("urn:api:es256", "ES256"),
    ("urn:api:eddsa", "EdDSA"),
];

/// `members` replace those of the provider.
async fn before(idp: &Idp, members: Value) -> Gateway {
    let mut provider = idp.provider(json!({}));
    merge(&mut provider, members);
    provider["claimToHeaders"] = json!([{"claim": "tenant", "header": "x-tenant"}]);
    let policy = json!({
        "jwt": {"providers": [provider]},
        "roles": [{"name": "reader"}, {"name": "admin", "inherits": ["reader"]}, {"name": "service"}],
        "rules": [
            rule("any", "Exact", "/any", with_token()),
            rule("read", "Exact", "/read", with_token_and(json!({"scopes": ["api:read"]}))),
            rule("write", "Exact", "/write", with_token_and(json!({"scopes": ["api:write"]}))),
            rule("services", "Exact", "/services", with_token_and(json!({"roles": ["service"]}))),
            rule("admins", "Exact", "/admins", with_token_and(json!({"roles": ["admin"]}))),
            rule("own", "PathTemplate", "/users/{user}", with_token_and(json!({"owner": {"pathVariable": "user"}}))),
        ],
        "defaultAction": "Deny",
    });
    gateway(&policy).jwks(idp.address).workers(2).start().await
}

async fn ask(gateway: &Gateway, token: &str, path: &str) -> (u16, Option<String>) {
    let answer = gateway.send(&get(path).bearer(token)).await;
    (answer.status, answer.reason())
}

fn refused(status: u16, reason: &str) -> (u16, Option<String>) {
    (status, Some(reason.to_owned()))
}

fn altered(token: &str) -> String {
    let (head, signature) = token.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{head}.{other}{}", &signature[1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_by_client_credentials() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).await;
    for (resource, algorithm) in ALGORITHMS {
        let token = idp.token(resource).await;
        let header = jsonwebtoken::decode_header(&token);
        // That library knows EdDSA by this name, too.
        assert_eq!(format!("{:?}", header.unwrap().alg), algorithm);
        let answer = gateway.send(&get("/read").bearer(&token)).await;
        assert_eq!(answer.status, 200, "{algorithm}: {answer:?}");
        let seen = answer.seen();
        assert_eq!(seen.header("x-portcullis-subject"), ["m2m"], "{algorithm}");
        assert_eq!(seen.header("x-portcullis-scopes"), ["api:read"]);
        assert_eq!(seen.header("x-portcullis-roles"), ["service"]);
        assert_eq!(seen.header("x-tenant"), ["t1"]);
        assert!(seen.header("authorization").is_empty(), "the token itself goes no further");

        assert_eq!(ask(&gateway, &token, "/services").await, (200, None));
        assert_eq!(ask(&gateway, &token, "/write").await, refused(403, "insufficient_scope"));
        assert_eq!(ask(&gateway, &token, "/admins").await, refused(403, "insufficient_role"));
        assert_eq!(ask(&gateway, &altered(&token), "/read").await, refused(401, "token_signature"));
    }
    let elsewhere = idp.token("urn:api:other").await;
    assert_eq!(ask(&gateway, &elsewhere, "/any").await, refused(401, "token_audience"));
    // Nothing in an opaque token says whose it is.
    let opaque = idp.token("urn:api:opaque").await;
    assert_eq!(ask(&gateway, &opaque, "/any").await, refused(401, "token_malformed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_users_by_authorization_code_with_pkce() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).await;
    for (resource, algorithm) in ALGORITHMS {
        let alice = text(&idp.log_in("alice", resource).await, "access_token");
        let answer = gateway.send(&get("/users/alice").bearer(&alice)).await;
        assert_eq!(answer.status, 200, "{algorithm}: {answer:?}");
        assert_eq!(answer.seen().header("x-portcullis-subject"), ["alice"]);
        assert_eq!(ask(&gateway, &alice, "/users/bob").await, refused(403, "not_owner"));
        assert_eq!(ask(&gateway, &alice, "/admins").await, refused(403, "insufficient_role"));
    }
    let tokens = idp.log_in("admin", "urn:api:es256").await;
    assert_eq!(ask(&gateway, &text(&tokens, "access_token"), "/admins").await, (200, None));
    // A renewed one serves as well.
    let refresh = text(&tokens, "refresh_token");
    let renewed = idp
        .tokens(&[("grant_type", "refresh_token"), ("client_id", "spa"), ("refresh_token", &refresh)])
        .await;
    assert_eq!(ask(&gateway, &text(&renewed, "access_token"), "/admins").await, (200, None));
    assert_eq!(ask(&gateway, &refresh, "/any").await, refused(401, "token_malformed"));
}

/// An ID token says who logged in at a client. It is for that client, not for an API (RFC 9068 section 2.1).
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_is_no_access_token() {
    let idp = Idp::start().await;
    let tokens = idp.log_in("admin", "urn:api:es256").await;
    let (id, access) = (text(&tokens, "id_token"), text(&tokens, "access_token"));

    let gateway = before(&idp, json!({})).await;
    assert_eq!(ask(&gateway, &id, "/any").await, refused(401, "token_audience"));
    assert_eq!(ask(&gateway, &access, "/any").await, (200, None));

    // Not even where the client goes by the API's name: the type tells them apart (RFC 9068 section 4).
    let gateway = before(&idp, json!({"audiences": [AUDIENCE, "spa"], "types": ["at+jwt"]})).await;
    assert_eq!(ask(&gateway, &id, "/any").await, refused(401, "token_malformed"));
    assert_eq!(ask(&gateway, &access, "/any").await, (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_it_says_so() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).await;
    assert_eq!(ask(&gateway, &idp.token("urn:api:es256").await, "/read").await, (200, None));
    // Of two seconds.
    let short = idp.token("urn:api:short").await;
    let asked = get("/read").bearer(&short);
    assert_eq!(gateway.send_eight(&asked).await.map(|answer| answer.status), [200; 8]);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    // On every worker, though each has verified it before.
    for answer in gateway.send_eight(&asked).await {
        assert_eq!((answer.status, answer.reason()), refused(401, "token_expired"));
    }
}

/// Tokens that are good in themselves, of an issuer that the policy does not know.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_of_the_same_make_is_nobody_here() {
    let (ours, theirs) = (Idp::start().await, Idp::start().await);
    let gateway = before(&ours, json!({})).await;
    let (good, foreign) = (ours.token("urn:api:es256").await, theirs.token("urn:api:es256").await);
    assert_eq!(ask(&gateway, &good, "/read").await, (200, None));
    assert_eq!(ask(&gateway, &foreign, "/read").await, refused(401, "token_issuer"));
    assert_eq!(theirs.fetches().await, 0);
}
