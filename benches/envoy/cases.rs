//! What is measured: subjects, each a listener under a load, and cases, each a pair of subjects with a goal.

use crate::stored_keys;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Load {
    /// The same RS256 token again and again.
    Repeat,
    /// Every request a new RS256 token.
    FreshRs256,
    /// Every request a new ES256 token.
    FreshEs256,
    /// The same API key again and again.
    ApiKey,
    /// One of ten API keys, each with its own path.
    TenKeys,
    /// One of two thousand API keys, each with its own path, from all over the large policy.
    ManyKeys,
    /// A token whose signature is not its own.
    BadSignature,
    /// A token that has expired.
    Expired,
    /// Nothing.
    NoCredentials,
}

impl Load {
    /// What everybody must answer.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::BadSignature | Self::Expired | Self::NoCredentials => 401,
            _ => 200,
        }
    }
}

/// A listener under a load.
pub(crate) type Subject = (&'static str, Load);

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) ours: Subject,
    pub(crate) against: Subject,
    pub(crate) goal: Goal,
}

/// What the ratio of the medians should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// For information.
    None,
}

impl Goal {
    pub(crate) fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
            Self::None => true,
        }
    }
}

pub(crate) const CASES: &[Case] = &[
    case("repeat-cached", ("portcullis", Load::Repeat), ("native-cached", Load::Repeat), Goal::AtMost(1.00)),
    case(
        "repeat-cached-interlock",
        ("portcullis-interlock", Load::Repeat),
        ("native-cached", Load::Repeat),
        Goal::None,
    ),
    // What it costs to tell the access log of each decision.
    case("access-log", ("portcullis-access-log", Load::Repeat), ("portcullis", Load::Repeat), Goal::None),
    case(
        "access-log-refused",
        ("portcullis-access-log", Load::NoCredentials),
        ("portcullis", Load::NoCredentials),
        Goal::None,
    ),
    // What it costs that a next list decides beside the one in force.
    case("shadow", ("portcullis-shadow", Load::Repeat), ("portcullis", Load::Repeat), Goal::None),
    case(
        "shadow-refused",
        ("portcullis-shadow", Load::NoCredentials),
        ("portcullis", Load::NoCredentials),
        Goal::None,
    ),
    // What it costs to count each decision by its rule.
    case("metrics-by-rule", ("portcullis-by-rule", Load::Repeat), ("portcullis", Load::Repeat), Goal::None),
    case(
        "metrics-by-rule-refused",
        ("portcullis-by-rule", Load::NoCredentials),
        ("portcullis", Load::NoCredentials),
        Goal::None,
    ),
    case("repeat-default", ("portcullis", Load::Repeat), ("native", Load::Repeat), Goal::AtMost(0.42)),
    case(
        "fresh-rs256",
        ("portcullis-jwt", Load::FreshRs256),
        ("native-jwt", Load::FreshRs256),
        Goal::AtMost(1.15),
    ),
    case(
        "fresh-es256",
        ("portcullis-jwt", Load::FreshEs256),
        ("native-jwt", Load::FreshEs256),
        Goal::AtMost(1.15),
    ),
    case("api-key", ("portcullis", Load::ApiKey), ("native-key", Load::ApiKey), Goal::AtMost(1.20)),
    case(
        "bad-signature",
        ("portcullis", Load::BadSignature),
        ("native", Load::BadSignature),
        Goal::AtMost(1.05),
    ),
    case("expired", ("portcullis", Load::Expired), ("native", Load::Expired), Goal::AtMost(1.25)),
    case(
        "no-credentials",
        ("portcullis", Load::NoCredentials),
        ("native", Load::NoCredentials),
        Goal::AtMost(1.25),
    ),
    case(
        "large-policy",
        ("portcullis-large", Load::ManyKeys),
        ("portcullis-small", Load::TenKeys),
        Goal::AtMost(1.10),
    ),
    case(
        "pure-rust",
        ("portcullis-pure", Load::FreshRs256),
        ("portcullis-jwt", Load::FreshRs256),
        Goal::AtLeast(15.0),
    ),
    // What there is before any filter decides anything.
    case("sdk-noop", ("noop", Load::Repeat), ("none", Load::Repeat), Goal::None),
];

/// With another build of the module: what it gains or loses against the first.
pub(crate) const OTHER: &[Case] = &[
    case("other-repeat", ("other", Load::Repeat), ("portcullis", Load::Repeat), Goal::None),
    case(
        "other-interlock",
        ("other-interlock", Load::Repeat),
        ("portcullis-interlock", Load::Repeat),
        Goal::None,
    ),
    case(
        "other-fresh-rs256",
        ("other-jwt", Load::FreshRs256),
        ("portcullis-jwt", Load::FreshRs256),
        Goal::None,
    ),
    case(
        "other-fresh-es256",
        ("other-jwt", Load::FreshEs256),
        ("portcullis-jwt", Load::FreshEs256),
        Goal::None,
    ),
    case("other-api-key", ("other", Load::ApiKey), ("portcullis", Load::ApiKey), Goal::None),
    case(
        "other-bad-signature",
        ("other", Load::BadSignature),
        ("portcullis", Load::BadSignature),
        Goal::None,
    ),
    case("other-expired", ("other", Load::Expired), ("portcullis", Load::Expired), Goal::None),
    case(
        "other-no-credentials",
        ("other", Load::NoCredentials),
        ("portcullis", Load::NoCredentials),
        Goal::None,
    ),
    case(
        "other-large-policy",
        ("other-large", Load::ManyKeys),
        ("portcullis-large", Load::ManyKeys),
        Goal::None,
    ),
];

const fn case(name: &'static str, ours: Subject, against: Subject, goal: Goal) -> Case {
    Case { name, ours, against, goal }
}

/// Those of `cases` with these names; all for none. A name that no case has is an error.
pub(crate) fn chosen(cases: &'static [Case], names: &[String]) -> Result<Vec<&'static Case>, String> {
    if names.is_empty() {
        return Ok(cases.iter().collect());
    }
    let find = |name: &String| {
        let known = || cases.iter().map(|case| case.name).collect::<Vec<_>>().join(" ");
        cases
            .iter()
            .find(|case| case.name == name)
            .ok_or_else(|| format!("no case {name}; there are {} {}", known(), stored_keys::NAME))
    };
    names.iter().map(find).collect()
}

/// Every subject of `cases` once.
pub(crate) fn subjects(cases: &[&Case]) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for subject in cases.iter().flat_map(|case| [case.against, case.ours]) {
        if !subjects.contains(&subject) {
            subjects.push(subject);
        }
    }
    subjects
}
