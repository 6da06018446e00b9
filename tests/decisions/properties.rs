//! Whatever is asked: no panic, nothing without a credential, nothing forwarded that only we may say or know.

use std::sync::LazyLock;

use portcullis::engine::Step;
use proptest::prelude::*;

use crate::world::{Ask, World};

/// Pieces that requests are put together from, so that many of them come near to passing.
const TARGETS: [&str; 10] = [
    "/health",
    "/orders",
    "/orders/7",
    "/certificate",
    "/keys",
    "/tokens",
    "/own/alice",
    "/limited",
    "/closed",
    "/admin/x",
];
const NAMES: [&str; 23] = [
    ":method",
    ":path",
    ":authority",
    "authorization",
    "Authorization",
    "x-api-key",
    "x_api_key",
    "X-API-KEY",
    "x-partner-token",
    "x_partner_token",
    "x.api.key",
    "x~partner.token",
    "sec-websocket-protocol",
    "cookie",
    "x-portcullis-subject",
    "x_portcullis_roles",
    "X-Portcullis-Rule",
    "x-auth-email",
    "x_auth_email",
    "x-forwarded-proto",
    "x-tenant",
    "x-request-id",
    "host",
];
const VALUES: [&str; 22] = [
    "reader-secret",
    "Bearer TOKEN",
    "bearer  TOKEN",
    "Bearer TOKEN,Bearer TOKEN",
    "Basic x,Bearer TOKEN",
    "Bearer\tTOKEN",
    "TOKEN",
    "key=reader-secret; session=TOKEN",
    "a=b; key=reader-secret",
    "session=\"TOKEN\"",
    "session=TOKEN; x=1 session=x",
    "x=\"1, KEY=reader-secret\"",
    "Session[]=TOKEN",
    "=key=reader-secret",
    "Basic x Bearer TOKEN",
    "bearer, TOKEN, chat",
    "chat, bearer, TOKEN, bearer, x",
    "jwt, TOKEN",
    "evil",
    "GET",
    "api.example",
    "\u{e9}\0",
];
const QUERIES: [&str; 11] = [
    "",
    "?",
    "?api_key=reader-secret",
    "??api_key=reader-secret",
    "?a=b&%61pi_key=reader-secret",
    "?access_token=TOKEN&x",
    "?a;b&&c=%zz",
    "?a;api_key=reader-secret",
    "?api.key=reader-secret&API_KEY=x",
    "?access_token[]=TOKEN&+access_token=x",
    "?access%5Ftoken%00=x&access_token=TOKEN",
];

thread_local! {
    /// A token of corp that is good on every thread's own world, and the worlds with and without an open rule.
    static WORLDS: (World, World) = (World::with(in_protocols), World::with(|policy| { in_protocols(policy); closed(policy); }));
}

/// Tokens may stand among the protocols of a WebSocket, too.
fn in_protocols(policy: &mut serde_json::Value) {
    let places = policy["jwt"]["providers"][0]["extractFrom"]["headers"].as_array_mut().unwrap();
    places.push(serde_json::json!({"name": "sec-websocket-protocol"}));
}

/// No rule lets anyone pass.
fn closed(policy: &mut serde_json::Value) {
    policy["rules"].as_array_mut().unwrap().remove(0);
}

static EMPTY: LazyLock<Ask> = LazyLock::new(|| Ask { headers: Vec::new(), ..Ask::get("/") });

pub(crate) fn requests() -> impl Strategy<Value = Ask> {
    let target = (prop::sample::select(&TARGETS[..]), prop::sample::select(&QUERIES[..]), ".{0,6}").prop_map(
        |(path, query, more)| {
            if more.len() % 3 == 0 { format!("{path}{query}") } else { format!("{path}{more}{query}") }
        },
    );
    let value = prop_oneof![
        4 => prop::sample::select(&VALUES[..]).prop_map(|value| value.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    let name = prop_oneof![
        9 => prop::sample::select(&NAMES[..]).prop_map(|name| name.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ];
    let whole = prop::bool::weighted(0.9);
    (whole, target, prop::collection::vec((name, value), 0..6), any::<bool>(), 0_u8..50).prop_map(
        |(whole, target, headers, tls, address)| {
            let mut ask = if whole { Ask::get(&target) } else { EMPTY.clone() };
            ask.headers.extend(headers);
            ask.tls = tls || address % 4 != 0;
            ask.from(&format!("10.0.0.{address}"))
        },
    )
}

/// With a good token wherever one is meant.
pub(crate) fn with_token(mut ask: Ask, token: &str) -> Ask {
    for (_, value) in &mut ask.headers {
        if let Ok(text) = str::from_utf8(value) {
            *value = text.replace("TOKEN", token).into_bytes();
        }
    }
    ask
}

/// Whether any value holds something that authenticates.
fn has_credential(ask: &Ask, token: &str) -> bool {
    ask.headers.iter().any(|(_, value)| {
        let text = String::from_utf8_lossy(value);
        text.contains(token) || text.contains("reader-secret")
    })
}

/// A name as the loosest reader has it, with as few words as can be.
fn read_as(name: &str) -> String {
    let name = name.replace("%00", "[").replace("%5F", "_").replace("%61", "a").to_ascii_lowercase();
    let name =
        name.trim_matches(|c: char| "+?=[] \t\u{b}".contains(c)).split(['[', '=']).next().unwrap_or_default();
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Whether a header of a forwarded request has anything where a credential could stand.
fn may_authenticate(name: &str, value: &str) -> bool {
    let named = |text: &str, names: &[&str]| text.contains('=') && names.contains(&read_as(text).as_str());
    match read_as(name).as_str() {
        "authorization" => value.to_ascii_lowercase().contains("bearer"),
        "x_api_key" | "x_partner_token" => true,
        "cookie" => value.split([';', ',', '"', ' ']).any(|word| named(word, &["key", "session"])),
        "sec_websocket_protocol" => {
            let begins_as_jwt = |word: &str| word.starts_with("eyJ");
            value.to_ascii_lowercase().contains("bearer,") || value.split([',', ' ']).any(begins_as_jwt)
        }
        _ if name == ":path" => value.split_once('?').is_some_and(|(_, query)| {
            query.split(['&', ';']).any(|piece| named(piece, &["api_key", "access_token"]))
        }),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn nothing_passes_that_should_not(ask in requests(), strip in any::<bool>(), minutes in 0_u64..3) {
        WORLDS.with(|(open, closed)| {
            for w in [open, closed] {
                w.now.set(w.now.get() + 60 * minutes.min(1));
                let token = w.corp.sign(&serde_json::json!({"iss": "https://idp.example", "sub": "alice", "aud": "api",
                    "roles": ["admin"], "iat": w.now.get(), "exp": w.now.get() + 600}));
                let mut ask = with_token(ask.clone(), &token);
                if strip {
                    ask.headers.retain(|header| {
                        let alone = Ask { headers: vec![header.clone()], ..EMPTY.clone() };
                        !has_credential(&alone, &token)
                    });
                }
                let answer = w.ask(&ask);
                let headers = match &answer.upstream {
                    Ok(headers) => headers,
                    // RFC 9110 section 15.5.2.
                    Err(reply) => {
                        prop_assert!(reply.status != 401 || answer.reply("www-authenticate").is_some(), "{:?}", ask);
                        continue;
                    }
                };
                let rule = answer.upstream("x-portcullis-rule");
                let anonymous = rule == "health";
                prop_assert!(anonymous || has_credential(&ask, &token), "{:?}", ask);
                prop_assert!(!(anonymous && std::ptr::eq(w, closed)));
                for (name, value) in headers {
                    let read_as = name.to_ascii_lowercase().replace('_', "-");
                    if read_as.starts_with("x-portcullis-") || read_as.starts_with("x-auth-") {
                        prop_assert!(name == &read_as && value != "evil", "{} {}", name, value);
                    }
                    prop_assert!(!may_authenticate(name, value), "{} {}", name, value);
                }
                prop_assert_eq!(answer.upstream("x-portcullis-subject").is_empty(), anonymous);
            }
            Ok(())
        })?;
    }

    #[test]
    fn no_bytes_make_it_panic(
        headers in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..80)), 0..8),
        pseudo in any::<bool>(),
    ) {
        WORLDS.with(|(open, _)| {
            let mut ask = if pseudo { Ask::get("/orders") } else { EMPTY.clone() };
            ask.headers.extend(headers);
            let head = ask.head();
            let forwarded = open.with_services(|services| {
                let mut exchange = portcullis::engine::Exchange::default();
                matches!(exchange.on_request(&open.worker, &head, services).step, Step::Forward(_))
            });
            prop_assert!(!forwarded);
            Ok(())
        })?;
    }
}
