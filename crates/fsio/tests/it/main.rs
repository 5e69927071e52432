//! What the file operations promise, seen from outside.

mod attributes;
mod dirs;
mod faults;
mod files;
mod locks;
mod removal;

use cap_tempfile::TempDir;
use sapwood_fsio::{Dir, Error};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn temp() -> std::io::Result<TempDir> {
    cap_tempfile::tempdir(cap_tempfile::ambient_authority())
}

/// The number by which the system says why.
fn errno<T: std::fmt::Debug>(result: Result<T, Error>) -> rustix::io::Errno {
    let error = result.expect_err("must be refused");
    rustix::io::Errno::from_io_error(&error.source).unwrap_or_else(|| panic!("no errno in {error:?}"))
}

fn names(dir: &Dir) -> Result<Vec<String>, Error> {
    Ok(sapwood_fsio::entries(dir)?
        .into_iter()
        .map(|entry| entry.name.to_string_lossy().into_owned())
        .collect())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
