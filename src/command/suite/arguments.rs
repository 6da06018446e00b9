//! What `portcullis test` is asked.

use clap::{Args, ValueEnum};

use crate::command::offline::Which;

/// Suites, and how to tell what came of them.
#[derive(Debug, Args)]
pub(in crate::command) struct TestOptions {
    /// Files with suites
    #[arg(required_unless_present = "init", conflicts_with = "init", value_name = "SUITE")]
    pub(super) suites: Vec<String>,
    /// The policy, in place of the one that the suites name
    #[arg(long, short = 'p', value_name = "FILE")]
    pub(super) policy: Option<String>,
    #[command(flatten)]
    pub(super) which: Which,
    /// How to say what came of them
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
    /// Say, too, which rules, alternatives and conditions no case decided. Ends with 1 if there are any
    #[arg(long)]
    pub(super) coverage: bool,
    /// Run again whenever a suite or its policy is saved, until interrupted
    #[arg(long, conflicts_with = "output")]
    pub(super) watch: bool,
    /// Print a first suite for this policy: for each rule a request that passes, and its nearest that do not. Each is held
    /// against the policy before it is written
    #[arg(long, value_name = "POLICY")]
    pub(super) init: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people: what failed, and a count
    Text,
    /// Test Anything Protocol, version 14
    Tap,
    /// JUnit's XML
    Junit,
    /// One JSON object
    Json,
}
