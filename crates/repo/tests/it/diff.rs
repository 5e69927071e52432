//! Differences between trees, committed and on disk, and what they cost to download.

use crate::commit_fixture::{FORMATS, Lab, on, open, rich_tree};
use proptest::prelude::*;
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::{
    Change, ChangeKind, DiffOptions, DiffSide, Download, ImportOptions, Modifiers, Node, Repo, TreePath,
    diff_trees,
};
use sapwood_testkit::{Ostree, Tree, skipped, strategies};
use std::path::Path;

fn commit(repo: &Repo, lab: &Lab, tree: &str) -> Id<Commit> {
    repo.commit_dir(&lab.dir(tree), &ImportOptions::default(), &on(tree), &|_| ()).unwrap().commit
}

/// Changes as lines, without sizes.
fn lines(changes: &[Change]) -> Vec<String> {
    let letter = |kind| match kind {
        ChangeKind::Added => "A",
        ChangeKind::Removed => "D",
        ChangeKind::Modified => "M",
    };
    changes.iter().map(|change| format!("{}    {}", letter(change.kind), change.path)).collect()
}

#[test]
fn differences_are_those_that_ostree_lists() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let (mut a, mut b) = (rich_tree(), rich_tree());
    a.file("dir-to-file/sub/f", "1");
    b.file("dir-to-file", "3");
    a.file("file-to-dir", "1");
    b.file("file-to-dir/g", "2");
    a.file("gone/x/f", "4");
    b.file("new/y/f", "4");
    a.symlink("link", "a");
    b.file("link", "l");
    b.file("a.txt", "changed");
    b.dir("void").mode(0o700);
    a.file("usr/share/1", "1");
    b.file("usr/share/1.1", "1");
    lab.tree("a", &a);
    lab.tree("b", &b);
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let [from, to] = ["a", "b"].map(|name| repo.root(commit(&repo, &lab, name)).unwrap());
    for (from, to, names) in [(from, to, ["a", "b"]), (to, from, ["b", "a"]), (from, from, ["a", "a"])] {
        let changes = diff_trees(&repo, from, to, &DiffOptions::default()).unwrap();
        let mut ours = lines(&changes);
        let theirs = ostree.run(lab.args("repo", &["diff", names[0], names[1]])).unwrap();
        let mut theirs: Vec<&str> = theirs.lines().collect();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs);
    }
    let changes = diff_trees(&repo, from, to, &DiffOptions::default()).unwrap();
    let text = changes.iter().find(|change| change.path == "/a.txt").unwrap();
    assert_eq!((text.old_bytes, text.new_bytes), (Some(6), Some(7)));
}

#[test]
fn a_diff_reads_no_directory_that_is_the_same() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let mut tree = rich_tree();
    lab.tree("a", &tree);
    tree.file("etc/new", "x");
    lab.tree("b", &tree);
    let [from, to] = ["a", "b"].map(|name| repo.root(commit(&repo, &lab, name)).unwrap());
    let Node::Dir(usr) = repo.lookup(from, &TreePath::parse("usr").unwrap()).unwrap() else { panic!() };
    repo.store().remove(usr.tree.name()).unwrap();
    let changes = diff_trees(&repo, from, to, &DiffOptions::default()).unwrap();
    let paths: Vec<&str> = changes.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["/etc", "/etc/new"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// It is all the same whether a tree is looked at where it was committed or where it is on disk.
    #[test]
    fn a_directory_differs_as_its_commit_does(a in strategies::trees(), b in strategies::trees(), native in any::<bool>()) {
        let lab = Lab::in_memory();
        let format = if native { Format::Native } else { Format::Ostree };
        let repo = lab.repo("repo", format, Mode::Archive);
        // Something in common, so that not all differs.
        let (mut a, mut b) = (a, b);
        for (tree, other) in [(&mut a, "1"), (&mut b, "2")] {
            tree.file("common/same", "s");
            tree.file("common/other", other);
            tree.file("common/longer", other.repeat(other.parse().unwrap()));
        }
        let dirs = [lab.tree("a", &a), lab.tree("b", &b)];
        let roots = ["a", "b"].map(|name| repo.root(commit(&repo, &lab, name)).unwrap());
        let sides = |at: usize| [DiffSide::Tree(roots[at]), DiffSide::Dir(&dirs[at])];
        let options = DiffOptions { threads: 2, ..DiffOptions::default() };
        let committed = diff_trees(&repo, roots[0], roots[1], &options).unwrap();
        prop_assert!(committed.len() >= 2);
        for from in sides(0) {
            for to in sides(1) {
                prop_assert_eq!(&diff_trees(&repo, from, to, &options).unwrap(), &committed);
            }
        }
        for (at, dir) in dirs.iter().enumerate() {
            for to in sides(at) {
                prop_assert_eq!(diff_trees(&repo, dir, to, &options).unwrap(), []);
            }
        }
    }
}

#[test]
fn owners_and_attributes_on_disk_are_taken_as_the_options_say() {
    let lab = Lab::new();
    let mut tree = Tree::default();
    tree.file("d/f", "x").xattr("user.a", b"1");
    lab.tree("t", &tree);
    let repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
    let root = repo.root(commit(&repo, &lab, "t")).unwrap();
    let dir = open(&lab.path("t"));
    let with = |disk: Modifiers| {
        let options = DiffOptions { disk, ..DiffOptions::default() };
        lines(&diff_trees(&repo, root, &dir, &options).unwrap())
    };
    let own = std::os::unix::fs::MetadataExt::uid(&lab.path("t").metadata().unwrap());
    assert_eq!(with(Modifiers::default()), Vec::<String>::new());
    assert_eq!(with(Modifiers { no_xattrs: true, ..Modifiers::default() }), ["M    /d/f"]);
    let all = ["M    /", "M    /d", "M    /d/f"];
    assert_eq!(with(Modifiers { owner_uid: Some(own + 1), ..Modifiers::default() }), all);
    assert_eq!(with(Modifiers { owner_uid: Some(own), ..Modifiers::default() }), Vec::<String>::new());
}

#[test]
fn what_no_commit_can_hold_is_never_the_same() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
    let mut tree = Tree::default();
    tree.file("socket", "x");
    lab.tree("t", &tree);
    let root = repo.root(commit(&repo, &lab, "t")).unwrap();
    std::fs::remove_file(lab.path("t/socket")).unwrap();
    let held = std::os::unix::net::UnixListener::bind(lab.path("t/socket")).unwrap();
    let dir = open(&lab.path("t"));
    for from in [DiffSide::Tree(root), DiffSide::Dir(&dir)] {
        let changes = diff_trees(&repo, from, &dir, &DiffOptions::default()).unwrap();
        assert_eq!(lines(&changes), ["M    /socket"]);
    }
    drop(held);
}

/// Number and size of the files below `objects`.
fn objects(repo: &Path) -> (u64, u64) {
    let shards = std::fs::read_dir(repo.join("objects")).unwrap();
    let files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    files.fold((0, 0), |(count, bytes), file| (count + 1, bytes + file.unwrap().metadata().unwrap().len()))
}

#[test]
fn what_is_to_be_downloaded_is_what_a_second_commit_adds_to_an_archive() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        let mut tree = rich_tree();
        lab.tree("one", &tree);
        tree.file("usr/lib/large", "smaller".repeat(1000));
        tree.file("usr/lib/new/deep", "new".repeat(300));
        tree.file("usr/lib/new/again", "new".repeat(300));
        lab.tree("two", &tree);
        let one = commit(&repo, &lab, "one");
        let before = objects(&lab.path("repo"));
        let two = commit(&repo, &lab, "two");
        let after = objects(&lab.path("repo"));
        let wanted = Download { objects: after.0 - before.0, bytes: after.1 - before.1, uncompressed: 0 };
        assert_eq!(repo.download_between(one, two).unwrap(), wanted);
        assert_eq!(repo.download_between(two, two).unwrap(), Download::default());
    }
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
    let mut tree = rich_tree();
    lab.tree("one", &tree);
    tree.file("usr/lib/new", vec![0; 5000]);
    lab.tree("two", &tree);
    let (one, two) = (commit(&repo, &lab, "one"), commit(&repo, &lab, "two"));
    let found = repo.download_between(one, two).unwrap();
    // The commit, the root, usr, usr/lib, and the file, nobody knows how small it will be.
    assert_eq!((found.objects, found.uncompressed), (5, 1));
    let meta = ["/usr/lib", "/usr", "/"].map(|path| {
        let Node::Dir(dir) = repo.lookup(repo.root(two).unwrap(), &TreePath::parse(path).unwrap()).unwrap()
        else {
            panic!("{path}")
        };
        repo.store().stored_size(dir.tree.name()).unwrap()
    });
    let commit = repo.store().stored_size(two.name()).unwrap();
    assert_eq!(found.bytes, 5000 + commit + meta.iter().sum::<u64>());
}
