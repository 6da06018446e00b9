//! What rules keep of paths although others may read it in another way: matched, and seen by the upstream, byte for byte
//! as it was sent.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, merge, provider, rule, with_token, with_token_and},
    request::{Request, get},
    table::{Pair, hold, pair},
};

const MISSING: (u16, &str) = (401, "credentials_missing");
const AMBIGUOUS: (u16, &str) = (400, "ambiguous_path");

fn in_any_case(mut rule: Value) -> Value {
    rule["matches"][0]["path"]["caseSensitive"] = json!(false);
    rule
}

fn keeping(fields: Value, mut members: Value) -> Value {
    merge(&mut members, fields);
    members
}

pub(crate) fn policy() -> Value {
    let slashes = || json!({"encodedSlash": "Keep"});
    let parameters = || json!({"matrixParameters": "Keep"});
    let own = with_token_and(json!({"owner": {"pathVariable": "user"}}));
    json!({
        "jwt": {"providers": [provider()]},
        "rules": [
            rule("hidden", "Exact", "/projects/hidden%2Fproject", json!({"action": "Deny", "encodedSlash": "Keep"})),
            rule("hooks", "PathTemplate", "/projects/{id}/hooks", with_token()),
            rule("projects", "PathTemplate", "/projects/{id}", keeping(slashes(), anyone())),
            rule("closed", "PathPrefix", "/cars/closed", with_token()),
            rule("cars", "PathPrefix", "/cars", keeping(parameters(), anyone())),
            in_any_case(rule("own", "PathTemplate", "/users/{user}/{rest=**}", keeping(slashes(), own))),
            in_any_case(rule("staff", "PathPrefix", "/staff", with_token())),
            in_any_case(rule("site", "PathTemplate", "/site/{page}", anyone())),
            in_any_case(rule("about", "Exact", "/About", anyone())),
            rule("plain", "PathPrefix", "/plain", anyone()),
        ],
        "defaultAction": "Deny",
    })
}

pub(crate) fn table() -> Vec<Pair> {
    let of = |sub: &str, path: &str| -> Request { get(path).bearer(&token(sub).sign()) };
    vec![
        pair(
            "one encoded slash",
            get("/projects/group%2Fproject"),
            get("/projects/group%2F..%2Fproject"),
            AMBIGUOUS,
        )
        .path("/projects/group%2Fproject"),
        pair(
            "two, and a query",
            get("/projects/a%2Fb%2Fc?x=%2f"),
            get("/projects/a%2F%2Fc?x=%2f"),
            AMBIGUOUS,
        )
        .path("/projects/a%2Fb%2Fc?x=%2f"),
        pair("in small letters", get("/projects/a%2fb"), get("/projects/a%5cb"), AMBIGUOUS)
            .path("/projects/a%2Fb"),
        pair("a path of another rule", get("/projects/1%2Fhook"), get("/projects/1%2Fhooks"), AMBIGUOUS)
            .path("/projects/1%2Fhook"),
        pair("encoded twice", get("/projects/a%252Fb"), get("/projects/a/b"), (403, "no_rule"))
            .path("/projects/a%252Fb"),
        pair(
            "a project of that name",
            get("/projects/hidden%2Fprojects"),
            get("/projects/hidden%2Fproject"),
            (403, "rule_denied"),
        )
        .path("/projects/hidden%2Fprojects"),
        pair(
            "an owner",
            of("group/alice", "/users/group%2Falice/x"),
            of("group", "/users/group%2Falice/x"),
            (403, "not_owner"),
        )
        .path("/users/group%2Falice/x"),
        pair("parameters", get("/cars/audi;color=red/7"), get("/cars/;color=red/7"), AMBIGUOUS)
            .path("/cars/audi;color=red/7"),
        pair("parameters at the end", get("/cars/audi;a;b=1,2"), get("/cars/;a;b=1,2"), AMBIGUOUS)
            .path("/cars/audi;a;b=1,2"),
        pair("parameters of another rule", get("/cars/close;d"), get("/cars/closed;d"), AMBIGUOUS)
            .path("/cars/close;d"),
        pair("a slash in a parameter", get("/cars/audi;d=%25"), get("/cars/audi;d=%2F"), AMBIGUOUS)
            .path("/cars/audi;d=%25"),
        pair("another case", get("/SITE/Home"), get("/STAFF/Home"), MISSING).path("/SITE/Home"),
        pair("an escaped letter", get("/%41bouT"), get("/%53tafF"), MISSING).path("/AbouT"),
        pair("a segment more", get("/sIte/x"), get("/sIte/x/y"), (403, "no_rule")).path("/sIte/x"),
        pair("where case counts", get("/plain/X"), get("/Plain/X"), (403, "no_rule")).path("/plain/X"),
        pair(
            "the case of a variable",
            of("Alice", "/USERS/Alice/x"),
            of("alice", "/USERS/Alice/x"),
            (403, "not_owner"),
        )
        .path("/USERS/Alice/x"),
        pair("an escaped semicolon", get("/cars/audi%3Bd"), get("/projects/audi;d"), AMBIGUOUS)
            .path("/cars/audi%3Bd"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_keep_goes_on_as_sent() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
    // With `normalize_path` Envoy resolves these before any filter sees them.
    let left_to_the_filter = [
        pair("dots with parameters", get("/cars/a;b/7"), get("/cars/..;b/7"), AMBIGUOUS).path("/cars/a;b/7"),
        pair("over parameters", get("/cars/a;b/./7"), get("/cars/a;b/../7"), AMBIGUOUS).path("/cars/a;b/7"),
    ];
    hold(&gateway, &[Wire::Http1, Wire::Http2], &left_to_the_filter).await;
}

/// `normalize_path` and `merge_slashes` leave both alone; `path_with_escaped_slashes_action` says what becomes of `%2F`
/// before any filter sees it.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_hands_over_what_it_is_told_to_keep() {
    let kept = gateway(&policy()).normalized_by_envoy().escaped_slashes("KEEP_UNCHANGED").start().await;
    hold(&kept, &[Wire::Http1, Wire::Http2], &table()).await;
    let refusing = gateway(&policy()).normalized_by_envoy().escaped_slashes("REJECT_REQUEST").start().await;
    let opening =
        gateway(&policy()).normalized_by_envoy().escaped_slashes("UNESCAPE_AND_FORWARD").start().await;
    let before = get("/projects/a%2Fb");
    let by_envoy = [pair("none", get("/projects/ab"), before.clone(), (400, "")).by_envoy()];
    hold(&refusing, &[Wire::Http1, Wire::Http2], &by_envoy).await;
    let opened = [pair("a slash", get("/projects/ab"), before, (403, "no_rule"))];
    hold(&opening, &[Wire::Http1, Wire::Http2], &opened).await;
}

/// What is told when the policy is loaded is what becomes of such a request.
#[tokio::test(flavor = "multi_thread")]
async fn another_case_is_another_path_and_the_operator_is_told() {
    let admin = rule("admin", "PathPrefix", "/admin", with_token());
    let policy = |admin: Value| {
        let rules = [admin, rule("site", "PathPrefix", "/", anyone())];
        json!({"jwt": {"providers": [provider()]}, "rules": rules})
    };
    let told = r#"policy: rules[0].matches: rule "site" takes "/ADMIN""#;
    let open = gateway(&policy(admin.clone())).start().await;
    let of_site = [
        pair("another case", get("/ADMIN"), get("/admin"), MISSING).path("/ADMIN"),
        pair("below it", get("/Admin/x"), get("/admin/x"), MISSING).path("/Admin/x"),
        pair("an escaped letter", get("/%41dmin"), get("/%61dmin"), MISSING).path("/Admin"),
    ];
    hold(&open, &[Wire::Http1, Wire::Http2], &of_site).await;
    assert!(open.log().contains(told), "{}", open.log());
    let closed = gateway(&policy(in_any_case(admin))).start().await;
    let of_nobody = [
        pair("another case", get("/ADMINS"), get("/ADMIN"), MISSING).path("/ADMINS"),
        pair("below it", get("/site/Admin"), get("/Admin/x"), MISSING).path("/site/Admin"),
        pair("an escaped letter", get("/%41dmins"), get("/%41dmin"), MISSING).path("/Admins"),
    ];
    hold(&closed, &[Wire::Http1, Wire::Http2], &of_nobody).await;
    assert!(!closed.log().contains("ignores case"), "{}", closed.log());
}
