//! Which Envoy the tests run in, and in what its versions differ. A test that depends on it asks here, and holds what an
//! older Envoy does instead.

use std::{process::Command, sync::LazyLock};

use super::artifact;

/// 40 of 1.40.0.
static MINOR: LazyLock<u32> = LazyLock::new(|| {
    let told = Command::new(artifact("PORTCULLIS_ENVOY")).arg("--version").output().expect("Envoy starts");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    // `envoy  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
    let version = told.split("version: ").nth(1).and_then(|told| told.split('/').nth(1));
    let minor = version.and_then(|version| version.split('.').nth(1)?.parse().ok());
    minor.unwrap_or_else(|| panic!("no version of Envoy in {told:?}"))
});

/// `capability_restriction_config` stands with the VM's configuration; before, with the plugin's.
pub(crate) fn restricts_whole_vms() -> bool {
    *MINOR >= 40
}

/// Clients are not told to leave when the listener of their connection changes; before, with the next answer.
pub(crate) fn keeps_clients_of_changed_listeners() -> bool {
    *MINOR >= 40
}

/// Clients are asked for certificates over QUIC, too; before, a listener that requires them there is refused.
pub(crate) fn asks_for_certificates_over_quic() -> bool {
    *MINOR >= 40
}

/// The filter `oauth2` has every field that `envoy/oauth2-login.yaml` needs.
pub(crate) fn has_browser_logins() -> bool {
    *MINOR >= 39
}

/// Whether an Envoy without browser logins refuses that file for what it lacks.
pub(crate) fn refuses_browser_logins(log: &str) -> bool {
    // One of those that are unknown is named, and which one differs.
    let unknown = ["'allow_failed_matcher'", "'post_logout_redirect_uri'"];
    log.contains("OAuth2Config") && unknown.iter().any(|field| log.contains(field))
}
