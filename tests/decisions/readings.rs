//! Paths that hold encoded slashes or matrix parameters: only rules that keep them decide, and nobody who reads such a
//! path in another way is led to what another rule decides.

use portcullis::answer::Reason::{
    self, AmbiguousPath, CredentialsMissing, DpopProofInvalid, NoRule, NotOwner, RateLimited, RuleDenied,
};
use serde_json::{Value, json};

use crate::world::{Ask, Issuer, World, changed, claims};

pub(crate) fn rule(name: &str, path_type: &str, path: &str, more: Value) -> Value {
    let mut rule = json!({"name": name, "matches": [{"path": {"type": path_type, "value": path}}]});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

fn world(rules: Value) -> World {
    World::with(|policy| {
        policy["rules"] = rules;
        policy["rateLimits"] = json!([
            {"name": "each", "key": [{"pathVariable": "user"}], "limits": [{"requests": 2, "unit": "Minute"}]},
        ]);
    })
}

pub(crate) fn anyone(mut keeping: Value) -> Value {
    keeping["authenticate"] = json!({"anonymous": true});
    keeping
}

fn users(mut keeping: Value) -> Value {
    keeping["authenticate"] = json!({"anyOf": [{"jwt": "corp"}]});
    keeping
}

/// Targets, why each is refused, and what the upstream sees of those that pass where that is not what was sent.
type Rows<'a> = &'a [(&'a str, Option<Reason>, &'a str)];

fn hold(world: &World, rows: Rows<'_>) {
    for (target, reason, seen) in rows {
        let answer = world.ask(&Ask::get(target));
        assert_eq!(answer.reason, *reason, "{target}");
        if reason.is_none() {
            assert_eq!(answer.upstream(":path"), *if seen.is_empty() { target } else { seen }, "{target}");
        }
    }
}

#[test]
fn an_encoded_slash_is_part_of_its_segment_where_the_rule_keeps_it() {
    let keep = || json!({"encodedSlash": "Keep"});
    let world = world(json!([
        rule(
            "hidden",
            "Exact",
            "/projects/hidden%2Fproject",
            json!({"action": "Deny", "encodedSlash": "Keep"})
        ),
        rule(
            "secret",
            "PathTemplate",
            "/projects/{id}/secret",
            json!({"action": "Deny", "encodedSlash": "Keep"})
        ),
        rule("admin", "PathTemplate", "/projects/{id}/admin", users(json!({}))),
        rule("variables", "PathTemplate", "/projects/{id}/variables", users(keep())),
        rule("projects", "PathTemplate", "/projects/{id}", anyone(keep())),
        rule("members", "PathTemplate", "/projects/{id}/members/{user}", anyone(keep())),
        rule("plain", "PathTemplate", "/plain/{id}", anyone(json!({}))),
        rule("files", "PathPrefix", "/files", anyone(keep())),
        rule("raw", "RegularExpression", "/raw/[a-z]+%2F[a-z]+", anyone(keep())),
        rule("any", "RegularExpression", "/any/[^/]+", anyone(keep())),
    ]));
    let refused = Some(AmbiguousPath);
    hold(
        &world,
        &[
            ("/projects/group%2Fproject", None, ""),
            ("/projects/group%2fproject", None, "/projects/group%2Fproject"),
            ("/projects/a%2Fb%2Fc?d=%2f;e", None, ""),
            ("/projects//a%2Fb", None, "/projects/a%2Fb"),
            ("/projects/group%252Fproject", None, ""),
            ("/projects/group/project", Some(NoRule), ""),
            ("/projects%2Fgroup", Some(NoRule), ""),
            ("/projects/a%2F..%2Fb", refused, ""),
            ("/projects/a%2F%2Fb", refused, ""),
            ("/projects/%2F..", refused, ""),
            ("/projects/..%2f", refused, ""),
            ("/projects/a%2Fb%5Cc", refused, ""),
            ("/projects/a%2Fb%00", refused, ""),
            ("/projects/a%2Fb;c", refused, ""),
            // To whom reads it as a slash it is a path of another rule, which keeps none, or denies.
            ("/projects/1%2Fadmin", refused, ""),
            ("/projects/1%2Fsecret", refused, ""),
            ("/projects/1%2fsecret", refused, ""),
            ("/projects/1/secret", Some(RuleDenied), ""),
            ("/projects/1/admin", Some(CredentialsMissing), ""),
            // Both keep it.
            ("/projects/1%2Fvariables", None, ""),
            ("/projects/1/variables", Some(CredentialsMissing), ""),
            ("/projects/a%2Fb/variables", Some(CredentialsMissing), ""),
            ("/projects/a%2Fb/members/7", None, ""),
            // A rule for one such path, which is no other.
            ("/projects/hidden%2Fproject", Some(RuleDenied), ""),
            ("/projects/hidden%2fproject", Some(RuleDenied), ""),
            ("/projects/hidden%252Fproject", None, ""),
            ("/projects/hidden%2Fprojects", None, ""),
            // A rule that keeps none.
            ("/plain/a", None, ""),
            ("/plain/a%2Fb", refused, ""),
            ("/plain%2Fa", Some(NoRule), ""),
            ("/files/a%2Fb/c", None, ""),
            ("/files/a%2Fb%2F", None, ""),
            ("/files%2Fa", Some(NoRule), ""),
            ("/raw/a%2Fb", None, ""),
            ("/raw/a%2fb", None, "/raw/a%2Fb"),
            ("/raw/a/b", Some(NoRule), ""),
            ("/any/a%2Fb", None, ""),
            ("/any/a/b", Some(NoRule), ""),
        ],
    );
}

#[test]
fn the_first_rule_that_matches_decides_and_none_is_skipped() {
    let keeping = rule("files", "PathPrefix", "/", anyone(json!({"encodedSlash": "Keep"})));
    for (first, expected) in [
        (rule("first", "PathPrefix", "/a", anyone(json!({}))), Some(AmbiguousPath)),
        (rule("first", "PathPrefix", "/a", json!({"action": "Deny"})), Some(AmbiguousPath)),
        (
            rule("first", "PathPrefix", "/a", json!({"action": "Deny", "encodedSlash": "Keep"})),
            Some(RuleDenied),
        ),
        (rule("first", "PathPrefix", "/a", users(json!({"encodedSlash": "Keep"}))), Some(CredentialsMissing)),
        (rule("first", "PathPrefix", "/ab", json!({"action": "Deny"})), None),
    ] {
        let world = world(json!([first, keeping]));
        for target in ["/a/b%2Fc", "/a/b%2fc%2Fd"] {
            assert_eq!(world.reason(&Ask::get(target)), expected, "{first}");
        }
        assert_eq!(world.reason(&Ask::get("/b%2Fc")), None);
        // Whoever reads it as a slash is below `/a`, which the last rule does not decide.
        let opened = if expected.is_none() { None } else { Some(AmbiguousPath) };
        let opened = if expected == Some(CredentialsMissing) { None } else { opened };
        assert_eq!(world.reason(&Ask::get("/a%2Fb")), opened, "{first}");
    }
}

#[test]
fn matrix_parameters_change_no_rule() {
    let keep = || json!({"matrixParameters": "Keep"});
    let world = world(json!([
        rule("closed", "Exact", "/cars/closed", users(json!({}))),
        rule("lot", "PathTemplate", "/cars/lot/{place}", users(json!({}))),
        rule("cars", "PathPrefix", "/cars", anyone(keep())),
        rule("plain", "PathPrefix", "/plain", anyone(json!({}))),
        rule(
            "both",
            "PathTemplate",
            "/both/{id}",
            anyone(json!({"matrixParameters": "Keep", "encodedSlash": "Keep"}))
        ),
        rule("deep", "PathTemplate", "/both/{id}/x", anyone(json!({"encodedSlash": "Keep"}))),
    ]));
    let refused = Some(AmbiguousPath);
    hold(
        &world,
        &[
            ("/cars/audi;color=red", None, ""),
            ("/cars/audi;color=red;year=%37/doors;open", None, "/cars/audi;color=red;year=7/doors;open"),
            ("/cars/audi;a/", None, ""),
            ("/cars/%3B", None, ""),
            ("/cars;color=red/audi", Some(NoRule), ""),
            ("/cars/closed;x", refused, ""),
            ("/cars/closed;/", None, ""),
            ("/cars/lot;x/7", refused, ""),
            ("/cars/lot/7;x", refused, ""),
            ("/cars/audi;x%2Fy", refused, ""),
            ("/cars/..;/plain", refused, ""),
            ("/cars/..;x/plain", refused, ""),
            ("/cars/.;/plain", refused, ""),
            ("/cars/;", refused, ""),
            ("/cars/;x/y", refused, ""),
            ("/cars/a;x/../closed", refused, ""),
            ("/plain/a;b", refused, ""),
            ("/plain/a%3Bb", None, ""),
            ("/both/a%2Fb;c", None, ""),
            ("/both/a;c", None, ""),
            ("/both/a;c%2Fb", refused, ""),
            ("/both/a%2Fx", None, ""),
            // Without parameters, and with slashes for the encoded ones, it is another rule's.
            ("/both/a%2Fx;c", refused, ""),
        ],
    );
}

#[test]
fn variables_are_compared_as_upstreams_read_them() {
    let both = json!({"encodedSlash": "Keep", "matrixParameters": "Keep"});
    let mut owned = users(both);
    owned["authorize"] = json!({"owner": {"pathVariable": "user", "claim": "sub"}});
    let world = world(json!([rule("own", "PathTemplate", "/users/{user}/{rest=**}", owned)]));
    for (sub, target, expected) in [
        ("alice", "/users/alice/x", None),
        ("alice", "/users/bob/x", Some(NotOwner)),
        ("group/alice", "/users/group%2Falice/x", None),
        ("group/alice", "/users/group%252Falice/x", Some(NotOwner)),
        ("group%2Falice", "/users/group%2Falice/x", Some(NotOwner)),
        ("group%2Falice", "/users/group%252Falice/x", None),
        ("group", "/users/group%2Falice/x", Some(NotOwner)),
        ("alice", "/users/alice/x;y=1", None),
        // Whose it is depends on who reads it.
        ("alice", "/users/alice;y=1/x", Some(NotOwner)),
        ("alice;y=1", "/users/alice;y=1/x", Some(NotOwner)),
        ("alice;y", "/users/alice%3By/x", None),
    ] {
        let ask = world.bearer(Ask::get(target), |claims| claims["sub"] = sub.into());
        assert_eq!(world.reason(&ask), expected, "{sub} {target}");
    }
}

#[test]
fn no_parameter_makes_another_count() {
    let both = json!({"encodedSlash": "Keep", "matrixParameters": "Keep", "rateLimits": ["each"]});
    let world = world(json!([rule("own", "PathTemplate", "/users/{user}/x", anyone(both))]));
    for (target, expected) in [
        ("/users/alice;a=1/x", None),
        ("/users/alice;a=2/x", None),
        ("/users/alice;a=3/x", Some(RateLimited)),
        ("/users/alice/x", Some(RateLimited)),
        ("/users/group%2Falice/x", None),
        ("/users/group%2falice/x", None),
        ("/users/group%2Falice/x", Some(RateLimited)),
        ("/users/group%252Falice/x", None),
    ] {
        assert_eq!(world.reason(&Ask::get(target)), expected, "{target}");
    }
}

/// A proof is for the same segments (RFC 9449 section 4.3), however the escape is written.
#[test]
fn proofs_are_of_the_path_as_it_is_kept() {
    let bound = json!({"encodedSlash": "Keep", "authenticate": {"anyOf": [{"jwt": "bound"}]}});
    let world = world(json!([rule("projects", "PathPrefix", "/projects", bound)]));
    let holder = Issuer::new("d1");
    let bound = changed(claims("https://bound.example"), |claims| claims["cnf"] = holder.confirmation());
    let token = world.corp.sign(&bound);
    for (target, proven, expected) in [
        ("/projects/a%2Fb", "/projects/a%2Fb", None),
        ("/projects/a%2fb", "/projects/a%2Fb", None),
        ("/projects/a%2Fb", "/projects/a%2fb", None),
        ("/projects/a%2Fb", "/projects/a/b", Some(DpopProofInvalid)),
        ("/projects/a/b", "/projects/a%2Fb", Some(DpopProofInvalid)),
        ("/projects/a%252Fb", "/projects/a%2Fb", Some(DpopProofInvalid)),
        ("/projects/a%2Fb", "/projects/a%2F..%2Fb", Some(DpopProofInvalid)),
    ] {
        let proof = holder.prove(&token, proven, &format!("{target} {proven}"), None);
        let ask = Ask::get(target).header("authorization", &format!("DPoP {token}")).header("dpop", &proof);
        assert_eq!(world.reason(&ask), expected, "{target} {proven}");
    }
}
