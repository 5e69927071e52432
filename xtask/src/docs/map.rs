//! The map of the code in `ARCHITECTURE.md`: every file, with the first sentence it says about itself.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The document that has the map, from the root.
pub(crate) const DOCUMENT: &str = "ARCHITECTURE.md";

/// The line after which the map stands, to the document's end.
pub(crate) const MARK: &str = "<!-- From here on made by `cargo xtask docs`. -->\n";

/// The folders in the order of the layers, each with the heading of its section.
const FOLDERS: &[&str] = &[
    "crates/fsio",
    "crates/objstore",
    "crates/repo",
    "crates/transport",
    "crates/etcmerge",
    "crates/deploy",
    "crates/cli",
    "crates/testkit",
    "xtask",
];

/// The document as it should be: what people wrote, and the map as the code is now.
pub(crate) fn wanted(root: &Path) -> Result<String> {
    let text = std::fs::read_to_string(root.join(DOCUMENT)).context("reading ARCHITECTURE.md")?;
    let end = text.find(MARK).context("ARCHITECTURE.md has no mark before its map")? + MARK.len();
    let mut wanted = text.get(..end).unwrap_or_default().to_owned();
    for folder in FOLDERS {
        let _infallible = write!(wanted, "\n### `{folder}`\n\n");
        let source = root.join(folder).join("src");
        for path in crate::tidy::files(&source, "rs")? {
            let name = path.strip_prefix(&source).unwrap_or(&path).display().to_string();
            if name.ends_with("tests.rs") || name.contains("tests/") {
                continue;
            }
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            // A module's parts stand below it.
            let depth = name.matches('/').count();
            let _infallible = writeln!(wanted, "{}- `{name}`: {}", "  ".repeat(depth), first_sentence(&text));
        }
    }
    Ok(wanted)
}

/// The first sentence of a file's `//!` comment, on one line.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    let paragraph: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    match paragraph.find(". ") {
        Some(end) => paragraph.get(..=end).unwrap_or_default().to_owned(),
        None => paragraph,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_may_span_lines_and_ends_at_a_full_stop() {
        assert_eq!(first_sentence("//! One\n//! two. Three.\n"), "One two.");
        assert_eq!(first_sentence("//! One.\n//!\n//! Two.\nfn main() {}\n"), "One.");
    }
}
