//! Public keys of credentials, as an authenticator might make them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{crypto::NoHostCrypto, webauthn::cose_key::CoseKey};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = CoseKey::read(bytes) {
        // It signed nothing of the kind.
        assert!(!key.verify(b"message", bytes, &NoHostCrypto));
    }
});
