//! CORS preflights: a browser's question whether a page may send a request (Fetch standard, section 3.3.2).

use super::{RequestHead, connection, overriding};

/// The method of every preflight.
pub const METHOD: &str = "OPTIONS";

/// The method that a preflight asks for; `None`: the request is none.
///
/// A preflight is an OPTIONS request with one `Origin` and one `Access-Control-Request-Method`. It has ended with its
/// headers, asks for no other protocol on its connection (RFC 9110 section 7.8, RFC 8441 section 4), and says nothing
/// that some server takes for another method or path. No browser sends one that does, and it passes without
/// credentials.
pub fn requested_method<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
    if head.single(":method").one()? != METHOD.as_bytes() || head.single("origin").one()?.is_empty() {
        return None;
    }
    let has_body = !head.ends
        || head.values("transfer-encoding").next().is_some()
        || head.values("content-length").any(|length| length != b"0");
    if has_body
        || connection::upgrades(head)
        || head.headers.iter().any(|(name, _)| overriding::is_overriding(name))
    {
        return None;
    }
    let method = str::from_utf8(head.single("access-control-request-method").one()?).ok()?;
    // A method is a token (RFC 9110 section 5.6.2); Envoy refuses any other.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (!method.is_empty() && method.bytes().all(token)).then_some(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_preflight() {
        const BASE: [(&str, &str); 3] = [
            (":method", "OPTIONS"),
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "PUT"),
        ];
        let requested = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            let head = RequestHead { headers, ends: true, ..RequestHead::default() };
            // With a body, or trailers, it is none.
            assert_eq!(requested_method(&RequestHead { ends: false, ..head.clone() }), None);
            requested_method(&head)
        };
        assert_eq!(requested(&BASE), Some("PUT"));
        let replaced = |index: usize, value| {
            let mut headers = BASE;
            headers[index].1 = value;
            requested(&headers)
        };
        assert_eq!(replaced(0, "GET"), None);
        assert_eq!(replaced(0, "options"), None);
        assert_eq!(replaced(1, "null"), Some("PUT"));
        assert_eq!(replaced(1, ""), None);
        assert_eq!(replaced(2, "put"), Some("put"));
        for method in ["", "PUT, GET", "PUT ", "PÜT"] {
            assert_eq!(replaced(2, method), None, "{method}");
        }
        for (index, header) in BASE.iter().enumerate() {
            let without: Vec<_> = BASE.iter().copied().enumerate().filter(|(i, _)| *i != index).collect();
            let without: Vec<_> = without.into_iter().map(|(_, header)| header).collect();
            assert_eq!(requested(&without), None, "without {}", header.0);
            assert_eq!(requested(&[&BASE[..], &[*header]].concat()), None, "{} twice", header.0);
        }
        for (header, expected) in [
            (("access-control-request-headers", "authorization"), Some("PUT")),
            (("content-length", "0"), Some("PUT")),
            (("content-length", "1"), None),
            (("transfer-encoding", "chunked"), None),
            (("x-http-method-override", "DELETE"), None),
            (("x-http-method", "DELETE"), None),
            (("x-method-override", "DELETE"), None),
            (("x_http_method-override", "DELETE"), None),
            (("x.http.method", "DELETE"), None),
            (("x-original-url", "/"), None),
            (("x-http-methods", "DELETE"), Some("PUT")),
            (("upgrade", "websocket"), None),
            (("upgrade", ""), None),
            (("connection", "Upgrade"), None),
            (("connection", "keep-alive, upgrade"), None),
            (("connection", "keep-alive"), Some("PUT")),
            (("upgrade-insecure-requests", "1"), Some("PUT")),
            ((":protocol", "websocket"), None),
        ] {
            assert_eq!(requested(&[&BASE[..], &[header]].concat()), expected, "{header:?}");
        }
    }
}
