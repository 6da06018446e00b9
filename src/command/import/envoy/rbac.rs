//! The filter `rbac`: who may do what, of several policies by any.

use std::ops::Range;

use serde_json::{Value as Json, json};

use super::{
    expr::{Alternative, Expr, Who},
    fields::{get, is_true, items, json, members, only, place, tell_unknown, text},
    matches::{Text, header, path, permission, string},
};
use crate::command::{
    import::told::Told,
    tree::{Member, Node},
};

/// Where tokens' claims are handed on.
const JWT_AUTHN: &str = "envoy.filters.http.jwt_authn";

/// What a filter decides.
#[derive(Clone, Debug, Default)]
pub(super) struct Rbac {
    /// It lets in whom a policy is about; else it keeps them out.
    pub(super) lets_in: bool,
    pub(super) policies: Vec<Policy>,
}

/// Whom a policy is about, and where.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    /// In the source.
    pub(super) at: Range<usize>,
    pub(super) alternatives: Vec<Alternative>,
}

/// `rules` of the filter; `None`: it decides nothing.
pub(super) fn rbac(filter: &Node, about: &str, told: &mut Told) -> Option<Rbac> {
    const KNOWN: [&str; 9] = [
        "@type",
        "rules",
        "rules_stat_prefix",
        "track_per_rule_stats",
        "shadow_rules",
        "shadow_matcher",
        "shadow_rules_stat_prefix",
        "matcher",
        "stat_prefix",
    ];
    tell_unknown(filter, &KNOWN, about, "it is left out", told);
    for (name, message) in [
        ("shadow_rules", "shadow rules decide nothing and have no counterpart"),
        ("shadow_matcher", "shadow rules decide nothing and have no counterpart"),
    ] {
        if let Some(node) = get(filter, name) {
            told.note(&place(node), about, message);
        }
    }
    if let Some(matcher) = get(filter, "matcher") {
        told.left(&place(matcher), about, "matcher is not translated; nothing passes");
        return Some(Rbac { lets_in: true, policies: Vec::new() });
    }
    let rules = get(filter, "rules")?;
    let lets_in = match text(rules, "action") {
        None | Some("ALLOW" | "0") => true,
        Some("DENY" | "1") => false,
        Some("LOG" | "2") => {
            told.note(&place(rules), about, "LOG decides nothing: see decisionLog");
            return None;
        }
        Some(_) => {
            told.left(&place(rules), about, "its action is not known; nothing passes");
            return Some(Rbac { lets_in: true, policies: Vec::new() });
        }
    };
    tell_unknown(rules, &["action", "policies"], about, "it is left out", told);
    let policies = get(rules, "policies").map(members).unwrap_or_default();
    let policies = policies.iter().map(|policy| Policy {
        name: policy.name.text.clone(),
        at: policy.name_span.clone(),
        alternatives: of_policy(policy, lets_in, told),
    });
    Some(Rbac { lets_in, policies: policies.collect() })
}

fn of_policy(policy: &Member, lets_in: bool, told: &mut Told) -> Vec<Alternative> {
    let (name, node) = (&policy.name.text, &policy.value);
    let so = if lets_in { "by it nobody passes" } else { "it keeps out whoever it may be about" };
    let has_condition = tell_unknown(node, &["permissions", "principals"], name, so, told);
    let mut any = |list: &str, read: fn(&Node) -> Expr| {
        let parts: Vec<Expr> = items(node, list).iter().map(read).collect();
        for (part, own) in parts.iter().zip(items(node, list)) {
            if !part.is_whole() {
                told.left(&place(own), name, format!("a part of this cannot be said; {so}"));
            }
        }
        Expr::Or(parts)
    };
    let mut all = vec![any("permissions", permission), any("principals", principal)];
    if has_condition {
        all.push(Expr::Unknown);
    }
    Expr::And(all).alternatives(lets_in)
}

/// Who is calling, or with what.
fn principal(node: &Node) -> Expr {
    let Some((name, value)) = only(node) else { return Expr::Unknown };
    let list = |value: &Node| items(value, "ids").iter().map(principal).collect::<Vec<_>>();
    match name.as_str() {
        "any" => Expr::Any,
        "and_ids" => Expr::And(list(value)),
        "or_ids" => Expr::Or(list(value)),
        "not_id" => Expr::Not(Box::new(principal(value))),
        "header" => header(value),
        "url_path" => path(value),
        "remote_ip" => address(value),
        "metadata" => metadata(value),
        "authenticated" => certificate(value),
        _ => Expr::Unknown,
    }
}

fn address(range: &Node) -> Expr {
    let Some(prefix) = text(range, "address_prefix") else { return Expr::Unknown };
    let length =
        get(range, "prefix_len").map(|length| get(length, "value").unwrap_or(length)).and_then(Node::text);
    let network = match length {
        Some(length) => format!("{prefix}/{length}"),
        // Envoy takes none for zero.
        None => return Expr::Unknown,
    };
    Expr::Who(Who::Address(vec![network]))
}

fn certificate(authenticated: &Node) -> Expr {
    match get(authenticated, "principal_name") {
        None => Expr::Who(Who::Certificate(None)),
        Some(name) => match string(name) {
            Some(text) => Expr::Who(Who::Certificate(Some(claim(json!("sub"), &text)))),
            None => Expr::Unknown,
        },
    }
}

/// A claim as `jwt_authn` hands it on.
fn metadata(matcher: &Node) -> Expr {
    if text(matcher, "filter") != Some(JWT_AUTHN) {
        return Expr::Unknown;
    }
    let steps: Vec<String> =
        items(matcher, "path").iter().filter_map(|step| text(step, "key")).map(str::to_owned).collect();
    let (Some((payload, rest)), Some(value)) = (steps.split_first(), get(matcher, "value")) else {
        return Expr::Unknown;
    };
    let name = match rest {
        [] => return Expr::Unknown,
        [one] if !one.contains('.') => json!(one),
        path => json!({"path": path}),
    };
    let who = |condition| Expr::Who(Who::Claim { payload: payload.clone(), condition });
    let found = value_of(value, &name, &who);
    if is_true(matcher, "invert") { Expr::Not(Box::new(found)) } else { found }
}

fn value_of(value: &Node, claim_name: &Json, who: &dyn Fn(Json) -> Expr) -> Expr {
    let Some((kind, inner)) = only(value) else { return Expr::Unknown };
    match kind.as_str() {
        "string_match" => string(inner).map_or(Expr::Unknown, |text| who(claim(claim_name.clone(), &text))),
        "bool_match" => who(json!({"claim": claim_name, "equals": json(inner)})),
        "double_match" => match text(inner, "exact").and_then(|number| number.parse::<i64>().ok()) {
            Some(number) => who(json!({"claim": claim_name, "equals": number})),
            None => Expr::Unknown,
        },
        "present_match" if json(inner) == Json::Bool(true) => {
            who(json!({"claim": claim_name, "present": true}))
        }
        "or_match" => Expr::Or(
            items(inner, "value_matchers").iter().map(|one| value_of(one, claim_name, who)).collect(),
        ),
        "list_match" => {
            let matcher = get(inner, "one_of").and_then(|one| get(one, "string_match")).and_then(string);
            match matcher.and_then(|text| text.one_of()).as_deref() {
                Some([one]) => who(json!({"claim": claim_name, "contains": one})),
                Some(several) => who(json!({"claim": claim_name, "containsAny": several})),
                None => Expr::Unknown,
            }
        }
        _ => Expr::Unknown,
    }
}

/// A condition on a claim that is one text.
pub(super) fn claim(name: Json, text: &Text) -> Json {
    match text {
        Text::Exact(value) => json!({"claim": name, "equals": value}),
        text => json!({"claim": name, "matches": text.expression()}),
    }
}
