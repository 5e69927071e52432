//! Commits: the same ids as the real `ostree`, in every mode and with every option.

use crate::commit_fixture::{FORMATS, Lab, MODES, branch, is_root, make_foreign, on, rich_tree};
use proptest::prelude::*;
use sapwood_fsio::{self as fsio};
use sapwood_objstore::{Format, Id, Mode, ObjectId, Value};
use sapwood_repo::{CommitOptions, Error, ImportOptions, Modifiers, Parent, RefName, Repo};
use sapwood_testkit::{Ostree, Tree, skipped, strategies};
use std::os::unix::ffi::OsStrExt as _;

fn import_with(modifiers: Modifiers) -> ImportOptions {
    ImportOptions { modifiers, threads: 2, ..ImportOptions::default() }
}

fn commit(repo: &Repo, dir: &fsio::Dir, modifiers: &Modifiers, options: &CommitOptions) -> String {
    repo.commit_dir(dir, &import_with(modifiers.clone()), options, &|_| ()).unwrap().commit.to_hex()
}

/// The modifiers, as options of the real program.
fn flags(modifiers: &Modifiers) -> Vec<String> {
    let mut flags = Vec::new();
    flags.extend(modifiers.owner_uid.map(|uid| format!("--owner-uid={uid}")));
    flags.extend(modifiers.owner_gid.map(|gid| format!("--owner-gid={gid}")));
    flags.extend(modifiers.no_xattrs.then(|| "--no-xattrs".to_owned()));
    flags.extend(modifiers.canonical_permissions.then(|| "--canonical-permissions".to_owned()));
    flags
}

fn all_modifiers() -> Vec<Modifiers> {
    let none = Modifiers::default();
    vec![
        none.clone(),
        Modifiers { no_xattrs: true, ..none.clone() },
        Modifiers { owner_uid: Some(0), owner_gid: Some(0), ..none.clone() },
        Modifiers { owner_uid: Some(70_000), ..none.clone() },
        Modifiers { canonical_permissions: true, ..none },
    ]
}

fn real_commit(lab: &Lab, ostree: &Ostree, repo: &str, tree: &str, modifiers: &Modifiers) -> String {
    let tree = lab.path(tree);
    let mut args =
        lab.args(repo, &["commit", "-b", "main", "--timestamp=@1700000000", tree.to_str().unwrap()]);
    args.extend(flags(modifiers));
    ostree.run(args).unwrap().trim().to_owned()
}

#[test]
fn ids_are_those_of_the_real_ostree_in_every_mode_with_every_modifier() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let dir = lab.tree("tree", &rich_tree());
    if is_root() {
        make_foreign(&lab.path("tree"));
    }
    for mode in MODES {
        for (index, modifiers) in all_modifiers().iter().enumerate() {
            // Foreign owners of real inodes take root, in canonical form too.
            let foreign = modifiers.owner_uid.is_some() || modifiers.canonical_permissions;
            if mode == Mode::Bare && foreign && !is_root() {
                continue;
            }
            let (real, ours) = (format!("real-{mode:?}-{index}"), format!("ours-{mode:?}-{index}"));
            lab.real_repo(&real, &ostree, mode);
            let expected = real_commit(&lab, &ostree, &real, "tree", modifiers);
            let repo = lab.repo(&ours, Format::Ostree, mode);
            let id = commit(&repo, &dir, modifiers, &on("main"));
            assert_eq!(id, expected, "{mode:?} {modifiers:?}");
            let checked = ostree.run(lab.args(&ours, &["fsck", "--quiet"]));
            assert!(checked.is_ok(), "{mode:?} {modifiers:?}: {checked:?}");
        }
    }
}

#[test]
fn a_directory_of_20000_entries_has_the_id_that_the_real_ostree_gives() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let mut tree = Tree::default();
    for n in 0..20_000 {
        tree.symlink(&format!("d/{}", n * 7919 % 20_000), "target");
    }
    let dir = lab.tree("tree", &tree);
    lab.real_repo("real", &ostree, Mode::BareUser);
    let expected = real_commit(&lab, &ostree, "real", "tree", &Modifiers::default());
    let repo = lab.repo("ours", Format::Ostree, Mode::BareUser);
    let outcome = repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
    assert_eq!(outcome.commit.to_hex(), expected);
    assert_eq!((outcome.tree.totals.files, outcome.tree.totals.dirs), (20_000, 2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_has_the_id_that_the_real_ostree_gives(tree in strategies::trees()) {
        let Some(ostree) = Ostree::find() else {
            skipped("the real ostree is not installed");
            return Ok(());
        };
        let lab = Lab::new();
        let dir = lab.tree("tree", &tree);
        for (mode, modifiers) in [
            (Mode::Archive, Modifiers::default()),
            (Mode::BareUserOnly, Modifiers::default()),
            (Mode::BareUser, Modifiers { owner_uid: Some(0), owner_gid: Some(3), ..Modifiers::default() }),
        ] {
            let (real, ours) = (format!("real-{mode:?}"), format!("ours-{mode:?}"));
            lab.real_repo(&real, &ostree, mode);
            let expected = real_commit(&lab, &ostree, &real, "tree", &modifiers);
            let repo = lab.repo(&ours, Format::Ostree, mode);
            prop_assert_eq!(commit(&repo, &dir, &modifiers, &on("main")), expected);
        }
    }
}

#[test]
fn subject_body_metadata_bindings_and_parent_are_written_as_the_real_ostree_writes_them() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let mut tree = Tree::default();
    tree.file("a", "1");
    let dir = lab.tree("tree", &tree);
    lab.real_repo("real", &ostree, Mode::Archive);
    let repo = lab.repo("ours", Format::Ostree, Mode::Archive);
    let tree_path = lab.path("tree");
    let first = real_commit(&lab, &ostree, "real", "tree", &Modifiers::default());
    assert_eq!(commit(&repo, &dir, &Modifiers::default(), &on("main")), first);

    // (further arguments of the real program, the same for us)
    let with = |change: &dyn Fn(&mut CommitOptions)| {
        let mut options = on("main");
        change(&mut options);
        options
    };
    let base = Id::new(ObjectId::from_hex(&first).unwrap());
    let cases: Vec<(Vec<&str>, CommitOptions)> = vec![
        (
            vec!["-b", "main", "-s", "Sübject", "-m", "body\nof lines", "--add-metadata-string=version=1.0"],
            with(&|o| {
                o.subject = "Sübject".into();
                o.body = "body\nof lines".into();
                o.metadata.set("version", Value::Str("1.0".into()));
            }),
        ),
        (
            vec!["-b", "main", "--parent=none", "--add-metadata-string=z=1", "--add-metadata-string=a=2"],
            with(&|o| {
                o.parent = Parent::None;
                o.metadata.set("z", Value::Str("1".into()));
                o.metadata.set("a", Value::Str("2".into()));
            }),
        ),
        (
            vec!["-b", "zweig", "--bind-ref=other", "--bind-ref=aaa"],
            with(&|o| {
                o.branch = Some(branch("zweig"));
                o.bind_refs = vec![RefName::new("other").unwrap(), RefName::new("aaa").unwrap()];
            }),
        ),
        (
            vec!["--orphan", "--no-bindings"],
            with(&|o| {
                o.branch = None;
                o.no_bindings = true;
            }),
        ),
        (vec!["--orphan"], with(&|o| o.branch = None)),
        (vec!["-b", "main", "--parent", &first], with(&|o| o.parent = Parent::Commit(base))),
    ];
    for (args, options) in cases {
        let mut all = lab.args("real", &["commit", "--timestamp=@1700000000", tree_path.to_str().unwrap()]);
        all.extend(args.iter().map(|arg| (*arg).to_owned()));
        let expected = ostree.run(all).unwrap().trim().to_owned();
        assert_eq!(commit(&repo, &dir, &Modifiers::default(), &options), expected, "{args:?}");
    }
    let real = ostree.run(lab.args("real", &["rev-parse", "main"])).unwrap();
    assert_eq!(repo.ref_target(&branch("main")).unwrap().unwrap().to_hex(), real.trim());
}

#[test]
fn totals_and_counts_are_those_of_the_tree_in_both_formats() {
    for format in FORMATS {
        let lab = Lab::new();
        let tree = rich_tree();
        let dir = lab.tree("tree", &tree);
        let repo = lab.repo("repo", format, Mode::BareUser);
        let outcome = repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
        let symlinks = 4;
        let (files, bytes) = tree.size();
        let totals = outcome.tree.totals;
        assert_eq!((totals.files, totals.bytes), ((files + symlinks) as u64, bytes as u64));
        // usr, usr/bin, usr/lib, long, 日本語 and its child, five that are named, and the root.
        assert_eq!(totals.dirs, 12);
        let stored = repo.store().load(outcome.commit).unwrap().totals;
        assert_eq!(stored, format.records_sizes().then_some(totals));
    }
}

#[test]
fn what_cannot_be_recorded_is_refused_by_its_path_and_no_ref_moves() {
    type Make = fn(&std::path::Path);
    let cases: [(&str, &str, Make); 4] = [
        ("/d/socket", "socket", |dir| {
            drop(std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap());
        }),
        ("/d/pipe", "pipe", |dir| {
            rustix::fs::mknodat(
                rustix::fs::CWD,
                dir.join("pipe"),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR,
                0,
            )
            .unwrap();
        }),
        ("/d/link", "UTF-8", |dir| {
            std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(b"\xff"), dir.join("link")).unwrap();
        }),
        ("/d/\u{fffd}name", "UTF-8", |dir| {
            drop(std::fs::File::create(dir.join(std::ffi::OsStr::from_bytes(b"\xffname"))).unwrap());
        }),
    ];
    for (place, reason, make) in cases {
        let lab = Lab::new();
        let dir = lab.dir("tree");
        drop(lab.dir("tree/d"));
        make(&lab.path("tree/d"));
        let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
        let error = repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap_err();
        let Error::Unrecordable { path, reason: said } = &error else { panic!("{error:?}") };
        assert_eq!(path, place);
        assert!(said.contains(reason), "{said}");
        assert_eq!(repo.ref_target(&branch("main")).unwrap(), None);
    }
}

#[test]
fn the_native_format_records_named_pipes() {
    let lab = Lab::new();
    let dir = lab.dir("tree");
    fsio::make_node(&dir, "pipe", fsio::Kind::Fifo, 0o640, 0).unwrap();
    for mode in [Mode::Bare, Mode::BareUser, Mode::Archive] {
        let repo = lab.repo(&format!("{mode:?}"), Format::Native, mode);
        let outcome = repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
        assert_eq!(outcome.tree.totals.files, 1);
    }
}

#[test]
fn a_tree_deeper_than_the_limit_is_refused_and_one_of_just_that_depth_is_not() {
    let lab = Lab::new();
    let dir = lab.tree("tree", &{
        let mut tree = Tree::default();
        tree.file("1/2/3/4/file", "x");
        tree
    });
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let import = |max_depth| {
        let options = ImportOptions { max_depth, ..ImportOptions::default() };
        repo.commit_dir(&dir, &options, &on("main"), &|_| ())
    };
    assert!(matches!(import(4), Err(Error::TooDeep { limit: 4 })));
    assert_eq!(import(5).unwrap().tree.totals.dirs, 5);
}

#[test]
fn a_tree_of_1000_levels_is_committed_by_few_threads_with_ordinary_stacks() {
    let lab = Lab::new();
    let mut dir = lab.dir("tree");
    for _ in 0..999 {
        dir = fsio::create_dir(&dir, "d", 0o755).unwrap();
    }
    drop(dir);
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if open_files.is_some_and(|limit| limit < 2500) {
        return skipped("too few files may be open");
    }
    let outcome = repo.commit_dir(&lab.dir("tree"), &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
    assert_eq!(outcome.tree.totals.dirs, 1000);
}

#[test]
fn a_branch_that_moves_meanwhile_is_not_overwritten() {
    let lab = Lab::new();
    let mut tree = Tree::default();
    tree.file("a", "1");
    let dir = lab.tree("tree", &tree);
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let mut slow = repo.begin().unwrap();
    let imported = repo.import(&slow, &dir, &ImportOptions::default(), &|_| ()).unwrap();
    repo.stage_commit(&mut slow, imported, &on("main")).unwrap();
    let other = CommitOptions { subject: "another".into(), ..on("main") };
    let first = repo.commit_dir(&dir, &ImportOptions::default(), &other, &|_| ()).unwrap();
    assert!(matches!(slow.commit(), Err(Error::RefMoved { .. })));
    assert_eq!(repo.ref_target(&branch("main")).unwrap(), Some(first.commit));
}
