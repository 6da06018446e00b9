//! Pages of the documentation, whose commands are done as written.

use std::{path::Path, process::Command};

use crate::text;

/// The blocks of a page in this language.
pub(crate) fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The commands that a page shows.
pub(crate) fn commands(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.trim_start().strip_prefix("$ ")).collect()
}

/// What a command says in a folder, as somebody's shell would do it. It has to end well.
#[track_caller]
pub(crate) fn shell(folder: &Path, command: &str) -> String {
    let own = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap().to_owned();
    let others = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&others))).unwrap();
    let done =
        Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).output().unwrap();
    let said = text(done.stdout);
    assert!(done.status.success(), "{command}: {said}{}", text(done.stderr));
    said
}
