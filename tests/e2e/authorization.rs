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
            exact("repository", json!({"claims": [{"claim": "repository", "equals": "octo-org/octo-repo"}]})),
            exact("environment", json!({"claims": [{"claim": "environment", "in": ["staging", 7]}]})),
            exact("for-b", json!({"claims": [{"claim": "groups.all", "contains": "b"}]})),
            exact("for-b-or-c", json!({"claims": [{"claim": "groups.all", "containsAny": ["b", "c"]}]})),
            exact("mail", json!({"claims": [
                {"claim": "email", "matches": ".*@example[.]com"},
                {"claim": "email_verified", "equals": true},
            ]})),
            exact("session", json!({"claims": [{"claim": "sid", "present": true}]})),
            exact("client", json!({"claims": [{"claim": "azp", "equals": "web"}]})),
            exact("claim-or-admin", json!({"anyOf": [
                {"claims": [{"claim": "environment", "equals": "staging"}]},
                {"roles": ["admin"]},
            ]})),
            exact("staff", json!({"roles": ["editor"], "noneOf": [
                {"claims": [{"claim": "employment", "equals": "contractor"}]},
                {"roles": ["guest"]},
                {"roles": ["manager"], "scopes": ["orders.write"]},
            ]})),
            exact("local", json!({"remoteAddress": ["127.0.0.0/8", "::1"]})),
            exact("not-local", json!({"noneOf": [{"remoteAddress": ["127.0.0.0/8", "::1"]}]})),
            rule("local-anyone", "Exact", "/local-anyone", json!({
                "authenticate": {"anonymous": true},
                "authorize": {"remoteAddress": ["127.0.0.1"]},
            })),
            rule("remote-anyone", "Exact", "/remote-anyone", json!({
                "authenticate": {"anonymous": true},
                "authorize": {"remoteAddress": ["10.0.0.0/8"]},
            })),
        ],
        "defaultAction": "Deny",
    })
}

const SCOPE: (u16, &str) = (403, "insufficient_scope");
const ROLE: (u16, &str) = (403, "insufficient_role");
const PERMISSION: (u16, &str) = (403, "insufficient_permission");
const OWNER: (u16, &str) = (403, "not_owner");
const CLAIMS: (u16, &str) = (403, "insufficient_claims");
const EXCLUDED: (u16, &str) = (403, "principal_excluded");
const ADDRESS: (u16, &str) = (403, "address_not_allowed");

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
    rows.extend(claims());
    rows.extend(exclusions());
    rows.extend(addresses());
    rows
}

fn claims() -> Vec<Pair> {
    let repository = |value| claim("/repository", "repository", value);
    let environment = |value| claim("/environment", "environment", value);
    let groups = |path: &str, value: Value| claim(path, "groups", json!({"all": value}));
    let mail = |address: &str, verified: Value| {
        let token = token("alice").claim("email", address).claim("email_verified", verified);
        get("/mail").bearer(&token.sign())
    };
    let octo = || repository(json!("octo-org/octo-repo"));
    vec![
        pair("a value", octo(), repository(json!("octo-org/octo-repo2")), CLAIMS),
        pair("no value", octo(), roles("/repository", &["octo-org/octo-repo"]), CLAIMS),
        pair(
            "another claim's value",
            octo(),
            claim("/repository", "environment", json!("octo-org/octo-repo")),
            CLAIMS,
        ),
        pair("a list of one", octo(), repository(json!(["octo-org/octo-repo"])), CLAIMS),
        pair("another case", octo(), repository(json!("Octo-Org/octo-repo")), CLAIMS),
        pair("one of two", environment(json!("staging")), environment(json!("production")), CLAIMS),
        pair("a number of two", environment(json!(7)), environment(json!("7")), CLAIMS),
        pair("a fraction", environment(json!(7)), environment(json!(7.5)), CLAIMS),
        pair("a member", groups("/for-b", json!(["a", "b"])), groups("/for-b", json!(["a", "bb"])), CLAIMS),
        pair("a member alone", groups("/for-b", json!("b")), groups("/for-b", json!("a b")), CLAIMS),
        pair(
            "one member of two",
            groups("/for-b-or-c", json!(["c"])),
            groups("/for-b-or-c", json!(["a"])),
            CLAIMS,
        ),
        pair(
            "no list",
            groups("/for-b-or-c", json!(["b"])),
            groups("/for-b-or-c", json!({"b": true})),
            CLAIMS,
        ),
        pair(
            "an expression",
            mail("a@example.com", json!(true)),
            mail("a@example.com.evil", json!(true)),
            CLAIMS,
        ),
        pair("a boolean", mail("a@example.com", json!(true)), mail("a@example.com", json!(false)), CLAIMS),
        pair(
            "a boolean as text",
            mail("a@example.com", json!(true)),
            mail("a@example.com", json!("true")),
            CLAIMS,
        ),
        pair("there", claim("/session", "sid", json!("")), claim("/session", "sid", Value::Null), CLAIMS),
        pair(
            "a client",
            claim("/client", "azp", json!("web")),
            claim("/client", "client_id", json!("web")),
            CLAIMS,
        ),
        pair(
            "a claim or a role",
            claim("/claim-or-admin", "environment", json!("staging")),
            claim("/claim-or-admin", "environment", json!("production")),
            CLAIMS,
        ),
        pair(
            "a role or a claim",
            roles("/claim-or-admin", &["admin"]),
            roles("/claim-or-admin", &["viewer"]),
            CLAIMS,
        ),
    ]
}

fn exclusions() -> Vec<Pair> {
    let editor = || token("alice").roles(&["editor"]);
    let employed = |value: Value| get("/staff").bearer(&editor().claim("employment", value).sign());
    let good = || employed(json!("permanent"));
    let manager = |scope: &str| get("/staff").bearer(&token("alice").roles(&["manager"]).scope(scope).sign());
    vec![
        pair("a value", good(), employed(json!("contractor")), EXCLUDED),
        pair("absent", get("/staff").bearer(&editor().sign()), employed(json!("contractor")), EXCLUDED),
        pair("a list that may mean it", good(), employed(json!(["contractor"])), EXCLUDED),
        pair("a role", good(), roles("/staff", &["editor", "guest"]), EXCLUDED),
        pair("two together", manager("orders.read"), manager("orders.write"), EXCLUDED),
        pair("what is asked comes first", good(), roles("/staff", &["guest"]), ROLE),
    ]
}

/// The client is this machine.
fn addresses() -> Vec<Pair> {
    let alice = |path: &str| get(path).bearer(&token("alice").sign());
    vec![
        pair("within", alice("/local"), alice("/not-local"), ADDRESS),
        pair("within, for anyone", get("/local-anyone"), get("/remote-anyone"), ADDRESS),
        pair(
            "an address that the client makes up",
            get("/local-anyone").header("x-forwarded-for", "10.0.0.1"),
            get("/remote-anyone").header("x-forwarded-for", "10.0.0.1"),
            ADDRESS,
        ),
        pair("a token, too", alice("/local"), get("/local"), (401, "credentials_missing")),
    ]
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
