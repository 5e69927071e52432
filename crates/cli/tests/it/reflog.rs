//! `refs log`: what people see of where refs were.

use crate::place::Place;
use sapwood_testkit::Tree;

#[test]
fn the_log_names_each_move_with_its_command_newest_first() {
    let place = Place::new();
    let mut tree = Tree::default();
    tree.file("a", "b");
    tree.write_to(&place.path("t")).unwrap();
    place.ok("init --repo r --format=ostree --mode=archive");
    let one = place.ok("commit --repo r -b main t").trim().to_owned();
    let two = place.ok("commit --repo r -b main -s two t").trim().to_owned();
    place.ok("refs --repo r --create=log/below main");
    place.ok("refs --repo r --delete main");
    let short = |id: &str| id[..12].to_owned();
    // Each line begins with the time.
    let said = |line: &str| {
        let out = place.ok(line);
        let lines = out.lines().map(|line| line.split_once("  ").unwrap().1.to_owned());
        lines.collect::<Vec<_>>()
    };
    let of_main = [
        format!("refs  main  deleted (was {})", short(&two)),
        format!("commit  main  {two} (was {})", short(&one)),
        format!("commit  main  {one} (new)"),
    ];
    assert_eq!(said("refs --repo r log main"), of_main);
    assert_eq!(said("refs --repo r --log main"), of_main);
    assert_eq!(said("refs --repo r log").len(), 4);
    assert_eq!(place.ok("rev-parse --repo r main@{1}").trim(), two);
    assert_eq!(place.ok("refs --repo r --list log"), "log/below\n");
    assert_eq!(place.run_as_ostree("refs --repo=r log").out, "below\n");
    let json: serde_json::Value = serde_json::from_str(&place.ok("--json refs --repo r log main")).unwrap();
    assert_eq!(json["log"][0]["new"], serde_json::Value::Null);
    assert_eq!(json["log"][1]["command"], "commit");
    assert_eq!(json["log"][1]["old"], one);
}
