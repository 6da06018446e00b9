//! A browser's passkeys at the gateway: what passes, and beside it what comes near to it and must not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::site::{SHOP, SITE, Said, Site, TIMEOUT_SECONDS, base64url_of};

const TRANSFER: &str = "/transfers?currency=EUR";

/// What people who phish have, on a domain of their own and on a subdomain that somebody else may write.
const EVIL: &str = "https://evil.test/";
const USERS: &str = "https://users.app.test/";

// What the log says of a refusal.
const ANSWERED_BEFORE: &str = "the challenge was answered before";
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
    let kept = site.account("alice").unwrap();
    assert_eq!((&kept["passkeys"][0]["id"], &kept["passkeys"][0].get("lastUsedAt")), (&made["id"], &None));
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
    assert_eq!(said.body["passkeyOptions"], path, "{said:?}");
    let options = site.step_up_options(operation("POST", TRANSFER, &transfer(25)));
    assert_eq!(options["allowCredentials"][0]["id"], made["id"], "{options}");
    let assertion = site.touch(&options);
    let said = site.confirmed("POST", TRANSFER, &transfer(25), &assertion);
    passed(&said);
    assert_eq!(said.body["body"], transfer(25).to_string(), "{said:?}");
    assert_eq!(said.body["headers"].get("portcullis-passkey"), None, "{said:?}");
    let said = site.confirmed("POST", TRANSFER, &transfer(25), &assertion);
    site.refuses(&said, ANSWERED_BEFORE);
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
    let kept = site.account("alice").unwrap();
    assert_eq!((&list["rpId"], &list["userId"]), (&json!("app.test"), &kept["handle"]));
    let renamed = site.endpoint("PATCH", &credential, Some(&json!({"label": "Phone"})));
    assert_eq!((renamed.status, &renamed.body["label"]), (200, &json!("Phone")), "{renamed:?}");
    refused(&site.endpoint("DELETE", "credentials/QUJD", None), 404, "not_found");
    assert_eq!(site.account("alice").unwrap()["passkeys"][0]["label"], "Phone");
    assert_eq!(site.endpoint("DELETE", &credential, None).status, 204);
    assert_eq!(site.account("alice").unwrap()["passkeys"], json!([]));
    assert_eq!(site.endpoint("POST", "sign-out", None).status, 204);
    refused(&site.ask("GET", "/account", json!({}), None), 401, "credentials_missing");
    refused(&site.sign_in(), 403, "passkey_unknown");
}

/// With two passkeys on one device, signed in as Alice.
async fn site_of_bob_and_alice() -> (Site, Value, [Value; 2]) {
    let mut site = Site::start().await;
    let authenticator = site.browser.step("addAuthenticator", json!({}));
    let [bob, alice] = ["bob", "alice"].map(|subject| site.register(subject)["id"].clone());
    passed(&site.sign_in_as(&alice));
    (site, authenticator, [bob, alice])
}

fn change(site: &mut Site, authenticator: &Value, step: &str, mut arguments: Value) {
    arguments["authenticator"] = authenticator.clone();
    site.browser.step(step, arguments);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_answered_once_and_in_its_time() {
    let (mut site, _, [_, alice]) = site_of_bob_and_alice().await;
    let (kept, asked) = (site.sign_in_options(), Instant::now());
    let fresh = site.sign_in_options();
    let assertion = site.touch_as(&alice, &fresh);
    passed(&site.sign_in_with(&assertion));
    let said = site.sign_in_with(&assertion);
    site.refuses(&said, ANSWERED_BEFORE);
    // The same challenge, answered anew.
    let again = site.touch_as(&alice, &fresh);
    let said = site.sign_in_with(&again);
    site.refuses(&said, ANSWERED_BEFORE);
    // A challenge of somebody's own.
    let mut own = fresh.clone();
    own["challenge"] = json!(base64url_of(&[7; 32]));
    let answer = site.touch_as(&alice, &own);
    let said = site.sign_in_with(&answer);
    site.refuses(&said, OTHER_PURPOSE);
    // One that was kept for as long as ceremonies may take, and for longer.
    let passes = Duration::from_secs(TIMEOUT_SECONDS - 10);
    let later = site.sign_in_options();
    tokio::time::sleep(passes).await;
    let assertion = site.touch_as(&alice, &later);
    passed(&site.sign_in_with(&assertion));
    let over = Duration::from_secs(TIMEOUT_SECONDS + 1);
    tokio::time::sleep(over.saturating_sub(asked.elapsed())).await;
    let assertion = site.touch_as(&alice, &kept);
    refused(&site.sign_in_with(&assertion), 403, "challenge_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_the_user_or_its_signature_signs_nobody_in() {
    let (mut site, authenticator, [_, alice]) = site_of_bob_and_alice().await;
    for (fault, why) in [
        ("isBogusSignature", "the signature does not verify"),
        ("isBadUV", NOT_VERIFIED),
        ("isBadUP", "made without the user being there"),
    ] {
        change(&mut site, &authenticator, "setFaults", json!({fault: true}));
        let said = site.sign_in_as(&alice);
        site.refuses(&said, why);
        change(&mut site, &authenticator, "setFaults", json!({fault: false}));
        passed(&site.sign_in_as(&alice));
    }
    // Without PIN or finger, as a page that was changed could ask for it.
    let mut lax = site.sign_in_options();
    lax["userVerification"] = json!("discouraged");
    let touched = site.touch_as(&alice, &lax);
    let said = site.sign_in_with(&touched);
    site.refuses(&said, NOT_VERIFIED);
    let mut lax = site.step_up_options(operation("POST", TRANSFER, &transfer(25)));
    lax["userVerification"] = json!("discouraged");
    let touched = site.touch(&lax);
    let said = site.confirmed("POST", TRANSFER, &transfer(25), &touched);
    site.refuses(&said, NOT_VERIFIED);
    // A browser that was told the truth does not even begin.
    change(&mut site, &authenticator, "setUserVerified", json!({"verified": false}));
    let strict = site.sign_in_options();
    assert_eq!(site.browser.attempt("get", json!({"options": strict})), Err("NotAllowedError".to_owned()));
    change(&mut site, &authenticator, "setUserVerified", json!({"verified": true}));
    passed(&site.sign_in_as(&alice));
}

/// A copy counts on from where it was made; one that was cleared begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn an_authenticator_whose_counter_was_cleared_signs_nobody_in() {
    let (mut site, authenticator, [_, alice]) = site_of_bob_and_alice().await;
    for (counter, why) in [(0, "the signature counter is 1 after "), (1, "the signature counter is 2 after ")]
    {
        change(&mut site, &authenticator, "changeCredentials", json!({"signCount": counter}));
        let said = site.sign_in_as(&alice);
        site.refuses(&said, why);
    }
    change(&mut site, &authenticator, "changeCredentials", json!({"signCount": 1000}));
    passed(&site.sign_in_as(&alice));
    assert_eq!(site.account("alice").unwrap()["passkeys"][0]["signCount"], 1001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_is_for_one_operation_of_its_user() {
    let (mut site, _, [bob, alice]) = site_of_bob_and_alice().await;
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
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_page_signs_nobody_in() {
    let (mut site, _, [_, alice]) = site_of_bob_and_alice().await;
    // A page that a phishing site shows: the browser does not even begin.
    let options = site.sign_in_options();
    site.open_elsewhere(EVIL);
    assert_eq!(site.browser.attempt("get", json!({"options": options})), Err("SecurityError".to_owned()));
    // Those of subdomains, for which browsers do use the passkey; the second one is listed, but did not ask.
    site.open_elsewhere(USERS);
    let of_users = site.touch_as(&alice, &options);
    site.open(SHOP);
    let of_the_shop = site.touch_as(&alice, &options);
    site.open(SITE);
    for assertion in [of_users, of_the_shop] {
        let said = site.sign_in_with(&assertion);
        site.refuses(&said, OTHER_OPERATION);
    }
    // Where a program asked, any page that is listed may answer, and no other.
    let [first, second] =
        [site.sign_in_options_of_a_program().await, site.sign_in_options_of_a_program().await];
    site.open_elsewhere(USERS);
    let of_users = site.touch_as(&alice, &first);
    site.open(SHOP);
    let of_the_shop = site.touch_as(&alice, &second);
    site.open(SITE);
    let said = site.sign_in_with(&of_users);
    site.refuses(&said, "made at an origin that is not listed");
    passed(&site.sign_in_with(&of_the_shop));
}

/// As an authenticator answers that was led to believe that the passkey is another site's.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_another_relying_party_signs_nobody_in() {
    let (mut site, authenticator, [_, alice]) = site_of_bob_and_alice().await;
    let id_of_shop = "shop.app.test";
    site.open(SHOP);
    for (rp_id, refused) in [(id_of_shop, true), ("app.test", false)] {
        change(&mut site, &authenticator, "changeCredentials", json!({"rpId": rp_id}));
        let mut options = site.sign_in_options();
        options["rpId"] = json!(rp_id);
        let assertion = site.touch_as(&alice, &options);
        let said = site.sign_in_with(&assertion);
        if refused {
            site.refuses(&said, "made for another relying party");
        } else {
            passed(&said);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_does_nothing_with_the_cookie() {
    let (mut site, ..) = site_of_bob_and_alice().await;
    // One of another site comes without the cookie; one of the same site comes with it, and is refused.
    let form = json!({"action": format!("{SITE}/account"), "fields": {"to": "Mallory"}});
    let before = site.gateway.upstream.count();
    for (url, with_cookie, status, reason) in
        [(EVIL, false, 401, "credentials_missing"), (USERS, true, 403, "cross_site_request")]
    {
        site.open_elsewhere(url);
        let said = site.browser.step("submitForm", form.clone());
        assert_eq!(said["sent"].get("cookie").is_some(), with_cookie, "{said}");
        let problem: Value = serde_json::from_str(said["body"].as_str().unwrap()).unwrap();
        assert_eq!((&said["status"], &problem["reason"]), (&json!(status), &json!(reason)), "{url}");
    }
    assert_eq!(site.gateway.upstream.count(), before);
    // The page's own passes.
    site.open(SITE);
    let said = site.browser.step("submitForm", form);
    assert_eq!(said["status"], 200, "{said}");
}
