//! Tokens of many tenants, and of keys that are for some of them.

use serde_json::{Value, json};

use super::{
    super::*,
    tokens::{good_claims, keys, provider},
    verify,
};
use crate::{
    answer::Reason,
    jose::{IssuerTemplate, KeyError, KeySet},
    time::Timestamp,
};

const TEMPLATE: &str = "https://login.example/{tenantid}/v2.0";

fn of(tenant: &str) -> String {
    format!("https://login.example/{tenant}/v2.0")
}

fn tenants(template: &str, listed: Option<&[&str]>) -> Issuer {
    let listed = listed.map(|tenants| tenants.iter().map(|tenant| (*tenant).to_owned()).collect());
    let template = IssuerTemplate::parse(template).unwrap();
    Issuer::Tenants(Box::new(Tenants::new(template, listed, ClaimPath::dotted("tid"))))
}

/// Takes tokens of these tenants by `jwks`; `None`: of all.
fn spec(listed: Option<&[&str]>, jwks: &Value) -> ProviderSpec {
    let mut spec = provider();
    spec.issuer = tenants(TEMPLATE, listed);
    spec.keys = KeySource::Inline(jwks.clone());
    spec.algorithms = vec![Algorithm::Es256];
    spec
}

fn token(changes: Value) -> String {
    let mut claims = good_claims();
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    keys().token(Algorithm::Es256, &claims)
}

#[test]
fn a_tenant_beside_the_nearest_that_is_none() {
    let listed: Option<&[&str]> = Some(&["2222", "1111", "contoso.example"]);
    let (iss, tid) = (of("1111"), "1111");
    let missing = || Err(JwtError::missing("tid"));
    let malformed = || Err(JwtError::malformed("tid"));
    for (claims, of_listed, of_any) in [
        (json!({"iss": iss, "tid": tid}), Ok(()), Ok(())),
        (json!({"iss": of("contoso.example"), "tid": "contoso.example"}), Ok(()), Ok(())),
        (json!({"iss": of("3333"), "tid": "3333"}), Err(JwtError::Issuer), Ok(())),
        (json!({"iss": of("111"), "tid": "111"}), Err(JwtError::Issuer), Ok(())),
        (json!({"iss": of("CONTOSO.example"), "tid": "CONTOSO.example"}), Err(JwtError::Issuer), Ok(())),
        // The one says 1111, the other does not.
        (json!({"iss": iss, "tid": "2222"}), Err(JwtError::Tenant), Err(JwtError::Tenant)),
        (json!({"iss": of("2222"), "tid": tid}), Err(JwtError::Tenant), Err(JwtError::Tenant)),
        (json!({"iss": iss, "tid": "1111 "}), Err(JwtError::Tenant), Err(JwtError::Tenant)),
        (json!({"iss": iss, "tid": ""}), Err(JwtError::Tenant), Err(JwtError::Tenant)),
        (json!({ "iss": iss }), missing(), missing()),
        (json!({"iss": iss, "tid": null}), missing(), missing()),
        (json!({"iss": iss, "TID": tid}), missing(), missing()),
        (json!({"iss": iss, "tid": 1111}), malformed(), malformed()),
        (json!({"iss": iss, "tid": [tid]}), malformed(), malformed()),
        // No tenant at all.
        (json!({"iss": TEMPLATE, "tid": "{tenantid}"}), Err(JwtError::Issuer), Err(JwtError::Issuer)),
        (json!({"iss": of(""), "tid": ""}), Err(JwtError::Issuer), Err(JwtError::Issuer)),
        (json!({"iss": of(".."), "tid": ".."}), Err(JwtError::Issuer), Err(JwtError::Issuer)),
        (json!({"iss": of("1111/2222"), "tid": "1111/2222"}), Err(JwtError::Issuer), Err(JwtError::Issuer)),
        (json!({"iss": of("%31111"), "tid": tid}), Err(JwtError::Issuer), Err(JwtError::Issuer)),
        (json!({"iss": of("1111") + "/", "tid": tid}), Err(JwtError::Issuer), Err(JwtError::Issuer)),
        (
            json!({"iss": "https://login.example/1111", "tid": tid}),
            Err(JwtError::Issuer),
            Err(JwtError::Issuer),
        ),
        (
            json!({"iss": "https://evil.example/1111/v2.0", "tid": tid}),
            Err(JwtError::Issuer),
            Err(JwtError::Issuer),
        ),
        (json!({"iss": [iss], "tid": tid}), Err(JwtError::malformed("iss")), Err(JwtError::malformed("iss"))),
        (json!({"iss": null, "tid": tid}), Err(JwtError::malformed("iss")), Err(JwtError::malformed("iss"))),
    ] {
        let outcome = |listed| verify(&spec(listed, &keys().jwks), &token(claims.clone())).map(|_| ());
        assert_eq!((outcome(listed), outcome(None)), (of_listed, of_any), "{claims}");
    }
}

#[test]
fn the_claim_with_the_tenant_is_the_policys_to_name() {
    let mut spec = spec(None, &keys().jwks);
    let template = IssuerTemplate::parse(TEMPLATE).unwrap();
    spec.issuer =
        Issuer::Tenants(Box::new(Tenants::new(template, None, ClaimPath(vec!["org".into(), "id".into()]))));
    let outcome = |claims: Value| verify(&spec, &token(claims)).map(|_| ());
    assert_eq!(outcome(json!({"iss": of("1111"), "org": {"id": "1111"}, "tid": "2222"})), Ok(()));
    assert_eq!(
        outcome(json!({"iss": of("1111"), "org": {"id": "2222"}, "tid": "1111"})),
        Err(JwtError::Tenant)
    );
    assert_eq!(outcome(json!({"iss": of("1111"), "org.id": "1111"})), Err(JwtError::missing("org.id")));
}

/// What is counted and recorded of a subject is that of its tenant.
#[test]
fn one_subject_of_two_tenants_is_two() {
    let authority = |spec: &ProviderSpec, tenant: &str| {
        let token = token(json!({"iss": of(tenant), "tid": tenant}));
        verify(spec, &token).unwrap().principal().authority.to_string()
    };
    let any = spec(None, &keys().jwks);
    assert_eq!(authority(&any, "1111"), "corp#1111");
    assert_eq!(authority(&any, "2222"), "corp#2222");
    let mut one = spec(None, &keys().jwks);
    one.issuer = Issuer::One(of("1111"));
    assert_eq!(authority(&one, "1111"), "corp");
}

/// A key set that tenants share, in which some keys are for some of them.
#[test]
fn a_key_signs_for_its_own_issuer_alone() {
    let others = |issuer: &str| Err(KeyError::OtherIssuer { issuer: issuer.into() }.into());
    let one = spec(Some(&["1111", "2222"]), &keys().jwks);
    let mut exact = one.clone();
    exact.issuer = Issuer::One(of("1111"));
    let theirs = of("2222");
    for (issuer, expected) in [
        (json!(null), Ok(())),
        (json!(""), Ok(())),
        (json!(TEMPLATE), Ok(())),
        (json!("https://login.example/{anything}/v2.0"), Ok(())),
        (json!(of("1111")), Ok(())),
        (json!(theirs), others(&theirs)),
        (json!(of("1111") + "/"), others(&(of("1111") + "/"))),
        (json!(of("{tenantid}") + "/"), others(&(of("{tenantid}") + "/"))),
        (json!("https://LOGIN.example/1111/v2.0"), others("https://LOGIN.example/1111/v2.0")),
        (json!("1111"), others("1111")),
    ] {
        let mut jwks = keys().only(&["es256"]);
        jwks["keys"][0]["issuer"] = issuer.clone();
        let token = token(json!({"iss": of("1111"), "tid": "1111"}));
        for spec in [&one, &exact] {
            let spec = ProviderSpec { keys: KeySource::Inline(jwks.clone()), ..spec.clone() };
            assert_eq!(verify(&spec, &token).map(|_| ()), expected, "{issuer}");
        }
    }
    assert_eq!(JwtError::from(KeyError::OtherIssuer { issuer: theirs.into() }).reason(), Reason::TokenKey);
}

/// Whoever holds the key of one tenant is nobody else's.
#[test]
fn keys_of_one_tenant_forge_no_token_of_another() {
    let jwks = |issuers: [Option<&str>; 2]| {
        let keys = [keys().only(&["es256"]), super::tokens::foreign_keys().only(&["es256"])];
        let keys = keys.into_iter().zip(issuers).map(|(set, tenant)| {
            let mut key = set["keys"][0].clone();
            key["issuer"] = tenant.map(of).into();
            key
        });
        json!({"keys": keys.collect::<Vec<_>>()})
    };
    let outcome = |jwks: &Value, tenant: &str, named: bool| {
        let mut claims = good_claims();
        (claims["iss"], claims["tid"]) = (of(tenant).into(), tenant.into());
        let header = if named { json!({"alg": "ES256", "kid": "es256"}) } else { json!({"alg": "ES256"}) };
        let text = keys().sign(Algorithm::Es256, &header, &claims);
        verify(&spec(None, jwks), &text).map(|_| ()).map_err(|error| error.reason())
    };
    for named in [true, false] {
        let own = jwks([Some("1111"), Some("2222")]);
        assert_eq!(outcome(&own, "1111", named), Ok(()));
        // Held against the other's key alone.
        assert_eq!(outcome(&own, "2222", named), Err(Reason::TokenSignature));
        assert_eq!(outcome(&own, "3333", named), Err(Reason::TokenKey));
        let shared = jwks([None, Some("2222")]);
        assert_eq!(outcome(&shared, "2222", named), Ok(()));
        assert_eq!(outcome(&shared, "3333", named), Ok(()));
    }
    let provider = Provider::compile(&spec(None, &jwks([Some("1111"), None]))).unwrap();
    let (set, _) = KeySet::from_json(&jwks([Some("2222"), None])).unwrap();
    let text = token(json!({"iss": of("1111"), "tid": "1111"}));
    let mut parsed = crate::jose::CompactToken::parse(&text, 8192).unwrap();
    let mut checked = provider.check(&mut parsed, Timestamp::from_secs(super::tokens::NOW)).unwrap();
    let refused = checked.verify(&set, &crate::crypto::NoHostCrypto).unwrap_err();
    assert_eq!(
        (checked.refusal(&set), &refused),
        (JwtError::Key(KeyError::Signature), &JwtError::Key(KeyError::Signature))
    );
}

/// What an issuer says of a token of one of its tenants.
#[test]
fn an_answer_names_the_tenant() {
    let spec =
        ProviderSpec { algorithms: vec![], keys: KeySource::None, ..spec(Some(&["1111"]), &json!({})) };
    let provider = Provider::compile(&spec).unwrap();
    let outcome = |changes: Value| {
        let mut answer = json!({"active": true, "sub": "alice", "aud": "api"});
        answer.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let answer = crate::json::members(&answer);
        match provider.accept_vouched(answer, Timestamp::from_secs(super::tokens::NOW)) {
            Ok(vouched) => Ok(vouched.token.principal().authority.to_string()),
            Err(NotVouched::Claims(error)) => Err(error),
            Err(NotVouched::Inactive | NotVouched::Unsaid) => panic!("it is active"),
        }
    };
    assert_eq!(outcome(json!({"iss": of("1111"), "tid": "1111"})), Ok("corp#1111".to_owned()));
    assert_eq!(outcome(json!({"iss": of("1111"), "tid": "2222"})), Err(JwtError::Tenant));
    assert_eq!(outcome(json!({"iss": of("2222"), "tid": "2222"})), Err(JwtError::Issuer));
    assert_eq!(outcome(json!({"iss": of("1111")})), Err(JwtError::missing("tid")));
    // An issuer alone may leave `iss` out, for there is one; of many, nobody knows which.
    assert_eq!(outcome(json!({"tid": "1111"})), Err(JwtError::missing("iss")));
}

#[test]
fn which_providers_take_one_token() {
    let other = "https://login.example/1111/{version}";
    for (one, another, expected) in [
        (Issuer::One(of("1111")), tenants(TEMPLATE, None), true),
        (Issuer::One(of("1111")), tenants(TEMPLATE, Some(&["2222", "1111"])), true),
        (Issuer::One(of("1111")), tenants(TEMPLATE, Some(&["2222"])), false),
        (Issuer::One(TEMPLATE.into()), tenants(TEMPLATE, None), false),
        (Issuer::One("https://login.example/1111/v1.0".into()), tenants(TEMPLATE, None), false),
        (tenants(TEMPLATE, Some(&["1111"])), tenants(TEMPLATE, Some(&["2222"])), false),
        (tenants(TEMPLATE, Some(&["1111", "3333"])), tenants(TEMPLATE, Some(&["2222", "3333"])), true),
        (tenants(TEMPLATE, Some(&["1111"])), tenants(TEMPLATE, None), true),
        (tenants(TEMPLATE, None), tenants("https://login.example/{t}/v2.0", None), true),
        (tenants(TEMPLATE, None), tenants("https://login.example/{t}/v1.0", None), false),
        (tenants(TEMPLATE, None), tenants(other, None), true),
        (tenants(TEMPLATE, Some(&["2222"])), tenants(other, None), false),
        (tenants(TEMPLATE, Some(&["1111"])), tenants(other, Some(&["v2.0"])), true),
        (tenants(TEMPLATE, Some(&["1111"])), tenants(other, Some(&["v1.0"])), false),
    ] {
        assert_eq!((one.meets(&another), another.meets(&one)), (expected, expected), "{one:?} {another:?}");
    }
}
