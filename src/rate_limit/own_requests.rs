//! Windows that admit as many requests as the caller's token or API key says, within a bound of the policy.
//!
//! Such a window is counted in shares: of a caller with the number `n` each request takes an `n`th of it, in nanoseconds
//! as everywhere ([`gcra`](super::gcra)). What is stored says how much of the window is used, whoever used it. So a
//! client that holds tokens with several numbers has one count for all of them, in which no token finds what another one
//! used up, and a number that changes leaves the count as it is. Since no request takes less than a share of the highest
//! number, no span admits more than the window promises for that, over all tokens together.

use std::borrow::Cow;

use super::{
    OwnRequestsSpec, WindowSpec,
    key::{Key, Subject},
    quota::Quota,
};
use crate::{
    fault::Fault,
    identity::{ClaimPath, Principal, PrincipalKind},
    json::Json,
};

/// The window of a limit, or of one of its tiers, in which callers may have numbers of their own.
#[derive(Clone, Debug)]
pub(super) struct OwnRequests {
    /// Its place among the windows.
    window: usize,
    /// Where a token says its number; `None`: no token has one.
    claim: Option<ClaimPath>,
    /// The limit's name, by which an API key says its number.
    limit: Box<str>,
    /// All windows, as they are for a caller with the highest number.
    pub(super) most: Vec<Quota>,
}

impl OwnRequests {
    /// Makes the window at `window` of `quotas` one that is counted in shares. The path of a fault is relative to it.
    pub(super) fn compile(
        window: usize,
        spec: &WindowSpec,
        own: &OwnRequestsSpec,
        limit: &str,
        quotas: &mut [Quota],
    ) -> Result<Option<Self>, Fault> {
        let most = Quota::of_most(spec, own.max)?;
        let mut all = quotas.to_vec();
        let (Some(in_all), Some(quota)) = (all.get_mut(window), quotas.get_mut(window)) else {
            return Ok(None);
        };
        (*in_all, *quota) = (most, most.share(spec.requests));
        Ok(Some(Self { window, claim: own.claim.clone(), limit: limit.into(), most: all }))
    }

    /// The windows as they are for this caller; `quotas` are those of whoever has no number.
    #[inline(never)]
    pub(super) fn quotas<'q>(
        &self,
        quotas: &'q [Quota],
        key: &Key,
        subject: &Subject<'_>,
    ) -> Cow<'q, [Quota]> {
        let most = self.most.get(self.window);
        // Where both of two have a number, neither gets more than it may.
        let number = key.told_apart(subject).filter_map(|caller| self.number(caller)).min();
        let (Some(most), Some(number)) = (most, number) else { return Cow::Borrowed(quotas) };
        let mut own = quotas.to_vec();
        if let Some(quota) = own.get_mut(self.window) {
            *quota = most.share(number);
        }
        Cow::Owned(own)
    }

    /// The caller's number; one that is no whole number from 1 stands for the least, never for more than was meant.
    fn number(&self, caller: &Principal) -> Option<u32> {
        match caller.kind {
            PrincipalKind::ApiKey => {
                let mut numbers = caller.own_requests.iter();
                numbers.find(|(limit, _)| *limit == self.limit).map(|(_, number)| *number)
            }
            PrincipalKind::ClientCertificate | PrincipalKind::Hmac | PrincipalKind::MessageSignature => None,
            PrincipalKind::Jwt => match self.claim.as_ref()?.find(caller.claims.object())? {
                Json::Null => None,
                Json::Number(number) => {
                    let number = number.as_u64().unwrap_or(1);
                    Some(u32::try_from(number).unwrap_or(u32::MAX))
                }
                _ => Some(1),
            },
        }
    }
}

#[cfg(test)]
#[path = "own_requests_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
