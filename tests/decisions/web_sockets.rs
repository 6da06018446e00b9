//! Credentials among the protocols that a WebSocket client offers.

use portcullis::answer::Reason;
use serde_json::{Value, json};

use crate::world::{Ask, World};

fn in_protocols(policy: &mut Value) {
    policy["jwt"]["providers"][0]["extractFrom"]["headers"] =
        json!([{"name": "authorization", "valuePrefix": "Bearer "}, {"name": "Sec-WebSocket-Protocol"}]);
}

fn encoded(token: &str) -> String {
    use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
    let token = Base64UrlSafeNoPadding::encode_to_string(token).unwrap();
    format!("base64url.bearer.authorization.k8s.io.{token}")
}

fn offering(path: &str, lines: &[&str]) -> Ask {
    lines.iter().fold(Ask::get(path), |ask, line| ask.header("sec-websocket-protocol", line))
}

const LIST: &str = "sec-websocket-protocol";

#[test]
fn a_token_is_found_and_taken_out() {
    let w = World::with(in_protocols);
    let token = w.token(|_| {});
    let encoded = encoded(&token);
    let rows: &[(&[&str], &str)] = &[
        (&["bearer, TOKEN"], "bearer"),
        (&["bearer,TOKEN"], "bearer"),
        (&["chat, bearer, TOKEN"], "chat, bearer"),
        (&["bearer, TOKEN, chat"], "chat, bearer"),
        (&["chat, bearer", "TOKEN, superchat"], "chat, superchat, bearer"),
        (&["ENCODED"], ""),
        (&["chat, ENCODED"], "chat"),
        (&["bearer, TOKEN, ENCODED, bearer, TOKEN"], "bearer"),
        // No other is found behind `bearer` then.
        (&["bearer, TOKEN, FORGED"], "FORGED, bearer"),
    ];
    for (n, (lines, expected)) in rows.iter().enumerate() {
        let lines: Vec<_> =
            lines.iter().map(|line| line.replace("TOKEN", &token).replace("ENCODED", &encoded)).collect();
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let ask = offering("/tokens", &lines).from(&format!("10.0.0.{n}"));
        let answer = w.ask(&ask);
        assert_eq!(answer.reason, None, "{ask:?}");
        assert_eq!(
            (answer.upstream(LIST).as_str(), answer.upstream("x-portcullis-subject").as_str()),
            (*expected, "alice")
        );
        // Nobody verified it here.
        let answer = w.ask(&offering("/health", &lines).from(&format!("10.0.0.{n}")));
        assert_eq!(answer.upstream(LIST), *expected, "{lines:?}");
    }
    let ambiguous: &[&[&str]] = &[
        &["bearer, TOKEN, bearer, FORGED"],
        &["bearer, TOKEN", "bearer, FORGED"],
        &["bearer, TOKEN, base64url.bearer.authorization.k8s.io.eA"],
        &["bearer, TOKEN, jwt, eyJhbGciOiJub25lIn0.e30."],
        &["bearer, TOKEN, bearer FORGED"],
    ];
    for (n, lines) in ambiguous.iter().enumerate() {
        let lines: Vec<_> = lines.iter().map(|line| line.replace("TOKEN", &token)).collect();
        let ask = offering("/tokens", &lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(
            w.reason(&ask.from(&format!("10.0.1.{n}"))),
            Some(Reason::CredentialsAmbiguous),
            "{lines:?}"
        );
    }
    let pair = format!("bearer, {token}");
    for (n, (reason, ask)) in [
        (Reason::CredentialsMissing, offering("/tokens", &["chat"])),
        (Reason::CredentialsMissing, offering("/tokens", &["chat, bearer"])),
        (Reason::CredentialsMissing, offering("/tokens", &["base64url.bearer.authorization.k8s.io."])),
        (Reason::CredentialsMissing, Ask::get("/tokens").header("sec_websocket_protocol", &pair)),
        (Reason::TokenMalformed, offering("/tokens", &["bearer, chat"])),
        (Reason::TokenMalformed, offering("/tokens", &["base64url.bearer.authorization.k8s.io.="])),
        (Reason::CredentialsAmbiguous, offering("/tokens", &["bearer, x"]).token(&token)),
        (
            Reason::CredentialsAmbiguous,
            Ask::get("/tokens").token(&token).header("sec.websocket.protocol", &pair),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(w.reason(&ask.clone().from(&format!("10.0.2.{n}"))), Some(reason), "{ask:?}");
    }
    // The same at two places is one; other spellings of the list go.
    let both = offering("/tokens", &[&pair]).token(&token).header("sec_websocket_protocol", "chat");
    let answer = w.ask(&both.from("10.0.3.1"));
    assert_eq!(
        (answer.upstream(LIST), answer.upstream("sec_websocket_protocol"), answer.upstream("authorization")),
        ("bearer".to_owned(), String::new(), String::new())
    );
}

#[test]
fn only_the_form_that_the_policy_names_is_taken() {
    let w = World::with(|policy| {
        policy["jwt"]["providers"][0]["forward"] = true.into();
        policy["jwt"]["providers"][0]["extractFrom"] =
            json!({"headers": [{"name": "sec-websocket-protocol", "valuePrefix": "bearer, "}]});
        policy["apiKeys"]["extractFrom"]["headers"] = json!([{"name": "x-api-key"},
            {"name": "sec-websocket-protocol", "valuePrefix": "base64url.bearer.authorization.k8s.io."}]);
    });
    let token = w.token(|claims| claims["roles"] = json!(["viewer"]));
    let (pair, key) = (format!("chat, bearer, {token}"), encoded("reader-secret"));
    // What was verified goes on, and nothing else.
    for (n, (ask, expected)) in [
        (offering("/tokens", &[&pair]), pair.as_str()),
        (offering("/tokens", &[&pair, &key]), ""),
        (offering("/keys", &[&key, "chat"]), "chat"),
        (offering("/orders", &[&pair]), &pair),
        (offering("/health", &[&pair, &key]), "chat, bearer"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = w.ask(&ask.clone().from(&format!("10.0.0.{n}")));
        if expected.is_empty() {
            assert_eq!(answer.reason, Some(Reason::CredentialsAmbiguous), "{ask:?}");
        } else {
            assert_eq!(answer.upstream(LIST), expected, "{ask:?}");
        }
    }
    assert_eq!(w.reason(&offering("/tokens", &[&encoded(&token)])), Some(Reason::CredentialsMissing));
    assert_eq!(w.reason(&offering("/keys", &[&pair])), Some(Reason::CredentialsMissing));
    assert_eq!(w.reason(&offering("/orders", &[&pair, &key])), Some(Reason::CredentialsAmbiguous));
}
