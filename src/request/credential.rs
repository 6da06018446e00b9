//! Where credentials stand in a request. What they are worth is decided elsewhere.

use std::borrow::Cow;

use super::{Location, Lookup, RequestHead, cookie, query};

/// What stands where a credential may, as it was sent; not read yet, since most were read before. Its parent's
/// `Debug` does not show it: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential<'a, 'l> {
    value: Cow<'a, [u8]>,
    /// Where it stands.
    pub location: &'l Location,
}

/// Why a credential has no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// More than one in one value: Envoy joins the lines of `authorization` with a comma, which no credential holds.
    Several,
    /// Not UTF-8.
    NotText,
}

impl Credential<'_, '_> {
    /// As it was sent, but for its prefix and the blanks around it.
    pub fn bytes(&self) -> &[u8] {
        &self.value
    }

    /// Its text, if it is one.
    pub fn text(&self) -> Result<&str, Unreadable> {
        let text = str::from_utf8(&self.value).map_err(|_| Unreadable::NotText)?;
        match self.location {
            Location::Header { .. } if text.contains(',') => Err(Unreadable::Several),
            _ => Ok(text),
        }
    }
}

/// The only credential at any of `locations`.
///
/// Two of them are [`Lookup::Many`], also when they are equal: which one counts would be anybody's guess
/// (RFC 6750 section 2 allows one method of sending a token in a request).
pub fn find<'a, 'l>(
    locations: impl IntoIterator<Item = &'l Location>,
    head: &RequestHead<'a>,
    query: Option<&'a str>,
) -> Lookup<Credential<'a, 'l>> {
    let mut found = Lookup::Absent;
    for location in locations {
        match location.find(head, query) {
            Lookup::Absent => {}
            _ if !matches!(found, Lookup::Absent) => return Lookup::Many,
            Lookup::One(value) => found = Lookup::One(Credential { value, location }),
            Lookup::Malformed => found = Lookup::Malformed,
            Lookup::Many => return Lookup::Many,
        }
    }
    found
}

impl Location {
    fn find<'a>(&self, head: &RequestHead<'a>, query: Option<&'a str>) -> Lookup<Cow<'a, [u8]>> {
        match self {
            Self::Header { name, prefix } => {
                let values = head.values(name).filter_map(|value| strip_prefix(value, prefix));
                Lookup::only(values.map(Some)).map(|value| Cow::Borrowed(without_blanks(value)))
            }
            Self::Cookie(name) => cookie::single(head, name).map(|value| Cow::Borrowed(value.as_bytes())),
            Self::Query(name) => query.map_or(Lookup::Absent, |query| in_query(query, name)),
        }
    }
}

#[inline(never)]
fn in_query<'a>(query: &'a str, name: &str) -> Lookup<Cow<'a, [u8]>> {
    query::single(query, name).map(|value| match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
    })
}

/// Without spaces and tabs at either end (RFC 9110 section 5.5).
fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// What follows `prefix` in `value`; `None` when it begins otherwise. Schemes are compared without case
/// (RFC 9110 section 11.1).
pub fn strip_prefix<'a>(value: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix.as_bytes()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, prefix: &str) -> Location {
        Location::Header { name: name.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn one_credential_or_none() {
        let locations =
            [header("authorization", "Bearer "), Location::Cookie("t".into()), Location::Query("t".into())];
        type Row<'a> = (&'a [(&'a [u8], &'a [u8])], Option<&'a str>, Lookup<&'a str>);
        let rows: &[Row<'_>] = &[
            (&[], None, Lookup::Absent),
            (&[(b"authorization", b"Bearer a.b.c")], None, Lookup::One("a.b.c")),
            (&[(b"authorization", b"bearer a.b.c")], None, Lookup::One("a.b.c")),
            (&[(b"authorization", b"Bearer  a ")], None, Lookup::One("a")),
            (&[(b"authorization", b"Bearer ")], None, Lookup::One("")),
            (&[(b"authorization", b"Bearer")], None, Lookup::Absent),
            (&[(b"authorization", b"Basic a")], None, Lookup::Absent),
            (&[(b"authorization", b"Bearer \xff")], None, Lookup::Malformed),
            (&[(b"authorization", b"Bearer a,Bearer b")], None, Lookup::Many),
            (&[(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")], None, Lookup::Many),
            (&[(b"authorization", b"Basic a"), (b"authorization", b"Bearer b")], None, Lookup::One("b")),
            (&[(b"cookie", b"t=x")], None, Lookup::One("x")),
            (&[], Some("t=x"), Lookup::One("x")),
            (&[], Some("t=x&t=x"), Lookup::Many),
            (&[(b"cookie", b"t=x")], Some("t=x"), Lookup::Many),
            (&[(b"authorization", b"Bearer a")], Some("t=x"), Lookup::Many),
            (&[(b"authorization", b"Bearer a")], Some("t=%ff"), Lookup::Many),
        ];
        for (headers, query, expected) in rows {
            let head = RequestHead {
                headers: headers.to_vec(),
                remote_address: None,
                tls: true,
                peer_certificate: None,
            };
            let found = match find(&locations, &head, *query) {
                Lookup::One(found) => match found.text() {
                    Ok(text) => Lookup::One(text.to_owned()),
                    Err(Unreadable::Several) => Lookup::Many,
                    Err(Unreadable::NotText) => Lookup::Malformed,
                },
                other => other.map(|_| String::new()),
            };
            let expected = expected.clone().map(str::to_owned);
            assert_eq!(found, expected, "{headers:?} {query:?}");
        }
    }
}
