mod fields;
mod requests;
mod vectors;

use std::{rc::Rc, time::Duration};

use super::*;
use crate::crypto::NoHostCrypto;

/// A request of tests, as it came.
#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    authority: &'static str,
    target: String,
    secure: bool,
    headers: Vec<(String, String)>,
}

impl Request {
    fn new(method: &'static str, authority: &'static str, target: &str) -> Self {
        Self { method, authority, target: target.to_owned(), secure: true, headers: Vec::new() }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(own, _)| own != name);
        self
    }

    /// With the signature `label` of these parameters.
    fn signed(self, label: &str, list: &str, signature: &str) -> Self {
        self.header(INPUT, &format!("{label}={list}")).header(SIGNATURE, &format!("{label}=:{signature}:"))
    }

    fn head(&self) -> RequestHead<'_> {
        let headers = self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead { headers: headers.collect(), ..RequestHead::default() }
    }

    fn presented<'m>(&'m self, head: &'m RequestHead<'m>) -> Presented<'m> {
        let authority = self.authority.as_bytes();
        Presented { head, method: self.method, authority, target: &self.target, secure: self.secure }
    }

    /// Whose it is, with `body`, if it is anybody's at `now`.
    fn of(&self, signers: &[Rc<SignerSpec>], body: &[u8], now: u64) -> Result<Principal, SignatureError> {
        let head = self.head();
        let sent = Sent::of(&head)?;
        let now = Timestamp::from_secs(now);
        sent.verify(signers, &self.presented(&head), &NoHostCrypto, now)?.principal(body)
    }

    /// What a signature of these parameters is made of.
    fn base(&self, list: &str) -> Result<String, SignatureError> {
        let head = self.head();
        let field = format!("a={list}");
        let member = fields_of(&field).remove(0);
        let Entry::List(components) = &member.entry else { panic!("{list}") };
        self.presented(&head).base(components, member.text)
    }
}

fn fields_of(text: &str) -> Vec<Member<'_>> {
    super::fields::dictionary(text).unwrap_or_else(|| panic!("{text}"))
}

/// One that asks for nothing but a signature of the last five minutes.
fn signer(name: &str, keys: Vec<SignerKey>) -> SignerSpec {
    SignerSpec {
        name: name.to_owned(),
        keys,
        components: vec![],
        label: None,
        tag: None,
        max_age: Duration::from_secs(300),
        clock_skew: Duration::from_secs(30),
        once: false,
        max_body_bytes: 1024,
        forward: true,
        scopes: vec!["orders:write".to_owned()],
        roles: vec![],
        tier: None,
        locations: HEADERS.map(|name| Location::Header { name: name.to_owned(), prefix: String::new() }),
    }
}
