//! Where several matches meet, what all of them say, in an order in which the first rule that matches is right.
//!
//! All regions that any filter speaks of are met with each other. Of a request then the narrowest region that it is in is
//! in all regions that it is in, so what is said of that one is what is said of the request, and narrower ones stand first.

use super::region::{Region, Unclear};

/// More regions are not made.
const MOST_CELLS: usize = 4_000;

/// Regions that have something in common with others that cannot be said.
pub(super) fn unclear(regions: &[Region]) -> Vec<Region> {
    let mut unclear: Vec<Region> = Vec::new();
    for (place, one) in regions.iter().enumerate() {
        for other in regions.iter().skip(place.saturating_add(1)) {
            if one.meet(other) != Err(Unclear) || unclear.contains(one) || unclear.contains(other) {
                continue;
            }
            // Of an expression and something plainer, the expression.
            let given_up = if one.paths < other.paths { one } else { other };
            unclear.push(given_up.clone());
        }
    }
    unclear
}

/// All regions, those in which some meet too, narrower ones first; `None`: there are too many.
pub(super) fn cells(regions: &[Region]) -> Option<Vec<Region>> {
    let mut cells = vec![Region::all()];
    for region in regions {
        let mut new: Vec<Region> = Vec::new();
        for cell in &cells {
            // What is unclear was taken out before.
            if let Ok(Some(met)) = cell.meet(region)
                && !cells.contains(&met)
                && !new.contains(&met)
            {
                new.push(met);
            }
        }
        cells.extend(new);
        if cells.len() > MOST_CELLS {
            return None;
        }
    }
    cells.sort_by_cached_key(Region::order);
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::{super::region::Paths, *};

    fn prefix(text: &str) -> Region {
        Region::of_paths(Paths::Prefix(text.to_owned()))
    }

    fn get(region: Region) -> Region {
        Region { methods: Some(["GET".to_owned()].into()), ..region }
    }

    #[test]
    fn narrower_regions_stand_first_and_meetings_have_one_of_their_own() {
        let regions = [prefix("/a"), get(Region::all()), prefix("/a/b"), prefix("/c")];
        let cells = cells(&regions).unwrap();
        let expected = [
            get(prefix("/a/b")),
            prefix("/a/b"),
            get(prefix("/a")),
            prefix("/a"),
            get(prefix("/c")),
            prefix("/c"),
            get(Region::all()),
            Region::all(),
        ];
        assert_eq!(cells.len(), expected.len());
        for cell in &expected {
            let place = cells.iter().position(|own| own == cell).unwrap();
            assert!(cells.iter().skip(place + 1).all(|wider| !wider.is_in(cell)), "{cell:?}");
        }
    }

    #[test]
    fn what_is_unclear_is_found() {
        let regex = Region::of_paths(Paths::Regex("/a/[0-9]+".to_owned()));
        assert_eq!(unclear(&[prefix("/a/1"), regex.clone()]).first(), Some(&regex));
        assert_eq!(unclear(&[prefix("/a"), regex.clone(), prefix("/b")]), []);
    }
}
