//! `--json`: one document on standard output, whatever comes of it.

use crate::place::Place;
use sapwood_testkit::{Random, Release};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

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
        assert!(ran.err.lines().all(|line| line.starts_with("warning: ")), "sapwood {line}: {}", ran.err);
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

/// The kind and the message of a failure.
fn failure(place: &Place, line: &str) -> (String, String) {
    let ran = place.run(&format!("--json {line}"));
    assert_eq!(ran.code, 1, "sapwood {line}");
    let document: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("sapwood {line}: {e}: {ran:?}"));
    let text = |key: &str| document["error"][key].as_str().unwrap().to_owned();
    (text("kind"), text("message"))
}

const LARGE_BYTES: usize = 3 << 20;

/// An archive with a branch `a`, whose files are `f` and a large one.
fn archive() -> (Place, String) {
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    fs::write(place.path("t/f"), "content").unwrap();
    fs::write(place.path("t/large"), Random::new(1).binary(LARGE_BYTES)).unwrap();
    place.ok("init --repo=r --format=ostree --mode=archive");
    let commit = place.ok("commit --repo=r -b a t").trim().to_owned();
    (place, commit)
}

#[test]
fn what_is_wrong_with_objects_has_its_kind_whichever_verb_meets_it() {
    let object = |place: &Place, id: &str, kind: &str| -> PathBuf {
        place.path(&format!("r/objects/{}/{}.{kind}", &id[..2], &id[2..]))
    };
    let (place, commit) = archive();
    place.ok("init --repo=m --format=ostree --mode=archive");
    let file: Value = serde_json::from_str(&place.ok("ls --json --repo=r a /f")).unwrap();
    let file = object(&place, file["entries"][0]["id"].as_str().unwrap(), "filez");
    let commit = object(&place, &commit, "commit");
    let of_commit = ["summary --repo=r -u", "log --repo=r a", "checkout --repo=r a out", "cat --repo=r a /f"];
    let make = "refs --repo=r --create=zz a";
    let build = "commit --repo=r -b b --tree=ref=a";
    let of_file = ["checkout --repo=r a out", "cat --repo=r a /f", "export --repo=r -o out.tar a"];
    let pull = "pull-local --untrusted --repo=m r a";
    for (path, content, kind, pulled, lines) in [
        (&commit, None, "missing-object", "incomplete-remote", [&of_commit[..], &[make, build]].concat()),
        (&commit, Some("x"), "corrupt-object", "bad-object", [&of_commit[..], &[build]].concat()),
        (&file, None, "missing-object", "incomplete-remote", of_file.to_vec()),
        (&file, Some("x"), "corrupt-object", "bad-object", of_file.to_vec()),
    ] {
        let good = fs::read(path).unwrap();
        match content {
            Some(content) => fs::write(path, content).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        for (line, kind) in lines.into_iter().map(|line| (line, kind)).chain([(pull, pulled)]) {
            assert_eq!(failure(&place, line).0, kind, "sapwood {line}: {}", path.display());
            drop(fs::remove_dir_all(place.path("out")));
        }
        fs::write(path, good).unwrap();
    }
}

#[test]
fn a_reserve_that_is_reached_and_a_lock_that_is_held_have_their_kinds_whichever_verb_meets_them() {
    let (place, _) = archive();
    let server = place.serve("r");
    // Of another mode, so that nothing is linked.
    place.ok("init --repo=m --format=ostree --mode=bare-user");
    place.ok(&format!("remote add --repo=m --no-gpg-verify o {}", server.url));
    place.ok("remote add --repo=m --no-gpg-verify nobody http://127.0.0.1:1");
    assert_eq!(failure(&place, "pull --repo=m nobody a").0, "cannot-connect");
    let verbs = ["commit --repo=m -b b t", "pull-local --repo=m r a", "pull --repo=m o a"];
    place.ok("config --repo=m set core.min-free-space-size 1000000GB");
    for line in verbs {
        let (kind, message) = failure(&place, line);
        assert_eq!(kind, "no-space", "sapwood {line}: {message}");
        assert!(message.contains("would be exceeded, at least"), "sapwood {line}: {message}");
    }
    place.ok("init --repo=n --format=ostree --mode=archive");
    place.ok(&format!("remote add --repo=n --no-gpg-verify o {}", server.url));
    place.ok("config --repo=n set core.lock-timeout-secs 0");
    let lock =
        fs::File::options().create(true).truncate(true).write(true).open(place.path("n/.lock")).unwrap();
    rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    for line in verbs {
        assert_eq!(failure(&place, &line.replace("=m", "=n")).0, "locked", "sapwood {line}");
    }
}
