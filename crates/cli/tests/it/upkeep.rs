//! Verbs that set a repository to rights: they work where it is needed most, and what fails changes nothing.

use crate::peer::real;
use crate::place::{Place, Ran};
use sapwood_testkit::{Gnupg, Ostree, skipped};
use std::fs;

/// A repository with a commit on these branches.
fn repo(name: &str, branches: &[&str]) -> Place {
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    fs::write(place.path("t/file"), "content").unwrap();
    place.ok(&format!("init --repo={name} --mode=archive --format=ostree"));
    for branch in branches {
        place.ok(&format!("commit --repo={name} -b {branch} --timestamp=@1 t"));
    }
    place
}

/// Runs a command as it stands, words with blanks and empty ones among them.
fn ran(mut command: std::process::Command, place: &Place, args: &[&str]) -> Ran {
    command.args(args).current_dir(place.path(".")).output().unwrap().into()
}

#[test]
fn a_prefix_that_names_no_ref_is_refused_and_deletes_none() {
    let ostree = Ostree::find();
    let place = repo("r", &["a/b", "a/c", "x"]);
    place.ok("refs --repo=r --create=o:y x");
    let all = place.ok("refs --repo=r");
    for prefix in
        ["", ".", "./", "x/", "..", "a b", "a/.", "./a", "/a", "a//b", "-x", ":", ":.", ":a", "o:/", "o:./"]
    {
        for options in [&["--delete"][..], &[], &["--list"]] {
            let args = [&["--repo=r", "refs"], options, &["--", prefix]].concat();
            let ours = ran(place.command(place.path("ostree")), &place, &args);
            assert_eq!(ours.code, 1, "{args:?}: {ours:?}");
            if let Some(ostree) = &ostree {
                let theirs = ran(ostree.command(), &place, &args);
                let said = |ran: &Ran| (ran.code, ran.out.clone(), ran.err.lines().next().map(str::to_owned));
                assert_eq!(said(&ours), said(&theirs), "{args:?}");
            }
            assert_eq!(place.ok("refs --repo=r"), all);
        }
    }
    // All are understood before any is deleted; those of a remote have to be named one by one.
    let refused: [&[&str]; 3] = [&["a", ""], &["o:"], &["o:."]];
    for prefixes in refused {
        let args = [&["--repo=r", "refs", "--delete"], prefixes].concat();
        assert_eq!(ran(place.command(place.path("ostree")), &place, &args).code, 1, "{args:?}");
        assert_eq!(place.ok("refs --repo=r"), all);
    }
    for (prefix, listed) in
        [("o:", "o:y\n"), ("o:.", "o:y\n"), ("a", "b\nc\n"), ("a/b", "a/b\n"), ("none", "")]
    {
        assert_eq!(place.ok(&format!("refs --repo=r {prefix}")), listed);
    }
    place.ok("refs --repo=r --delete a");
    assert_eq!(place.ok("refs --repo=r"), "x\no:y\n");
}

#[test]
fn a_ref_that_leads_nowhere_is_listed_deleted_and_replaced_and_others_with_it_around() {
    let ostree = Ostree::find();
    let place = repo("r", &["good", "other"]);
    place.ok("remote add --repo=r --no-gpg-verify o http://localhost/");
    place.ok("refs --repo=r --create=o:x good");
    let garbage = || fs::write(place.path("r/refs/heads/bad"), "garbage\n").unwrap();
    let outward = || std::os::unix::fs::symlink("../remotes/o/x", place.path("r/refs/heads/bad")).unwrap();
    let makes: [&dyn Fn(); 2] = [&garbage, &outward];
    for make in makes {
        make();
        let listed = place.run("refs --repo=r");
        assert_eq!((listed.code, listed.out.as_str()), (0, "bad\ngood\nother\no:x\n"));
        if let Some(ostree) = &ostree {
            let mut theirs: Vec<_> =
                real(&place, ostree, "--repo=r refs").out.lines().map(str::to_owned).collect();
            theirs.sort();
            assert_eq!(theirs, ["bad", "good", "o:x", "other"]);
        }
        let failed = place.run("rev-parse --repo=r bad");
        assert!(failed.code == 1 && failed.err.contains("refs --delete REF"), "{failed:?}");
        // What the hint says.
        place.ok("refs --repo=r --delete bad");
        assert_eq!(place.ok("refs --repo=r"), "good\nother\no:x\n");
        make();
        assert_eq!(place.run("refs --repo=r --create=bad good").code, 1);
        place.ok("refs --repo=r --create=bad good --force");
        assert_eq!(place.ok("rev-parse --repo=r bad"), place.ok("rev-parse --repo=r good"));
        place.ok("refs --repo=r --delete bad");
        make();
        place.ok("refs --repo=r --delete other");
        place.ok("refs --repo=r --create=other good");
        place.ok("refs --repo=r --delete bad");
    }
    fs::write(place.path("r/refs/remotes/o/y"), "garbage\n").unwrap();
    place.ok("remote delete --repo=r o");
    assert_eq!(place.ok("refs --repo=r"), "good\nother\n");
}

#[test]
fn a_gpg_key_that_is_not_there_is_an_error_and_gives_a_remote_no_keyring() {
    let (Some(ostree), Some(gpg)) = (Ostree::find(), Gnupg::new().unwrap()) else {
        return skipped("ostree or gpg is not installed");
    };
    let place = repo("r", &[]);
    let keys: Vec<String> =
        ["one", "two"].map(|user| gpg.make(user, "ed25519", "never", &[]).unwrap()).into();
    fs::write(place.path("one"), gpg.public(Some("one")).unwrap()).unwrap();
    fs::write(place.path("two"), gpg.public(Some("two")).unwrap()).unwrap();
    let (first, second) = (&keys[0], &keys[1]);
    let keyring = |remote: &str| place.path(&format!("r/{remote}.trustedkeys.gpg"));
    for (remote, program) in [("ours", None), ("theirs", Some(&ostree))] {
        place.ok(&format!("remote add --repo=r {remote} http://localhost/"));
        let run = |line: &str| {
            let line = format!("--repo=r remote gpg-import {remote} {line}");
            program.map_or_else(|| place.run_as_ostree(&line), |ostree| real(&place, ostree, &line))
        };
        for line in ["-k one DEADBEEF".to_owned(), format!("-k one {first} {second}")] {
            let failed = run(&line);
            assert_eq!(failed.code, 1, "{remote}: {failed:?}");
            assert!(failed.err.contains("GPG: Unable to find key \""), "{failed:?}");
            assert!(!keyring(remote).exists(), "{remote} {line}");
        }
        assert_eq!(run(&format!("-k one -k two {second}")).code, 0);
        let before = fs::read(keyring(remote)).unwrap();
        // It is in the keyring, but not where it is to be taken from.
        assert_eq!(run(&format!("-k one {second}")).code, 1);
        assert_eq!(fs::read(keyring(remote)).unwrap(), before);
    }
}

#[test]
fn a_collections_branch_of_metadata_is_signed_as_the_summary_is() {
    let (Some(ostree), Some(gpg)) = (Ostree::find(), Gnupg::new().unwrap()) else {
        return skipped("ostree or gpg is not installed");
    };
    let place = repo("r", &["main"]);
    let key = gpg.make("Owner <owner@example.org>", "ed25519", "never", &[]).unwrap();
    fs::write(place.path("key"), gpg.public(Some(&key)).unwrap()).unwrap();
    place.ok("config --repo=r set core.collection-id org.example.Os");
    place.ok(&format!("summary --repo=r -u --gpg-homedir={} --gpg-sign={key}", gpg.home().display()));
    let tip = place.ok("rev-parse --repo=r ostree-metadata");
    let summary = || ["r/summary", "r/summary.sig"].map(|file| fs::read(place.path(file)).unwrap());
    let before = summary();
    let failed =
        place.run(&format!("summary --repo=r -u --gpg-homedir={} --gpg-sign=NOKEY", gpg.home().display()));
    assert_eq!((failed.code, place.ok("rev-parse --repo=r ostree-metadata")), (1, tip.clone()), "{failed:?}");
    assert_eq!(summary(), before);
    for (client, program) in [("ours", None), ("theirs", Some(&ostree))] {
        place.ok(&format!("init --repo={client} --mode=bare-user --format=ostree"));
        let url = place.path("r").display().to_string();
        let verify = "--set=gpg-verify=true --set=gpg-verify-summary=true --collection-id=org.example.Os";
        place.ok(&format!("remote add --repo={client} {verify} --gpg-import=key o file://{url}"));
        let line = format!("--repo={client} pull o ostree-metadata");
        let pulled = program.map_or_else(|| place.run_as_ostree(&line), |ostree| real(&place, ostree, &line));
        assert_eq!(pulled.code, 0, "{client}: {pulled:?}");
        assert_eq!(place.ok(&format!("rev-parse --repo={client} o:ostree-metadata")), tip);
    }
}

#[test]
fn a_repository_with_publishers_gets_no_summary_without_them_and_is_told_so() {
    let place = repo("r", &["main"]);
    let public =
        |name: &str| place.ok(&format!("trust new-key {name}")).trim().rsplit(' ').next().unwrap().to_owned();
    let (owner, publisher) = (public("owner"), public("publisher"));
    place.ok("config --repo=r set core.collection-id org.example.Os");
    fs::create_dir_all(place.path("usb/.ostree")).unwrap();
    place.ok("init --repo=usb/.ostree/repo --mode=archive --format=ostree");
    for repo in ["r", "usb/.ostree/repo"] {
        place.ok(&format!("trust init --repo={repo} --owner={owner} --publisher={publisher}"));
        place.ok(&format!("config --repo={repo} set core.auto-update-summary true"));
        let ran = place.run(&format!("summary --repo={repo} -u --sign-from-file=publisher"));
        assert_eq!((ran.code, ran.err.contains("not renewed")), (0, false), "{ran:?}");
    }
    let summary = |repo: &str| fs::read(place.path(repo).join("summary")).unwrap();
    let before = summary("r");
    let committed = place.run("commit --repo=r -b next t");
    assert_eq!(committed.code, 0, "{committed:?}");
    assert!(committed.err.contains("the summary is not renewed"), "{committed:?}");
    assert_eq!(summary("r"), before);
    let on_volume = summary("usb/.ostree/repo");
    let refused = place.run("create-usb --repo=r usb org.example.Os main");
    assert!(refused.code == 1 && refused.err.contains("key set"), "{refused:?}");
    assert_eq!(summary("usb/.ostree/repo"), on_volume);
}

#[test]
fn what_cannot_be_done_changes_no_configuration() {
    let place = repo("r", &["main"]);
    let config = || fs::read_to_string(place.path("r/config")).unwrap();
    let before = config();
    let tip = place.ok("rev-parse --repo=r main").trim().to_owned();
    for commit in [tip.as_str(), &"0".repeat(64)] {
        assert_eq!(place.run(&format!("prune --repo=r --delete-commit={commit}")).code, 1);
        assert_eq!(config(), before);
    }
    for args in [["--group=a]b", "k"], ["--group=a", "k=x"]] {
        let args = [&["--repo=r", "config"], &args[..1], &["set"], &args[1..], &["v"]].concat();
        let refused = ran(place.command(place.path("ostree")), &place, &args);
        assert!(refused.code == 1 && !refused.err.is_empty(), "{args:?}: {refused:?}");
        assert_eq!(config(), before);
    }
    place.ok("commit --repo=r -b main t");
    place.ok(&format!("prune --repo=r --delete-commit={tip}"));
    assert!(config().contains("tombstone-commits=true"));
    let tombstone = format!("r/objects/{}/{}.tombstone-commit", &tip[..2], &tip[2..]);
    assert!(place.path(&tombstone).exists());
}
