//! Directories that are consumed: files become objects by a second name, and go once that is durable.

use crate::commit_fixture::{Lab, Seen, branch, on, open, snapshot};
use sapwood_fsio::fault;
use sapwood_objstore::{Commit, Format, Id, Mode, Verdict};
use sapwood_repo::{Error, ImportOptions, Modifiers, Node, Repo, Result, SkipList, TreePath};
use sapwood_testkit::Tree;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

fn tree() -> Tree {
    let mut tree = Tree::default();
    tree.file("a", "first");
    tree.file("d/large", vec![5; 400_000]);
    tree.file("d/twin", "first");
    tree.file("d/e/deep", "deep").mode(0o755);
    tree.dir("d/empty");
    tree.symlink("link", "a");
    tree
}

fn import() -> ImportOptions {
    ImportOptions { threads: 1, ..ImportOptions::default() }
}

/// Commits and consumes; what is still there then, as the library tells it.
fn consume(repo: &Repo, dir: &Path, options: &ImportOptions) -> Result<(Id<Commit>, Vec<PathBuf>)> {
    let dir = open(dir);
    let mut txn = repo.begin()?;
    let mut builder = repo.build_tree(&txn, options)?;
    let consumed = builder.consume_dir(&dir, &|_| ())?;
    let tree = builder.finish()?.tree;
    let commit = repo.stage_commit(&mut txn, tree, &on("main"))?;
    txn.commit()?;
    Ok((commit, consumed.remove(&dir)?))
}

fn ino(path: &Path) -> u64 {
    path.symlink_metadata().unwrap().ino()
}

/// The object that a path of a commit is, on disk.
fn object(lab: &Lab, repo: &Repo, commit: Id<Commit>, path: &str) -> PathBuf {
    let node = repo.lookup(repo.root(commit).unwrap(), &TreePath::parse(path).unwrap()).unwrap();
    let Node::File(file) = node else { panic!("{path}") };
    let id = file.id.to_hex();
    lab.path(&format!("repo/objects/{}/{}.file", &id[..2], &id[2..]))
}

fn verify_all(repo: &Repo) {
    let check = &mut |name| {
        assert_eq!(repo.store().verify(name)?, Verdict::Good, "{name}");
        Ok(())
    };
    repo.store().for_each(check).unwrap();
}

#[test]
fn consumed_files_become_objects_where_they_are_as_objects_must_be() {
    for mode in [Mode::Bare, Mode::BareUserOnly, Mode::BareUser, Mode::Archive] {
        let lab = Lab::new();
        let repo = lab.repo("repo", Format::Ostree, mode);
        lab.tree("t", &tree());
        let before = ["a", "d/large", "d/e/deep"].map(|path| (path, ino(&lab.path("t").join(path))));
        let (commit, left) = consume(&repo, &lab.path("t"), &import()).unwrap();
        assert_eq!(left, [] as [PathBuf; 0]);
        assert_eq!(std::fs::read_dir(lab.path("t")).unwrap().count(), 0, "{mode:?}");
        verify_all(&repo);
        for (path, inode) in before {
            let Node::File(file) =
                repo.lookup(repo.root(commit).unwrap(), &TreePath::parse(path).unwrap()).unwrap()
            else {
                panic!("{path}")
            };
            assert!(repo.store().contains(file.id.name()).unwrap());
            if matches!(mode, Mode::Bare | Mode::BareUserOnly) {
                let object = object(&lab, &repo, commit, path);
                assert_eq!(ino(&object), inode, "{mode:?} {path}");
                let meta = object.metadata().unwrap();
                assert_eq!((meta.nlink(), meta.mtime()), (1, 0), "{mode:?} {path}");
            }
        }
    }
}

#[test]
fn a_file_that_is_recorded_differently_is_copied() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Bare);
    let mut tree = Tree::default();
    tree.file("program", "x").mode(0o755);
    tree.file("labelled", "x").xattr("user.a", b"1");
    tree.file("plain", "y").mode(0o644);
    lab.tree("t", &tree);
    let names = ["program", "labelled", "plain"];
    let before = names.map(|name| ino(&lab.path("t").join(name)));
    let program = std::fs::File::open(lab.path("t/program")).unwrap();
    let modifiers = Modifiers { mode_ro_executables: true, no_xattrs: true, ..Modifiers::default() };
    let options = ImportOptions { modifiers, ..import() };
    let (commit, _) = consume(&repo, &lab.path("t"), &options).unwrap();
    let is_same: Vec<_> = names
        .iter()
        .zip(before)
        .map(|(name, inode)| ino(&object(&lab, &repo, commit, name)) == inode)
        .collect();
    assert_eq!(is_same, [false, false, true]);
    verify_all(&repo);
    let copied = program.metadata().unwrap();
    assert_eq!((copied.mode() & 0o7777, copied.nlink()), (0o755, 0));
    assert_ne!(copied.mtime(), 0);
}

#[test]
fn what_changes_before_it_is_removed_stays() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    lab.tree("t", &tree());
    let dir = open(&lab.path("t"));
    let mut txn = repo.begin().unwrap();
    let options = import();
    let mut builder = repo.build_tree(&txn, &options).unwrap();
    let consumed = builder.consume_dir(&dir, &|_| ()).unwrap();
    let tree = builder.finish().unwrap().tree;
    repo.stage_commit(&mut txn, tree, &on("main")).unwrap();
    txn.commit().unwrap();
    std::fs::write(lab.path("t/d/twin"), "other").unwrap();
    std::fs::write(lab.path("t/d/e/added"), "new").unwrap();
    std::fs::remove_file(lab.path("t/a")).unwrap();
    assert_eq!(consumed.remove(&dir).unwrap(), ["d/e/added", "d/twin"].map(PathBuf::from));
    let names: Vec<_> = snapshot(&lab.path("t")).into_keys().collect();
    assert_eq!(names, ["", "d", "d/e", "d/e/added", "d/twin"].map(PathBuf::from));
}

/// Whether a file is an object that can be seen.
fn is_object(lab: &Lab, path: &Path) -> bool {
    let shards = std::fs::read_dir(lab.path("repo/objects")).unwrap();
    let mut files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.any(|file| ino(&file.unwrap().path()) == ino(path))
}

/// Content and modes: times of files that were to become objects are gone.
fn content(path: &Path) -> Vec<(PathBuf, u32, Vec<u8>)> {
    let seen = |(path, seen): (PathBuf, Seen)| (path, seen.mode, seen.content);
    snapshot(path).into_iter().map(seen).collect()
}

#[test]
fn whatever_write_is_the_last_all_that_was_to_be_consumed_is_in_its_place_or_committed() {
    for (mode, format) in [(Mode::Bare, Format::Ostree), (Mode::BareUserOnly, Format::Native)] {
        let lab = Lab::in_memory();
        let repo = lab.repo("wanted", format, mode);
        lab.tree("t", &tree());
        let (wanted, _) = consume(&repo, &lab.path("t"), &import()).unwrap();
        let wanted = repo.root(wanted).unwrap();
        for step in 1.. {
            let lab = Lab::in_memory();
            let repo = lab.repo("repo", format, mode);
            lab.tree("t", &tree());
            let before = content(&lab.path("t"));
            let run = fault::crash_at(step, || consume(&repo, &lab.path("t"), &import()));
            let again = Repo::open(&lab.dir("repo")).unwrap();
            verify_all(&again);
            if let Some(tip) = again.ref_target(&branch("main")).unwrap() {
                assert_eq!(again.root(tip).unwrap(), wanted, "{mode:?} {step}");
            } else {
                assert_eq!(content(&lab.path("t")), before, "{mode:?} {step}");
                let paths = ["a", "d/large", "d/twin", "d/e/deep"].map(|path| lab.path("t").join(path));
                if !paths.iter().any(|path| is_object(&lab, path)) {
                    // Who has the files back may write to them: what was staged of them is nobody's object.
                    std::fs::write(lab.path("t/a"), "mine").unwrap();
                    again.commit_dir(&lab.dir("other"), &import(), &on("other"), &|_| ()).unwrap();
                    for path in paths {
                        assert!(!is_object(&lab, &path), "{mode:?} {step} {}", path.display());
                    }
                    verify_all(&again);
                }
            }
            if !run.fired {
                assert!(step > 20, "it needs more writes than that");
                break;
            }
        }
    }
}

#[test]
fn a_tree_that_holds_the_repository_is_not_consumed() {
    for (place, skip) in [("t/d/repo", ""), ("t/d/repo", "/d\n"), ("t/repo", "/repo\n"), ("t", "")] {
        for mode in [Mode::Bare, Mode::BareUserOnly, Mode::Archive] {
            let lab = Lab::new();
            lab.tree("t", &tree());
            let repo = lab.repo(place, Format::Ostree, mode);
            let options = ImportOptions { skip: SkipList::parse(skip), ..import() };
            let run = consume(&repo, &lab.path("t"), &options);
            assert!(matches!(run, Err(Error::Unrecordable { .. })), "{place} {skip} {run:?}");
            assert_eq!(repo.refs().unwrap(), []);
            assert_eq!(std::fs::read(lab.path("t/d/twin")).unwrap(), b"first");
            // Who does not consume it commits what else is there, as before.
            repo.commit_dir(&open(&lab.path("t")), &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
        }
    }
}
