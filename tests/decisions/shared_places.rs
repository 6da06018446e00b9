//! Keys and tokens at one place, told apart by their form; and what of them goes upstream.

use portcullis::{answer::Reason, policy::Policy};
use serde_json::{Value, json};

use crate::world::{Ask, World};

const READER: &str = "reader-secret";

/// Keys stand where tokens do.
fn shared(policy: &mut Value) {
    policy["apiKeys"]["extractFrom"] = json!({
        "headers": [{"name": "x-api-key"}, {"name": "authorization", "valuePrefix": "bearer"}],
        "cookies": ["session"],
        "params": ["access_token"],
    });
}

fn hash_of(text: &str) -> String {
    use ct_codecs::{Encoder, Hex};
    let digest = portcullis::crypto::sha256(text.as_bytes());
    format!("sha256:{}", Hex::encode_to_string(digest).unwrap())
}

/// Reason, and the subject that the upstream sees.
fn outcome(w: &World, ask: &Ask) -> (Option<Reason>, String) {
    let answer = w.ask(ask);
    let subject =
        if answer.reason.is_none() { answer.upstream("x-portcullis-subject") } else { String::new() };
    (answer.reason, subject)
}

#[test]
fn a_key_and_a_token_are_told_apart_by_their_form() {
    use Reason::{ApiKeyUnknown, CredentialsAmbiguous, CredentialsMissing, TokenMalformed, TokenSignature};
    let w = World::with(shared);
    let token = w.token(|claims| claims["roles"] = json!(["viewer"]));
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("{token}") };
    let get = Ask::get;
    let cookie = |value: &str| get("/orders").header("cookie", &format!("session={value}"));
    let query = |value: &str| get(&format!("/orders?access_token={value}"));
    let rows = [
        (get("/orders").token(READER), Ok("reader")),
        (get("/orders").token(&token), Ok("alice")),
        (cookie(READER), Ok("reader")),
        (cookie(&token), Ok("alice")),
        (query(READER), Ok("reader")),
        (query(&token), Ok("alice")),
        (get("/orders").key(READER), Ok("reader")),
        // One credential, wherever it stands.
        (query(&token).token(&token), Ok("alice")),
        (query(READER).token(READER).key(READER), Ok("reader")),
        (query("").token(READER), Ok("reader")),
        // What is none is refused as what it looks like.
        (get("/orders").token(&forged), Err(TokenSignature)),
        (get("/orders").token(&format!("{header}.{payload}.")), Err(TokenMalformed)),
        (get("/orders").token(&format!("{header}.!.{signature}")), Err(ApiKeyUnknown)),
        (get("/orders").token(&format!("{header}.{payload}")), Err(ApiKeyUnknown)),
        (get("/orders").token("a.b.c"), Err(ApiKeyUnknown)),
        (get("/orders").token("x"), Err(ApiKeyUnknown)),
        (get("/orders").token(""), Err(CredentialsMissing)),
        (query("%ff"), Err(TokenMalformed)),
        // Two.
        (get("/orders").token(&token).key(READER), Err(CredentialsAmbiguous)),
        (query(READER).token(&token), Err(CredentialsAmbiguous)),
        (query(READER).token("writer-secret"), Err(CredentialsAmbiguous)),
        (
            get("/orders").header("authorization", &format!("Bearer {READER}, Bearer {READER}")),
            Err(CredentialsAmbiguous),
        ),
        (get("/orders").token(READER).header("cookie", "Session=x"), Err(CredentialsAmbiguous)),
        // Where a rule takes one kind, whatever stands there is of that kind.
        (get("/keys").token(READER), Ok("reader")),
        (get("/keys").token(&token), Err(ApiKeyUnknown)),
        (get("/tokens").token(&token), Ok("alice")),
        (get("/tokens").token(READER), Err(TokenMalformed)),
    ];
    for (n, (ask, expected)) in rows.into_iter().enumerate() {
        let (reason, subject) = outcome(&w, &ask.clone().from(&format!("10.0.0.{n}")));
        assert_eq!(reason.map_or(Ok(subject.as_str()), Err), expected, "{ask:?}");
    }
    // A refusal names both ways.
    for bad in [&forged, "x", ""] {
        let Err(reply) = w.ask(&get("/orders").token(bad).from("10.0.1.1")).upstream else {
            panic!("forwarded")
        };
        let challenges: Vec<_> = reply
            .headers
            .iter()
            .filter(|(name, _)| *name == "www-authenticate")
            .map(|(_, value)| &value[..6])
            .collect();
        assert_eq!(challenges, ["Bearer", "ApiKey"], "{bad}");
    }
}

#[test]
fn a_prefix_tells_keys_from_opaque_tokens() {
    let opaque = |policy: &mut Value| {
        policy["apiKeys"]["extractFrom"] =
            json!({"headers": [{"name": "authorization", "valuePrefix": "Bearer "}]});
        policy["apiKeys"]["prefix"] = "pk_".into();
        policy["apiKeys"]["keys"][0]["hash"] = hash_of("pk_1").into();
        policy["apiKeys"]["keys"][1]["hash"] = hash_of("sk_1").into();
        let rules = policy["rules"].as_array_mut().unwrap();
        rules.push(json!({"name": "any", "matches": [{"path": {"type": "Exact", "value": "/any"}}],
            "authenticate": {"anyOf": [{"jwt": "opaque"}, {"jwt": "corp"}, "apiKey"]}}));
    };
    let w = World::with(opaque);
    for token in ["opaque", "sk_1", "xpk_1"] {
        w.issue(token, 200, json!({"active": true, "sub": token, "aud": "api"}));
    }
    let get = |token: &str| Ask::get("/any").token(token);
    for (ask, expected) in [
        (get("pk_1"), Ok("reader")),
        (get("pk_2"), Err(Reason::ApiKeyUnknown)),
        (get("PK_1"), Err(Reason::TokenInactive)),
        (get("opaque"), Ok("opaque")),
        (get("xpk_1"), Ok("xpk_1")),
        // Not a key there, whatever it is elsewhere.
        (get("sk_1"), Ok("sk_1")),
        (get(&w.token(|_| {})), Ok("alice")),
        (Ask::get("/keys").token("sk_1"), Ok("writer")),
    ] {
        let (reason, subject) = outcome(&w, &ask);
        assert_eq!(reason.map_or(Ok(subject.as_str()), Err), expected, "{ask:?}");
        w.later(60);
    }
}

/// A policy with a provider and keys, each at its places.
fn faults(tokens: Value, keys: Value, introspects: bool, prefix: Option<&str>) -> Vec<String> {
    let mut provider = json!({"name": "p", "issuer": "https://as.example", "audiences": ["api"],
        "extractFrom": {"headers": tokens}});
    if introspects {
        provider["introspection"] = crate::document::introspection("https://as.example/introspect");
    } else {
        provider["algorithms"] = json!(["HS256"]);
        provider["symmetricKeys"] = json!([{"secret": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE"}]);
    }
    let mut document = json!({
        "jwt": {"providers": [provider]},
        "apiKeys": {"extractFrom": {"headers": keys}, "keys": [{"id": "k", "hash": hash_of("k")}]},
        "rules": [
            {"name": "keys", "matches": [{"path": {"type": "Exact", "value": "/k"}}], "authenticate": {"anyOf": ["apiKey"]}},
            {"name": "both", "authenticate": {"anyOf": ["apiKey", {"jwt": "p"}]}},
        ],
    });
    if let Some(prefix) = prefix {
        document["apiKeys"]["prefix"] = prefix.into();
    }
    let compiled = Policy::compile(document.to_string().as_bytes(), "test");
    compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn what_cannot_be_told_apart_is_refused_as_a_policy() {
    let header = |name: &str, prefix: &str| match prefix {
        "" => json!([{"name": name}]),
        prefix => json!([{"name": name, "valuePrefix": prefix}]),
    };
    let bearer = || header("authorization", "Bearer ");
    let none = Vec::<String>::new();
    assert_eq!(faults(bearer(), bearer(), false, None), none);
    assert_eq!(faults(bearer(), bearer(), true, Some("pk_")), none);
    assert_eq!(faults(bearer(), header("x-api-key", ""), true, None), none);
    for keys in [bearer(), header("authorization", "bearer")] {
        assert_eq!(
            faults(bearer(), keys, true, None),
            [
                "rules[1].authenticate: \"p\" has introspection and looks for tokens where API keys may stand; an opaque \
              token is not told from a key. Give apiKeys.prefix, which all keys there begin with, or another place"
            ]
        );
    }
    let two = |long: &str, short: &str| {
        format!(
            "rules[1].authenticate: credentials stand in {long} and {short}; what is the one is the other, too, and would always be two"
        )
    };
    assert_eq!(faults(bearer(), header("authorization", "Bearer"), false, None), none);
    assert_eq!(faults(bearer(), header("authorization", "Token "), false, None), none);
    assert_eq!(faults(header("x-t", ""), header("x-k", "T "), false, None), none);
    for prefix in [None, Some("pk_")] {
        assert_eq!(
            faults(bearer(), header("authorization", "bearer pk_"), false, prefix),
            [two("authorization behind \"bearer pk_\"", "behind \"Bearer \"")]
        );
    }
    assert_eq!(
        faults(header("x-t", "Token "), header("x-t", ""), false, None),
        [two("x-t behind \"Token \"", "without a prefix")]
    );
}

#[test]
fn a_key_goes_upstream_only_where_the_policy_says_so_and_only_when_it_was_verified() {
    let w = World::with(|policy| {
        shared(policy);
        policy["apiKeys"]["forward"] = true.into();
    });
    let token = w.token(|claims| claims["roles"] = json!(["viewer"]));
    let seen = |ask: &Ask| {
        let answer = w.ask(ask);
        ["authorization", "x-api-key", "cookie", ":path"].map(|name| answer.upstream(name))
    };
    let get = Ask::get;
    let bearer = format!("Bearer {READER}");
    let rows = [
        (get("/keys").key(READER), ["", READER, "", "/keys"]),
        (get("/keys").token(READER), [&bearer, "", "", "/keys"]),
        (
            get("/keys?access_token=reader-secret&Access.Token=&a"),
            ["", "", "", "/keys?access_token=reader-secret&a"],
        ),
        (
            get("/orders").header("cookie", "session=reader-secret; a=1"),
            ["", "", "session=reader-secret; a=1", "/orders"],
        ),
        // Both places hold it.
        (get("/orders").key(READER).token(READER), [&bearer, READER, "", "/orders"]),
        // Nobody verified these.
        (get("/health?access_token=x").key(READER).token(READER), ["", "", "", "/health"]),
        (get("/tokens").token(&token).key(READER), ["", "", "", "/tokens"]),
        (
            get("/certificate").certificate("spiffe://td/ns/a").key(READER).token("x"),
            ["", "", "", "/certificate"],
        ),
        // A token's provider has not said so.
        (get("/orders").token(&token), ["", "", "", "/orders"]),
    ];
    for (n, (ask, expected)) in rows.into_iter().enumerate() {
        assert_eq!(seen(&ask.clone().from(&format!("10.0.0.{n}"))), expected, "{ask:?}");
    }
}
