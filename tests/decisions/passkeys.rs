//! Ceremonies with passkeys: each reason to refuse one, beside the nearest that does not.

#[path = "../e2e/harness/authenticator.rs"]
pub(crate) mod authenticator;

use ct_codecs::{Base64UrlSafeNoPadding, Decoder as _};
use portcullis::{
    answer::Reason,
    crypto::{Algorithm, new_private_jwk},
    engine::Body,
    store::Expected,
};
use serde_json::{Value, json};

use self::authenticator::{Authenticator, encode};
use crate::world::{Answer, Ask, World, claims};

pub(crate) const P: &str = "/.well-known/portcullis/webauthn";
pub(crate) const ORIGIN: &str = "https://shop.example.org";

fn world(store: &Value) -> World {
    World::with(|policy| add_passkeys(policy, store))
}

/// The sections, with more members of `passkeys`, and a rule that asks for a confirmation.
pub(crate) fn add_passkeys(policy: &mut Value, members: &Value) {
    policy["signingKeys"] = json!({"keys": [new_private_jwk(Algorithm::EdDsa).unwrap()]});
    policy["sessions"] = json!({"issuer": "https://gateway.example", "audiences": ["api"]});
    policy["passkeys"] = json!({
        "relyingParty": {"id": "example.org", "origins": [ORIGIN], "relatedOrigins": ["https://example.net"]},
        "registration": {"jwt": "corp"},
    });
    policy["passkeys"].as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    policy["rules"].as_array_mut().unwrap().insert(
        0,
        json!({
            "name": "transfer",
            "matches": [{"path": {"type": "Exact", "value": "/transfer"}}],
            "authenticate": {"anyOf": [{"jwt": "corp"}]},
            "authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path", "Body"]}}},
        }),
    );
}

fn in_memory() -> World {
    world(&json!({"sharedData": true}))
}

pub(crate) fn post(path: &str, body: &Value) -> Ask {
    let ask = Ask::new("POST", &format!("{P}/{path}")).header("content-type", "application/json");
    ask.body(Body::Whole(body.to_string().into_bytes()))
}

/// Each a second later, for then a challenge is another one, and from another address, for none is to be throttled.
pub(crate) fn asked(w: &World, ask: &Ask) -> Answer {
    w.later(1);
    let now = w.now.get();
    w.ask(&ask.clone().from(&format!("10.9.{}.{}", now / 256 % 256, now % 256)))
}

/// The answer of the filter's own, with this status.
pub(crate) fn told(w: &World, ask: &Ask, status: u16) -> Value {
    let Answer { reason, upstream, record, .. } = asked(w, ask);
    let reply = upstream.unwrap_err();
    assert_eq!((reason, reply.status), (None, status), "{record:?} {reply:?}");
    serde_json::from_str(&reply.body).unwrap_or_default()
}

pub(crate) fn refused(w: &World, ask: &Ask, reason: Reason) -> Reason {
    let answer = asked(w, ask);
    assert_eq!(answer.reason, Some(reason), "{:?}", answer.record);
    assert_eq!(answer.upstream.unwrap_err().status, reason.status());
    reason
}

pub(crate) fn register(w: &World) -> Authenticator {
    let mut key = Authenticator::new(ORIGIN);
    let options = told(w, &w.bearer(post("registration/options", &json!({})), |_| {}), 200);
    told(w, &w.bearer(post("registration", &key.create(&options)), |_| {}), 201);
    key
}

/// Every reason of ceremonies, each seen beside its nearest neighbour.
pub(crate) fn reasons() -> Vec<Reason> {
    use Reason::*;
    let w = in_memory();
    let mut key = register(&w);
    let begin = || told(&w, &post("authentication/options", &json!({})), 200);
    let end = |response: &Value| post("authentication", response);
    told(&w, &end(&key.get(&begin())), 200);
    let mut stranger = Authenticator::new(ORIGIN);
    stranger.user_handle.clone_from(&key.user_handle);
    let in_time = begin();
    w.later(298);
    told(&w, &end(&key.get(&in_time)), 200);
    let late = begin();
    w.later(300);
    let mut seen = vec![
        refused(&w, &end(&key.get(&late)), ChallengeExpired),
        refused(&w, &end(&stranger.get(&begin())), PasskeyUnknown),
    ];
    key.user_verified = false;
    seen.push(refused(&w, &end(&key.get(&begin())), PasskeyRefused));
    key.user_verified = true;
    told(&w, &end(&key.get(&begin())), 200);
    let options = post("authentication/options", &json!({}));
    seen.extend([
        refused(&w, &options.clone().without("content-type"), UnsupportedMediaType),
        refused(&w, &options.clone().body(Body::Whole(b"{} ]".to_vec())), BodyMalformed),
        refused(&w, &Ask::get(&format!("{P}/authentication/options")), MethodNotAllowed),
        refused(&w, &post("authentication/option", &json!({})), NotFound),
        refused(&w, &options.clone().header("origin", "https://evil.example"), CrossSiteRequest),
        refused(&w, &post("registration/options", &json!({"enrolmentCode": "guess"})), EnrolmentRefused),
    ]);
    told(&w, &options.header("origin", ORIGIN), 200);
    // Where the store is etcd, and no call can be waited for.
    let etcd = world(&json!({"etcd": {"uri": "http://etcd:2379", "cluster": "etcd"}}));
    told(&etcd, &post("authentication/options", &json!({})), 200);
    etcd.may_wait.set(false);
    let list = etcd.bearer(Ask::get(&format!("{P}/credentials")), |_| {});
    seen.push(refused(&etcd, &list, PasskeysUnavailable));
    seen
}

#[test]
fn a_confirmed_request_goes_on_without_its_confirmation() {
    let w = in_memory();
    let mut key = register(&w);
    let body = Body::Whole(b"7".to_vec());
    let transfer = || w.bearer(Ask::new("POST", "/transfer").body(body.clone()), |_| {});
    refused(&w, &transfer(), Reason::InsufficientUserAuthentication);
    let operation =
        json!({"method": "POST", "path": "/transfer", "bodyDigest": encode(&authenticator::sha256(b"7"))});
    let options = told(&w, &w.bearer(post("step-up/options", &operation), |_| {}), 200);
    let confirmation = encode(key.get(&options).to_string().as_bytes());
    let confirmed = transfer().header("portcullis-passkey", &confirmation);
    let answer = w.ask(&confirmed);
    assert_eq!(answer.reason, None, "{:?}", answer.record);
    assert_eq!(
        (answer.upstream("portcullis-passkey"), answer.upstream("x-portcullis-subject")),
        (String::new(), "alice".to_owned())
    );
    assert!(!answer.debug.contains(&confirmation));
    refused(&w, &confirmed, Reason::PasskeyRefused);
}

/// A token of half a login makes no passkey, and a session that was left open changes none.
#[test]
fn whoever_makes_a_passkey_has_logged_in_well() {
    let registration = json!({"jwt": "corp", "stepUp": {"acrValues": ["phr"]}});
    let w = world(&json!({"sharedData": true, "registration": registration}));
    let mut key = Authenticator::new(ORIGIN);
    let strong = |claims: &mut Value| claims["acr"] = "phr".into();
    let options = || post("registration/options", &json!({}));
    refused(&w, &w.bearer(options(), |_| {}), Reason::InsufficientUserAuthentication);
    let asked = told(&w, &w.bearer(options(), strong), 200);
    let made = post("registration", &key.create(&asked));
    refused(&w, &w.bearer(made.clone(), |_| {}), Reason::InsufficientUserAuthentication);
    told(&w, &w.bearer(made, strong), 201);
    let challenge = told(&w, &post("authentication/options", &json!({})), 200);
    let session = told(&w, &post("authentication", &key.get(&challenge)), 200);
    let session = session["access_token"].as_str().unwrap();
    let own = format!("{P}/credentials/{}", encode(&key.id));
    let rename = || post("", &json!({"label": "x"})).token(session);
    let rename = || Ask { headers: Ask::new("PATCH", &own).headers, ..rename() };
    let rename = || rename().header("content-type", "application/json").token(session);
    told(&w, &rename(), 200);
    told(&w, &options().token(session), 200);
    // Ten minutes after the sign-in.
    w.later(596);
    told(&w, &rename(), 200);
    w.later(4);
    for ask in [rename(), Ask::new("DELETE", &own).token(session), options().token(session)] {
        refused(&w, &ask, Reason::InsufficientUserAuthentication);
    }
}

/// A rule that takes plain HTTP opens no ceremony.
#[test]
fn ceremonies_are_held_over_tls() {
    let rule = |transport: Value| {
        json!({
            "name": "open", "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "authenticate": {"anonymous": true}, "transport": transport,
        })
    };
    let world = |transport: Value| {
        World::with(|policy| {
            policy["transport"] = transport;
            policy["signingKeys"] = json!({"keys": [new_private_jwk(Algorithm::EdDsa).unwrap()]});
            policy["sessions"] = json!({"issuer": "https://gateway.example", "audiences": ["api"]});
            policy["passkeys"] = json!({
                "relyingParty": {"id": "example.org", "origins": [ORIGIN]},
                "registration": {"jwt": "corp"}, "sharedData": true,
            });
            policy["rules"].as_array_mut().unwrap().push(rule(json!({"requireTls": false})));
        })
    };
    let strict = world(json!({}));
    assert_eq!(strict.reason(&Ask::new("POST", "/anything").plain()), None);
    let options = post("authentication/options", &json!({}));
    for ask in
        [options.clone(), Ask::get(&format!("{P}/credentials")), post("registration/options", &json!({}))]
    {
        refused(&strict, &strict.bearer(ask, |_| {}).plain(), Reason::TlsRequired);
    }
    told(&strict, &options, 200);
    // Where the policy says that all of it may be plain.
    told(&world(json!({"requireTls": false})), &options.plain(), 200);
}

/// Another issuer's user, or a key, may be called as whoever has the passkeys.
#[test]
fn nobody_else_confirms_who_is_called_the_same() {
    let w = World::with(|policy| {
        policy["signingKeys"] = json!({"keys": [new_private_jwk(Algorithm::EdDsa).unwrap()]});
        policy["sessions"] = json!({"issuer": "https://gateway.example", "audiences": ["api"]});
        policy["passkeys"] = json!({
            "relyingParty": {"id": "example.org", "origins": [ORIGIN]},
            "registration": {"jwt": "corp"}, "sharedData": true,
        });
        policy["apiKeys"]["keys"][0]["client"] = "alice".into();
        policy["rules"].as_array_mut().unwrap().insert(
            0,
            json!({
                "name": "transfer",
                "matches": [{"path": {"type": "Exact", "value": "/transfer"}}],
                "authenticate": {"anyOf": [{"jwt": "corp"}, {"jwt": "partner"}, {"jwt": "sessions"}, "apiKey"]},
                "authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path"]}}},
            }),
        );
    });
    let mut key = register(&w);
    let challenge = told(&w, &post("authentication/options", &json!({})), 200);
    let session = told(&w, &post("authentication", &key.get(&challenge)), 200);
    let session = session["access_token"].as_str().unwrap();
    let operation = json!({"method": "POST", "path": "/transfer"});
    let mut confirmed = || {
        let options = told(&w, &w.bearer(post("step-up/options", &operation), |_| {}), 200);
        let confirmation = encode(key.get(&options).to_string().as_bytes());
        Ask::new("POST", "/transfer").header("portcullis-passkey", &confirmation)
    };
    let partner = w.partner.sign(&claims("https://partner.example"));
    refused(&w, &confirmed().header("x-partner-token", &partner), Reason::PasskeyRefused);
    // Nothing but a token tells of a login.
    refused(&w, &confirmed().key("reader-secret"), Reason::InsufficientUserAuthentication);
    assert_eq!(asked(&w, &w.bearer(confirmed(), |_| {})).reason, None);
    assert_eq!(asked(&w, &confirmed().token(session)).reason, None);
}

#[test]
fn browsers_are_told_of_related_origins() {
    let document = told(&in_memory(), &Ask::get("/.well-known/webauthn"), 200);
    assert_eq!(document, json!({"origins": [ORIGIN, "https://example.net"]}));
}

/// Where a passkey of one's own is, by the text that stands in the path.
fn own(method: &str, id: &str, session: &str) -> Ask {
    let ask = Ask {
        headers: Ask::new(method, &format!("{P}/credentials/{id}")).headers,
        ..post("", &json!({"label": "x"}))
    };
    ask.header("content-type", "application/json").token(session)
}

fn sign_in(w: &World, key: &mut Authenticator) -> String {
    let challenge = told(w, &post("authentication/options", &json!({})), 200);
    let session = told(w, &post("authentication", &key.get(&challenge)), 200);
    session["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&Base64UrlSafeNoPadding::decode_to_vec(payload, None).unwrap()).unwrap()
}

/// The response to options of registration, and what becomes of it after `change`.
fn registration(w: &World, key: &mut Authenticator, change: impl FnOnce(&mut Value)) -> Ask {
    let mut response = key.create(&told(w, &w.bearer(post("registration/options", &json!({})), |_| {}), 200));
    change(&mut response);
    w.bearer(post("registration", &response), |_| {})
}

/// base64url has no padding here (WebAuthn Level 3, section 3), so that no id has two spellings.
#[test]
fn ids_have_one_spelling() {
    let w = in_memory();
    let padded = |value: &Value| Value::from(format!("{}=", value.as_str().unwrap()));
    let mut key = Authenticator::new(ORIGIN);
    for member in ["id", "rawId"] {
        let ask = registration(&w, &mut key, |response| response[member] = padded(&response[member]));
        refused(&w, &ask, Reason::BodyMalformed);
    }
    let ask = registration(&w, &mut key, |response| {
        for member in ["id", "rawId"] {
            response[member] = padded(&response[member]);
        }
    });
    refused(&w, &ask, Reason::BodyMalformed);
    told(&w, &registration(&w, &mut key, |_| {}), 201);
    let challenge = told(&w, &post("authentication/options", &json!({})), 200);
    let mut response = key.get(&challenge);
    response["id"] = padded(&response["id"]);
    response["rawId"] = response["id"].clone();
    refused(&w, &post("authentication", &response), Reason::BodyMalformed);
    let session = sign_in(&w, &mut key);
    let id = encode(&key.id);
    for method in ["PATCH", "DELETE"] {
        for padding in ["=", "%3D"] {
            refused(&w, &own(method, &[&id, padding].concat(), &session), Reason::NotFound);
        }
    }
    told(&w, &own("PATCH", &id, &session), 200);
    told(&w, &own("DELETE", &id, &session), 204);
}

/// Names of transports are open (WebAuthn Level 3, section 5.8.4): none refuses a passkey, and few are kept.
#[test]
fn transports_are_kept_within_bounds() {
    let many: Vec<_> = (0..200).map(|n| format!("t{n}")).collect();
    let long = "x".repeat(33);
    for (given, kept) in [
        (json!(["cable"]), json!(["cable"])),
        (json!(["usb", "of the future", "usb", long, "hybrid"]), json!(["usb", "hybrid"])),
        (json!(many), json!(many[..8])),
        (json!([]), json!([])),
        (Value::Null, json!([])),
    ] {
        let (w, mut key) = (in_memory(), Authenticator::new(ORIGIN));
        let ask = registration(&w, &mut key, |response| response["response"]["transports"] = given.clone());
        assert_eq!(told(&w, &ask, 201)["transports"], kept, "{given}");
        let options = told(&w, &w.bearer(post("registration/options", &json!({})), |_| {}), 200);
        let named = &options["excludeCredentials"][0];
        assert_eq!(named.get("transports").cloned().unwrap_or(json!([])), kept, "{given}");
    }
    let ask = |value: Value| {
        let w = in_memory();
        let ask = registration(&w, &mut Authenticator::new(ORIGIN), |response| {
            response["response"]["transports"] = value;
        });
        asked(&w, &ask).reason
    };
    assert_eq!((ask(json!("usb")), ask(json!(["usb"]))), (Some(Reason::BodyMalformed), None));
}

/// Browsers take no longer lists, and an account is one entry of the store.
#[test]
fn an_account_has_twenty_passkeys() {
    let w = in_memory();
    let options = || w.bearer(post("registration/options", &json!({})), |_| {});
    let mut keys: Vec<_> = (0..21).map(|_| Authenticator::new(ORIGIN)).collect();
    // Asked for while there was room.
    let early = keys[20].create(&told(&w, &options(), 200));
    for (n, key) in keys.iter_mut().take(20).enumerate() {
        let given = told(&w, &options(), 200);
        assert_eq!(given["excludeCredentials"].as_array().unwrap().len(), n);
        told(&w, &w.bearer(post("registration", &key.create(&given)), |_| {}), 201);
    }
    refused(&w, &options(), Reason::PasskeyRefused);
    refused(&w, &w.bearer(post("registration", &early), |_| {}), Reason::PasskeyRefused);
    let operation = json!({"method": "POST", "path": "/transfer"});
    let confirmation = || w.bearer(post("step-up/options", &operation), |_| {});
    let named = || told(&w, &confirmation(), 200)["allowCredentials"].as_array().unwrap().len();
    assert_eq!(named(), 20);
    let session = sign_in(&w, &mut keys[19]);
    told(&w, &own("DELETE", &encode(&keys[0].id), &session), 204);
    assert_eq!(named(), 19);
    told(&w, &options(), 200);
    // Another writer of the store knows of no bound.
    let stored = w.store.get("test/passkeys").unwrap().unwrap();
    let mut entries: Value = serde_json::from_slice(&stored.value).unwrap();
    let entry = entries.as_object_mut().unwrap().iter_mut().find(|(name, _)| name.contains("/accounts/"));
    let (_, entry) = entry.unwrap();
    let mut account: Value = serde_json::from_str(entry["value"].as_str().unwrap()).unwrap();
    let one = account["passkeys"][0].clone();
    let many = (0..70_u8).map(|n| {
        let mut passkey = one.clone();
        passkey["id"] = encode(&[n; 16]).into();
        passkey
    });
    account["passkeys"] = many.collect();
    entry["value"] = account.to_string().into();
    let expected = Expected::of(Some(&stored));
    w.store.replace("test/passkeys", entries.to_string().as_bytes(), expected).unwrap();
    assert_eq!(named(), 20);
    refused(&w, &options(), Reason::PasskeyRefused);
}

/// WebAuthn Level 3, section 7.1 step 25. It is neither cut when it is kept, nor when a session names it.
#[test]
fn ids_are_as_long_as_they_may_be() {
    for (length, is_taken) in [(1, true), (1023, true), (1024, false), (0, false)] {
        let (w, mut key) = (in_memory(), Authenticator::new(ORIGIN));
        key.id = vec![7; length];
        let ask = registration(&w, &mut key, |_| {});
        if !is_taken {
            let reason = if length == 0 { Reason::BodyMalformed } else { Reason::PasskeyRefused };
            refused(&w, &ask, reason);
            continue;
        }
        assert_eq!(told(&w, &ask, 201)["id"], encode(&key.id));
        let session = sign_in(&w, &mut key);
        assert_eq!(claims_of(&session)["credential"], encode(&key.id));
        told(&w, &own("DELETE", &encode(&key.id), &session), 204);
    }
}

/// Whoever only ever touched it may not become more by a PIN that was set since (`uvInitialized`, WebAuthn Level 3, section 4).
#[test]
fn whoever_was_not_verified_when_a_passkey_was_made_is_no_more_later() {
    let w = world(&json!({"sharedData": true, "userVerification": "Preferred"}));
    for (at_first, now, acr) in
        [(true, true, Some("phrh")), (true, false, None), (false, true, None), (false, false, None)]
    {
        let mut key = Authenticator::new(ORIGIN);
        key.user_verified = at_first;
        assert_eq!(told(&w, &registration(&w, &mut key, |_| {}), 201)["userVerified"], at_first);
        key.user_verified = now;
        let claims = claims_of(&sign_in(&w, &mut key));
        assert_eq!(claims.get("acr").and_then(Value::as_str), acr, "{claims}");
        let methods = claims["amr"].as_array().unwrap();
        assert_eq!(methods.contains(&json!("mfa")), acr.is_some(), "{claims}");
        // Nor does it confirm anything.
        let operation =
            json!({"method": "POST", "path": "/transfer", "bodyDigest": encode(&authenticator::sha256(b""))});
        let options = told(&w, &w.bearer(post("step-up/options", &operation), |_| {}), 200);
        let confirmation = encode(key.get(&options).to_string().as_bytes());
        let transfer =
            w.bearer(Ask::new("POST", "/transfer"), |_| {}).header("portcullis-passkey", &confirmation);
        let expected = acr.is_none().then_some(Reason::PasskeyRefused);
        let answer = asked(&w, &transfer);
        assert_eq!(answer.reason, expected, "{at_first} {now} {:?}", answer.record);
    }
}
