//! Limits as configured, checked and made ready: every fault at once, paths relative to `rateLimits`.

use hashbrown::HashSet;
use siphasher::sip::SipHasher24;

use super::{
    KeyPart, LimitSpec, WindowSpec,
    key::Prefixes,
    limiter::{Limit, LimitId, Limiter, Plan},
    place::SlotKey,
    quota::Quota,
    section::{Head, MAX_WINDOWS},
};
use crate::fault::Fault;

/// Tables of counters in one policy: one for each limit and each of its tiers.
///
/// Each takes 1.7 MB of the host's memory when a flood of clients has filled it.
pub const MAX_TABLES: usize = 256;

/// The longest name of a limit, and the longest namespace.
pub const MAX_NAME: usize = 64;

impl Limiter {
    /// Checks the limits and makes them ready. `namespace` (at most 64 bytes) begins every key in the store.
    pub fn compile(specs: &[LimitSpec], namespace: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut names = HashSet::new();
        let mut limits = Vec::new();
        if namespace.len() > MAX_NAME {
            faults.push(Fault::new("", "namespace of the store must be at most 64 bytes"));
        }
        let tables =
            specs.iter().fold(0_usize, |n, spec| n.saturating_add(1).saturating_add(spec.tiers.len()));
        if tables > MAX_TABLES {
            let message = format!("must be at most {MAX_TABLES}, tiers counted too; there are {tables}");
            faults.push(Fault::new("", message));
        }
        for (i, spec) in specs.iter().enumerate() {
            let mut found = Vec::new();
            if !names.insert(spec.name.as_str()) {
                found.push(Fault::new("name", format!("`{}` is used by another limit", spec.name)));
            }
            limits.extend(limit(spec, namespace, &mut found));
            faults.extend(found.into_iter().map(|fault| fault.within(&format!("[{i}]"))));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let tables = limits.iter_mut().flat_map(Limit::plans_mut);
        for (table, plan) in tables.enumerate() {
            plan.table = table;
        }
        let before = limits.iter().enumerate().filter(|(_, limit)| limit.before_authentication);
        let before = before.map(|(i, _)| LimitId::new(i)).collect();
        Ok(Self { limits, before })
    }
}

impl Limit {
    fn plans_mut(&mut self) -> impl Iterator<Item = &mut Plan> {
        [&mut self.own].into_iter().chain(self.tiers.iter_mut().map(|(_, plan)| plan))
    }
}

/// `None` only together with a fault.
fn limit(spec: &LimitSpec, namespace: &str, faults: &mut Vec<Fault>) -> Option<Limit> {
    if !is_name(&spec.name) {
        faults.push(Fault::new("name", "must be 1 to 64 letters, digits, `-`, `_` or `.`"));
    }
    check_key(spec, faults);
    check_methods(&spec.methods, faults);
    for (path, prefix, longest) in
        [("ipv4PrefixLength", spec.ipv4_prefix, 32), ("ipv6PrefixLength", spec.ipv6_prefix, 128)]
    {
        if prefix == 0 || prefix > longest {
            faults.push(Fault::new(path, format!("must be from 1 to {longest}")));
        }
    }
    if spec.before_authentication && !spec.tiers.is_empty() {
        faults.push(Fault::new("tiers", "nobody has a tier before authentication"));
    }
    // Filters of one name may count other things under one limit: those share tables, but no counter.
    let counts = counts(&spec.key);
    // A limit's name has no `~`, so no tier's table can be another limit's.
    let own = plan(&spec.windows, format!("{namespace}/rl/{}/", spec.name), "limits", faults);
    let own = own.map(|plan| Plan { tag: tagged(&counts, None), ..plan });
    let mut tiers: Vec<(Box<str>, Plan)> = Vec::new();
    for (i, (tier, windows)) in spec.tiers.iter().enumerate() {
        if tier.is_empty() {
            faults.push(Fault::new(format!("tiers[{i}]"), "a tier must have a name"));
        }
        if spec.tiers.iter().take(i).any(|(other, _)| other == tier) {
            faults.push(Fault::new(format!("tiers[{i}]"), format!("`{tier}` is given twice")));
        }
        // Any text may name a tier; its hash is short and fit for a key of the store.
        let tag = SipHasher24::new().hash(tier.as_bytes());
        let prefix = format!("{namespace}/rl/{}~{tag:016x}/", spec.name);
        if let Some(plan) = plan(windows, prefix, &format!("tiers[{i}].limits"), faults) {
            tiers.push((tier.as_str().into(), Plan { tag: tagged(&counts, Some(tier)), ..plan }));
        }
    }
    Some(Limit {
        name: spec.name.as_str().into(),
        key: spec.key.clone(),
        prefixes: Prefixes { ipv4: spec.ipv4_prefix, ipv6: spec.ipv6_prefix },
        methods: spec.methods.iter().map(|method| method.as_str().into()).collect(),
        before_authentication: spec.before_authentication,
        own: own?,
        tiers,
    })
}

fn plan(windows: &[WindowSpec], prefix: String, path: &str, faults: &mut Vec<Fault>) -> Option<Plan> {
    let mut quotas: Vec<Quota> = Vec::new();
    if windows.is_empty() || windows.len() > MAX_WINDOWS {
        faults.push(Fault::new(path, format!("must be 1 to {MAX_WINDOWS} windows")));
    }
    for (i, window) in windows.iter().enumerate() {
        let path = format!("{path}[{i}]");
        match Quota::compile(window) {
            Ok(quota) => quotas.push(quota),
            Err(found) => faults.extend(found.into_iter().map(|fault| fault.within(&path))),
        }
        // Their headers could not be told apart, and one of the two is most likely a slip.
        if windows.iter().take(i).any(|other| other.per == window.per) {
            faults.push(Fault::new(path, "another window has the same length"));
        }
    }
    debug_assert!(prefix.len() <= SlotKey::MAX_PREFIX || !faults.is_empty());
    let windows = Head::new(&quotas, 0);
    (!quotas.is_empty()).then(|| Plan { quotas, windows, table: 0, prefix: prefix.into(), tag: 0 })
}

/// What a key is made of, as bytes that no other key gives.
fn counts(key: &[KeyPart]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in key {
        let (kind, name) = match part {
            KeyPart::RemoteAddress => (b'a', ""),
            KeyPart::Principal => (b'p', ""),
            KeyPart::ApiKey => (b'k', ""),
            KeyPart::Route => (b'r', ""),
            KeyPart::Header(name) => (b'h', name.as_str()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(name.as_bytes());
        // No header has it in its name.
        bytes.push(b'\n');
    }
    bytes
}

fn tagged(counts: &[u8], tier: Option<&str>) -> u64 {
    // No part begins like either; a tier's name may be any text, so it goes last.
    let tier = tier.map_or_else(|| "\n".to_owned(), |tier| format!("~{tier}"));
    SipHasher24::new().hash(&[counts, tier.as_bytes()].concat())
}

fn check_key(spec: &LimitSpec, faults: &mut Vec<Fault>) {
    if spec.key.is_empty() {
        faults.push(Fault::new("key", "must say what is counted"));
    }
    for (i, part) in spec.key.iter().enumerate() {
        let mut fault = |message: &str| faults.push(Fault::new(format!("key[{i}]"), message));
        if spec.key.iter().take(i).any(|other| other == part) {
            fault("is given twice");
        }
        match part {
            KeyPart::RemoteAddress => {}
            KeyPart::Header(name) => {
                if !is_token(name) || name.bytes().any(|b| b.is_ascii_uppercase()) {
                    fault("must be a header name in lower case");
                }
            }
            KeyPart::Principal | KeyPart::ApiKey if spec.before_authentication => {
                fault("is not known before authentication");
            }
            KeyPart::Route if spec.before_authentication => {
                fault("a limit before authentication holds for all routes");
            }
            KeyPart::Principal | KeyPart::ApiKey | KeyPart::Route => {}
        }
    }
}

fn check_methods(methods: &[String], faults: &mut Vec<Fault>) {
    for (i, method) in methods.iter().enumerate() {
        let path = format!("methods[{i}]");
        if !is_token(method) {
            faults.push(Fault::new(path, "must be a method"));
        } else if methods.iter().take(i).any(|other| other == method) {
            faults.push(Fault::new(path, format!("`{method}` is given twice")));
        } else if method.bytes().any(|b| b.is_ascii_lowercase()) {
            // RFC 9110 section 9.1: methods are case-sensitive, so this would never match.
            faults.push(Fault::new(path, format!("`{method}` must be in upper case")));
        }
    }
}

/// Fit for a key in the store and, unescaped, for a String of RFC 9651.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(requests: u32, secs: u64) -> WindowSpec {
        WindowSpec { requests, per: Duration::from_secs(secs), burst: requests }
    }

    fn spec() -> LimitSpec {
        LimitSpec {
            name: "reads".into(),
            key: vec![KeyPart::Principal],
            windows: vec![window(100, 60)],
            tiers: vec![("gold".into(), vec![window(1_000, 60)])],
            methods: vec!["GET".into()],
            before_authentication: false,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }

    #[test]
    fn each_fault_has_its_path() {
        Limiter::compile(&[spec()], "portcullis").unwrap();
        type Spoil = fn(&mut LimitSpec);
        let cases: &[(Spoil, &[&str])] = &[
            (|s| s.name = String::new(), &["[1].name"]),
            (|s| s.name = "a\"b".into(), &["[1].name"]),
            (|s| s.name = "a/b".into(), &["[1].name"]),
            (|s| s.name = "n".repeat(65), &["[1].name"]),
            (|s| s.name = "first".into(), &["[1].name"]),
            (|s| s.key.clear(), &["[1].key"]),
            (|s| s.key.push(KeyPart::Principal), &["[1].key[1]"]),
            (|s| s.key.push(KeyPart::Header("X-Tenant".into())), &["[1].key[1]"]),
            (|s| s.key.push(KeyPart::Header(":path".into())), &["[1].key[1]"]),
            (|s| s.key.push(KeyPart::Header(String::new())), &["[1].key[1]"]),
            (|s| s.windows.clear(), &["[1].limits"]),
            (|s| s.windows = (1..=5).map(|n| window(1, n)).collect(), &["[1].limits"]),
            (|s| s.windows[0].requests = 0, &["[1].limits[0].requests"]),
            (|s| s.windows.push(window(5, 60)), &["[1].limits[1]"]),
            (|s| s.tiers[0].0.clear(), &["[1].tiers[0]"]),
            (|s| s.tiers.push(s.tiers[0].clone()), &["[1].tiers[1]"]),
            (|s| s.tiers[0].1.clear(), &["[1].tiers[0].limits"]),
            (|s| s.tiers[0].1[0].burst = 0, &["[1].tiers[0].limits[0].burst"]),
            (|s| s.methods.push("get".into()), &["[1].methods[1]"]),
            (|s| s.methods.push("GET".into()), &["[1].methods[1]"]),
            (|s| s.methods.push("A B".into()), &["[1].methods[1]"]),
            (|s| s.ipv4_prefix = 0, &["[1].ipv4PrefixLength"]),
            (|s| s.ipv4_prefix = 33, &["[1].ipv4PrefixLength"]),
            (|s| s.ipv6_prefix = 0, &["[1].ipv6PrefixLength"]),
            (|s| s.ipv6_prefix = 129, &["[1].ipv6PrefixLength"]),
            (|s| s.before_authentication = true, &["[1].key[0]", "[1].tiers"]),
            (
                |s| {
                    s.before_authentication = true;
                    s.tiers.clear();
                    s.key = vec![KeyPart::RemoteAddress, KeyPart::ApiKey, KeyPart::Route];
                },
                &["[1].key[1]", "[1].key[2]"],
            ),
        ];
        for (i, (spoil, paths)) in cases.iter().enumerate() {
            let first = LimitSpec { name: "first".into(), ..spec() };
            let mut spoiled = spec();
            spoil(&mut spoiled);
            let faults = Limiter::compile(&[first, spoiled], "portcullis").unwrap_err();
            assert_eq!(faults.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), *paths, "case {i}");
        }
    }

    #[test]
    fn the_tables_are_bounded() {
        let specs: Vec<_> = (0..128).map(|n| LimitSpec { name: format!("limit-{n}"), ..spec() }).collect();
        Limiter::compile(&specs, &"n".repeat(64)).unwrap();
        let more: Vec<_> = (0..129).map(|n| LimitSpec { name: format!("limit-{n}"), ..spec() }).collect();
        assert_eq!(Limiter::compile(&more, "p").unwrap_err().len(), 1);
        assert_eq!(Limiter::compile(&[], &"n".repeat(65)).unwrap_err().len(), 1);
    }

    #[test]
    fn before_authentication_addresses_and_headers_are_known() {
        let mut throttle = spec();
        throttle.before_authentication = true;
        throttle.tiers.clear();
        throttle.key = vec![KeyPart::RemoteAddress, KeyPart::Header("x-tenant".into())];
        let limiter = Limiter::compile(&[spec(), LimitSpec { name: "all".into(), ..throttle }], "p").unwrap();
        assert_eq!(limiter.before_authentication(), [limiter.id("all").unwrap()]);
        assert_eq!(limiter.id("none"), None);
    }
}
