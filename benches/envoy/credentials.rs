//! Tokens and API keys. Tokens are signed by `jsonwebtoken` beforehand and kept, because RSA takes its time.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::{
    policies,
    signing::{Kind, SigningKey},
};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "https://api.example/orders";
const LIFETIME: u64 = 30 * 24 * 3600;
/// Many times what any cache here holds (2,048 tokens at most): none is remembered when its turn comes again.
const FRESH: usize = 20_000;

pub(crate) struct Credentials {
    pub(crate) jwks: Value,
    pub(crate) repeat: String,
    pub(crate) expired: String,
    pub(crate) bad_signature: String,
    pub(crate) fresh_rs256: Vec<String>,
    pub(crate) fresh_es256: Vec<String>,
}

struct Issuer {
    rsa: EncodingKey,
    p256: EncodingKey,
    now: u64,
}

impl Credentials {
    /// Those kept in `dir`, if they are still good for a day; else new ones.
    pub(crate) fn make(dir: &Path) -> Result<Self, String> {
        let kept = dir.join("credentials.json");
        let now = now();
        let read = fs::read(&kept).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        if let Some(kept) = read
            && kept["madeAt"].as_u64().is_some_and(|made| made + LIFETIME > now + 24 * 3600 && made <= now)
            && let Some(credentials) = Self::from_json(&kept)
        {
            return Ok(credentials);
        }
        eprintln!("making {FRESH} RS256 and {FRESH} ES256 tokens: once, takes a minute");
        let (rsa, p256) =
            (SigningKey::generate(Kind::Rsa, "rsa")?, SigningKey::generate(Kind::P256, "p256")?);
        let issuer = Issuer {
            rsa: SigningKey::encoding_key(Kind::Rsa, &rsa.pem)?,
            p256: SigningKey::encoding_key(Kind::P256, &p256.pem)?,
            now,
        };
        let repeat = issuer.token(Algorithm::RS256, 0, now + LIFETIME)?;
        let fresh = |algorithm| {
            (1..=FRESH).map(|n| issuer.token(algorithm, n, now + LIFETIME)).collect::<Result<_, _>>()
        };
        let credentials = Self {
            jwks: json!({"keys": [rsa.jwk, p256.jwk]}),
            bad_signature: with_other_signature(&repeat, &issuer.token(Algorithm::RS256, 1, now + LIFETIME)?),
            expired: issuer.token(Algorithm::RS256, 0, now - 3600)?,
            fresh_rs256: fresh(Algorithm::RS256)?,
            fresh_es256: fresh(Algorithm::ES256)?,
            repeat,
        };
        let failed = |error: std::io::Error| format!("{}: {error}", kept.display());
        fs::create_dir_all(dir).map_err(failed)?;
        fs::write(&kept, credentials.to_json(now).to_string()).map_err(failed)?;
        Ok(credentials)
    }

    fn to_json(&self, made_at: u64) -> Value {
        json!({
            "madeAt": made_at, "jwks": self.jwks, "repeat": self.repeat, "expired": self.expired,
            "badSignature": self.bad_signature, "freshRs256": self.fresh_rs256, "freshEs256": self.fresh_es256,
        })
    }

    fn from_json(kept: &Value) -> Option<Self> {
        let text = |name: &str| kept[name].as_str().map(str::to_owned);
        let list = |name: &str| {
            let list = kept[name].as_array()?.iter().map(|token| token.as_str().map(str::to_owned));
            list.collect::<Option<Vec<_>>>().filter(|list| list.len() == FRESH)
        };
        Some(Self {
            jwks: kept["jwks"].clone(),
            repeat: text("repeat")?,
            expired: text("expired")?,
            bad_signature: text("badSignature")?,
            fresh_rs256: list("freshRs256")?,
            fresh_es256: list("freshEs256")?,
        })
    }
}

impl Issuer {
    fn token(&self, algorithm: Algorithm, n: usize, expires: u64) -> Result<String, String> {
        let mut header = Header::new(algorithm);
        header.typ = Some("JWT".to_owned());
        let key = if algorithm == Algorithm::RS256 { &self.rsa } else { &self.p256 };
        header.kid = Some(if algorithm == Algorithm::RS256 { "rsa" } else { "p256" }.to_owned());
        let claims = json!({
            "iss": ISSUER, "sub": policies::SUBJECT, "aud": AUDIENCE, "exp": expires,
            "iat": expires.saturating_sub(LIFETIME).min(self.now), "jti": format!("{n:032x}"),
            "email": policies::EMAIL, "roles": ["viewer"], "scope": "orders:read profile",
        });
        jsonwebtoken::encode(&header, &claims, key).map_err(|error| format!("no token: {error}"))
    }
}

fn with_other_signature(token: &str, other: &str) -> String {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    let signature = other.rsplit_once('.').map_or("", |(_, signature)| signature);
    format!("{signed}.{signature}")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The `n`th API key.
pub(crate) fn api_key(n: usize) -> String {
    format!("pk_bench_{n:06}_0123456789abcdefghijklmnopqrstuvwxyz")
}
