//! Booting what a power cut left, in a virtual machine.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::check::State;
use super::disk;
use super::machine::{Mounts, View};
use crate::lab::{Lab, Versions};
use crate::peers;
use crate::sh;
use crate::vm::guest::{self, BootEntry, Start};
use crate::vm::os::{self, Parts};
use crate::vm::{self, Filesystem};

/// Two versions of the small system that virtual machines boot.
pub(crate) fn versions(lab: &Lab) -> Result<Versions> {
    peers::set_up(vm::PEERS, true);
    let parts = Parts::find(Some(lab.sapwood()), sh::Profile::Release, &vm::cache()?)?;
    let trees = ["build/v1", "build/v2"].map(|name| lab.folder.join(name));
    for (number, tree) in (1..).zip(&trees) {
        std::fs::create_dir_all(tree)?;
        os::small(tree, number, &parts)?;
    }
    Ok(Versions { trees, names: ["1", "2"].map(str::to_owned) })
}

/// Boots a copy of the image, and has the machine look at itself. Its kernel is the first to look into the journal.
pub(crate) fn boot(filesystem: Filesystem, image: &Path, folder: &Path) -> Result<State> {
    let place = folder.join("boot-loader");
    let mut mounts = Mounts::default();
    mounts.add(filesystem, View::BootLoader, image, &place)?;
    let entry = BootEntry::first(&place, folder);
    mounts.end()?;
    let name = filesystem.name();
    let entry = entry?
        .with(&format!("root=/dev/vda rootfstype={name} rw console=ttyS0 panic=-1 quiet no_timer_check"));
    let copy = folder.join("booted");
    disk::copy(image, &copy)?;
    let console = folder.join("console");
    let console = guest::run(&copy, Start::Entry(&entry), &console, Duration::from_mins(10), None);
    std::fs::remove_file(&copy)?;
    let console = console?;
    let said = guest::said_of(&console, "cut")?;
    ensure!(said.iter().any(|line| line.starts_with("ok ")), "the machine checked nothing");
    match said.iter().find_map(|line| line.strip_prefix("version ")).context("no version was told")? {
        "1" => Ok(State::Old),
        "2" => Ok(State::New),
        other => bail!("it boots version {other}"),
    }
}
