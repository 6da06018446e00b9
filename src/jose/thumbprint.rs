//! The name of a key: the SHA-256 thumbprint of its JWK (RFC 7638, RFC 8037 section 2).

use serde_json::Value;

use crate::crypto::sha256;

/// The thumbprint of a public JWK; `None` when a member that it is made of is missing or no plain text.
///
/// The required members in the order of their names, without white space (RFC 7638 section 3). Text that JSON
/// would have to escape is no member of a key and is refused, so that there is one way only of writing it.
pub fn thumbprint(jwk: &Value) -> Option<[u8; 32]> {
    let members: &[&str] = match jwk.get("kty")?.as_str()? {
        "EC" => &["crv", "kty", "x", "y"],
        "OKP" => &["crv", "kty", "x"],
        "RSA" => &["e", "kty", "n"],
        _ => return None,
    };
    let mut text = String::from("{");
    for name in members {
        let value = jwk.get(name)?.as_str()?;
        if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return None;
        }
        let separator = if text.len() == 1 { "" } else { "," };
        text.push_str(&format!("{separator}\"{name}\":\"{value}\""));
    }
    text.push('}');
    Some(sha256(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn published_thumbprints() {
        for (jwk, expected) in [
            // RFC 7638 section 3.1.
            (
                json!({
                    "kty": "RSA",
                    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_\
                          BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_\
                          FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhA\
                          I4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
                    "e": "AQAB",
                    "alg": "RS256",
                    "kid": "2011-04-29",
                }),
                Some("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            ),
            // RFC 8037 appendix A.3.
            (
                json!({
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                }),
                Some("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            ),
            // RFC 9449 section 6.1.
            (
                json!({
                    "kty": "EC",
                    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
                    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
                    "crv": "P-256",
                }),
                Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
            ),
            (json!({"kty": "EC", "crv": "P-256", "x": "a"}), None),
            (json!({"kty": "EC", "crv": "P-256", "x": "a", "y": "b\",\"z\":\"c"}), None),
            (json!({"kty": "OKP", "crv": "Ed25519", "x": 1}), None),
            (json!({"kty": "oct", "k": "a"}), None),
            (json!({"kty": 1}), None),
            (json!({}), None),
            (json!("EC"), None),
        ] {
            let found = thumbprint(&jwk).map(|sum| crate::text::base64url::encode(&sum));
            assert_eq!(found.as_deref(), expected, "{jwk}");
        }
    }
}
