//! What came of suites, told.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{coverage::Coverage, runner::Ran};
use crate::command::telling::plain_text;

/// A suite that ran.
pub(super) struct Report {
    pub(super) file: String,
    /// The name of each case, and what came of it.
    pub(super) cases: Vec<(String, Ran)>,
    pub(super) took: Duration,
    /// `None`: nobody asked.
    pub(super) coverage: Option<Coverage>,
}

impl Report {
    pub(super) fn failed(&self) -> usize {
        self.cases.iter().filter(|(_, ran)| !ran.failures.is_empty()).count()
    }

    /// Whether all is well.
    pub(super) fn is_good(&self) -> bool {
        self.failed() == 0 && self.coverage.as_ref().is_none_or(Coverage::is_whole)
    }
}

/// For people.
pub(super) fn text(reports: &[Report]) -> String {
    let mut out = String::new();
    for report in reports {
        for (name, ran) in report.cases.iter().filter(|(_, ran)| !ran.failures.is_empty()) {
            _ = writeln!(out, "FAILED {}: {}", report.file, plain_text(name));
            for failure in &ran.failures {
                _ = writeln!(out, "       {}", plain_text(failure));
            }
        }
        if let Some(coverage) = &report.coverage {
            out.push_str(&coverage.text());
        }
        let (all, failed) = (report.cases.len(), report.failed());
        let passed = all.saturating_sub(failed);
        let took = report.took.as_secs_f64();
        _ = writeln!(out, "{}: {passed} passed, {failed} failed ({took:.2} s)", report.file);
    }
    out
}

/// Test Anything Protocol, version 14. All suites are one list.
pub(super) fn tap(reports: &[Report]) -> String {
    let all: usize = reports.iter().map(|report| report.cases.len()).sum();
    let mut out = format!("TAP version 14\n1..{all}\n");
    let cases = reports.iter().flat_map(|report| report.cases.iter().map(move |case| (report, case)));
    for (n, (report, (name, ran))) in cases.enumerate() {
        let verdict = if ran.failures.is_empty() { "ok" } else { "not ok" };
        // A hash begins a directive.
        let name = plain_text(name).replace('\\', "\\\\").replace('#', "\\#");
        _ = writeln!(out, "{verdict} {} - {}: {name}", n.saturating_add(1), report.file);
        if !ran.failures.is_empty() {
            out.push_str("  ---\n  failures:\n");
            for failure in &ran.failures {
                _ = writeln!(out, "    - {}", Value::from(failure.as_str()));
            }
            out.push_str("  ...\n");
        }
    }
    out
}

/// JUnit's XML, as CI systems read it.
pub(super) fn junit(reports: &[Report]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for report in reports {
        let (file, took) = (xml(&report.file), report.took.as_secs_f64());
        let (all, failed) = (report.cases.len(), report.failed());
        _ = writeln!(
            out,
            "  <testsuite name=\"{file}\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\" time=\"{took:.3}\">"
        );
        for (name, ran) in &report.cases {
            let (name, took) = (xml(name), ran.took.as_secs_f64());
            _ = write!(out, "    <testcase classname=\"{file}\" name=\"{name}\" time=\"{took:.6}\"");
            match ran.failures.first() {
                None => out.push_str("/>\n"),
                Some(first) => {
                    let all = xml(&ran.failures.join("\n"));
                    _ = writeln!(
                        out,
                        ">\n      <failure message=\"{}\">{all}</failure>\n    </testcase>",
                        xml(first)
                    );
                }
            }
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// One object.
pub(super) fn json(reports: &[Report]) -> String {
    let suites = reports.iter().map(|report| {
        let cases = report.cases.iter().map(
            |(name, ran)| json!({"name": name, "passed": ran.failures.is_empty(), "failures": ran.failures}),
        );
        json!({
            "suite": report.file,
            "passed": report.cases.len().saturating_sub(report.failed()),
            "failed": report.failed(),
            "cases": cases.collect::<Vec<_>>(),
            "coverage": report.coverage.as_ref().map(Coverage::json),
        })
    });
    format!("{:#}\n", json!({"suites": suites.collect::<Vec<_>>()}))
}

/// Text within XML; what XML 1.0 cannot hold is shown as an escape.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}
