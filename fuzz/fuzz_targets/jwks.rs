//! Key sets, as an issuer's server might send them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::jose::KeySet;

fuzz_target!(|set: &[u8]| {
    let _ = KeySet::parse(set);
});
