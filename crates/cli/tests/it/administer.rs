//! What administrators do to remotes and machines comes to what it comes to with the real `ostree`.

use crate::place::Ran;
use crate::sides::Sides;
use sapwood_testkit::{Gnupg, skipped};
use std::collections::BTreeSet;
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
fn a_damaged_record_of_what_is_staged_is_warned_of_until_a_cleanup_removes_it() {
    let Some(sides) = Sides::new() else { return };
    sides.machine();
    fs::write(sides.ours.path("m/ostree/staged-deployment"), "").unwrap();
    for (line, warned) in [("status", true), ("cleanup", true), ("status", false)] {
        let ran = sides.ours.run(&format!("admin {line} --sysroot=m"));
        assert_eq!((ran.code, ran.err.contains("warning: ")), (0, warned), "{line}: {ran:?}");
    }
}

#[test]
fn what_the_real_program_would_finalise_otherwise_is_not_staged_under_its_name() {
    let Some(sides) = Sides::new() else { return };
    sides.machine();
    sides.same_code("pull-local --repo=m/ostree/repo srv os");
    for options in ["--not-as-default", "--retain-pending", "--retain-rollback --not-as-default", ""] {
        let ran = sides.same(&format!("admin deploy --sysroot=m --os=os --stage {options} os"));
        assert_eq!(ran.code, 1, "nothing can be staged where nothing runs");
        let ours = sides.ours.run(&format!("admin deploy --sysroot=m --os=os --stage {options} os"));
        assert!(ours.err.contains("Not currently booted"), "{ours:?}");
    }
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

#[test]
fn a_machine_that_is_pinned_to_a_commit_stays_there() {
    let Some(sides) = Sides::new() else { return };
    let [first, _, next] = sides.machine();
    sides.same("remote add --repo=m/ostree/repo --no-gpg-verify o file://srv");
    sides.same_code("pull-local --repo=m/ostree/repo --remote=o srv os next");
    sides.same_code(&format!("pull-local --repo=m/ostree/repo srv {first}"));
    for (name, commit) in [("first", &first), ("third", &next)] {
        sides.same(&format!("refs --repo=m/ostree/repo --create={name} {commit}"));
    }
    let origin = |commit: &str, serial: u32| {
        sides.text(&format!("m/ostree/deploy/os/deploy/{commit}.{serial}.origin"))
    };
    // The first deployment of all, and one after another that follows a ref.
    sides.same_code(&format!("admin deploy --sysroot=m --os=os {first}"));
    assert_eq!(origin(&first, 0).as_deref(), Some(format!("[origin]\nrefspec={first}\n").as_str()));
    sides.same_code("admin deploy --sysroot=m --os=os o:os");
    sides.same_code(&format!("admin deploy --sysroot=m --os=os {first}"));
    assert_eq!(origin(&first, 1), Some(format!("[origin]\nrefspec={first}\n")));
    for options in ["", " --allow-downgrade", " --pull-only", " --deploy-only"] {
        let ran = sides.same(&format!("admin upgrade --sysroot=m --os=os{options}"));
        assert_eq!((ran.code, ran.out.as_str()), (0, "No update available.\n"), "{options}");
    }
    let (refused, _) =
        sides.same_code(&format!("admin upgrade --sysroot=m --os=os --override-commit={next}"));
    assert_eq!(refused.code, 1);
    sides.same("admin status --sysroot=m");
    // From one commit to another, to a ref, and to a commit of that ref's remote.
    sides.same_code(&format!("admin switch --sysroot=m --os=os {next}"));
    assert_eq!(origin(&next, 0).as_deref(), Some(format!("[origin]\nrefspec={next}\n").as_str()));
    sides.same("admin upgrade --sysroot=m --os=os");
    sides.same("admin set-origin --sysroot=m --index=0 o http://a/");
    assert_eq!(origin(&next, 0).as_deref(), Some(format!("[origin]\nrefspec=o:{next}\n").as_str()));
    sides.same("admin status --sysroot=m");
    // What is no ref, and no whole id, is a commit all the same; OSTree cannot upgrade from that.
    sides.same_code("admin deploy --sysroot=m --os=os third^");
}

#[test]
fn a_commit_that_nobody_vouches_for_is_not_deployed_by_its_id() {
    let Some(sides) = Sides::new() else { return };
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("no gpg") };
    let [_, os, next] = sides.machine();
    gpg.make("known <known@a>", "ed25519", "never", &[]).unwrap();
    sides.write("key", gpg.public(None).unwrap());
    for place in [&sides.ours, &sides.theirs] {
        let url = format!("file://{}", place.path("srv").display());
        place.ok_of("ostree", &["remote", "add", "--repo=m/ostree/repo", "--gpg-import=key", "o", &url]);
        place.ok_of("ostree", &["remote", "add", "--repo=m/ostree/repo", "--no-gpg-verify", "n", &url]);
    }
    sides.same_code("pull-local --repo=m/ostree/repo srv os next");
    sides.same(&format!("refs --repo=m/ostree/repo --create=o:os {os}"));
    assert_eq!(sides.same("admin status --sysroot=m").code, 0);
    assert_eq!(sides.same_code("admin deploy --sysroot=m --os=os o:os").0.code, 0);
    assert_eq!(sides.same("admin status --sysroot=m").code, 1);
    for refspec in [next.clone(), format!("o:{next}"), "o:next".to_owned()] {
        let (ours, _) = sides.same_code(&format!("admin switch --sysroot=m --os=os {refspec}"));
        assert!(ours.code == 1 && ours.err.contains("no signatures found"), "{refspec}: {ours:?}");
    }
    assert_eq!(sides.same_code(&format!("admin switch --sysroot=m --os=os n:{next}")).0.code, 0);
}

#[test]
fn what_goes_on_where_another_ends_is_no_older_unless_that_is_allowed() {
    let Some(sides) = Sides::new() else { return };
    sides.machine();
    let end = "--add-metadata-string=ostree.endoflife=over --add-metadata-string=ostree.endoflife-rebase=os";
    sides.same(&format!("commit --repo=srv -b next --timestamp=@6000 {end} --tree=ref=next"));
    sides.same("summary --repo=srv -u");
    for place in [&sides.ours, &sides.theirs] {
        let url = format!("file://{}", place.path("srv").display());
        place.ok_of("ostree", &["remote", "add", "--repo=m/ostree/repo", "--no-gpg-verify", "n", &url]);
    }
    sides.same_code("pull-local --repo=m/ostree/repo --remote=n srv next");
    sides.same_code("admin deploy --sysroot=m --os=os n:next");
    for (options, code) in [("--pull-only", 1), ("", 1), ("--allow-downgrade", 0)] {
        let ran = sides.same_code(&format!("admin upgrade --sysroot=m --os=os {options}")).0;
        assert_eq!(ran.code, code, "{options}: {ran:?}");
    }
    sides.same("admin status --sysroot=m");
}

#[test]
fn what_was_only_pulled_is_told_of_until_it_is_deployed() {
    let Some(sides) = Sides::new() else { return };
    let [first, second, _] = sides.machine();
    for place in [&sides.ours, &sides.theirs] {
        let url = format!("file://{}", place.path("srv").display());
        place.ok_of("ostree", &["remote", "add", "--repo=m/ostree/repo", "--no-gpg-verify", "n", &url]);
    }
    sides.same_code(&format!("pull-local --repo=m/ostree/repo srv {first}"));
    sides.same(&format!("refs --repo=m/ostree/repo --create=n:os {first}"));
    sides.same_code("admin deploy --sysroot=m --os=os n:os");
    for _ in 0..2 {
        assert_eq!(sides.same("admin upgrade --sysroot=m --os=os --pull-only").out, "");
    }
    sides.same_code("admin upgrade --sysroot=m --os=os --deploy-only");
    assert!(sides.text(&format!("m/ostree/deploy/os/deploy/{second}.0.origin")).is_some());
    assert_eq!(sides.same("admin upgrade --sysroot=m --os=os --pull-only").out, "No update available.\n");
    sides.same(&format!("admin set-origin --sysroot=m --index=0 n http://a/ {second}"));
    sides.same("admin status --sysroot=m");
}

#[test]
fn a_mirror_of_a_directory_has_its_summary_which_is_verified() {
    let Some(sides) = Sides::new() else { return };
    let Some(gpg) = Gnupg::new().unwrap() else { return skipped("no gpg") };
    let key = gpg.make("known <known@a>", "ed25519", "never", &[]).unwrap();
    gpg.make("other <other@a>", "ed25519", "never", &[]).unwrap();
    for user in ["known", "other"] {
        sides.write(&format!("{user}.gpg"), gpg.public(Some(user)).unwrap());
    }
    sides.machine();
    sides.same("init --repo=mirror --mode=archive");
    for place in [&sides.ours, &sides.theirs] {
        let url = format!("file://{}", place.path("srv").display());
        place.ok_of("ostree", &["remote", "add", "--repo=mirror", "--no-gpg-verify", "plain", &url]);
        for user in ["known", "other"] {
            let key = format!("--gpg-import={user}.gpg");
            let options = ["--set=gpg-verify=false", "--set=gpg-verify-summary=true", &key, user, &url];
            place.ok_of("ostree", &[["remote", "add", "--repo=mirror"].as_slice(), &options].concat());
        }
    }
    let copied = |name: &str, of: &str| {
        for place in [&sides.ours, &sides.theirs] {
            let read = |repo: &str| fs::read(place.path(&format!("{repo}/{name}"))).ok();
            assert_eq!(read("mirror"), read("srv"), "{of}: {name}");
        }
    };
    let same_refs = || {
        let (ours, theirs) = sides.same_code("refs --repo=mirror");
        let sorted = |ran: &Ran| ran.out.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(&ours), sorted(&theirs));
    };
    assert_eq!(sides.same_code("pull --repo=mirror --mirror plain").0.code, 0);
    copied("summary", "not signed");
    same_refs();
    // A ref that the summary does not list is no part of what it lists.
    sides.same("refs --repo=srv --create=late next");
    sides.same_code("pull --repo=mirror --mirror plain");
    same_refs();
    sides.same("refs --repo=srv --delete late");
    assert_eq!(sides.same_code("pull --repo=mirror --mirror known").0.code, 1);
    sides.same(&format!("summary --repo=srv -u --gpg-sign={key} --gpg-homedir={}", gpg.home().display()));
    assert_eq!(sides.same_code("pull --repo=mirror --mirror other").0.code, 1);
    assert_eq!(sides.same_code("pull --repo=mirror --mirror known").0.code, 0);
    copied("summary", "signed");
    copied("summary.sig", "signed");
    fs::remove_file(sides.ours.path("srv/summary")).unwrap();
    fs::remove_file(sides.theirs.path("srv/summary")).unwrap();
    assert_eq!(sides.same("pull --repo=mirror --mirror plain").code, 1);
}

#[test]
fn a_delta_in_a_file_is_verified() {
    let Some(sides) = Sides::new() else { return };
    sides.machine();
    sides.their("static-delta generate --repo=srv --empty --inline --filename=plain os");
    let dummy = "OSTREE_DUMMY_SIGN_ENABLED=1 exec \"$0\"";
    let generate = format!(
        "{dummy} static-delta generate --repo=srv --empty --inline --sign=abc --sign-type=dummy --filename=signed next"
    );
    assert!(sides.theirs.command("sh").args(["-c", &generate, "ostree"]).output().unwrap().status.success());
    for name in ["plain", "signed"] {
        let delta = fs::read(sides.theirs.path(name)).unwrap();
        fs::write(sides.ours.path(name), delta).unwrap();
    }
    for (line, code) in [
        ("--sign-type=dummy ./signed abc", 0),
        ("--sign-type=dummy ./signed abd", 1),
        ("--sign-type=dummy signed abc", 1),
        ("--sign-type=dummy ./plain abc", 1),
        ("--sign-type=nosuch ./signed abc", 1),
    ] {
        let line = format!("{dummy} static-delta verify --repo=srv {line}");
        let ran = [(&sides.ours, sides.ours.path("ostree")), (&sides.theirs, "ostree".into())].map(
            |(place, program)| {
                let out = place.command("sh").args(["-c", &line]).arg(program).output().unwrap();
                (out.status.code(), String::from_utf8(out.stdout).unwrap())
            },
        );
        assert_eq!(ran[0], ran[1], "{line}");
        assert_eq!(ran[0].0, Some(code), "{line}");
    }
}

#[test]
fn a_commit_that_is_named_is_deployed_whatever_ref_it_is_of() {
    let Some(sides) = Sides::new() else { return };
    let [first, _, next] = sides.machine();
    for place in [&sides.ours, &sides.theirs] {
        let url = format!("file://{}", place.path("srv").display());
        place.ok_of("ostree", &["remote", "add", "--repo=m/ostree/repo", "--no-gpg-verify", "o", &url]);
    }
    sides.same_code("pull-local --repo=m/ostree/repo --remote=o srv os");
    sides.same_code("admin deploy --sysroot=m --os=os o:os");
    sides.same(&format!("admin upgrade --sysroot=m --os=os --override-commit={next}"));
    sides.same("admin status --sysroot=m");
    sides.same("rev-parse --repo=m/ostree/repo o:os");
    let origin = sides.text(&format!("m/ostree/deploy/os/deploy/{next}.0.origin"));
    assert_eq!(origin, Some(format!("[origin]\nrefspec=o:os\noverride-commit={next}\n")));
    assert_eq!(
        sides.same_code(&format!("admin upgrade --sysroot=m --os=os --override-commit={first}")).0.code,
        1
    );
    for options in ["--pull-only --reboot", "--pull-only --deploy-only", "--pull-only --deploy-only --reboot"]
    {
        assert_eq!(sides.same(&format!("admin upgrade --sysroot=m --os=os {options}")).code, 1);
    }
}

#[test]
fn kernel_arguments_are_changed_as_by_ostree() {
    let Some(sides) = Sides::new() else { return };
    sides.machine();
    sides.same_code("pull-local --repo=m/ostree/repo srv os next");
    for line in
        ["kargs edit-in-place --sysroot=m --append-if-missing=a=1", "instutil set-kargs --sysroot=m a"]
    {
        assert_eq!(sides.same(&format!("admin {line}")).code, 1);
    }
    let options = || {
        let [ours, theirs] = [&sides.ours, &sides.theirs].map(|place| {
            let mut entries: Vec<_> = fs::read_dir(place.path("m/boot/loader/entries"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            // The default has the highest number.
            entries.sort();
            let entry = fs::read_to_string(entries.last().unwrap()).unwrap();
            let options = entry.lines().find_map(|line| line.strip_prefix("options ")).unwrap().to_owned();
            let words = options.split_whitespace().filter(|word| !word.starts_with("ostree="));
            words.map(str::to_owned).collect::<Vec<_>>()
        });
        assert_eq!(ours, theirs);
        ours.join(" ")
    };
    sides.same_code("admin deploy --sysroot=m --os=os os --karg= --karg-append= --karg=x=y");
    assert_eq!(options(), "x=y");
    for (argument, wanted) in [
        ("foo=bar", "x=y foo=bar"),
        ("foo=bar", "x=y foo=bar"),
        ("foo=baz", "x=y foo=bar"),
        ("foo", "x=y foo=bar"),
        ("x=z", "x=y foo=bar"),
        ("k", "x=y foo=bar k"),
    ] {
        sides.same(&format!("admin kargs edit-in-place --sysroot=m --append-if-missing={argument}"));
        assert_eq!(options(), wanted);
    }
    sides.same("admin deploy --sysroot=m --os=os os --karg-delete=c");
    // The same kernel with the same arguments again: the entries stay as they are.
    sides.same("admin deploy --sysroot=m --os=os os");
    let again = sides.same("admin deploy --sysroot=m --os=os os");
    assert!(again.out.contains("Transaction complete; bootconfig swap: no"), "{again:?}");
    sides.same("admin instutil set-kargs --sysroot=m x=1");
    assert_eq!(options(), "x=1");
}

#[test]
fn common_failures_begin_with_the_words_of_ostree() {
    let Some(sides) = Sides::new() else { return };
    sides.machine();
    sides.same("init --repo=r --mode=archive");
    sides.same("init --repo=none --mode=archive");
    for place in [&sides.ours, &sides.theirs] {
        for (name, repo) in [("o", "srv"), ("n", "none")] {
            let url = format!("file://{}", place.path(repo).display());
            place.ok_of("ostree", &["remote", "add", "--repo=r", "--no-gpg-verify", name, &url]);
        }
    }
    let next = sides.same("rev-parse --repo=srv next").out;
    for line in [
        "pull --repo=r o nosuch",
        "pull --repo=r n nosuch",
        &format!("pull --repo=r o os@{}", next.trim()),
        "remote refs --repo=r n",
        "pull --repo=r --mirror n",
        "admin nosuch",
        "remote nosuch",
        "static-delta nosuch",
        "admin instutil nosuch",
        "nosuch",
    ] {
        assert_eq!(sides.same(line).code, 1, "{line}");
    }
    sides.same("static-delta generate --repo=srv --empty os");
    sides.same("summary --repo=srv -u");
    sides.same("summary --repo=srv -u -v");
    let shown = sides.run("summary --repo=srv -v").0.out;
    assert!(shown.contains("\nStatic Deltas (ostree.static-deltas): {"), "{shown}");
}
