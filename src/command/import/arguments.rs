//! What is asked for.

use clap::{Args, Subcommand};

use crate::command::telling::Output;

#[derive(Debug, Subcommand)]
pub(in crate::command) enum ImportTask {
    /// Make rules of the operations in an OpenAPI document (3.0 or 3.1, YAML or JSON)
    ///
    /// What cannot be translated is closed or stricter, and is said. Ends with 0 if everything was translated, 1 if
    /// something was not, 2 if nothing was done.
    Openapi(Box<OpenapiOptions>),
    /// Make a policy of Envoy's own filters: jwt_authn, rbac, api_key_auth and local_ratelimit (YAML or JSON)
    ///
    /// What cannot be translated is closed or stricter, and is said. Ends with 0 if everything was translated, 1 if
    /// something was not, 2 if nothing was done.
    Envoy(EnvoyOptions),
}

#[derive(Debug, Args)]
pub(in crate::command) struct OpenapiOptions {
    /// The document; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: String,
    #[command(flatten)]
    pub(super) result: ResultOptions,
    /// The issuer of a security scheme's tokens, once for each scheme: `corp=https://idp.example.com`
    #[arg(long, value_name = "SCHEME=ISSUER", value_parser = pair)]
    pub(super) provider: Vec<Pair>,
    /// An audience that a scheme's tokens must have; may be given several times
    #[arg(long, value_name = "SCHEME=AUDIENCE", value_parser = pair)]
    pub(super) audience: Vec<Pair>,
    /// The Envoy cluster that reaches a scheme's issuer
    #[arg(long, value_name = "SCHEME=CLUSTER", value_parser = pair)]
    pub(super) cluster: Vec<Pair>,
    /// The claim that holds the roles of a scheme's tokens
    #[arg(long, value_name = "SCHEME=CLAIM", value_parser = pair)]
    pub(super) roles_claim: Vec<Pair>,
    /// Take the bearer tokens of this scheme for API keys
    #[arg(long, value_name = "SCHEME")]
    pub(super) as_api_key: Vec<String>,
    /// What stands before the API key of a scheme in its header: `BotToken=Bot `
    #[arg(long, value_name = "SCHEME=PREFIX", value_parser = pair)]
    pub(super) key_prefix: Vec<Pair>,
    /// Do not ask for this scheme where another stands beside it: the upstream does
    #[arg(long, value_name = "SCHEME")]
    pub(super) leave_to_upstream: Vec<String>,
    /// What becomes of operations of which the document does not say who may call them: `deny`, `anonymous`, or the
    /// scheme that they ask for
    #[arg(long, value_name = "WHAT", default_value = "deny")]
    pub(super) undeclared: String,
    /// The host names that requests come for, in place of those of `servers`
    #[arg(long, value_name = "HOST")]
    pub(super) hostname: Vec<String>,
    /// Ask for no host name
    #[arg(long, conflicts_with = "hostname")]
    pub(super) any_hostname: bool,
    /// What stands before every path, in place of that of `servers`
    #[arg(long, value_name = "PATH")]
    pub(super) base_path: Option<String>,
    /// Let HEAD pass where GET does
    #[arg(long)]
    pub(super) head: bool,
}

#[derive(Debug, Args)]
pub(in crate::command) struct EnvoyOptions {
    /// The configuration, or a part of it with `http_filters`; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(super) file: String,
    /// Which listener's filters, where several have some
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// How to say what could not be translated
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
}

#[derive(Debug, Args)]
pub(super) struct ResultOptions {
    /// Change this policy in place: add what is new, and keep what was edited by hand
    #[arg(long, value_name = "POLICY")]
    pub(super) into: Option<String>,
    /// With `--into`: remove the rules of operations that are gone
    #[arg(long, requires = "into")]
    pub(super) prune: bool,
    /// With `--into`: say what would be done, and do nothing
    #[arg(long, requires = "into")]
    pub(super) dry_run: bool,
    /// How to say what could not be translated; `json` holds the policy, too
    #[arg(long, value_enum, default_value_t = Output::Text, value_name = "FORM")]
    pub(super) output: Output,
}

/// What is said of one scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) scheme: String,
    pub(super) value: String,
}

impl Pair {
    /// What `pairs` say of `scheme`.
    pub(super) fn of<'p>(pairs: &'p [Self], scheme: &str) -> impl Iterator<Item = &'p str> {
        pairs.iter().filter(move |pair| pair.scheme == scheme).map(|pair| pair.value.as_str())
    }
}

fn pair(text: &str) -> Result<Pair, String> {
    let (scheme, value) = text.split_once('=').ok_or("expected SCHEME=VALUE")?;
    match (scheme, value) {
        ("", _) | (_, "") => Err("expected SCHEME=VALUE".to_owned()),
        _ => Ok(Pair { scheme: scheme.to_owned(), value: value.to_owned() }),
    }
}
