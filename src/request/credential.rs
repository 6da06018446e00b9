//! Where credentials stand in a request. What they are worth is decided elsewhere.

use std::borrow::Cow;

use super::{Location, Lookup, RequestHead, cookie, query};

/// The only credential at any of `locations`.
///
/// Two of them are [`Lookup::Many`], also when they are equal: which one counts would be anybody's guess
/// (RFC 6750 section 2 allows one method of sending a token in a request).
pub fn find<'a, 'l>(
    locations: impl IntoIterator<Item = &'l Location>,
    head: &RequestHead<'a>,
    query: Option<&'a str>,
) -> Lookup<(Cow<'a, str>, &'l Location)> {
    let mut found = Lookup::Absent;
    for location in locations {
        let here = location.find(head, query);
        found = match (found, here) {
            (found, Lookup::Absent) => found,
            (Lookup::Absent, Lookup::One(value)) => Lookup::One((value, location)),
            (Lookup::Absent, Lookup::Malformed) => Lookup::Malformed,
            _ => return Lookup::Many,
        };
    }
    found
}

impl Location {
    fn find<'a>(&self, head: &RequestHead<'a>, query: Option<&'a str>) -> Lookup<Cow<'a, str>> {
        match self {
            Self::Header { name, prefix } => {
                let values = head.values(name).filter_map(|value| strip_prefix(value, prefix));
                match Lookup::only(values.map(|value| str::from_utf8(value).ok())) {
                    // Envoy joins the lines of `authorization` with a comma, which no credential holds.
                    Lookup::One(value) if value.contains(',') => Lookup::Many,
                    found => found.map(|value| Cow::Borrowed(value.trim_matches([' ', '\t']))),
                }
            }
            Self::Cookie(name) => cookie::single(head, name).map(Cow::Borrowed),
            Self::Query(name) => query.map_or(Lookup::Absent, |query| query::single(query, name)),
        }
    }
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
            let found = find(&locations, &head, *query).map(|(value, _)| value.into_owned());
            let expected = expected.clone().map(str::to_owned);
            assert_eq!(found, expected, "{headers:?} {query:?}");
        }
    }
}
