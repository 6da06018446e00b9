//! Headers that must not reach the upstream as a client sent them: identities, which only the filter may set,
//! credentials, and those by which some servers act on another request than the one that was decided on. One look at
//! each header of a request tells whether it is one of them.

use super::alike::is_alike;

/// Headers to look out for, by every name that some server takes for theirs.
#[derive(Debug)]
pub struct GuardedHeaders {
    /// By the length of their names; those that are longer than any other place stand in the last.
    by_length: [OfLength; LENGTHS],
}

const LENGTHS: usize = 64;

/// The names of one length. Most headers of a request are told by the length and the last letter of theirs alone.
#[derive(Debug, Default)]
struct OfLength {
    /// A bit for each last letter of a name, and one for whatever is no letter.
    last_letters: u32,
    names: Vec<(Box<[u8]>, Guard)>,
}

/// Why a header is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing that a client sends under this name goes on.
    Every,
    /// Only what is sent under this very name does: of all that are alike, it alone is vouched for.
    OtherSpellings,
    /// It may hold a credential: the place of its location in the list that was given.
    Credential(usize),
    /// It may name headers that a proxy is to drop.
    Options,
}

impl GuardedHeaders {
    /// The same name may be guarded for several reasons.
    pub fn new<'a>(names: impl IntoIterator<Item = (&'a str, Guard)>) -> Self {
        let mut by_length = [const { OfLength { last_letters: 0, names: Vec::new() } }; LENGTHS];
        for (name, guard) in names {
            let name = name.as_bytes();
            if let Some(of_length) = by_length.get_mut(place(name)) {
                of_length.last_letters |= last_letter(name);
                of_length.names.push((name.into(), guard));
            }
        }
        Self { by_length }
    }

    /// The names of which nothing goes on but where it is kept, as they were given.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let all = self.by_length.iter().flat_map(|of_length| &of_length.names);
        let goes = |guard| matches!(guard, Guard::Every | Guard::Credential(_));
        all.filter(move |(_, guard)| goes(*guard)).map(|(name, _)| &**name)
    }

    /// Whether some server takes `name` for one of the names, whatever they are guarded for.
    pub fn has_alike(&self, name: &[u8]) -> bool {
        self.of_length(name).iter().any(|(own, _)| is_alike(name, own))
    }

    /// Why a header of this name is guarded; in the order given, and several times where several reasons are.
    #[inline]
    pub fn guards(&self, name: &[u8]) -> impl Iterator<Item = Guard> {
        let names = self.of_length(name).iter();
        names.filter(|(own, guard)| guard.concerns(name, own)).map(|(_, guard)| *guard)
    }

    /// None, for most names.
    #[inline]
    fn of_length(&self, name: &[u8]) -> &[(Box<[u8]>, Guard)] {
        let of_length = self.by_length.get(place(name));
        let of_length = of_length.filter(|of_length| of_length.last_letters & last_letter(name) != 0);
        of_length.map_or(&[], |of_length| &of_length.names)
    }
}

impl Guard {
    #[inline]
    fn concerns(self, name: &[u8], own: &[u8]) -> bool {
        (self != Self::OtherSpellings || name != own) && is_alike(name, own)
    }
}

fn place(name: &[u8]) -> usize {
    name.len().min(LENGTHS.saturating_sub(1))
}

/// The same for names that are alike.
fn last_letter(name: &[u8]) -> u32 {
    match name.last() {
        Some(byte) if byte.is_ascii_alphabetic() => 1_u32.wrapping_shl(u32::from(*byte & 31)),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_told_by_every_name_that_some_server_reads() {
        let long = "l".repeat(100);
        let guarded = GuardedHeaders::new([
            ("x-subject", Guard::Every),
            ("x-id", Guard::Every),
            (&long, Guard::Every),
            ("x-api-key", Guard::Credential(1)),
            ("authorization", Guard::Credential(2)),
            ("x_id", Guard::Credential(3)),
            ("x-forwarded-for", Guard::OtherSpellings),
            ("x-key-1", Guard::Every),
            ("x-key-", Guard::Every),
            ("connection", Guard::Options),
        ]);
        let longer = "l".repeat(101);
        let rows: &[(&str, &[Guard])] = &[
            ("x-subject", &[Guard::Every]),
            ("X_SUBJECT", &[Guard::Every]),
            ("x.subject", &[Guard::Every]),
            ("x~subject", &[Guard::Every]),
            ("x-subjects", &[]),
            ("x-subjec", &[]),
            ("xxsubject", &[]),
            ("y-subject", &[]),
            ("", &[]),
            ("sid", &[]),
            ("authorization", &[Guard::Credential(2)]),
            ("Authorization", &[Guard::Credential(2)]),
            ("x_api-key", &[Guard::Credential(1)]),
            ("x!api.key", &[Guard::Credential(1)]),
            ("x-id", &[Guard::Every, Guard::Credential(3)]),
            ("x-forwarded-for", &[]),
            ("x_forwarded_for", &[Guard::OtherSpellings]),
            ("x.forwarded-for", &[Guard::OtherSpellings]),
            ("x-forwarded-foo", &[]),
            ("x.key.1", &[Guard::Every]),
            ("x-key-2", &[]),
            ("x-key_", &[Guard::Every]),
            ("x-key+", &[Guard::Every]),
            ("connection", &[Guard::Options]),
            ("connections", &[]),
            (&long, &[Guard::Every]),
            (&longer, &[]),
        ];
        for (name, expected) in rows {
            assert_eq!(guarded.guards(name.as_bytes()).collect::<Vec<_>>(), *expected, "{name}");
            let is_vouched_for = *name == "x-forwarded-for";
            assert_eq!(guarded.has_alike(name.as_bytes()), is_vouched_for || !expected.is_empty(), "{name}");
        }
    }
}
