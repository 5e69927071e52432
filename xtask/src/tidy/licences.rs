//! Every dependency's licence is one that we accept.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// SPDX names. All permissive; a dependency may offer others beside one of these.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "bzip2-1.0.6",
    "Unlicense",
    "Zlib",
];

/// Checks what the workspace is built from on Linux; what cargo would load for other systems is never built.
pub(crate) fn check(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    let mut cargo = crate::sh::cargo();
    cargo.current_dir(root).args(["metadata", "--locked", "--format-version", "1"]);
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let metadata: Value =
        serde_json::from_str(&crate::sh::output(&mut cargo)?).context("reading cargo metadata")?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or("?");
        match package["license"].as_str() {
            Some(licence) if accepted(licence) => {}
            Some(licence) => problems.push(format!("{name}: its licence {licence} is not on the list")),
            None => problems.push(format!("{name}: names no licence")),
        }
    }
    Ok(())
}

/// Whether an SPDX expression can be met with accepted licences. Old crates write `/` for `OR`.
fn accepted(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let tokens: Vec<&str> = expression.split_whitespace().collect();
    // Parentheses come only around alternatives, as in `(MIT OR Apache-2.0) AND Unicode-3.0`: AND binds what is
    // outside them.
    let mut all = vec![Vec::new()];
    let mut depth = 0_u32;
    for token in tokens {
        depth += u32::try_from(token.matches('(').count()).unwrap_or(0);
        if token == "AND" && (depth == 0) {
            all.push(Vec::new());
        } else if let Some(last) = all.last_mut() {
            last.push(token.trim_matches(['(', ')']));
        }
        depth = depth.saturating_sub(u32::try_from(token.matches(')').count()).unwrap_or(0));
    }
    all.iter().all(|part| {
        let text = part.join(" ");
        text.split(" OR ").any(|one| ACCEPTED.contains(&one.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_accepted_when_a_choice_within_the_list_meets_it() {
        for (expression, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("(MIT OR GPL-2.0) AND LGPL-2.1", false),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true),
        ] {
            assert_eq!(accepted(expression), expected, "{expression}");
        }
    }
}
