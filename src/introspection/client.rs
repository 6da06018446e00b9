//! The request to the introspection endpoint (RFC 7662 section 2.1), with proof of who asks.

use std::time::Duration;

use ct_codecs::{Base64, Encoder};
use serde_json::Map;

use super::{ClientProof, IntrospectionSpec};
use crate::{
    calls::Call,
    crypto::SigningKey,
    jose,
    text::{base64url, percent},
    time::Timestamp,
};

/// The longest answer that is read.
pub(super) const MAX_ANSWER_SIZE: usize = 64 * 1024;

/// How long an assertion is good: for the way there, whatever clocks say.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

/// The request about `token`; `None` when no proof can be made. `random` must never be used twice.
pub(super) fn request(
    spec: &IntrospectionSpec,
    issuer: &str,
    token: &str,
    now: Timestamp,
    random: Option<[u8; 16]>,
) -> Option<Call> {
    let mut headers = vec![
        ("accept", "application/json".to_owned()),
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
    ];
    let mut form = vec![("token", token), ("token_type_hint", &spec.token_type_hint)];
    let assertion;
    match &spec.proof {
        ClientProof::Secret(secret) => {
            // RFC 6749 section 2.3.1 has both encoded before they are joined.
            let pair = format!("{}:{}", encoded(&spec.client_id), encoded(&secret.0));
            headers.push(("authorization", format!("Basic {}", Base64::encode_to_string(pair).ok()?)));
        }
        ClientProof::PrivateKeyJwt { key, kid, audience } => {
            let audience = audience.as_deref().unwrap_or(issuer);
            assertion = client_assertion(key, kid.as_deref(), &spec.client_id, audience, now, random?)?;
            form.extend([
                ("client_id", spec.client_id.as_str()),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
            ]);
        }
    }
    let fields: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    Some(Call {
        cluster: spec.cluster.clone(),
        method: "POST",
        endpoint: spec.endpoint.clone(),
        headers,
        body: fields.join("&").into_bytes(),
        timeout: spec.timeout,
        max_answer: MAX_ANSWER_SIZE,
    })
}

/// RFC 7523 section 3.
fn client_assertion(
    key: &SigningKey,
    kid: Option<&str>,
    client_id: &str,
    audience: &str,
    now: Timestamp,
    random: [u8; 16],
) -> Option<String> {
    let mut claims = Map::new();
    claims.insert("iss".into(), client_id.into());
    claims.insert("sub".into(), client_id.into());
    claims.insert("aud".into(), audience.into());
    claims.insert("jti".into(), base64url::encode(&random).into());
    claims.insert("iat".into(), now.as_secs().into());
    claims.insert("exp".into(), now.saturating_add(ASSERTION_LIFETIME).as_secs().into());
    jose::sign(key, "JWT", kid, claims)
}

/// `application/x-www-form-urlencoded`, as RFC 6749 appendix B describes it.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'*' | b'-' | b'.' | b'_');
    percent::push_encoded(&mut out, text, &stays);
    out.replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_encoding() {
        for (text, expected) in [
            ("azAZ09*-._", "azAZ09*-._"),
            // RFC 6749 appendix B: U+0020 U+0025 U+0026 U+002B U+00A3 U+20AC.
            (" %&+£€", "+%25%26%2B%C2%A3%E2%82%AC"),
            ("a:b=c~/", "a%3Ab%3Dc%7E%2F"),
            ("\r\n", "%0D%0A"),
            ("", ""),
        ] {
            assert_eq!(encoded(text), expected);
        }
    }
}
