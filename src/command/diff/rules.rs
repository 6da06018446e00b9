//! Which requests rules apply to: each entry of `matches` of each rule, for each host, is one line.

use std::rc::Rc;

use hashbrown::HashMap;

use super::patterns::{Pattern, Step};
use crate::{
    config::RuleSpec,
    route::{MatchSpec, Part, ValueSpec},
};

/// A host name that a line asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Any,
    Exact(String),
    /// What follows `*.`.
    Below(String),
}

impl Host {
    fn of(name: &str) -> Self {
        name.strip_prefix("*.")
            .map_or_else(|| Self::Exact(name.to_owned()), |rest| Self::Below(rest.to_owned()))
    }

    /// What both take; `None`: nothing. Two wildcards take what the narrower one does.
    pub(super) fn both<'h>(&'h self, other: &'h Self) -> Option<&'h Self> {
        match (self, other) {
            (Self::Any, host) | (host, Self::Any) => Some(host),
            (host @ Self::Exact(a), Self::Exact(b)) => (a == b).then_some(host),
            (host @ Self::Exact(name), Self::Below(rest)) | (Self::Below(rest), host @ Self::Exact(name)) => {
                is_below(name, rest).then_some(host)
            }
            (a @ Self::Below(own), b @ Self::Below(rest)) => match () {
                () if own == rest || is_below(own, rest) => Some(a),
                () if is_below(rest, own) => Some(b),
                () => None,
            },
        }
    }

    /// A name that it takes and that no narrower host of a policy does.
    pub(super) fn sample(&self) -> String {
        match self {
            Self::Any => "host.invalid".to_owned(),
            Self::Exact(name) => name.clone(),
            Self::Below(rest) => format!("any-name.{rest}"),
        }
    }

    pub(super) fn takes(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own == name,
            Self::Below(rest) => is_below(name, rest),
        }
    }
}

fn is_below(name: &str, rest: &str) -> bool {
    name.strip_suffix(rest).is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// What a line asks of a header or parameter.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) part: Part,
    pub(super) name: String,
    pub(super) spec: ValueSpec,
    pub(super) pattern: Rc<Pattern>,
}

/// One entry of a rule's `matches`, for one host.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The place of the rule; `None`: the end of the list, where nothing matched.
    pub(super) rule: Option<usize>,
    pub(super) host: Host,
    /// Empty: every method.
    pub(super) methods: Vec<String>,
    pub(super) path: Rc<Pattern>,
    /// The path's pattern as it was written, which says what its variables are.
    pub(super) spec: MatchSpec,
    pub(super) conditions: Vec<Condition>,
    /// The same text for lines that take the same.
    pub(super) key: Rc<str>,
}

/// The lines of one policy, in order, with the end of the list behind them.
pub(super) struct Lines {
    pub(super) all: Vec<Line>,
    /// The lines of each rule.
    pub(super) of_rule: Vec<std::ops::Range<usize>>,
}

impl Lines {
    /// `None`: a pattern has a fault.
    pub(super) fn of(rules: &[RuleSpec]) -> Option<Self> {
        let mut patterns: HashMap<String, Rc<Pattern>> = HashMap::new();
        let (mut all, mut of_rule) = (Vec::new(), Vec::new());
        for (place, rule) in rules.iter().enumerate() {
            let from = all.len();
            let every = [MatchSpec::default()];
            let matches = if rule.route.matches.is_empty() { &every[..] } else { &rule.route.matches };
            let mut hosts: Vec<_> = rule.route.hostnames.iter().map(|name| Host::of(name)).collect();
            if hosts.is_empty() {
                hosts.push(Host::Any);
            }
            for spec in matches {
                for host in &hosts {
                    all.push(line(place, spec, host, rule, &mut patterns)?);
                }
            }
            of_rule.push(from..all.len());
        }
        all.push(Line::end());
        Some(Self { all, of_rule })
    }
}

impl Line {
    /// Takes whatever no rule takes.
    fn end() -> Self {
        Self {
            rule: None,
            host: Host::Any,
            methods: Vec::new(),
            path: Rc::new(Pattern::of_steps(vec![Step::Below], false)),
            spec: MatchSpec::default(),
            conditions: Vec::new(),
            key: "".into(),
        }
    }

    /// One that is not of a policy: whatever has this method and path, each of them where it is given.
    pub(super) fn query(methods: Vec<String>, host: Option<&str>, spec: MatchSpec) -> Option<Self> {
        let path = Pattern::of_path(spec.path.as_ref(), false)?;
        let host = host.map_or(Host::Any, Host::of);
        Some(Self { host, methods, path: Rc::new(path), spec, ..Self::end() })
    }

    /// Whether some request may fall under both, but for what they ask of headers and parameters.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.host.both(&other.host).is_some()
            && (self.methods.is_empty()
                || other.methods.is_empty()
                || self.methods.iter().any(|method| other.methods.contains(method)))
            && !self.path.are_apart(&other.path)
    }
}

fn line(
    place: usize,
    spec: &MatchSpec,
    host: &Host,
    rule: &RuleSpec,
    patterns: &mut HashMap<String, Rc<Pattern>>,
) -> Option<Line> {
    let path_key = format!("{:?} {}", spec.path, spec.ignores_case);
    let path = match patterns.get(&path_key) {
        Some(known) => Rc::clone(known),
        None => {
            let new = Rc::new(Pattern::of_path(spec.path.as_ref(), spec.ignores_case)?);
            patterns.insert(path_key.clone(), Rc::clone(&new));
            new
        }
    };
    let mut methods = spec.methods.clone();
    methods.sort();
    let parts = [(Part::Header, &spec.headers), (Part::Query, &spec.query)];
    let mut conditions = Vec::new();
    for (part, list) in parts {
        for (name, value) in list {
            let pattern = Rc::new(Pattern::of_value(value)?);
            conditions.push(Condition { part, name: name.clone(), spec: value.clone(), pattern });
        }
    }
    conditions.sort_by(|a, b| (a.part, &a.name).cmp(&(b.part, &b.name)));
    let asked: Vec<_> = conditions.iter().map(|own| (own.part, &own.name, &own.spec)).collect();
    let key = format!("{host:?} {methods:?} {path_key} {asked:?} {:?}", rule.route.kept);
    Some(Line {
        rule: Some(place),
        host: host.clone(),
        methods,
        path,
        spec: spec.clone(),
        conditions,
        key: key.into(),
    })
}
