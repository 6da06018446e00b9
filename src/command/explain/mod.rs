//! `portcullis explain`: why a policy decides a request as it does, without Envoy.

mod arguments;
mod experiments;
mod recorded;
mod report;
mod told;

use std::{collections::BTreeMap, time::SystemTime};

use serde_json::{Map, Value};

pub(super) use self::arguments::ExplainOptions;
pub(super) use self::experiments::{Check, Scene, Verdict};
use self::report::Explanation;
use super::{
    offline::{self, Asked, Described, Keys, Prepared, places},
    refusal::Refusal,
    say,
    source::Source,
    telling::Output,
};
use crate::{request::client_certificate::PeerCertificate, time::Timestamp};

/// Of more rules in front of the one that decides only those are told of that are nearest to matching.
const MOST_RULES: usize = 12;

/// Carries out what is asked for. Ends well whatever the decision is.
pub(super) fn run(options: &ExplainOptions) -> u8 {
    Refusal::told(explain(options))
}

fn explain(options: &ExplainOptions) -> Result<(), Refusal> {
    let document = offline::load(&options.policy, &options.which)?;
    let now = match &options.at {
        None => Timestamp::from_secs(
            SystemTime::UNIX_EPOCH.elapsed().map_err(|error| Refusal::unusable(error.to_string()))?.as_secs(),
        ),
        Some(time) => Timestamp::from_rfc3339(time).map_err(|_| {
            Refusal::usage(format!("--at: {time:?} is no time, such as 2027-01-31T08:00:00Z"))
        })?,
    };
    let (asked, credentials) = match &options.record {
        Some(file) => recorded::request(&read(file)?, options)?,
        None => (request(options)?, credentials(options)?),
    };
    let mut keys = given_keys(&options.keys)?;
    for credential in &credentials {
        if let Credential::Token(token) = credential {
            keys.insert(token.provider.clone(), Keys::Made);
        }
    }
    let api_keys: Vec<_> = credentials
        .iter()
        .filter_map(|credential| match credential {
            Credential::ApiKey(id) => Some(id.clone()),
            Credential::Token(_) => None,
        })
        .collect();
    let prepared = Prepared::new(document, &keys, &api_keys).map_err(Refusal::usage)?;
    let asked = with_credentials(asked, &credentials, &prepared, now)?;
    let scene = Scene { prepared: &prepared, now, asked: &asked };
    let explanation = Explanation::of(&scene, options.all, MOST_RULES)?;
    match options.output {
        Output::Text => say(&told::text(&explanation, told::is_colored(options.color))),
        Output::Json => say(&format!("{:#}\n", explanation.json())),
    }
    Ok(())
}

/// A credential that is made, and put where the policy looks for it.
#[derive(Clone, Debug)]
enum Credential {
    Token(Described),
    /// By its id.
    ApiKey(String),
}

fn with_credentials(
    mut asked: Asked,
    credentials: &[Credential],
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Asked, Refusal> {
    for credential in credentials {
        let place = match credential {
            Credential::Token(token) => {
                let text = prepared.minted().token(token, now).map_err(Refusal::usage)?;
                places::of_token(&prepared.document, &token.provider, &text)
            }
            Credential::ApiKey(id) => {
                let text = prepared.minted().api_key(id).unwrap_or_default();
                places::of_key(&prepared.document, text)
            }
        };
        asked = places::put(asked, place);
    }
    Ok(asked)
}

/// The request that the command line describes.
fn request(options: &ExplainOptions) -> Result<Asked, Refusal> {
    let url = options.url.as_deref().unwrap_or("/");
    let mut asked = Asked::new(&options.method, url).map_err(Refusal::usage)?;
    for given in &options.headers {
        let lines = match given.strip_prefix('@') {
            Some(file) => read(file)?,
            None => given.clone(),
        };
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            // Who reads this may look over a shoulder: the line itself is not shown.
            let (name, value) =
                line.split_once(':').ok_or_else(|| Refusal::usage("a header is `name: value`".to_owned()))?;
            asked = asked.with_header(name.trim(), value.trim());
        }
    }
    if let Some(file) = &options.body {
        asked.body = std::fs::read(file)
            .map_err(|error| Refusal::unusable(format!("{file} cannot be read: {error}")))?;
    }
    asked.address = options.from.or(asked.address);
    asked.certificate = options.certificate.as_deref().map(certificate).transpose()?;
    Ok(asked)
}

fn certificate(given: &str) -> Result<PeerCertificate, Refusal> {
    let bare = PeerCertificate::default();
    match given.split_once('=') {
        Some(("uri", name)) => Ok(PeerCertificate { uri: Some(name.to_owned()), ..bare }),
        Some(("dns", name)) => Ok(PeerCertificate { dns: Some(name.to_owned()), ..bare }),
        Some(("subject", name)) => Ok(PeerCertificate { subject: Some(name.to_owned()), ..bare }),
        _ => Err(Refusal::usage("--certificate is uri=.., dns=.. or subject=..".to_owned())),
    }
}

fn credentials(options: &ExplainOptions) -> Result<Vec<Credential>, Refusal> {
    let mut all = Vec::new();
    for given in &options.claims {
        let usage = || {
            Refusal::usage(
                "--claims is PROVIDER and a JSON object, as in corp={\"sub\": \"alice\"}".to_owned(),
            )
        };
        let (provider, claims) = given.split_once('=').ok_or_else(usage)?;
        let claims: Map<String, Value> = serde_json::from_str(claims).map_err(|_| usage())?;
        all.push(Credential::Token(Described {
            provider: provider.to_owned(),
            claims,
            ..Described::default()
        }));
    }
    all.extend(options.api_key.iter().cloned().map(Credential::ApiKey));
    Ok(all)
}

/// Key sets from files, by provider.
fn given_keys(given: &[String]) -> Result<BTreeMap<String, Keys>, Refusal> {
    let mut keys = BTreeMap::new();
    for given in given {
        let (provider, file) = given
            .split_once('=')
            .ok_or_else(|| Refusal::usage("--keys is PROVIDER=FILE, as in corp=jwks.json".to_owned()))?;
        let set = serde_json::from_str(&read(file)?)
            .map_err(|error| Refusal::unusable(format!("{file} is no JWK set: {error}")))?;
        keys.insert(provider.to_owned(), Keys::Given(set));
    }
    Ok(keys)
}

fn read(file: &str) -> Result<String, Refusal> {
    let source = Source::read(file);
    source.map(|source| source.text).map_err(|why| Refusal::unusable(format!("{file} cannot be read: {why}")))
}
