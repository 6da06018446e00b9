//! A browser's passkeys at the gateway: what passes, and beside it what comes near to it and must not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::site::{SITE, Said, Site, TIMEOUT_SECONDS, base64url_of};

const TRANSFER: &str = "/transfers?currency=EUR";

// What the log says of a refusal.
const OTHER_PURPOSE: &str = "the challenge is none of ours for this";
const OTHER_OPERATION: &str = "the challenge was not made for this account, page or operation";
const NOT_VERIFIED: &str = "made without the user being verified";

fn transfer(amount: u32) -> Value {
    json!({"to": "Robin", "amount": amount})
}

/// The operation as a page names it when it asks for options.
fn operation(method: &str, path: &str, body: &Value) -> Value {
    let digest = Sha256::digest(body.to_string().as_bytes());
    json!({"method": method, "path": path, "bodyDigest": base64url_of(&digest)})
}

fn refused(said: &Said, status: u64, reason: &str) {
    assert_eq!((said.status, said.reason.as_str()), (status, reason), "{said:?}");
}

fn passed(said: &Said) {
    assert_eq!(said.status, 200, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_signs_in_and_confirms() {
    let mut site = Site::start().await;
    site.browser.step("addAuthenticator", json!({}));
    refused(&site.ask("GET", "/account", json!({}), None), 401, "credentials_missing");
    refused(&site.endpoint("POST", "registration/options", Some(&json!({}))), 401, "credentials_missing");
    let made = site.register("alice");
    assert_eq!((&made["label"], &made["userVerified"]), (&json!("alice's"), &json!(true)), "{made}");
    assert_eq!(made["transports"], json!(["internal"]), "{made}");
    assert_eq!(made.get("lastUsedAt"), None, "{made}");
    // Whoever has a passkey still has to use it.
    refused(&site.ask("GET", "/account", json!({}), None), 401, "credentials_missing");

    let said = site.sign_in();
    passed(&said);
    assert_eq!(said.body, json!({"expires_in": 900}), "no token for scripts");
    assert_eq!(said.headers["cache-control"], "no-store");
    let cookies = site.browser.step("cookies", json!({}));
    let session =
        cookies.as_array().unwrap().iter().find(|cookie| cookie["name"] == "__Host-session").unwrap();
    assert_eq!(
        (&session["httpOnly"], &session["secure"], &session["sameSite"], &session["path"]),
        (&json!(true), &json!(true), &json!("Strict"), &json!("/"))
    );
    let said = site.ask("GET", "/account", json!({}), None);
    passed(&said);
    assert_eq!(said.body["headers"]["x-portcullis-subject"], json!(["alice"]), "{said:?}");
    assert_eq!(said.body["headers"].get("cookie"), None, "{said:?}");

    // An operation that is confirmed reaches the API once, unchanged.
    let before = site.gateway.upstream.count();
    let said = site.ask("POST", TRANSFER, json!({}), Some(&transfer(25)));
    refused(&said, 401, "insufficient_user_authentication");
    let path = "/.well-known/portcullis/webauthn/step-up/options";
    let challenge = said.headers["www-authenticate"].as_str().unwrap();
    assert!(challenge.contains(&format!("passkey_options=\"{path}\"")), "{challenge}");
    let options = site.step_up_options(operation("POST", TRANSFER, &transfer(25)));
    assert_eq!(options["allowCredentials"][0]["id"], made["id"], "{options}");
    let assertion = site.touch(&options);
    let said = site.confirmed("POST", TRANSFER, &transfer(25), &assertion);
    passed(&said);
    assert_eq!(said.body["body"], transfer(25).to_string(), "{said:?}");
    assert_eq!(said.body["headers"].get("portcullis-passkey"), None, "{said:?}");
    let said = site.confirmed("POST", TRANSFER, &transfer(25), &assertion);
    site.refuses(&said, "the challenge was answered before");
    assert_eq!(site.gateway.upstream.count(), before + 1);
    // One without a body.
    let options = site.step_up_options(json!({"method": "DELETE", "path": "/orders/7"}));
    let assertion = site.touch(&options);
    let header = json!({"portcullis-passkey": base64url_of(assertion.to_string().as_bytes())});
    passed(&site.ask("DELETE", "/orders/7", header, None));

    // Its user's list.
    let id = made["id"].as_str().unwrap().to_owned();
    let credential = format!("credentials/{id}");
    let list = site.endpoint("GET", "credentials", None).body;
    assert_eq!(list["credentials"].as_array().unwrap().len(), 1, "{list}");
    assert!(list["credentials"][0]["lastUsedAt"].is_string(), "{list}");
    let renamed = site.endpoint("PATCH", &credential, Some(&json!({"label": "Phone"})));
    assert_eq!((renamed.status, &renamed.body["label"]), (200, &json!("Phone")), "{renamed:?}");
    refused(&site.endpoint("DELETE", "credentials/QUJD", None), 404, "not_found");
    assert_eq!(site.endpoint("DELETE", &credential, None).status, 204);
    assert_eq!(site.endpoint("POST", "sign-out", None).status, 204);
    refused(&site.ask("GET", "/account", json!({}), None), 401, "credentials_missing");
    refused(&site.sign_in(), 403, "passkey_unknown");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_passkey_says_is_good_once_for_one_thing() {
    let mut site = Site::start().await;
    let authenticator = site.browser.step("addAuthenticator", json!({}));
    // Both on one device.
    let [bob, alice] = ["bob", "alice"].map(|subject| site.register(subject)["id"].clone());
    let (kept, asked) = (site.sign_in_options(), Instant::now());
    let set = |site: &mut Site, step: &str, mut arguments: Value| {
        arguments["authenticator"] = authenticator.clone();
        site.browser.step(step, arguments);
    };

    // Signing in.
    passed(&site.sign_in_as(&alice));
    let fresh = site.sign_in_options();
    let assertion = site.touch_as(&alice, &fresh);
    passed(&site.sign_in_with(&assertion));
    let said = site.sign_in_with(&assertion);
    site.refuses(&said, "the challenge was answered before");
    // The same challenge, answered anew.
    let again = site.touch_as(&alice, &fresh);
    let said = site.sign_in_with(&again);
    site.refuses(&said, "the challenge was answered before");
    // A challenge of somebody's own.
    let mut own = fresh.clone();
    own["challenge"] = json!(base64url_of(&[7; 32]));
    let answer = site.touch_as(&alice, &own);
    let said = site.sign_in_with(&answer);
    site.refuses(&said, OTHER_PURPOSE);
    for (fault, why) in [
        ("isBogusSignature", "the signature does not verify"),
        ("isBadUV", NOT_VERIFIED),
        ("isBadUP", "made without the user being there"),
    ] {
        set(&mut site, "setFaults", json!({fault: true}));
        let said = site.sign_in_as(&alice);
        site.refuses(&said, why);
        set(&mut site, "setFaults", json!({fault: false}));
    }
    // Without PIN or finger, as a page that was changed could ask for it.
    let mut lax = site.sign_in_options();
    lax["userVerification"] = json!("discouraged");
    let touched = site.touch_as(&alice, &lax);
    let said = site.sign_in_with(&touched);
    site.refuses(&said, NOT_VERIFIED);
    // A browser that was told the truth does not even begin.
    set(&mut site, "setUserVerified", json!({"verified": false}));
    let strict = site.sign_in_options();
    assert_eq!(site.browser.attempt("get", json!({"options": strict})), Err("NotAllowedError".to_owned()));
    set(&mut site, "setUserVerified", json!({"verified": true}));
    passed(&site.sign_in_as(&alice));

    // Confirming: this operation, by whoever asks for it.
    let asked_for = operation("POST", TRANSFER, &transfer(25));
    for (method, path, body) in [
        ("POST", TRANSFER, transfer(26)),
        ("POST", "/transfers?currency=USD", transfer(25)),
        ("POST", "/transfers", transfer(25)),
        ("PUT", TRANSFER, transfer(25)),
        ("POST", "/orders/7", transfer(25)),
    ] {
        let options = site.step_up_options(asked_for.clone());
        let assertion = site.touch(&options);
        let said = site.confirmed(method, path, &body, &assertion);
        site.refuses(&said, OTHER_OPERATION);
    }
    // The body is to be confirmed, too.
    let options = site.step_up_options(json!({"method": "POST", "path": TRANSFER}));
    let assertion = site.touch(&options);
    let said = site.confirmed("POST", TRANSFER, &transfer(25), &assertion);
    site.refuses(&said, "the confirmation is not for the body");
    // A sign-in confirms nothing, and a confirmation is no sign-in.
    let options = site.sign_in_options();
    let assertion = site.touch_as(&alice, &options);
    let said = site.confirmed("POST", "/orders/7", &transfer(25), &assertion);
    site.refuses(&said, OTHER_PURPOSE);
    let options = site.step_up_options(asked_for.clone());
    let assertion = site.touch(&options);
    let said = site.sign_in_with(&assertion);
    site.refuses(&said, OTHER_PURPOSE);
    // Bob's passkey for Alice's session.
    let options = site.step_up_options(asked_for.clone());
    let assertion = site.touch_as(&bob, &options);
    let said = site.confirmed("POST", TRANSFER, &transfer(25), &assertion);
    site.refuses(&said, "the passkey is somebody else's");
    // Nor are his passkeys hers to rename or remove.
    let credential = format!("credentials/{}", bob.as_str().unwrap());
    refused(&site.endpoint("PATCH", &credential, Some(&json!({"label": "mine"}))), 404, "not_found");
    refused(&site.endpoint("DELETE", &credential, None), 404, "not_found");
    let options = site.step_up_options(asked_for);
    let assertion = site.touch(&options);
    passed(&site.confirmed("POST", TRANSFER, &transfer(25), &assertion));

    // A copy of the authenticator, which counts on from where it was made.
    set(&mut site, "setCounter", json!({"signCount": 1}));
    let said = site.sign_in_as(&alice);
    site.refuses(&said, "the signature counter is 2 after ");
    set(&mut site, "setCounter", json!({"signCount": 1000}));
    passed(&site.sign_in_as(&alice));

    // Options that were kept for too long.
    let over = Duration::from_secs(TIMEOUT_SECONDS + 1);
    tokio::time::sleep(over.saturating_sub(asked.elapsed())).await;
    let assertion = site.touch_as(&alice, &kept);
    refused(&site.sign_in_with(&assertion), 403, "challenge_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_get_nothing_of_it() {
    let mut site = Site::start().await;
    site.browser.step("addAuthenticator", json!({}));
    site.register("alice");
    passed(&site.sign_in());

    // A page that a phishing site shows: the browser does not even begin.
    let options = site.sign_in_options();
    site.browser.step("openElsewhere", json!({"url": "https://evil.test/"}));
    assert_eq!(site.browser.attempt("get", json!({"options": options})), Err("SecurityError".to_owned()));
    // One on a subdomain, for which browsers do use the passkey.
    site.browser.step("openElsewhere", json!({"url": "https://users.app.test/"}));
    let assertion = site.touch(&options);
    site.open();
    let said = site.sign_in_with(&assertion);
    site.refuses(&said, OTHER_OPERATION);

    // A form of another site comes without the cookie; one of the same site comes with it, and is refused.
    let form = json!({"action": format!("{SITE}/account"), "fields": {"to": "Mallory"}});
    for (url, with_cookie, status, reason) in [
        ("https://evil.test/", false, 401, "credentials_missing"),
        ("https://users.app.test/", true, 403, "cross_site_request"),
    ] {
        site.browser.step("openElsewhere", json!({"url": url}));
        let said = site.browser.step("submitForm", form.clone());
        assert_eq!(said["sent"].get("cookie").is_some(), with_cookie, "{said}");
        let problem: Value = serde_json::from_str(said["body"].as_str().unwrap()).unwrap();
        assert_eq!((&said["status"], &problem["reason"]), (&json!(status), &json!(reason)), "{url}");
    }
    // The page's own passes.
    site.open();
    let said = site.browser.step("submitForm", form);
    assert_eq!(said["status"], 200, "{said}");
}
