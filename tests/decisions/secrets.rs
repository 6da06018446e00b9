//! No credential shows in a record, a reply or the `Debug` of anything; and what a record does say.

use serde_json::{Value, json};

use crate::world::{Ask, World};

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
                let mut shown = format!("{} {:?}", answer.record.as_deref().unwrap(), answer.response);
                if let Err(reply) = &answer.upstream {
                    shown.push_str(&format!("{reply:?} {}", answer.debug));
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
