//! `apiKeys`: where keys stand, what levels grant, and the keys by digest.

use std::rc::Rc;

use hashbrown::HashMap;

use super::{
    etcd::{ETCD, etcd},
    extract_from::{EXTRACT_FROM, extract_from},
    faults::{Faults, Path, quoted},
    input,
    model::{Bound, Form, HOUR, Kind, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    networks::networks,
    reader::{Items, Node, Object},
    roles::{self, HOLDER_ROLES, HOLDER_SCOPES, HOLDER_TIER},
    route_match::HOSTNAMES,
};
use crate::{
    api_key::{
        ApiKeySpec, ApiKeysSpec, KeyTable, Level, Restrictions, SCHEMA, UsageSpec, UsageTo,
        format::DEFAULT_PREFIX,
    },
    fault::Fault,
    replica::ReplicaSpec,
    request::Location,
    text::hex,
};

const DEFAULT_HEADER: &str = "x-api-key";

const LEVELS: [(&str, Level); 3] = [("Read", Level::Read), ("Write", Level::Write), ("Admin", Level::Admin)];

pub(super) static API_KEYS: Shape = Shape::bound(
    &[
        optional(
            "extractFrom",
            Kind::Object(&EXTRACT_FROM),
            "the header `x-api-key`",
            "Where a key stands, see [extractFrom](#extractfrom).",
        ),
        optional(
            "prefix",
            Kind::Text(Form::KeyPrefix),
            "absent: by form",
            "What the keys begin with that stand where tokens may stand, too, see below. Not `e`, nor anything that \
         begins with `ey` or `ew`, as signed tokens do.",
        ),
        default(
            "checkedPrefix",
            Kind::Text(Form::CheckedPrefix),
            DEFAULT_PREFIX,
            "What keys begin with, before a `_`, that `portcullis key` made: one whose checksum is wrong is refused before it \
         is looked up. Other keys are taken as they are.",
        ),
        default(
            "forward",
            Kind::Boolean,
            "false",
            "Whether the key itself goes upstream, where it stands, so that a second filter that takes keys can see it. \
         No other does.",
        ),
        optional(
            "levels",
            Kind::Object(&BY_LEVEL),
            "absent: no key has a level",
            "Each given level is `{permissions: [..]}`: what it grants. No level includes another.",
        ),
        optional(
            "keys",
            Kind::List(NO_KEYS, &Kind::Object(&API_KEY)),
            "absent: none but those of `etcd`",
            "The keys. At least one of `keys` and `etcd` is given.",
        ),
        optional("etcd", Kind::Object(&ETCD), "absent: none but `keys`", "Where more keys are, see below."),
        optional(
            "usage",
            Kind::Object(&USAGE),
            "absent: not counted",
            "Where uses of keys are told, see below.",
        ),
    ],
    &[Bound::Some(&["keys", "etcd"])],
);

const NO_KEYS: &str = "no keys; leave apiKeys out if none are accepted";

static BY_LEVEL: Shape = Shape::bound(
    &[
        optional("Read", Kind::Object(&LEVEL), "", "What this level grants."),
        optional("Write", Kind::Object(&LEVEL), "", "What this level grants."),
        optional("Admin", Kind::Object(&LEVEL), "", "What this level grants."),
    ],
    &[Bound::Some(&words(&LEVELS))],
);

static LEVEL: Shape = Shape::new(&[required(
    "permissions",
    Kind::List("grants nothing; leave the level out", &Kind::Text(Form::Grant)),
    "Permissions.",
)]);

pub(super) static API_KEY: Shape = Shape::new(&[
    required("id", Kind::Text(Form::Name), "Stands in the decision record."),
    optional(
        "client",
        Kind::Text(Form::Label),
        "`id`",
        "The principal's subject. Keys of the same client are the same principal, so that rotation overlaps.",
    ),
    required("hash", Kind::Digest, "SHA-256 of the key. The key itself never stands in a policy."),
    optional(
        "level",
        Kind::Choice("a level", &words(&LEVELS)),
        "absent: no permissions by level",
        "Must be given in `levels`.",
    ),
    HOLDER_SCOPES,
    HOLDER_ROLES,
    HOLDER_TIER,
    optional("notBefore", Kind::Time, "absent: valid from the start", "Refused before."),
    optional(
        "expiresAt",
        Kind::Time,
        "absent: does not expire",
        "Refused from this instant on. Must be after `notBefore`.",
    ),
    default("disabled", Kind::Boolean, "false", "Refused while true."),
    optional(
        "ownRequests",
        Kind::List("no numbers; leave the field out", &Kind::Object(&OWN_REQUESTS)),
        "absent: none",
        "How many requests it has in windows with `ownRequests`, see [rateLimits](#numbers-of-ones-own).",
    ),
    optional(
        "revokedAt",
        Kind::Time,
        "absent: not revoked",
        "When it was revoked. Refused for good, whatever the time.",
    ),
    optional(
        "remoteAddress",
        Kind::List("no networks; leave the field out to mean everywhere", &Kind::Text(Form::Network)),
        "absent: from everywhere",
        "The networks from which it may be used.",
    ),
    optional(
        "hostnames",
        HOSTNAMES,
        "absent: for every host",
        "The hosts for which it may be used, as in `rules`.",
    ),
    optional("label", Kind::Text(Form::Label), "absent: none", "What it is for, in words. For people alone."),
    optional("owner", Kind::Text(Form::Label), "absent: none", "Whom to ask about it. For people alone."),
    optional(
        "replacedBy",
        Kind::Text(Form::Name),
        "absent: not replaced",
        "The `id` of the key that took its place. For people and `portcullis key` alone.",
    ),
]);

static USAGE: Shape = Shape::new(&[
    required(
        "to",
        Kind::Choice("a place for uses", &words(&USAGE_TO)),
        "`Etcd`: in entries beside the keys, which `portcullis key list` shows; needs `etcd`. `Log`: in Envoy's log, at \
         level `info`.",
    ),
    default(
        "interval",
        Kind::Duration(SECOND, HOUR),
        "1m",
        "How often each worker tells what it has counted.",
    ),
]);

const USAGE_TO: [(&str, UsageTo); 2] = [("Etcd", UsageTo::Etcd), ("Log", UsageTo::Log)];

static OWN_REQUESTS: Shape = Shape::new(&[
    required("limit", Kind::Text(Form::LimitName), "The limit, each once."),
    required(
        "requests",
        Kind::Number(1, u32::MAX),
        "How many requests, in place of `requests` of the window; no more than its `max`.",
    ),
]);

/// `apart` are the keys, where they do not stand in `node` itself.
pub(super) fn api_keys(
    node: Node<'_>,
    apart: Option<Vec<&str>>,
    defs: &mut Definitions,
) -> Option<(ApiKeysSpec, Option<ReplicaSpec>)> {
    // What levels grant is not known if the section cannot be read.
    defs.grants.incomplete |= !node.value.is_object();
    let mut o = node.object(&API_KEYS)?;
    if !o.has("extractFrom") {
        defs.headers.note_read(DEFAULT_HEADER, &o.at("extractFrom"));
    }
    let places = o.object("extractFrom").and_then(|o| extract_from(o, defs));
    let (locations, cookie_origins) = places.map(|places| (places.locations, places.cookie_origins)).unzip();
    let prefix = prefix(&mut o);
    let checked_prefix = o.text("checkedPrefix");
    let forward = o.boolean("forward");
    // A level that is given but faulty counts as given.
    let mut given = Vec::new();
    let some = o.has("levels");
    let levels = o.object("levels").and_then(|o| levels(o, &mut given, defs));
    if some && levels.is_none() {
        defs.grants.incomplete = true;
        given.extend(LEVELS.map(|(_, level)| level));
    }
    let keys = o.take("keys").and_then(|n| {
        defs.keys.expect(n.count_apart(apart.as_deref()));
        let items = n.filled_apart(apart, NO_KEYS)?;
        keys(items, given, defs)
    });
    let store = o.object("etcd").and_then(|o| etcd(o, "apiKeys.etcd", SCHEMA));
    defs.keys_elsewhere = o.has("etcd");
    let has_store = defs.keys_elsewhere;
    let uses = o.object("usage").and_then(|o| usage(o, has_store));
    if !o.has_one(&["keys", "etcd"]) {
        return o.fault_at("keys", "required (or etcd, where keys are kept)");
    }
    let is_lost = [("keys", keys.is_some()), ("etcd", store.is_some()), ("usage", uses.is_some())]
        .into_iter()
        .any(|(name, is_read)| o.has(name) != is_read);
    if is_lost {
        return None;
    }
    let spec = ApiKeysSpec {
        locations: locations
            .unwrap_or_else(|| vec![Location::Header { name: DEFAULT_HEADER.into(), prefix: String::new() }]),
        cookie_origins: cookie_origins.flatten(),
        prefix,
        checked_prefix: checked_prefix?,
        forward,
        levels: levels.unwrap_or_default(),
        keys: Rc::new(keys.unwrap_or_default()),
        usage: uses,
    };
    Some((spec, store))
}

fn usage(mut o: Object<'_>, has_store: bool) -> Option<UsageSpec> {
    let to = o.choice("to", &USAGE_TO);
    let interval = o.duration("interval");
    if to == Some(UsageTo::Etcd) && !has_store {
        return o.fault_at("to", "the policy has no apiKeys.etcd");
    }
    Some(UsageSpec { to: to?, interval: interval? })
}

/// What tells a key from a token: so not what a JWT begins with, which is `{` and a member or white space, in base64url.
fn prefix(o: &mut Object<'_>) -> Option<String> {
    let prefix = o.text("prefix")?;
    if prefix == "e" || prefix.starts_with("ey") || prefix.starts_with("ew") {
        return o
            .fault_at("prefix", format!("{} may be the beginning of a signed token, too", quoted(&prefix)));
    }
    Some(prefix)
}

fn levels(
    mut o: Object<'_>,
    given: &mut Vec<Level>,
    defs: &mut Definitions,
) -> Option<Vec<(Level, Vec<String>)>> {
    let mut levels = Vec::new();
    for (name, level) in LEVELS.into_iter().filter(|(name, _)| o.has(name)).collect::<Vec<_>>() {
        given.push(level);
        match o.object(name).and_then(|mut o| o.texts("permissions")) {
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
    /// The keys up to the first one with a fault: their places here are those in the list.
    good: KeyTable,
    /// Of the others: the place in the list of each digest.
    others: HashMap<[u8; 32], usize>,
    index: usize,
    is_faulty: bool,
}

fn keys(mut items: Items<'_>, levels: Vec<Level>, defs: &mut Definitions) -> Option<KeyTable> {
    let good = KeyTable::with_capacity(items.len());
    let mut seen = Seen { levels, good, others: HashMap::new(), index: 0, is_faulty: false };
    while let Some(item) = items.next() {
        let read = item.object(&API_KEY).and_then(|o| key(o, &mut seen, defs));
        seen.is_faulty |= read.is_none();
        seen.index = seen.index.saturating_add(1);
    }
    (!seen.is_faulty).then_some(seen.good)
}

fn key(mut o: Object<'_>, seen: &mut Seen, defs: &mut Definitions) -> Option<()> {
    let index = seen.index;
    let id = o.text("id");
    if let Some(id) = &id {
        defs.keys.define(id, index, (), &o.at("id"), o.faults);
    }
    let digest = o.take("hash").and_then(digest);
    let digest = digest.and_then(|digest| unique_digest(digest, seen, &o.at("hash"), o.faults));
    let mut level = o.choice("level", &LEVELS);
    if let Some(asked) = level
        && !seen.levels.contains(&asked)
    {
        level = o.fault_at("level", format!("apiKeys.levels does not say what {asked:?} grants"));
    }
    let roles = roles::held(&mut o, defs);
    let key = fields(&mut o, id, digest, level, roles);
    let tier = key.as_ref().and_then(|key| key.tier.as_deref());
    let own_requests = own_requests(&mut o, |o| number_of_a_limit(o, tier, defs));
    let Some(key) = key else {
        seen.others.extend(digest.map(|digest| (digest, index)));
        return None;
    };
    let key = ApiKeySpec { own_requests: own_requests.unwrap_or_default(), ..key };
    if seen.is_faulty {
        seen.others.insert(key.digest, index);
        return None;
    }
    seen.good.add(key)
}

/// A key that a store has: `value` holds its fields but `id`, in JSON. Roles that the policy does not know give nothing,
/// and neither does a level of which it does not say what it grants, or a number of requests in a limit without numbers.
///
/// # Errors
/// What is wrong with it; nothing of it is shown that may be a secret.
pub fn stored_key(id: &str, value: &[u8]) -> Result<ApiKeySpec, Vec<Fault>> {
    let faults = Faults::default();
    let read = || {
        let mut value = input::parse(value, &faults)?;
        value.as_object_mut()?.insert("id".to_owned(), id.into());
        let mut o = Node { value, path: Path::Root, faults: &faults }.object(&API_KEY)?;
        let id = o.text("id");
        let digest = o.take("hash").and_then(digest);
        let level = o.choice("level", &LEVELS);
        let roles = o.texts("roles");
        let own_requests = own_requests(&mut o, |mut o| {
            let requests = o.number("requests");
            Some((o.text("limit")?, requests?))
        });
        let key = fields(&mut o, id, digest, level, roles)?;
        Some(ApiKeySpec { own_requests: own_requests.unwrap_or_default(), ..key })
    };
    let key = read();
    faults.judge(key)
}

/// Those that are read alike, whoever keeps the key.
fn fields(
    o: &mut Object<'_>,
    id: Option<String>,
    digest: Option<[u8; 32]>,
    level: Option<Level>,
    roles: Option<Vec<String>>,
) -> Option<ApiKeySpec> {
    let client = o.text("client");
    let scopes = o.texts("scopes");
    let tier = o.text("tier");
    let not_before = o.time("notBefore");
    let expires_at = o.time("expiresAt");
    if let (Some(from), Some(to)) = (not_before, expires_at)
        && from >= to
    {
        o.fault_at::<()>("expiresAt", "is not after notBefore, so the key would never be valid");
    }
    let disabled = o.boolean("disabled");
    let revoked_at = o.time("revokedAt");
    let networks = networks(o, "remoteAddress");
    let hosts = o.texts("hostnames");
    for field in ["label", "owner", "replacedBy"] {
        o.text(field);
    }
    // Of one that cannot be read nobody knows whom it was to keep out.
    if o.has("remoteAddress") != networks.is_some() || o.has("hostnames") != hosts.is_some() {
        return None;
    }
    let id = id?;
    Some(ApiKeySpec {
        client: client.unwrap_or_else(|| id.clone()),
        id,
        digest: digest?,
        level,
        scopes: scopes.unwrap_or_default(),
        roles: roles.unwrap_or_default(),
        tier,
        own_requests: Vec::new(),
        not_before,
        expires_at,
        disabled,
        revoked: revoked_at.is_some(),
        restrictions: Restrictions {
            networks: networks.unwrap_or_default(),
            hosts: hosts.unwrap_or_default(),
        },
    })
}

/// Limits by name, and how many requests the key has in each; `read` reads one of them.
fn own_requests(
    o: &mut Object<'_>,
    read: impl FnMut(Object<'_>) -> Option<(String, u32)>,
) -> Option<Vec<(String, u32)>> {
    let numbers = o.objects("ownRequests", read)?;
    let is_second = |(place, (limit, _)): (usize, &(String, u32))| {
        numbers.iter().take(place).any(|(other, _)| other == limit)
    };
    if numbers.iter().enumerate().any(is_second) {
        return o.fault_at("ownRequests", "names one limit twice");
    }
    Some(numbers)
}

/// Of a key of the policy, whose limits are known.
fn number_of_a_limit(mut o: Object<'_>, tier: Option<&str>, defs: &Definitions) -> Option<(String, u32)> {
    let requests = o.number("requests");
    let name = o.text("limit")?;
    let facts = defs.limits.resolve(&name, &o.at("limit"), o.faults)?;
    let shown = quoted(&name);
    let facts = facts.own_requests.as_ref()?;
    let of_tier = tier.and_then(|tier| facts.tiers.iter().find(|(other, _)| *other == tier));
    let max = of_tier.map_or(facts.max, |(_, max)| *max);
    let Some(max) = max else {
        let whose = of_tier.map(|(tier, _)| format!(" for tier {}", quoted(tier))).unwrap_or_default();
        return o.fault_at("limit", format!("limit {shown} has no window with ownRequests{whose}"));
    };
    if !facts.by_key {
        let message =
            format!("API keys share one count of limit {shown}; add principal or apiKey to its key");
        return o.fault_at("limit", message);
    }
    let requests = requests?;
    if requests > max {
        return o.fault_at("requests", format!("is more than the max of limit {shown}, which is {max}"));
    }
    Some((name, requests))
}

/// `sha256:` and 64 hexadecimal digits. What stands there instead is never shown: it may be the key itself.
fn digest(mut node: Node<'_>) -> Option<[u8; 32]> {
    let form = "\"sha256:\" and the 64 hexadecimal digits of the key's SHA-256";
    let text = node.text(form)?;
    let Some(digits) = text.strip_prefix("sha256:") else {
        return node.fault(format!("must be {form}; a key itself must never stand in a policy"));
    };
    hex::decode_digest(digits).or_else(|| node.fault(format!("must be {form}")))
}

fn unique_digest(digest: [u8; 32], seen: &Seen, path: &Path<'_>, faults: &Faults) -> Option<[u8; 32]> {
    /// SHA-256 of nothing: what a script hashes when its variable was empty.
    const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    if hex::decode_digest(OF_NOTHING) == Some(digest) {
        faults.add(path, "is the hash of an empty key");
        return None;
    }
    let first = seen.good.place_of(&digest).and_then(|place| usize::try_from(place).ok());
    if let Some(first) = first.or_else(|| seen.others.get(&digest).copied()) {
        faults.add(path, format!("is the same key as apiKeys.keys[{first}]"));
        return None;
    }
    Some(digest)
}
