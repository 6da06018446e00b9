//! Credentials among the protocols that a WebSocket client offers (RFC 6455 section 4.1): scripts of web pages can say
//! nothing else when they open one.

use std::borrow::Cow;

use super::{Lookup, RequestHead, alike::is_alike, sighting::Sighting};
use crate::text::base64url;

/// The header of the list.
pub const HEADER: &str = "sec-websocket-protocol";

/// The protocol that says that the next one is a credential. Like the scheme of that name it is compared without case.
const MARKER: &[u8] = b"bearer";

/// The beginning of a protocol that holds a credential in base64url without padding, as with Kubernetes.
pub const ENCODED: &str = "base64url.bearer.authorization.k8s.io.";

/// How a credential stands in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolForm {
    /// As the protocol behind `bearer`.
    Next,
    /// Within the protocol that begins with [`ENCODED`].
    Encoded,
}

/// A protocol of the list.
enum Item<'a> {
    Protocol(&'a [u8]),
    Marker(&'a [u8]),
    Credential(ProtocolForm, &'a [u8]),
    /// What some other server takes for a credential.
    Alike,
}

/// The protocols of `lines`, which are one list (RFC 6455 section 11.3.4); empty ones count for nothing (RFC 9110
/// section 5.6.1).
fn items<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = Item<'a>> {
    let protocols = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let mut marked = false;
    protocols.filter(|protocol| !protocol.is_empty()).map(move |protocol| {
        let is_marker = protocol.eq_ignore_ascii_case(MARKER);
        let is_next = std::mem::replace(&mut marked, is_marker);
        let encoded = protocol
            .split_at_checked(ENCODED.len())
            .filter(|(start, _)| start.eq_ignore_ascii_case(ENCODED.as_bytes()));
        match encoded {
            _ if is_marker => Item::Marker(protocol),
            Some(_) => Item::Credential(ProtocolForm::Encoded, protocol),
            None if is_next => Item::Credential(ProtocolForm::Next, protocol),
            None if is_one_to_others(protocol) => Item::Alike,
            None => Item::Protocol(protocol),
        }
    })
}

/// Whether it holds a signed JWT, in whatever form others agreed on, or `bearer` and something behind a blank.
fn is_one_to_others(protocol: &[u8]) -> bool {
    let is_blank = |byte: &u8| !byte.is_ascii_graphic();
    let marked = protocol.split_at_checked(MARKER.len());
    let marked = marked.is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(MARKER) && rest.first().is_some_and(is_blank)
    });
    // A JSON object in base64url, with at least two parts behind it.
    let begins =
        |part: &[u8]| [b"eyJ", b"eyA", b"ewo", b"ewk", b"ew0"].iter().any(|start| part.starts_with(*start));
    let mut parts = protocol.rsplit(|byte| *byte == b'.' || is_blank(byte)).skip(2);
    marked || parts.any(begins)
}

/// What stands in `form`. The same twice is one.
#[inline(never)]
pub(super) fn find<'a>(
    head: &RequestHead<'a>,
    form: ProtocolForm,
    takes_other: bool,
) -> Sighting<Cow<'a, [u8]>> {
    let mut seen = Sighting::default();
    for item in items(head.values(HEADER)) {
        match item {
            Item::Credential(own, protocol) if own == form => {
                let value = match form {
                    ProtocolForm::Next => Some(Cow::Borrowed(protocol)),
                    ProtocolForm::Encoded => decode(protocol),
                };
                let is_known =
                    matches!((&seen.found, &value), (Lookup::One(known), Some(value)) if known == value);
                if !is_known && value.as_deref() != Some(b"") {
                    seen.note(value);
                }
            }
            Item::Credential(..) => seen.has_alike |= !takes_other,
            Item::Alike => seen.has_alike = true,
            Item::Protocol(_) | Item::Marker(_) => {}
        }
    }
    let others = head
        .headers
        .iter()
        .filter(|(name, _)| *name != HEADER.as_bytes() && is_alike(name, HEADER.as_bytes()));
    seen.has_alike |=
        items(others.map(|(_, value)| *value)).any(|item| matches!(item, Item::Credential(..) | Item::Alike));
    seen
}

fn decode<'a>(protocol: &[u8]) -> Option<Cow<'a, [u8]>> {
    base64url::decode(protocol.get(ENCODED.len()..)?).map(Cow::Owned)
}

/// The list without credentials but those in a form of `kept`; `None` when it has no others. Empty: nothing is left, so
/// the header should go. Bytes that are not UTF-8 are dropped with their protocol.
///
/// A `bearer` whose credential is gone goes to the end, so that a server can choose it, and finds no other behind it.
pub fn without(head: &RequestHead<'_>, kept: &[ProtocolForm]) -> Option<String> {
    let goes = |item: &Item<'_>| match item {
        Item::Credential(form, _) => !kept.contains(form),
        Item::Alike => true,
        Item::Protocol(_) | Item::Marker(_) => false,
    };
    if !items(head.values(HEADER)).any(|item| goes(&item)) {
        return None;
    }
    let (mut left, mut marker): (Vec<&[u8]>, Option<&[u8]>) = (Vec::new(), None);
    for item in items(head.values(HEADER)).filter(|item| !goes(item)) {
        match item {
            Item::Marker(protocol) => marker = Some(protocol),
            Item::Credential(ProtocolForm::Next, protocol) => {
                left.extend(marker.take());
                left.push(protocol);
            }
            Item::Protocol(protocol) | Item::Credential(ProtocolForm::Encoded, protocol) => {
                left.push(protocol)
            }
            Item::Alike => {}
        }
    }
    left.extend(marker);
    let left: Vec<_> = left.into_iter().filter_map(|protocol| str::from_utf8(protocol).ok()).collect();
    Some(left.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJub25lIn0.e30.c2ln";
    /// `token`, encoded.
    const TOKEN: &str = "base64url.bearer.authorization.k8s.io.dG9rZW4";

    fn head<'a>(lines: &[&'a str]) -> RequestHead<'a> {
        let headers = lines.iter().map(|line| (HEADER.as_bytes(), line.as_bytes())).collect();
        RequestHead { headers, ..RequestHead::default() }
    }

    #[test]
    fn a_credential_is_found_in_its_form() {
        use ProtocolForm::{Encoded, Next};
        let one = |text: &str| Lookup::One(text.to_owned());
        let encoded = |rest: &str| format!("{ENCODED}{rest}");
        let rows: &[(ProtocolForm, &[&str], Lookup<String>, bool)] = &[
            (Next, &[], Lookup::Absent, false),
            (Next, &["chat, superchat"], Lookup::Absent, false),
            (Next, &["v1.bearer.x, bearer-x, xbearer, x"], Lookup::Absent, false),
            (Next, &["bearer"], Lookup::Absent, false),
            (Next, &["chat, bearer,"], Lookup::Absent, false),
            (Next, &["bearer, x"], one("x"), false),
            (Next, &["bearer,x"], one("x"), false),
            (Next, &[" Bearer \t,\t x , chat"], one("x"), false),
            (Next, &["chat, bearer, x"], one("x"), false),
            (Next, &["chat, bearer,, x, y"], one("x"), false),
            (Next, &["bearer, bearer, x"], one("x"), false),
            (Next, &["chat, bearer", "x, y"], one("x"), false),
            (Next, &["bearer, x, bearer, x"], one("x"), false),
            (Next, &["bearer, x, bearer, y"], Lookup::Many, false),
            (Next, &["bearer, x", "bearer, y"], Lookup::Many, false),
            (Encoded, &[TOKEN], one("token"), false),
            (Encoded, &["chat", TOKEN], one("token"), false),
            (Encoded, &[TOKEN, TOKEN], one("token"), false),
            (Encoded, &[TOKEN, &encoded("eA")], Lookup::Many, false),
            (Encoded, &[&encoded("")], Lookup::Absent, false),
            (Encoded, &[&encoded("dG9rZW4=")], Lookup::Malformed, false),
            (Encoded, &[&encoded("a")], Lookup::Malformed, false),
            // Only others find one.
            (Next, &[TOKEN], Lookup::Absent, true),
            (Encoded, &["bearer, x"], Lookup::Absent, true),
            (Next, &["bearer, x", TOKEN], one("x"), true),
            (Next, &["bearer, x", JWT], one("x"), true),
            (Next, &["bearer x"], Lookup::Absent, true),
            (Next, &["jwt, eyJhbGciOiJub25lIn0.e30.c2ln"], Lookup::Absent, true),
            (Next, &["access_token.eyJhbGciOiJub25lIn0.e30."], Lookup::Absent, true),
            (Next, &["token eyJhbGciOiJub25lIn0.e30.c2ln"], Lookup::Absent, true),
            (Next, &["eyJ, x.eyJ.e30, eyes.eyJ"], Lookup::Absent, false),
        ];
        for (form, lines, expected, has_alike) in rows {
            let seen = find(&head(lines), *form, false);
            let found = seen.found.map(|value| String::from_utf8(value.into_owned()).unwrap());
            assert_eq!((&found, seen.has_alike), (expected, *has_alike), "{form:?} {lines:?}");
        }
        assert!(!find(&head(&["bearer, x", TOKEN]), Next, true).has_alike);
        for (name, value, expected) in [
            ("sec_websocket_protocol", "bearer, x", true),
            ("Sec.WebSocket.Protocol", TOKEN, true),
            ("sec_websocket_protocol", "chat, bearer", false),
            ("sec-websocket-protocols", "bearer, x", false),
        ] {
            let headers = vec![(name.as_bytes(), value.as_bytes())];
            let seen = find(&RequestHead { headers, ..RequestHead::default() }, Next, false);
            assert_eq!((seen.found, seen.has_alike), (Lookup::Absent, expected), "{name} {value}");
        }
    }

    #[test]
    fn credentials_are_taken_out_and_protocols_stay() {
        use ProtocolForm::{Encoded, Next};
        let rows: &[(&[&str], &[ProtocolForm], Option<&str>)] = &[
            (&[], &[], None),
            (&["chat", "bearer"], &[], None),
            (&["bearer, x"], &[], Some("bearer")),
            (&["bearer,x, chat"], &[], Some("chat, bearer")),
            (&["chat, Bearer, x"], &[], Some("chat, Bearer")),
            (&["chat", "bearer", "x"], &[], Some("chat, bearer")),
            // Nobody finds the next one then.
            (&["bearer, x, y"], &[], Some("y, bearer")),
            (&["bearer, bearer, x, y"], &[], Some("y, bearer")),
            (&["bearer, x, bearer, y, z"], &[], Some("z, bearer")),
            (&[TOKEN], &[], Some("")),
            (&["chat", TOKEN], &[], Some("chat")),
            (&["jwt", JWT, "bearer x"], &[], Some("jwt")),
            (&["bearer, x, chat"], &[Next], None),
            (&["chat", TOKEN], &[Encoded], None),
            (&["bearer, x, chat", TOKEN], &[Next], Some("bearer, x, chat")),
            (
                &["bearer, x, chat", TOKEN],
                &[Encoded],
                Some("chat, base64url.bearer.authorization.k8s.io.dG9rZW4, bearer"),
            ),
            (&["bearer, x", JWT], &[Next, Encoded], Some("bearer, x")),
        ];
        for (lines, kept, expected) in rows {
            let left = without(&head(lines), kept);
            assert_eq!(left.as_deref(), *expected, "{lines:?} {kept:?}");
            if let Some(left) = left {
                assert_eq!(without(&head(&[&left]), kept), None, "{lines:?} {kept:?}");
            }
        }
    }
}
