//! The filter `jwt_authn`: providers, and which tokens requests need.

use std::ops::Range;

use serde_json::{Map, Value as Json, json};

use super::{
    expr::Alternative,
    fields::{
        beginning, duration, get, is_true, items, members, milliseconds, number, place, tell_unknown, text,
    },
    jwt_provider::{claim_to_header, keys, places},
    matches::{route, string},
    rbac::claim,
};
use crate::command::{
    import::{
        demand::{Kind, Way},
        draft::named,
        told::Told,
    },
    tree::{Member, Node},
};

/// Which tokens a request needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Needed {
    Nothing,
    /// One of these; `optional`: or none; `forgiving`: or a bad one, which counts as none.
    Any {
        ways: Vec<Way>,
        optional: bool,
        forgiving: bool,
    },
    Both(Way, Way),
    /// What cannot be said.
    Closed,
}

/// What it asks for, and where.
pub(super) struct Rule {
    /// In the source.
    pub(super) at: Range<usize>,
    pub(super) alternatives: Vec<Alternative>,
    pub(super) needed: Needed,
}

/// All that the filter says.
#[derive(Default)]
pub(super) struct JwtAuthn {
    pub(super) providers: Vec<Json>,
    /// Under which names providers hand claims on.
    pub(super) payloads: Vec<(String, String)>,
    /// The first that matches counts.
    pub(super) rules: Vec<Rule>,
    /// By their names.
    pub(super) requirements: Vec<(String, Needed)>,
    /// Claims that all tokens of a provider must have.
    subjects: Vec<(String, Json)>,
}

pub(super) fn jwt_authn(filter: &Node, about: &str, told: &mut Told) -> JwtAuthn {
    let mut read = JwtAuthn::default();
    let known = [
        "@type",
        "providers",
        "rules",
        "requirement_map",
        "filter_state_rules",
        "bypass_cors_preflight",
        "strip_failure_response",
        "stat_prefix",
    ];
    tell_unknown(filter, &known, about, "it is left out", told);
    for member in get(filter, "providers").map(members).unwrap_or_default() {
        read.provider(member, told);
    }
    for member in get(filter, "requirement_map").map(members).unwrap_or_default() {
        let needed = read.needed(&member.value, &member.name.text, told);
        read.requirements.push((member.name.text.clone(), needed));
    }
    if let Some(rules) = get(filter, "filter_state_rules") {
        told.left(&place(rules), about, "filter_state_rules ask by what other filters found; nothing passes");
        let alternatives = super::expr::Expr::Any.alternatives(false);
        read.rules.push(Rule { at: place(rules), alternatives, needed: Needed::Closed });
    }
    if is_true(filter, "bypass_cors_preflight") {
        told.note(&place(filter), about, "bypass_cors_preflight: say corsPreflight: Allow in the rules, or put Envoy's cors filter in front");
    }
    for rule in items(filter, "rules") {
        let about = "a rule of jwt_authn";
        tell_unknown(rule, &["match", "requires", "requirement_name"], about, "it is left out", told);
        let matched =
            get(rule, "match").map(|matcher| route(matcher, about, "what it may match is closed", told));
        let whole = matched.unwrap_or(super::expr::Expr::Any);
        let needed = match (whole.is_whole(), get(rule, "requires"), text(rule, "requirement_name")) {
            (false, _, _) => Needed::Closed,
            (true, Some(requires), _) => read.needed(requires, about, told),
            (true, None, Some(name)) => read.named(name).unwrap_or_else(|| {
                told.left(&place(rule), about, format!("there is no requirement {name:?}; it is closed"));
                Needed::Closed
            }),
            (true, None, None) => Needed::Nothing,
        };
        read.rules.push(Rule { at: beginning(rule), alternatives: whole.alternatives(false), needed });
    }
    read
}

impl JwtAuthn {
    pub(super) fn named(&self, name: &str) -> Option<Needed> {
        self.requirements.iter().find(|(own, _)| own == name).map(|(_, needed)| needed.clone())
    }

    /// Tokens of any provider.
    pub(super) fn all(&self) -> Vec<Way> {
        let names = self.providers.iter().filter_map(|own| own.get("name").and_then(Json::as_str));
        names.filter_map(|name| self.way(name, &[])).collect()
    }

    /// The issuer of a provider.
    pub(super) fn issuer(&self, provider: &str) -> Option<String> {
        let mut providers = self.providers.iter();
        let own = providers.find(|own| own.get("name") == Some(&Json::from(provider)))?;
        own.get("issuer").and_then(Json::as_str).map(str::to_owned)
    }

    fn provider(&mut self, member: &Member, told: &mut Told) {
        let (name, node) = (named(&member.name.text), &member.value);
        let known = [
            "issuer",
            "audiences",
            "subjects",
            "require_expiration",
            "max_lifetime",
            "remote_jwks",
            "local_jwks",
            "forward",
            "from_headers",
            "from_params",
            "from_cookies",
            "forward_payload_header",
            "payload_in_metadata",
            "clock_skew_seconds",
            "jwt_cache_config",
            "claim_to_headers",
            "clear_route_cache",
        ];
        tell_unknown(node, &known, &name, "it is left out", told);
        let Some(issuer) = text(node, "issuer").filter(|issuer| !issuer.is_empty()) else {
            told.left(
                &member.name_span,
                &name,
                "without an issuer it takes tokens of any; it is left out, and what needs it is closed",
            );
            return;
        };
        if self.providers.iter().any(|other| other.get("issuer") == Some(&Json::from(issuer))) {
            told.left(
                &member.name_span,
                &name,
                "another provider has its issuer; it is left out, and what needs it is closed",
            );
            return;
        }
        let Some((keys, algorithms)) = keys(node, &name, told) else {
            told.left(
                &member.name_span,
                &name,
                "its keys are not known here; it is left out, and what needs it is closed",
            );
            return;
        };
        let mut said =
            Map::from_iter([("name".to_owned(), json!(name)), ("issuer".to_owned(), json!(issuer))]);
        let audiences: Vec<&str> = items(node, "audiences").iter().filter_map(Node::text).collect();
        match audiences.is_empty() {
            true => said.insert("anyAudience".to_owned(), json!(true)),
            false => said.insert("audiences".to_owned(), json!(audiences)),
        };
        said.insert("algorithms".to_owned(), json!(algorithms));
        said.insert("jwks".to_owned(), keys);
        if let Some(skew) = number(node, "clock_skew_seconds").filter(|skew| *skew > 0) {
            if skew > 300 {
                told.left(
                    &member.name_span,
                    &name,
                    "a clock skew of more than five minutes is not taken; it is five",
                );
            }
            said.insert("clockSkew".to_owned(), json!(format!("{}s", skew.min(300))));
        }
        if let Some(life) = text(node, "max_lifetime").and_then(milliseconds) {
            told.note(&member.name_span, &name, "maxLifetime is exp - iat, and not what is left of it");
            said.insert("maxLifetime".to_owned(), json!(duration(life)));
        }
        let to_headers =
            items(node, "claim_to_headers").iter().filter_map(|own| claim_to_header(own, &name, told));
        let to_headers: Vec<Json> = to_headers.collect();
        if !to_headers.is_empty() {
            said.insert("claimToHeaders".to_owned(), json!(to_headers));
        }
        if let Some(header) = text(node, "forward_payload_header") {
            said.insert("forwardPayload".to_owned(), json!(header.to_ascii_lowercase()));
        }
        said.insert("extractFrom".to_owned(), places(node));
        if is_true(node, "forward") {
            said.insert("forward".to_owned(), json!(true));
        }
        if let Some(subjects) = get(node, "subjects") {
            match string(subjects) {
                Some(text) => self.subjects.push((name.clone(), claim(json!("sub"), &text))),
                None => {
                    told.left(
                        &place(subjects),
                        &name,
                        "its subjects cannot be said; it is left out, and what needs it is closed",
                    );
                    return;
                }
            }
        }
        if let Some(payload) = text(node, "payload_in_metadata") {
            self.payloads.push((name.clone(), payload.to_owned()));
        }
        self.providers.push(Json::Object(said));
    }

    fn way(&self, provider: &str, audiences: &[&str]) -> Option<Way> {
        let provider = named(provider);
        self.providers.iter().find(|own| own.get("name") == Some(&Json::from(provider.as_str())))?;
        let mut claims: Vec<Json> = self
            .subjects
            .iter()
            .filter(|(own, _)| *own == provider)
            .map(|(_, claim)| claim.clone())
            .collect();
        match audiences {
            [] => {}
            [one] => claims.push(json!({"claim": "aud", "contains": one})),
            several => claims.push(json!({"claim": "aud", "containsAny": several})),
        }
        let mut needs = Map::new();
        if !claims.is_empty() {
            needs.insert("claims".to_owned(), json!(claims));
        }
        Some(Way { kind: Kind::Jwt(provider), needs })
    }

    /// Whether a provider takes tokens for any audience.
    fn is_for_any(&self, way: &Way) -> bool {
        let is_own =
            |own: &&Json| matches!(&way.kind, Kind::Jwt(name) if own.get("name") == Some(&json!(name)));
        self.providers.iter().find(is_own).is_some_and(|own| own.get("anyAudience").is_some())
    }

    fn needed(&self, requirement: &Node, about: &str, told: &mut Told) -> Needed {
        let given = members(requirement);
        let member = match given.as_slice() {
            [] => return Needed::Nothing,
            [member] => member,
            _ => {
                told.left(&place(requirement), about, "a requirement asks for one thing; it is closed");
                return Needed::Closed;
            }
        };
        let mut closed = |message: &str| {
            told.left(&member.name_span, about, format!("{message}; it is closed"));
            Needed::Closed
        };
        let any = |ways, optional, forgiving| Needed::Any { ways, optional, forgiving };
        let (name, value) = (member.name.text.as_str(), &member.value);
        match name {
            "provider_name" | "providerName" => match self.way(value.text().unwrap_or_default(), &[]) {
                Some(way) => any(vec![way], false, false),
                None => closed("its provider is not there"),
            },
            "provider_and_audiences" | "providerAndAudiences" => {
                let audiences: Vec<&str> = items(value, "audiences").iter().filter_map(Node::text).collect();
                match self.way(text(value, "provider_name").unwrap_or_default(), &audiences) {
                    Some(way) if self.is_for_any(&way) => any(vec![way], false, false),
                    Some(way) => {
                        let message =
                            "its audiences are asked for beside those of the provider, not in their stead";
                        told.left(&member.name_span, about, message);
                        any(vec![way], false, false)
                    }
                    None => closed("its provider is not there"),
                }
            }
            "allow_missing" | "allowMissing" => any(Vec::new(), true, false),
            "allow_missing_or_failed" | "allowMissingOrFailed" => any(Vec::new(), true, true),
            "requires_any" | "requiresAny" => {
                let (mut ways, mut optional, mut forgiving) = (Vec::new(), false, false);
                for item in items(value, "requirements") {
                    match self.needed(item, about, told) {
                        Needed::Any { ways: own, optional: or_none, forgiving: or_bad } => {
                            ways.extend(own);
                            optional |= or_none;
                            forgiving |= or_bad;
                        }
                        Needed::Nothing => optional = true,
                        Needed::Both(..) => told.left(
                            &place(item),
                            about,
                            "two tokens together beside others are not taken; by them nobody passes",
                        ),
                        // It was told why.
                        Needed::Closed => {}
                    }
                }
                match ways.is_empty() && !optional {
                    true => Needed::Closed,
                    false => any(ways, optional, forgiving),
                }
            }
            "requires_all" | "requiresAll" => {
                let all: Vec<Needed> =
                    items(value, "requirements").iter().map(|item| self.needed(item, about, told)).collect();
                let single = |needed: &Needed| match needed {
                    Needed::Any { ways, optional: false, .. } if ways.len() == 1 => ways.first().cloned(),
                    _ => None,
                };
                match all.as_slice() {
                    [one] => one.clone(),
                    [one, other] => match (single(one), single(other)) {
                        (Some(one), Some(other)) => Needed::Both(one, other),
                        _ => {
                            told.left(&member.name_span, about, "of tokens that are needed together each is of one provider here; it is closed");
                            Needed::Closed
                        }
                    },
                    _ => {
                        told.left(
                            &member.name_span,
                            about,
                            "two tokens together are the most that can be asked for; it is closed",
                        );
                        Needed::Closed
                    }
                }
            }
            "extract_only_without_validation" | "extractOnlyWithoutValidation" => {
                closed("what nobody verified is nobody's word")
            }
            other => closed(&format!("{other} has no counterpart")),
        }
    }
}
