//! Access tokens of the demo's issuer (RFC 9068).

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::Header;
use serde_json::{Map, Value, json};

use crate::{
    Result,
    material::{key_id, pem_file},
    settings::{Settings, variable},
    signing::{Kind, SigningKey},
};

pub(crate) const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "https://api.example/orders";
const LIFETIME: i64 = 3600;

const VARIABLES: [&str; 7] = ["SUB", "ROLES", "SCOPE", "AUD", "ISS", "EXP", "ALG"];

/// A token as those variables ask for: `NAME=value` as an argument, or in the environment, as make has it.
pub(crate) fn token(settings: &Settings, arguments: &[String]) -> Result<String> {
    let given: Vec<(&str, &str)> = arguments.iter().filter_map(|argument| argument.split_once('=')).collect();
    if given.len() < arguments.len() || given.iter().any(|(name, _)| !VARIABLES.contains(name)) {
        return Err(format!(
            "a token is asked for with {}",
            VARIABLES.map(|name| format!("{name}=..")).join(" ")
        ));
    }
    let variable = |asked: &str| {
        let argument = given.iter().find(|(name, value)| *name == asked && !value.is_empty());
        argument.map(|(_, value)| (*value).to_owned()).or_else(|| variable(asked))
    };
    let kind = match variable("ALG").as_deref() {
        None | Some("ES256") => Kind::P256,
        Some("RS256") => Kind::Rsa,
        Some("EdDSA" | "Ed25519") => Kind::Ed25519,
        Some(other) => return Err(format!("ALG must be ES256, RS256 or EdDSA, not `{other}`")),
    };
    let lifetime = match variable("EXP") {
        None => LIFETIME,
        Some(text) => text.parse().map_err(|_| format!("EXP must be seconds from now, not `{text}`"))?,
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| "the clock stands before 1970".to_owned())?;
    let now = i64::try_from(now.as_secs()).map_err(|_| "the clock is off".to_owned())?;
    let expires = now.saturating_add(lifetime);

    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("iss", variable("ISS").unwrap_or_else(|| ISSUER.to_owned()).into());
    claim("sub", variable("SUB").unwrap_or_else(|| "alice".to_owned()).into());
    claim("aud", variable("AUD").unwrap_or_else(|| AUDIENCE.to_owned()).into());
    claim("exp", expires.into());
    // A token that has expired was issued before that.
    claim("iat", now.min(expires.saturating_sub(1)).into());
    if let Some(scope) = variable("SCOPE") {
        claim("scope", scope.into());
    }
    if let Some(roles) = variable("ROLES") {
        let roles: Vec<&str> = roles.split([',', ' ']).filter(|role| !role.is_empty()).collect();
        claim("roles", json!(roles));
    }

    let key = SigningKey::encoding_key(kind, &settings.read(&pem_file(kind))?)?;
    let mut header = Header::new(kind.algorithm());
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some(key_id(kind));
    jsonwebtoken::encode(&header, &claims, &key).map_err(|error| format!("no token: {error}"))
}
