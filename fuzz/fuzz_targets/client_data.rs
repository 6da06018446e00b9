//! Client data, as the page of a relying party might send them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::webauthn::client_data::ClientData;

fuzz_target!(|bytes: &[u8]| {
    let _ = ClientData::read(bytes);
});
