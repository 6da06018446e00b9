//! The headers that a request's own values of must not reach the upstream: identities, which only the filter may set,
//! and credentials. One look at each header of a request tells whether it is one of them.

use super::Location;

/// Headers to look out for, by the names that some server takes for theirs.
#[derive(Debug, Default)]
pub struct GuardedHeaders {
    names: Vec<(Box<[u8]>, Guard)>,
    /// A bit for each length of a name; that of 63 for all longer ones. Most headers of a request are told by it alone.
    lengths: u64,
}

/// Why a header is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Only the filter may set it.
    Owned,
    /// It may hold a credential: the place of its location in the list that was given.
    Credential(usize),
}

impl GuardedHeaders {
    /// `owned` are names that only the filter may set; locations other than headers are passed over.
    pub fn new<'a>(owned: impl IntoIterator<Item = &'a str>, credentials: &[Location]) -> Self {
        let mut guarded = Self::default();
        for name in owned {
            guarded.add(name, Guard::Owned);
        }
        for (place, location) in credentials.iter().enumerate() {
            if let Location::Header { name, .. } = location {
                guarded.add(name, Guard::Credential(place));
            }
        }
        guarded
    }

    fn add(&mut self, name: &str, guard: Guard) {
        self.lengths |= length_bit(name.as_bytes());
        self.names.push((name.bytes().map(as_read).collect(), guard));
    }

    /// Why a header of this name is guarded; in the order given, and several times where several reasons are.
    pub fn guards(&self, name: &[u8]) -> impl Iterator<Item = Guard> {
        let names = if self.lengths & length_bit(name) == 0 { &[][..] } else { &self.names };
        names.iter().filter(|(own, _)| is_read_as(name, own)).map(|(_, guard)| *guard)
    }
}

fn length_bit(name: &[u8]) -> u64 {
    u32::try_from(name.len()).ok().and_then(|length| 1_u64.checked_shl(length.min(63))).unwrap_or(1 << 63)
}

/// Some servers take names for the same in any case, and with `_` for `-`.
fn as_read(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

fn is_read_as(name: &[u8], own: &[u8]) -> bool {
    name.len() == own.len() && name.iter().zip(own).all(|(byte, own)| as_read(*byte) == *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_told_by_every_name_that_some_server_reads() {
        let header = |name: &str| Location::Header { name: name.to_owned(), prefix: String::new() };
        let credentials = [
            Location::Cookie("sid".to_owned()),
            header("x-api-key"),
            header("authorization"),
            header("x_id"),
        ];
        let long = "l".repeat(100);
        let guarded = GuardedHeaders::new(["x-subject", "x-id", &long], &credentials);
        let longer = "l".repeat(101);
        let rows: &[(&str, &[Guard])] = &[
            ("x-subject", &[Guard::Owned]),
            ("X_SUBJECT", &[Guard::Owned]),
            ("x-subjects", &[]),
            ("x-subjec", &[]),
            ("y-subject", &[]),
            ("", &[]),
            ("sid", &[]),
            ("authorization", &[Guard::Credential(2)]),
            ("Authorization", &[Guard::Credential(2)]),
            ("x_api-key", &[Guard::Credential(1)]),
            ("x-id", &[Guard::Owned, Guard::Credential(3)]),
            (&long, &[Guard::Owned]),
            (&longer, &[]),
        ];
        for (name, expected) in rows {
            assert_eq!(guarded.guards(name.as_bytes()).collect::<Vec<_>>(), *expected, "{name}");
        }
    }
}
