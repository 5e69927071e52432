//! Every decoder of foreign bytes has a fuzz target.

use std::path::Path;

use anyhow::Result;

/// Which file decodes what comes from outside, and the fuzz target that feeds it.
const DECODERS: &[(&str, &str)] = &[];

/// Each decoder has its target, each target exists and is built, and no target is forgotten here.
pub(crate) fn check(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    let manifest = super::read(&root.join("fuzz/Cargo.toml")).unwrap_or_default();
    for (decoder, target) in DECODERS {
        if !root.join(decoder).is_file() {
            problems.push(format!(
                "{decoder}: is in the table of decoders (xtask/src/tidy/fuzz.rs) but does not exist"
            ));
        }
        if !root.join(format!("fuzz/fuzz_targets/{target}.rs")).is_file() {
            problems.push(format!("{decoder}: its fuzz target fuzz/fuzz_targets/{target}.rs does not exist"));
        }
    }
    for path in super::files(&root.join("fuzz/fuzz_targets"), "rs")? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !manifest.contains(&format!("\"fuzz_targets/{stem}.rs\"")) {
            problems.push(format!("fuzz/fuzz_targets/{stem}.rs: is not named in fuzz/Cargo.toml"));
        }
        if !DECODERS.iter().any(|(_, target)| *target == stem) {
            problems.push(format!(
                "fuzz/fuzz_targets/{stem}.rs: is not in the table of decoders (xtask/src/tidy/fuzz.rs)"
            ));
        }
    }
    Ok(())
}
