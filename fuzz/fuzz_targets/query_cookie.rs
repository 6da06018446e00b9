//! Queries and cookies: what is taken out is gone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::request::{Lookup, RequestHead, cookie, query};

fuzz_target!(|text: &[u8]| {
    if let Ok(text) = str::from_utf8(text) {
        let left = query::without(text, &["k"]);
        assert_eq!(query::single(left.as_deref().unwrap_or(text), "k"), Lookup::Absent);
    }
    let head = |line| RequestHead { headers: vec![(b"cookie", line)], ..RequestHead::default() };
    let left = cookie::without(&head(text), &["k"]);
    let left = left.as_deref().map_or(text, str::as_bytes);
    assert_eq!(cookie::single(&head(left), "k"), Lookup::Absent);
});
