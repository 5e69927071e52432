//! `--json`: one document on standard output, whatever comes of it.

use crate::place::Place;
use sapwood_testkit::Release;
use serde_json::Value;
use std::fs;

#[test]
fn every_verb_prints_one_document() {
    let place = Place::new();
    place.os("one", Release::One);
    fs::create_dir(place.path("machine")).unwrap();
    let url = format!("file://{}", place.path("r").display());
    let lines = [
        "init --repo=r --mode=archive --format=ostree",
        "commit --repo=r -b os -s subject one",
        "commit --repo=r -b os -s again one",
        "refs --repo=r",
        "refs --repo=r --create=second os",
        "reset --repo=r second os^",
        "refs --repo=r --delete second",
        "rev-parse --repo=r os",
        "log --repo=r os",
        "show --repo=r os",
        "show --repo=r --list-metadata-keys os",
        "show --repo=r --print-metadata-key=ostree.ref-binding os",
        "ls --repo=r -R os",
        "cat --repo=r os /usr/lib/os-release",
        "diff --repo=r os",
        "diff --repo=r --stats --download os",
        "diff --repo=r os ./one",
        "checksum one/usr/lib/os-release",
        "commit --repo=r -b sized --generate-sizes one",
        "show --repo=r --print-sizes sized",
        "show --repo=r --print-related os",
        "checkout --repo=r -U os out",
        "fsck --repo=r",
        "prune --repo=r --no-prune",
        "config --repo=r get core.mode",
        "config --repo=r set a.b c",
        "config --repo=r unset a.b",
        "summary --repo=r -u",
        "summary --repo=r -v",
        "admin init-fs machine --mode=bare-user --format=ostree",
        "admin os-init os --sysroot=machine",
        &format!("remote add --no-gpg-verify --repo=machine/ostree/repo o {url}"),
        "remote list --repo=machine/ostree/repo",
        "remote show-url --repo=machine/ostree/repo o",
        "remote refs --repo=machine/ostree/repo o",
        "remote summary --repo=machine/ostree/repo o",
        "pull --repo=machine/ostree/repo o os",
        "pull-local --repo=machine/ostree/repo r os",
        "admin deploy --sysroot=machine --os=os o:os",
        "admin status --sysroot=machine",
        "admin config-diff --sysroot=machine --os=os",
        "admin config-diff --sysroot=machine --os=os --merge o:os --policy=keep-both",
        "admin pin --sysroot=machine 0",
        "admin pin --sysroot=machine --unpin 0",
        "admin set-default --sysroot=machine 0",
        "admin upgrade --sysroot=machine",
        "admin deploy --sysroot=machine --os=os --retain o:os",
        "admin rollback --sysroot=machine",
        "admin cleanup --sysroot=machine",
        "admin --sysroot=machine --print-current-dir",
        "admin undeploy --sysroot=machine 0",
        "remote delete --repo=machine/ostree/repo o",
        "completions bash",
        "completions man",
    ];
    for line in lines {
        let ran = place.run(&format!("{line} --json"));
        assert!(matches!(ran.code, 0 | 77), "sapwood {line}: {ran:?}");
        let document: Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("sapwood {line}: {e}: {ran:?}"));
        assert!(document.is_object(), "sapwood {line}: {document}");
        assert_eq!(ran.err, "", "sapwood {line}");
    }
}

#[test]
fn errors_are_documents_that_name_their_kind() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    for (line, kind) in [
        ("refs --nosuch", "usage"),
        ("refs", "usage"),
        ("rev-parse --repo=r nosuch", "unknown-revision"),
        ("refs --repo=/nosuch", "not-found"),
        ("refs --repo=.", "not-a-repo"),
        ("pull --repo=r nosuch", "unknown-remote"),
        ("admin status --sysroot=r", "not-a-sysroot"),
        ("commit --repo=r -b x --tree=tar=x", "not-found"),
        ("commit --repo=r -b x --tree=zip=x", "usage"),
    ] {
        let ran = place.run(&format!("--json {line}"));
        assert_eq!(ran.code, 1, "sapwood {line}");
        let document: Value =
            serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("sapwood {line}: {e}: {ran:?}"));
        assert_eq!(document["error"]["kind"], kind, "sapwood {line}: {document}");
        assert!(
            document["error"]["message"].is_string() && document["error"]["hints"].is_array(),
            "{document}"
        );
    }
}
