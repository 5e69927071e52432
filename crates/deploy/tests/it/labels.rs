//! Labels of `/etc` and `/var`, by the policy of the tree that is deployed.

use crate::fixture::{Machine, REF, tree};
use sapwood_deploy::{DeployOptions, InitOptions, Origin};
use sapwood_fsio::{self as fsio, Dir, xattr};
use sapwood_testkit::{Tree, skipped};
use std::path::Path;

const SELINUX: &[u8] = b"security.selinux";

/// The small operating system, with a policy whose labels begin with `mark`.
fn labelled(number: u64, mark: &str) -> Tree {
    let mut tree = tree(number, &format!("kernel {number}"));
    let contexts = format!(
        "/.* u:r:{mark}_def:s0\n/etc(/.*)? u:r:{mark}_etc:s0\n/etc/sub(/.*)? u:r:{mark}_sub:s0\n\
         /var(/.*)? u:r:{mark}_var:s0\n/var/lib/private(/.*)? <<none>>\n"
    );
    tree.file("usr/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=mini\n");
    tree.file("usr/etc/selinux/mini/contexts/files/file_contexts", contexts);
    tree.file("var/lib/program/state", "from the commit");
    tree.file("var/lib/private/state", "from the commit");
    tree
}

fn label(dir: &Dir, path: &str) -> Option<String> {
    let value = xattr::get_of(dir, path, SELINUX).unwrap()?;
    Some(String::from_utf8(value).unwrap().trim_end_matches('\0').to_owned())
}

#[test]
fn etc_and_a_new_var_get_the_labels_of_the_new_tree() {
    let machine = Machine::new(&InitOptions::default());
    fsio::create_dir(&machine.dir(), "probe", 0o755).unwrap();
    if xattr::set_of(&machine.dir(), "probe", SELINUX, b"u:r:probe:s0\0").is_err() {
        return skipped("labels cannot be set here");
    }
    let options = || DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() };
    let of = |index: usize| {
        let path = machine.open().deployments().unwrap()[index].path();
        fsio::open_dir(&machine.dir(), path).unwrap()
    };
    let commit = machine.commit(1, &labelled(1, "one"));
    machine.deploy(commit, &options()).unwrap();
    let var = fsio::open_dir(&machine.dir(), "ostree/deploy/os/var").unwrap();
    for (path, expected) in [
        ("tmp", Some("u:r:one_var:s0")),
        ("run", Some("u:r:one_var:s0")),
        ("lib/program/state", Some("u:r:one_var:s0")),
        ("lib/private/state", None),
    ] {
        assert_eq!(label(&var, path).as_deref(), expected, "{path}");
    }
    machine.write(0, "etc/sub/kept", "mine\n");
    machine.write(0, "etc/added", "mine\n");
    let commit = machine.commit(2, &labelled(2, "two"));
    machine.deploy(commit, &options()).unwrap();
    for (path, expected) in [
        ("etc", "etc"),
        ("etc/untouched", "etc"),
        ("etc/added", "etc"),
        ("etc/sub", "sub"),
        ("etc/sub/kept", "sub"),
        ("etc/selinux/config", "etc"),
    ] {
        assert_eq!(label(&of(0), path), Some(format!("u:r:two_{expected}:s0")), "{path}");
        let before = label(&of(1), path);
        assert!(before.is_none_or(|label| label.starts_with("u:r:one_")), "{path}: the old one is only read");
    }
    assert_eq!(label(&of(0), "usr/etc/untouched"), None, "what the repository has is as committed");
    assert_eq!(label(&var, "tmp").as_deref(), Some("u:r:one_var:s0"));
}

#[test]
fn a_compiled_policy_that_both_sides_changed_is_told() {
    const POLICY: &str = "etc/selinux/mini/policy/policy.33";
    let machine = Machine::new(&InitOptions::default());
    let options = || DeployOptions { origin: Some(Origin::from_refspec(REF)), ..DeployOptions::default() };
    let commit = |number: u64, policy: &str| {
        let mut tree = labelled(number, "mark");
        tree.file(&format!("usr/{POLICY}"), policy);
        machine.commit(number, &tree)
    };
    machine.deploy(commit(1, "one"), &options()).unwrap();
    let deployed = machine.deploy(commit(2, "two"), &options()).unwrap();
    assert_eq!(deployed.uncombined_policy, None, "nothing was changed locally");
    machine.write(0, POLICY, "two with a module");
    let deployed = machine.deploy(commit(3, "two"), &options()).unwrap();
    assert_eq!(deployed.uncombined_policy, None, "the policy is that of before");
    let deployed = machine.deploy(commit(4, "four"), &options()).unwrap();
    assert_eq!(deployed.uncombined_policy.as_deref(), Some(Path::new("selinux/mini/policy/policy.33")));
    assert_eq!(machine.read(0, POLICY).as_deref(), Some("two with a module"));
}
