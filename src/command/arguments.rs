//! What the command is asked to do.

use std::sync::LazyLock;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::{
    GOOD,
    diff::{CanOptions, DiffOptions, WhoCanOptions},
    explain::ExplainOptions,
    import::ImportTask,
    key::KeyTask,
    passkey::PasskeyTask,
    records::ReportOptions,
    revocation::RevocationTask,
    say,
    signing_key::SigningKeyTask,
    suite::TestOptions,
};
use crate::versions::{DECISION_RECORD, POLICY_DOCUMENT};

/// What belongs together in one release.
static VERSIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\npolicy document {POLICY_DOCUMENT}\ndecision record {DECISION_RECORD}",
        env!("CARGO_PKG_VERSION")
    )
});

/// Checks policies of Portcullis, an API security filter for Envoy, makes keys, and revokes what is no longer good.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, long_version = VERSIONS.as_str(), max_term_width = 100)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) task: Task,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Check every policy in the files, and say of each fault where it stands
    ///
    /// A file is a policy (YAML or JSON), or a file of Envoy (bootstrap, LDS, ECDS), Istio (WasmPlugin, EnvoyFilter) or
    /// Envoy Gateway (EnvoyExtensionPolicy) from which every policy is taken. Each is compiled as the filter would
    /// compile it. Ends with 0 if all are good, 1 if there is a fault or no policy, 2 if a file cannot be read.
    Check(CheckOptions),
    /// Say why a policy decides a request as it does: each rule, each condition, what goes upstream and what the client is
    /// told
    ///
    /// The request is decided by the filter's own engine, without Envoy and without the network. Token providers whose keys
    /// are fetched need --keys, or --claims in place of a token. Ends with 0 whatever the decision is, 1 if the policy has
    /// faults, 2 if a file cannot be read.
    Explain(Box<ExplainOptions>),
    /// Say which requests two policies decide otherwise, each with a request that shows it
    ///
    /// Tells what the new policy opens, closes and changes, what could not be decided, and what else differs beside the rules.
    /// Both policies' engines are asked about every request that is told. Ends with 0, with 1 if there is what --fail-on
    /// names, with 2 if a file cannot be read or a policy has faults.
    Diff(DiffOptions),
    /// Say whose requests with a method and a path pass, and by which rules
    ///
    /// The path may be a pattern. Tells every rule that may be the first for such a request, with a request that falls under
    /// it, and whom it lets pass: anyone, tokens with what they need, API keys by their ids, certificates, or nobody.
    WhoCan(WhoCanOptions),
    /// Say which rules a caller passes by: a role, a scope, an API key, a token with claims, or anyone
    ///
    /// The engine decides a request for each rule.
    Can(CanOptions),
    /// Run suites: requests with what is expected of them, decided as the filter would
    ///
    /// A suite is YAML: requests with tokens by their claims, API keys by their ids and certificates by their names, and the
    /// decision, rule, reason and headers that are expected. Nothing is sent anywhere: keys are made, and tokens are signed
    /// with them. Ends with 0 if all is as expected, 1 if not, 2 if a file cannot be read.
    Test(TestOptions),
    /// Count decision records: what was refused, by rule, reason, principal and limit, and what of a policy nobody used
    ///
    /// Reads Envoy's log, or files with one record a line; other lines are passed over. Records that stand for several
    /// requests count as many.
    Report(ReportOptions),
    /// Print the JSON Schema of policies, by which editors check and complete them
    Schema,
    /// Make API keys and look after them: list, rotate, disable, revoke
    #[command(subcommand)]
    Key(Box<KeyTask>),
    /// Make a policy of what there is: an OpenAPI document, or Envoy's own filters
    #[command(subcommand)]
    Import(Box<ImportTask>),
    /// Make keys that the gateway signs sessions and statements with, and tell their public halves
    #[command(subcommand)]
    SigningKey(SigningKeyTask),
    /// Look after passkeys that are kept in etcd: enrol somebody, list, remove
    #[command(subcommand)]
    Passkey(Box<PasskeyTask>),
    /// Revoke tokens, sessions, clients, subjects and API keys before their time, in etcd
    #[command(subcommand)]
    Revocation(Box<RevocationTask>),
    /// Write manual pages, as `man` shows them: one for each command
    Man(ManOptions),
    /// Print a script that completes this command's arguments in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct CheckOptions {
    /// Files to check; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<String>,
    /// How to say what was found
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
    /// Take warnings for faults when it comes to how the command ends
    #[arg(long)]
    pub(super) deny_warnings: bool,
}

#[derive(Debug, Args)]
pub(super) struct ManOptions {
    /// The folder, which is made where there is none
    #[arg(value_name = "FOLDER")]
    pub(super) folder: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people: the line with a mark under the place
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, which code hosts show beside the code
    Sarif,
}

/// Prints the script of `shell`.
pub(super) fn completions(shell: Shell) -> u8 {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "portcullis", &mut script);
    say(&String::from_utf8_lossy(&script));
    GOOD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clap_is_told_is_sound() {
        Arguments::command().debug_assert();
    }
}
