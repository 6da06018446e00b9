//! How much of a token is read, as docs/policy.md says.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis::jose::CompactToken;

fn is_read(header: &str, payload: &str) -> bool {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = format!("{}.{}.{}", encode(header), encode(payload), encode("signature"));
    CompactToken::parse(&token, 65_536).is_ok()
}

#[test]
fn what_is_read_and_the_nearest_that_is_not() {
    let header = |more: &str| format!(r#"{{"alg":"RS256"{more}}}"#);
    let text = |name: &str, length: usize| header(&format!(r#","{name}":"{}""#, "a".repeat(length)));
    // The payload is the first level.
    let nested = |levels: usize| {
        let inner = levels - 1;
        format!(r#"{{"a":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
    };
    for (what, (header, payload), (too_much_header, too_much_payload)) in [
        ("kid", (text("kid", 256), nested(1 + 1)), (text("kid", 257), nested(2))),
        ("typ", (text("typ", 128), nested(2)), (text("typ", 129), nested(2))),
        ("nesting", (header(""), nested(127)), (header(""), nested(128))),
        (
            "a number within the range of doubles",
            (header(""), r#"{"a":1e308}"#.to_owned()),
            (header(""), r#"{"a":1e309}"#.to_owned()),
        ),
    ] {
        assert!(is_read(&header, &payload), "{what}");
        assert!(!is_read(&too_much_header, &too_much_payload), "{what}");
    }
}
