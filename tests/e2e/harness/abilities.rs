//! What the Envoy at hand can do, by its version: said here alone.

use std::{process::Command, sync::LazyLock};

use super::artifact;

/// 40 of 1.40.0.
pub(crate) static MINOR: LazyLock<u32> = LazyLock::new(|| {
    let said = Command::new(artifact("PORTCULLIS_ENVOY")).arg("--version").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let minor = said.split('/').find_map(|part| part.strip_prefix("1.")?.split('.').next()?.parse().ok());
    minor.unwrap_or_else(|| panic!("no version: {said}"))
});

/// Over QUIC, clients are asked for certificates.
pub(crate) fn asks_for_certificates_over_quic() -> bool {
    *MINOR >= 40
}
