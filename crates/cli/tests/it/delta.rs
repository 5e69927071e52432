//! Static deltas, made and applied by us and by the real `ostree`, each for the other.

use crate::peer::real;
use crate::place::Place;
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs;

/// Bytes that do not compress to nothing, and the same with a change in the middle.
fn program(change: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        (0..60_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    bytes.splice(100_000..100_000, change.bytes());
    bytes
}

/// A repository with two commits on `main`, and the path of the delta between them.
fn two_commits(place: &Place) -> (String, String) {
    let mut tree = Tree::default();
    tree.file("usr/bin/program", program("")).mode(0o755);
    tree.file("usr/bin/setuid", "#!").mode(0o4755);
    tree.symlink("bin", "usr/bin");
    tree.file("usr/lib/big", program("big"));
    tree.write_to(&place.path("t")).unwrap();
    place.ok("init --repo=r --mode=archive --format=ostree");
    place.ok("commit --repo=r -b main --no-xattrs t");
    fs::write(place.path("t/usr/bin/program"), program("inserted")).unwrap();
    fs::rename(place.path("t/usr/lib/big"), place.path("t/usr/big")).unwrap();
    fs::write(place.path("t/usr/big"), program("small")).unwrap();
    fs::write(place.path("t/usr/new"), "new").unwrap();
    std::os::unix::fs::symlink("new", place.path("t/usr/link")).unwrap();
    place.ok("commit --repo=r -b main --no-xattrs t");
    let id = |rev: &str| place.ok(&format!("rev-parse --repo=r {rev}")).trim().to_owned();
    (id("main^"), id("main"))
}

/// The directory of the only delta that is in `repo`.
fn delta_dir(place: &Place, repo: &str) -> String {
    let only = |path: String| {
        let mut entries = fs::read_dir(place.path(&path)).unwrap();
        format!("{path}/{}", entries.next().unwrap().unwrap().file_name().to_str().unwrap())
    };
    only(only(format!("{repo}/deltas")))
}

#[test]
fn deltas_that_we_make_are_applied_by_ostree_and_by_us() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let (from, to) = two_commits(&place);
    for how in [
        "",
        "--inline",
        "--disable-bsdiff",
        "--max-chunk-size=0",
        "--swap-endianness",
        "--inline --disable-bsdiff",
    ] {
        let _ignored = fs::remove_dir_all(place.path("r/deltas"));
        place.ok(&format!("static-delta generate --repo=r {how} main"));
        let delta = delta_dir(&place, "r");
        for (mode, by_us) in [("bare-user", false), ("bare-user", true), ("archive", true)] {
            let _ignored = fs::remove_dir_all(place.path("d"));
            place.ok(&format!("init --repo=d --mode={mode} --format=ostree"));
            place.ok(&format!("pull-local --repo=d r {from}"));
            let apply = format!("static-delta apply-offline --repo=d {delta}");
            let ran = if by_us { place.run(&apply) } else { real(&place, &ostree, &apply) };
            assert_eq!(ran.code, 0, "{how}: {}", ran.err);
            let fsck = real(&place, &ostree, "fsck --repo=d");
            assert_eq!(fsck.code, 0, "{how} {mode}: {}", fsck.err);
            place.ok(&format!("ls --repo=d -R {to}"));
        }
    }
}

#[test]
fn deltas_that_ostree_makes_are_shown_and_applied_the_same() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let (from, to) = two_commits(&place);
    for how in ["", "--disable-bsdiff", "--set-endianness=B", "--max-chunk-size=1"] {
        let _ignored = fs::remove_dir_all(place.path("r/deltas"));
        let made = real(&place, &ostree, &format!("static-delta generate --repo=r {how} main"));
        assert_eq!(made.code, 0, "{}", made.err);
        let show = format!("static-delta show --repo=r {from}-{to}");
        assert_eq!(place.ok(&show), real(&place, &ostree, &show).out, "{how}");
        let delta = delta_dir(&place, "r");
        let _ignored = fs::remove_dir_all(place.path("d"));
        place.ok("init --repo=d --mode=bare-user --format=ostree");
        let early = place.run(&format!("static-delta apply-offline --repo=d {delta}"));
        assert_eq!(early.code, 1, "{}", early.out);
        assert!(early.err.contains("which is the delta source, is not in repository"), "{}", early.err);
        place.ok(&format!("pull-local --repo=d r {from}"));
        place.ok(&format!("static-delta apply-offline --repo=d {delta}"));
        assert_eq!(real(&place, &ostree, "fsck --repo=d").code, 0);
        place.ok(&format!("ls --repo=d -R {to}"));
    }
}

/// What a pull takes a delta for is the commit's signature; that the superblock has some of its own is no obstacle.
#[test]
fn signed_deltas_are_pulled() {
    let place = Place::new();
    let (from, to) = two_commits(&place);
    let public = place.ok("trust new-key key").trim().rsplit(' ').next().unwrap().to_owned();
    let secret = fs::read_to_string(place.path("key")).unwrap();
    for how in ["", "--inline"] {
        let _ignored = fs::remove_dir_all(place.path("r/deltas"));
        let _ignored = fs::remove_dir_all(place.path("d"));
        let generate = "static-delta generate --repo=r --sign-type=ed25519";
        place.ok(&format!("{generate} --sign={} {how} main", secret.trim()));
        place.ok(&format!("static-delta verify --repo=r {from}-{to} {public}"));
        place.ok("summary --repo=r -u");
        place.ok("init --repo=d --mode=bare-user --format=ostree");
        place.ok(&format!("remote add --repo=d --no-gpg-verify origin file://{}", place.path("r").display()));
        place.ok(&format!("pull --repo=d origin main@{from}"));
        let pulled = place.ok("pull --repo=d --require-static-deltas origin main");
        assert!(pulled.contains("1 delta parts, 0 loose fetched"), "{how}: {pulled}");
        assert_eq!(place.ok("rev-parse --repo=d origin:main").trim(), to);
    }
}

#[test]
fn a_malformed_demand_for_signed_deltas_is_no_permission() {
    let place = Place::new();
    let (from, _) = two_commits(&place);
    place.ok("static-delta generate --repo=r main");
    let delta = delta_dir(&place, "r");
    place.ok("init --repo=d --mode=bare-user --format=ostree");
    place.ok(&format!("pull-local --repo=d r {from}"));
    place.ok("config --repo=d set core.sign-verify-deltas sure");
    let ran = place.run(&format!("static-delta apply-offline --repo=d {delta}"));
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.err.contains("core.sign-verify-deltas is \"sure\""), "{}", ran.err);
    place.ok("config --repo=d set core.sign-verify-deltas false");
    place.ok(&format!("static-delta apply-offline --repo=d {delta}"));
}

#[test]
fn deltas_that_ostree_makes_are_pulled() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let (from, to) = two_commits(&place);
    for how in ["", "--inline", "--swap-endianness"] {
        for dir in ["r/deltas", "d"] {
            let _ignored = fs::remove_dir_all(place.path(dir));
        }
        let made = real(&place, &ostree, &format!("static-delta generate --repo=r {how} main"));
        assert_eq!(made.code, 0, "{}", made.err);
        assert_eq!(real(&place, &ostree, "summary --repo=r -u").code, 0);
        place.ok("init --repo=d --mode=bare-user --format=ostree");
        let url = place.path("r").display().to_string();
        place.ok(&format!("remote add --repo=d --no-gpg-verify origin file://{url}"));
        let refused = place.run("pull --repo=d --require-static-deltas origin main");
        assert_eq!(refused.code, 1, "{how}: there is none from nothing: {}", refused.out);
        assert!(refused.err.contains("Static deltas required, but none found for main"), "{}", refused.err);
        place.ok(&format!("pull --repo=d origin main@{from}"));
        let plan = place.ok("pull --repo=d --dry-run --require-static-deltas origin main");
        assert!(plan.starts_with("Delta update: 0/1 parts, 0 bytes/"), "{how}: {plan}");
        assert_eq!(place.ok("rev-parse --repo=d origin:main").trim(), from);
        let pulled = place.ok("pull --repo=d --require-static-deltas origin main");
        assert!(pulled.contains("1 delta parts, 0 loose fetched"), "{how}: {pulled}");
        assert_eq!(place.ok("rev-parse --repo=d origin:main").trim(), to);
        assert_eq!(real(&place, &ostree, "fsck --repo=d").code, 0);
    }
}

/// Where a commit records sizes, a dry run knows to the byte what the server will send of files.
#[test]
fn a_dry_run_is_exact_where_sizes_are_recorded() {
    let place = Place::new();
    let mut tree = Tree::default();
    tree.file("usr/bin/program", program("")).mode(0o755);
    tree.file("usr/lib/text", "text ".repeat(5000));
    tree.symlink("bin", "usr/bin");
    tree.write_to(&place.path("t")).unwrap();
    place.ok("init --repo=r --mode=archive --format=ostree");
    place.ok("commit --repo=r -b main --no-xattrs --generate-sizes t");
    place.ok("init --repo=d --mode=bare-user --format=ostree");
    place.ok(&format!("remote add --repo=d --no-gpg-verify origin file://{}", place.path("r").display()));
    let mut bytes = 0;
    for dir in fs::read_dir(place.path("r/objects")).unwrap() {
        for file in fs::read_dir(dir.unwrap().path()).unwrap().map(Result::unwrap) {
            if file.file_name().to_string_lossy().ends_with(".filez") {
                bytes += file.metadata().unwrap().len();
            }
        }
    }
    let plan = place.ok("pull --repo=d --dry-run --json origin main");
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["file_bytes_exact"].as_u64(), Some(bytes), "{plan}");
    assert_eq!((&plan["files"], &plan["files_of_unknown_size"]), (&3.into(), &0.into()));
    assert_eq!(place.run("rev-parse --repo=d origin:main").code, 1, "no ref moved");
}

/// A part in which one byte differs is refused before anything of it is stored.
#[test]
fn a_damaged_part_is_refused() {
    let place = Place::new();
    let (from, to) = two_commits(&place);
    place.ok("static-delta generate --repo=r main");
    let delta = delta_dir(&place, "r");
    let part = place.path(&format!("{delta}/0"));
    let mut bytes = fs::read(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).unwrap();
    place.ok("init --repo=d --mode=bare-user --format=ostree");
    place.ok(&format!("pull-local --repo=d r {from}"));
    let ran = place.run(&format!("static-delta apply-offline --repo=d {delta}"));
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("corrupt"), "{}", ran.err);
    assert_eq!(place.run(&format!("show --repo=d {to}")).code, 1);
}

#[test]
fn a_delta_replaces_nothing_beside_a_commit_that_is_here() {
    let place = Place::new();
    let (from, to) = two_commits(&place);
    place.ok("static-delta generate --repo=r --inline main");
    let delta = delta_dir(&place, "r");
    let public = place.ok("trust new-key key").trim().rsplit(' ').next().unwrap().to_owned();
    let verify = format!("sign --repo=r --verify {to} {public}");
    place.ok(&format!("sign --repo=r --keys-file=key {to}"));
    place.ok(&verify);
    place.ok(&format!("static-delta apply-offline --repo=r {delta}"));
    place.ok(&verify);
    // What is new here takes what the delta has.
    place.ok(&format!("static-delta generate --repo=r --inline {to}"));
    place.ok("init --repo=d --mode=archive --format=ostree");
    place.ok(&format!("pull-local --repo=d r {from}"));
    place.ok(&format!("static-delta apply-offline --repo=d {delta}"));
    place.ok(&format!("sign --repo=d --verify {to} {public}"));
}

#[test]
fn the_option_says_where_a_delta_leads_whatever_else_is_named() {
    let place = Place::new();
    let (from, to) = two_commits(&place);
    place.ok("static-delta generate --repo=r --empty --to=main main^");
    assert_eq!(place.ok("static-delta list --repo=r").trim(), to);
    if let Some(ostree) = Ostree::find() {
        let ran = real(&place, &ostree, &format!("static-delta generate --repo=r --empty --to={from} main"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let listed = place.ok("static-delta list --repo=r");
        assert_eq!(listed.lines().collect::<std::collections::BTreeSet<_>>(), [&*from, &*to].into());
    }
}

/// A run that is killed between its last parts and its superblock leaves a directory that is no delta.
#[test]
fn what_an_unfinished_delta_left_can_be_deleted() {
    let place = Place::new();
    let (from, to) = two_commits(&place);
    place.ok("static-delta generate --repo=r main");
    let delta = delta_dir(&place, "r");
    fs::remove_file(place.path(&format!("{delta}/superblock"))).unwrap();
    let delete = format!("static-delta delete --repo=r {from}-{to}");
    place.ok(&delete);
    assert!(!place.path(&delta).exists());
    assert_eq!(place.run(&delete).code, 1, "there is none any more");
}
