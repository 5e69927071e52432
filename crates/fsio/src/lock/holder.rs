//! Who holds a lock. The list of locks shows no process for those of open file descriptions, so the open files of the
//! processes that we may look at are searched.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// `process 123 (name)`, `this process`, or, where nothing is found, `another process`.
pub(super) fn describe(lock_file: &File) -> String {
    find(lock_file).unwrap_or_else(|| "another process".to_owned())
}

fn find(lock_file: &File) -> Option<String> {
    let wanted = lock_file.metadata().ok()?;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        for open in files.flatten() {
            // The description of an open file lists the locks that were taken through it. It comes first: to examine the file
            // itself can take for ever, where a server of files does not answer.
            let info = process.path().join("fdinfo").join(open.file_name());
            if read_some(&info).is_some_and(|text| is_locked(&text, wanted.ino()))
                && std::fs::metadata(open.path())
                    .is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()))
            {
                return Some(name(pid, &process.path()));
            }
        }
    }
    None
}

/// Whether this description of an open file has a lock on a file of that number, on whatever filesystem. Its line says,
/// among others, `fe:00:1234`: device and number.
fn is_locked(description: &str, ino: u64) -> bool {
    let number = format!(":{ino}");
    let mut locks = description.lines().filter_map(|line| line.strip_prefix("lock:"));
    locks.any(|lock| lock.split_whitespace().any(|word| word.ends_with(&number)))
}

fn name(pid: u32, process: &Path) -> String {
    if pid == std::process::id() {
        return "this process".to_owned();
    }
    match read_some(&process.join("comm")) {
        Some(comm) => format!("process {pid} ({})", comm.trim_end()),
        None => format!("process {pid}"),
    }
}

fn read_some(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(1 << 16).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
