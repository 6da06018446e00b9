//! Networks by their addresses (CIDR, RFC 4632).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    faults::quoted,
    reader::{Node, Object},
    scalar,
};
use crate::network::Networks;

/// A list of networks.
pub(super) fn networks(o: &mut Object<'_>, field: &'static str) -> Option<Networks> {
    o.list(field)?.all(network).map(Networks)
}

/// `10.0.0.0/8`, `2001:db8::/32`, or one address.
fn network(node: Node<'_>) -> Option<IpNet> {
    let (path, faults) = (node.path, node.faults);
    let text = scalar::text(node)?;
    let fault = |message: String| {
        faults.add(&path, message);
        None
    };
    let Some(network) = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    else {
        return fault(format!("{} is no network; write it as 10.0.0.0/8 or 2001:db8::/32", quoted(&text)));
    };
    let whole = network.trunc();
    if whole != network {
        return fault(format!("{} has bits behind its prefix; did you mean \"{whole}\"?", quoted(&text)));
    }
    // Addresses are compared as IPv4 where they are IPv4 in IPv6 form: this would never match.
    if let IpAddr::V6(address) = network.addr()
        && address.to_ipv4_mapped().is_some()
    {
        return fault(format!("{} is IPv4 in IPv6 form; write it as IPv4", quoted(&text)));
    }
    Some(network)
}
