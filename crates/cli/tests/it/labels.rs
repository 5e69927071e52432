//! SELinux labels that `commit` gives, by the policy of its own base as well, are those of the real `ostree`.

use crate::peer::real;
use crate::place::Place;
use sapwood_testkit::{Ostree, Tree, skipped};
use std::collections::HashSet;

/// A root file system whose policy has labels that begin with `mark`.
fn root(mark: &str) -> Tree {
    let contexts = format!(
        "/.* u:r:{mark}_def:s0\n/ -d u:r:{mark}_root:s0\n/usr(/.*)? u:r:{mark}_usr:s0\n\
         /usr/bin(/.*)? u:r:{mark}_bin:s0\n/opt -d u:r:{mark}_opt:s0\n/tmp/.* <<none>>\n"
    );
    let mut tree = Tree::default();
    tree.file("usr/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=mini\n");
    tree.file("usr/etc/selinux/mini/contexts/files/file_contexts", contexts);
    tree.file("usr/etc/selinux/mini/policy/policy.31", "the binary one, which only ostree looks for");
    tree.file("usr/bin/bash", "#!");
    tree
}

#[test]
fn labels_are_those_of_ostree_whatever_is_recorded_and_wherever_the_policy_is() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    root("a").write_to(&place.path("a")).unwrap();
    root("b").write_to(&place.path("b")).unwrap();
    let mut plain = Tree::default();
    plain.file("usr/bin/tool", "1").mode(0o755);
    plain.symlink("usr/lib", "bin");
    plain.file("tmp/t", "2");
    plain.write_to(&place.path("plain")).unwrap();
    place.ok("init --repo=ours --mode=bare-user --format=ostree");
    ostree.run(["init", "--mode=bare-user", &format!("--repo={}", place.path("theirs").display())]).unwrap();
    let both = |line: &str| {
        let ours = place.run_as_ostree(&format!("commit --timestamp=@1 --repo=ours {line}"));
        let theirs = real(&place, &ostree, &format!("commit --timestamp=@1 --repo=theirs {line}"));
        (ours, theirs)
    };
    for tree in ["a", "b", "plain"] {
        let (ours, theirs) = both(&format!("-b of-{tree} --tree=dir={tree}"));
        assert_eq!(ours, theirs, "{tree}");
    }
    place.ok("export --repo=ours --output=plain.tar of-plain");
    let mut ids = HashSet::new();
    let mut lines = 0;
    for line in [
        "--tree=dir=plain",
        "-P --base=of-a --tree=dir=plain",
        "-P --base=of-a --tree=dir=b",
        "-P --base=of-a --tree=ref=of-b --tree=tar=plain.tar",
        "-P --base=of-plain --tree=dir=a",
        "-P --tree=dir=a --tree=dir=plain",
        "-P --tree=dir=plain --tree=dir=a",
        "-P --tree=ref=of-a --tree=dir=b",
        "-P b",
        "--selinux-policy=b --tree=ref=of-plain",
        "--selinux-policy=b --tree=tar=plain.tar",
        // Two directories that the archive has in no entry.
        "--selinux-policy=b --tar-autocreate-parents --tar-pathname-filter=^usr/bin,opt/sub/bin --tree=tar=plain.tar",
    ] {
        let (ours, theirs) = both(&format!("--orphan {line}"));
        assert_eq!(ours, theirs, "commit {line}");
        assert_eq!(ours.code, 0, "commit {line}: {}", ours.err);
        ids.insert(ours.out);
        lines += 1;
    }
    // Three pairs of lines record the same files by the same policy.
    assert_eq!(ids.len(), lines - 3, "the others have labels of their own: {ids:?}");
    for line in ["-P --tree=tar=plain.tar", "-P --selinux-policy=b a"] {
        let (ours, theirs) = both(&format!("--orphan {line}"));
        assert_eq!((ours.code, ours.err.lines().next()), (1, theirs.err.lines().next()), "commit {line}");
    }
    assert_eq!(real(&place, &ostree, "fsck --repo=ours").code, 0);
}
