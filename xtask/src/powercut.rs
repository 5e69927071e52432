//! `cargo xtask powercut`: cuts the power of a machine at every flush of an upgrade, and at random, and looks at what is left.
//!
//! All that an upgrade writes to its disks is recorded. From that come the images that a power cut could have left: one
//! for each flush, and any number with a random part of what no flush had made durable. Each has to mount. A boot loader,
//! who does not look into journals, has to find entries and kernels on it; each deployment that they lead to has to be the
//! committed tree, the old version alone or the new one before it; the repository has to verify; and the machine has to get
//! to the new version when it runs again. The same is done with an upgrade whose syncs do nothing: unless that leaves
//! images that are not sound, the check shows nothing, and fails.

mod boots;
mod check;
mod disk;
mod history;
mod machine;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use sapwood_testkit::Random;

use crate::ci::scratch_folder;
use crate::lab::{self, BRANCH, Format, Lab, MACHINE, SERVER, repo};
use crate::peers::{self, Peer};
use crate::server::Ours;
use crate::sh;
use crate::vm::Filesystem;
use check::{State, Version, Victim};
use disk::Recorder;
use history::{Cut, History, Replay};
use machine::{Around, Layout, Mounts, View};

/// What `powercut` needs of others.
const PEERS: &[Peer] = &[
    Peer { what: "qemu-storage-daemon", package: "qemu-system-common", lost: "power cuts" },
    Peer { what: "strace", package: "strace", lost: "power cuts" },
    Peer { what: "setpriv", package: "util-linux", lost: "power cuts" },
];

/// Options of `cargo xtask powercut`.
#[derive(Debug, clap::Args)]
pub(crate) struct PowercutArgs {
    /// Filesystems of the root
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Filesystem::ALL)]
    filesystem: Vec<Filesystem>,
    /// Where `/boot` is: on the filesystem of the root, or on one of its own
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Boot::Same, Boot::Ext4, Boot::Xfs])]
    boot: Vec<Boot>,
    /// What is interrupted
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Victim::Upgrade, Victim::Finalize])]
    victim: Vec<Victim>,
    /// How many flushes of each recording are tried; all if missing
    #[arg(long)]
    flushes: Option<usize>,
    /// How many random cuts of each recording are tried beside them
    #[arg(long, default_value_t = 20)]
    random: usize,
    /// How many images of each recording are booted in a virtual machine, where `/boot` is not a filesystem of its own
    #[arg(long, default_value_t = 0)]
    boots: usize,
    /// How many images of each upgrade without syncs are tried, unless one is found that is not sound
    #[arg(long, default_value_t = 200)]
    control: usize,
    /// The repository format
    #[arg(long, value_enum, default_value_t = Format::Native)]
    format: Format,
    /// Decides the cuts
    #[arg(long)]
    seed: Option<u64>,
    /// Keep images that are not sound in this folder
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Use this program in place of building one
    #[arg(long)]
    sapwood: Option<PathBuf>,
}

/// Where `/boot` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Boot {
    /// On the filesystem of the root
    Same,
    /// On ext4
    Ext4,
    /// On XFS
    Xfs,
}

impl Boot {
    fn filesystem(self) -> Option<Filesystem> {
        match self {
            Self::Same => None,
            Self::Ext4 => Some(Filesystem::Ext4),
            Self::Xfs => Some(Filesystem::Xfs),
        }
    }
}

/// Set where the mount namespace is our own.
const INSIDE: &str = "SAPWOOD_POWERCUT_INSIDE";

/// Records, cuts, looks; fails if an image is not sound, or if no image of a control is unsound.
pub(crate) fn run(args: &PowercutArgs) -> Result<()> {
    if std::env::var_os(INSIDE).is_none() {
        return match obstacle(&args.filesystem) {
            Some(reason) => bail!("{reason}"),
            None => inside(std::env::args_os().skip(1)),
        };
    }
    let seed = args.seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let sapwood = sh::sapwood(args.sapwood.as_deref(), sh::Profile::Release)?;
    let mut bench = Bench::new(sapwood, args, seed)?;
    let mut sum = Tally::default();
    for &root in &args.filesystem {
        for boot in &args.boot {
            let layout = Layout { root, boot: boot.filesystem() };
            let before = bench.installed(layout)?;
            for &victim in &args.victim {
                sum.add(bench.cuts(&before, victim)?);
            }
            if args.control > 0 && *boot == Boot::Same {
                bench.control(&before)?;
            }
            before.remove()?;
        }
    }
    println!("{sum}");
    ensure!(sum.unsound == 0, "{} images are not sound", sum.unsound);
    Ok(())
}

/// The check in its shortest form, or a line that says why it is skipped.
pub(crate) fn ci() -> Result<()> {
    if let Some(reason) = obstacle(&[Filesystem::Ext4]) {
        println!("skipped: power cuts: {reason}");
        return Ok(());
    }
    let sapwood = sh::sapwood(None, sh::Profile::Debug)?;
    let words = "powercut --filesystem=ext4 --boot=same --victim=upgrade --flushes=10 --random=10 --sapwood";
    inside(words.split(' ').map(OsString::from).chain([sapwood.into_os_string()]))
}

/// Calls this program in a mount namespace of its own: who makes one of the namespace that we are in keeps mounted what we
/// unmount.
fn inside(args: impl Iterator<Item = OsString>) -> Result<()> {
    let mut inside = Command::new("unshare");
    inside.arg("-m").arg(std::env::current_exe()?).args(args).env(INSIDE, "1");
    let status = inside.status().context("cannot run unshare")?;
    ensure!(status.success(), "power cuts: not everything is as it should be");
    Ok(())
}

/// Why there can be no recorded disk here, after what is missing was installed where nobody need be asked.
fn obstacle(filesystems: &[Filesystem]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("disks can be formatted and mounted by root alone".to_owned());
    }
    for peers in std::iter::once(PEERS).chain(filesystems.iter().map(|filesystem| filesystem.peers())) {
        peers::set_up(peers, true);
        if let Some(missing) = peers.iter().find(|peer| !peer.present()) {
            return Some(format!("{} is not installed", missing.what));
        }
    }
    let probe = || -> Result<()> {
        let folder = tempfile::tempdir()?;
        for &root in filesystems {
            let disks = Layout { root, boot: None }.format(folder.path())?;
            let recorder = Recorder::start(folder.path(), &disks)?;
            let mut mounts = Mounts::default();
            let device = recorder.device(0).context("no device")?.to_path_buf();
            mounts.add(root, View::System, &device, &folder.path().join("mounted"))?;
            mounts.end()?;
            drop(recorder);
            std::fs::remove_file(folder.path().join("socket-0"))?;
        }
        Ok(())
    };
    probe().err().map(|error| format!("no disk can be recorded: {error:#}"))
}

/// What came of images.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    flushes: usize,
    random: usize,
    old: usize,
    new: usize,
    unsound: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.flushes += other.flushes;
        self.random += other.random;
        self.old += other.old;
        self.new += other.new;
        self.unsound += other.unsound;
    }

    fn count(&mut self, cut: Cut, state: Option<State>) {
        *(if cut.seed.is_none() { &mut self.flushes } else { &mut self.random }) += 1;
        *(match state {
            Some(State::Old) => &mut self.old,
            Some(State::New) => &mut self.new,
            None => &mut self.unsound,
        }) += 1;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { flushes, random, old, new, unsound } = self;
        let all = flushes + random;
        write!(
            f,
            "{all} images ({flushes} at flushes, {random} random): {old} boot the old version, {new} the new one, \
             {unsound} are not sound"
        )
    }
}

/// A build server with two versions, and a machine whose disks come and go.
struct Bench<'a> {
    lab: Lab,
    versions: check::Versions,
    server: Ours,
    numbers: Random,
    args: &'a PowercutArgs,
    // Last: the others are in it.
    folder: tempfile::TempDir,
}

/// Disks with the first version on them.
struct Installed {
    layout: Layout,
    disks: Vec<PathBuf>,
    name: String,
}

impl Installed {
    fn remove(self) -> Result<()> {
        self.disks.iter().try_for_each(|disk| Ok(std::fs::remove_file(disk)?))
    }
}

impl<'a> Bench<'a> {
    fn new(sapwood: PathBuf, args: &'a PowercutArgs, seed: u64) -> Result<Self> {
        let folder = scratch_folder("powercut")?;
        let lab = Lab::new(sapwood, folder.path().to_path_buf(), args.format);
        let given =
            if args.boots > 0 { boots::versions(&lab)? } else { lab::Versions::built_in(&lab.folder)? };
        for share in given.trees.iter().map(|tree| tree.join("usr/share")).filter(|share| share.exists()) {
            // Hundreds of cuts have to be looked at, and more files of the same kind show nothing more.
            std::fs::remove_dir_all(share)?;
        }
        sh::output(&mut lab.init_server()?)?;
        let [old, new] = given.trees;
        let [old_name, new_name] = given.names;
        let version = |tree: PathBuf, name: &str| -> Result<Version> {
            sh::output(&mut lab.commit(&tree, name))?;
            let commit = sh::output(&mut lab.command(&["rev-parse", &repo(SERVER), BRANCH]))?;
            Ok(Version { tree, commit: commit.trim().to_owned() })
        };
        let versions = [version(old, &old_name)?, version(new, &new_name)?];
        let server = Ours::start(&lab.folder.join(SERVER), lab.sapwood())?;
        Ok(Self { lab, versions, server, numbers: Random::new(seed), args, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Has the server offer this version.
    fn offer(&self, number: usize) -> Result<()> {
        let mut set = self.lab.command(&["reset", &repo(SERVER), BRANCH, &self.versions[number].commit]);
        sh::output(&mut set).map(drop)
    }

    fn installed(&self, layout: Layout) -> Result<Installed> {
        self.offer(0)?;
        let disks = layout.format(self.folder.path())?;
        let mounts = Mounts::machine(&self.lab, layout, &disks)?;
        let name = machine::install(&self.lab, self.server.url())?;
        mounts.end()?;
        self.offer(1)?;
        Ok(Installed { layout, disks, name })
    }

    /// Records what the victim writes.
    fn record(&mut self, before: &Installed, victim: Victim, synced: bool) -> Result<History> {
        let folder = self.path("recording");
        std::fs::create_dir(&folder)?;
        let mut disks = Vec::new();
        for (number, disk) in before.disks.iter().enumerate() {
            let image = folder.join(format!("recorded-{number}"));
            disk::copy(disk, &image)?;
            disks.push(image);
        }
        let recorder = Recorder::start(&folder, &disks)?;
        let devices: Vec<_> = (0..disks.len()).filter_map(|disk| recorder.device(disk)).collect();
        let mounts = Mounts::machine(&self.lab, before.layout, &devices)?;
        let running = self.lab.deployment(&before.name);
        let around = Around { running: &running, boot: u128::from(self.numbers.next_u64()), synced };
        let run = |command: &Command| sh::output(&mut machine::within(command, around)?).map(drop);
        let machine = self.lab.folder.join(MACHINE);
        let places: Vec<_> =
            before.layout.places().map(|(filesystem, place)| (filesystem, machine.join(place))).collect();
        machine::beside_a_neighbour(&places, || {
            match victim {
                Victim::Upgrade => run(&self.lab.upgrade())?,
                Victim::Finalize => {
                    let mut stage = self.lab.upgrade();
                    run(stage.arg("--stage"))?;
                    recorder.passed(check::STAGED);
                    run(&self.lab.admin(&["boot-complete"]))?;
                    run(&self.lab.admin(&["finalize-staged"]))?;
                }
            }
            recorder.passed(check::DONE);
            Ok(())
        })?;
        mounts.end()?;
        let history = History::new(recorder.finish(), disks.len());
        std::fs::remove_dir_all(&folder)?;
        Ok(history)
    }

    fn cuts(&mut self, before: &Installed, victim: Victim) -> Result<Tally> {
        let started = Instant::now();
        let history = self.record(before, victim, true)?;
        let (writes, flushes) = history.counts();
        let cuts = history.cuts(self.args.flushes, self.args.random, &mut self.numbers);
        println!(
            "── {}, {victim:?}: {writes} writes, {flushes} flushes, {} cuts ({:.0} s)",
            before.layout,
            cuts.len(),
            started.elapsed().as_secs_f64()
        );
        let mut tally = Tally::default();
        let mut replay = Replay::new(&history, &before.disks, self.folder.path())?;
        // As far apart as can be, and the first is not the first cut.
        let apart = cuts.len() / (self.args.boots + 1);
        for (number, cut) in cuts.into_iter().enumerate() {
            let images = replay.images(cut)?;
            let passed = history.passed(cut);
            let is_booted = self.args.boots > 0 && number > 0 && number.is_multiple_of(apart.max(1));
            let booted = match &images[..] {
                [image] if is_booted => Some(boots::boot(before.layout.root, image, self.folder.path())),
                _ => None,
            };
            let verdict = self.verdict(before.layout, &images, |bench, state| {
                if let Some(booted) = booted {
                    let booted = booted.context("in a virtual machine")?;
                    ensure!(booted == state, "in a virtual machine it boots the {booted:?} version");
                    println!("   {cut:?}: a virtual machine boots the {booted:?} version");
                }
                ensure!(state == State::New || !passed.contains(&check::DONE), "what was promised is lost");
                check::goes_on(&bench.lab, &bench.versions, victim, &passed)
            });
            if let Err(error) = &verdict {
                println!("   NOT SOUND: {cut:?}, after {passed:?}: {error:#}");
            }
            tally.count(cut, verdict.as_ref().ok().copied());
            self.done_with(images, verdict.is_err(), before.layout)?;
        }
        println!("   {tally} ({:.0} s)", started.elapsed().as_secs_f64());
        Ok(tally)
    }

    /// An upgrade whose syncs do nothing: some cut of it has to leave what the check refuses.
    fn control(&mut self, before: &Installed) -> Result<()> {
        let history = self.record(before, Victim::Upgrade, false)?;
        let mut cuts = history.cuts(None, self.args.control, &mut self.numbers);
        // In any order, so that few are enough.
        for at in (1..cuts.len()).rev() {
            cuts.swap(at, self.numbers.below(at + 1));
        }
        for (tried, cut) in (1..).zip(cuts.into_iter().take(self.args.control)) {
            let mut replay = Replay::new(&history, &before.disks, self.folder.path())?;
            let images = replay.images(cut)?;
            // What was promised is not asked for: without syncs, nothing was.
            let verdict = self.verdict(before.layout, &images, |bench, _| {
                sh::output(&mut bench.lab.fsck(lab::MACHINE_REPO))
                    .context("the repository does not verify")
                    .map(drop)
            });
            self.done_with(images, false, before.layout)?;
            if let Err(error) = verdict {
                println!("   control: without syncs, image {tried} is not sound: {error:#}");
                return Ok(());
            }
        }
        bail!("{}: without syncs, everything is sound: this check shows nothing", before.layout)
    }

    /// Removes images, or keeps those that are worth it.
    fn done_with(&self, images: Vec<PathBuf>, keep: bool, layout: Layout) -> Result<()> {
        for image in images {
            if let (true, Some(folder), Some(name)) = (keep, &self.args.keep, image.file_name()) {
                std::fs::create_dir_all(folder)?;
                let layout = layout.to_string().replace([' ', '/'], "-");
                disk::copy(&image, &folder.join(format!("{layout}-{}", name.display())))?;
            }
            std::fs::remove_file(image)?;
        }
        Ok(())
    }

    /// What boots from the images, and whether that is sound; `then` goes on with the mounted machine.
    fn verdict(
        &self,
        layout: Layout,
        images: &[PathBuf],
        then: impl FnOnce(&Self, State) -> Result<()>,
    ) -> Result<State> {
        let links = self.seen_by_boot_loader(layout, images).context("as boot loaders see it")?;
        let mounts = Mounts::machine(&self.lab, layout, images)?;
        let checked = (|| {
            let state = check::look(&self.lab, &self.versions)?;
            for link in links {
                let root = self.path(MACHINE).join(&link).canonicalize();
                let root = root.with_context(|| format!("a boot loader's entry leads to {link}"))?;
                ensure!(root.join("usr/lib/os-release").exists(), "a boot loader's entry leads nowhere");
            }
            then(self, state).with_context(|| format!("it boots the {state:?} version"))?;
            Ok(state)
        })();
        mounts.end()?;
        checked
    }

    fn seen_by_boot_loader(&self, layout: Layout, images: &[PathBuf]) -> Result<Vec<String>> {
        let place = self.path("boot-loader");
        let (Some((filesystem, _)), Some(image)) = (layout.places().last(), images.last()) else {
            bail!("there is no disk");
        };
        let mut mounts = Mounts::default();
        mounts.add(filesystem, View::BootLoader, image, &place)?;
        let boot = if layout.boot.is_some() { place } else { place.join("boot") };
        let read = check::boot_loader_reads(&boot, &self.versions);
        mounts.end()?;
        read
    }
}
