//! Policy documents: a policy, or at least one fault.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::policy::Policy;

fuzz_target!(|document: &[u8]| {
    if let Err(faults) = Policy::compile(document, "fuzz") {
        assert!(!faults.is_empty());
    }
});
