//! `commit --editor`: subject and body, written in an editor.

use crate::report::usage;
use anyhow::Context as _;
use std::io::{Read, Write};
use std::process::Command;

/// Largest message that is read back.
const MAX_BYTES: u64 = 1 << 20;

/// Has the user write a message, beginning with this one.
pub(super) fn edit(branch: Option<&str>, subject: &str, body: &str) -> anyhow::Result<(String, String)> {
    let mut file = tempfile::Builder::new().prefix("sapwood-commit-").tempfile().context("the message")?;
    let branch = branch.map(|branch| format!("#\n# Branch: {branch}\n")).unwrap_or_default();
    let body = if body.is_empty() { String::new() } else { format!("\n{body}\n") };
    write!(
        file,
        "{subject}\n{body}\n# Write what this commit is about: one line, then more if there is more to say. Lines that\n\
         # begin with # are left out; without a first line nothing is committed.\n{branch}"
    )?;
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let chosen = ["OSTREE_EDITOR", "VISUAL", "EDITOR"].into_iter().find_map(variable);
    let editor = chosen.unwrap_or_else(|| "vi".to_owned());
    // The variable may hold arguments as well, so a shell takes it apart.
    let status =
        Command::new("/bin/sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file.path()).status();
    let status = status.with_context(|| format!("There was a problem with the editor '{editor}'"))?;
    if !status.success() {
        anyhow::bail!("There was a problem with the editor '{editor}': {status}");
    }
    let mut text = String::new();
    // Opened again: many editors write a new file.
    std::fs::File::open(file.path()).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text))?;
    parse(&text).ok_or_else(|| usage("Aborting commit due to empty commit subject."))
}

/// The first line, and what follows it without empty lines around; `None` without a first line.
fn parse(text: &str) -> Option<(String, String)> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim_end);
    let subject = lines.find(|line| !line.is_empty())?.trim_start().to_owned();
    let body: Vec<_> = lines.collect();
    Some((subject, body.join("\n").trim_matches('\n').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_around_are_left_out() {
        let text = "\n# note\n Subject \n\n# c\nbody1\n\nbody2\n\n";
        assert_eq!(parse(text), Some(("Subject".to_owned(), "body1\n\nbody2".to_owned())));
        assert_eq!(parse("# only\n\n  \n"), None);
    }
}
