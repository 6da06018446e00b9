//! Tokens as issuers make them, and what a policy can say of them.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::{Case, Documents, hold};
use crate::harness::{
    issuer::{AUDIENCE, ISSUER, ISSUER_KEYS, token},
    policy::{merge, provider, rule, with_token, with_token_and},
    request::get,
    table::pair,
};

const MISSING: (u16, &str) = (401, "credentials_missing");

/// The provider `test` with `members`, and whatever else stands beside it.
fn policy(members: Value, rules: &[Value], sections: Value) -> Value {
    let mut provider = provider();
    merge(&mut provider, members);
    let mut policy = json!({"jwt": {"providers": [provider]}, "rules": rules, "defaultAction": "Deny"});
    merge(&mut policy, sections);
    policy
}

fn anyone_known() -> Value {
    rule("a", "PathPrefix", "/a", with_token())
}

fn with_role(role: &str) -> Value {
    rule("a", "PathPrefix", "/a", with_token_and(json!({"roles": [role]})))
}

/// A provider may have several audiences; a rule asks for one of them.
fn audience_per_rule() -> Case {
    let audiences = json!({"audiences": [AUDIENCE, "api-b"]});
    let of_b = rule(
        "a",
        "PathPrefix",
        "/a",
        with_token_and(json!({"claims": [{"claim": "aud", "contains": "api-b"}]})),
    );
    let to =
        |audience: Value| get("/a").bearer(&token("alice").claim("aud", audience).roles(&["api-b"]).sign());
    Case::new(
        "a rule that is for one audience",
        &[
            "https://github.com/istio/istio/issues/12016",
            "https://github.com/istio/istio/issues/19245",
            "https://github.com/envoyproxy/envoy/pull/3381",
        ],
        policy(audiences, &[of_b], json!({})),
        vec![
            pair(
                "the rule's audience",
                to(json!("api-b")),
                to(json!(AUDIENCE)),
                (403, "insufficient_claims"),
            ),
            pair(
                "among others",
                to(json!([AUDIENCE, "api-b"])),
                to(json!([AUDIENCE, "api-c"])),
                (403, "insufficient_claims"),
            ),
            pair("the provider's audiences", to(json!("api-b")), to(json!("api-c")), (401, "token_audience")),
        ],
    )
}

/// Whatever other claims say.
fn claim_conditions() -> Case {
    let mut deploy = rule("a", "PathPrefix", "/a", with_token());
    deploy["authorize"] = json!({"claims": [{"claim": "repository", "equals": "octo-org/octo-repo"}]});
    let of = |repository: &str, environment: &str| {
        let token = token("repo").claim("repository", repository).claim("environment", environment);
        get("/a").bearer(&token.sign())
    };
    Case::new(
        "a condition on a claim",
        &[
            "https://github.com/envoyproxy/gateway/issues/3367",
            "https://github.com/envoyproxy/envoy/issues/17501",
        ],
        policy(json!({}), &[deploy], json!({})),
        vec![pair(
            "the repository, and another whose environment is called so",
            of("octo-org/octo-repo", "production"),
            of("evil/fork", "octo-org/octo-repo"),
            (403, "insufficient_claims"),
        )],
    )
}

/// Issuers leave `sub` out of client tokens, or make it a number.
fn subject_fallback() -> Case {
    let two = json!({"claims": {"subject": ["sub", "client_id"], "numericSubject": true}});
    let batch = |claims: &[(&str, Value)]| {
        let token =
            claims.iter().fold(token("batch"), |token, (name, value)| token.claim(name, value.clone()));
        get("/a").bearer(&token.sign())
    };
    Case::new(
        "tokens without a subject",
        &[
            "https://github.com/DuendeArchive/IdentityServer4/issues/2362",
            "https://github.com/keycloak/keycloak/issues/34306",
            "https://github.com/jpadilla/pyjwt/issues/1017",
        ],
        policy(two, &[anyone_known()], json!({})),
        vec![
            pair(
                "none",
                batch(&[("sub", Value::Null), ("client_id", json!("batch"))]),
                batch(&[("sub", Value::Null), ("azp", json!("batch"))]),
                (401, "token_claims"),
            )
            .sees("x-portcullis-subject", "batch"),
            pair(
                "a number",
                batch(&[("sub", json!(42))]),
                batch(&[("sub", json!(4.2))]),
                (401, "token_claims"),
            )
            .sees("x-portcullis-subject", "42"),
        ],
    )
}

/// Roles are the names of an object's members.
fn roles_that_are_an_object() -> Case {
    const CLAIM: &str = "urn:zitadel:iam:org:project:roles";
    let keys =
        json!({"claims": {"roles": {"claim": {"path": [CLAIM]}, "keys": true}, "malformedRoles": "Ignore"}});
    let with = |path: &str, roles: Value| get(path).bearer(&token("alice").claim(CLAIM, roles).sign());
    Case::new(
        "roles that are an object",
        &[
            "https://github.com/zitadel/zitadel/issues/3997",
            "https://github.com/Flowfin/jellyfin-plugin-sso/issues/934",
        ],
        policy(
            keys,
            &[
                with_role("admin"),
                rule("b", "PathPrefix", "/b", with_token()),
                rule("c", "PathPrefix", "/c", with_token_and(json!({"noneOf": [{"roles": ["admin"]}]}))),
            ],
            json!({"roles": [{"name": "admin"}]}),
        ),
        vec![
            pair(
                "a member for each",
                with("/a", json!({"admin": {"1": "acme.example"}})),
                with("/a", json!({"editor": {"admin": "acme.example"}})),
                (403, "insufficient_role"),
            ),
            pair(
                "a list, which says nothing",
                with("/b", json!(["admin"])),
                with("/a", json!(["admin"])),
                (403, "insufficient_role"),
            ),
            pair(
                "nothing, where the role is ruled out",
                with("/c", json!({"editor": {}})),
                with("/c", json!(["editor"])),
                (403, "principal_excluded"),
            ),
        ],
    )
}

fn roles_in_one_string() -> Case {
    let auth = json!({"claims": {"roles": [
        {"claim": "auth", "separator": ","},
        {"claim": "authorities", "separator": " "},
    ]}});
    let with = |claim: &str, roles: &str| get("/a").bearer(&token("alice").claim(claim, roles).sign());
    Case::new(
        "roles in one string",
        &[
            "https://github.com/smallrye/smallrye-jwt/issues/121",
            "https://github.com/epam/ai-dial-core/pull/540",
        ],
        policy(auth, &[with_role("ROLE_ADMIN")], json!({"roles": [{"name": "ROLE_ADMIN"}]})),
        vec![
            pair(
                "with commas",
                with("auth", "ROLE_ADMIN,ROLE_USER"),
                with("auth", "ROLE_ADMIN;ROLE_USER"),
                (403, "insufficient_role"),
            ),
            pair(
                "with spaces",
                with("authorities", "ROLE_USER ROLE_ADMIN"),
                with("authorities", "ROLE_USER,ROLE_ADMIN"),
                (403, "insufficient_role"),
            ),
        ],
    )
}

/// A user of several tenants has them in one claim.
fn owner_of_several() -> Case {
    let owner = json!({"owner": {"pathVariable": "tenant", "claim": "tenants"}});
    let of = |tenant: &str, tenants: Value| {
        get(&format!("/t/{tenant}")).bearer(&token("alice").claim("tenants", tenants).sign())
    };
    Case::new(
        "a path that belongs to one of a caller's tenants",
        &["https://github.com/envoyproxy/gateway/issues/5978", "https://github.com/istio/istio/issues/38589"],
        policy(json!({}), &[rule("a", "PathTemplate", "/t/{tenant}", with_token_and(owner))], json!({})),
        vec![
            pair(
                "a list of names",
                of("acme", json!(["acme", "b"])),
                of("acme", json!(["acme2", "b"])),
                (403, "not_owner"),
            ),
            pair("a number", of("7", json!(7)), of("07", json!(7)), (403, "not_owner")),
        ],
    )
}

/// As the subject is sent; what cannot be sent is said in the record.
fn claims_that_are_no_header() -> Case {
    let sent = json!({"claimToHeaders": [
        {"claim": "name", "header": "x-name"},
        {"claim": "org", "header": "x-org"},
        {"claim": "org", "header": "x-org-json", "format": "Json"},
        {"claim": "name", "header": "x-name-json", "format": "Json"},
        {"claim": {"path": ["org", "id"]}, "header": "x-org-id", "format": "Base64Url"},
    ]});
    let named = token("alice").claim("name", "José Müller").claim("org", json!({"id": "o1"}));
    Case::new(
        "claims that are no header's value",
        &[
            "https://github.com/istio/istio/issues/49779",
            "https://github.com/envoyproxy/envoy/issues/28230",
            "https://github.com/OpenIDC/mod_auth_openidc/issues/417",
        ],
        policy(sent, &[anyone_known()], json!({"decisionLog": {"allowed": true}})),
        vec![
            pair(
                "text beyond ASCII, and an object",
                get("/a").bearer(&named.sign()).header("x-org", "forged"),
                get("/a").header("x-name", "forged"),
                MISSING,
            )
            .sees("x-name", "Jos%C3%A9 M%C3%BCller")
            .lacks("x-org")
            .sees("x-org-json", r#"{"id":"o1"}"#)
            .sees("x-name-json", r#""Jos\u00e9 M\u00fcller""#)
            .sees("x-org-id", "Im8xIg"),
        ],
    )
    .says("x-org")
}

/// One key set for many tenants, each with an issuer of its own, as Microsoft Entra ID publishes it.
fn issuer_template(documents: &Documents) -> Case {
    const TEMPLATE: &str = "https://login.example/{tenantid}/v2.0";
    let name = |tenant: &str| format!("https://login.example/{tenant}/v2.0");
    let jwk = |algorithm: Algorithm, issuer: &str| {
        let mut jwk = ISSUER_KEYS.jwk(algorithm);
        jwk["issuer"] = issuer.into();
        jwk
    };
    let keys = [jwk(Algorithm::RS256, TEMPLATE), jwk(Algorithm::ES256, &name("1111"))];
    documents.publish("/keys", json!({ "keys": keys }).to_string());
    let common = "/common/v2.0/.well-known/openid-configuration";
    documents
        .publish(common, json!({"issuer": TEMPLATE, "jwks_uri": "http://login.example/keys"}).to_string());
    let policy = |members: Value| {
        let mut provider = json!({
            "name": "test",
            "issuer": TEMPLATE,
            "audiences": [AUDIENCE],
            "algorithms": ["RS256", "ES256"],
            "discovery": {"cluster": "jwks", "uri": format!("http://login.example{common}")},
            "claimToHeaders": [{"claim": "tid", "header": "x-tenant"}],
        });
        merge(&mut provider, members);
        json!({"jwt": {"providers": [provider]}, "rules": [anyone_known()], "defaultAction": "Deny"})
    };
    let signed = |algorithm: Algorithm, issuer: &str, tenant: Value| {
        let token = token("alice").algorithm(algorithm).claim("iss", issuer).claim("tid", tenant);
        get("/a").bearer(&token.sign())
    };
    let of = |tenant: &str| signed(Algorithm::RS256, &name(tenant), json!(tenant));
    let other_issuer = (401, "token_issuer");
    Case::new(
        "an issuer for many tenants",
        &[
            "https://github.com/istio/istio/issues/18326",
            "https://github.com/istio/istio/issues/16212",
            "https://github.com/keycloak/keycloak/issues/28662",
        ],
        policy(json!({"tenants": ["1111", "2222"]})),
        vec![
            pair("a tenant that is listed, and one that is not", of("1111"), of("3333"), other_issuer)
                .sees("x-tenant", "1111"),
            pair(
                "another one, and a token of both",
                of("2222"),
                signed(Algorithm::RS256, &name("1111"), json!("2222")),
                other_issuer,
            )
            .sees("x-tenant", "2222"),
            pair(
                "the tenant's issuer, and that of all",
                of("1111"),
                signed(Algorithm::RS256, TEMPLATE, json!("{tenantid}")),
                other_issuer,
            ),
            pair(
                "with its tenant, and without",
                of("1111"),
                signed(Algorithm::RS256, &name("1111"), Value::Null),
                (401, "token_claims"),
            ),
            pair(
                "by a key of the tenant, and by that of another one",
                signed(Algorithm::ES256, &name("1111"), json!("1111")),
                signed(Algorithm::ES256, &name("2222"), json!("2222")),
                (401, "token_key"),
            ),
        ],
    )
    .refuses(policy(json!({})), "jwt.providers[0].tenants")
    .refuses(
        policy(json!({"anyTenant": true, "issuer": "https://{tenantid}/v2.0"})),
        "jwt.providers[0].issuer",
    )
}

/// RFC 7519 makes `iss` optional; a provider that has a place of its own may do without.
fn issuer_left_out() -> Case {
    let lenient = json!({"requireIssuer": false});
    let mut other = provider();
    merge(&mut other, json!({"name": "other", "issuer": "https://other.test"}));
    let mut both = policy(lenient.clone(), &[anyone_known()], json!({}));
    both["jwt"]["providers"].as_array_mut().unwrap().push(other);
    both["rules"][0]["authenticate"]["anyOf"] = json!([{"jwt": "test"}, {"jwt": "other"}]);
    let with = |issuer: Value| token("alice").claim("iss", issuer);
    let of = |issuer: Value| get("/a").bearer(&with(issuer).sign());
    let own = || of(json!(ISSUER));
    let without = || of(Value::Null);
    Case::new(
        "a token without issuer",
        &["https://www.rfc-editor.org/rfc/rfc7519#section-4.1.1"],
        policy(lenient, &[anyone_known()], json!({})),
        vec![
            pair("none, and another one", without(), of(json!("https://other.test")), (401, "token_issuer")),
            pair("one, and one of nothing", own(), of(json!("")), (401, "token_issuer")),
            pair("none, and a list of them", without(), of(json!([ISSUER])), (401, "token_claims")),
            pair(
                "by the provider's key, and by another",
                without(),
                get("/a").bearer(&with(Value::Null).forged().sign()),
                (401, "token_signature"),
            ),
        ],
    )
    .refuses(both, "rules[0].authenticate")
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_go_as_reported() {
    let documents = Documents::start().await;
    let cases = vec![
        audience_per_rule(),
        claim_conditions(),
        subject_fallback(),
        roles_that_are_an_object(),
        roles_in_one_string(),
        owner_of_several(),
        claims_that_are_no_header(),
        issuer_template(&documents),
        issuer_left_out(),
    ];
    hold(cases, &documents).await;
}
