//! Certificates as proxies pass them on, and whom they stand for.

use proptest::prelude::*;

use super::*;
use crate::request::client_certificate::{FORWARDED_HEADER, MAX_ELEMENTS};
use crate::text::hex::decode_digest;

const HASH: &str = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

fn behind(trusted_hops: usize) -> ClientCertificatesSpec {
    ClientCertificatesSpec { trusted_hops, principals: None }
}

/// What an element comes to, as short text; `-` for what is missing.
fn shown(certificate: &PeerCertificate) -> String {
    let hash = certificate.digest.map(|digest| format!("{:02x}", digest[0]));
    let parts = [&hash, &certificate.uri, &certificate.dns, &certificate.subject];
    parts.map(|part| part.as_deref().unwrap_or("-")).join(" | ")
}

fn find(hops: usize, values: &[&str]) -> Result<Option<String>, ForwardedError> {
    let headers = values.iter().map(|value| (FORWARDED_HEADER.as_bytes(), value.as_bytes())).collect();
    let own = PeerCertificate { uri: Some("spiffe://own".into()), ..PeerCertificate::default() };
    let head = RequestHead { headers, tls: true, peer_certificate: Some(own), ..RequestHead::default() };
    behind(hops).find(&head).map(|found| found.map(|certificate| shown(&certificate)))
}

#[test]
fn elements() {
    let found = |text: &str| Ok(Some(text.to_owned()));
    for (value, expected) in [
        // The example of Envoy's documentation.
        (
            format!(
                "By=http://frontend.lyft.com;Hash={HASH};Subject=\"/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client\";URI=http://testclient.lyft.com"
            ),
            found("46 | http://testclient.lyft.com | - | /C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client"),
        ),
        (format!("Hash={HASH}"), found("46 | - | - | -")),
        (format!("hash={}", HASH.to_uppercase()), found("46 | - | - | -")),
        (format!("Hash=\"{HASH}\""), found("46 | - | - | -")),
        (
            "URI=spiffe://td/a;URI=spiffe://td/b;DNS=a.example;DNS=b.example".into(),
            found("- | spiffe://td/a | a.example | -"),
        ),
        ("URI=;DNS=;Subject=\"\"".into(), found("- | - | - | -")),
        ("URI=spiffe://td/a?x=1".into(), found("- | spiffe://td/a?x=1 | - | -")),
        ("Subject=\"CN=a,O=b;c\\\"d\\\"\"".into(), found("- | - | - | CN=a,O=b;c\"d\"")),
        ("Subject=\"CN=a\\\\\"".into(), found("- | - | - | CN=a\\\\")),
        ("Cert=\"-----BEGIN%20CERTIFICATE\";Chain=\"x\";Other=y;URI=u".into(), found("- | u | - | -")),
        (" URI=u ; DNS=d ".into(), found("- | u | d | -")),
        ("Hash=46".into(), Err(ForwardedError)),
        (format!("Hash={HASH}0"), Err(ForwardedError)),
        (format!("Hash={HASH};Hash={HASH}"), Err(ForwardedError)),
        (format!("Hash={HASH};hASH={HASH}"), Err(ForwardedError)),
        ("Subject=\"a\";Subject=\"b\"".into(), Err(ForwardedError)),
        ("Subject=\"CN=a".into(), Err(ForwardedError)),
        ("Subject=\"CN=a\\\"".into(), Err(ForwardedError)),
        ("Subject=\"CN=a\"x;URI=u".into(), Err(ForwardedError)),
        ("Subject=\"CN=a\"é;URI=u".into(), Err(ForwardedError)),
        ("Subject=\"CN=a\" é".into(), Err(ForwardedError)),
        ("Subject=\"CN=é\";URI=ü".into(), found("- | ü | - | CN=é")),
        ("URI=a\"b".into(), Err(ForwardedError)),
        ("URI".into(), Err(ForwardedError)),
        ("=u".into(), Err(ForwardedError)),
        ("U RI=u".into(), Err(ForwardedError)),
        ("URI=u;".into(), Err(ForwardedError)),
        ("URI=u,".into(), Err(ForwardedError)),
        (",URI=u".into(), Err(ForwardedError)),
        ("URI=u;;DNS=d".into(), Err(ForwardedError)),
        (String::new(), Err(ForwardedError)),
    ] {
        assert_eq!(find(1, &[&value]), expected, "{value}");
    }
    let head = RequestHead {
        headers: vec![(FORWARDED_HEADER.as_bytes(), b"URI=\xff")],
        remote_address: None,
        tls: true,
        peer_certificate: None,
        ..RequestHead::default()
    };
    assert_eq!(behind(1).find(&head), Err(ForwardedError));
}

#[test]
fn which_element_counts() {
    let chain = "URI=outside,URI=first,URI=second";
    for (hops, values, expected) in [
        (0, &[chain][..], Some("spiffe://own")),
        (1, &[], None),
        (1, &[chain], Some("second")),
        (2, &[chain], Some("first")),
        (3, &[chain], Some("outside")),
        (4, &[chain], None),
        (1, &["URI=outside", "URI=first"], Some("first")),
        (2, &["URI=outside", "URI=first"], Some("outside")),
    ] {
        let expected = expected.map(|uri| format!("- | {uri} | - | -"));
        assert_eq!(find(hops, values), Ok(expected), "{hops} {values:?}");
    }
    // A client's open quote swallows nothing of what the proxy appends.
    let appended = format!("Hash={HASH};Subject=\"CN=client\"");
    assert_eq!(find(1, &[&format!("Subject=\",{appended}")]), Err(ForwardedError));
    assert_eq!(find(1, &[&format!("Subject=\"x\",{appended}")]), Ok(Some("46 | - | - | CN=client".into())));
    // Nor does a character of several bytes end the header before it.
    assert_eq!(find(1, &[&format!("URI=spiffe://td/admin;Subject=\"x\"é,{appended}")]), Err(ForwardedError));
    let many = |n| vec!["URI=u"; n].join(",");
    assert!(find(1, &[&many(MAX_ELEMENTS)]).is_ok());
    assert_eq!(find(1, &[&many(MAX_ELEMENTS + 1)]), Err(ForwardedError));
}

#[test]
fn names_and_principals() {
    let listed = |name, role: &str| CertificatePrincipalSpec {
        name,
        scopes: vec!["s".into()],
        roles: vec![role.into()],
        tier: Some("gold".into()),
    };
    let like = |stem: &str, below| NamePattern::UriLike {
        segments: stem.split('/').map(|segment| Some(segment.to_owned()).filter(|s| s != "*")).collect(),
        below,
    };
    let spec = ClientCertificatesSpec {
        trusted_hops: 0,
        principals: Some(vec![
            listed(NamePattern::Uri("spiffe://td/ns/a".into()), "exact"),
            listed(like("spiffe://td/*/sa/web", false), "between"),
            listed(like("spiffe://td/ns", true), "below"),
            listed(NamePattern::Dns("api.example.com".into()), "dns"),
            listed(NamePattern::DnsBelow(".example.com".into()), "dns-below"),
            listed(NamePattern::Subject("CN=a,O=Acme".into()), "subject"),
        ]),
    };
    let certificate = |uri: &str, dns: &str, subject: &str| PeerCertificate {
        digest: decode_digest(HASH),
        uri: Some(uri.into()),
        dns: Some(dns.into()),
        subject: Some(subject.into()),
    };
    let long = format!("spiffe://td/ns/{}", "a".repeat(500));
    for (uri, dns, subject, expected, unlisted) in [
        ("spiffe://td/ns/a", "", "", Some("exact"), true),
        ("spiffe://td/ns/a", "api.example.com", "CN=a,O=Acme", Some("exact"), true),
        ("spiffe://td/ns/a/b", "", "", Some("below"), true),
        ("spiffe://td/prod/sa/web", "", "", Some("between"), true),
        ("spiffe://td/prod/sa/webs", "", "", None, true),
        ("spiffe://td/prod/x/sa/web", "", "", None, true),
        ("spiffe://td/prod/sa/web/x", "", "", None, true),
        ("spiffe://td//sa/web", "", "", None, true),
        ("spiffe://td/../sa/web", "", "", None, true),
        ("spiffe://td/sa/web", "", "", None, true),
        ("spiffe://td/ns//b", "", "", None, true),
        ("spiffe://td/ns/", "", "", None, true),
        ("spiffe://td/ns", "", "", None, true),
        ("spiffe://TD/ns/a", "", "", None, true),
        ("spiffe://td.evil/ns/a", "", "", None, true),
        // The first name counts, also where only another is listed.
        ("spiffe://other", "api.example.com", "", None, true),
        ("", "API.example.com", "CN=a,O=Acme", Some("dns"), true),
        ("", "b.Example.com", "", Some("dns-below"), true),
        ("", "a.b.example.com", "", Some("dns-below"), true),
        ("", ".example.com", "", None, true),
        ("", "example.com", "", None, true),
        ("", "badexample.com", "", None, true),
        ("", "", "CN=a,O=Acme", Some("subject"), true),
        ("", "", "CN=a,O=acme", None, true),
        // One kind of name never passes for another.
        ("", "", "spiffe://td/ns/a", None, true),
        ("api.example.com", "", "", None, true),
        ("spiffe://td/ns/a\n", "api.example.com", "", None, false),
        (&long, "api.example.com", "", None, false),
        ("", "", "", None, false),
    ] {
        let certificate = certificate(uri, dns, subject);
        let found = spec.principal(&certificate);
        assert_eq!(found.as_ref().map(|principal| &*principal.roles[0]), expected, "{certificate:?}");
        assert_eq!(behind(0).principal(&certificate).is_some(), unlisted, "{certificate:?}");
    }
    let principal = spec.principal(&certificate("spiffe://td/ns/a", "", "")).unwrap();
    assert_eq!((&*principal.subject, &*principal.authority), ("spiffe://td/ns/a", "uri"));
    assert_eq!((principal.kind, &*principal.credential_id), (PrincipalKind::ClientCertificate, HASH));
    assert_eq!((&*principal.scopes[0], principal.tier.as_deref()), ("s", Some("gold")));
    let plain = behind(0).principal(&certificate("", "", "CN=x")).unwrap();
    assert_eq!((&*plain.authority, plain.roles.len(), plain.scopes.len()), ("subject", 0, 0));
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "[A-Ca-c=;,\"\\\\ é]{0,40}", hops in 1_usize..4) {
        let _ = find(hops, &[&text]);
    }

    #[test]
    fn any_bytes_are_read_without_panic(lines: Vec<Vec<u8>>, hops in 0_usize..4) {
        let headers = lines.iter().map(|line| (FORWARDED_HEADER.as_bytes(), line.as_slice())).collect();
        let _ = forwarded(&RequestHead { headers, ..RequestHead::default() }, hops);
    }

    /// Whatever a client sends before it: what a proxy appends is what counts, or nothing does.
    #[test]
    fn what_a_proxy_appends_cannot_be_moved(sent in "[A-Cé=;,\"\\\\ ]{0,30}") {
        let value = format!("{sent},Hash={HASH};Subject=\"CN=client\";URI=spiffe://td/a");
        let expected = "46 | spiffe://td/a | - | CN=client".to_owned();
        if let Ok(found) = find(1, &[&value]) {
            prop_assert_eq!(found, Some(expected));
        }
    }
}
