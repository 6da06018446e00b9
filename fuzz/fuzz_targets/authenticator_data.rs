//! Authenticator data, as an authenticator might make them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::webauthn::authenticator_data::AuthenticatorData;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(data) = AuthenticatorData::read(bytes)
        && let Some(credential) = data.attested_credential
    {
        // The key lies within, and has an end of its own.
        assert!(bytes.len() >= 37 + 18 + credential.id.len() + credential.public_key.len());
        assert!(!credential.public_key.is_empty());
    }
});
