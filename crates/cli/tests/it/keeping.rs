//! What a repository keeps while many write to it and one prunes it, any of them killed at any moment.

use crate::peer::real;
use crate::place::Place;
use sapwood_testkit::{Ostree, Random, Tree};
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long writers and a pruner work on one repository. The environment's `SAPWOOD_STRESS_SECONDS` says otherwise.
const SECONDS: u64 = 6;
const WRITERS: usize = 10;

/// How a command ended that may have been killed.
enum Ended {
    Well(String),
    Killed,
}

/// Runs a command, one of four times only for some milliseconds.
fn run_or_kill(mut command: Command, random: &mut Random) -> Ended {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let killed = random.below(4) == 0;
    if killed {
        thread::sleep(Duration::from_millis(random.below(60) as u64));
        drop(child.kill());
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    // The real program gives up where a staging directory that it has just listed goes away, whoever removes it.
    let gave_up = error.contains("opendir(staging-");
    assert!(killed || gave_up || output.status.success(), "{said}{error}");
    if output.status.success() { Ended::Well(said) } else { Ended::Killed }
}

/// One branch's writer: commits, or pulls what it committed elsewhere, again and again. Its files are often those that
/// others have or that a prune just deleted. Returns how often it was done, and checks that no commit was lost.
fn write(place: &Place, ostree: Option<&Ostree>, writer: usize, until: Instant) -> u64 {
    let mut random = Random::new(writer as u64);
    let (tree, branch, own) = (format!("t{writer}"), format!("w{writer}"), format!("own{writer}"));
    let pulls = writer.is_multiple_of(3);
    if pulls {
        place.ok(&format!("init --repo {own} --format=ostree --mode=archive"));
    }
    let program = |line: &str| match ostree {
        Some(ostree) if writer.is_multiple_of(4) => {
            let mut command = ostree.command();
            command.args(line.split_whitespace()).current_dir(place.path("."));
            command
        }
        _ => {
            let mut command = place.command(place.path("ostree"));
            command.args(line.split_whitespace());
            command
        }
    };
    let tip = || place.run(&format!("rev-parse {branch} --repo r")).out.trim().to_owned();
    let (mut last, mut done) = (String::new(), 0);
    while Instant::now() < until {
        drop(fs::remove_dir_all(place.path(&tree)));
        let mut files = Tree::default();
        for name in ["a", "b", "c"] {
            files.file(&format!("dir/{name}"), format!("one of seven: {}", random.below(7)));
        }
        files.file("own", format!("{writer} {}", random.below(1 << 20)));
        files.write_to(&place.path(&tree)).unwrap();
        let commit = |repo: &str| format!("commit --repo {repo} -b {branch} {tree}");
        let ended = if pulls {
            let id = place.ok(&commit(&own)).trim().to_owned();
            match run_or_kill(program(&format!("pull-local --repo r {own} {branch}")), &mut random) {
                Ended::Well(_) => Ended::Well(id),
                Ended::Killed => Ended::Killed,
            }
        } else {
            run_or_kill(program(&commit("r")), &mut random)
        };
        match ended {
            Ended::Well(id) => {
                assert_eq!(tip(), id);
                (last, done) = (id, done + 1);
            }
            // The old commit, or the new one.
            Ended::Killed => {
                let now = tip();
                assert!(last.is_empty() || now.len() == 64, "{branch} is lost: {now:?}");
                last = now;
            }
        }
        if !last.is_empty() {
            // Ours: the real one lists refs for this, and fails when a temporary file of another goes meanwhile.
            let mut tag = place.command(place.path("ostree"));
            tag.args(["refs", "--repo", "r", "--force"]).arg(format!("--create=tag/{branch}")).arg(&branch);
            drop(run_or_kill(tag, &mut random));
        }
    }
    assert_eq!(tip(), last);
    done
}

/// Prunes again and again; returns how often it was done.
fn prune(place: &Place, until: Instant) -> u64 {
    let (mut random, mut done) = (Random::new(99), 0);
    while Instant::now() < until {
        let mut command = place.command(place.path("ostree"));
        command.args(["prune", "--repo", "r", "--refs-only", "--depth=0"]);
        done += u64::from(matches!(run_or_kill(command, &mut random), Ended::Well(_)));
    }
    done
}

#[test]
fn ten_writers_and_a_pruner_on_one_repository_lose_nothing_though_killed() {
    let place = Place::new();
    let ostree = Ostree::find();
    place.ok("init --repo r --format=ostree --mode=archive");
    // A pruner waits for all writers: longer than usual where ten share two cores with other tests.
    place.ok("config set --repo r core.lock-timeout-secs 300");
    let seconds = std::env::var("SAPWOOD_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS));
    let (written, pruned) = thread::scope(|scope| {
        let (place, ostree) = (&place, ostree.as_ref());
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(place, ostree, writer, until))).collect();
        let pruner = scope.spawn(move || prune(place, until));
        let written: Vec<u64> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        (written, pruner.join().unwrap())
    });
    println!("commits and pulls of each writer: {written:?}; prunes: {pruned}");
    assert!(written.iter().sum::<u64>() > 0);
    place.ok("fsck --repo r");
    if let Some(ostree) = &ostree {
        let checked = real(&place, ostree, "--repo=r fsck");
        assert_eq!(checked.code, 0, "{}{}", checked.out, checked.err);
    }
}
