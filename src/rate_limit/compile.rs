//! Limits as configured, checked and made ready: every fault at once, paths relative to `rateLimits`.

use siphasher::sip::SipHasher24;

use super::{
    KeyPart, LimitSpec, WindowSpec,
    admission::LimitId,
    key::{Key, Prefixes},
    limits::{Limit, Limiter, Plan},
    own_requests::OwnRequests,
    place::SlotKey,
    quota::Quota,
    section::{Head, MAX_WINDOWS},
};
use crate::{fault::Fault, identity::ClaimPath};

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
        let before = |shadow| {
            let limits = limits.iter().enumerate();
            let before = limits.filter(|(_, limit)| limit.before_authentication && limit.shadow == shadow);
            before.map(|(i, _)| LimitId::new(i)).collect()
        };
        let (before, shadows_before) = (before(false), before(true));
        Ok(Self { limits, before, shadows_before })
    }
}

impl Limit {
    fn plans_mut(&mut self) -> impl Iterator<Item = &mut Plan> {
        [&mut self.own].into_iter().chain(self.tiers.iter_mut().map(|(_, plan)| plan))
    }
}

/// `None` only together with a fault.
fn limit(spec: &LimitSpec, namespace: &str, faults: &mut Vec<Fault>) -> Option<Limit> {
    // Filters of one name may have limits of one name with different keys. Those share tables, but no counter.
    let counts = counts(&spec.key);
    // A limit's name has no `~`, so no tier's table can be another limit's.
    let own = plan(&spec.windows, &spec.name, format!("{namespace}/rl/{}/", spec.name), "limits", faults);
    let own = own.map(|plan| Plan { tag: tagged(&counts, None), ..plan });
    let mut tiers: Vec<(Box<str>, Plan)> = Vec::new();
    for (i, (tier, windows)) in spec.tiers.iter().enumerate() {
        // Any text may name a tier; its hash is short and fit for a key of the store.
        let tag = SipHasher24::new().hash(tier.as_bytes());
        let prefix = format!("{namespace}/rl/{}~{tag:016x}/", spec.name);
        if let Some(plan) = plan(windows, &spec.name, prefix, &format!("tiers[{i}].limits"), faults) {
            tiers.push((tier.as_str().into(), Plan { tag: tagged(&counts, Some(tier)), ..plan }));
        }
    }
    Some(Limit {
        name: spec.name.as_str().into(),
        key: Key::new(&spec.key, Prefixes { ipv4: spec.ipv4_prefix, ipv6: spec.ipv6_prefix }),
        methods: spec.methods.iter().map(|method| method.as_str().into()).collect(),
        exempt: spec.exempt.clone(),
        before_authentication: spec.before_authentication,
        shadow: spec.shadow,
        own: own?,
        tiers,
    })
}

fn plan(
    windows: &[WindowSpec],
    limit: &str,
    prefix: String,
    path: &str,
    faults: &mut Vec<Fault>,
) -> Option<Plan> {
    let mut quotas: Vec<Quota> = Vec::new();
    if windows.is_empty() || windows.len() > MAX_WINDOWS {
        faults.push(Fault::new(path, format!("must be 1 to {MAX_WINDOWS} windows")));
    }
    for (i, window) in windows.iter().enumerate() {
        let path = format!("{path}[{i}]");
        match Quota::compile(window) {
            Ok(quota) => quotas.push(quota),
            Err(fault) => faults.push(fault.within(&path)),
        }
        // Their headers could not be told apart, and one of the two is most likely a slip.
        if windows.iter().take(i).any(|other| other.per == window.per) {
            faults.push(Fault::new(path, "another window has the same length"));
        }
    }
    debug_assert!(prefix.len() <= SlotKey::MAX_PREFIX || !faults.is_empty());
    if quotas.is_empty() || quotas.len() < windows.len() {
        return None;
    }
    let mut own_requests = None;
    for (i, window) in windows.iter().enumerate() {
        let Some(own) = &window.own else { continue };
        match OwnRequests::compile(i, window, own, limit, &mut quotas) {
            Ok(own) => own_requests = own,
            Err(fault) => faults.push(fault.within(&format!("{path}[{i}]"))),
        }
    }
    let windows = Head::new(own_requests.as_ref().map_or(&quotas, |own| &own.most), 0);
    Some(Plan { quotas, own_requests, windows, table: 0, prefix: prefix.into(), tag: 0 })
}

/// What a key is made of, as bytes that no other key gives.
fn counts(key: &[KeyPart]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in key {
        let (kind, name) = match part {
            KeyPart::RemoteAddress => (b'a', String::new()),
            KeyPart::Principal => (b'p', String::new()),
            KeyPart::Actor => (b'x', String::new()),
            KeyPart::ApiKey => (b'k', String::new()),
            KeyPart::Route => (b'r', String::new()),
            KeyPart::Header(name) => (b'h', name.clone()),
            KeyPart::Cookie(name) => (b'i', name.clone()),
            KeyPart::Query(name) => (b'q', name.clone()),
            KeyPart::ClaimHeader { name, claims } => {
                let claims =
                    claims.iter().map(|(provider, claim)| format!("\t{provider}\0{}", joined(claim)));
                (b's', name.clone() + &claims.collect::<String>())
            }
            KeyPart::Claim(claim) => (b'c', joined(claim)),
            KeyPart::PathVariable(name) => (b'v', name.clone()),
            KeyPart::Host => (b'o', String::new()),
        };
        bytes.push(kind);
        bytes.extend_from_slice(name.as_bytes());
        // A line feed ends the part, because no name has one in it.
        bytes.push(b'\n');
    }
    bytes
}

/// No name of a claim has control characters, and one that holds dots is not one behind another.
fn joined(claim: &ClaimPath) -> String {
    claim.0.join("\0")
}

fn tagged(counts: &[u8], tier: Option<&str>) -> u64 {
    // No part begins with a line feed or `~`. A tier's name may be any text, so it goes last.
    let tier = tier.map_or_else(|| "\n".to_owned(), |tier| format!("~{tier}"));
    SipHasher24::new().hash(&[counts, tier.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::network::Networks;

    fn window(requests: u32, secs: u64) -> WindowSpec {
        WindowSpec { requests, per: Duration::from_secs(secs), burst: requests, own: None }
    }

    fn spec() -> LimitSpec {
        LimitSpec {
            name: "reads".into(),
            key: vec![KeyPart::Principal],
            windows: vec![window(100, 60)],
            tiers: vec![("gold".into(), vec![window(1_000, 60)])],
            methods: vec!["GET".into()],
            exempt: Networks::default(),
            before_authentication: false,
            shadow: false,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }

    #[test]
    fn each_fault_has_its_path() {
        Limiter::compile(&[spec()], "portcullis").unwrap();
        type Spoil = fn(&mut LimitSpec);
        let cases: &[(Spoil, &[&str])] = &[
            (|s| s.windows.clear(), &["[1].limits"]),
            (|s| s.windows = (1..=5).map(|n| window(1, n)).collect(), &["[1].limits"]),
            (|s| s.windows.push(window(5, 60)), &["[1].limits[1]"]),
            (|s| s.tiers[0].1.clear(), &["[1].tiers[0].limits"]),
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
        let shadow = LimitSpec { name: "next".into(), shadow: true, ..throttle.clone() };
        let specs = [spec(), LimitSpec { name: "all".into(), ..throttle }, shadow];
        let limiter = Limiter::compile(&specs, "p").unwrap();
        assert_eq!(limiter.before_authentication(), [limiter.id("all").unwrap()]);
        assert_eq!(limiter.shadows_before_authentication(), [limiter.id("next").unwrap()]);
        let is_shadow = ["reads", "all", "next"].map(|name| limiter.is_shadow(limiter.id(name).unwrap()));
        assert_eq!(is_shadow, [false, false, true]);
        assert_eq!(limiter.id("none"), None);
    }
}
