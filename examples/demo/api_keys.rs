//! The demo's API keys: the keys themselves lie in one private file, the policy gets their digests.

use sha2::{Digest as _, Sha256};

use crate::{Result, settings::Settings, signing::base64url};

/// What the policy says of each is in `envoy/demo/policy.yaml`.
const NAMES: [&str; 5] = ["reader", "writer", "operator", "expired", "disabled"];

const FILE: &str = "api-keys";

pub(crate) fn set_up(settings: &Settings) -> Result<()> {
    if settings.path(FILE).exists() {
        return Ok(());
    }
    let mut lines = String::new();
    for name in NAMES {
        // The prefix lets people and secret scanners tell what a stray string is.
        lines.push_str(&format!("{name} pk_demo_{}\n", random()?));
    }
    settings.write(FILE, &lines, true)
}

/// 256 bits of it, as text.
pub(crate) fn random() -> Result<String> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| format!("no randomness: {error}"))?;
    base64url(&random)
}

/// `(name, key)` in the order of set-up.
pub(crate) fn load(settings: &Settings) -> Result<Vec<(String, String)>> {
    let text = settings.read(FILE)?;
    text.lines()
        .map(|line| {
            let (name, key) =
                line.split_once(' ').ok_or_else(|| format!("{FILE} holds a line that is not `name key`"))?;
            Ok((name.to_owned(), key.to_owned()))
        })
        .collect()
}

/// As the policy stores it.
pub(crate) fn hash(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
