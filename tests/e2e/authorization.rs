//! Who may do what: roles and what they inherit, permissions with wildcards, scopes, ownership.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{provider, rule, with_token_and},
    request::{Request, get, request},
    table::{Pair, hold, pair},
};

pub(crate) fn policy() -> Value {
    let exact =
        |name: &str, authorize: Value| rule(name, "Exact", &format!("/{name}"), with_token_and(authorize));
    json!({
        "jwt": {"providers": [provider()]},
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
            {"name": "manager", "inherits": ["editor"], "permissions": ["invoices:*"]},
            {"name": "admin", "permissions": ["*"]},
            {"name": "guest", "permissions": ["public:read"]},
        ],
        "rules": [
            exact("role", json!({"roles": ["editor"]})),
            exact("any-role", json!({"roles": {"anyOf": ["editor", "guest"]}})),
            exact("all-roles", json!({"roles": ["editor", "guest"]})),
            exact("read", json!({"permissions": ["orders:read"]})),
            exact("write", json!({"permissions": ["orders:write"]})),
            exact("both", json!({"permissions": ["orders:read", "public:read"]})),
            exact("invoice", json!({"permissions": ["invoices:pay"]})),
            exact("scope", json!({"scopes": ["orders.read"]})),
            exact("scopes", json!({"scopes": ["orders.read", "orders.write"]})),
            exact("any-scope", json!({"scopes": {"anyOf": ["orders.read", "orders.write"]}})),
            exact("scope-and-role", json!({"scopes": ["orders.read"], "roles": ["viewer"]})),
            exact("either", json!({"anyOf": [{"scopes": ["orders.read"]}, {"roles": ["admin"]}]})),
            rule("owner", "PathTemplate", "/users/{user}", with_token_and(json!({"owner": {"pathVariable": "user"}}))),
            rule("tenant", "PathTemplate", "/tenants/{tenant}/{rest=**}", with_token_and(
                json!({"owner": {"pathVariable": "tenant", "claim": "org.tenant"}}),
            )),
            rule("owner-or-admin", "PathTemplate", "/files/{user}/{name}", with_token_and(
                json!({"anyOf": [{"owner": {"pathVariable": "user", "claim": "sub"}}, {"roles": ["admin"]}]}),
            )),
        ],
        "defaultAction": "Deny",
    })
}

const SCOPE: (u16, &str) = (403, "insufficient_scope");
const ROLE: (u16, &str) = (403, "insufficient_role");
const PERMISSION: (u16, &str) = (403, "insufficient_permission");
const OWNER: (u16, &str) = (403, "not_owner");

fn roles(path: &str, roles: &[&str]) -> Request {
    get(path).bearer(&token("alice").roles(roles).sign())
}

fn scope(path: &str, scope: &str) -> Request {
    get(path).bearer(&token("alice").scope(scope).sign())
}

fn claim(path: &str, name: &str, value: Value) -> Request {
    get(path).bearer(&token("alice").claim(name, value).sign())
}

fn subject(path: &str, subject: &str) -> Request {
    get(path).bearer(&token(subject).sign())
}

pub(crate) fn table() -> Vec<Pair> {
    let mut rows = roles_and_permissions();
    rows.extend(scopes());
    rows.extend(ownership());
    rows
}

fn roles_and_permissions() -> Vec<Pair> {
    vec![
        pair("a role", roles("/role", &["editor"]), roles("/role", &["viewer"]), ROLE),
        pair("no roles", roles("/role", &["editor"]), roles("/role", &[]), ROLE),
        pair("a role in another case", roles("/role", &["editor"]), roles("/role", &["Editor"]), ROLE),
        pair("a role nobody defined", roles("/role", &["x", "editor"]), roles("/role", &["x"]), ROLE),
        pair(
            "roles as text",
            claim("/role", "roles", json!("editor")),
            claim("/role", "roles", json!("viewer")),
            ROLE,
        ),
        pair(
            "roles as something else",
            roles("/role", &["editor"]),
            claim("/role", "roles", json!({"editor": true})),
            (401, "token_claims"),
        ),
        pair(
            "roles in another claim",
            roles("/role", &["editor"]),
            claim("/role", "groups", json!(["editor"])),
            ROLE,
        ),
        pair("any of two roles", roles("/any-role", &["guest"]), roles("/any-role", &["viewer"]), ROLE),
        pair(
            "all of two roles",
            roles("/all-roles", &["guest", "editor"]),
            roles("/all-roles", &["guest"]),
            ROLE,
        ),
        pair("a permission", roles("/read", &["viewer"]), roles("/read", &["guest"]), PERMISSION),
        pair(
            "an inherited permission",
            roles("/read", &["editor"]),
            roles("/write", &["viewer"]),
            PERMISSION,
        ),
        pair("twice inherited", roles("/read", &["manager"]), roles("/invoice", &["editor"]), PERMISSION),
        pair("a wildcard", roles("/invoice", &["manager"]), roles("/both", &["manager"]), PERMISSION),
        pair("the wildcard of all", roles("/invoice", &["admin"]), roles("/invoice", &["guest"]), PERMISSION),
        pair(
            "two permissions of two roles",
            roles("/both", &["viewer", "guest"]),
            roles("/both", &["viewer"]),
            PERMISSION,
        ),
        pair(
            "a permission is no role",
            roles("/read", &["viewer"]),
            roles("/read", &["orders:read"]),
            PERMISSION,
        ),
        pair(
            "a scope is no permission",
            roles("/read", &["viewer"]),
            scope("/read", "orders:read"),
            PERMISSION,
        ),
    ]
}

fn scopes() -> Vec<Pair> {
    vec![
        pair("a scope", scope("/scope", "orders.read"), scope("/scope", "orders.write"), SCOPE),
        pair(
            "one scope of many",
            scope("/scope", "a orders.read b"),
            scope("/scope", "a orders.reads b"),
            SCOPE,
        ),
        pair("no scope", scope("/scope", "orders.read"), subject("/scope", "alice"), SCOPE),
        pair(
            "a scope in another case",
            scope("/scope", "orders.read"),
            scope("/scope", "Orders.read"),
            SCOPE,
        ),
        pair(
            "scopes as a list",
            claim("/scope", "scope", json!(["x", "orders.read"])),
            claim("/scope", "scope", json!(["x"])),
            SCOPE,
        ),
        pair(
            "scp",
            claim("/scope", "scp", json!("orders.read")),
            claim("/scope", "scp", json!("orders")),
            SCOPE,
        ),
        pair(
            "scp as a list",
            claim("/scope", "scp", json!(["orders.read"])),
            claim("/scope", "scopes", json!(["orders.read"])),
            SCOPE,
        ),
        pair(
            "all of two scopes",
            scope("/scopes", "orders.write orders.read"),
            scope("/scopes", "orders.write"),
            SCOPE,
        ),
        pair("any of two scopes", scope("/any-scope", "orders.write"), scope("/any-scope", "orders"), SCOPE),
        pair(
            "a scope and a role",
            get("/scope-and-role").bearer(&token("alice").scope("orders.read").roles(&["viewer"]).sign()),
            get("/scope-and-role").bearer(&token("alice").scope("orders.read").roles(&["guest"]).sign()),
            ROLE,
        ),
        pair("the second alternative", roles("/either", &["admin"]), roles("/either", &["manager"]), SCOPE),
        pair("the first alternative", scope("/either", "orders.read"), scope("/either", "orders"), SCOPE),
    ]
}

fn ownership() -> Vec<Pair> {
    let tenant = |path: &str, tenant: Value| claim(path, "org", json!({"tenant": tenant}));
    vec![
        pair("one's own", subject("/users/alice", "alice"), subject("/users/bob", "alice"), OWNER),
        pair("another case", subject("/users/Alice", "Alice"), subject("/users/Alice", "alice"), OWNER),
        pair("a longer name", subject("/users/alice", "alice"), subject("/users/alice2", "alice"), OWNER),
        pair("a shorter name", subject("/users/alic", "alic"), subject("/users/alic", "alice"), OWNER),
        pair(
            "an escaped letter",
            subject("/users/%61lice", "alice"),
            subject("/users/%62ob", "alice"),
            OWNER,
        )
        .path("/users/alice"),
        pair(
            "a nested claim",
            tenant("/tenants/t1/a/b", json!("t1")),
            tenant("/tenants/t2/a/b", json!("t1")),
            OWNER,
        ),
        pair("a number", tenant("/tenants/1/a", json!(1)), tenant("/tenants/01/a", json!(1)), OWNER),
        pair(
            "a claim of another type",
            tenant("/tenants/1/a", json!("1")),
            tenant("/tenants/1/a", json!(1.0)),
            OWNER,
        ),
        pair(
            "one tenant of several",
            tenant("/tenants/t1/a", json!(["t0", "t1"])),
            tenant("/tenants/t1/a", json!(["t0", "t10"])),
            OWNER,
        ),
        pair(
            "one number of several",
            tenant("/tenants/7/a", json!([1, 7])),
            tenant("/tenants/7/a", json!([1, [7]])),
            OWNER,
        ),
        pair("no such claim", tenant("/tenants/t1/a", json!("t1")), subject("/tenants/t1/a", "t1"), OWNER),
        pair(
            "owner or admin: the owner",
            subject("/files/alice/x", "alice"),
            subject("/files/bob/x", "alice"),
            OWNER,
        ),
        pair(
            "owner or admin: the admin",
            roles("/files/bob/x", &["admin"]),
            roles("/files/bob/x", &["manager"]),
            OWNER,
        ),
        pair(
            "every method",
            request("DELETE", "/users/alice").bearer(&token("alice").sign()),
            request("DELETE", "/users/bob").bearer(&token("alice").sign()),
            OWNER,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn requirements_hold_as_tabled() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_scope_is_named() {
    let gateway = gateway(&policy()).start().await;
    let answer = gateway.send(&scope("/scopes", "orders.read")).await;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("error=\"insufficient_scope\""), "{answer:?}");
    assert!(challenge.contains("scope=\"orders.read orders.write\""), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_yet_is_told_what_scopes_it_needs() {
    let gateway = gateway(&policy()).start().await;
    for (path, scope) in [
        ("/scopes", ", scope=\"orders.read orders.write\""),
        ("/any-scope", ", scope=\"orders.read\""),
        ("/either", ", scope=\"orders.read\""),
        ("/role", ""),
    ] {
        for _ in 0..2 {
            let answer = gateway.send(&get(path)).await;
            let expected = format!("Bearer realm=\"portcullis\"{scope}");
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, Some(&*expected)),
                "{answer:?}"
            );
        }
    }
}
