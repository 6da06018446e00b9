//! The demo's rules as a table.

use std::path::Path;

use super::{api_key, token};
use crate::harness::{
    request::{get, post, request},
    table::{Pair, pair},
};

/// The demo's rules, as its documentation has them. Principals differ between rows, so that no row uses up the
/// requests of another.
pub(crate) fn table(dir: &Path) -> Vec<Pair> {
    let mut rows = orders(dir);
    rows.extend(roles_and_owners(dir));
    rows.extend(credentials(dir));
    rows
}

const MISSING: (u16, &str) = (401, "credentials_missing");
const NO_RULE: (u16, &str) = (403, "no_rule");
const PERMISSION: (u16, &str) = (403, "insufficient_permission");
const ROLE: (u16, &str) = (403, "insufficient_role");
const INVALID_KEY: (u16, &str) = (401, "api_key_invalid");

fn orders(dir: &Path) -> Vec<Pair> {
    let jwt = |subject: &str, role: &str| token(dir, &[("SUB", subject), ("ROLES", role)]);
    let (viewer, editor, admin) = (jwt("vera", "viewer"), jwt("eddie", "editor"), jwt("ada", "admin"));
    let plain = token(dir, &[("SUB", "paul"), ("SCOPE", "orders:read")]);
    let [reader, writer, operator] = ["reader", "writer", "operator"].map(|name| api_key(dir, name));
    let put = |path| request("PUT", path).body("{}");
    let patch = |path| request("PATCH", path).body("{}");
    vec![
        pair("health", get("/health"), post("/health"), NO_RULE),
        pair("health, and nothing near it", get("/health"), get("/healthz"), NO_RULE),
        pair("health is for GET", get("/health"), request("HEAD", "/health"), NO_RULE),
        pair("read all", get("/orders").bearer(&viewer), get("/orders"), MISSING)
            .sees("x-portcullis-subject", "vera")
            .sees("x-portcullis-rule", "read-orders"),
        pair("read one", get("/orders/7").bearer(&viewer), get("/orders/7/items").bearer(&viewer), NO_RULE),
        pair("HEAD all", request("HEAD", "/orders").bearer(&viewer), request("HEAD", "/orders"), MISSING),
        pair(
            "HEAD one",
            request("HEAD", "/orders/7").bearer(&viewer),
            request("HEAD", "/orders/7").bearer(&plain),
            PERMISSION,
        ),
        pair(
            "a scope is no permission",
            get("/orders").bearer(&editor),
            get("/orders").bearer(&plain),
            PERMISSION,
        ),
        pair(
            "read with a key",
            get("/orders").api_key(&reader),
            get("/orders").api_key("pk_demo_x"),
            INVALID_KEY,
        )
        .lacks("x-api-key"),
        pair(
            "read with an expired key",
            get("/orders/7").api_key(&reader),
            get("/orders/7").api_key(&api_key(dir, "expired")),
            (401, "api_key_expired"),
        ),
        pair(
            "read with a disabled key",
            get("/orders/7").api_key(&operator),
            get("/orders/7").api_key(&api_key(dir, "disabled")),
            INVALID_KEY,
        ),
        pair("create", post("/orders").bearer(&editor), post("/orders").bearer(&viewer), PERMISSION),
        pair(
            "create with a key",
            post("/orders").api_key(&writer),
            post("/orders").api_key(&reader),
            PERMISSION,
        ),
        pair("create as admin", post("/orders").bearer(&admin), post("/orders"), MISSING),
        pair("create, not one", post("/orders").bearer(&editor), post("/orders/7").bearer(&editor), NO_RULE),
        pair("replace", put("/orders/7").bearer(&editor), put("/orders/7").bearer(&viewer), PERMISSION),
        pair(
            "replace, not all",
            put("/orders/7").api_key(&operator),
            put("/orders").api_key(&operator),
            NO_RULE,
        ),
        pair("change", patch("/orders/7").api_key(&writer), patch("/orders/7").api_key(&reader), PERMISSION),
        pair(
            "delete",
            request("DELETE", "/orders/7").bearer(&admin),
            request("DELETE", "/orders/7").bearer(&editor),
            ROLE,
        ),
        pair(
            "delete takes a token",
            request("DELETE", "/orders/8").bearer(&admin),
            request("DELETE", "/orders/8").api_key(&operator),
            MISSING,
        ),
        pair(
            "delete one",
            request("DELETE", "/orders/7").bearer(&admin),
            request("DELETE", "/orders").bearer(&admin),
            NO_RULE,
        ),
    ]
}

fn roles_and_owners(dir: &Path) -> Vec<Pair> {
    let alice = token(dir, &[("SUB", "alice")]);
    let editor = token(dir, &[("SUB", "eve"), ("ROLES", "editor")]);
    let admin = token(dir, &[("SUB", "root"), ("ROLES", "admin")]);
    let both = token(dir, &[("SUB", "ben"), ("ROLES", "viewer,admin")]);
    let scoped = token(dir, &[("SUB", "sam"), ("SCOPE", "reports:read")]);
    let [reader, writer, operator] = ["reader", "writer", "operator"].map(|name| api_key(dir, name));
    vec![
        pair(
            "own profile",
            get("/users/alice/profile").bearer(&alice),
            get("/users/bob/profile").bearer(&alice),
            (403, "not_owner"),
        ),
        pair(
            "anyone's profile as admin",
            get("/users/bob/profile").bearer(&admin),
            get("/users/bob/profile").bearer(&editor),
            (403, "not_owner"),
        ),
        pair(
            "own profile takes a token",
            get("/users/alice/profile").bearer(&alice),
            get("/users/reader/profile").api_key(&reader),
            MISSING,
        ),
        pair(
            "own profile only to read",
            get("/users/alice/profile").bearer(&alice),
            post("/users/alice/profile").bearer(&alice),
            NO_RULE,
        ),
        pair(
            "reports",
            get("/reports/march").api_key(&reader),
            get("/reports/march").api_key(&writer),
            (403, "insufficient_scope"),
        ),
        pair(
            "reports take that scope and no level",
            get("/reports/march").api_key(&reader),
            get("/reports/march").api_key(&operator),
            (403, "insufficient_scope"),
        ),
        pair(
            "reports take a key",
            get("/reports/march").api_key(&reader),
            get("/reports/march").bearer(&scoped),
            MISSING,
        ),
        pair(
            "reports by name",
            get("/reports/march").api_key(&reader),
            get("/reports").api_key(&reader),
            NO_RULE,
        ),
        pair("the admin area", get("/admin").bearer(&admin), get("/admin").bearer(&editor), ROLE),
        pair("below the admin area", post("/admin/users/7").bearer(&admin), post("/admin/users/7"), MISSING),
        pair(
            "not beside it",
            request("DELETE", "/admin/x").bearer(&both),
            get("/administrator").bearer(&both),
            NO_RULE,
        ),
        pair(
            "the admin area takes a token",
            get("/admin").bearer(&both),
            get("/admin").api_key(&operator),
            MISSING,
        ),
        pair(
            "the admin area by a detour",
            get("/health/../admin").bearer(&admin),
            get("/health/../admin"),
            MISSING,
        )
        .path("/admin"),
        pair("everything else", get("/health"), get("/").bearer(&admin), NO_RULE),
    ]
}

fn credentials(dir: &Path) -> Vec<Pair> {
    let jwt = |variables: &[(&str, &str)]| {
        let mut all = vec![("SUB", "carol"), ("ROLES", "viewer")];
        all.extend(variables);
        get("/orders").bearer(&token(dir, &all))
    };
    let mut broken = token(dir, &[("SUB", "carol"), ("ROLES", "viewer")]);
    let at = broken.len() - 20;
    let replacement = if broken.as_bytes()[at] == b'A' { "B" } else { "A" };
    broken.replace_range(at..=at, replacement);
    vec![
        pair("expiry", jwt(&[("EXP", "60")]), jwt(&[("EXP", "-60")]), (401, "token_expired")),
        pair("just expired", jwt(&[]), jwt(&[("EXP", "-1")]), (401, "token_expired")),
        pair(
            "audience",
            jwt(&[("AUD", "https://api.example/orders")]),
            jwt(&[("AUD", "https://api.example")]),
            (401, "token_audience"),
        ),
        pair(
            "issuer",
            jwt(&[("ISS", "https://issuer.example")]),
            jwt(&[("ISS", "https://issuer.example.test")]),
            (401, "token_issuer"),
        ),
        pair("RS256", jwt(&[("ALG", "RS256")]), get("/orders").bearer(&broken), (401, "token_signature")),
        pair("EdDSA", jwt(&[("ALG", "EdDSA")]), get("/orders").bearer("x"), (401, "token_malformed")),
        pair(
            "ES256",
            jwt(&[("ALG", "ES256")]),
            get("/orders").header("authorization", "Basic eDp5"),
            MISSING,
        ),
        pair(
            "a smuggled identity",
            jwt(&[]).header("X-Portcullis-Roles", "admin"),
            get("/admin").header("X.Portcullis.Roles", "admin"),
            MISSING,
        )
        .sees("x-portcullis-roles", "viewer"),
    ]
}
