//! What the command can be asked, as pages of a manual and as a page of the documentation. Both are made of the declared
//! arguments, as `--help` is, so none of them says what another does not.

use std::{fmt::Write as _, fs, io, path::Path};

use clap::{Arg, Command, CommandFactory as _, builder::StyledStr};
use clap_mangen::Man;

use super::{
    arguments::{Arguments, ManOptions},
    refusal::Refusal,
    say,
};

/// Writes a page for each command.
pub(super) fn run(options: &ManOptions) -> u8 {
    let folder = Path::new(&options.folder);
    let written = fs::create_dir_all(folder).and_then(|()| write_pages(&whole(), folder));
    let written = written.map(|count| say(&format!("{count} pages in {}\n", options.folder)));
    Refusal::told(written.map_err(|error| Refusal::unusable(format!("{}: {error}", options.folder))))
}

/// How many pages were written.
fn write_pages(command: &Command, folder: &Path) -> io::Result<usize> {
    let source = concat!("portcullis ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).source(source).manual("Portcullis").generate_to(folder)?;
    let mut count: usize = 1;
    for below in command.get_subcommands() {
        count = count.saturating_add(write_pages(below, folder)?);
    }
    Ok(count)
}

/// The command with all that clap adds by itself, but for `help`.
fn whole() -> Command {
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

/// All commands with their arguments, as `docs/command-line.md` lists them.
#[must_use]
pub fn reference() -> String {
    let whole = whole();
    let mut out = String::from("\n| command | what it does |\n|---|---|\n");
    for command in whole.get_subcommands() {
        let name = command.get_name();
        let about = command.get_about().map(cell).unwrap_or_default();
        _ = writeln!(out, "| [`{name}`](#portcullis-{name}) | {about} |");
    }
    for command in whole.get_subcommands() {
        tell(&mut out, command, 2);
    }
    out
}

/// One command, and those below it.
fn tell(out: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    _ = writeln!(out, "\n{} {name}\n", "#".repeat(level));
    if let Some(about) = command.get_long_about().or_else(|| command.get_about()) {
        _ = writeln!(out, "{}\n", prose(about));
    }
    let usage = command.clone().render_usage().to_string();
    _ = writeln!(out, "```text\n{}\n```", usage.trim_start_matches("Usage: ").trim_end());
    let arguments: Vec<_> = command
        .get_arguments()
        .filter(|argument| !argument.is_hide_set() && argument.get_id() != "help")
        .collect();
    if !arguments.is_empty() {
        out.push_str("\n| argument | what |\n|---|---|\n");
    }
    for argument in arguments {
        _ = writeln!(out, "| `{}` | {} |", spelled(argument), meaning(argument));
    }
    for below in command.get_subcommands() {
        tell(out, below, level.saturating_add(1));
    }
}

/// How an argument is written.
fn spelled(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    format!("{short}{argument}").replace('|', "\\|")
}

/// What an argument says, which values it takes, what it is where it is absent, and what stands in for it.
fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or_else(|| argument.get_help());
    let help = help.map(cell).unwrap_or_default();
    let mut parts = vec![if help.ends_with('.') { help } else { format!("{help}.") }];
    let values = match argument.get_action().takes_values() {
        true => argument.get_possible_values(),
        false => Vec::new(),
    };
    let values: Vec<_> = values
        .iter()
        .filter(|value| !value.is_hide_set())
        .map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {}", value.get_name(), cell(help)),
            None => format!("`{}`", value.get_name()),
        })
        .collect();
    if !values.is_empty() {
        parts.push(format!("One of {}.", values.join("; ")));
    }
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && argument.get_action().takes_values() {
        parts.push(format!("Absent: `{}`.", defaults.join(" ")));
    }
    if let Some(variable) = argument.get_env() {
        parts.push(format!("Or by `{}`.", variable.to_string_lossy()));
    }
    parts.join(" ")
}

/// Paragraphs, in which nothing is markup.
fn prose(text: &StyledStr) -> String {
    let text = text.to_string();
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let ends = paragraph.ends_with(['.', ':', '?']);
        format!("{}{}", escaped(paragraph), if ends { "" } else { "." })
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// The same for a cell of a table.
fn cell(text: &StyledStr) -> String {
    let text = text.to_string();
    escaped(&text).replace("\n\n", " ").replace('|', "\\|")
}

/// What would be markup stands for itself, but in `code`, where everything does.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (place, part) in text.split('`').enumerate() {
        if place > 0 {
            out.push('`');
        }
        for c in part.chars() {
            let is_markup = place.is_multiple_of(2) && matches!(c, '<' | '*' | '_' | '[');
            out.push_str(if is_markup { "\\" } else { "" });
            out.push(c);
        }
    }
    out
}
