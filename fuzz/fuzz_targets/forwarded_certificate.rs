//! `x-forwarded-client-cert`: whatever a client sends, what a proxy appends is what counts, or nothing does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::request::{
    RequestHead,
    client_certificate::{FORWARDED_HEADER, PeerCertificate, forwarded},
};

const APPENDED: &str = r#"Hash=0000000000000000000000000000000000000000000000000000000000000000;Subject="CN=client, O=\"x\"";URI=spiffe://td/a"#;

fuzz_target!(|sent: &[u8]| {
    let read = |lines: &[&[u8]], hops| {
        let headers = lines.iter().map(|line| (FORWARDED_HEADER.as_bytes(), *line)).collect();
        forwarded(&RequestHead { headers, ..RequestHead::default() }, hops)
    };
    let lines: Vec<&[u8]> = sent.split(|byte| *byte == b'\n').collect();
    assert!(!matches!(read(&lines, 0), Ok(Some(_))));
    for hops in 1..4 {
        let _ = read(&lines, hops);
    }
    let appended = PeerCertificate {
        digest: Some([0; 32]),
        uri: Some("spiffe://td/a".to_owned()),
        dns: None,
        subject: Some(r#"CN=client, O="x""#.to_owned()),
    };
    let joined = [sent, b",", APPENDED.as_bytes()].concat();
    for lines in [&[joined.as_slice()][..], &[sent, APPENDED.as_bytes()]] {
        if let Ok(found) = read(lines, 1) {
            assert_eq!(found.as_ref(), Some(&appended));
        }
    }
});
