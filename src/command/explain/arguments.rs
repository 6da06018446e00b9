//! What `portcullis explain` is asked.

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use crate::command::{offline::Which, telling::Output};

/// The request, and the policy.
#[derive(Debug, Args)]
pub(in crate::command) struct ExplainOptions {
    /// The file with the policy, or with a plugin of Envoy, Istio or Envoy Gateway that has one; `-` is standard input
    #[arg(long, short = 'p', value_name = "FILE")]
    pub(super) policy: String,
    #[command(flatten)]
    pub(super) which: Which,
    /// The URL, or a path at `localhost` over TLS. With http:// the request comes without TLS
    #[arg(required_unless_present = "record", conflicts_with = "record")]
    pub(super) url: Option<String>,
    /// The method
    #[arg(long, short = 'X', default_value = "GET")]
    pub(super) method: String,
    /// A header, `name: value`; or @FILE with one in each line, which keeps credentials out of the shell's history
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub(super) headers: Vec<String>,
    /// The file with the body
    #[arg(long, value_name = "FILE")]
    pub(super) body: Option<String>,
    /// The client's address. Absent: 192.0.2.1, which is nobody's
    #[arg(long, value_name = "ADDRESS")]
    pub(super) from: Option<IpAddr>,
    /// The client's certificate by its name: uri=.., dns=.. or subject=..
    #[arg(long, value_name = "KIND=NAME")]
    pub(super) certificate: Option<String>,
    /// A token that says this, signed as its provider would: `corp={"sub": "alice", "scope": "orders:read"}`. What tokens
    /// say anyhow (iss, aud, iat, exp) need not be given
    #[arg(long, value_name = "PROVIDER=JSON")]
    pub(super) claims: Vec<String>,
    /// As if the API key with this id had been sent. The key itself is not needed
    #[arg(long, value_name = "ID")]
    pub(super) api_key: Vec<String>,
    /// A decision record, from the log, that tells of the request; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<String>,
    /// The key set (JWKS) of a provider whose keys are fetched, to verify a token in a header
    #[arg(long, value_name = "PROVIDER=FILE")]
    pub(super) keys: Vec<String>,
    /// When the request comes, as RFC 3339 has it. Absent: now
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// Tell of every rule in front, however many there are
    #[arg(long)]
    pub(super) all: bool,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
    /// Whether to use colours
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(super) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}
