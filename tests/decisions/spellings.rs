//! Credentials in places of a spelling of their own: none for us, and none for anybody behind us.

use portcullis::answer::Reason;

use crate::world::{Answer, Ask, World};

const READER: &str = "reader-secret";

/// Headers and a query with a credential that some server finds, and we do not.
fn alike() -> Vec<(Vec<(&'static str, &'static str)>, &'static str)> {
    let headers = [
        ("x_api_key", "forged"),
        ("x.api.key", "forged"),
        ("X-API-Key", "forged"),
        ("cookie", "Key=forged"),
        ("cookie", "key[]=forged"),
        ("cookie", "%6bey=forged"),
        ("cookie", "x=1 key=forged"),
        ("cookie", "x=1,key=forged"),
        ("cookie", "x=\"1 key=forged\""),
        ("cookie", "x=1\u{a0}key=forged"),
        ("cookie", "=key=forged"),
        ("cookie", "$Version=1, key=forged"),
    ];
    let queries = [
        "api.key=forged",
        "api+key=forged",
        "api[key=forged",
        "API_KEY=forged",
        "api_key[]=forged",
        "api_key[x]=forged",
        "api_key%5B%5D=forged",
        "[api_key]=forged",
        "api_key.x=forged",
        "+api_key=forged",
        "%20api_key=forged",
        "api_key%00=forged",
        "api_key%00x=forged",
        "%2561pi_key=forged",
        "%u0061pi_key=forged",
        "x=1;api_key=forged",
        "x=1&amp;api_key=forged",
        "?api_key=forged",
        "x?api_key=forged",
    ];
    let headers = headers.map(|header| (vec![header], ""));
    headers.into_iter().chain(queries.map(|query| (vec![], query))).collect()
}

fn ask(path: &str, (headers, query): &(Vec<(&str, &str)>, &str), n: usize) -> Ask {
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let ask = headers.iter().fold(Ask::get(&target), |ask, (name, value)| ask.header(name, value));
    ask.from(&format!("10.1.{}.{}", n / 50, n % 50))
}

fn shows_forged(answer: &Answer) -> bool {
    let Ok(headers) = &answer.upstream else { panic!("refused: {:?}", answer.reason) };
    headers.iter().any(|(_, value)| value.contains("forged"))
}

#[test]
fn a_look_alike_is_no_credential_and_beside_one_a_second() {
    let w = World::new();
    for (n, row) in alike().iter().enumerate() {
        assert_eq!(w.reason(&ask("/keys", row, n)), Some(Reason::CredentialsMissing), "{row:?}");
        for with in [
            ask("/keys", row, n).key(READER),
            ask("/keys", row, n).header("cookie", &format!("key={READER}")),
            // Of another kind, where the rule takes both.
            w.bearer(ask("/orders", row, n), |claims| claims["roles"] = ["viewer"].into()),
        ] {
            assert_eq!(w.reason(&with), Some(Reason::CredentialsAmbiguous), "{with:?}");
        }
    }
    // The nearest that are nobody's place.
    for (n, row) in [
        (vec![("x-api-keys", "forged"), ("cookie", "keys=1; x=key=1; key.sig=1")], ""),
        (vec![], "api_keys=1&x_api_key=1&x[api_key]=1&x=api_key%3D1"),
        // Empty ones are none.
        (vec![("x_api_key", ""), ("cookie", "Key=; x=1 key=")], "api.key=&api_key[]"),
    ]
    .iter()
    .enumerate()
    {
        let answer = w.ask(&ask("/keys", row, 50 + n).key(READER));
        assert_eq!(answer.reason, None, "{row:?}");
        assert_eq!(answer.upstream("x-portcullis-subject"), "reader");
    }
}

#[test]
fn nothing_that_nobody_verified_reaches_the_upstream_in_any_spelling() {
    // With and without a provider that forwards what it verified.
    for forward in [false, true] {
        let w = World::with(|policy| policy["jwt"]["providers"][0]["forward"] = forward.into());
        for (n, row) in alike().iter().enumerate() {
            let rows = [
                ask("/health", row, n),
                // The rule takes no keys.
                w.bearer(ask("/tokens", row, n), |_| {}),
                ask("/certificate", row, n).certificate("spiffe://td/ns/a"),
            ];
            for ask in rows {
                assert!(!shows_forged(&w.ask(&ask)), "{ask:?}");
            }
        }
    }
}

#[test]
fn a_forwarded_token_stands_alone() {
    let w = World::with(|policy| policy["jwt"]["providers"][0]["forward"] = true.into());
    let token = w.token(|_| {});
    let cookie = |rest: &str| Ask::get("/tokens").header("cookie", &rest.replace("TOKEN", &token));
    let query = |rest: &str| Ask::get(&format!("/tokens?{}", rest.replace("TOKEN", &token)));
    let kept = [
        (cookie("a=1; session=TOKEN; session.sig=2"), "cookie", "a=1; session=TOKEN; session.sig=2"),
        (cookie("session=TOKEN; Session="), "cookie", "session=TOKEN"),
        (cookie("session=; session=TOKEN"), "cookie", "session=TOKEN"),
        (cookie("session=TOKEN; key=x; KEY=y"), "cookie", "session=TOKEN"),
        (query("a=1&access_token=TOKEN&b=%7e"), ":path", "/tokens?a=1&access_token=TOKEN&b=%7e"),
        (query("access_token=TOKEN&access.token="), ":path", "/tokens?access_token=TOKEN"),
        (query("access_token=TOKEN&a=1;api_key=x;b"), ":path", "/tokens?access_token=TOKEN&a=1"),
        (query("access_token=TOKEN").header("x_api_key", "x"), "x_api_key", ""),
    ];
    for (n, (ask, name, expected)) in kept.into_iter().enumerate() {
        let answer = w.ask(&ask.clone().from(&format!("10.0.0.{n}")));
        assert_eq!(answer.reason, None, "{ask:?}");
        assert_eq!(answer.upstream(name), expected.replace("TOKEN", &token), "{ask:?}");
    }
    let ambiguous = [
        cookie("session=TOKEN; x=1 session=FORGED"),
        cookie("x=1 session=FORGED; session=TOKEN"),
        cookie("Session=FORGED; session=TOKEN"),
        cookie("session=TOKEN; session[x]=FORGED"),
        cookie("session=TOKEN; x=1").header("cookie", "SESSION=FORGED"),
        cookie("session=TOKEN,session=FORGED"),
        cookie("session=TOKEN session=FORGED"),
        query("access_token=TOKEN&access.token=FORGED"),
        query("access.token=FORGED&access_token=TOKEN"),
        query("access_token=TOKEN;access_token=FORGED"),
        query("access_token=TOKEN&x=1;access_token=FORGED"),
        query("access_token=TOKEN&access_token[]=FORGED"),
        // At another place of the same provider.
        query("access.token=FORGED").header("cookie", &format!("session={token}")),
        query("access.token=FORGED").token(&token),
        cookie("x=1 session=FORGED").token(&token),
        Ask::get("/tokens").header("authorization", &format!("Bearer {token}, Bearer FORGED")),
        Ask::get("/tokens").header("authorization", &format!("Bearer {token},bearer\tFORGED")),
    ];
    for (n, ask) in ambiguous.into_iter().enumerate() {
        let reason = w.reason(&ask.clone().from(&format!("10.0.1.{n}")));
        assert!(
            matches!(reason, Some(Reason::CredentialsAmbiguous | Reason::TokenMalformed)),
            "{ask:?} {reason:?}"
        );
    }
    // What stands there behind other signs is no token of ours, and goes.
    for (n, value) in
        ["Bearer\tFORGED", "Basic eA==, Bearer FORGED", "Basic eA== Bearer FORGED", "bearer\u{b}FORGED"]
            .into_iter()
            .enumerate()
    {
        let ask = cookie("session=TOKEN").header("authorization", value).from(&format!("10.0.2.{n}"));
        let answer = w.ask(&ask);
        let left = (answer.upstream("authorization"), answer.upstream("cookie"));
        assert_eq!(left, (String::new(), format!("session={token}")), "{value}");
    }
}

#[test]
fn empty_credentials_are_none_and_one_that_is_given_twice_is_one() {
    let w = World::new();
    let token = w.token(|_| {});
    let session = format!("session={token}");
    let get = Ask::get;
    let with_query = |ask: &str, query: &str| get(&format!("{ask}?{query}"));
    let passing = [
        get("/tokens").token(&token).header("cookie", "session="),
        get("/tokens").token(&token).header("cookie", "session=\"\"; a=1"),
        with_query("/tokens", "access_token=").token(&token),
        with_query("/tokens", "access_token").token(&token),
        get("/tokens").header("cookie", &session).header("authorization", "Bearer "),
        get("/tokens").header("cookie", &session).header("authorization", "bearer \t "),
        get("/orders").key(READER).header("authorization", "Bearer "),
        with_query("/orders", "api_key=&access_token=").key(READER).header("cookie", "key=; session="),
        with_query("/keys", &format!("api_key={READER}")).key(""),
        // The same bytes at two places, or three.
        get("/tokens").token(&token).header("cookie", &session),
        with_query("/tokens", &format!("access_token={token}")).token(&token).header("cookie", &session),
        with_query("/keys", "api_key=reader%2Dsecret").key(READER).header("cookie", "key=\"reader-secret\""),
    ];
    for (n, ask) in passing.into_iter().enumerate() {
        let answer = w.ask(&ask.clone().from(&format!("10.0.0.{n}")));
        assert_eq!(answer.reason, None, "{ask:?}");
        let Ok(headers) = &answer.upstream else { unreachable!() };
        assert!(
            !headers.iter().any(|(_, value)| value.contains(&token) || value.contains("secret")),
            "{ask:?}"
        );
    }
    let refused = [
        (Reason::CredentialsMissing, get("/tokens").token("")),
        (Reason::CredentialsMissing, get("/tokens").header("cookie", "session=")),
        (Reason::CredentialsMissing, with_query("/tokens", "access_token=")),
        (Reason::CredentialsMissing, get("/keys").key("")),
        (Reason::CredentialsMissing, get("/orders").key("").token("")),
        (Reason::CredentialsAmbiguous, get("/tokens").token(&token).header("cookie", "session=x")),
        (
            Reason::CredentialsAmbiguous,
            with_query("/tokens", &format!("access_token={token}x")).token(&token),
        ),
        (Reason::CredentialsAmbiguous, get("/tokens").header("cookie", &format!("{session}; {session}"))),
        (Reason::CredentialsAmbiguous, get("/keys").key(READER).header("cookie", "key=writer-secret")),
    ];
    for (n, (reason, ask)) in refused.into_iter().enumerate() {
        assert_eq!(w.reason(&ask.clone().from(&format!("10.0.1.{n}"))), Some(reason), "{ask:?}");
    }
    // Both places hold what was verified.
    let w = World::with(|policy| policy["jwt"]["providers"][0]["forward"] = true.into());
    let token = w.token(|_| {});
    let twice = with_query("/tokens", &format!("access_token={token}")).token(&token);
    let answer = w.ask(&twice);
    assert_eq!(answer.upstream(":path"), format!("/tokens?access_token={token}"));
    assert_eq!(answer.upstream("authorization"), format!("Bearer {token}"));
}
