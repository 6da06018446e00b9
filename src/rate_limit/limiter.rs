//! Decides whether the limits of a request admit it: all are checked, then all are charged or none.
//!
//! Counters are shared by all workers; see [`charging`](super::charging). Of a large limit many requests are charged
//! at once, and the next ones touch nothing shared; see [`Prepayments`](super::Prepayments).

use super::{
    admission::{Admission, LimitId},
    charging::{Counted, Ledger, judge, judge_and_charge},
    key::{self, Subject},
    limits::{Limit, Limiter, Plan},
    place::{Place, SlotSecret},
};
use crate::{store::StoreError, time::Timestamp};

impl Limiter {
    /// Charges the request to those of `limits` that apply to its method, or to none of them.
    ///
    /// [`StoreError::Unavailable`] means that no decision was possible: the store does not answer, other
    /// workers always wrote first, an address is needed and not known, or an id is not ours. Deny then.
    pub fn check(
        &self,
        limits: &[LimitId],
        subject: &Subject<'_>,
        now: Timestamp,
        ledger: &mut Ledger<'_>,
    ) -> Result<Admission, StoreError> {
        let [id] = limits else { return self.check_several(limits, subject, now, ledger) };
        match self.count(*id, subject, ledger)? {
            Some(one) if ledger.tells || !ledger.prepayments.spend(one.place, &one.quotas, now) => {
                judge_and_charge(&[one], now, ledger)
            }
            // Nearly always: the worker holds what the request costs. This way is kept short; `judge_and_charge` does all
            // the rest.
            _ => Ok(Admission::default()),
        }
    }

    #[inline(never)]
    fn check_several(
        &self,
        limits: &[LimitId],
        subject: &Subject<'_>,
        now: Timestamp,
        ledger: &mut Ledger<'_>,
    ) -> Result<Admission, StoreError> {
        judge_and_charge(&self.counted(limits, subject, ledger)?, now, ledger)
    }

    /// Whether those of `limits` that apply would admit a request, which is charged to none of them. Errors are those of
    /// [`Self::check`].
    pub fn look(
        &self,
        limits: &[LimitId],
        subject: &Subject<'_>,
        now: Timestamp,
        ledger: &mut Ledger<'_>,
    ) -> Result<Admission, StoreError> {
        judge(&self.counted(limits, subject, ledger)?, now, ledger)
    }

    /// Where those of `limits` count the request that apply.
    #[inline(never)]
    fn counted(
        &self,
        limits: &[LimitId],
        subject: &Subject<'_>,
        ledger: &Ledger<'_>,
    ) -> Result<Vec<Counted<'_>>, StoreError> {
        limits.iter().filter_map(|id| self.count(*id, subject, ledger).transpose()).collect()
    }

    /// Where a limit counts the request; `None`: it does not apply.
    fn count(
        &self,
        id: LimitId,
        subject: &Subject<'_>,
        ledger: &Ledger<'_>,
    ) -> Result<Option<Counted<'_>>, StoreError> {
        let limit = self.get(id).ok_or(StoreError::Unavailable)?;
        if !limit.applies_to(subject) {
            return Ok(None);
        }
        let tier = subject.principal.and_then(|principal| principal.tier.as_deref());
        let tier = tier.and_then(|name| limit.tiers.iter().find(|(tier, _)| **tier == *name));
        let plan = tier.map_or(&limit.own, |(_, plan)| plan);
        let place = match subject.known_place.and_then(|known| known.of(id)) {
            Some(place) => place,
            None => limit.place(id, plan, subject, ledger.secret)?,
        };
        let quotas = plan.quotas_of(&limit.key, subject);
        Ok(Some(Counted { limit: id, plan, quotas, place }))
    }
}

impl Limit {
    /// Where the client's counter is; remembered where it depends on the principal alone.
    #[inline(never)]
    fn place(
        &self,
        id: LimitId,
        plan: &Plan,
        subject: &Subject<'_>,
        secret: &SlotSecret,
    ) -> Result<Place, StoreError> {
        let mut hasher = secret.hasher();
        hasher.sized(self.name.as_bytes());
        hasher.fixed(plan.tag.to_le_bytes());
        key::hash_parts(&mut hasher, &self.key, subject).map_err(|key::NoAddress| StoreError::Unavailable)?;
        let place = hasher.finish();
        if let Some(known) = subject.known_place
            && self.is_of_caller()
        {
            known.keep(id, place);
        }
        Ok(place)
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
