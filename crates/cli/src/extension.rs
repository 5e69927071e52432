//! Commands that are programs of their own: `ostree NAME` runs `ostree-NAME` where no command is called so.

use crate::args::Persona;
use rustix::fs::Access;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program in `$PATH` for a command: `sapwood-NAME` where we are called that, else `ostree-NAME`.
pub(crate) fn find(persona: Persona, name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return None;
    }
    let path = std::env::var_os("PATH")?;
    let prefixes: &[&str] = match persona {
        Persona::Sapwood => &["sapwood", "ostree"],
        Persona::Ostree => &["ostree"],
    };
    let can_run = |file: &Path| file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok();
    prefixes.iter().find_map(|prefix| {
        std::env::split_paths(&path)
            .map(|dir| dir.join(format!("{prefix}-{name}")))
            .find(|file| can_run(file))
    })
}

/// Becomes the program, which gets all the words that we were given, the command's name too, as from OSTree.
/// Returns only if it cannot be run, and says why.
pub(crate) fn become_program(program: &Path, invocation: &[OsString]) -> anyhow::Error {
    let error = Command::new(program).args(invocation.iter().skip(1)).exec();
    anyhow::Error::new(error).context(format!("cannot run {}", program.display()))
}
