//! Ceremonies with passkeys: each reason to refuse one, beside the nearest that does not.

#[path = "../e2e/harness/authenticator.rs"]
mod authenticator;

use portcullis::{
    answer::Reason,
    crypto::{Algorithm, new_private_jwk},
    engine::Body,
};
use serde_json::{Value, json};

use self::authenticator::{Authenticator, encode};
use crate::world::{Answer, Ask, World};

const P: &str = "/.well-known/portcullis/webauthn";
const ORIGIN: &str = "https://shop.example.org";

fn world(store: &Value) -> World {
    World::with(|policy| {
        policy["signingKeys"] = json!({"keys": [new_private_jwk(Algorithm::EdDsa).unwrap()]});
        policy["sessions"] = json!({"issuer": "https://gateway.example", "audiences": ["api"]});
        policy["passkeys"] = json!({
            "relyingParty": {"id": "example.org", "origins": [ORIGIN], "relatedOrigins": ["https://example.net"]},
            "registration": {"jwt": "corp"},
        });
        policy["passkeys"].as_object_mut().unwrap().extend(store.as_object().unwrap().clone());
        policy["rules"].as_array_mut().unwrap().insert(
            0,
            json!({
                "name": "transfer",
                "matches": [{"path": {"type": "Exact", "value": "/transfer"}}],
                "authenticate": {"anyOf": [{"jwt": "corp"}]},
                "authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path", "Body"]}}},
            }),
        );
    })
}

fn in_memory() -> World {
    world(&json!({"sharedData": true}))
}

fn post(path: &str, body: &Value) -> Ask {
    let ask = Ask::new("POST", &format!("{P}/{path}")).header("content-type", "application/json");
    ask.body(Body::Whole(body.to_string().into_bytes()))
}

/// Each a second later, for then a challenge is another one, and from another address, for none is to be throttled.
fn asked(w: &World, ask: &Ask) -> Answer {
    w.later(1);
    let now = w.now.get();
    w.ask(&ask.clone().from(&format!("10.9.{}.{}", now / 256 % 256, now % 256)))
}

/// The answer of the filter's own, with this status.
fn told(w: &World, ask: &Ask, status: u16) -> Value {
    let Answer { reason, upstream, record, .. } = asked(w, ask);
    let reply = upstream.unwrap_err();
    assert_eq!((reason, reply.status), (None, status), "{record:?} {reply:?}");
    serde_json::from_str(&reply.body).unwrap_or_default()
}

fn refused(w: &World, ask: &Ask, reason: Reason) -> Reason {
    let answer = asked(w, ask);
    assert_eq!(answer.reason, Some(reason), "{:?}", answer.record);
    assert_eq!(answer.upstream.unwrap_err().status, reason.status());
    reason
}

fn register(w: &World) -> Authenticator {
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

#[test]
fn browsers_are_told_of_related_origins() {
    let document = told(&in_memory(), &Ask::get("/.well-known/webauthn"), 200);
    assert_eq!(document, json!({"origins": [ORIGIN, "https://example.net"]}));
}
