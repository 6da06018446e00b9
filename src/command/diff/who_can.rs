//! `portcullis who-can`: whose requests with a method and a path pass, and by which rules.

use serde_json::{Value, json};

use super::{
    access::Caller,
    arguments::WhoCanOptions,
    now,
    policy::Policy,
    reach::{Anybody, alternatives, key_passes, sample, somebody},
    region::{Region, Route},
    rules::Line,
    witness::{Holder, Witness},
};
use crate::{
    command::{
        offline,
        refusal::Refusal,
        say,
        telling::{Output, plain_text},
    },
    config::{ActionSpec, MethodSpec},
    route::{MatchSpec, PathSpec},
};

/// Carries out what is asked for. Ends well whoever can.
pub(in crate::command) fn run(options: &WhoCanOptions) -> u8 {
    Refusal::told(who_can(options))
}

fn who_can(options: &WhoCanOptions) -> Result<(), Refusal> {
    let asked = &options.policy;
    let written = offline::load(&asked.policy, &asked.which)?;
    let policy = Policy::new(&asked.policy, written, now(asked.at.as_deref())?)?;
    let found = found(&policy, &options.method, options.host.as_deref(), &options.path)?;
    match asked.output {
        Output::Json => say(&format!("{:#}\n", found.json())),
        Output::Text => say(&found.text()),
    }
    Ok(())
}

/// A rule under which such a request may fall, and whom it lets pass.
struct Reached {
    rule: Option<String>,
    /// A request that does.
    route: Route,
    /// Anyone, without a credential.
    anyone: bool,
    /// What passes: ways to authenticate, and alternatives of what is needed beside.
    ways: Vec<String>,
    alternatives: Vec<String>,
    /// Ids.
    keys: Vec<String>,
    /// Names.
    certificates: Vec<String>,
    /// A caller that passes.
    example: Option<Witness>,
    /// It is proved that nobody passes.
    nobody: bool,
}

pub(super) struct Who {
    reached: Vec<Reached>,
    /// Rules of which it was not found out whether such a request falls under them.
    unknown: Vec<String>,
}

/// What the policy says of such requests.
pub(super) fn found(policy: &Policy, method: &str, host: Option<&str>, path: &str) -> Result<Who, Refusal> {
    let spec = match path.contains('{') {
        true => PathSpec::PathTemplate(path.to_owned()),
        false => PathSpec::Exact(path.to_owned()),
    };
    let spec = MatchSpec { path: Some(spec), ..MatchSpec::default() };
    let usage = || Refusal::usage(format!("{path:?} is no path, such as /orders/7 or /orders/{{id}}"));
    if !path.starts_with('/') {
        return Err(usage());
    }
    let query = Line::query(vec![method.to_owned()], host, spec).ok_or_else(usage)?;
    let mut who = Who { reached: Vec::new(), unknown: Vec::new() };
    let mut done: Option<Option<usize>> = None;
    for (at, line) in policy.lines.all.iter().enumerate().filter(|(_, line)| line.meets(&query)) {
        // A rule is told of once.
        if done == Some(line.rule) {
            continue;
        }
        match sample(policy, at, Some(&query)) {
            Region::Empty => {}
            Region::Unknown => who.unknown.push(name(policy, line).unwrap_or_default()),
            Region::Found(route) => {
                done = Some(line.rule);
                who.reached.push(reached(policy, line, route, &query));
            }
        }
    }
    Ok(who)
}

fn name(policy: &Policy, line: &Line) -> Option<String> {
    policy.rule(line.rule).map(|rule| rule.name.clone())
}

fn reached(policy: &Policy, line: &Line, route: Route, query: &Line) -> Reached {
    let mut found = Reached {
        rule: name(policy, line),
        route: route.clone(),
        anyone: false,
        ways: Vec::new(),
        alternatives: alternatives(policy, line),
        keys: Vec::new(),
        certificates: Vec::new(),
        example: None,
        nobody: true,
    };
    let Some(rule) = policy.rule(line.rule) else { return found };
    let nobody = Caller { actor: None, principal: None };
    let mut callers = Vec::new();
    match &rule.action {
        ActionSpec::Deny => return found,
        ActionSpec::AllowAnyone { .. } => {
            found.anyone = true;
            callers.push(nobody);
        }
        ActionSpec::Allow { authenticate, actor, optional, .. } => {
            found.anyone = optional.is_some();
            if found.anyone {
                callers.push(nobody);
            }
            for way in authenticate {
                let told = |way: &MethodSpec| match way {
                    MethodSpec::Jwt(provider) => format!("a token of {provider}"),
                    MethodSpec::ApiKey => "an API key".to_owned(),
                    MethodSpec::ClientCertificate => "a client certificate".to_owned(),
                    MethodSpec::Hmac(source) => format!("a webhook of {source}"),
                    MethodSpec::MessageSignature(signer) => format!("a signature of {signer}"),
                };
                let with = actor.as_ref().map(|actor| format!(" with {} of the actor", told(actor)));
                found.ways.push(format!("{}{}", told(way), with.unwrap_or_default()));
                callers.push(Caller { actor: actor.clone(), principal: Some(way.clone()) });
            }
        }
    }
    for caller in callers {
        match (&caller.actor, &caller.principal) {
            (None, Some(MethodSpec::ApiKey)) => {
                let ids = offline::Minted::api_keys_of(&policy.written);
                found.keys =
                    ids.into_iter().filter(|id| key_passes(policy, line, &route, id, query)).collect();
                found.nobody &= found.keys.is_empty() && policy.document.key_store.is_none();
            }
            (None, Some(MethodSpec::ClientCertificate)) => {
                found.certificates = certificates(policy, line, &route, &caller);
                found.nobody &= found.certificates.is_empty();
            }
            _ => match somebody(policy, line, &route, &caller, query) {
                Anybody::Nobody => {}
                Anybody::Unknown => found.nobody = false,
                Anybody::Like(witness) => {
                    found.nobody = false;
                    found.example.get_or_insert(*witness);
                }
            },
        }
    }
    found
}

fn certificates(policy: &Policy, line: &Line, route: &Route, caller: &Caller) -> Vec<String> {
    let all = super::holders::Holders::of(policy, policy).certificates();
    let passing = all.into_iter().filter(|holder| {
        super::reach::from_everywhere(policy, line, caller).into_iter().any(|address| {
            let facts = std::iter::once((super::access::Atom::Address, address)).collect();
            let witness =
                Witness { route: route.clone(), caller: caller.clone(), facts, holder: Some(holder.clone()) };
            super::reach::passes(policy, &witness)
        })
    });
    let named = passing.map(|holder| match holder {
        Holder::Certificate { uri, dns, subject } => uri.or(dns).or(subject).unwrap_or_default(),
        Holder::Key(id) => id,
    });
    named.collect()
}

impl Who {
    pub(super) fn json(&self) -> Value {
        let each = self.reached.iter().map(|one| {
            json!({
                "rule": one.rule,
                "request": {"method": one.route.method, "host": one.route.host, "path": one.route.path},
                "anyone": one.anyone && one.example.is_some(),
                "nobody": one.nobody,
                "authenticate": one.ways,
                "authorize": one.alternatives,
                "apiKeys": one.keys,
                "certificates": one.certificates,
                "example": one.example.as_ref().map(Witness::json),
            })
        });
        json!({"rules": each.collect::<Vec<_>>(), "undecided": self.unknown})
    }

    fn text(&self) -> String {
        let mut told = String::new();
        for one in &self.reached {
            let rule = one.rule.as_deref().map_or("no rule".to_owned(), |rule| format!("rule {rule}"));
            let line = format!("{rule}: {} {}{}\n", one.route.method, one.route.host, one.route.path);
            told.push_str(&plain_text(line.trim_end()));
            told.push('\n');
            if one.nobody {
                told.push_str("  nobody\n");
                continue;
            }
            if one.anyone {
                told.push_str("  anyone\n");
            }
            for way in &one.ways {
                told.push_str(&format!("  {}\n", plain_text(way)));
            }
            for (n, needed) in one.alternatives.iter().enumerate() {
                let word = if n == 0 { "needs" } else { "or" };
                told.push_str(&format!("  {word} {}\n", plain_text(needed)));
            }
            for (kind, names) in [("API keys", &one.keys), ("certificates", &one.certificates)] {
                if !names.is_empty() {
                    told.push_str(&format!("  {kind}: {}\n", plain_text(&names.join(", "))));
                }
            }
        }
        for rule in &self.unknown {
            told.push_str(&format!("rule {}: undecided, too many patterns overlap\n", plain_text(rule)));
        }
        told
    }
}
