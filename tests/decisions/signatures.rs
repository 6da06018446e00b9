//! Requests that are signed (RFC 9421): whose they are, what of them reaches the upstream, and which are good once.

use ct_codecs::{Base64, Base64UrlSafeNoPadding, Decoder, Encoder};
use portcullis::{
    answer::Reason,
    crypto::sha256,
    engine::{Body, WorkerState},
    policy::Policy,
};
use ring::{
    hmac::{HMAC_SHA256, Key},
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use crate::world::{Ask, NOW, Pending, World};

const ALL: [&str; 4] = ["@method", "@authority", "@path", "@query"];
const OF_TILL: [&str; 3] = ["@method", "@target-uri", "x-tenant"];

/// What somebody signs with, by another implementation.
enum Signer {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Secret(Key),
}

impl Signer {
    /// RFC 9421 appendix B.1.4.
    fn bank() -> Self {
        let decode = |text| Base64UrlSafeNoPadding::decode_to_vec(text, None).unwrap();
        let seed = decode("n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU");
        let public = decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs");
        Self::Ed25519(Ed25519KeyPair::from_seed_and_public_key(&seed, &public).unwrap())
    }

    fn till() -> Self {
        Self::Secret(Key::new(HMAC_SHA256, b"tilltilltilltilltilltilltilltill"))
    }

    fn sign(&self, base: &str) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(base.as_bytes()).as_ref().to_vec(),
            Self::P256(key) => key.sign(&SystemRandom::new(), base.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Secret(key) => ring::hmac::sign(key, base.as_bytes()).as_ref().to_vec(),
        }
    }
}

/// A component of a request without anything that would have to be put into one form.
fn value(ask: &Ask, name: &str) -> String {
    let header = |name: &str| {
        let (_, value) = ask.headers.iter().find(|(own, _)| own == name.as_bytes()).unwrap();
        String::from_utf8(value.clone()).unwrap()
    };
    let target = header(":path");
    match name {
        "@method" => header(":method"),
        "@authority" => header(":authority"),
        "@path" => target.split('?').next().unwrap().to_owned(),
        "@query" => format!("?{}", target.split_once('?').map_or("", |(_, query)| query)),
        "@target-uri" => format!("https://{}{target}", header(":authority")),
        header_name => header(header_name),
    }
}

impl Ask {
    /// With a signature over `components`, and what stands behind them.
    fn signed(self, signer: &Signer, components: &[&str], parameters: &str) -> Self {
        let names: Vec<_> = components.iter().map(|name| format!("{name:?}")).collect();
        let list = format!("({}){parameters}", names.join(" "));
        let mut base: String =
            components.iter().map(|name| format!("{name:?}: {}\n", value(&self, name))).collect();
        base += &format!("\"@signature-params\": {list}");
        let signature = Base64::encode_to_string(signer.sign(&base)).unwrap();
        self.header("signature-input", &format!("sig={list}"))
            .header("signature", &format!("sig=:{signature}:"))
    }

    fn digested(self, body: &str) -> Self {
        let digest = Base64::encode_to_string(sha256(body.as_bytes())).unwrap();
        self.header("content-digest", &format!("sha-256=:{digest}:")).body(Body::Whole(body.into()))
    }

    fn instead(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }
}

fn at(created: u64) -> String {
    format!(";created={created};keyid=\"bank-1\"")
}

fn of_bank(ask: Ask) -> Ask {
    ask.signed(&Signer::bank(), &ALL, &at(NOW))
}

/// With its body, which is covered.
fn with_body(body: &str) -> Ask {
    let ask = Ask::new("POST", "/signed").digested(body);
    ask.signed(&Signer::bank(), &[&ALL[..], &["content-digest"]].concat(), &at(NOW))
}

fn till(target: &str, created: u64, nonce: &str) -> Ask {
    let parameters = format!(";created={created};keyid=\"till-1\";tag=\"till\"{nonce}");
    Ask::get(target).header("x-tenant", "t1").signed(&Signer::till(), &OF_TILL, &parameters)
}

/// One that is good once.
pub(crate) fn once() -> Ask {
    till("/till", NOW, "")
}

/// Each reason, what is refused for it, and the nearest that passes.
pub(crate) fn rows() -> Vec<(Reason, Ask, Ask)> {
    use Reason::*;
    let get = || Ask::get("/signed?a=1");
    let good = || of_bank(get());
    let signed =
        |components: &[&str], parameters: &str| get().signed(&Signer::bank(), components, parameters);
    let whole = |body: &str| Body::Whole(body.into());
    let other_key = ";created=1800000000;keyid=\"bank-2\"";
    vec![
        (SignatureMissing, get(), good()),
        (SignatureMissing, get().key("reader-secret"), good().key("reader-secret")),
        (SignatureMalformed, good().without("signature"), good()),
        (SignatureMalformed, good().without("signature-input"), good()),
        (
            SignatureMalformed,
            good().header("signature", "sig=:AA==:"),
            good().header("signature", "other=:AA==:"),
        ),
        (SignatureExpired, signed(&ALL, &at(NOW - 331)), signed(&ALL, &at(NOW - 330))),
        (SignatureExpired, signed(&ALL, &at(NOW + 31)), signed(&ALL, &at(NOW + 30))),
        (SignatureInvalid, signed(&ALL, other_key), get().signed(&Signer::till(), &ALL, other_key)),
        (SignatureInvalid, signed(&ALL, ";created=1800000000;keyid=\"till-1\""), good()),
        (SignatureInvalid, good().instead(":path", "/signed?a=2"), good()),
        (SignatureInvalid, good().instead(":path", "/signed/x?a=1"), good()),
        (SignatureInvalid, good().instead(":path", "/signed?"), good()),
        (
            SignatureInvalid,
            good().instead(":authority", "api.example:8443"),
            good().instead(":authority", "API.example:443"),
        ),
        (SignatureInvalid, good().instead(":method", "HEAD"), good()),
        (
            SignatureIncomplete,
            signed(&ALL[..3], &at(NOW)),
            Ask::get("/signed").signed(&Signer::bank(), &ALL[..3], &at(NOW)),
        ),
        (SignatureIncomplete, signed(&ALL[1..], &at(NOW)), good()),
        (SignatureIncomplete, good().body(whole("a body")), good().body(whole(""))),
        (SignatureIncomplete, of_bank(Ask::new("POST", "/signed").digested("a body")), with_body("a body")),
        (
            SignatureIncomplete,
            good().header("content-length", "1").body(Body::Coming),
            good().header("content-length", "0"),
        ),
        (ContentDigestInvalid, with_body("a body").body(whole("another")), with_body("another")),
        (ContentDigestInvalid, with_body("a body").body(whole("")), with_body("")),
        (
            SignatureInvalid,
            with_body("a body").instead("content-digest", "sha-256=:AA==:"),
            with_body("a body"),
        ),
        (AmbiguousPath, of_bank(Ask::get("/signed/./x")), of_bank(Ask::get("/signed/x"))),
        (AmbiguousPath, of_bank(Ask::get("/signed/%7ex")), of_bank(Ask::get("/signed/~x"))),
        (
            CredentialsAmbiguous,
            good().header("signature-input", "b=();keyid=\"bank-2\""),
            good().header("signature-input", "b=();keyid=\"x\""),
        ),
        (BodyTooLarge, with_body("a body").body(Body::TooLong), with_body(&"x".repeat(20))),
        (
            BodyTooLarge,
            with_body("a body").header("content-length", "21"),
            with_body("a body").header("content-length", "20"),
        ),
        (BodyUnavailable, with_body("a body").body(Body::Unavailable("it is lost")), with_body("a body")),
        (SignatureInvalid, till("/till", NOW, "").instead("x-tenant", "t2"), till("/till", NOW - 1, "")),
        (
            SignatureInvalid,
            Ask::get("/till").header("x-tenant", "t1").signed(
                &Signer::till(),
                &OF_TILL,
                ";created=1800000000;keyid=\"till-1\"",
            ),
            till("/till", NOW - 2, ""),
        ),
    ]
}

#[test]
fn a_signed_request_is_of_its_signer() {
    let w = World::new();
    for (ask, subject, scopes, key, reaches) in [
        (of_bank(Ask::get("/signed")), "bank", "hooks:write", "bank-1", true),
        (with_body("a body"), "bank", "hooks:write", "bank-1", true),
        (once(), "till", "", "till-1", false),
    ] {
        let answer = w.ask(&ask);
        assert_eq!(answer.upstream("x-portcullis-subject"), subject);
        assert_eq!(answer.upstream("x-portcullis-kind"), "message-signature");
        assert_eq!(answer.upstream("x-portcullis-scopes"), scopes);
        for header in ["signature-input", "signature"] {
            assert_eq!(answer.upstream(header).is_empty(), !reaches, "{header}");
        }
        let recorded = ["principal", "kind", "credential"].map(|member| answer.recorded(member));
        assert_eq!(recorded, [json!(subject), json!("message-signature"), json!(key)]);
        assert!(!answer.record.unwrap().contains("a body"));
    }
    // Of a rule that takes it not, it is removed like any other credential that nobody verified.
    let answer = w.ask(&of_bank(Ask::get("/health")));
    assert_eq!(answer.upstream("signature-input") + &answer.upstream("signature"), "");
    // What is signed is not looked for under other names, which reach nobody.
    let answer = w.ask(&once().from("10.0.0.9").instead("x-tenant", "t1").header("x_tenant", "t2"));
    assert_eq!(answer.reason, Some(Reason::SignatureReplayed));
    let answer = w.ask(&till("/till", NOW - 3, "").header("x_tenant", "t2").header("signature_input", "x"));
    assert_eq!(answer.upstream("x-tenant"), "t1");
    assert_eq!(answer.upstream("x_tenant") + &answer.upstream("signature_input"), "");
}

/// Over all workers, as long as it counts.
#[test]
fn a_signature_is_good_once() {
    let w = World::with(|policy| policy["rateLimits"][0]["limits"][0]["requests"] = 1000.into());
    let replayed = Some(Reason::SignatureReplayed);
    let policy = Policy::compile(w.document.to_string().as_bytes(), "test").unwrap();
    let mut other = World::new();
    (other.worker, other.store) = (WorkerState::new(policy, "test"), w.store.clone());
    assert_eq!((w.reason(&once()), w.reason(&once()), other.reason(&once())), (None, replayed, replayed));
    // Signed anew it is another one: later, or with another nonce.
    let nonced = |target: &str, created, nonce: &str| till(target, created, &format!(";nonce=\"{nonce}\""));
    assert_eq!(w.reason(&till("/till", NOW - 1, "")), None);
    assert_eq!((w.reason(&nonced("/till", NOW, "a")), w.reason(&nonced("/till", NOW, "b"))), (None, None));
    // A nonce is good for one request of its key, whatever else is signed.
    assert_eq!(other.reason(&nonced("/till?x", NOW - 2, "a")), replayed);
    // What is refused for something else is not used up.
    assert_eq!(
        w.reason(&nonced("/till", NOW, "c").instead("x-tenant", "t2")),
        Some(Reason::SignatureInvalid)
    );
    assert_eq!(w.reason(&nonced("/till", NOW, "c")), None);
    w.later(330);
    assert_eq!(w.reason(&once()), replayed);
    w.later(1);
    assert_eq!(w.reason(&once()), Some(Reason::SignatureExpired));
    // Where it cannot be known, nothing passes.
    let w = World::with(|policy| {
        policy.as_object_mut().unwrap().shift_remove("rateLimits");
        for rule in policy["rules"].as_array_mut().unwrap() {
            rule.as_object_mut().unwrap().shift_remove("rateLimits");
        }
    });
    w.random.set(false);
    assert_eq!(w.reason(&of_bank(Ask::get("/signed"))), None);
    assert_eq!(w.reason(&once()), Some(Reason::StateUnavailable));
    w.random.set(true);
    assert_eq!(w.reason(&once()), None);
}

/// Of a signature of ECDSA whoever sees it can make another one of the same text.
#[test]
fn another_signature_of_the_same_request_is_no_other_request() {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
    let part = |bytes: &[u8]| Base64UrlSafeNoPadding::encode_to_string(bytes).unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": part(&point[1..33]), "y": part(&point[33..])});
    let w = World::with(|policy| {
        let bank = &mut policy["messageSignatures"]["signers"][0];
        bank["keys"][0] = json!({"keyId": "bank-1", "algorithm": "ecdsa-p256-sha256", "jwk": jwk});
        bank["once"] = true.into();
    });
    let signed = Ask::get("/signed").signed(&Signer::P256(pair), &ALL, &at(NOW));
    let (_, signature) = signed.headers.iter().find(|(name, _)| name == b"signature").unwrap();
    let signature = str::from_utf8(signature).unwrap().trim_start_matches("sig=:").trim_end_matches(':');
    let signature =
        p256::ecdsa::Signature::from_slice(&Base64::decode_to_vec(signature, None).unwrap()).unwrap();
    let (r, s) = signature.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r, -s).unwrap();
    assert_ne!(signature, other);
    let other = format!("sig=:{}:", Base64::encode_to_string(other.to_bytes()).unwrap());
    let other = signed.clone().instead("signature", &other);
    assert_eq!(w.reason(&other), None);
    assert_eq!(w.reason(&signed), Some(Reason::SignatureReplayed));
}

/// A request waits for its body only where somebody has signed it, and is used up when it is decided.
#[test]
fn forged_requests_do_not_wait() {
    let w = World::with(|policy| policy["messageSignatures"]["signers"][0]["once"] = true.into());
    let mut good = Pending::new(&with_body("a body").body(Body::Coming));
    assert!(good.waits(&w));
    let shown = good.shown.unwrap();
    assert!(shown.iter().any(|(name, _)| name == "signature"));
    let forged = with_body("a body").instead(":path", "/signed/x").body(Body::Coming);
    assert_eq!(Pending::new(&forged).reason(&w), Some(Reason::SignatureInvalid));
    // What waited and went is not used up.
    assert_eq!(w.reason(&with_body("a body")), None);
    assert_eq!(w.reason(&with_body("a body")), Some(Reason::SignatureReplayed));
    // One that does not go on is taken out of the headers meanwhile.
    let w = World::with(|policy| policy["messageSignatures"]["signers"][0]["forward"] = false.into());
    let mut good = Pending::new(&with_body("a body").body(Body::Coming));
    assert!(good.waits(&w));
    assert!(good.shown.unwrap().iter().all(|(name, _)| name != "signature" && name != "signature-input"));
}

/// No signature, no nonce and no part of a body is in a record, in an answer or in any `Debug`.
#[test]
fn nobody_sees_what_was_signed() {
    let w = World::new();
    let parameters = format!("{};nonce=\"telling\"", at(NOW));
    let signed = || Ask::get("/signed").signed(&Signer::bank(), &ALL, &parameters);
    for ask in [
        signed(),
        signed().instead(":method", "HEAD"),
        with_body("a telling body").body(Body::Whole("telling".into())),
    ] {
        let (_, signature) = ask.headers.iter().find(|(name, _)| name == b"signature").unwrap();
        let signature = String::from_utf8(signature.clone()).unwrap();
        let answer = w.ask(&ask);
        let body = answer.upstream.as_ref().err().map(|reply| format!("{reply:?}")).unwrap_or_default();
        for seen in [&answer.debug, &answer.record.unwrap(), &body] {
            for secret in ["telling", &signature] {
                assert!(!seen.contains(secret), "{secret}: {seen}");
            }
        }
    }
    let debug = format!("{:?}", portcullis::config::decode(w.document.to_string().as_bytes()));
    assert!(debug.contains("\"till-1\"") && !debug.contains("dGlsbHRpbGx0"));
}

/// The rule's other credentials are as good, and one of them is enough, or both are needed.
#[test]
fn a_rule_takes_signatures_beside_others() {
    let with = |ways: Value| {
        World::with(|policy| {
            let rules = policy["rules"].as_array_mut().unwrap();
            rules.iter_mut().find(|rule| rule["name"] == "signed").unwrap()["authenticate"] = ways;
        })
    };
    let get = || Ask::get("/signed");
    let bank = json!({"messageSignature": "bank"});
    let w = with(json!({"anyOf": [bank, "apiKey", "clientCertificate", {"hmac": "hub"}]}));
    assert_eq!(w.ask(&get().key("reader-secret")).upstream("x-portcullis-kind"), "api-key");
    assert_eq!(
        w.ask(&of_bank(get()).certificate("spiffe://td/ns/a")).upstream("x-portcullis-kind"),
        "message-signature"
    );
    assert_eq!(
        w.ask(&get().certificate("spiffe://td/ns/a")).upstream("x-portcullis-kind"),
        "client-certificate"
    );
    assert_eq!(w.reason(&of_bank(get()).key("reader-secret")), Some(Reason::CredentialsAmbiguous));
    let hub = of_bank(get()).header("x-hub-signature-256", "sha256=00");
    assert_eq!(w.reason(&hub), Some(Reason::CredentialsAmbiguous));
    assert_eq!(w.reason(&get()), Some(Reason::CredentialsMissing));

    let w = with(json!({"allOf": [bank, {"jwt": "corp"}]}));
    let both = w.ask(&w.bearer(of_bank(get()), |_| {}));
    assert_eq!(
        (both.upstream("x-portcullis-subject"), both.upstream("x-portcullis-actor")),
        ("alice".into(), "bank".into())
    );
    assert_eq!(w.reason(&of_bank(get())), Some(Reason::CredentialsMissing));
    assert_eq!(w.reason(&w.bearer(get(), |_| {})), Some(Reason::SignatureMissing));
    // The token is covered, too, where the signer wants that: it is no other's.
    let w = World::with(|policy| {
        policy["messageSignatures"]["signers"][1]["components"] = json!(["@target-uri", "authorization"]);
        let rules = policy["rules"].as_array_mut().unwrap();
        let ways = json!({"allOf": [{"messageSignature": "till"}, {"jwt": "corp"}]});
        rules.iter_mut().find(|rule| rule["name"] == "till").unwrap()["authenticate"] = ways;
    });
    let parameters = ";created=1800000000;keyid=\"till-1\";tag=\"till\"";
    let both = w.bearer(Ask::get("/till"), |_| {}).signed(
        &Signer::till(),
        &["@target-uri", "authorization"],
        parameters,
    );
    let exchanged = w.bearer(both.clone().without("authorization"), |claims| claims["sub"] = "bob".into());
    assert_eq!(w.reason(&exchanged), Some(Reason::SignatureInvalid));
    assert_eq!((w.reason(&both), w.reason(&both)), (None, Some(Reason::SignatureReplayed)));

    // A request whose other credential is refused has not used its signature up.
    let w = with(json!({"allOf": [{"jwt": "corp"}, bank]}));
    assert_eq!(
        w.reason(&w.bearer(of_bank(get()), |claims| claims["exp"] = 1.into())),
        Some(Reason::TokenExpired)
    );
    for (invalid, expected) in [("Refuse", Some(Reason::SignatureInvalid)), ("Anonymous", None)] {
        let w = with(json!({"anyOf": [bank], "optional": true, "invalidCredentials": invalid}));
        assert_eq!(w.reason(&get()), None);
        let wrong = of_bank(get()).instead(":method", "HEAD");
        assert_eq!(w.reason(&wrong), expected);
        assert_eq!(w.ask(&of_bank(get())).upstream("x-portcullis-subject"), "bank");
    }
}
