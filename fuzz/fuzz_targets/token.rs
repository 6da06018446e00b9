//! Tokens, read but not believed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::jose::CompactToken;

fuzz_target!(|text: &str| {
    if let Ok(token) = CompactToken::parse(text, 8192) {
        assert_eq!(token.text(), text);
    }
});
