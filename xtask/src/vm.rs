//! `cargo xtask vm`: virtual machines that live on Sapwood.
//!
//! `vm test` installs version 1 on a disk, boots it, has it upgrade itself over the network while it runs, boots version
//! 2, looks at `/usr`, `/etc` and `/var`, goes back, and boots version 1. What the machine finds it says on its console.
//! `vm image` leaves the disk with version 1 to whoever wants to try it.

pub(crate) mod guest;
mod image;
mod initramfs;
mod loader;
pub(crate) mod os;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::peers::{self, Peer};
use crate::server::Ours;
use crate::sh;
use guest::{BootEntry, Start};
pub(crate) use image::Filesystem;
use image::{Disk, Firmware};
use loader::{Loader, OVMF_VARS};
use os::{InitramfsMaker, Parts, Real};

/// What `vm` needs of others.
pub(crate) const PEERS: &[Peer] = &[
    Peer { what: "qemu-system-x86_64", package: "qemu-system-x86", lost: "booting virtual machines" },
    Peer { what: "/usr/bin/busybox", package: "busybox-static", lost: "booting virtual machines" },
    Peer { what: "sfdisk", package: "fdisk", lost: "booting virtual machines" },
    Peer { what: "depmod", package: "kmod", lost: "booting virtual machines" },
    Peer { what: "strip", package: "binutils", lost: "booting virtual machines" },
];

/// Options of `cargo xtask vm`.
#[derive(Debug, clap::Args)]
pub(crate) struct VmArgs {
    #[command(subcommand)]
    command: VmCommand,
}

#[derive(Debug, clap::Subcommand)]
enum VmCommand {
    /// Install, boot, upgrade, boot, go back, boot
    Test(Common),
    /// Make a disk that boots
    Image {
        /// Where to write it
        output: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The filesystem of the disk
    #[arg(long, value_enum, default_value_t = Filesystem::Ext4)]
    filesystem: Filesystem,
    /// What reads the boot entries
    #[arg(long, value_enum, default_value_t = Loader::None)]
    boot_loader: Loader,
    /// Real root filesystems with systemd and initramfs-tools or dracut in place of the small system: the first version and the
    /// second
    #[arg(long, value_name = "DIR,DIR2", value_delimiter = ',')]
    tree: Vec<PathBuf>,
    /// What makes the initramfs of real root filesystems
    #[arg(long, value_enum, default_value_t = InitramfsMaker::InitramfsTools)]
    initramfs: InitramfsMaker,
    /// Mount the disk read-only in the running system (`sysroot.readonly`)
    #[arg(long)]
    read_only: bool,
    /// Use this program, and `sapwood-boot` beside it, in place of building them
    #[arg(long)]
    sapwood: Option<PathBuf>,
}

/// The branch, and the name of the remote, on the machine.
const BRANCH: &str = "vm/main";
const REMOTE: &str = "origin";

/// Runs the subcommand.
pub(crate) fn run(args: &VmArgs) -> Result<()> {
    let (VmCommand::Test(common) | VmCommand::Image { common, .. }) = &args.command;
    if let Some(reason) = obstacle(common) {
        bail!("{reason}");
    }
    match &args.command {
        VmCommand::Test(common) => test(common),
        VmCommand::Image { output, common } => {
            let mut lab = Lab::new(common)?;
            lab.commit(1)?;
            lab.install(output)?;
            println!("{} boots version 1", output.display());
            Ok(())
        }
    }
}

/// The test in its shortest form, or a line that says why it is skipped.
pub(crate) fn ci() -> Result<()> {
    let common = Common {
        filesystem: Filesystem::Ext4,
        boot_loader: Loader::None,
        tree: Vec::new(),
        initramfs: InitramfsMaker::InitramfsTools,
        read_only: true,
        sapwood: None,
    };
    match obstacle(&common) {
        Some(reason) => {
            println!("skipped: booting a virtual machine: {reason}");
            Ok(())
        }
        None => test(&common),
    }
}

/// Why there can be no virtual machine here, after what is missing was installed where nobody need be asked.
fn obstacle(common: &Common) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("disks can be formatted and mounted by root alone".to_owned());
    }
    let Common { boot_loader, filesystem, .. } = common;
    if !boot_loader.reads(*filesystem) {
        return Some(format!("{boot_loader:?} does not read {}", filesystem.name()));
    }
    for peers in [PEERS, boot_loader.peers(), filesystem.peers()] {
        peers::set_up(peers, true);
        if let Some(missing) = peers.iter().find(|peer| !peer.present()) {
            return Some(format!("{} is not installed", missing.what));
        }
    }
    if let Err(error) = cache().and_then(|cache| os::kernel(&cache)) {
        return Some(format!("there is no kernel: {error:#}"));
    }
    let probe = || {
        let folder = tempfile::tempdir()?;
        Disk::create(&folder.path().join("probe"), *filesystem, 512, Firmware::Bios)?.mount().map(drop)
    };
    probe().err().map(|error| format!("no disk can be made and mounted: {error:#}"))
}

/// Where what was downloaded stays.
pub(crate) fn cache() -> Result<PathBuf> {
    let cache = sh::root().join("target/vm");
    std::fs::create_dir_all(&cache)?;
    Ok(cache)
}

/// A server with versions of a system, and disks that it is installed on.
struct Lab {
    folder: tempfile::TempDir,
    parts: Parts,
    filesystem: Filesystem,
    loader: Loader,
    trees: Vec<PathBuf>,
    initramfs: InitramfsMaker,
    read_only: bool,
    server: Ours,
}

impl Lab {
    fn new(common: &Common) -> Result<Self> {
        // A real tree takes a program for debugging too long.
        let profile = if common.tree.is_empty() { sh::Profile::Debug } else { sh::Profile::Release };
        let parts = Parts::find(common.sapwood.as_deref(), profile, &cache()?)?;
        ensure!(
            os::usable(&parts.modules),
            "{} has no modules for virtual machines",
            parts.modules.display()
        );
        let folder = tempfile::Builder::new().prefix("sapwood-vm-").tempdir()?;
        let repo = folder.path().join("repo");
        sh::output(
            Command::new(&parts.sapwood)
                .args(["init", "--mode=archive"])
                .arg(format!("--repo={}", repo.display())),
        )?;
        let server = Ours::start(&repo, &parts.sapwood)?;
        Ok(Self {
            folder,
            parts,
            filesystem: common.filesystem,
            loader: common.boot_loader,
            trees: common.tree.clone(),
            initramfs: common.initramfs,
            read_only: common.read_only,
            server,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sapwood(&self, words: &[&str]) -> Result<String> {
        sh::output(Command::new(&self.parts.sapwood).args(words))
    }

    /// Commits a version to what is served.
    fn commit(&mut self, number: u32) -> Result<()> {
        println!("making version {number} …");
        let folder = self.path(&format!("tree-{number}"));
        std::fs::create_dir(&folder)?;
        let at = usize::try_from(number)?.saturating_sub(1).min(self.trees.len().saturating_sub(1));
        if let Some(tree) = self.trees.get(at) {
            let real = Real::new(tree, &folder, number, &self.parts, self.initramfs)?;
            return self.commit_tree(real.path(), number);
        }
        os::small(&folder, number, &self.parts)?;
        self.commit_tree(&folder, number)
    }

    fn commit_tree(&self, tree: &Path, number: u32) -> Result<()> {
        let repo = format!("--repo={}", self.path("repo").display());
        let version = format!("--add-metadata-string=version={number}");
        let tree = format!("--tree=dir={}", tree.display());
        let mut words = vec!["commit", &repo, "--branch", BRANCH, &version, &tree];
        if self.trees.is_empty() {
            words.extend(["--owner-uid=0", "--owner-gid=0"]);
        }
        self.sapwood(&words)?;
        self.sapwood(&["summary", &repo, "-u"])?;
        Ok(())
    }

    /// Makes a disk with the newest version installed.
    fn install(&self, path: &Path) -> Result<Disk> {
        let megabytes = if self.trees.is_empty() { 1024 } else { 6 * 1024 };
        let disk = Disk::create(path, self.filesystem, megabytes, self.loader.firmware())?;
        let mounted = disk.mount()?;
        let root = mounted.path();
        self.sapwood(&["admin", "init-fs", "--format=native", root.to_str().unwrap_or_default()])?;
        drop(mounted);
        self.loader.install(&disk)?;
        let mounted = disk.mount()?;
        let root = mounted.path().to_str().context("a temporary folder has a plain name")?;
        let sysroot = format!("--sysroot={root}");
        let repo = format!("--repo={root}/ostree/repo");
        self.sapwood(&["admin", "os-init", &sysroot, "os"])?;
        // The machine sees this host at an address of its emulated network.
        let seen = format!("http://10.0.2.2:{}", self.server.port()?);
        self.sapwood(&["remote", "add", &repo, "--no-gpg-verify", REMOTE, &seen])?;
        if self.read_only {
            self.sapwood(&["config", &repo, "set", "sysroot.readonly", "true"])?;
        }
        self.sapwood(&["pull", &repo, &format!("--url={}", self.server.url()), REMOTE, BRANCH])?;
        let filesystem = format!("--karg=rootfstype={}", disk.filesystem().name());
        let refspec = format!("{REMOTE}:{BRANCH}");
        let mut kargs = vec!["--karg=root=/dev/vda1", &filesystem];
        kargs.extend(["--karg=rw", "--karg=console=ttyS0", "--karg=panic=-1", "--karg=quiet"]);
        // On a busy host an emulated timer can seem not to work.
        kargs.push("--karg=no_timer_check");
        if !self.trees.is_empty() {
            kargs.push("--karg=net.ifnames=0");
        }
        if disk.esp().is_some() {
            self.sapwood(&["config", &repo, "set", "sysroot.boot-counting-tries", "2"])?;
        }
        self.sapwood(&[&["admin", "deploy", &sysroot, "--os=os"], &kargs[..], &[&refspec]].concat())?;
        if let Some(esp) = disk.esp() {
            esp.take(&mounted.path().join("boot"))?;
        }
        Ok(disk)
    }

    /// Boots the disk and fails unless everything that the machine checks in this step holds.
    fn boot(&self, disk: &Disk, step: &str) -> Result<()> {
        let mounted = disk.mount()?;
        std::fs::write(mounted.path().join("ostree/deploy/os/var/sapwood-vm-step"), step)?;
        let entry = match self.loader {
            Loader::None => Some(BootEntry::first(mounted.path(), self.folder.path())?),
            _ => None,
        };
        drop(mounted);
        let firmware = self.path("firmware");
        if self.loader.firmware() == Firmware::Efi && !firmware.exists() {
            std::fs::copy(OVMF_VARS, &firmware).with_context(|| format!("reading {OVMF_VARS}"))?;
        }
        let start = match (&entry, self.loader.firmware()) {
            (Some(entry), _) => Start::Entry(entry),
            (None, Firmware::Bios) => Start::Bios,
            (None, Firmware::Efi) => Start::Efi(&firmware),
        };
        println!(
            "── {step}{}",
            entry.as_ref().map(|entry| format!(": boots {}", entry.title)).unwrap_or_default()
        );
        let started = Instant::now();
        let hangs = (step == HANGS).then_some("SAPWOOD-VM end of hangs");
        let console = guest::run(&disk.path, start, &self.path("console"), Duration::from_mins(10), hangs)?;
        for line in guest::said_of(&console, step)? {
            println!("   {line}");
        }
        if let Some(esp) = disk.esp() {
            println!("   entries: {}", esp.names("/loader/entries")?.join(" "));
            if step != HANGS {
                esp.check(&self.path("esp"))?;
            }
        }
        println!("   ({:.0} s)", started.elapsed().as_secs_f64());
        Ok(())
    }
}

/// The step in which the third version runs, which never gets anywhere.
const HANGS: &str = "hangs";

fn test(common: &Common) -> Result<()> {
    let mut lab = Lab::new(common)?;
    lab.commit(1)?;
    let disk = lab.install(&lab.path("disk"))?;
    lab.commit(2)?;
    for step in ["upgrade", "merged", "back"] {
        lab.boot(&disk, step)?;
    }
    println!("installed, upgraded itself, and went back");
    if disk.esp().is_some() {
        lab.commit(3)?;
        // As often as it may try.
        for step in ["third", HANGS, HANGS, "given-up"] {
            lab.boot(&disk, step)?;
        }
        println!("gave up a version that hangs");
    }
    Ok(())
}
