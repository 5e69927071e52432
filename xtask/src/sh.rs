//! Running other programs, and where the workspace is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The workspace's root directory.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that runs us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A command as a reader would type it, near enough to copy.
pub(crate) fn shown(command: &Command) -> String {
    let quoted = |word: &OsStr| {
        let word = word.to_string_lossy();
        let plain = |c: char| c.is_alphanumeric() || "-_=./:,@+%^".contains(c);
        if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { format!("'{word}'") }
    };
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(quoted(program)).chain(command.get_args().map(quoted)).collect::<Vec<_>>().join(" ")
}

/// Prints the command, runs it with our own output, and fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    println!("+ {line}");
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// Runs the command and returns its standard output; on failure the error has what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = shown(command);
    let out = command.output().with_context(|| format!("cannot run `{line}`"))?;
    ensure!(
        out.status.success(),
        "`{line}` failed ({}): {}",
        out.status,
        String::from_utf8_lossy(&out.stderr).trim()
    );
    String::from_utf8(out.stdout).with_context(|| format!("`{line}` printed something other than UTF-8"))
}

/// The program `sapwood`: the one given, else one that is built now.
pub(crate) fn sapwood(given: Option<&Path>, profile: Profile) -> Result<PathBuf> {
    if let Some(path) = given {
        return path.canonicalize().with_context(|| format!("there is no program {}", path.display()));
    }
    let mut build = cargo();
    build.args(["build", "--quiet", "--package", "sapwood"]);
    if profile == Profile::Release {
        build.arg("--release");
    }
    println!("building sapwood ({}) …", profile.folder());
    let status = build.status().context("cannot run cargo")?;
    ensure!(status.success(), "building sapwood failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(root().join(target).join(profile.folder()).join("sapwood"))
}

/// Which build of the program to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to build, slow to run.
    Debug,
    /// What users get.
    Release,
}

impl Profile {
    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}
