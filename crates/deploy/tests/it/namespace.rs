//! Tests that mount something, in a mount namespace that goes away with them.

use sapwood_testkit::skipped;
use std::io::Write as _;
use std::process::Command;

/// Set for the part of a test that runs in a namespace of its own.
const INSIDE: &str = "SAPWOOD_TEST_INSIDE_NAMESPACE";
/// Said by it once it can mount.
const MOUNTS: &str = "namespace entered";

/// Runs `test`, which is the body of the test called `name`, in a user and mount namespace of its own.
pub(crate) fn in_mount_namespace(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        std::io::stdout().write_all(MOUNTS.as_bytes()).unwrap();
        return test();
    }
    let program = std::env::current_exe().unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args(["-r", "-m"]).arg(program).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    let Ok(out) = unshare.output() else { return skipped("unshare is not installed") };
    let said = String::from_utf8_lossy(&out.stdout);
    if !said.contains(MOUNTS) {
        return skipped("mount namespaces are not allowed here");
    }
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
}

/// Mounts with the system's own program.
pub(crate) fn mount(arguments: &[&str], at: &std::path::Path) {
    let status = Command::new("mount").args(arguments).arg(at).status().unwrap();
    assert!(status.success(), "mount {arguments:?} {}", at.display());
}
