//! Where a key may be used.

use std::net::IpAddr;

use crate::network::Networks;

/// Where a key may be used. By default everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Restrictions {
    /// From these networks. Empty: from everywhere.
    pub networks: Networks,
    /// For these hosts, in lower case and without port; `*.` in front stands for one label or more. Empty: for every
    /// host.
    pub hosts: Vec<String>,
}

impl Restrictions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.hosts.is_empty()
    }

    /// Whether a request from `address` for `host` may use the key. `None`: the address is not known, which is none of
    /// those allowed.
    pub fn allow(&self, address: Option<IpAddr>, host: &str) -> bool {
        let from_there =
            self.networks.is_empty() || address.is_some_and(|address| self.networks.hold(address));
        from_there && (self.hosts.is_empty() || self.hosts.iter().any(|pattern| is_host_of(pattern, host)))
    }
}

fn is_host_of(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        None => pattern == host,
        Some(parent) => {
            let labels = host.strip_suffix(parent).and_then(|labels| labels.strip_suffix('.'));
            labels.is_some_and(|labels| !labels.is_empty())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_used_where_it_may() {
        let (ours, other) = ("10.1.2.3".parse().ok(), "192.0.2.1".parse().ok());
        let networks = Networks(vec!["10.0.0.0/8".parse().unwrap()]);
        let hosts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (restrictions, address, host, expected) in [
            (Restrictions::default(), None, "api.test", true),
            (Restrictions { networks: networks.clone(), hosts: vec![] }, ours, "api.test", true),
            (Restrictions { networks: networks.clone(), hosts: vec![] }, other, "api.test", false),
            (Restrictions { networks: networks.clone(), hosts: vec![] }, None, "api.test", false),
            (
                Restrictions { networks: networks.clone(), hosts: hosts(&["api.test"]) },
                ours,
                "api.test",
                true,
            ),
            (Restrictions { networks: networks.clone(), hosts: hosts(&["api.test"]) }, ours, "b.test", false),
            (Restrictions { networks, hosts: hosts(&["api.test"]) }, other, "api.test", false),
            (
                Restrictions { hosts: hosts(&["a.test", "b.test"]), ..Restrictions::default() },
                None,
                "b.test",
                true,
            ),
            (Restrictions { hosts: hosts(&["*.test"]), ..Restrictions::default() }, None, "a.b.test", true),
            (Restrictions { hosts: hosts(&["*.test"]), ..Restrictions::default() }, None, "test", false),
            (Restrictions { hosts: hosts(&["*.test"]), ..Restrictions::default() }, None, ".test", false),
            (Restrictions { hosts: hosts(&["*.test"]), ..Restrictions::default() }, None, "a.bestest", false),
        ] {
            assert_eq!(restrictions.allow(address, host), expected, "{restrictions:?} {address:?} {host}");
        }
    }
}
