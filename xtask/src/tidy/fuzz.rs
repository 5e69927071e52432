//! Every decoder of foreign bytes has a fuzz target.

use std::path::Path;

use anyhow::Result;

/// Which file decodes what comes from outside, and the fuzz target that feeds it.
const DECODERS: &[(&str, &str)] = &[
    ("crates/deploy/src/boot/bls.rs", "bls"),
    ("crates/deploy/src/boot/link.rs", "boot_link"),
    ("crates/repo/src/config.rs", "config"),
    ("crates/objstore/src/format/compress.rs", "decompress"),
    ("crates/objstore/src/gvariant/check.rs", "gvariant"),
    ("crates/objstore/src/gvariant/parse.rs", "gvariant_text"),
    ("crates/deploy/src/boot/kargs.rs", "kargs"),
    ("crates/repo/src/keyfile.rs", "keyfile"),
    ("crates/repo/src/name.rs", "names"),
    ("crates/objstore/src/format/native/commit.rs", "native_commit"),
    ("crates/objstore/src/format/native/tree.rs", "native_dirmeta"),
    ("crates/objstore/src/format/native/tree.rs", "native_dirtree"),
    ("crates/objstore/src/format/native/file.rs", "native_filez"),
    ("crates/objstore/src/format/native/commit.rs", "native_metadata"),
    ("crates/repo/src/summary.rs", "native_summary"),
    ("crates/objstore/src/format/native/file.rs", "native_usermeta"),
    ("crates/deploy/src/origin.rs", "origin"),
    ("crates/deploy/src/boot/os_release.rs", "os_release"),
    ("crates/objstore/src/format/ostree/commit.rs", "ostree_commit"),
    ("crates/objstore/src/format/ostree/tree.rs", "ostree_dirmeta"),
    ("crates/objstore/src/format/ostree/tree.rs", "ostree_dirtree"),
    ("crates/objstore/src/format/ostree/file.rs", "ostree_filez"),
    ("crates/objstore/src/format/ostree/commit.rs", "ostree_metadata"),
    ("crates/repo/src/summary.rs", "ostree_summary"),
    ("crates/objstore/src/format/ostree/file.rs", "ostree_usermeta"),
];

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
