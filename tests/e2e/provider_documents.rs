//! Key sets, discovery documents and answers about tokens as real providers send them: each serves, or the log says
//! why not. Beside each stands its nearest that goes the other way.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    idp::until,
    issuer::{AUDIENCE, FORGER_KEYS, ISSUER_KEYS, token},
    policy::{merge, rule},
    request::get,
    serving::Serving,
};

/// What a server sends.
#[derive(Clone)]
struct Document {
    body: Vec<u8>,
    coding: Option<&'static str>,
}

fn plain(body: impl ToString) -> Document {
    Document { body: body.to_string().into(), coding: None }
}

/// Answers each path with its document, and only those who take it as it is.
async fn serve(documents: BTreeMap<String, Document>) -> Serving {
    let documents = Arc::new(documents);
    Serving::start(move |request| std::future::ready(answer(&documents, &request))).await
}

fn answer(documents: &BTreeMap<String, Document>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let takes_any = request.headers().get("accept-encoding").is_none_or(|coding| coding != "identity");
    let Some(document) = documents.get(request.uri().path()).filter(|_| !takes_any) else {
        return Response::builder().status(404).body(Full::default()).unwrap();
    };
    let answer = document
        .coding
        .iter()
        .fold(Response::builder(), |answer, coding| answer.header("content-encoding", *coding));
    answer.body(Full::new(Bytes::from(document.body.clone()))).unwrap()
}

/// What becomes of a token of the provider, and what the log says; empty for nothing.
struct Row {
    name: &'static str,
    document: Document,
    expected: Result<(), &'static str>,
    said: &'static str,
}

const KEYLESS: Result<(), &str> = Err("keys_unavailable");

fn key(changes: Value) -> Value {
    let mut key = ISSUER_KEYS.jwk(Algorithm::ES256);
    merge(&mut key, changes);
    key
}

/// A set with this key alone.
fn set(changes: Value) -> Document {
    plain(json!({"keys": [key(changes)]}))
}

fn padded(member: &str) -> String {
    format!("{}=", key(json!({}))[member].as_str().unwrap())
}

fn key_sets() -> Vec<Row> {
    let row = |name, document, expected, said| Row { name, document, expected, said };
    let nothing = |value: Value| {
        let names =
            ["use", "key_ops", "alg", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "x5c", "x5t", "x5u"];
        let mut members = json!({});
        names.iter().for_each(|name| members[name] = value.clone());
        members
    };
    let (good, other) = (key(json!({})), FORGER_KEYS.jwk(Algorithm::RS256));
    let twice = |more: &str| good.to_string().replacen('{', &format!("{{{more},"), 1);
    let nameless = |count: usize| {
        let mut keys = vec![FORGER_KEYS.jwk(Algorithm::ES256); count];
        keys.push(good.clone());
        keys.iter_mut().for_each(|key| drop(key.as_object_mut().unwrap().remove("kid")));
        plain(json!({ "keys": keys }))
    };
    vec![
        row("as-it-should-be", set(json!({})), Ok(()), ""),
        row("empty-lists", set(json!({"key_ops": [], "oth": [], "x5c": []})), Ok(()), ""),
        row("nulls", set(nothing(Value::Null)), Ok(()), ""),
        row("empty-texts", set(nothing("".into())), Ok(()), ""),
        row("private", set(json!({"d": "AQAB"})), KEYLESS, "not used: keys[0] (kid \"p256\"): a private key"),
        row("other-operations", set(json!({"key_ops": ["sign"]})), KEYLESS, "`key_ops` without `verify`"),
        row(
            "padded",
            set(json!({"x": padded("x")})),
            KEYLESS,
            "`x` is not base64url without padding (RFC 7518",
        ),
        row(
            "certificates-only",
            set(json!({"x": null, "x5c": ["MIIB"]})),
            KEYLESS,
            "`x` is missing; certificates",
        ),
        row(
            "encryption-too",
            plain(json!({"keys": [key(json!({"use": "enc", "alg": "RSA-OAEP"})), good]})),
            Ok(()),
            "`use` is not `sig`",
        ),
        row(
            "post-quantum-too",
            plain(json!({"keys": [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}, good]})),
            Ok(()),
            "keys[0]: a `kty`",
        ),
        row("a-mark", plain(format!("\u{feff}{}", json!({"keys": [good]}))), Ok(()), ""),
        row("two-marks", plain(format!("\u{feff}\u{feff}{}", json!({"keys": [good]}))), KEYLESS, "not JSON"),
        row(
            "another-twice",
            plain(format!("{{\"keys\":[{},{good}]}}", twice("\"kid\":\"x\""))),
            Ok(()),
            "keys[0]: an object with a member twice",
        ),
        row(
            "its-own-twice",
            plain(format!("{{\"keys\":[{},{other}]}}", twice("\"kid\":\"x\""))),
            Err("token_key"),
            "keys[0]: an object with a member twice",
        ),
        row(
            "the-set-twice",
            plain(format!("{{\"keys\":[{good}],\"keys\":[]}}")),
            KEYLESS,
            "no usable key set: an object with a member twice",
        ),
        row(
            "compressed",
            Document { body: b"\x1f\x8b\x08\x00".into(), coding: Some("gzip") },
            KEYLESS,
            "in a coding (gzip)",
        ),
        row("compressed-in-name", Document { coding: Some("gzip"), ..set(json!({})) }, Ok(()), ""),
        row(
            "a-document",
            plain(json!({"issuer": "x", "jwks_uri": "https://keys.test/a"})),
            KEYLESS,
            "a discovery document; its `jwks_uri`",
        ),
        row(
            "certificates-by-name",
            plain(json!({"p256": "-----BEGIN CERTIFICATE-----"})),
            KEYLESS,
            "not a JWK set",
        ),
        row("empty", plain(json!({"keys": []})), KEYLESS, "no usable key"),
        row("four-nameless", nameless(3), Ok(()), ""),
        row(
            "five-nameless",
            nameless(4),
            Err("token_key"),
            "none of the first 4 keys for ES256 made the signature",
        ),
    ]
}

fn discovery_documents() -> Vec<Row> {
    let row = |name, document, expected, said| Row { name, document, expected, said };
    let document =
        |issuer: &str| json!({"issuer": issuer, "jwks_uri": "http://keys.test/as-it-should-be", "x": null});
    vec![
        row("d-mark", plain(format!("\u{feff}{}", document("https://d-mark.test"))), Ok(()), ""),
        row(
            "d-compressed",
            Document { body: b"\x1f\x8b\x08\x00".into(), coding: Some("br") },
            KEYLESS,
            "discovery document: not JSON but in a coding (br)",
        ),
        row(
            "d-tenants",
            plain(document("https://login.test/{tenantid}/v2.0")),
            KEYLESS,
            "it is for all tenants",
        ),
        row("d-other", plain(document("https://d-other.test/")), KEYLESS, "not the configured one"),
    ]
}

fn answers_about_tokens() -> Vec<Row> {
    let row = |name, document, expected, said| Row { name, document, expected, said };
    let unavailable = Err("introspection_unavailable");
    let active = |more: Value| {
        let mut answer = json!({"active": true, "sub": "alice", "aud": AUDIENCE});
        merge(&mut answer, more);
        answer
    };
    let nulls = json!({"iss": null, "exp": null, "nbf": null, "iat": null, "jti": null, "scope": null, "username": null,
        "token_type": null, "client_id": null});
    vec![
        row("i-nulls", plain(active(nulls)), Ok(()), ""),
        row("i-mark", plain(format!("\u{feff}{}", active(json!({})))), Ok(()), ""),
        row(
            "i-compressed",
            Document { body: b"\x1f\x8b\x08\x00".into(), coding: Some("gzip") },
            unavailable,
            "in a coding (gzip)",
        ),
        row("i-text", plain(active(json!({"active": "true"}))), unavailable, "introspection of \"i-text\""),
        row("i-other", plain(active(json!({"aud": "other"}))), Err("token_audience"), ""),
    ]
}

/// One provider for each row, and one rule for all tokens of one kind.
fn policy(keys: &[Row], documents: &[Row], answers: &[Row]) -> Value {
    let provider = |name: &str, members: Value| {
        let mut provider =
            json!({"name": name, "issuer": format!("https://{name}.test"), "audiences": [AUDIENCE]});
        merge(&mut provider, members);
        provider
    };
    let at = |name: &str| format!("http://keys.test/{name}");
    let fetched = |members: Value| {
        json!({"algorithms": ["ES256"]})
            .as_object()
            .unwrap()
            .clone()
            .into_iter()
            .chain(members.as_object().unwrap().clone())
            .collect::<Value>()
    };
    let providers = keys
        .iter()
        .map(|row| provider(row.name, fetched(json!({"jwks": {"uri": at(row.name), "cluster": "jwks"}}))))
        .chain(documents.iter().map(|row| {
            provider(row.name, fetched(json!({"discovery": {"uri": at(row.name), "cluster": "jwks"}})))
        }))
        .chain(answers.iter().map(|row| {
            provider(row.name, json!({"introspection": {
                "endpoint": format!("https://keys.test/{}", row.name), "cluster": "jwks", "clientId": "c", "clientSecret": "s",
            }}))
        }));
    let takes = |rows: &mut dyn Iterator<Item = &Row>| json!({"authenticate": {"anyOf": rows.map(|row| json!({"jwt": row.name})).collect::<Value>()}});
    let opaque = answers
        .iter()
        .map(|row| rule(row.name, "Exact", &format!("/{}", row.name), takes(&mut [row].into_iter())));
    let signed = rule("signed", "Exact", "/signed", takes(&mut keys.iter().chain(documents)));
    json!({
        "jwt": {"providers": providers.collect::<Value>()},
        "rules": std::iter::once(signed).chain(opaque).collect::<Value>(),
        "defaultAction": "Deny",
        "decisionLog": {"denied": "All"},
    })
}

/// The whole log says it within a moment.
async fn says(gateway: &Gateway, said: &str) {
    until(Duration::from_secs(3), async || gateway.log().contains(said)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_serves_or_the_log_says_why_not() {
    let (keys, documents, answers) = (key_sets(), discovery_documents(), answers_about_tokens());
    let served = keys.iter().chain(&documents).chain(&answers);
    let server = serve(served.map(|row| (format!("/{}", row.name), row.document.clone())).collect()).await;
    let gateway =
        gateway(&policy(&keys, &documents, &answers)).jwks(server.address).https_only().start().await;
    for row in keys.iter().chain(&documents) {
        let mut token = token("alice").claim("iss", format!("https://{}.test", row.name));
        if row.name.ends_with("-nameless") {
            token = token.header("kid", Value::Null);
        }
        let answer = gateway.send(&get("/signed").bearer(&token.sign())).await;
        let (status, reason) = (answer.status, answer.reason());
        assert_eq!(
            if status == 200 { Ok(()) } else { Err(reason.as_deref().unwrap()) },
            row.expected,
            "{}",
            row.name
        );
    }
    for row in &answers {
        let answer = gateway.send(&get(&format!("/{}", row.name)).bearer("opaque")).await;
        let (status, reason) = (answer.status, answer.reason());
        assert_eq!(
            if status == 200 { Ok(()) } else { Err(reason.as_deref().unwrap()) },
            row.expected,
            "{}",
            row.name
        );
    }
    for row in keys.iter().chain(&documents).chain(&answers) {
        says(&gateway, row.said).await;
        let named = gateway.log().lines().any(|line| {
            line.contains(row.said)
                && (line.contains(&format!("\"{}\"", row.name)) || line.contains("\"reason\""))
        });
        assert!(named || row.said.is_empty(), "{}", row.name);
    }
    let log = gateway.log();
    assert!(!log.contains("Wasm VM failed") && !log.contains("panicked"), "{log}");
    // Of what is fine nothing is said.
    for row in keys.iter().chain(&documents).chain(&answers).filter(|row| row.said.is_empty()) {
        assert!(!log.contains(&format!("\"{}\": ", row.name)), "{}: {log}", row.name);
    }
}

/// Values beyond ASCII, with a comma, and such as no header can carry.
#[tokio::test(flavor = "multi_thread")]
async fn claims_go_upstream_in_one_reading() {
    let mut provider = crate::harness::policy::provider();
    provider["claimToHeaders"] = ["name", "groups", "org", "missing"]
        .map(|claim| json!({"claim": claim, "header": format!("x-{claim}")}))
        .into_iter()
        .collect();
    let policy = json!({
        "jwt": {"providers": [provider]},
        "rules": [rule("closed", "Exact", "/closed", crate::harness::policy::with_token())],
        "defaultAction": "Deny",
        "decisionLog": {"allowed": true},
    });
    let gateway = gateway(&policy).https_only().start().await;
    let token = token("alice")
        .claim("name", "Jos\u{e9} M\u{fc}ller, 5%")
        .claim("groups", json!(["a", "b,c", "\u{e9}"]))
        .claim("org", json!({"id": "o1"}));
    let answer = gateway.send(&get("/closed").bearer(&token.sign()).header("x-org", "evil")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(seen["headers"]["x-name"], json!(["Jos%C3%A9 M%C3%BCller, 5%25"]));
    assert_eq!(seen["headers"]["x-groups"], json!(["a,b%2Cc,%C3%A9"]));
    assert_eq!((&seen["headers"]["x-org"], &seen["headers"]["x-missing"]), (&Value::Null, &Value::Null));
    says(&gateway, "\"unsent\":[\"x-org: the claim is an object\"]").await;
}
