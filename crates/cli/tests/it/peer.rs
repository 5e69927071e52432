//! Text that scripts parse is the real `ostree`'s.

use crate::place::{Place, Ran};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs;

/// Runs a line with the real program.
pub(crate) fn real(place: &Place, ostree: &Ostree, line: &str) -> Ran {
    let mut command = ostree.command();
    command.args(line.split_whitespace()).current_dir(place.path(".")).env("TZ", "UTC");
    command.output().unwrap().into()
}

/// A tree with a bit of everything that a list shows.
fn tree() -> Tree {
    let mut tree = Tree::default();
    tree.file("usr/bin/su", "#!/bin/sh\n").mode(0o4755);
    tree.file("usr/etc/with", "blank\n");
    tree.file("z-file-before-directories", "");
    tree.file("a-file-before-directories", "");
    tree.dir("usr/empty").mode(0o1777);
    tree.symlink("bin", "usr/bin");
    tree.symlink("dangling", "/nowhere");
    tree.file("usr/lib/modules/6.1/vmlinuz", "kernel");
    tree.file("é/ü", "not ASCII");
    tree
}

/// Makes a repository that has something for every verb to show.
fn fill(place: &Place) {
    tree().write_to(&place.path("t")).unwrap();
    let at = "--timestamp=@1700000000 --owner-uid=0 --owner-gid=0 --no-xattrs";
    place.ok("init --repo=r --mode=archive --format=ostree");
    place.ok(&format!("commit --repo=r -b os/x/stable -s one --add-metadata-string=version=1 {at} t"));
    fs::write(place.path("t/usr/bin/new"), "new").unwrap();
    fs::remove_file(place.path("t/bin")).unwrap();
    fs::create_dir_all(place.path("t/bin/deep/er")).unwrap();
    fs::remove_dir_all(place.path("t/é")).unwrap();
    fs::write(place.path("t/usr/etc/with"), "changed").unwrap();
    place.ok(&format!("commit --repo=r -b os/x/stable -s two -m body {at} t"));
    tree().write_to(&place.path("before")).unwrap();
    let more = "--generate-sizes --add-metadata=number=7 --add-detached-metadata-string=note=x";
    place.ok(&format!("commit --repo=r -b sized {more} {at} before"));
    fs::write(place.path("t/usr/bin/later"), "not committed").unwrap();
    place.ok("refs --repo=r --create=alone os/x/stable^");
    place.ok("refs --repo=r --create=remote:of/it os/x/stable^");
    place.ok("refs --repo=r -A --create=alias alone");
    place.ok("remote add --repo=r --no-gpg-verify o http://localhost/ x y");
    place.ok("remote add --repo=r longer file:///nowhere --set=a=b");
    place.ok("summary --repo=r -u");
}

#[test]
fn the_text_of_every_verb_is_that_of_ostree() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    fill(&place);
    let listed = place.ok("ls --repo=r -d -C alone /");
    let (top, meta) = (listed.split(' ').nth_back(2).unwrap(), listed.split(' ').nth_back(1).unwrap());
    for line in [
        "refs os",
        "refs --list os",
        "refs os/x/stable",
        "refs nosuch",
        "refs remote:of",
        "refs -A",
        "rev-parse os/x/stable",
        "rev-parse os/x/stable^ alone",
        "rev-parse alias",
        "rev-parse remote:of/it",
        "rev-parse nosuch",
        "rev-parse os/x/stable^^",
        "rev-parse --single",
        "log os/x/stable",
        "log nosuch",
        "show os/x/stable",
        "show --raw os/x/stable",
        "show --print-metadata-key=version alone",
        "show --print-metadata-key=ostree.ref-binding alone",
        "show --print-metadata-key=nosuch alone",
        "log --raw os/x/stable",
        "ls os/x/stable",
        "ls -R os/x/stable",
        "ls -RCX alone",
        "ls -d alone /usr",
        "ls -C alone /usr/bin/su /usr",
        "ls -R --nul-filenames-only alone",
        "ls alone /nosuch",
        "cat alone /usr/bin/su /usr/etc/with",
        "cat alone /nosuch",
        "diff alone os/x/stable",
        "diff os/x/stable alone",
        "diff os/x/stable",
        "diff --stats alone os/x/stable",
        "diff --stats --fs-diff alone os/x/stable",
        "diff --stats alone ./t",
        "diff os/x/stable ./t",
        "diff alone ./t",
        "diff ./t alone",
        "diff --no-xattrs ./t ./before",
        "diff --owner-uid=0 --owner-gid=0 alone ./t",
        "diff --owner-uid=-1 --owner-gid=7 alone ./t",
        "diff alone ./nosuch",
        "show -B os/x/stable",
        "show --raw -B os/x/stable",
        "show --print-related os/x/stable",
        "show --print-sizes os/x/stable",
        "show --print-sizes sized",
        "show --print-metadata-key=number sized",
        "show -B --print-metadata-key=number sized",
        "show --print-detached-metadata-key=note sized",
        "show --print-detached-metadata-key=nosuch sized",
        "show --print-metadata-key=number --print-sizes sized",
        "show --print-variant-type=ay t/usr/bin/new",
        "show --print-variant-type=a{ss} nosuch",
        &format!("show --raw {top}"),
        &format!("show -B {top}"),
        &format!("show --raw {meta}"),
        &format!("show -B {meta}"),
        &format!("show {meta}"),
        "config get core.mode",
        "config get nosuch.key",
        "config get remote.key",
        "remote list",
        "remote list -u",
        "remote show-url o",
        "remote show-url nosuch",
        "summary -v",
        "summary --raw",
        "ls 0000000000000000000000000000000000000000000000000000000000000000",
        "--list refs os",
        "fsck -q",
        "prune --no-prune",
        "prune --no-prune --refs-only --depth=0",
    ] {
        let line = format!("--repo=r {line}");
        let (ours, real) = (place.run_as_ostree(&line), real(&place, &ostree, &line));
        let clean = |text: &str| {
            let mut lines: Vec<_> = text.lines().filter(|l| !l.starts_with("fsck objects")).collect();
            // The real program lists a directory on disk in the order in which the disk has it.
            if line.contains(" ./") {
                lines.sort_unstable();
            }
            lines.join("\n")
        };
        assert_eq!(clean(&ours.out), clean(&real.out), "ostree {line}");
        assert_eq!(ours.code, real.code, "ostree {line}: {} / {}", ours.err, real.err);
    }
}

#[test]
fn files_on_disk_have_the_ids_that_ostree_gives_them() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let mut tree = tree();
    tree.file("labelled", "x").xattr("user.note", b"one").xattr("user.none", b"");
    tree.write_to(&place.path("t")).unwrap();
    for path in
        ["usr/bin/su", "a-file-before-directories", "bin", "dangling", "usr/empty", "labelled", ".", "usr/"]
    {
        for line in [format!("checksum t/{path}"), format!("checksum --ignore-xattrs t/{path}")] {
            assert_eq!(place.run_as_ostree(&line).out, real(&place, &ostree, &line).out, "{line}");
        }
    }
    place.ok("init --repo=r --mode=bare-user --format=native");
    place.ok("commit --repo=r -b os t");
    let listed = place.ok("ls --repo=r -C os /usr/bin/su");
    assert!(listed.contains(place.ok("checksum --format=native t/usr/bin/su").trim()), "{listed}");
}

#[test]
fn commits_have_the_ids_that_ostree_gives_them() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    tree().write_to(&place.path("t")).unwrap();
    fs::write(place.path("message"), "subject\n\nbody\n").unwrap();
    place.ok("init --repo=ours --mode=archive --format=ostree");
    ostree.run(["init", "--mode=archive", &format!("--repo={}", place.path("theirs").display())]).unwrap();
    // No name is the beginning of an id: ostree would take it for one.
    for line in [
        "-b first -s subject -m body --timestamp=@5 t",
        "-b first --timestamp=2024-01-01T10:00:00Z --tree=dir=t",
        "-b second -F message --timestamp=@6 t",
        "-b first --parent=none --timestamp=@7 --owner-uid=7 --owner-gid=8 t",
        "--orphan --timestamp=@8 --canonical-permissions t",
        "-b third --timestamp=@9 --no-xattrs --no-bindings t",
        "-b third --timestamp=@9 --add-metadata-string=version=1 --add-metadata-string=other=x=y t",
        "-b third --timestamp=@9 --bind-ref=z --bind-ref=y t",
        "-b third --timestamp=@10 --keep-metadata=ostree.ref-binding --no-bindings t",
        "-b fourth --timestamp=@11 --tree=ref=second",
        "-b remote:fourth --timestamp=@12 t",
        "-b fifth --timestamp=@13 --bootable --add-metadata-string=version=1 t",
        // In the order of a hash table, which grows with the seventh key.
        "-b fifth --timestamp=@13 --bootable --add-metadata-string=zz=1 --add-metadata-string=version=1 t",
        "-b fifth --timestamp=@13 --bootable --add-metadata-string=ostree.linux=x --add-metadata-string=a=1 t",
        "-b fifth --timestamp=@13 --bootable --add-metadata=o.x=true --add-metadata=o.y=7 --add-metadata=o.z=8 \
         --add-metadata=o.u=9 --add-metadata-string=ostree.source-title=x --generate-sizes t",
        "-b fifth --timestamp=@14 --skip-if-unchanged t",
        "-b sixth --timestamp=@15 --generate-sizes t",
    ] {
        let ours = place.run_as_ostree(&format!("commit --repo=ours {line}"));
        assert_eq!(
            ours,
            real(&place, &ostree, &format!("commit --repo=theirs {line}")),
            "ostree commit {line}"
        );
    }
    let checked = real(&place, &ostree, "fsck --repo=ours");
    assert_eq!(checked.code, 0, "{checked:?}");
}
