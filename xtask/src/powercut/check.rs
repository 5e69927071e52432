//! The verdict on what a power cut left.
//!
//! What is there is compared with the trees that were committed, file by file, by code that shares nothing with the program;
//! that verifies its repository besides.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::machine::{Around, NOTE, within};
use crate::entries::Entry;
use crate::lab::{Lab, MACHINE, MACHINE_REPO};
use crate::sh;

/// Which list of deployments boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The first version alone.
    Old,
    /// The second version, and the first behind it.
    New,
}

/// A version of the system.
#[derive(Debug)]
pub(crate) struct Version {
    /// The tree that was committed.
    pub(crate) tree: PathBuf,
    /// The commit's id.
    pub(crate) commit: String,
}

/// The system's versions, the first and the second.
pub(crate) type Versions = [Version; 2];

/// Fails unless the mounted machine boots the old list or the new one, each deployment of it complete.
pub(crate) fn look(lab: &Lab, versions: &Versions) -> Result<State> {
    let boots = lab.boots()?;
    let entries = Entry::read_all(&lab.folder.join(MACHINE).join("boot"))?;
    let mut found = Vec::new();
    for (name, entry) in boots.iter().zip(&entries) {
        let number = versions.iter().position(|version| name.starts_with(&format!("{}.", version.commit)));
        let number = number.with_context(|| format!("{name} is no version of the system"))?;
        let version = &versions[number];
        deployed(&lab.deployment(name), &version.tree).with_context(|| format!("deployment {name}"))?;
        let boots = has_kernel(entry, &lab.folder.join(MACHINE).join("boot"), version)?;
        ensure!(boots, "{name} is not booted with its kernel");
        found.push(number);
    }
    match found[..] {
        [0] => Ok(State::Old),
        [1, 0] => Ok(State::New),
        _ => anyhow::bail!("it boots {boots:?}"),
    }
}

/// Fails unless entries and kernels can be read below `boot`. Returns the links that the entries name, the default's first.
pub(crate) fn boot_loader_reads(boot: &Path, versions: &Versions) -> Result<Vec<String>> {
    let entries = Entry::read_all(boot)?;
    ensure!(!entries.is_empty(), "there are no entries");
    for entry in &entries {
        let [old, new] = versions;
        let is_known = has_kernel(entry, boot, old)? || has_kernel(entry, boot, new)?;
        ensure!(is_known, "{}: its kernel or initramfs is no version's", entry.title);
    }
    entries.iter().map(|entry| Ok(entry.link()?.to_owned())).collect()
}

/// Whether kernel and initramfs of an entry are a version's.
fn has_kernel(entry: &Entry, boot: &Path, version: &Version) -> Result<bool> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    let modules = version.tree.join("usr/lib/modules");
    let kernel = std::fs::read_dir(&modules)?.next().context("a tree without a kernel")??.path();
    let [linux, initrd] = entry.files(boot);
    Ok(read(&linux)? == read(&kernel.join("vmlinuz"))?
        && read(&initrd)? == read(&kernel.join("initramfs.img"))?)
}

/// Fails unless a deployment is the whole tree, with the administrator's `/etc` and an origin.
fn deployed(deployment: &Path, tree: &Path) -> Result<()> {
    let names = |folder: &Path| -> Result<BTreeSet<OsString>> {
        std::fs::read_dir(folder)
            .with_context(|| format!("reading {}", folder.display()))?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    };
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let expected = names(&tree.join(&folder))?;
        if folder != Path::new("") {
            let found = names(&deployment.join(&folder))?;
            ensure!(found == expected, "{}: other names than in the commit", folder.display());
        }
        for name in expected {
            let path = folder.join(name);
            let [wanted, found] = [tree, deployment].map(|root| root.join(&path));
            let what = || path.display().to_string();
            let (want, have) = (wanted.symlink_metadata()?, found.symlink_metadata().with_context(what)?);
            ensure!(want.mode() == have.mode(), "{}: another mode or type", path.display());
            if want.is_dir() {
                folders.push(path);
            } else if want.is_symlink() {
                ensure!(wanted.read_link()? == found.read_link()?, "{}: another target", path.display());
            } else {
                let read = std::fs::read(&found).with_context(what)?;
                ensure!(std::fs::read(&wanted)? == read, "{}: another content", path.display());
            }
        }
    }
    for (path, _) in crate::lab::regular_files(&tree.join("usr/etc"))? {
        ensure!(deployment.join("etc").join(&path).exists(), "/etc/{path} is missing");
    }
    let note =
        std::fs::read(deployment.join("etc").join(NOTE)).context("the administrator's file in /etc")?;
    ensure!(note == b"the administrator's\n", "the administrator's file in /etc has another content");
    let mut origin = deployment.to_path_buf().into_os_string();
    origin.push(".origin");
    ensure!(std::fs::read_to_string(&origin)?.contains("refspec="), "there is no origin");
    Ok(())
}

/// What was asked for when the power failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Victim {
    /// `admin upgrade`
    Upgrade,
    /// `admin upgrade --stage`, and `admin finalize-staged`, as a shutdown runs it
    Finalize,
}

/// Fails unless the repository verifies, and the machine gets to the new version when it runs again: by the next shutdown
/// where that was staged, else by the next upgrade.
pub(crate) fn goes_on(lab: &Lab, versions: &Versions, victim: Victim, passed: &[&str]) -> Result<()> {
    sh::output(&mut lab.fsck(MACHINE_REPO)).context("the repository does not verify")?;
    let [running, ..] = &lab.boots()?[..] else { anyhow::bail!("nothing boots") };
    let running = lab.deployment(running);
    let boot = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH)?.as_nanos();
    let around = Around { running: &running, boot, synced: true };
    if victim == Victim::Finalize {
        let complete = within(&lab.admin(&["boot-complete"]), around)?.output()?;
        // It fails where it tells of a finalisation that did.
        let told = String::from_utf8_lossy(&complete.stdout).contains("failed on previous boot");
        ensure!(
            complete.status.success() || (complete.status.code() == Some(1) && told),
            "boot-complete failed: {}",
            String::from_utf8_lossy(&complete.stderr).trim()
        );
        sh::output(&mut within(&lab.admin(&["finalize-staged"]), around)?)?;
        let state = look(lab, versions).context("after the next shutdown")?;
        ensure!(state == State::New || !passed.contains(&STAGED), "what was staged is lost");
    }
    let upgraded = within(&lab.upgrade(), around)?.output()?;
    // 77: there is nothing to upgrade.
    ensure!(
        upgraded.status.success() || upgraded.status.code() == Some(77),
        "the next upgrade failed: {}",
        String::from_utf8_lossy(&upgraded.stderr).trim()
    );
    let state = look(lab, versions).context("after the next upgrade")?;
    ensure!(state == State::New, "the next upgrade leaves the old version");
    sh::output(&mut lab.fsck(MACHINE_REPO)).context("after the next upgrade").map(drop)
}

/// Staging has returned.
pub(crate) const STAGED: &str = "staged";
/// The new list is promised.
pub(crate) const DONE: &str = "done";
