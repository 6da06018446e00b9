//! Keeps count of the rows, so that none get lost unnoticed.

use crate::{api_keys, authorization, conditions, defaults, demo, forwarding, kept_paths, paths, tokens};

/// Each row holds two requests.
#[test]
fn the_tables_hold_at_least_120_rows() {
    let rows = [
        api_keys::table().len(),
        authorization::table().len(),
        defaults::table().len(),
        demo::rows(),
        forwarding::table().len(),
        conditions::table().len(),
        kept_paths::table().len(),
        paths::table().len(),
        tokens::table().len(),
    ];
    let total: usize = rows.iter().sum();
    assert!(total >= 120, "{total} rows: {rows:?}");
}
