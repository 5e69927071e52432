//! What the file operations promise, seen from outside.

mod dirs;

use cap_tempfile::TempDir;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn temp() -> std::io::Result<TempDir> {
    cap_tempfile::tempdir(cap_tempfile::ambient_authority())
}
