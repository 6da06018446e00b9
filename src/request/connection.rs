//! Options of a connection (RFC 9110 section 7.6.1). A proxy drops every header that one of them names. Envoy does so
//! itself, except on upgrades: there it passes the options on to the server behind it.

use super::RequestHead;

/// Lower case.
pub const HEADER: &str = "connection";

/// Options of HTTP itself: they name no header that is meant for the server at the end.
const OF_HTTP: [&str; 5] = ["close", "http2-settings", "keep-alive", "te", "upgrade"];

/// Whether a request asks for another protocol (RFC 9110 section 7.8, RFC 8441 section 4), so that something else than an
/// answer could follow.
pub fn upgrades(head: &RequestHead<'_>) -> bool {
    let mut options = head.values(HEADER).flat_map(|line| line.split(|byte| *byte == b','));
    head.values("upgrade").next().is_some()
        || head.values(":protocol").next().is_some()
        || options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// The options without those that may name a header, all lines joined; `None` when there are none of them. Empty:
/// nothing is left, so the header should go.
pub fn without_names(head: &RequestHead<'_>) -> Option<String> {
    let options =
        || head.values(HEADER).flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let of_http = |option: &[u8]| OF_HTTP.into_iter().find(|own| option.eq_ignore_ascii_case(own.as_bytes()));
    if options().all(|option| option.is_empty() || of_http(option).is_some()) {
        return None;
    }
    Some(options().filter_map(of_http).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_name_headers_are_taken_out() {
        let rows: &[(&[&str], Option<&str>)] = &[
            (&[], None),
            (&[""], None),
            (&["Upgrade"], None),
            (&["keep-alive, Upgrade", ", close"], None),
            (&["upgrade, x-portcullis-subject"], Some("upgrade")),
            (&["Upgrade", "X_Portcullis.Subject,te"], Some("upgrade, te")),
            (&["x-portcullis-subject"], Some("")),
            (&["upgrade,content-length, http2-settings"], Some("upgrade, http2-settings")),
            (&["upgrade upgrade"], Some("")),
            (&["upgrade, \u{e9}"], Some("upgrade")),
        ];
        for (lines, expected) in rows {
            let mut headers: Vec<(&[u8], &[u8])> =
                lines.iter().map(|line| (HEADER.as_bytes(), line.as_bytes())).collect();
            headers.push((b"x-connection", b"x-other"));
            let head = RequestHead { headers, ..RequestHead::default() };
            assert_eq!(without_names(&head).as_deref(), *expected, "{lines:?}");
        }
    }
}
