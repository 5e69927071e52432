//! What a pull tells programs about itself, and what slows it down.

use crate::place::Place;
use sapwood_testkit::Tree;
use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Instant;

/// A repository that is served, and one to pull into.
fn published(place: &Place) -> crate::place::Server {
    let mut tree = Tree::default();
    for n in 0..20 {
        tree.file(&format!("usr/lib/{}/{n}", n % 4), vec![n; 500 + usize::from(n)]);
    }
    tree.write_to(&place.path("t")).unwrap();
    place.ok("init --repo=r --mode=archive");
    place.ok("commit --repo=r -b os --owner-uid=0 --owner-gid=0 --no-xattrs t");
    place.ok("summary --repo=r -u");
    let server = place.serve("r");
    place.ok("init --repo=m --mode=bare-user");
    place.ok(&format!("remote add --repo=m --no-sign-verify --no-gpg-verify o {} os", server.url));
    server
}

#[test]
fn a_program_reads_how_far_a_pull_is_from_a_descriptor() {
    let place = Place::new();
    let _server = published(&place);
    let script = "exec 7>lines; \"$0\" pull --repo=m o --json --progress-fd=7 --update-frequency=1";
    let sapwood = env!("CARGO_BIN_EXE_sapwood");
    let ran = place.command("sh").args(["-c", script, sapwood]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let outcome: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let lines = std::fs::read_to_string(place.path("lines")).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!((events[0], *events.last().unwrap()), ("resolved", "syncing"), "{events:?}");
    assert_eq!(lines[0]["ref"], "o:os");
    assert_eq!(lines[0]["commit"], outcome["refs"][0]["new"]);
    let last = lines.iter().rfind(|line| line["event"] == "progress").unwrap();
    assert_eq!(last["phase"], "files");
    assert_eq!(last["totals_final"], true);
    for (done, total, outcome_key) in [
        ("metadata_done", "metadata_total", "metadata_fetched"),
        ("files_done", "files_total", "content_fetched"),
    ] {
        assert_eq!((&last[done], &last[total]), (&outcome[outcome_key], &outcome[outcome_key]));
    }
    assert_eq!(last["content_bytes_done"], last["content_bytes_total"]);
    assert_eq!(last["bytes_received"], outcome["bytes_received"]);
}

#[test]
fn who_listens_and_does_not_read_holds_nothing_up_and_may_listen_on_a_socket() {
    let place = Place::new();
    let _server = published(&place);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (_reader, pipe) = std::io::pipe().unwrap();
    // As full as it gets: whoever writes more waits.
    rustix::io::ioctl_fionbio(&pipe, true).unwrap();
    while rustix::io::write(&pipe, &[b'\n'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&pipe, false).unwrap();
    for (listener, gets) in [(OwnedFd::from(theirs), true), (OwnedFd::from(pipe), false)] {
        let mut command = place.command(env!("CARGO_BIN_EXE_sapwood"));
        command.args(["pull", "--repo=m", "o", "--progress-fd=0", "--update-frequency=1"]);
        let ran = command.stdin(Stdio::from(listener)).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        if gets {
            let mut line = String::new();
            BufReader::new(&ours).read_line(&mut line).unwrap();
            assert!(line.starts_with("{\"commit\"") || line.contains("resolved"), "{line}");
        }
    }
}

#[test]
fn a_descriptor_that_is_not_open_is_named() {
    let place = Place::new();
    let _server = published(&place);
    let ran = place.run("pull --repo=m o --progress-fd=77");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--progress-fd 77"), "{}", ran.err);
}

#[test]
fn a_pull_keeps_below_the_rate_of_its_option_or_its_remote() {
    let place = Place::new();
    let _server = published(&place);
    let took = |line: &str| {
        let began = Instant::now();
        let outcome: serde_json::Value = serde_json::from_str(&place.ok(line)).unwrap();
        (began.elapsed().as_secs_f64(), outcome["bytes_received"].as_f64().unwrap())
    };
    let (_, all) = took("pull --json --repo=m o");
    // So much in about a second, of which a quarter may come at once.
    let rate = (all / 1.25).ceil();
    for (number, how) in [format!("--limit-rate={rate}"), String::new()].iter().enumerate() {
        let repo = format!("m{number}");
        place.ok(&format!("init --repo={repo} --mode=bare-user"));
        std::fs::copy(place.path("m/config"), place.path(&repo).join("config")).unwrap();
        if how.is_empty() {
            let path = place.path(&repo).join("config");
            let config = std::fs::read_to_string(&path).unwrap();
            let slow = format!("[remote \"o\"]\nlimit-rate={rate}");
            std::fs::write(path, config.replace("[remote \"o\"]", &slow)).unwrap();
        }
        let (seconds, bytes) = took(&format!("pull --json --repo={repo} o {how}"));
        assert!(seconds >= bytes / rate - 0.26, "{bytes} bytes at {rate} a second in {seconds} s");
    }
    let ran = place.run("pull --repo=m o --limit-rate=0");
    assert!(ran.code == 1 && ran.err.contains("no number of bytes a second"), "{}", ran.err);
}
