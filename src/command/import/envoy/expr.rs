//! Conditions as Envoy nests them, and as alternatives of which each holds together.
//!
//! What cannot be said is never guessed: where a request is let in, an alternative with it lets nobody in; where one is
//! kept out, it keeps out whoever it is about.

use serde_json::Value as Json;

use super::region::Region;

/// More alternatives are not made of one policy.
const MOST_ALTERNATIVES: usize = 256;

/// Something about who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// A condition on a claim of tokens whose provider hands its claims on under this name.
    Claim { payload: String, condition: Json },
    /// An address in one of these networks.
    Address(Vec<String>),
    /// A certificate, of this name where there is one.
    Certificate(Option<Json>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    Any,
    /// What cannot be said.
    Unknown,
    Region(Region),
    Who(Who),
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
}

/// Conditions that hold together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alternative {
    pub(super) region: Region,
    /// Not there.
    pub(super) except: Vec<Region>,
    pub(super) who: Vec<Who>,
    pub(super) not: Vec<Who>,
}

impl Alternative {
    fn all() -> Self {
        Self { region: Region::all(), except: Vec::new(), who: Vec::new(), not: Vec::new() }
    }

    /// Both; `None`: nobody. What they have in common may be unclear.
    fn and(&self, other: &Self) -> Result<Option<Self>, super::region::Unclear> {
        let Some(region) = self.region.meet(&other.region)? else { return Ok(None) };
        let both = |own: &[Who], other: &[Who]| {
            let mut all = own.to_vec();
            all.extend(other.iter().filter(|who| !own.contains(who)).cloned());
            all
        };
        let mut except = self.except.clone();
        except.extend(other.except.iter().filter(|region| !self.except.contains(region)).cloned());
        Ok(Some(Self { region, except, who: both(&self.who, &other.who), not: both(&self.not, &other.not) }))
    }
}

impl Expr {
    /// Alternatives. Where `lets_in`, what cannot be said lets nobody in; else it keeps out.
    pub(super) fn alternatives(&self, lets_in: bool) -> Vec<Alternative> {
        let mut alternatives = self.expanded(false, lets_in);
        if alternatives.len() >= MOST_ALTERNATIVES {
            // Too many to say.
            alternatives = if lets_in { Vec::new() } else { vec![Alternative::all()] };
        }
        alternatives
    }

    /// Whether there is anything in it that cannot be said.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::And(list) | Self::Or(list) => list.iter().all(Self::is_whole),
            Self::Not(inner) => inner.is_whole(),
            Self::Any | Self::Region(_) | Self::Who(_) => true,
        }
    }

    fn expanded(&self, is_negated: bool, lets_in: bool) -> Vec<Alternative> {
        let all = Alternative::all;
        match (self, is_negated) {
            (Self::Any, false) => vec![all()],
            (Self::Any, true) => Vec::new(),
            (Self::Unknown, _) => {
                if lets_in {
                    Vec::new()
                } else {
                    vec![all()]
                }
            }
            (Self::Region(region), false) => vec![Alternative { region: region.clone(), ..all() }],
            (Self::Region(region), true) => vec![Alternative { except: vec![region.clone()], ..all() }],
            (Self::Who(who), false) => vec![Alternative { who: vec![who.clone()], ..all() }],
            (Self::Who(who), true) => vec![Alternative { not: vec![who.clone()], ..all() }],
            (Self::Not(inner), is_negated) => inner.expanded(!is_negated, lets_in),
            (Self::Or(list), false) | (Self::And(list), true) => {
                let mut alternatives = Vec::new();
                for item in list {
                    alternatives.extend(item.expanded(is_negated, lets_in));
                    alternatives.truncate(MOST_ALTERNATIVES);
                }
                alternatives
            }
            (Self::And(list), false) | (Self::Or(list), true) => {
                let mut alternatives = vec![all()];
                for item in list {
                    let further = item.expanded(is_negated, lets_in);
                    let mut joined = Vec::new();
                    for (one, other) in
                        alternatives.iter().flat_map(|one| further.iter().map(move |other| (one, other)))
                    {
                        match one.and(other) {
                            Ok(both) => joined.extend(both),
                            Err(_) if lets_in => {}
                            // Rather more.
                            Err(_) => joined.push(one.clone()),
                        }
                        if joined.len() >= MOST_ALTERNATIVES {
                            break;
                        }
                    }
                    alternatives = joined;
                }
                alternatives
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::import::envoy::region::Paths;

    fn prefix(text: &str) -> Expr {
        Expr::Region(Region::of_paths(Paths::Prefix(text.to_owned())))
    }

    fn from(network: &str) -> Expr {
        Expr::Who(Who::Address(vec![network.to_owned()]))
    }

    fn not(inner: Expr) -> Expr {
        Expr::Not(Box::new(inner))
    }

    /// Region, exceptions, who, who not.
    fn shown(expr: &Expr, lets_in: bool) -> Vec<String> {
        let path = |region: &Region| match &region.paths {
            Paths::Prefix(text) => text.clone(),
            _ => "*".to_owned(),
        };
        let who = |list: &[Who]| {
            list.iter()
                .map(|who| if let Who::Address(networks) = who { networks.concat() } else { String::new() })
                .collect::<Vec<_>>()
                .join("+")
        };
        let one = |one: &Alternative| {
            let except = one.except.iter().map(path).collect::<Vec<_>>().join("+");
            format!("{}-{except} {}-{}", path(&one.region), who(&one.who), who(&one.not))
        };
        expr.alternatives(lets_in).iter().map(one).collect()
    }

    #[test]
    fn nested_conditions_become_alternatives() {
        let (a, b) = (|| from("a"), || from("b"));
        for (expr, lets_in, expected) in [
            (Expr::Any, true, vec!["*- -"]),
            (not(Expr::Any), true, vec![]),
            (Expr::And(vec![prefix("/x"), a()]), true, vec!["/x- a-"]),
            (Expr::And(vec![prefix("/x"), prefix("/y")]), true, vec![]),
            (Expr::Or(vec![a(), b()]), true, vec!["*- a-", "*- b-"]),
            (Expr::And(vec![Expr::Or(vec![a(), b()]), not(prefix("/x"))]), true, vec!["*-/x a-", "*-/x b-"]),
            (not(Expr::Or(vec![a(), b()])), true, vec!["*- -a+b"]),
            (not(Expr::And(vec![a(), b()])), true, vec!["*- -a", "*- -b"]),
            (not(not(a())), true, vec!["*- a-"]),
            // Nobody is let in by what cannot be said, negated or not, and everybody is kept out by it.
            (Expr::And(vec![a(), Expr::Unknown]), true, vec![]),
            (Expr::And(vec![a(), not(Expr::Unknown)]), true, vec![]),
            (Expr::Or(vec![a(), Expr::Unknown]), true, vec!["*- a-"]),
            (Expr::And(vec![a(), Expr::Unknown]), false, vec!["*- a-"]),
            (Expr::And(vec![a(), not(Expr::Unknown)]), false, vec!["*- a-"]),
        ] {
            assert_eq!(shown(&expr, lets_in), expected, "{expr:?}");
        }
        let many = Expr::And((0..20).map(|n| Expr::Or(vec![from(&n.to_string()), a()])).collect());
        assert_eq!(shown(&many, true), Vec::<String>::new());
        assert_eq!(shown(&many, false), ["*- -"]);
    }
}
