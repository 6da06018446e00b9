//! Revocation lists, as their server might send them: every entry of one that is taken revokes, or none of it is taken.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::revocation::{MAX_ENTRIES, RevocationList};
use serde_json::{Map, Value};

fuzz_target!(|document: &[u8]| {
    let Ok(list) = RevocationList::parse(document) else { return };
    assert!(list.len() <= MAX_ENTRIES);
    // Read by another reader.
    let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
    let members: Map<String, Value> = serde_json::from_slice(document).expect("an object");
    for (member, entries) in &members {
        for entry in entries.as_array().expect("a list") {
            let name = entry.get("sub").unwrap_or(entry).as_str().expect("a text");
            assert!(match member.as_str() {
                "jti" => list.tokens.contains(name),
                "sid" => list.sessions.contains(name),
                "clientIds" => list.clients.contains(name),
                "apiKeys" => list.api_keys.contains(name),
                "subjects" => list.subjects.contains_key(name),
                _ => false,
            });
        }
    }
});
