//! Parameters of a query, read as `application/x-www-form-urlencoded` (WHATWG URL section 5.1).
//!
//! Only `&` separates parameters. Names are compared after decoding, so `%61pi_key` is `api_key`.

use std::borrow::Cow;

use super::{alike::AlikeNames, sighting::Sighting};
use crate::text::percent;

/// One parameter, as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Parameter<'a> {
    /// `piece` is one of [`pieces`].
    pub fn new(piece: &'a str) -> Self {
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

    /// Whether its name is `name`, decoded.
    pub fn is_named(&self, name: &str) -> bool {
        self.name().is_some_and(|own| own == name)
    }
}

/// Where some end a name.
const ENDS: &[u8] = b"[].:";

/// What some server takes for the parameters of `query`, as sent: to some `;` separates them too.
pub fn pieces(query: &str) -> impl Iterator<Item = &str> {
    query.split(['&', ';'])
}

/// Visits the places of all `names` that some server takes `piece` for, one of [`pieces`], some more than once: in
/// another case, with other signs for those that are neither letters nor digits, with blanks around it, or as a part of
/// it, as in `name[]`, `name.x` and `name:int`. What that takes is taken from `left`, in bytes; `None`: there was not
/// enough.
pub fn each_read_as(
    piece: &str,
    names: &AlikeNames,
    left: &mut usize,
    visit: &mut dyn FnMut(usize),
) -> Option<()> {
    let piece = piece.trim_start_matches('=');
    let own = piece.split_once('=').map_or(piece, |(own, _)| own);
    names.each_read_as(own.as_bytes(), ENDS, left, visit)
}

/// How much of a query is looked at for names, in bytes, counted as often as they are: a fraction of a millisecond. No
/// query takes as much, but for its own sake.
pub const MAX_LOOKS: usize = 1 << 17;

/// A part of the query that some server takes for one of the parameters that are looked for.
pub(super) struct Suspect<'a> {
    /// The place of the name.
    name: usize,
    /// All up to the next `&`.
    whole: Parameter<'a>,
    /// All up to the next `;`, where it ends to some.
    part: Parameter<'a>,
    /// Whether it stands at the beginning of `whole`.
    is_first: bool,
}

/// All suspects of a query, in order.
pub(super) struct Suspects<'a> {
    all: Vec<Suspect<'a>>,
    /// There was too much to look through. The rest may hold any parameter.
    gave_up: bool,
}

/// What some server takes for one of `names`.
#[inline(never)]
pub(super) fn suspects<'a>(query: &'a str, names: &AlikeNames) -> Suspects<'a> {
    let mut found = Suspects { all: Vec::new(), gave_up: false };
    let mut left = MAX_LOOKS;
    for piece in query.split('&') {
        for (at, part) in pieces(piece).enumerate() {
            let from = found.all.len();
            let whole = Parameter::new(piece);
            let read = each_read_as(part, names, &mut left, &mut |name| {
                let part = Parameter::new(part);
                if !found.all.iter().skip(from).any(|known| known.name == name) {
                    found.all.push(Suspect { name, whole, part, is_first: at == 0 });
                }
            });
            if read.is_none() {
                found.gave_up = true;
                return found;
            }
        }
    }
    found
}

/// Visits every value of the parameter `name`, which is one of `names`, decoded; where there is none, those of whatever
/// some server takes for it. Empty ones hold nothing; `visit` is given `None` for one that cannot be decoded. `None`:
/// there is too much to look through, and nothing was visited.
pub fn each_value(
    query: &str,
    names: &AlikeNames,
    name: &str,
    visit: &mut dyn FnMut(Option<&str>),
) -> Option<()> {
    let place = names.place(name)?;
    let found = suspects(query, names);
    if found.gave_up {
        return None;
    }
    let all = || found.all.iter().filter(|suspect| suspect.name == place);
    let is_own = |suspect: &Suspect<'_>| {
        suspect.is_first && suspect.whole.is_named(name) && !suspect.whole.value.is_empty()
    };
    let has_own = all().any(is_own);
    for suspect in all().filter(|suspect| is_own(suspect) == has_own) {
        let meant = if has_own { suspect.whole } else { suspect.part };
        if !meant.value.is_empty() {
            visit(meant.value().as_deref());
        }
    }
    Some(())
}

impl<'a> Suspects<'a> {
    /// What the parameter `name`, at `place` among the names, holds. An empty one holds nothing.
    ///
    /// `is_other` says which names, decoded, stand for parameters of their own, whatever looser servers make of them.
    pub(super) fn find(
        &self,
        place: usize,
        name: &str,
        is_other: impl Fn(&str) -> bool,
    ) -> Sighting<Cow<'a, [u8]>> {
        let mut seen = Sighting { has_alike: self.gave_up, ..Sighting::default() };
        for Suspect { whole, part, is_first, .. } in self.all.iter().filter(|suspect| suspect.name == place) {
            if *is_first && whole.is_named(name) {
                if !whole.value.is_empty() {
                    seen.note(whole.value().map(|value| match value {
                        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
                        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
                    }));
                }
            } else if !seen.has_alike {
                seen.has_alike = !part.value.is_empty() && !part.name().is_some_and(|own| is_other(&own));
            }
        }
        seen
    }
}

/// `query` without whatever some server takes for a parameter of `names`, every other byte kept; `None` when it has
/// nothing of them. `Some("")` means that nothing is left, so the `?` should go too.
///
/// Those of `kept`, which is a part of `names`, stay as [`Suspects::find`] finds them.
pub fn without(query: &str, names: &AlikeNames, kept: &[&str]) -> Option<String> {
    if names.is_empty() {
        return None;
    }
    // How many bytes of a piece stay. From the first part that goes, the rest of the piece goes with it, because to
    // some `;` is no end and all of that is its value.
    let left = |piece: &str, looks: &mut usize| -> usize {
        let parameter = Parameter::new(piece);
        let mut begins: usize = 0;
        for (place, part) in pieces(piece).enumerate() {
            let mut is_one = false;
            let read = each_read_as(part, names, looks, &mut |_| is_one = true);
            let stays = || {
                let is_kept = kept.iter().any(|name| parameter.is_named(name));
                place == 0 && !parameter.value.is_empty() && is_kept
            };
            // There is too much to look through, and this may be any of them.
            if read.is_none() || (is_one && !stays()) {
                return begins.saturating_sub(1);
            }
            begins = begins.saturating_add(part.len()).saturating_add(1);
        }
        piece.len()
    };
    let mut looks = MAX_LOOKS;
    if query.split('&').all(|piece| left(piece, &mut looks) == piece.len()) {
        return None;
    }
    looks = MAX_LOOKS;
    let stays = query.split('&').filter_map(|piece| {
        let stays = piece.get(..left(piece, &mut looks))?;
        (!stays.is_empty() || piece.is_empty()).then_some(stays)
    });
    Some(stays.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::{
        Location, Lookup, RequestHead,
        alike::tests::is_read_as as is_alike_read_as,
        credential::{CredentialNames, Places},
    };

    fn names(all: &[&str]) -> AlikeNames {
        let mut names = AlikeNames::default();
        all.iter().for_each(|name| {
            names.add(name);
        });
        names
    }

    fn is_read_as(piece: &str, name: &str) -> bool {
        let piece = piece.trim_start_matches('=');
        let own = piece.split_once('=').map_or(piece, |(own, _)| own);
        is_alike_read_as(own.as_bytes(), name.as_bytes(), ENDS)
    }

    #[test]
    fn a_parameter_is_found_once_or_not_at_all() {
        let one = |text: &str| Lookup::One(text.to_owned());
        let rows = [
            ("", "k", Lookup::Absent),
            ("k=v", "k", one("v")),
            ("k=v", "K", Lookup::Absent),
            // Nothing is no credential.
            ("k", "k", Lookup::Absent),
            ("k=", "k", Lookup::Absent),
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
            let place = [Location::Query(name.to_owned())];
            let names = CredentialNames::of(&place);
            let head = RequestHead::default();
            let found = Places { names: &names, tokens: &place, keys: &[], signatures: &[] }
                .find(&head, Some(query))
                .token;
            let found = found.map(|token| token.text().unwrap().to_owned());
            assert_eq!(found, expected, "{query} {name}");
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
            ("a&K=1&k[]=2&k.x=3&k:int=4&k%00=5&%256b=6", &["k"], Some("a")),
            ("a=1;k=2;b=3&c", &["k"], Some("a=1&c")),
            ("a&=k=1&=?k=2", &["k"], Some("a")),
            ("a&==b=k=1", &["k"], None),
            ("k;a=1&c", &["k"], Some("c")),
            (";k=1&c", &["k"], Some("c")),
            ("a=1", &[], None),
        ];
        for (query, names, expected) in rows {
            assert_eq!(without(query, &self::names(names), &[]).as_deref(), *expected, "{query} {names:?}");
        }
    }

    #[test]
    fn one_that_is_kept_stays_alone() {
        let rows = [
            ("k=1&a", None),
            ("%6b=1&a", None),
            ("k=1&K=2&k[]=3&k.x=4&a", Some("k=1&a")),
            ("k=1&k=&k&a", Some("k=1&a")),
            ("k=1;x=2&a", None),
            ("a=1;k=2&k=1", Some("a=1&k=1")),
            ("k=1;k=2", Some("k=1")),
            ("k=1&j=2", Some("k=1")),
        ];
        for (query, expected) in rows {
            assert_eq!(without(query, &names(&["k", "j"]), &["k"]).as_deref(), expected, "{query}");
        }
        // The names are alike, and each its own.
        assert_eq!(without("k=1&K=2&a", &names(&["k", "K"]), &["K"]).as_deref(), Some("K=2&a"));
    }

    #[test]
    fn what_a_parameter_holds() {
        let one = |text: &str| Lookup::One(Cow::Owned(text.as_bytes().to_vec()));
        let rows = [
            ("", Lookup::Absent, false),
            ("k=v", one("v"), false),
            ("%6b=%76", one("v"), false),
            ("k", Lookup::Absent, false),
            ("k=&k&k=v", one("v"), false),
            ("k=v&k=v", Lookup::Many, false),
            ("k=%ff", Lookup::Malformed, false),
            ("k=v;x", one("v;x"), false),
            // What only some find.
            ("K=w", Lookup::Absent, true),
            ("k=v&K=w", one("v"), true),
            ("k=v&k[]=w", one("v"), true),
            ("k=v&+k=w", one("v"), true),
            ("a=1;k=w&k=v", one("v"), true),
            ("k=v;k=w", one("v;k=w"), true),
            ("k=v&K=&k.x", one("v"), false),
            ("k=v&kk=w", one("v"), false),
            // Somebody else's.
            ("k=v&k:=w&%6b:=w", one("v"), false),
        ];
        for (query, found, has_alike) in rows {
            let seen = suspects(query, &names(&["k"])).find(0, "k", |other| other == "k:");
            assert_eq!((seen.found, seen.has_alike), (found, has_alike), "{query}");
        }
    }

    proptest! {
        #[test]
        fn what_was_removed_is_gone_and_nothing_else(query in "[akA%61&=+;.?\\[]{0,24}") {
            let left = without(&query, &names(&["a"]), &[]);
            let left = left.as_deref().unwrap_or(&query);
            prop_assert!(!pieces(left).any(|piece| is_read_as(piece, "a")), "{}", left);
            let others = |text: &str| {
                let of_others = |piece: &&str| !pieces(piece).any(|piece| is_read_as(piece, "a"));
                text.split('&').filter(of_others).filter(|piece| !piece.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            let kept = others(left);
            let all = others(&query);
            // Of a piece that holds more than one, the front may be left.
            prop_assert!(all.iter().all(|piece| kept.contains(piece)), "{:?} {:?}", all, kept);
        }
    }
}
