//! Which roles inherit which others: all must exist, and none may inherit itself.

use super::{
    faults::{Faults, Path, quoted},
    names::Names,
};

/// Checks that inherited roles exist, and that no role inherits itself, directly or through others. `graph` has for each
/// item of `roles` its name and the names that it inherits, both empty where they could not be read.
pub(super) fn check(graph: &[(String, Vec<String>)], names: &Names, faults: &Faults) {
    let list = Path::Field(&Path::Root, "roles");
    // The places of the roles that each role inherits. Names that are unknown are noted as faults and left out.
    let mut edges: Vec<Vec<usize>> = Vec::with_capacity(graph.len());
    for (index, (_, inherited)) in graph.iter().enumerate() {
        let item = Path::Index(&list, index);
        let inherits = Path::Field(&item, "inherits");
        let targets = inherited.iter().enumerate().filter_map(|(i, name)| {
            names.resolve(name, &Path::Index(&inherits, i), faults)?;
            names.place(name)
        });
        edges.push(targets.collect());
    }
    for cycle in cycles(&edges) {
        let Some(first) = cycle.first() else { continue };
        let mut named: Vec<String> = cycle
            .iter()
            .chain([first])
            .filter_map(|&index| graph.get(index))
            .map(|(name, _)| quoted(name))
            .collect();
        if named.len() > 12 {
            named.splice(6..named.len().saturating_sub(5), ["...".to_owned()]);
        }
        let item = Path::Index(&list, *first);
        faults.add(
            &Path::Field(&item, "inherits"),
            format!("roles inherit in a circle: {}", named.join(" -> ")),
        );
    }
}

/// The cycles of a graph: one for each edge that closes one. The search goes depth first and looks at each edge once. It
/// does not recurse, so that no document can exhaust the stack.
fn cycles(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    /// More cycles than this would tell nothing new, and the length of the message could grow with the square of the
    /// number of roles.
    const ENOUGH: usize = 20;
    let mut state = vec![State::New; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        if state.get(start) != Some(&State::New) {
            continue;
        }
        // The path from `start` to the node that is looked at, each node with the number of its edges that were followed.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        while let Some((node, followed)) = path.last_mut() {
            let node = *node;
            let next = edges.get(node).and_then(|targets| targets.get(*followed)).copied();
            *followed = followed.saturating_add(1);
            if let Some(s) = state.get_mut(node) {
                *s = if next.is_some() { State::Open } else { State::Done };
            }
            let Some(next) = next else {
                path.pop();
                continue;
            };
            match state.get(next) {
                Some(State::New) => path.push((next, 0)),
                Some(State::Open) if found.len() < ENOUGH => {
                    found.push(path.iter().map(|(n, _)| *n).skip_while(|n| *n != next).collect());
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_are_found_once_each() {
        type Lists = &'static [&'static [usize]];
        let cases: [(Lists, Lists); 7] = [
            (&[], &[]),
            (&[&[]], &[]),
            (&[&[0]], &[&[0]]),
            (&[&[1], &[2], &[]], &[]),
            (&[&[1, 2], &[2], &[]], &[]),
            (&[&[1], &[2], &[1]], &[&[1, 2]]),
            (&[&[1], &[0], &[3], &[2]], &[&[0, 1], &[2, 3]]),
        ];
        for (edges, expected) in cases {
            let edges: Vec<Vec<usize>> = edges.iter().map(|e| e.to_vec()).collect();
            assert_eq!(cycles(&edges), expected, "{edges:?}");
        }
    }

    #[test]
    fn a_chain_of_100_000_roles_needs_no_deep_stack() {
        let edges: Vec<Vec<usize>> = (1..=100_000).map(|n| vec![n % 100_000]).collect();
        assert_eq!(cycles(&edges).len(), 1);
    }
}
