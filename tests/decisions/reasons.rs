//! Every reason to refuse, each with its nearest request that passes, and which of several reasons is given.

use std::rc::Rc;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis::{
    answer::Reason,
    engine::Body,
    store::{Expected, SharedStore, StoreError, Versioned},
};
use serde_json::{Value, json};

use crate::{
    bindings, passkeys,
    revocation::listed,
    sessions, signatures, webhooks,
    world::{Ask, Issuer, NOW, Pending, World, changed, claims},
};

struct NoStore;

impl SharedStore for NoStore {
    fn get(&self, _: &str) -> Result<Option<Versioned>, StoreError> {
        Err(StoreError::Unavailable)
    }

    fn replace(&self, _: &str, _: &[u8], _: Expected) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }
}

fn set(name: &'static str, value: impl Into<Value>) -> impl FnOnce(&mut Value) {
    let value = value.into();
    move |claims| claims[name] = value
}

fn role(name: &str) -> impl FnOnce(&mut Value) {
    set("roles", json!([name]))
}

fn signed_in(claims: &Value, acr: &str, at: u64) -> Value {
    changed(claims.clone(), |claims| (claims["acr"], claims["auth_time"]) = (acr.into(), at.into()))
}

#[test]
fn every_reason_and_the_nearest_request_that_passes() {
    use Reason::*;
    let w = World::new();
    let get = Ask::get;
    let good = |ask| w.bearer(ask, |_| {});
    let with = |token: &str| get("/tokens").header("authorization", &format!("Bearer {token}"));
    let hs256 = jsonwebtoken::encode(
        &Header { kid: Some("c1".into()), ..Header::new(Algorithm::HS256) },
        &claims("https://idp.example"),
        &EncodingKey::from_secret(w.corp.jwk.to_string().as_bytes()),
    )
    .unwrap();
    let no_exp = w.token(|claims| drop(claims.as_object_mut().unwrap().shift_remove("exp")));
    let forged = Issuer::new("c1").sign(&claims("https://idp.example"));
    let remote = w.remote.sign(&claims("https://remote.example"));
    for (token, status, answer) in [
        ("active", 200, json!({"active": true, "sub": "alice", "aud": "api", "exp": NOW + 60})),
        ("inactive", 200, json!({"active": false, "sub": "alice", "aud": "api", "exp": NOW + 60})),
        ("not-ours", 200, json!({"active": true, "sub": "alice", "aud": "other", "exp": NOW + 60})),
        ("over", 200, json!({"active": true, "sub": "alice", "aud": "api", "exp": NOW - 60})),
        ("failing", 500, json!({"active": true, "sub": "alice", "aud": "api", "exp": NOW + 60})),
    ] {
        w.issue(token, status, answer);
    }
    let long = |len: usize| format!("/orders/{}", "a".repeat(len - 8));
    let asking = |query: &str| get(&format!("/asking{query}")).key("reader-secret");
    let rows: Vec<(Reason, Ask, Ask)> = vec![
        (AmbiguousPath, get("/orders/a%2Fb").key("reader-secret"), get("/orders/a%2Eb").key("reader-secret")),
        (AmbiguousPath, get("/orders;x").key("reader-secret"), get("/orders/%3Bx").key("reader-secret")),
        (AmbiguousName, asking("").header("x_debug", "2"), asking("").header("x-debug", "2")),
        (AmbiguousName, asking("?debug%5B%5D=2"), asking("?debugs=1")),
        (AmbiguousName, asking("?a=1;Debug=2"), asking("?a=1;bug=2")),
        (AmbiguousValue, asking("?debug=2&debug=1"), asking("?debug=2&debug=3")),
        (AmbiguousValue, asking("?debug=%ff"), asking("?debug=%3f")),
        (
            AmbiguousValue,
            asking("").header("user-agent", &"a".repeat(8193)),
            asking("").header("user-agent", &"a".repeat(8192)),
        ),
        (RuleDenied, asking("").header("x-debug", "1"), asking("").header("x-debug", "11")),
        (RuleDenied, asking("").header("x-debug", "\t1 "), asking("").header("x-debug", "1\t1")),
        (
            RuleDenied,
            asking("").header("user-agent", "GoogleBot/1"),
            asking("").header("user-agent", "Google"),
        ),
        (PathTooLong, get(&long(8193)).key("reader-secret"), get(&long(8192)).key("reader-secret")),
        (MalformedRequest, get("/health").header(":path", "/health"), get("/health")),
        (MalformedRequest, get("/health").without(":authority"), get("/health")),
        (MalformedRequest, get("/health").header(":method", "GET"), get("/health")),
        (MalformedRequest, get("/health").header(":authority", "b"), get("/health")),
        (TlsRequired, get("/health").plain(), get("/health")),
        (TlsRequired, get("/health").plain().header("x-forwarded-proto", "https"), get("/health")),
        (NoRule, get("/healthz"), get("/health")),
        (NoRule, Ask::new("POST", "/health"), get("/health")),
        (RuleDenied, get("/closed/x").key("writer-secret"), get("/orders/x").key("writer-secret")),
        (CredentialsMissing, get("/tokens"), good(get("/tokens"))),
        (CredentialsMissing, good(get("/keys")), get("/keys").key("reader-secret")),
        (CredentialsMissing, get("/tokens").key("reader-secret"), good(get("/tokens"))),
        (
            CredentialsAmbiguous,
            good(get("/orders")).key("reader-secret"),
            get("/orders").key("reader-secret"),
        ),
        (CredentialsAmbiguous, good(good(get("/tokens"))), good(get("/tokens"))),
        (
            CredentialsAmbiguous,
            good(get("/tokens")).header("cookie", &format!("session={}", w.token(|_| {}))),
            good(get("/tokens")).header("cookie", "other=1"),
        ),
        (
            CredentialsAmbiguous,
            get("/keys?api_key=reader-secret&api_key=reader-secret"),
            get("/keys?api_key=reader-secret"),
        ),
        (TokenMalformed, with("a.b"), good(get("/tokens"))),
        (CredentialsMissing, with(""), good(get("/tokens"))),
        (TokenAlgorithm, with(&hs256), good(get("/tokens"))),
        (TokenIssuer, w.bearer(get("/tokens"), set("iss", "https://idp.example/")), good(get("/tokens"))),
        (TokenIssuer, with(&w.partner.sign(&claims("https://partner.example"))), good(get("/tokens"))),
        (TokenKey, with(&w.corp.sign_as("c2", &claims("https://idp.example"))), good(get("/tokens"))),
        (TokenSignature, with(&forged), good(get("/tokens"))),
        (
            TokenAudience,
            w.bearer(get("/tokens"), set("aud", "other")),
            w.bearer(get("/tokens"), set("aud", json!(["other", "api"]))),
        ),
        (
            TokenExpired,
            w.bearer(get("/tokens"), set("exp", NOW - 60)),
            w.bearer(get("/tokens"), set("exp", NOW - 59)),
        ),
        (
            TokenNotYetValid,
            w.bearer(get("/tokens"), set("nbf", NOW + 61)),
            w.bearer(get("/tokens"), set("nbf", NOW + 60)),
        ),
        (TokenClaims, with(&no_exp), good(get("/tokens"))),
        (
            TokenClaims,
            w.bearer(get("/tokens"), set("exp", NOW + 3600)),
            w.bearer(get("/tokens"), set("exp", NOW + 3590)),
        ),
        (ApiKeyUnknown, get("/keys").key("Reader-secret"), get("/keys").key("reader-secret")),
        (ApiKeyExpired, get("/keys").key("expired-secret"), get("/keys").key("old-secret")),
        (ApiKeyNotYetValid, get("/keys").key("future-secret"), get("/keys").key("new-secret")),
        (ApiKeyDisabled, get("/keys").key("disabled-secret"), get("/keys").key("reader-secret")),
        (ApiKeyRevoked, get("/keys").key("revoked-secret"), get("/keys").key("reader-secret")),
        (ApiKeyRestricted, get("/keys").key("elsewhere-secret"), get("/keys").key("inside-secret")),
        (ApiKeyRestricted, get("/keys").key("other-host-secret"), get("/keys").key("reader-secret")),
        (InsufficientScope, get("/reports/a").key("writer-secret"), get("/reports/a").key("reader-secret")),
        (
            InsufficientScope,
            w.bearer(get("/reports/a"), set("scope", "reports:readx")),
            w.bearer(get("/reports/a"), set("scope", "x reports:read")),
        ),
        (
            InsufficientPermission,
            Ask::new("POST", "/orders").key("reader-secret"),
            Ask::new("POST", "/orders").key("writer-secret"),
        ),
        (
            InsufficientPermission,
            w.bearer(Ask::new("POST", "/orders"), role("viewer")),
            w.bearer(Ask::new("POST", "/orders"), role("editor")),
        ),
        (InsufficientRole, w.bearer(get("/admin"), role("editor")), w.bearer(get("/admin"), role("admin"))),
        (NotOwner, good(get("/own/bob")), good(get("/own/alice"))),
        (
            NotOwner,
            w.bearer(get("/tenants/c"), set("tenants", json!(["a", "b"]))),
            w.bearer(get("/tenants/b"), set("tenants", json!(["a", "b"]))),
        ),
        (
            NotOwner,
            w.bearer(get("/tenants/7"), set("tenants", json!(7.0))),
            w.bearer(get("/tenants/7"), set("tenants", json!(7))),
        ),
        (NotOwner, w.bearer(get("/own/Alice"), set("sub", "alice")), w.bearer(get("/own/%61lice"), |_| {})),
        (
            NotOwner,
            w.bearer(get("/own/j%C3%A9r%C3%B4me%20x"), set("sub", "j%C3%A9r%C3%B4me%20x")),
            w.bearer(get("/own/j%C3%A9r%C3%B4me%20x"), set("sub", "jérôme x")),
        ),
        (
            TokenRevoked,
            w.bearer(get("/tokens"), set("jti", "revoked")),
            w.bearer(get("/tokens"), set("jti", "Revoked")),
        ),
        (
            InsufficientUserAuthentication,
            w.bearer(get("/fresh"), |c| *c = signed_in(c, "phr", NOW - 301)),
            w.bearer(get("/fresh"), |c| *c = signed_in(c, "phr", NOW - 300)),
        ),
        (
            InsufficientUserAuthentication,
            w.bearer(get("/fresh"), |c| *c = signed_in(c, "pwd", NOW)),
            w.bearer(get("/fresh"), |c| *c = signed_in(c, "phr", NOW)),
        ),
        (
            InsufficientClaims,
            w.bearer(get("/department"), set("department", "legal")),
            w.bearer(get("/department"), set("department", "it")),
        ),
        (
            PrincipalExcluded,
            w.bearer(get("/permanent"), set("employment", json!(["contractor"]))),
            w.bearer(get("/permanent"), set("employment", "contract")),
        ),
        (AddressNotAllowed, get("/far"), get("/near")),
        (TokenInactive, get("/opaque").token("inactive"), get("/opaque").token("active")),
        (TokenAudience, get("/opaque").token("not-ours"), get("/opaque").token("active")),
        (TokenExpired, get("/opaque").token("over"), get("/opaque").token("active")),
        (IntrospectionUnavailable, get("/opaque").token("failing"), get("/opaque").token("active")),
        (
            KeysUnavailable,
            get("/remote").header("authorization", &format!("Bearer {remote}")),
            good(get("/tokens")),
        ),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .chain(bindings::rows(&w))
        .chain(webhooks::rows())
        .chain(signatures::rows())
        .collect();
    let mut seen: Vec<Reason> = Vec::new();
    for (n, (reason, refused, passes)) in rows.into_iter().enumerate() {
        // The throttle must not have its say here.
        let address = format!("10.0.0.{n}");
        let (refused, passes) = (refused.from(&address), passes.from(&address));
        let answer = w.ask(&refused);
        assert_eq!(answer.reason, Some(reason), "{refused:?} {:?}", answer.record);
        assert_eq!(answer.recorded("reason"), reason.code());
        assert_eq!(answer.upstream.as_ref().err().map(|reply| reply.status), Some(reason.status()));
        let answer = w.ask(&passes);
        assert_eq!(answer.reason, None, "{reason:?}: {passes:?} {:?}", answer.record);
        assert_eq!(answer.recorded("decision"), "allow");
        seen.push(reason);
    }
    // The state's own: no store, and no randomness to begin with; rate limits have a file of their own, and
    // without a policy there is no worker to ask.
    let mut w = World::new();
    w.random.set(false);
    assert_eq!(w.reason(&get("/health")), Some(StateUnavailable));
    w.random.set(true);
    assert_eq!(w.reason(&get("/health")), None);
    w.store = Rc::new(NoStore);
    assert_eq!(w.reason(&get("/health")), Some(StateUnavailable));
    // A list that is fetched: nothing passes without it.
    let w = World::with(listed);
    let ask = w.bearer(get("/tokens"), |_| {});
    assert_eq!(w.reason(&ask), Some(RevocationUnavailable));
    w.fetch_list(&json!({}));
    assert_eq!(w.reason(&ask), None);
    // A body that does not come.
    let mut slow = Pending::new(&webhooks::of_hub("a body").body(Body::Coming));
    assert!(slow.waits(&w));
    w.later(15);
    assert_eq!(slow.reason(&w), Some(BodyTimeout));
    // A signature that was used.
    let ask = signatures::once();
    assert_eq!((w.reason(&ask), w.reason(&ask)), (None, Some(SignatureReplayed)));
    // A cookie that pages of others cannot use.
    let (w, refused, passes) = sessions::cross_site();
    assert_eq!((w.reason(&refused), w.reason(&passes)), (Some(CrossSiteRequest), None));
    seen.extend(passkeys::reasons());
    seen.extend([
        CrossSiteRequest,
        SignatureReplayed,
        StateUnavailable,
        RevocationUnavailable,
        BodyTimeout,
        RateLimited,
        NoPolicy,
    ]);
    let unseen: Vec<_> = Reason::ALL.iter().filter(|reason| !seen.contains(reason)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn the_first_reason_in_the_order_of_checks_is_given() {
    use Reason::*;
    let w = World::new();
    let get = Ask::get;
    let bad = |ask: Ask, change: fn(&mut Value)| w.bearer(ask, change);
    let rows = [
        // Transport, path, rule, authentication, authorization.
        (TlsRequired, get("/a%2Fb").plain()),
        (AmbiguousPath, get("/nowhere/..%5C").without(":authority")),
        (MalformedRequest, get("/nowhere").without(":authority")),
        (NoRule, get("/nowhere").key("unknown")),
        (RuleDenied, get("/closed").key("unknown")),
        (ApiKeyUnknown, Ask::new("POST", "/orders").key("unknown")),
        (ApiKeyDisabled, Ask::new("POST", "/orders").key("disabled-secret")),
        // Of a token: its form, issuer, header, audience, times and last, for it costs most, its signature.
        (TokenIssuer, bad(get("/admin"), |c| *c = json!({"iss": "x", "exp": 1, "aud": "x"}))),
        (TokenAudience, bad(get("/admin"), |c| (c["aud"], c["exp"]) = ("x".into(), (NOW - 100).into()))),
        (TokenExpired, bad(get("/admin"), |c| c["exp"] = (NOW - 100).into())),
        (
            TokenExpired,
            get("/admin").header(
                "authorization",
                &format!(
                    "Bearer {}",
                    Issuer::new("c1").sign(&json!({"iss": "https://idp.example", "sub": "a", "aud": "api",
                        "iat": NOW - 200, "exp": NOW - 100}))
                ),
            ),
        ),
        (InsufficientRole, bad(get("/admin"), |_| {})),
        (CredentialsAmbiguous, bad(get("/orders"), |c| c["exp"] = 1.into()).key("unknown")),
    ];
    for (n, (reason, ask)) in rows.into_iter().enumerate() {
        let answer = w.ask(&ask.clone().from(&format!("10.0.0.{n}")));
        assert_eq!(answer.reason, Some(reason), "{ask:?} {:?}", answer.record);
    }
}

#[test]
fn api_keys_overlap_while_they_are_rotated() {
    use Reason::{ApiKeyExpired, ApiKeyNotYetValid};
    let w = World::new();
    let rows =
        [(NOW - 1, None, Some(ApiKeyNotYetValid)), (NOW, None, None), (NOW + 1, Some(ApiKeyExpired), None)];
    for (now, old, new) in rows {
        w.now.set(now);
        for (key, expected) in [("old", old), ("new", new)] {
            let answer = w.ask(&Ask::get("/keys").key(&format!("{key}-secret")));
            assert_eq!(answer.reason, expected, "{key} at {now}");
            // The record says whose key it is even when it is refused.
            assert_eq!(answer.recorded("principal"), "acme");
            assert_eq!(answer.recorded("credential"), key);
        }
    }
}

#[test]
fn what_clients_are_told() {
    let w = World::new();
    let challenge = |ask: &Ask| w.ask(ask).reply("www-authenticate").map(str::to_owned);
    let rows = [
        (Ask::get("/tokens"), Some("Bearer realm=\"test\"")),
        (Ask::get("/keys"), Some("ApiKey realm=\"test\"")),
        (Ask::get("/nowhere"), None),
        (
            w.bearer(Ask::get("/reports/a"), |_| {}),
            Some(
                "Bearer realm=\"test\", error=\"insufficient_scope\", \
                 error_description=\"A required scope is missing\", scope=\"reports:read\"",
            ),
        ),
    ];
    for (ask, expected) in rows {
        assert_eq!(challenge(&ask).as_deref(), expected, "{ask:?}");
    }
    let told = |key: &str| w.ask(&Ask::get("/keys").key(key)).upstream.unwrap_err();
    assert_eq!(told("unknown").body, told("disabled-secret").body);
    assert_eq!(told("unknown").body, told("future-secret").body);
}

#[test]
fn plaintext_is_redirected_where_that_is_safe_and_hsts_is_for_tls_alone() {
    let w = World::with(|policy| policy["transport"]["redirectTo"] = "www.example:8443".into());
    let location = |ask: Ask| {
        let answer = w.ask(&ask);
        assert_eq!(answer.reason, Some(Reason::TlsRequired));
        assert_eq!(answer.response, []);
        answer.reply("location").map(str::to_owned)
    };
    let rows = [
        (Ask::get("/a/../orders/%61?x=%61").plain(), Some("https://www.example:8443/orders/a?x=%61")),
        (Ask::new("HEAD", "/health").plain(), Some("https://www.example:8443/health")),
        (Ask::new("POST", "/orders").plain(), None),
    ];
    for (ask, expected) in rows {
        assert_eq!(location(ask).as_deref(), expected);
    }
    // Not to be had by a path that could be read as another host.
    assert_eq!(w.reason(&Ask::get("/%5Cevil").plain()), Some(Reason::AmbiguousPath));
    assert_eq!(
        location(Ask::get("//evil.example").plain()).as_deref(),
        Some("https://www.example:8443/evil.example")
    );
    let hsts = [("strict-transport-security", "max-age=3600".to_owned())];
    for ask in [Ask::get("/health"), Ask::get("/tokens"), Ask::get("/a%2Fb")] {
        assert_eq!(w.ask(&ask).response, hsts, "{ask:?}");
    }
    let open = World::with(|policy| policy["transport"]["requireTls"] = false.into());
    assert_eq!(open.ask(&Ask::get("/health").plain()).response, []);
    assert_eq!(open.ask(&Ask::get("/health")).response, hsts);
    let behind = World::with(|policy| policy["transport"]["forwardedProto"] = json!({"trustedHops": 1}));
    let proto = |proto: &str| behind.reason(&Ask::get("/health").header("x-forwarded-proto", proto));
    assert_eq!((proto("https"), proto("http")), (None, Some(Reason::TlsRequired)));
}
