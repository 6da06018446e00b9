//! A signed statement of who is calling, for upstreams that are to believe it whatever lies in between: a JWT.
//!
//! It says what was verified, in the gateway's own words, whatever the credential was. Which requests carry it, and how
//! often one is used, is decided elsewhere.

use std::{rc::Rc, time::Duration};

use serde_json::{Map, Value, json};

use crate::{identity::Principal, jose::SigningKeys, time::Timestamp};

/// `typ` of its header: no other token of ours is taken for one, nor is it for another.
pub const TYPE: &str = "identity+jwt";

/// Statements, ready to be made.
#[derive(Clone, Debug)]
pub struct Statements {
    /// `iss`.
    pub issuer: String,
    /// `aud`: whoever is to believe them.
    pub audience: String,
    /// How long one is good, in whole seconds; never zero.
    pub lifetime: Duration,
    /// What they are signed with.
    pub keys: Rc<SigningKeys>,
}

/// Whom a statement speaks of.
#[derive(Clone, Copy, Debug)]
pub struct Callers<'a> {
    /// Whose request it is.
    pub principal: &'a Principal,
    /// Who acts for the principal; `None`: nobody else.
    pub actor: Option<&'a Principal>,
    /// When the first of their credentials has run out; the end of time where nothing says when.
    pub not_after: Timestamp,
}

/// One statement, which serves many requests of the same callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The JWT.
    pub text: Rc<str>,
    /// Until when it is given to requests: half its life.
    pub fresh_until: Timestamp,
    /// When it has run out: no later than their credentials.
    pub expires: Timestamp,
}

impl Callers<'_> {
    /// All that a statement says of them, in few bytes: equal where it says the same. No name holds a control character.
    pub fn key(&self) -> String {
        let mut key = String::with_capacity(128);
        for principal in [Some(self.principal), self.actor].into_iter().flatten() {
            let Principal { subject, kind, authority, scopes, roles, .. } = principal;
            for text in [kind.as_str(), authority, subject] {
                key.extend([text, "\u{1f}"]);
            }
            for names in [scopes, roles] {
                names.iter().for_each(|name| key.extend([name, "\u{1f}"]));
                key.push('\u{1e}');
            }
        }
        key
    }
}

impl Statements {
    /// What is stated of `callers` at `now`; `None` when no signature can be made.
    pub fn make(&self, callers: &Callers<'_>, now: Timestamp) -> Option<Statement> {
        let expires =
            Timestamp::from_secs(now.saturating_add(self.lifetime).min(callers.not_after).as_secs());
        let half = expires.since(now).checked_div(2)?;
        let text = self.keys.sign(TYPE, self.claims(callers, now, expires))?;
        Some(Statement { text: text.into(), fresh_until: now.saturating_add(half), expires })
    }

    fn claims(&self, callers: &Callers<'_>, now: Timestamp, expires: Timestamp) -> Map<String, Value> {
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), self.issuer.as_str().into());
        claims.insert("aud".to_owned(), self.audience.as_str().into());
        claims.insert("iat".to_owned(), now.as_secs().into());
        claims.insert("exp".to_owned(), expires.as_secs().into());
        describe(&mut claims, callers.principal);
        if let Some(actor) = callers.actor {
            // RFC 8693 section 4.1.
            let mut act = Map::new();
            describe(&mut act, actor);
            claims.insert("act".to_owned(), act.into());
        }
        claims
    }
}

impl Statement {
    /// Whether a request of such callers is given it at `now`. `lifetime` is the longest that one lives.
    pub fn serves(&self, callers: &Callers<'_>, now: Timestamp, lifetime: Duration) -> bool {
        self.expires <= callers.not_after && self.fresh_until.lies_ahead(now, lifetime)
    }
}

/// Empty lists are left out, as is an authority that an API key has none of.
fn describe(claims: &mut Map<String, Value>, principal: &Principal) {
    let Principal { subject, kind, authority, scopes, roles, .. } = principal;
    claims.insert("sub".to_owned(), (&**subject).into());
    claims.insert("kind".to_owned(), kind.as_str().into());
    if !authority.is_empty() {
        claims.insert("authority".to_owned(), (&**authority).into());
    }
    // RFC 8693 section 4.2.
    if !scopes.is_empty() {
        claims.insert("scope".to_owned(), scopes.join(" ").into());
    }
    if !roles.is_empty() {
        claims.insert("roles".to_owned(), json!(roles));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        crypto::{Algorithm, NoHostCrypto, new_private_jwk},
        identity::PrincipalKind,
        jose::{CompactToken, KeySet, OwnKey},
        text::base64url,
    };

    const FOREVER: Timestamp = Timestamp::from_nanos(u64::MAX);

    fn statements() -> Statements {
        let key = OwnKey::from_jwk(&new_private_jwk(Algorithm::Es256).unwrap()).unwrap();
        Statements {
            issuer: "https://api.example".into(),
            audience: "orders".into(),
            lifetime: Duration::from_secs(60),
            keys: Rc::new(SigningKeys::new(vec![key]).unwrap()),
        }
    }

    fn principal(kind: PrincipalKind, authority: &str, scopes: &[&str], roles: &[&str]) -> Principal {
        let boxed = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        Principal {
            authority: authority.into(),
            scopes: boxed(scopes),
            roles: boxed(roles),
            credential_id: "secret-id".into(),
            ..Principal::alice(kind, &json!({"email": "a@example"}))
        }
    }

    #[test]
    fn what_is_stated() {
        let statements = statements();
        let (keys, _) = KeySet::from_json(statements.keys.set()).unwrap();
        let token = principal(PrincipalKind::Jwt, "corp", &["a", "b"], &["admin"]);
        let key = principal(PrincipalKind::ApiKey, "", &[], &[]);
        let shown = principal(PrincipalKind::ClientCertificate, "uri", &[], &["svc"]);
        let base = |more: Value| {
            let mut claims = json!({"iss": "https://api.example", "aud": "orders", "iat": 1000, "exp": 1060});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            claims
        };
        let of_token =
            json!({"sub": "alice", "kind": "jwt", "authority": "corp", "scope": "a b", "roles": ["admin"]});
        let acted = {
            let mut acted = of_token.clone();
            acted["act"] =
                json!({"sub": "alice", "kind": "client-certificate", "authority": "uri", "roles": ["svc"]});
            acted
        };
        for (principal, actor, expected) in [
            (&token, None, base(of_token)),
            (&key, None, base(json!({"sub": "alice", "kind": "api-key"}))),
            (&token, Some(&shown), base(acted)),
        ] {
            let callers = Callers { principal, actor, not_after: FOREVER };
            let statement = statements.make(&callers, Timestamp::from_secs(1000)).unwrap();
            let read = CompactToken::parse(&statement.text, 8192).unwrap();
            assert_eq!((read.typ(), keys.verify(&read, &NoHostCrypto)), (Some("identity+jwt"), Ok(())));
            let payload = base64url::decode(statement.text.split('.').nth(1).unwrap().as_bytes()).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), expected);
        }
    }

    #[test]
    fn one_serves_until_half_its_life_is_over() {
        let statements = statements();
        let alice = principal(PrincipalKind::Jwt, "corp", &[], &[]);
        let of = |not_after| Callers { principal: &alice, actor: None, not_after };
        let (secs, nanos) = (Timestamp::from_secs, Timestamp::from_nanos);
        let lifetime = statements.lifetime;
        let statement = statements.make(&of(FOREVER), secs(1000)).unwrap();
        assert_eq!(statement.expires, secs(1060));
        for (not_after, now, expected) in [
            (FOREVER, secs(1000), true),
            (FOREVER, nanos(1_029_999_999_999), true),
            (FOREVER, secs(1030), false),
            // The clock was set back.
            (FOREVER, secs(990), true),
            (FOREVER, secs(960), false),
            // It would outlive the credential.
            (secs(1060), secs(1001), true),
            (secs(1059), secs(1001), false),
        ] {
            assert_eq!(statement.serves(&of(not_after), now, lifetime), expected, "{not_after:?} {now:?}");
        }
        // No statement outlives the credential.
        let short = statements.make(&of(nanos(1_010_900_000_000)), secs(1000)).unwrap();
        assert_eq!((short.expires, short.fresh_until), (secs(1010), secs(1005)));
    }

    #[test]
    fn equal_keys_say_the_same() {
        let jwt = |authority: &str, scopes: &[&str], roles: &[&str]| {
            principal(PrincipalKind::Jwt, authority, scopes, roles)
        };
        let bob = Principal { subject: "bob".into(), ..jwt("corp", &[], &[]) };
        let all = [
            jwt("corp", &[], &[]),
            jwt("other", &[], &[]),
            jwt("corp", &["a"], &[]),
            jwt("corp", &["a", "b"], &[]),
            jwt("corp", &["a"], &["b"]),
            jwt("corp", &[], &["a", "b"]),
            jwt("corp", &[], &["a b"]),
            principal(PrincipalKind::ApiKey, "corp", &[], &[]),
            bob,
        ];
        let mut keys = std::collections::HashSet::new();
        for principal in &all {
            for actor in [None].into_iter().chain(all.iter().map(Some)) {
                assert!(keys.insert(Callers { principal, actor, not_after: FOREVER }.key()));
            }
        }
        let again = Principal { credential_id: "other".into(), ..all[0].clone() };
        assert!(!keys.insert(Callers { principal: &again, actor: None, not_after: secs(1) }.key()));
        fn secs(secs: u64) -> Timestamp {
            Timestamp::from_secs(secs)
        }
    }
}
