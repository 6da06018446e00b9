//! Credentials that only their holder may use: proofs of possession and certificates.

use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
use portcullis::{answer::Reason, crypto::sha256};
use serde_json::{Value, json};

use crate::world::{Ask, Issuer, World, changed, claims};

fn bound(w: &World, issuer: &str, cnf: &Value) -> String {
    w.corp.sign(&changed(claims(issuer), |claims| claims["cnf"] = cnf.clone()))
}

/// Reasons, each with a request that is refused for it and the nearest one that passes; to be asked in this order.
pub(crate) fn rows(w: &World) -> Vec<(Reason, Ask, Ask)> {
    use Reason::*;
    let (holder, thief) = (Issuer::new("d1"), Issuer::new("d2"));
    let token = bound(w, "https://bound.example", &holder.confirmation());
    let send = |path: &str, token: &str, proof: &str| {
        Ask::get(path).header("authorization", &format!("DPoP {token}")).header("dpop", proof)
    };
    let good = |id: &str| send("/bound", &token, &holder.prove(&token, "/bound", id, None));
    let shown = |uri| Base64UrlSafeNoPadding::encode_to_string(sha256(str::as_bytes(uri))).unwrap();
    let with_certificate = bound(w, "https://bound.example", &json!({"x5t#S256": shown("spiffe://td/ns/a")}));
    let with_certificate = Ask::get("/bound").token(&with_certificate);

    let nonced = bound(w, "https://nonced.example", &holder.confirmation());
    let nonced = |id: &str, nonce: Option<&str>| {
        send("/nonced", &nonced, &holder.prove(&nonced, "/nonced", id, nonce))
    };
    let told = w.ask(&nonced("n1", None).from("10.1.0.1"));
    let nonce = told.reply("dpop-nonce").unwrap();
    vec![
        // As a bearer token, with the proof of another key, and for another token or path.
        (TokenBinding, Ask::get("/bound").token(&token), good("p1")),
        (TokenBinding, send("/bound", &token, &thief.prove(&token, "/bound", "p2", None)), good("p2")),
        (DpopProofInvalid, send("/bound", &token, &holder.prove("other", "/bound", "p3", None)), good("p3")),
        (DpopProofInvalid, send("/bound", &token, &holder.prove(&token, "/nonced", "p4", None)), good("p4")),
        (DpopProofReplayed, good("p4"), good("p5")),
        (DpopNonceRequired, nonced("n1", None), nonced("n1", Some(nonce))),
        (DpopNonceRequired, nonced("n2", Some("guessed")), nonced("n2", Some(nonce))),
        (
            TokenBinding,
            with_certificate.clone().certificate("spiffe://td/ns/b"),
            with_certificate.clone().certificate("spiffe://td/ns/a"),
        ),
        (TokenBinding, with_certificate.clone(), with_certificate.certificate("spiffe://td/ns/a")),
        (
            CertificateUnknown,
            Ask::get("/certificate").certificate("spiffe://other/ns/a"),
            Ask::get("/certificate").certificate("spiffe://td/ns/a"),
        ),
        (
            CertificateMissing,
            Ask::get("/certificate"),
            Ask::get("/certificate").certificate("spiffe://td/ns/a"),
        ),
    ]
}
