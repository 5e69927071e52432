//! Wrong usage and what cannot be done: one line, a hint, exit code 1, and nothing changed.

use crate::place::Place;
use std::fs;
use std::process::Stdio;

/// Asserts that a run failed with one line that begins so.
fn fails(place: &Place, line: &str, begins: &str) {
    let ran = place.run(line);
    assert_eq!(ran.code, 1, "sapwood {line}: {ran:?}");
    assert_eq!(ran.out, "", "sapwood {line}");
    let (first, rest) = ran.err.split_once('\n').unwrap();
    assert!(first.starts_with(begins), "sapwood {line}: {first}");
    assert!(rest.lines().all(|line| line.starts_with("hint: ")), "sapwood {line}: {rest}");
}

#[test]
fn wrong_usage_is_one_line_and_a_hint() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    for (line, begins) in [
        ("", "error: No command specified"),
        ("nosuch", "error: Unknown command 'nosuch'"),
        ("refs", "error: Command requires a --repo argument"),
        ("refs --repo=r --nosuch", "error: Unknown option --nosuch"),
        (
            "commit --repo=r --generate-composefs-metadata",
            "error: Unknown option --generate-composefs-metadata",
        ),
        ("log --repo=r", "error: REV must be specified"),
        ("rev-parse --repo=r", "error: REV must be specified"),
        ("cat --repo=r", "error: COMMIT and PATH must be specified"),
        ("checkout --repo=r", "error: COMMIT must be specified"),
        ("remote add --repo=r x", "error: URL must be specified"),
        ("remote", "error: No command specified"),
        ("admin", "error: No \"admin\" subcommand specified"),
        ("prune --repo=r --depth=x", "error: invalid value 'x' for '--depth <DEPTH>'"),
        ("init --repo=s --mode=nosuch", "error: Invalid mode 'nosuch'"),
        ("init --repo=s --format=nosuch", "error: invalid value 'nosuch'"),
        ("commit --repo=r", "error: A branch must be specified with --branch, or use --orphan"),
        ("commit --repo=r -b ../x", "error: Invalid refspec ../x"),
        ("commit --repo=r -b x --timestamp=zz", "error: Could not parse 'zz'"),
        ("commit --repo=r -b x --tree=zip=f", "error: "),
        ("commit --repo=r -b x nosuch", "error: cannot open the directory nosuch: No such file or directory"),
        ("refs --repo=r --create=x nosuch", "error: Refspec 'nosuch' not found"),
        ("refs --repo=nosuch", "error: opening repo nosuch: "),
        ("config --repo=r get core.nosuch", "error: Key file does not have key"),
        ("summary --repo=r", "error: No option specified; use -u to update summary"),
        ("pull --repo=r nosuch", "error: Remote \"nosuch\" not found"),
        ("pull-local --repo=r nosuch", "error: opening repo nosuch: "),
        ("admin status --sysroot=r", "error: loading sysroot r: not a sysroot"),
        ("serve --repo=r --port=99999", "error: invalid value '99999'"),
    ] {
        fails(&place, line, begins);
    }
}

#[test]
fn a_repository_of_a_newer_format_is_refused_and_stays_as_it_is() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    fs::create_dir(place.path("t")).unwrap();
    let path = place.path("r/config");
    let config = fs::read_to_string(&path).unwrap().replace("repo_version=2", "repo_version=3");
    fs::write(&path, &config).unwrap();
    for line in ["refs --repo=r", "commit --repo=r -b x t", "fsck --repo=r", "config --repo=r set a.b c"] {
        fails(&place, line, "error: opening repo r: the repository needs a newer version of this program");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), config);
    let objects = fs::read_dir(place.path("r/objects")).unwrap().count();
    let refs = fs::read_dir(place.path("r/refs/heads")).unwrap().count();
    assert_eq!((objects, refs), (0, 0));
}

#[test]
fn a_remote_that_wants_signatures_is_not_pulled_from_without_them() {
    let place = Place::new();
    place.ok("init --repo=from --mode=archive");
    fs::create_dir(place.path("t")).unwrap();
    place.ok("commit --repo=from -b x t");
    place.ok("init --repo=r --mode=archive");
    let url = format!("file://{}", place.path("from").display());
    place.ok(&format!("remote add --repo=r --set=gpg-verify=true signed {url}"));
    place.ok(&format!("remote add --repo=r default {url}"));
    place.ok(&format!("remote add --repo=r --no-gpg-verify --set=sign-verify=ed25519 other {url}"));
    let unsigned = format!(
        "error: Commit {}: GPG verification enabled, but no signatures",
        place.ok("rev-parse --repo=from x").trim()
    );
    fails(&place, "pull --repo=r signed x", &unsigned);
    fails(&place, "pull --repo=r default x", &unsigned);
    fails(&place, "pull --repo=r other x", "error: No keys found for required signapi type ed25519");
    assert_eq!(place.ok("refs --repo=r"), "");
    place.ok(&format!("remote add --repo=r --no-gpg-verify --force default {url}"));
    place.ok("pull --repo=r default x");
    assert_eq!(place.ok("refs --repo=r"), "default:x\n");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    fs::create_dir(place.path("t")).unwrap();
    for number in 0..3000 {
        fs::write(place.path("t").join(format!("a-file-with-a-long-name-{number:020}")), "").unwrap();
    }
    place.ok("commit --repo=r -b x t");
    for line in [["ls", "-RC"], ["ls", "--json"]] {
        let mut command = place.command(place.path("ostree"));
        command.args(line).args(["--repo=r", "x"]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        assert!(child.wait().unwrap().success(), "{line:?}");
    }
}

#[test]
fn damage_is_found_told_and_removed() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    fs::create_dir(place.path("t")).unwrap();
    fs::write(place.path("t/f"), "content").unwrap();
    let commit = place.ok("commit --repo=r -b x t");
    let listed: serde_json::Value = serde_json::from_str(&place.ok("ls --json --repo=r x /f")).unwrap();
    let id = listed["entries"][0]["id"].as_str().unwrap();
    let (two, rest) = id.split_at(2);
    let folder = place.path("r/objects").join(two);
    let object = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let object = object.into_iter().find(|p| p.display().to_string().contains(rest)).unwrap();
    fs::write(&object, "damage").unwrap();
    let ran = place.run("fsck --repo=r");
    assert_eq!(ran.code, 1);
    let place_of_it =
        format!("error: In commits {}: fsck content object {id}: Corrupted file object", commit.trim());
    assert!(ran.err.starts_with(&place_of_it), "{}", ran.err);
    assert!(ran.err.contains("\nhint: "), "{}", ran.err);
    assert!(
        place.run("fsck --repo=r --all").err.contains("\nerror: Repository corruption encountered\nhint: ")
    );
    assert_eq!(place.run("fsck --repo=r --delete").code, 1);
    assert!(!object.exists());
    assert_eq!(place.run("cat --repo=r x /f").code, 1);
}
