//! What `portcullis report` is asked.

use clap::{Args, ValueEnum};

use crate::command::{offline::Which, telling::Output};

/// Which records, and what is to be told of them.
#[derive(Debug, Args)]
pub(in crate::command) struct ReportOptions {
    /// Files with decision records: Envoy's log, or one record a line; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<String>,
    /// Count by this member of the records
    #[arg(long, value_enum, value_name = "MEMBER")]
    pub(super) by: Vec<By>,
    /// Of records alone whose member is this: `credential=reader`, `decision=deny`. Given more than once, all of them
    #[arg(long = "where", value_name = "MEMBER=VALUE")]
    pub(super) filters: Vec<String>,
    /// Of lines alone that Envoy wrote at this time or later, as its log has it: 2027-01-31, or 2027-01-31 08:00
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// The policy that was in force, to say which of its rules, permissions, roles and API keys nobody used
    #[arg(long, short = 'p', value_name = "FILE")]
    pub(super) policy: Option<String>,
    #[command(flatten)]
    pub(super) which: Which,
    /// Say instead whether the chains of records are whole (`decisionLog: {chain: true}`), and the last digest of each. Ends
    /// with 1 where one is not
    #[arg(long, conflicts_with_all = ["by", "filters", "since", "policy", "top"])]
    pub(super) verify: bool,
    /// With --verify: a record with this digest must be there, or have come before the first one; the last digest of a chain
    /// that was verified before
    #[arg(long, value_name = "DIGEST", requires = "verify")]
    pub(super) expect: Vec<String>,
    /// The most lines of each list
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(super) top: usize,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum By {
    Rule,
    Reason,
    Principal,
    Credential,
    Limit,
    #[value(name = "shadowReason")]
    ShadowReason,
    #[value(name = "shadowRule")]
    ShadowRule,
    #[value(name = "shadowLimit")]
    ShadowLimit,
    Path,
    Address,
}

impl By {
    /// What records call it.
    pub(super) const fn member(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Reason => "reason",
            Self::Principal => "principal",
            Self::Credential => "credential",
            Self::Limit => "limit",
            Self::ShadowReason => "shadowReason",
            Self::ShadowRule => "shadowRule",
            Self::ShadowLimit => "shadowLimit",
            Self::Path => "path",
            Self::Address => "address",
        }
    }
}
