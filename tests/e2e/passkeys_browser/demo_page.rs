//! The demo's page for passkeys, as people use it: with a mouse, with the keyboard alone, on a phone, in the dark; and as
//! a checker of accessibility sees it.

use serde_json::{Value, json};

use super::driver::Browser;
use crate::{
    demo::Demo,
    harness::{gateway::Wire, repository, request::get, table::Door as _},
};

struct Page {
    demo: Demo,
    browser: Browser,
    authenticator: Value,
}

impl Page {
    /// Open, with a link that brings a token.
    async fn open() -> Self {
        let demo = Demo::start().await;
        let mut browser = Browser::start(&demo.file("server.pem"), demo.front.https.port());
        // Autofill waits for somebody to choose; there is nobody.
        let authenticator = browser.step("addAuthenticator", json!({}));
        let mut page = Self { demo, browser, authenticator };
        page.touches(false);
        let link = page.demo.link();
        let opened = page.browser.step("open", json!({"url": link}));
        assert_eq!(opened["status"], 200, "{opened}");
        page.see("Sign in");
        page
    }

    /// Whether the authenticator is touched, by and by.
    fn touches(&mut self, automatic: bool) {
        self.browser
            .step("setPresence", json!({"authenticator": self.authenticator, "automatic": automatic}));
    }

    fn see(&mut self, heading: &str) {
        self.browser.step("see", json!({"heading": heading}));
    }

    fn hear(&mut self, text: &str) {
        self.browser.step("hear", json!({"text": text}));
    }

    fn click(&mut self, button: &str) {
        self.browser.step("click", json!({"button": button}));
    }

    fn press(&mut self, key: &str) {
        self.browser.step("press", json!({"key": key}));
    }

    fn fill(&mut self, label: &str, text: &str) {
        self.browser.step("fill", json!({"label": label, "text": text}));
    }

    /// By the keyboard alone: on to what comes next, which is `name`, and is seen to have the focus.
    fn tab_to(&mut self, name: &str) {
        self.press("Tab");
        self.is_at(name);
    }

    fn is_at(&mut self, name: &str) {
        let focus = self.browser.step("focus", json!({}));
        assert_eq!((&focus["name"], &focus["visible"]), (&json!(name), &json!(true)), "{focus}");
    }

    fn labels(&mut self) -> Value {
        self.browser.step("texts", json!({"selector": "#passkeys strong"}))
    }

    /// No rule of axe-core is broken, and the page is no wider than a small phone.
    fn is_accessible(&mut self) {
        for (scheme, width) in [("light", 1000), ("dark", 320)] {
            self.browser.step("media", json!({"colorScheme": scheme}));
            // So high that what was said lies over nothing: contrast is not judged of what lies below something.
            self.browser.step("viewport", json!({"width": width, "height": 1800}));
            let found = self.browser.step("axe", json!({}));
            assert!(found["passes"].as_u64().unwrap() > 10, "{found:#}");
            assert_eq!(
                (&found["violations"], &found["incomplete"]),
                (&json!([]), &json!([])),
                "{scheme}: {found:#}"
            );
            assert_eq!(self.browser.step("overflow", json!({})), json!(0), "at {width} pixels");
        }
    }

    /// `docs/passkeys.png`, anew with `PORTCULLIS_RENEW=1`.
    fn has_its_picture_taken(&mut self) {
        let picture = repository().join("docs/passkeys.png");
        if std::env::var_os("PORTCULLIS_RENEW").is_some() {
            self.browser.step("media", json!({"colorScheme": "light"}));
            self.browser.step("viewport", json!({"width": 900, "height": 600}));
            self.browser.step("screenshot", json!({"selector": "#signed-in", "path": picture}));
        }
        let size = std::fs::metadata(picture).unwrap().len();
        assert!((1..60_000).contains(&size), "{size} bytes");
    }

    /// What the browser has against the page: nothing, but that it was refused what it asked for.
    fn has_no_complaints(&mut self) {
        let complaints = self.browser.step("complaints", json!({}));
        let of_page = complaints.as_array().unwrap().iter().filter(|complaint| {
            !complaint.as_str().unwrap().starts_with("Failed to load resource: the server responded with")
        });
        assert_eq!(of_page.collect::<Vec<_>>(), Vec::<&Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_uses_passkeys_on_the_demos_page() {
    let mut page = Page::open().await;
    page.is_accessible();
    page.touches(true);
    page.click("Make a passkey");
    // It is offered where user names are filled in, and there is one to choose.
    page.hear("Signed in as alice");
    page.touches(false);
    page.is_accessible();

    page.click("Look at the account");
    page.hear("The account was read");
    page.fill("Amount", "17.50");
    page.click("Transfer");
    page.see("Confirm the transfer");
    page.is_accessible();
    // Whoever thinks better of it sends nothing.
    page.press("Escape");
    page.hear("it was cancelled");
    page.click("Transfer");
    page.see("Confirm the transfer");
    page.touches(true);
    page.click("Confirm with a passkey");
    page.hear("17.50 went to Robin.");
    let arrived = page.browser.step("text", json!({"selector": "pre"}));
    let arrived = arrived.as_str().unwrap();
    for line in ["POST /transfers", "x-portcullis-subject: alice", "x-portcullis-rule: transfer"] {
        assert!(arrived.lines().any(|arrived| arrived == line), "{arrived}");
    }
    assert!(arrived.ends_with(r#"{"to":"Robin","amount":"17.50"}"#), "{arrived}");
    page.is_accessible();
    page.has_its_picture_taken();

    // A second one, on another device: the first has one already.
    page.click("Make another passkey");
    page.click("Make a passkey");
    page.hear("This device has a passkey for you already.");
    page.touches(false);
    let key = page.browser.step("addAuthenticator", json!({"transport": "usb"}));
    page.click("Make another passkey");
    page.fill("Name", "Key");
    page.click("Make a passkey");
    page.hear("“Key” is made.");
    assert_eq!(page.labels(), json!(["My first passkey", "Key"]));
    page.click("Rename Key");
    page.fill("Name", "Security key");
    page.click("Rename");
    page.hear("It is called “Security key” now.");
    page.click("Remove Security key");
    page.click("Cancel");
    assert_eq!(page.labels(), json!(["My first passkey", "Security key"]));
    page.click("Remove Security key");
    page.click("Remove");
    page.hear("“Security key” is removed.");
    assert_eq!(page.labels(), json!(["My first passkey"]));
    // The browser was told, and the device has forgotten it.
    assert_eq!(page.browser.step("credentials", json!({"authenticator": key})), json!([]));
    page.browser.step("removeAuthenticator", json!({"authenticator": key}));

    page.click("Sign out");
    page.hear("Signed out.");
    assert_eq!(page.browser.step("cookies", json!({})), json!([]));
    page.touches(true);
    page.click("Sign in with a passkey");
    page.hear("Signed in as alice");
    page.has_no_complaints();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_will_do() {
    let mut page = Page::open().await;
    page.tab_to("User name");
    page.tab_to("Sign in with a passkey");
    page.tab_to("Who you are");
    page.tab_to("What to call the passkey");
    page.tab_to("Make a passkey");
    page.touches(true);
    page.press("Enter");
    page.hear("Signed in as alice");
    page.touches(false);
    page.is_at("Signed in as alice");
    page.tab_to("Sign out");
    page.tab_to("Transfer to");
    page.tab_to("Amount");
    page.tab_to("Transfer");
    page.press("Enter");
    page.see("Confirm the transfer");
    page.is_at("Confirm with a passkey");
    page.tab_to("Cancel");
    page.press("Space");
    page.hear("it was cancelled");
    page.is_at("Transfer");
    page.press("Enter");
    page.see("Confirm the transfer");
    page.touches(true);
    page.press("Enter");
    page.hear("25.00 went to Robin.");
    page.is_at("Transfer");
    page.tab_to("Look at the account");
    page.tab_to("The request that reached the API");
    page.tab_to("Rename My first passkey");
    page.press("Enter");
    page.see("Rename the passkey");
    page.is_at("Name");
    page.browser.step("type", json!({"text": "Phone"}));
    page.press("Enter");
    page.hear("now.");
    page.is_at("Your passkeys");
    page.tab_to("Rename Phone");
    page.tab_to("Remove Phone");
    page.press("Enter");
    page.see("Remove the passkey?");
    page.press("Enter");
    page.hear("“Phone” is removed.");
    page.is_at("Your passkeys");
    page.has_no_complaints();
}

/// The page runs nothing but its own files, and is in nobody's frame.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_confined() {
    let demo = Demo::start().await;
    let own = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; \
               base-uri 'none'; frame-ancestors 'none'";
    for (path, media_type) in [
        ("/passkeys", "text/html; charset=utf-8"),
        ("/passkeys/page.css", "text/css; charset=utf-8"),
        ("/passkeys/page.js", "text/javascript; charset=utf-8"),
        ("/passkeys/portcullis-passkeys.min.js", "text/javascript; charset=utf-8"),
    ] {
        let answer = demo.front.ask(Wire::Http2, &get(path).header("accept-encoding", "gzip")).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        for (name, value) in [
            ("content-type", media_type),
            ("content-security-policy", own),
            ("permissions-policy", "publickey-credentials-get=(self), publickey-credentials-create=(self)"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        // What a page loads for passkeys is small.
        assert!(answer.body.len() < 4_000, "{path}: {} bytes", answer.body.len());
    }
    // The library is, whoever asks for it.
    let plain = demo.front.ask(Wire::Http2, &get("/passkeys/portcullis-passkeys.min.js")).await;
    assert!(plain.header("content-encoding").is_none() && plain.body.len() < 4_000, "{}", plain.body.len());
    // Everything else is the API's, which tells what it got.
    let answer = demo.front.ask(Wire::Http2, &get("/passkeys/serve.mjs")).await;
    assert_eq!(answer.seen().path(), "/passkeys/serve.mjs");
}
