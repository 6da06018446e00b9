//! New API keys.

use super::{GOOD, UNUSABLE, complain, say};
use crate::{
    crypto::sha256,
    text::{base64url, hex},
};

/// Prints a key and its hash.
pub(super) fn run() -> u8 {
    match new_key() {
        Ok(text) => {
            say(&text);
            GOOD
        }
        Err(error) => {
            complain(&format!("error: no key could be made: {error}\n"));
            UNUSABLE
        }
    }
}

/// 256 random bits; guessing one is out of reach, so a plain hash keeps it.
fn new_key() -> Result<String, String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    let key = format!("pk_{}", base64url::encode(&bytes));
    let hash = hex::encode(&sha256(key.as_bytes()));
    Ok(format!("key:  {key}\nhash: sha256:{hash}\n"))
}
