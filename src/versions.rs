//! The versions that a release has beside its own. What a change of each means to whom is in `docs/releases.md`.

/// The version of the policy document. It grows when a document that was good is refused, or means something else.
pub const POLICY_DOCUMENT: u32 = 1;

/// The version of the decision record. It grows when a field goes, or means something else.
pub const DECISION_RECORD: u32 = 1;
