//! Keys that the gateway signs with.

use serde_json::{Value, json};

use crate::{run, text};

fn members(jwk: &Value) -> Vec<&str> {
    jwk.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_new_key_is_one_that_a_policy_takes() {
    for (arguments, kind, kid) in [
        (&["signing-key", "new"][..], "EC", None),
        (&["signing-key", "new", "--algorithm", "EdDSA"], "OKP", None),
        (&["signing-key", "new", "--kid", "2027"], "EC", Some("2027")),
    ] {
        let made = run(arguments, "");
        assert!(made.status.success() && made.stderr.is_empty(), "{made:?}");
        let printed = text(made.stdout);
        // On one line, which is YAML, too.
        assert_eq!(printed.lines().count(), 1);
        let jwk: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(jwk["kty"], kind);
        assert!(kid.is_none_or(|kid| jwk["kid"] == kid) && !jwk["kid"].as_str().unwrap().is_empty());
        assert_ne!(printed, text(run(arguments, "").stdout));

        let policy = json!({
            "signingKeys": {"keys": [jwk]},
            "sessions": {"issuer": "https://api.example", "audiences": ["api"]},
            "rules": [{"name": "all", "authenticate": {"anyOf": [{"jwt": "sessions"}]}}],
        });
        let checked = run(&["check", "--deny-warnings", "-"], &policy.to_string());
        assert!(checked.status.success(), "{}", text(checked.stderr));

        let public = run(&["signing-key", "public"], &printed);
        assert!(public.status.success(), "{public:?}");
        let public = text(public.stdout);
        assert!(!public.contains(jwk["d"].as_str().unwrap()));
        let public: Value = serde_json::from_str(&public).unwrap();
        assert!(members(&public).iter().all(|name| public[*name] == jwk[*name]), "{public}");
        let expected = if kind == "EC" {
            vec!["kty", "crv", "x", "y", "kid", "alg", "use"]
        } else {
            vec!["kty", "crv", "x", "kid", "alg", "use"]
        };
        assert_eq!(members(&public), expected);
    }
}

#[test]
fn what_is_no_key_is_refused_and_not_shown() {
    let wrong = run(&["signing-key", "new", "--algorithm", "RS256"], "");
    assert_eq!(wrong.status.code(), Some(2));
    for (arguments, input, code, expected) in [
        (&["signing-key", "new", "--kid", ""][..], "", 2, "`kid` is not a text of 1 to 256 bytes"),
        (&["signing-key", "public"], "-----BEGIN PRIVATE KEY-----\ntop-secret", 1, "not a JWK: no JSON"),
        (&["signing-key", "public"], r#"{"kty": "RSA", "d": "top-secret"}"#, 1, "not a JWK for ES256"),
        (
            &["signing-key", "public"],
            r#"{"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "d": "top-secret"}"#,
            1,
            "not a usable private JWK",
        ),
    ] {
        let refused = run(arguments, input);
        assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(code), true), "{refused:?}");
        let said = text(refused.stderr);
        assert!(said.starts_with(&format!("error: {expected}")) && !said.contains("top-secret"), "{said}");
    }
}

/// Where a policy is checked, others read along.
#[test]
fn a_check_shows_no_secret_of_the_policy() {
    let policy = "signingKeys:\n  keys:\n  - {kty: EC, crv: P-256, x: aaaa, y: bbbb, d: top-secret}\n\
                  jwt:\n  providers:\n  - name: a\n    symmetricKeys: [{kid: a, secret: top-secret}]\n    introspection: \
                  {clientSecret: top-secret}\nrules: []\n";
    let said = text(run(&["check", "-"], policy).stderr);
    for shown in ["x: aaaa, y: bbbb, d: **********}", "{kid: a, secret: **********}", "^ signingKeys.keys[0]"]
    {
        assert!(said.contains(shown), "{said}");
    }
    assert!(!said.contains("top-secret"), "{said}");
    for output in ["json", "sarif"] {
        let told = run(&["check", "--output", output, "-"], policy);
        assert!(!text(told.stdout).contains("top-secret"), "{output}");
    }
}
