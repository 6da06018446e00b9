//! What was found, for people.

use std::io::IsTerminal as _;

use annotate_snippets::{AnnotationKind, Level as Title, Renderer, Snippet};

use super::{
    complain,
    findings::{Checked, Finding, Level},
    masks::masked,
    say,
    source::Source,
};

/// So many are drawn of each file; more are counted.
const MOST_DRAWN: usize = 100;

/// Good policies go to standard output, everything else to standard error.
pub(super) fn tell(checked: &[Checked]) {
    let renderer = if std::io::stderr().is_terminal() { Renderer::styled() } else { Renderer::plain() };
    for file in checked {
        complain(&findings(file, &renderer));
        for policy in &file.findings.policies {
            if let Some((summary, _)) = &policy.good {
                say(&format!("{}{}: good: {summary}\n", file.source.name, called(policy.name.as_deref())));
            }
        }
    }
}

/// ` (name)` behind the file.
fn called(policy: Option<&str>) -> String {
    policy.map(|name| format!(" ({name})")).unwrap_or_default()
}

fn findings(file: &Checked, renderer: &Renderer) -> String {
    let list = &file.findings.list;
    let mut text = String::new();
    for finding in list.iter().take(MOST_DRAWN) {
        text.push_str(&drawn(finding, &file.source, renderer));
        text.push_str("\n\n");
    }
    if list.len() > MOST_DRAWN {
        let left = list.len().saturating_sub(MOST_DRAWN);
        text.push_str(&format!("and {left} more, which --output json shows\n\n"));
    }
    let (faults, warnings) = (file.findings.count(Level::Fault), file.findings.count(Level::Warning));
    if !list.is_empty() {
        let counts = [counted(faults, "fault"), counted(warnings, "warning")];
        let counts: Vec<_> = counts.into_iter().flatten().collect();
        text.push_str(&format!("{}: {}\n", file.source.name, counts.join(", ")));
    }
    text
}

fn counted(count: usize, what: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{count} {what}s")),
    }
}

/// The line, a mark under the place, and the path behind it. Only the line is handed over: files are long.
fn drawn(finding: &Finding, source: &Source, renderer: &Renderer) -> String {
    let title = match finding.level {
        Level::Fault => Title::ERROR,
        Level::Warning => Title::WARNING,
    };
    let position = source.position(finding.span.start);
    let line = &masked(source.line(position.line));
    let begins = source.start_of(position.line);
    let within = |at: usize| at.saturating_sub(begins).min(line.len());
    let span = within(finding.span.start)..within(finding.span.end).max(within(finding.span.start));
    let mark =
        AnnotationKind::Primary.span(span).label(Some(finding.path.as_str()).filter(|path| !path.is_empty()));
    let path = format!("{}{}", source.name, "");
    let snippet = Snippet::source(line.as_str()).line_start(position.line).path(path).annotation(mark);
    let mut group = title.primary_title(finding.message.as_str()).element(snippet);
    if let Some(note) = &finding.note {
        group = group.element(Title::NOTE.message(note.as_str()));
    }
    if let Some(policy) = &finding.policy {
        group = group.element(Title::NOTE.message(format!("in the policy of {policy}")));
    }
    renderer.render(&[group])
}
