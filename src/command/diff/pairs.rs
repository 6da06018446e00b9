//! Which lines of two policies are the same, and in the same order.

use hashbrown::{HashMap, HashSet};

use super::rules::Line;

/// For each old line the new one that takes the same, where both stand in an order that both policies have: of such a pair
/// neither line can take what belongs to another pair.
pub(super) fn twins(old: &[Line], new: &[Line]) -> Vec<(usize, usize)> {
    let places: HashMap<(&str, bool), usize> =
        new.iter().enumerate().map(|(at, line)| ((&*line.key, line.rule.is_none()), at)).collect();
    let mut seen = HashSet::new();
    let candidates: Vec<(usize, usize)> = old
        .iter()
        .enumerate()
        .filter_map(|(at, line)| Some((at, *places.get(&(&*line.key, line.rule.is_none()))?)))
        .filter(|(_, place)| seen.insert(*place))
        .collect();
    longest_ascending(&candidates)
}

/// The longest part of `pairs`, ascending by their first places, in which the second ones ascend, too.
fn longest_ascending(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // For each length the pair with which the best such part of that length ends; and what comes before each pair.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    let second = |at: &usize| pairs.get(*at).map(|pair| pair.1);
    for (at, pair) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| second(end) < Some(pair.1));
        before.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut part = Vec::new();
    let mut at = ends.last().copied();
    while let Some(place) = at {
        part.extend(pairs.get(place).copied());
        at = before.get(place).copied().flatten();
    }
    part.reverse();
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_part_is_found() {
        for (seconds, expected) in [
            (&[][..], &[][..]),
            (&[0, 1, 2], &[0, 1, 2]),
            (&[2, 0, 1], &[0, 1]),
            (&[1, 2, 0], &[1, 2]),
            (&[5, 1, 6, 2, 3], &[1, 2, 3]),
        ] {
            let pairs: Vec<_> = seconds.iter().copied().enumerate().collect();
            let found: Vec<usize> = longest_ascending(&pairs).into_iter().map(|pair| pair.1).collect();
            assert_eq!(found, expected, "{seconds:?}");
        }
    }
}
