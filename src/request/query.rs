//! Parameters of a query, read as `application/x-www-form-urlencoded` (WHATWG URL section 5.1).
//!
//! Only `&` separates parameters. Names are compared after decoding, so `%61pi_key` is `api_key`.

use std::borrow::Cow;

use super::{Lookup, alike, percent};

/// One parameter, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Parameter<'a> {
    fn new(piece: &'a str) -> Self {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        Self { name, value }
    }

    /// The decoded name; `None` when an escape is invalid or it is not UTF-8.
    pub fn name(&self) -> Option<Cow<'a, str>> {
        percent::decode(self.name, true)
    }

    /// The decoded value, empty where there is no `=`; `None` when an escape is invalid or it is not UTF-8.
    pub fn value(&self) -> Option<Cow<'a, str>> {
        percent::decode(self.value, true)
    }

    fn is_named(&self, name: &str) -> bool {
        self.name().is_some_and(|own| own == name)
    }
}

/// The parameters of `query` (without its `?`), in order; empty pieces are skipped.
pub fn parameters(query: &str) -> impl Iterator<Item = Parameter<'_>> {
    query.split('&').filter(|piece| !piece.is_empty()).map(Parameter::new)
}

/// The parameter `name` where it must not be given twice.
///
/// A parameter whose name cannot be decoded has no name and is never found.
pub fn single<'a>(query: &'a str, name: &str) -> Lookup<Cow<'a, str>> {
    Lookup::only(
        parameters(query).filter(|parameter| parameter.is_named(name)).map(|parameter| parameter.value()),
    )
}

/// What some server takes for the parameters of `query`, as sent: to some `;` separates them too.
pub fn pieces(query: &str) -> impl Iterator<Item = &str> {
    query.split(['&', ';'])
}

/// Whether some server takes `piece`, one of [`pieces`], for the parameter `name` (decoded): in another case, with
/// other signs for those that are neither letters nor digits, with blanks around it, or as a part of it, as in
/// `name[]`, `name.x` and `name:int`.
pub fn is_read_as(piece: &str, name: &str) -> bool {
    let own = piece.split_once('=').map_or(piece, |(own, _)| own);
    alike::is_read_as(own.as_bytes(), name.as_bytes(), b"[].:")
}

/// `query` without the parameters named in `names`, every other byte kept; `None` when it has none of
/// them. `Some("")` means that nothing is left, so the `?` should go too.
///
/// Wider than [`single`]: what a sloppier server would read as one of the names goes too, such as a query begun anew
/// by a later `?`, or a name with white space around it.
pub fn without(query: &str, names: &[&str]) -> Option<String> {
    let removed = |piece: &str| {
        let parameter = Parameter::new(piece);
        let own = parameter.name();
        let trim = |own: &str| own.trim_matches(|c: char| c == '?' || !c.is_ascii_graphic()).to_owned();
        let own = own.as_deref().map(trim);
        let own = own.as_deref().map(|own| own.rsplit_once('?').map_or(own, |(_, last)| last));
        !piece.is_empty() && own.is_some_and(|own| names.contains(&own))
    };
    if names.is_empty() || !query.split('&').any(removed) {
        return None;
    }
    let mut kept = String::with_capacity(query.len());
    for (at, piece) in query.split('&').filter(|piece| !removed(piece)).enumerate() {
        if at > 0 {
            kept.push('&');
        }
        kept.push_str(piece);
    }
    Some(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_parameter_is_found_once_or_not_at_all() {
        let one = |text: &str| Lookup::One(Cow::Owned(text.to_owned()));
        let rows = [
            ("", "k", Lookup::Absent),
            ("k=v", "k", one("v")),
            ("k=v", "K", Lookup::Absent),
            ("k", "k", one("")),
            ("k=", "k", one("")),
            ("k=a=b", "k", one("a=b")),
            ("a=1&k=v&b=2", "k", one("v")),
            ("&&k=v&&", "k", one("v")),
            ("%6b=v", "k", one("v")),
            ("a+b=1+2%2B3", "a b", one("1 2+3")),
            ("k=%c3%a9", "k", one("é")),
            ("k=%2541", "k", one("%41")),
            ("k=v&k=v", "k", Lookup::Many),
            ("k=v&%6B=w", "k", Lookup::Many),
            ("k=v&k=%", "k", Lookup::Many),
            ("k=%", "k", Lookup::Malformed),
            ("k=%zz", "k", Lookup::Malformed),
            ("k=%ff", "k", Lookup::Malformed),
            ("k%=v", "k%", Lookup::Absent),
            ("a=1;k=v", "k", Lookup::Absent),
            ("k=v;x", "k", one("v;x")),
        ];
        for (query, name, expected) in rows {
            assert_eq!(single(query, name), expected, "{query} {name}");
        }
    }

    #[test]
    fn a_parameter_is_told_in_every_spelling_of_its_name() {
        let read = |query: &str| pieces(query).any(|piece| is_read_as(piece, "debug"));
        for query in [
            "debug",
            "debug=1",
            "a=1&DEBUG=",
            "debug[]=1",
            "debug[x]=1",
            "+debug=1",
            "debug.x",
            "a=1;debug=2",
            "debug:int=1",
            "&amp;debug=1",
            "de%62ug=1",
        ] {
            assert!(read(query), "{query}");
        }
        for query in ["", "a=debug", "a==debug", "debugs=1", "x.debug=1", "a=1%26debug=1", "a,debug=1"] {
            assert!(!read(query), "{query}");
        }
    }

    #[test]
    fn named_parameters_are_removed_and_the_rest_is_kept() {
        let rows: &[(&str, &[&str], Option<&str>)] = &[
            ("", &["k"], None),
            ("a=1", &["k"], None),
            ("a=1&kk=2", &["k"], None),
            ("k=1", &["k"], Some("")),
            ("k", &["k"], Some("")),
            ("a=%7e&k=1&b=+", &["k"], Some("a=%7e&b=+")),
            ("k=1&a=2", &["k"], Some("a=2")),
            ("a=2&k=1", &["k"], Some("a=2")),
            ("a&&k=1&&b", &["k"], Some("a&&&b")),
            ("%6b=1&a&k=2&j=3", &["k", "j"], Some("a")),
            ("k%=1&k=2", &["k"], Some("k%=1")),
            ("?k=1", &["k"], Some("")),
            ("a&+k=1&k%20=2", &["k"], Some("a")),
            ("a&k?k=1", &["k"], Some("a")),
            ("a&$?k=1&k?=2", &["k"], Some("a")),
            ("a&k?j=1", &["k"], None),
            ("a=1", &[], None),
        ];
        for (query, names, expected) in rows {
            assert_eq!(without(query, names).as_deref(), *expected, "{query} {names:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_removed_is_gone_and_nothing_else(query in "[ak%61&=+]{0,24}") {
            let left = without(&query, &["a"]);
            let left = left.as_deref().unwrap_or(&query);
            prop_assert_eq!(single(left, "a"), Lookup::Absent);
            let others = |text: &str| {
                let named: Vec<_> = parameters(text).filter(|p| p.name().is_none_or(|own| own.trim_matches(|c: char| !c.is_ascii_graphic()) != "a")).map(|p| (p.name.to_owned(), p.value.to_owned())).collect();
                named
            };
            prop_assert_eq!(others(left), others(&query));
        }
    }
}
