//! What calls to other servers are for.

use crate::{introspection::Ticket, passkeys};

/// What a call is for: whoever sent it hands its outcome back with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The key set of a provider.
    KeySet {
        /// Its place in the policy.
        provider: usize,
    },
    /// What the issuer says of a token.
    Introspection {
        /// The place of its provider in the policy.
        provider: usize,
        /// Which token.
        ticket: Ticket,
    },
    /// The list of what is revoked.
    Revocations,
    /// A login at the etcd that has API keys, for whatever is asked there.
    EtcdLogin,
    /// API keys that are kept elsewhere.
    KeyStore,
    /// How often API keys were used.
    KeyUses,
    /// A login at the etcd that passkeys are kept in.
    PasskeysLogin,
    /// What is kept of passkeys.
    Passkeys {
        /// Which question.
        ticket: passkeys::Ticket,
    },
    /// Revocations that are kept one by one.
    RevocationStore,
    /// A login at the etcd that has them.
    RevocationLogin,
}
