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
            let same = std::fs::metadata(open.path())
                .is_ok_and(|found| (found.dev(), found.ino()) == (wanted.dev(), wanted.ino()));
            // The description of an open file lists the locks that were taken through it.
            let info = process.path().join("fdinfo").join(open.file_name());
            if same && read_some(&info).is_some_and(|text| text.contains("lock:")) {
                return Some(name(pid, &process.path()));
            }
        }
    }
    None
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
