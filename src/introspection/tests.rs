//! Calls, answers and what is kept of them, on virtual time.

use ct_codecs::{Base64, Base64UrlSafeNoPadding, Decoder};
use jwt_simple::algorithms::{ECDSAP256KeyPairLike as _, ES256KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::{
    calls::NoBody,
    crypto::{Algorithm, KeyType, NoHostCrypto, PublicKey, SigningKey},
    jwt::{
        JwtError, KeySource, ProviderSpec,
        tests::tokens::{self, NOW},
    },
    url::Url,
};

fn introspection() -> IntrospectionSpec {
    IntrospectionSpec {
        endpoint: Url::parse("https://idp.example/introspect").unwrap(),
        cluster: "idp".into(),
        client_id: "gate way".into(),
        proof: ClientProof::Secret(ClientSecret("hunter2:é".into())),
        mode: IntrospectionMode::Opaque,
        cache_duration: Duration::from_secs(60),
        inactive_cache_duration: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        token_type_hint: "access_token".into(),
    }
}

fn spec() -> ProviderSpec {
    ProviderSpec { algorithms: vec![], keys: KeySource::None, ..tokens::provider() }
}

/// A provider with its introspector, whose active tokens are their subjects.
struct Setup {
    provider: Provider,
    introspector: Introspector<String>,
}

fn setup(change: impl FnOnce(&mut IntrospectionSpec)) -> Setup {
    let mut asked = introspection();
    change(&mut asked);
    setup_for(&asked, &spec())
}

fn setup_for(asked: &IntrospectionSpec, spec: &ProviderSpec) -> Setup {
    let provider = Provider::compile(spec).unwrap();
    let introspector = Introspector::new(asked, &provider);
    Setup { provider, introspector }
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(NOW + secs)
}

fn ok(body: &str) -> Outcome<'_> {
    Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() }
}

fn status(status: u16) -> Outcome<'static> {
    Outcome::Answer { status, headers: &[], body: b"{\"active\":true}" }
}

fn active() -> Value {
    json!({"active": true, "sub": "alice", "aud": "api", "exp": NOW + 3600})
}

const INACTIVE: &str = r#"{"active":false}"#;

/// What a verdict comes to: who, or why not.
fn told(verdict: &Verdict<String>) -> Result<String, Reason> {
    match verdict {
        Verdict::Active(subject) => Ok((**subject).clone()),
        other => Err(other.reason().unwrap()),
    }
}

fn client(n: u8) -> Client {
    Client::new(Some([192, 0, 2, n].into()))
}

impl Setup {
    /// What is known; `None` when it has to be asked for.
    fn known(&mut self, token: &str, secs: u64) -> Option<Result<String, Reason>> {
        self.known_to(client(0), token, secs)
    }

    fn known_to(&mut self, client: Client, token: &str, secs: u64) -> Option<Result<String, Reason>> {
        match self.introspector.lookup(token, at(secs)) {
            TokenState::Known(verdict) => Some(told(&verdict)),
            TokenState::Unknown => {
                let barred = self.introspector.may_ask(client, at(secs)).err();
                barred.map(|error| told(&Verdict::Unavailable(error)))
            }
            TokenState::InFlight(ticket) => panic!("{ticket:?}"),
        }
    }

    fn start(&mut self, token: &str, secs: u64) -> Ticket {
        self.start_for(client(0), token, secs).unwrap()
    }

    fn start_for(&mut self, client: Client, token: &str, secs: u64) -> Result<Ticket, IntrospectionError> {
        assert!(
            matches!(self.introspector.lookup(token, at(secs)), TokenState::Unknown),
            "{token} at {secs}"
        );
        self.introspector.start(token, client, at(secs), None).map(|(ticket, _)| ticket)
    }

    fn answer(&mut self, ticket: Ticket, outcome: Outcome<'_>, secs: u64) -> Option<Verdict<String>> {
        let make = |token: VerifiedToken| token.principal().subject.to_string();
        self.introspector.on_answer(ticket, outcome, at(secs), &self.provider, make)
    }

    fn ask(&mut self, token: &str, outcome: Outcome<'_>, secs: u64) -> Result<String, Reason> {
        let ticket = self.start(token, secs);
        told(&self.answer(ticket, outcome, secs).unwrap())
    }
}

#[test]
fn the_request_with_a_secret() {
    let mut setup = setup(|_| {});
    let (_, call) = setup.introspector.start("a+b/c==", client(0), at(0), None).unwrap();
    assert_eq!((call.cluster.as_str(), call.method, call.max_answer), ("idp", "POST", 64 * 1024));
    assert_eq!((call.endpoint.path.as_str(), call.timeout), ("/introspect", Duration::from_secs(3)));
    assert_eq!(String::from_utf8(call.body).unwrap(), "token=a%2Bb%2Fc%3D%3D&token_type_hint=access_token");
    let [accept, form, (name, basic)] = &call.headers[..] else { panic!("three headers") };
    assert_eq!(
        (accept.1.as_str(), form.1.as_str()),
        ("application/json", "application/x-www-form-urlencoded")
    );
    let pair = Base64::decode_to_vec(basic.strip_prefix("Basic ").unwrap(), None).unwrap();
    assert_eq!((*name, str::from_utf8(&pair).unwrap()), ("authorization", "gate+way:hunter2%3A%C3%A9"));
}

#[test]
fn the_request_with_an_assertion() {
    let pair = ES256KeyPair::generate();
    let point = pair.key_pair().public_key().to_bytes_uncompressed();
    let public = PublicKey::ec(KeyType::P256, &point[1..33], &point[33..]).unwrap();
    let key = SigningKey::from_pem(Algorithm::Es256, &pair.to_pem().unwrap()).unwrap();
    for (kid, audience, header, aud) in [
        (None, None, json!({"alg": "ES256", "typ": "JWT"}), "https://idp.example"),
        (Some("k"), Some("https://a"), json!({"alg": "ES256", "typ": "JWT", "kid": "k"}), "https://a"),
    ] {
        let (kid, audience) = (kid.map(str::to_owned), audience.map(str::to_owned));
        let proof = ClientProof::PrivateKeyJwt { key: key.clone(), kid, audience };
        let mut setup = setup(|asked| {
            *asked = IntrospectionSpec { proof, client_id: "gate".into(), ..introspection() };
        });
        let refused = setup.introspector.start("t", client(0), at(0), None).map(|_| ());
        assert_eq!(refused, Err(IntrospectionError::NoProof), "without randomness");
        let (_, call) = setup.introspector.start("t", client(0), at(0), Some([7; 16])).unwrap();
        assert!(call.headers.iter().all(|(name, _)| *name != "authorization"));
        let body = String::from_utf8(call.body).unwrap();
        let (rest, assertion) = body.rsplit_once("&client_assertion=").unwrap();
        assert_eq!(
            rest,
            "token=t&token_type_hint=access_token&client_id=gate\
             &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
        );
        let (input, signature) = assertion.rsplit_once('.').unwrap();
        let decode = |text: &str| Base64UrlSafeNoPadding::decode_to_vec(text, None).unwrap();
        assert!(public.verify(Algorithm::Es256, input.as_bytes(), &decode(signature), &NoHostCrypto));
        let parts: Vec<Value> =
            input.split('.').map(|part| serde_json::from_slice(&decode(part)).unwrap()).collect();
        let claims = json!({"iss": "gate", "sub": "gate", "aud": aud, "jti": "BwcHBwcHBwcHBwcHBwcHBw",
            "iat": NOW, "exp": NOW + 60});
        assert_eq!(parts, [header, claims]);
    }
}

#[test]
fn secrets_are_never_shown() {
    let pair = ES256KeyPair::generate();
    let jwk: Value = serde_json::from_str(&pair.to_jwk()).unwrap();
    let key = SigningKey::from_jwk(Algorithm::Es256, &jwk).unwrap();
    let by_key = ClientProof::PrivateKeyJwt { key, kid: None, audience: None };
    for proof in [introspection().proof, by_key] {
        let asked = IntrospectionSpec { proof, ..introspection() };
        let mut setup = setup(|own| *own = asked.clone());
        let (ticket, call) =
            setup.introspector.start("s3cret-token", client(0), at(0), Some([7; 16])).unwrap();
        let basic = call.headers.iter().find(|(name, _)| *name == "authorization");
        let hidden = [
            Some("hunter2"),
            Some("s3cret"),
            jwk["d"].as_str(),
            basic.map(|(_, value)| value.as_str()),
            Some("client_assertion"),
        ];
        for shown in [format!("{asked:?}"), format!("{call:?}"), format!("{ticket:?}")] {
            assert!(!hidden.iter().flatten().any(|secret| shown.contains(secret)), "{shown}");
        }
    }
}

#[test]
fn tokens_that_are_no_tokens_cost_nothing() {
    let mut setup = setup_for(&introspection(), &ProviderSpec { max_token_size: 10, ..spec() });
    for (token, refused) in
        [("0123456789", false), ("0123456789a", true), ("", true), ("a b", true), ("é", true), ("a\n", true)]
    {
        let known = setup.known(token, 0);
        assert_eq!(known, refused.then_some(Err(Reason::TokenMalformed)), "{token:?}");
    }
}

#[test]
fn what_answers_come_to() {
    let claims = |error| Err(TokenRefusal::Claims(error));
    let missing = |name| claims(JwtError::missing(name));
    let malformed = |name| claims(JwtError::malformed(name));
    let expired = |secs| claims(JwtError::Expired { not_after: at(secs) });
    let not_yet = |secs| claims(JwtError::NotYetValid { not_before: at(secs) });
    let alice = || Ok("alice".to_owned());
    for (changes, expected) in [
        (json!({}), alice()),
        (json!({"active": false}), Err(TokenRefusal::Inactive)),
        (json!({"iss": "https://idp.example"}), alice()),
        (json!({"iss": "https://idp.example/"}), claims(JwtError::Issuer)),
        (json!({"iss": ["https://idp.example"]}), malformed("iss")),
        (json!({"iss": null}), alice()),
        (json!({"aud": ["other", "api"]}), alice()),
        (json!({"aud": "other"}), claims(JwtError::Audience)),
        (json!({"aud": []}), claims(JwtError::Audience)),
        (json!({"aud": null}), missing("aud")),
        (json!({"aud": 7}), malformed("aud")),
        (json!({"exp": null}), alice()),
        (json!({"exp": NOW - 59}), alice()),
        (json!({"exp": NOW - 60}), expired(0)),
        (json!({"exp": "soon"}), malformed("exp")),
        (json!({"nbf": NOW + 60}), alice()),
        (json!({"nbf": NOW + 61}), not_yet(1)),
        (json!({"iat": NOW + 61}), not_yet(1)),
        (json!({"token_type": "Bearer"}), alice()),
        (json!({"token_type": "bearer"}), alice()),
        (json!({"token_type": "DPoP"}), alice()),
        (json!({"token_type": "refresh_token"}), malformed("token_type")),
        (json!({"token_type": "N_A"}), malformed("token_type")),
        (json!({"token_type": 1}), malformed("token_type")),
        (json!({"scope": "a b", "jti": "7"}), alice()),
        (json!({"scope": 7}), malformed("scope")),
        (json!({"sub": ""}), malformed("sub")),
        (json!({"sub": null, "username": "al", "client_id": "c"}), Ok("al".to_owned())),
        (json!({"sub": null, "client_id": "c"}), Ok("c".to_owned())),
        (json!({"sub": null}), missing("sub")),
    ] {
        let mut answer = active();
        for (name, value) in changes.as_object().unwrap() {
            answer[name] = value.clone();
        }
        let provider = Provider::compile(&spec()).unwrap();
        let judged = answer::judge(ok(&answer.to_string()), &provider, at(0)).unwrap();
        assert_eq!(judged.map(|token| token.token.principal().subject.to_string()), expected, "{changes}");
    }
    // Other settings.
    let by = |change: fn(&mut ProviderSpec), body: &Value| {
        let mut spec = spec();
        change(&mut spec);
        let provider = Provider::compile(&spec).unwrap();
        answer::judge(ok(&body.to_string()), &provider, at(0))
            .unwrap()
            .map(|t| t.token.principal().subject.to_string())
    };
    let anywhere = json!({"active": true, "sub": "alice"});
    assert_eq!(by(|_| {}, &anywhere), missing("aud"));
    assert_eq!(by(|spec| spec.audiences = None, &anywhere), alice());
    let uid = |spec: &mut ProviderSpec| spec.subject_claims = vec![crate::identity::ClaimPath::dotted("uid")];
    let named = json!({"active": true, "aud": "api", "uid": "u", "username": "al"});
    assert_eq!(by(uid, &named), Ok("u".to_owned()));
    assert_eq!(by(uid, &active()), missing("uid"));
    let short = |spec: &mut ProviderSpec| spec.max_lifetime = Some(Duration::from_secs(60));
    assert_eq!(by(short, &active()), missing("iat"));
    let life =
        |secs: u64| json!({"active": true, "aud": "api", "sub": "alice", "iat": NOW, "exp": NOW + secs});
    assert_eq!(by(short, &life(60)), alice());
    assert_eq!(by(short, &life(61)), claims(JwtError::Lifetime));
}

#[test]
fn an_active_token_is_a_principal() {
    let mut answer = active();
    for (name, value) in [("scope", json!("a b")), ("jti", json!("7")), ("cnf", json!({"jkt": "x"}))] {
        answer[name] = value;
    }
    let provider = Provider::compile(&spec()).unwrap();
    let token = answer::judge(ok(&answer.to_string()), &provider, at(0)).unwrap().unwrap();
    assert_eq!(token.token.principal().scopes, [Box::from("a"), Box::from("b")]);
    assert_eq!((&*token.token.principal().authority, &*token.token.principal().credential_id), ("corp", "7"));
    assert_eq!(token.token.principal().claims.get("cnf").unwrap().to_value(), json!({"jkt": "x"}));
    assert_eq!((token.expires, token.token.validity().not_after), (Some(at(3600)), at(3660)));
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let provider = Provider::compile(&spec()).unwrap();
    for (marks, expected) in [("", true), ("\u{feff}", true), ("\u{feff}\u{feff}", false)] {
        let answer = format!("{marks}{}", active());
        assert_eq!(answer::judge(ok(&answer), &provider, at(0)).is_ok(), expected, "{marks:?}");
    }
}

#[test]
fn answers_that_say_nothing() {
    let large = format!("{{\"active\":true,\"x\":\"{}\"}}", "x".repeat(64 * 1024));
    let coded =
        Outcome::Answer { status: 200, headers: &[(b"content-encoding", b"gzip")], body: b"\x1f\x8b\x08" };
    for (outcome, expected) in [
        (Outcome::Failed, IntrospectionError::NoBody(NoBody::Failed)),
        (status(401), IntrospectionError::NoBody(NoBody::Status(401))),
        (status(302), IntrospectionError::NoBody(NoBody::Status(302))),
        (status(500), IntrospectionError::NoBody(NoBody::Status(500))),
        (status(201), IntrospectionError::NoBody(NoBody::Status(201))),
        (ok(""), IntrospectionError::Json(crate::json::JsonFault::Syntax)),
        (ok("<html>"), IntrospectionError::Json(crate::json::JsonFault::Syntax)),
        (coded, IntrospectionError::Json(crate::json::JsonFault::Coded("gzip"))),
        (ok("[true]"), IntrospectionError::Json(crate::json::JsonFault::NotAnObject)),
        (
            ok("{\"active\":true,\"active\":false}"),
            IntrospectionError::Json(crate::json::JsonFault::DuplicateMember),
        ),
        (ok("{}"), IntrospectionError::Active),
        (ok("{\"active\":\"true\"}"), IntrospectionError::Active),
        (ok("{\"active\":1}"), IntrospectionError::Active),
        (ok("{\"active\":null}"), IntrospectionError::Active),
        (ok(&large), IntrospectionError::NoBody(NoBody::TooLarge { max: 64 * 1024 })),
    ] {
        let mut setup = setup(|_| {});
        let ticket = setup.start("t", 0);
        let verdict = setup.answer(ticket, outcome, 0).unwrap();
        assert!(
            matches!(verdict, Verdict::Unavailable(error) if error == expected),
            "{verdict:?} {expected:?}"
        );
        assert_eq!(verdict.reason(), Some(Reason::IntrospectionUnavailable));
        // Nobody asks again at once, and then it is asked again.
        assert_eq!(setup.known("t", 0), Some(Err(Reason::IntrospectionUnavailable)));
        assert_eq!(setup.known("t", 1), None);
    }
}

#[test]
fn verdicts_are_kept_for_their_time_and_never_past_exp() {
    let alice = || Some(Ok("alice".to_owned()));
    let inactive = || Some(Err(Reason::TokenInactive));
    for (exp, last) in [(NOW + 3600, 59), (NOW + 30, 29), (NOW + 1, 0)] {
        let mut setup = setup(|_| {});
        let answer = json!({"active": true, "sub": "alice", "aud": "api", "exp": exp}).to_string();
        assert_eq!(setup.ask("t", ok(&answer), 0), Ok("alice".to_owned()));
        assert_eq!(setup.known("t", last), alice());
        assert_eq!(setup.known("t", last + 1), None);
        assert_eq!(setup.known("u", 0), None);
    }
    let mut setup = setup(|_| {});
    // Within the skew it is good, but not kept.
    let over = json!({"active": true, "sub": "alice", "aud": "api", "exp": NOW - 1}).to_string();
    assert_eq!(setup.ask("t", ok(&over), 0), Ok("alice".to_owned()));
    assert_eq!(setup.known("t", 0), None);
    assert_eq!(setup.ask("t", ok(INACTIVE), 0), Err(Reason::TokenInactive));
    assert_eq!((setup.known("t", 9), setup.known("t", 10)), (inactive(), None));
    // The last word counts.
    assert_eq!(setup.ask("t", ok(&active().to_string()), 10), Ok("alice".to_owned()));
    assert_eq!((setup.known("t", 69), setup.known("t", 70)), (alice(), None));
    assert_eq!(setup.ask("t", ok(INACTIVE), 70), Err(Reason::TokenInactive));
    assert_eq!(setup.known("t", 75), inactive());
    // A clock that was set back: what was good then is not known to be good now.
    assert_eq!(setup.known("t", 20), None);
}

#[test]
fn zero_keeps_nothing_and_still_tells_who_waits() {
    let mut setup = setup(|asked| {
        asked.cache_duration = Duration::ZERO;
        asked.inactive_cache_duration = Duration::ZERO;
    });
    for _ in 0..3 {
        assert_eq!(setup.ask("t", ok(&active().to_string()), 0), Ok("alice".to_owned()));
        assert_eq!(setup.ask("t", ok(INACTIVE), 0), Err(Reason::TokenInactive));
    }
}

#[test]
fn one_flight_for_each_token() {
    let mut setup = setup(|_| {});
    let ticket = setup.start("t", 0);
    for secs in [0, 3] {
        let TokenState::InFlight(other) = setup.introspector.lookup("t", at(secs)) else {
            panic!("in flight")
        };
        assert_eq!(other, ticket);
    }
    let other = setup.start("u", 0);
    assert_ne!(ticket, other);
    let first = setup.answer(ticket, ok(&active().to_string()), 1);
    assert_eq!(first.as_ref().map(told), Some(Ok("alice".to_owned())));
    assert!(setup.answer(ticket, ok(INACTIVE), 1).is_none(), "answered already");
    assert_eq!(setup.known("t", 1), Some(Ok("alice".to_owned())));
}

#[test]
fn a_flight_that_nobody_hears_of_is_begun_anew() {
    let mut setup = setup(|_| {});
    let first = setup.start("t", 0);
    // Time-out and margin, 4 s.
    assert!(matches!(setup.introspector.lookup("t", at(3)), TokenState::InFlight(ticket) if ticket == first));
    assert!(matches!(setup.introspector.lookup("t", at(4)), TokenState::Unknown));
    let second = setup.start("t", 4);
    // The first answer comes after all: it is not what anybody waits for.
    assert!(setup.answer(first, ok(INACTIVE), 5).is_none());
    assert!(
        matches!(setup.introspector.lookup("t", at(5)), TokenState::InFlight(ticket) if ticket == second)
    );
    assert!(setup.answer(second, ok(&active().to_string()), 5).is_some());
}

#[test]
fn flights_are_bounded() {
    let mut setup = setup(|_| {});
    let all: Vec<_> = (0..FLIGHTS.places)
        .map(|n| setup.start_for(client(u8::try_from(n).unwrap()), &format!("t{n}"), 0).unwrap())
        .collect();
    let newcomer = client(200);
    let busy = Some(Err(Reason::IntrospectionUnavailable));
    assert_eq!(setup.known_to(newcomer, "one-more", 0), busy);
    assert_eq!(setup.start_for(newcomer, "one-more", 0), Err(IntrospectionError::Busy));
    // Who waits already waits on.
    assert!(matches!(setup.introspector.lookup("t0", at(0)), TokenState::InFlight(_)));
    assert!(setup.answer(all[0], ok(INACTIVE), 0).is_some());
    assert_eq!(setup.known_to(newcomer, "one-more", 0), None);
    // The dead make room.
    setup.start_for(newcomer, "one-more", 0).unwrap();
    assert_eq!(setup.known_to(newcomer, "yet-another", 3), busy);
    assert_eq!(setup.known_to(newcomer, "yet-another", 4), None);
}

#[test]
fn one_client_s_flood_leaves_room_for_others() {
    let mut setup = setup(|_| {});
    let begun = |setup: &mut Setup, from: u8| {
        (0..1000).filter(|n| setup.start_for(client(from), &format!("{from}-{n}"), 0).is_ok()).count()
    };
    assert_eq!(begun(&mut setup, 1), 43);
    assert_eq!(setup.start_for(client(1), "more", 0), Err(IntrospectionError::Busy));
    // Nine more such floods, and a good client still gets its calls.
    for from in 2..=10 {
        assert!(begun(&mut setup, from) > 0, "{from}");
    }
    let good = setup.start_for(client(20), "good", 0).unwrap();
    assert!(setup.answer(good, ok(&active().to_string()), 0).is_some());
}

#[test]
fn one_client_s_failures_bar_no_other() {
    let mut setup = setup(|_| {});
    let down = Some(Err(Reason::IntrospectionUnavailable));
    let bad = client(1);
    for n in 0..3 {
        let ticket = setup.start_for(bad, &format!("bad{n}"), 0).unwrap();
        setup.answer(ticket, status(500), 0);
    }
    assert_eq!(setup.known_to(bad, "bad", 0), down);
    assert_eq!((setup.known_to(client(2), "a", 0), setup.known_to(client(3), "b", 0)), (None, None));
    // It may find out after a second, by one call, and pauses longer when that fails, whatever others got.
    let good = setup.start_for(client(2), "good", 1).unwrap();
    setup.answer(good, ok(&active().to_string()), 1);
    let ticket = setup.start_for(bad, "bad", 1).unwrap();
    assert_eq!(setup.known_to(bad, "bad-too", 1), down);
    setup.answer(ticket, status(500), 1);
    assert_eq!((setup.known_to(bad, "more", 2), setup.known_to(bad, "more", 3)), (down, None));
    let ticket = setup.start_for(bad, "better", 3).unwrap();
    setup.answer(ticket, ok(INACTIVE), 3);
    assert!((0..9).all(|n| setup.start_for(bad, &format!("t{n}"), 3).is_ok()));
}

#[test]
fn whoever_did_not_just_fail_finds_out_whether_a_server_is_up_again() {
    let mut setup = setup(|_| {});
    let down = Some(Err(Reason::IntrospectionUnavailable));
    for n in 1..=3 {
        let ticket = setup.start_for(client(n), &format!("t{n}"), 0).unwrap();
        setup.answer(ticket, Outcome::Failed, 0);
    }
    // Each of them has failed once, which is enough now; whoever has not may try, one at a time.
    for n in 1..=3 {
        assert_eq!(setup.known_to(client(n), "u", 0), down, "{n}");
    }
    let probe = setup.start_for(client(4), "v", 0).unwrap();
    assert_eq!(setup.known_to(client(5), "w", 0), down);
    setup.answer(probe, Outcome::Failed, 0);
    assert_eq!(setup.known_to(client(4), "w", 0), down);
    // A call from before is no reason to wait.
    let probe = setup.start_for(client(5), "w", 0).unwrap();
    assert_eq!(setup.known_to(client(6), "x", 0), down);
    setup.answer(probe, ok(INACTIVE), 0);
    for n in 1..=6 {
        assert!(setup.start_for(client(n), &format!("y{n}"), 0).is_ok(), "{n}");
    }
}

#[test]
fn clients_that_failed_are_bounded() {
    let mut setup = setup(|_| {});
    for n in 0..10_000_u64 {
        let address = u32::try_from(n).unwrap().to_be_bytes();
        let from = Client::new(Some(address.into()));
        if let Ok(ticket) = setup.start_for(from, &format!("t{n}"), n) {
            setup.answer(ticket, Outcome::Failed, n);
        }
    }
    assert_eq!(setup.introspector.backoff.known(), 256);
}

#[test]
fn a_dead_server_is_asked_by_one_at_a_time() {
    let mut setup = setup(|_| {});
    let down = Some(Err(Reason::IntrospectionUnavailable));
    setup.ask("good", ok(&active().to_string()), 0).unwrap();
    let (mut asked, mut in_flight) = (Vec::new(), None);
    for secs in 1..60 {
        // Ten new tokens a second; an answer, if any, comes a second later.
        if let Some(ticket) = in_flight.take() {
            setup.answer(ticket, Outcome::Failed, secs);
        }
        for n in 0..10 {
            let token = format!("{secs} {n}").replace(' ', "-");
            if setup.known(&token, secs).is_none() {
                asked.push(secs);
                let ticket = setup.start(&token, secs);
                if asked.len() <= 3 {
                    setup.answer(ticket, Outcome::Failed, secs);
                } else {
                    in_flight = Some(ticket);
                }
            }
        }
        // What is known stays known.
        assert_eq!(setup.known("good", secs), if secs < 60 { Some(Ok("alice".into())) } else { None });
    }
    // Three at once, then after pauses of 1, 2, 4, 8, 10 s, each begun by the failure a second after the call.
    assert_eq!(asked, [1, 1, 1, 2, 5, 10, 19, 30, 41, 52]);
    assert_eq!(setup.known("x", 59), down);
    // One good answer, and all may ask.
    let ticket = setup.start("x", 70);
    assert_eq!(setup.known("y", 70), down);
    setup.answer(ticket, ok(INACTIVE), 70);
    assert_eq!((setup.known("y", 70), setup.known("z", 70)), (None, None));
}

#[test]
fn a_token_that_the_server_chokes_on_stops_no_other() {
    let mut setup = setup(|_| {});
    for n in 0..10 {
        let refused = setup.ask(&format!("bad{n}"), status(400), 0);
        assert_eq!(refused, Err(Reason::IntrospectionUnavailable));
    }
    assert_eq!(setup.known("good", 0), None);
    // Our own fault, or the server's, stops all.
    for n in 0..3 {
        setup.ask(&format!("t{n}"), status(401), 0).unwrap_err();
    }
    // One client's, as far as anybody can tell.
    assert_eq!(setup.known_to(client(1), "good", 0), None);
    for n in 1..3 {
        let ticket = setup.start_for(client(n), &format!("u{n}"), 0).unwrap();
        setup.answer(ticket, status(401), 0);
    }
    assert_eq!(setup.known("good", 0), Some(Err(Reason::IntrospectionUnavailable)));
}

#[test]
fn a_flood_of_made_up_tokens_leaves_the_good_ones() {
    let mut setup = setup(|_| {});
    let good = active().to_string();
    for n in 0..100 {
        setup.ask(&format!("good{n}"), ok(&good), 0).unwrap();
    }
    for n in 0..20_000 {
        setup.ask(&format!("bad{n}"), ok(INACTIVE), 1).unwrap_err();
    }
    assert!((0..100).all(|n| setup.known(&format!("good{n}"), 1) == Some(Ok("alice".into()))));
    assert!(setup.introspector.refused.len() <= REFUSED.0);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// An answer about an active token with a part of it replaced, and bytes that never were one.
    fn answers() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..4),
            "[\\[\\]{}\",:a-z0 ]{0,4}".prop_map(String::into_bytes),
            prop::sample::select(vec!["true", "false", "null", "1", "\"x\""])
                .prop_map(|word| word.as_bytes().to_vec()),
        ];
        let changed = (0_usize..1000, 0_usize..6, part).prop_map(|(at, len, part)| {
            let mut answer = active();
            answer["iss"] = "https://idp.example".into();
            answer["token_type"] = "Bearer".into();
            let mut answer = answer.to_string().into_bytes();
            let at = at % answer.len();
            answer.splice(at..(at + len).min(answer.len()), part);
            answer
        });
        prop_oneof![8 => changed, 1 => any::<Vec<u8>>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Whatever an issuer answers: a token is good where another reader reads that it is active, and for us.
        #[test]
        fn only_what_is_said_to_be_active_is_good(answer in answers()) {
            let mut setup = setup(|_| {});
            let ticket = setup.start("t", 0);
            let outcome = Outcome::Answer { status: 200, headers: &[], body: &answer };
            if let Verdict::Active(_) = setup.answer(ticket, outcome, 0).unwrap() {
                let said: Value = serde_json::from_slice(&answer).unwrap();
                prop_assert_eq!(&said["active"], &json!(true));
                prop_assert!(said["iss"].is_null() || said["iss"] == "https://idp.example");
                prop_assert!(said["aud"] == "api");
            }
        }
    }
}
