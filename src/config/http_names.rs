//! The forms of names that HTTP defines: methods, header names, hosts.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    faults::quoted,
    reader::Node,
    scalar::{MAX_NAME, text},
};
use crate::{
    origin::WebOrigin,
    request::{alike::is_alike, authority, overriding, path::CanonicalPath},
};

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

/// A request method. Methods are case-sensitive (RFC 9110 section 9.1), so `get` would never match.
#[inline(never)]
pub(super) fn method(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    if !is_token(&text) {
        faults.add(&path, format!("{} is not a request method", quoted(&text)));
        return None;
    }
    let upper = text.to_ascii_uppercase();
    if upper != text {
        faults.add(
            &path,
            format!("methods are case-sensitive: {} would never match; write {upper}", quoted(&text)),
        );
        return None;
    }
    Some(text)
}

/// The name of a request header, in lower case as the filter sees it.
#[inline(never)]
pub(super) fn header_name(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    let fault = |message: String| {
        faults.add(&path, message);
        None
    };
    if text.starts_with(':') {
        return fault(format!(
            "{} is a pseudo-header; match on path, methods or hostnames instead",
            quoted(&text)
        ));
    }
    if !is_token(&text) || text.len() > MAX_NAME {
        return fault(format!("{} is not a header name (RFC 9110)", quoted(&text)));
    }
    let lower = text.to_ascii_lowercase();
    if lower == "host" {
        return fault("the filter does not see host as a header; use hostnames".into());
    }
    Some(lower)
}

/// Headers that carry the message, a credential or Envoy's own knowledge.
pub(super) const TAKEN: [&str; 20] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "keep-alive",
    "origin",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];

/// How others begin.
pub(super) const TAKEN_PREFIXES: [&str; 5] = ["x-envoy-", "x-forwarded-", "proxy-", "sec-", "grpc-"];

/// A header that the filter removes from requests and sets itself. Headers that carry the message, a
/// credential or Envoy's own knowledge must never be replaced by a claim.
#[inline(never)]
pub(super) fn owned_header_name(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let name = header_name(node)?;
    let is_one = |taken: &&str| is_alike(name.as_bytes(), taken.as_bytes());
    let begins = |prefix: &&str| {
        name.as_bytes().get(..prefix.len()).is_some_and(|start| is_alike(start, prefix.as_bytes()))
    };
    let overrides = overriding::is_overriding(name.as_bytes());
    if TAKEN.iter().any(is_one) || TAKEN_PREFIXES.iter().any(begins) || overrides {
        faults.add(&path, format!("{} has a meaning of its own; give another", quoted(&name)));
        return None;
    }
    Some(name)
}

/// `host` or `host:port` for a redirect, in lower case.
pub(super) fn authority(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?.to_ascii_lowercase();
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of a bare `[::1]` is part of the address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text.as_str(), None),
    };
    let digits = |p: &str| p.bytes().all(|b| b.is_ascii_digit());
    let port_ok = port.is_none_or(|p| digits(p) && p.parse::<u16>().is_ok_and(|p| p > 0));
    if is_host(host) && port_ok {
        return Some(text);
    }
    faults.add(&path, format!("{} is not host or host:port, as in api.example.com:8443", quoted(&text)));
    None
}

/// A path of our own, as requests for it are read.
pub(super) fn path(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    match CanonicalPath::parse(text.as_bytes()) {
        Ok(read) if read.query().is_none() && !read.rewritten() => return Some(text),
        Ok(read) if read.query().is_none() => {
            faults.add(&path, format!("write {}, the form in which requests are read", quoted(read.path())));
        }
        _ => faults.add(&path, format!("{} is not a path without query, as in /keys.json", quoted(&text))),
    }
    None
}

/// The origin of web pages, as browsers write it.
pub(super) fn origin(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    let message = match WebOrigin::parse(&text) {
        Ok(origin) if origin.is_trustworthy() => return Some(origin.as_str().to_owned()),
        Ok(_) => "must be an https origin; http is taken from localhost alone",
        Err(message) => message,
    };
    faults.add(&path, message);
    None
}

/// The name of a cookie that browsers take from one host alone, over TLS, for all of its paths (RFC 6265bis section
/// 4.1.3.2).
pub(super) fn host_cookie(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    let rule = "must begin with __Host-, so that no other host can set the cookie, as in __Host-session";
    if text.len() <= MAX_NAME && text.strip_prefix("__Host-").is_some_and(is_token) {
        return Some(text);
    }
    faults.add(&path, format!("{} is not valid here: it {rule}", quoted(&text)));
    None
}

/// `api.example.com` or `*.example.com`, in lower case; an address in the form in which requests are read.
pub(super) fn hostname(node: Node<'_>) -> Option<String> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?.to_ascii_lowercase();
    let (is_wildcard, base) = match text.strip_prefix("*.") {
        Some(base) => (true, base),
        None => (false, text.as_str()),
    };
    let is_address = base.starts_with('[') || base.parse::<Ipv4Addr>().is_ok();
    let message = match authority::host(base.as_bytes()) {
        Ok(_) if is_wildcard && is_address => {
            format!("{} is an address, which has no subdomains", quoted(base))
        }
        Ok(host) if is_host(base) && host == base => return Some(text),
        Ok(host) if is_address && host != base => format!("write {host}, the address in its shortest form"),
        _ => {
            let rule = "is not a host name, as in api.example.com or *.example.com, without port";
            format!("{} {rule}", quoted(&text))
        }
    };
    faults.add(&path, message);
    None
}

/// A DNS name (RFC 1123 section 2.1), an IPv4 address, or an IPv6 address in brackets.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for good in ["a", "api.example.com", "127.0.0.1", "[::1]", "xn--bcher-kva.example", "my_host"] {
            assert!(is_host(good), "{good}");
        }
        let long = "a".repeat(64);
        for bad in
            ["", ".", "a..b", "a.", "-a", "a-", "a b", "a/b", "a:1", "[1]", "::1", "*", "ä", long.as_str()]
        {
            assert!(!is_host(bad), "{bad}");
        }
    }
}
