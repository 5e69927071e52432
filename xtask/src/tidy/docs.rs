//! The documents agree with the code they describe.

use std::path::Path;

use anyhow::Result;
use clap::CommandFactory as _;

/// Documents that must exist.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "docs/FORMAT.md",
    "docs/LIMITS.md",
    "docs/cli.md",
    "docs/performance.md",
];

/// The map is that of the code; every file and every `cargo xtask` command that a document names exists.
pub(crate) fn check(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    for document in DOCUMENTS {
        let Ok(text) = super::read(&root.join(document)) else {
            problems.push(format!("{document}: is missing"));
            continue;
        };
        commands_exist(document, &text, problems);
        // The map's names are relative to their section.
        let written = text.split(crate::docs::map::MARK).next().unwrap_or_default();
        paths_exist(root, document, written, problems);
    }
    map_is_current(root, problems)
}

/// Every `cargo xtask NAME` in the text is a command we have.
fn commands_exist(document: &str, text: &str, problems: &mut Vec<String>) {
    let program = crate::Command::command();
    for rest in text.split("cargo xtask ").skip(1) {
        let word: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if !word.is_empty() && program.find_subcommand(&word).is_none() {
            problems.push(format!("{document}: there is no command `cargo xtask {word}`"));
        }
    }
}

/// Every path into our folders that stands in backticks exists.
fn paths_exist(root: &Path, document: &str, text: &str, problems: &mut Vec<String>) {
    for quoted in text.split('`').skip(1).step_by(2) {
        let ours =
            ["crates/", "docs/", "xtask/", "fuzz/", ".ci/"].iter().any(|folder| quoted.starts_with(folder));
        let plain = quoted.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        if ours && plain && !root.join(quoted).exists() {
            problems.push(format!("{document}: names `{quoted}`, which does not exist"));
        }
    }
}

/// The map in `ARCHITECTURE.md` is that of the code as it is.
fn map_is_current(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    let document = crate::docs::map::DOCUMENT;
    if super::read(&root.join(document))? != crate::docs::map::wanted(root)? {
        problems.push(format!("{document}: its map is out of date; run `cargo xtask docs`"));
    }
    Ok(())
}
