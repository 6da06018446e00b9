//! Matches of requests as Envoy has them, as conditions.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{
    expr::Expr,
    fields::{get, is_true, items, kind, only, place, tell_unknown, text, unknown},
    region::{Paths, Region, escaped},
};
use crate::{
    command::{import::told::Told, tree::Node},
    expression::Expression,
};

/// What a `StringMatcher` asks of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Exact(String),
    Prefix(String),
    /// Of the whole text.
    Regex(String),
}

/// `None`: it cannot be said.
pub(super) fn string(matcher: &Node) -> Option<Text> {
    if !unknown(matcher, &["exact", "prefix", "suffix", "contains", "safe_regex", "ignore_case"]).is_empty() {
        return None;
    }
    let of = |name| text(matcher, name).map(str::to_owned);
    let ignores_case = is_true(matcher, "ignore_case");
    let regex = get(matcher, "safe_regex").and_then(|regex| text(regex, "regex")).map(str::to_owned);
    let found = match (of("exact"), of("prefix"), of("suffix"), of("contains"), regex) {
        (Some(exact), None, None, None, None) => Text::Exact(exact),
        (None, Some(prefix), None, None, None) => Text::Prefix(prefix),
        (None, None, Some(suffix), None, None) => Text::Regex(format!(".*{}", escaped(&suffix))),
        (None, None, None, Some(part), None) => Text::Regex(format!(".*{}.*", escaped(&part))),
        // `ignore_case` says nothing of an expression.
        (None, None, None, None, Some(regex)) => return Some(Text::Regex(regex)),
        _ => return None,
    };
    Some(match ignores_case {
        true => Text::Regex(format!("(?i){}", found.expression())),
        false => found,
    })
}

impl Text {
    /// A regular expression for the same.
    pub(super) fn expression(&self) -> String {
        match self {
            Self::Exact(text) => escaped(text),
            Self::Prefix(text) => format!("{}.*", escaped(text)),
            Self::Regex(text) => text.clone(),
        }
    }

    /// Texts of which it is one, where that is all that is asked.
    pub(super) fn one_of(&self) -> Option<Vec<String>> {
        match self {
            Self::Exact(text) => Some(vec![text.clone()]),
            Self::Regex(text) if !text.contains(|c: char| r"\.+*?()[]{}^$".contains(c)) => {
                Some(text.split('|').map(str::to_owned).collect())
            }
            _ => None,
        }
    }

    fn paths(&self) -> Paths {
        match self {
            Self::Exact(text) => Paths::Exact(text.clone()),
            Self::Prefix(text) if matches!(text.as_str(), "" | "/") => Paths::All,
            Self::Prefix(text) => Paths::Prefix(text.clone()),
            Self::Regex(text) => Paths::Regex(text.clone()),
        }
    }
}

/// Paths as conditions, where a policy can say them: in the form in which requests are read, and expressions that it has.
fn of_paths(paths: Paths) -> Expr {
    let is_plain = |text: &String| {
        let odd = ["//", "/./", "/../"].iter().any(|part| text.contains(part))
            || text.ends_with("/.")
            || text.ends_with("/..");
        let fits = |c: char| !c.is_control() && c.is_ascii() && !"%?#;\\ ".contains(c);
        text.starts_with('/') && !odd && text.chars().all(fits)
    };
    match paths {
        Paths::All => Expr::Any,
        Paths::Exact(text) | Paths::Prefix(text) | Paths::Template(text) if !is_plain(&text) => Expr::Unknown,
        Paths::Regex(text) if Expression::compile(&text).is_err() => Expr::Unknown,
        paths => Expr::Region(Region::of_paths(paths)),
    }
}

/// A `PathMatcher`.
pub(super) fn path(matcher: &Node) -> Expr {
    match get(matcher, "path").and_then(string) {
        Some(text) => of_paths(text.paths()),
        None => Expr::Unknown,
    }
}

/// A template of Envoy's `uri_template` as ours: `*` is a variable, `**` at the end is the rest. `None`: it has more.
pub(super) fn template(node: &Node) -> Expr {
    let pattern = get(node, "typed_config").unwrap_or(node);
    let Some(pattern) = text(pattern, "path_template") else { return Expr::Unknown };
    let mut made = String::new();
    let segments: Vec<&str> = pattern.split('/').skip(1).collect();
    for (place, segment) in segments.iter().enumerate() {
        let is_last = place.saturating_add(1) == segments.len();
        let segment = match *segment {
            "*" => format!("{{v{place}}}"),
            "**" if is_last => format!("{{v{place}=**}}"),
            text if text.contains(['*', '{', '}', '=']) => return Expr::Unknown,
            text => text.to_owned(),
        };
        made.push('/');
        made.push_str(&segment);
    }
    match made.contains('{') {
        true => of_paths(Paths::Template(made)),
        false => of_paths(Paths::Exact(made)),
    }
}

/// A `HeaderMatcher`.
pub(super) fn header(matcher: &Node) -> Expr {
    let Some(name) = text(matcher, "name") else { return Expr::Unknown };
    let known = [
        "name",
        "exact_match",
        "prefix_match",
        "suffix_match",
        "contains_match",
        "safe_regex_match",
        "string_match",
        "present_match",
        "invert_match",
    ];
    if !unknown(matcher, &known).is_empty() {
        return Expr::Unknown;
    }
    let of = |name| text(matcher, name).map(str::to_owned);
    let asked = match (get(matcher, "string_match"), get(matcher, "safe_regex_match")) {
        (Some(matcher), _) => string(matcher),
        (None, Some(regex)) => text(regex, "regex").map(|text| Text::Regex(text.to_owned())),
        _ => of("exact_match")
            .map(Text::Exact)
            .or_else(|| of("prefix_match").map(Text::Prefix))
            .or_else(|| of("suffix_match").map(|end| Text::Regex(format!(".*{}", escaped(&end)))))
            .or_else(|| of("contains_match").map(|part| Text::Regex(format!(".*{}.*", escaped(&part))))),
    };
    let has_value = members_but(matcher, &["name", "present_match", "invert_match"]);
    let found = match (asked, has_value) {
        (Some(asked), _) => header_is(name, &asked),
        (None, true) => Expr::Unknown,
        // Nothing is asked of the value: that it is there, which `present_match: false` turns round.
        (None, false) => {
            let present = condition(name, &json!({"type": "Present"}));
            match get(matcher, "present_match").is_some() && !is_true(matcher, "present_match") {
                true => Expr::Not(Box::new(present)),
                false => present,
            }
        }
    };
    if is_true(matcher, "invert_match") { Expr::Not(Box::new(found)) } else { found }
}

fn members_but(node: &Node, known: &[&str]) -> bool {
    !unknown(node, known).is_empty()
}

fn header_is(name: &str, asked: &Text) -> Expr {
    let region = |region| Expr::Region(region);
    match name.to_ascii_lowercase().as_str() {
        ":method" => match asked.one_of() {
            Some(methods) => {
                let is_method = |method: &String| method.bytes().all(|byte| byte.is_ascii_uppercase());
                if !methods.iter().all(is_method) {
                    return Expr::Unknown;
                }
                region(Region { methods: Some(methods.into_iter().collect()), ..Region::all() })
            }
            None => Expr::Unknown,
        },
        // The path has its query here: only what it begins with is the same without.
        ":path" => match asked {
            Text::Prefix(text) if !text.contains('?') => of_paths(asked.paths()),
            _ => Expr::Unknown,
        },
        ":authority" | "host" => match asked {
            Text::Exact(host) => {
                let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
                region(Region { hosts: Some(BTreeSet::from([host])), ..Region::all() })
            }
            _ => Expr::Unknown,
        },
        name if name.starts_with(':') => Expr::Unknown,
        name => match asked {
            Text::Exact(value) => condition(name, &json!({"value": value})),
            asked => condition(name, &json!({"type": "RegularExpression", "value": asked.expression()})),
        },
    }
}

fn condition(name: &str, asked: &Json) -> Expr {
    if name.starts_with(':') {
        return Expr::Unknown;
    }
    Expr::Region(Region { headers: vec![named(name, asked)], ..Region::all() })
}

fn named(name: &str, asked: &Json) -> Json {
    let mut said = json!({"name": name});
    if let (Some(said), Some(asked)) = (said.as_object_mut(), asked.as_object()) {
        said.extend(asked.clone());
    }
    said
}

/// A `RouteMatch`. What it has that cannot be said is told, and then it is [`Expr::Unknown`] beside what can.
pub(super) fn route(matcher: &Node, about: &str, so: &str, told: &mut Told) -> Expr {
    let known = [
        "prefix",
        "path",
        "safe_regex",
        "path_separated_prefix",
        "path_match_policy",
        "case_sensitive",
        "headers",
        "query_parameters",
    ];
    let mut all = Vec::new();
    if tell_unknown(matcher, &known, about, so, told) {
        all.push(Expr::Unknown);
    }
    let of = |name| text(matcher, name).map(str::to_owned);
    let regex = get(matcher, "safe_regex").and_then(|regex| text(regex, "regex")).map(str::to_owned);
    let ignores_case = get(matcher, "case_sensitive").is_some() && !is_true(matcher, "case_sensitive");
    let asked = of("path")
        .map(Text::Exact)
        .or_else(|| of("prefix").map(Text::Prefix))
        .or_else(|| regex.map(Text::Regex));
    if let Some(asked) = asked {
        all.push(of_paths(match (ignores_case, &asked) {
            (true, Text::Exact(_) | Text::Prefix(_)) => Paths::Regex(format!("(?i){}", asked.expression())),
            _ => asked.paths(),
        }));
    } else if let Some(prefix) = of("path_separated_prefix") {
        let below = Paths::Prefix(format!("{prefix}/"));
        all.push(Expr::Or(vec![of_paths(Paths::Exact(prefix)), of_paths(below)]));
    } else if let Some(policy) = get(matcher, "path_match_policy") {
        all.push(template(policy));
    }
    for header_matcher in items(matcher, "headers") {
        all.push(header(header_matcher));
    }
    for parameter in items(matcher, "query_parameters") {
        all.push(query(parameter));
    }
    let whole = Expr::And(all);
    if !whole.is_whole() {
        told.left(&place(matcher), about, format!("a part of this match cannot be said; {so}"));
    }
    whole
}

fn query(matcher: &Node) -> Expr {
    let Some(name) = text(matcher, "name") else { return Expr::Unknown };
    let asked = match (
        get(matcher, "string_match"),
        members_but(matcher, &["name", "string_match", "present_match"]),
    ) {
        (_, true) => return Expr::Unknown,
        (Some(matcher), _) => match string(matcher) {
            Some(Text::Exact(value)) => json!({"value": value}),
            Some(asked) => json!({"type": "RegularExpression", "value": asked.expression()}),
            None => return Expr::Unknown,
        },
        (None, _) => json!({"type": "Present"}),
    };
    Expr::Region(Region { query: vec![named(name, &asked)], ..Region::all() })
}

/// One of the rules of `Permission` that ask for where a request goes.
pub(super) fn permission(rule: &Node) -> Expr {
    let Some((name, value)) = only(rule) else { return Expr::Unknown };
    let list = |value: &Node| items(value, "rules").iter().map(permission).collect::<Vec<_>>();
    match name.as_str() {
        "any" => Expr::Any,
        "and_rules" => Expr::And(list(value)),
        "or_rules" => Expr::Or(list(value)),
        "not_rule" => Expr::Not(Box::new(permission(value))),
        "header" => header(value),
        "url_path" => path(value),
        "uri_template" if kind(get(value, "typed_config").unwrap_or(value)) == "UriTemplateMatchConfig" => {
            template(value)
        }
        _ => Expr::Unknown,
    }
}
