//! Pulls that are killed at any moment: the next one comes through, and fetches again at most what was under way.

use crate::place::Place;
use sapwood_testkit::{Random, Tree};
use sapwood_transport::PullOptions;
use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A server that writes down what it served.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serve(place: &Place) -> (Server, String) {
    let mut command = place.command(place.path("ostree"));
    command.args(["serve", "--port=0", "--log", "--repo", "from"]).stdout(Stdio::piped());
    let log = fs::File::options().append(true).create(true).open(place.path("log")).unwrap();
    let mut child = command.stderr(log).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (Server(child), url.trim().to_owned())
}

/// The objects that were asked for, but commits: those are never taken over from a pull that was killed.
fn asked(place: &Place) -> HashSet<String> {
    let log = fs::read_to_string(place.path("log")).unwrap();
    let paths = log.lines().filter_map(|line| line.split(' ').nth(2));
    let objects = paths.filter(|path| path.starts_with("/objects/") && !path.contains(".commit"));
    let objects = objects.map(str::to_owned).collect();
    fs::File::options().write(true).open(place.path("log")).unwrap().set_len(0).unwrap();
    objects
}

#[test]
fn a_pull_that_is_killed_is_gone_on_with_in_the_same_boot_and_begun_anew_in_another() {
    let place = Place::new();
    let mut tree = Tree::default();
    for n in 0..400 {
        tree.file(&format!("usr/{}/{n}", n % 20), format!("number {n}"));
    }
    tree.write_to(&place.path("t")).unwrap();
    let mut random = Random::new(3);
    let under_way = PullOptions::default().requests;
    for format in ["native", "ostree"] {
        drop(fs::remove_dir_all(place.path("from")));
        place.ok(&format!("init --repo=from --mode=archive --format={format}"));
        let commit = place.ok("commit --repo=from -b os --canonical-permissions t");
        place.ok("summary --repo=from -u");
        let (_server, url) = serve(&place);
        let pull = |boot: &str| {
            let mut command = place.command(place.path("ostree"));
            command.args(["pull", "--repo=into", "origin", "os"]).env("OSTREE_BOOTID", boot);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let mut whole = Duration::ZERO;
        for round in 0..5 {
            drop(fs::remove_dir_all(place.path("into")));
            place.ok(&format!("init --repo=into --mode=bare-user --format={format}"));
            place.ok(&format!("remote add --repo=into --no-gpg-verify origin {url}"));
            asked(&place);
            let began = Instant::now();
            let mut killed = pull("one").spawn().unwrap();
            // The first tells how long it takes.
            if round > 0 {
                thread::sleep(whole * u32::try_from(random.below(1000)).unwrap() / 1000);
                drop(killed.kill());
            }
            killed.wait().unwrap();
            whole = whole.max(began.elapsed());
            place.ok("fsck --repo=into");
            let before = asked(&place);
            let is_same_boot = round % 2 == 0;
            assert!(pull(if is_same_boot { "one" } else { "two" }).status().unwrap().success());
            let again = asked(&place).intersection(&before).count();
            assert!(!is_same_boot || again <= under_way, "{again} of {} came again", before.len());
            assert_eq!(place.ok("rev-parse --repo=into origin:os"), commit);
            place.ok("fsck --repo=into");
            let tmp = fs::read_dir(place.path("into/tmp")).unwrap().map(|entry| entry.unwrap().path());
            let staged: Vec<_> =
                tmp.filter(|path| path.is_dir() && path.to_string_lossy().contains("/staging-")).collect();
            assert!(staged.is_empty(), "{staged:?}");
        }
    }
}
