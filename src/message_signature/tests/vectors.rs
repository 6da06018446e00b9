//! The test cases of RFC 9421 appendix B, with the keys that are published there.

use super::*;
use crate::{crypto::KeyType, text::base64};

/// Appendix B.1.2.
const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
";

/// Appendix B.1.3.
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----
";

/// Appendix B.1.4.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
";

/// Appendix B.1.5.
const SECRET: &str =
    "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";

fn public(id: &str, algorithm: Algorithm, pem: &str) -> SignerKey {
    let key = PublicKey::from_pem(algorithm.key_type(), pem).unwrap().unwrap();
    SignerKey { id: id.to_owned(), algorithm, material: KeyMaterial::Public(key) }
}

fn everybody() -> Vec<Rc<SignerSpec>> {
    let secret = KeyMaterial::Secret(SecretKey::new(&base64::decode(SECRET).unwrap()));
    let keys = vec![
        public("test-key-rsa-pss", Algorithm::Ps512, RSA_PSS),
        public("test-key-ecc-p256", Algorithm::Es256, P256),
        public("test-key-ed25519", Algorithm::EdDsa, ED25519),
        SignerKey { id: "test-shared-secret".to_owned(), algorithm: Algorithm::Hs256, material: secret },
    ];
    vec![Rc::new(signer("rfc", keys))]
}

const NOW: u64 = 1_618_884_473;
const BODY: &[u8] = b"{\"hello\": \"world\"}";

/// `test-request`.
fn request() -> Request {
    Request::new("POST", "example.com", "/foo?param=Value&Pet=dog")
        .header("date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .header("content-type", "application/json")
        .header(
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        )
        .header("content-length", "18")
}

/// Appendix B.3: as a proxy sends it on that ended the client's TLS.
fn proxied() -> Request {
    Request::new("POST", "service.internal.example", "/foo?param=Value&Pet=dog").header(
        "client-cert",
        ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVy\
         bWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\
         QgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIw\
         ADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/\
         BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4u\
         rmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:",
    )
}

/// The request, the label, its list, the signature.
fn vectors() -> Vec<(Request, &'static str, &'static str, &'static str)> {
    vec![
        (
            request(),
            "sig-b21",
            "();created=1618884473;keyid=\"test-key-rsa-pss\";nonce=\"b3k2pp5k7z-50gnwp.yemd\"",
            "d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA\
             7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0m\
             KZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO\
             5Nyt8C8ssinQ98Xw9Q==",
        ),
        (
            request(),
            "sig-b22",
            "(\"@authority\" \"content-digest\" \"@query-param\";name=\"Pet\");created=1618884473;keyid=\"test-key-rsa-pss\"\
             ;tag=\"header-example\"",
            "LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+EC\
             xCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7C\
             l+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQ\
             l3/XaVe4bXTugEjHSw==",
        ),
        (
            request(),
            "sig-b23",
            "(\"date\" \"@method\" \"@path\" \"@query\" \"@authority\" \"content-type\" \"content-digest\" \"content-length\")\
             ;created=1618884473;keyid=\"test-key-rsa-pss\"",
            "bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38\
             K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCo\
             C1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FU\
             o5fTIztsDZKEgM4cUA==",
        ),
        (
            request(),
            "sig-b25",
            "(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
            "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
        ),
        (
            request(),
            "sig-b26",
            "(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473\
             ;keyid=\"test-key-ed25519\"",
            "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
        ),
        (
            proxied(),
            "ttrp",
            "(\"@path\" \"@query\" \"@method\" \"@authority\" \"client-cert\");created=1618884473;keyid=\"test-key-ecc-p256\"",
            "xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==",
        ),
    ]
}

#[test]
fn published_requests_pass_and_their_neighbours_do_not() {
    let signers = everybody();
    for (request, label, list, signature) in vectors() {
        let signed = request.clone().signed(label, list, signature);
        let covers_body = list.contains("content-digest");
        let body = if covers_body { BODY } else { b"" };
        let principal = signed.of(&signers, body, NOW).unwrap_or_else(|error| panic!("{label}: {error}"));
        assert_eq!(
            (&*principal.subject, principal.kind),
            ("rfc", PrincipalKind::MessageSignature),
            "{label}"
        );
        assert!(list.contains(&format!("keyid=\"{}\"", principal.credential_id)));
        let wrong_body = match covers_body {
            true => SignatureError::DigestMismatch,
            false => SignatureError::Uncovered("content-digest".to_owned()),
        };
        assert_eq!(signed.of(&signers, b"{\"hello\": \"World\"}", NOW).err(), Some(wrong_body), "{label}");
        // Whatever is covered counts, and nothing else.
        let covers = |name: &str| list.contains(&format!("\"{name}\""));
        let mut others = vec![
            (Request { method: "PUT", ..signed.clone() }, covers("@method")),
            (Request { authority: "example.org", ..signed.clone() }, covers("@authority")),
            (Request { target: signed.target.replace("/foo", "/bar"), ..signed.clone() }, covers("@path")),
            (
                Request { target: signed.target.replace("Pet=dog", "Pet=cat"), ..signed.clone() },
                covers("@query") || covers("@query-param"),
            ),
            (Request { target: signed.target.replace("Value", "value"), ..signed.clone() }, covers("@query")),
        ];
        for (place, (name, value)) in request.headers.iter().enumerate() {
            let mut other = signed.clone();
            other.headers[place].1 = format!("{value} x");
            let digest = name == "content-digest";
            others.push((other, covers(name)));
            let absent = signed.clone().without(name);
            let expected = covers(name).then(|| SignatureError::Absent(name.clone()));
            assert_eq!(absent.of(&signers, body, NOW).err(), expected, "{label}: {name} {digest}");
        }
        for (other, is_covered) in others {
            let expected = is_covered.then_some(SignatureError::Mismatch);
            assert_eq!(other.of(&signers, body, NOW).err(), expected, "{label}: {other:?}");
        }
        // So does whatever the signature says of itself.
        for (from, to) in [("created=1618884473", "created=1618884474"), (")", ");x"), ("(", "(\"@scheme\" ")]
        {
            let list = list.replacen(from, to, 1).replace("\"@scheme\" )", "\"@scheme\")");
            let other = request.clone().signed(label, &list, signature);
            assert_eq!(
                other.of(&signers, body, NOW).err(),
                Some(SignatureError::Mismatch),
                "{label}: {list}"
            );
        }
        let mut bytes = base64::decode(signature).unwrap();
        for place in [0, bytes.len() / 2, bytes.len() - 1] {
            bytes[place] ^= 1;
            let other = request.clone().signed(label, list, &encoded(&bytes));
            assert_eq!(
                other.of(&signers, body, NOW).err(),
                Some(SignatureError::Mismatch),
                "{label} {place}"
            );
            bytes[place] ^= 1;
        }
        for cut in [0, 1, bytes.len() - 1] {
            let other = request.clone().signed(label, list, &encoded(&bytes[..cut]));
            assert_eq!(other.of(&signers, body, NOW).err(), Some(SignatureError::Mismatch), "{label} {cut}");
        }
    }
}

fn encoded(bytes: &[u8]) -> String {
    use ct_codecs::{Base64, Encoder};
    Base64::encode_to_string(bytes).unwrap()
}

/// Appendix B.2.4: of a response, so what is signed is as it is printed there.
#[test]
fn a_published_response_is_its_signers() {
    let base = "\"@status\": 200\n\"content-type\": application/json\n\"content-digest\": sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvx\
                oYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:\n\"content-length\": 23\n\"@signature-params\": (\
                \"@status\" \"content-type\" \"content-digest\" \"content-length\");created=1618884473;keyid=\"test-key-ecc-p256\"";
    let signature =
        "wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==";
    let key = public("test-key-ecc-p256", Algorithm::Es256, P256);
    let signature = base64::decode(signature).unwrap();
    assert!(key.made(base.as_bytes(), &signature, &NoHostCrypto));
    assert!(!key.made(base.replace("200", "201").as_bytes(), &signature, &NoHostCrypto));
}

/// Appendix B.4: what may become of a request on its way, and what may not.
#[test]
fn what_is_not_signed_may_change() {
    let signers = everybody();
    let asked = |method, authority, target: &str, accepts: &[&str]| {
        let request = Request::new(method, authority, target).header("date", "Fri, 15 Jul 2022 14:24:55 GMT");
        let request = accepts.iter().fold(request, |request, value| request.header("accept", value));
        request.signed(
            "transform",
            "(\"@method\" \"@path\" \"@authority\" \"accept\");created=1618884473;keyid=\"test-key-ed25519\"",
            "ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==",
        )
    };
    let target = "/demo?name1=Value1&Name2=value2";
    for (request, passes) in [
        (asked("GET", "example.org", target, &["application/json", "*/*"]), true),
        (
            asked(
                "GET",
                "example.org",
                "/demo?name1=Value1&Name2=value2&param=added",
                &["application/json", "*/*"],
            )
            .header("accept-language", "en-US,en;q=0.5"),
            true,
        ),
        (
            asked("GET", "example.org", target, &["application/json, */*"])
                .without("date")
                .header("referer", "https://developer.example.org/demo"),
            true,
        ),
        (asked("GET", "Example.ORG:443", target, &[" application/json\t", "*/* "]), true),
        (asked("POST", "example.com", target, &["application/json", "*/*"]), false),
        (asked("GET", "example.org", target, &["*/*", "application/json"]), false),
        (asked("GET", "example.org:8443", target, &["application/json", "*/*"]), false),
    ] {
        let expected = (!passes).then_some(SignatureError::Mismatch);
        assert_eq!(request.of(&signers, b"", NOW).err(), expected, "{request:?}");
    }
}

/// Keys in PEM, each beside what is none.
#[test]
fn public_keys_in_pem() {
    let is_key = |key_type, pem: &str| PublicKey::from_pem(key_type, pem).is_some_and(|key| key.is_ok());
    for (pem, own) in [(RSA_PSS, KeyType::Rsa), (P256, KeyType::P256), (ED25519, KeyType::Ed25519)] {
        for key_type in [
            KeyType::Rsa,
            KeyType::P256,
            KeyType::P384,
            KeyType::Ed25519,
            KeyType::Octets,
            KeyType::Secp256k1,
        ] {
            assert_eq!(is_key(key_type, pem), key_type == own, "{key_type:?} {pem}");
        }
        assert!(is_key(own, &format!("\n{}\r\n", pem.replace('\n', "\r\n"))));
        assert!(!is_key(own, &pem.replace("PUBLIC KEY", "RSA PUBLIC KEY")));
        assert!(!is_key(own, &pem.replace("-----BEGIN PUBLIC KEY-----", "")));
        assert!(!is_key(own, &pem.replacen("MC", "MD", 1).replacen("MF", "MG", 1).replacen("MI", "MJ", 1)));
    }
    assert!(!is_key(KeyType::Ed25519, ""));
    assert!(!is_key(KeyType::Rsa, "-----BEGIN PUBLIC KEY----------END PUBLIC KEY-----"));
}
