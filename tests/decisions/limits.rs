//! Rate limits: what is charged, when, and what clients are told.

use portcullis::answer::Reason::{self, ApiKeyUnknown, InsufficientPermission, NoRule, RateLimited};

use crate::world::{Ask, World};

const READER: &str = "reader-secret";

/// How many of `asks` in a row are forwarded before the first 429.
fn admitted(w: &World, mut ask: impl FnMut(usize) -> Ask) -> usize {
    (0..20).take_while(|n| w.reason(&ask(*n)) != Some(RateLimited)).count()
}

/// From an address of its own, so that the throttle stays out of it.
fn from(n: usize, ask: Ask) -> Ask {
    ask.from(&format!("10.0.0.{n}"))
}

#[test]
fn the_throttle_counts_whatever_comes_before_anything_is_known_of_it() {
    let w = World::new();
    let mixed: [(Ask, Option<Reason>); 8] = [
        (Ask::get("/nowhere"), Some(NoRule)),
        (Ask::get("/keys").key("x"), Some(ApiKeyUnknown)),
        (Ask::get("/keys").key(READER), None),
        (Ask::new("POST", "/orders").key(READER), Some(InsufficientPermission)),
        (Ask::get("/health"), None),
        (Ask::get("/health"), None),
        (Ask::get("/health"), None),
        (Ask::get("/health"), None),
    ];
    for (ask, expected) in mixed {
        assert_eq!(w.reason(&ask), expected);
        // Refused before the throttle: not charged.
        assert_eq!(w.reason(&Ask::get("/a%2Fb")), Some(Reason::AmbiguousPath));
        assert_eq!(w.reason(&Ask::get("/health").plain()), Some(Reason::TlsRequired));
    }
    let answer = w.ask(&Ask::get("/nowhere").key("x"));
    assert_eq!((answer.reason, answer.recorded("limit")), (Some(RateLimited), "throttle".into()));
    // Nothing was looked at yet.
    assert_eq!(answer.recorded("rule"), serde_json::Value::Null);
    assert_eq!(w.reason(&Ask::get("/health").from("192.0.2.2")), None);
}

#[test]
fn a_refusal_says_how_long_to_wait() {
    let w = World::new();
    let ask = |n| from(n, Ask::get("/limited").key(READER));
    assert_eq!(admitted(&w, ask), 3);
    let answer = w.ask(&ask(9));
    assert_eq!(answer.upstream.as_ref().unwrap_err().status, 429);
    assert_eq!(answer.reply("retry-after"), Some("20"));
    assert_eq!(answer.reply("ratelimit-policy"), Some("\"reads\";q=3;w=60"));
    assert_eq!(answer.reply("ratelimit"), Some("\"reads\";r=0;t=60"));
    assert_eq!(answer.reply("www-authenticate"), None);
    assert_eq!(answer.recorded("limit"), "reads");
    assert_eq!(answer.recorded("principal"), "reader");
    assert!(answer.response.iter().all(|(name, _)| *name == "strict-transport-security"));
    w.now.set(w.now.get() + 19);
    assert_eq!(w.reason(&ask(9)), Some(RateLimited));
    w.now.set(w.now.get() + 1);
    assert_eq!((w.reason(&ask(9)), w.reason(&ask(9))), (None, Some(RateLimited)));
}

#[test]
fn only_requests_that_may_pass_are_charged_to_their_rule() {
    let w = World::with(|policy| {
        policy["rules"][2]["rateLimits"] = serde_json::json!(["reads"]);
        policy["rateLimits"][1]["methods"] = serde_json::json!(["GET", "POST"]);
    });
    for n in 0..9 {
        assert_eq!(w.reason(&from(n, Ask::new("POST", "/orders").key(READER))), Some(InsufficientPermission));
    }
    assert_eq!(admitted(&w, |n| from(n + 10, Ask::get("/limited").key(READER))), 3);
}

#[test]
fn limits_are_kept_per_principal_by_tier_and_by_method() {
    let w = World::new();
    let limited = |method: &str, key: &str, n| from(n, Ask::new(method, "/limited").key(key));
    assert_eq!(admitted(&w, |n| limited("GET", READER, n)), 3);
    // Two keys of one client are one principal; another tier has other windows.
    assert_eq!(
        admitted(&w, |n| limited("GET", if n % 2 == 0 { "old-secret" } else { "new-secret" }, 30 + n)),
        3
    );
    assert_eq!(admitted(&w, |n| limited("GET", "gold-secret", 60 + n)), 5);
    assert_eq!(admitted(&w, |n| limited("POST", READER, 90 + n)), 20);
    // An issuer's "reader" is not the key's.
    let token = |n| from(n, w.bearer(Ask::get("/limited"), |claims| claims["sub"] = "reader".into()));
    assert_eq!(admitted(&w, |n| token(120 + n)), 3);
    let gold = |claims: &mut serde_json::Value| (claims["sub"], claims["tier"]) = ("g".into(), "gold".into());
    assert_eq!(admitted(&w, |n| from(150 + n, w.bearer(Ask::get("/limited"), gold))), 5);
}

#[test]
fn all_limits_are_charged_or_none() {
    let w = World::new();
    let both = |n, tenant: &str| from(n, Ask::get("/both").key(READER).header("x-tenant", tenant));
    assert_eq!(admitted(&w, |n| both(n, "a")), 2);
    for n in 30..40 {
        let answer = w.ask(&both(n, "a"));
        assert_eq!((answer.reason, answer.recorded("limit")), (Some(RateLimited), "tenants".into()));
    }
    // The refused ones took nothing from `reads`, which has one left; and that one's refusals nothing from `b`.
    assert_eq!(admitted(&w, |n| both(50 + n, "b")), 1);
    w.now.set(w.now.get() + 60);
    assert_eq!(admitted(&w, |n| both(80 + n, "b")), 1);
}

#[test]
fn a_header_in_another_spelling_is_counted_as_itself() {
    let w = World::new();
    let both = |n, headers: &[(&str, &str)]| {
        let ask = from(n, w.bearer(Ask::get("/both"), |claims| claims["sub"] = format!("caller-{n}").into()));
        headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value))
    };
    assert_eq!(admitted(&w, |n| both(n, &[("x-tenant", "a")])), 2);
    for (n, headers) in [
        &[("x_tenant", "a")][..],
        &[("X.Tenant", "a")],
        &[("x-tenant", " a\t")],
        // Nor does it make another count beside the name itself.
        &[("x-tenant", "a"), ("x_tenant", "b")],
        &[("x~tenant", "b"), ("x-tenant", "a")],
    ]
    .into_iter()
    .enumerate()
    {
        let answer = w.ask(&both(40 + n, headers));
        assert_eq!(answer.reason, Some(RateLimited), "{headers:?}");
    }
    assert_eq!(admitted(&w, |n| both(60 + n, &[("x_tenant", "b")])), 2);
    assert_eq!(admitted(&w, |n| both(90 + n, &[("x-tenants", "a")])), 2);
}

#[test]
fn allowed_answers_carry_the_state_of_every_limit_where_the_policy_says_so() {
    let w = World::with(|policy| policy["rateLimitHeaders"] = "Always".into());
    let answer = w.ask(&Ask::get("/limited").key(READER));
    let header = |name| answer.response.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
    assert_eq!(header("ratelimit-policy"), Some("\"throttle\";q=8;w=60, \"reads\";q=3;w=60"));
    assert_eq!(header("ratelimit"), Some("\"throttle\";r=7;t=8, \"reads\";r=2;t=20"));
    // Refused for another reason, the throttle counted all the same.
    let answer = w.ask(&Ask::get("/nowhere"));
    assert!(answer.response.iter().any(|(name, value)| *name == "ratelimit" && value.contains(";r=6;")));
}
