//! What the demo needs and nobody should commit: a certificate authority and a certificate, signing keys, API keys.
//! Made once; what is there is kept.

use std::{fs, os::unix::fs::DirBuilderExt as _};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use serde_json::{Value, json};

use crate::{
    Result, api_keys,
    settings::Settings,
    signing::{Kind, SigningKey},
};

/// The gateway's private key, as a JWK.
pub(crate) const GATEWAY_KEY: &str = "gateway-key.json";

pub(crate) fn set_up(settings: &Settings) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&settings.dir)
        .map_err(|error| format!("cannot make {}: {error}", settings.dir.display()))?;
    certificates(settings)?;
    signing_keys(settings)?;
    gateway_key(settings)?;
    secrets(settings)?;
    api_keys::set_up(settings)
}

/// What Envoy's oauth2 filter shows to the authorization server, and what it encrypts its cookies with, as Envoy reads
/// them (SDS).
fn secrets(settings: &Settings) -> Result<()> {
    for name in ["client-secret", "cookie-secret"] {
        let file = secret_file(name);
        if !settings.path(&file).exists() {
            let resource = json!({
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                "name": name,
                "generic_secret": {"secret": {"inline_string": api_keys::random()?}},
            });
            // JSON is YAML, too.
            settings.write(&file, &json!({"resources": [resource]}).to_string(), true)?;
        }
    }
    Ok(())
}

fn secret_file(name: &str) -> String {
    format!("{name}.yaml")
}

/// What the clients of the authorization server show to it.
pub(crate) fn client_secret(settings: &Settings) -> Result<String> {
    let text = settings.read(&secret_file("client-secret"))?;
    let file: Value = serde_json::from_str(&text).map_err(|error| format!("no secret: {error}"))?;
    let secret = file.pointer("/resources/0/generic_secret/secret/inline_string").and_then(Value::as_str);
    secret.map(str::to_owned).ok_or_else(|| "no secret".to_owned())
}

/// The authority's key is not kept: nothing else is ever signed with it.
fn certificates(settings: &Settings) -> Result<()> {
    if ["ca.pem", "server.pem", "server-key.pem"].iter().all(|name| settings.path(name).exists()) {
        return Ok(());
    }
    let failed = |error: rcgen::Error| format!("no certificate: {error}");
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "Portcullis demo authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.not_before = date_time_ymd(2025, 1, 1);
    authority.not_after = date_time_ymd(2045, 1, 1);
    let authority =
        CertifiedIssuer::self_signed(authority, KeyPair::generate().map_err(failed)?).map_err(failed)?;

    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut server = CertificateParams::new(names).map_err(failed)?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    server.not_before = date_time_ymd(2025, 1, 1);
    server.not_after = date_time_ymd(2045, 1, 1);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = server.signed_by(&key, &authority).map_err(failed)?;

    settings.write("ca.pem", &authority.pem(), false)?;
    settings.write("server.pem", &certificate.pem(), false)?;
    settings.write("server-key.pem", &key.serialize_pem(), true)
}

fn signing_keys(settings: &Settings) -> Result<()> {
    if settings.path("jwks.json").exists()
        && Kind::ALL.iter().all(|kind| settings.path(&pem_file(*kind)).exists())
    {
        return Ok(());
    }
    let mut keys: Vec<Value> = Vec::new();
    for kind in Kind::ALL {
        let key = SigningKey::generate(kind, &key_id(kind))?;
        settings.write(&pem_file(kind), &key.pem, true)?;
        keys.push(key.jwk);
    }
    // Last: it says that the others are complete.
    settings.write("jwks.json", &format!("{:#}\n", json!({"keys": keys})), false)
}

/// The gateway's own, with which it signs sessions.
fn gateway_key(settings: &Settings) -> Result<()> {
    if settings.path(GATEWAY_KEY).exists() {
        return Ok(());
    }
    let key = SigningKey::generate(Kind::P256, "gateway")?;
    settings.write(GATEWAY_KEY, &format!("{}\n", key.private_jwk()?), true)
}

pub(crate) fn key_id(kind: Kind) -> String {
    format!("demo-{:?}", kind.algorithm()).to_ascii_lowercase()
}

pub(crate) fn pem_file(kind: Kind) -> String {
    format!("issuer-{:?}-key.pem", kind.algorithm()).to_ascii_lowercase()
}
