//! Names that some server reads as the same.
//!
//! CGI, WSGI, PHP and Rack make a variable of each header's name: upper case, with `_` for whatever is neither letter
//! nor digit. There `X.Portcullis.Roles` is `x-portcullis-roles`. So two names are alike here when those servers would
//! make the same variable of them.
//!
//! Some servers also decode the names of query parameters and cookies, trim them and take them apart: to them
//! `+a%5Bx%5D` is `a`.

use std::{
    borrow::Cow,
    hash::{BuildHasher, Hasher},
};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::text::percent;

/// A byte of a name as the loosest reader sees it: letters in lower case, digits, and `_` for everything else.
pub fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' }
}

/// A name as the loosest reader sees it: the same text for names that are alike.
pub fn folded_name(name: &str) -> String {
    name.bytes().map(|byte| char::from(folded(byte))).collect()
}

/// Whether some server reads both names as the same.
pub fn is_alike(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && name.iter().zip(other).all(|(a, b)| a == b || folded(*a) == folded(*b))
}

/// Names that are looked for together, however many: each is found at the cost of one.
#[derive(Clone, Debug, Default)]
pub struct AlikeNames {
    hasher: DefaultHashBuilder,
    names: Vec<Box<str>>,
    /// Places of names by what all that are alike have in common.
    by_fold: HashTable<usize>,
    /// A bit for each length; all from 63 on share one.
    lengths: u64,
    longest: usize,
}

impl AlikeNames {
    /// Adds a name that is not there yet; its place.
    pub fn add(&mut self, name: &str) -> usize {
        if let Some(known) = self.place(name) {
            return known;
        }
        let place = self.names.len();
        self.names.push(name.into());
        self.lengths |= length_bit(name.len());
        self.longest = self.longest.max(name.len());
        let (names, hasher) = (&self.names, &self.hasher);
        let hash = |place: &usize| names.get(*place).map_or(0, |name| fold_hash(hasher, name.as_bytes()));
        self.by_fold.insert_unique(hash(&place), place, hash);
        place
    }

    /// The name at `place`.
    pub fn get(&self, place: usize) -> Option<&str> {
        self.names.get(place).map(|name| &**name)
    }

    /// The place of `name`, spelt just so.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.alike(name.as_bytes()).find(|place| self.get(*place) == Some(name))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The places of all names that are alike to `text`.
    #[inline]
    pub fn alike<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = usize> + use<'_, 't> {
        let may_be = self.lengths & length_bit(text.len()) != 0;
        may_be.then(|| self.alike_of_length(text)).into_iter().flatten()
    }

    #[inline(never)]
    fn alike_of_length<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = usize> + use<'_, 't> {
        let places = self.by_fold.iter_hash(fold_hash(&self.hasher, text)).copied();
        places.filter(move |place| self.names.get(*place).is_some_and(|name| is_alike(name.as_bytes(), text)))
    }

    /// Visits the places of all names that some server takes a parameter or cookie for that was sent under `name`, some
    /// more than once. `ends` are the bytes at which some end a name, beside those that are nothing to see.
    ///
    /// Decoded twice: a server behind another one may. What looking takes is taken from `left`, in bytes; `None`: there
    /// was not enough.
    pub(super) fn each_read_as(
        &self,
        name: &[u8],
        ends: &[u8],
        left: &mut usize,
        visit: &mut dyn FnMut(usize),
    ) -> Option<()> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if name.iter().all(is_plain) {
            // Most names are plain, and there is one way only to read such a name.
            *left = left.checked_sub(VISIT.saturating_add(name.len()))?;
            self.alike(name).for_each(visit);
            return Some(());
        }
        each_reading(name, self.longest, ends, left, &mut |part| self.alike(part).for_each(&mut *visit))
    }
}

/// One hash for all names that are alike.
fn fold_hash(hasher: &DefaultHashBuilder, name: &[u8]) -> u64 {
    let mut hash = hasher.build_hasher();
    for chunk in name.chunks(8) {
        hash.write_u64(chunk.iter().fold(0, |word, byte| (word << 8) | u64::from(folded(*byte))));
    }
    hash.finish()
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Visits every part of `name`, up to `longest` bytes, that some server takes for a name.
fn each_reading(
    name: &[u8],
    longest: usize,
    ends: &[u8],
    left: &mut usize,
    visit: &mut dyn FnMut(&[u8]),
) -> Option<()> {
    let mut name = Cow::Borrowed(name);
    for _ in 0..2 {
        each_beginning(&name, longest, ends, left, visit)?;
        if !is_encoded(&name) {
            return Some(());
        }
        name = percent::decode_whatever(&name).into();
    }
    each_beginning(&name, longest, ends, left, visit)
}

/// What it costs to look for a name, beside its length.
const VISIT: usize = 16;

fn each_beginning(
    mut name: &[u8],
    longest: usize,
    ends: &[u8],
    left: &mut usize,
    visit: &mut dyn FnMut(&[u8]),
) -> Option<()> {
    let seen = name.iter().rposition(|byte| byte.is_ascii_graphic() && *byte != b'?');
    // How many bytes at the end show nothing. A name may also end where no more than those follow.
    let unseen = seen.map_or(name.len(), |at| name.len().saturating_sub(at.saturating_add(1)));
    loop {
        let most = name.len().min(longest);
        *left = left.checked_sub(most.saturating_add(1))?;
        for length in 1..=most {
            let Some((start, rest)) = name.split_at_checked(length) else { break };
            if rest.len() <= unseen || rest.first().is_some_and(|byte| ends_at(*byte, ends)) {
                *left = left.checked_sub(VISIT.saturating_add(length))?;
                visit(start);
            }
        }
        let Some(rest) = without_front(name) else { return Some(()) };
        name = rest;
    }
}

/// `name` without the first of what some leave out at its front: white space of any kind; a query that is begun anew,
/// `a?name`; brackets, as in `[name]`; `=name=`.
fn without_front(name: &[u8]) -> Option<&[u8]> {
    let skipped = |byte: &u8| !byte.is_ascii_graphic() || b"?[]=".contains(byte);
    let front = name.first().filter(|byte| skipped(byte)).map(|_| 1);
    let anew = || name.iter().position(|byte| *byte == b'?');
    name.get(front.or_else(anew)?..)
}

fn is_encoded(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b'%' | b'+'))
}

fn ends_at(byte: u8, ends: &[u8]) -> bool {
    byte.is_ascii_control() || ends.contains(&byte)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether some server takes a parameter or cookie that was sent under `name` for the one named `own`. `ends` are
    /// the bytes at which some end a name, beside those that are nothing to see.
    ///
    /// Decoded twice: a server behind another one may.
    pub(in crate::request) fn is_read_as(name: &[u8], own: &[u8], ends: &[u8]) -> bool {
        let mut name = Cow::Borrowed(name);
        for _ in 0..2 {
            if begins_as(&name, own, ends) {
                return true;
            }
            if !is_encoded(&name) {
                return false;
            }
            name = percent::decode_whatever(&name).into();
        }
        begins_as(&name, own, ends)
    }

    /// Whether `name`, without what some leave out at its front, begins with `own` and ends there for some.
    fn begins_as(mut name: &[u8], own: &[u8], ends: &[u8]) -> bool {
        loop {
            if let Some((start, rest)) = name.split_at_checked(own.len())
                && is_alike(start, own)
                && is_end(rest, ends)
            {
                return true;
            }
            let Some(rest) = without_front(name) else { return false };
            name = rest;
        }
    }

    /// Whether a name is over for some server where `rest` follows.
    fn is_end(rest: &[u8], ends: &[u8]) -> bool {
        rest.first().is_some_and(|byte| ends_at(*byte, ends))
            || rest.iter().all(|byte| !byte.is_ascii_graphic() || *byte == b'?')
    }

    fn names(all: &[&str]) -> AlikeNames {
        let mut names = AlikeNames::default();
        all.iter().for_each(|name| {
            names.add(name);
        });
        names
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn names_are_told_together_as_each_alone(
            name in "[abAB_.%256+?=\\[\\] \u{1}-]{0,10}",
            own in proptest::collection::vec("[abA_. ?\\[-]{1,4}", 1..6),
        ) {
            let own: Vec<_> = own.iter().map(String::as_str).collect();
            let names = names(&own);
            let mut found = Vec::new();
            for ends in [&b"[].:"[..], b"[]"] {
                found.clear();
                let mut visit = |place: usize| found.push(names.get(place).unwrap());
                prop_assert!(names.each_read_as(name.as_bytes(), ends, &mut usize::MAX.clone(), &mut visit).is_some());
                for own in &own {
                    let expected = is_read_as(name.as_bytes(), own.as_bytes(), ends);
                    prop_assert_eq!(found.contains(own), expected, "{:?} {:?}", name, own);
                }
            }
        }
    }

    #[test]
    fn names_are_kept_once_each() {
        let mut names = names(&["x-a", "x_a", "b"]);
        assert_eq!(
            (names.add("x-a"), names.add("X-A"), names.place("b"), names.place("B")),
            (0, 3, Some(2), None)
        );
        let mut alike: Vec<_> = names.alike(b"x.a").collect();
        alike.sort_unstable();
        assert_eq!(alike, [0, 1, 3]);
        assert_eq!(names.alike(b"x").count(), 0);
    }

    #[test]
    fn looking_for_names_is_bounded() {
        let names = names(&["p".repeat(100).as_str(), "q"]);
        let query = "?p.".repeat(2700);
        let mut left = 1 << 18;
        assert_eq!(names.each_read_as(query.as_bytes(), b"[].:", &mut left, &mut |_| {}), None);
        let mut left = 1 << 18;
        assert_eq!(names.each_read_as(&[b'p'; 60_000], b"[].:", &mut left, &mut |_| {}), Some(()));
    }

    #[test]
    fn a_name_in_a_query_or_a_cookie_is_told_however_it_is_written() {
        let read_as = |name: &str| is_read_as(name.as_bytes(), b"access_token", b"[].");
        for name in [
            "access_token",
            "ACCESS_TOKEN",
            "access.token",
            "access token",
            "access[token",
            "access+token",
            "access%2Etoken",
            "%61ccess_token",
            "%2561ccess_token",
            "%u0061ccess_token",
            "%U0061ccess_token",
            "+access_token",
            "%20access_token+",
            "%C2%A0access_token",
            "%A0access_token",
            "%EF%BB%BFaccess_token",
            "\u{feff}access_token",
            "%09access_token%0b",
            "access_token%00",
            "access_token%00x",
            "access_token%0ax",
            "access_token[]",
            "access_token[x][y]",
            "access_token%5bx%5d",
            "access_token]",
            "access_token.x",
            "[access_token]",
            "]access_token",
            "=access_token",
            "?access_token",
            "x?access_token",
            "x?y? access_token?",
        ] {
            assert!(read_as(name), "{name}");
        }
        for name in [
            "",
            "access_toke",
            "access_tokens",
            "xaccess_token",
            "x_access_token",
            "access__token",
            "accesstoken",
            "access_token-x",
            "access_token:x",
            "access_token x",
            "access_token?x",
            "%access_token",
            "%zzaccess_token",
            "%252561ccess_token",
            "x[access_token]",
            "x.access_token",
        ] {
            assert!(!read_as(name), "{name}");
        }
    }

    #[test]
    fn a_name_may_begin_as_what_is_skipped() {
        for (name, own, expected) in [
            ("_id", "_id", true),
            (" id", "_id", true),
            ("[id", "_id", true),
            ("id", "_id", false),
            ("__id", "_id", false),
            ("%5fid", "_id", true),
            ("a%25b", "a%b", true),
        ] {
            assert_eq!(is_read_as(name.as_bytes(), own.as_bytes(), b"[]"), expected, "{name}");
        }
    }

    #[test]
    fn spellings_of_one_name_are_alike_and_other_names_are_not() {
        let name = b"x-portcullis-roles";
        for spelling in
            ["x-portcullis-roles", "X_Portcullis_Roles", "x.portcullis~roles", "x-portcullis\u{7f}roles"]
        {
            assert!(is_alike(spelling.as_bytes(), name), "{spelling}");
            assert_eq!(folded_name(spelling), "x_portcullis_roles", "{spelling}");
        }
        for other in
            ["x-portcullis-role", "xx-portcullis-role", "x-portcullisroles", "x-portcullis-roles-", ""]
        {
            assert!(!is_alike(other.as_bytes(), name), "{other}");
            assert_ne!(folded_name(other), "x_portcullis_roles", "{other}");
        }
    }

    #[test]
    fn whatever_is_neither_letter_nor_digit_is_the_same() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_alike(&[byte], b"-"), !byte.is_ascii_alphanumeric(), "{byte}");
        }
    }
}
