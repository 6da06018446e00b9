use serde_json::{Value, json};

use super::{
    super::{error::ClaimFault, *},
    tokens::{NOW, good_claims, keys, provider},
    verify,
};
use crate::{
    identity::{ClaimPath, MAX_NAME_LEN, Principal, PrincipalKind},
    json::Json,
    time::Timestamp,
};

fn spec() -> ProviderSpec {
    let mut spec = provider();
    spec.keys = KeySource::Inline(keys().only(&["es256"]));
    spec.algorithms = vec![Algorithm::Es256];
    spec.role_claims =
        [ClaimPath::dotted("realm_access.roles"), ClaimPath(vec!["https://corp.example/roles".into()])]
            .map(|claim| RoleClaim { claim, form: RoleForm::Names })
            .into();
    spec.tier_claim = Some(ClaimPath::dotted("plan"));
    spec
}

fn principal(spec: &ProviderSpec, changes: &Value) -> Result<Principal, JwtError> {
    let mut claims = good_claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    verify(spec, &keys().token(Algorithm::Es256, &claims)).map(VerifiedToken::into_principal)
}

fn malformed<T>(name: &str) -> Result<T, JwtError> {
    Err(JwtError::Claim { name: name.into(), fault: ClaimFault::Malformed })
}

fn missing<T>(name: &str) -> Result<T, JwtError> {
    Err(JwtError::Claim { name: name.into(), fault: ClaimFault::Missing })
}

#[test]
fn subjects() {
    let spec = spec();
    for (subject, expected) in [
        (json!("alice"), Ok("alice".into())),
        (json!("auth0|5f7c"), Ok("auth0|5f7c".into())),
        (json!("\u{e9}lodie"), Ok("\u{e9}lodie".into())),
        (json!("s".repeat(MAX_NAME_LEN)), Ok("s".repeat(MAX_NAME_LEN))),
        (json!("s".repeat(MAX_NAME_LEN + 1)), malformed("sub")),
        (json!(""), malformed("sub")),
        (json!(7), malformed("sub")),
        (json!(true), malformed("sub")),
        (json!(null), missing("sub")),
        (json!(["alice"]), malformed("sub")),
        (json!("alice\r\nx-admin: 1"), malformed("sub")),
        (json!("alice\0"), malformed("sub")),
    ] {
        let found =
            principal(&spec, &json!({ "sub": subject })).map(|principal| principal.subject.to_string());
        assert_eq!(found, expected, "{subject}");
    }
    let mut other = spec.clone();
    other.numeric_subject = true;
    for (subject, expected) in [
        (json!("alice"), Ok("alice".into())),
        (json!(7), Ok("7".into())),
        (json!(-7), Ok("-7".into())),
        (json!(u64::MAX), Ok(u64::MAX.to_string())),
        (json!(7.5), malformed("sub")),
        (json!(7e30), malformed("sub")),
        (json!([7]), malformed("sub")),
    ] {
        let found =
            principal(&other, &json!({ "sub": subject })).map(|principal| principal.subject.to_string());
        assert_eq!(found, expected, "{subject}");
    }
    other.subject_claims = vec![ClaimPath::dotted("client.id")];
    assert_eq!(*principal(&other, &json!({"client": {"id": "c1"}})).unwrap().subject, *"c1");
    assert_eq!(principal(&other, &json!({})).map(|_| ()), missing("client.id"));
    assert_eq!(principal(&other, &json!({"client": "c1"})).map(|_| ()), missing("client.id"));
    other.subject_claims = ["sub", "client_id", "azp"].map(ClaimPath::dotted).into();
    for (claims, expected) in [
        (json!({"client_id": "c1"}), Ok("alice")),
        (json!({"sub": null, "client_id": "c1", "azp": "c2"}), Ok("c1")),
        (json!({"sub": null, "azp": "c2"}), Ok("c2")),
        // What is there and wrong is not passed over.
        (json!({"sub": "", "client_id": "c1"}), malformed("sub")),
        (json!({"sub": null, "client_id": ["c1"], "azp": "c2"}), malformed("client_id")),
        (json!({"sub": null}), missing("sub")),
    ] {
        let found = principal(&other, &claims).map(|principal| principal.subject.to_string());
        assert_eq!(found, expected.map(str::to_owned), "{claims}");
    }
}

#[test]
fn scopes() {
    let spec = spec();
    for (changes, expected) in [
        (json!({}), Ok(vec![])),
        (json!({"scope": "orders:read orders:write"}), Ok(vec!["orders:read", "orders:write"])),
        (json!({"scope": "  a  b "}), Ok(vec!["a", "b"])),
        (json!({"scope": ""}), Ok(vec![])),
        (json!({"scope": ["a", "b"]}), Ok(vec!["a", "b"])),
        (json!({"scope": []}), Ok(vec![])),
        (json!({"scp": "a b"}), Ok(vec!["a", "b"])),
        (json!({"scp": ["a"]}), Ok(vec!["a"])),
        // The first that is there counts, even if it grants nothing.
        (json!({"scope": "a", "scp": ["b"]}), Ok(vec!["a"])),
        (json!({"scope": "", "scp": ["b"]}), Ok(vec![])),
        (json!({"scope": null, "scp": ["b"]}), Ok(vec!["b"])),
        (json!({"scope": 7}), malformed("scope")),
        (json!({"scope": {"a": true}}), malformed("scope")),
        (json!({"scope": ["a", 7]}), malformed("scope")),
        (json!({"scope": ["a b"]}), malformed("scope")),
        (json!({"scope": [""]}), malformed("scope")),
        (json!({"scope": "a\tb"}), malformed("scope")),
        (json!({"scope": "a\r\nb"}), malformed("scope")),
    ] {
        let found = principal(&spec, &changes);
        let found =
            found.map(|principal| principal.scopes.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(
            found,
            expected.map(|scopes| scopes.into_iter().map(str::to_owned).collect()),
            "{changes}"
        );
    }
}

#[test]
fn roles_tier_and_id() {
    let spec = spec();
    let found = principal(
        &spec,
        &json!({
            "realm_access": {"roles": ["editor", "Domain Users"]},
            "https://corp.example/roles": "admin",
            "plan": "gold",
            "jti": "t-1",
        }),
    )
    .unwrap();
    assert_eq!(
        found.roles.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        ["editor", "Domain Users", "admin"]
    );
    assert_eq!((found.tier.as_deref(), &*found.credential_id), (Some("gold"), "t-1"));
    assert_eq!((found.kind, &*found.authority), (PrincipalKind::Jwt, "corp"));
    assert!(found.permissions.is_empty());
    assert_eq!(found.claims.get("plan").and_then(Json::as_str), Some("gold"));

    let bare = principal(&spec, &json!({"realm_access": {}, "plan": null, "jti": null})).unwrap();
    assert!(bare.roles.is_empty() && bare.tier.is_none() && bare.credential_id.is_empty());

    for (plan, tier) in [(json!(3), "3"), (json!(-1), "-1"), (json!(u64::MAX), "18446744073709551615")] {
        let numbered = principal(&spec, &json!({"plan": plan})).unwrap();
        assert_eq!(numbered.tier.as_deref(), Some(tier), "{plan}");
    }

    for (changes, claim) in [
        (json!({"realm_access": {"roles": [1.5]}}), "realm_access.roles"),
        (json!({"realm_access": {"roles": {"admin": true}}}), "realm_access.roles"),
        (json!({"https://corp.example/roles": ""}), "https://corp.example/roles"),
        (json!({"plan": 3.5}), "plan"),
        (json!({"plan": [3]}), "plan"),
        (json!({"plan": true}), "plan"),
        (json!({"plan": ""}), "plan"),
        (json!({"jti": 7}), "jti"),
        (json!({"jti": "a\nb"}), "jti"),
    ] {
        assert_eq!(principal(&spec, &changes).map(|_| ()), malformed(claim), "{changes}");
    }
}

#[test]
fn forms_of_roles() {
    let mut spec = spec();
    let separated = |by: &str| RoleForm::Separated(by.into());
    let ok = |roles: &[&str]| Ok(roles.iter().map(|role| (*role).to_owned()).collect::<Vec<_>>());
    for (form, claim, expected) in [
        (RoleForm::Names, json!("a,b"), ok(&["a,b"])),
        (RoleForm::Names, json!(["a", 7]), ok(&["a", "7"])),
        (RoleForm::Names, json!(7), ok(&["7"])),
        (RoleForm::Names, json!([true]), malformed("auth")),
        (RoleForm::Names, json!({"a": 1}), malformed("auth")),
        (separated(","), json!("a, b ,,c"), ok(&["a", "b", "c"])),
        (separated(","), json!(""), ok(&[])),
        (separated(","), json!("a b"), ok(&["a b"])),
        (separated(" "), json!("a b  c"), ok(&["a", "b", "c"])),
        (separated(","), json!(["a,b", "c", 7]), ok(&["a", "b", "c", "7"])),
        (separated(","), json!({"a": 1}), malformed("auth")),
        (separated(","), json!("a,b\u{0}"), malformed("auth")),
        (RoleForm::Keys, json!({"admin": {"1": "acme.example"}, "b": null}), ok(&["admin", "b"])),
        (RoleForm::Keys, json!({}), ok(&[])),
        (RoleForm::Keys, json!({"": 1}), malformed("auth")),
        (RoleForm::Keys, json!(["admin"]), malformed("auth")),
        (RoleForm::Keys, json!("admin"), malformed("auth")),
        (RoleForm::Keys, json!(null), ok(&[])),
    ] {
        spec.role_claims = vec![RoleClaim { claim: ClaimPath::dotted("auth"), form: form.clone() }];
        spec.ignore_malformed_roles = false;
        let roles = |found: Principal| found.roles.iter().map(ToString::to_string).collect::<Vec<_>>();
        let found = principal(&spec, &json!({"auth": claim}));
        assert!(found.as_ref().map_or(true, |found| !found.roles_unclear));
        assert_eq!(found.map(roles), expected, "{form:?} {claim}");
        spec.ignore_malformed_roles = true;
        let found = principal(&spec, &json!({"auth": claim})).unwrap();
        assert_eq!(found.roles_unclear, expected.is_err(), "{form:?} {claim}");
    }
}

#[test]
fn header_claims() {
    let mut spec = spec();
    let header = |claim: &str, header: &str, form| ClaimHeaderSpec {
        claim: ClaimPath::dotted(claim),
        header: header.into(),
        form,
    };
    spec.claim_to_headers = vec![
        header("sub", "x-sub", HeaderForm::Text),
        header("evil", "x-evil", HeaderForm::Text),
        header("groups", "x-groups", HeaderForm::Text),
        header("groups", "x-groups-json", HeaderForm::Json),
        header("missing", "x-missing", HeaderForm::Json),
        ClaimHeaderSpec { claim: ClaimPath(vec![]), ..header("", "x-payload", HeaderForm::Base64Url) },
    ];
    let found = principal(&spec, &json!({"evil": "a\r\nb: c", "groups": ["a", "b"]})).unwrap();
    let provider = Provider::compile(&spec).unwrap();
    let headers = provider.claim_headers(found.claims.object());
    let (payload, sent) = headers.sent.split_last().unwrap();
    assert_eq!(sent, [(0, "alice".to_owned()), (2, "a,b".to_owned()), (3, "[\"a\",\"b\"]".to_owned())]);
    let decoded = crate::text::base64url::decode(payload.1.as_bytes()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&decoded).unwrap(),
        Json::Object(found.claims.object()).to_value()
    );
    assert_eq!(headers.unsent, [(1, Unsendable::Control)]);
}

#[test]
fn what_is_remembered_is_still_judged_by_time() {
    let token = verify(&spec(), &keys().token(Algorithm::Es256, &good_claims())).unwrap();
    for (secs, valid) in
        [(NOW - 60, true), (NOW - 61, false), (NOW, true), (NOW + 659, true), (NOW + 660, false)]
    {
        assert_eq!(token.validity().check(Timestamp::from_secs(secs)).is_ok(), valid, "{secs}");
    }
}
