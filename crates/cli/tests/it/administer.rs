//! What administrators do to remotes and machines comes to what it comes to with the real `ostree`.

use crate::sides::Sides;
use sapwood_testkit::{Gnupg, skipped};
use std::fs;

#[test]
fn a_remote_that_is_there_keeps_its_protection_when_a_deployment_is_to_follow_it() {
    let Some(sides) = Sides::new() else { return };
    sides.machine();
    sides.same_code("pull-local --repo=m/ostree/repo srv os");
    sides.same_code("admin deploy --sysroot=m --os=os os --karg-none");
    sides.same(
        "remote add --repo=m/ostree/repo --set=gpg-verify-summary=true --collection-id=org.a.B o http://a/",
    );
    let before = sides.text("m/ostree/repo/config");
    for line in ["o http://b/ os", "--set=gpg-verify=false o http://b/", "o http://b/ next"] {
        sides.same(&format!("admin set-origin --sysroot=m --index=0 {line}"));
        assert_eq!(sides.text("m/ostree/repo/config"), before, "{line}");
    }
    sides.same("admin set-origin --sysroot=m --index=0 --set=gpg-verify=false new http://b/");
    let after = sides.text("m/ostree/repo/config").unwrap();
    assert!(after.contains("[remote \"new\"]\nurl=http://b/\ngpg-verify=false\n"), "{after}");
}

#[test]
fn a_new_repository_has_the_mode_that_the_umask_leaves() {
    let Some(sides) = Sides::new() else { return };
    for (umask, wanted) in [("002", 0o775), ("022", 0o755), ("027", 0o750), ("077", 0o700)] {
        let line = format!("umask {umask}; exec \"$0\" init --repo={umask} --mode=archive");
        for (place, program) in [(&sides.ours, env!("CARGO_BIN_EXE_sapwood")), (&sides.theirs, "ostree")] {
            assert!(place.command("sh").args(["-c", &line, program]).status().unwrap().success());
        }
        assert_eq!(sides.mode(umask), wanted);
    }
}

#[test]
fn keys_are_imported_for_a_remote_that_is_there_and_contradictions_are_refused() {
    let Some(sides) = Sides::new() else { return };
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("no gpg") };
    gpg.make("one <one@a>", "ed25519", "never", &[]).unwrap();
    sides.write("key", gpg.public(None).unwrap());
    sides.same("init --repo=r --mode=archive");
    sides.same("remote add --repo=r o http://a/");
    let before = sides.text("r/config");
    sides.same("remote add --repo=r --if-not-exists --gpg-import=key o http://b/");
    assert_eq!(sides.text("r/config"), before);
    assert!(sides.same("remote gpg-list-keys --repo=r o").out.contains("UID: one"));
    for line in ["o", "--if-not-exists o", "p"] {
        let ran = sides.same(&format!(
            "remote add --repo=r --no-sign-verify --sign-verify=ed25519=inline:abc {line} http://b/"
        ));
        assert_eq!(ran.code, 1);
    }
    assert_eq!(sides.text("r/config"), before);
}

#[test]
fn what_is_deployed_is_verified_as_its_remote_asks() {
    let Some(sides) = Sides::new() else { return };
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("no gpg") };
    let [_, os, next] = sides.machine();
    let key = gpg.make("known <known@a>", "ed25519", "never", &[]).unwrap();
    gpg.make("other <other@a>", "ed25519", "never", &[]).unwrap();
    for user in ["known", "other"] {
        sides.write(&format!("{user}.gpg"), gpg.public(Some(user)).unwrap());
    }
    // One signature for both, since it says when it was made.
    sides.their(&format!("gpg-sign --repo=srv --gpg-homedir={} next {key}", gpg.home().display()));
    fs::remove_dir_all(sides.ours.path("srv")).unwrap();
    let from = sides.theirs.path("srv");
    sides.ours.ok_of("cp", &["-a", from.to_str().unwrap(), "."]);
    for remote in ["--gpg-import=known.gpg known", "--gpg-import=other.gpg other", "--no-gpg-verify open"] {
        sides.same(&format!("remote add --repo=m/ostree/repo {remote} http://a/"));
        let name = remote.split(' ').next_back().unwrap();
        sides.same_code(&format!("pull-local --repo=m/ostree/repo --remote={name} srv os next"));
    }
    sides.same_code("pull-local --repo=m/ostree/repo srv next");
    for (refspec, commit, code) in [
        ("known:next", &next, 0),
        ("known:os", &os, 1),
        ("other:next", &next, 1),
        ("open:next", &next, 1),
        ("next", &next, 1),
    ] {
        sides.same_code(&format!("admin deploy --sysroot=m --os=os --no-merge {refspec}"));
        sides.run("admin undeploy --sysroot=m 1");
        let (ours, theirs) = sides.same_code("admin status --sysroot=m --verify");
        // Ours is told in one line.
        let said = theirs.err.trim().replace('\n', " ");
        assert_eq!((ours.code, ours.err.trim()), (code, said.as_str()), "{refspec}");
        assert_eq!(ours.out, theirs.out, "{refspec}");
        assert!(ours.out.contains(commit.as_str()), "{refspec}");
    }
    for place in [&sides.ours, &sides.theirs] {
        let origins = fs::read_dir(place.path("m/ostree/deploy/os/deploy")).unwrap();
        let mut origins = origins.map(|entry| entry.unwrap().path());
        fs::remove_file(origins.find(|path| path.extension().is_some_and(|end| end == "origin")).unwrap())
            .unwrap();
    }
    sides.same("admin status --sysroot=m");
    assert_eq!(sides.same("admin status --sysroot=m --verify").code, 1);
}
