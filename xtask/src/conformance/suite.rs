//! OSTree's installed tests, and running one of them with our program in OSTree's place.
//!
//! A test gets an empty folder, an empty home, and an environment of its own in which `ostree` is a link to our
//! program; where the caller may make namespaces, also its own network, processes and mounts, all gone at its end. What
//! it calls beside `ostree` (gpg, a web server, gjs) is the machine's. The suite itself is read in place.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::tap::{Verdict, judge};

/// Where Debian's package `ostree-tests` puts them.
const FOLDER: &str = "/usr/libexec/installed-tests/libostree";

/// A test still running after this has failed.
const TIMEOUT: Duration = Duration::from_mins(5);

/// Runs the words after it in namespaces of its own, whose only network is the loopback device.
const ALONE: &[&str] = &[
    "unshare",
    "--net",
    "--pid",
    "--mount",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "sh",
    "-c",
    "ip link set lo up && exec \"$@\"",
    "sh",
];

/// The folder of a short script that becomes our program. Tests of deltas take `ostree` for a file like any other and
/// compress it again and again, which of our program would take most of an hour.
const SMALL: &str = "small";

/// Programs put before the machine's when root runs the tests, which leave much out where SELinux or sudo is missing:
/// files get a label when they are first asked for one, and root needs nobody's leave.
const STAND_INS: &[(&str, &str)] = &[
    ("sudo", "for word; do case $word in -*) shift;; *) break;; esac; done\nexec \"$@\"\n"),
    (
        "getfattr",
        "for file; do :; done\ncase \" $* \" in *\" security.selinux \"*)\n  REAL -n security.selinux \"$file\" \
         >/dev/null 2>&1 || setfattr -n security.selinux -v sapwood_test_t \"$file\";;\nesac\nexec REAL \"$@\"\n",
    ),
];

/// Puts a script that becomes `program`, under OSTree's name, into a new folder.
fn put_launcher(program: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir(folder)?;
    let path = folder.join("ostree");
    std::fs::write(&path, format!("#!/bin/bash\nexec -a ostree '{}' \"$@\"\n", program.display()))?;
    Ok(std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?)
}

/// The tests of this machine, made ready for our program.
#[derive(Debug)]
pub(crate) struct Suite {
    /// Holds `bin`, [`SMALL`] and, while a test runs, a folder for it.
    work: tempfile::TempDir,
    logs: PathBuf,
    alone: bool,
    root: bool,
}

impl Suite {
    /// Whether it is installed.
    pub(crate) fn installed() -> bool {
        Path::new(FOLDER).join("libtest.sh").exists()
    }

    /// Makes ready to run tests with `program`, below `work`; output goes to files in `logs`.
    pub(crate) fn new(program: &Path, work: tempfile::TempDir, logs: PathBuf) -> Result<Self> {
        let bin = work.path().join("bin");
        std::fs::create_dir(&bin)?;
        symlink(program, bin.join("ostree"))?;
        put_launcher(program, &work.path().join(SMALL))?;
        let root = rustix::process::geteuid().is_root();
        if root {
            for (name, script) in STAND_INS {
                let path = bin.join(name);
                std::fs::write(
                    &path,
                    format!("#!/bin/sh\n{}", script.replace("REAL", &format!("/usr/bin/{name}"))),
                )?;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
            }
        }
        let probe = Command::new(ALONE[0]).args(&ALONE[1..]).arg("true").stderr(Stdio::null()).status();
        std::fs::create_dir_all(&logs)?;
        Ok(Self { work, logs, alone: probe.is_ok_and(|status| status.success()), root })
    }

    /// Whether tests run as root and by themselves, so that their points can be compared with other machines'.
    pub(crate) fn is_complete(&self) -> bool {
        self.alone && self.root
    }

    /// The names of all tests, without `test-` and extension, in order.
    pub(crate) fn names() -> Result<Vec<(String, PathBuf)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(FOLDER).with_context(|| format!("reading {FOLDER}"))? {
            let path = entry?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            if let Some(name) = file.strip_prefix("test-") {
                let name = name.split_once('.').map_or(name, |(stem, _)| stem);
                names.push((name.to_owned(), path.clone()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Where the output of a test is kept.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// Runs one test to its end.
    pub(crate) fn run(&self, name: &str, script: &Path) -> Result<Verdict> {
        let place = self.work.path().join(name);
        let (home, folder) = (place.join("home"), place.join("t"));
        for folder in [&home, &folder] {
            std::fs::create_dir_all(folder)?;
        }
        let log = self.log(name);
        let out = File::create(&log).with_context(|| format!("making {}", log.display()))?;
        let mut command = self.command(name, script, &home);
        command.current_dir(&folder).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut child = command.process_group(0).spawn().with_context(|| format!("starting {name}"))?;
        let ended = wait(&mut child, TIMEOUT)?;
        remove(&place);
        let trouble = match ended {
            Some(status) if status.success() => None,
            Some(status) => Some(status.to_string()),
            None => Some(format!("not done after {} s", TIMEOUT.as_secs())),
        };
        Ok(judge(&String::from_utf8_lossy(&std::fs::read(&log)?), trouble))
    }

    fn command(&self, name: &str, script: &Path, home: &Path) -> Command {
        let mut command = if self.alone {
            let mut command = Command::new(ALONE[0]);
            command.args(&ALONE[1..]).arg(script);
            command
        } else {
            Command::new(script)
        };
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin:/usr/sbin:/sbin".to_owned());
        let work = self.work.path();
        let small = if name.starts_with("delta") {
            format!("{}:", work.join(SMALL).display())
        } else {
            String::new()
        };
        command.env_clear().env("PATH", format!("{small}{}:{path}", work.join("bin").display()));
        command.env("HOME", home).env("TMPDIR", home).env("LANG", "C.UTF-8");
        // Traces of the shell in the log; no settings daemon and no mounted shares for what uses GLib.
        command.env("OT_TESTS_DEBUG", "1").env("GSETTINGS_BACKEND", "memory").env("GIO_USE_VFS", "local");
        command.env("PYTHONUNBUFFERED", "1").env("OSTREE_TEST_ALLOW_RANDOM", "1");
        if self.root {
            command.env("OSTREE_TEST_SUDO", "1");
        }
        command
    }
}

/// Waits for the end, or ends the whole group of processes; what a test left running ends in any case.
fn wait(child: &mut Child, timeout: Duration) -> Result<Option<ExitStatus>> {
    let began = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if began.elapsed() > timeout {
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait()?;
    Ok(ended)
}

/// Removes a test's folder; a failed test may leave files that are immutable or that its owner may not read.
fn remove(place: &Path) {
    for command in [&["true"][..], &["chattr", "-R", "-f", "-i"], &["chmod", "-R", "-f", "u+rwX"]] {
        if place.exists() {
            let _best_effort =
                Command::new(command[0]).args(&command[1..]).arg(place).stderr(Stdio::null()).status();
            let _best_effort = std::fs::remove_dir_all(place);
        }
    }
}
