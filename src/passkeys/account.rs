//! A user's account: the passkeys, and what their sessions carry. One entry of the store, so that whatever changes it
//! changes it whole.

use serde_json::{Map, Value, json};

use crate::{crypto::sha256, text::base64url, time::Timestamp};

/// How many passkeys a user may have: browsers take no longer lists (`allowCredentials`, `excludeCredentials`).
pub const MOST_PASSKEYS: usize = 20;

/// How long a label may be, in bytes.
pub const LONGEST_LABEL: usize = 64;

/// How many passkeys may be removed within the time of one session: each leaves a revocation for so long.
const MOST_REMOVED: usize = MOST_PASSKEYS;

/// How many challenges are known to be used at once. Each was answered by a passkey of the account, within minutes.
const MOST_USED: usize = 64;

/// Of a challenge so much is kept: no two are alike in so many bytes.
const CHALLENGE_BYTES: usize = 16;

/// An account. Members that are not known here are kept as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Whom sessions are for (`sub`).
    pub subject: String,
    /// What authenticators show.
    pub name: String,
    /// What authenticators know the user by (WebAuthn Level 3, section 14.6.1): random, 32 bytes.
    pub handle: Vec<u8>,
    /// Roles of its sessions.
    pub roles: Vec<String>,
    /// Scopes of its sessions.
    pub scopes: Vec<String>,
    /// At most [`MOST_PASSKEYS`].
    pub passkeys: Vec<Passkey>,
    used: Vec<(String, Timestamp)>,
    removed: Vec<(Vec<u8>, Timestamp)>,
    others: Map<String, Value>,
}

/// A passkey: a credential record (WebAuthn Level 3, section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Passkey {
    /// Of the credential, 1 to 1023 bytes.
    pub id: Vec<u8>,
    /// As a COSE key.
    pub public_key: Vec<u8>,
    /// The signature counter, when it was last used.
    pub counter: u32,
    /// What its user calls it; may be empty.
    pub label: String,
    /// How browsers reach it, as they said.
    pub transports: Vec<Box<str>>,
    /// The user was verified when it was made (`uvInitialized`).
    pub user_verified: bool,
    /// It may be backed up; `None`: it is not known.
    pub backup_eligible: Option<bool>,
    /// It is backed up.
    pub backed_up: bool,
    /// The model of the authenticator, in hexadecimal; not proven by anybody.
    pub aaguid: String,
    /// The format of the attestation that came with it.
    pub attestation: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used; `None`: never.
    pub last_used_at: Option<Timestamp>,
    others: Map<String, Value>,
}

/// Why a passkey is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRemoved {
    /// There is none with this id.
    Unknown,
    /// So many were removed lately that no more revocations are kept.
    TooMany,
}

/// A challenge was answered before, or nobody can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsedChallenge {
    /// It was.
    Before,
    /// More were answered within their time than are kept.
    TooMany,
}

impl Account {
    /// A new one, without passkeys.
    pub fn new(subject: &str, name: &str, handle: Vec<u8>) -> Self {
        Self {
            subject: subject.to_owned(),
            name: name.to_owned(),
            handle,
            roles: Vec::new(),
            scopes: Vec::new(),
            passkeys: Vec::new(),
            used: Vec::new(),
            removed: Vec::new(),
            others: Map::new(),
        }
    }

    /// The name of the entry of whoever is `subject`: a digest, for subjects may be of any form and length.
    pub fn id_of(subject: &str) -> String {
        base64url::encode(&sha256(subject.as_bytes()))
    }

    /// The passkey with this id.
    pub fn passkey(&self, id: &[u8]) -> Option<&Passkey> {
        self.passkeys.iter().find(|passkey| passkey.id == id)
    }

    /// The same, to be changed.
    pub fn passkey_mut(&mut self, id: &[u8]) -> Option<&mut Passkey> {
        self.passkeys.iter_mut().find(|passkey| passkey.id == id)
    }

    /// Takes out the passkey with this id: which revocations nobody needs any more. `until`, its sessions are over; `None`:
    /// they are not revoked.
    ///
    /// # Errors
    /// It stays, if it is there.
    pub fn remove(
        &mut self,
        id: &[u8],
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<Vec<u8>>, NotRemoved> {
        let place = self.passkeys.iter().position(|passkey| passkey.id == id).ok_or(NotRemoved::Unknown)?;
        let mut over = Vec::new();
        self.removed.retain(|(removed, until)| {
            // One that was made anew under an id that was removed leaves one revocation.
            let is_new = removed == id;
            if *until < now && !is_new {
                over.push(removed.clone());
            }
            *until >= now && !is_new
        });
        if let Some(until) = until {
            if self.removed.len() >= MOST_REMOVED {
                return Err(NotRemoved::TooMany);
            }
            self.removed.push((id.to_vec(), until));
        }
        self.passkeys.remove(place);
        Ok(over)
    }

    /// Takes `challenge`, which is good until `until`, for used.
    ///
    /// # Errors
    /// It was used before, or it cannot be known.
    pub fn use_challenge(
        &mut self,
        challenge: &[u8],
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), UsedChallenge> {
        self.used.retain(|(_, until)| *until >= now);
        let digest = sha256(challenge);
        let digest = base64url::encode(digest.get(..CHALLENGE_BYTES).unwrap_or_default());
        if self.used.iter().any(|(used, _)| *used == digest) {
            return Err(UsedChallenge::Before);
        }
        if self.used.len() >= MOST_USED {
            return Err(UsedChallenge::TooMany);
        }
        self.used.push((digest, until));
        Ok(())
    }

    /// Reads an entry of the store.
    pub fn read(text: &[u8]) -> Option<Self> {
        let Value::Object(mut members) = serde_json::from_slice(text).ok()? else { return None };
        let passkeys = list(&mut members, "passkeys")?;
        let passkeys = passkeys.into_iter().map(Passkey::read).collect::<Option<Vec<_>>>()?;
        let used = list(&mut members, "usedChallenges")?.iter().map(used).collect::<Option<Vec<_>>>()?;
        let removed = list(&mut members, "removedPasskeys")?.iter().map(removed).collect::<Option<_>>()?;
        Some(Self {
            subject: text_of(&mut members, "subject")?,
            name: text_of(&mut members, "name")?,
            handle: bytes_of(&mut members, "handle")?,
            roles: names(&mut members, "roles")?,
            scopes: names(&mut members, "scopes")?,
            passkeys,
            used,
            removed,
            others: members,
        })
    }

    /// As an entry of the store.
    pub fn to_json(&self) -> String {
        let used = self
            .used
            .iter()
            .map(|(challenge, until)| json!({"challenge": challenge, "until": until.to_rfc3339()}));
        let mut members = Map::new();
        let mut set = |name: &str, value| members.insert(name.to_owned(), value);
        set("subject", self.subject.clone().into());
        set("name", self.name.clone().into());
        set("handle", base64url::encode(&self.handle).into());
        set("roles", self.roles.clone().into());
        set("scopes", self.scopes.clone().into());
        set("passkeys", self.passkeys.iter().map(Passkey::to_json).collect());
        set("usedChallenges", used.collect());
        if !self.removed.is_empty() {
            let removed = self.removed.iter();
            let removed =
                removed.map(|(id, until)| json!({"id": base64url::encode(id), "until": until.to_rfc3339()}));
            set("removedPasskeys", removed.collect());
        }
        members.extend(self.others.clone());
        Value::Object(members).to_string()
    }
}

impl Passkey {
    /// A new one, of which `id` and `public_key` are known.
    pub fn new(id: Vec<u8>, public_key: Vec<u8>, created_at: Timestamp) -> Self {
        Self {
            id,
            public_key,
            counter: 0,
            label: String::new(),
            transports: Vec::new(),
            user_verified: false,
            backup_eligible: None,
            backed_up: false,
            aaguid: String::new(),
            attestation: String::new(),
            created_at,
            last_used_at: None,
            others: Map::new(),
        }
    }

    /// Whether its key never leaves the authenticator: it cannot be backed up.
    pub fn is_in_hardware(&self) -> bool {
        self.backup_eligible == Some(false)
    }

    /// What its user is told of it.
    pub fn told(&self) -> Value {
        let mut told = json!({
            "id": base64url::encode(&self.id),
            "label": self.label,
            "createdAt": self.created_at.to_rfc3339(),
            "transports": self.transports,
            "backedUp": self.backed_up,
            "userVerified": self.user_verified,
        });
        if let (Value::Object(members), Some(last)) = (&mut told, self.last_used_at) {
            members.insert("lastUsedAt".to_owned(), last.to_rfc3339().into());
        }
        told
    }

    fn read(value: Value) -> Option<Self> {
        let Value::Object(mut members) = value else { return None };
        let members = &mut members;
        Some(Self {
            id: bytes_of(members, "id").filter(|id| (1..=1023).contains(&id.len()))?,
            public_key: bytes_of(members, "publicKey")?,
            counter: members.remove("signCount")?.as_u64()?.try_into().ok()?,
            label: text_of(members, "label")?,
            transports: names(members, "transports")?.into_iter().map(Into::into).collect(),
            user_verified: members.remove("userVerified")?.as_bool()?,
            backup_eligible: match members.remove("backupEligible") {
                None | Some(Value::Null) => None,
                Some(value) => Some(value.as_bool()?),
            },
            backed_up: members.remove("backedUp")?.as_bool()?,
            aaguid: text_of(members, "aaguid")?,
            attestation: text_of(members, "attestation")?,
            created_at: time(&members.remove("createdAt")?)?,
            last_used_at: match members.remove("lastUsedAt") {
                None | Some(Value::Null) => None,
                Some(value) => Some(time(&value)?),
            },
            others: std::mem::take(members),
        })
    }

    fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut set = |name: &str, value| members.insert(name.to_owned(), value);
        set("id", base64url::encode(&self.id).into());
        set("publicKey", base64url::encode(&self.public_key).into());
        set("signCount", self.counter.into());
        set("label", self.label.clone().into());
        set("transports", json!(self.transports));
        set("userVerified", self.user_verified.into());
        set("backupEligible", self.backup_eligible.into());
        set("backedUp", self.backed_up.into());
        set("aaguid", self.aaguid.clone().into());
        set("attestation", self.attestation.clone().into());
        set("createdAt", self.created_at.to_rfc3339().into());
        if let Some(last) = self.last_used_at {
            set("lastUsedAt", last.to_rfc3339().into());
        }
        members.extend(self.others.clone());
        Value::Object(members)
    }
}

fn used(value: &Value) -> Option<(String, Timestamp)> {
    Some((value.get("challenge")?.as_str()?.to_owned(), time(value.get("until")?)?))
}

fn removed(value: &Value) -> Option<(Vec<u8>, Timestamp)> {
    Some((base64url::decode(value.get("id")?.as_str()?.as_bytes())?, time(value.get("until")?)?))
}

fn time(value: &Value) -> Option<Timestamp> {
    Timestamp::from_rfc3339(value.as_str()?).ok()
}

fn text_of(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.remove(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn bytes_of(members: &mut Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    base64url::decode(text_of(members, name)?.as_bytes())
}

/// Empty where it is left out.
fn list(members: &mut Map<String, Value>, name: &str) -> Option<Vec<Value>> {
    match members.remove(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(items)) => Some(items),
        Some(_) => None,
    }
}

fn names(members: &mut Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let items = list(members, name)?.into_iter();
    items
        .map(|item| match item {
            Value::String(name) => Some(name),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn account() -> Account {
        let mut account = Account::new("alice", "Alice", vec![7; 32]);
        account.roles = vec!["editor".to_owned()];
        let mut passkey = Passkey::new(vec![1, 2, 3], vec![4, 5], NOW);
        passkey.transports = vec!["internal".into()];
        passkey.backup_eligible = Some(true);
        account.passkeys = vec![passkey, Passkey::new(vec![9], vec![4], NOW)];
        account
    }

    /// Revocations are left behind as long as they are needed, and no more of them than are counted.
    #[test]
    fn what_is_removed_is_remembered_until_its_sessions_are_over() {
        let mut account = account();
        let later = |secs| NOW.saturating_add(Duration::from_secs(secs));
        assert_eq!(account.remove(&[5], Some(later(9)), NOW), Err(NotRemoved::Unknown));
        assert_eq!(account.remove(&[9], None, NOW), Ok(vec![]));
        assert!(!account.to_json().contains("removedPasskeys"));
        assert_eq!(account.remove(&[9], None, NOW), Err(NotRemoved::Unknown));
        let make =
            |account: &mut Account, id: u8| account.passkeys.push(Passkey::new(vec![id], vec![4], NOW));
        for id in 0..20 {
            make(&mut account, id);
            assert_eq!(account.remove(&[id], Some(later(9)), NOW), Ok(vec![]));
        }
        make(&mut account, 20);
        let before = account.clone();
        assert_eq!(account.clone().remove(&[20], Some(later(18)), later(9)), Err(NotRemoved::TooMany));
        assert_eq!(Account::read(account.to_json().as_bytes()), Some(before));
        // All of those that are over.
        let over: Vec<_> = (0..20).map(|id| vec![id]).collect();
        assert_eq!(account.remove(&[20], Some(later(19)), later(10)), Ok(over));
        // One that was made anew under its name leaves one revocation.
        make(&mut account, 20);
        assert_eq!(account.remove(&[20], Some(later(20)), later(11)), Ok(vec![]));
        assert_eq!(account.removed, [(vec![20], later(20))]);
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let mut account = account();
        account.passkeys[0].last_used_at = Some(NOW);
        account.use_challenge(b"c", NOW, NOW).unwrap();
        account.remove(&[9], Some(NOW), NOW).unwrap();
        let text = account.to_json();
        assert_eq!(Account::read(text.as_bytes()), Some(account.clone()));
        // What another version has put there stays.
        let more = text.replacen('{', r#"{"note":{"a":1},"#, 1).replacen(
            r#""signCount""#,
            r#""x":[],"signCount""#,
            1,
        );
        let read = Account::read(more.as_bytes()).unwrap();
        let written: Value = serde_json::from_str(&read.to_json()).unwrap();
        assert_eq!((&written["note"], &written["passkeys"][0]["x"]), (&json!({"a": 1}), &json!([])));
        assert_eq!(Account::read(read.to_json().as_bytes()), Some(read));
        for (there, instead) in [
            (r#""alice""#, "7"),
            (r#""handle":"BwcH"#, r#""handle":"*wcH"#),
            (r#"["editor"]"#, "[1]"),
            (r#""signCount":0"#, r#""signCount":-1"#),
            (r#""signCount":0"#, r#""signCount":4294967296"#),
            (r#""id":"AQID""#, r#""id":"""#),
            (r#""userVerified":false"#, r#""userVerified":0"#),
            (r#""backupEligible":true"#, r#""backupEligible":"yes""#),
            (r#""usedChallenges":["#, r#""usedChallenges":[1,"#),
            (r#""removedPasskeys":["#, r#""removedPasskeys":[1,"#),
        ] {
            let broken = text.replacen(there, instead, 1);
            assert_ne!(broken, text, "{there}");
            assert_eq!(Account::read(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn what_users_are_told_holds_no_key() {
        let told = account().passkeys[0].told();
        let mut names: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["backedUp", "createdAt", "id", "label", "transports", "userVerified"]);
    }

    #[test]
    fn a_challenge_is_answered_once() {
        let mut account = account();
        let later = |secs| NOW.saturating_add(Duration::from_secs(secs));
        assert_eq!(account.use_challenge(b"one", later(300), NOW), Ok(()));
        assert_eq!(account.use_challenge(b"one", later(300), NOW), Err(UsedChallenge::Before));
        assert_eq!(account.use_challenge(b"one", later(300), later(300)), Err(UsedChallenge::Before));
        assert_eq!(account.use_challenge(b"two", later(300), NOW), Ok(()));
        for n in 2..MOST_USED {
            assert_eq!(account.use_challenge(n.to_string().as_bytes(), later(300), NOW), Ok(()));
        }
        assert_eq!(account.use_challenge(b"more", later(300), later(300)), Err(UsedChallenge::TooMany));
        assert_eq!(account.use_challenge(b"one", later(300), later(300)), Err(UsedChallenge::Before));
        // Those that nobody would take any more need no room.
        assert_eq!(account.use_challenge(b"more", later(900), later(301)), Ok(()));
        assert_eq!(account.used.len(), 1);
    }

    #[test]
    fn accounts_have_names_of_one_form() {
        let (one, other) = (Account::id_of("alice"), Account::id_of("../alice\n"));
        assert_ne!(one, other);
        for id in [one, other] {
            assert!(
                id.len() == 43 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
                "{id}"
            );
        }
    }
}
