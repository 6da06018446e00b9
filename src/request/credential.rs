//! Where credentials stand in a request. What they are worth is decided elsewhere.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    Location, Lookup, RequestHead,
    alike::{AlikeNames, is_alike},
    cookie,
    protocol::{self, ProtocolForm},
    query,
    sighting::Sighting,
};

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

/// What cookies and parameters are called in which credentials may stand.
#[derive(Debug, Default)]
pub struct CredentialNames {
    /// Of cookies.
    pub cookies: AlikeNames,
    /// Of query parameters.
    pub params: AlikeNames,
}

impl CredentialNames {
    /// Those of `locations`.
    pub fn of<'l>(locations: impl IntoIterator<Item = &'l Location>) -> Self {
        let mut names = Self::default();
        for location in locations {
            match location {
                Location::Cookie(name) => names.cookies.add(name),
                Location::Query(name) => names.params.add(name),
                Location::Header { .. } | Location::WebSocketProtocol(_) => continue,
            };
        }
        names
    }
}

/// What of a request may hold credentials, read when it is first asked for.
#[derive(Default)]
struct Read<'a> {
    cookies: OnceCell<cookie::Suspects<'a>>,
    params: OnceCell<query::Suspects<'a>>,
}

/// Where the rule at hand looks for credentials, by kind.
#[derive(Clone, Copy)]
pub struct Places<'l> {
    /// The names of all places where any rule of the policy looks, these places among them.
    pub names: &'l CredentialNames,
    /// Access tokens.
    pub tokens: &'l [Location],
    /// API keys.
    pub keys: &'l [Location],
    /// Signatures of whole requests.
    pub signatures: &'l [Location],
}

/// What stands there, by kind.
pub struct Found<'a, 'l> {
    /// The only access token.
    pub token: Lookup<Credential<'a, 'l>>,
    /// The only API key.
    pub key: Lookup<Credential<'a, 'l>>,
    /// The only header with signatures.
    pub signature: Lookup<Credential<'a, 'l>>,
}

impl<'l> Places<'l> {
    /// The only credential of each kind.
    ///
    /// Two of a kind are [`Lookup::Many`]: which one counts would be anybody's guess (RFC 6750 section 2 allows one
    /// method of sending a token in a request). The same bytes at two places count as one credential, and empty ones do
    /// not count. What only a looser server would find is no credential, but where there is one, it counts as a second.
    pub fn find<'a>(self, head: &RequestHead<'a>, query: Option<&'a str>) -> Found<'a, 'l> {
        let mut has_alike = false;
        let read = Read::default();
        let mut find = |locations: &'l [Location]| {
            let mut found = Lookup::Absent;
            for location in locations {
                let seen = self.look(location, head, query, &read);
                has_alike |= seen.has_alike;
                found = join(found, seen.found, location);
            }
            found
        };
        let found =
            Found { token: find(self.tokens), key: find(self.keys), signature: find(self.signatures) };
        if has_alike { found.beside_another() } else { found }
    }

    fn look<'a>(
        self,
        location: &Location,
        head: &RequestHead<'a>,
        query: Option<&'a str>,
        read: &Read<'a>,
    ) -> Sighting<Cow<'a, [u8]>> {
        match location {
            Location::Header { name, prefix } => {
                let seen = self.in_headers(head, name, prefix);
                if location.has_no_scheme() { without_scheme(seen) } else { seen }
            }
            Location::Cookie(name) => {
                let names = &self.names.cookies;
                let Some(place) = names.place(name) else { return Sighting::default() };
                let suspects = read.cookies.get_or_init(|| cookie::suspects(head, names));
                suspects.find(place, name, |given| {
                    self.any(
                        |other| matches!(other, Location::Cookie(own) if own != name && own.as_bytes() == given),
                    )
                })
            }
            Location::Query(name) => {
                let names = &self.names.params;
                let (Some(place), Some(query)) = (names.place(name), query) else {
                    return Sighting::default();
                };
                let suspects = read.params.get_or_init(|| query::suspects(query, names));
                suspects.find(place, name, |given| {
                    self.any(|other| matches!(other, Location::Query(own) if own != name && own == given))
                })
            }
            Location::WebSocketProtocol(form) => protocol::find(head, *form, self.takes_other_form(*form)),
        }
    }

    /// Whether a place is of another form than `form` within the same list.
    fn takes_other_form(self, form: ProtocolForm) -> bool {
        self.any(|other| matches!(other, Location::WebSocketProtocol(own) if *own != form))
    }

    fn in_headers<'a>(self, head: &RequestHead<'a>, name: &str, prefix: &str) -> Sighting<Cow<'a, [u8]>> {
        let mut seen = Sighting::default();
        let mut others = false;
        for (given, value) in &head.headers {
            // The length tells most names apart.
            if given.len() != name.len() {
                continue;
            }
            if *given == name.as_bytes() {
                match strip_prefix(value, prefix).map(without_blanks) {
                    Some([]) => {}
                    Some(value) => seen.note(Some(Cow::Borrowed(value))),
                    None => others = true,
                }
            } else if is_alike(given, name.as_bytes()) {
                let is = |other: &Location| matches!(other, Location::Header { name, .. } if name.as_bytes() == *given);
                seen.has_alike |= holds_some(value, prefix) && !self.any(is);
            }
        }
        if others && seen.found != Lookup::Absent {
            // The header has other lines, too. Where this one is taken out, they are taken out with it.
            let is_other = |value: &[u8]| strip_prefix(value, prefix).is_none() && holds_some(value, prefix);
            seen.has_alike |= head.values(name).any(is_other);
        }
        seen
    }

    /// Whether any place is one that `test` says.
    fn any(self, test: impl FnMut(&Location) -> bool) -> bool {
        self.tokens.iter().chain(self.keys).chain(self.signatures).any(test)
    }
}

impl Found<'_, '_> {
    /// What was found, given that the request also holds something that only looser servers would find.
    #[cold]
    fn beside_another(self) -> Self {
        match (&self.token, &self.key, &self.signature) {
            (Lookup::Absent, Lookup::Absent, Lookup::Absent) => self,
            _ => Self { token: Lookup::Many, key: Lookup::Many, signature: Lookup::Many },
        }
    }
}

/// Behind a scheme stand a blank and a credential of that scheme (RFC 9110 section 11.4), which is none of those that need
/// none: it is not to be taken for one, and nobody is to be asked about it.
#[inline(never)]
fn without_scheme(seen: Sighting<Cow<'_, [u8]>>) -> Sighting<Cow<'_, [u8]>> {
    let has_scheme =
        matches!(&seen.found, Lookup::One(value) if value.iter().any(|byte| matches!(byte, b' ' | b'\t')));
    if has_scheme { Sighting { found: Lookup::Malformed, ..seen } } else { seen }
}

/// What was found so far, and at `location`.
fn join<'a, 'l>(
    found: Lookup<Credential<'a, 'l>>,
    here: Lookup<Cow<'a, [u8]>>,
    location: &'l Location,
) -> Lookup<Credential<'a, 'l>> {
    match (found, here) {
        (found, Lookup::Absent) => found,
        (Lookup::Absent, here) => here.map(|value| Credential { value, location }),
        (Lookup::One(first), Lookup::One(value)) if first.value == value => Lookup::One(first),
        _ => Lookup::Many,
    }
}

/// Whether some server may find a credential in `value` where we would not look for one. It may stand behind other
/// white space; in a later item of a list, which is what several lines become when they are joined; or wherever else
/// the scheme stands with something behind it, since some servers look for no more than that.
pub fn may_hold(value: &[u8], prefix: &str) -> bool {
    let scheme = prefix.trim_ascii_end();
    let ends = |byte: &u8| !byte.is_ascii_graphic() || *byte == b',';
    // A prefix that is no scheme may stand within any word by chance, even within a credential that was verified. So it
    // counts only at the beginning of a word.
    let is_scheme = scheme.len() < prefix.len();
    let front = strip_prefix(value, scheme).map(|rest| !is_scheme || rest.first().is_none_or(ends));
    // With an empty prefix the front has decided already.
    let first = scheme.bytes().next().unwrap_or_default();
    let later = |at: usize| {
        let rest = value.get(at..).and_then(|item| strip_prefix(item, scheme));
        let before = at.checked_sub(1).and_then(|at| value.get(at));
        rest.is_some_and(|rest| if is_scheme { rest.first() } else { before }.is_some_and(ends))
    };
    // The front first: there it nearly always is, and values are long.
    front == Some(true)
        || value.iter().enumerate().any(|(at, byte)| byte.eq_ignore_ascii_case(&first) && later(at))
}

/// The same, but only of a credential that is not empty.
#[inline(never)]
fn holds_some(value: &[u8], prefix: &str) -> bool {
    may_hold(value, prefix) && value.trim_ascii().len() > prefix.trim_ascii().len()
}

/// Without spaces and tabs at either end, which belong to no value (RFC 9110 section 5.5). Envoy takes them away over
/// HTTP/1.1 alone.
pub(crate) fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// What follows `prefix` in `value`; `None` when it begins otherwise. Schemes are compared without case
/// (RFC 9110 section 11.1).
#[inline]
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

    /// Of what looser servers find there is none, but it makes a second of any.
    #[test]
    fn what_only_looser_servers_find_counts_beside_a_credential() {
        let tokens =
            [header("authorization", "Bearer "), header("x-auth", "Token "), Location::Cookie("t".into())];
        let keys = [header("x-api-key", ""), header("x_api.key", ""), Location::Query("k".into())];
        type Headers<'a> = &'a [(&'a [u8], &'a [u8])];
        // Headers and query; whether anything is found beside it.
        let rows: &[(Headers<'_>, &str, bool)] = &[
            (&[], "", true),
            (&[(b"x_api_key", b"x")], "", false),
            (&[(b"x.api.key", b" x")], "", false),
            (&[(b"X-API-KEY", b"x")], "", false),
            (&[(b"x_api_key", b" ")], "", true),
            (&[(b"x-api-keys", b"x")], "", true),
            (&[(b"x_auth", b"token	x")], "", false),
            (&[(b"x_auth", b"Basic x, Token y")], "", false),
            (&[(b"x_auth", b"Token ")], "", true),
            (&[(b"x_auth", b"Basic x")], "", true),
            // Other credentials, of which nothing is left upstream.
            (&[(b"x-auth", b"Token	x")], "", true),
            (&[(b"cookie", b"T=x")], "", false),
            (&[(b"cookie", b"a=1 t=x")], "", false),
            (&[(b"cookie", b"T=")], "", true),
            (&[], "K=x", false),
            (&[], "a=1;k=x", false),
            (&[], "K=", true),
        ];
        let found = |headers: Headers<'_>, query: &str| {
            let head = RequestHead { headers: headers.to_vec(), ..RequestHead::default() };
            let names = CredentialNames::of(tokens.iter().chain(&keys));
            let places = Places { names: &names, tokens: &tokens, keys: &keys, signatures: &[] };
            let found = places.find(&head, Some(query));
            (found.token.map(|token| token.bytes().to_vec()), found.key.map(|key| key.bytes().to_vec()))
        };
        for (headers, query, passes) in rows {
            assert_eq!(found(headers, query), (Lookup::Absent, Lookup::Absent), "{headers:?} {query}");
            for beside in [(&b"authorization"[..], &b"Bearer a"[..]), (b"x-api-key", b"a")] {
                let both = found(&[headers, &[beside][..]].concat(), query);
                assert_eq!(both != (Lookup::Many, Lookup::Many), *passes, "{headers:?} {query}");
            }
        }
        // The names of two places may be alike.
        let both = found(&[(b"x-api-key", b"a"), (b"x_api.key", b"a")], "");
        assert_eq!(both, (Lookup::Absent, Lookup::One(b"a".to_vec())));
        // A line that goes takes all others along.
        for (other, expected) in [
            (&b"Token\tb"[..], Lookup::Many),
            (b"Basic b, Token c", Lookup::Many),
            (b"Basic b", Lookup::One(b"a".to_vec())),
            (b"Token ", Lookup::One(b"a".to_vec())),
        ] {
            assert_eq!(found(&[(b"x-auth", b"Token a"), (b"x-auth", other)], "").0, expected);
        }
    }

    #[test]
    fn where_a_credential_may_be() {
        for (value, prefix, expected) in [
            ("Bearer x", "Bearer ", true),
            ("bearer\tx", "Bearer ", true),
            ("Bearer", "Bearer ", true),
            ("\u{a0}Bearer\u{a0}x", "Bearer ", true),
            ("Basic x, Bearer y", "Bearer ", true),
            ("Basic x,Bearer,y", "Bearer ", true),
            ("Basic x Bearer y", "Bearer ", true),
            ("xBearer y", "Bearer ", true),
            ("Bearerx", "Bearer ", false),
            ("Basic Bearer", "Bearer ", false),
            ("Basic xBearery", "Bearer ", false),
            ("x", "", true),
            ("pk_x", "pk_", true),
            ("Bearer PK_x", "pk_", true),
            ("x,pk_x", "pk_", true),
            // Not in the middle of a token.
            ("Bearer eyJ.apk_.x", "pk_", false),
            ("Bearer eyJ.x.dpop", "DPoP ", false),
        ] {
            assert_eq!(may_hold(value.as_bytes(), prefix), expected, "{value} {prefix}");
        }
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
            // Empty is none.
            (&[(b"authorization", b"Bearer ")], None, Lookup::Absent),
            (&[(b"authorization", b"Bearer  \t")], None, Lookup::Absent),
            (&[(b"cookie", b"t="), (b"authorization", b"Bearer a")], Some("t=&t"), Lookup::One("a")),
            (&[(b"cookie", b"t=x"), (b"authorization", b"Bearer ")], None, Lookup::One("x")),
            (&[(b"authorization", b"Bearer")], None, Lookup::Absent),
            (&[(b"authorization", b"Basic a")], None, Lookup::Absent),
            (&[(b"authorization", b"Bearer \xff")], None, Lookup::Malformed),
            (&[(b"authorization", b"Bearer a,Bearer b")], None, Lookup::Many),
            (&[(b"authorization", b"Bearer a"), (b"authorization", b"Bearer a")], None, Lookup::Many),
            (&[(b"authorization", b"Basic a"), (b"authorization", b"Bearer b")], None, Lookup::One("b")),
            (&[(b"cookie", b"t=x")], None, Lookup::One("x")),
            (&[], Some("t=x"), Lookup::One("x")),
            (&[], Some("t=x&t=x"), Lookup::Many),
            // The same at two places is one; twice at one place is two.
            (&[(b"cookie", b"t=x")], Some("t=x"), Lookup::One("x")),
            (&[(b"cookie", b"t=x"), (b"authorization", b"Bearer x")], Some("t=x"), Lookup::One("x")),
            (&[(b"cookie", b"t=x")], Some("t=X"), Lookup::Many),
            (&[(b"cookie", b"t=x"), (b"cookie", b"t=x")], None, Lookup::Many),
            (&[(b"authorization", b"Bearer a")], Some("t=x"), Lookup::Many),
            (&[(b"authorization", b"Bearer a")], Some("t=%ff"), Lookup::Many),
        ];
        for (headers, query, expected) in rows {
            let head = RequestHead {
                headers: headers.to_vec(),
                remote_address: None,
                tls: true,
                peer_certificate: None,
                ..RequestHead::default()
            };
            let names = CredentialNames::of(&locations);
            let found = match (Places { names: &names, tokens: &locations, keys: &[], signatures: &[] })
                .find(&head, *query)
                .token
            {
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
