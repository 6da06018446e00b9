//! What was found, as SARIF 2.1.0 (OASIS), which code hosts show beside the code.

use serde_json::{Value, json};

use super::{
    findings::{Checked, Finding, Level},
    source::Source,
};
use crate::text::percent;

/// One run with a result for each finding.
pub(super) fn log(checked: &[Checked]) -> String {
    let results = checked
        .iter()
        .flat_map(|file| file.findings.list.iter().map(|finding| result(finding, &file.source)));
    let rule = |id: &str, text: &str, level: &str| {
        json!({
            "id": id,
            "shortDescription": {"text": text},
            "defaultConfiguration": {"level": level},
        })
    };
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "portcullis",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [
                    rule("policy-fault", "The filter would refuse the policy.", "error"),
                    rule("policy-warning", "Odd, and most often a slip.", "warning"),
                ],
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    });
    format!("{log:#}\n")
}

fn result(finding: &Finding, source: &Source) -> Value {
    let (rule, level) = match finding.level {
        Level::Fault => ("policy-fault", "error"),
        Level::Warning => ("policy-warning", "warning"),
    };
    let (start, end) = (source.position(finding.span.start), source.position(finding.span.end));
    let said = match finding.path.as_str() {
        "" => finding.message.clone(),
        path => format!("{path}: {}", finding.message),
    };
    let text = finding.note.as_ref().map_or_else(|| said.clone(), |note| format!("{said} ({note})"));
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(&source.name)},
            "region": {
                "startLine": start.line,
                "startColumn": start.column,
                "endLine": end.line,
                "endColumn": end.column,
            },
        },
    });
    if !finding.path.is_empty()
        && let Some(location) = location.as_object_mut()
    {
        location.insert("logicalLocations".to_owned(), json!([{"fullyQualifiedName": finding.path}]));
    }
    json!({"ruleId": rule, "level": level, "message": {"text": text}, "locations": [location]})
}

/// A relative reference (RFC 3986 section 4.2), or a file's address.
fn uri(name: &str) -> String {
    let mut uri = if name.starts_with('/') { "file://".to_owned() } else { String::new() };
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    percent::push_encoded(&mut uri, name, &stays);
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_addressed_as_uris() {
        for (name, expected) in [
            ("policy.yaml", "policy.yaml"),
            ("./a b/é.yaml", "./a%20b/%C3%A9.yaml"),
            ("/etc/policy.json", "file:///etc/policy.json"),
            ("-", "-"),
        ] {
            assert_eq!(uri(name), expected);
        }
    }
}
