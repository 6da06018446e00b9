//! Queries and cookies: what is taken out is gone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::request::{
    Location, Lookup, RequestHead, cookie,
    credential::{CredentialNames, Places},
    query,
};

fuzz_target!(|text: &[u8]| {
    let places = [Location::Query("k".to_owned()), Location::Cookie("k".to_owned())];
    let names = CredentialNames::of(&places);
    let absent = |line: &[u8], text: Option<&str>| {
        let head = RequestHead { headers: vec![(b"cookie", line)], ..RequestHead::default() };
        let found = Places { names: &names, tokens: &places, keys: &[], signatures: &[] }.find(&head, text);
        matches!(found.token, Lookup::Absent)
    };
    if let Ok(text) = str::from_utf8(text) {
        let left = query::without(text, &names.params, &[]);
        let left = left.as_deref().unwrap_or(text);
        assert!(absent(b"", Some(left)) && query::without(left, &names.params, &[]).is_none());
    }
    let head = |line| RequestHead { headers: vec![(b"cookie", line)], ..RequestHead::default() };
    let left = cookie::without(&head(text), &names.cookies, &[]);
    let left = left.as_deref().map_or(text, str::as_bytes);
    assert!(absent(left, None) && cookie::without(&head(left), &names.cookies, &[]).is_none());
});
