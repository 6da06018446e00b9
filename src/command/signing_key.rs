//! `portcullis signing-key`: keys that the gateway signs with. None is stored.

use std::io::Read as _;

use clap::{Subcommand, ValueEnum};
use serde_json::Value;

use super::{FAULTY, GOOD, UNUSABLE, complain, say};
use crate::{
    crypto::{Algorithm, new_private_jwk},
    jose::OwnKey,
};

/// The longest key that is read, in bytes.
const MAX_KEY: u64 = 16 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum SigningKeyTask {
    /// Print a new private key, as a JWK for `signingKeys.keys` of a policy
    ///
    /// It is printed once and stored nowhere: keep it where secrets are.
    New {
        /// What the key is for
        #[arg(long, value_enum, default_value_t = Kind::Es256)]
        algorithm: Kind,
        /// What tokens call it. Absent: its thumbprint (RFC 7638)
        #[arg(long)]
        kid: Option<String>,
    },
    /// Print the public half of a private key, as a JWK
    ///
    /// Reads the private JWK from standard input.
    Public,
}

/// An algorithm that the gateway signs with.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Kind {
    /// ECDSA on P-256, which everybody verifies
    #[value(name = "ES256")]
    Es256,
    /// Ed25519, by which the gateway signs faster
    #[value(name = "EdDSA")]
    EdDsa,
}

/// Carries out what is asked for.
pub(super) fn run(task: &SigningKeyTask) -> u8 {
    let told = match task {
        SigningKeyTask::New { algorithm, kid } => new(*algorithm, kid.as_deref()),
        SigningKeyTask::Public => public(),
    };
    match told {
        Ok(jwk) => {
            say(&format!("{jwk}\n"));
            GOOD
        }
        Err((code, message)) => {
            complain(&format!("error: {message}\n"));
            code
        }
    }
}

fn new(algorithm: Kind, kid: Option<&str>) -> Result<Value, (u8, String)> {
    let algorithm = match algorithm {
        Kind::Es256 => Algorithm::Es256,
        Kind::EdDsa => Algorithm::EdDsa,
    };
    let unusable = || (UNUSABLE, "no key could be made".to_owned());
    let mut jwk = new_private_jwk(algorithm).ok_or_else(unusable)?;
    let members = jwk.as_object_mut().ok_or_else(unusable)?;
    if let Some(kid) = kid {
        members.insert("kid".to_owned(), kid.into());
    }
    let key = OwnKey::from_jwk(&jwk).map_err(|fault| (UNUSABLE, fault.to_string()))?;
    if let Some(members) = jwk.as_object_mut() {
        members.insert("kid".to_owned(), key.kid().into());
    }
    Ok(jwk)
}

fn public() -> Result<Value, (u8, String)> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_KEY).read_to_string(&mut text);
    read.map_err(|error| (UNUSABLE, format!("standard input: {error}")))?;
    // What a parser says of it could show it.
    let jwk: Value = serde_json::from_str(&text).map_err(|_| (FAULTY, "not a JWK: no JSON".to_owned()))?;
    let key = OwnKey::from_jwk(&jwk).map_err(|fault| (FAULTY, fault.to_string()))?;
    Ok(key.public().clone())
}
