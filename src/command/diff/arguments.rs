//! What `portcullis diff`, `who-can` and `can` are asked.

use clap::{Args, ValueEnum};

use crate::command::{offline::Which, telling::Output};

/// Two policies.
#[derive(Debug, Args)]
pub(in crate::command) struct DiffOptions {
    /// The file with the policy as it was, or with a plugin of Envoy, Istio or Envoy Gateway that has it; `-` is standard input
    #[arg(value_name = "OLD")]
    pub(super) old: String,
    /// The file with the policy as it is to be
    #[arg(value_name = "NEW")]
    pub(super) new: String,
    #[command(flatten)]
    pub(super) which: Which,
    /// End with 1 if requests are decided so
    #[arg(long, value_enum, default_value_t = FailOn::None, value_name = "WHAT")]
    pub(super) fail_on: FailOn,
    /// When the requests come, as RFC 3339 has it. Absent: now
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
}

/// Which differences are a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    None,
    /// Refused by the old policy, allowed by the new one; also what could not be decided
    Opened,
    /// Allowed by the old policy, refused by the new one; also what could not be decided
    Closed,
    /// Anything that differs or could not be decided
    Any,
}

/// A request, and a policy.
#[derive(Debug, Args)]
pub(in crate::command) struct WhoCanOptions {
    /// The method
    pub(super) method: String,
    /// A path, or a pattern such as /orders/{id} or /orders/{rest=**}
    pub(super) path: String,
    /// The host. Absent: any
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,
    #[command(flatten)]
    pub(super) policy: PolicyOptions,
}

/// A caller, and a policy.
#[derive(Debug, Args)]
pub(in crate::command) struct CanOptions {
    /// role:NAME, scope:NAME, key:ID, claims:PROVIDER=JSON, or anyone
    #[arg(value_name = "CALLER")]
    pub(super) caller: String,
    #[command(flatten)]
    pub(super) policy: PolicyOptions,
}

#[derive(Debug, Args)]
pub(super) struct PolicyOptions {
    /// The file with the policy, or with a plugin of Envoy, Istio or Envoy Gateway that has one; `-` is standard input
    #[arg(long, short = 'p', value_name = "FILE")]
    pub(super) policy: String,
    #[command(flatten)]
    pub(super) which: Which,
    /// When the request comes, as RFC 3339 has it. Absent: now
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
}
