//! Staging that is left behind, and objects that repositories beside each other share.

use crate::place::Place;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Staging directories of a repository.
fn staging(place: &Place) -> Vec<String> {
    let names = fs::read_dir(place.path("r/tmp")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("staging-") && !name.ends_with("-lock")).collect()
}

#[test]
fn what_a_failed_commit_staged_is_reused_in_the_same_boot_and_removed_after_it() {
    let place = Place::new();
    let commit = |boot: &str, fails: bool| {
        let mut command = place.command(place.path("ostree"));
        command.args(["--repo=r", "commit", "-b", "os", "--table-output", "t"]).env("OSTREE_BOOTID", boot);
        if fails {
            command.env("OSTREE_REPO_TEST_ERROR", "pre-commit");
        }
        let ran = crate::place::Ran::from(command.output().unwrap());
        assert_eq!(ran.code, i32::from(fails), "{ran:?}");
        ran
    };
    place.ok("init --repo=r --mode=bare-user");
    fs::create_dir(place.path("t")).unwrap();
    fs::write(place.path("t/one"), "1").unwrap();
    assert!(commit("first-boot", true).err.contains("OSTREE_REPO_TEST_ERROR_PRE_COMMIT"));
    let left = staging(&place);
    assert!(matches!(left.as_slice(), [name] if name.starts_with("staging-first-boot-")), "{left:?}");
    // Its objects are taken over, so the file need not be written again.
    assert!(commit("first-boot", false).out.contains("Content Written: 0\n"));
    assert_eq!(staging(&place), [""; 0]);

    fs::write(place.path("t/two"), "2").unwrap();
    commit("first-boot", true);
    assert!(commit("second-boot", false).out.contains("Content Written: 1\n"));
    assert_eq!(staging(&place), [""; 0]);
    place.ok("fsck --repo=r");
}

/// Real `ostree` takes over the staging of a run of the same boot that failed, and publishes what it finds there. That may be
/// no commit: a prune in between can have taken what it shares with others.
#[test]
fn no_commit_that_a_failed_run_had_staged_is_published_after_a_prune() {
    let Some(ostree) = sapwood_testkit::Ostree::find() else { return };
    for failed_is_ours in [true, false] {
        let place = Place::new();
        place.ok("init --repo=r --format=ostree --mode=archive");
        fs::create_dir(place.path("t")).unwrap();
        fs::write(place.path("t/shared"), "of both").unwrap();
        place.ok("commit --repo=r -b old t");
        fs::write(place.path("t/new"), "of the failed one").unwrap();
        let mut failing = if failed_is_ours { place.command(place.path("ostree")) } else { ostree.command() };
        failing.current_dir(place.path(".")).args(["--repo=r", "commit", "-b", "os", "t"]);
        failing.env("OSTREE_REPO_TEST_ERROR", "pre-commit");
        assert_eq!(failing.output().unwrap().status.code(), Some(1));
        place.ok("refs --repo=r --delete old");
        place.ok("prune --repo=r --refs-only");
        assert_eq!(staging(&place).len(), 1);
        fs::create_dir(place.path("other")).unwrap();
        let id = crate::peer::real(&place, &ostree, "--repo=r commit -b other other").out;
        // It did take over: the failed run's objects are here.
        assert_eq!(staging(&place), [""; 0]);
        assert_eq!(objects(&place.path("r"), ".dirtree").len(), 2);
        let commits = objects(&place.path("r"), ".commit");
        assert_eq!(commits.len(), 1, "{commits:?}, of which only {id} is whole");
        place.ok("fsck --repo=r");
    }
}

/// What a commit is staged in changes while the tree is read.
#[test]
fn a_tree_that_holds_the_repository_is_recorded_without_what_is_being_staged() {
    let place = Place::new();
    place.ok("init --repo=r --mode=bare-user");
    for n in 0..200 {
        fs::write(place.path(&format!("file{n}")), n.to_string()).unwrap();
    }
    for _ in 0..10 {
        place.ok("commit --repo=r -b os .");
    }
    let listed = place.ok("ls --repo=r -R os");
    assert!(listed.contains(" /r/tmp") && listed.contains(" /file7"), "{listed}");
    let staged: Vec<_> = listed.lines().filter(|line| line.contains("/r/tmp/staging-")).collect();
    assert!(staged.iter().all(|line| line.ends_with("-lock")), "{staged:?}");
}

/// Objects of a kind below a repository, with their inodes.
fn objects(repo: &Path, suffix: &str) -> Vec<(PathBuf, u64)> {
    let shards = fs::read_dir(repo.join("objects")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let files =
        files.map(|file| file.unwrap().path()).filter(|path| path.to_string_lossy().ends_with(suffix));
    let mut found: Vec<_> = files
        .map(|path| (path.strip_prefix(repo).unwrap().to_owned(), path.metadata().unwrap().ino()))
        .collect();
    found.sort();
    found
}

#[test]
fn a_pull_from_beside_links_what_both_keep_alike_and_untrusted_only_what_is_right() {
    let place = Place::new();
    fs::create_dir_all(place.path("t/d")).unwrap();
    fs::write(place.path("t/d/file"), "content").unwrap();
    let repo =
        |name: &str, mode: &str| place.ok(&format!("init --repo={name} --mode={mode} --format=ostree"));
    repo("from", "bare-user");
    place.ok("commit --repo=from -b os --canonical-permissions t");
    for (to, mode, options, files, metadata) in [
        ("same", "bare-user", "", true, true),
        ("untrusted", "bare-user", "--untrusted", true, false),
        ("archive", "archive", "", false, true),
        ("plain", "bare-user-only", "", true, true),
    ] {
        repo(to, mode);
        place.ok(&format!("pull-local --repo={to} {options} from os"));
        let same = |suffix| objects(&place.path(to), suffix) == objects(&place.path("from"), suffix);
        assert_eq!((same(".file"), same(".dirtree"), same(".commit")), (files, metadata, metadata), "{to}");
        place.ok(&format!("fsck --repo={to}"));
    }
    let (object, _) = objects(&place.path("from"), ".file").remove(0);
    // Not in place: the others have the same file.
    fs::rename(place.path("from").join(&object), place.path("was")).unwrap();
    fs::copy(place.path("was"), place.path("from").join(&object)).unwrap();
    let meta = sapwood_fsio::xattr::list(&fs::File::open(place.path("was")).unwrap()).unwrap();
    let changed = fs::OpenOptions::new().append(true).open(place.path("from").join(&object)).unwrap();
    for (name, value) in meta.iter().filter(|(name, _)| name.starts_with(b"user.")) {
        sapwood_fsio::xattr::set(&changed, name, value).unwrap();
    }
    std::io::Write::write_all(&mut &changed, b"more").unwrap();
    repo("careful", "bare-user");
    let refused = place.run_as_ostree("pull-local --repo=careful --untrusted from os");
    assert!(refused.err.contains("Corrupted file object; checksum expected='"), "{refused:?}");
    assert_eq!(objects(&place.path("careful"), "").len(), 0);
}

/// Whoever owns a repository may write to what is in it, also by a second name.
#[test]
fn nothing_is_linked_from_a_repository_of_another_user() {
    let place = Place::new();
    if !rustix::process::geteuid().is_root() {
        return sapwood_testkit::skipped("only root can give files away");
    }
    fs::create_dir_all(place.path("t")).unwrap();
    fs::write(place.path("t/file"), "content").unwrap();
    for mode in ["bare", "bare-user", "bare-user-only"] {
        let from = format!("from-{mode}");
        place.ok(&format!("init --repo={from} --mode={mode} --format=ostree"));
        place.ok(&format!("commit --repo={from} -b os --canonical-permissions --no-xattrs t"));
        place.ok(&format!("init --repo=archive-{mode} --mode=archive --format=ostree"));
        place.ok(&format!("pull-local --repo=archive-{mode} {from}"));
        let owned = fs::metadata(place.path(&from).join("objects")).unwrap().uid();
        place.ok_of("chown", &["65534", &from, &format!("{from}/objects")]);
        for shard in fs::read_dir(place.path(&from).join("objects")).unwrap() {
            place.ok_of("chown", &["65534", &shard.unwrap().path().to_string_lossy()]);
        }
        let server = place.serve(&format!("archive-{mode}"));
        for (to, pull) in [
            ("local", format!("pull-local --repo=local-{mode} {from} os")),
            ("url", format!("pull --repo=url-{mode} beside os")),
            ("cache", format!("pull --repo=cache-{mode} -L {from} far os")),
        ] {
            let to = format!("{to}-{mode}");
            place.ok(&format!("init --repo={to} --mode={mode} --format=ostree"));
            let beside = place.path(&from);
            place.ok(&format!("remote add --repo={to} --no-gpg-verify beside file://{}", beside.display()));
            place.ok(&format!("remote add --repo={to} --no-gpg-verify far {}", server.url));
            place.ok(&pull);
            for (object, inode) in objects(&place.path(&to), "") {
                let beside = place.path(&from).join(&object).metadata().unwrap();
                assert_ne!(beside.ino(), inode, "{to}: {}", object.display());
                assert_eq!(place.path(&to).join(&object).metadata().unwrap().uid(), owned, "{to}");
            }
            place.ok(&format!("fsck --repo={to}"));
        }
    }
}
