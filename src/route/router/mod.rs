//! The compiled rules.

mod hosts;
mod other_case;
mod unreachable;

use std::borrow::Cow;

use hosts::{Host, Hosts};

use super::{
    MatchSpec, RouteSpec,
    conditions::Conditions,
    given::Doubt,
    index::{Cost, Entry, Index, MAX_TRIED, Root, Search},
    pattern::{Path, Pattern},
    place::at,
    request::{RouteMatch, RouteRequest, Unclear},
};
use crate::{fault::Fault, request::path};

/// Every method, named by a rule or not.
const ALL_METHODS: u64 = u64::MAX;

/// The bit of all methods that no rule names.
const OTHER_METHOD: u64 = 1 << 63;

/// Most methods that the rules of one policy may name: one bit each, and one for all others.
const MAX_METHODS: usize = 63;

/// Ordered rules in an index: the first rule that matches wins, whatever the kind of its path.
///
/// What a look-up costs depends on the request, not on how many rules there are. Regular expressions cost a trial each,
/// those of paths unless they begin with whole literal segments; what all trials of a request may cost is bounded.
#[derive(Debug)]
pub struct Router {
    /// Of each match, by the id of the match.
    patterns: Vec<Pattern>,
    conditions: Conditions,
    /// At most [`MAX_METHODS`]; the place is the bit.
    methods: Vec<Box<str>>,
    index: Index,
    hosts: Hosts,
    /// Likewise, of the patterns that ignore case.
    hosts_without_case: Hosts,
    /// The ids of the matches of each rule.
    matches: Vec<std::ops::Range<usize>>,
    /// What a request costs at most.
    cost: Cost,
}

impl Router {
    /// Compiles rules given as `(name, route)`, all or nothing. Paths of faults begin with the rule's index:
    /// `[2].hostnames[0]`.
    ///
    /// A rule is a fault too when earlier rules take every request that it matches. That is found by
    /// comparing patterns and never claimed wrongly, but not every such rule is found.
    pub fn compile(rules: &[(&str, &RouteSpec)]) -> Result<Self, Vec<Fault>> {
        let mut router = Self {
            patterns: Vec::new(),
            conditions: Conditions::new(),
            methods: Vec::new(),
            index: Index::new(),
            hosts: Hosts::default(),
            hosts_without_case: Hosts::default(),
            matches: Vec::with_capacity(rules.len()),
            cost: Cost::default(),
        };
        let mut faults = Vec::new();
        for (rule, (_, spec)) in rules.iter().enumerate() {
            let mut own = Vec::new();
            let entries = router.add(rule, spec, &mut own);
            if own.is_empty() {
                let takers = router.takers(&Host::all(spec), &entries);
                if !takers.is_empty() {
                    own.push(Fault::new("", unreachable::message(rules, &takers)));
                }
                router.insert(&Host::all(spec), &entries);
            }
            faults.extend(own.into_iter().map(|fault| fault.within(&format!("[{rule}]"))));
        }
        router.index.finish(&router.conditions);
        router.cost = router.most();
        faults.extend(router.cost.fault().map(|message| Fault::new("", message)));
        if faults.is_empty() { Ok(router) } else { Err(faults) }
    }

    /// What the operator should know of the rules, though it is no fault.
    pub fn warnings(&self) -> Vec<Fault> {
        self.cost.warning().map(|message| Fault::new("", message)).into_iter().collect()
    }

    /// What the costliest request costs, whatever its host.
    fn most(&self) -> Cost {
        let costs = self.index.costs(&self.conditions);
        let of_host = |host| {
            let mut sum = Cost::default();
            for tries in [&self.hosts, &self.hosts_without_case] {
                tries.visit(host, |root| {
                    sum = sum.plus(costs.of(root));
                    true
                });
            }
            sum
        };
        self.hosts.all().chain(self.hosts_without_case.all()).map(of_host).fold(Cost::default(), Cost::most)
    }

    /// The first rule that matches; `None` when none does.
    ///
    /// Allocates only where the path holds escapes, or capitals that some match ignores, or a match asks for headers or
    /// parameters.
    ///
    /// # Errors
    /// A rule in front of every other that matches may match or not, depending on who reads the request.
    pub fn find<'a>(&'a self, request: &RouteRequest<'a>) -> Result<Option<RouteMatch<'a>>, Unclear<'a>> {
        let path = path::decode(request.path);
        let with_escapes = match &path {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => path::with_escapes(path),
        };
        let is_upper = |byte: u8| byte.is_ascii_uppercase();
        let lower = match self.hosts_without_case.is_empty() || !path.bytes().any(is_upper) {
            true => None,
            false => Some(path.to_ascii_lowercase()),
        };
        let mut search = Search {
            patterns: &self.patterns,
            conditions: &self.conditions,
            request,
            path: &path,
            text: with_escapes.as_deref().unwrap_or(&path),
            method: self.method_bit(request.method).unwrap_or(OTHER_METHOD),
            given: None,
            left: MAX_TRIED,
            best: None,
            doubt: None,
            ends: Vec::new(),
        };
        self.hosts.visit(Host::Exact(request.host), |root| {
            self.index.search(root, &mut search);
            true
        });
        if !self.hosts_without_case.is_empty() {
            search.path = lower.as_deref().unwrap_or(&path);
            self.hosts_without_case.visit(Host::Exact(request.host), |root| {
                self.index.search(root, &mut search);
                true
            });
        }
        let Some(best) = search.best else { return Ok(None) };
        if let Some((name, doubt)) = search.doubt {
            return Err(self.unclear(best, name, doubt));
        }
        let pattern = self.patterns.get(at(best.id));
        Ok(pattern.map(|pattern| RouteMatch::new(at(best.rule), &pattern.path, path)))
    }

    #[cold]
    fn unclear(&self, found: Entry, name: u32, doubt: Doubt) -> Unclear<'_> {
        let name = self.conditions.name_at(name).map(|name| (name.part, &*name.text));
        Unclear { rule: at(found.rule), doubt, name }
    }

    /// The path variables that every match of `rule` has, so that they are there whenever it wins; in
    /// the order of its first match. Empty for a rule that does not exist.
    pub fn variables_of(&self, rule: usize) -> Vec<&str> {
        let ids = self.matches.get(rule).cloned().unwrap_or_default();
        let Some((first, others)) = self.patterns.get(ids).and_then(<[Pattern]>::split_first) else {
            return Vec::new();
        };
        let everywhere =
            |name: &&str| others.iter().all(|other| other.path.variables().any(|own| own == *name));
        first.path.variables().filter(everywhere).collect()
    }

    /// Compiles the matches of a rule; they are not in the index yet.
    fn add(&mut self, rule: usize, spec: &RouteSpec, faults: &mut Vec<Fault>) -> Vec<Entry> {
        let first = self.patterns.len();
        let every = [MatchSpec::default()];
        let matches = if spec.matches.is_empty() { &every[..] } else { &spec.matches };
        let mut entries = Vec::with_capacity(matches.len());
        let kept = spec.kept;
        for (at, spec) in matches.iter().enumerate() {
            let mut own = Vec::new();
            let pattern = Pattern::compile(spec, kept);
            let pattern = pattern.map_err(|message| own.push(Fault::new("path.value", message))).ok();
            let methods = self.method_set(&spec.methods, &mut own);
            let conditions = self.conditions.add(spec, &mut own);
            faults.extend(own.into_iter().map(|fault| fault.within(&format!("matches[{at}]"))));
            let Some(pattern) = pattern else { continue };
            let place = |len: usize| u32::try_from(len).ok().filter(|place| *place < u32::MAX);
            match (place(self.patterns.len()), place(rule), place(conditions)) {
                (Some(id), Some(rule), Some(conditions)) => {
                    entries.push(Entry::new(id, rule, conditions, methods))
                }
                _ => faults.push(Fault::new("", "too many matches")),
            }
            self.patterns.push(pattern);
        }
        let own = self.patterns.get(first..).unwrap_or_default();
        for (field, keeps, holds) in [
            ("encodedSlash", kept.encoded_slash, own.iter().any(|own| own.path.may_hold_encoded_slash())),
            (
                "matrixParameters",
                kept.matrix_parameters,
                own.iter().any(|own| own.path.may_hold_parameters()),
            ),
        ] {
            // Of a pattern with a fault nothing is known.
            if keeps && !holds && own.len() == matches.len() {
                faults.push(Fault::new(field, "keeps nothing: no path of the rule can hold any"));
            }
        }
        self.matches.push(first..self.patterns.len());
        entries
    }

    fn insert(&mut self, hosts: &[Host<'_>], entries: &[Entry]) {
        for entry in entries {
            let Some(pattern) = self.patterns.get(at(entry.id)) else { continue };
            let tries = if pattern.ignores_case { &mut self.hosts_without_case } else { &mut self.hosts };
            for host in hosts {
                let root = tries.root(*host, || self.index.add_root(entry.id));
                self.index.insert(root, &pattern.path, *entry);
            }
        }
    }

    #[inline]
    fn method_bit(&self, method: &str) -> Option<u64> {
        let place = self.methods.iter().position(|own| **own == *method)?;
        1_u64.checked_shl(u32::try_from(place).ok()?)
    }

    fn method_set(&mut self, methods: &[String], faults: &mut Vec<Fault>) -> u64 {
        if methods.is_empty() {
            return ALL_METHODS;
        }
        let mut set = 0;
        for (at, method) in methods.iter().enumerate() {
            if let Some(bit) = self.method_bit(method) {
                set |= bit;
            } else if self.methods.len() < MAX_METHODS {
                self.methods.push(method.as_str().into());
                set |= self.method_bit(method).unwrap_or_default();
            } else {
                let message = format!("more than {MAX_METHODS} different methods");
                faults.push(Fault::new(format!("methods[{at}]"), message));
            }
        }
        set
    }
}
