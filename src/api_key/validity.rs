//! Whether a key that is known is good now, and here.

use super::{ApiKeySpec, Presented, Restrictions};
use crate::{
    answer::Reason,
    time::{Clock, Timestamp},
};

/// When and where a key is good.
#[derive(Clone, Debug)]
pub(crate) struct Validity {
    not_before: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    disabled: bool,
    revoked: bool,
    /// `None`: it may be used everywhere.
    restrictions: Option<Box<Restrictions>>,
}

impl Validity {
    pub(crate) fn of(key: &ApiKeySpec) -> Self {
        Self {
            not_before: key.not_before,
            expires_at: key.expires_at,
            disabled: key.disabled,
            revoked: key.revoked,
            restrictions: (!key.restrictions.is_empty()).then(|| Box::new(key.restrictions.clone())),
        }
    }

    /// What is said for good counts before what may change.
    pub(crate) fn check(&self, presented: Presented<'_>, clock: &Clock) -> Result<(), Reason> {
        match self {
            Self { revoked: true, .. } => Err(Reason::ApiKeyRevoked),
            Self { disabled: true, .. } => Err(Reason::ApiKeyDisabled),
            Self { not_before: Some(from), .. } if clock.now() < *from => Err(Reason::ApiKeyNotYetValid),
            Self { expires_at: Some(until), .. } if clock.now() >= *until => Err(Reason::ApiKeyExpired),
            Self { restrictions: Some(restrictions), .. }
                if !restrictions.allow(presented.address, presented.host) =>
            {
                Err(Reason::ApiKeyRestricted)
            }
            _ => Ok(()),
        }
    }
}
