//! A first suite for a policy: for each rule a request that passes, and its nearest that do not. What is expected is what the
//! engine decides; no case is written that was not decided.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    model::{Request, Suite, Token},
    runner::Stage,
    sample::{Sample, sample},
};
use crate::command::{
    offline::{self, Gateway, Outcome, Prepared, Which},
    refusal::Refusal,
};

/// The suite, as YAML.
///
/// # Errors
/// The policy cannot be read, or has faults.
pub(super) fn suite(policy: &str, which: &Which) -> Result<String, Refusal> {
    let document = offline::load(policy, which)?;
    let suite = Suite::default();
    let stage = Stage { suite: &suite, document: &document, now: super::now()? };
    let faulty = |faults: Vec<String>| Refusal::refused(format!("{policy}: {}", faults.join("\n       ")));
    let prepared = stage.prepared().map_err(faulty)?;
    let rules = document.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut written = Written::default();
    for (place, rule) in rules.iter().enumerate() {
        written.rule(&stage, &prepared, place, rule).map_err(faulty)?;
    }
    let name = std::path::Path::new(policy).file_name().map(|name| name.to_string_lossy().into_owned());
    let mut out = format!("policy: {}\n", flow(&json!(name.unwrap_or_else(|| policy.to_owned()))));
    if let Some(plugin) = &which.plugin {
        _ = writeln!(out, "plugin: {}", flow(&json!(plugin)));
    }
    if !written.tokens.is_empty() {
        out.push_str("tokens:\n");
        for (name, token) in &written.tokens {
            _ = writeln!(out, "  {name}: {}", flow(&token_value(token)));
        }
    }
    out.push_str("cases:\n");
    out.push_str(&written.cases);
    Ok(out)
}

/// What was written so far.
#[derive(Default)]
struct Written {
    /// Requests that stand there already.
    asked: Vec<String>,
    tokens: Vec<(String, Token)>,
    cases: String,
}

impl Written {
    fn rule(
        &mut self,
        stage: &Stage<'_>,
        prepared: &Prepared,
        place: usize,
        rule: &Value,
    ) -> Result<(), Vec<String>> {
        let name = rule.get("name").and_then(Value::as_str).unwrap_or_default();
        let samples = sample(stage.document, rule);
        let decided = |sample: &Sample| decide(stage, prepared, sample);
        let mut last = "it matches by an expression, or takes a credential that is not made here".to_owned();
        let mut done: Vec<(usize, usize)> = Vec::new();
        for sample in samples {
            if done.contains(&sample.part) {
                continue;
            }
            let outcome = decided(&sample)?;
            let is_denial = rule.get("action").and_then(Value::as_str) == Some("Deny");
            if outcome.rule() != Some(name) || outcome.reason.is_some() != is_denial {
                let rule = outcome.rule().unwrap_or("no rule");
                last = format!("the nearest that was found gets {} by {rule}", outcome.verdict());
                continue;
            }
            let by = match (&sample.request.api_key, sample.tokens.first(), &sample.request.certificate) {
                (Some(key), _, _) => format!(" by the key {key}"),
                (None, Some(token), _) => format!(" by a token of {}", token.provider),
                (None, None, Some(_)) => " by a certificate".to_owned(),
                (None, None, None) => String::new(),
            };
            let what = if is_denial { "is refused" } else { "passes" };
            self.case(&format!("{name}: {} {what}{by}", sample.request.method), &sample, &outcome);
            let is_first = done.iter().all(|(alternative, _)| *alternative != sample.part.0);
            done.push(sample.part);
            if !is_first {
                continue;
            }
            for (what, near) in sample.neighbours() {
                let outcome = decided(&near)?;
                let is_known = self.asked.iter().any(|asked| *asked == near.line());
                if outcome.reason.is_some() && !is_denial && !is_known {
                    self.case(&format!("{name}: {what}"), &near, &outcome);
                }
            }
        }
        if !done.is_empty() {
            return Ok(());
        }
        _ = writeln!(self.cases, "# rules[{place}] {name}: no request was found that passes: {last}");
        Ok(())
    }

    fn case(&mut self, name: &str, sample: &Sample, outcome: &Outcome) {
        self.asked.push(sample.line());
        let mut request = Map::new();
        let asked = &sample.request;
        request.insert("method".to_owned(), asked.method.as_str().into());
        request.insert("url".to_owned(), asked.url.as_str().into());
        let names: Vec<_> = sample.tokens.iter().map(|token| Value::from(self.name_of(token))).collect();
        match names.as_slice() {
            [] => {}
            [one] => _ = request.insert("token".to_owned(), one.clone()),
            _ => _ = request.insert("token".to_owned(), names.into()),
        }
        if let Some(id) = &asked.api_key {
            request.insert("apiKey".to_owned(), id.as_str().into());
        }
        if let Some(certificate) = &asked.certificate {
            let names =
                [("uri", &certificate.uri), ("dns", &certificate.dns), ("subject", &certificate.subject)];
            let given =
                names.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
            request.insert("certificate".to_owned(), Value::Object(given.collect()));
        }
        if !asked.headers.is_empty() {
            let headers = asked.headers.iter().map(|(name, value)| (name.clone(), json!(value)));
            request.insert("headers".to_owned(), Value::Object(headers.collect()));
        }
        if let Some(from) = asked.from {
            request.insert("from".to_owned(), from.to_string().into());
        }
        let mut expected = Map::new();
        let decision = if outcome.reason.is_none() { "Allow" } else { "Deny" };
        expected.insert("decision".to_owned(), decision.into());
        if let Some(reason) = outcome.reason {
            expected.insert("reason".to_owned(), reason.code().into());
        }
        if let Some(rule) = outcome.rule() {
            expected.insert("rule".to_owned(), rule.into());
        }
        let (request, expected) = (flow(&Value::Object(request)), flow(&Value::Object(expected)));
        _ = write!(
            self.cases,
            "- name: {}\n  request: {request}\n  expect: {expected}\n",
            flow(&json!(name))
        );
    }

    fn name_of(&mut self, token: &Token) -> String {
        let is_same = |own: &Token| token_value(own) == token_value(token);
        if let Some((name, _)) = self.tokens.iter().find(|(_, own)| is_same(own)) {
            return name.clone();
        }
        let name = format!("token-{}", self.tokens.len().saturating_add(1));
        self.tokens.push((name.clone(), token.clone()));
        name
    }
}

/// What the policy makes of a sample, on a gateway of its own.
fn decide(stage: &Stage<'_>, prepared: &Prepared, sample: &Sample) -> Result<Outcome, Vec<String>> {
    let told = |faults: Vec<crate::fault::Fault>| faults.iter().map(ToString::to_string).collect::<Vec<_>>();
    let gateway: Gateway = prepared.gateway(&[], stage.now).map_err(told)?;
    let named = sample.tokens.iter().enumerate().map(|(n, token)| (n.to_string(), token.clone()));
    let suite = Suite { tokens: named.collect(), ..Suite::default() };
    let tokens = (0..sample.tokens.len()).map(|n| n.to_string()).collect();
    let request = Request { tokens, ..sample.request.clone() };
    let own = Stage { suite: &suite, document: stage.document, now: stage.now };
    own.ask(&request, prepared, &gateway).map_err(|fault| vec![fault])
}

fn token_value(token: &Token) -> Value {
    let mut value = json!({"provider": token.provider});
    if let Some(members) = value.as_object_mut() {
        if !token.claims.is_empty() {
            members.insert("claims".to_owned(), Value::Object(token.claims.clone()));
        }
        if token.forged {
            members.insert("signature".to_owned(), "Forged".into());
        }
    }
    value
}

/// A value in YAML's flow style.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let each = members.iter().map(|(name, value)| format!("{}: {}", scalar(name), flow(value)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Text without quotes where nothing can mistake it.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}
