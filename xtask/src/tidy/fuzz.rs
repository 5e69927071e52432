//! Every decoder of foreign bytes has a fuzz target.

use std::path::Path;

use anyhow::Result;

/// Each fuzz target, and the decoders' files that it reaches.
const TARGETS: &[(&str, &[&str])] = &[
    (
        "archive",
        &[
            "crates/repo/src/archive/cpio.rs",
            "crates/repo/src/archive/decompress.rs",
            "crates/repo/src/archive/pax.rs",
            "crates/repo/src/archive/tar.rs",
        ],
    ),
    ("bls", &["crates/deploy/src/boot/bls.rs"]),
    ("boot_link", &["crates/deploy/src/boot/link.rs"]),
    ("boot_record", &["crates/deploy/src/early/cmdline.rs", "crates/deploy/src/early/record.rs"]),
    ("commit_lists", &["crates/repo/src/commit/lists.rs", "crates/repo/src/commit/unpack.rs"]),
    ("config", &["crates/repo/src/config.rs"]),
    ("cookies", &["crates/transport/src/http/cookies.rs"]),
    ("decompress", &["crates/objstore/src/format/compress.rs"]),
    ("commit_sizes", &["crates/repo/src/commit/sizes.rs"]),
    ("delta_index", &["crates/repo/src/delta/listed.rs"]),
    ("delta_part", &["crates/repo/src/delta/ops.rs", "crates/repo/src/delta/part.rs"]),
    ("delta_patch", &["crates/repo/src/delta/patch.rs"]),
    (
        "delta_superblock",
        &[
            "crates/repo/src/delta/name.rs",
            "crates/repo/src/delta/signed.rs",
            "crates/repo/src/delta/superblock.rs",
        ],
    ),
    (
        "gpg_keyring",
        &[
            "crates/repo/src/sign/gpg/directory.rs",
            "crates/repo/src/sign/gpg/keyring.rs",
            "crates/repo/src/sign/gpg/read.rs",
        ],
    ),
    (
        "gvariant",
        &[
            "crates/objstore/src/gvariant/check.rs",
            "crates/objstore/src/gvariant/print.rs",
            "crates/objstore/src/gvariant/read.rs",
            "crates/objstore/src/gvariant/types.rs",
        ],
    ),
    (
        "gvariant_text",
        &[
            "crates/objstore/src/gvariant/parse.rs",
            "crates/objstore/src/gvariant/parse/infer.rs",
            "crates/objstore/src/gvariant/parse/lexer.rs",
        ],
    ),
    ("staged", &["crates/deploy/src/stage/record.rs"]),
    ("kargs", &["crates/deploy/src/boot/kargs.rs"]),
    ("keyfile", &["crates/repo/src/keyfile.rs"]),
    ("metalink", &["crates/transport/src/http/metalink.rs"]),
    ("names", &["crates/repo/src/name.rs", "crates/repo/src/refs/read.rs"]),
    ("native_closure", &["crates/repo/src/closure.rs"]),
    (
        "native_commit",
        &["crates/objstore/src/format/native/commit.rs", "crates/objstore/src/format/native/record.rs"],
    ),
    ("native_dirmeta", &["crates/objstore/src/format/native/tree.rs"]),
    ("native_dirtree", &["crates/objstore/src/format/native/tree.rs"]),
    ("native_filez", &["crates/objstore/src/format/native/file.rs"]),
    (
        "native_metadata",
        &["crates/objstore/src/format/native/commit.rs", "crates/objstore/src/object/value.rs"],
    ),
    ("native_statement", &["crates/repo/src/record.rs", "crates/repo/src/statement/codec.rs"]),
    ("native_summary", &["crates/repo/src/summary/native.rs"]),
    ("native_usermeta", &["crates/objstore/src/format/native/file.rs"]),
    ("origin", &["crates/deploy/src/origin.rs", "crates/deploy/src/origin/conflicts.rs"]),
    ("os_release", &["crates/deploy/src/boot/os_release.rs"]),
    ("ostree_commit", &["crates/objstore/src/format/ostree/commit.rs"]),
    ("ostree_dirmeta", &["crates/objstore/src/format/ostree/tree.rs"]),
    ("ostree_dirtree", &["crates/objstore/src/format/ostree/tree.rs"]),
    ("ostree_filez", &["crates/objstore/src/format/ostree/file.rs"]),
    ("ostree_metadata", &["crates/objstore/src/format/ostree/commit.rs"]),
    ("ostree_summary", &["crates/repo/src/summary/ostree.rs"]),
    ("ostree_usermeta", &["crates/objstore/src/format/ostree/file.rs"]),
    ("reflog", &["crates/repo/src/reflog.rs"]),
    (
        "selinux_contexts",
        &[
            "crates/repo/src/selinux/contexts.rs",
            "crates/repo/src/selinux/pattern.rs",
            "crates/repo/src/selinux/subs.rs",
        ],
    ),
    (
        "sign_keys",
        &["crates/repo/src/sign/armor.rs", "crates/repo/src/sign/ed25519.rs", "crates/repo/src/sign/spki.rs"],
    ),
    (
        "signatures",
        &[
            "crates/repo/src/sign/ed25519.rs",
            "crates/repo/src/sign/gpg/keyring.rs",
            "crates/repo/src/sign/spki.rs",
        ],
    ),
];

/// Files with a decoder's mark that decode nothing, and why they have it.
const NO_DECODERS: &[(&str, &str)] = &[
    ("crates/deploy/src/boot/entry_name.rs", "takes names of files apart, which have 255 bytes at most"),
    ("crates/deploy/src/boot/verscmp.rs", "compares foreign text, which cannot fail"),
];

/// What every decoder's file has near its top.
const MARK: &str = "#![deny(clippy::indexing_slicing)]";

/// Each decoder is reached by a target, each target exists and is built, and the table names nothing else.
pub(crate) fn check(root: &Path, problems: &mut Vec<String>) -> Result<()> {
    let manifest = super::read(&root.join("fuzz/Cargo.toml")).unwrap_or_default();
    for (target, decoders) in TARGETS {
        if !root.join(format!("fuzz/fuzz_targets/{target}.rs")).is_file() {
            problems.push(format!("the fuzz target fuzz/fuzz_targets/{target}.rs does not exist"));
        }
        for decoder in decoders.iter().filter(|decoder| !root.join(decoder).is_file()) {
            problems
                .push(format!("{decoder}: does not exist, but xtask/src/tidy/fuzz.rs has it for {target}"));
        }
    }
    for path in super::files(&root.join("fuzz/fuzz_targets"), "rs")? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !manifest.contains(&format!("\"fuzz_targets/{stem}.rs\"")) {
            problems.push(format!("fuzz/fuzz_targets/{stem}.rs: is not named in fuzz/Cargo.toml"));
        }
        if !TARGETS.iter().any(|(target, _)| *target == stem) {
            problems
                .push(format!("fuzz/fuzz_targets/{stem}.rs: is not in the table of xtask/src/tidy/fuzz.rs"));
        }
    }
    for path in super::files(&root.join("crates"), "rs")? {
        let name = super::short(root, &path).to_string();
        let known = TARGETS.iter().any(|(_, decoders)| decoders.contains(&name.as_str()))
            || NO_DECODERS.iter().any(|(other, _)| *other == name);
        if !known && super::read(&path)?.lines().any(|line| line == MARK) {
            problems.push(format!("{name}: is a decoder that xtask/src/tidy/fuzz.rs has no fuzz target for"));
        }
    }
    Ok(())
}
