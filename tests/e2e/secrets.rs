//! No secret shows in a log, a stat, an answer, or at the upstream.

use ct_codecs::{Base64, Encoder as _};
use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    idp::{self, Idp},
    issuer::{AUDIENCE, ISSUER, SECRET, token},
    now,
    policy::{anyone, api_key, api_key_entry, provider, rule, with_token},
    proof::Holder,
    request::get,
    signing::base64url,
};

pub(crate) fn policy() -> Value {
    let hmac = json!({
        "name": "hmac",
        "issuer": "https://hmac.test",
        "audiences": ["https://api.test"],
        "algorithms": ["HS256"],
        "symmetricKeys": [{"kid": "symmetric", "secret": base64url(SECRET).unwrap()}],
        "extractFrom": {"headers": [{"name": "x-token"}], "cookies": ["session"], "params": ["access_token"]},
    });
    json!({
        "jwt": {"providers": [provider(), hmac]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}], "cookies": ["api_key"], "params": ["api_key"]},
            "keys": [
                api_key_entry("good", json!({})),
                api_key_entry("expired", json!({"expiresAt": "2024-01-01T00:00:00Z"})),
                api_key_entry("disabled", json!({"disabled": true})),
            ],
        },
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("closed", "PathPrefix", "/closed", json!({
                "authenticate": {"anyOf": [{"jwt": "test"}, {"jwt": "hmac"}, "apiKey"]},
            })),
        ],
        "decisionLog": {"allowed": true, "denied": "All"},
        "defaultAction": "Deny",
    })
}

/// Of a request, all that may hold a secret or an identity.
const EVERYTHING: &str = "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE% %REQ(AUTHORIZATION)% \
    %REQ(X-TOKEN)% %REQ(X-API-KEY)% %REQ(X.API_KEY)% %REQ(COOKIE)% %REQ(DPOP)% sub=%REQ(X-PORTCULLIS-SUBJECT)% \
    rule=%REQ(X_PORTCULLIS.RULE)%";

/// What is removed from requests that go on is removed before an answer, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_refused_requests_hold_stands_in_no_access_log() {
    let mut policy = policy();
    policy["transport"] = json!({"redirectTo": "localhost"});
    policy["rateLimits"] =
        json!([{"name": "one", "key": ["principal"], "limits": [{"requests": 1, "unit": "Hour"}]}]);
    policy["rules"][1]["rateLimits"] = json!(["one"]);
    let gateway = gateway(&policy).access_log(EVERYTHING).start().await;
    let key = api_key("good");
    let with_key = |target: &str| get(&format!("{target}api_key={key}"));
    let forged =
        || get("/nowhere").header("x-portcullis-subject", "root").header("x_portcullis.rule", "root");
    let all = [
        (Wire::Http1, with_key("/closed/x?a=1&"), 200, "/closed/x?a=1"),
        // In every reading a key that is good, and a limit that is used up.
        (Wire::Http1, with_key("/closed/x?a=1&"), 429, "/closed/x?a=1"),
        (Wire::Http2, with_key("/closed/x?"), 429, "/closed/x"),
        (Wire::Http1, get("/nowhere").api_key(&key).header("x.api_key", &key), 403, "/nowhere"),
        (Wire::Http1, with_key("/nowhere?"), 403, "/nowhere"),
        (Wire::Http1, with_key("/closed%2fx?a=1&"), 400, "/closed%2fx"),
        (Wire::Http1, with_key("/closed;x?a=1&"), 400, "/closed"),
        (Wire::Plain, with_key("/open?a=1&"), 308, "/open?a=1"),
        (Wire::Http1, forged(), 403, "/nowhere"),
        (Wire::Http2, forged(), 403, "/nowhere"),
    ];
    for (wire, asked, status, _) in &all {
        let answer = gateway.send_over(*wire, asked).await;
        assert_eq!(answer.status, *status, "{asked:?}: {answer:?}");
        if *status == 308 {
            let location = format!("https://localhost{}", asked.target);
            assert_eq!(answer.header("location"), Some(&*location));
        }
    }
    let lines = gateway.access_log(all.len()).await;
    for (line, (_, asked, status, path)) in lines.iter().zip(&all) {
        let subject = if *status == 200 { "good" } else { "-" };
        assert_eq!(*line, format!("GET {path} {status} - - - - - - sub={subject} rule=-"), "{asked:?}");
    }
}

/// Nor what a request held that was never decided: Envoy writes a line also where the client has gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_waiting_requests_hold_stands_in_no_access_log() {
    // It never answers, so that requests wait until their time is over.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let places = json!({"headers": [{"name": "x-token"}], "params": ["access_token"]});
    let provider = json!({
        "name": "test", "issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": ["ES256"],
        "jwks": {"uri": "http://keys.test/keys", "cluster": "jwks", "timeout": "1m"},
        "extractFrom": places,
    });
    let policy = json!({
        "jwt": {"providers": [provider]},
        "rules": [rule("closed", "PathPrefix", "/closed", with_token())],
    });
    let address = silent.local_addr().unwrap();
    let gateway = gateway(&policy).jwks(address).https_only().access_log(EVERYTHING).start().await;
    let token = token("alice").sign();
    let asked = get(&format!("/closed?access_token={token}&a=1")).header("x-portcullis-subject", "root");
    gateway.send_and_leave(&asked, std::time::Duration::from_millis(500)).await;
    let answer = gateway.send(&asked).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("keys_unavailable")), "{answer:?}");
    let lines = gateway.access_log(2).await;
    let line = |status: u16| format!("GET /closed?a=1 {status} - - - - - - sub=- rule=-");
    assert_eq!(lines, [line(0), line(503)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_anywhere() {
    let gateway = gateway(&policy()).access_log(EVERYTHING).start().await;
    let hmac = token("carol").algorithm(jsonwebtoken::Algorithm::HS256).claim("iss", "https://hmac.test");
    let tokens = [
        token("alice").sign(),
        token("alice").forged().sign(),
        token("alice").claim("exp", now() - 100).sign(),
        token("alice").claim("aud", "https://other.test").sign(),
        token("alice").claim("iss", "https://other.test").sign(),
        token("alice").header("kid", "nobody").sign(),
        token("alice").header("alg", "none").unsigned(),
        hmac.sign(),
        hmac.claim("exp", now() - 100).sign(),
        "not-a-token-but-secret-anyway".to_owned(),
    ];
    let keys = ["good", "expired", "disabled", "unknown"].map(api_key);
    let credentials: Vec<&String> = tokens.iter().chain(&keys).collect();

    let mut shown = vec![];
    for wire in [Wire::Http1, Wire::Http2, Wire::Plain] {
        for path in ["/closed", "/open", "/nowhere"] {
            for credential in &credentials {
                let requests = [
                    get(path).bearer(credential),
                    get(path).header("x-token", credential),
                    get(path).api_key(credential),
                    get(path).header("cookie", format!("session={credential}")),
                    get(path).header("cookie", format!("api_key={credential}")),
                    get(&format!("{path}?access_token={credential}")),
                    get(&format!("{path}?api_key={credential}")),
                    get(path).api_key(credential).bearer(credential),
                ];
                for request in requests {
                    // An allowed request's answer is what the upstream received.
                    let answer = gateway.send_over(wire, &request).await;
                    shown.push((
                        format!("{wire:?} {} {:?}", request.target, request.headers),
                        format!("{answer:?}"),
                    ));
                }
            }
        }
    }
    shown.push(("Envoy's log".to_owned(), gateway.log()));
    let lines = gateway.access_log(shown.len() - 1).await;
    shown.extend(lines.into_iter().map(|line| ("the access log".to_owned(), line)));
    for page in ["/stats", "/stats/prometheus", "/clusters", "/listeners"] {
        shown.push((page.to_owned(), gateway.admin().text(page).await));
    }

    let mut secrets: Vec<String> = credentials.iter().map(|credential| (*credential).clone()).collect();
    // A token's signature is as good as the token to whoever knows the rest.
    secrets.extend(
        tokens
            .iter()
            .filter_map(|token| token.rsplit('.').next())
            .filter(|part| part.len() > 8)
            .map(str::to_owned),
    );
    secrets.push(base64url(SECRET).unwrap());
    secrets.push(String::from_utf8_lossy(SECRET).into_owned());
    for (place, text) in &shown {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "`{secret}` shows in {place}: {text}");
        }
    }
    // The policy that Envoy shows has hashes only.
    let dump = gateway.admin().text("/config_dump").await;
    assert!(dump.contains("sha256:"));
    assert!(keys.iter().all(|key| !dump.contains(key.as_str())), "an API key shows in /config_dump");
    // The decision records are there: this test has looked at something.
    assert!(
        gateway.log().contains("\"decision\":\"allow\"") && gateway.log().contains("\"decision\":\"deny\"")
    );
}

/// Opaque tokens, proofs, and the password by which the issuer is asked; while it answers, refuses and is down.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_shows_where_the_issuer_is_asked() {
    let idp = Idp::start().await;
    let introspection = |members| crate::introspection::introspection(&idp, members);
    let policy = |introspection: Value| {
        json!({
            "jwt": {"providers": [{
                "name": "test", "issuer": idp.issuer, "audiences": [idp::AUDIENCE], "clockSkew": "5s",
                "introspection": introspection, "dpop": {"mode": "Accepted", "nonce": {"lifetime": "1m"}},
            }]},
            "rules": [rule("closed", "Exact", "/closed", with_token())],
            "decisionLog": {"allowed": true, "denied": "All"},
            "defaultAction": "Deny",
        })
    };
    let wrong = "not-the-password-of-the-gateway";
    let right = gateway(&policy(introspection(json!({})))).access_log(EVERYTHING);
    let right = right.jwks(idp.address).https_only().start().await;
    let refused = gateway(&policy(introspection(json!({"clientSecret": wrong})))).access_log(EVERYTHING);
    let refused = refused.jwks(idp.address).https_only().start().await;

    let holder = Holder::generate();
    let at_issuer = holder.proof("POST", &format!("{}/token", idp.issuer)).sign();
    let bound = idp.token_bound_to_key("urn:api:opaque", &at_issuer).await;
    let tokens = [idp.token("urn:api:opaque").await, bound, "never-issued-at-all".to_owned()];
    let mut secrets: Vec<String> = tokens.to_vec();
    for client in [("gateway", "gateway-secret"), ("gateway", wrong)] {
        secrets.push(client.1.to_owned());
        secrets.push(Base64::encode_to_string(format!("{}:{}", client.0, client.1)).unwrap());
    }
    let mut shown = vec![];
    let mut statuses = vec![];
    for mode in ["ok", "down"] {
        idp.turns("introspection", mode).await;
        for gateway in [&right, &refused] {
            let mut nonce = String::new();
            for token in &tokens {
                for _ in 0..2 {
                    let proof = holder.proof("GET", "https://localhost/closed").with(token);
                    let proof = proof.claim("nonce", nonce.as_str()).sign();
                    let proven = get("/closed").header("authorization", format!("DPoP {token}"));
                    for request in [get("/closed").bearer(token), proven.header("dpop", &proof)] {
                        let answer = gateway.send(&request).await;
                        if let Some(next) = answer.header("dpop-nonce") {
                            next.clone_into(&mut nonce);
                        }
                        statuses.push(answer.status);
                        shown.push((format!("{mode} {request:?}"), format!("{answer:?}")));
                    }
                    secrets.extend(proof.rsplit('.').next().map(str::to_owned));
                    secrets.push(proof);
                }
            }
        }
    }
    for gateway in [&right, &refused] {
        shown.push(("Envoy's log".to_owned(), gateway.log()));
        let lines = gateway.access_log(statuses.len() / 2).await;
        shown.extend(lines.into_iter().map(|line| ("the access log".to_owned(), line)));
        for page in ["/stats", "/stats/prometheus", "/clusters", "/listeners"] {
            shown.push((page.to_owned(), gateway.admin().text(page).await));
        }
    }
    // This test has looked at something of each kind.
    assert!([200, 401, 503].iter().all(|status| statuses.contains(status)), "{statuses:?}");
    for (place, text) in &shown {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "`{secret}` shows in {place}: {text}");
        }
    }
}
