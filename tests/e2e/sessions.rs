//! Sessions: tokens that are signed with the gateway's own keys, and those keys as others get them.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use serde_json::{Value, json};

use crate::harness::{
    client::http1_bytes,
    gateway::{Wire, gateway},
    issuer::{AUDIENCE, FORGER_KEYS, ISSUER_KEYS, Token, token},
    now,
    policy::{api_key, api_key_entry, provider, rule, with_api_key, with_token},
    request::{Request, get, post, request},
    table::{hold, pair},
    web_sockets::WebSockets,
};

const GATEWAY: &str = "https://gateway.test";
const JWKS: &str = "/.well-known/portcullis/jwks.json";

/// `keys` are those of the gateway.
fn policy(keys: &[Value]) -> Value {
    let sessions = json!([{"jwt": "sessions"}]);
    let rule_of = |name: &str, authorize: Value| {
        let members = json!({"authenticate": {"anyOf": sessions}, "authorize": authorize});
        rule(name, "Exact", &format!("/{name}"), members)
    };
    json!({
        "jwt": {"providers": [provider()]},
        "signingKeys": {"keys": keys},
        "sessions": {"issuer": GATEWAY, "audiences": [AUDIENCE]},
        "revocation": {"tokens": {"sid": ["ended"]}},
        "roles": [{"name": "admin", "permissions": ["*"]}],
        "rateLimits": [{"name": "two", "key": ["principal"], "limits": [{"requests": 2, "unit": "Hour"}]}],
        "rules": [
            rule("s", "Exact", "/s", json!({"authenticate": {"anyOf": sessions}})),
            rule("t", "Exact", "/t", with_token()),
            rule("both", "Exact", "/both", json!({"authenticate": {"anyOf": [{"jwt": "test"}, {"jwt": "sessions"}]}})),
            rule("limited", "Exact", "/limited", json!({"authenticate": {"anyOf": sessions}, "rateLimits": ["two"]})),
            rule_of("role", json!({"roles": ["admin"]})),
            rule_of("permission", json!({"permissions": ["orders:read"]})),
            rule_of("scope", json!({"scopes": ["orders"]})),
            rule_of("fresh", json!({"stepUp": {"acrValues": ["phr"], "maxAge": "5m"}})),
        ],
        "defaultAction": "Deny",
    })
}

fn es256() -> Value {
    ISSUER_KEYS.private_jwk(Algorithm::ES256)
}

/// A session as the gateway gives it.
fn session(subject: &str) -> Token {
    token(subject)
        .claim("iss", GATEWAY)
        .claim("client_id", GATEWAY)
        .claim("jti", "j")
        .claim("sid", "s")
        .claim("auth_time", now() - 20)
}

fn with(target: &str, token: &Token) -> Request {
    get(target).bearer(&token.sign())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_a_token_of_one_more_provider() {
    let keys = [es256(), ISSUER_KEYS.private_jwk(Algorithm::EdDSA)];
    let gateway = gateway(&policy(&keys)).start().await;
    let alice = || session("alice");
    let refused =
        |name, refused: &Token, reason| pair(name, with("/s", &alice()), with("/s", refused), (401, reason));
    hold(
        &gateway,
        &[Wire::Http1, Wire::Http2],
        &[
            refused("another's key", &alice().forged(), "token_signature")
                .sees("x-portcullis-subject", "alice")
                .sees("x-portcullis-kind", "jwt")
                .lacks("authorization"),
            refused("of nobody's name", &alice().header("kid", "other"), "token_key"),
            refused("for another audience", &alice().claim("aud", "https://other.test"), "token_audience"),
            refused("for no audience", &alice().claim("aud", Value::Null), "token_claims"),
            refused("of another kind", &alice().header("typ", "JWT"), "token_malformed"),
            refused("of no kind", &alice().header("typ", Value::Null), "token_malformed"),
            refused("a statement for upstreams", &alice().header("typ", "identity+jwt"), "token_malformed"),
            // The clocks of gateways may differ by a minute.
            refused("over", &alice().claim("exp", now() - 61), "token_expired"),
            refused("not begun", &alice().claim("nbf", now() + 90), "token_not_yet_valid"),
            refused("without end", &alice().claim("exp", Value::Null), "token_claims"),
            refused("of another issuer", &token("alice"), "token_issuer"),
            refused("ended before its time", &alice().claim("sid", "ended"), "token_revoked"),
            refused("by an algorithm of no key", &alice().algorithm(Algorithm::RS256), "token_algorithm"),
            pair(
                "by the second key",
                with("/s", &alice().algorithm(Algorithm::EdDSA)),
                with("/s", &alice().algorithm(Algorithm::EdDSA).forged()),
                (401, "token_signature"),
            ),
            pair(
                "where others are taken",
                with("/t", &token("alice")),
                with("/t", &alice()),
                (401, "token_issuer"),
            ),
            pair(
                "where both are",
                with("/both", &alice()),
                with("/both", &alice().forged()),
                (401, "token_signature"),
            ),
            pair(
                "a role",
                with("/role", &alice().roles(&["admin"])),
                with("/role", &alice().roles(&["viewer"])),
                (403, "insufficient_role"),
            )
            .sees("x-portcullis-roles", "admin"),
            pair(
                "a permission",
                with("/permission", &alice().roles(&["admin"])),
                with("/permission", &alice()),
                (403, "insufficient_permission"),
            ),
            pair(
                "a scope",
                with("/scope", &alice().scope("x orders")),
                with("/scope", &alice().scope("order")),
                (403, "insufficient_scope"),
            ),
            pair(
                "a strong login",
                with("/fresh", &alice().claim("acr", "phr")),
                with("/fresh", &alice().claim("acr", "pwd")),
                (401, "insufficient_user_authentication"),
            ),
            pair(
                "a late login",
                with("/fresh", &alice().claim("acr", "phr")),
                with("/fresh", &alice().claim("acr", "phr").claim("auth_time", now() - 400)),
                (401, "insufficient_user_authentication"),
            ),
        ],
    )
    .await;
    // Whoever it is is counted as one, whatever the session.
    for (subject, id, status) in
        [("bob", "1", 200), ("bob", "2", 200), ("bob", "3", 429), ("carol", "1", 200)]
    {
        let answer = gateway.send(&with("/limited", &session(subject).claim("sid", id))).await;
        assert_eq!(answer.status, status, "{subject} {id}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_verify_what_the_gateway_signs() {
    let keys = [es256(), ISSUER_KEYS.private_jwk(Algorithm::EdDSA)];
    let gateway = gateway(&policy(&keys)).https_only().start().await;
    let answer = gateway.send(&get(JWKS)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for (header, value) in [
        ("content-type", "application/jwk-set+json"),
        ("cache-control", "public, max-age=300"),
        ("access-control-allow-origin", "*"),
    ] {
        assert_eq!(answer.header(header), Some(value), "{answer:?}");
    }
    let told = String::from_utf8(answer.body.clone()).unwrap();
    for key in &keys {
        assert!(told.contains(key["x"].as_str().unwrap()), "{told}");
        assert!(!told.contains(key["d"].as_str().unwrap()), "{told}");
        assert!(!gateway.log().contains(key["d"].as_str().unwrap()));
    }
    // By another implementation.
    let set: JwkSet = serde_json::from_str(&told).unwrap();
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let session = session("alice").algorithm(algorithm);
        let header = jsonwebtoken::decode_header(&session.sign()).unwrap();
        let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(algorithm);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[GATEWAY]);
        let verify = |token: &str| jsonwebtoken::decode::<Value>(token, &key, &validation);
        assert_eq!(verify(&session.sign()).unwrap().claims["sub"], "alice");
        assert!(verify(&session.forged().sign()).is_err());
    }
    let head = gateway.send(&request("HEAD", JWKS)).await;
    assert_eq!((head.status, head.body.len()), (200, 0), "{head:?}");
    let preflight = request("OPTIONS", JWKS)
        .header("origin", "https://app.test")
        .header("access-control-request-method", "GET");
    assert_eq!(gateway.send(&preflight).await.status, 204);
    // Only there, only so; and nothing of it is for the upstream.
    for other in [
        request("POST", JWKS),
        request("OPTIONS", JWKS),
        get(&format!("{JWKS}/")),
        get("/.well-known/portcullis"),
        get("/.well-known/jwks.json"),
    ] {
        let answer = gateway.send(&other).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("no_rule")), "{other:?}");
    }
    assert_eq!(gateway.upstream.count(), 0);
}

/// Nobody is signed out by a new key.
#[tokio::test(flavor = "multi_thread")]
async fn one_key_follows_another() {
    let (old, new) = (es256(), {
        let mut new = FORGER_KEYS.private_jwk(Algorithm::ES256);
        new["kid"] = "new".into();
        new
    });
    let public = |key: &Value| {
        let mut key = key.clone();
        key.as_object_mut().unwrap().remove("d");
        key
    };
    let by_old = with("/s", &session("alice"));
    let by_new = with("/s", &session("alice").header("kid", "new").forged());
    let gateway = gateway(&policy(std::slice::from_ref(&new))).watched().https_only().start().await;
    for (keys, expected) in [
        (vec![old.clone()], [200, 401]),
        // Published before it signs.
        (vec![old.clone(), public(&new)], [200, 200]),
        (vec![new.clone(), public(&old)], [200, 200]),
        (vec![new.clone()], [401, 200]),
    ] {
        assert!(gateway.change_policy(&policy(&keys).to_string()).await, "{}", gateway.log());
        let statuses = [gateway.send(&by_old).await.status, gateway.send(&by_new).await.status];
        assert_eq!(statuses, expected, "{} keys", keys.len());
        let told: Value = serde_json::from_slice(&gateway.send(&get(JWKS)).await.body).unwrap();
        assert_eq!(told["keys"].as_array().unwrap().len(), keys.len());
    }
}

const COOKIE: &str = "__Host-session";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_cannot_use_the_cookie() {
    let mut policy = policy(&[es256()]);
    policy["sessions"]["cookie"] = json!({});
    let gateway = gateway(&policy).start().await;
    let jwt = session("alice").sign();
    let with = |request: Request| {
        request.authority("gateway.test").header("cookie", format!("a=1; {COOKIE}={jwt}; b=2"))
    };
    let from = |request: Request, origin: &str| with(request).header("origin", origin);
    let own = || from(post("/s"), "https://gateway.test");
    // What a form on another page sends.
    let form = |origin: &str| {
        from(request("POST", "/s").body("amount=1000"), origin)
            .header("content-type", "application/x-www-form-urlencoded")
    };
    const REFUSED: (u16, &str) = (403, "cross_site_request");
    hold(
        &gateway,
        &[Wire::Http1, Wire::Http2],
        &[
            pair("a form", form("https://gateway.test"), form("https://evil.test"), REFUSED)
                .sees("x-portcullis-subject", "alice")
                .sees("cookie", "a=1; b=2"),
            pair("a form in a sandbox", own(), form("null"), REFUSED),
            pair("no word of it", with(get("/s")), with(post("/s")), REFUSED),
            pair(
                "safe, and not",
                from(get("/s"), "https://evil.test"),
                from(request("DELETE", "/s"), "https://evil.test"),
                REFUSED,
            ),
            pair(
                "as a browser says it",
                with(post("/s")).header("sec-fetch-site", "same-origin"),
                with(post("/s")).header("sec-fetch-site", "cross-site"),
                REFUSED,
            ),
            pair("two origins", own(), own().header("origin", "https://evil.test"), REFUSED),
            pair("another port", own(), from(post("/s"), "https://gateway.test:8443"), REFUSED),
            pair("without TLS", own(), from(post("/s"), "http://gateway.test"), REFUSED),
            pair("no cookie", post("/s").bearer(&jwt), post("/s"), (401, "credentials_missing")),
            pair(
                "whoever has it as text",
                post("/s").bearer(&jwt).header("origin", "https://evil.test"),
                form("https://evil.test"),
                REFUSED,
            ),
            pair(
                "another's",
                own(),
                post("/s").header("cookie", format!("{COOKIE}={}", session("alice").forged().sign())),
                (401, "token_signature"),
            ),
            pair("two", own(), own().bearer(&session("bob").sign()), (400, "credentials_ambiguous")),
        ],
    )
    .await;
    assert!(!gateway.log().contains(&jwt));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_opens_no_web_socket_with_the_cookie() {
    let mut policy = policy(&[es256()]);
    policy["transport"] = json!({"requireTls": false});
    policy["sessions"]["cookie"] = json!({"name": "__Host-s", "sameSite": "Lax"});
    policy["sessions"]["origins"] = json!(["https://app.test"]);
    let sockets = WebSockets::start().await;
    let gateway = gateway(&policy).upgrades().host("ws.test", sockets.address).start().await;
    let open = async |headers: &[(&str, &str)]| {
        let asked = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let asked = asked
            .iter()
            .chain(headers)
            .fold(get("/s").authority("ws.test"), |asked, (name, value)| asked.header(name, value));
        let answer = gateway.send_raw_plain(&http1_bytes(&asked, false)).await;
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let cookie = format!("__Host-s={}", session("alice").sign());
    let bearer = format!("Bearer {}", session("alice").sign());
    let cookie = ("cookie", cookie.as_str());
    for (headers, expected) in [
        (vec![cookie, ("origin", "https://app.test")], "101"),
        (vec![cookie, ("origin", "https://evil.test")], "403"),
        (vec![cookie, ("origin", "http://ws.test")], "403"),
        (vec![cookie], "403"),
        (vec![("authorization", bearer.as_str())], "101"),
    ] {
        assert_eq!(open(&headers).await, expected, "{headers:?}");
    }
    assert_eq!(sockets.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_cookies_are_guarded_where_the_policy_asks_for_it() {
    let guarded = json!({"cookies": ["token"], "cookieOrigins": ["https://app.test"]});
    let mut tokens = provider();
    tokens["extractFrom"] = guarded.clone();
    let mut keys = guarded;
    keys["cookies"] = json!(["key"]);
    let policy = json!({
        "jwt": {"providers": [tokens]},
        "apiKeys": {"extractFrom": keys, "keys": [api_key_entry("shop", json!({}))]},
        "rules": [rule("t", "Exact", "/t", with_token()), rule("k", "Exact", "/k", with_api_key())],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).https_only().start().await;
    let from = |path: &str, origin: &str| {
        let cookie = match path {
            "/t" => format!("token={}", token("alice").sign()),
            _ => format!("key={}", api_key("shop")),
        };
        post(path).header("cookie", cookie).header("origin", origin)
    };
    let row = |name, path: &str, subject: &str| {
        let (good, bad) = (from(path, "https://app.test"), from(path, "https://localhost"));
        pair(name, good, bad, (403, "cross_site_request"))
            .sees("x-portcullis-subject", subject)
            .lacks("cookie")
    };
    hold(&gateway, &[Wire::Http1], &[row("a token", "/t", "alice"), row("a key", "/k", "shop")]).await;
}
