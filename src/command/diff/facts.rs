//! Facts of a caller by which two policies decide otherwise: what there is to know, and the search.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hashbrown::HashMap;
use serde_json::{Value, json};

use super::{
    access::{Atom, Caller, Fact, Facts, Maybe, Roles},
    patterns::{Pattern, Universe, search},
};
use crate::{
    config::{ActionSpec, MethodSpec, RuleSpec},
    identity::{ClaimPath, Party},
    rbac::{AlternativeSpec, ClaimTest, ClaimValue, ConditionsSpec, RequiredNames, RequirementSpec},
};

/// What callers are called that no condition names.
pub(super) const SOMEBODY: &str = "somebody";

/// Where requests come from that no condition names (RFC 5737).
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Most values of one claim that are told apart.
const MOST_VALUES: usize = 24;

/// What there is to know of a caller, each with all that it can be.
pub(super) struct Unknowns {
    pub(super) atoms: Vec<(Atom, Vec<Fact>)>,
    /// Roles that somebody may hold.
    pub(super) in_play: Vec<String>,
}

/// What a rule asks of callers.
pub(super) fn asked(rule: Option<&RuleSpec>) -> Option<&RequirementSpec> {
    match rule.map(|rule| &rule.action) {
        Some(ActionSpec::Allow { authorize, .. } | ActionSpec::AllowAnyone { authorize, .. }) => {
            authorize.as_ref()
        }
        Some(ActionSpec::Deny) | None => None,
    }
}

/// All that is asked of a party by some rules.
#[derive(Default)]
struct Collected {
    scopes: BTreeSet<String>,
    permissions: BTreeSet<String>,
    roles: BTreeSet<String>,
    claims: Vec<(ClaimPath, Vec<ClaimTest>)>,
    owners: Vec<(ClaimPath, String)>,
}

impl Collected {
    fn take(&mut self, asked: &ConditionsSpec) {
        let lists = [
            (&asked.scopes, &mut self.scopes),
            (&asked.permissions, &mut self.permissions),
            (&asked.roles, &mut self.roles),
        ];
        for (names, into) in lists {
            if let Some(RequiredNames::All(names) | RequiredNames::Any(names)) = names {
                into.extend(names.iter().cloned());
            }
        }
        for condition in &asked.claims {
            self.claim(&condition.claim, Some(&condition.test));
        }
    }

    /// Notes that the claim is asked for, and how.
    fn claim(&mut self, claim: &ClaimPath, test: Option<&ClaimTest>) {
        match self.claims.iter_mut().find(|(own, _)| own == claim) {
            Some((_, tests)) => tests.extend(test.cloned()),
            None => self.claims.push((claim.clone(), test.cloned().into_iter().collect())),
        }
    }
}

impl Unknowns {
    /// What rules may ask of a caller; `variables` are the values that path variables have for one or the other.
    pub(super) fn of(
        rules: &[Option<&RuleSpec>],
        roles: &[&Roles],
        caller: &Caller,
        variables: &[(String, String)],
        tls_matters: bool,
    ) -> Self {
        let mut atoms: Vec<(Atom, Vec<Fact>)> = Vec::new();
        if tls_matters {
            atoms.push((Atom::Tls, vec![Fact::Flag(true), Fact::Flag(false)]));
        }
        let requirements: Vec<&RequirementSpec> = rules.iter().filter_map(|rule| asked(*rule)).collect();
        let mut in_play = Vec::new();
        for party in [Party::Principal, Party::Actor] {
            if caller.way(party).is_none() {
                continue;
            }
            let mut collected = Collected::default();
            for alternative in requirements.iter().flat_map(|asked| asked.asked_of(party)) {
                collect(alternative, &mut collected, variables);
            }
            if matches!(caller.way(party), Some(MethodSpec::Hmac(_))) {
                continue;
            }
            let flag = || vec![Fact::Flag(false), Fact::Flag(true)];
            atoms.extend(collected.scopes.iter().map(|name| (Atom::Scope(party, name.clone()), flag())));
            let names = roles_that_matter(roles, &collected);
            atoms.extend(names.iter().map(|name| (Atom::Role(party, name.clone()), flag())));
            in_play.extend(names);
            for (claim, tests) in &collected.claims {
                let owned =
                    collected.owners.iter().filter(|(own, _)| own == claim).map(|(_, value)| value.as_str());
                let values = values(claim, tests, &owned.collect::<Vec<_>>());
                atoms.push((Atom::Claim(party, claim.0.clone()), values));
            }
        }
        step_up(&requirements, &mut atoms);
        let networks: Vec<&ipnet::IpNet> = requirements
            .iter()
            .flat_map(|asked| asked.conditions())
            .flat_map(|asked| &asked.remote_address.0)
            .collect();
        atoms.push((Atom::Address, addresses(&networks)));
        Self { atoms, in_play }
    }
}

/// What owners may be called so that conditions on the same claims tell them apart.
pub(super) fn names_of_owners(rules: &[Option<&RuleSpec>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for party in [Party::Principal, Party::Actor] {
        let mut collected = Collected::default();
        let asked = rules.iter().filter_map(|rule| asked(*rule));
        let alternatives: Vec<&AlternativeSpec> = asked.flat_map(|asked| asked.asked_of(party)).collect();
        alternatives.iter().for_each(|alternative| collect(alternative, &mut collected, &[]));
        let owned: Vec<&ClaimPath> =
            alternatives.iter().filter_map(|alternative| Some(&alternative.owner.as_ref()?.claim)).collect();
        for (claim, tests) in collected.claims.iter().filter(|(claim, _)| owned.contains(&claim)) {
            for fact in values(claim, tests, &[]) {
                if let Fact::Claim(Some(Value::String(text))) = fact
                    && !names.contains(&text)
                {
                    names.push(text);
                }
            }
        }
    }
    names
}

/// Whether a rule asks whose a path is.
pub(super) fn has_owner(rule: Option<&RuleSpec>) -> bool {
    asked(rule).is_some_and(|asked| {
        asked
            .any_of
            .iter()
            .any(|one| one.owner.is_some() || one.actor.as_ref().is_some_and(|actor| actor.owner.is_some()))
    })
}

/// The path variables that are to name an owner.
pub(super) fn variables_of_owners(rule: Option<&RuleSpec>) -> Vec<&str> {
    let asked = asked(rule).into_iter();
    let owners = asked.flat_map(|asked| asked.asked_of(Party::Principal).chain(asked.asked_of(Party::Actor)));
    owners.filter_map(|alternative| Some(alternative.owner.as_ref()?.path_variable.as_str())).collect()
}

fn collect(asked: &AlternativeSpec, into: &mut Collected, variables: &[(String, String)]) {
    into.take(&asked.conditions);
    asked.none_of.iter().for_each(|excluded| into.take(excluded));
    if let Some(owner) = &asked.owner {
        into.claim(&owner.claim, None);
        let values = variables.iter().filter(|(name, _)| *name == owner.path_variable);
        into.owners.extend(values.map(|(_, value)| (owner.claim.clone(), value.clone())));
    }
}

/// Of all roles those that give something that is asked for; of those that give the same, one.
fn roles_that_matter(roles: &[&Roles], asked: &Collected) -> Vec<String> {
    let names: BTreeSet<&String> = roles.iter().flat_map(|roles| roles.names()).collect();
    let mut known: Vec<Vec<bool>> = Vec::new();
    let mut matter = Vec::new();
    for name in names {
        let gives: Vec<bool> = roles
            .iter()
            .flat_map(|roles| {
                let own = asked.roles.iter().map(|wanted| roles.is_one(name, wanted));
                own.chain(asked.permissions.iter().map(|wanted| roles.grants(name, wanted)))
                    .collect::<Vec<_>>()
            })
            .collect();
        if gives.contains(&true) && !known.contains(&gives) {
            known.push(gives);
            matter.push(name.clone());
        }
    }
    matter
}

/// What a claim may be, one of each kind that the tests tell apart.
fn values(claim: &ClaimPath, tests: &[ClaimTest], owned: &[&str]) -> Vec<Fact> {
    let is_subject = claim.0 == ["sub"];
    let mut values: Vec<Option<Value>> = vec![if is_subject { Some(SOMEBODY.into()) } else { None }];
    let mut add = |value: Value| {
        if !values.contains(&Some(value.clone())) && values.len() < MOST_VALUES {
            values.push(Some(value));
        }
    };
    owned.iter().for_each(|text| add((*text).into()));
    let mut held: Vec<Value> = Vec::new();
    let mut patterns: Vec<Pattern> = Vec::new();
    for test in tests {
        match test {
            ClaimTest::In(wanted) => wanted.iter().for_each(|wanted| add(json_of(wanted))),
            ClaimTest::Contains(wanted) => {
                held.extend(wanted.iter().map(json_of));
                wanted.iter().for_each(|wanted| add(json_of(wanted)));
            }
            ClaimTest::Matches(expression) => {
                patterns.push(Pattern::Expression(std::rc::Rc::clone(expression)))
            }
            ClaimTest::Present => {}
        }
    }
    let others: Vec<&Pattern> = patterns.iter().collect();
    let mut seen: Vec<Vec<bool>> = Vec::new();
    search(Universe::Values, &[], &others, &[], &mut 200_000, &mut |text, hits| {
        if !seen.iter().any(|known| known == hits) {
            seen.push(hits.to_vec());
            add(text.into());
        }
        seen.len() >= MOST_VALUES
    });
    if !is_subject {
        held.dedup();
        for (at, one) in held.iter().enumerate() {
            add(json!([one]));
            held.iter().skip(at.saturating_add(1)).for_each(|other| add(json!([one, other])));
        }
        if held.len() > 2 {
            add(Value::Array(held.clone()));
        }
        add(json!("another"));
        // Of no kind that anything is compared with.
        add(json!({"of": "no kind"}));
        if tests.iter().any(|test| matches!(test, ClaimTest::In(list) | ClaimTest::Contains(list) if list.iter().all(|own| !matches!(own, ClaimValue::Text(_))))) {
            add(json!(4_000_000_019_u64));
            add(json!(true));
            add(json!(false));
        }
    }
    values.into_iter().map(Fact::Claim).collect()
}

fn json_of(value: &ClaimValue) -> Value {
    match value {
        ClaimValue::Text(text) => text.as_str().into(),
        ClaimValue::Number(number) => (*number).into(),
        ClaimValue::Boolean(value) => (*value).into(),
    }
}

fn step_up(requirements: &[&RequirementSpec], atoms: &mut Vec<(Atom, Vec<Fact>)>) {
    let asked =
        requirements.iter().flat_map(|asked| &asked.any_of).filter_map(|asked| asked.step_up.as_ref());
    let (mut classes, mut ages, mut passkeys) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for asked in asked {
        classes.extend(asked.acr_values.iter().cloned());
        ages.extend(asked.max_age.map(|age| age.as_secs()));
        passkeys.extend(asked.passkey.as_ref().map(|passkey| format!("{passkey:?}")));
    }
    if !classes.is_empty() {
        let atom = Atom::Claim(Party::Principal, vec!["acr".to_owned()]);
        let more = classes.into_iter().map(|class| Fact::Claim(Some(class.into())));
        match atoms.iter_mut().find(|(own, _)| *own == atom) {
            Some((_, values)) => {
                let new: Vec<Fact> = more.filter(|value| !values.contains(value)).collect();
                values.extend(new);
            }
            None => atoms.push((atom, std::iter::once(Fact::Claim(None)).chain(more).collect())),
        }
    }
    if !ages.is_empty() {
        let each = ages.iter().map(|age| Fact::Age(Some(*age)));
        atoms.push((Atom::Login, std::iter::once(Fact::Age(None)).chain(each).collect()));
    }
    let flag = || vec![Fact::Flag(false), Fact::Flag(true)];
    atoms.extend(passkeys.into_iter().map(|passkey| (Atom::Passkey(passkey), flag())));
}

/// One address for each set of networks that an address can be in: where a network begins, or ends, that changes.
fn addresses(networks: &[&ipnet::IpNet]) -> Vec<Fact> {
    let mut all = vec![SOMEWHERE];
    for network in networks {
        all.push(network.network());
        let next = match network.broadcast() {
            IpAddr::V4(last) => u32::from(last).checked_add(1).map(|next| IpAddr::V4(Ipv4Addr::from(next))),
            IpAddr::V6(last) => u128::from(last).checked_add(1).map(|next| IpAddr::V6(Ipv6Addr::from(next))),
        };
        all.extend(next);
    }
    if !networks.is_empty() {
        all.extend([IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]);
    }
    let mut facts: Vec<Fact> = Vec::new();
    let mut kinds: Vec<Vec<bool>> = Vec::new();
    for address in all {
        let kind: Vec<bool> = networks.iter().map(|network| network.contains(&address)).collect();
        if !kinds.contains(&kind) {
            kinds.push(kind);
            facts.push(Fact::Address(address));
        }
    }
    facts
}

/// What became of a search.
#[derive(Debug)]
pub(super) enum Solved {
    Found(Facts),
    Nothing,
    /// Too much to look through, or something that is not known.
    Unknown,
}

/// Facts for which the old policy comes to the first of `wanted` and the new one to the second. `decide` says what both
/// come to, as far as the facts go. What it costs is taken from `left`.
pub(super) fn solve(
    unknowns: &Unknowns,
    wanted: (bool, bool),
    decide: &dyn Fn(&Facts) -> (Maybe, Maybe),
    left: &mut usize,
) -> Solved {
    let mut facts: Facts = HashMap::new();
    let mut unknown = false;
    match down(&unknowns.atoms, wanted, decide, left, &mut facts, &mut unknown) {
        true => Solved::Found(facts),
        false if unknown => Solved::Unknown,
        false => Solved::Nothing,
    }
}

/// Recursion is bounded by the number of atoms.
fn down(
    atoms: &[(Atom, Vec<Fact>)],
    wanted: (bool, bool),
    decide: &dyn Fn(&Facts) -> (Maybe, Maybe),
    left: &mut usize,
    facts: &mut Facts,
    unknown: &mut bool,
) -> bool {
    match left.checked_sub(1) {
        Some(rest) => *left = rest,
        None => {
            *unknown = true;
            return false;
        }
    }
    let (old, new) = decide(facts);
    if old == Some(!wanted.0) || new == Some(!wanted.1) {
        return false;
    }
    if (old, new) == (Some(wanted.0), Some(wanted.1)) {
        // Whatever is left may be as it mostly is.
        for (atom, values) in atoms {
            if let Some(value) = values.first() {
                facts.insert(atom.clone(), value.clone());
            }
        }
        return true;
    }
    let Some(((atom, values), rest)) = atoms.split_first() else {
        *unknown = true;
        return false;
    };
    for value in values {
        facts.insert(atom.clone(), value.clone());
        if down(rest, wanted, decide, left, facts, unknown) {
            return true;
        }
    }
    facts.remove(atom);
    false
}
