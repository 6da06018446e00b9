//! Whom a rule lets pass, as a function of what whoever asks holds: over facts of which some are not known yet.
//!
//! This is a model of what the engine decides, by which a witness is searched. It proves nothing that differs: that the
//! engine must confirm.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use serde_json::Value;

use crate::{
    config::{ActionSpec, Document, InvalidCredentials, MethodSpec},
    identity::{ClaimPath, Party},
    rbac::{
        AlternativeSpec, ClaimCondition, ClaimTest, ClaimValue, ConditionsSpec, RequiredNames,
        RequirementSpec, RoleSpec, StepUp,
    },
};

/// Whose request it is: one credential, none, or two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    /// Who acts for the principal.
    pub(super) actor: Option<MethodSpec>,
    /// `None`: nobody.
    pub(super) principal: Option<MethodSpec>,
}

impl Caller {
    pub(super) fn way(&self, party: Party) -> Option<&MethodSpec> {
        match party {
            Party::Principal => self.principal.as_ref(),
            Party::Actor => self.actor.as_ref(),
        }
    }
}

/// Something that a request either has or not, or has one way or another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Atom {
    Scope(Party, String),
    Role(Party, String),
    Claim(Party, Vec<String>),
    /// How long ago the user logged in.
    Login,
    Address,
    /// The request comes over TLS.
    Tls,
    /// A confirmation by a passkey, or a sign-in with one, by what is asked of it.
    Passkey(String),
}

/// What it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fact {
    Flag(bool),
    /// `None`: the claim is absent.
    Claim(Option<Value>),
    /// Seconds; `None`: nobody says.
    Age(Option<u64>),
    Address(IpAddr),
}

/// What is known so far.
pub(super) type Facts = HashMap<Atom, Fact>;

/// `None`: that is not known yet.
pub(super) type Maybe = Option<bool>;

fn all(parts: impl IntoIterator<Item = Maybe>) -> Maybe {
    let mut result = Some(true);
    for part in parts {
        match part {
            Some(false) => return Some(false),
            None => result = None,
            Some(true) => {}
        }
    }
    result
}

fn any(parts: impl IntoIterator<Item = Maybe>) -> Maybe {
    not(all(parts.into_iter().map(not)))
}

fn not(part: Maybe) -> Maybe {
    part.map(|held| !held)
}

/// What each role of a policy gives.
#[derive(Default)]
pub(super) struct Roles {
    /// The role and all that it inherits, and the permissions of all these.
    held: HashMap<String, (HashSet<String>, Vec<String>)>,
}

impl Roles {
    pub(super) fn of(specs: &[RoleSpec]) -> Self {
        let by_name: HashMap<&str, &RoleSpec> = specs.iter().map(|role| (role.name.as_str(), role)).collect();
        let closure = |role: &RoleSpec| {
            let mut names = HashSet::new();
            let mut permissions = Vec::new();
            let mut open = vec![role.name.as_str()];
            while let Some(name) = open.pop() {
                if names.insert(name.to_owned())
                    && let Some(role) = by_name.get(name)
                {
                    permissions.extend(role.permissions.iter().cloned());
                    open.extend(role.inherits.iter().map(String::as_str));
                }
            }
            (names, permissions)
        };
        Self { held: specs.iter().map(|role| (role.name.clone(), closure(role))).collect() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.held.keys()
    }

    /// Whether holding `role` is holding `wanted`.
    pub(super) fn is_one(&self, role: &str, wanted: &str) -> bool {
        self.held.get(role).is_some_and(|(names, _)| names.contains(wanted))
    }

    /// Whether `role` grants this permission.
    pub(super) fn grants(&self, role: &str, permission: &str) -> bool {
        self.held.get(role).is_some_and(|(_, own)| own.iter().any(|own| permits(own, permission)))
    }
}

/// Whether `granted` gives `wanted`: it is that, `*`, or `orders:*` for what begins so.
pub(super) fn permits(granted: &str, wanted: &str) -> bool {
    match granted.strip_suffix('*') {
        None => granted == wanted,
        Some("") => true,
        Some(prefix) => prefix.ends_with(':') && wanted.len() > prefix.len() && wanted.starts_with(prefix),
    }
}

/// What decides with one policy.
pub(super) struct Decider<'p> {
    pub(super) document: &'p Document,
    pub(super) roles: &'p Roles,
    /// Values of the path's variables.
    pub(super) variables: &'p [(String, String)],
    pub(super) caller: &'p Caller,
    /// Roles that somebody may hold; others are held by nobody.
    pub(super) in_play: &'p [String],
    pub(super) facts: &'p Facts,
}

impl Decider<'_> {
    /// Whether the request passes by the rule at `rule`.
    pub(super) fn passes(&self, rule: usize) -> Maybe {
        let Some(rule) = self.document.rules.get(rule) else { return Some(false) };
        let requires_tls = rule.require_tls.unwrap_or(self.document.transport.require_tls);
        let tls = if requires_tls { self.flag(Atom::Tls, true) } else { Some(true) };
        let access = match &rule.action {
            ActionSpec::Deny => Some(false),
            ActionSpec::AllowAnyone { authorize, .. } => self.meets(authorize.as_ref()),
            ActionSpec::Allow { authenticate, actor, optional, authorize } => {
                let taken = self.caller.actor == *actor
                    && self.caller.principal.as_ref().is_some_and(|own| authenticate.contains(own));
                let is_token = |way: &MethodSpec| matches!(way, MethodSpec::Jwt(_));
                // What a rule does not take is not looked at; a token is, where it takes others.
                let is_looked_at =
                    self.caller.principal.as_ref().is_some_and(is_token) && authenticate.iter().any(is_token);
                match optional {
                    _ if taken => self.meets(authorize.as_ref()),
                    Some(InvalidCredentials::Refuse) if is_looked_at => Some(false),
                    Some(_) => self.meets(authorize.as_ref()),
                    None => Some(false),
                }
            }
        };
        all([tls, access])
    }

    fn flag(&self, atom: Atom, otherwise: bool) -> Maybe {
        match self.facts.get(&atom) {
            Some(Fact::Flag(held)) => Some(*held),
            // What is no fact here is as it is with every request.
            _ if atom == Atom::Tls => Some(otherwise),
            _ => None,
        }
    }

    fn meets(&self, asked: Option<&RequirementSpec>) -> Maybe {
        match asked {
            None => Some(true),
            Some(asked) => any(asked.any_of.iter().map(|asked| self.holds(asked))),
        }
    }

    fn holds(&self, asked: &AlternativeSpec) -> Maybe {
        all([
            self.held(Party::Principal, asked),
            asked.actor.as_ref().map_or(Some(true), |asked| self.held(Party::Actor, asked)),
            asked.step_up.as_ref().map_or(Some(true), |asked| self.logged_in(asked)),
        ])
    }

    fn held(&self, party: Party, asked: &AlternativeSpec) -> Maybe {
        let excluded = asked.none_of.iter().map(|excluded| self.surely_unmet(party, excluded));
        let owner = asked.owner.as_ref().map_or(Some(true), |owner| {
            let wanted = self.variables.iter().find(|(name, _)| *name == owner.path_variable);
            match wanted {
                None => Some(false),
                Some((_, wanted)) => self
                    .claim(party, &owner.claim)
                    .map(|claim| claim.is_some_and(|claim| is_or_holds(&claim, wanted))),
            }
        });
        all(self.conditions(party, &asked.conditions).into_iter().chain(excluded).chain([owner]))
    }

    fn names(&self, asked: Option<&RequiredNames>, has: &dyn Fn(&str) -> Maybe) -> Maybe {
        match asked {
            None => Some(true),
            Some(RequiredNames::All(names)) => all(names.iter().map(|name| has(name))),
            Some(RequiredNames::Any(names)) => any(names.iter().map(|name| has(name))),
        }
    }

    fn conditions(&self, party: Party, asked: &ConditionsSpec) -> Vec<Maybe> {
        let mut parts = vec![
            self.names(asked.scopes.as_ref(), &|name| self.scope(party, name)),
            self.names(asked.permissions.as_ref(), &|name| self.permission(party, name)),
            self.names(asked.roles.as_ref(), &|name| self.role(party, &|roles, own| roles.is_one(own, name))),
        ];
        parts.extend(
            asked.claims.iter().map(|asked| self.judged(party, asked).map(|found| found == Judged::Met)),
        );
        if !asked.remote_address.is_empty() {
            parts.push(self.address().map(|address| asked.remote_address.hold(address)));
        }
        parts
    }

    fn surely_unmet(&self, party: Party, excluded: &ConditionsSpec) -> Maybe {
        let plain = ConditionsSpec { claims: Vec::new(), ..excluded.clone() };
        let unmet = self.conditions(party, &plain).into_iter().map(not);
        let claims =
            excluded.claims.iter().map(|asked| self.judged(party, asked).map(|found| found == Judged::Unmet));
        any(unmet.chain(claims))
    }

    fn address(&self) -> Option<IpAddr> {
        match self.facts.get(&Atom::Address) {
            Some(Fact::Address(address)) => Some(*address),
            _ => None,
        }
    }

    fn scope(&self, party: Party, name: &str) -> Maybe {
        match self.caller.way(party) {
            Some(MethodSpec::Hmac(_)) | None => Some(false),
            // Which keys and certificates there are the engine is asked.
            Some(_) => self.flag(Atom::Scope(party, name.to_owned()), false),
        }
    }

    fn permission(&self, party: Party, name: &str) -> Maybe {
        self.role(party, &|roles, own| roles.grants(own, name))
    }

    /// Whether a role is held for which `gives` says so.
    fn role(&self, party: Party, gives: &dyn Fn(&Roles, &str) -> bool) -> Maybe {
        match self.caller.way(party) {
            Some(MethodSpec::Hmac(_)) | None => return Some(false),
            Some(MethodSpec::Jwt(provider)) => {
                let spec = self.document.providers.iter().find(|spec| spec.jwt.name == *provider);
                if spec.is_none_or(|spec| spec.jwt.role_claims.is_empty()) {
                    return Some(false);
                }
            }
            Some(_) => {}
        }
        let own =
            |atom: &Atom| matches!(atom, Atom::Role(own, name) if *own == party && gives(self.roles, name));
        let held = |(atom, fact): (&Atom, &Fact)| own(atom) && *fact == Fact::Flag(true);
        if self.facts.iter().any(held) {
            return Some(true);
        }
        let is_open = |name: &&String| !self.facts.contains_key(&Atom::Role(party, (*name).clone()));
        match self.in_play.iter().filter(is_open).any(|name| gives(self.roles, name)) {
            true => None,
            false => Some(false),
        }
    }

    /// The claim, if it is known: `Some(None)` where it is absent.
    fn claim(&self, party: Party, path: &ClaimPath) -> Option<Option<Value>> {
        match self.caller.way(party) {
            None => Some(None),
            Some(MethodSpec::Hmac(source)) => Some((path.0 == ["sub"]).then(|| Value::from(source.as_str()))),
            Some(MethodSpec::ApiKey | MethodSpec::ClientCertificate) if path.0 != ["sub"] => Some(None),
            Some(_) => match self.facts.get(&Atom::Claim(party, path.0.clone())) {
                Some(Fact::Claim(value)) => Some(value.clone()),
                _ => None,
            },
        }
    }

    fn judged(&self, party: Party, asked: &ClaimCondition) -> Option<Judged> {
        self.claim(party, &asked.claim).map(|claim| judge(&asked.test, claim.as_ref()))
    }

    fn logged_in(&self, asked: &StepUp) -> Maybe {
        let Some(MethodSpec::Jwt(_)) = self.caller.way(Party::Principal) else { return Some(false) };
        let class = match asked.acr_values.is_empty() {
            true => Some(true),
            false => self.claim(Party::Principal, &ClaimPath(vec!["acr".to_owned()])).map(|claim| {
                claim
                    .as_ref()
                    .and_then(Value::as_str)
                    .is_some_and(|acr| asked.acr_values.iter().any(|own| own == acr))
            }),
        };
        let age = asked.max_age.map_or(Some(true), |most| match self.facts.get(&Atom::Login) {
            Some(Fact::Age(age)) => Some(age.is_some_and(|age| age <= most.as_secs())),
            _ => None,
        });
        let passkey = asked
            .passkey
            .as_ref()
            .map_or(Some(true), |passkey| self.flag(Atom::Passkey(format!("{passkey:?}")), false));
        all([class, age, passkey])
    }
}

/// What a claim is to a condition, as the engine has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judged {
    Met,
    Unmet,
    /// Of another kind than what it is compared with.
    Unclear,
}

fn judge(test: &ClaimTest, claim: Option<&Value>) -> Judged {
    let plain = |met: bool| if met { Judged::Met } else { Judged::Unmet };
    match (test, claim) {
        (_, None | Some(Value::Null)) => Judged::Unmet,
        (ClaimTest::Present, _) => Judged::Met,
        (ClaimTest::Contains(wanted), Some(Value::Array(list))) => {
            best(list.iter().map(|own| one_of(own, wanted)))
        }
        (ClaimTest::In(wanted) | ClaimTest::Contains(wanted), Some(own)) => one_of(own, wanted),
        (ClaimTest::Matches(expression), Some(Value::String(text))) => plain(expression.is_match(text)),
        (ClaimTest::Matches(_), _) => Judged::Unclear,
    }
}

fn one_of(own: &Value, wanted: &[ClaimValue]) -> Judged {
    best(wanted.iter().map(|wanted| match (wanted, own) {
        (ClaimValue::Text(wanted), Value::String(own)) if wanted == own => Judged::Met,
        (ClaimValue::Number(wanted), Value::Number(own)) if own.as_i64() == Some(*wanted) => Judged::Met,
        (ClaimValue::Boolean(wanted), Value::Bool(own)) if wanted == own => Judged::Met,
        (ClaimValue::Text(_), Value::String(_)) | (ClaimValue::Boolean(_), Value::Bool(_)) => Judged::Unmet,
        (ClaimValue::Number(_), Value::Number(own)) if !own.is_f64() => Judged::Unmet,
        _ => Judged::Unclear,
    }))
}

fn best(found: impl Iterator<Item = Judged>) -> Judged {
    let mut best = Judged::Unmet;
    for one in found {
        match one {
            Judged::Met => return Judged::Met,
            Judged::Unclear => best = Judged::Unclear,
            Judged::Unmet => {}
        }
    }
    best
}

fn is_or_holds(claim: &Value, text: &str) -> bool {
    match claim {
        Value::Array(list) => list.iter().any(|own| is_text(own, text)),
        own => is_text(own, text),
    }
}

fn is_text(own: &Value, text: &str) -> bool {
    match own {
        Value::String(own) => own == text,
        Value::Number(number) => !number.is_f64() && number.to_string() == text,
        _ => false,
    }
}
