//! Which crate may use which: the law of the layers.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What each of our crates (by folder) may use of the others, lowest layer first. A crate's tests may also use
/// itself (to turn features on) and `testkit`.
const LAYERS: &[(&str, &[&str])] = &[
    ("fsio", &[]),
    ("objstore", &["fsio"]),
    ("repo", &["fsio", "objstore"]),
    ("transport", &["fsio", "objstore", "repo"]),
    ("etcmerge", &["fsio"]),
    ("deploy", &["etcmerge", "fsio", "objstore", "repo"]),
    ("cli", &["deploy", "etcmerge", "fsio", "objstore", "repo", "transport"]),
    ("testkit", &[]),
    ("xtask", &["testkit"]),
];

/// Other people's crates that only some of ours may use, beside tests.
const ONLY_IN: &[(&str, &[&str])] = &[
    // `async` lives in transport; the program starts the runtime.
    ("tokio", &["transport", "cli"]),
    ("hyper", &["transport"]),
    ("async-trait", &["transport"]),
    // Libraries return enums.
    ("anyhow", &["cli", "testkit", "xtask"]),
    // Arguments and output are the program's.
    ("clap", &["cli", "xtask"]),
    ("indicatif", &["cli"]),
    ("nix", &["fsio", "xtask"]),
];

/// Dependencies between our crates follow [`LAYERS`], and on other people's [`ONLY_IN`].
pub(crate) fn arrows_point_down(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    let packages = packages(root)?;
    for (package, manifest) in &packages {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == folder(manifest)) else {
            problems.push(format!(
                "{manifest}: this crate is in no layer; add it to LAYERS in xtask/src/tidy/layers.rs"
            ));
            continue;
        };
        let this = folder(manifest);
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            if let Some((_, only)) = ONLY_IN.iter().find(|(other, _)| *other == name)
                && dependency["kind"] != "dev"
                && !only.contains(&this)
            {
                problems.push(format!("{manifest}: {this} may not use {name}; only {} may", only.join(", ")));
            }
            let Some(path) = dependency["path"].as_str() else { continue };
            let used = path.rsplit('/').next().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev" && (used == this || used == "testkit");
            if !for_tests && !allowed.contains(&used) {
                problems.push(format!("{manifest}: {this} may not use {used}"));
            }
        }
    }
    for (name, _) in LAYERS {
        if !packages.iter().any(|(_, manifest)| folder(manifest) == *name) {
            problems.push(format!("the layer table names {name}, which does not exist"));
        }
    }
    Ok(())
}

/// Every crate takes the workspace's lints, and says the same about itself.
pub(crate) fn crates_share_the_lints(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    for (package, manifest) in packages(root)? {
        let text = super::read(&root.join(&manifest))?;
        if !text.replace(' ', "").contains("[lints]\nworkspace=true") {
            problems.push(format!("{manifest}: has no `[lints] workspace = true`"));
        }
        if package["license"] != "MIT OR Apache-2.0" {
            problems.push(format!("{manifest}: has no `license.workspace = true`"));
        }
        if package["edition"] != "2024" || package["rust_version"].is_null() {
            problems.push(format!("{manifest}: takes not edition and rust-version of the workspace"));
        }
        if package["description"].is_null() {
            problems.push(format!("{manifest}: has no description"));
        }
    }
    Ok(())
}

/// Our packages as cargo sees them, each with its manifest's path from the root.
fn packages(root: &Path) -> Result<Vec<(Value, String)>> {
    let mut cargo = crate::sh::cargo();
    cargo.current_dir(root).args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata: Value =
        serde_json::from_str(&crate::sh::output(&mut cargo)?).context("reading cargo metadata")?;
    let relative = |package: &Value| {
        let path = package["manifest_path"].as_str().unwrap_or_default();
        let path = Path::new(path);
        path.strip_prefix(root).unwrap_or(path).display().to_string()
    };
    Ok(metadata["packages"].as_array().into_iter().flatten().map(|p| (p.clone(), relative(p))).collect())
}

/// `fsio` for `crates/fsio/Cargo.toml`.
fn folder(manifest: &str) -> &str {
    manifest.rsplit('/').nth(1).unwrap_or_default()
}
