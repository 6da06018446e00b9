//! Request targets: canonical form is total and idempotent.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::request::path::CanonicalPath;

fuzz_target!(|target: &[u8]| {
    if let Ok(once) = CanonicalPath::parse(target) {
        let again = CanonicalPath::parse(once.path().as_bytes()).map(|path| path.path().to_owned());
        assert_eq!(again.as_deref(), Ok(once.path()));
    }
});
