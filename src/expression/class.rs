//! Sets of characters.

/// Characters in ascending ranges that do not touch, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Class(Vec<(char, char)>);

/// The classes that Perl and POSIX have names for; ASCII alone.
const NAMED: [(&str, &[(char, char)]); 14] = [
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", &[('0', '9')]),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

impl Class {
    pub(super) fn one(char: char) -> Self {
        Self(vec![(char, char)])
    }

    pub(super) fn all() -> Self {
        Self(vec![('\0', char::MAX)])
    }

    /// `None`: no class has that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMED.iter().find(|(own, _)| *own == name).map(|(_, ranges)| Self(ranges.to_vec()))
    }

    /// Adds the characters from the first to the last.
    pub(super) fn add(&mut self, first: char, last: char) {
        let at = self.0.partition_point(|range| *range < (first, last));
        self.0.insert(at, (first, last));
        self.tidy();
    }

    pub(super) fn join(&mut self, other: &Self) {
        other.0.iter().for_each(|(first, last)| self.add(*first, *last));
    }

    /// With the other case of every ASCII letter in it.
    pub(super) fn without_case(mut self) -> Self {
        let part = |(first, last): (char, char), (from, to): (char, char), other: fn(&char) -> char| {
            let (first, last) = (first.max(from), last.min(to));
            (first <= last).then(|| (other(&first), other(&last)))
        };
        let others = self.0.iter().flat_map(|range| {
            let upper = part(*range, ('a', 'z'), char::to_ascii_uppercase);
            [upper, part(*range, ('A', 'Z'), char::to_ascii_lowercase)]
        });
        let others = Self(others.flatten().collect());
        self.join(&others);
        self
    }

    /// Every other character.
    pub(super) fn negated(self) -> Self {
        let mut ranges = Vec::with_capacity(self.0.len().saturating_add(1));
        let mut next = Some('\0');
        for (first, last) in self.0 {
            if let (Some(from), Some(to)) = (next, before(first))
                && from <= to
            {
                ranges.push((from, to));
            }
            next = after(last);
        }
        ranges.extend(next.map(|from| (from, char::MAX)));
        Self(ranges)
    }

    pub(super) fn contains(&self, char: char) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&char))
    }

    /// Where it begins to hold or ceases to: between two of these characters it is all or nothing.
    pub(super) fn edges(&self) -> impl Iterator<Item = char> {
        self.0.iter().flat_map(|(first, last)| [Some(*first), after(*last)]).flatten()
    }

    /// Makes one of ranges that touch.
    fn tidy(&mut self) {
        let mut ranges: Vec<(char, char)> = Vec::with_capacity(self.0.len());
        for (first, last) in self.0.drain(..) {
            match ranges.last_mut() {
                Some((_, end)) if after(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        self.0 = ranges;
    }
}

/// The next character; surrogates are none.
fn after(char: char) -> Option<char> {
    let next = u32::from(char).checked_add(1)?;
    char::from_u32(next).or_else(|| (next == 0xd800).then_some('\u{e000}'))
}

fn before(char: char) -> Option<char> {
    let previous = u32::from(char).checked_sub(1)?;
    char::from_u32(previous).or_else(|| (previous == 0xdfff).then_some('\u{d7ff}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(ranges: &[(char, char)]) -> Class {
        let mut class = Class::default();
        ranges.iter().for_each(|(first, last)| class.add(*first, *last));
        class
    }

    #[test]
    fn ranges_that_touch_are_one() {
        assert_eq!(class(&[('c', 'd'), ('a', 'b'), ('f', 'g')]).0, [('a', 'd'), ('f', 'g')]);
        assert_eq!(class(&[('a', 'z'), ('c', 'd')]).0, [('a', 'z')]);
        assert_eq!(class(&[('\u{e000}', char::MAX), ('\0', '\u{d7ff}')]), Class::all());
    }

    #[test]
    fn what_is_negated_twice_is_the_same() {
        let rows = [
            class(&[]),
            Class::all(),
            class(&[('\0', 'a')]),
            class(&[('b', char::MAX)]),
            class(&[('a', 'b'), ('\u{d7ff}', '\u{d7ff}'), ('\u{e001}', '\u{e002}')]),
        ];
        for row in rows {
            let negated = row.clone().negated();
            for char in ['\0', 'a', 'b', 'c', '\u{d7ff}', '\u{e000}', '\u{e001}', char::MAX] {
                assert_ne!(row.contains(char), negated.contains(char), "{row:?} {char:?}");
            }
            assert_eq!(negated.negated(), row);
        }
    }

    #[test]
    fn letters_lose_their_case() {
        assert_eq!(
            class(&[('x', 'z'), ('K', 'K')]).without_case().0,
            [('K', 'K'), ('X', 'Z'), ('k', 'k'), ('x', 'z')]
        );
        assert_eq!(class(&[('Y', 'b')]).without_case().0, [('A', 'B'), ('Y', 'b'), ('y', 'z')]);
        // ASCII alone: the long s and the Kelvin sign are letters of their own.
        assert_eq!(class(&[('é', 'é')]).without_case().0, [('é', 'é')]);
        assert!(!Class::one('s').without_case().contains('\u{17f}'));
    }

    #[test]
    fn a_class_changes_at_its_edges_alone() {
        assert_eq!(class(&[('a', 'c'), ('x', 'x')]).edges().collect::<String>(), "adxy");
        assert_eq!(Class::all().edges().collect::<String>(), "\0");
    }
}
