//! How it is said what was done.

use clap::{Args, ValueEnum};
use serde_json::Value;

#[derive(Debug, Args)]
pub(super) struct Telling {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// One JSON object, or one list for `list`
    Json,
}

/// Text without quotes, lists with commas.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => plain_text(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// What a terminal would obey is shown as an escape.
pub(super) fn plain_text(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, c| {
        match c.is_control() {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
        shown
    })
}
