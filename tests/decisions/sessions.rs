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
    World::with(|policy| {
        policy["signingKeys"] = json!({"keys": [key]});
        policy["sessions"] = json!({"issuer": "https://api.example", "audiences": ["api"]});
        policy["revocation"] = json!({"tokens": {"sid": ["ended"]}});
        let rule = |name: &str, authorize: Value| {
            json!({"name": name, "matches": [{"path": {"type": "Exact", "value": format!("/{name}")}}],
                "authenticate": {"anyOf": [{"jwt": "sessions"}]}, "authorize": authorize})
        };
        let rules = policy["rules"].as_array_mut().unwrap();
        rules.push(rule("session", json!({"scopes": ["reports:read"]})));
        rules.push(rule("session-admin", json!({"roles": ["admin"]})));
        rules.push(rule("session-fresh", json!({"stepUp": {"acrValues": ["phr"], "maxAge": "5m"}})));
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
