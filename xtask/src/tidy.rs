//! `cargo xtask tidy`: the conventions no compiler checks.
//!
//! Each check lists every problem it finds, not only the first, and also runs as a test of this package.

mod docs;
mod fuzz;
mod layers;
mod licences;
mod sources;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Looks at the workspace whose root is given and adds a line for each problem.
type Check = fn(&Path, &mut Vec<String>) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("layers", layers::arrows_point_down),
    ("lints", layers::crates_share_the_lints),
    ("sources", sources::check),
    ("licences", licences::check),
    ("fuzz targets", fuzz::check),
    ("docs", docs::check),
];

/// Runs all checks.
pub(crate) fn run() -> Result<()> {
    let root = crate::sh::root();
    let mut count = 0;
    for (name, check) in CHECKS {
        let mut problems = Vec::new();
        check(&root, &mut problems).with_context(|| format!("the check of {name} could not run"))?;
        for problem in &problems {
            println!("{name}: {problem}");
        }
        count += problems.len();
    }
    match count {
        0 => println!("tidy: {} checks, no problem", CHECKS.len()),
        1 => bail!("tidy found 1 problem"),
        n => bail!("tidy found {n} problems"),
    }
    Ok(())
}

/// All files below `folder` with this extension, sorted; folders that are built or foreign are left out.
pub(crate) fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![folder.to_path_buf()];
    while let Some(folder) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !matches!(entry.file_name().to_str(), Some("target" | "corpus" | "artifacts" | "coverage"))
                {
                    todo.push(path);
                }
            } else if path.extension().is_some_and(|ext| ext == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The workspace's own Rust files.
fn rust_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for folder in ["crates", "xtask", "fuzz"] {
        all.extend(files(&root.join(folder), "rs")?);
    }
    Ok(all)
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

/// The path as seen from the root, for messages.
fn short<'a>(root: &Path, path: &'a Path) -> std::path::Display<'a> {
    path.strip_prefix(root).unwrap_or(path).display()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(check: Check) -> Vec<String> {
        let mut problems = Vec::new();
        check(&crate::sh::root(), &mut problems).expect("the check could not run");
        problems
    }

    #[test]
    fn arrows_between_crates_point_down() {
        assert_eq!(problems_of(layers::arrows_point_down), [""; 0]);
    }

    #[test]
    fn every_crate_shares_the_lints() {
        assert_eq!(problems_of(layers::crates_share_the_lints), [""; 0]);
    }

    #[test]
    fn every_source_file_follows_the_conventions() {
        assert_eq!(problems_of(sources::check), [""; 0]);
    }

    #[test]
    fn every_dependency_has_a_licence_from_the_list() {
        assert_eq!(problems_of(licences::check), [""; 0]);
    }

    #[test]
    fn every_decoder_has_a_fuzz_target() {
        assert_eq!(problems_of(fuzz::check), [""; 0]);
    }

    #[test]
    fn the_documents_agree_with_the_code() {
        assert_eq!(problems_of(docs::check), [""; 0]);
    }
}
