//! Who signs requests (RFC 9421), by other implementations than the filter's: Ed25519 by ring, all algorithms by a library in
//! Python.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use ct_codecs::{Base64, Base64UrlSafeNoPadding, Encoder};
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use serde_json::{Value, json};

use super::{artifact, now, repository, request::Request};

/// What a signature must cover by default.
pub(crate) const ALL: [&str; 4] = ["@method", "@authority", "@path", "@query"];

/// Somebody with a key.
pub(crate) struct Signer {
    key: Ed25519KeyPair,
    id: &'static str,
}

impl Signer {
    pub(crate) fn generate(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { key: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap(), id }
    }

    /// The signer as the policy names it; `members` are added.
    pub(crate) fn entry(&self, members: Value) -> Value {
        let x = Base64UrlSafeNoPadding::encode_to_string(self.key.public_key().as_ref()).unwrap();
        let key = json!({"keyId": self.id, "algorithm": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": x}});
        let mut entry = json!({"name": self.id, "keys": [key]});
        super::policy::merge(&mut entry, members);
        entry
    }

    /// Signs `components` of a request now.
    pub(crate) fn sign(&self, request: Request, components: &[&str], nonce: &str) -> Request {
        let names: Vec<_> = components.iter().map(|name| format!("{name:?}")).collect();
        let list = format!("({});created={};keyid={:?};nonce={nonce:?}", names.join(" "), now(), self.id);
        let line = |name: &&str| format!("{name:?}: {}\n", value(&request, name));
        let lines: String = components.iter().map(line).collect();
        let signature = self.key.sign(format!("{lines}\"@signature-params\": {list}").as_bytes());
        let signature = Base64::encode_to_string(signature.as_ref()).unwrap();
        request
            .header("signature-input", format!("sig={list}"))
            .header("signature", format!("sig=:{signature}:"))
    }
}

/// Of requests in which everything is in the form in which it is signed.
fn value(request: &Request, name: &str) -> String {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    match name {
        "@method" => request.method.clone(),
        "@authority" => request.authority.clone(),
        "@path" => path.to_owned(),
        "@query" => format!("?{query}"),
        "@target-uri" => format!("https://{}{}", request.authority, request.target),
        header => {
            let (_, value) = request.headers.iter().find(|(own, _)| own == header).unwrap();
            String::from_utf8(value.clone()).unwrap()
        }
    }
}

impl Request {
    /// With the digest of its body (RFC 9530).
    pub(crate) fn digested(self) -> Self {
        let digest = Base64::encode_to_string(digest(&SHA256, &self.body).as_ref()).unwrap();
        self.header("content-digest", format!("sha-256=:{digest}:"))
    }
}

/// For each algorithm the entry of its key in the policy, and the requests as the other library signs them, over their body
/// too.
pub(crate) fn signed_by_another(requests: &[(Request, &[&str])]) -> BTreeMap<String, (Value, Vec<Request>)> {
    let asked: Vec<_> = requests
        .iter()
        .map(|(request, components)| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers: BTreeMap<_, _> =
                request.headers.iter().map(|(name, value)| (name, text(value))).collect();
            let url = format!("https://{}{}", request.authority, request.target);
            json!({"method": request.method, "url": url, "headers": headers, "body": text(&request.body),
                "components": components})
        })
        .collect();
    let mut child = Command::new(artifact("PORTCULLIS_PYTHON"))
        .arg(repository().join("tests/e2e/signers/sign.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(asked).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "run `make test`, which installs what signs");
    let made: BTreeMap<String, Value> = serde_json::from_slice(&output.stdout).unwrap();
    let of = |(algorithm, made): (String, Value)| {
        let mut key = json!({"keyId": algorithm, "algorithm": algorithm});
        super::policy::merge(&mut key, made["key"].clone());
        let signed = requests.iter().zip(made["requests"].as_array().unwrap());
        let signed = signed.map(|((request, _), headers)| {
            let headers: Vec<(String, String)> = serde_json::from_value(headers.clone()).unwrap();
            let bare = Request { headers: Vec::new(), ..request.clone() };
            headers.iter().fold(bare, |request, (name, value)| request.header(&name.to_lowercase(), value))
        });
        let signed = signed.collect();
        (algorithm, (key, signed))
    };
    made.into_iter().map(of).collect()
}
