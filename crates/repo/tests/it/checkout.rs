//! Checkouts: what was committed is what comes out, and the same as the real `ostree` makes of it.

use crate::commit_fixture::{
    FORMATS, Lab, MODES, Seen, Snapshot, is_root, make_foreign, on, open, rich_tree, snapshot,
};
use crate::maintain::{assert_sound, file_of, objects};
use sapwood_fsio as fsio;
use sapwood_objstore::{Error as StoreError, Format, LinkPolicy, Mode, ObjectKind, Trust};
use sapwood_repo::{
    Checkout, CheckoutOptions, CheckoutStats, CommitOutcome, Error, FsckOptions, ImportOptions, Ownership,
    Repo, TreePath,
};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;

fn commit(repo: &Repo, dir: &fsio::Dir) -> CommitOutcome {
    repo.commit_dir(dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap()
}

fn whole(outcome: &CommitOutcome) -> Checkout<'static> {
    Checkout { root: outcome.tree.root, subpath: None }
}

fn options(ownership: Ownership) -> CheckoutOptions {
    CheckoutOptions { ownership, threads: 2, ..CheckoutOptions::default() }
}

fn checkout(
    lab: &Lab,
    repo: &Repo,
    outcome: &CommitOutcome,
    to: &str,
    options: &CheckoutOptions,
) -> CheckoutStats {
    repo.checkout(&whole(outcome), &lab.dir("."), Path::new(to), options, &|_| ()).unwrap()
}

#[test]
fn the_mode_of_a_file_says_nothing_of_what_object_a_bare_user_repository_has() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::BareUser);
        let mut tree = Tree::default();
        tree.file("file", "content");
        tree.symlink("link", "file");
        let outcome = commit(&repo, &lab.tree("tree", &tree));
        // As where a group shares it.
        for name in objects(&repo).into_iter().filter(|name| name.kind == ObjectKind::File) {
            std::fs::set_permissions(file_of(&lab, name), Permissions::from_mode(0o664)).unwrap();
        }
        checkout(&lab, &repo, &outcome, "out", &options(Ownership::User));
        assert_eq!(std::fs::read_link(lab.path("out/link")).unwrap(), Path::new("file"));
        assert_sound(&repo);
    }
}

/// What a checkout of the tree must look like, by the rules of the formats' document.
fn expected(
    source: Snapshot,
    format: Format,
    mode: Mode,
    ownership: Ownership,
    links: LinkPolicy,
) -> Snapshot {
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let as_user = ownership == Ownership::User || mode == Mode::BareUserOnly;
    source
        .into_iter()
        .map(|(path, mut seen)| {
            // OSTree does not record attributes without a value.
            seen.xattrs.retain(|(_, value)| !value.is_empty() || format.records_empty_xattrs());
            let is_file = seen.mode & S_IFMT == S_IFREG;
            let is_link = seen.mode & S_IFMT == 0o120_000;
            let is_linked = links != LinkPolicy::Copy && is_file && !seen.content.is_empty();
            let mut bits = seen.mode & 0o7777;
            if mode == Mode::BareUserOnly && !is_link {
                bits &= 0o755;
            }
            if as_user && is_file {
                bits = bits & 0o1777 | 0o400;
                if mode == Mode::BareUser && is_linked {
                    bits &= 0o775;
                }
            }
            let seen = Seen {
                mode: seen.mode & S_IFMT | bits,
                owner: if as_user { own } else { seen.owner },
                xattrs: if as_user { Vec::new() } else { seen.xattrs },
                dir_mtime: seen.dir_mtime.map(|_| 0),
                ..seen
            };
            (path, seen)
        })
        .collect()
}

/// Hardlinks into a bare-user repository show the attribute in which it keeps the truth.
fn without_own_attribute(mut snapshot: Snapshot) -> Snapshot {
    for seen in snapshot.values_mut() {
        seen.xattrs.retain(|(name, _)| name != b"user.ostreemeta" && name != b"user.sapwoodmeta");
    }
    snapshot
}

fn difference(found: &Snapshot, wanted: &Snapshot) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = found.keys().chain(wanted.keys()).collect();
    let short = |seen: Option<&Seen>| {
        seen.map(|s| {
            format!("{:o} {:?} {} bytes {:?} {:?}", s.mode, s.owner, s.content.len(), s.xattrs, s.dir_mtime)
        })
    };
    paths
        .into_iter()
        .filter(|path| found.get(*path) != wanted.get(*path))
        .map(|path| {
            format!("{}: {:?}, wanted {:?}", path.display(), short(found.get(path)), short(wanted.get(path)))
        })
        .collect()
}

#[test]
fn a_checkout_is_the_tree_that_was_committed_in_every_format_mode_and_ownership() {
    let lab = Lab::new();
    let dir = lab.tree("tree", &rich_tree());
    if is_root() {
        make_foreign(&lab.path("tree"));
    }
    let source = snapshot(&lab.path("tree"));
    for format in FORMATS {
        for mode in MODES {
            let repo = lab.repo(&format!("repo-{format:?}-{mode:?}"), format, mode);
            let outcome = commit(&repo, &dir);
            for ownership in [Ownership::Full, Ownership::User] {
                for links in [LinkPolicy::Prefer, LinkPolicy::Copy] {
                    let case = format!("{format:?} {mode:?} {ownership:?} {links:?}");
                    let options = CheckoutOptions { links, ..options(ownership) };
                    let stats = checkout(&lab, &repo, &outcome, &case, &options);
                    let totals = outcome.tree.totals;
                    assert_eq!(
                        (stats.linked + stats.reflinked + stats.copied, stats.dirs),
                        (totals.files, totals.dirs)
                    );
                    let found = without_own_attribute(snapshot(&lab.path(&case)));
                    let wanted = expected(source.clone(), format, mode, ownership, links);
                    assert_eq!(difference(&found, &wanted), Vec::<String>::new(), "{case}");
                }
            }
        }
    }
}

#[test]
fn a_checkout_is_the_one_that_the_real_ostree_makes() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let dir = lab.tree("tree", &rich_tree());
    if is_root() {
        make_foreign(&lab.path("tree"));
    }
    for mode in MODES {
        let name = format!("repo-{mode:?}");
        let repo = lab.repo(&name, Format::Ostree, mode);
        let outcome = commit(&repo, &dir);
        for (ownership, flag) in [(Ownership::Full, None), (Ownership::User, Some("-U"))] {
            for (links, copy_flag) in [(LinkPolicy::Prefer, None), (LinkPolicy::Copy, Some("-C"))] {
                let case = format!("{mode:?} {ownership:?} {links:?}");
                let (ours, theirs) = (format!("ours {case}"), lab.path(&format!("theirs {case}")));
                let mut args = lab.args(&name, &["checkout", "main", theirs.to_str().unwrap()]);
                args.extend(flag.into_iter().chain(copy_flag).map(str::to_owned));
                ostree.run(args).unwrap();
                let zero_dir_mtime = links != LinkPolicy::Copy;
                let options = CheckoutOptions { links, zero_dir_mtime, ..options(ownership) };
                checkout(&lab, &repo, &outcome, &ours, &options);
                // It copies what it hardlinks only with care; the attribute of its own is all that shows.
                let mut found = without_own_attribute(snapshot(&lab.path(&ours)));
                let mut wanted = without_own_attribute(snapshot(&theirs));
                for seen in found.values_mut().chain(wanted.values_mut()) {
                    seen.dir_mtime = seen.dir_mtime.filter(|_| zero_dir_mtime);
                }
                assert_eq!(difference(&found, &wanted), Vec::<String>::new(), "{case}");
            }
        }
    }
}

#[test]
fn files_are_hardlinked_just_where_repository_and_checkout_keep_them_alike() {
    let lab = Lab::new();
    let dir = lab.tree("tree", &rich_tree());
    for mode in MODES {
        let repo = lab.repo(&format!("repo-{mode:?}"), Format::Native, mode);
        let outcome = commit(&repo, &dir);
        for ownership in [Ownership::Full, Ownership::User] {
            let to = format!("{mode:?} {ownership:?}");
            let links = LinkPolicy::Require;
            let alike = match mode {
                Mode::Bare => ownership == Ownership::Full,
                Mode::BareUser => ownership == Ownership::User,
                Mode::BareUserOnly => true,
                Mode::Archive | Mode::BareSplitXattrs => false,
            };
            let options = CheckoutOptions { links, ..options(ownership) };
            let run = repo.checkout(&whole(&outcome), &lab.dir("."), Path::new(&to), &options, &|_| ());
            if alike {
                // Two empty files; and symlinks, where they are kept as something else.
                assert!(run.unwrap().linked >= outcome.tree.totals.files - 2 - 4, "{to}");
                let nlink = |path: &str| fsio::stat(&open(&lab.path(&to)), path).unwrap().nlink;
                assert!(nlink("a.txt") >= 2 && nlink("empty") == 1, "{to}");
            } else {
                let Err(Error::CheckoutFile { source, .. }) = run else { panic!("{to}: {run:?}") };
                assert!(matches!(*source, StoreError::NoLink { .. }), "{to}");
            }
        }
    }
}

#[test]
fn a_subpath_that_is_a_directory_becomes_the_checkout_and_a_file_goes_into_it() {
    let lab = Lab::new();
    let dir = lab.tree("tree", &rich_tree());
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let outcome = commit(&repo, &dir);
    let at = |path: &str, to: &str| {
        let path = TreePath::parse(path).unwrap();
        let from = Checkout { root: outcome.tree.root, subpath: Some(&path) };
        repo.checkout(&from, &lab.dir("."), Path::new(to), &options(Ownership::User), &|_| ())
    };
    at("/usr/lib", "o").unwrap();
    assert_eq!(snapshot(&lab.path("o")).len(), 2);
    at("/a.txt", "one").unwrap();
    let stat = fsio::stat(&lab.dir("."), "one").unwrap();
    assert_eq!(stat.mode, 0o700);
    assert!(lab.path("one/a.txt").is_file());
    at("/lnk", "one").unwrap();
    assert!(matches!(at("/lnk", "one"), Err(Error::CheckoutConflict { path, .. }) if path == "one/lnk"));
    assert!(matches!(at("/nothing", "two"), Err(Error::NoSuchPath { .. })));
    assert!(!lab.path("two").exists());
}

#[test]
fn entries_for_whiteouts_become_devices_when_that_is_asked_for() {
    let lab = Lab::new();
    let mut tree = sapwood_testkit::Tree::default();
    tree.file("d/.ostree-wh.hidden", "").mode(0o640);
    tree.file("d/.ostree-wh.", "no name");
    let dir = lab.tree("tree", &tree);
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let outcome = commit(&repo, &dir);
    checkout(&lab, &repo, &outcome, "plain", &options(Ownership::Full));
    assert!(lab.path("plain/d/.ostree-wh.hidden").is_file());
    let options = CheckoutOptions { passthrough_whiteouts: true, ..options(Ownership::Full) };
    let run = repo.checkout(&whole(&outcome), &lab.dir("."), Path::new("devices"), &options, &|_| ());
    if !is_root() && run.is_err() {
        return skipped("the kernel lets only root make whiteouts");
    }
    run.unwrap();
    let found = snapshot(&lab.path("devices/d"));
    let hidden = &found[Path::new("hidden")];
    assert_eq!((hidden.mode, hidden.rdev), (0o020_640, 0));
    assert!(found.contains_key(Path::new(".ostree-wh.")));
}

#[test]
fn named_pipes_of_the_native_format_come_out_as_named_pipes() {
    let lab = Lab::new();
    let dir = lab.dir("tree");
    fsio::make_node(&dir, "pipe", fsio::Kind::Fifo, 0o640, 0).unwrap();
    for mode in [Mode::Bare, Mode::BareUser, Mode::Archive] {
        let repo = lab.repo(&format!("repo-{mode:?}"), Format::Native, mode);
        let outcome = commit(&repo, &dir);
        let to = format!("{mode:?}");
        checkout(&lab, &repo, &outcome, &to, &options(Ownership::Full));
        let stat = fsio::stat(&open(&lab.path(&to)), "pipe").unwrap();
        assert_eq!((stat.kind, stat.mode), (fsio::Kind::Fifo, 0o640));
    }
}

#[test]
fn device_nodes_of_the_native_format_pass_through_every_mode_as_they_are() {
    let lab = Lab::new();
    let dir = lab.dir("tree");
    if fsio::make_node(&dir, "null", fsio::Kind::CharDevice, 0o620, rustix::fs::makedev(1, 3)).is_err() {
        return skipped("only root makes device nodes");
    }
    fsio::make_node(&dir, "far", fsio::Kind::BlockDevice, 0o660, rustix::fs::makedev(300, 70_000)).unwrap();
    fsio::make_node(&dir, "pipe", fsio::Kind::Fifo, 0o640, 0).unwrap();
    for name in ["null", "far", "pipe"] {
        fsio::set_owner_of(&dir, name, 5, 6).unwrap();
        fsio::xattr::set_of(&dir, name, b"trusted.a", b"1").unwrap();
    }
    let source = snapshot(&lab.path("tree"));
    let mut previous: Option<Repo> = None;
    for mode in [Mode::Bare, Mode::BareUser, Mode::Archive, Mode::Bare] {
        let name = format!("repo-{}-{mode:?}", previous.is_some());
        let repo = lab.repo(&name, Format::Native, mode);
        // The first one records them, each other one takes them over from the one before.
        let outcome = commit(previous.as_ref().unwrap_or(&repo), &dir);
        if let Some(from) = &previous {
            let txn = repo.begin().unwrap();
            from.store()
                .for_each(&mut |name| txn.objects().import(from.store(), name, Trust::Untrusted))
                .unwrap();
            txn.commit().unwrap();
        }
        assert!(repo.fsck(&FsckOptions::default(), &|_| ()).unwrap().findings.is_empty(), "{name}");
        let to = format!("{name}-out");
        checkout(&lab, &repo, &outcome, &to, &options(Ownership::Full));
        let (mut found, mut wanted) = (snapshot(&lab.path(&to)), source.clone());
        for seen in found.values_mut().chain(wanted.values_mut()) {
            seen.dir_mtime = None;
        }
        assert_eq!(difference(&found, &wanted), Vec::<String>::new(), "{name}");
        // A device that belongs to the user is one that the user may use.
        let from = Checkout { root: outcome.tree.root, subpath: None };
        let to = format!("{name}-of-the-user");
        let run = repo.checkout(&from, &lab.dir("."), Path::new(&to), &options(Ownership::User), &|_| ());
        assert!(matches!(run, Err(Error::CheckoutFile { .. })), "{run:?}");
        for device in ["null", "far"] {
            assert!(!lab.path(&to).join(device).exists(), "{name} {device}");
        }
        previous = Some(repo);
    }
}

type Fill = fn(&mut Tree);

#[test]
fn what_needs_no_hardlink_is_checked_out_where_hardlinks_are_required_as_the_real_ostree_does() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let trees: [(&str, Fill); 3] = [
        ("dirs", |tree| _ = tree.dir("d").mode(0o777)),
        ("empty", |tree| _ = tree.file("d/empty", "")),
        ("symlink", |tree| _ = tree.symlink("link", "target")),
    ];
    for mode in MODES {
        let name = format!("repo-{mode:?}");
        let repo = lab.repo(&name, Format::Ostree, mode);
        for (tree_name, fill) in trees {
            let mut tree = Tree::default();
            fill(&mut tree);
            let dir = lab.tree(&format!("{name}-{tree_name}"), &tree);
            let outcome = commit(&repo, &dir);
            for (ownership, flag) in [(Ownership::Full, None), (Ownership::User, Some("-U"))] {
                let case = format!("{mode:?}-{tree_name}-{ownership:?}");
                let theirs = lab.path(&format!("theirs-{case}"));
                let mut args = lab.args(&name, &["checkout", "-H", "main", theirs.to_str().unwrap()]);
                args.extend(flag.map(str::to_owned));
                let real = ostree.run(args);
                let options = CheckoutOptions { links: LinkPolicy::Require, ..options(ownership) };
                let run = repo.checkout(&whole(&outcome), &lab.dir("."), Path::new(&case), &options, &|_| ());
                assert_eq!(run.is_ok(), real.is_ok(), "{case}: {run:?} {real:?}");
            }
        }
    }
}
