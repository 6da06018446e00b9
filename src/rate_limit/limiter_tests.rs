//! Limits as requests meet them: tables of requests, and workers that race.

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::json;

use super::*;
use crate::{
    identity::{ClaimPath, Principal, PrincipalKind},
    network::Networks,
    rate_limit::{
        KeyPart, LimitSpec, Prepayments, Terms, WindowSpec,
        charging::MAX_CONFLICTS,
        headers,
        key::{KnownPlace, PathVariables},
    },
    request::RequestHead,
    store::{Expected, MemoryStore, SharedStore, Versioned},
};

const SECRET_BYTES: [u8; 16] = [7; 16];

const NO_HEADERS: &RequestHead<'_> = &RequestHead {
    headers: Vec::new(),
    remote_address: None,
    tls: false,
    peer_certificate: None,
    ends: false,
};

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

fn window(requests: u32, secs: u64) -> WindowSpec {
    WindowSpec { requests, per: Duration::from_secs(secs), burst: requests, own: None }
}

fn limit(name: &str, key: Vec<KeyPart>, windows: Vec<WindowSpec>) -> LimitSpec {
    LimitSpec::of(name, key, windows)
}

fn principal(kind: PrincipalKind, authority: &str, subject: &str) -> Principal {
    Principal {
        subject: subject.into(),
        kind,
        authority: authority.into(),
        credential_id: "id".into(),
        scopes: vec![],
        roles: vec![],
        roles_unclear: false,
        permissions: vec![],
        tier: None,
        own_requests: vec![],
        claims: crate::json::Members::default(),
    }
}

fn subject() -> Subject<'static> {
    Subject {
        remote_address: None,
        principal: None,
        actor: None,
        known_place: None,
        rule: "",
        host: "",
        variables: None,
        method: "GET",
        head: NO_HEADERS,
        query: None,
    }
}

struct World {
    limiter: Limiter,
    store: MemoryStore,
    secret: SlotSecret,
    terms: Terms,
}

impl World {
    fn new(specs: &[LimitSpec]) -> Self {
        let store = MemoryStore::default();
        let secret = SlotSecret::load_or_create(&store, "p", SECRET_BYTES).unwrap();
        let (limiter, mut terms) = (Limiter::compile(specs, "p").unwrap(), Terms::default());
        limiter.plans().for_each(|plan| terms.count(plan, at(0), &store).unwrap());
        Self { limiter, store, secret, terms }
    }

    /// With no prepayments, so that every charge is seen.
    fn check_in(
        &self,
        store: &dyn SharedStore,
        ids: &[LimitId],
        subject: &Subject<'_>,
        now: Timestamp,
    ) -> Result<Admission, StoreError> {
        let (mut prepayments, mut terms) = (Prepayments::none(), self.terms.clone());
        let mut ledger = Ledger {
            store,
            secret: &self.secret,
            prepayments: &mut prepayments,
            terms: &mut terms,
            tells: true,
        };
        self.limiter.check(ids, subject, now, &mut ledger)
    }

    fn ids(&self) -> Vec<LimitId> {
        self.limiter.names().map(|name| self.limiter.id(name).unwrap()).collect()
    }

    fn check(&self, subject: &Subject<'_>, now: Timestamp) -> Admission {
        self.check_in(&self.store, &self.ids(), subject, now).unwrap()
    }

    fn admits(&self, subject: &Subject<'_>, now: Timestamp) -> bool {
        self.check(subject, now).admitted()
    }

    fn remaining(&self, admission: &Admission) -> Vec<(String, u32)> {
        admission.standings.iter().map(|s| (self.limiter.name(s.limit).to_owned(), s.remaining)).collect()
    }
}

#[test]
fn no_limit_admits() {
    let world = World::new(&[]);
    assert!(world.admits(&subject(), at(0)));
    assert!(world.check(&subject(), at(0)).standings.is_empty());
}

#[test]
fn several_windows_must_all_admit() {
    let world = World::new(&[limit("reads", vec![KeyPart::Route], vec![window(2, 1), window(5, 3_600)])]);
    for (secs, admitted) in [
        (0, true),
        (0, true),
        (0, false),
        (1, true),
        (1, true),
        (1, false),
        (2, true),
        (2, false),
        (600, false),
    ] {
        assert_eq!(world.admits(&subject(), at(secs)), admitted, "at {secs}");
    }
    let denied = world.check(&subject(), at(600)).exceeded.unwrap();
    assert_eq!(denied.retry_after, Duration::from_secs(120));
    assert!(world.admits(&subject(), at(720)));
}

#[test]
fn a_denied_request_is_charged_to_no_limit() {
    let world = World::new(&[
        limit("wide", vec![KeyPart::Route], vec![window(10, 60)]),
        limit("narrow", vec![KeyPart::Route], vec![window(1, 60)]),
        limit("other", vec![KeyPart::Route], vec![window(10, 60)]),
    ]);
    assert!(world.admits(&subject(), at(0)));
    for _ in 0..5 {
        let admission = world.check(&subject(), at(0));
        let denied = admission.exceeded.unwrap();
        assert_eq!(world.limiter.name(denied.limit), "narrow");
        assert_eq!(denied.retry_after, Duration::from_secs(60));
        let expected = [("wide", 9), ("narrow", 0), ("other", 9)].map(|(n, r)| (n.to_owned(), r));
        assert_eq!(world.remaining(&admission), expected);
    }
}

#[test]
fn methods_and_tiers_select() {
    let mut reads = limit("reads", vec![KeyPart::Principal], vec![window(1, 60)]);
    reads.methods = vec!["GET".into(), "HEAD".into()];
    reads.tiers = vec![("gold".into(), vec![window(3, 60)]), ("silver".into(), vec![window(2, 60)])];
    for (tier, method, quota) in [
        (None, "GET", Some(1)),
        (Some("gold"), "GET", Some(3)),
        (Some("silver"), "HEAD", Some(2)),
        (Some("bronze"), "GET", Some(1)),
        (Some(""), "GET", Some(1)),
        (Some("gold"), "POST", None),
        (None, "get", None),
    ] {
        let world = World::new(std::slice::from_ref(&reads));
        let mut alice = principal(PrincipalKind::Jwt, "corp", "alice");
        alice.tier = tier.map(Into::into);
        let subject = Subject { principal: Some(&alice), method, ..subject() };
        let admitted = (0..10).filter(|_| world.admits(&subject, at(0))).count();
        assert_eq!(admitted, quota.unwrap_or(10), "{tier:?} {method}");
        assert_eq!(world.check(&subject, at(0)).standings.is_empty(), quota.is_none());
    }
}

/// One request by each; whether the second is counted with the first.
fn share(key: Vec<KeyPart>, one: &Subject<'_>, other: &Subject<'_>) -> bool {
    let world = World::new(&[limit("limit", key, vec![window(1, 60)])]);
    assert!(world.admits(one, at(0)));
    !world.admits(other, at(0))
}

#[test]
fn addresses_share_a_counter_by_prefix() {
    for (one, other, expected) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "::ffff:192.0.2.2", false),
        ("192.0.2.1", "::192.0.2.1", false),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", true),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
    ] {
        let [one, other] =
            [one, other].map(|text| Subject { remote_address: text.parse().ok(), ..subject() });
        assert_eq!(share(vec![KeyPart::RemoteAddress], &one, &other), expected, "{:?}", other.remote_address);
    }
}

#[test]
fn an_unknown_address_is_unavailable() {
    let world = World::new(&[limit("limit", vec![KeyPart::RemoteAddress], vec![window(1, 60)])]);
    let admission = world.check_in(&world.store, &world.ids(), &subject(), at(0));
    assert_eq!(admission.unwrap_err(), StoreError::Unavailable);
    let foreign = [LimitId::new(1)];
    let admission = world.check_in(&world.store, &foreign, &subject(), at(0));
    assert_eq!(admission.unwrap_err(), StoreError::Unavailable);
}

#[test]
fn principals_never_share_by_accident() {
    use PrincipalKind::{ApiKey, Jwt};
    for (one, other, expected) in [
        ((Jwt, "corp", "alice"), (Jwt, "corp", "alice"), true),
        ((Jwt, "corp", "alice"), (Jwt, "corp", "bob"), false),
        ((Jwt, "corp", "alice"), (Jwt, "partner", "alice"), false),
        ((Jwt, "corp", "alice"), (Jwt, "corpa", "lice"), false),
        ((Jwt, "", "alice"), (ApiKey, "", "alice"), false),
    ] {
        let [one, other] = [one, other].map(|(kind, authority, name)| principal(kind, authority, name));
        let [a, b] = [&one, &other].map(|principal| Subject { principal: Some(principal), ..subject() });
        assert_eq!(share(vec![KeyPart::Principal], &a, &b), expected, "{one:?} {other:?}");
    }
    let alice = principal(Jwt, "corp", "alice");
    let known = Subject { principal: Some(&alice), ..subject() };
    assert!(!share(vec![KeyPart::Principal], &known, &subject()));
    assert!(share(vec![KeyPart::Principal], &subject(), &subject()));
}

#[test]
fn what_is_known_of_a_principal_leads_where_it_is_counted_anyway() {
    let world = World::new(&[
        limit("first", vec![KeyPart::Principal], vec![window(10, 60)]),
        limit("second", vec![KeyPart::Principal], vec![window(10, 60)]),
        limit("both", vec![KeyPart::Principal, KeyPart::Route], vec![window(10, 60)]),
    ]);
    let alice = principal(PrincipalKind::Jwt, "corp", "alice");
    let known_place = KnownPlace::default();
    let remaining = |known: bool, rule| {
        let known_place = known.then_some(&known_place);
        let subject = Subject { principal: Some(&alice), known_place, rule, ..subject() };
        world.remaining(&world.check(&subject, at(0))).into_iter().map(|(_, left)| left).collect::<Vec<_>>()
    };
    assert_eq!(remaining(true, "a"), [9, 9, 9]);
    assert!(known_place.of(world.ids()[0]).is_some() && known_place.of(world.ids()[1]).is_none());
    assert_eq!(remaining(true, "a"), [8, 8, 8]);
    assert_eq!(remaining(false, "a"), [7, 7, 7]);
    assert_eq!(remaining(true, "b"), [6, 6, 9]);
}

#[test]
fn api_keys_count_by_id_and_others_share() {
    let with_id = |kind, id: &str| Principal { credential_id: id.into(), ..principal(kind, "", "client") };
    let one = with_id(PrincipalKind::ApiKey, "one");
    let two = with_id(PrincipalKind::ApiKey, "two");
    let token = with_id(PrincipalKind::Jwt, "one");
    let [one, two, token] =
        [&one, &two, &token].map(|principal| Subject { principal: Some(principal), ..subject() });
    for (a, b, expected) in
        [(&one, &one, true), (&one, &two, false), (&one, &token, false), (&token, &subject(), true)]
    {
        assert_eq!(share(vec![KeyPart::ApiKey], a, b), expected);
    }
}

#[test]
fn actors_count_apart_from_whom_they_act_for() {
    let (alice, bob) =
        (principal(PrincipalKind::Jwt, "corp", "alice"), principal(PrincipalKind::Jwt, "corp", "bob"));
    let key =
        |id: &str| Principal { credential_id: id.into(), ..principal(PrincipalKind::ApiKey, "", "shop") };
    let (one, two) = (key("one"), key("two"));
    let by = |principal, actor| Subject { principal: Some(principal), actor: Some(actor), ..subject() };
    let alone = Subject { principal: Some(&one), ..subject() };
    use KeyPart::{Actor, ApiKey};
    for (part, a, b, expected) in [
        (Actor, by(&alice, &one), by(&bob, &one), true),
        // Keys of one client are one actor.
        (Actor, by(&alice, &one), by(&alice, &two), true),
        (Actor, by(&alice, &one), by(&alice, &bob), false),
        (Actor, by(&one, &alice), by(&alice, &one), false),
        (KeyPart::Principal, by(&alice, &one), by(&alice, &bob), true),
        (KeyPart::Principal, by(&alice, &one), by(&bob, &one), false),
        (ApiKey, by(&alice, &one), by(&bob, &one), true),
        (ApiKey, by(&alice, &one), by(&one, &alice), true),
        (ApiKey, by(&alice, &one), by(&alice, &two), false),
        (ApiKey, by(&alice, &one), alone, true),
        (ApiKey, by(&alice, &bob), subject(), true),
    ] {
        assert_eq!(share(vec![part.clone()], &a, &b), expected, "{part:?}");
    }
}

#[test]
fn header_values_count_apart_in_order() {
    type Headers = &'static [(&'static [u8], &'static [u8])];
    let rows: &[(Headers, Headers, bool)] = &[
        (&[(b"x-tenant", b"a")], &[(b"x-tenant", b"a")], true),
        (&[(b"x-tenant", b"a")], &[(b"x-tenant", b"b")], false),
        (&[(b"x-tenant", b"a")], &[(b"x-tenant", b"a"), (b"x-other", b"b")], true),
        (&[(b"x-tenant", b"a")], &[(b"x-tenant", b"a"), (b"x-tenant", b"b")], false),
        (&[(b"x-tenant", b"a")], &[], false),
        (&[(b"x-tenant", b"")], &[], false),
        (&[(b"x-tenant", b"\xff\0")], &[(b"x-tenant", b"\xff\0")], true),
        (&[], &[(b"x-other", b"a")], true),
        // Another spelling counts where there is no other.
        (&[(b"x-tenant", b"a")], &[(b"x_tenant", b"a")], true),
        (&[(b"x-tenant", b"a")], &[(b"x_tenant", b"b"), (b"x-tenant", b"a")], true),
    ];
    for (one, other, expected) in rows {
        let [one, other] =
            [one, other].map(|headers| RequestHead { headers: headers.to_vec(), ..RequestHead::default() });
        let [a, b] = [&one, &other].map(|head| Subject { head, ..subject() });
        assert_eq!(share(vec![KeyPart::Header("x-tenant".into())], &a, &b), *expected, "{one:?} {other:?}");
    }
}

/// What is sent, whose count it shares, and whose it does not.
#[test]
fn cookies_and_parameters_count_apart_by_value() {
    let long = "x=1; ".repeat(30_000);
    let cookies: &[(&[&str], &[&str], bool)] = &[
        (&["sid=1"], &["a=0; sid=1; b=2"], true),
        (&["sid=1"], &["sid=2"], false),
        (&["sid=1"], &[" sid = \"1\" "], true),
        (&["sid=1; sid=2"], &["sid=1", "sid=2"], true),
        (&["sid=1; sid=2"], &["sid=1"], false),
        (&["sid=1; sid=2"], &["sid=12"], false),
        // No other count by another spelling.
        (&["sid=1"], &["Sid=1"], true),
        (&["sid=1"], &["%73id=1"], true),
        (&["sid=1"], &["sid[]=1"], true),
        (&["sid=1"], &["sid=1; Sid=2; x=1 sid=3"], true),
        (&["sid=1"], &["sids=1"], false),
        // Nothing.
        (&[], &["sid="], true),
        (&[], &["sid"], true),
        (&[], &["other=1"], true),
        (&[], &["sid=1"], false),
        // Too much.
        (&[&long, "sid=1"], &[&long, "sid=2"], true),
        (&[&long], &[], false),
    ];
    for (one, other, expected) in cookies {
        let [one, other] = [one, other].map(|lines| {
            let headers = lines.iter().map(|line| (&b"cookie"[..], line.as_bytes())).collect();
            RequestHead { headers, ..RequestHead::default() }
        });
        let [a, b] = [&one, &other].map(|head| Subject { head, ..subject() });
        let key = || vec![KeyPart::Cookie("sid".into())];
        assert_eq!(share(key(), &a, &b), *expected, "{:?} {:?}", one.headers, other.headers);
    }
    let long = "x=1&".repeat(30_000);
    let (first, second) = (long.clone() + "app=1", long.clone() + "app=2");
    for (one, other, expected) in [
        ("app=1", "a=0&app=1&b=2", true),
        ("app=1", "app=2", false),
        ("app=1", "app=%31", true),
        ("app=1", "%61pp=1", true),
        ("app=a b", "app=a+b", true),
        ("app=1&app=2", "app=2&app=1", false),
        ("app=1&app=2", "app=12", false),
        ("app=1", "App=1", true),
        ("app=1", "app[]=1", true),
        ("app=1", "x=0;app=1", true),
        ("app=1", "app=1&APP=2", true),
        ("app=%zz", "app=%yy", true),
        ("app=%zz", "", false),
        ("", "app=", true),
        ("", "app", true),
        ("", "other=1", true),
        ("", "app=1", false),
        (&first, &second, true),
        (&first, "", false),
    ] {
        let [a, b] = [one, other].map(|query| Subject { query: Some(query), ..subject() });
        let key = || vec![KeyPart::Query("app".into())];
        assert_eq!(share(key(), &a, &b), expected, "{one} {other}");
        assert!(!expected || share(key(), &b, &a), "{one} {other}");
    }
    // A part does not reach into the next.
    let key = || vec![KeyPart::Query("a".into()), KeyPart::Query("b".into())];
    let [a, b] = ["a=1", "b=1"].map(|query| Subject { query: Some(query), ..subject() });
    assert!(!share(key(), &a, &b));
}

/// A header that providers set counts as the claim that the caller's own provider sets it from.
#[test]
fn headers_of_claims_count_as_their_claims() {
    use PrincipalKind::{ApiKey, Jwt};
    let of = |kind, authority: &str, claims: serde_json::Value| Principal {
        claims: crate::json::members(&claims),
        ..principal(kind, authority, "alice")
    };
    let sent =
        |value: &'static [u8]| RequestHead { headers: vec![(b"x-tenant", value)], ..RequestHead::default() };
    let (sent_a, sent_b) = (sent(b"a"), sent(b"b"));
    let a = of(Jwt, "corp", json!({"tenant": "a", "org": "b"}));
    // Who else; whether they share the count of tenant a of corp, and that of whoever has no such claim.
    for (other, head, expected, none) in [
        (Some(&of(Jwt, "corp", json!({"tenant": "a"}))), &sent_b, true, false),
        (Some(&of(Jwt, "corp", json!({"tenant": "b"}))), &sent_a, false, false),
        (Some(&of(Jwt, "corp", json!({"org": "a"}))), &sent_a, false, true),
        (Some(&of(Jwt, "corp", json!({"tenant": null}))), &sent_a, false, true),
        // Another provider, by its claim; a tenant; one that sets no such header.
        (Some(&of(Jwt, "partner", json!({"org": "a"}))), &sent_a, false, false),
        (Some(&of(Jwt, "partner", json!({"tenant": "a"}))), &sent_a, false, true),
        (Some(&of(Jwt, "corp#1", json!({"tenant": "a"}))), &sent_a, false, false),
        (Some(&of(Jwt, "other", json!({"tenant": "a"}))), &sent_a, false, true),
        (Some(&of(ApiKey, "corp", json!({"tenant": "a"}))), &sent_a, false, true),
        (None, &sent_a, false, true),
    ] {
        let claims = [("corp", "tenant"), ("partner", "org")];
        let claims = claims.map(|(provider, claim)| (provider.to_owned(), ClaimPath::dotted(claim)));
        let key = || vec![KeyPart::ClaimHeader { name: "x-tenant".into(), claims: claims.to_vec() }];
        let one = Subject { principal: Some(&a), head: &sent_a, ..subject() };
        let two = Subject { principal: other, head, ..subject() };
        assert_eq!(share(key(), &one, &two), expected, "{other:?}");
        let nobody = Subject { head: &sent_b, ..subject() };
        assert_eq!(share(key(), &two, &nobody), none, "{other:?}");
    }
}

#[test]
fn claims_count_apart_by_provider() {
    use PrincipalKind::{ApiKey, Jwt};
    let of = |kind, provider: &str, claims: serde_json::Value| Principal {
        claims: crate::json::members(&claims),
        ..principal(kind, provider, "alice")
    };
    let tenant = |value: serde_json::Value| of(Jwt, "corp", json!({"org": {"tenant": value}}));
    let same = tenant(json!("a"));
    for (other, expected) in [
        (tenant(json!("a")), true),
        (Principal { subject: "bob".into(), ..tenant(json!("a")) }, true),
        (tenant(json!("A")), false),
        (tenant(json!("")), false),
        (tenant(json!(["a"])), false),
        (of(Jwt, "partner", json!({"org": {"tenant": "a"}})), false),
        (of(Jwt, "corp", json!({"tenant": "a"})), false),
        (of(ApiKey, "corp", json!({})), false),
    ] {
        let [a, b] = [&same, &other].map(|principal| Subject { principal: Some(principal), ..subject() });
        let key = || vec![KeyPart::Claim(ClaimPath::dotted("org.tenant"))];
        assert_eq!(share(key(), &a, &b), expected, "{other:?}");
    }
    // Without it they share one count, whoever they are.
    let [none, null, key] = [of(Jwt, "corp", json!({})), tenant(json!(null)), of(ApiKey, "", json!({}))];
    for (a, b) in [(&none, &null), (&null, &key)] {
        let [a, b] = [a, b].map(|principal| Subject { principal: Some(principal), ..subject() });
        assert!(share(vec![KeyPart::Claim(ClaimPath::dotted("org.tenant"))], &a, &b));
        assert!(share(vec![KeyPart::Claim(ClaimPath::dotted("org.tenant"))], &a, &subject()));
    }
    // A number is not the text that it is written as.
    let [number, text] = [tenant(json!(7)), tenant(json!("7"))];
    let [a, b] = [&number, &text].map(|principal| Subject { principal: Some(principal), ..subject() });
    assert!(!share(vec![KeyPart::Claim(ClaimPath::dotted("org.tenant"))], &a, &b));
}

#[test]
fn variables_and_hosts_count_apart() {
    struct Variables(&'static [(&'static str, &'static str)]);
    impl PathVariables for Variables {
        fn value(&self, name: &str) -> Option<&str> {
            self.0.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
        }
    }
    static A: Variables = Variables(&[("id", "a"), ("other", "x")]);
    static SAME: Variables = Variables(&[("id", "a"), ("other", "y")]);
    static B: Variables = Variables(&[("id", "b")]);
    static NONE: Variables = Variables(&[("other", "a")]);
    let at = |variables: &'static Variables| Subject { variables: Some(variables), ..subject() };
    for (other, expected) in [(at(&SAME), true), (at(&B), false), (at(&NONE), false), (subject(), false)] {
        assert_eq!(share(vec![KeyPart::PathVariable("id".into())], &at(&A), &other), expected);
    }
    let on = |host| Subject { host, ..subject() };
    for (host, expected) in [("api.example", true), ("api.example.org", false), ("", false)] {
        assert_eq!(share(vec![KeyPart::Host], &on("api.example"), &on(host)), expected, "{host}");
    }
}

#[test]
fn exempt_addresses_do_not_count() {
    let exempt = Networks(vec!["10.0.0.0/8".parse().unwrap()]);
    let spec = LimitSpec { exempt, ..limit("reads", vec![KeyPart::Route], vec![window(1, 60)]) };
    let world = World::new(&[spec]);
    let from = |address: &str| Subject { remote_address: address.parse().ok(), ..subject() };
    for (address, admitted) in [
        ("10.1.2.3", true),
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("192.0.2.1", true),
        ("192.0.2.1", false),
        ("10.1.2.3", true),
        // Not known.
        ("", false),
    ] {
        assert_eq!(world.check(&from(address), at(0)).admitted(), admitted, "{address}");
    }
}

#[test]
fn all_parts_together_are_the_key() {
    let key = || vec![KeyPart::RemoteAddress, KeyPart::Route];
    let from = |address: &str, rule| Subject { remote_address: address.parse().ok(), rule, ..subject() };
    assert!(share(key(), &from("192.0.2.1", "a"), &from("192.0.2.1", "a")));
    assert!(!share(key(), &from("192.0.2.1", "a"), &from("192.0.2.1", "b")));
    assert!(!share(key(), &from("192.0.2.1", "a"), &from("192.0.2.2", "a")));
}

#[test]
fn headers_say_where_the_client_stands() {
    let mut burst = window(100, 60);
    burst.burst = 20;
    let world = World::new(&[
        limit("reads", vec![KeyPart::Route], vec![burst]),
        limit("quota", vec![KeyPart::Route], vec![window(2, 1), window(4, 86_400)]),
    ]);
    let show = |admission: &Admission| {
        let value = headers::rate_limit(&world.limiter, admission.standings.iter());
        (headers::policy(&world.limiter, admission.standings.iter()), value)
    };
    let policy = r#""reads";q=100;w=60;burst=20, "quota/1s";q=2;w=1, "quota/86400s";q=4;w=86400"#.to_owned();
    let (p, r) = show(&world.check(&subject(), at(0)));
    assert_eq!(p, policy);
    assert_eq!(r, r#""reads";r=19;t=1, "quota/1s";r=1;t=1, "quota/86400s";r=3;t=21600"#);
    world.check(&subject(), at(0));
    let denied = world.check(&subject(), at(0));
    let (p, r) = show(&denied);
    assert_eq!(p, policy);
    assert_eq!(r, r#""reads";r=18;t=2, "quota/1s";r=0;t=1, "quota/86400s";r=2;t=43200"#);
    assert_eq!(headers::retry_after(denied.exceeded.unwrap().retry_after), 1);
    for (wait, secs) in [(0, 1), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (59_500, 60)] {
        assert_eq!(headers::retry_after(Duration::from_millis(wait)), secs);
    }
    assert_eq!(headers::rate_limit(&world.limiter, []), "");
}

/// Counts calls, and lets another worker act before a write.
struct Meddler<'a> {
    store: &'a MemoryStore,
    reads: Cell<usize>,
    writes: Cell<usize>,
    /// Before which writes, counted from 0, `meddle` is called.
    when: fn(usize) -> bool,
    meddle: &'a dyn Fn(),
}

impl<'a> Meddler<'a> {
    fn new(store: &'a MemoryStore, when: fn(usize) -> bool, meddle: &'a dyn Fn()) -> Self {
        Self { store, reads: Cell::new(0), writes: Cell::new(0), when, meddle }
    }
}

impl SharedStore for Meddler<'_> {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.reads.set(self.reads.get() + 1);
        self.store.get(key)
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let count = self.writes.replace(self.writes.get() + 1);
        if (self.when)(count) {
            (self.meddle)();
        }
        self.store.replace(key, value, expected)
    }
}

#[test]
fn a_limit_costs_one_read_and_one_write() {
    let world = World::new(&[
        limit("one", vec![KeyPart::Route], vec![window(2, 60), window(5, 3_600)]),
        limit("two", vec![KeyPart::Route], vec![window(2, 60)]),
    ]);
    // (limits, reads, writes); the third request is denied and writes nothing.
    for (count, rounds) in [(1, [(1, 1), (1, 1), (1, 0)]), (2, [(2, 0), (2, 0), (2, 0)])] {
        for (reads, writes) in rounds {
            let meddler = Meddler::new(&world.store, |_| false, &|| {});
            let ids = &world.ids()[..count];
            world.check_in(&meddler, ids, &subject(), at(0)).unwrap();
            assert_eq!((meddler.reads.get(), meddler.writes.get()), (reads, writes), "{count} limits");
        }
    }
    let meddler = Meddler::new(&world.store, |_| false, &|| {});
    world.check_in(&meddler, &world.ids(), &subject(), at(60)).unwrap();
    assert_eq!((meddler.reads.get(), meddler.writes.get()), (2, 2));
}

#[test]
fn a_conflict_is_judged_again() {
    let world = World::new(&[limit("one", vec![KeyPart::Route], vec![window(2, 60)])]);
    let meddle = || assert!(world.admits(&subject(), at(0)));
    let meddler = Meddler::new(&world.store, |write| write == 0, &meddle);
    let check = || world.check_in(&meddler, &world.ids(), &subject(), at(0)).unwrap();
    // The first write loses, the second one takes what is left.
    let admission = check();
    assert_eq!(world.remaining(&admission), [("one".to_owned(), 0)]);
    assert!(admission.admitted());
    assert!(!check().admitted());
}

#[test]
fn a_race_for_the_last_request_has_one_winner() {
    let world = World::new(&[limit("one", vec![KeyPart::Route], vec![window(1, 60)])]);
    let meddle = || assert!(world.admits(&subject(), at(0)));
    let meddler = Meddler::new(&world.store, |write| write == 0, &meddle);
    let admission = world.check_in(&meddler, &world.ids(), &subject(), at(0)).unwrap();
    assert_eq!(admission.exceeded.unwrap().retry_after, Duration::from_secs(60));
}

#[test]
fn conflicts_without_end_are_unavailable() {
    let world = World::new(&[limit("one", vec![KeyPart::Route], vec![window(1_000, 60)])]);
    let meddle = || assert!(world.admits(&subject(), at(0)));
    let meddler = Meddler::new(&world.store, |_| true, &meddle);
    let admission = world.check_in(&meddler, &world.ids(), &subject(), at(0));
    assert_eq!(admission.unwrap_err(), StoreError::Unavailable);
    assert_eq!(meddler.writes.get(), MAX_CONFLICTS);
}

#[test]
fn a_charge_is_refunded_when_a_later_limit_is_lost() {
    let world = World::new(&[
        limit("wide", vec![KeyPart::Route], vec![window(10, 60)]),
        limit("narrow", vec![KeyPart::Route], vec![window(1, 60)]),
    ]);
    // Before the second write, another worker takes the last request of `narrow` alone.
    let narrow = [world.limiter.id("narrow").unwrap()];
    let meddle = || {
        let admission = world.check_in(&world.store, &narrow, &subject(), at(0));
        assert!(admission.unwrap().admitted());
    };
    let meddler = Meddler::new(&world.store, |write| write == 1, &meddle);
    let admission = world.check_in(&meddler, &world.ids(), &subject(), at(0)).unwrap();
    assert_eq!(admission.exceeded.map(|denied| world.limiter.name(denied.limit)), Some("narrow"));
    let wide = [world.limiter.id("wide").unwrap()];
    let admitted = (0..20)
        .filter(|_| {
            let admission = world.check_in(&world.store, &wide, &subject(), at(0));
            admission.unwrap().admitted()
        })
        .count();
    assert_eq!(admitted, 10);
}

/// Every thread makes `each` requests; how many were admitted. A worker that loses all its conflicts retries.
fn hammer(world: &World, threads: usize, each: usize) -> usize {
    let admitted = AtomicUsize::new(0);
    let ids = world.ids();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (admitted, ids) = (&admitted, &ids);
            scope.spawn(move || {
                for request in 0..each {
                    // Workers read the clock at slightly different moments, not always in order.
                    let skew = u64::try_from((thread * 7 + request) % 11).unwrap();
                    let now = Timestamp::from_nanos(at(0).as_nanos() + skew * 1_000);
                    let admission = loop {
                        let admission = world.check_in(&world.store, ids, &subject(), now);
                        match admission {
                            Err(StoreError::Unavailable) => std::thread::yield_now(),
                            other => break other.unwrap(),
                        }
                    };
                    admitted.fetch_add(usize::from(admission.admitted()), Ordering::Relaxed);
                }
            });
        }
    });
    admitted.into_inner()
}

#[test]
fn a_concurrent_burst_is_admitted_exactly() {
    for round in 0..10 {
        let world = World::new(&[limit("one", vec![KeyPart::Route], vec![window(500, 60)])]);
        assert_eq!(hammer(&world, 8, 100), 500, "round {round}");
    }
}

#[test]
fn a_concurrent_burst_is_charged_to_all_limits_or_none() {
    for _ in 0..10 {
        let world = World::new(&[
            limit("wide", vec![KeyPart::Route], vec![window(700, 60), window(10_000, 86_400)]),
            limit("narrow", vec![KeyPart::Route], vec![window(300, 60)]),
        ]);
        let admitted = hammer(&world, 8, 100);
        let admission = world.check(&subject(), at(0));
        assert!(!admission.admitted() && admitted == 300, "{admitted}");
        // Refunds are best effort: they may withhold a request, never add one.
        let left = world.remaining(&admission);
        assert_eq!(left[2], ("narrow".to_owned(), 0));
        assert!(left[0].1 <= 400 && left[0].1 >= 392, "{left:?}");
    }
}

#[test]
fn a_flood_is_bounded_in_keys() {
    let world = World::new(&[limit("one", vec![KeyPart::RemoteAddress], vec![window(2, 60)])]);
    let mut evicted = 0;
    for n in 0..100_000_u32 {
        let address = std::net::Ipv4Addr::from_bits(n << 8);
        evicted += world.check(&Subject { remote_address: Some(address.into()), ..subject() }, at(0)).evicted;
    }
    // The slots, the terms and the secret.
    assert_eq!(world.store.len(), 4_098);
    assert!(evicted > 1_000, "{evicted}");
}
