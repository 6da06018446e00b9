//! Webhooks, which are decided by their bodies: whose they are, what of them reaches the upstream, and what nobody sees.

use portcullis::{answer::Reason, engine::Body};
use ring::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};

use crate::world::{Ask, NOW, Pending, World};

/// In hexadecimal, by another implementation.
fn tag(secret: &str, message: &str) -> String {
    let tag = sign(&Key::new(HMAC_SHA256, secret.as_bytes()), message.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hook(body: &str) -> Ask {
    Ask::new("POST", "/hooks").body(Body::Whole(body.into()))
}

fn hub_signature(body: &str) -> String {
    format!("sha256={}", tag("hub-secret-of-16", body))
}

/// As GitHub sends it.
pub(crate) fn of_hub(body: &str) -> Ask {
    hook(body).header("x-hub-signature-256", &hub_signature(body))
}

/// As Slack sends it, at `time`.
fn of_chat(secret: &str, body: &str, time: u64) -> Ask {
    let signature = format!("v0={}", tag(secret, &format!("v0:{time}:{body}")));
    hook(body).header("x-slack-signature", &signature).header("x-slack-request-timestamp", &time.to_string())
}

/// Each reason, what is refused for it, and the nearest that passes.
pub(crate) fn rows() -> Vec<(Reason, Ask, Ask)> {
    use Reason::*;
    let chat = |time| of_chat("chat-secret-of-16", "a body", time);
    let whole = |body: &str| Body::Whole(body.into());
    vec![
        (SignatureMissing, hook("a body"), of_hub("a body")),
        (SignatureMissing, hook("a body").header("x-hub-signature-256", ""), of_hub("a body")),
        (SignatureMissing, hook("a body").key("reader-secret"), of_hub("a body").key("reader-secret")),
        (
            SignatureMalformed,
            hook("a body").header("x-hub-signature-256", &hub_signature("a body").replace("sha256", "sha1")),
            of_hub("a body"),
        ),
        (SignatureMalformed, chat(NOW).without("x-slack-request-timestamp"), chat(NOW)),
        (SignatureExpired, chat(NOW - 301), chat(NOW - 300)),
        (SignatureExpired, chat(NOW + 301), chat(NOW + 300)),
        (SignatureInvalid, of_hub("a body").body(whole("another")), of_hub("another")),
        (
            SignatureInvalid,
            of_chat("hub-secret-of-16", "a body", NOW),
            of_chat("old-chat-secret-of-16", "a body", NOW),
        ),
        (CredentialsAmbiguous, of_hub("a body").header("x-slack-signature", "v0="), of_hub("a body")),
        (
            CredentialsAmbiguous,
            of_hub("a body").header("x-hub-signature-256", &hub_signature("another")),
            of_hub("a body"),
        ),
        (BodyTooLarge, of_hub("a body").body(Body::TooLong), of_hub(&"x".repeat(20))),
        (
            BodyTooLarge,
            of_hub("a body").header("content-length", "21"),
            of_hub("a body").header("content-length", "20"),
        ),
        (BodyUnavailable, of_hub("a body").body(Body::Unavailable("it is lost")), of_hub("a body")),
    ]
}

#[test]
fn a_webhook_is_of_its_source() {
    let w = World::new();
    for (ask, subject, scopes, header, reaches) in [
        (of_hub("a body"), "hub", "hooks:write", "x-hub-signature-256", true),
        (of_chat("chat-secret-of-16", "a body", NOW), "chat", "", "x-slack-signature", false),
    ] {
        let answer = w.ask(&ask);
        assert_eq!(answer.upstream("x-portcullis-subject"), subject);
        assert_eq!(answer.upstream("x-portcullis-kind"), "hmac");
        assert_eq!(answer.upstream("x-portcullis-scopes"), scopes);
        assert_eq!(answer.upstream(header).is_empty(), !reaches, "{header}");
        assert_eq!((answer.recorded("principal"), answer.recorded("kind")), (json!(subject), json!("hmac")));
        assert!(!answer.record.unwrap().contains("a body"));
    }
    // Of a rule that takes it not, it is removed like any other credential that nobody verified.
    let answer = w.ask(&Ask::get("/health").header("x-hub-signature-256", &hub_signature("")));
    assert_eq!(answer.upstream("x-hub-signature-256"), "");
}

/// Two sources may sign in one header: any one of them may have sent it.
#[test]
fn sources_of_one_header_are_told_apart_by_their_secrets() {
    let w = World::with(|policy| {
        let mut other = policy["hmac"]["sources"][0].clone();
        (other["name"], other["secrets"], other["maxBodyBytes"]) =
            ("fork".into(), json!(["fork-secret-of-16"]), 5.into());
        policy["hmac"]["sources"].as_array_mut().unwrap().insert(0, other);
        let rules = policy["rules"].as_array_mut().unwrap();
        let hooks = rules.iter_mut().find(|rule| rule["name"] == "hooks").unwrap();
        hooks["authenticate"]["anyOf"] = json!([{"hmac": "fork"}, {"hmac": "hub"}]);
    });
    let of_fork = |body: &str| {
        hook(body).header("x-hub-signature-256", &format!("sha256={}", tag("fork-secret-of-16", body)))
    };
    assert_eq!(w.ask(&of_hub("a body")).upstream("x-portcullis-subject"), "hub");
    assert_eq!(w.ask(&of_fork("body")).upstream("x-portcullis-subject"), "fork");
    // Longer than this one takes.
    assert_eq!(w.reason(&of_fork("a body")), Some(Reason::SignatureInvalid));
}

/// What waits keeps its signature only where the upstream is to have it.
#[test]
fn a_signature_is_hidden_as_long_as_its_body_is_waited_for() {
    let w = World::new();
    for (ask, header, stays) in [
        (of_hub("a body"), "x-hub-signature-256", true),
        (of_chat("chat-secret-of-16", "a body", NOW), "x-slack-signature", false),
    ] {
        let mut pending = Pending::new(&ask.body(Body::Coming));
        assert!(pending.waits(&w));
        let shown = pending.shown.unwrap();
        assert_eq!(shown.iter().any(|(name, _)| name == header), stays, "{header}");
    }
}

/// No secret, no signature and no part of a body is in a record, in an answer or in any `Debug`.
#[test]
fn nobody_sees_what_was_signed() {
    let w = World::new();
    for ask in [
        of_hub("a telling body"),
        of_hub("a telling body").body(Body::Whole("another body".into())),
        of_chat("chat-secret-of-16", "a telling body", NOW - 400),
    ] {
        let signature =
            ask.headers.iter().find(|(name, _)| name.ends_with(b"signature") || name.ends_with(b"256"));
        let signature = String::from_utf8(signature.unwrap().1.clone()).unwrap();
        let answer = w.ask(&ask);
        let body = answer.upstream.as_ref().err().map(|reply| format!("{reply:?}")).unwrap_or_default();
        for seen in [&answer.debug, &answer.record.unwrap(), &body] {
            for secret in ["telling", "another body", "secret-of-16", &signature] {
                assert!(!seen.contains(secret), "{secret}: {seen}");
            }
        }
    }
    let debug = format!("{:?}", portcullis::config::decode(w.document.to_string().as_bytes()));
    assert!(debug.contains("\"chat\"") && !debug.contains("secret-of-16"));
}

/// A delivery is good once where the policy says so, whichever secret signed it.
#[test]
fn a_delivery_is_good_once() {
    let w = World::with(|policy| policy["hmac"]["sources"][1]["once"] = true.into());
    let replayed = Some(Reason::SignatureReplayed);
    let chat = |body: &str, time| of_chat("chat-secret-of-16", body, time);
    assert_eq!(w.reason(&chat("a body", NOW).body(Body::Whole("b".into()))), Some(Reason::SignatureInvalid));
    assert_eq!((w.reason(&chat("a body", NOW)), w.reason(&chat("a body", NOW))), (None, replayed));
    assert_eq!(w.reason(&of_chat("old-chat-secret-of-16", "a body", NOW)), replayed);
    // Sent anew it is signed anew.
    assert_eq!((w.reason(&chat("a body", NOW + 1)), w.reason(&chat("another", NOW))), (None, None));
    w.later(300);
    assert_eq!(w.reason(&chat("a body", NOW)), replayed);
    w.later(1);
    assert_eq!(w.reason(&chat("a body", NOW)), Some(Reason::SignatureExpired));
    // The other source goes on as ever.
    assert_eq!((w.reason(&of_hub("a body")), w.reason(&of_hub("a body"))), (None, None));
}

/// The rule's other credentials are as good.
#[test]
fn a_rule_takes_webhooks_beside_others() {
    let w = World::with(|policy| {
        let rules = policy["rules"].as_array_mut().unwrap();
        let hooks = rules.iter_mut().find(|rule| rule["name"] == "hooks").unwrap();
        hooks["authenticate"] = json!({"anyOf": [{"hmac": "hub"}, "apiKey", "clientCertificate"]});
    });
    assert_eq!(w.ask(&hook("a body").key("reader-secret")).upstream("x-portcullis-kind"), "api-key");
    assert_eq!(w.ask(&of_hub("a body")).upstream("x-portcullis-kind"), "hmac");
    // A certificate is the connection's, and counts where the request says nothing.
    let shown = w.ask(&of_hub("a body").certificate("spiffe://td/ns/a"));
    assert_eq!(shown.upstream("x-portcullis-kind"), "hmac");
    let certificate = w.ask(&hook("a body").certificate("spiffe://td/ns/a"));
    assert_eq!(certificate.upstream("x-portcullis-kind"), "client-certificate");
    assert_eq!(w.reason(&of_hub("a body").key("reader-secret")), Some(Reason::CredentialsAmbiguous));
    let none = w.ask(&hook("a body"));
    assert_eq!(none.reason, Some(Reason::CredentialsMissing));
    assert_eq!(none.reply("www-authenticate"), Some("ApiKey realm=\"test\""));
}

#[test]
fn requests_without_a_good_signature_are_anonymous_where_none_is_needed() {
    let with = |invalid: Value| {
        World::with(|policy| {
            let rules = policy["rules"].as_array_mut().unwrap();
            let hooks = rules.iter_mut().find(|rule| rule["name"] == "hooks").unwrap();
            hooks["authenticate"] =
                json!({"anyOf": [{"hmac": "hub"}], "optional": true, "invalidCredentials": invalid});
        })
    };
    let wrong = || of_hub("a body").body(Body::Whole("another".into()));
    for (invalid, expected) in [("Refuse", Some(Reason::SignatureInvalid)), ("Anonymous", None)] {
        let w = with(invalid.into());
        assert_eq!(w.reason(&hook("a body")), None);
        assert_eq!(w.reason(&wrong()), expected);
        assert_eq!(w.ask(&of_hub("a body")).upstream("x-portcullis-subject"), "hub");
        // What cannot be judged may be somebody's.
        let lost = of_hub("a body").body(Body::Unavailable("it is lost"));
        assert_eq!(w.reason(&lost), Some(Reason::BodyUnavailable));
    }
    let answer = with("Anonymous".into()).ask(&wrong());
    assert_eq!(answer.upstream("x-portcullis-subject") + &answer.upstream("x-hub-signature-256"), "");
}
