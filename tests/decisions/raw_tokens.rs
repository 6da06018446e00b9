//! Credentials in `authorization` without a scheme, and tokens whose parts are padded.

use portcullis::answer::Reason::{self, *};
use serde_json::{Value, json};

use crate::world::{Ask, World, changed, claims};

const BALANCER: &str =
    "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188";
const DATA: &str = "x-amzn-oidc-data";

/// Tokens of corp and API keys stand in `authorization` as they are; a load balancer tells whom the partner has logged in.
fn world() -> World {
    World::with(|policy| {
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
        policy["apiKeys"]["forward"] = true.into();
        let raw = json!({"headers": [{"name": "authorization", "valuePrefix": ""}]});
        policy["apiKeys"]["extractFrom"] = raw.clone();
        let providers = policy["jwt"]["providers"].as_array_mut().unwrap();
        providers[0]["extractFrom"] = raw;
        providers[1]["extractFrom"] = json!({"headers": [{"name": DATA}]});
        providers[1]["awsLoadBalancers"] = json!([BALANCER]);
        let rules = policy["rules"].as_array_mut().unwrap();
        // One that looks for both kinds of tokens in authorization would find two.
        rules
            .retain(|rule| rule["authenticate"]["anyOf"].as_array().is_none_or(|methods| methods.len() == 1));
        for (name, methods) in
            [("either", json!([{"jwt": "corp"}, "apiKey"])), ("logged-in", json!([{"jwt": "partner"}]))]
        {
            rules.push(json!({"name": name, "authenticate": {"anyOf": methods},
                "matches": [{"path": {"type": "Exact", "value": format!("/{name}")}}]}));
        }
        rules.push(json!({"name": "anyone", "authenticate": {"anyOf": [{"jwt": "corp"}], "optional": true},
            "matches": [{"path": {"type": "Exact", "value": "/anyone"}}]}));
    })
}

#[test]
fn what_stands_in_authorization_without_a_scheme() {
    let w = world();
    let token = w.token(|_| {});
    let forged = w.partner.sign(&claims("https://idp.example"));
    let with = |path: &str, value: &str| Ask::get(path).header("authorization", value);
    let rows: &[(&str, &str, Option<Reason>)] = &[
        ("/tokens", "TOKEN", None),
        ("/tokens", " TOKEN\t", None),
        ("/either", "TOKEN", None),
        ("/either", "reader-secret", None),
        ("/keys", "reader-secret", None),
        ("/anyone", "TOKEN", None),
        ("/tokens", "", Some(CredentialsMissing)),
        ("/tokens", "FORGED", Some(TokenKey)),
        ("/tokens", "TOKEN=", Some(TokenMalformed)),
        ("/tokens", "reader-secret", Some(TokenMalformed)),
        ("/keys", "TOKEN", Some(ApiKeyUnknown)),
        // Of a scheme, and not to be taken for what has none.
        ("/tokens", "Bearer TOKEN", Some(TokenMalformed)),
        ("/tokens", "bearer\tTOKEN", Some(TokenMalformed)),
        ("/tokens", "DPoP TOKEN", Some(TokenMalformed)),
        ("/tokens", "Basic YTpi", Some(TokenMalformed)),
        ("/tokens", "TOKEN x", Some(TokenMalformed)),
        ("/either", "Bearer TOKEN", Some(TokenMalformed)),
        ("/keys", "ApiKey reader-secret", Some(ApiKeyUnknown)),
        ("/anyone", "Bearer TOKEN", Some(TokenMalformed)),
        // Two lines that Envoy has joined.
        ("/tokens", "TOKEN,TOKEN", Some(CredentialsAmbiguous)),
        ("/tokens", "TOKEN, TOKEN", Some(TokenMalformed)),
        ("/keys", "reader-secret,x", Some(CredentialsAmbiguous)),
    ];
    for (path, value, expected) in rows {
        let value = value.replace("TOKEN", &token).replace("FORGED", &forged);
        let answer = w.ask(&with(path, &value));
        assert_eq!(answer.reason, *expected, "{path} {value}");
        // A verified key goes on, as the policy says; nothing else that stands there does, also where nobody looks.
        let kept = if value == "reader-secret" && expected.is_none() { "reader-secret" } else { "" };
        let seen =
            if expected.is_none() { answer.upstream("authorization") } else { answer.shown("authorization") };
        assert_eq!(seen, kept, "{path} {value}");
        assert_eq!(w.ask(&with("/health", &value)).upstream("authorization"), "", "{value}");
    }
    // Nobody is asked about what names a scheme.
    let w = World::with(|policy| {
        policy["jwt"]["providers"][3]["extractFrom"] =
            json!({"headers": [{"name": "authorization", "valuePrefix": ""}]});
    });
    assert_eq!(w.reason(&with("/opaque", "Basic YTpi")), Some(TokenMalformed));
    assert_eq!(w.reason(&with("/opaque", "YTpi")), Some(TokenInactive));
}

/// The header and claims of Application Load Balancer's documentation, with a key of ours.
#[test]
fn tokens_of_load_balancers_are_padded_and_name_who_signed_them() {
    let w = world();
    let header = json!({"alg": "ES256", "kid": "p1", "typ": "JWT", "signer": BALANCER,
        "iss": "https://partner.example", "client": "client-id1", "exp": 1_800_000_600});
    let claims = json!({"sub": "1234567890", "name": "name1", "email": "alias@example.com",
        "exp": 1_800_000_600, "iss": "https://partner.example"});
    let ask = |token: &str| Ask::get("/logged-in").header(DATA, token);
    let good = w.partner.sign_padded(&header, &claims);
    assert!(good.split('.').all(|part| part.ends_with('=')), "{good}");
    // Whatever is left over in each part, and also when it is remembered.
    for more in ["", "a", "ab"] {
        let longer = |value: &Value| changed(value.clone(), |value| value["x"] = more.into());
        let token = w.partner.sign_padded(&longer(&header), &longer(&claims));
        for _ in 0..2 {
            let answer = w.ask(&ask(&token));
            assert_eq!(
                (answer.reason, answer.upstream("x-portcullis-subject")),
                (None, "1234567890".to_owned())
            );
        }
    }
    let parts: Vec<&str> = good.split('.').collect();
    let bare = |n: usize| parts[n].trim_end_matches('=');
    let of = |header: &Value| w.partner.sign_padded(header, &claims);
    let long = |value: &str| changed(header.clone(), |header| header["signer"] = value.into());
    for (token, expected) in [
        (good.replace('=', ""), TokenSignature),
        (format!("{}.{}.{}", parts[0], parts[1], bare(2)), TokenMalformed),
        (format!("{}.{}.{}=", parts[0], parts[1], bare(2)), TokenMalformed),
        (format!("{good}="), TokenMalformed),
        (format!("{good}===="), TokenMalformed),
        (good.replace("==", "%3d%3d"), TokenMalformed),
        (w.corp.sign_padded(&header, &claims), TokenSignature),
        (of(&long(&BALANCER.replace("shop", "other"))), TokenIssuer),
        (of(&long(&format!("{BALANCER}x"))), TokenIssuer),
        (
            of(&changed(header.clone(), |header| drop(header.as_object_mut().unwrap().remove("signer")))),
            TokenIssuer,
        ),
        (of(&changed(header.clone(), |header| header["signer"] = json!([BALANCER]))), TokenIssuer),
        // Not padded, and of the same keys.
        (w.partner.sign(&claims), TokenIssuer),
    ] {
        assert_eq!(w.reason(&ask(&token)), Some(expected), "{token}");
    }
    assert_eq!(w.reason(&ask(&good)), None);
    // Nowhere else is padding taken.
    let corp = changed(header.clone(), |header| header["kid"] = "c1".into());
    let padded = w.corp.sign_padded(&corp, &crate::world::claims("https://idp.example"));
    assert_eq!(w.reason(&Ask::get("/tokens").header("authorization", &padded)), Some(TokenMalformed));
    // Nor from another issuer that stands in the same place.
    let w = World::with(|policy| {
        let providers = policy["jwt"]["providers"].as_array_mut().unwrap();
        for provider in &mut providers[..2] {
            provider["extractFrom"] = json!({"headers": [{"name": DATA}]});
        }
        providers[1]["awsLoadBalancers"] = json!([BALANCER]);
        policy["rules"].as_array_mut().unwrap().push(json!({"name": "logged-in",
            "matches": [{"path": {"type": "Exact", "value": "/logged-in"}}],
            "authenticate": {"anyOf": [{"jwt": "partner"}, {"jwt": "corp"}]}}));
    });
    let (header, claims) = (
        &changed(header, |header| header["kid"] = "c1".into()),
        &crate::world::claims("https://idp.example"),
    );
    assert_eq!(w.reason(&ask(&w.corp.sign_padded(header, claims))), Some(TokenMalformed));
    assert_eq!(w.reason(&ask(&w.corp.sign(claims))), None);
}
