//! Who may make a request: what `jwt_authn` and `api_key_auth` ask for, and of whom `rbac` lets in, as one demand.

use serde_json::{Map, Value as Json, json};

use super::{
    expr::{Alternative, Who},
    jwt::{JwtAuthn, Needed},
};
use crate::command::import::demand::{Demand, Kind, Way, with_more};

/// More combinations are not made for one rule.
const MOST: usize = 128;

/// What a rule asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Asked {
    /// And why, where that is not plain.
    Deny(Option<String>),
    Allow {
        authenticate: Json,
        authorize: Option<Map<String, Json>>,
        /// In what it is stricter than the source.
        stricter: Vec<String>,
    },
}

/// Whom `rbac` lets in: all of `who`, and of `not` none in whom all of an entry holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Admitted {
    who: Vec<Who>,
    not: Vec<Vec<Who>>,
}

/// Keys that a route takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeyNeeded {
    No,
    /// Of these clients, or of all.
    Of(Option<Vec<String>>),
    Closed,
}

impl Admitted {
    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.who.extend(other.who.iter().filter(|who| !self.who.contains(who)).cloned());
        both.not.extend(other.not.iter().filter(|not| !self.not.contains(not)).cloned());
        both
    }
}

/// Whom all filters let in; `None`: more than can be said. `filters` are those that let in and those that keep out, each
/// with what of it is about this request.
pub(super) fn admitted(filters: &[(bool, Vec<Alternative>)]) -> Option<Vec<Admitted>> {
    let mut all = vec![Admitted::default()];
    for (lets_in, alternatives) in filters {
        let parts: Vec<Vec<Admitted>> = match lets_in {
            true => vec![alternatives.iter().map(let_in).collect()],
            // Each of them keeps out by itself.
            false => alternatives.iter().map(kept_out).collect(),
        };
        for part in parts {
            all = all.iter().flat_map(|one| part.iter().map(move |other| one.and(other))).collect();
            if all.len() > MOST {
                return None;
            }
        }
    }
    Some(all)
}

fn let_in(alternative: &Alternative) -> Admitted {
    Admitted {
        who: alternative.who.clone(),
        not: alternative.not.iter().map(|who| vec![who.clone()]).collect(),
    }
}

/// Whoever is not kept out: in whom one of the conditions fails.
fn kept_out(alternative: &Alternative) -> Vec<Admitted> {
    let is_plain = |who: &Who| !matches!(who, Who::Certificate(_));
    if alternative.not.is_empty() && !alternative.who.is_empty() && alternative.who.iter().all(is_plain) {
        return vec![Admitted { who: Vec::new(), not: vec![alternative.who.clone()] }];
    }
    let without =
        alternative.who.iter().map(|who| Admitted { who: Vec::new(), not: vec![vec![who.clone()]] });
    let with = alternative.not.iter().map(|who| Admitted { who: vec![who.clone()], not: Vec::new() });
    without.chain(with).collect()
}

/// All that is asked of whoever makes a request.
pub(super) fn asked(jwt: &JwtAuthn, needed: &Needed, key: &KeyNeeded, admitted: &[Admitted]) -> Asked {
    let mut stricter: Vec<String> = Vec::new();
    let of_key = |clients: &Option<Vec<String>>| {
        let mut needs = Map::new();
        if let Some(clients) = clients {
            needs.insert("claims".to_owned(), json!([{"claim": "sub", "in": clients}]));
        }
        Way { kind: Kind::ApiKey, needs }
    };
    let closed = |why: &str| Asked::Deny(Some(why.to_owned()));
    let mut forgives = false;
    let credentials: Vec<Vec<Way>> = match (needed, key) {
        (Needed::Closed, _) | (_, KeyNeeded::Closed) => return Asked::Deny(None),
        (Needed::Nothing, KeyNeeded::No) => return nobody_in_particular(admitted, Vec::new()),
        (Needed::Nothing, KeyNeeded::Of(clients)) => vec![vec![of_key(clients)]],
        (Needed::Both(one, other), KeyNeeded::No) => vec![vec![one.clone(), other.clone()]],
        (Needed::Both(..), KeyNeeded::Of(_)) => {
            return closed("two tokens and a key together are more than can be asked for");
        }
        (Needed::Any { ways, optional, forgiving }, key) => {
            let ways = if ways.is_empty() { jwt.all() } else { ways.clone() };
            match (key, optional) {
                (KeyNeeded::Of(clients), optional) => {
                    if *optional {
                        stricter.push("a token that may be missing beside a key is asked for".to_owned());
                    }
                    ways.into_iter().map(|way| vec![of_key(clients), way]).collect()
                }
                (_, true) => {
                    if let Some(free) = free(admitted) {
                        let demand = Demand::Ways {
                            optional: true,
                            alternatives: ways.into_iter().map(|way| vec![way]).collect(),
                        };
                        return optional_said(jwt, &demand, &free, *forgiving);
                    }
                    forgives = *forgiving;
                    if admitted.iter().any(|one| one.who.iter().all(|who| matches!(who, Who::Address(_)))) {
                        stricter.push("whoever has no token passes there, and what is asked of others cannot be asked of nobody: here a token is needed".to_owned());
                    }
                    ways.into_iter().map(|way| vec![way]).collect()
                }
                (_, false) => ways.into_iter().map(|way| vec![way]).collect(),
            }
        }
    };
    if forgives {
        stricter.push("a token that proves nothing is refused".to_owned());
    }
    let mut alternatives = Vec::new();
    for ways in &credentials {
        for one in admitted {
            match with_needs(jwt, ways, one) {
                Ok(Some(alternative)) => alternatives.push(alternative),
                Ok(None) => {}
                Err(why) => stricter.push(why.to_owned()),
            }
        }
    }
    if alternatives.is_empty() {
        return Asked::Deny(stricter.first().cloned());
    }
    let demand = Demand::Ways { optional: false, alternatives }.reduced();
    let (said, reasons) =
        demand.said(&|provider| jwt.issuer(provider).filter(|issuer| !issuer.contains('{')));
    stricter.extend(reasons.iter().map(|reason| reason.message().to_owned()));
    match said {
        Some(said) => Asked::Allow { authenticate: said.authenticate, authorize: said.authorize, stricter },
        None => Asked::Deny(stricter.first().cloned()),
    }
}

/// The first of `admitted` that asks for nothing but where a request comes from.
fn free(admitted: &[Admitted]) -> Option<Vec<&Admitted>> {
    let is_address = |who: &Who| matches!(who, Who::Address(_));
    let all: Vec<&Admitted> = admitted
        .iter()
        .filter(|one| one.who.iter().all(is_address) && one.not.iter().flatten().all(is_address))
        .collect();
    (!all.is_empty()).then_some(all)
}

fn optional_said(jwt: &JwtAuthn, demand: &Demand, free: &[&Admitted], forgiving: bool) -> Asked {
    let (said, _) = demand.said(&|provider| jwt.issuer(provider));
    let Some(said) = said else { return Asked::Deny(None) };
    let Some(needs) = of_addresses(free) else {
        return Asked::Deny(Some(
            "several networks, each with others that are kept out, cannot be said".to_owned(),
        ));
    };
    let mut authenticate = said.authenticate;
    if let (true, Some(members)) = (forgiving, authenticate.as_object_mut()) {
        members.insert("invalidCredentials".to_owned(), json!("Anonymous"));
    }
    let authorize = with_more(None, &needs).filter(|members| !members.is_empty());
    Asked::Allow { authenticate, authorize, stricter: Vec::new() }
}

/// Who comes without any credential but a certificate.
fn nobody_in_particular(admitted: &[Admitted], mut stricter: Vec<String>) -> Asked {
    // No claim ever holds of nobody, and none rules anybody out.
    let without_claims = |one: &Admitted| {
        let is_claim = |who: &Who| matches!(who, Who::Claim { .. });
        if one.who.iter().any(is_claim) {
            return None;
        }
        let not = one.not.iter().filter(|entry| !entry.iter().any(is_claim)).cloned().collect();
        Some(Admitted { who: one.who.clone(), not })
    };
    let all: Vec<Admitted> = admitted.iter().filter_map(without_claims).collect();
    if let Some(free) = free(&all) {
        if free.len() < all.len() && !free.iter().any(|one| one.who.is_empty() && one.not.is_empty()) {
            stricter.push("whoever comes with a certificate, and from elsewhere, does not pass".to_owned());
        }
        let Some(needs) = of_addresses(&free) else {
            return Asked::Deny(Some(
                "several networks, each with others that are kept out, cannot be said".to_owned(),
            ));
        };
        let authorize = Some(needs).filter(|needs| !needs.is_empty());
        return Asked::Allow { authenticate: json!({"anonymous": true}), authorize, stricter };
    }
    let mut alternatives = Vec::new();
    for one in &all {
        match needs(&|_| None, 1, one) {
            Ok(Some((certificate @ Some(_), needs))) => {
                let mut way = certificate_way(certificate);
                way.needs.extend(needs.into_iter().flatten());
                alternatives.push(vec![way]);
            }
            Ok(_) => {}
            Err(why) => stricter.push(why.to_owned()),
        }
    }
    let (said, _) = Demand::Ways { optional: false, alternatives }.reduced().said(&|_| None);
    match said {
        Some(said) => Asked::Allow { authenticate: said.authenticate, authorize: said.authorize, stricter },
        None => Asked::Deny(stricter.first().cloned()),
    }
}

/// `remoteAddress` and `noneOf` for those who come from one of several places; `None`: it cannot be said.
fn of_addresses(all: &[&Admitted]) -> Option<Map<String, Json>> {
    let mut joined: Option<Map<String, Json>> = None;
    for one in all {
        let Ok(Some((None, own))) = needs(&|_| None, 1, one) else { continue };
        let own: Map<String, Json> = own.into_iter().flatten().collect();
        if own.is_empty() {
            return Some(own);
        }
        joined = Some(match joined {
            None => own,
            Some(other) if other == own => own,
            Some(mut other) if other.get("noneOf") == own.get("noneOf") => {
                let further = own.get("remoteAddress").and_then(Json::as_array)?.clone();
                let networks = other.get_mut("remoteAddress").and_then(Json::as_array_mut)?;
                networks.extend(further);
                other
            }
            Some(_) => return None,
        });
    }
    joined
}

/// Credentials with what they must bring; `Ok(None)`: nobody can bring it.
fn with_needs(jwt: &JwtAuthn, ways: &[Way], admitted: &Admitted) -> Result<Option<Vec<Way>>, &'static str> {
    let owner = |payload: &str| {
        ways.iter().position(|way| match &way.kind {
            Kind::Jwt(provider) => jwt.payloads.iter().any(|(own, name)| own == provider && name == payload),
            _ => false,
        })
    };
    let Some((certificate, needs)) = needs(&owner, ways.len(), admitted)? else { return Ok(None) };
    let mut made: Vec<Way> = ways.to_vec();
    for (way, needs) in made.iter_mut().zip(needs) {
        match with_more(Some(way.needs.clone()), &needs) {
            Some(needs) => way.needs = needs,
            None => return Err("what is asked of one caller cannot be said together"),
        }
    }
    if let Some(certificate) = certificate {
        made.insert(0, certificate_way(Some(certificate)));
    }
    Ok(Some(made))
}

fn certificate_way(certificate: Option<Option<Json>>) -> Way {
    let mut needs = Map::new();
    if let Some(Some(condition)) = certificate {
        needs.insert("claims".to_owned(), json!([condition]));
    }
    Way { kind: Kind::Certificate, needs }
}

/// A certificate, and members of `authorize` for each credential.
type Needs = (Option<Option<Json>>, Vec<Map<String, Json>>);

/// What so many credentials must bring. `owner` says whose the claims of a payload are; those of nobody never hold.
/// Addresses are asked of the last one, who is the principal.
fn needs(
    owner: &dyn Fn(&str) -> Option<usize>,
    credentials: usize,
    admitted: &Admitted,
) -> Result<Option<Needs>, &'static str> {
    let last = credentials.saturating_sub(1);
    let mut needs: Vec<Map<String, Json>> = vec![Map::new(); credentials.max(1)];
    let mut add = |whose: usize, name: &str, item: Json| {
        let Some(own) = needs.get_mut(whose) else { return };
        match own.get_mut(name) {
            Some(Json::Array(items)) => items.push(item),
            _ => _ = own.insert(name.to_owned(), json!([item])),
        }
    };
    let (mut networks, mut certificate) = (None::<&Vec<String>>, None);
    for who in &admitted.who {
        match who {
            Who::Claim { payload, condition } => match owner(payload) {
                Some(whose) => add(whose, "claims", condition.clone()),
                None => return Ok(None),
            },
            Who::Address(own) => match networks {
                None => networks = Some(own),
                Some(other) if other == own => {}
                Some(_) => return Err("two networks together cannot be asked for; by them nobody passes"),
            },
            Who::Certificate(name) => match &certificate {
                None | Some(None) => certificate = Some(name.clone()),
                Some(own) if name.is_none() || own == name => {}
                Some(_) => return Ok(None),
            },
        }
    }
    for entry in &admitted.not {
        if let Some((whose, said)) = ruled_out(entry, owner, last)? {
            add(whose, "noneOf", said);
        }
    }
    if let (Some(networks), Some(own)) = (networks, needs.get_mut(last)) {
        own.insert("remoteAddress".to_owned(), json!(networks));
    }
    Ok(Some((certificate, needs)))
}

/// An entry of `noneOf`, and whose; `None`: it never holds.
fn ruled_out(
    entry: &[Who],
    owner: &dyn Fn(&str) -> Option<usize>,
    last: usize,
) -> Result<Option<(usize, Json)>, &'static str> {
    let (mut claims, mut networks, mut of) = (Vec::new(), Vec::new(), None);
    for who in entry {
        match who {
            Who::Claim { payload, condition } => {
                let Some(whose) = owner(payload) else { return Ok(None) };
                if of.is_some_and(|other| other != whose) {
                    return Err("what two tokens say together cannot be ruled out; by it nobody passes");
                }
                of = Some(whose);
                claims.push(condition.clone());
            }
            // Of two networks that hold together the first one keeps out rather more.
            Who::Address(own) if networks.is_empty() => networks.clone_from(own),
            Who::Address(_) => {}
            Who::Certificate(_) => {
                return Err("who has a certificate cannot be kept out; by it nobody passes");
            }
        }
    }
    let mut said = Map::new();
    if !claims.is_empty() {
        said.insert("claims".to_owned(), Json::Array(claims));
    }
    if !networks.is_empty() {
        said.insert("remoteAddress".to_owned(), json!(networks));
    }
    Ok(Some((of.unwrap_or(last), Json::Object(said))))
}
