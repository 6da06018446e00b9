//! Tables of cases. Each row holds two requests that are as near to each other as can be: one that must pass and one
//! that must not.

use super::{
    gateway::{Gateway, Wire},
    request::{Answer, Request},
};

/// A row.
pub(crate) struct Pair {
    name: &'static str,
    passes: Request,
    refused: Request,
    status: u16,
    /// The code in the answer; `None` where Envoy itself refuses.
    reason: Option<&'static str>,
    /// What the upstream must have seen of the one that passes.
    checks: Vec<Check>,
}

enum Check {
    Path(String),
    Header(&'static str, Vec<String>),
}

/// `passes` reaches the upstream; `refused` gets `status` with the reason code, and does not.
pub(crate) fn pair(
    name: &'static str,
    passes: Request,
    refused: Request,
    (status, reason): (u16, &'static str),
) -> Pair {
    Pair { name, passes, refused, status, reason: Some(reason), checks: Vec::new() }
}

impl Pair {
    /// The upstream sees this path and query.
    pub(crate) fn path(mut self, path: &str) -> Self {
        self.checks.push(Check::Path(path.to_owned()));
        self
    }

    /// The upstream sees exactly this value.
    pub(crate) fn sees(mut self, header: &'static str, value: &str) -> Self {
        self.checks.push(Check::Header(header, vec![value.to_owned()]));
        self
    }

    /// The upstream sees no such header.
    pub(crate) fn lacks(mut self, header: &'static str) -> Self {
        self.checks.push(Check::Header(header, Vec::new()));
        self
    }

    /// Envoy refuses by itself, before the filter.
    pub(crate) fn by_envoy(mut self) -> Self {
        self.reason = None;
        self
    }
}

/// Whatever can be asked, and says how many requests have got through.
pub(crate) trait Door {
    async fn ask(&self, wire: Wire, request: &Request) -> Answer;
    async fn passed(&self) -> usize;
}

impl Door for Gateway {
    async fn ask(&self, wire: Wire, request: &Request) -> Answer {
        self.send_over(wire, request).await
    }

    async fn passed(&self) -> usize {
        self.upstream.count()
    }
}

/// Sends every row over every wire, one request after the other, and reports all rows that failed.
pub(crate) async fn hold(door: &impl Door, wires: &[Wire], table: &[Pair]) {
    let failures = failures(door, wires, table).await;
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

pub(crate) async fn failures(door: &impl Door, wires: &[Wire], table: &[Pair]) -> Vec<String> {
    let mut failures = Vec::new();
    for wire in wires {
        for pair in table {
            let mut fail = |what: String| failures.push(format!("{wire:?}: {}: {what}", pair.name));
            let before = door.passed().await;
            let answer = door.ask(*wire, &pair.refused).await;
            let reached = door.passed().await - before;
            refusal_faults(pair, &answer).into_iter().for_each(&mut fail);
            if reached != 0 {
                fail("what must be refused reached the upstream".to_owned());
            }
            let before = door.passed().await;
            let answer = door.ask(*wire, &pair.passes).await;
            let reached = door.passed().await - before;
            if answer.status == 200 && reached == 1 {
                pass_faults(pair, &answer).into_iter().for_each(&mut fail);
            } else {
                fail(format!("must pass, but reached the upstream {reached} times: {answer:?}"));
            }
        }
    }
    failures
}

fn refusal_faults(pair: &Pair, answer: &Answer) -> Vec<String> {
    let mut faults = Vec::new();
    if answer.status != pair.status {
        faults.push(format!("must be {}: {answer:?}", pair.status));
    }
    // A HEAD request gets no body to look into.
    if pair.refused.method != "HEAD" && answer.reason().as_deref() != pair.reason {
        faults.push(format!("the reason must be {:?}: {answer:?}", pair.reason));
    }
    // RFC 9110 section 11.6.1 and RFC 6585 section 4.
    for (status, header) in [(401, "www-authenticate"), (429, "retry-after")] {
        if answer.status == status && answer.header(header).is_none() {
            faults.push(format!("{status} without {header}"));
        }
    }
    faults
}

fn pass_faults(pair: &Pair, answer: &Answer) -> Vec<String> {
    if pair.passes.method == "HEAD" {
        return Vec::new();
    }
    let seen = answer.seen();
    let mut faults = Vec::new();
    for check in &pair.checks {
        match check {
            Check::Path(path) if seen.path() != path => {
                faults.push(format!("the upstream saw the path `{}`, not `{path}`", seen.path()));
            }
            Check::Header(name, values) if seen.header(name) != *values => {
                faults.push(format!("the upstream saw {name}: {:?}, not {values:?}", seen.header(name)));
            }
            Check::Path(_) | Check::Header(..) => {}
        }
    }
    faults
}
