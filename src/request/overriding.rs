//! Request headers by which some server acts on another request than the one that was decided on.

use super::{alike::is_alike, client_certificate::FORWARDED_HEADER};

/// They are for proxies behind us to set, if for anybody: what a client sends under these names is removed, in every
/// spelling, unless the policy gives a name back.
pub const NAMES: [&str; 17] = [
    // Another method: web frameworks and their libraries, OData, and services that decide for a proxy in front.
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
    "x-forwarded-method",
    // Another path: PHP frameworks for the sake of IIS, and services that decide for a proxy in front.
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-forwarded-uri",
    // A part of the path that is not looked at: gunicorn, mod_wsgi, and what WSGI applications put before themselves.
    "script-name",
    "path-info",
    "x-script-name",
    "x-forwarded-script-name",
    // CGI makes HTTP_PROXY of it, by which programs find the proxy for their own calls (CVE-2016-5385).
    "proxy",
    // Rack answers with a path for a proxy to send, within what the proxy gives to nobody (CVE-2025-61780).
    "x-sendfile-type",
    "x-accel-mapping",
    // Next.js passes over its own checks (CVE-2025-29927).
    "x-middleware-subrequest",
];

/// Headers of which Envoy, or a proxy in front that is trusted, vouches for this very spelling. A server that reads
/// another one as the same would be told something else: where the body ends, who sent the request, and how.
pub const VOUCHED_FOR: [&str; 5] =
    ["content-length", "transfer-encoding", "x-forwarded-for", "x-forwarded-proto", FORWARDED_HEADER];

/// Whether `name` is one of [`NAMES`], in any spelling.
pub fn is_overriding(name: &[u8]) -> bool {
    NAMES.iter().any(|overriding| is_alike(name, overriding.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_overrides() {
        for (name, expected) in [
            ("x-http-method-override", true),
            ("X_HTTP.Method~Override", true),
            ("SCRIPT_NAME", true),
            ("Proxy", true),
            ("x-http-method-overrides", false),
            ("x-forwarded-prefix", false),
            ("proxy-authorization", false),
            ("", false),
        ] {
            assert_eq!(is_overriding(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn each_name_stands_once_and_in_lower_case() {
        let all: Vec<_> = NAMES.iter().chain(&VOUCHED_FOR).collect();
        for (n, name) in all.iter().enumerate() {
            assert_eq!(**name, name.to_ascii_lowercase());
            assert!(!all.iter().take(n).any(|other| is_alike(other.as_bytes(), name.as_bytes())), "{name}");
        }
    }
}
