//! CBOR as authenticators write it: the canonical form of CTAP2 (FIDO CTAP 2.1 section 8), read strictly.
//!
//! Every length and number has its shortest form, so any value has one encoding; lengths are definite; there are no tags
//! and no fractions. A key that a map has twice is refused, since two readers could each take another of the two
//! values. The order of a map's keys is not asked, though the canonical form has one: there are clients that write an
//! attestation object in another, and it changes no meaning (WebAuthn section 2.4: decoders *should* refuse that).

use std::fmt;

/// How deep lists and maps may lie in each other (FIDO CTAP 2.1 section 8: "at most four").
const MAX_DEPTH: usize = 4;

/// The most values that all lists and maps of one item hold together. The largest attestation objects have about 20.
const MAX_VALUES: usize = 128;

/// A value, borrowed from its encoding.
#[derive(Clone, Debug, PartialEq)]
pub enum Cbor<'a> {
    /// A number. Those outside 64 bits with sign are refused: no structure of WebAuthn has any.
    Integer(i64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text.
    Text(&'a str),
    /// A list.
    Array(Vec<Cbor<'a>>),
    /// A map.
    Map(CborMap<'a>),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// A map whose keys all differ, in the order in which it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CborMap<'a>(Vec<(Key<'a>, Cbor<'a>)>);

/// A key of a map: COSE has numbers, WebAuthn has texts, and nothing else is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// A number.
    Integer(i64),
    /// A text.
    Text(&'a str),
}

/// Why bytes are not taken as CBOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CborFault {
    /// Nested deeper than four levels.
    Depth,
    /// A map with a key twice.
    DuplicateKey,
    /// A length or a number that is not in its shortest form, or an indefinite length.
    NotCanonical,
    /// More bytes behind the one item.
    TrailingBytes,
    /// The bytes end within an item.
    Truncated,
    /// A text that is not UTF-8.
    Utf8,
    /// A tag, a fraction, a number beyond 64 bits, or a key that is neither number nor text.
    Unsupported,
    /// More values than are read.
    TooMany,
}

impl<'a> Cbor<'a> {
    /// The one item that `bytes` are.
    pub fn read(bytes: &'a [u8]) -> Result<Self, CborFault> {
        match Self::read_first(bytes)? {
            (item, []) => Ok(item),
            _ => Err(CborFault::TrailingBytes),
        }
    }

    /// The item that `bytes` begin with, and what follows it.
    pub fn read_first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), CborFault> {
        let mut reader = Reader { rest: bytes, values_left: MAX_VALUES };
        let item = reader.item(MAX_DEPTH)?;
        Ok((item, reader.rest))
    }

    /// The bytes of a byte string.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The characters of a text.
    pub fn as_text(&self) -> Option<&'a str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number.
    pub fn as_integer(&self) -> Option<i64> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// The map.
    pub fn into_map(self) -> Option<CborMap<'a>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }
}

impl<'a> CborMap<'a> {
    /// The value of `key`.
    pub fn get(&self, key: Key<'_>) -> Option<&Cbor<'a>> {
        self.0.iter().find(|(own, _)| *own == key).map(|(_, value)| value)
    }

    /// Takes the value of `key` out.
    pub fn take(&mut self, key: Key<'_>) -> Option<Cbor<'a>> {
        let place = self.0.iter().position(|(own, _)| *own == key)?;
        Some(self.0.swap_remove(place).1)
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = Key<'a>> {
        self.0.iter().map(|(key, _)| *key)
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    values_left: usize,
}

impl<'a> Reader<'a> {
    fn item(&mut self, depth_left: usize) -> Result<Cbor<'a>, CborFault> {
        let initial = self.take(1)?.first().copied().unwrap_or_default();
        let (major, minor) = (initial >> 5, initial & 0b1_1111);
        // Simple values have no argument, and fractions look as if they had one.
        if major == 7 {
            return match minor {
                20 => Ok(Cbor::Bool(false)),
                21 => Ok(Cbor::Bool(true)),
                22 => Ok(Cbor::Null),
                _ => Err(CborFault::Unsupported),
            };
        }
        let argument = self.argument(minor)?;
        match major {
            0 => i64::try_from(argument).map(Cbor::Integer).map_err(|_| CborFault::Unsupported),
            // The number is -1 - argument, which is its complement.
            1 => i64::try_from(argument).map(|n| Cbor::Integer(!n)).map_err(|_| CborFault::Unsupported),
            2 => self.take_counted(argument).map(Cbor::Bytes),
            3 => str::from_utf8(self.take_counted(argument)?).map(Cbor::Text).map_err(|_| CborFault::Utf8),
            4 => self.array(argument, depth_left).map(Cbor::Array),
            5 => self.map(argument, depth_left).map(Cbor::Map),
            _ => Err(CborFault::Unsupported),
        }
    }

    fn array(&mut self, len: u64, depth_left: usize) -> Result<Vec<Cbor<'a>>, CborFault> {
        let depth_left = depth_left.checked_sub(1).ok_or(CborFault::Depth)?;
        (0..self.count(len)?).map(|_| self.item(depth_left)).collect()
    }

    fn map(&mut self, len: u64, depth_left: usize) -> Result<CborMap<'a>, CborFault> {
        let depth_left = depth_left.checked_sub(1).ok_or(CborFault::Depth)?;
        let mut map = CborMap::default();
        for _ in 0..self.count(len)? {
            let key = match self.item(0)? {
                Cbor::Integer(number) => Key::Integer(number),
                Cbor::Text(text) => Key::Text(text),
                _ => return Err(CborFault::Unsupported),
            };
            if map.get(key).is_some() {
                return Err(CborFault::DuplicateKey);
            }
            map.0.push((key, self.item(depth_left)?));
        }
        Ok(map)
    }

    /// The number that the first byte stands for, or that follows it, in its shortest form.
    fn argument(&mut self, minor: u8) -> Result<u64, CborFault> {
        let (len, least) = match minor {
            0..=23 => return Ok(minor.into()),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(CborFault::NotCanonical),
        };
        let number = self.take(len)?.iter().fold(0, |number: u64, byte| (number << 8) | u64::from(*byte));
        if number < least { Err(CborFault::NotCanonical) } else { Ok(number) }
    }

    /// How many values follow, where so many may.
    fn count(&mut self, len: u64) -> Result<usize, CborFault> {
        let len = usize::try_from(len).map_err(|_| CborFault::TooMany)?;
        self.values_left = self.values_left.checked_sub(len).ok_or(CborFault::TooMany)?;
        Ok(len)
    }

    fn take_counted(&mut self, len: u64) -> Result<&'a [u8], CborFault> {
        self.take(usize::try_from(len).map_err(|_| CborFault::Truncated)?)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CborFault> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CborFault::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl fmt::Display for CborFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Depth => "CBOR that is nested too deep",
            Self::DuplicateKey => "a CBOR map with a key twice",
            Self::NotCanonical => "CBOR that is not in its shortest form",
            Self::TrailingBytes => "bytes behind the CBOR",
            Self::Truncated => "CBOR that ends too soon",
            Self::Utf8 => "a CBOR text that is not UTF-8",
            Self::Unsupported => "CBOR with a tag, a fraction or another kind of value that is not read",
            Self::TooMany => "CBOR with too many values",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::authenticator::encoder, *};
    use proptest::prelude::*;

    /// RFC 8949 appendix A, as far as it is read.
    #[test]
    fn examples() {
        let text = |text| Ok(Cbor::Text(text));
        for (bytes, expected) in [
            (&[0x00][..], Ok(Cbor::Integer(0))),
            (&[0x17], Ok(Cbor::Integer(23))),
            (&[0x18, 0x18], Ok(Cbor::Integer(24))),
            (&[0x18, 0x64], Ok(Cbor::Integer(100))),
            (&[0x19, 0x03, 0xe8], Ok(Cbor::Integer(1000))),
            (&[0x1a, 0x00, 0x0f, 0x42, 0x40], Ok(Cbor::Integer(1_000_000))),
            (&[0x1b, 0, 0, 0, 0xe8, 0xd4, 0xa5, 0x10, 0x00], Ok(Cbor::Integer(1_000_000_000_000))),
            (&[0x1b, 0x7f, 255, 255, 255, 255, 255, 255, 255], Ok(Cbor::Integer(i64::MAX))),
            (&[0x1b, 0x80, 0, 0, 0, 0, 0, 0, 0], Err(CborFault::Unsupported)),
            (&[0x20], Ok(Cbor::Integer(-1))),
            (&[0x38, 0x63], Ok(Cbor::Integer(-100))),
            (&[0x39, 0x01, 0x00], Ok(Cbor::Integer(-257))),
            (&[0x3b, 0x7f, 255, 255, 255, 255, 255, 255, 255], Ok(Cbor::Integer(i64::MIN))),
            (&[0x3b, 0x80, 0, 0, 0, 0, 0, 0, 0], Err(CborFault::Unsupported)),
            (&[0xf4], Ok(Cbor::Bool(false))),
            (&[0xf5], Ok(Cbor::Bool(true))),
            (&[0xf6], Ok(Cbor::Null)),
            (&[0x40], Ok(Cbor::Bytes(&[]))),
            (&[0x44, 1, 2, 3, 4], Ok(Cbor::Bytes(&[1, 2, 3, 4]))),
            (&[0x60], text("")),
            (b"\x64IETF", text("IETF")),
            (b"\x62\xc3\xbc", text("ü")),
            (&[0x80], Ok(Cbor::Array(vec![]))),
            (&[0x82, 1, 0x20], Ok(Cbor::Array(vec![Cbor::Integer(1), Cbor::Integer(-1)]))),
            (&[0xa0], Ok(Cbor::Map(CborMap::default()))),
            // Longer than they need be.
            (&[0x18, 0x17], Err(CborFault::NotCanonical)),
            (&[0x19, 0x00, 0xff], Err(CborFault::NotCanonical)),
            (&[0x1a, 0, 0, 255, 255], Err(CborFault::NotCanonical)),
            (&[0x1b, 0, 0, 0, 0, 255, 255, 255, 255], Err(CborFault::NotCanonical)),
            (&[0x58, 0x01, 0], Err(CborFault::NotCanonical)),
            (&[0x98, 0x00], Err(CborFault::NotCanonical)),
            // Indefinite lengths, and lengths that mean nothing.
            (&[0x5f, 0x41, 0, 0xff], Err(CborFault::NotCanonical)),
            (&[0x9f, 0xff], Err(CborFault::NotCanonical)),
            (&[0xbf, 0xff], Err(CborFault::NotCanonical)),
            (&[0x1c], Err(CborFault::NotCanonical)),
            // A tag, a fraction, undefined, other simple values, a break.
            (&[0xc1, 0x00], Err(CborFault::Unsupported)),
            (&[0xf9, 0, 0], Err(CborFault::Unsupported)),
            (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], Err(CborFault::Unsupported)),
            (&[0xf7], Err(CborFault::Unsupported)),
            (&[0xf8, 0xff], Err(CborFault::Unsupported)),
            (&[0xff], Err(CborFault::Unsupported)),
            // Not UTF-8.
            (b"\x62\xc3\x28", Err(CborFault::Utf8)),
            // Too short, too long.
            (&[], Err(CborFault::Truncated)),
            (&[0x18], Err(CborFault::Truncated)),
            (&[0x42, 0], Err(CborFault::Truncated)),
            (&[0x81], Err(CborFault::Truncated)),
            (&[0xa1, 0x00], Err(CborFault::Truncated)),
            (&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255], Err(CborFault::Truncated)),
            (&[0x00, 0x00], Err(CborFault::TrailingBytes)),
        ] {
            assert_eq!(Cbor::read(bytes), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn keys() {
        let read = |members: &[(Vec<u8>, Vec<u8>)]| Cbor::read(&encoder::map(members)).map(|_| ());
        let (one, text, null) = (encoder::int(1), encoder::text("1"), vec![0xf6]);
        for (keys, expected) in [
            (vec![&one, &text], Ok(())),
            // Not in the canonical order, which puts numbers first.
            (vec![&text, &one], Ok(())),
            (vec![&one, &one], Err(CborFault::DuplicateKey)),
            (vec![&text, &one, &text], Err(CborFault::DuplicateKey)),
            (vec![&one, &null], Err(CborFault::Unsupported)),
            (vec![&encoder::bytes(b"1")], Err(CborFault::Unsupported)),
        ] {
            let members: Vec<_> = keys.into_iter().map(|key| (key.clone(), null.clone())).collect();
            assert_eq!(read(&members), expected, "{members:02x?}");
        }
        let bytes = encoder::map(&[(text, encoder::int(7)), (one, encoder::int(8))]);
        let mut map = Cbor::read(&bytes).unwrap().into_map().unwrap();
        assert_eq!(map.get(Key::Text("1")), Some(&Cbor::Integer(7)));
        assert_eq!(map.take(Key::Integer(1)), Some(Cbor::Integer(8)));
        assert_eq!((map.get(Key::Integer(1)), map.len()), (None, 1));
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let nested = |depth: usize| [vec![0x81; depth], vec![0x80]].concat();
        assert!(Cbor::read(&nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(Cbor::read(&nested(MAX_DEPTH)), Err(CborFault::Depth));
        assert_eq!(Cbor::read(&nested(1_000_000)), Err(CborFault::Depth));
        let list = |len: usize| encoder::array(&vec![vec![0xf6]; len]);
        assert!(Cbor::read(&list(MAX_VALUES)).is_ok());
        assert_eq!(Cbor::read(&list(MAX_VALUES + 1)), Err(CborFault::TooMany));
        // All together.
        assert!(Cbor::read(&encoder::array(&[list(MAX_VALUES - 2), list(0)])).is_ok());
        assert_eq!(Cbor::read(&encoder::array(&[list(MAX_VALUES - 2), list(1)])), Err(CborFault::TooMany));
        // What is announced takes no memory before it is there.
        assert_eq!(Cbor::read(&encoder::head(4, u64::MAX)), Err(CborFault::TooMany));
        assert_eq!(Cbor::read(&encoder::head(5, 1 << 40)), Err(CborFault::TooMany));
    }

    /// A tree and its encoding.
    fn encode(tree: &Cbor<'_>) -> Vec<u8> {
        match tree {
            Cbor::Integer(number) => encoder::int(*number),
            Cbor::Bytes(bytes) => encoder::bytes(bytes),
            Cbor::Text(text) => encoder::text(text),
            Cbor::Array(items) => encoder::array(&items.iter().map(encode).collect::<Vec<_>>()),
            Cbor::Map(map) => {
                let key = |key: &Key<'_>| match key {
                    Key::Integer(number) => encoder::int(*number),
                    Key::Text(text) => encoder::text(text),
                };
                let members = map.0.iter().map(|(own, value)| (key(own), encode(value)));
                encoder::map(&members.collect::<Vec<_>>())
            }
            Cbor::Bool(value) => vec![if *value { 0xf5 } else { 0xf4 }],
            Cbor::Null => vec![0xf6],
        }
    }

    proptest! {
        /// What is read has one encoding: written again, it is the same bytes.
        #[test]
        fn one_encoding(mut bytes in prop::collection::vec(any::<u8>(), 1..64), minor in 0..=0x1f_u8) {
            // More often a list or a map of something.
            if minor & 1 == 0 {
                bytes[0] = 0x80 | (minor & 0x27);
            }
            if let Ok((tree, rest)) = Cbor::read_first(&bytes) {
                prop_assert_eq!(bytes.strip_suffix(rest), Some(&*encode(&tree)));
            }
        }
    }
}
