//! Takes exports out of a wasm module: `strip_exports FILE NAME..`, in place.
//!
//! The SDK exports every callback there is, and Envoy calls each that a module exports: also those that do nothing
//! here, such as one for every piece of a body. What is not exported is not called.
//!
//! Only the standard library, so that `rustc` alone builds it.

use std::{env, fs, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let Some(file) = arguments.next() else {
        eprintln!("usage: strip_exports FILE NAME..");
        return ExitCode::FAILURE;
    };
    let names: Vec<String> = arguments.collect();
    let result = fs::read(&file).map_err(|error| error.to_string()).and_then(|module| {
        let stripped = strip(&module, &names).ok_or("not a wasm module")?;
        // A new file, because the compiler keeps the old one under another name.
        let new = format!("{file}.stripped");
        fs::write(&new, stripped).and_then(|()| fs::rename(&new, &file)).map_err(|error| error.to_string())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("strip_exports: {file}: {message}");
            ExitCode::FAILURE
        }
    }
}

const EXPORT_SECTION: u8 = 7;

/// The module without the exports of these names; `None` if it is no module. A name that it does not export is
/// no error: the module may have been stripped before.
fn strip(module: &[u8], names: &[String]) -> Option<Vec<u8>> {
    let mut rest = module.strip_prefix(b"\0asm\x01\0\0\0")?;
    let mut stripped = module.get(..8)?.to_vec();
    while let Some((id, after)) = rest.split_first() {
        let (size, after) = number(after)?;
        let (content, after) = after.split_at_checked(size)?;
        rest = after;
        let content = if *id == EXPORT_SECTION { exports(content, names)? } else { content.to_vec() };
        stripped.push(*id);
        push_number(&mut stripped, content.len());
        stripped.extend(content);
    }
    Some(stripped)
}

fn exports(section: &[u8], names: &[String]) -> Option<Vec<u8>> {
    let (count, mut rest) = number(section)?;
    let (mut kept, mut entries) = (0, Vec::new());
    for _ in 0..count {
        let entry = rest;
        let (length, after) = number(rest)?;
        let (name, after) = after.split_at_checked(length)?;
        // The kind, and an index.
        let (_, after) = after.split_first()?;
        (_, rest) = number(after)?;
        if !names.iter().any(|unwanted| unwanted.as_bytes() == name) {
            kept += 1;
            entries.extend_from_slice(entry.get(..entry.len() - rest.len())?);
        }
    }
    let mut section = Vec::new();
    push_number(&mut section, kept);
    section.extend(entries);
    Some(section)
}

/// Unsigned LEB128.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0_usize;
    for (i, byte) in bytes.iter().enumerate().take(5) {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(i + 1..)?));
        }
    }
    None
}

fn push_number(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
