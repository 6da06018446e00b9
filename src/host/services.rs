//! What the core asks of its surroundings, answered by the host: shared data, crypto, time and randomness.

use std::cell::Cell;

use log::{Level, warn};

use super::host_calls::{Failed, Host};
use crate::{
    crypto::{self, HostCrypto},
    engine::{HostServices, LogEnabled},
    protobuf,
    store::{Expected, SharedStore, StoreError, Versioned},
    time::Clock,
};

/// Envoy's shared data.
pub(super) struct SharedData<H>(pub(super) H);

/// A version that is never stored in practice. Envoy ignores the version for a key that does not exist and
/// compares it for one that does, so writing with it creates a key and never overwrites one.
const CREATE_ONLY: u32 = u32::MAX;

impl<H: Host> SharedStore for SharedData<H> {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let stored = self.0.shared_data(key).map_err(|_| StoreError::Unavailable)?;
        Ok(stored.map(|(value, version)| Versioned { value, version }))
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let cas = match expected {
            Expected::Absent => CREATE_ONLY,
            // Zero would be an unconditional write.
            Expected::Version(0) => return Err(StoreError::Conflict),
            Expected::Version(version) => version,
        };
        match self.0.set_shared_data(key, value, cas) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Conflict),
            Err(Failed) => Err(StoreError::Unavailable),
        }
    }
}

/// Envoy's own signature check, a foreign function.
pub(super) struct Verifier<H>(H);

impl<H: Host> HostCrypto for Verifier<H> {
    fn verify(&self, hash: &str, spki: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        let mut argument = Vec::with_capacity(
            hash.len()
                .saturating_add(spki.len())
                .saturating_add(signature.len())
                .saturating_add(message.len())
                .saturating_add(24),
        );
        for (field, bytes) in [(1, hash.as_bytes()), (2, spki), (3, signature), (4, message)] {
            protobuf::append(field, bytes, &mut argument);
        }
        // A host that has the function always answers with bytes or an error about the key.
        match self.0.call_foreign_function("verify_signature", &argument) {
            // VerifySignatureResult { bool result = 1; string error = 2 }: true is the bytes 08 01 at the front.
            Ok(Some(answer)) => Some(answer.starts_with(&[0x08, 0x01])),
            Ok(None) => None,
            Err(Failed) => Some(false),
        }
    }
}

/// All of it, for one configuration.
pub(super) struct Services<H> {
    shared: SharedData<H>,
    /// `None`: the host verifies no signatures.
    verifier: Option<Verifier<H>>,
    /// As of the last tick: an operator may change the host's log level while we run.
    log_enabled: Cell<LogEnabled>,
}

impl<H: Host> Services<H> {
    /// What the host can do is asked once: it does not change.
    pub(super) fn of(host: &H) -> Self {
        let verifier = Verifier(host.clone());
        let verifier = crypto::is_host_usable(&verifier).then_some(verifier);
        if verifier.is_none() {
            warn!("the host verifies no signatures; the module does so itself, many times slower");
        }
        Self { shared: SharedData(host.clone()), verifier, log_enabled: Cell::new(log_enabled(host)) }
    }

    /// Asks anew what may change.
    pub(super) fn on_tick(&self, host: &H) {
        self.log_enabled.set(log_enabled(host));
    }

    /// Everything that the engine asks for, now, but for what it asks about a request.
    pub(super) fn of_call(&self) -> HostServices<'_> {
        let mut services = HostServices::new(Clock::new(H::now), &self.shared, &random);
        if let Some(verifier) = &self.verifier {
            services.crypto = verifier;
        }
        services.log_enabled = self.log_enabled.get();
        services
    }
}

/// Whether the host keeps what is logged at the levels of decision records.
fn log_enabled(host: &impl Host) -> LogEnabled {
    LogEnabled { refused: host.logs(Level::Warn), allowed: host.logs(Level::Info) }
}

/// Random bytes; `None` when the host has none to give, which whoever asks must treat as a failure.
fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}
