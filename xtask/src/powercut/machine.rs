//! The machine whose power is cut: its disks, and what is done to it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::lab::{self, Lab, MACHINE};
use crate::sh;
use crate::vm::Filesystem;

/// The filesystems of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Of the root.
    pub(crate) root: Filesystem,
    /// Of `/boot`, where it is a filesystem of its own.
    pub(crate) boot: Option<Filesystem>,
}

impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.boot {
            None => f.write_str(self.root.name()),
            Some(boot) => write!(f, "{} with /boot on {}", self.root.name(), boot.name()),
        }
    }
}

impl Layout {
    /// Each filesystem, and where in the machine it is.
    pub(crate) fn places(self) -> impl Iterator<Item = (Filesystem, &'static str)> {
        std::iter::once((self.root, "")).chain(self.boot.map(|boot| (boot, "boot")))
    }

    /// Makes empty disks in `folder`.
    pub(crate) fn format(self, folder: &Path) -> Result<Vec<PathBuf>> {
        let make = |(filesystem, place): (Filesystem, &str)| {
            let image = folder.join(format!("disk-{place}"));
            // The least that `mkfs.xfs` takes is 300 MiB.
            std::fs::File::create(&image)?.set_len(320 << 20)?;
            let mut mkfs = Command::new(format!("mkfs.{}", filesystem.name()));
            let force = if filesystem == Filesystem::Ext4 { "-F" } else { "-f" };
            sh::output(mkfs.args(["-q", force]).arg(&image))?;
            Ok(image)
        };
        self.places().map(make).collect()
    }
}

/// How a filesystem is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// As a system mounts it, which replays its journal.
    System,
    /// As boot loaders see it, who read filesystems without looking into journals.
    BootLoader,
}

/// Mounted filesystems, unmounted in reverse when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Mounts(Vec<PathBuf>);

impl Mounts {
    /// Mounts disks of a layout as the machine of the lab.
    pub(crate) fn machine<P: AsRef<Path>>(lab: &Lab, layout: Layout, disks: &[P]) -> Result<Self> {
        let mut mounts = Self::default();
        for ((filesystem, place), disk) in layout.places().zip(disks) {
            mounts.add(filesystem, View::System, disk.as_ref(), &lab.folder.join(MACHINE).join(place))?;
        }
        Ok(mounts)
    }

    /// Mounts one more.
    pub(crate) fn add(&mut self, filesystem: Filesystem, view: View, disk: &Path, at: &Path) -> Result<()> {
        std::fs::create_dir_all(at)?;
        let mut options = "loop".to_owned();
        if view == View::BootLoader {
            options.push_str(match filesystem {
                Filesystem::Ext4 => ",ro,noload",
                Filesystem::Xfs => ",ro,norecovery",
                Filesystem::Btrfs => ",ro,rescue=nologreplay",
            });
        }
        let mut mount = Command::new("mount");
        mount.args(["-t", filesystem.name(), "-o", &options]).arg(disk).arg(at);
        sh::output(&mut mount)?;
        self.0.push(at.to_path_buf());
        Ok(())
    }

    /// Unmounts them, and says so if that fails.
    pub(crate) fn end(mut self) -> Result<()> {
        while let Some(place) = self.0.pop() {
            unmount(&place)?;
        }
        Ok(())
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        while let Some(place) = self.0.pop() {
            if let Err(error) = unmount(&place) {
                eprintln!("warning: {error:#}");
            }
        }
    }
}

/// Unmounts, and waits where the place is busy: loop devices go away in their own time.
pub(crate) fn unmount(place: &Path) -> Result<()> {
    let mut tries = 0;
    loop {
        let unmounted = sh::output(Command::new("umount").arg(place));
        if unmounted.is_ok() || tries == 100 {
            return unmounted.map(drop);
        }
        tries += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a command of ours finds around it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    /// The deployment that runs.
    pub(crate) running: &'a Path,
    /// A name of the boot: what processes of one boot left unsynced, others of the same may trust.
    pub(crate) boot: u128,
    /// Whether nothing is made durable that the command wants to be.
    pub(crate) synced: bool,
}

/// The command in a mount namespace in which that deployment runs, in a boot of its own.
pub(crate) fn within(command: &Command, around: Around<'_>) -> Result<Command> {
    let root = std::fs::metadata(around.running).context("the deployment that is to run")?;
    let record = boot_record(root.dev(), root.ino());
    let record = record.iter().fold(String::new(), |text, byte| text + &format!("\\{byte:03o}"));
    let boot = format!("{:032x}", around.boot);
    let part = |range: std::ops::Range<usize>| boot.get(range).unwrap_or_default();
    let id = [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-");
    let script = "set -e; mount -t tmpfs tmpfs /run; mkdir /run/ostree; printf \"$1\" >/run/ostree-booted; \
        echo \"$2\" >/run/boot-id; mount --bind /run/boot-id /proc/sys/kernel/random/boot_id; shift 2; exec \"$@\"";
    let mut within = Command::new("unshare");
    within.args(["-m", "sh", "-c", script, "sh", &record, &id]);
    if !around.synced {
        // Without that capability it cannot freeze filesystems either, which would write everything.
        within.args(["setpriv", "--bounding-set=-sys_admin", "strace", "-f", "-qq", "-o", "/dev/null"]);
        within.args(["-e", "trace=fsync,fdatasync,sync,syncfs"]);
        within.args(["-e", "inject=fsync,fdatasync:retval=0"]);
        // They take as long as a slow disk does: the neighbour is to come in between.
        within.args(["-e", "inject=sync,syncfs:retval=0:delay_exit=300000"]);
    }
    within.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        within.current_dir(folder);
    }
    Ok(within)
}

/// The file `/run/ostree-booted` that says which directory is the root: a GVariant dictionary (`a{sv}`) with one entry,
/// `backing-root-device-inode`, of two numbers (`(tt)`).
fn boot_record(dev: u64, ino: u64) -> Vec<u8> {
    let mut bytes = b"backing-root-device-inode\0".to_vec();
    bytes.resize(32, 0);
    bytes.extend(dev.to_le_bytes());
    bytes.extend(ino.to_le_bytes());
    // The variant's type; where the key ends; where the entry ends.
    bytes.extend(b"\0(tt)");
    bytes.push(26);
    bytes.push(54);
    bytes
}

/// Calls `work` while another process, so to speak, makes its own files durable all the time: that writes journals at
/// any moment, and with them whatever is in them.
pub(crate) fn beside_a_neighbour<T>(
    places: &[(Filesystem, PathBuf)],
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| -> Result<()> {
            let mut number = 0_u64;
            while !done.load(Ordering::Relaxed) {
                for (filesystem, place) in places {
                    // A new file, whose name has to be durable too.
                    let path = place.join("neighbour");
                    let new = place.join("neighbour.new");
                    std::fs::write(&new, number.to_le_bytes())?;
                    std::fs::rename(&new, &path)?;
                    std::fs::File::open(&path)?.sync_all()?;
                    if *filesystem == Filesystem::Btrfs {
                        // That journal has single files in it. A snapshot of something else has all that changed recorded,
                        // and no content written.
                        let [volume, snapshot] =
                            ["neighbour.volume", "neighbour.snapshot"].map(|name| place.join(name));
                        let btrfs = |verb: &str, paths: &[&Path]| {
                            sh::output(Command::new("btrfs").args(["subvolume", verb]).args(paths))
                        };
                        if !volume.exists() {
                            btrfs("create", &[&volume])?;
                        }
                        btrfs("snapshot", &[&volume, &snapshot])?;
                        btrfs("delete", &[&snapshot])?;
                    }
                }
                number += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let neighbour = neighbour.join();
        ensure!(neighbour.is_ok_and(|ended| ended.is_ok()), "the neighbour's files could not be written");
        worked
    })
}

/// Installs the first version, and leaves a note in its `/etc`. Returns the deployment's name.
pub(crate) fn install(lab: &Lab, url: &str) -> Result<String> {
    sh::output(&mut lab.init_machine()?)?;
    sh::output(&mut lab.admin(&["os-init", lab::OS]))?;
    sh::output(&mut lab.add_remote(url))?;
    sh::output(&mut lab.pull())?;
    sh::output(&mut lab.deploy())?;
    let boots = lab.boots()?;
    let [name] = &boots[..] else { anyhow::bail!("a new machine boots {boots:?}") };
    std::fs::write(lab.deployment(name).join("etc").join(NOTE), "the administrator's\n")?;
    Ok(name.clone())
}

/// What the administrator left in `/etc`.
pub(crate) const NOTE: &str = "powercut-note";
