//! The main job from end to end.

use crate::place::Place;
use sapwood_testkit::Release;
use std::fs;
use std::path::PathBuf;

/// The directory of the deployment at a place of the boot order.
fn deployment(place: &Place, index: usize) -> PathBuf {
    let status: serde_json::Value =
        serde_json::from_str(&place.ok("--json admin status --sysroot=machine")).unwrap();
    let path = status["deployments"][index]["path"].as_str().unwrap().to_owned();
    place.path("machine").join(path)
}

fn main_job(format: &str) {
    let place = Place::new();
    place.os("one", Release::One);
    place.os("two", Release::Two);
    place.ok(&format!("init --repo=server --mode=archive --format={format}"));
    let one = place.ok("commit --repo=server -b os/stable -s one --add-metadata-string=version=1 one");
    place.ok("summary -u --repo=server");
    let server = place.serve("server");

    fs::create_dir(place.path("machine")).unwrap();
    place.ok(&format!("admin init-fs machine --format={format} --mode=bare-user"));
    place.ok("admin os-init os --sysroot=machine");
    place.ok(&format!("remote add --repo=machine/ostree/repo --no-gpg-verify origin {}", server.url));
    assert_eq!(place.ok("remote refs --repo=machine/ostree/repo origin"), "origin:os/stable\n");
    place.ok("pull --repo=machine/ostree/repo origin os/stable");
    place.ok("admin deploy --sysroot=machine --os=os --karg=quiet origin:os/stable");
    let first = deployment(&place, 0);
    assert!(first.join("usr/lib/os-release").exists());
    let none = place.run("admin upgrade --sysroot=machine");
    assert_eq!((none.code, none.out.as_str()), (77, "No update available.\n"));
    assert_eq!(place.run_as_ostree("admin upgrade --sysroot=machine --os=os").code, 0);

    let text = "the administrator's\n";
    fs::write(first.join("etc/added"), text).unwrap();
    assert_eq!(place.ok("admin config-diff --sysroot=machine --os=os"), "A    added\n");

    fs::write(first.join("etc/issue"), text).unwrap();
    let two = place.ok("commit --repo=server -b os/stable -s two --add-metadata-string=version=2 two");
    assert_ne!(one, two);
    place.ok("summary -u --repo=server");
    place.ok("admin upgrade --pull-only --sysroot=machine");
    let preview = "admin config-diff --sysroot=machine --os=os --policy=keep-both --merge origin:os/stable";
    let told = place.ok(preview);
    let conflict = "/etc/issue: modified here and in the new defaults; \
                    kept as it is here, the new default is /etc/issue.new-default\n";
    assert!(told.contains("M    ssh/sshd_config\n") && told.contains("A    issue.new-default\n"), "{told}");
    assert!(told.ends_with(&format!("conflict: {conflict}")), "{told}");
    let upgraded = place.ok("admin upgrade --policy=keep-both --sysroot=machine");
    assert!(upgraded.contains("Copying /etc changes: 1 modified, 0 removed, 1 added\n"), "{upgraded}");
    let status = place.ok("admin status --sysroot=machine");
    assert!(status.contains(&format!("    Conflict: {conflict}")), "{status}");
    let [newest, oldest] = [two.trim(), one.trim()].map(|id| format!("  os {id}.0\n"));
    assert!(status.starts_with(&newest) && status.contains(&oldest), "{status}");
    assert_eq!(fs::read_to_string(deployment(&place, 0).join("etc/added")).unwrap(), text);

    place.ok("admin rollback --sysroot=machine");
    assert!(place.ok("admin status --sysroot=machine").starts_with(&oldest));
    assert_eq!(deployment(&place, 0), first);
    place.ok("fsck --repo=machine/ostree/repo");
    place.ok("admin undeploy --sysroot=machine 1");
    assert!(!place.ok("admin status --sysroot=machine").contains(two.trim()));
    let refused = place.run("admin rollback --sysroot=machine");
    assert!(refused.code == 1 && refused.err.contains("nothing to go back to"), "{refused:?}");
}

#[test]
fn a_machine_is_installed_upgraded_and_taken_back_in_the_native_format() {
    main_job("native");
}

#[test]
fn a_machine_is_installed_upgraded_and_taken_back_in_the_format_of_ostree() {
    main_job("ostree");
}

#[test]
fn the_name_decides_the_format_of_new_repositories() {
    let place = Place::new();
    place.ok("init --repo=ours");
    assert_eq!(place.run_as_ostree("init --repo=theirs").code, 0);
    assert_eq!(place.ok("config get core.repo_version --repo=ours"), "2\n");
    assert_eq!(place.ok("config get core.repo_version --repo=theirs"), "1\n");
    assert_eq!(place.run_as_ostree("config get core.mode --repo=ours").out, "bare\n");
}

#[test]
fn global_options_may_stand_before_or_behind_the_verb() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    for line in
        ["--repo=r refs", "refs --repo=r", "refs --repo r", "remote list --repo=r", "--repo=r -v refs"]
    {
        place.ok(line);
    }
}

#[test]
fn the_repository_is_the_current_directory_or_that_of_the_environment() {
    let place = Place::new();
    place.ok("init --repo=r --mode=archive");
    let binary = place.path("ostree");
    assert!(place.command(&binary).arg("refs").current_dir(place.path("r")).status().unwrap().success());
    assert!(
        place.command(&binary).arg("refs").env("OSTREE_REPO", place.path("r")).status().unwrap().success()
    );
}
