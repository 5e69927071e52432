//! A temporary directory to run the program in.

use sapwood_testkit::{Release, os_tree};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The program under test.
const BINARY: &str = env!("CARGO_BIN_EXE_sapwood");

/// A directory to run it in.
#[derive(Debug)]
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(BINARY, dir.path().join("ostree")).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, ready to run here.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(self.dir.path())
            .env("RUST_BACKTRACE", "0")
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8");
        for name in ["OSTREE_REPO", "OSTREE_SYSROOT", "SOURCE_DATE_EPOCH", "SAPWOOD_LOG"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs `sapwood` with words that are separated by blanks.
    pub(crate) fn run(&self, line: &str) -> Ran {
        self.command(BINARY).args(line.split_whitespace()).output().unwrap().into()
    }

    /// Runs it under the name `ostree`.
    pub(crate) fn run_as_ostree(&self, line: &str) -> Ran {
        self.command(self.path("ostree")).args(line.split_whitespace()).output().unwrap().into()
    }

    /// Runs it, and gives what it printed; it must succeed.
    pub(crate) fn ok(&self, line: &str) -> String {
        let ran = self.run(line);
        assert_eq!(ran.code, 0, "sapwood {line}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// Runs another program here; it must succeed.
    pub(crate) fn ok_of(&self, program: &str, args: &[&str]) {
        let status = Command::new(program).args(args).current_dir(self.dir.path()).status().unwrap();
        assert!(status.success(), "{program} {args:?}");
    }

    /// Writes the tree of a small operating system.
    pub(crate) fn os(&self, name: &str, release: Release) {
        os_tree(release).write_to(&self.path(name)).unwrap();
    }

    /// Makes `machine`, whose repository has two releases of a system, on the branches `one` and `two`; none is deployed.
    pub(crate) fn machine(&self) {
        std::fs::create_dir(self.path("machine")).unwrap();
        self.ok("admin init-fs machine --format=ostree --mode=bare-user");
        self.ok("admin os-init os --sysroot=machine");
        for (branch, release) in [("one", Release::One), ("two", Release::Two)] {
            self.os(branch, release);
            self.ok(&format!("commit --repo=machine/ostree/repo -b {branch} {branch}"));
        }
    }

    /// Serves a repository until the value is dropped.
    pub(crate) fn serve(&self, repo: &str) -> Server {
        self.serve_with(repo, "")
    }

    /// The same with options, separated by blanks.
    pub(crate) fn serve_with(&self, repo: &str, options: &str) -> Server {
        let mut command = self.command(BINARY);
        command.args(["serve", "--port=0", "--repo", repo]).args(options.split_whitespace());
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Server { child, url: url.trim().to_owned() }
    }
}

impl Drop for Place {
    /// Deployments are immutable where that is possible.
    fn drop(&mut self) {
        let path = self.dir.path();
        drop(Command::new("chattr").args(["-R", "-f", "-i"]).arg(path).stderr(Stdio::null()).status());
    }
}

/// A server that ends with the value.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
