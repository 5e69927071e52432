//! Archives from an enemy: what is held in memory is bounded, and what is refused leaves nothing behind.

use crate::commit_fixture::{FORMATS, Lab, on};
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::{BuiltTree, CommitOptions, Error, ImportOptions, Modifiers, Parent, Repo, TarOptions};
use sapwood_testkit::{Ostree, skipped};
use std::io::{Cursor, Write as _};

/// A tar archive that is put together by hand.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    /// An archive whose root is a directory.
    fn new() -> Self {
        Self::default().entry(b'5', "./", "", b"")
    }

    fn entry(mut self, kind: u8, path: &str, link: &str, content: &[u8]) -> Self {
        let mut block = [0; 512];
        let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, "0000755");
        put(108, "0000000");
        put(116, "0000000");
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000");
        put(148, "        ");
        put(157, link);
        put(257, "ustar\x0000");
        block[156] = kind;
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend(block);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A pax header with these records.
    fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
            let len = (1..20).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap()
                + rest.len();
            text.extend(len.to_string().into_bytes());
            text.extend(rest);
        }
        self.entry(kind, "pax", "", &text)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

/// No directory is deeper than this here.
const MAX_DEPTH: usize = 100;

fn build(repo: &Repo, tar: Vec<u8>, options: &TarOptions) -> Result<BuiltTree, Error> {
    let txn = repo.begin()?;
    let import = ImportOptions { max_depth: MAX_DEPTH, ..ImportOptions::default() };
    let mut builder = repo.build_tree(&txn, &import)?;
    builder.add_tar(Box::new(Cursor::new(tar)), options)?;
    builder.finish()
}

fn commit(repo: &Repo, tar: Vec<u8>, modifiers: &Modifiers) -> Id<Commit> {
    let mut txn = repo.begin().unwrap();
    let options = ImportOptions { modifiers: modifiers.clone(), ..ImportOptions::default() };
    let mut builder = repo.build_tree(&txn, &options).unwrap();
    builder.add_tar(Box::new(Cursor::new(tar)), &TarOptions::default()).unwrap();
    let built = builder.finish().unwrap();
    let id = repo
        .stage_commit(&mut txn, built.tree, &CommitOptions { parent: Parent::None, ..on("main") })
        .unwrap();
    txn.commit().unwrap();
    id
}

/// The most memory that this process has taken, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn attributes_that_an_archive_says_once_of_many_files_do_not_fill_the_memory() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    // 4 MiB of attributes, and 100 files: 400 MiB, if all were held.
    let names: Vec<String> = (0..64).map(|n| format!("SCHILY.xattr.user.{n}")).collect();
    let value = vec![b'v'; 64 << 10];
    let records: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), value.as_slice())).collect();
    let mut tar = Tar::new().pax(b'g', &records);
    for n in 0..100 {
        tar = tar.entry(b'0', &format!("f{n}"), "", b"");
    }
    let tar = tar.end();
    let before = peak_bytes();
    build(&repo, tar, &TarOptions::default()).unwrap();
    let taken = peak_bytes() - before;
    assert!(taken < 200 << 20, "{taken} bytes were taken");
}

#[test]
fn names_and_links_are_remembered_up_to_a_limit() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let mut names = Tar::new();
    let mut links = Tar::new().entry(b'0', "f", "", b"");
    for n in 0..100 {
        names = names.entry(b'0', &format!("{n:0>90}"), "", b"");
        links = links.entry(b'1', &format!("{n}"), "f", b"");
    }
    for (what, tar) in [("names", names.end()), ("links", links.end())] {
        let little = TarOptions { max_names_bytes: 10_000, ..TarOptions::default() };
        let refused = build(&repo, tar.clone(), &little);
        assert!(matches!(refused, Err(Error::Archive { .. })), "{what}: {refused:?}");
        build(&repo, tar, &TarOptions { max_names_bytes: 100_000, ..little }).unwrap();
    }
}

#[test]
fn paths_of_pax_headers_are_as_long_and_as_deep_as_others() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let options = TarOptions { autocreate_parents: true, ..TarOptions::default() };
    let deep = |count: usize| "a/".repeat(count) + "f";
    let with = |key: &str, path: &str, kind| {
        Tar::new().pax(b'x', &[(key, path.as_bytes())]).entry(kind, "f", "t", b"").end()
    };
    for key in ["path", "linkpath"] {
        let refused = build(&repo, with(key, &deep(33_000), b'1'), &options);
        assert!(matches!(refused, Err(Error::Archive { .. })), "{refused:?}");
        let refused = build(&repo, with(key, &deep(MAX_DEPTH), b'1'), &options);
        assert!(matches!(refused, Err(Error::TooDeep { limit: MAX_DEPTH })), "{refused:?}");
    }
    build(&repo, with("path", &deep(MAX_DEPTH - 1), b'0'), &options).unwrap();
}

#[test]
fn a_hard_link_may_bring_content_of_any_size() {
    let content: Vec<u8> = (0_u32..5 << 18).flat_map(u32::to_le_bytes).collect();
    for format in FORMATS {
        let lab = Lab::in_memory();
        let repo = lab.repo("repo", format, Mode::Archive);
        let size = content.len().to_string();
        let linked = Tar::new()
            .entry(b'0', "a", "", b"")
            .pax(b'x', &[("size", size.as_bytes())])
            .entry(b'1', "b", "a", &content);
        let plain = Tar::new().entry(b'0', "a", "", &content).entry(b'0', "b", "", &content);
        let bare = Modifiers::default();
        assert_eq!(commit(&repo, linked.end(), &bare), commit(&repo, plain.end(), &bare));
    }
}

#[test]
fn attributes_that_no_file_can_have_are_refused() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let long = format!("SCHILY.xattr.user.{}", "n".repeat(251));
    let big = vec![b'v'; (64 << 10) + 1];
    for (key, value) in [(long.as_str(), &b"v"[..]), ("SCHILY.xattr.user.a", &big)] {
        let tar = Tar::new().pax(b'x', &[(key, value)]).entry(b'0', "f", "", b"").end();
        let refused = build(&repo, tar, &TarOptions::default());
        assert!(matches!(refused, Err(Error::Archive { .. })), "{refused:?}");
    }
}

#[test]
fn nothing_stays_staged_of_a_tree_that_cannot_be_finished() {
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let tar = Tar::new().entry(b'5', "d/", "", b"").entry(b'0', "d/f", "", b"1").end();
    let base = commit(&repo, tar, &Modifiers::default());
    let below = repo.store().load(repo.root(base).unwrap().tree).unwrap().dirs()[0].tree;
    repo.store().remove(below.name()).unwrap();
    let txn = repo.begin().unwrap();
    let import = ImportOptions::default();
    let mut builder = repo.build_tree(&txn, &import).unwrap();
    builder.add_base(base).unwrap();
    // The root is written anew, and then what the whole tree holds cannot be told.
    let over = Tar::default().entry(b'0', "g", "", b"1").end();
    builder.add_tar(Box::new(Cursor::new(over)), &TarOptions::default()).unwrap();
    let refused = builder.finish();
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(txn.objects().stats().meta_written, 0);
}

#[test]
fn what_follows_compressed_archives_is_left_out_as_the_real_ostree_leaves_it_out() {
    let tar = || Tar::new().entry(b'0', "f", "", b"hello").end();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let bzip2 = |bytes: &[u8]| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let (first, second) = (tar()[..700].to_vec(), tar()[700..].to_vec());
    let lab = Lab::in_memory();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let bare = Modifiers { no_xattrs: true, ..Modifiers::default() };
    let expected = commit(&repo, tar(), &bare);
    let ostree = Ostree::find();
    if let Some(ostree) = &ostree {
        lab.real_repo("real", ostree, Mode::Archive);
    } else {
        skipped("the real ostree is not installed");
    }
    let compressed = [
        ("gzip", gzip(&tar()), [gzip(&first), gzip(&second)].concat()),
        ("bzip2", bzip2(&tar()), [bzip2(&first), bzip2(&second)].concat()),
    ];
    for (kind, one, several) in compressed {
        for (members, bytes) in [(1, &one), (2, &several)] {
            for behind in [&[0; 512][..], b"what is no member", b"\x1f", b""] {
                let padded = [bytes, behind].concat();
                assert_eq!(commit(&repo, padded.clone(), &bare), expected, "{kind} {members} {behind:?}");
                let Some(ostree) = &ostree else { continue };
                let file = lab.path("padded");
                std::fs::write(&file, padded).unwrap();
                let tree = format!("--tree=tar={}", file.display());
                let line = [
                    "commit",
                    "-b",
                    "main",
                    "--parent=none",
                    "--timestamp=@1700000000",
                    "--no-xattrs",
                    &tree,
                ];
                let real = ostree.run(lab.args("real", &line)).unwrap();
                assert_eq!(real.trim(), expected.to_hex(), "{kind} {members} {behind:?}");
            }
        }
        // What begins as a member must be one.
        let cut = [&one, &several[..20]].concat();
        let txn = repo.begin().unwrap();
        let import = ImportOptions::default();
        let mut builder = repo.build_tree(&txn, &import).unwrap();
        assert!(builder.add_tar(Box::new(Cursor::new(cut)), &TarOptions::default()).is_err());
    }
}
