//! The native `portcullis` command: the module's own core, offline.

use std::{
    io::{Read, Write},
    process::ExitCode,
};

use ct_codecs::{Base64UrlSafeNoPadding, Encoder, Hex};
use portcullis::{crypto::sha256, policy::Policy};

const USAGE: &str = "usage:
  portcullis check FILE   compile a policy document (JSON; `-` reads standard input); report every fault and warning
  portcullis key          make an API key and the hash that the policy stores of it";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["check", file] => check(file),
        ["key"] => new_key(),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(text) => {
            // A closed pipe is the reader's choice, not a failure.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "{message}");
            ExitCode::FAILURE
        }
    }
}

/// Compiles a document as the module would.
fn check(file: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin().read_to_end(&mut bytes),
        _ => std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)),
    };
    read.map_err(|error| format!("{file}: {error}"))?;
    match Policy::compile(&bytes, "check") {
        Ok(policy) => {
            for warning in policy.warnings() {
                let _ = writeln!(std::io::stderr(), "{file}: warning: {warning}");
            }
            Ok(format!("{file}: good: {}", policy.summary()))
        }
        Err(faults) => {
            Err(faults.iter().map(|fault| format!("{file}: {fault}")).collect::<Vec<_>>().join("\n"))
        }
    }
}

/// 256 random bits; guessing one is out of reach, so a plain hash keeps it.
fn new_key() -> Result<String, String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    let text = |error: ct_codecs::Error| error.to_string();
    let key = format!("pk_{}", Base64UrlSafeNoPadding::encode_to_string(bytes).map_err(text)?);
    let hash = Hex::encode_to_string(sha256(key.as_bytes())).map_err(text)?;
    Ok(format!("key:  {key}\nhash: sha256:{hash}"))
}
