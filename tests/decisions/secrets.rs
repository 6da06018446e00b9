//! No credential shows in a record, a reply or the `Debug` of anything; and what a record does say.

use portcullis::{answer::Reason, engine::names_without_policy};
use serde_json::{Value, json};

use crate::{
    bindings,
    document::introspection,
    world::{Ask, Pending, World, claims},
};

#[test]
fn no_secret_leaves_by_a_record_a_reply_or_debug() {
    let w = World::new();
    let token = w.token(|_| {});
    let expired = w.token(|claims| claims["exp"] = 1.into());
    let get = |target: &str| Ask::get(target).header("cookie", "other=cookie-secret; key=key-in-cookie");
    let secrets = [
        "reader-secret",
        "disabled-secret",
        "wrong-secret",
        "cookie-secret",
        "key-in-cookie",
        "query-secret",
        "header-secret",
        &token[token.len() - 40..],
        &token[..60],
        &expired[expired.len() - 40..],
    ];
    let paths =
        ["/health", "/keys", "/tokens", "/orders", "/limited", "/nowhere", "/closed", "/remote", "/a%2Fb"];
    let mut n = 0;
    for path in paths {
        for credential in ["reader-secret", "disabled-secret", "wrong-secret", &token, &expired, "a.b"] {
            let bearer = format!("Bearer {credential}");
            let target = format!("{path}?q=query-secret");
            let asks = [
                Ask::get(&target).key(credential),
                Ask::get(&target).header("authorization", &bearer).header("x-other", "header-secret"),
                get(&target).key(credential).header("authorization", &bearer),
                Ask::get(&format!("{target}&api_key={credential}")),
                Ask::get(&format!("{target}&access_token={credential}")),
                Ask::get(&target).header("cookie", &format!("session={credential}")),
                Ask::get(&target).key(credential).plain(),
            ];
            for ask in asks {
                n += 1;
                let answer = w.ask(&ask.from(&format!("10.0.{}.{}", n / 250, n % 250)));
                let record = answer.record.as_deref().unwrap();
                let mut shown =
                    format!("{record} {:?} {:?} {:?}", answer.told, answer.response, answer.shown);
                if let Err(reply) = &answer.upstream {
                    shown.push_str(&format!("{reply:?} {}", answer.debug));
                }
                // Other cookies, parameters and headers stay as they are.
                for other in ["other=cookie-secret", "q=query-secret", "(\"x-other\", \"header-secret\")"] {
                    shown = shown.replace(other, "");
                }
                for secret in secrets {
                    assert!(!shown.contains(secret), "{secret} in {shown}");
                }
                // What goes upstream may hold other cookies and parameters, never a credential.
                for secret in ["reader-secret", "wrong-secret", &token, &expired, "key-in-cookie"] {
                    assert!(!answer.debug.contains(secret), "{secret} in {}", answer.debug);
                }
            }
        }
    }
}

#[test]
fn what_no_upstream_may_see_stands_in_no_access_log() {
    let w = World::with(|policy| policy["transport"] = json!({"redirectTo": "api.example"}));
    let key = |target: &str| Ask::get(target);
    // The request; what its `:path` is then.
    let rows = [
        // Authenticated, and refused.
        (key("/limited?a=1&api_key=reader-secret"), "/limited?a=1"),
        (key("/admin?a=1&api_key=reader-secret"), "/admin?a=1"),
        (key("/orders/7?api_key=wrong-secret"), "/orders/7"),
        // Looked at by nobody.
        (key("/closed?api_key=reader-secret&b"), "/closed?b"),
        (key("/nowhere/../x?%61pi_key=reader-secret"), "/nowhere/../x"),
        (key("/nowhere?a=1"), "/nowhere?a=1"),
        (key("/health?api_key=reader-secret&a").plain(), "/health?a"),
        (Ask::new("POST", "/health?api_key=reader-secret&a").plain(), "/health?a"),
        // With more than one reading.
        (key("/a%2fb?a=1&api_key=reader-secret"), "/a%2fb"),
        (key("/a;b?api_key=reader-secret"), "/a"),
        (key("/a;api_key=reader-secret"), "/a"),
        (key("/a;b=1;c"), "/a;b=1;c"),
        (key("/a\\b?a=1&b=2"), "/a\\b?a=1&b=2"),
        (key("/a?b c&api_key=reader-secret"), "/a"),
        (key("/a\u{e9}?api_key=reader-secret"), "/a\u{e9}"),
        (key("/a#?api_key=reader-secret"), "/a"),
        (key(&format!("/{}?api_key=reader-secret", "a".repeat(9000))), &*format!("/{}", "a".repeat(9000))),
        (key("*?api_key=reader-secret"), "*"),
    ];
    for (n, (ask, path)) in rows.into_iter().enumerate() {
        let forged = ["x-portcullis-subject", "x_portcullis.rule", "x-auth-email", "script_name"]
            .into_iter()
            .fold(ask.header("x-other", "1"), |ask, name| ask.header(name, "evil"));
        let more = forged.clone().key("wrong-secret").header("cookie", "key=reader-secret; a=1");
        let more = more.header("authorization", "Bearer wrong-secret");
        let mut refused = Vec::new();
        // Refused in the end also for their number.
        for (m, ask) in [(0, &forged); 9].into_iter().chain([(1, &more); 9]) {
            let answer = w.ask(&ask.clone().from(&format!("10.0.{n}.{m}")));
            let Some(reason) = answer.reason else { continue };
            let cookie = if m == 1 { "a=1" } else { "" };
            let left = [":path", "cookie", "x-other"].map(|name| answer.shown(name));
            assert_eq!(left, [path, cookie, "1"], "{reason:?}");
            let shown = format!("{:?} {:?}", answer.shown, answer.record);
            assert!(!shown.contains("secret") && !shown.contains("evil"), "{reason:?} {shown}");
            refused.push(reason);
        }
        assert!(refused.len() >= 12, "{refused:?}");
    }
    // The client is sent where it wanted to go.
    let answer = w.ask(&key("/health?api_key=reader-secret&a").plain());
    assert_eq!(answer.reply("location"), Some("https://api.example/health?api_key=reader-secret&a"));
    // A document that anyone may read is an answer, too.
    let w = World::with(|policy| policy["protectedResource"] = json!({"resource": "https://api.example/"}));
    let answer = w.ask(&key("/.well-known/oauth-protected-resource?api_key=reader-secret").key("x"));
    assert_eq!((answer.reason, answer.reply("content-type")), (None, Some("application/json")));
    assert_eq!(
        [answer.shown(":path"), answer.shown("x-api-key")],
        ["/.well-known/oauth-protected-resource", ""]
    );
}

/// Where the host hands over no request to look at, or there is no policy to look by.
#[test]
fn what_cannot_be_looked_at_loses_what_the_policy_names() {
    let w = World::new();
    let names: Vec<_> =
        w.worker.guarded_names().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    for name in
        ["authorization", "x-api-key", "cookie", "dpop", "x-portcullis-roles", "x-auth-email", "proxy"]
    {
        assert!(names.iter().any(|own| own == name), "{name} in {names:?}");
    }
    for name in ["x-forwarded-for", "content-length", "connection", "host"] {
        assert!(names.iter().all(|own| own != name), "{name} in {names:?}");
    }
    let names: Vec<_> = names_without_policy().collect();
    assert!(names.contains(&&b"authorization"[..]) && names.contains(&&b"x-portcullis-subject"[..]));
}

#[test]
fn what_waits_shows_no_more_than_what_is_forwarded() {
    let w = World::with(|policy| {
        let places =
            json!({"headers": [{"name": "authorization", "valuePrefix": "Bearer "}], "params": ["token"]});
        policy["jwt"]["providers"][2]["extractFrom"] = places;
    });
    let token = w.remote.sign(&claims("https://remote.example"));
    let ask = Ask::get(&format!("/remote?a=1&token={token}")).header("x-portcullis-subject", "evil");
    let mut pending = Pending::new(&ask.header("x-partner-token", "forwarded elsewhere"));
    w.tick();
    assert!(pending.waits(&w) && pending.waits(&w));
    let shown = pending.shown.take().unwrap();
    let path = shown.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.as_str());
    assert_eq!(path, Some("/remote?a=1"));
    assert!(shown.iter().all(|(_, value)| value != "evil"));
    // The provider forwards what it verifies, so this may be needed yet.
    assert!(shown.iter().any(|(name, _)| name == "x-partner-token"));
}

#[test]
fn a_record_says_who_what_and_why() {
    let w = World::new();
    let record = |ask: &Ask| -> Value {
        let answer = w.ask(ask);
        let record = answer.record.unwrap();
        assert_eq!(record.lines().count(), 1);
        serde_json::from_str(&record).unwrap()
    };
    let id = |ask: Ask| ask.header("x-request-id", "id-1");
    assert_eq!(
        record(&id(Ask::get("/keys?a=b").key("reader-secret"))),
        json!({"decision": "allow", "rule": "keys", "method": "GET", "path": "/keys", "principal": "reader",
            "kind": "api-key", "credential": "reader", "address": "192.0.2.1", "requestId": "id-1"})
    );
    assert_eq!(
        record(&id(w.bearer(Ask::get("/own/bob"), |claims| claims["jti"] = "t1".into()))),
        json!({"decision": "deny", "reason": "not_owner", "rule": "own", "method": "GET", "path": "/own/bob",
            "principal": "alice", "kind": "jwt", "authority": "corp", "credential": "t1", "address": "192.0.2.1",
            "requestId": "id-1"})
    );
    assert_eq!(
        record(&w.bearer(Ask::get("/tokens"), |claims| claims["exp"] = 1.into()))["detail"],
        "expired at 61 s"
    );
    // Of a token that was not verified nobody is named.
    assert_eq!(
        record(&w.bearer(Ask::get("/tokens"), |claims| claims["exp"] = 1.into()))["principal"],
        json!(null)
    );
    // Line breaks and quotes of a client stay within the line.
    let hostile =
        w.bearer(Ask::get("/own/bob"), |claims| claims["sub"] = "a\n{\"decision\":\"allow\"}".into());
    assert_eq!(record(&hostile)["decision"], "deny");
    // Allowed requests are recorded only by choice.
    let quiet = World::with(|policy| policy["decisionLog"] = json!({"allowed": false}));
    assert!(quiet.ask(&Ask::get("/health")).record.is_none());
    assert!(quiet.ask(&Ask::get("/nowhere")).record.is_some());
}

#[test]
fn refusals_alike_are_recorded_once_and_then_counted() {
    let w = World::with(|policy| policy["decisionLog"] = json!({"allowed": true}));
    let told = |secs: u64| -> Vec<Value> {
        w.later(secs);
        let told = w.with_services(|services| w.worker.take_repeated(services));
        told.iter().map(|record| serde_json::from_str(record).unwrap()).collect()
    };
    let records = |ask: &Ask, times: usize| {
        (0..times)
            .filter(|n| w.ask(&ask.clone().from(&format!("10.0.1.{}", n % 250))).record.is_some())
            .count()
    };
    assert_eq!(told(0), Vec::<Value>::new());
    assert_eq!(records(&Ask::get("/nowhere"), 500), 1);
    // Another reason, and the same one of another rule, are something else.
    assert_eq!(records(&Ask::get("/closed"), 2), 1);
    assert_eq!(records(&Ask::get("/tokens"), 2), 1);
    assert_eq!(records(&Ask::get("/keys"), 2), 1);
    // What is allowed is not sampled.
    assert_eq!(records(&Ask::get("/health"), 5), 5);
    assert_eq!(told(9), Vec::<Value>::new());
    let mut repeated: Vec<_> = told(1)
        .into_iter()
        .map(|record| {
            (
                record["reason"].clone(),
                record["rule"].clone(),
                record["repeated"].clone(),
                record["path"].clone(),
            )
        })
        .collect();
    repeated.sort_by_key(|record| format!("{record:?}"));
    assert_eq!(
        repeated,
        [
            (json!("credentials_missing"), json!("keys"), json!(1), json!("/keys")),
            (json!("credentials_missing"), json!("tokens"), json!(1), json!("/tokens")),
            (json!("no_rule"), Value::Null, json!(499), json!("/nowhere")),
            (json!("rule_denied"), json!("closed"), json!(1), json!("/closed")),
        ]
    );
    assert_eq!(told(10), Vec::<Value>::new());
    assert_eq!(records(&Ask::get("/nowhere"), 3), 1);
    assert_eq!(w.with_services(|services| w.worker.end_repeated(services)).len(), 1);

    let all = World::new();
    let asked = |n: u32| all.ask(&Ask::get("/nowhere").from(&format!("10.0.2.{n}"))).record;
    assert!((0..200).all(|n| asked(n).is_some()));
}

#[test]
fn whoever_was_verified_is_named_where_it_is_refused() {
    let w = World::with(|policy| {
        let mut asked = introspection("https://idp.example/introspect");
        asked["mode"] = "Always".into();
        policy["jwt"]["providers"][1]["introspection"] = asked;
    });
    let named = |ask: &Ask| {
        let answer = w.ask(&ask.clone().from(&format!("10.0.0.{}", w.now.get() % 200)));
        (answer.reason, answer.recorded("principal"), answer.recorded("kind"))
    };
    let alice = |reason| (Some(reason), json!("alice"), json!("jwt"));
    let nobody = |reason| (Some(reason), json!(null), json!(null));

    for (reason, refused, _) in bindings::rows(&w) {
        let is_token = !matches!(reason, Reason::CertificateUnknown | Reason::CertificateMissing);
        w.later(1);
        // The last one was taken before, and is taken once.
        if reason != Reason::DpopProofReplayed {
            assert_eq!(named(&refused), if is_token { alice(reason) } else { nobody(reason) }, "{refused:?}");
        }
    }
    assert_eq!(named(&w.bearer(Ask::get("/own/bob"), |_| {})), alice(Reason::NotOwner));
    let revoked = w.bearer(Ask::get("/tokens"), |claims| claims["jti"] = "revoked".into());
    assert_eq!(named(&revoked), alice(Reason::TokenRevoked));
    let limited = w.bearer(Ask::get("/limited"), |_| {});
    for _ in 0..3 {
        w.later(1);
        assert_eq!(named(&limited).0, None);
    }
    assert_eq!(named(&limited), alice(Reason::RateLimited));

    // The signature is good, the issuer says no.
    let partner =
        Ask::get("/orders").header("x-partner-token", &w.partner.sign(&claims("https://partner.example")));
    assert_eq!(named(&partner), alice(Reason::TokenInactive));
    assert_eq!(named(&Ask::get("/opaque").token("unknown")), nobody(Reason::TokenInactive));

    // Its time has passed since it was verified; of one that never was, nobody knows whose it is.
    let token = w.bearer(Ask::get("/tokens"), |_| {});
    assert_eq!(named(&token).0, None);
    w.later(661);
    assert_eq!(named(&token), alice(Reason::TokenExpired));
    let expired = w.bearer(Ask::get("/tokens"), |claims| claims["jti"] = "another".into());
    assert_eq!(named(&expired), nobody(Reason::TokenExpired));
}
