//! What was found in a file.

use std::ops::Range;

use super::source::Source;

/// A place where a file is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// In bytes of the file; empty where only its beginning is known.
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Broken {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// The filter would refuse the policy.
    Fault,
    /// Odd, and most often a slip.
    Warning,
}

/// Something to be told.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What the policy is called that it is about; `None`: about the file.
    pub(super) policy: Option<String>,
    /// Within the policy: `rules[2].rateLimits[0]`; empty for all of it.
    pub(super) path: String,
    pub(super) message: String,
    /// What more is to know of the place.
    pub(super) note: Option<String>,
    /// In bytes of the file.
    pub(super) span: Range<usize>,
}

impl Finding {
    /// A fault of the file itself.
    pub(super) fn of_file(broken: Broken) -> Self {
        Self {
            level: Level::Fault,
            policy: None,
            path: String::new(),
            message: broken.message,
            note: None,
            span: broken.span,
        }
    }
}

/// A policy that was found.
pub(super) struct Judged {
    /// What it is called in the file: a filter's or an object's name; `None`: the file is the policy.
    pub(super) name: Option<String>,
    /// Where it stands, in bytes.
    pub(super) span: Range<usize>,
    /// What is in it, and its hash; `None`: it has a fault.
    pub(super) good: Option<(String, u64)>,
}

/// All of one file.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) policies: Vec<Judged>,
    /// In the order of the file.
    pub(super) list: Vec<Finding>,
}

impl Findings {
    pub(super) fn count(&self, level: Level) -> usize {
        self.list.iter().filter(|finding| finding.level == level).count()
    }
}

/// A file with all that was found in it.
pub(super) struct Checked {
    pub(super) source: Source,
    pub(super) findings: Findings,
}
