//! A suite: what it says, read strictly.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde_json::{Map, Value};

use super::{
    members::{Faults, Members},
    variables,
};
use crate::{
    answer::Reason, engine::ShadowOutcome, request::client_certificate::PeerCertificate, time::Timestamp,
};

/// A file of cases for one policy.
#[derive(Debug, Default)]
pub(super) struct Suite {
    /// The file with the policy, beside the suite's own; `None`: the command line names it.
    pub(super) policy: Option<String>,
    /// Which plugin's, where the file has several.
    pub(super) plugin: Option<String>,
    /// What stands for `${NAME}` in the policy's file.
    pub(super) fill: BTreeMap<String, String>,
    /// When the first request of each case comes; `None`: now.
    pub(super) at: Option<Timestamp>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) cases: Vec<Case>,
}

/// A token by what it says.
#[derive(Clone, Debug, Default)]
pub(super) struct Token {
    pub(super) provider: String,
    pub(super) claims: Map<String, Value>,
    pub(super) typ: Option<String>,
    pub(super) forged: bool,
}

/// Requests that follow each other, on a gateway of their own.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    /// Never empty.
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    /// Where it stands in the suite.
    pub(super) path: String,
    /// How much later than the one before it comes.
    pub(super) after: Duration,
    /// How often; at least 1.
    pub(super) times: u64,
    pub(super) request: Request,
    pub(super) expected: Expected,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// A URL, or a path at `localhost` over TLS.
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) from: Option<IpAddr>,
    /// Names of the suite's tokens.
    pub(super) tokens: Vec<String>,
    /// The id of an API key of the policy.
    pub(super) api_key: Option<String>,
    pub(super) certificate: Option<PeerCertificate>,
}

/// What is expected; whatever is absent is not looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) allowed: Option<bool>,
    pub(super) reason: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) status: Option<u64>,
    /// Headers that the upstream gets; null: it does not get it.
    pub(super) upstream: Map<String, Value>,
    /// Headers of the answer, of ours or of what is added to the upstream's.
    pub(super) response: Map<String, Value>,
    /// Members of the decision record.
    pub(super) record: Map<String, Value>,
}

impl Suite {
    /// Reads a suite.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn read(document: &Value) -> Result<Self, Vec<String>> {
        let mut faults = Faults::default();
        let suite = Self::of(document, &mut faults);
        match suite {
            Some(suite) if faults.0.is_empty() => Ok(suite),
            _ => Err(faults.0),
        }
    }

    fn of(document: &Value, faults: &mut Faults) -> Option<Self> {
        let mut members = Members::of(document, "", faults)?;
        let (policy, plugin) = (members.text("policy"), members.text("plugin"));
        let fill = members.object("fill").unwrap_or_default();
        let fill = fill.into_iter().map(|(name, value)| (name, variables::text(&value))).collect();
        let at = members.text("at").and_then(|text| {
            let at = Timestamp::from_rfc3339(&text).ok();
            if at.is_none() {
                members.faults.add("at", "is no time, such as 2027-01-31T08:00:00Z");
            }
            at
        });
        let variables = members.object("variables").unwrap_or_default();
        let tokens = members.object("tokens").unwrap_or_default();
        let listed = members.list("cases");
        members.end();
        let tokens: BTreeMap<_, _> = tokens
            .iter()
            .filter_map(|(name, token)| {
                let token = variables::put_into(token, &variables);
                Some((name.clone(), Token::of(&token, &format!("tokens.{name}"), faults)?))
            })
            .collect();
        if listed.is_empty() {
            faults.add("cases", "there is none");
        }
        let mut cases = Vec::new();
        for (at, case) in listed.iter().enumerate() {
            Case::all(case, &format!("cases[{at}]"), &variables, faults, &mut cases);
        }
        for step in cases.iter().flat_map(|case: &Case| &case.steps) {
            for name in step.request.tokens.iter().filter(|name| !tokens.contains_key(*name)) {
                faults.add(&format!("{}.request.token", step.path), &format!("unknown token {name:?}"));
            }
        }
        Some(Self { policy, plugin, fill, at, tokens, cases })
    }
}

impl Token {
    fn of(value: &Value, path: &str, faults: &mut Faults) -> Option<Self> {
        let mut members = Members::of(value, path, faults)?;
        let provider = members.text("provider");
        if provider.is_none() {
            members.faults.add(path, "names no provider");
        }
        let claims = members.object("claims").unwrap_or_default();
        let typ = members.text("typ");
        let forged = members.text("signature").is_some_and(|signature| {
            if signature != "Forged" {
                members.faults.add(path, "signature is Forged, or left out");
            }
            true
        });
        members.end();
        Some(Self { provider: provider?, claims, typ, forged })
    }
}

impl Case {
    /// A case, or one for each row of its table.
    fn all(
        value: &Value,
        path: &str,
        variables: &Map<String, Value>,
        faults: &mut Faults,
        cases: &mut Vec<Self>,
    ) {
        let table = value.get("table").and_then(Value::as_array).cloned();
        let mut bare = value.clone();
        if let Some(members) = bare.as_object_mut() {
            members.shift_remove("table");
        }
        let Some(rows) = table else {
            if value.get("table").is_some() {
                faults.add(&format!("{path}.table"), "must be a list of objects");
            }
            cases.extend(Self::of(&variables::put_into(&bare, variables), path, faults));
            return;
        };
        for (n, row) in rows.iter().enumerate() {
            let Value::Object(row) = row else {
                faults.add(&format!("{path}.table[{n}]"), "must be an object");
                continue;
            };
            let mut all = variables.clone();
            all.extend(row.clone());
            let filled = variables::put_into(&bare, &all);
            let Some(mut case) = Self::of(&filled, path, faults) else { continue };
            let is_told_apart =
                bare.get("name").and_then(Value::as_str).is_some_and(|name| name.contains("${"));
            if !is_told_apart {
                let shown: Vec<_> =
                    row.iter().map(|(name, value)| format!("{name}={}", variables::text(value))).collect();
                case.name = format!("{} [{}]", case.name, shown.join(" "));
            }
            cases.push(case);
        }
    }

    fn of(value: &Value, path: &str, faults: &mut Faults) -> Option<Self> {
        let mut members = Members::of(value, path, faults)?;
        let name = members.text("name");
        let steps = members.list("steps");
        let own: Map<String, Value> = ["request", "expect", "times"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), members.take(name)?)))
            .collect();
        let is_stepped = !steps.is_empty();
        if is_stepped != own.is_empty() {
            members.faults.add(path, "has either steps or one request with what is expected");
        }
        if name.is_none() {
            members.faults.add(path, "has no name");
        }
        members.end();
        let steps: Vec<_> = match is_stepped {
            true => steps
                .iter()
                .enumerate()
                .filter_map(|(n, step)| Step::of(step, &format!("{path}.steps[{n}]"), faults))
                .collect(),
            false => Step::of(&Value::Object(own), path, faults).into_iter().collect(),
        };
        (!steps.is_empty()).then_some(Self { name: name?, steps })
    }
}

impl Step {
    fn of(value: &Value, path: &str, faults: &mut Faults) -> Option<Self> {
        let mut members = Members::of(value, path, faults)?;
        let after = members.text("after").map(|text| {
            humantime::parse_duration(&text).unwrap_or_else(|_| {
                members.faults.add(path, "after is a duration, such as 30s");
                Duration::ZERO
            })
        });
        let times = members.count("times").unwrap_or(1);
        if !(1..=100_000).contains(&times) {
            members.faults.add(path, "times is 1 to 100000");
        }
        let (request, expected) = (members.take("request"), members.take("expect"));
        for (name, value) in [("request", &request), ("expect", &expected)] {
            if value.is_none() {
                let path = members.at(name);
                members.faults.add(&path, "is missing");
            }
        }
        members.end();
        let request = Request::of(&request?, &format!("{path}.request"), faults);
        let expected = Expected::of(&expected?, &format!("{path}.expect"), faults);
        Some(Self {
            path: path.to_owned(),
            after: after.unwrap_or_default(),
            times,
            request: request?,
            expected: expected?,
        })
    }
}

impl Request {
    fn of(value: &Value, path: &str, faults: &mut Faults) -> Option<Self> {
        // `GET /orders/7` for short.
        if let Value::String(line) = value {
            let (method, url) = line.split_once(' ').unwrap_or(("GET", line));
            let (method, url) = (method.to_owned(), url.trim().to_owned());
            return Some(Self { method, url, ..Self::default() });
        }
        let mut members = Members::of(value, path, faults)?;
        let method = members.text("method").unwrap_or_else(|| "GET".to_owned());
        let url = members.text("url");
        if url.is_none() {
            members.faults.add(path, "has no url");
        }
        let headers = members.object("headers").unwrap_or_default();
        let headers = headers.iter().flat_map(|(name, value)| match value {
            Value::Array(values) => {
                values.iter().map(|value| (name.clone(), variables::text(value))).collect()
            }
            value => vec![(name.clone(), variables::text(value))],
        });
        let headers = headers.collect();
        let body = members.text("body").unwrap_or_default();
        let from = members.text("from").and_then(|text| {
            let from = text.parse().ok();
            if from.is_none() {
                members.faults.add(path, "from is an address");
            }
            from
        });
        let tokens = match members.take("token") {
            None => Vec::new(),
            Some(Value::Array(names)) => names.iter().map(variables::text).collect(),
            Some(name) => vec![variables::text(&name)],
        };
        // What a table leaves empty is absent.
        let tokens = tokens.into_iter().filter(|name| !name.is_empty()).collect();
        let api_key = members.text("apiKey").filter(|id| !id.is_empty());
        let certificate = members.object("certificate").map(|names| {
            let text = |name: &str| names.get(name).map(variables::text);
            let names = (text("uri"), text("dns"), text("subject"));
            PeerCertificate { uri: names.0, dns: names.1, subject: names.2, digest: None }
        });
        members.end();
        Some(Self { method, url: url?, headers, body, from, tokens, api_key, certificate })
    }
}

impl Expected {
    fn of(value: &Value, path: &str, faults: &mut Faults) -> Option<Self> {
        // `Allow`, or the code of a reason, for short.
        if let Value::String(verdict) = value {
            return Some(match verdict.as_str() {
                "Allow" => Self { allowed: Some(true), ..Self::default() },
                "Deny" => Self { allowed: Some(false), ..Self::default() },
                reason => {
                    let reason = known(reason, path, faults);
                    Self { allowed: Some(false), reason: Some(reason), ..Self::default() }
                }
            });
        }
        let mut members = Members::of(value, path, faults)?;
        let decision = members.text("decision");
        let allowed = match decision.as_deref() {
            None => None,
            Some("Allow") => Some(true),
            Some("Deny") => Some(false),
            Some(_) => {
                members.faults.add(path, "decision is Allow or Deny");
                None
            }
        };
        let reason = members.text("reason");
        let reason = reason.map(|reason| known(&reason, path, members.faults));
        let shadow = members.take("shadow").map(|outcome| ("shadow", outcome));
        if let Some((_, outcome)) = &shadow
            && !outcome.is_null()
            && !ShadowOutcome::ALL.iter().any(|known| outcome.as_str() == Some(known.as_str()))
        {
            members.faults.add(path, "shadow is would_deny, would_allow, unknown or null");
        }
        let shadow_reason = members.text("shadowReason");
        let shadow_reason = shadow_reason.map(|reason| known(&reason, path, members.faults));
        let shadow_reason = shadow_reason.map(|reason| ("shadowReason", reason.into()));
        let mut record = members.object("record").unwrap_or_default();
        record.extend(shadow.into_iter().chain(shadow_reason).map(|(name, value)| (name.to_owned(), value)));
        let expected = Self {
            allowed,
            reason,
            rule: members.text("rule"),
            status: members.count("status"),
            upstream: members.object("upstream").unwrap_or_default(),
            response: members.object("response").unwrap_or_default(),
            record,
        };
        members.end();
        Some(expected)
    }
}

/// A reason's code; a fault if there is none such, which no request could be refused for.
fn known(code: &str, path: &str, faults: &mut Faults) -> String {
    if !Reason::ALL.iter().any(|reason| reason.code() == code) {
        faults.add(path, &format!("there is no reason {code:?}"));
    }
    code.to_owned()
}
