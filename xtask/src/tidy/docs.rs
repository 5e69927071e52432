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

/// The map names every crate and every file directly below its `src`; every file and every `cargo xtask` command that
/// a document names exists.
pub(crate) fn check(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    for document in DOCUMENTS {
        let Ok(text) = super::read(&root.join(document)) else {
            problems.push(format!("{document}: is missing"));
            continue;
        };
        commands_exist(document, &text, problems);
        paths_exist(root, document, &text, problems);
    }
    map_is_complete(root, problems)
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

/// `ARCHITECTURE.md` has each crate as `crates/NAME` and each of its top source files by name.
fn map_is_complete(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    let map = super::read(&root.join("ARCHITECTURE.md")).unwrap_or_default();
    for path in super::files(&root.join("crates"), "rs")? {
        let short = super::short(root, &path).to_string();
        let mut parts = short.split('/').skip(1);
        let (Some(krate), Some("src"), Some(file), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Some(section) = section(&map, krate) else {
            problems.push(format!("ARCHITECTURE.md: has no section `crates/{krate}`"));
            continue;
        };
        if !["lib.rs", "tests.rs"].contains(&file) && !section.contains(&format!("`{file}`")) {
            problems.push(format!("ARCHITECTURE.md: the map of crates/{krate} does not name `{file}`"));
        }
    }
    problems.dedup();
    Ok(())
}

/// The part of the map below the heading that names the crate, up to the next heading.
fn section<'map>(map: &'map str, krate: &str) -> Option<&'map str> {
    let heading = format!("### `crates/{krate}`");
    let start = map.find(&heading)? + heading.len();
    let rest = map.get(start..)?;
    Some(rest.find("\n##").and_then(|end| rest.get(..end)).unwrap_or(rest))
}
