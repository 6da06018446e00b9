//! One session: what it says, signed.

use std::fmt;

use serde_json::{Map, Value};

use super::{MAX_SIZE, Sessions, TYPE};
use crate::{text::base64url, time::Timestamp};

/// What a session says of a user who has just signed in.
#[derive(Clone, Debug)]
pub struct Session<'a> {
    /// `sub`, never empty.
    pub subject: &'a str,
    /// What people call the user (`name`). `None`: not told.
    pub name: Option<&'a str>,
    /// By which means the user signed in (`amr`, RFC 8176). Empty: not told.
    pub amr: &'a [&'a str],
    /// How strong that was (`acr`). `None`: not told.
    pub acr: Option<&'a str>,
    /// When that was (`auth_time`).
    pub auth_time: Timestamp,
    /// The id of the passkey by which it was (`credential`), so that what was made of one that is removed can be told.
    /// `None`: by none.
    pub credential: Option<&'a str>,
    /// What it may (`scope`). Empty: no scopes.
    pub scopes: &'a [Box<str>],
    /// Which roles the user has (`roles`). Empty: none.
    pub roles: &'a [Box<str>],
    /// To what it is bound (`cnf`, RFC 7800). `None`: whoever has it may use it.
    pub confirmation: Option<&'a Value>,
    /// The session that it goes on with (`sid`). `None`: a new one.
    pub sid: Option<&'a str>,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotIssued {
    /// The host has no randomness.
    Randomness,
    /// No signature could be made.
    Signature,
    /// It is longer than is read, or than browsers keep.
    TooLong,
}

impl Sessions {
    /// A session from `now` on, as a signed JWT. `random` gives bytes that are never the same twice.
    ///
    /// # Errors
    /// There is none then; whoever asked is to be refused.
    pub fn issue(
        &self,
        session: &Session<'_>,
        now: Timestamp,
        random: &dyn Fn() -> Option<[u8; 16]>,
    ) -> Result<String, NotIssued> {
        let id = || random().map(|bytes| base64url::encode(&bytes)).ok_or(NotIssued::Randomness);
        let sid = session.sid.map_or_else(id, |sid| Ok(sid.to_owned()))?;
        let claims = self.claims(session, now, &id()?, &sid);
        let token = self.keys.sign(TYPE, claims).ok_or(NotIssued::Signature)?;
        let fits = token.len() <= MAX_SIZE && self.cookie(&token).is_none_or(|cookie| cookie.is_kept());
        if fits { Ok(token) } else { Err(NotIssued::TooLong) }
    }

    /// RFC 9068 section 2.2. The client that had the user sign in is the gateway itself, so `client_id` is its name.
    fn claims(&self, session: &Session<'_>, now: Timestamp, jti: &str, sid: &str) -> Map<String, Value> {
        let issuer = self.spec.issuer.as_str();
        let audiences = &self.spec.audiences;
        let text = |value: &str| Some(Value::from(value));
        let unless_empty = |text: String| Some(text).filter(|text| !text.is_empty()).map(Value::from);
        let list = |values: &mut dyn Iterator<Item = &str>| {
            let values: Vec<Value> = values.map(Value::from).collect();
            (!values.is_empty()).then(|| Value::from(values))
        };
        let claims = [
            ("iss", text(issuer)),
            ("sub", text(session.subject)),
            // RFC 7519 section 4.1.3: one alone stands as text.
            (
                "aud",
                match audiences.as_slice() {
                    [one] => text(one),
                    several => Some(several.into()),
                },
            ),
            ("client_id", text(issuer)),
            ("iat", Some(now.as_secs().into())),
            ("exp", Some(now.saturating_add(self.spec.lifetime).as_secs().into())),
            ("jti", text(jti)),
            ("sid", text(sid)),
            ("auth_time", Some(session.auth_time.as_secs().into())),
            ("acr", session.acr.and_then(text)),
            ("amr", list(&mut session.amr.iter().copied())),
            ("name", session.name.and_then(text)),
            ("credential", session.credential.and_then(text)),
            ("scope", unless_empty(session.scopes.join(" "))),
            ("roles", list(&mut session.roles.iter().map(|role| &**role))),
            ("cnf", session.confirmation.cloned()),
        ];
        claims.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl fmt::Display for NotIssued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Randomness => f.write_str("there is no randomness to make a session with"),
            Self::Signature => f.write_str("the session could not be signed"),
            Self::TooLong => f.write_str("the session is longer than is read, or than browsers keep"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc, time::Duration};

    use serde_json::json;

    use super::*;
    use crate::{
        cross_site::Origins,
        crypto::{Algorithm, NoHostCrypto, new_private_jwk},
        jose::{CompactToken, KeySet, OWN_ALGORITHMS, OwnKey, SigningKeys},
        session::{CookieSpec, SameSite, SessionsSpec},
        url::Url,
    };

    fn sessions(algorithm: Algorithm, audiences: &[&str]) -> Sessions {
        let key = OwnKey::from_jwk(&new_private_jwk(algorithm).unwrap()).unwrap();
        let spec = SessionsSpec {
            name: "sessions".into(),
            issuer: Url::parse("https://api.example").unwrap(),
            audiences: audiences.iter().map(|one| (*one).to_owned()).collect(),
            lifetime: Duration::from_secs(900),
            cookie: None,
        };
        Sessions::new(spec, Rc::new(SigningKeys::new(vec![key]).unwrap()))
    }

    fn alice<'a>() -> Session<'a> {
        Session {
            subject: "alice",
            name: None,
            amr: &[],
            acr: None,
            auth_time: Timestamp::from_secs(1000),
            credential: None,
            scopes: &[],
            roles: &[],
            confirmation: None,
            sid: None,
        }
    }

    fn counted() -> impl Fn() -> Option<[u8; 16]> {
        let count = Cell::new(0_u8);
        move || {
            count.set(count.get().wrapping_add(1));
            Some([count.get(); 16])
        }
    }

    #[test]
    fn what_a_session_says() {
        let (scopes, roles) = (["a".into(), "b:c".into()], ["admin".into()]);
        let cnf = json!({"jkt": "x"});
        let full = Session {
            name: Some("Alice \"A\" \u{e9}"),
            amr: &["pop", "user"],
            acr: Some("phr"),
            credential: Some("Y3JlZA"),
            scopes: &scopes,
            roles: &roles,
            confirmation: Some(&cnf),
            sid: Some("earlier"),
            ..alice()
        };
        let (one, two) = ("AQEBAQEBAQEBAQEBAQEBAQ", "AgICAgICAgICAgICAgICAg");
        let rows = [
            (
                &["api"][..],
                alice(),
                json!({"iss": "https://api.example", "sub": "alice", "aud": "api",
                "client_id": "https://api.example", "iat": 1000, "exp": 1900, "jti": two, "sid": one,
                "auth_time": 1000}),
            ),
            (
                &["api", "other"],
                full,
                json!({"iss": "https://api.example", "sub": "alice", "aud": ["api", "other"],
                "client_id": "https://api.example", "iat": 1000, "exp": 1900, "jti": one, "sid": "earlier",
                "auth_time": 1000, "acr": "phr", "amr": ["pop", "user"], "name": "Alice \"A\" \u{e9}",
                "credential": "Y3JlZA", "scope": "a b:c", "roles": ["admin"], "cnf": {"jkt": "x"}}),
            ),
        ];
        for algorithm in OWN_ALGORITHMS {
            for (audiences, session, expected) in &rows {
                let sessions = sessions(algorithm, audiences);
                // Fractions of a second are cut off.
                let now = Timestamp::from_nanos(1_000_900_000_000);
                let text = sessions.issue(session, now, &counted()).unwrap();
                let token = CompactToken::parse(&text, MAX_SIZE).unwrap();
                assert_eq!((token.algorithm(), token.typ()), (algorithm, Some("at+jwt")));
                let (keys, _) = KeySet::from_json(sessions.keys.set()).unwrap();
                assert_eq!(keys.verify(&token, &NoHostCrypto), Ok(()));
                let payload = base64url::decode(text.split('.').nth(1).unwrap().as_bytes()).unwrap();
                assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), *expected);
            }
        }
    }

    #[test]
    fn what_cannot_be_issued() {
        let sessions = sessions(Algorithm::EdDsa, &["api"]);
        let issue = |session: &Session<'_>, random: &dyn Fn() -> Option<[u8; 16]>| {
            sessions.issue(session, Timestamp::from_secs(1000), random).map(|token| token.len())
        };
        assert_eq!(issue(&alice(), &|| None), Err(NotIssued::Randomness));
        // A session that goes on has an id, and its token wants one all the same.
        assert_eq!(issue(&Session { sid: Some("s"), ..alice() }, &|| None), Err(NotIssued::Randomness));
        let of = |len: usize| {
            let roles = ["r".repeat(len).into()];
            issue(&Session { roles: &roles, ..alice() }, &counted())
        };
        // Three bytes are four characters.
        let longest = (5000..6000).take_while(|len| of(*len).is_ok()).last().unwrap();
        assert!((MAX_SIZE - 1..=MAX_SIZE).contains(&of(longest).unwrap()));
        assert_eq!(of(longest + 1), Err(NotIssued::TooLong));
        // Of a cookie name and value are 4096 bytes at most (RFC 6265 section 6.1).
        let cookie =
            CookieSpec { name: "__Host-s".into(), same_site: SameSite::Lax, origins: Origins::default() };
        let in_cookie =
            Sessions { spec: SessionsSpec { cookie: Some(cookie), ..sessions.spec.clone() }, ..sessions };
        let of = |len: usize| {
            let roles = ["r".repeat(len).into()];
            let session = Session { roles: &roles, ..alice() };
            in_cookie.issue(&session, Timestamp::from_secs(1000), &counted()).map(|token| token.len())
        };
        let longest = (2000..4000).take_while(|len| of(*len).is_ok()).last().unwrap();
        assert!((4094..=4096).contains(&(of(longest).unwrap() + "__Host-s".len())));
        assert_eq!(of(longest + 1), Err(NotIssued::TooLong));
    }
}
