//! `cargo xtask docs`: what documents say about commands and files, from the program and the sources themselves.

pub(crate) mod map;

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::sh;

/// Options of `cargo xtask docs`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct DocsArgs {
    /// Write nothing; fail if the reference is not up to date
    #[arg(long)]
    pub(crate) check: bool,
}

/// The command reference, from the root.
const REFERENCE: &str = "docs/cli.md";

/// Writes what is made from the code, or checks it.
pub(crate) fn run(args: &DocsArgs) -> Result<()> {
    let sapwood = sh::sapwood(None, sh::Profile::Debug)?;
    let mut text = String::from(
        "# Command reference\n\nWhat `sapwood --help` says, command by command. Made by `cargo xtask docs`; do not edit.\n",
    );
    describe(&sapwood, &[], &mut text)?;
    let root = sh::root();
    for (document, wanted) in [(REFERENCE, text), (map::DOCUMENT, map::wanted(&root)?)] {
        let path = root.join(document);
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        if written == wanted {
            println!("{document} is up to date");
        } else {
            ensure!(!args.check, "{document} is not up to date; run `cargo xtask docs`");
            std::fs::write(&path, wanted).with_context(|| format!("writing {document}"))?;
            println!("wrote {document}");
        }
    }
    Ok(())
}

/// Adds the help of a command and of all below it.
fn describe(program: &Path, words: &[String], text: &mut String) -> Result<()> {
    let mut command = Command::new(program);
    command.args(words).arg("--help").env("COLUMNS", "100").env("NO_COLOR", "1");
    // Defaults taken from the environment would show up in the help.
    for name in ["OSTREE_REPO", "OSTREE_SYSROOT", "SOURCE_DATE_EPOCH"] {
        command.env_remove(name);
    }
    let mut help = sh::output(&mut command)?;
    // The same everywhere: shown once.
    if !words.is_empty()
        && let Some(global) = help.find("\nGlobal options:")
    {
        help.truncate(global);
    }
    let title =
        std::iter::once("sapwood").chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    let trimmed: Vec<_> = help.lines().map(str::trim_end).collect();
    text.extend(["\n## ", &title, "\n\n```text\n", trimmed.join("\n").trim(), "\n```\n"]);
    for name in commands(&help) {
        let mut below = words.to_vec();
        below.push(name.to_owned());
        describe(program, &below, text)?;
    }
    Ok(())
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| !line.ends_with("Commands:")).skip(1);
    listed
        .take_while(|line| !line.is_empty())
        // Deeper lines go on with a description.
        .filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_from_a_help_text() {
        let help = "Usage: x\n\nBuiltin Commands:\n  one    Does one\n         thing\n  two\n\nOptions:\n  -h  Help\n";
        assert_eq!(commands(help), ["one", "two"]);
    }
}
