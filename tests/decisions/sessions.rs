//! Sessions as the gateway itself makes them.

use portcullis::{
    answer::Reason,
    crypto::{Algorithm, new_private_jwk},
    session::Session,
    time::Timestamp,
};
use serde_json::{Value, json};

use crate::world::{Ask, NOW, World};

fn world(key: &Value) -> World {
    with(key, &json!({}))
}

/// `members` of the section.
fn with(key: &Value, members: &Value) -> World {
    World::with(|policy| {
        policy["signingKeys"] = json!({"keys": [key]});
        policy["sessions"] = json!({"issuer": "https://api.example", "audiences": ["api"]});
        policy["sessions"].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        policy["revocation"] = json!({"tokens": {"sid": ["ended"]}});
        let rule = |name: &str, authorize: Value| {
            json!({"name": name, "matches": [{"path": {"type": "Exact", "value": format!("/{name}")}}],
                "authenticate": {"anyOf": [{"jwt": "sessions"}]}, "authorize": authorize})
        };
        let rules = policy["rules"].as_array_mut().unwrap();
        rules.push(rule("session", json!({"scopes": ["reports:read"]})));
        rules.push(rule("session-admin", json!({"roles": ["admin"]})));
        rules.push(rule("session-fresh", json!({"stepUp": {"acrValues": ["phr"], "maxAge": "5m"}})));
        let authenticate = |name: &str, authenticate: Value| {
            json!({"name": name, "matches": [{"path": {"type": "Exact", "value": format!("/{name}")}}],
                "authenticate": authenticate})
        };
        let lenient =
            json!({"anyOf": [{"jwt": "sessions"}], "optional": true, "invalidCredentials": "Anonymous"});
        rules.push(authenticate("session-optional", lenient));
        rules.push(authenticate("session-acting", json!({"allOf": [{"jwt": "sessions"}, "apiKey"]})));
    })
}

fn alice<'a>(scopes: &'a [Box<str>], roles: &'a [Box<str>]) -> Session<'a> {
    Session {
        subject: "alice",
        name: Some("Alice"),
        amr: &["pop"],
        acr: Some("phr"),
        auth_time: Timestamp::from_secs(NOW),
        credential: Some("Y3JlZA"),
        scopes,
        roles,
        confirmation: None,
        sid: None,
    }
}

fn issue(w: &World, session: &Session<'_>) -> String {
    w.with_services(|services| {
        let sessions = w.worker.policy().sessions().unwrap();
        sessions.issue(session, services.now(), services.random).unwrap()
    })
}

#[test]
fn what_is_issued_is_taken() {
    use Reason::*;
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let w = world(&new_private_jwk(algorithm).unwrap());
        let (scopes, roles) = (["reports:read".into()], ["admin".into()]);
        let token = issue(&w, &alice(&scopes, &roles));
        let lesser = issue(&w, &alice(&[], &["viewer".into()]));
        let weaker = issue(&w, &Session { acr: None, ..alice(&scopes, &roles) });
        let ended = issue(&w, &Session { sid: Some("ended"), ..alice(&scopes, &roles) });
        for (path, token, expected) in [
            ("/session", &token, None),
            ("/session", &lesser, Some(InsufficientScope)),
            ("/session", &ended, Some(TokenRevoked)),
            ("/session-admin", &token, None),
            ("/session-admin", &lesser, Some(InsufficientRole)),
            ("/session-fresh", &token, None),
            ("/session-fresh", &weaker, Some(InsufficientUserAuthentication)),
            ("/tokens", &token, Some(TokenIssuer)),
        ] {
            assert_eq!(w.reason(&Ask::get(path).token(token)), expected, "{path} {token}");
        }
        let answer = w.ask(&Ask::get("/session").token(&token).from("10.0.0.1"));
        assert_eq!(answer.upstream("x-portcullis-subject"), "alice");
        assert_eq!(answer.recorded("authority"), "sessions");
        assert!(answer.recorded("credential").as_str().is_some_and(|jti| jti.len() == 22));
        // A quarter of an hour, and the minute by which clocks may differ.
        for (after, expected) in [(959, None), (1, Some(TokenExpired))] {
            w.later(after);
            assert_eq!(w.reason(&Ask::get("/session").token(&token).from("10.0.0.1")), expected);
        }
    }
}

#[test]
fn a_session_of_another_key_is_none() {
    let [one, other] = [(); 2].map(|()| world(&new_private_jwk(Algorithm::Es256).unwrap()));
    let scopes = ["reports:read".into()];
    let token = issue(&other, &alice(&scopes, &[]));
    let ask = Ask::get("/session").token(&token);
    assert_eq!((one.reason(&ask), other.reason(&ask)), (Some(Reason::TokenKey), None));
}

/// Whoever has signed in is told so, and nobody else reads it.
#[test]
fn the_answer_to_who_has_signed_in() {
    let w = world(&new_private_jwk(Algorithm::Es256).unwrap());
    let sessions = w.worker.policy().sessions().unwrap();
    let token = issue(&w, &alice(&[], &[]));
    let reply = sessions.signed_in(&token);
    let header = |name| reply.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
    assert_eq!(
        (reply.status, header("cache-control"), header("pragma")),
        (200, Some("no-store"), Some("no-cache"))
    );
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body, json!({"access_token": token, "token_type": "Bearer", "expires_in": 900}));
    assert!(!format!("{reply:?}").contains(&token));
}

/// A session in the cookie, and the world in which it is good.
fn in_cookie(members: &Value) -> (World, String) {
    let mut cookie = json!({"cookie": {}});
    cookie.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let w = with(&new_private_jwk(Algorithm::Es256).unwrap(), &cookie);
    let token = issue(&w, &alice(&["reports:read".into()], &[]));
    (w, token)
}

/// With the nearest request that passes, for the table of reasons.
pub(crate) fn cross_site() -> (World, Ask, Ask) {
    let (w, token) = in_cookie(&json!({}));
    let ask = |origin: &str| {
        Ask::new("POST", "/session")
            .header("cookie", &format!("__Host-session={token}"))
            .header("origin", origin)
    };
    let rows = (ask("https://evil.example"), ask("https://api.example"));
    (w, rows.0, rows.1)
}

#[test]
fn a_page_of_somebody_else_cannot_use_the_cookie() {
    const REFUSED: Option<Reason> = Some(Reason::CrossSiteRequest);
    let (w, token) = in_cookie(&json!({}));
    let (listed, other) = in_cookie(&json!({"origins": ["https://app.example"]}));
    let cookie = |ask: Ask, token: &str| ask.header("cookie", &format!("a=1; __Host-session={token}"));
    let post = |path: &str| Ask::new("POST", path);
    let from = |ask: Ask, origin: &str| ask.header("origin", origin);
    let (own, evil, app) = ("https://api.example", "https://evil.example", "https://app.example");
    let rows = [
        (&w, cookie(Ask::get("/session"), &token), None),
        (&w, from(cookie(Ask::get("/session"), &token), evil), None),
        (&w, cookie(post("/session"), &token), REFUSED),
        (&w, from(cookie(post("/session"), &token), own), None),
        (&w, from(cookie(post("/session"), &token), evil), REFUSED),
        (&w, from(cookie(post("/session"), &token), app), REFUSED),
        (&w, cookie(post("/session"), &token).header("sec-fetch-site", "same-origin"), None),
        (&w, cookie(Ask::get("/session"), &token).header("upgrade", "websocket"), REFUSED),
        (&w, from(cookie(Ask::get("/session"), &token).header("upgrade", "websocket"), own), None),
        // No page can send these unasked.
        (&w, from(post("/session").token(&token), evil), None),
        (&w, from(cookie(post("/session").token(&token), &token), evil), None),
        // It may be somebody's, so it is not taken for none.
        (&w, from(cookie(post("/session-optional"), &token), evil), REFUSED),
        (&w, from(post("/session-optional"), evil), None),
        (&w, from(cookie(post("/session-acting"), &token).key("reader-secret"), evil), REFUSED),
        (&w, from(cookie(post("/session-acting"), &token).key("reader-secret"), own), None),
        (&listed, from(cookie(post("/session"), &other), app), None),
        (&listed, from(cookie(post("/session"), &other), own), REFUSED),
        // Cookies of others are as they were.
        (&w, from(post("/limited").header("cookie", "key=reader-secret"), evil), None),
    ];
    for (n, (w, ask, expected)) in rows.into_iter().enumerate() {
        let answer = w.ask(&ask.clone().from(&format!("10.0.0.{n}")));
        assert_eq!(answer.reason, expected, "{ask:?} {:?}", answer.record);
        if expected.is_some() {
            let party = if answer.recorded("party") == "actor" { "actor" } else { "principal" };
            assert_eq!(answer.recorded(party), "alice");
            assert!(answer.recorded("detail").as_str().is_some_and(|detail| !detail.contains("example")));
        } else {
            assert!(!answer.upstream("cookie").contains("__Host-"), "{ask:?}");
        }
    }
}

#[test]
fn the_cookie_is_given_and_taken_away() {
    for (members, attributes) in [
        (json!({"cookie": {}}), ["__Host-session", "Strict"]),
        (json!({"cookie": {"name": "__Host-a", "sameSite": "Lax"}}), ["__Host-a", "Lax"]),
    ] {
        let [name, same_site] = attributes;
        let w = with(&new_private_jwk(Algorithm::EdDsa).unwrap(), &members);
        let sessions = w.worker.policy().sessions().unwrap();
        let token = issue(&w, &alice(&[], &[]));
        let headers = |reply: &portcullis::answer::Reply, name: &str| {
            let own = reply.headers.iter().filter(|(own, _)| *own == name);
            own.map(|(_, value)| value.clone()).collect::<Vec<_>>()
        };
        let reply = sessions.signed_in(&token);
        let rest = format!("Path=/; Secure; HttpOnly; SameSite={same_site}");
        assert_eq!(headers(&reply, "set-cookie"), [format!("{name}={token}; {rest}; Max-Age=900")]);
        assert_eq!((reply.status, reply.body.as_str()), (200, r#"{"expires_in":900}"#));
        assert_eq!(headers(&reply, "cache-control"), ["no-store"]);
        assert!(!format!("{reply:?}").contains(&token));
        let reply = sessions.signed_out();
        assert_eq!(headers(&reply, "set-cookie"), [format!("{name}=; {rest}; Max-Age=0")]);
        assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    }
    let bearer = world(&new_private_jwk(Algorithm::EdDsa).unwrap());
    let reply = bearer.worker.policy().sessions().unwrap().signed_out();
    assert_eq!((reply.status, reply.headers.len()), (204, 2), "{reply:?}");
}

/// The same for other credentials, where the policy asks for it.
#[test]
fn a_page_of_somebody_else_cannot_use_other_cookies_either() {
    let app = "https://app.example";
    let w = World::with(|policy| {
        policy["jwt"]["providers"][0]["extractFrom"]["cookieOrigins"] = json!([app]);
        policy["apiKeys"]["extractFrom"]["cookieOrigins"] = json!([app]);
    });
    let open = World::new();
    for (n, (cookie, header)) in [
        (format!("session={}", w.token(|_| {})), w.bearer(Ask::new("POST", "/limited"), |_| {})),
        ("key=reader-secret".to_owned(), Ask::new("POST", "/limited").key("reader-secret")),
    ]
    .into_iter()
    .enumerate()
    {
        let with = |method: &str| {
            Ask::new(method, "/limited").header("cookie", &cookie).from(&format!("10.2.0.{n}"))
        };
        const REFUSED: Option<Reason> = Some(Reason::CrossSiteRequest);
        for (ask, expected) in [
            (with("GET").header("origin", "https://evil.example"), None),
            (with("POST").header("origin", app), None),
            (with("POST").header("origin", "https://evil.example"), REFUSED),
            (with("POST").header("origin", "https://api.example"), REFUSED),
            (with("POST"), REFUSED),
            (header.header("origin", "https://evil.example").from(&format!("10.3.0.{n}")), None),
        ] {
            assert_eq!(w.reason(&ask), expected, "{ask:?}");
        }
        if n == 1 {
            assert_eq!(open.reason(&with("POST").header("origin", "https://evil.example")), None);
        }
    }
}
