//! Attestation objects, and the CBOR that they are made of.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::webauthn::{attestation::AttestationObject, cbor::Cbor};

fuzz_target!(|bytes: &[u8]| {
    if AttestationObject::read(bytes).is_ok() {
        // Whole, and of one reading.
        assert!(Cbor::read(bytes).is_ok_and(|item| item.into_map().is_some()));
    }
});
