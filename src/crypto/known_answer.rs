//! Whether the host's crypto library can be relied on: it is asked for answers that are known.

use super::{Algorithm, HostCrypto, KeyType, PublicKey};
use crate::text::base64url;

/// The ES256 example of RFC 7515 appendix A.3: key, signed text, signature.
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvb\
                      S9pc19yb290Ijp0cnVlfQ";
const SIGNATURE: &str =
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// Whether `host` accepts a good signature and refuses it for another text. A host that lacks the function, that
/// forbids it, or that answers otherwise than expected is not used at all.
pub fn is_host_usable(host: &dyn HostCrypto) -> bool {
    answers(host) == Some((true, false))
}

/// For the text that was signed, and for another one.
fn answers(host: &dyn HostCrypto) -> Option<(bool, bool)> {
    let decode = |text: &str| base64url::decode(text.as_bytes());
    let key = PublicKey::ec(KeyType::P256, &decode(X)?, &decode(Y)?).ok()?;
    let signature = decode(SIGNATURE)?;
    let verify = |text: &str| key.verify_by_host(Algorithm::Es256, text.as_bytes(), &signature, host);
    Some((verify(SIGNED)?, verify("another text")?))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{NoHostCrypto, test_host::RingHost},
        *,
    };

    struct Always(Option<bool>);

    impl HostCrypto for Always {
        fn verify(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
            self.0
        }
    }

    #[test]
    fn only_a_host_that_tells_good_from_bad_is_used() {
        let hosts: [(&dyn HostCrypto, bool); 5] = [
            (&RingHost, true),
            (&NoHostCrypto, false),
            (&Always(Some(true)), false),
            (&Always(Some(false)), false),
            (&Always(None), false),
        ];
        for (host, expected) in hosts {
            assert_eq!(is_host_usable(host), expected);
        }
    }
}
