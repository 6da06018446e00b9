//! The native `portcullis` command: the module's own core, offline.
//!
//! It reads what people have (policies, and the files of Envoy, Istio and Envoy Gateway that hold them), hands each
//! policy to the core as Envoy would hand it to the module, and shows where in the file a fault stands. What a policy
//! may say is not decided here.

mod arguments;
mod check;
mod diff;
mod documents;
mod edit;
#[cfg(test)]
mod edit_tests;
mod etcd;
mod explain;
mod findings;
mod import;
mod json;
mod key;
mod manual;
mod masks;
mod offline;
mod one_policy;
mod passkey;
mod place;
mod policies;
mod records;
mod refusal;
mod report;
mod revocation;
mod sarif;
mod scalar;
mod signing_key;
mod source;
mod suite;
mod telling;
mod text;
mod times;
mod tree;
mod yaml;

use std::process::ExitCode;

use clap::Parser as _;

use self::arguments::{Arguments, Task};
pub use self::manual::reference;
use crate::config;

/// Everything is well.
const GOOD: u8 = 0;
/// A policy has faults, or nothing that was looked for is there.
const FAULTY: u8 = 1;
/// The command was called wrongly, or a file cannot be read. clap ends with the same.
const UNUSABLE: u8 = 2;

/// What the process does and how it ends.
#[must_use]
pub fn main() -> ExitCode {
    let code = match Arguments::parse().task {
        Task::Check(options) => check::run(&options),
        Task::Diff(options) => diff::run(&options),
        Task::WhoCan(options) => diff::who_can::run(&options),
        Task::Can(options) => diff::can::run(&options),
        Task::Explain(options) => explain::run(&options),
        Task::Test(options) => suite::run(&options),
        Task::Report(options) => records::run(&options),
        Task::Schema => print_schema(),
        Task::Key(task) => key::run(&task),
        Task::Import(task) => import::run(&task),
        Task::SigningKey(task) => signing_key::run(&task),
        Task::Passkey(task) => passkey::run(&task),
        Task::Revocation(task) => revocation::run(&task),
        Task::Man(options) => manual::run(&options),
        Task::Completions { shell } => arguments::completions(shell),
    };
    ExitCode::from(code)
}

fn print_schema() -> u8 {
    say(&format!("{:#}\n", config::schema()));
    GOOD
}

/// Writes to standard output. A closed pipe is the reader's choice, not a failure.
fn say(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// As [`say`], to standard error.
fn complain(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
