//! Sessions that are bound to whoever signs in: to a key by a DPoP proof (RFC 9449 section 5), to a client certificate
//! (RFC 8705 section 3).

use portcullis::{answer::Reason, crypto::sha256};
use serde_json::{Value, json};

use crate::{
    passkeys::{
        P, add_passkeys, asked,
        authenticator::{Authenticator, encode},
        claims_of, post, refused, register, told,
    },
    world::{Answer, Ask, Issuer, World, changed},
};

const URL: &str = "https://api.example/.well-known/portcullis/webauthn/authentication";

/// `members` are more of `sessions`; they may ask for `/session`.
fn world(members: &Value) -> World {
    World::with(|policy| {
        add_passkeys(policy, &json!({"sharedData": true}));
        policy["sessions"].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        policy["rules"].as_array_mut().unwrap().insert(
            0,
            json!({
                "name": "session",
                "matches": [{"path": {"type": "Exact", "value": "/session"}}],
                "authenticate": {"anyOf": [{"jwt": "sessions"}]},
            }),
        );
    })
}

/// The answer of a passkey to options of now.
fn answer(w: &World, key: &mut Authenticator) -> Ask {
    let options = told(w, &post("authentication/options", &json!({})), 200);
    post("authentication", &key.get(&options))
}

/// A proof for signing in, unless `change` makes it one for something else.
fn proof(w: &World, holder: &Issuer, id: &str, change: impl FnOnce(&mut Value)) -> String {
    let claims = json!({"jti": id, "htm": "POST", "htu": URL, "iat": w.now.get()});
    holder.proof(&changed(claims, change))
}

/// What the session may be used with.
fn uses(w: &World, ask: Ask) -> Option<Reason> {
    let answer = asked(w, &ask);
    assert_eq!(answer.reason.is_none(), answer.upstream.is_ok());
    answer.reason
}

fn under_dpop(w: &World, holder: &Issuer, token: &str, id: &str) -> Ask {
    let claims = json!({
        "jti": id, "htm": "GET", "htu": "https://api.example/session", "iat": w.now.get(),
        "ath": encode(&sha256(token.as_bytes())),
    });
    Ask::get("/session")
        .header("authorization", &format!("DPoP {token}"))
        .header("dpop", &holder.proof(&claims))
}

fn token_of(session: &Value) -> &str {
    session["access_token"].as_str().unwrap()
}

#[test]
fn whoever_signs_in_with_a_proof_gets_a_session_that_wants_more() {
    let w = world(&json!({"dpop": {"mode": "Accepted"}}));
    let mut key = register(&w);
    let (holder, thief) = (Issuer::new("holder"), Issuer::new("thief"));
    let good = proof(&w, &holder, "a", |_| {});
    let session = told(&w, &answer(&w, &mut key).header("dpop", &good), 200);
    assert_eq!(session["token_type"], "DPoP");
    let token = token_of(&session);
    assert_eq!(claims_of(token)["cnf"], holder.confirmation());
    assert_eq!(uses(&w, under_dpop(&w, &holder, token, "b")), None);
    assert_eq!(uses(&w, under_dpop(&w, &holder, token, "b")), Some(Reason::DpopProofReplayed));
    assert_eq!(uses(&w, under_dpop(&w, &thief, token, "c")), Some(Reason::TokenBinding));
    assert_eq!(uses(&w, Ask::get("/session").token(token)), Some(Reason::TokenBinding));
    let list = Ask::get(&format!("{P}/credentials"));
    refused(&w, &list.token(token), Reason::TokenBinding);
    // Used again, the proof binds nobody.
    refused(&w, &answer(&w, &mut key).header("dpop", &good), Reason::DpopProofReplayed);

    // Without one: a bearer token, and none but that.
    let session = told(&w, &answer(&w, &mut key), 200);
    let token = token_of(&session);
    assert_eq!((&session["token_type"], claims_of(token).get("cnf")), (&json!("Bearer"), None));
    assert_eq!(uses(&w, Ask::get("/session").token(token)), None);
    assert_eq!(uses(&w, under_dpop(&w, &holder, token, "d")), Some(Reason::TokenBinding));

    // Where sessions are bound to nothing, nobody looks at a proof.
    let w = world(&json!({}));
    let mut key = register(&w);
    let session = told(&w, &answer(&w, &mut key).header("dpop", "?"), 200);
    assert_eq!((&session["token_type"], claims_of(token_of(&session)).get("cnf")), (&json!("Bearer"), None));
}

/// A proof that does not fit gives no session, and costs the user no second touch.
#[test]
fn a_proof_is_for_signing_in_there_and_then() {
    let w = world(&json!({"dpop": {"mode": "Accepted"}}));
    let mut key = register(&w);
    let holder = Issuer::new("holder");
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 6] = [
        ("another method", |claims| claims["htm"] = "GET".into()),
        ("another path", |claims| claims["htu"] = format!("{URL}/options").into()),
        ("another host", |claims| claims["htu"] = URL.replace("api.", "evil.").into()),
        ("another scheme", |claims| claims["htu"] = URL.replace("https", "http").into()),
        ("of before", |claims| claims["iat"] = (claims["iat"].as_u64().unwrap() - 120).into()),
        ("without an id", |claims| claims["jti"] = Value::Null),
    ];
    for (name, change) in changes {
        let ask = answer(&w, &mut key);
        let bad = proof(&w, &holder, name, change);
        let found = asked(&w, &ask.clone().header("dpop", &bad)).reason;
        assert_eq!(found, Some(Reason::DpopProofInvalid), "{name}");
        let session = told(&w, &ask.header("dpop", &proof(&w, &holder, name, |_| {})), 200);
        assert_eq!(claims_of(token_of(&session))["cnf"], holder.confirmation(), "{name}");
    }
    let good = proof(&w, &holder, "twice", |_| {});
    let ask = answer(&w, &mut key);
    refused(&w, &ask.clone().header("dpop", &good).header("dpop", &good), Reason::DpopProofInvalid);
    told(&w, &ask.header("dpop", &good), 200);
}

#[test]
fn where_every_session_must_be_bound_to_a_key() {
    let w = world(&json!({"dpop": {"mode": "Required", "nonce": {}}}));
    let mut key = register(&w);
    let holder = Issuer::new("holder");
    let ask = answer(&w, &mut key);
    refused(&w, &ask, Reason::DpopProofInvalid);
    let without = ask.clone().header("dpop", &proof(&w, &holder, "a", |_| {}));
    let told_nonce = asked(&w, &without);
    assert_eq!(told_nonce.reason, Some(Reason::DpopNonceRequired));
    let nonce = told_nonce.reply("dpop-nonce").unwrap().to_owned();
    let with = proof(&w, &holder, "a", |claims| claims["nonce"] = nonce.into());
    let session = told(&w, &ask.header("dpop", &with), 200);
    assert_eq!(
        (&session["token_type"], &claims_of(token_of(&session))["cnf"]),
        (&json!("DPoP"), &holder.confirmation())
    );
}

/// No browser proves a key with a cookie.
#[test]
fn a_session_that_wants_proofs_is_in_no_cookie() {
    let w = world(&json!({"cookie": {}, "dpop": {"mode": "Accepted"}}));
    let mut key = register(&w);
    let holder = Issuer::new("holder");
    let mut sign_in = |header: Option<String>| {
        let mut ask = answer(&w, &mut key);
        if let Some(proof) = header {
            ask = ask.header("dpop", &proof);
        }
        let answer: Answer = asked(&w, &ask);
        let cookie = answer.reply("set-cookie").is_some();
        let body: Value = serde_json::from_str(&answer.upstream.unwrap_err().body).unwrap();
        (cookie, body.get("access_token").is_some())
    };
    assert_eq!(sign_in(None), (true, false));
    assert_eq!(sign_in(Some(proof(&w, &holder, "a", |_| {}))), (false, true));
}

#[test]
fn whoever_signs_in_with_a_certificate_gets_a_session_for_it() {
    let (own, other) = ("spiffe://td/ns/a", "spiffe://td/ns/b");
    for mode in ["Accepted", "Required"] {
        let w = world(&json!({"mtls": {"mode": mode}}));
        let mut key = register(&w);
        let session = told(&w, &answer(&w, &mut key).certificate(own), 200);
        let token = token_of(&session);
        assert_eq!(session["token_type"], "Bearer");
        assert_eq!(claims_of(token)["cnf"], json!({"x5t#S256": encode(&sha256(own.as_bytes()))}));
        let ask = || Ask::get("/session").token(token);
        assert_eq!(uses(&w, ask().certificate(own)), None);
        assert_eq!(uses(&w, ask().certificate(other)), Some(Reason::TokenBinding));
        assert_eq!(uses(&w, ask()), Some(Reason::TokenBinding));
        let without = answer(&w, &mut key);
        if mode == "Required" {
            refused(&w, &without, Reason::CertificateMissing);
            // Nothing was used up.
            told(&w, &without.certificate(own), 200);
        } else {
            let session = told(&w, &without, 200);
            assert_eq!(claims_of(token_of(&session)).get("cnf"), None);
        }
    }
    let w = world(&json!({}));
    let mut key = register(&w);
    let session = told(&w, &answer(&w, &mut key).certificate(own), 200);
    assert_eq!(claims_of(token_of(&session)).get("cnf"), None);
}
