//! Providers with many tenants, and tokens without issuer: whose are taken, and as whom.

use portcullis::{
    answer::Reason::{RateLimited, TokenClaims, TokenIssuer, TokenKey, TokenSignature},
    policy::Policy,
};
use serde_json::{Value, json};

use crate::{
    document::introspection,
    world::{Answer, Ask, World, changed, claims},
};

fn of(tenant: &str) -> String {
    format!("https://login.example/{tenant}/v2.0")
}

/// The provider "corp" takes the tokens of these tenants; `null`: of all.
fn world(tenants: &Value, change: impl FnOnce(&mut Value)) -> World {
    World::with(|policy| {
        let corp = &mut policy["jwt"]["providers"][0];
        corp["issuer"] = of("{tenantid}").into();
        match tenants {
            Value::Null => corp["anyTenant"] = true.into(),
            tenants => corp["tenants"] = tenants.clone(),
        }
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
        change(policy);
    })
}

fn token(w: &World, tenant: &str, change: impl FnOnce(&mut Value)) -> String {
    w.corp.sign(&changed(claims(&of(tenant)), |claims| {
        claims["tid"] = tenant.into();
        change(claims);
    }))
}

fn ask(w: &World, path: &str, tenant: &str) -> Answer {
    w.ask(&Ask::get(path).token(&token(w, tenant, |_| {})))
}

#[test]
fn of_listed_tenants_and_of_no_others() {
    let w = world(&json!(["1111", "2222"]), |_| {});
    for tenant in ["1111", "2222"] {
        let answer = ask(&w, "/tokens", tenant);
        assert_eq!(answer.upstream("x-portcullis-subject"), "alice");
        assert_eq!(answer.recorded("authority"), format!("corp#{tenant}"));
    }
    let refused = ask(&w, "/tokens", "3333");
    assert_eq!(refused.reason, Some(TokenIssuer));
    assert_eq!((refused.recorded("issuer"), refused.recorded("provider")), (of("3333").into(), Value::Null));
    // It says that it is of one, and of another: each of them by itself is good.
    let torn = token(&w, "1111", |claims| claims["tid"] = "2222".into());
    let refused = w.ask(&Ask::get("/tokens").token(&torn));
    assert_eq!(refused.reason, Some(TokenIssuer));
    assert_eq!(refused.recorded("provider"), "corp");
    assert_eq!(refused.recorded("detail"), "the claim with the tenant is not the tenant that `iss` names");
    let nobodys = token(&w, "1111", |claims| drop(claims.as_object_mut().unwrap().remove("tid")));
    assert_eq!(w.reason(&Ask::get("/tokens").token(&nobodys)), Some(TokenClaims));
    // The template is nobody's name.
    assert_eq!(ask(&w, "/tokens", "{tenantid}").reason, Some(TokenIssuer));
    let any = world(&Value::Null, |_| {});
    assert_eq!(ask(&any, "/tokens", "3333").reason, None);
    assert_eq!(ask(&any, "/tokens", "3333/..").reason, Some(TokenIssuer));
}

/// A signature is checked once for each token, and what is remembered of one is never another's.
#[test]
fn remembered_by_tenant() {
    let w = world(&json!(["1111", "2222"]), |_| {});
    let tokens = ["1111", "2222"].map(|tenant| (tenant, token(&w, tenant, |_| {})));
    for (count, (tenant, token)) in [1, 2, 2, 2].into_iter().zip(tokens.iter().cycle()) {
        let answer = w.ask(&Ask::get("/tokens").token(token));
        assert_eq!((answer.recorded("authority"), w.checked.get()), (format!("corp#{tenant}").into(), count));
    }
}

/// Two tenants may know the same subject.
#[test]
fn one_subject_of_two_tenants_is_counted_twice() {
    let w = world(&Value::Null, |_| {});
    let admitted = |tenant: &str| {
        (0..20).take_while(|_| ask(&w, "/limited", tenant).reason != Some(RateLimited)).count()
    };
    assert_eq!((admitted("1111"), admitted("2222"), admitted("1111")), (3, 3, 0));
}

/// As Microsoft Entra ID publishes them: one set, in which a key may be for one tenant.
#[test]
fn a_key_that_names_its_issuer() {
    let with_issuer = |issuer: &str| {
        world(&json!(["1111", "2222"]), |policy| {
            policy["jwt"]["providers"][0]["jwks"]["inline"]["keys"][0]["issuer"] = issuer.into();
        })
    };
    let shared = with_issuer(&of("{tenantid}"));
    let own = with_issuer(&of("1111"));
    for (w, tenant, expected) in [
        (&shared, "1111", None),
        (&shared, "2222", None),
        (&own, "1111", None),
        (&own, "2222", Some(TokenKey)),
    ] {
        assert_eq!(ask(w, "/tokens", tenant).reason, expected, "{tenant}");
    }
    assert_eq!(
        ask(&own, "/tokens", "2222").recorded("detail"),
        format!("its key is for tokens of \"{}\" alone", of("1111"))
    );
}

/// Its issuer is asked about it, and must say the same.
#[test]
fn an_issuer_that_is_asked_names_the_tenant() {
    let w = world(&Value::Null, |policy| {
        let mut asked = introspection("https://login.example/introspect");
        asked["mode"] = "Always".into();
        policy["jwt"]["providers"][0]["introspection"] = asked;
    });
    let token = token(&w, "1111", |_| {});
    let reason = |answer: Value| {
        w.issue(
            &token,
            200,
            changed(json!({"active": true, "aud": "api", "sub": "alice", "iat": w.now.get(), "exp": w.now.get() + 600}), |all| {
                all.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
            }),
        );
        w.later(61);
        w.reason(&Ask::get("/tokens").token(&token))
    };
    assert_eq!(reason(json!({"iss": of("1111"), "tid": "1111"})), None);
    assert_eq!(reason(json!({"iss": of("1111"), "tid": "2222"})), Some(TokenIssuer));
    assert_eq!(reason(json!({"tid": "1111"})), Some(TokenClaims));
}

#[test]
fn clients_are_not_told_who_the_tenants_are() {
    let w = world(&json!(["1111"]), |policy| {
        policy["protectedResource"] = json!({"resource": "https://api.example"});
    });
    let answer = w.ask(&Ask::get("/.well-known/oauth-protected-resource"));
    let body = format!("{:?}", answer.upstream.as_ref().unwrap_err());
    assert!(body.contains("https://partner.example") && !body.contains("login.example"), "{body}");
}

/// The provider of a token is chosen by its issuer.
#[test]
fn no_token_is_of_two_providers() {
    let faults = |first: Value, second: Value| {
        let mut document = World::new().document;
        for (place, members) in [first, second].into_iter().enumerate() {
            let provider = document["jwt"]["providers"][place].as_object_mut().unwrap();
            provider.extend(members.as_object().unwrap().clone());
        }
        let compiled = Policy::compile(document.to_string().as_bytes(), "test");
        compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let any = || json!({"issuer": of("{tenantid}"), "anyTenant": true});
    let listed = |tenants: &[&str]| json!({"issuer": of("{tenantid}"), "tenants": tenants});
    let meet = [
        "jwt.providers[1].issuer: a token may be of this provider and of \"corp\": their issuers have one in common",
    ];
    for (first, second, expected) in [
        (any(), any(), &meet[..]),
        (any(), listed(&["1111"]), &meet),
        (any(), json!({"issuer": of("1111")}), &meet),
        (json!({"issuer": of("1111")}), any(), &meet),
        (listed(&["1111"]), json!({"issuer": of("1111")}), &meet),
        (listed(&["1111"]), listed(&["2222", "1111"]), &meet),
        (listed(&["1111"]), json!({"issuer": of("2222")}), &[]),
        (listed(&["1111"]), listed(&["2222"]), &[]),
        (any(), json!({"issuer": "https://login.example/{tenantid}/v1.0", "anyTenant": true}), &[]),
    ] {
        assert_eq!(faults(first.clone(), second.clone()), expected, "{first} {second}");
    }
}

/// Where nobody else's tokens stand, it is known whose they are.
#[test]
fn a_token_without_issuer() {
    let w = World::with(|policy| {
        policy["jwt"]["providers"][0]["requireIssuer"] = false.into();
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
    });
    let reason = |w: &World, issuer: Option<Value>| {
        let token = w.token(|claims| {
            drop(claims.as_object_mut().unwrap().remove("iss"));
            if let Some(issuer) = issuer {
                claims["iss"] = issuer;
            }
        });
        w.reason(&Ask::get("/tokens").token(&token))
    };
    assert_eq!(reason(&w, None), None);
    assert_eq!(reason(&w, Some("https://idp.example".into())), None);
    assert_eq!(reason(&w, Some("https://other.example".into())), Some(TokenIssuer));
    assert_eq!(reason(&w, Some("".into())), Some(TokenIssuer));
    assert_eq!(reason(&w, Some(Value::Null)), Some(TokenClaims));
    assert_eq!(reason(&World::new(), None), Some(TokenIssuer));
    // By nobody else's key, and in nobody else's place.
    let bare =
        changed(claims("https://idp.example"), |claims| drop(claims.as_object_mut().unwrap().remove("iss")));
    let (own, foreign) = (w.corp.sign(&bare), w.partner.sign_as(w.corp.kid, &bare));
    assert_eq!(w.reason(&Ask::get("/limited").token(&own)), None);
    assert_eq!(w.reason(&Ask::get("/limited").token(&foreign)), Some(TokenSignature));
    assert_eq!(w.reason(&Ask::get("/limited").header("x-partner-token", &own)), Some(TokenIssuer));
    // One that was verified is not taken where another provider's tokens stand.
    assert_eq!(w.reason(&Ask::get("/remote").token(&own)), Some(TokenIssuer));
}

#[test]
fn a_token_without_issuer_is_of_one_provider() {
    let faults = |change: &dyn Fn(&mut Value)| {
        let mut document = World::new().document;
        document["jwt"]["providers"][0]["requireIssuer"] = false.into();
        change(&mut document);
        let compiled = Policy::compile(document.to_string().as_bytes(), "test");
        compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let place = |policy: &Value, name: &str| {
        policy["rules"].as_array().unwrap().iter().position(|rule| rule["name"] == name).unwrap()
    };
    let tokens = place(&World::new().document, "tokens");
    assert_eq!(faults(&|_| {}), [""; 0]);
    let both = |policy: &mut Value| {
        policy["rules"][tokens]["authenticate"]["anyOf"] = json!([{"jwt": "remote"}, {"jwt": "corp"}]);
    };
    assert_eq!(
        faults(&both),
        [format!(
            "rules[{tokens}].authenticate: \"corp\" has requireIssuer: false and looks for tokens in the same place as \
             \"remote\"; a token without iss does not say whose it is"
        )]
    );
    // Under two rules, but what is remembered of a token is remembered of one provider.
    assert_eq!(
        faults(&|policy| policy["jwt"]["providers"][2]["requireIssuer"] = false.into()),
        ["jwt.providers[2].requireIssuer: \"corp\" takes tokens without iss in the same place"]
    );
    assert_eq!(faults(&|policy| policy["jwt"]["providers"][1]["requireIssuer"] = false.into()), [""; 0]);
}
