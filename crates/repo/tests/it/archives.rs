//! Tar archives: what is exported comes back as it was, and what others write is read as the real `ostree` reads it.

use crate::commit_fixture::{FORMATS, Lab, on};
use proptest::prelude::*;
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::{CommitOptions, ExportOptions, ImportOptions, Modifiers, Parent, Repo, TarOptions};
use sapwood_testkit::{Ostree, skipped, strategies};
use std::path::Path;
use std::process::Command;

fn commit_tar(repo: &Repo, tar: Vec<u8>, modifiers: &Modifiers) -> Id<Commit> {
    let mut txn = repo.begin().unwrap();
    let options = ImportOptions { modifiers: modifiers.clone(), ..ImportOptions::default() };
    let mut builder = repo.build_tree(&txn, &options).unwrap();
    builder.add_tar(Box::new(std::io::Cursor::new(tar)), &TarOptions::default()).unwrap();
    let built = builder.finish().unwrap();
    let id = repo
        .stage_commit(&mut txn, built.tree, &CommitOptions { parent: Parent::None, ..on("main") })
        .unwrap();
    txn.commit().unwrap();
    id
}

fn export(repo: &Repo, commit: Id<Commit>) -> Vec<u8> {
    let mut tar = Vec::new();
    repo.export(commit, &mut tar, &ExportOptions::default()).unwrap();
    tar
}

fn real_commit_tar(lab: &Lab, ostree: &Ostree, tar: &Path) -> String {
    let tree = format!("--tree=tar={}", tar.display());
    let line = ["commit", "-b", "main", "--parent=none", "--timestamp=@1700000000", "--no-xattrs", &tree];
    ostree.run(lab.args("real", &line)).unwrap().trim().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_exported_and_committed_again_is_the_same(tree in strategies::trees()) {
        for format in FORMATS {
            let lab = Lab::in_memory();
            let dir = lab.tree("tree", &tree);
            let repo = lab.repo("repo", format, Mode::Archive);
            let made = repo.commit_dir(&dir, &ImportOptions::default(), &on("main"), &|_| ()).unwrap().commit;
            let tar = export(&repo, made);
            // In a repository that has nothing of it, so that all of it is read.
            let other = lab.repo("other", format, Mode::Archive);
            let again = commit_tar(&other, tar.clone(), &Modifiers::default());
            prop_assert_eq!(again, made);
            prop_assert!(export(&other, again) == tar, "another archive of the same commit");
        }
    }

    #[test]
    fn archives_of_gnu_tar_and_ours_are_read_as_the_real_ostree_reads_them(
        tree in strategies::trees(),
        format in prop::sample::select(&["gnu", "pax", "oldgnu"][..]),
    ) {
        let Some(ostree) = Ostree::find() else {
            skipped("the real ostree is not installed");
            return Ok(());
        };
        let lab = Lab::in_memory();
        let dir = lab.tree("tree", &tree);
        let (theirs, ours) = (lab.path("theirs.tar"), lab.path("ours.tar"));
        let ran = Command::new("tar")
            .arg(format!("--format={format}"))
            .arg("--create")
            .arg("--file")
            .arg(&theirs)
            .arg("--directory")
            .arg(lab.path("tree"))
            .arg(".")
            .status();
        prop_assert!(ran.is_ok_and(|status| status.success()), "tar failed");
        lab.real_repo("real", &ostree, Mode::Archive);
        let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
        let bare = Modifiers { no_xattrs: true, ..Modifiers::default() };
        let options = ImportOptions { modifiers: bare.clone(), ..ImportOptions::default() };
        let made = repo.commit_dir(&dir, &options, &on("tree"), &|_| ()).unwrap().commit;
        std::fs::write(&ours, export(&repo, made)).unwrap();
        for tar in [&theirs, &ours] {
            let expected = real_commit_tar(&lab, &ostree, tar);
            prop_assert_eq!(commit_tar(&repo, std::fs::read(tar).unwrap(), &bare).to_hex(), expected);
        }
    }
}

/// Runs GNU tar over a tree of the lab.
fn gnu_tar(lab: &Lab, to: &Path, options: &[&str]) {
    let mut tar = Command::new("tar");
    tar.args(options).arg("--create").arg("--file").arg(to).arg("--directory").arg(lab.path("tree")).arg(".");
    assert!(tar.status().unwrap().success(), "tar {options:?} failed");
}

#[test]
fn hard_links_and_long_names_are_read_as_the_real_ostree_reads_them() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let lab = Lab::in_memory();
    let (dir, deep) = (lab.path("tree"), lab.path("tree").join("d".repeat(120)).join("e".repeat(200)));
    std::fs::create_dir_all(&deep).unwrap();
    let (first, long) = (dir.join("first"), deep.join("n".repeat(255)));
    std::fs::write(&first, "the content of three names").unwrap();
    std::fs::hard_link(&first, &long).unwrap();
    std::fs::hard_link(&first, dir.join("z")).unwrap();
    std::os::unix::fs::symlink("t".repeat(400), deep.join("link")).unwrap();
    lab.real_repo("real", &ostree, Mode::Archive);
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let bare = Modifiers { no_xattrs: true, ..Modifiers::default() };
    let options = ImportOptions { modifiers: bare.clone(), ..ImportOptions::default() };
    let made = repo.commit_dir(&lab.dir("tree"), &options, &on("tree"), &|_| ()).unwrap().commit;
    let file = lab.path("some.tar");
    let forms = ["gnu", "oldgnu", "pax"].map(|format| vec![format!("--format={format}")]);
    let dereferenced = vec!["--format=gnu".to_owned(), "--hard-dereference".to_owned()];
    for form in forms.into_iter().chain([dereferenced]) {
        gnu_tar(&lab, &file, &form.iter().map(String::as_str).collect::<Vec<_>>());
        let ours = commit_tar(&repo, std::fs::read(&file).unwrap(), &bare);
        assert_eq!(ours.to_hex(), real_commit_tar(&lab, &ostree, &file), "{form:?}");
        assert_eq!(repo.root(ours).unwrap(), repo.root(made).unwrap(), "{form:?}: not the tree on disk");
    }
}

#[test]
fn sparse_files_are_refused_in_each_of_their_forms() {
    let lab = Lab::in_memory();
    lab.dir("tree");
    let file = std::fs::File::create(lab.path("tree").join("sparse")).unwrap();
    file.set_len(1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"at the end", (1 << 20) - 10).unwrap();
    let repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    let archive = lab.path("some.tar");
    for form in [
        &["--format=gnu"][..],
        &["--format=oldgnu"],
        &["--format=pax", "--sparse-version=0.0"],
        &["--format=pax", "--sparse-version=0.1"],
        &["--format=pax", "--sparse-version=1.0"],
    ] {
        gnu_tar(&lab, &archive, &[&["--sparse"], form].concat());
        let txn = repo.begin().unwrap();
        let options = ImportOptions::default();
        let mut builder = repo.build_tree(&txn, &options).unwrap();
        let refused =
            builder.add_tar(Box::new(std::fs::File::open(&archive).unwrap()), &TarOptions::default());
        assert!(
            matches!(&refused, Err(sapwood_repo::Error::Archive { reason, .. }) if reason.contains("sparse")),
            "{form:?}: {refused:?}"
        );
    }
}
