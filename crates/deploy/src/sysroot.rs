//! The root of a machine's disk: its repository, its stateroots, its lock.

use crate::deployment::{DeploymentId, StaterootName};
use crate::list::{self, Current};
use crate::{Deployment, DeviceTrees, Error, Result, bootloader, layout};
use sapwood_fsio::lock::{Lock, LockKind, Wait};
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{Format, Mode};
use sapwood_repo::{CreateOptions, Repo};
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Which directories a new sysroot gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Epoch {
    /// `boot`, `ostree`, and `dev`, `home`, `proc`, `root`, `run`, `sys`, `tmp`, so that it can be booted as it is.
    #[default]
    Zero,
    /// `boot` and `ostree`: deployments are booted, never the sysroot itself.
    One,
    /// As `One`, with an `ostree` that only its owner may enter.
    Two,
}

/// What a new sysroot is like.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its directories. Default: [`Epoch::Zero`].
    pub epoch: Epoch,
    /// The format of its repository. Default: OSTree's, so that both programs can manage the machine.
    pub format: Format,
    /// How its repository keeps objects. Default: [`Mode::Bare`]. Without root, trees that belong to others can only be
    /// held by [`Mode::BareUser`] and [`Mode::BareUserOnly`], and are deployed as if they belonged to the user.
    pub mode: Mode,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { epoch: Epoch::default(), format: Format::Ostree, mode: Mode::Bare }
    }
}

/// A sysroot, open for reading. [`lock`](Self::lock) it to change it.
#[derive(Debug)]
pub struct Sysroot {
    root: Dir,
    repo: Repo,
    /// Device and inode of the root directory of the running system.
    running: Option<(u64, u64)>,
    /// The run-time directory of the running system, where this sysroot is its.
    run: Option<Dir>,
    grub_generator: Option<PathBuf>,
    immutable: bool,
    device_trees: DeviceTrees,
}

/// A sysroot that no other process changes meanwhile. All that changes it is here.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Locked<'a> {
    sysroot: &'a Sysroot,
    _lock: Lock,
}

impl Deref for Locked<'_> {
    type Target = Sysroot;

    fn deref(&self) -> &Sysroot {
        self.sysroot
    }
}

impl Sysroot {
    /// Makes a sysroot of an existing directory: its directories and an empty repository. What is there already stays.
    ///
    /// # Errors
    /// When a directory or the repository cannot be created. Calling it again goes on where it failed.
    pub fn init_fs(root: &Dir, options: &InitOptions) -> Result<()> {
        let ostree_mode = if options.epoch == Epoch::Two { 0o700 } else { 0o755 };
        let zero: &[(&str, u32)] = &[
            ("dev", 0o755),
            ("home", 0o755),
            ("proc", 0o755),
            ("run", 0o755),
            ("sys", 0o755),
            ("root", 0o700),
            ("tmp", 0o1777),
        ];
        let extra = if options.epoch == Epoch::Zero { zero } else { &[] };
        let own = [
            (layout::BOOT, 0o755),
            (layout::OSTREE, ostree_mode),
            (layout::DEPLOY, 0o755),
            (layout::REPO, 0o755),
        ];
        for &(name, mode) in own.iter().chain(extra) {
            make_dir(root, name, mode)?;
        }
        let repo = fsio::open_dir(root, layout::REPO)?;
        Repo::create(
            &repo,
            &CreateOptions { format: options.format, mode: options.mode, collection_id: None },
        )?;
        Ok(fsio::syncfs(root)?)
    }

    /// Opens the sysroot in `root`.
    ///
    /// # Errors
    /// [`Error::NotASysroot`] when there is no `ostree/repo` in it; or when that is no usable repository.
    pub fn open(root: &Dir) -> Result<Self> {
        let repo = fsio::open_dir_optional(root, layout::REPO)?
            .ok_or(Error::NotASysroot { missing: layout::REPO })?;
        let root = fsio::open_dir(root, ".")?;
        Ok(Self {
            root,
            repo: Repo::open(&repo)?,
            running: None,
            run: None,
            grub_generator: None,
            immutable: true,
            device_trees: DeviceTrees::default(),
        })
    }

    /// Says which directory is the root of the running system, by device and inode. A deployment that is it is never
    /// removed. Without this, the sysroot is taken for one that is not running.
    #[must_use]
    pub fn with_running_root(mut self, dev: u64, ino: u64) -> Self {
        self.running = Some((dev, ino));
        self
    }

    /// Says where the running system keeps what other programs look for: `/run/ostree`. Without it, they do not learn
    /// what is staged.
    #[must_use]
    pub fn with_run(mut self, run: Dir) -> Self {
        self.run = Some(run);
        self
    }

    pub(crate) fn run(&self) -> Option<&Dir> {
        self.run.as_ref()
    }

    /// Leaves deployments without the immutable flag, so that anything can remove them.
    #[must_use]
    pub fn with_mutable_deployments(mut self) -> Self {
        self.immutable = false;
        self
    }

    pub(crate) fn immutable(&self) -> bool {
        self.immutable
    }

    /// Says what is done with the device trees of kernels.
    #[must_use]
    pub fn with_device_trees(mut self, device_trees: DeviceTrees) -> Self {
        self.device_trees = device_trees;
        self
    }

    pub(crate) fn device_trees(&self) -> DeviceTrees {
        self.device_trees
    }

    /// Has GRUB's configuration made by this program; without it, it is written here. See [`Grub2`](crate::Grub2).
    #[must_use]
    pub fn with_grub_generator(mut self, program: PathBuf) -> Self {
        self.grub_generator = Some(program);
        self
    }

    pub(crate) fn grub_generator(&self) -> Option<&Path> {
        self.grub_generator.as_deref()
    }

    /// Its directory.
    pub fn root(&self) -> &Dir {
        &self.root
    }

    /// Its repository.
    pub fn repo(&self) -> &Repo {
        &self.repo
    }

    /// Its repository, to change its configuration.
    pub fn repo_mut(&mut self) -> &mut Repo {
        &mut self.repo
    }

    /// Takes the lock that real `ostree` takes too.
    ///
    /// # Errors
    /// [`Error::Lock`] when it is held for longer than `wait`, or the lock file cannot be written.
    pub fn lock(&self, wait: Wait) -> Result<Locked<'_>> {
        let lock = Lock::acquire(&self.root, layout::LOCK, LockKind::Exclusive, wait)?;
        Ok(Locked { sysroot: self, _lock: lock })
    }

    /// The deployments that boot entries name, in boot order: the default first.
    ///
    /// # Errors
    /// [`Error::BadEntry`] when an entry names what is not there.
    pub fn deployments(&self) -> Result<Vec<Deployment>> {
        Ok(self.current()?.deployments)
    }

    /// The stateroots, sorted by name.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn stateroots(&self) -> Result<Vec<StaterootName>> {
        let Some(dir) = fsio::open_dir_optional(&self.root, layout::DEPLOY)? else { return Ok(Vec::new()) };
        let named = |entry: fsio::Entry| StaterootName::new(entry.name.to_str()?).ok();
        Ok(fsio::entries(&dir)?.into_iter().filter(|e| e.kind == Kind::Dir).filter_map(named).collect())
    }

    /// Whether the running system may be one of its deployments.
    pub(crate) fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// Whether `name` in `dir` is the root of the running system.
    pub(crate) fn is_running(&self, dir: &Dir, name: &str) -> Result<bool> {
        let Some(running) = self.running else { return Ok(false) };
        let stat = fsio::stat(dir, name)?;
        Ok((stat.dev, stat.ino) == running)
    }

    pub(crate) fn current(&self) -> Result<Current> {
        list::read(&self.root, self.running, bootloader::is_flat(self)?)
    }

    /// The deployment whose configuration a new one of the stateroot takes over: the running one, else the first.
    ///
    /// # Errors
    /// As [`deployments`](Self::deployments).
    pub fn merge_deployment(&self, stateroot: &StaterootName) -> Result<Option<Deployment>> {
        Ok(merge_deployment(&self.deployments()?, stateroot).cloned())
    }

    /// The directory of a deployment.
    ///
    /// # Errors
    /// When it is not there.
    pub fn deployment_dir(&self, id: &DeploymentId) -> Result<Dir> {
        Ok(fsio::open_dir(&self.root, layout::deployment_dir(id))?)
    }
}

pub(crate) fn merge_deployment<'d>(
    deployments: &'d [Deployment],
    stateroot: &StaterootName,
) -> Option<&'d Deployment> {
    let own = || deployments.iter().filter(|d| d.id.stateroot == *stateroot);
    own().find(|d| d.booted).or_else(|| own().next())
}

impl Locked<'_> {
    /// Creates a stateroot: its directory, and a `/var` with the directories that are expected in one.
    ///
    /// # Errors
    /// [`Error::StaterootExists`]; or when a directory cannot be created.
    pub fn init_stateroot(&self, name: &StaterootName) -> Result<()> {
        let dir = layout::stateroot_dir(name);
        make_dir(&self.root, layout::DEPLOY, 0o755)?;
        // The directory comes last to its name, so that it is there with all in it or not at all.
        if fsio::stat_optional(&self.root, &dir)?.is_some() {
            return Err(Error::StaterootExists { name: name.clone() });
        }
        let temporary = format!("{}/{}{name}", layout::DEPLOY, layout::NEW_STATEROOT);
        fsio::remove_tree(&self.root, &temporary)?;
        let new = fsio::create_dir(&self.root, &temporary, 0o755)?;
        crate::var::create(&new)?;
        fsio::syncfs(&new)?;
        fsio::rename_noreplace(&self.root, &temporary, &self.root, &dir)?;
        Ok(fsio::sync_dir(&fsio::open_dir(&self.root, layout::DEPLOY)?)?)
    }
}

/// Makes a directory with just this mode, unless it is there.
fn make_dir(root: &Dir, name: &str, mode: u32) -> Result<()> {
    match fsio::create_dir(root, name, mode) {
        Ok(_) => Ok(()),
        Err(error) if error.is_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
