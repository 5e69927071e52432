//! What holds in every source file of ours.

use std::path::Path;

use anyhow::Result;

/// Longest file, in lines: one file, one idea.
const MAX_LINES: usize = 600;

/// Text that may not appear in sources, and why. In pieces, so that this file passes its own check.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("todo", "!("), "unfinished"),
    (concat!("unimplemented", "!("), "unfinished"),
    (concat!("\"/wo", "rk/"), "a path of one machine"),
    (concat!("\"/ho", "me/"), "a path of one machine"),
    (concat!("/tmp/te", "am"), "a path of one machine"),
    (concat!("/var/tmp/cor", "pus"), "a path of one machine"),
    (concat!("sparse", "+http"), "the address of a registry"),
    (concat!("index.cra", "tes.io"), "the address of a registry"),
];

/// The only places that tell the two formats apart: the codecs, and what chooses or names a format.
const FORMAT_PLACES: &[&str] = &[
    "crates/objstore/src/format.rs",
    "crates/objstore/src/format/",
    "crates/objstore/src/digest.rs",
    // What a new repository's configuration says, and reading it back.
    "crates/repo/src/config.rs",
];

/// The only folder in which `unsafe` may appear.
const UNSAFE_PLACE: &str = "crates/fsio/";

/// Checks all of the workspace's Rust files, and that the lock file names no registry but the public one.
pub(crate) fn check(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    for path in super::rust_files(root)? {
        let text = super::read(&path)?;
        let name = super::short(root, &path).to_string();
        check_file(&name, &text, problems);
    }
    for line in super::read(&root.join("Cargo.lock"))?.lines() {
        if let Some(source) = line.strip_prefix("source = ")
            && source != "\"registry+https://github.com/rust-lang/crates.io-index\""
        {
            problems.push(format!("Cargo.lock: source {source} is not the public registry"));
        }
    }
    Ok(())
}

fn check_file(name: &str, text: &str, problems: &mut Vec<String>) {
    if !text.starts_with("//! ") {
        problems.push(format!("{name}:1: does not start with `//!` saying what the file does"));
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{name}: has {lines} lines; above {MAX_LINES} it holds more than one idea"));
    }
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        for (found, why) in FORBIDDEN {
            if line.contains(found) {
                problems.push(format!("{at}: has `{found}`: {why}"));
            }
        }
        let code = line.split("//").next().unwrap_or_default();
        if uses_unsafe(code) && !name.starts_with(UNSAFE_PLACE) {
            problems.push(format!("{at}: `unsafe` outside {UNSAFE_PLACE}"));
        }
        if tells_formats_apart(code) && !FORMAT_PLACES.iter().any(|place| name.starts_with(place)) {
            problems.push(format!("{at}: tells the formats apart; that belongs into the codec"));
        }
    }
}

/// Whether a line without its comment begins an unsafe block or item.
fn uses_unsafe(code: &str) -> bool {
    let mut words = code.split_whitespace();
    while let Some(word) = words.next() {
        if word.ends_with("unsafe") && !word.contains(['"', '`', '_']) {
            return words.next().is_none_or(|next| next.starts_with(['{', 'f', 'i', 'e', 't']));
        }
    }
    false
}

/// Whether a line is an arm of a `match` on the format.
fn tells_formats_apart(code: &str) -> bool {
    let code = code.trim_start().trim_start_matches(['(', '|']).trim_start();
    ["Format::Native", "Format::Ostree"].iter().any(|format| {
        code.strip_prefix(format)
            .is_some_and(|rest| rest.contains("=>") || rest.trim_start().starts_with('|'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(name: &str, text: &str) -> usize {
        let mut problems = Vec::new();
        check_file(name, text, &mut problems);
        problems.len()
    }

    #[test]
    fn each_offence_is_found_and_its_like_is_not() {
        for (text, expected) in [
            ("//! Doc.\n", 0),
            ("fn f() {}\n", 1),
            ("//! Doc.\nlet x = unsafe { y() };\n", 1),
            ("//! Doc.\n#![deny(unsafe_code)] // unsafe { }\n", 0),
            ("//! Doc.\n        Format::Native => 1,\n", 1),
            ("//! Doc.\nif f == Format::Native { g(|x| y) }\n", 0),
        ] {
            assert_eq!(problems("crates/repo/src/x.rs", text), expected, "{text}");
        }
        assert_eq!(problems("crates/fsio/src/x.rs", "//! Doc.\nunsafe fn f() {}\n"), 0);
        assert_eq!(problems("crates/repo/src/x.rs", &format!("//! Doc.\n{}", "\n".repeat(600))), 1);
    }
}
