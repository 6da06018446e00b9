//! What was found, as one JSON object.

use serde_json::{Value, json};

use super::{
    findings::{Checked, Finding, Level},
    source::Source,
};

/// Fields are only ever added.
pub(super) fn json(checked: &[Checked]) -> String {
    let of_each = |make: &dyn Fn(&Checked) -> Vec<Value>| checked.iter().flat_map(make).collect::<Vec<_>>();
    let count = |level| checked.iter().map(|file| file.findings.count(level)).sum::<usize>();
    let report = json!({
        "faults": count(Level::Fault),
        "warnings": count(Level::Warning),
        "policies": of_each(&policies),
        "findings": of_each(&|file| file.findings.list.iter().map(|found| finding(found, &file.source)).collect()),
    });
    format!("{report:#}\n")
}

fn policies(file: &Checked) -> Vec<Value> {
    let policies = file.findings.policies.iter().map(|policy| {
        let (summary, hash) = policy.good.as_ref().map(|(summary, hash)| (summary, hash)).unzip();
        json!({
            "file": file.source.name,
            "line": file.source.position(policy.span.start).line,
            "name": policy.name,
            "good": policy.good.is_some(),
            "summary": summary,
            "hash": hash,
        })
    });
    policies.collect()
}

/// Lines and columns count from 1, columns in characters; the end is the first place behind.
fn finding(finding: &Finding, source: &Source) -> Value {
    let (start, end) = (source.position(finding.span.start), source.position(finding.span.end));
    json!({
        "level": match finding.level {
            Level::Fault => "fault",
            Level::Warning => "warning",
        },
        "file": source.name,
        "line": start.line,
        "column": start.column,
        "endLine": end.line,
        "endColumn": end.column,
        "policy": finding.policy,
        "path": finding.path,
        "message": finding.message,
        "note": finding.note,
    })
}
