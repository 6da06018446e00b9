//! The keys of a policy, of which there may be hundreds of thousands: each a record of fixed size, with what many of
//! them have in common kept once.

use std::{fmt, hash::BuildHasher as _, rc::Rc};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::{ApiKeySpec, Level, Restrictions};
use crate::{crypto::constant_time_eq, time::Timestamp};

/// Keys in the order of the policy, found by digest.
#[derive(Clone, Default)]
pub struct KeyTable {
    records: Vec<Record>,
    /// Ids and clients of all records, one after another.
    texts: String,
    profiles: Vec<Profile>,
    /// Places in `profiles`.
    known: HashMap<Rc<Granted>, u32>,
    /// Places in `records`.
    by_digest: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// What one key has for itself.
#[derive(Clone, Debug)]
struct Record {
    digest: [u8; 32],
    /// [`ALWAYS`] where nothing is said.
    not_before: Timestamp,
    /// [`NEVER`] where nothing is said.
    expires_at: Timestamp,
    /// Where its id begins, which its client follows.
    texts: u32,
    profile: u32,
    id_length: u16,
    /// Zero where the client is called as the key is.
    client_length: u16,
    disabled: bool,
    revoked: bool,
}

const ALWAYS: Timestamp = Timestamp::from_nanos(0);
const NEVER: Timestamp = Timestamp::from_nanos(u64::MAX);

#[derive(Clone, Debug)]
struct Profile {
    granted: Rc<Granted>,
    /// The first key that has it.
    first: u32,
}

/// What keys may do, and where: most often the same for many.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Granted {
    level: Option<Level>,
    scopes: Vec<String>,
    roles: Vec<String>,
    tier: Option<String>,
    own_requests: Vec<(String, u32)>,
    restrictions: Restrictions,
}

impl KeyTable {
    /// With room for so many keys.
    pub(crate) fn with_capacity(keys: usize) -> Self {
        Self {
            records: Vec::with_capacity(keys),
            by_digest: HashTable::with_capacity(keys),
            ..Self::default()
        }
    }

    /// Adds a key. `None`: there is no room for it, which no policy comes to that can be read.
    #[inline(never)]
    pub(crate) fn add(&mut self, key: ApiKeySpec) -> Option<()> {
        let place = u32::try_from(self.records.len()).ok()?;
        let texts = u32::try_from(self.texts.len()).ok()?;
        let client = if key.client == key.id { "" } else { &key.client };
        let (id_length, client_length) = (key.id.len().try_into().ok()?, client.len().try_into().ok()?);
        self.texts.push_str(&key.id);
        self.texts.push_str(client);
        let granted = Granted {
            level: key.level,
            scopes: key.scopes,
            roles: key.roles,
            tier: key.tier,
            own_requests: key.own_requests,
            restrictions: key.restrictions,
        };
        let profile = match self.known.get(&granted) {
            Some(profile) => *profile,
            None => {
                let (profile, granted) = (u32::try_from(self.profiles.len()).ok()?, Rc::new(granted));
                self.known.insert(Rc::clone(&granted), profile);
                self.profiles.push(Profile { granted, first: place });
                profile
            }
        };
        self.records.push(Record {
            digest: key.digest,
            not_before: key.not_before.unwrap_or(ALWAYS),
            expires_at: key.expires_at.unwrap_or(NEVER),
            texts,
            profile,
            id_length,
            client_length,
            disabled: key.disabled,
            revoked: key.revoked,
        });
        let Self { records, hasher, .. } = self;
        let rehash = |place: &u32| record(records, *place).map_or(0, |record| hasher.hash_one(record.digest));
        self.by_digest.insert_unique(hasher.hash_one(key.digest), place, rehash);
        Some(())
    }

    /// The place of the key with this digest. Digests are compared in constant time.
    pub(crate) fn place_of(&self, digest: &[u8; 32]) -> Option<u32> {
        let same = |place: &u32| {
            record(&self.records, *place).is_some_and(|record| constant_time_eq(&record.digest, digest))
        };
        self.by_digest.find(self.hasher.hash_one(digest), same).copied()
    }

    /// The key at a place, as it was added.
    #[inline(never)]
    pub(crate) fn get(&self, place: u32) -> Option<ApiKeySpec> {
        let record = record(&self.records, place)?;
        let Granted { level, scopes, roles, tier, own_requests, restrictions } =
            &*self.profiles.get(usize::try_from(record.profile).ok()?)?.granted;
        let id_at = usize::try_from(record.texts).ok()?;
        let client_at = id_at.checked_add(record.id_length.into())?;
        let id = self.texts.get(id_at..client_at)?;
        let client = match record.client_length {
            0 => id,
            length => self.texts.get(client_at..client_at.checked_add(length.into())?)?,
        };
        Some(ApiKeySpec {
            id: id.to_owned(),
            client: client.to_owned(),
            digest: record.digest,
            level: *level,
            scopes: scopes.clone(),
            roles: roles.clone(),
            tier: tier.clone(),
            own_requests: own_requests.clone(),
            not_before: (record.not_before != ALWAYS).then_some(record.not_before),
            expires_at: (record.expires_at != NEVER).then_some(record.expires_at),
            disabled: record.disabled,
            revoked: record.revoked,
            restrictions: restrictions.clone(),
        })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// All keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = ApiKeySpec> {
        (0..).map_while(|place| self.get(place))
    }

    /// One key of each kind: the others differ from it in who has them and when they are good, and in nothing else.
    pub(crate) fn of_each_kind(&self) -> impl Iterator<Item = ApiKeySpec> {
        self.profiles.iter().filter_map(|profile| self.get(profile.first))
    }

    /// Whether one of them expires.
    pub(crate) fn has_end(&self) -> bool {
        self.records.iter().any(|record| record.expires_at != NEVER)
    }

    /// Whether one of them has this level.
    pub(crate) fn has_level(&self, level: Level) -> bool {
        self.granted().any(|granted| granted.level == Some(level))
    }

    /// The roles that they have.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &str> {
        self.granted().flat_map(|granted| &granted.roles).map(String::as_str)
    }

    /// The tiers that they are of.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = &str> {
        self.granted().filter_map(|granted| granted.tier.as_deref())
    }

    /// Whether one of them has a number of requests of its own in this limit.
    pub(crate) fn has_own_requests(&self, limit: &str) -> bool {
        self.granted().any(|granted| granted.own_requests.iter().any(|(other, _)| other == limit))
    }

    /// Whether one of them may be used from some networks alone.
    pub(crate) fn asks_for_address(&self) -> bool {
        self.granted().any(|granted| !granted.restrictions.networks.is_empty())
    }

    fn granted(&self) -> impl Iterator<Item = &Granted> {
        self.profiles.iter().map(|profile| &*profile.granted)
    }
}

impl fmt::Debug for KeyTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn record(records: &[Record], place: u32) -> Option<&Record> {
    records.get(usize::try_from(place).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Networks;

    fn key(n: u32) -> ApiKeySpec {
        let mut digest = [0; 32];
        digest[28..].copy_from_slice(&n.to_be_bytes());
        ApiKeySpec { client: format!("client-{n}"), ..ApiKeySpec::plain(&format!("key-{n}"), digest) }
    }

    #[test]
    fn keys_come_out_as_they_were_put_in() {
        let at = |secs| Some(Timestamp::from_secs(secs));
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let here = Restrictions {
            networks: Networks(vec!["10.0.0.0/8".parse().unwrap()]),
            hosts: names(&["a.test"]),
        };
        let keys = [
            key(0),
            ApiKeySpec { client: "key-1".into(), ..key(1) },
            ApiKeySpec { level: None, ..key(2) },
            ApiKeySpec { level: Some(Level::Admin), not_before: at(5), expires_at: at(6), ..key(3) },
            ApiKeySpec { scopes: names(&["a", "b"]), disabled: true, ..key(4) },
            ApiKeySpec { roles: names(&["a", "b"]), revoked: true, ..key(5) },
            ApiKeySpec { tier: Some("gold".into()), id: "é".repeat(64), ..key(6) },
            ApiKeySpec { restrictions: here, ..key(7) },
            ApiKeySpec { own_requests: vec![("per-key".to_owned(), 5)], ..key(8) },
            key(9),
        ];
        let mut table = KeyTable::with_capacity(2);
        assert!(table.is_empty() && !table.has_end() && !table.asks_for_address());
        keys.iter().for_each(|key| table.add(key.clone()).unwrap());
        let shown = |keys: &mut dyn Iterator<Item = ApiKeySpec>| {
            keys.map(|key| format!("{key:?}")).collect::<Vec<_>>()
        };
        assert_eq!(shown(&mut table.iter()), shown(&mut keys.iter().cloned()));
        assert_eq!(table.len(), keys.len());
        for (place, key) in (0..).zip(&keys) {
            assert_eq!(table.place_of(&key.digest), Some(place));
        }
        assert_eq!(table.place_of(&key(10).digest), None);
        // Of those that are alike the first.
        let kinds: Vec<_> = table.of_each_kind().map(|key| key.digest[31]).collect();
        assert_eq!(kinds, [0, 2, 3, 4, 5, 6, 7, 8]);
        assert!(table.has_end() && table.asks_for_address());
        assert!(table.has_level(Level::Admin) && !table.has_level(Level::Write));
        assert_eq!(table.roles().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(table.tiers().collect::<Vec<_>>(), ["gold"]);
        assert!(table.has_own_requests("per-key") && !table.has_own_requests("per-user"));
    }

    /// Keys with names like these, of few kinds.
    #[test]
    fn a_key_takes_less_than_a_hundred_bytes() {
        const KEYS: u32 = 100_000;
        let mut table = KeyTable::with_capacity(100_000);
        (0..KEYS).for_each(|n| table.add(key(n)).unwrap());
        let index = table.by_digest.allocation_size();
        let taken = size_of::<Record>() * table.records.capacity() + table.texts.len() + index;
        assert_eq!(table.profiles.len(), 1);
        assert!(taken <= 100 * 100_000, "{taken}");
    }
}
