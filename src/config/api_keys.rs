//! `apiKeys`: where keys stand, what levels grant, and the keys by digest.

use hashbrown::HashMap;

use super::{
    extract_from::extract_from,
    names::Definitions,
    reader::{Faults, Node, Object, Path, quoted},
    roles,
    scalar::{boolean, choice, granted_permission, label, name, scope, timestamp, unique},
};
use crate::{
    api_key::{ApiKeySpec, ApiKeysSpec, Level},
    request::Location,
};

const DEFAULT_HEADER: &str = "x-api-key";

const LEVELS: [(&str, Level); 3] = [("Read", Level::Read), ("Write", Level::Write), ("Admin", Level::Admin)];

pub(super) fn api_keys(node: Node<'_>, defs: &mut Definitions) -> Option<ApiKeysSpec> {
    // What levels grant is not known if the section cannot be read.
    defs.grants.incomplete |= !node.value.is_object();
    node.object(|o| {
        if !o.has("extractFrom") {
            defs.headers.note_read(DEFAULT_HEADER, &Path::Field(&o.path, "extractFrom"));
        }
        let locations = o.optional("extractFrom", |n| extract_from(n, defs));
        let prefix = o.optional("prefix", prefix);
        let forward = o.optional("forward", boolean);
        // A level that is given but faulty counts as given.
        let mut given = Vec::new();
        let some = o.has("levels");
        let levels = o.optional("levels", |n| n.object(|o| levels(o, &mut given, defs)));
        if some && levels.is_none() {
            defs.grants.incomplete = true;
            given.extend(LEVELS.map(|(_, level)| level));
        }
        let mut seen = Seen { levels: given, digests: HashMap::new(), index: 0 };
        let keys = o.required("keys", |n| {
            defs.keys.expect(n.items());
            n.filled("no keys; leave apiKeys out if none are accepted", |n| {
                let key = key(n, &mut seen, defs);
                seen.index = seen.index.saturating_add(1);
                key
            })
        });
        Some(ApiKeysSpec {
            locations: locations.unwrap_or_else(|| {
                vec![Location::Header { name: DEFAULT_HEADER.into(), prefix: String::new() }]
            }),
            prefix,
            forward: forward.unwrap_or(false),
            levels: levels.unwrap_or_default(),
            keys: keys?,
        })
    })
}

/// What tells a key from a token: so not what a JWT begins with, which is `{` and a member or white space, in base64url.
fn prefix(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let prefix = name(node)?;
    if prefix == "e" || prefix.starts_with("ey") || prefix.starts_with("ew") {
        faults.add(&path, format!("{} may be the beginning of a signed token, too", quoted(&prefix)));
        return None;
    }
    Some(prefix)
}

fn levels(
    o: &mut Object<'_>,
    given: &mut Vec<Level>,
    defs: &mut Definitions,
) -> Option<Vec<(Level, Vec<String>)>> {
    let mut levels = Vec::new();
    for (name, level) in LEVELS {
        if !o.has(name) {
            // Known, for the sake of suggestions.
            o.optional(name, |_| Some(()));
            continue;
        }
        given.push(level);
        let permissions = o.optional(name, |n| {
            n.object(|o| {
                o.required("permissions", |n| {
                    unique(n, "grants nothing; leave the level out", granted_permission)
                })
            })
        });
        match permissions {
            Some(permissions) => {
                defs.grants.add(&permissions);
                levels.push((level, permissions));
            }
            None => defs.grants.incomplete = true,
        }
    }
    if given.is_empty() {
        return o.fault("grants nothing; leave the field out");
    }
    Some(levels)
}

/// What was met on the way through the list of keys.
struct Seen {
    levels: Vec<Level>,
    digests: HashMap<[u8; 32], usize>,
    index: usize,
}

fn key(node: Node<'_>, seen: &mut Seen, defs: &mut Definitions) -> Option<ApiKeySpec> {
    node.object(|o| {
        let index = seen.index;
        let id = o.required("id", |n| {
            let (path, faults) = (n.path, n.faults);
            let id = name(n)?;
            defs.keys.define(&id, index, (), &path, faults);
            Some(id)
        });
        let client = o.optional("client", label);
        let digest = o.required("hash", |n| digest(n, &mut seen.digests, index));
        let level = o.optional("level", |n| {
            let (path, faults) = (n.path, n.faults);
            let level = choice("a level", &LEVELS)(n)?;
            if !seen.levels.contains(&level) {
                faults.add(&path, format!("apiKeys.levels does not say what {level:?} grants"));
                return None;
            }
            Some(level)
        });
        let scopes = o.optional("scopes", |n| unique(n, "no scopes; leave the field out", scope));
        let roles = o.optional("roles", |n| roles::held(n, defs));
        let tier = o.optional("tier", label);
        let not_before = o.optional("notBefore", timestamp);
        let expires_at = o.optional("expiresAt", timestamp);
        if let (Some(from), Some(to)) = (not_before, expires_at)
            && from >= to
        {
            o.fault_at::<()>("expiresAt", "is not after notBefore, so the key would never be valid");
        }
        let disabled = o.optional("disabled", boolean).unwrap_or(false);
        let id = id?;
        Some(ApiKeySpec {
            client: client.unwrap_or_else(|| id.clone()),
            id,
            digest: digest?,
            level,
            scopes: scopes.unwrap_or_default(),
            roles: roles.unwrap_or_default(),
            tier,
            not_before,
            expires_at,
            disabled,
        })
    })
}

/// `sha256:` and 64 hexadecimal digits. What stands there instead is never shown: it may be the key itself.
fn digest(mut node: Node<'_>, known: &mut HashMap<[u8; 32], usize>, index: usize) -> Option<[u8; 32]> {
    let form = "\"sha256:\" and the 64 hexadecimal digits of the key's SHA-256";
    let text = node.text(form)?;
    let Some(hex) = text.strip_prefix("sha256:") else {
        return node.fault(format!("must be {form}; a key itself must never stand in a policy"));
    };
    let Some(digest) = parse_hex(hex) else { return node.fault(format!("must be {form}")) };
    unique_digest(digest, known, index, &node.path, node.faults)
}

fn unique_digest(
    digest: [u8; 32],
    known: &mut HashMap<[u8; 32], usize>,
    index: usize,
    path: &Path<'_>,
    faults: &Faults,
) -> Option<[u8; 32]> {
    /// SHA-256 of nothing: what a script hashes when its variable was empty.
    const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    if parse_hex(OF_NOTHING) == Some(digest) {
        faults.add(path, "is the hash of an empty key");
        return None;
    }
    match *known.entry(digest).or_insert(index) {
        first if first == index => Some(digest),
        first => {
            faults.add(path, format!("is the same key as apiKeys.keys[{first}]"));
            None
        }
    }
}

fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 {
        return None;
    }
    let mut digest = [0_u8; 32];
    let digits = hex.bytes().map(|b| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok()));
    for (position, digit) in digits.enumerate() {
        let byte = digest.get_mut(position / 2)?;
        *byte = (*byte << 4) | digit?;
    }
    Some(digest)
}
