//! Networks by their addresses (CIDR, RFC 4632).

use std::net::IpAddr;

use ipnet::IpNet;

/// Some networks. An empty list holds no address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Networks(pub Vec<IpNet>);

impl Networks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them holds the address. An IPv4 address in IPv6 form (RFC 4291 section 2.5.5.2), as a dual-stack
    /// listener reports it, is that IPv4 address.
    pub fn hold(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_within() {
        let networks = |texts: &[&str]| Networks(texts.iter().map(|text| text.parse().unwrap()).collect());
        for (of, address, expected) in [
            (&["10.0.0.0/8"][..], "10.255.255.255", true),
            (&["10.0.0.0/8"], "11.0.0.0", false),
            (&["10.0.0.0/8"], "::ffff:10.1.2.3", true),
            (&["10.0.0.0/8"], "::10.1.2.3", false),
            (&["192.0.2.1/32"], "192.0.2.1", true),
            (&["192.0.2.1/32"], "192.0.2.2", false),
            (&["2001:db8::/32", "10.0.0.0/8"], "2001:db8:ffff::1", true),
            (&["2001:db8::/32"], "2001:db9::1", false),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["::/0"], "192.0.2.1", false),
            (&[], "192.0.2.1", false),
        ] {
            assert_eq!(networks(of).hold(address.parse().unwrap()), expected, "{address} in {of:?}");
        }
    }
}
