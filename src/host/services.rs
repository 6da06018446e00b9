//! What the core asks of its surroundings, answered by the host: shared data, crypto, time and randomness.

use log::warn;

use super::abi::{self, LogLevel};
use crate::{
    crypto::{self, HostCrypto, NoHostCrypto},
    engine::{Around, Readers},
    room::Client,
    store::{Expected, SharedStore, StoreError, Versioned},
    time::{Clock, Timestamp},
};

/// Envoy's shared data.
pub(super) struct SharedData;

/// A version that is never stored in practice. Envoy ignores the version for a key that does not exist and
/// compares it for one that does, so writing with it creates a key and never overwrites one.
const CREATE_ONLY: u32 = u32::MAX;

impl SharedStore for SharedData {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let stored = abi::shared_data(key).map_err(|_| StoreError::Unavailable)?;
        Ok(stored.map(|(value, version)| Versioned { value, version }))
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let cas = match expected {
            Expected::Absent => CREATE_ONLY,
            // Zero would be an unconditional write.
            Expected::Version(0) => return Err(StoreError::Conflict),
            Expected::Version(version) => version,
        };
        match abi::set_shared_data(key, value, cas) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Conflict),
            Err(abi::Failed) => Err(StoreError::Unavailable),
        }
    }
}

/// Envoy's own signature check, a foreign function.
pub(super) struct Verifier;

impl HostCrypto for Verifier {
    fn verify(&self, hash: &str, spki: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        let mut argument = Vec::with_capacity(
            hash.len()
                .saturating_add(spki.len())
                .saturating_add(signature.len())
                .saturating_add(message.len())
                .saturating_add(24),
        );
        for (field, bytes) in [(1, hash.as_bytes()), (2, spki), (3, signature), (4, message)] {
            prost::encoding::encode_key(field, prost::encoding::WireType::LengthDelimited, &mut argument);
            prost::encoding::encode_varint(u64::try_from(bytes.len()).ok()?, &mut argument);
            argument.extend_from_slice(bytes);
        }
        // A host that has the function always answers with bytes or an error about the key.
        match abi::call_foreign_function("verify_signature", &argument) {
            // VerifySignatureResult { bool result = 1; string error = 2 }: true is the bytes 08 01 at the front.
            Ok(Some(answer)) => Some(answer.starts_with(&[0x08, 0x01])),
            Ok(None) => None,
            Err(abi::Failed) => Some(false),
        }
    }
}

/// The host's crypto where it works, else the module's own. Asked once: what a host can do does not change.
pub(super) fn crypto() -> &'static dyn HostCrypto {
    if crypto::is_host_usable(&Verifier) {
        &Verifier
    } else {
        warn!("the host verifies no signatures; the module does so itself, many times slower");
        &NoHostCrypto
    }
}

/// Everything that the engine asks for, now, but for what it asks about a request.
pub(super) fn around(crypto: &'static dyn HostCrypto, readers: Readers) -> Around<'static> {
    Around {
        clock: Clock::new(now),
        store: &SharedData,
        crypto,
        client: &Client::default,
        may_wait: &|| false,
        readers,
        random: &random,
    }
}

/// Who reads decision records: whether the host keeps what is logged at their level.
pub(super) fn readers() -> Readers {
    Readers { of_refused: abi::logs(LogLevel::Warn), of_allowed: abi::logs(LogLevel::Info) }
}

/// The time of the host's wall clock. The standard library asks for it by WASI, a longer way to the same.
///
/// Without a clock nothing can be decided: the VM ends, as it does with the standard library, and lets nothing through.
pub(super) fn now() -> Timestamp {
    match abi::wall_clock() {
        Ok(nanos) => Timestamp::from_nanos(nanos),
        Err(abi::Failed) => std::process::abort(),
    }
}

/// Random bytes; `None` when the host has none to give, which whoever asks must treat as a failure.
fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}
