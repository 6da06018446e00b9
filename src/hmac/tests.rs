//! Webhooks as their senders publish them, each beside its nearest that must not pass.

use super::*;
use crate::text::base64;

/// A published delivery.
struct Delivery {
    scheme: Scheme,
    secret: Vec<u8>,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    signed_at: u64,
}

const SLACK_BODY: &str = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&\
                          channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&\
                          response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&\
                          trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";

/// What the pages beside [`Scheme`]'s functions show. Stripe's shows none: its signature was made with Python's `hmac`.
fn deliveries() -> [Delivery; 4] {
    [
        Delivery {
            scheme: Scheme::github(),
            secret: b"It's a Secret to Everybody".into(),
            headers: &[(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            )],
            body: "Hello, World!",
            signed_at: 0,
        },
        Delivery {
            scheme: Scheme::slack(),
            secret: b"8f742231b10e8888abcd99yyyzzz85a5".into(),
            headers: &[
                ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
                ("x-slack-request-timestamp", "1531420618"),
            ],
            body: SLACK_BODY,
            signed_at: 1_531_420_618,
        },
        Delivery {
            scheme: Scheme::standard(),
            secret: base64::decode_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
            headers: &[
                ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
                ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                ("webhook-timestamp", "1614265330"),
            ],
            body: "{\"test\": 2432232314}",
            signed_at: 1_614_265_330,
        },
        Delivery {
            scheme: Scheme::stripe(),
            secret: b"whsec_test_secret".into(),
            headers: &[(
                "stripe-signature",
                "t=1492774577,v1=a6a6df26b4d61b1840dc1936504106cea928ea547871a017446abc00a37ac784,v0=00",
            )],
            body: "{\"id\": \"evt_test_webhook\"}",
            signed_at: 1_492_774_577,
        },
    ]
}

fn source(scheme: Scheme, secret: &[u8]) -> HmacSourceSpec {
    HmacSourceSpec {
        name: "shop".to_owned(),
        secrets: vec![HmacSha256Key::new(secret).unwrap()],
        tolerance: Duration::from_secs(300),
        once: false,
        max_body_bytes: 1024,
        forward: true,
        scopes: vec!["orders:write".to_owned()],
        roles: vec![],
        tier: None,
        location: Location::Header { name: scheme.header.clone(), prefix: String::new() },
        scheme,
    }
}

/// What comes of a delivery at `now`.
fn outcome(
    source: &HmacSourceSpec,
    headers: &[(&str, &str)],
    body: &str,
    now: u64,
) -> Result<Principal, HmacError> {
    let head = RequestHead {
        headers: headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect(),
        ..RequestHead::default()
    };
    let signature = head.single(&source.scheme.header).one().unwrap();
    let claimed = source.read(&head, signature, Timestamp::from_secs(now))?;
    source.verify(&claimed, body.as_bytes())
}

#[test]
fn published_deliveries_pass_and_their_neighbours_do_not() {
    for Delivery { scheme, secret, headers, body, signed_at } in deliveries() {
        let name = scheme.header.clone();
        let source = source(scheme, &secret);
        let principal = outcome(&source, headers, body, signed_at).unwrap();
        assert_eq!(
            (&*principal.subject, principal.kind, &*principal.scopes[0]),
            ("shop", PrincipalKind::Hmac, "orders:write"),
            "{name}"
        );
        assert_eq!(
            outcome(&source, headers, &format!("{body} "), signed_at).err(),
            Some(HmacError::Mismatch),
            "{name}"
        );
        assert_eq!(outcome(&source, headers, "", signed_at).err(), Some(HmacError::Mismatch), "{name}");
        let other = HmacSourceSpec {
            secrets: vec![HmacSha256Key::new(b"another secret").unwrap()],
            ..source.clone()
        };
        assert_eq!(outcome(&other, headers, body, signed_at).err(), Some(HmacError::Mismatch), "{name}");
        let both = HmacSourceSpec { secrets: [&*other.secrets, &*source.secrets].concat(), ..source.clone() };
        assert!(outcome(&both, headers, body, signed_at).is_ok(), "{name}: a second secret");
        // Each character of each header counts.
        for (n, (header, value)) in headers.iter().enumerate() {
            for at in 0..value.len() {
                let mut changed = value.as_bytes().to_vec();
                changed[at] = if changed[at] == b'2' { b'3' } else { b'2' };
                let changed = String::from_utf8(changed).unwrap();
                let mut all = headers.to_vec();
                all[n] = (header, &changed);
                let is_ignored = header == &"stripe-signature"
                    && value.as_bytes()[at] != b'='
                    && at > value.find(",v0=").unwrap();
                assert_eq!(outcome(&source, &all, body, signed_at).is_ok(), is_ignored, "{name}: {changed}");
            }
        }
    }
}

#[test]
fn a_signature_counts_within_the_tolerance_alone() {
    for Delivery { scheme, secret, headers, body, signed_at } in deliveries() {
        if !scheme.has_timestamp() {
            continue;
        }
        let source = source(scheme, &secret);
        for (now, expected) in [
            (signed_at - 301, Some(HmacError::Expired)),
            (signed_at - 300, None),
            (signed_at + 300, None),
            (signed_at + 301, Some(HmacError::Expired)),
        ] {
            assert_eq!(outcome(&source, headers, body, now).err(), expected, "{headers:?} at {now}");
        }
    }
    // Digits that no time has.
    let source = source(Scheme::slack(), b"8f742231b10e8888abcd99yyyzzz85a5");
    for time in
        ["", "-1", "+1531420618", "1531420618.0", " 1531420618", "1e9", "18446744073709551616", "\u{661}"]
    {
        let headers = [
            ("x-slack-signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
            ("x-slack-request-timestamp", time),
        ];
        let refused = outcome(&source, &headers, SLACK_BODY, 1_531_420_618).unwrap_err();
        assert_eq!(refused.reason(), Reason::SignatureMalformed, "{time:?}");
    }
}

/// The headers' forms, whatever the signatures are worth.
#[test]
fn what_cannot_be_read_is_malformed() {
    let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let base64 = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let many = |item: &str, between: &str| vec![item; 17].join(between);
    // The scheme, what stands in the header of the signature, how many signatures are read.
    let rows: Vec<(Scheme, String, Option<usize>)> = vec![
        (Scheme::github(), format!("sha256={hex}"), Some(1)),
        (Scheme::github(), format!("sha256={}", hex.to_uppercase()), Some(1)),
        (Scheme::github(), format!("SHA256={hex}"), None),
        (Scheme::github(), format!("sha1={hex}"), None),
        (Scheme::github(), hex.to_owned(), None),
        (Scheme::github(), format!("sha256={hex}00"), None),
        (Scheme::github(), format!("sha256={}", hex.trim_start_matches("75")), None),
        (Scheme::github(), format!("sha256={hex},sha256={hex}"), None),
        (Scheme::github(), "sha256=".to_owned(), None),
        (Scheme::stripe(), format!("t=1,v1={hex}"), Some(1)),
        (Scheme::stripe(), format!("v1={hex},t=1,v1={hex}"), Some(2)),
        (Scheme::stripe(), format!("t=1,v0={hex}"), None),
        (Scheme::stripe(), format!("v1={hex}"), None),
        (Scheme::stripe(), format!("t=1,t=1,v1={hex}"), None),
        (Scheme::stripe(), format!("t=1,v1={hex},v1=00"), None),
        (Scheme::stripe(), format!("t=1, v1={hex}"), None),
        (Scheme::stripe(), format!("t=1;v1={hex}"), None),
        (Scheme::stripe(), format!("t=1,v1={hex},"), None),
        (Scheme::stripe(), format!("t=1,{}", many(&format!("v1={hex}"), ",")), None),
        (Scheme::standard(), format!("v1,{base64}"), Some(1)),
        (Scheme::standard(), format!("v1a,x v1,{base64} v2,y v1,{base64}"), Some(2)),
        (Scheme::standard(), format!("v1a,{base64}"), None),
        (Scheme::standard(), format!("v1,{}", base64.trim_end_matches('=')), None),
        (Scheme::standard(), format!("v1,{base64}  v1,{base64}"), None),
        (Scheme::standard(), base64.to_owned(), None),
        (Scheme::standard(), many(&format!("v1,{base64}"), " "), None),
        (Scheme::slack(), format!("v0={hex}"), Some(1)),
        (Scheme::slack(), format!("v1={hex}"), None),
    ];
    for (scheme, value, expected) in rows {
        let head = RequestHead {
            headers: vec![
                (&b"webhook-id"[..], &b"msg_1"[..]),
                (b"webhook-timestamp", b"1"),
                (b"x-slack-request-timestamp", b"1"),
            ],
            ..RequestHead::default()
        };
        let read = scheme.read(&head, value.as_bytes());
        assert_eq!(read.as_ref().ok().map(|signed| signed.signatures.len()), expected, "{value}: {read:?}");
    }
}

#[test]
fn what_is_signed_beside_the_body_is_given_once() {
    let standard = deliveries().into_iter().find(|delivery| delivery.scheme == Scheme::standard()).unwrap();
    let source = source(standard.scheme, &standard.secret);
    let at =
        |headers: &[(&str, &str)]| outcome(&source, headers, standard.body, standard.signed_at).map(|_| ());
    assert_eq!(at(standard.headers), Ok(()));
    for name in ["webhook-id", "webhook-timestamp"] {
        let own = *standard.headers.iter().find(|(other, _)| *other == name).unwrap();
        let without: Vec<_> = standard.headers.iter().copied().filter(|(other, _)| *other != name).collect();
        let twice = [standard.headers, &[own]].concat();
        for headers in [without, twice] {
            assert_eq!(at(&headers).unwrap_err().reason(), Reason::SignatureMalformed, "{headers:?}");
        }
    }
    let long = "x".repeat(257);
    // A dot would let another id and another time be signed by the same bytes.
    for id in ["", "msg.1", "msg 1", "\u{e9}", &long] {
        let mut headers = standard.headers.to_vec();
        headers[1] = ("webhook-id", id);
        assert_eq!(at(&headers).unwrap_err().reason(), Reason::SignatureMalformed, "{id:?}");
    }
}
