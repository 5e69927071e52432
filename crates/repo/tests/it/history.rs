//! What both programs say of the same refs, histories, trees and summaries.

use crate::commit_fixture::{FORMATS, Lab, branch, on, rich_tree};
use sapwood_objstore::{Commit, Format, Id, Mode, ObjectId, Value};
use sapwood_repo::{
    CommitOptions, Error, Expected, ImportOptions, Node, RefEdit, RefName, Refspec, Repo, TreePath, WalkEntry,
};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::collections::BTreeSet;

fn commit(repo: &Repo, lab: &Lab, tree: &str, options: &CommitOptions) -> Id<Commit> {
    let dir = lab.dir(tree);
    repo.commit_dir(&dir, &ImportOptions::default(), options, &|_| ()).unwrap().commit
}

fn small(content: &str) -> Tree {
    let mut tree = Tree::default();
    tree.file("a", content);
    tree
}

fn set(name: &str, target: Id<Commit>) -> RefEdit {
    RefEdit::Set { name: Refspec::parse(name).unwrap(), expected: Expected::Any, target }
}

fn id_of(hex: &str) -> Id<Commit> {
    Id::new(ObjectId::from_hex(hex.trim()).unwrap())
}

#[test]
fn refs_written_by_us_are_read_by_ostree_and_the_other_way() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    lab.tree("tree", &small("1"));
    let first = commit(&repo, &lab, "tree", &on("os/main"));
    lab.tree("tree2", &small("2"));
    let second = commit(&repo, &lab, "tree2", &on("os/main"));
    let alias =
        RefEdit::Alias { name: RefName::new("os/alias").unwrap(), of: RefName::new("os/main").unwrap() };
    repo.edit_refs(vec![set("old", first), alias, set("origin:rem", second), set("é/日本", first)]).unwrap();

    let run = |args: &[&str]| ostree.run(lab.args("repo", args));
    let shown: BTreeSet<String> = run(&["refs"]).unwrap().lines().map(str::to_owned).collect();
    let ours: BTreeSet<String> = repo.refs().unwrap().iter().map(|entry| entry.name.to_string()).collect();
    assert_eq!(shown, ours);
    assert_eq!(run(&["refs", "-A"]).unwrap(), "os/alias -> os/main\n");
    for revision in
        ["os/main", "old", "os/alias", "origin:rem", "rem", "os/main^", "é/日本", &second.to_hex()[..9]]
    {
        let theirs = run(&["rev-parse", revision]);
        assert_eq!(repo.resolve(revision).ok(), theirs.ok().map(|id| id_of(&id)), "{revision}");
    }
    for revision in ["os/main^^", "nothing", "origin:none", "none:os", "..", "", "^", "os:x:y", "zz", "-x"] {
        assert!(repo.resolve(revision).is_err(), "{revision}");
    }
    assert!(matches!(repo.resolve("os/main^^"), Err(Error::NoParent { id }) if id == first));

    run(&["refs", "--create=theirs/new", "old"]).unwrap();
    run(&["refs", "--create=theirs/alias", "--alias", "os/main"]).unwrap();
    assert_eq!(repo.ref_target(&branch("theirs/new")).unwrap(), Some(first));
    assert_eq!(repo.ref_target(&branch("theirs/alias")).unwrap(), Some(second));
    // Neither deletes what an alias follows.
    assert!(run(&["refs", "--delete", "os/main"]).is_err());
    let gone = |name: &str| RefEdit::Delete { name: branch(name), expected: Expected::Any };
    assert!(matches!(repo.edit_refs(vec![gone("os/main")]), Err(Error::HasAlias { .. })));
    repo.edit_refs(vec![gone("theirs/alias"), gone("theirs/new"), gone("os/alias"), gone("os/main")])
        .unwrap();
    assert!(!lab.path("repo/refs/heads/os").exists() && !lab.path("repo/refs/heads/theirs").exists());
    run(&["fsck", "-q"]).unwrap();
}

#[test]
fn a_ref_never_points_to_a_commit_that_is_not_here() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::BareUser);
        let missing = Id::new(ObjectId::from_bytes([9; 32]));
        assert!(matches!(repo.edit_refs(vec![set("a", missing)]), Err(Error::Store(_))));
        assert!(repo.refs().unwrap().is_empty());
    }
}

#[test]
fn a_prefix_names_the_only_commit_that_begins_so() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let mut ids = Vec::new();
    for n in 0..40 {
        lab.tree(&format!("t{n}"), &small(&n.to_string()));
        ids.push(commit(&repo, &lab, &format!("t{n}"), &CommitOptions { timestamp: Some(n), ..on("main") }));
    }
    let hex: Vec<String> = ids.iter().map(Id::to_hex).collect();
    for id in &ids {
        assert_eq!(repo.resolve(&id.to_hex()[..12]).unwrap(), *id);
    }
    for length in 1..4 {
        let prefix = &hex[0][..length];
        let count = hex.iter().filter(|id| id.starts_with(prefix)).count();
        match repo.resolve(prefix) {
            Ok(id) => assert!(count == 1 && id == ids[0]),
            Err(Error::AmbiguousRevision { count: found, .. }) => assert!(found == count && count > 1),
            Err(other) => panic!("{other}"),
        }
    }
    // A prefix comes before a ref, as in OSTree.
    repo.edit_refs(vec![set(&hex[3][..6], ids[5])]).unwrap();
    assert_eq!(repo.resolve(&hex[3][..6]).unwrap(), ids[3]);
    assert_eq!(repo.resolve(&format!("{}^^^", hex[39])).unwrap(), ids[36]);
}

#[test]
fn histories_are_the_same_in_both_programs() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    for n in 0..5 {
        lab.tree(&format!("t{n}"), &small(&n.to_string()));
        let options = CommitOptions { subject: format!("commit {n}"), timestamp: Some(n), ..on("main") };
        commit(&repo, &lab, &format!("t{n}"), &options);
    }
    let tip = repo.resolve("main").unwrap();
    let ours: Vec<String> = repo.history(tip).map(|entry| format!("commit {}", entry.unwrap().id)).collect();
    let theirs = ostree.run(lab.args("repo", &["log", "main"])).unwrap();
    let theirs: Vec<&str> = theirs.lines().filter(|line| line.starts_with("commit ")).collect();
    assert_eq!(ours, theirs);
    // Where a commit is gone the history ends.
    let cut = repo.resolve("main^^").unwrap();
    repo.delete_commit(cut).unwrap();
    let mut history = repo.history(tip);
    let ids: Vec<_> = history.by_ref().map(|entry| entry.unwrap().id).collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(history.missing(), Some(cut));
    assert!(repo.history(cut).next().unwrap().is_err(), "a history that begins with nothing is an error");
}

#[test]
fn a_walk_meets_what_ostree_lists() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let mut tree = rich_tree();
    tree.file("deep/1/2/3/4/5/6/7/8", "bottom");
    lab.tree("tree", &tree);
    let id = commit(&repo, &lab, "tree", &on("main"));
    let root = repo.root(id).unwrap();
    let ours: BTreeSet<String> = repo
        .walk(root)
        .map(|entry| match entry.unwrap() {
            WalkEntry::Dir { path, entry } => format!("{} {} {path}", entry.tree, entry.meta),
            WalkEntry::File { path, entry } => format!("{} {path}", entry.id),
        })
        .collect();
    let theirs = ostree.run(lab.args("repo", &["ls", "-R", "-C", "--nul-filenames-only", "main"])).unwrap();
    let paths: BTreeSet<&str> = theirs.split('\0').filter(|path| !path.is_empty() && *path != "/").collect();
    assert_eq!(ours.iter().map(|line| &line[line.find('/').unwrap()..]).collect::<BTreeSet<_>>(), paths);
    for path in paths {
        let node = repo.lookup(root, &TreePath::parse(path).unwrap()).unwrap();
        let listed = ostree.run(lab.args("repo", &["ls", "-d", "-C", "main", path])).unwrap();
        let id = match node {
            Node::Dir(dir) => dir.tree.to_hex(),
            Node::File(file) => file.id.to_hex(),
        };
        assert!(listed.contains(&id), "{path}: {listed}");
    }
    let lookup = |path: &str| repo.lookup(root, &TreePath::parse(path).unwrap());
    assert_eq!(lookup("/").unwrap(), Node::Dir(root));
    assert_eq!(lookup("usr//bin/./su").unwrap(), lookup("/usr/bin/su/").unwrap());
    assert!(matches!(lookup("nothing/x"), Err(Error::NoSuchPath { path }) if path == "/nothing/x"));
    assert!(matches!(lookup("a.txt/x"), Err(Error::WrongType { path, .. }) if path == "/a.txt"));
    assert!(matches!(lookup("lnk/x"), Err(Error::WrongType { .. })), "symlinks are not followed");
    for bad in ["../x", "usr/../a.txt", "a\0b"] {
        assert!(TreePath::parse(bad).is_err(), "{bad}");
    }
}

/// The bytes of both with `last-modified` made the same.
fn without_time(bytes: &[u8]) -> Vec<u8> {
    let key = b"ostree.summary.last-modified\0";
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap() + key.len();
    let at = at.next_multiple_of(8);
    let mut bytes = bytes.to_vec();
    bytes[at..at + 8].fill(0);
    bytes
}

#[test]
fn our_summary_is_byte_for_byte_ostrees() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    for mode in [Mode::Archive, Mode::BareUser] {
        let lab = Lab::new();
        let repo = lab.repo("repo", Format::Ostree, mode);
        let file = lab.path("repo/summary");
        let compare = |what: &str| {
            let summary = repo.update_summary().unwrap();
            let ours = std::fs::read(&file).unwrap();
            assert_eq!(ours, summary.encode(Format::Ostree));
            assert_eq!(repo.summary().unwrap(), Some(summary));
            ostree.run(lab.args("repo", &["summary", "-v"])).unwrap();
            std::fs::remove_file(&file).unwrap();
            ostree.run(lab.args("repo", &["summary", "-u"])).unwrap();
            let theirs = std::fs::read(&file).unwrap();
            assert_eq!(without_time(&ours), without_time(&theirs), "{what}");
            repo.summary().unwrap().unwrap()
        };
        assert!(compare("nothing").refs.is_empty());
        lab.tree("tree", &small("1"));
        commit(&repo, &lab, "tree", &CommitOptions { branch: Some(branch("os/one")), ..on("x") });
        let mut versioned = on("os/two");
        versioned.metadata.set("version", Value::Str("1.5".into()));
        commit(&repo, &lab, "tree", &versioned);
        let alias =
            RefEdit::Alias { name: RefName::new("alias").unwrap(), of: RefName::new("os/two").unwrap() };
        let tip = repo.resolve("os/one").unwrap();
        repo.edit_refs(vec![alias, set("remote:not/in/it", tip), set("Z", tip), set("é", tip)]).unwrap();
        let summary = compare("refs");
        let names: Vec<&str> = summary.refs.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["Z", "alias", "os/one", "os/two", "é"]);
        assert_eq!(summary.get("os/two").unwrap().metadata.get_str("ostree.commit.version"), Some("1.5"));
        assert_eq!(summary.get("os/two").unwrap().timestamp(), Some(1_700_000_000));
        let config = std::fs::read_to_string(lab.path("repo/config")).unwrap();
        assert!(config.contains("indexed-deltas=true"));
        lab.tree("tree2", &small("2"));
        commit(&repo, &lab, "tree2", &on("os/two"));
        ostree.run(lab.args("repo", &["static-delta", "generate", "os/two"])).unwrap();
        ostree.run(lab.args("repo", &["static-delta", "generate", "--empty", "os/two"])).unwrap();
        ostree.run(lab.args("repo", &["static-delta", "generate", "--empty", "os/one"])).unwrap();
        assert!(compare("deltas").metadata.get("ostree.static-deltas").is_some());
        let indexes = lab.path("repo/delta-indexes");
        let listing = |out: &mut Vec<(std::path::PathBuf, Vec<u8>)>| {
            for first in std::fs::read_dir(&indexes).unwrap() {
                for file in std::fs::read_dir(first.unwrap().path()).unwrap() {
                    let path = file.unwrap().path();
                    let bytes = std::fs::read(&path).unwrap();
                    out.push((path, bytes));
                }
            }
            out.sort();
        };
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        listing(&mut theirs);
        std::fs::remove_dir_all(&indexes).unwrap();
        repo.update_summary().unwrap();
        listing(&mut ours);
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 2);
    }
}

#[test]
fn a_summary_says_what_the_refs_say_and_loses_a_stale_signature() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        assert_eq!(repo.summary().unwrap(), None);
        lab.tree("tree", &small("1"));
        let id = commit(&repo, &lab, "tree", &on("main"));
        std::fs::write(lab.path("repo/summary.sig"), "old").unwrap();
        let summary = repo.update_summary().unwrap();
        let entry = summary.get("main").unwrap();
        assert_eq!((entry.target, entry.timestamp()), (id, Some(1_700_000_000)));
        assert_eq!(entry.commit_bytes, repo.store().load_bytes(id.name()).unwrap().len() as u64);
        assert!(!lab.path("repo/summary.sig").exists());
        assert_eq!(repo.summary().unwrap().unwrap(), summary);
        // A ref to nothing: no summary that leads clients to it.
        std::fs::write(lab.path("repo/refs/heads/dangling"), "0".repeat(64)).unwrap();
        assert!(matches!(repo.update_summary(), Err(Error::Store(_))));
        assert_eq!(repo.summary().unwrap().unwrap(), summary);
        for garbage in [&b""[..], b"garbage", &[0xff; 1000]] {
            std::fs::write(lab.path("repo/summary"), garbage).unwrap();
            assert!(matches!(repo.summary(), Err(Error::Summary(_))));
        }
    }
}

#[test]
fn committing_renews_the_summary_where_that_is_configured() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    repo.edit_config(|keyfile| {
        keyfile.set("core", "auto-update-summary", "true");
    })
    .unwrap();
    lab.tree("tree", &small("1"));
    let id = commit(&repo, &lab, "tree", &on("main"));
    assert_eq!(repo.summary().unwrap().unwrap().get("main").unwrap().target, id);
}
