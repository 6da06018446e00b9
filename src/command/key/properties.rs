//! What is said of a key on the command line, in the words of a policy.

use std::num::NonZeroU32;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{Refusal, record::Members, times};

/// What a key may do, and what is noted of it. What is left out stays as it is.
#[derive(Debug, Default, Args)]
pub(super) struct Properties {
    /// The principal's subject; keys of one client are one principal
    #[arg(long)]
    client: Option<String>,
    /// What it is for, in words
    #[arg(long)]
    label: Option<String>,
    /// Whom to ask about it
    #[arg(long)]
    owner: Option<String>,
    /// Read, Write or Admin, as apiKeys.levels says
    #[arg(long)]
    level: Option<String>,
    /// Scopes, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Roles, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    roles: Vec<String>,
    /// The tier of its rate limits
    #[arg(long)]
    tier: Option<String>,
    /// How many requests it has of its own in limits, as LIMIT=REQUESTS, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "LIMIT=REQUESTS", value_parser = number_of_a_limit)]
    own_requests: Vec<(String, NonZeroU32)>,
    /// From when on it is good: a time (RFC 3339), or how long from now, such as 2h
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// When it expires: a time (RFC 3339), or how long from now, such as 90d
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Networks from which it may be used, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NETWORK")]
    remote_address: Vec<String>,
    /// Hosts for which it may be used, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "HOST")]
    hostnames: Vec<String>,
}

impl Properties {
    /// The fields that are given, in the order in which a policy has them.
    ///
    /// # Errors
    /// A time that is none.
    pub(super) fn members(&self) -> Result<Members, Refusal> {
        let text = |value: &Option<String>| value.as_ref().map(|text| json!(text));
        let list = |values: &[String]| (!values.is_empty()).then(|| json!(values));
        let own_requests = self.own_requests.iter();
        let own_requests =
            own_requests.map(|(limit, requests)| json!({"limit": limit, "requests": requests}));
        let time = |value: &Option<String>| value.as_deref().map(times::later).transpose();
        let fields = [
            ("client", text(&self.client)),
            ("label", text(&self.label)),
            ("owner", text(&self.owner)),
            ("level", text(&self.level)),
            ("scopes", list(&self.scopes)),
            ("roles", list(&self.roles)),
            ("tier", text(&self.tier)),
            ("ownRequests", (!self.own_requests.is_empty()).then(|| own_requests.collect())),
            ("notBefore", time(&self.not_before)?.map(Value::String)),
            ("expiresAt", time(&self.expires)?.map(Value::String)),
            ("remoteAddress", list(&self.remote_address)),
            ("hostnames", list(&self.hostnames)),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(given.collect::<Map<_, _>>())
    }
}

/// `LIMIT=REQUESTS`. The names of limits have no `=`.
fn number_of_a_limit(text: &str) -> Result<(String, NonZeroU32), String> {
    let (limit, requests) = text.split_once('=').ok_or("must be LIMIT=REQUESTS, such as per-client=600")?;
    let requests = requests.parse().map_err(|_| "the number of requests must be a whole one from 1")?;
    Ok((limit.to_owned(), requests))
}
