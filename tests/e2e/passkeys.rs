//! Passkeys at the gateway: made, used to sign in and to confirm, seen, renamed and removed, with real HTTP; the
//! authenticator is one of the tests', and lies where a test wants it to. `passkeys_browser` has a real browser.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    authenticator::{Authenticator, encode, sha256},
    etcd::Etcd,
    gateway::{Builder, Gateway, gateway},
    issuer::{AUDIENCE, ISSUER_KEYS, token},
    policy::{provider, rule},
    proof::Holder,
    request::{Answer, Request, get, request},
};

const P: &str = "/.well-known/portcullis/webauthn";
const ORIGIN: &str = "https://shop.example.org";

/// `passkeys` are members beside those that every policy of these tests has.
fn policy(passkeys: &Value) -> Value {
    let mut section = json!({
        "relyingParty": {"id": "example.org", "name": "Shop", "origins": [ORIGIN, "https://www.example.org"]},
        "registration": {"jwt": "test"},
    });
    let members = passkeys.as_object().unwrap().clone();
    section.as_object_mut().unwrap().extend(members);
    let either = json!([{"jwt": "test"}, {"jwt": "sessions"}]);
    json!({
        "jwt": {"providers": [provider()]},
        "signingKeys": {"keys": [ISSUER_KEYS.private_jwk(Algorithm::EdDSA)]},
        "sessions": {"issuer": "https://gateway.test", "audiences": [AUDIENCE]},
        "passkeys": section,
        "rules": [
            rule("orders", "Exact", "/orders", json!({"authenticate": {"anyOf": [{"jwt": "sessions"}]}})),
            rule("fresh", "Exact", "/fresh", json!({
                "authenticate": {"anyOf": either}, "authorize": {"stepUp": {"passkey": {"maxAge": "5m"}}},
            })),
            rule("transfers", "PathPrefix", "/transfers", json!({
                "authenticate": {"anyOf": either},
                "authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path", "Body"]}}},
            })),
            rule("deletion", "Exact", "/account", json!({
                "authenticate": {"anyOf": either},
                "authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path"]}}},
            })),
        ],
        "defaultAction": "Deny",
    })
}

fn in_memory() -> Builder {
    gateway(&policy(&json!({"sharedData": true}))).bodies_while_waiting()
}

fn in_etcd(etcd: &Etcd) -> Builder {
    let store = json!({"uri": etcd.url(), "cluster": "etcd", "timeout": "2s"});
    let address = ([127, 0, 0, 1], etcd.port).into();
    gateway(&policy(&json!({"etcd": store}))).cluster("etcd", address).bodies_while_waiting().workers(2)
}

/// A request of a page of the relying party.
fn ask(method: &str, path: &str, body: &Value) -> Request {
    let request = request(method, &format!("{P}/{path}")).header("origin", ORIGIN);
    if method == "GET" || method == "DELETE" {
        return request;
    }
    request.header("content-type", "application/json").body(body.to_string())
}

fn bearer_of(subject: &str) -> String {
    token(subject).sign()
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// What the gateway answers where it must be with `status`.
async fn told(gateway: &Gateway, request: &Request, status: u16) -> Value {
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, status, "{} {}: {answer:?}", request.method, request.target);
    if answer.body.is_empty() { Value::Null } else { json_of(&answer) }
}

async fn refused(gateway: &Gateway, request: &Request, status: u16, reason: &str) {
    let answer = gateway.send(request).await;
    let shown = (answer.status, answer.reason());
    assert_eq!(shown, (status, Some(reason.to_owned())), "{} {}: {answer:?}", request.method, request.target);
}

/// The response with which `authenticator` would make a passkey for whoever `token` is of.
async fn creation(gateway: &Gateway, authenticator: &mut Authenticator, token: &str) -> Value {
    let options = told(gateway, &ask("POST", "registration/options", &json!({})).bearer(token), 200).await;
    authenticator.create(&options)
}

async fn register(gateway: &Gateway, subject: &str) -> Authenticator {
    let token = bearer_of(subject);
    let mut authenticator = Authenticator::new(ORIGIN);
    let response = creation(gateway, &mut authenticator, &token).await;
    told(gateway, &ask("POST", "registration", &response).bearer(&token), 201).await;
    authenticator
}

async fn assertion(gateway: &Gateway, authenticator: &mut Authenticator) -> Value {
    let options = told(gateway, &ask("POST", "authentication/options", &json!({})), 200).await;
    authenticator.get(&options)
}

/// The session that a sign-in gives.
async fn sign_in(gateway: &Gateway, authenticator: &mut Authenticator) -> String {
    let response = assertion(gateway, authenticator).await;
    let session = told(gateway, &ask("POST", "authentication", &response), 200).await;
    session["access_token"].as_str().unwrap().to_owned()
}

/// A transfer with what confirms it.
async fn confirmed(gateway: &Gateway, key: &mut Authenticator, token: &str, transfer: &Request) -> Request {
    let digest = encode(&sha256(&transfer.body));
    let operation = json!({"method": transfer.method, "path": transfer.target, "bodyDigest": digest});
    let options = told(gateway, &ask("POST", "step-up/options", &operation).bearer(token), 200).await;
    assert!(options["allowCredentials"].as_array().is_some_and(|allowed| !allowed.is_empty()), "{options}");
    let response = key.get(&options);
    transfer.clone().bearer(token).header("portcullis-passkey", encode(response.to_string().as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_from_its_making_to_its_end() {
    let etcd = Etcd::start();
    for (gateway, in_shared_data) in [(in_memory(), true), (in_etcd(&etcd), false)] {
        let gateway = gateway.start().await;
        let corporate = bearer_of("alice");
        let mut key = Authenticator::new(ORIGIN);
        let options =
            told(&gateway, &ask("POST", "registration/options", &json!({})).bearer(&corporate), 200).await;
        assert_eq!(options["rp"], json!({"id": "example.org", "name": "Shop"}));
        assert_eq!(options["excludeCredentials"], json!([]));
        let mut response = key.create(&options);
        response["label"] = "My phone".into();
        let made = told(&gateway, &ask("POST", "registration", &response).bearer(&corporate), 201).await;
        assert_eq!((&made["label"], &made["id"]), (&json!("My phone"), &json!(encode(&key.id))));
        // Its authenticator is to make no other.
        let options =
            told(&gateway, &ask("POST", "registration/options", &json!({})).bearer(&corporate), 200).await;
        assert_eq!(options["excludeCredentials"][0]["id"], encode(&key.id));
        assert_eq!(options["user"]["id"], key.user_handle);

        let session = sign_in(&gateway, &mut key).await;
        let answer = gateway.send(&get("/orders").bearer(&session)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.seen().header("x-portcullis-subject"), ["alice"]);
        assert_eq!(gateway.send(&get("/fresh").bearer(&session)).await.status, 200);
        let answer = gateway.send(&get("/fresh").bearer(&corporate)).await;
        assert_eq!(answer.reason().as_deref(), Some("insufficient_user_authentication"));
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.contains(&format!(r#"passkey_options="{P}/authentication/options""#)),
            "{challenge}"
        );
        // For pages, which see no such header of another origin.
        assert_eq!(json_of(&answer)["passkeyOptions"], format!("{P}/authentication/options"));

        let transfer = request("POST", "/transfers/7?to=bob").body(r#"{"amount":7}"#);
        let request = confirmed(&gateway, &mut key, &session, &transfer).await;
        let answer = gateway.send(&request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = answer.seen();
        assert_eq!((seen.body(), seen.header("portcullis-passkey").len()), (r#"{"amount":7}"#, 0));
        // It was good once.
        refused(&gateway, &request, 403, "passkey_refused").await;

        let list = told(&gateway, &ask("GET", "credentials", &Value::Null).bearer(&session), 200).await;
        let [passkey] = list["credentials"].as_array().unwrap().as_slice() else { panic!("{list}") };
        assert_eq!(
            (&passkey["label"], &passkey["transports"], &passkey["userVerified"], &passkey["backedUp"]),
            (&json!("My phone"), &json!(["internal", "hybrid"]), &json!(true), &json!(false))
        );
        assert!(passkey["lastUsedAt"].is_string(), "{passkey}");
        let own = format!("credentials/{}", encode(&key.id));
        let renamed = ask("PATCH", &own, &json!({"label": "Old phone"})).bearer(&session);
        assert_eq!(told(&gateway, &renamed, 200).await["label"], "Old phone");
        // Nobody else can, or learns that it is there.
        let mallory = bearer_of("mallory");
        for method in ["PATCH", "DELETE"] {
            let request = ask(method, &own, &json!({"label": "x"})).bearer(&mallory);
            refused(&gateway, &request, 404, "not_found").await;
        }
        told(&gateway, &ask("DELETE", &own, &Value::Null).bearer(&session), 204).await;
        let list = told(&gateway, &ask("GET", "credentials", &Value::Null).bearer(&session), 200).await;
        assert_eq!(list, json!({"credentials": [], "rpId": "example.org", "userId": key.user_handle}));
        // Whoever has no account has no handle either.
        let list = told(&gateway, &ask("GET", "credentials", &Value::Null).bearer(&mallory), 200).await;
        assert_eq!(list, json!({"credentials": [], "rpId": "example.org", "userId": null}));
        let response = assertion(&gateway, &mut key).await;
        refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_unknown").await;
        let log = gateway.log();
        // At every start it is said where they are not kept.
        assert_eq!(log.contains("gone when it ends"), in_shared_data, "{log}");
        for secret in [&session, &corporate, response["response"]["signature"].as_str().unwrap()] {
            assert!(!log.contains(secret), "a secret is in the log");
        }
    }
    let everything = etcd.everything();
    assert!(everything.contains("v1/passkeys/accounts/"), "{everything}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_fit_their_challenge_sign_nobody_in() {
    let gateway = in_memory().start().await;
    let mut key = register(&gateway, "alice").await;
    type Lie = fn(&mut Authenticator);
    let lies: [(&str, Lie); 5] = [
        ("another origin", |key| key.origin = "https://evil.example.org".to_owned()),
        ("an origin that did not ask", |key| key.origin = "https://www.example.org".to_owned()),
        ("another relying party", |key| key.rp_id = Some("evil.example".to_owned())),
        ("nobody was there", |key| key.user_present = false),
        ("nobody was verified", |key| key.user_verified = false),
    ];
    for (name, lie) in lies {
        let before = (key.origin.clone(), key.rp_id.clone(), key.user_present, key.user_verified);
        lie(&mut key);
        let response = assertion(&gateway, &mut key).await;
        (key.origin, key.rp_id, key.user_present, key.user_verified) = before;
        let answer = gateway.send(&ask("POST", "authentication", &response)).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("passkey_refused")), "{name}");
        sign_in(&gateway, &mut key).await;
    }
    // The counter went back, as that of a copy does.
    key.counter = 1;
    let response = assertion(&gateway, &mut key).await;
    refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_refused").await;
    key.counter = 100;
    sign_in(&gateway, &mut key).await;
    // A challenge is looked at once: also where the first answer was wrong.
    let options = told(&gateway, &ask("POST", "authentication/options", &json!({})), 200).await;
    let (wrong, right) = (Authenticator::new(ORIGIN).get(&options), key.get(&options));
    refused(&gateway, &ask("POST", "authentication", &wrong), 403, "passkey_unknown").await;
    refused(&gateway, &ask("POST", "authentication", &right), 403, "passkey_refused").await;
    let response = assertion(&gateway, &mut key).await;
    told(&gateway, &ask("POST", "authentication", &response), 200).await;
    refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_refused").await;
    // One that was made for something else.
    let token = bearer_of("alice");
    let options = told(&gateway, &ask("POST", "registration/options", &json!({})).bearer(&token), 200).await;
    let options = json!({"challenge": options["challenge"], "rpId": "example.org"});
    let response = key.get(&options);
    refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_refused").await;
    let made_up = json!({"challenge": encode(&[7; 59]), "rpId": "example.org"});
    let response = key.get(&made_up);
    refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_refused").await;
    // Two tabs: the later options do not end the earlier ones.
    let first = told(&gateway, &ask("POST", "authentication/options", &json!({})), 200).await;
    let second = told(&gateway, &ask("POST", "authentication/options", &json!({})), 200).await;
    for options in [first, second] {
        let response = key.get(&options);
        told(&gateway, &ask("POST", "authentication", &response), 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_is_for_one_request_of_one_user() {
    let gateway = in_memory().start().await;
    let (mut key, mut other) = (register(&gateway, "alice").await, register(&gateway, "bob").await);
    let (alice, bob) = (bearer_of("alice"), bearer_of("bob"));
    let transfer = request("POST", "/transfers").body(r#"{"amount":7}"#);
    // Nearest wrong ones, each with a confirmation of its own.
    type Change = fn(Request) -> Request;
    let changes: [(&str, Change); 6] = [
        ("another body", |request| request.body(r#"{"amount":8}"#)),
        ("no body", |request| request.body("")),
        ("another path", |request| Request { target: "/transfers/1".to_owned(), ..request }),
        ("another query", |request| Request { target: "/transfers?x".to_owned(), ..request }),
        ("another method", |request| Request { method: "PUT".to_owned(), ..request }),
        ("another host", |request| request.authority("api.example.org")),
    ];
    for (name, change) in changes {
        let request = change(confirmed(&gateway, &mut key, &alice, &transfer).await);
        let answer = gateway.send(&request).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("passkey_refused")), "{name}");
        let request = confirmed(&gateway, &mut key, &alice, &transfer).await;
        assert_eq!(gateway.send(&request).await.status, 200, "{name}");
    }
    // Alice's token with Bob's passkey, and his options.
    let mut request = confirmed(&gateway, &mut other, &bob, &transfer).await;
    request.headers.retain(|(name, _)| name != "authorization");
    refused(&gateway, &request.bearer(&alice), 403, "passkey_refused").await;
    // A touch alone.
    key.user_verified = false;
    let request = confirmed(&gateway, &mut key, &alice, &transfer).await;
    refused(&gateway, &request, 403, "passkey_refused").await;
    key.user_verified = true;
    // A sign-in confirms nothing, nor the other way round.
    let options = told(&gateway, &ask("POST", "authentication/options", &json!({})), 200).await;
    let signed_in = encode(key.get(&options).to_string().as_bytes());
    let request = transfer.clone().bearer(&alice).header("portcullis-passkey", &signed_in);
    refused(&gateway, &request, 403, "passkey_refused").await;
    let operation = json!({"method": "POST", "path": "/transfers", "bodyDigest": encode(&sha256(b""))});
    let options = told(&gateway, &ask("POST", "step-up/options", &operation).bearer(&alice), 200).await;
    let response = key.get(&options);
    refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_refused").await;
    // Without its body, where the rule wants that confirmed, and where it does not.
    for (method, path, status) in [("POST", "/transfers", 403), ("DELETE", "/account", 200)] {
        let operation = json!({"method": method, "path": path});
        let options = told(&gateway, &ask("POST", "step-up/options", &operation).bearer(&alice), 200).await;
        let response = encode(key.get(&options).to_string().as_bytes());
        let request = request_of(method, path).bearer(&alice).header("portcullis-passkey", &response);
        assert_eq!(gateway.send(&request).await.status, status, "{method} {path}");
    }
    // Twice, or not to be read.
    let request = confirmed(&gateway, &mut key, &alice, &transfer).await;
    let (_, value) = request.headers.last().unwrap().clone();
    refused(&gateway, &request.header("portcullis-passkey", &value), 403, "passkey_refused").await;
    let request = transfer.clone().bearer(&alice).header("portcullis-passkey", "?");
    refused(&gateway, &request, 403, "passkey_refused").await;
    let answer = gateway.send(&transfer.clone().bearer(&alice)).await;
    assert_eq!(answer.reason().as_deref(), Some("insufficient_user_authentication"));
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains(&format!(r#"passkey_options="{P}/step-up/options""#)), "{challenge}");
    assert_eq!(json_of(&answer)["passkeyOptions"], format!("{P}/step-up/options"));
    // Whoever has no passkey can confirm nothing.
    let operation = json!({"method": "POST", "path": "/transfers"});
    let nobody = bearer_of("carol");
    let request = ask("POST", "step-up/options", &operation).bearer(&nobody);
    refused(&gateway, &request, 403, "passkey_unknown").await;
}

fn request_of(method: &str, path: &str) -> Request {
    request(method, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_make_a_passkey() {
    let gateway = in_memory().start().await;
    let alice = bearer_of("alice");
    refused(&gateway, &ask("POST", "registration/options", &json!({})), 401, "credentials_missing").await;
    let forged = token("alice").forged().sign();
    let request = ask("POST", "registration/options", &json!({})).bearer(&forged);
    refused(&gateway, &request, 401, "token_signature").await;
    // The options of one are no good for another.
    let mut key = Authenticator::new(ORIGIN);
    let response = creation(&gateway, &mut key, &alice).await;
    let mallory = bearer_of("mallory");
    let request = ask("POST", "registration", &response).bearer(&mallory);
    refused(&gateway, &request, 403, "passkey_refused").await;
    let response = creation(&gateway, &mut key, &alice).await;
    told(&gateway, &ask("POST", "registration", &response).bearer(&alice), 201).await;
    refused(&gateway, &ask("POST", "registration", &response).bearer(&alice), 403, "passkey_refused").await;
    // A credential that somebody has is nobody else's.
    let response = creation(&gateway, &mut key, &mallory).await;
    let request = ask("POST", "registration", &response).bearer(&mallory);
    refused(&gateway, &request, 403, "passkey_refused").await;
    // A session that is fresh may; made elsewhere, or with no user there, nothing is.
    let response = creation(&gateway, &mut key, &alice).await;
    drop(response);
    key.user_handle = own_handle(&gateway, &alice).await;
    let session = sign_in(&gateway, &mut key).await;
    let mut second = Authenticator::new(ORIGIN);
    for lie in [("origin"), ("presence"), ("verification"), ("")] {
        second.origin = if lie == "origin" { "https://evil.example".to_owned() } else { ORIGIN.to_owned() };
        (second.user_present, second.user_verified) = (lie != "presence", lie != "verification");
        let response = creation(&gateway, &mut second, &session).await;
        let answer = gateway.send(&ask("POST", "registration", &response).bearer(&session)).await;
        let expected = if lie.is_empty() { 201 } else { 403 };
        assert_eq!(answer.status, expected, "{lie}: {answer:?}");
    }
}

async fn own_handle(gateway: &Gateway, token: &str) -> String {
    let options = told(gateway, &ask("POST", "registration/options", &json!({})).bearer(token), 200).await;
    options["user"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_take_json_of_their_own_pages_alone() {
    let gateway = in_memory().start().await;
    let plain = |path: &str| request("POST", &format!("{P}/{path}"));
    let json_type = |request: Request| request.header("content-type", "application/json");
    let cases = [
        (
            "a form",
            plain("authentication/options")
                .header("origin", ORIGIN)
                .header("content-type", "application/x-www-form-urlencoded")
                .body("a=b"),
            (415, "unsupported_media_type"),
        ),
        ("no type", plain("authentication/options").body("{}"), (415, "unsupported_media_type")),
        ("no json", json_type(plain("authentication/options")).body("{"), (400, "body_malformed")),
        ("a list", json_type(plain("authentication/options")).body("[]"), (400, "body_malformed")),
        (
            "members twice",
            json_type(plain("authentication")).body(r#"{"id":"a","id":"b"}"#),
            (400, "body_malformed"),
        ),
        (
            "too large",
            json_type(plain("authentication")).body("x".repeat(64 * 1024 + 1)),
            (413, "body_too_large"),
        ),
        (
            "another page",
            json_type(plain("authentication/options")).header("origin", "https://evil.example").body("{}"),
            (403, "cross_site_request"),
        ),
        (
            "no page that says which",
            json_type(plain("authentication/options")).header("origin", "null").body("{}"),
            (403, "cross_site_request"),
        ),
        ("another method", request("GET", &format!("{P}/authentication")), (405, "method_not_allowed")),
        ("another path", request("GET", &format!("{P}/x")), (404, "not_found")),
    ];
    for (name, request, (status, reason)) in cases {
        let answer = gateway.send(&request).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (status, Some(reason)), "{name}: {answer:?}");
    }
    let answer = gateway.send(&request("GET", &format!("{P}/authentication"))).await;
    assert_eq!(answer.header("allow"), Some("POST"));
    // A program, which says no origin, and a charset that is said.
    let program = plain("authentication/options").header("content-type", "application/json; charset=utf-8");
    told(&gateway, &program.body("{}"), 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_share_everything_at_once() {
    let etcd = Etcd::start();
    let (one, two) = (in_etcd(&etcd).start().await, in_etcd(&etcd).start().await);
    let token = bearer_of("alice");
    let mut key = Authenticator::new(ORIGIN);
    let response = creation(&one, &mut key, &token).await;
    told(&two, &ask("POST", "registration", &response).bearer(&token), 201).await;
    for (begins, ends) in [(&one, &two), (&two, &one)] {
        let response = assertion(begins, &mut key).await;
        let request = ask("POST", "authentication", &response);
        told(ends, &request, 200).await;
        // The other one has not seen it, and refuses all the same.
        refused(begins, &request, 403, "passkey_refused").await;
    }
    // Of many that are given the same answer at once one takes it.
    for _ in 0..5 {
        let response = assertion(&one, &mut key).await;
        let request = ask("POST", "authentication", &response);
        let all = (0..8).map(|n| if n % 2 == 0 { one.send(&request) } else { two.send(&request) });
        let answers = futures_of(all).await;
        let taken = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(taken, 1, "{answers:?}");
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 403)), "{answers:?}");
    }
}

async fn futures_of(all: impl Iterator<Item = impl Future<Output = Answer>>) -> Vec<Answer> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut answers = Vec::new();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn while_etcd_is_away_nobody_signs_in_and_sessions_go_on() {
    let mut etcd = Etcd::start();
    let gateway = in_etcd(&etcd).start().await;
    let mut key = register(&gateway, "alice").await;
    let session = sign_in(&gateway, &mut key).await;
    let response = assertion(&gateway, &mut key).await;
    let transfer = request("POST", "/transfers").body("{}");
    let confirmed = confirmed(&gateway, &mut key, &session, &transfer).await;
    etcd.stop();
    let authentication = ask("POST", "authentication", &response);
    refused(&gateway, &authentication, 503, "passkeys_unavailable").await;
    refused(&gateway, &confirmed, 503, "passkeys_unavailable").await;
    let list = ask("GET", "credentials", &Value::Null).bearer(&session);
    refused(&gateway, &list, 503, "passkeys_unavailable").await;
    assert_eq!(gateway.send(&get("/orders").bearer(&session)).await.status, 200);
    // Options name nobody, so they need no store.
    told(&gateway, &ask("POST", "authentication/options", &json!({})), 200).await;
    etcd.restart();
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Nothing is lost.
    sign_in(&gateway, &mut key).await;
    let list = told(&gateway, &list, 200).await;
    assert_eq!(list["credentials"].as_array().unwrap().len(), 1);
    // A gateway that is started anew, too.
    drop(gateway);
    let gateway = in_etcd(&etcd).start().await;
    sign_in(&gateway, &mut key).await;
}

/// RFC 9449 section 5: the proof goes with the request that signs in, over both workers only once.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_bound_to_the_key_of_whoever_signs_in() {
    let mut policy = policy(&json!({"sharedData": true}));
    policy["sessions"]["dpop"] = json!({"mode": "Accepted"});
    let gateway = gateway(&policy).bodies_while_waiting().https_only().workers(2).start().await;
    let mut key = register(&gateway, "alice").await;
    let (holder, thief) = (Holder::generate(), Holder::generate());
    let url = format!("https://localhost{P}/authentication");
    let response = assertion(&gateway, &mut key).await;
    let with = |proof: &str| ask("POST", "authentication", &response).header("dpop", proof);
    refused(&gateway, &with(&holder.proof("GET", &url).sign()), 401, "dpop_proof_invalid").await;
    let proof = holder.proof("POST", &url).sign();
    let session = told(&gateway, &with(&proof), 200).await;
    assert_eq!(session["token_type"], "DPoP");
    let token = session["access_token"].as_str().unwrap().to_owned();
    let used = |holder: &Holder| {
        let proof = holder.proof("GET", "https://localhost/orders").with(&token).sign();
        get("/orders").header("authorization", format!("DPoP {token}")).header("dpop", proof)
    };
    let answer = gateway.send(&used(&holder)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.seen().header("x-portcullis-subject"), ["alice"]);
    refused(&gateway, &used(&thief), 401, "token_binding").await;
    refused(&gateway, &get("/orders").bearer(&token), 401, "token_binding").await;
    let response = assertion(&gateway, &mut key).await;
    let again = ask("POST", "authentication", &response).header("dpop", &proof);
    refused(&gateway, &again, 401, "dpop_proof_replayed").await;
    let session = sign_in(&gateway, &mut key).await;
    assert_eq!(gateway.send(&get("/orders").bearer(&session)).await.status, 200);
}

/// Until both workers have read what is revoked.
async fn becomes(gateway: &Gateway, request: &Request, expected: (u16, &str)) {
    let began = Instant::now();
    loop {
        let answers = gateway.send_eight(request).await;
        let said = |answer: &Answer| (answer.status, answer.reason().unwrap_or_default());
        if answers.iter().all(|answer| said(answer) == (expected.0, expected.1.to_owned())) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "not {expected:?}: {answers:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_their_passkey() {
    const GOOD: (u16, &str) = (200, "");
    const ENDED: (u16, &str) = (401, "token_revoked");
    let etcd = Etcd::start();
    let store = json!({"uri": etcd.url(), "cluster": "etcd"});
    let mut policy = policy(&json!({"etcd": store}));
    policy["revocation"] = json!({"etcd": store});
    let address = ([127, 0, 0, 1], etcd.port).into();
    let gateway = gateway(&policy).cluster("etcd", address).bodies_while_waiting().workers(2).start().await;
    let corporate = bearer_of("alice");
    let with = |session: &str| get("/orders").bearer(session);
    // Nobody passes before it is known what is revoked.
    becomes(&gateway, &ask("GET", "credentials", &Value::Null).bearer(&corporate), GOOD).await;
    let mut keys = Vec::new();
    for _ in 0..4 {
        let mut key = Authenticator::new(ORIGIN);
        let response = creation(&gateway, &mut key, &corporate).await;
        told(&gateway, &ask("POST", "registration", &response).bearer(&corporate), 201).await;
        let sessions = [sign_in(&gateway, &mut key).await, sign_in(&gateway, &mut key).await];
        becomes(&gateway, &with(&sessions[0]), GOOD).await;
        keys.push((key, sessions));
    }
    let id = |place: usize, keys: &[(Authenticator, [String; 2])]| encode(&keys[place].0.id);

    // By its user, with a session of its own, which is over then, as is every other one of it.
    let own = format!("credentials/{}", id(0, &keys));
    told(&gateway, &ask("DELETE", &own, &Value::Null).bearer(&keys[0].1[0]), 204).await;
    for session in &keys[0].1 {
        becomes(&gateway, &with(session), ENDED).await;
    }
    becomes(&gateway, &with(&keys[1].1[0]), GOOD).await;
    let response = assertion(&gateway, &mut keys[0].0).await;
    refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_unknown").await;
    let revocation = format!("/portcullis/v1/revocations/passkey/{}", id(0, &keys));
    let said: Value = serde_json::from_str(&etcd.ctl(&["get", "--print-value-only", &revocation])).unwrap();
    assert!(said["until"].as_str() > said["revokedAt"].as_str(), "{said}");
    // A token is no session, and is as good as before.
    told(&gateway, &ask("GET", "credentials", &Value::Null).bearer(&corporate), 200).await;

    // By the command: one, one without its sessions, and at last all there are, as when somebody is to be enrolled anew.
    let remove = |arguments: &[&str]| {
        let (done, told) = passkey_command(&etcd, &[&["remove", "--subject", "alice"], arguments].concat());
        assert!(done, "{told}");
    };
    remove(&["--id", &id(1, &keys)]);
    becomes(&gateway, &with(&keys[1].1[0]), ENDED).await;
    remove(&["--id", &id(2, &keys), "--keep-sessions"]);
    remove(&[]);
    becomes(&gateway, &with(&keys[3].1[0]), ENDED).await;
    becomes(&gateway, &with(&keys[2].1[0]), GOOD).await;
    for (key, _) in &mut keys {
        let response = assertion(&gateway, key).await;
        refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_unknown").await;
    }
    let mut key = Authenticator::new(ORIGIN);
    let (_, enrolled) = passkey_command(&etcd, &["enrol", "--subject", "alice"]);
    let code = json!({"enrolmentCode": enrolled["code"]});
    let options = told(&gateway, &ask("POST", "registration/options", &code), 200).await;
    let mut response = key.create(&options);
    response["enrolmentCode"] = enrolled["code"].clone();
    told(&gateway, &ask("POST", "registration", &response), 201).await;
    let session = sign_in(&gateway, &mut key).await;
    becomes(&gateway, &with(&session), GOOD).await;
}

/// Runs `portcullis passkey` on `etcd`.
fn passkey_command(etcd: &Etcd, arguments: &[&str]) -> (bool, Value) {
    let done = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("passkey")
        .args(arguments)
        .args(["--output", "json", "--store", &format!("{}/portcullis/", etcd.url())])
        .output()
        .unwrap();
    (done.status.success(), serde_json::from_slice(&done.stdout).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_code_makes_one_passkey() {
    let etcd = Etcd::start();
    let gateway = in_etcd(&etcd).start().await;
    let enrol = |arguments: &[&str]| {
        let (done, told) = passkey_command(&etcd, &[&["enrol", "--subject", "dora"], arguments].concat());
        assert!(done, "{told}");
        told["code"].as_str().unwrap().to_owned()
    };
    let code = enrol(&["--name", "Dora D.", "--role", "editor", "--scope", "orders:read"]);
    let begin = |code: &str| ask("POST", "registration/options", &json!({"enrolmentCode": code}));
    let end = |response: &Value, code: &str| {
        let mut response = response.clone();
        response["enrolmentCode"] = code.into();
        ask("POST", "registration", &response)
    };
    let wrong = format!("{}x", &code[1..]);
    refused(&gateway, &begin(&wrong), 403, "enrolment_refused").await;
    let mut key = Authenticator::new(ORIGIN);
    let options = told(&gateway, &begin(&code), 200).await;
    assert_eq!(options["user"]["name"], "Dora D.");
    let response = key.create(&options);
    refused(&gateway, &ask("POST", "registration", &response), 401, "credentials_missing").await;
    told(&gateway, &end(&response, &code), 201).await;
    refused(&gateway, &begin(&code), 403, "enrolment_refused").await;
    let session = sign_in(&gateway, &mut key).await;
    let answer = gateway.send(&get("/orders").bearer(&session)).await;
    let seen = answer.seen();
    assert_eq!(
        ["subject", "roles", "scopes"].map(|name| seen.header(&format!("x-portcullis-{name}")).concat()),
        ["dora", "editor", "orders:read"]
    );
    // Whoever is given another role has it with the next sign-in.
    assert!(passkey_command(&etcd, &["set", "--subject", "dora", "--role", "admin"]).0);
    let session = sign_in(&gateway, &mut key).await;
    let answer = gateway.send(&get("/orders").bearer(&session)).await;
    assert_eq!(answer.seen().header("x-portcullis-roles"), ["admin"]);
    // One that is over.
    let brief = enrol(&["--expires", "1s"]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    refused(&gateway, &begin(&brief), 403, "enrolment_refused").await;
    let (_, list) = passkey_command(&etcd, &["list"]);
    assert_eq!((&list[0]["subject"], list[0]["passkeys"].as_array().unwrap().len()), (&json!("dora"), 1));
    assert!(!passkey_command(&etcd, &["remove", "--subject", "nobody"]).0);
    assert!(!passkey_command(&etcd, &["remove", "--subject", "dora", "--id", "AAAA"]).0);
    let unchanged = etcd.everything();
    assert!(passkey_command(&etcd, &["remove", "--subject", "dora", "--dry-run"]).0);
    assert_eq!(etcd.everything(), unchanged);
    assert!(passkey_command(&etcd, &["remove", "--subject", "dora"]).0);
    let response = assertion(&gateway, &mut key).await;
    refused(&gateway, &ask("POST", "authentication", &response), 403, "passkey_unknown").await;
    // Nothing but digests of codes.
    for secret in [&code, &brief, &session] {
        assert!(!unchanged.contains(secret.as_str()) && !gateway.log().contains(secret.as_str()));
    }
}
