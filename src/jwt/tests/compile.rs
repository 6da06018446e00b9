use std::time::Duration;

use serde_json::json;

use super::{
    super::*,
    remote::remote_at,
    tokens::{discovered, keys, provider},
};

fn good() -> ProviderSpec {
    let mut spec = provider();
    spec.keys = KeySource::Inline(keys().jwks.clone());
    spec
}

fn remote() -> RemoteJwks {
    remote_at(JwksLocation::Uri(Url::parse("https://idp.example/jwks").unwrap()))
}

fn symmetric(lengths: &[usize]) -> KeySource {
    let key =
        |(index, len): (usize, &usize)| SymmetricKey { id: Some(index.to_string()), secret: vec![7; *len] };
    KeySource::Symmetric(lengths.iter().enumerate().map(key).collect())
}

type Change = fn(&mut ProviderSpec);

#[test]
fn good_ones() {
    let changes: [Change; 9] = [
        |_| {},
        |spec| spec.audiences = None,
        |spec| spec.clock_skew = Duration::from_secs(300),
        |spec| spec.clock_skew = Duration::ZERO,
        |spec| spec.keys = KeySource::Remote(remote()),
        |spec| {
            spec.algorithms = vec![Algorithm::Hs256, Algorithm::Hs512];
            spec.keys = symmetric(&[32, 64]);
        },
        |spec| {
            spec.algorithms = Algorithm::PUBLIC.to_vec();
        },
        |spec| spec.max_token_size = 1,
        |spec| spec.audiences = Some(vec!["https://login.example/{tenantid}".into()]),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut spec = good();
        change(&mut spec);
        let provider = Provider::compile(&spec).unwrap_or_else(|faults| panic!("{index}: {faults:?}"));
        assert_eq!(provider.keys().is_none(), provider.remote().is_some());
        assert_eq!((&**provider.name(), provider.issuer().as_str()), ("corp", "https://idp.example"));
    }
}

#[test]
fn each_fault_with_its_path() {
    let table: Vec<(Change, &[&str])> = vec![
        // A public key that is taken for a shared secret is the classic confusion (RFC 8725 section 2.1).
        (
            |spec| spec.algorithms = vec![Algorithm::Es256, Algorithm::Hs256],
            &["algorithms[1]: no key of the set can satisfy HS256"],
        ),
        (
            |spec| {
                spec.keys = symmetric(&[64]);
                spec.algorithms = vec![Algorithm::Hs256, Algorithm::Rs256];
            },
            &["algorithms[1]: no symmetric key long enough can satisfy RS256"],
        ),
        (
            |spec| {
                spec.keys = symmetric(&[31, 32]);
                spec.algorithms = vec![Algorithm::Hs256];
            },
            &["symmetricKeys[0].secret: shorter than 32 bytes (RFC 7518 section 3.2)"],
        ),
        (
            |spec| {
                spec.keys = symmetric(&[0]);
                spec.algorithms = vec![Algorithm::Hs384];
            },
            &["symmetricKeys[0].secret: shorter than 48 bytes (RFC 7518 section 3.2)"],
        ),
        (
            |spec| {
                spec.keys = symmetric(&[32]);
                spec.algorithms = vec![Algorithm::Hs256, Algorithm::Hs512];
            },
            &["algorithms[1]: no symmetric key long enough can satisfy HS512"],
        ),
        (
            |spec| spec.keys = KeySource::Inline(keys().only(&["rsa"])),
            &["algorithms[1]: no key of the set can satisfy ES256"],
        ),
        (
            |spec| {
                let mut jwks = keys().only(&["rsa", "es256"]);
                jwks["keys"][0]["alg"] = json!("PS256");
                spec.keys = KeySource::Inline(jwks);
            },
            &["algorithms[0]: no key of the set can satisfy RS256"],
        ),
        (
            |spec| {
                let mut jwks = keys().only(&["rsa", "es256"]);
                jwks["keys"][0]["use"] = json!("enc");
                jwks["keys"][1]["d"] = json!("AQAB");
                spec.keys = KeySource::Inline(jwks);
            },
            &[
                "jwks.inline.keys[0]: `use` is not `sig`",
                "jwks.inline.keys[1]: a private key in a public set",
            ],
        ),
        (|spec| spec.keys = KeySource::Inline(json!({"keys": []})), &["jwks.inline: no usable key"]),
        (|spec| spec.keys = KeySource::Inline(json!([])), &["jwks.inline: not a JSON object"]),
        (
            |spec| {
                let max_stale = Duration::from_secs(599);
                spec.keys = KeySource::Remote(RemoteJwks { max_stale, ..remote() });
            },
            &["jwks.maxStale: shorter than jwks.cacheDuration"],
        ),
        (
            |spec| {
                let location = JwksLocation::Discovery(Box::new(discovered("https://idp.example")));
                spec.keys = KeySource::Remote(RemoteJwks { location, max_stale: Duration::ZERO, ..remote() });
            },
            &["discovery.maxStale: shorter than discovery.cacheDuration"],
        ),
        (
            |spec| {
                let mut jwks = keys().only(&["rsa", "es256"]);
                jwks["keys"][1]["issuer"] = json!("https://login.example/{t}{u}");
                spec.keys = KeySource::Inline(jwks);
            },
            &["jwks.inline.keys[1]: `issuer` has a wrong form"],
        ),
        // All at once.
        (
            |spec| spec.algorithms = vec![Algorithm::Hs256, Algorithm::Rs256, Algorithm::Hs384],
            &[
                "algorithms[0]: no key of the set can satisfy HS256",
                "algorithms[2]: no key of the set can satisfy HS384",
            ],
        ),
    ];
    for (change, expected) in table {
        let mut spec = good();
        change(&mut spec);
        let faults = Provider::compile(&spec).err().unwrap_or_default();
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn no_secret_in_debug() {
    let mut spec = good();
    spec.algorithms = vec![Algorithm::Hs256];
    spec.keys = KeySource::Symmetric(vec![SymmetricKey { id: None, secret: b"hunter2!".repeat(4) }]);
    let shown = format!("{:?}", Provider::compile(&spec).unwrap());
    assert!(!shown.contains("hunter2") && !shown.contains("104, 117, 110"), "{shown}");
}
