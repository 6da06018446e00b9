//! Who may pass, as a rule says it: ways to authenticate, each with what it must bring, as `authenticate` and
//! `authorize`.

use serde_json::{Map, Value as Json, json};

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A token of this provider.
    Jwt(String),
    ApiKey,
    Certificate,
}

/// A credential, and what its owner must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) kind: Kind,
    /// Members of `authorize` that hold together: `scopes`, `roles`, `claims`.
    pub(super) needs: Map<String, Json>,
}

/// Credentials that are needed together: one, or two of which the last is the principal's.
pub(super) type Alternative = Vec<Way>;

/// Who may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nobody.
    Closed,
    /// Anyone; credentials are not looked at.
    Anonymous,
    /// Whoever fulfils one of these. `optional`: whoever has no credential, too.
    Ways { optional: bool, alternatives: Vec<Alternative> },
}

/// Why a demand cannot be said as it is. What is said instead is stricter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stricter {
    /// Two credentials together, and others that are enough alone: the former are not taken.
    PairsBesideOthers,
    /// Several pairs: the first alone is taken.
    SeveralPairs,
    /// More than two together are not taken.
    TooManyTogether,
    /// An issuer of many tenants beside others that bring something else: it is not taken.
    Tenants,
    /// Certificates beside API keys that bring something else: they are not taken.
    CertificatesBesideKeys,
}

impl Stricter {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::PairsBesideOthers => {
                "a rule asks for one of several credentials, or for two together: those that are needed together are not taken"
            }
            Self::SeveralPairs => "a rule asks for one pair of credentials: the first pair alone is taken",
            Self::TooManyTogether => "a rule asks for two credentials together at most; more are not taken",
            Self::Tenants => {
                "which tokens an alternative is for is told by their issuer, and one with many tenants has none: it is not taken"
            }
            Self::CertificatesBesideKeys => {
                "certificates are not told from API keys that bring something else: they are not taken"
            }
        }
    }
}

/// What of a rule says who may pass.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) authenticate: Json,
    pub(super) authorize: Option<Map<String, Json>>,
}

impl Said {
    fn anonymous() -> Self {
        Self { authenticate: json!({"anonymous": true}), authorize: None }
    }
}

impl Demand {
    /// The demand with alternatives that others include taken out: whoever brings more brings enough.
    pub(super) fn reduced(self) -> Self {
        let Self::Ways { optional, alternatives } = self else { return self };
        let mut kept: Vec<Alternative> = Vec::new();
        for alternative in alternatives {
            if kept.iter().any(|other| includes(&alternative, other)) {
                continue;
            }
            kept.retain(|other| !includes(other, &alternative));
            kept.push(alternative);
        }
        match (optional, kept.is_empty()) {
            (true, true) => Self::Anonymous,
            (false, true) => Self::Closed,
            _ => Self::Ways { optional, alternatives: kept },
        }
    }

    /// As a rule says it; `None`: nobody passes. `issuer` is that of a provider, `None` where it has many.
    pub(super) fn said(&self, issuer: &dyn Fn(&str) -> Option<String>) -> (Option<Said>, Vec<Stricter>) {
        let (optional, alternatives) = match self {
            Self::Closed => return (None, Vec::new()),
            Self::Anonymous => return (Some(Said::anonymous()), Vec::new()),
            Self::Ways { optional, alternatives } => (*optional, alternatives),
        };
        let mut stricter = Vec::new();
        if alternatives.iter().any(|together| together.len() > 2) {
            stricter.push(Stricter::TooManyTogether);
        }
        let pairs: Vec<&Alternative> = alternatives.iter().filter(|together| together.len() == 2).collect();
        let mut single: Vec<&Way> = alternatives
            .iter()
            .filter_map(|together| if let [way] = together.as_slice() { Some(way) } else { None })
            .collect();
        // What the first alternative lacks is what clients are told, and tokens are what they can ask for.
        single.sort_by_key(|way| !matches!(way.kind, Kind::Jwt(_)));
        if single.is_empty() && !optional {
            if pairs.len() > 1 {
                stricter.push(Stricter::SeveralPairs);
            }
            let said = pairs.first().and_then(|pair| pair_said(pair));
            return (said, stricter);
        }
        if !pairs.is_empty() {
            stricter.push(Stricter::PairsBesideOthers);
        }
        let said = any_said(optional, &single, issuer, &mut stricter);
        (said, stricter)
    }
}

/// Whether whoever fulfils `more` fulfils `less`, too.
fn includes(more: &Alternative, less: &Alternative) -> bool {
    less.iter().all(|wanted| {
        more.iter().any(|way| {
            way.kind == wanted.kind
                && wanted.needs.iter().all(|(name, need)| holds(name, way.needs.get(name), need))
        })
    })
}

/// Whether what is asked for by `own` is at least `other`.
fn holds(name: &str, own: Option<&Json>, other: &Json) -> bool {
    match (own, other) {
        // One of these, and not all.
        (Some(Json::Array(own)), Json::Array(other)) if name == "remoteAddress" => {
            own.iter().all(|item| other.contains(item))
        }
        (Some(Json::Array(own)), Json::Array(other)) => other.iter().all(|item| own.contains(item)),
        (own, other) => own == Some(other),
    }
}

/// Two credentials together.
fn pair_said(pair: &Alternative) -> Option<Said> {
    let [actor, principal] = pair.as_slice() else { return None };
    let mut authorize = principal.needs.clone();
    if !actor.needs.is_empty() {
        authorize.insert("actor".to_owned(), Json::Object(actor.needs.clone()));
    }
    Some(Said {
        authenticate: json!({"allOf": [actor.kind.said(), principal.kind.said()]}),
        authorize: Some(authorize).filter(|members| !members.is_empty()),
    })
}

/// One of several.
fn any_said(
    optional: bool,
    ways: &[&Way],
    issuer: &dyn Fn(&str) -> Option<String>,
    stricter: &mut Vec<Stricter>,
) -> Option<Said> {
    // Whoever may come without a credential may come with any.
    let is_same =
        optional || ways.iter().all(|way| ways.first().is_some_and(|first| way.needs == first.needs));
    let is_of_one_kind = ways.iter().all(|way| ways.first().is_some_and(|first| way.kind == first.kind));
    let has_keys = ways.iter().any(|way| way.kind == Kind::ApiKey);
    let (mut kinds, mut alternatives) = (Vec::new(), Vec::new());
    for way in ways {
        let mut needs = if optional { Map::new() } else { way.needs.clone() };
        // What one alternative asks must not be brought by a credential of another.
        if !is_same && !is_of_one_kind {
            match (&way.kind, issuer_of(way, issuer)) {
                (Kind::Jwt(_), Some(issuer)) => add(&mut needs, "claims", of_issuer(&issuer)),
                (Kind::Jwt(_), None) => {
                    stricter.push(Stricter::Tenants);
                    continue;
                }
                (Kind::Certificate, _) if has_keys => {
                    stricter.push(Stricter::CertificatesBesideKeys);
                    continue;
                }
                // Every token has an issuer, and nothing else has.
                _ => add(&mut needs, "noneOf", json!({"claims": [{"claim": "iss", "present": true}]})),
            }
        }
        let (kind, needs) = (way.kind.said(), Json::Object(needs));
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
        if !alternatives.contains(&needs) {
            alternatives.push(needs);
        }
    }
    if kinds.is_empty() {
        return optional.then(Said::anonymous);
    }
    let mut authenticate = Map::new();
    if optional {
        authenticate.insert("optional".to_owned(), Json::Bool(true));
    }
    authenticate.insert("anyOf".to_owned(), Json::Array(kinds));
    let is_free = |needs: &Json| needs.as_object().is_some_and(Map::is_empty);
    let authorize = match alternatives.as_slice() {
        _ if alternatives.iter().any(is_free) => None,
        [Json::Object(only)] => Some(only.clone()),
        _ => Some(Map::from_iter([("anyOf".to_owned(), Json::Array(alternatives))])),
    };
    Some(Said { authenticate: Json::Object(authenticate), authorize })
}

fn issuer_of(way: &Way, issuer: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    if let Kind::Jwt(provider) = &way.kind { issuer(provider) } else { None }
}

fn of_issuer(issuer: &str) -> Json {
    json!({"claim": "iss", "equals": issuer})
}

/// Adds to the list `name` of `needs`.
fn add(needs: &mut Map<String, Json>, name: &str, item: Json) {
    match needs.get_mut(name) {
        Some(Json::Array(items)) => items.push(item),
        _ => _ = needs.insert(name.to_owned(), json!([item])),
    }
}

impl Kind {
    fn said(&self) -> Json {
        match self {
            Self::Jwt(provider) => json!({"jwt": provider}),
            Self::ApiKey => json!("apiKey"),
            Self::Certificate => json!("clientCertificate"),
        }
    }
}

/// `authorize` with what is asked of everybody, in every alternative; `None`: the two cannot be asked for together.
pub(super) fn with_more(
    authorize: Option<Map<String, Json>>,
    more: &Map<String, Json>,
) -> Option<Map<String, Json>> {
    let mut authorize = authorize.unwrap_or_default();
    if more.is_empty() {
        return Some(authorize);
    }
    match authorize.get_mut("anyOf") {
        Some(Json::Array(alternatives)) => {
            alternatives
                .iter_mut()
                .filter_map(Json::as_object_mut)
                .try_for_each(|one| add_more(one, more))?;
        }
        _ => add_more(&mut authorize, more)?,
    }
    Some(authorize)
}

fn add_more(members: &mut Map<String, Json>, more: &Map<String, Json>) -> Option<()> {
    for (name, need) in more {
        match (members.get_mut(name), need) {
            (None, _) => _ = members.insert(name.clone(), need.clone()),
            (Some(Json::Array(own)), Json::Array(further)) => {
                let new: Vec<_> = further.iter().filter(|item| !own.contains(item)).cloned().collect();
                own.extend(new);
            }
            // One of some names beside all of others.
            _ => return None,
        }
    }
    Some(())
}
