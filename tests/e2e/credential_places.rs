//! Where credentials stand: what is one, what is none, and that nobody behind us finds another.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, provider, rule, with_api_key, with_token},
    request::{Request, get},
    table::{Pair, hold, pair},
};

const AMBIGUOUS: (u16, &str) = (400, "credentials_ambiguous");
const MISSING: (u16, &str) = (401, "credentials_missing");

fn policy(forward: bool) -> Value {
    let mut provider = provider();
    provider["forward"] = forward.into();
    provider["extractFrom"] = json!({
        "headers": [{"name": "authorization", "valuePrefix": "Bearer "}, {"name": "x-jwt"}],
        "cookies": ["access_token"],
        "params": ["access_token"],
    });
    json!({
        "jwt": {"providers": [provider]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}], "cookies": ["api_key"], "params": ["api_key"]},
            "keys": [api_key_entry("plain", json!({})), api_key_entry("other", json!({}))],
        },
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("token", "Exact", "/token", with_token()),
            rule("key", "Exact", "/key", with_api_key()),
            rule("either", "Exact", "/either", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})),
        ],
        "defaultAction": "Deny",
    })
}

fn with_cookie(request: Request, cookie: &str) -> Request {
    request.header("cookie", cookie)
}

fn table() -> Vec<Pair> {
    let (plain, other) = (api_key("plain"), api_key("other"));
    let jwt = token("alice").sign();
    let key = |query: &str| get(&format!("/key{query}")).api_key(&plain);
    let mut rows = Vec::new();
    // Of nobody's header, cookie or parameter, beside one that passes.
    let names = [
        ("x_api_key", "x-api-keys"),
        ("X_API_Key", "x_api_keys"),
        ("x.api.key", "x.api.keys"),
        ("x~api~key", "x~ap~key"),
    ];
    for (alike, another) in names {
        let row = pair("a header", key("").header(another, &other), key("").header(alike, &other), AMBIGUOUS);
        rows.push(row.lacks("x-api-key"));
        rows.push(pair("alone", key(""), get("/key").header(alike, &plain), MISSING));
        // Nobody else's, either.
        let row = pair(
            "for anyone",
            get("/open").header(alike, &plain),
            get("/key").header(alike, &plain),
            MISSING,
        );
        rows.push(row.lacks("x_api_key").lacks("x.api.key").lacks("x~api~key"));
    }
    let cookies = [
        ("API_KEY=x", "API_KEYS=x"),
        ("api.key=x", "api_key.sig=x"),
        ("api_key[]=x", "api_keys[]=x"),
        ("%61pi_key=x", "%61pi_keys=x"),
        ("x=1 api_key=x", "x=1 xapi_key=x"),
        ("x=1,api_key=x", "x=1,api_keys=x"),
        ("x=\"1 api_key=x\"", "x=\"1&api_key=x\""),
        ("$Version=1, api_key=x", "$Version=1; $Path=/"),
        ("=api_key=x", "x=api_key=x"),
    ];
    for (alike, another) in cookies {
        let with = |cookie| with_cookie(key(""), cookie);
        rows.push(pair("a cookie", with(another), with(alike), AMBIGUOUS).sees("cookie", another.trim()));
        let open = with_cookie(get("/open"), &format!("a=1; {alike}; b=2"));
        rows.push(
            pair("a cookie for anyone", open, with_cookie(get("/key"), alike), MISSING)
                .sees("cookie", "a=1; b=2"),
        );
    }
    let params = [
        ("api.key=x", "api.keys=x"),
        ("API_KEY=x", "API_KEYS=x"),
        ("api_key[]=x", "api_keys[]=x"),
        ("api_key%5Bx%5D=x", "api_keys%5Bx%5D=x"),
        ("api_key.x=x", "api_keys.x=x"),
        ("+api_key=x", "+api_keys=x"),
        ("%20api_key=x", "%20api_keys=x"),
        ("api_key%00=x", "api_keys%00=x"),
        ("%2561pi_key=x", "%2561pi_keys=x"),
        ("a=1;api_key=x", "a=1;api_keys=x"),
        ("a?api_key=x", "a?api_keys=x"),
    ];
    for (alike, another) in params {
        let with = |query: &str| key(&format!("?{query}"));
        let row = pair("a parameter", with(another), with(alike), AMBIGUOUS);
        rows.push(row.path(&format!("/key?{another}")));
        let left = if alike.starts_with("a=1;") { "/open?x=1&a=1&y" } else { "/open?x=1&y" };
        let open = get(&format!("/open?x=1&{alike}&y"));
        rows.push(pair("a parameter for anyone", open, get(&format!("/key?{alike}")), MISSING).path(left));
    }
    rows.extend([
        // Empty is none, and one is one.
        pair(
            "an empty cookie",
            with_cookie(get("/token").bearer(&jwt), "access_token="),
            with_cookie(get("/token"), "access_token="),
            MISSING,
        ),
        pair(
            "an empty parameter",
            get("/token?access_token=").bearer(&jwt),
            get("/token?access_token="),
            MISSING,
        ),
        pair(
            "an empty header",
            get("/token").bearer(&jwt).header("x-jwt", ""),
            get("/token").header("x-jwt", ""),
            MISSING,
        ),
        pair(
            "an empty token",
            with_cookie(get("/token").bearer(""), &format!("access_token={jwt}")),
            get("/token").bearer(""),
            MISSING,
        ),
        pair("an empty key", get("/either").bearer(&jwt).api_key(""), get("/either").api_key(""), MISSING),
        pair(
            "one token at two places",
            with_cookie(get("/token").bearer(&jwt), &format!("access_token={jwt}")),
            with_cookie(get("/token").bearer(&jwt), &format!("access_token={jwt}x")),
            AMBIGUOUS,
        )
        .lacks("cookie")
        .lacks("authorization"),
        pair(
            "one key at two places",
            get(&format!("/key?api_key={plain}")).api_key(&plain),
            get(&format!("/key?api_key={other}")).api_key(&plain),
            AMBIGUOUS,
        )
        .path("/key"),
    ]);
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_finds_a_credential_that_was_not_decided_on() {
    let gateway = gateway(&policy(false)).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

/// The token goes upstream, so one that looser servers would read instead of it must not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_is_what_was_verified() {
    let gateway = gateway(&policy(true)).start().await;
    let jwt = token("alice").sign();
    let cookie = |rest: &str| with_cookie(get("/token"), &rest.replace("JWT", &jwt));
    let query = |rest: &str| get(&format!("/token?{}", rest.replace("JWT", &jwt)));
    let alone = format!("access_token={jwt}");
    let at = format!("/token?access_token={jwt}");
    let rows = [
        pair(
            "a word",
            cookie("access_token=JWT; x=1"),
            cookie("access_token=JWT; x=1 access_token=y"),
            AMBIGUOUS,
        )
        .sees("cookie", &format!("{alone}; x=1")),
        pair("a dot", cookie("access_token=JWT"), cookie("access.token=y; access_token=JWT"), AMBIGUOUS)
            .sees("cookie", &alone),
        pair(
            "an empty one",
            cookie("access.token=; access_token=JWT"),
            cookie("Access_Token=y; access_token=JWT"),
            AMBIGUOUS,
        )
        .sees("cookie", &alone),
        pair("a key", cookie("api_key=x; access_token=JWT; API.KEY=y"), cookie("api_key=x"), MISSING)
            .sees("cookie", &alone),
        pair(
            "a dot in the query",
            query("access_token=JWT"),
            query("access_token=JWT&access.token=y"),
            AMBIGUOUS,
        )
        .path(&at),
        pair(
            "a semicolon",
            query("access_token=JWT&api_key=x"),
            query("access_token=JWT&x=1;access_token=y"),
            AMBIGUOUS,
        )
        .path(&at),
        pair(
            "a semicolon behind it",
            query("access_token=JWT&access_token="),
            query("access_token=JWT;access_token=y"),
            AMBIGUOUS,
        )
        .path(&at),
        pair(
            "a dot elsewhere",
            query("access.token=").bearer(&jwt),
            query("access.token=y").bearer(&jwt),
            AMBIGUOUS,
        )
        .path("/token")
        .sees("authorization", &format!("Bearer {jwt}")),
        pair(
            "a list",
            get("/token").bearer(&jwt),
            get("/token").bearer(&format!("{jwt}, Bearer y")),
            AMBIGUOUS,
        )
        .sees("authorization", &format!("Bearer {jwt}")),
        pair(
            "another line",
            get("/token").bearer(&jwt).header("x-jwt", &jwt),
            get("/token").bearer(&jwt).header("authorization", "Bearer y"),
            AMBIGUOUS,
        ),
        // Nothing that we would find, and nothing that anybody else does.
        pair(
            "a tab",
            cookie("access_token=JWT").header("authorization", "Bearer\ty"),
            get("/token").header("authorization", "Bearer\ty"),
            MISSING,
        )
        .sees("cookie", &alone)
        .lacks("authorization"),
        pair(
            "a word behind another",
            cookie("access_token=JWT").header("authorization", "Basic eA== Bearer y"),
            get("/token").header("authorization", "Basic eA== Bearer y"),
            MISSING,
        )
        .sees("cookie", &alone)
        .lacks("authorization"),
        pair(
            "for anyone",
            with_cookie(get("/open?access_token=x"), "access_token=y"),
            get("/token"),
            MISSING,
        )
        .path("/open")
        .lacks("cookie"),
    ];
    hold(&gateway, &[Wire::Http1, Wire::Http2], &rows).await;
}
