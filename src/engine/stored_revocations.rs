//! Revocations that are kept in etcd: looked up by every name of a caller, and again when anything there has changed.

use super::HostServices;
use crate::{
    policy::Caller,
    replica::{Replica, Wanted},
    revocation::{Revoked, check_entries},
};

/// Whether none of them names `caller`. While it is not known what is revoked, everybody counts as if they were.
pub(super) fn check(
    replica: &mut Replica,
    caller: &Caller,
    services: &HostServices<'_>,
) -> Result<(), Revoked> {
    let now = services.now();
    replica.catch_up(now, services.store);
    if !replica.is_usable(now) {
        return Err(Revoked::Unknown);
    }
    let generation = replica.generation();
    if replica.is_empty() || caller.not_revoked_in.get() == generation {
        return Ok(());
    }
    check_entries(&caller.principal, now, |id| match replica.find(Wanted::Id(id), services.store) {
        Ok(found) => Ok(found.map(|found| found.value)),
        Err(_) => Err(Revoked::Unknown),
    })?;
    caller.not_revoked_in.set(generation);
    Ok(())
}
