//! With the real programs: OSTree's client and repositories, and nginx.

use crate::world::*;
use sapwood_objstore::{Format, Mode, Verdict};
use sapwood_repo::{Refspec, Repo};
use sapwood_testkit::{Nginx, Ostree, skipped};
use sapwood_transport::{DirRemote, PullOptions};
use std::path::Path;
use std::sync::Arc;

/// An archive repository made by the real program, with a commit of a tree and, maybe, a summary.
fn theirs(ostree: &Ostree, at: &Path, summary: bool) -> String {
    let repo = format!("--repo={}", at.display());
    ostree.run(["init", &repo, "--mode=archive"]).unwrap();
    let tree = tempfile::tempdir().unwrap();
    small_tree("theirs").write_to(tree.path()).unwrap();
    let from = format!("--tree=dir={}", tree.path().display());
    let id = ostree
        .run(["commit", &repo, "-b", BRANCH, "--canonical-permissions", &from, "-s", "theirs"])
        .unwrap()
        .trim()
        .to_owned();
    if summary {
        ostree.run(["summary", &repo, "-u"]).unwrap();
    }
    id
}

fn check(repo: &Repo, id: &str) {
    let commit = repo.resolve(id).unwrap();
    assert_eq!(repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
    verified_objects(repo, commit);
}

#[test]
fn repositories_of_the_real_program_are_pulled_from_every_server() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    for summary in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("repo");
        let id = theirs(&ostree, &at, summary);
        let options =
            if summary { PullOptions { copy_summary: true, ..Default::default() } } else { want(BRANCH) };
        for mode in modes() {
            let machine = Place::new(Format::Ostree, mode);
            let server = served(&at);
            pull_quietly(&machine.repo, http(&server.url), &options).unwrap();
            check(&machine.repo, &id);

            let machine = Place::new(Format::Ostree, mode);
            pull_quietly(&machine.repo, Arc::new(DirRemote::new(open_dir(&at), "theirs")), &options).unwrap();
            check(&machine.repo, &id);
            let said = ostree.run(["fsck", &format!("--repo={}", machine.path().display())]).unwrap();
            assert!(said.contains("no errors"), "{said}");

            let Some(nginx) = Nginx::serve(folder.path()).unwrap() else {
                return skipped("nginx is not installed");
            };
            let machine = Place::new(Format::Ostree, mode);
            pull_quietly(&machine.repo, http(&format!("{}/repo", nginx.url())), &options).unwrap();
            check(&machine.repo, &id);
        }
    }
}

#[test]
fn the_real_client_pulls_our_repositories_from_our_server_and_from_nginx() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let source = Place::new(Format::Ostree, Mode::Archive);
    let mut tree = small_tree("ours");
    tree.file("usr/lib/large", noise(2 << 20));
    let commit = source.commit(BRANCH, &tree);
    let pulls = |url: &str| {
        let folder = tempfile::tempdir().unwrap();
        let repo = format!("--repo={}", folder.path().display());
        ostree.run(["init", &repo, "--mode=bare-user"]).unwrap();
        ostree.run(["remote", "add", &repo, "--no-gpg-verify", "o", url]).unwrap();
        ostree.run(["pull", &repo, "o", BRANCH]).unwrap();
        ostree.run(["fsck", &repo]).unwrap();
        let ours = Repo::open(&open_dir(folder.path())).unwrap();
        let name = Refspec::parse(&format!("o:{BRANCH}")).unwrap();
        assert_eq!(ours.ref_target(&name).unwrap(), Some(commit));
        for name in verified_objects(&source.repo, commit) {
            assert_eq!(ours.store().verify(name).unwrap(), Verdict::Good);
        }
    };
    let server = served(source.path());
    pulls(&server.url);
    source.repo.update_summary().unwrap();
    pulls(&server.url);
    let Some(nginx) = Nginx::serve(source.path()).unwrap() else { return skipped("nginx is not installed") };
    pulls(&nginx.url());
}

#[test]
fn native_repositories_need_no_more_than_nginx() {
    let source = Place::new(Format::Native, Mode::Archive);
    let mut tree = small_tree("1");
    tree.file("usr/lib/large", noise(2 << 20));
    let commit = source.commit(BRANCH, &tree);
    source.repo.update_summary().unwrap();
    let Some(nginx) = Nginx::serve(source.path()).unwrap() else { return skipped("nginx is not installed") };
    for mode in modes() {
        let machine = Place::new(Format::Native, mode);
        pull_quietly(&machine.repo, http(&nginx.url()), &want(BRANCH)).unwrap();
        verified_objects(&machine.repo, commit);
    }
}

#[test]
fn the_real_client_refuses_a_native_repository_cleanly() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    let source = Place::new(Format::Native, Mode::Archive);
    source.commit(BRANCH, &small_tree("1"));
    let server = served(source.path());
    let folder = tempfile::tempdir().unwrap();
    let repo = format!("--repo={}", folder.path().display());
    ostree.run(["init", &repo, "--mode=bare-user"]).unwrap();
    ostree.run(["remote", "add", &repo, "--no-gpg-verify", "o", &server.url]).unwrap();
    assert!(ostree.run(["pull", &repo, "o", BRANCH]).is_err());
    ostree.run(["fsck", &repo]).unwrap();
}
