//! Key sets as providers publish them.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{Case, Documents, SOON, hold};
use crate::harness::{
    gateway::gateway,
    idp::until,
    issuer::{AUDIENCE, FORGER_KEYS, ISSUER_KEYS, Token, token},
    policy::rule,
    request::{Request, get},
    table::pair,
};

/// A provider whose set is at `/<name>`, and a rule for the path `/<name>` that takes its tokens.
fn remote(name: &str) -> (Value, Value) {
    let provider = json!({
        "name": name,
        "issuer": format!("https://{name}.test"),
        "audiences": [AUDIENCE],
        "algorithms": ["RS256"],
        "jwks": {"uri": format!("http://keys.test/{name}"), "cluster": "jwks", "minRefetchInterval": "1s"},
    });
    let members = json!({"authenticate": {"anyOf": [{"jwt": name}]}});
    (provider, rule(name, "Exact", &format!("/{name}"), members))
}

fn policy(names: &[&str]) -> Value {
    let (providers, rules): (Vec<_>, Vec<_>) = names.iter().map(|name| remote(name)).unzip();
    json!({"jwt": {"providers": providers}, "rules": rules, "defaultAction": "Deny"})
}

fn of(name: &str) -> Token {
    token("alice").algorithm(Algorithm::RS256).claim("iss", format!("https://{name}.test"))
}

/// Shows a good token where `name` is asked for.
fn ask(name: &str) -> Request {
    get(&format!("/{name}")).bearer(&of(name).sign())
}

/// The issuer's RSA key with `members`.
fn jwk(members: &Value) -> Value {
    let mut jwk = ISSUER_KEYS.jwk(Algorithm::RS256);
    let jwk_members = jwk.as_object_mut().unwrap();
    jwk_members.remove("alg");
    jwk_members.remove("use");
    jwk_members.extend(members.as_object().unwrap().clone());
    jwk
}

fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

const UNAVAILABLE: (u16, &str) = (503, "keys_unavailable");

/// .NET writes lists that are empty, others `null`: both say nothing.
fn members_without_a_value(documents: &Documents) -> [Case; 2] {
    let other = FORGER_KEYS.jwk(Algorithm::RS256);
    let lists = json!({"use": "sig", "key_ops": [], "oth": [], "x5c": []});
    documents.publish("/lists", set(&[jwk(&lists), other]));
    documents.publish("/operations", set(&[jwk(&json!({"key_ops": ["encrypt"]}))]));
    documents.publish("/nulls", set(&[jwk(&json!({"use": null, "alg": null, "d": null, "oth": null}))]));
    documents.publish("/private", set(&[jwk(&json!({"d": "AQAB"}))]));
    [
        Case::new(
            "a key with lists that are empty",
            &[
                "https://github.com/AzureAD/azure-activedirectory-identitymodel-extensions-for-dotnet/issues/2254",
            ],
            policy(&["lists", "operations"]),
            vec![pair("empty, and without `verify`", ask("lists"), ask("operations"), UNAVAILABLE)],
        ),
        Case::new(
            "a key with members that are null",
            &[
                "https://github.com/Abblix/Oidc.Server/pull/263",
                "https://github.com/okta/okta-sdk-dotnet/pull/856",
            ],
            policy(&["nulls", "private"]),
            vec![pair("null, and a private key", ask("nulls"), ask("private"), UNAVAILABLE)],
        ),
    ]
}

/// RFC 7518 section 2: base64url without padding. The log says which member is at fault.
fn padded_modulus(documents: &Documents) -> Case {
    let good = jwk(&json!({}));
    let padded = format!("{}==", good["n"].as_str().unwrap());
    documents.publish("/unpadded", set(&[good]));
    documents.publish("/padded", set(&[jwk(&json!({"n": padded}))]));
    Case::new(
        "a modulus with padding",
        &[
            "https://github.com/cloudfoundry/uaa/issues/530",
            "https://github.com/MicahParks/keyfunc/issues/30",
            "https://github.com/envoyproxy/gateway/issues/4577",
        ],
        policy(&["unpadded", "padded"]),
        vec![pair("without, and with", ask("unpadded"), ask("padded"), UNAVAILABLE)],
    )
    .says("key set of \"padded\"")
    .says("`n`")
}

/// RFC 9110 section 12.5.3: who says nothing takes any coding.
fn compressed_set(documents: &Documents) -> Case {
    let text = set(&[jwk(&json!({}))]);
    documents.publish_with("/plain", &text, Some(("content-encoding", "identity")));
    documents.publish_with("/packed", b"\x1f\x8b\x08\x00compressed", Some(("content-encoding", "gzip")));
    Case::new(
        "a set that is compressed",
        &[
            "https://github.com/panva/openid-client/issues/648",
            "https://github.com/nginxinc/nginx-openid-connect/pull/26",
            "https://github.com/epam/ai-dial-core/pull/1496",
        ],
        policy(&["plain", "packed"]),
        vec![pair("as it is, and against our asking", ask("plain"), ask("packed"), UNAVAILABLE)],
    )
    .says("gzip")
}

/// RFC 8259 section 8.1: a reader may ignore it; what stands before it is no JSON.
fn byte_order_mark(documents: &Documents) -> Case {
    let text = set(&[jwk(&json!({}))]);
    documents.publish("/bom", format!("\u{feff}{text}"));
    documents.publish("/boms", format!("\u{feff}\u{feff}{text}"));
    Case::new(
        "a set with a byte order mark",
        &["https://github.com/instructure/canvas-lms/issues/2639"],
        policy(&["bom", "boms"]),
        vec![pair("one, and two", ask("bom"), ask("boms"), UNAVAILABLE)],
    )
}

/// RFC 7517 sections 4 and 5: whoever names a member twice loses that key, not the set.
fn repeated_member(documents: &Documents) -> Case {
    let twice = |key: &Value, again: &str| {
        let text = key.to_string();
        format!("{},{again}}}", text.strip_suffix('}').unwrap())
    };
    let (own, other) = (jwk(&json!({})), FORGER_KEYS.jwk(Algorithm::RS256));
    let broken = twice(&other, "\"kid\":\"again\"");
    documents.publish("/one-broken", format!("{{\"keys\":[{broken},{own}]}}"));
    documents.publish("/own-broken", format!("{{\"keys\":[{other},{}]}}", twice(&own, "\"e\":\"AQAB\"")));
    Case::new(
        "a key that names a member twice",
        &["RFC 7517 sections 4 and 5"],
        policy(&["one-broken", "own-broken"]),
        vec![pair(
            "another key, and the token's own",
            ask("one-broken"),
            ask("own-broken"),
            (401, "token_signature"),
        )],
    )
}

/// At most four keys are tried for a token that names none; and why no more is said.
fn keys_without_names(documents: &Documents) -> Case {
    let unnamed = |mut jwk: Value| {
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    let stranger = || {
        let key =
            crate::harness::signing::SigningKey::generate(crate::harness::signing::Kind::Rsa, "x").unwrap();
        unnamed(key.jwk)
    };
    let strangers: Vec<Value> = (0..4).map(|_| stranger()).collect();
    let own = unnamed(jwk(&json!({})));
    documents.publish("/fourth", set(&[&strangers[..3], std::slice::from_ref(&own)].concat()));
    documents.publish("/fifth", set(&[&strangers[..], std::slice::from_ref(&own)].concat()));
    let ask = |name: &str| get(&format!("/{name}")).bearer(&of(name).header("kid", Value::Null).sign());
    Case::new(
        "many keys, and a token that names none",
        &["https://github.com/dadrus/heimdall/issues/99", "https://github.com/latchset/jwcrypto/issues/143"],
        policy(&["fourth", "fifth"]),
        vec![pair("the fourth, and the fifth", ask("fourth"), ask("fifth"), (401, "token_key"))],
    )
    .says("4")
}

#[tokio::test(flavor = "multi_thread")]
async fn key_sets_go_as_reported() {
    let documents = Documents::start().await;
    let mut cases = Vec::from(members_without_a_value(&documents));
    cases.extend([
        padded_modulus(&documents),
        compressed_set(&documents),
        byte_order_mark(&documents),
        repeated_member(&documents),
        keys_without_names(&documents),
    ]);
    hold(cases, &documents).await;
    let asked = documents.asked("/plain");
    assert!(
        !asked.is_empty() && asked.iter().all(|headers| headers["accept-encoding"] == "identity"),
        "{asked:?}"
    );
}

/// A key that was replaced under its old name is found as a new one is: by the next fetch that `minRefetchInterval`
/// allows, which forged tokens do not make more frequent. As reported in `https://github.com/coreos/go-oidc/issues/243`,
/// `https://github.com/cloudfoundry/uaa/pull/2915` and `https://github.com/oidcproxydotnet/OidcProxy.Net/issues/242`.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_replaced_under_its_name_is_found() {
    let documents = Documents::start().await;
    let own = jwk(&json!({}));
    let mut old = FORGER_KEYS.jwk(Algorithm::RS256);
    old["kid"] = own["kid"].clone();
    documents.publish("/replaced", set(&[old]));
    let gateway = gateway(&policy(&["replaced"])).https_only().jwks(documents.address).start().await;
    let (new, forged) = (ask("replaced"), get("/replaced").bearer(&of("replaced").forged().sign()));
    assert_eq!(gateway.send(&forged).await.status, 200, "the old key's tokens");
    let refused = gateway.send(&new).await;
    assert_eq!(refused.reason().as_deref(), Some("token_signature"), "{refused:?}");
    documents.publish("/replaced", set(&[own]));
    let took = until(SOON, async || gateway.send(&new).await.status == 200).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    let fetched = documents.asked("/replaced").len();
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(3) {
        assert_eq!(gateway.send(&forged).await.reason().as_deref(), Some("token_signature"));
    }
    let fetches = documents.asked("/replaced").len() - fetched;
    assert!(fetches <= 3, "{fetches} fetches in 3 s");
}
