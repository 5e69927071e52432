//! SELinux labels: those that libselinux and the real `ostree` give.

use crate::commit_fixture::{Lab, branch, on, open};
use sapwood_fsio::{self as fsio, Kind};
use sapwood_objstore::{DirMeta, Format, LinkPolicy, Mode};
use sapwood_repo::selinux::{Contexts, LABEL, LabelEpoch, Labels, Policy};
use sapwood_repo::{Checkout, CheckoutOptions, CommitOutcome, ImportOptions, Node, Repo, TreePath};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const CONTEXTS: &str = "\
/.*                     system_u:object_r:default_t:s0
/                   -d  system_u:object_r:root_t:s0
/usr(/.*)?              system_u:object_r:usr_t:s0
/usr/bin(/.*)?          system_u:object_r:bin_t:s0
/usr/bin/bash       --  system_u:object_r:shell_exec_t:s0
/usr/bin/b.*        -l  system_u:object_r:link_t:s0
/etc(/.*)?              system_u:object_r:etc_t:s0
/etc/shadow.*       --  system_u:object_r:shadow_t:s0
/mnt                -d  system_u:object_r:mnt_t:s0
/proc               -d  <<none>>
/tmp/.*                 <<none>>
";

/// A root file system with a policy of its own.
fn root() -> Tree {
    let mut tree = Tree::default();
    let policy = "usr/etc/selinux/mini";
    tree.file("usr/etc/selinux/config", "# a comment\nSELINUX=enforcing\nSELINUXTYPE=mini\n");
    tree.file(&format!("{policy}/contexts/files/file_contexts"), CONTEXTS);
    tree.file(&format!("{policy}/contexts/files/file_contexts.subs_dist"), "/lib /usr\n");
    tree.file(&format!("{policy}/policy/policy.31"), "the binary one, which is not looked at");
    tree.file("usr/bin/bash", "#!").mode(0o755);
    tree.symlink("usr/bin/bsh", "bash");
    tree.file("usr/etc/shadow", "");
    tree.file("lib/bin/tool", "x");
    tree.file("tmp/t", "x");
    tree.dir("proc");
    tree.dir("var/empty");
    tree
}

fn labels(lab: &Lab, epoch: LabelEpoch) -> Labels {
    let policy = Policy::of_dir(&lab.dir("root")).unwrap().expect("a policy");
    Labels { policy: Arc::new(policy), epoch, prefix: String::new() }
}

fn commit(repo: &Repo, lab: &Lab, labels: Labels) -> CommitOutcome {
    let import = ImportOptions { labels: Some(labels), ..ImportOptions::default() };
    repo.commit_dir(&lab.dir("root"), &import, &on("main"), &|_| ()).unwrap()
}

fn label_of(repo: &Repo, outcome: &CommitOutcome, path: &str) -> Option<String> {
    let value = match repo.lookup(outcome.tree.root, &TreePath::parse(path).unwrap()).unwrap() {
        Node::Dir(dir) => {
            repo.store().load::<DirMeta>(dir.meta).unwrap().xattrs.get(LABEL).map(<[u8]>::to_vec)
        }
        Node::File(file) => {
            repo.store().open_file(file.id).unwrap().header.xattrs.get(LABEL).map(<[u8]>::to_vec)
        }
    }?;
    Some(String::from_utf8(value).unwrap())
}

#[test]
fn a_commit_with_labels_has_the_id_that_the_real_ostree_gives_it() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    if !ostree.run(["--version".to_owned()]).unwrap_or_default().contains("selinux") {
        return skipped("the real ostree is built without SELinux");
    }
    let lab = Lab::new();
    drop(lab.tree("root", &root()));
    let path = lab.path("root").display().to_string();
    for mode in [Mode::Archive, Mode::BareUser] {
        let (ours, theirs) = (format!("ours-{mode:?}"), format!("theirs-{mode:?}"));
        let repo = lab.repo(&ours, Format::Ostree, mode);
        let outcome = commit(&repo, &lab, labels(&lab, LabelEpoch::Zero));
        lab.real_repo(&theirs, &ostree, mode);
        let args = [
            "commit",
            "-b",
            "main",
            "--timestamp=@1700000000",
            &format!("--selinux-policy={path}"),
            &format!("--tree=dir={path}"),
        ];
        let theirs = ostree.run(lab.args(&theirs, &args)).unwrap();
        assert_eq!(outcome.commit.to_hex(), theirs.trim(), "{mode:?}");
    }
}

#[test]
fn labels_come_from_the_policy_of_the_tree_and_what_it_has_none_for_stays_as_it_is() {
    let lab = Lab::new();
    drop(lab.tree("root", &root()));
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let outcome = commit(&repo, &lab, labels(&lab, LabelEpoch::Zero));
    for (path, wanted) in [
        ("/", Some("system_u:object_r:root_t:s0\0")),
        ("/usr/bin/bash", Some("system_u:object_r:shell_exec_t:s0\0")),
        ("/usr/bin/bsh", Some("system_u:object_r:link_t:s0\0")),
        ("/usr/etc/shadow", Some("system_u:object_r:usr_t:s0\0")),
        ("/lib/bin/tool", Some("system_u:object_r:bin_t:s0\0")),
        ("/proc", Some("system_u:object_r:mnt_t:s0\0")),
        ("/tmp/t", None),
    ] {
        assert_eq!(label_of(&repo, &outcome, path).as_deref(), wanted, "{path}");
    }
    // The committed policy is the same one.
    let policy = repo.policy_of(outcome.tree.root).unwrap().expect("a policy");
    let committed = Labels { policy: Arc::new(policy), epoch: LabelEpoch::One, prefix: String::new() };
    assert_eq!(format!("{:?}", committed.policy), format!("{:?}", labels(&lab, LabelEpoch::One).policy));
    let outcome = commit(&repo, &lab, committed);
    let shadow = label_of(&repo, &outcome, "/usr/etc/shadow");
    assert_eq!(shadow.as_deref(), Some("system_u:object_r:shadow_t:s0\0"));
    assert_eq!(label_of(&repo, &outcome, "/usr/etc").as_deref(), Some("system_u:object_r:etc_t:s0\0"));
}

#[test]
fn a_file_whose_path_changed_gets_the_label_of_its_new_path_though_it_is_in_the_stat_cache() {
    let lab = Lab::new();
    drop(lab.tree("root", &root()));
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    // Files are entered in the cache once they are older than a tick of the clock.
    std::thread::sleep(std::time::Duration::from_millis(150));
    commit(&repo, &lab, labels(&lab, LabelEpoch::Zero));
    let again = commit(&repo, &lab, labels(&lab, LabelEpoch::Zero));
    assert_eq!(again.published.files_written, 0);
    std::fs::rename(lab.path("root/usr/bin"), lab.path("root/var/bin")).unwrap();
    let moved = commit(&repo, &lab, labels(&lab, LabelEpoch::Zero));
    assert_eq!(label_of(&repo, &moved, "/var/bin/bash").as_deref(), Some("system_u:object_r:default_t:s0\0"));
}

#[test]
fn what_is_checked_out_gets_the_labels_of_the_policy() {
    let lab = Lab::new();
    drop(lab.tree("root", &root()));
    if fsio::xattr::set_of(&lab.dir("."), "root", b"security.selinux", b"a:b:c:s0").is_err() {
        return skipped("labels can be set by root only");
    }
    let repo = lab.repo("repo", Format::Ostree, Mode::Bare);
    let outcome = repo.commit_dir(&lab.dir("root"), &ImportOptions::default(), &on("main"), &|_| ()).unwrap();
    let usr = TreePath::parse("/usr").unwrap();
    let from = Checkout { root: outcome.tree.root, subpath: Some(&usr) };
    let labels = Labels { prefix: "/usr".to_owned(), ..labels(&lab, LabelEpoch::Zero) };
    let options =
        CheckoutOptions { labels: Some(labels), links: LinkPolicy::Prefer, ..CheckoutOptions::default() };
    let stats = repo.checkout(&from, &lab.dir("."), Path::new("o"), &options, &|_| ()).unwrap();
    assert_eq!(stats.linked, 0, "labels of linked files would be those of the repository's");
    let top = open(&lab.path("o"));
    for (path, wanted) in [
        ("bin", "system_u:object_r:bin_t:s0\0"),
        ("bin/bash", "system_u:object_r:shell_exec_t:s0\0"),
        ("bin/bsh", "system_u:object_r:link_t:s0\0"),
        ("etc/shadow", "system_u:object_r:usr_t:s0\0"),
    ] {
        let label = fsio::xattr::get_of(&top, path, LABEL).unwrap().unwrap();
        assert_eq!(String::from_utf8(label).unwrap(), wanted, "{path}");
    }
    assert_eq!(repo.ref_target(&branch("main")).unwrap(), Some(outcome.commit));
}

/// Paths of every shape that policies speak of.
const PATHS: &[&str] = &[
    "/",
    "/bin",
    "/bin/bash",
    "/bin/ls",
    "/sbin/init",
    "/lib/systemd/systemd",
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/modules/6.1/vmlinuz",
    "/boot/vmlinuz-6.1",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/systemd/system/x.service",
    "/etc/init.d/ssh",
    "/etc/ssh/ssh_host_rsa_key",
    "/usr/sbin/sshd",
    "/usr/bin/python3.11",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/var/log/messages",
    "/var/log/audit/audit.log",
    "/var/lib/dpkg/status",
    "/var/cache/apt/x",
    "/root/.ssh/authorized_keys",
    "/dev/null",
    "/dev/sda1",
    "/dev/tty0",
    "/run/lock/x",
    "/run/systemd/x",
    "/tmp/x",
    "/mnt/usb",
    "/media/u/x",
    "/opt/a/bin/b",
    "/srv/www/x",
    "/sys/x",
    "/usr/share/man/man1/ls.1",
    "/usr/libexec/x",
    "/usr/local/bin/x",
    "/var/spool/cron/root",
    "/lost+found",
    "/usr/lib32/x.so",
    "/var/run/sshd.pid",
    "/var/www/html/index.php",
];

#[test]
fn every_path_has_the_label_that_libselinux_gives_it() {
    if Command::new("matchpathcon").arg("-V").output().is_err() {
        return skipped("selinux-utils is not installed");
    }
    let lab = Lab::new();
    let own = lab.path("file_contexts");
    std::fs::write(&own, CONTEXTS).unwrap();
    std::fs::write(
        lab.path("file_contexts.local"),
        "/opt/[^/]+(/.*)?  u:r:opt_t:s0\n/srv/www -d u:r:www_t:s0\n",
    )
    .unwrap();
    std::fs::write(lab.path("file_contexts.homedirs"), "/opt/a(/.*)?  --  u:r:home_t:s0\n").unwrap();
    std::fs::write(lab.path("file_contexts.subs"), "/sbin /bin\n/bin /usr/bin\n/srv/www/x /opt/x\n").unwrap();
    std::fs::write(lab.path("file_contexts.subs_dist"), "/bin /usr/bin\n/srv /etc\n/srv/a /usr\n").unwrap();
    compare_labels(&own);
    // Debian's policy, where it is installed.
    let system = Path::new("/etc/selinux/default/contexts/files/file_contexts");
    if system.exists() {
        compare_labels(system);
    }
}

fn compare_labels(file: &Path) {
    let read = |suffix: &str| std::fs::read(format!("{}{suffix}", file.display())).unwrap_or_default();
    let files = [read(""), read(".homedirs"), read(".local")];
    let contexts =
        Contexts::parse(&files.each_ref().map(Vec::as_slice), [&read(".subs"), &read(".subs_dist")]).unwrap();
    for (kind, name) in [
        (Kind::File, "file"),
        (Kind::Dir, "dir"),
        (Kind::Symlink, "lnk_file"),
        (Kind::CharDevice, "chr_file"),
        (Kind::BlockDevice, "blk_file"),
        (Kind::Fifo, "pipe"),
        (Kind::Socket, "sock_file"),
    ] {
        let output =
            Command::new("matchpathcon").arg("-f").arg(file).args(["-m", name]).args(PATHS).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let answers: Vec<_> = text.lines().filter_map(|line| line.split_once('\t')).collect();
        assert_eq!(answers.len(), PATHS.len(), "{}", String::from_utf8_lossy(&output.stderr));
        for (path, wanted) in answers {
            let found = contexts.lookup(path.as_bytes(), Some(kind)).unwrap().unwrap_or("<<none>>");
            assert_eq!(found, wanted, "{path} as {name} by {}", file.display());
        }
    }
}
