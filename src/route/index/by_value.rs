//! Matches of one path that differ in what they ask of headers and parameters, by name and value.
//!
//! A request has one value of each name, so of thousands of such matches it meets those few that ask for its own
//! values, and those that ask for none in particular.

use hashbrown::HashMap;

use crate::route::conditions::{ANY_VALUE, Conditions, Wanted};

/// Up to so many are tried one after the other.
const FEW: usize = 8;

/// Places of entries, each list ascending in the ids of its entries.
#[derive(Debug)]
pub(super) struct ByValue {
    /// By name and value, and all of a name under [`ANY_VALUE`].
    asking: HashMap<(u32, u32), Vec<u32>>,
    /// Those that ask for no value.
    others: Vec<u32>,
}

impl ByValue {
    /// `entries` are their places and those of their conditions, in the order of their ids. `None`: there are too few,
    /// or none asks for a value.
    pub(super) fn new(entries: &[(u32, u32)], conditions: &Conditions) -> Option<Self> {
        if entries.len() <= FEW {
            return None;
        }
        let wanted = |list: u32| {
            conditions.list(list).iter().filter_map(|condition| match condition.wanted {
                Wanted::Exact(value) => Some((condition.name, value)),
                Wanted::Present | Wanted::Expression(_) => None,
            })
        };
        let mut times: HashMap<(u32, u32), usize> = HashMap::new();
        for key in entries.iter().flat_map(|(_, list)| wanted(*list)) {
            let times = times.entry(key).or_default();
            *times = times.saturating_add(1);
        }
        let mut asking: HashMap<(u32, u32), Vec<u32>> = HashMap::new();
        let mut others = Vec::new();
        for (place, list) in entries {
            // Under the value that the fewest matches ask for, so that few have to be tried.
            match wanted(*list).min_by_key(|key| times.get(key)) {
                Some((name, value)) => {
                    asking.entry((name, value)).or_default().push(*place);
                    asking.entry((name, ANY_VALUE)).or_default().push(*place);
                }
                None => others.push(*place),
            }
        }
        (!asking.is_empty()).then_some(Self { asking, others })
    }

    /// Those that ask for this value of this name.
    pub(super) fn asking(&self, name: u32, value: u32) -> &[u32] {
        self.asking.get(&(name, value)).map(Vec::as_slice).unwrap_or_default()
    }

    /// Those that ask for no value.
    pub(super) fn others(&self) -> &[u32] {
        &self.others
    }
}
