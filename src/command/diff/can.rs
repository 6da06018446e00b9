//! `portcullis can`: what one caller may do, rule by rule, each by a request that the engine decides.

use serde_json::{Map, Value, json};

use super::{
    access::{Atom, Caller, Fact, Facts},
    arguments::CanOptions,
    facts::SOMEBODY,
    now,
    policy::Policy,
    reach::{client_of, facts_of_claims, from_everywhere, passes, sample_of_rule, variants},
    witness::{Holder, Witness},
};
use crate::{
    command::{
        offline,
        refusal::Refusal,
        say,
        telling::{Output, plain_text},
    },
    config::MethodSpec,
    identity::Party,
};

/// Carries out what is asked for. Ends well whatever the caller can.
pub(in crate::command) fn run(options: &CanOptions) -> u8 {
    Refusal::told(can(options))
}

fn can(options: &CanOptions) -> Result<(), Refusal> {
    let asked = &options.policy;
    let written = offline::load(&asked.policy, &asked.which)?;
    let policy = Policy::new(&asked.policy, written, now(asked.at.as_deref())?)?;
    let found = found(&policy, &options.caller)?;
    match asked.output {
        Output::Json => {
            let each =
                found.iter().map(|one| json!({"rule": one.rule, "matches": one.matches, "only": one.only}));
            say(&format!("{:#}\n", json!({"rules": each.collect::<Vec<_>>()})));
        }
        Output::Text if found.is_empty() => say("nothing\n"),
        Output::Text => {
            for one in &found {
                let only = if one.only.is_empty() {
                    String::new()
                } else {
                    format!("  only {}", one.only.join(", "))
                };
                say(&plain_text(&format!("{}: {}{only}", one.rule, one.matches.join("; "))));
                say("\n");
            }
        }
    }
    Ok(())
}

/// A rule by which the caller passes.
pub(super) struct Passed {
    pub(super) rule: String,
    /// Methods and paths, as the rule says them.
    pub(super) matches: Vec<String>,
    /// What holds only of some requests.
    pub(super) only: Vec<String>,
}

/// Somebody who asks.
struct Who {
    caller: Caller,
    facts: Facts,
    holder: Option<Holder>,
    /// What the owner of something is called.
    name: String,
}

/// The rules by which whoever `given` describes passes.
pub(super) fn found(policy: &Policy, given: &str) -> Result<Vec<Passed>, Refusal> {
    let all = who(policy, given)?;
    let mut found = Vec::new();
    for (place, rule) in policy.document.rules.iter().enumerate() {
        let Some((route, line)) = sample_of_rule(policy, place) else { continue };
        for who in &all {
            let routes = variants(policy, line, &route, &who.name, None);
            let addresses = from_everywhere(policy, line, &who.caller);
            let tried = addresses.iter().enumerate().flat_map(|(n, address)| {
                routes.iter().enumerate().map(move |(own, route)| (n, address, own > 0, route))
            });
            let passed = tried.into_iter().find(|(_, address, _, route)| {
                let mut facts = who.facts.clone();
                facts.insert(Atom::Address, (*address).clone());
                let (caller, holder) = (who.caller.clone(), who.holder.clone());
                passes(policy, &Witness { route: (*route).clone(), caller, facts, holder })
            });
            if let Some((n, address, is_own, _)) = passed {
                let mut only = Vec::new();
                if is_own {
                    only.push(format!("where the path names {}", who.name));
                }
                if let (true, Fact::Address(address)) = (n > 0, address) {
                    only.push(format!("from some addresses, such as {address}"));
                }
                found.push(Passed { rule: rule.name.clone(), matches: matches(policy, place), only });
                break;
            }
        }
    }
    Ok(found)
}

fn who(policy: &Policy, given: &str) -> Result<Vec<Who>, Refusal> {
    let usage = || {
        Refusal::usage("a caller is role:NAME, scope:NAME, key:ID, claims:PROVIDER=JSON or anyone".to_owned())
    };
    let token = |provider: &str, facts: Facts, name: String| Who {
        caller: Caller { actor: None, principal: Some(MethodSpec::Jwt(provider.to_owned())) },
        facts,
        holder: None,
        name,
    };
    let nobody = || Who {
        caller: Caller { actor: None, principal: None },
        facts: Facts::new(),
        holder: None,
        name: SOMEBODY.to_owned(),
    };
    if given == "anyone" {
        return Ok(vec![nobody()]);
    }
    let (kind, rest) = given.split_once(':').ok_or_else(usage)?;
    let providers = policy.document.providers.iter().map(|spec| spec.jwt.name.as_str());
    let by_each = |atom: Atom| {
        let with = providers.clone().map(|provider| {
            let facts: Facts = [
                (atom.clone(), Fact::Flag(true)),
                (Atom::Claim(Party::Principal, vec!["sub".to_owned()]), Fact::Claim(Some(SOMEBODY.into()))),
            ]
            .into_iter()
            .collect();
            token(provider, facts, SOMEBODY.to_owned())
        });
        with.collect::<Vec<_>>()
    };
    match kind {
        "role" if policy.roles.names().any(|name| name == rest) => {
            Ok(by_each(Atom::Role(Party::Principal, rest.to_owned())))
        }
        "role" => Err(Refusal::usage(format!("the policy has no role {rest:?}"))),
        "scope" => Ok(by_each(Atom::Scope(Party::Principal, rest.to_owned()))),
        "key" if offline::Minted::api_keys_of(&policy.written).iter().any(|id| id == rest) => Ok(vec![Who {
            caller: Caller { actor: None, principal: Some(MethodSpec::ApiKey) },
            facts: Facts::new(),
            holder: Some(Holder::Key(rest.to_owned())),
            name: client_of(policy, rest),
        }]),
        "key" => Err(Refusal::usage(format!("the policy has no API key with the id {rest:?}"))),
        "claims" => {
            let (provider, claims) = rest.split_once('=').ok_or_else(usage)?;
            let claims: Map<String, Value> = serde_json::from_str(claims).map_err(|_| usage())?;
            if !providers.clone().any(|own| own == provider) {
                return Err(Refusal::usage(format!("the policy has no token provider {provider:?}")));
            }
            let name = claims.get("sub").and_then(Value::as_str).unwrap_or(SOMEBODY).to_owned();
            Ok(vec![token(provider, facts_of_claims(&claims), name)])
        }
        _ => Err(usage()),
    }
}

/// Methods and paths of each entry of a rule's matches, as it says them.
fn matches(policy: &Policy, place: usize) -> Vec<String> {
    let entries = policy.written.pointer(&format!("/rules/{place}/matches")).and_then(Value::as_array);
    let Some(entries) = entries else { return vec!["any request".to_owned()] };
    let one = |entry: &Value| {
        let methods = entry
            .get("methods")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
        let methods = methods.or_else(|| entry.get("method").and_then(Value::as_str).map(str::to_owned));
        let text = |name: &str| entry.get("path").and_then(|path| path.get(name)?.as_str());
        let path = match (text("type"), text("value")) {
            (Some("PathPrefix"), Some(path)) => format!("{}/..", path.trim_end_matches('/')),
            (Some("RegularExpression"), Some(path)) => format!("~{path}"),
            (_, path) => path.unwrap_or("any path").to_owned(),
        };
        format!("{} {path}", methods.unwrap_or_else(|| "any method".to_owned()))
    };
    entries.iter().map(one).collect()
}
