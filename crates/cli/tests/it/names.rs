//! What names lead to: revisions, repositories that others look into, and commands that are programs of their own.

use crate::peer::real;
use crate::place::Place;
use sapwood_testkit::{Ostree, Tree, skipped};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn names_lead_to_the_commits_that_ostree_finds() {
    let Some(ostree) = Ostree::find() else { return skipped("no ostree to compare with") };
    let place = Place::new();
    let mut tree = Tree::default();
    tree.file("a", "a");
    tree.write_to(&place.path("t")).unwrap();
    for repo in ["parent", "child"] {
        place.ok(&format!("init --repo={repo} --mode=bare-user --format=ostree"));
    }
    let first = place.ok("commit --repo=child --orphan --timestamp=@1 t");
    let second = place.ok("commit --repo=child -b main --timestamp=@2 t");
    let third = place.ok("commit --repo=parent -b upstream --timestamp=@3 t");
    place.ok("refs --repo=parent --create=far:os upstream");
    place.ok("remote add --repo=parent --no-gpg-verify far http://far/");
    place.ok("remote add --repo=parent --no-gpg-verify both http://parent/");
    place.ok("remote add --repo=child --no-gpg-verify both http://child/");
    place.ok(&format!("config --repo=child set core.parent {}", place.path("parent").display()));
    // A ref that is called as the id of another commit begins.
    let short = &first[..7];
    place.ok(&format!("refs --repo=child --create={short} main"));
    for line in [
        &format!("rev-parse {short}"),
        &format!("rev-parse {}", &second[..9]),
        &format!("rev-parse {}", &third[..9]),
        "rev-parse main upstream far:os os",
        "rev-parse far/os",
        "rev-parse nosuch:os",
        "rev-parse upstream^",
        "refs --list main",
        "log upstream",
        "ls upstream",
        "remote list",
        "remote list -u",
        "remote show-url both",
        "remote show-url far",
        "remote delete far",
        "refs --delete upstream",
    ] {
        let line = format!("--repo=child {line}");
        let (ours, real) = (place.run_as_ostree(&line), real(&place, &ostree, &line));
        assert_eq!(
            (ours.code, ours.out),
            (real.code, real.out),
            "ostree {line}: {} / {}",
            ours.err,
            real.err
        );
    }
}

#[test]
fn a_command_that_is_none_of_ours_is_a_program_in_the_path() {
    let place = Place::new();
    let script = place.path("ostree-greet");
    fs::write(&script, "#!/bin/sh\necho \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(place.path("ostree-plain"), "no program").unwrap();
    let path = format!("{}:/usr/bin:/bin", place.path(".").display());
    let run = |words: &[&str]| {
        let output = place.command(place.path("ostree")).env("PATH", &path).args(words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run(&["--repo=r", "greet", "a", "--help"]), (Some(7), "--repo=r greet a --help\n".to_owned()));
    assert_eq!(run(&["plain"]).0, Some(1));
    assert_eq!(run(&["admin", "greet"]).0, Some(1));
}

#[test]
fn an_address_of_a_directory_is_one_whatever_way_it_is_written() {
    let place = Place::new();
    fs::create_dir(place.path("t")).unwrap();
    place.ok("init --repo=src --mode=archive --format=ostree");
    place.ok("commit --repo=src -b main t");
    let root = place.path("").display().to_string();
    let root = root.trim_end_matches('/');
    for name in ["a b", "a%20c", "src"] {
        if name != "src" {
            std::os::unix::fs::symlink("src", place.path(name)).unwrap();
        }
    }
    let addresses = [
        format!("file://{root}/src"),
        format!("FILE://{root}/src"),
        format!("file://localhost{root}/src"),
        format!("file://{root}/a%20b"),
        format!("file://{root}/a%20c"),
    ];
    let ostree = Ostree::find();
    for (number, address) in addresses.iter().enumerate() {
        let repo = format!("c{number}");
        place.ok(&format!("init --repo={repo} --mode=archive --format=ostree"));
        place.ok(&format!("remote add --repo={repo} --no-gpg-verify o {address}"));
        place.ok(&format!("pull --repo={repo} o main"));
        // The last is there only as it stands, which the real program does not look for.
        if let Some(ostree) = ostree.as_ref().filter(|_| number < 4) {
            assert_eq!(real(&place, ostree, &format!("pull --repo={repo} o main")).code, 0, "{address}");
        }
    }
}
