//! Refs of collections, beside the real `ostree` on a copy of the same repository.

use crate::peer::real;
use crate::place::{Place, Ran};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs;
use std::path::Path;

/// The files below `refs`, sorted, with the ids in them.
fn ref_files(repo: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut todo = vec![repo.join("refs")];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(repo).unwrap().display().to_string();
                files.push(format!("{name} {}", fs::read_to_string(entry.path()).unwrap().trim()));
            }
        }
    }
    files.sort();
    files
}

/// OSTree lists in the order of a hash table.
fn sorted(ran: &Ran) -> (i32, Vec<String>) {
    let mut lines: Vec<_> = ran.out.lines().map(str::to_owned).collect();
    lines.sort();
    (ran.code, lines)
}

#[test]
fn refs_of_collections_are_made_listed_and_deleted_as_ostree_does() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let mut tree = Tree::default();
    tree.file("a", "a");
    tree.write_to(&place.path("t")).unwrap();
    for repo in ["ours", "theirs"] {
        place.ok(&format!("init --repo={repo} --mode=archive --format=ostree --collection-id=org.own.C"));
        place.ok(&format!("commit --repo={repo} -b os/main --timestamp=@1 t"));
        place.ok(&format!("refs --repo={repo} --create=far:os/far os/main"));
        place.ok(&format!("refs --repo={repo} --create=nameless:os/far os/main"));
        place.ok(&format!(
            "remote add --repo={repo} --no-gpg-verify --collection-id=org.far.C far file:///nowhere"
        ));
        place.ok(&format!("remote add --repo={repo} --no-gpg-verify nameless file:///nowhere"));
    }
    for line in [
        "refs --collections",
        "refs -c --create=org.other.C:x/y os/main",
        "refs -c --create=org.own.C:second os/main",
        "refs -c --create=org.other.C:x/y second",
        "refs -c --create=org.far.C:os/far os/main",
        "refs -c --create=nocolon os/main",
        "refs -c --create=org.other.C: os/main",
        "refs -c --create=org.other.C:z nosuch",
        "refs",
        "refs -c",
        "refs -c org.far.C org.own.C",
        "refs -c --list org.other.C",
        "refs -c org.none.C",
        "refs -c os/main",
        "refs --list org.other.C",
        "rev-parse x/y",
        "refs -c --delete",
        "refs -c --delete org.none.C",
        "refs --delete org.other.C",
        "refs -c --delete org.far.C",
        "refs -c --delete org.other.C",
        "refs -c",
        "refs -c --delete org.own.C",
        "refs",
    ] {
        let ours = sorted(&place.run_as_ostree(&format!("--repo=ours {line}")));
        let theirs = sorted(&real(&place, &ostree, &format!("--repo=theirs {line}")));
        assert_eq!(ours, theirs, "ostree {line}");
        assert_eq!(ref_files(&place.path("ours")), ref_files(&place.path("theirs")), "after ostree {line}");
    }
}
