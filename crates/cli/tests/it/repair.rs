//! `fsck --repair`: what a repository lost or has damaged is brought back, from a path and over HTTP.

use crate::place::{Place, Ran};
use sapwood_testkit::{Random, Tree};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A repository `r` that was a copy of `source`, damaged since.
struct Damaged {
    place: Place,
    /// Corrupt: two files, a directory.
    corrupt: Vec<PathBuf>,
    /// A commit on no ref.
    lost: String,
}

fn objects(place: &Place, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for shard in fs::read_dir(place.path("r/objects")).unwrap().map(Result::unwrap) {
        for file in fs::read_dir(shard.path()).unwrap().map(Result::unwrap) {
            let is = file.path().extension().is_some_and(|found| found.to_string_lossy().starts_with(kind));
            found.extend(is.then(|| file.path()));
        }
    }
    found.sort();
    found
}

/// The file of an object of `r` in `source`.
fn original(place: &Place, path: &Path) -> PathBuf {
    place.path("source").join(path.strip_prefix(place.path("r")).unwrap())
}

fn damaged(format: &str) -> Damaged {
    let place = Place::new();
    let mut tree = Tree::default();
    for name in ["a", "b", "dir/c"] {
        tree.file(name, format!("the content of {name}"));
    }
    tree.write_to(&place.path("t")).unwrap();
    place.ok(&format!("init --repo source --format={format} --mode=archive"));
    place.ok("commit --repo source -b main t");
    let lost = place.ok("commit --repo source -b only --no-bindings --subject=only t").trim().to_owned();
    let copied =
        Command::new("cp").args(["-a"]).args([place.path("source"), place.path("r")]).status().unwrap();
    assert!(copied.success());
    let (files, trees) = (objects(&place, "file"), objects(&place, "dirtree"));
    fs::remove_file(&files[0]).unwrap();
    let corrupt = vec![files[1].clone(), files[2].clone(), trees[0].clone()];
    for path in &corrupt {
        fs::write(path, "garbage").unwrap();
    }
    fs::remove_file(place.path(&format!("r/objects/{}/{}.commit", &lost[..2], &lost[2..]))).unwrap();
    Damaged { place, corrupt, lost }
}

fn check(damaged: &Damaged, repaired: &Ran) {
    let Damaged { place, corrupt, lost } = damaged;
    assert_eq!(repaired.code, 0, "{}{}", repaired.out, repaired.err);
    assert!(repaired.out.contains(&format!("Repaired commit {lost}")), "{}", repaired.out);
    place.ok("fsck --repo r");
    assert_eq!(fs::read_dir(place.path("r/state")).unwrap().count(), 0);
    for path in corrupt {
        assert_eq!(fs::read(path).unwrap(), fs::read(original(place, path)).unwrap());
    }
}

#[test]
fn what_a_repository_lost_is_brought_back_from_another() {
    for format in ["native", "ostree"] {
        let damaged = damaged(format);
        assert_eq!(damaged.place.run("fsck --repo r --repair nowhere").code, 1);
        for path in &damaged.corrupt {
            assert_eq!(fs::read(path).unwrap(), b"garbage", "it goes when there is a better one");
        }
        check(&damaged, &damaged.place.run("fsck --repo r --repair source"));
    }
}

#[test]
fn what_a_repository_lost_is_brought_back_over_http() {
    for format in ["native", "ostree"] {
        let damaged = damaged(format);
        let place = &damaged.place;
        place.ok("summary --repo source -u");
        let server = place.serve("source");
        place.ok(&format!("remote add --repo r --no-gpg-verify origin {}", server.url));
        check(&damaged, &place.run("fsck --repo r --repair origin"));
    }
}

#[test]
fn a_repair_keeps_below_the_rate_of_its_remote() {
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    fs::write(place.path("t/large"), Random::new(3).binary(300_000)).unwrap();
    place.ok("init --repo source --format=ostree --mode=archive");
    place.ok("commit --repo source -b main t");
    place.ok_of("cp", &["-a", "source", "r"]);
    let lost = &objects(&place, "file")[0];
    let bytes = fs::metadata(lost).unwrap().len();
    fs::remove_file(lost).unwrap();
    let server = place.serve("source");
    // So much in a second, a quarter of which may come at once.
    let rate = bytes / 2;
    place.ok(&format!("remote add --repo r --no-gpg-verify --set=limit-rate={rate} origin {}", server.url));
    let began = Instant::now();
    place.ok("fsck --repo r --repair origin");
    assert!(began.elapsed() >= Duration::from_millis(1740), "{:?}", began.elapsed());
}

#[test]
fn what_the_source_has_damaged_too_is_not_taken_and_stays_unless_it_is_to_be_deleted() {
    for over_http in [false, true] {
        let damaged = damaged("ostree");
        let Damaged { place, corrupt, .. } = &damaged;
        fs::write(original(place, &corrupt[0]), "other garbage").unwrap();
        let server = place.serve("source");
        place.ok(&format!("remote add --repo r --no-gpg-verify origin {}", server.url));
        let from = if over_http { "origin" } else { "source" };
        let ran = place.run(&format!("fsck --repo r --repair {from}"));
        assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
        assert_eq!(fs::read(&corrupt[0]).unwrap(), b"garbage");
        assert_eq!(place.run(&format!("fsck --repo r --delete --repair {from}")).code, 1);
        assert!(!corrupt[0].exists());
    }
}

#[test]
fn what_nothing_needs_and_is_corrupt_goes_with_a_repair() {
    let damaged = damaged("native");
    let place = &damaged.place;
    let idle = place.path("r/objects/00").join(format!("{}.dirmeta", "0".repeat(62)));
    fs::create_dir_all(idle.parent().unwrap()).unwrap();
    fs::write(&idle, "of nobody").unwrap();
    check(&damaged, &place.run("fsck --repo r --repair source"));
    assert!(!idle.exists());
}

#[test]
fn a_repair_that_is_killed_is_finished_by_the_next() {
    let mut random = Random::new(7);
    for round in 0..6 {
        let damaged = damaged(if round % 2 == 0 { "native" } else { "ostree" });
        let Damaged { place, corrupt, .. } = &damaged;
        let server = place.serve("source");
        place.ok(&format!("remote add --repo r --no-gpg-verify origin {}", server.url));
        let mut command = place.command(place.path("ostree"));
        command
            .args(["fsck", "--repo", "r", "--repair", "origin"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(random.below(80) as u64));
        drop(child.kill());
        child.wait().unwrap();
        assert!(corrupt.iter().all(|path| path.exists()), "the damaged or the good one");
        let again = place.run("fsck --repo r --repair origin");
        assert_eq!(again.code, 0, "{}{}", again.out, again.err);
        place.ok("fsck --repo r");
        for path in corrupt {
            assert_eq!(fs::read(path).unwrap(), fs::read(original(place, path)).unwrap());
        }
    }
}
