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
