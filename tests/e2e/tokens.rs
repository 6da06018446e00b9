//! Tokens: each way in which one can be wrong, beside the one that is right.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::{AUDIENCE, ISSUER, ISSUER_KEYS, SECRET, Token, token},
    now,
    policy::{provider, rule, with_token},
    request::{Request, get},
    signing::base64url,
    table::{Pair, hold, pair},
};

const HMAC_ISSUER: &str = "https://hmac.test";

pub(crate) fn policy() -> Value {
    let elsewhere = json!({
        "name": "elsewhere",
        "issuer": "https://elsewhere.test",
        "audiences": [AUDIENCE],
        "algorithms": ["ES256"],
        "jwks": {"inline": {"keys": [ISSUER_KEYS.jwk(Algorithm::ES384)]}},
    });
    let elsewhere = {
        let mut provider = elsewhere;
        provider["algorithms"] = json!(["ES384"]);
        provider
    };
    let hmac = json!({
        "name": "hmac",
        "issuer": HMAC_ISSUER,
        "audiences": [AUDIENCE],
        "algorithms": ["HS256", "HS512"],
        "symmetricKeys": [{"kid": "symmetric", "secret": base64url(SECRET).unwrap()}],
    });
    let strict = json!({
        "name": "strict",
        "issuer": "https://strict.test",
        "audiences": [AUDIENCE],
        "algorithms": ["ES256"],
        "types": ["at+jwt"],
        "clockSkew": "0s",
        "maxLifetime": "1h",
        "maxTokenSize": 1024,
        "jwks": {"inline": {"keys": [ISSUER_KEYS.jwk(Algorithm::ES256)]}},
    });
    let placed = json!({
        "name": "placed",
        "issuer": "https://placed.test",
        "audiences": [AUDIENCE],
        "algorithms": ["ES256"],
        "extractFrom": {"headers": [{"name": "x-token"}], "cookies": ["session"], "params": ["access_token"]},
        "jwks": {"inline": {"keys": [ISSUER_KEYS.jwk(Algorithm::ES256)]}},
    });
    let jwt = |name: &str| json!({"authenticate": {"anyOf": [{"jwt": name}]}});
    json!({
        "jwt": {"providers": [provider(), elsewhere, hmac, strict, placed]},
        "rules": [
            rule("t", "Exact", "/t", with_token()),
            rule("two", "Exact", "/two", json!({"authenticate": {"anyOf": [{"jwt": "test"}, {"jwt": "elsewhere"}]}})),
            rule("hmac", "Exact", "/hmac", jwt("hmac")),
            rule("strict", "Exact", "/strict", jwt("strict")),
            rule("placed", "Exact", "/placed", jwt("placed")),
        ],
        "defaultAction": "Deny",
    })
}

fn with(token: &Token) -> Request {
    get("/t").bearer(&token.sign())
}

fn invalid(reason: &'static str) -> (u16, &'static str) {
    (401, reason)
}

/// What stands against the good token of most rows.
fn against_good(name: &'static str, refused: Request, reason: &'static str) -> Pair {
    pair(name, with(&token("alice")), refused, invalid(reason))
}

pub(crate) fn table() -> Vec<Pair> {
    let mut rows = algorithms();
    rows.extend(keys());
    rows.extend(claims());
    rows.extend(forms());
    rows.extend(providers());
    rows
}

/// Each algorithm verifies, and its forgery does not.
fn algorithms() -> Vec<Pair> {
    let names = [
        (Algorithm::RS256, "RS256"),
        (Algorithm::RS384, "RS384"),
        (Algorithm::RS512, "RS512"),
        (Algorithm::PS256, "PS256"),
        (Algorithm::PS384, "PS384"),
        (Algorithm::PS512, "PS512"),
        (Algorithm::ES256, "ES256"),
        (Algorithm::ES384, "ES384"),
        (Algorithm::EdDSA, "EdDSA"),
    ];
    let row = |(algorithm, name): &(Algorithm, &'static str)| {
        let good = token("alice").algorithm(*algorithm);
        pair(name, with(&good), with(&good.clone().forged()), invalid("token_signature"))
    };
    let mut rows: Vec<Pair> = names.iter().map(row).collect();
    let public = ISSUER_KEYS.pem(Algorithm::RS256);
    rows.extend([
        against_good(
            "an HMAC with the RSA key's PEM",
            get("/t").bearer(
                &token("alice")
                    .algorithm(Algorithm::HS256)
                    .header("kid", "rsa")
                    .sign_with_secret(public.as_bytes()),
            ),
            "token_algorithm",
        ),
        against_good(
            "an HMAC with an empty secret",
            get("/t").bearer(&token("alice").algorithm(Algorithm::HS256).sign_with_secret(b"")),
            "token_algorithm",
        ),
        against_good(
            "alg none",
            get("/t").bearer(&token("alice").header("alg", "none").unsigned()),
            "token_malformed",
        ),
        against_good(
            "alg none with a signature",
            with(&token("alice").header("alg", "none")),
            "token_algorithm",
        ),
        against_good("alg nOnE", with(&token("alice").header("alg", "nOnE")), "token_algorithm"),
        against_good("no signature", get("/t").bearer(&token("alice").unsigned()), "token_malformed"),
        against_good("alg in lower case", with(&token("alice").header("alg", "es256")), "token_algorithm"),
        against_good("another algorithm's name", with(&token("alice").header("alg", "EdDSA")), "token_key"),
        against_good(
            "an algorithm nobody knows",
            with(&token("alice").header("alg", "ES999")),
            "token_algorithm",
        ),
        pair(
            "the newer name of EdDSA",
            with(&token("alice").algorithm(Algorithm::EdDSA).header("alg", "Ed25519")),
            with(&token("alice").algorithm(Algorithm::EdDSA).header("alg", "Ed448")),
            invalid("token_algorithm"),
        ),
    ]);
    rows
}

fn keys() -> Vec<Pair> {
    let good = || token("alice");
    let jwk = ISSUER_KEYS.jwk(Algorithm::ES256);
    vec![
        against_good("a kid that names another key", with(&good().header("kid", "rsa")), "token_key"),
        against_good("a kid that nobody has", with(&good().header("kid", "nobody")), "token_key"),
        against_good("a kid that is no text", with(&good().header("kid", 7)), "token_malformed"),
        pair(
            "no kid",
            with(&good().header("kid", Value::Null)),
            with(&good().header("kid", Value::Null).forged()),
            invalid("token_signature"),
        ),
        pair(
            "a key in the header is not used",
            with(&good().header("jwk", jwk.clone())),
            with(&good().header("jwk", jwk).forged()),
            invalid("token_signature"),
        ),
        pair(
            "a key address in the header is not used",
            with(&good().header("jku", "https://issuer.test/jwks")),
            with(&good().header("jku", "https://forger.test/jwks").forged()),
            invalid("token_signature"),
        ),
        against_good("crit", with(&good().header("crit", json!(["exp"]))), "token_malformed"),
        against_good("crit that is empty", with(&good().header("crit", json!([]))), "token_malformed"),
    ]
}

fn claims() -> Vec<Pair> {
    let good = || token("alice");
    vec![
        pair(
            "exp in the future",
            with(&good().claim("exp", now() + 600)),
            with(&good().claim("exp", now() - 2)),
            invalid("token_expired"),
        ),
        against_good("exp is missing", with(&good().claim("exp", Value::Null)), "token_claims"),
        against_good("exp is text", with(&good().claim("exp", "9999999999")), "token_claims"),
        against_good("exp is negative", with(&good().claim("exp", -1)), "token_claims"),
        against_good("exp is beyond all numbers", with(&good().claim("exp", json!(1e300))), "token_claims"),
        pair(
            "nbf in the past",
            with(&good().claim("nbf", now() - 2)),
            with(&good().claim("nbf", now() + 600)),
            invalid("token_not_yet_valid"),
        ),
        pair(
            "iat in the past",
            with(&good().claim("iat", now() - 60)),
            with(&good().claim("iat", now() + 600)),
            invalid("token_not_yet_valid"),
        ),
        against_good("another issuer", with(&good().claim("iss", "https://issuer.test/")), "token_issuer"),
        against_good(
            "an issuer in another case",
            with(&good().claim("iss", "https://ISSUER.test")),
            "token_issuer",
        ),
        against_good("no issuer", with(&good().claim("iss", Value::Null)), "token_issuer"),
        against_good("two issuers", with(&good().claim("iss", json!([ISSUER]))), "token_issuer"),
        against_good("another audience", with(&good().claim("aud", "https://other.test")), "token_audience"),
        against_good("no audience", with(&good().claim("aud", Value::Null)), "token_claims"),
        against_good("an empty list of audiences", with(&good().claim("aud", json!([]))), "token_audience"),
        pair(
            "one of several audiences",
            with(&good().claim("aud", json!(["https://other.test", AUDIENCE]))),
            with(&good().claim("aud", json!(["https://other.test", "https://third.test"]))),
            invalid("token_audience"),
        ),
        against_good("part of an audience", with(&good().claim("aud", "https://api.tes")), "token_audience"),
        against_good("no subject", with(&good().claim("sub", Value::Null)), "token_claims"),
        against_good("an empty subject", with(&good().claim("sub", "")), "token_claims"),
        against_good("a subject that is no text", with(&good().claim("sub", 7)), "token_claims"),
    ]
}

fn forms() -> Vec<Pair> {
    let good = token("alice").sign();
    let (head, signature) = good.rsplit_once('.').unwrap();
    let header = good.split('.').next().unwrap();
    let other = token("mallory").sign();
    let other_payload = other.split('.').nth(1).unwrap();
    let lower = get("/t").header("authorization", format!("bearer {good}"));
    vec![
        against_good("no credentials", get("/t"), "credentials_missing"),
        against_good(
            "another payload",
            get("/t").bearer(&format!("{header}.{other_payload}.{signature}")),
            "token_signature",
        ),
        // 301 characters, which no bytes give.
        against_good("a cut signature", get("/t").bearer(&good[..good.len() - 41]), "token_malformed"),
        against_good("four parts", get("/t").bearer(&format!("{good}.x")), "token_malformed"),
        against_good("two parts", get("/t").bearer(head), "token_malformed"),
        against_good("padding", get("/t").bearer(&format!("{good}=")), "token_malformed"),
        against_good("no token at all", get("/t").bearer("x"), "token_malformed"),
        against_good("dots", get("/t").bearer(".."), "token_malformed"),
        against_good(
            "another scheme",
            get("/t").header("authorization", format!("Basic {good}")),
            "credentials_missing",
        ),
        against_good("no scheme", get("/t").header("authorization", &good), "credentials_missing"),
        pair(
            "the scheme in lower case",
            lower,
            get("/t").header("authorization", "bearer"),
            invalid("credentials_missing"),
        ),
        against_good("a token in the query", get(&format!("/t?access_token={good}")), "credentials_missing"),
        pair(
            "two tokens",
            get("/t").bearer(&good),
            get("/t").bearer(&good).bearer(&good),
            (400, "credentials_ambiguous"),
        ),
        against_good(
            "a payload that is no object",
            get("/t").bearer(&format!("{header}.W10.{signature}")),
            "token_malformed",
        ),
        against_good(
            "a header that is no JSON",
            get("/t").bearer(&format!("bm90IGpzb24.{other_payload}.{signature}")),
            "token_malformed",
        ),
    ]
}

fn providers() -> Vec<Pair> {
    let get_with = |path: &str, token: &Token| get(path).bearer(&token.sign());
    let elsewhere = || token("bob").algorithm(Algorithm::ES384).claim("iss", "https://elsewhere.test");
    let hmac = || token("carol").algorithm(Algorithm::HS256).claim("iss", HMAC_ISSUER);
    let strict = || token("dora").claim("iss", "https://strict.test");
    let placed = || token("emil").claim("iss", "https://placed.test").sign();
    let cookie = |cookies: String| get("/placed").header("cookie", cookies);
    vec![
        pair(
            "chosen by iss",
            get_with("/two", &elsewhere()),
            get_with("/t", &elsewhere()),
            invalid("token_issuer"),
        ),
        pair(
            "the first provider of two",
            get_with("/two", &token("alice")),
            get_with("/two", &token("alice").claim("iss", "https://elsewhere.test")),
            invalid("token_algorithm"),
        ),
        pair(
            "HS256",
            get_with("/hmac", &hmac()),
            get("/hmac").bearer(&hmac().sign_with_secret(b"guess")),
            invalid("token_signature"),
        ),
        pair(
            "HS512",
            get_with("/hmac", &hmac().algorithm(Algorithm::HS512)),
            get_with("/hmac", &hmac().algorithm(Algorithm::HS384)),
            invalid("token_algorithm"),
        ),
        pair(
            "typ",
            get_with("/strict", &strict()),
            get_with("/strict", &strict().header("typ", "JWT")),
            invalid("token_malformed"),
        ),
        pair(
            "typ as a media type",
            get_with("/strict", &strict().header("typ", "application/AT+JWT")),
            get_with("/strict", &strict().header("typ", Value::Null)),
            invalid("token_malformed"),
        ),
        pair(
            "lifetime",
            get_with("/strict", &strict().claim("iat", now() - 5).claim("exp", now() + 3500)),
            get_with("/strict", &strict().claim("iat", now() - 5).claim("exp", now() + 3700)),
            invalid("token_claims"),
        ),
        pair(
            "lifetime needs iat",
            get_with("/strict", &strict()),
            get_with("/strict", &strict().claim("iat", Value::Null)),
            invalid("token_claims"),
        ),
        pair(
            "size",
            get_with("/strict", &strict()),
            get_with("/strict", &strict().claim("padding", "x".repeat(1024))),
            invalid("token_malformed"),
        ),
        pair(
            "in a header",
            get("/placed").header("x-token", placed()),
            get("/placed").bearer(&placed()),
            invalid("credentials_missing"),
        )
        .lacks("x-token"),
        pair(
            "in a cookie",
            cookie(format!("a=b; session={}; c=d", placed())),
            cookie(format!("a=b; sessions={}", placed())),
            invalid("credentials_missing"),
        )
        .sees("cookie", "a=b; c=d"),
        pair(
            "in the query",
            get(&format!("/placed?a=b&access_token={}&c=d", placed())),
            get(&format!("/placed?a=b&Access_token={}", placed())),
            invalid("credentials_missing"),
        )
        .path("/placed?a=b&c=d"),
        pair(
            "in two places",
            get("/placed").header("x-token", placed()),
            get(&format!("/placed?access_token={}", placed())).header("x-token", placed()),
            (400, "credentials_ambiguous"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_pass_and_fail_as_tabled() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

/// The module's own libraries decide every row as Envoy's does.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_pass_and_fail_alike_where_the_host_verifies_no_signatures() {
    let gateway = gateway(&policy()).without_crypto().start().await;
    hold(&gateway, &[Wire::Http2], &table()).await;
    assert!(gateway.log().contains("the host verifies no signatures"), "{}", gateway.log());
}

/// The cache of verified tokens must not outlive what it remembers.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_while_in_use_is_refused() {
    let gateway = gateway(&policy()).start().await;
    let request = get("/t").bearer(&token("alice").claim("exp", now() + 3).sign());
    assert_eq!(gateway.send(&request).await.status, 200);
    assert_eq!(gateway.send(&request).await.status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(3200)).await;
    let answer = gateway.send(&request).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("token_expired")), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn challenges_tell_what_the_bearer_scheme_says_they_tell() {
    let gateway = gateway(&policy()).start().await;
    let challenge = async |request: Request| {
        let answer = gateway.send(&request).await;
        answer.header("www-authenticate").unwrap_or_default().to_owned()
    };
    // RFC 6750 section 3.1: no error code without credentials.
    let none = challenge(get("/t")).await;
    assert!(none.starts_with("Bearer realm=") && !none.contains("error"), "{none}");
    let expired = challenge(with(&token("alice").claim("exp", now() - 2))).await;
    assert!(
        expired.contains("error=\"invalid_token\"") && expired.contains("error_description="),
        "{expired}"
    );
}
