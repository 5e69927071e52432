//! Converting between the formats: trees get the ids that they have when they are committed in the other format.

use crate::commit_fixture::{FORMATS, Lab, branch, on, rich_tree};
use sapwood_fsio as fsio;
use sapwood_objstore::{Commit, Format, Id, Metadata, Mode, Totals, Value};
use sapwood_repo::{
    CommitOptions, CommitOutcome, Conversion, ConvertOptions, Error, Expected, FsckOptions, ImportOptions,
    Parent, RefEdit, Repo, Root,
};
use sapwood_testkit::Tree;

/// Without attributes that have no value: OSTree does not record them.
fn rich() -> Tree {
    let mut tree = rich_tree();
    tree.file("empty-attribute", "x");
    tree
}

/// Versions that differ in every way that trees can.
fn versions() -> Vec<Tree> {
    let first = rich();
    let mut second = rich();
    second.file("a.txt", "changed, and longer");
    second.file("usr/new/deep/er", "new");
    second.file("dangling", "a file for a link");
    second.symlink("shared", "a link for a file");
    second.dir("void").mode(0o711);
    let mut third = Tree::default();
    third.file("usr/bin/wall/inside", "a directory for a file");
    third.file("usr/lib", "a file for a directory");
    third.file("a.txt", "changed, and longer");
    vec![first, second, third, rich()]
}

fn commit(repo: &Repo, lab: &Lab, name: &str, parent: Parent) -> CommitOutcome {
    let mut metadata = Metadata::default();
    metadata.set("version", Value::Str(name.to_owned()));
    metadata.set("ostree.sizes", Value::Str("of the old format".to_owned()));
    let options = CommitOptions { metadata, parent, subject: name.to_owned(), ..on("os/main") };
    repo.commit_dir(&lab.dir(name), &ImportOptions::default(), &options, &|_| ()).unwrap()
}

fn convert(to: &Repo, from: &Repo) -> sapwood_repo::Result<Conversion> {
    to.convert_from(from, &ConvertOptions { threads: 2, ..ConvertOptions::default() }, &|_| ())
}

fn load(repo: &Repo, id: Id<Commit>) -> Commit {
    repo.store().load(id).unwrap()
}

#[test]
fn each_version_becomes_what_committing_it_in_the_other_format_makes_of_it() {
    for format in FORMATS {
        for (mode, new_mode) in [(Mode::BareUser, Mode::BareUser), (Mode::Archive, Mode::BareUser)] {
            let lab = Lab::new();
            let from = lab.repo("from", format, mode);
            let to = lab.repo("to", format.other(), new_mode);
            let direct = lab.repo("direct", format.other(), new_mode);
            let mut commits = Vec::new();
            let mut wanted: Vec<(Root, Totals)> = Vec::new();
            for (n, tree) in versions().iter().enumerate() {
                let name = format!("v{n}");
                drop(lab.tree(&name, tree));
                commits.push(commit(&from, &lab, &name, Parent::Branch).commit);
                let tree = commit(&direct, &lab, &name, Parent::None).tree;
                wanted.push((tree.root, tree.totals));
            }
            let conversion = convert(&to, &from).unwrap();
            assert_eq!(conversion.commits.iter().map(|pair| pair.from).collect::<Vec<_>>(), commits);
            let mut parent = None;
            for (pair, (root, totals)) in conversion.commits.iter().zip(&wanted) {
                let (old, new) = (load(&from, pair.from), load(&to, pair.to));
                assert_eq!(Root { tree: new.tree, meta: new.meta }, *root, "{format:?}");
                assert_eq!(new.totals, to.store().format().records_sizes().then_some(*totals));
                assert_eq!((new.parent, &new.subject, new.timestamp), (parent, &old.subject, old.timestamp));
                let source = format!("{}:{}", format.name(), pair.from);
                assert_eq!(new.metadata.get_str("sapwood.converted-from"), Some(source.as_str()));
                assert_eq!(new.metadata.get_str("version"), old.metadata.get_str("version"));
                assert_eq!(new.metadata.get("ostree.sizes"), None, "it names objects of the old format");
                parent = Some(pair.to);
            }
            assert_eq!(to.ref_target(&branch("os/main")).unwrap(), parent);
            assert!(to.fsck(&FsckOptions::default(), &|_| ()).unwrap().findings.is_empty());
        }
    }
}

#[test]
fn a_second_run_reads_only_what_is_new_and_histories_can_go_back_and_forth() {
    let lab = Lab::new();
    let ostree = lab.repo("ostree", Format::Ostree, Mode::Archive);
    let native = lab.repo("native", Format::Native, Mode::BareUser);
    for (n, tree) in versions().iter().take(2).enumerate() {
        drop(lab.tree(&format!("v{n}"), tree));
    }
    let plain = |repo: &Repo, name: &str| {
        let options = CommitOptions { subject: name.to_owned(), ..on("os/main") };
        repo.commit_dir(&lab.dir(name), &ImportOptions::default(), &options, &|_| ()).unwrap().commit
    };
    plain(&ostree, "v0");
    let whole = convert(&native, &ostree).unwrap();
    let again = convert(&native, &ostree).unwrap();
    assert_eq!((again.commits.len(), again.files, &again.refs), (0, 0, &whole.refs));
    let third = plain(&ostree, "v1");
    // a.txt, usr/new/deep/er, dangling, shared
    assert_eq!(convert(&native, &ostree).unwrap().files, 4);

    let fourth = plain(&native, "v0");
    let back = convert(&ostree, &native).unwrap();
    assert_eq!(back.commits.iter().map(|pair| pair.from).collect::<Vec<_>>(), [fourth]);
    assert_eq!(load(&ostree, back.commits[0].to).parent, Some(third));
    assert!(ostree.fsck(&FsckOptions::default(), &|_| ()).unwrap().findings.is_empty());
    assert_eq!(convert(&native, &ostree).unwrap().commits, []);

    // Into an empty repository all of it comes as it was where it began.
    let anew = lab.repo("anew", Format::Ostree, Mode::Archive);
    convert(&anew, &native).unwrap();
    assert_eq!(anew.ref_target(&branch("os/main")).unwrap(), ostree.ref_target(&branch("os/main")).unwrap());
}

/// Commits `v1` to a branch, and has it say that it was made of another commit.
fn commit_with_a_claim(repo: &Repo, lab: &Lab, name: &str, source: &str) -> Id<Commit> {
    let mut metadata = Metadata::default();
    metadata.set("sapwood.converted-from", Value::Str(source.to_owned()));
    let options = CommitOptions { metadata, ..on(name) };
    repo.commit_dir(&lab.dir("v1"), &ImportOptions::default(), &options, &|_| ()).unwrap().commit
}

#[test]
fn what_commits_say_they_were_made_of_is_not_believed() {
    for format in FORMATS {
        let lab = Lab::new();
        let from = lab.repo("from", format, Mode::Archive);
        let to = lab.repo("to", format.other(), Mode::Archive);
        for (n, tree) in versions().iter().take(2).enumerate() {
            drop(lab.tree(&format!("v{n}"), tree));
        }
        let genuine = commit(&from, &lab, "v0", Parent::None).commit;
        let claim = format!("{}:{genuine}", format.name());
        let forged = commit_with_a_claim(&to, &lab, "other", &claim);
        let conversion = convert(&to, &from).unwrap();
        let made = to.ref_target(&branch("os/main")).unwrap().unwrap();
        assert_ne!(made, forged);
        assert_eq!(
            conversion.commits.iter().map(|pair| (pair.from, pair.to)).collect::<Vec<_>>(),
            [(genuine, made)]
        );

        // Nor by the other repository: what comes from there is what it has, not what it points to.
        let claim = format!("{}:{made}", format.other().name());
        let forged = commit_with_a_claim(&from, &lab, "forged", &claim);
        convert(&to, &from).unwrap();
        let made_of_forged = to.ref_target(&branch("forged")).unwrap().unwrap();
        assert_ne!(made_of_forged, made);
        assert_ne!(load(&to, made_of_forged).tree, load(&to, made).tree);
        assert_eq!(convert(&to, &from).unwrap().commits, []);

        // Nor for a ref that would be moved away from it.
        let forged = commit_with_a_claim(&to, &lab, "forged", &format!("{}:{forged}", format.name()));
        assert!(matches!(convert(&to, &from), Err(Error::ForeignRef { .. })));
        assert_eq!(to.ref_target(&branch("forged")).unwrap(), Some(forged));
    }
}

#[test]
fn where_nothing_was_noted_or_it_was_damaged_converting_again_gives_the_same() {
    let lab = Lab::new();
    let from = lab.repo("from", Format::Ostree, Mode::Archive);
    let to = lab.repo("to", Format::Native, Mode::Archive);
    for (n, tree) in versions().iter().enumerate() {
        let name = format!("v{n}");
        drop(lab.tree(&name, tree));
        commit(&from, &lab, &name, Parent::Branch);
    }
    let whole = convert(&to, &from).unwrap();
    let path = lab.path("to/state/converted");
    let noted = std::fs::read(&path).unwrap();
    for left in [None, Some(0), Some(noted.len() - 1), Some(noted.len() - 72)] {
        match left {
            None => std::fs::remove_file(&path).unwrap(),
            Some(end) => std::fs::write(&path, &noted[..end]).unwrap(),
        }
        let again = convert(&to, &from).unwrap();
        assert_eq!(again.refs, whole.refs);
        let missing = noted.len() - left.unwrap_or(0);
        assert_eq!(again.commits.len(), missing.div_ceil(72).min(4), "{left:?}");
        assert!(whole.commits.ends_with(&again.commits));
        assert_eq!(std::fs::read(&path).unwrap(), noted);
    }
    // The ref is known as one of ours by what its commit becomes, though its source is no tip any more.
    std::fs::remove_file(&path).unwrap();
    let alone = commit(&from, &lab, "v1", Parent::None).commit;
    let moved = convert(&to, &from).unwrap();
    assert_eq!(moved.refs[0].1.from, alone);
    assert_eq!(to.ref_target(&branch("os/main")).unwrap(), Some(moved.refs[0].1.to));
}

#[test]
fn refs_with_commits_of_their_own_stay_where_they_are() {
    let lab = Lab::new();
    let from = lab.repo("from", Format::Ostree, Mode::Archive);
    let to = lab.repo("to", Format::Native, Mode::Archive);
    drop(lab.tree("v0", &rich_tree()));
    commit(&from, &lab, "v0", Parent::None);
    let own = commit(&to, &lab, "v0", Parent::None).commit;
    assert!(matches!(convert(&to, &from), Err(Error::ForeignRef { .. })));
    assert_eq!(to.ref_target(&branch("os/main")).unwrap(), Some(own));
    assert!(matches!(convert(&from, &from), Err(Error::SameFormat { .. })));
    let unknown = ConvertOptions { refs: vec![branch("nothing")], ..ConvertOptions::default() };
    assert!(matches!(to.convert_from(&from, &unknown, &|_| ()), Err(Error::UnknownRevision { .. })));
    // One that was made by converting is moved, backwards too.
    to.edit_refs(vec![RefEdit::Delete { name: branch("os/main"), expected: Expected::Any }]).unwrap();
    let first = convert(&to, &from).unwrap().refs[0].1;
    drop(lab.tree("v1", &versions()[1]));
    commit(&from, &lab, "v1", Parent::Branch);
    convert(&to, &from).unwrap();
    let back = RefEdit::Set { name: branch("os/main"), expected: Expected::Any, target: first.from };
    from.edit_refs(vec![back]).unwrap();
    assert_eq!(convert(&to, &from).unwrap().refs, [(branch("os/main"), first)]);
}

#[test]
fn what_the_other_format_cannot_hold_is_named_and_nothing_moves() {
    let lab = Lab::new();
    let from = lab.repo("from", Format::Native, Mode::Archive);
    let to = lab.repo("to", Format::Ostree, Mode::Archive);
    fsio::make_node(&lab.dir("v0/d"), "pipe", fsio::Kind::Fifo, 0o640, 0).unwrap();
    commit(&from, &lab, "v0", Parent::None);
    let run = convert(&to, &from);
    assert!(matches!(&run, Err(Error::Unrecordable { path, .. }) if path == "/d/pipe"), "{run:?}");
    assert_eq!(to.ref_target(&branch("os/main")).unwrap(), None);
}

#[test]
fn where_history_was_not_pulled_it_begins_anew() {
    let lab = Lab::new();
    let from = lab.repo("from", Format::Ostree, Mode::Archive);
    let to = lab.repo("to", Format::Native, Mode::Archive);
    drop(lab.tree("v0", &rich_tree()));
    drop(lab.tree("v1", &versions()[1]));
    let first = commit(&from, &lab, "v0", Parent::None).commit;
    let second = commit(&from, &lab, "v1", Parent::Branch).commit;
    from.store().remove(first.name()).unwrap();
    let conversion = convert(&to, &from).unwrap();
    assert_eq!(conversion.shallow, [second]);
    assert_eq!(load(&to, conversion.commits[0].to).parent, None);
}
