//! What a command works on: the only place that turns paths into open directories.

use crate::args::{Global, Persona};
use crate::report::Usage;
use crate::ui::progress::Progress;
use anyhow::Context as _;
use sapwood_fsio::Dir;
use sapwood_repo::{NewRemotes, Repo};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Everything global about a run.
#[derive(Debug)]
pub(crate) struct Ctx {
    repo: Option<PathBuf>,
    /// Under which name the program runs.
    pub(crate) persona: Persona,
    /// Whether the result is printed as JSON.
    pub(crate) json: bool,
    /// Where the progress of pulls is told to programs.
    pub(crate) progress_fd: Option<u32>,
    /// Whether a lone `-v` was given; `summary` takes it for `--view`.
    pub(crate) short_v: bool,
}

/// Where the repository of the running system is.
const SYSTEM_REPOS: [&str; 2] = ["/sysroot/ostree/repo", "/ostree/repo"];

impl Ctx {
    /// From the global options.
    pub(crate) fn new(persona: Persona, global: &Global) -> Self {
        Self {
            repo: global.repo.clone(),
            persona,
            json: global.json,
            progress_fd: global.progress_fd,
            short_v: global.v,
        }
    }

    /// Opens the repository that was asked for, or is at hand.
    pub(crate) fn open_repo(&self) -> anyhow::Result<Repo> {
        let path = self.repo_path()?;
        crate::running::open_up(&path, sapwood_deploy::OpenUp::Mounts)?;
        open_repo_at(&path)
    }

    /// What `--repo` says.
    pub(crate) fn repo_option(&self) -> Option<PathBuf> {
        self.repo.clone()
    }

    /// The repository that was asked for, though nothing may be there yet.
    pub(crate) fn named_repo_path(&self) -> Option<PathBuf> {
        self.repo.clone().or_else(|| variable("OSTREE_REPO"))
    }

    /// Where the repository is: the option, the current directory, the environment, the system.
    pub(crate) fn repo_path(&self) -> anyhow::Result<PathBuf> {
        if let Some(path) = &self.repo {
            return Ok(path.clone());
        }
        if Path::new("objects").is_dir() && Path::new("config").is_file() {
            return Ok(PathBuf::from("."));
        }
        variable("OSTREE_REPO")
            .or_else(|| variable("OSTREE_SYSROOT").map(|path| path.join("ostree/repo")))
            .or_else(|| SYSTEM_REPOS.iter().map(PathBuf::from).find(|path| path.is_dir()))
            .ok_or_else(|| {
                let hint = "run it in a repository, give --repo=PATH, or set OSTREE_REPO".to_owned();
                Usage::new("Command requires a --repo argument", vec![hint]).into()
            })
    }

    /// A progress line that fits the output.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new(self.json)
    }
}

/// An environment variable that holds a path.
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Opens the repository in a directory.
pub(crate) fn open_repo_at(path: &Path) -> anyhow::Result<Repo> {
    let place = || format!("opening repo {}", path.display());
    let mut repo = Repo::open(&open_dir(path).with_context(place)?).with_context(place)?;
    if is_of_the_system(&repo)? {
        take_drop_ins(&mut repo, Path::new("/"), NewRemotes::InDropIns).with_context(place)?;
    }
    Ok(repo)
}

/// Takes the remotes in the drop-in files of a sysroot, too. Those of the running system are also where new ones go.
pub(crate) fn use_drop_ins(repo: &mut Repo, sysroot: &Path) -> anyhow::Result<()> {
    let new = if is_of_the_system(repo)? { NewRemotes::InDropIns } else { NewRemotes::InConfig };
    take_drop_ins(repo, sysroot, new)
}

fn take_drop_ins(repo: &mut Repo, sysroot: &Path, new: NewRemotes) -> anyhow::Result<()> {
    let etc = sysroot.join("etc");
    if !etc.is_dir() {
        return Ok(());
    }
    Ok(repo.use_drop_ins(&open_dir(&etc)?, new)?)
}

/// Whether a repository is that of the running system, by whatever path it was opened.
fn is_of_the_system(repo: &Repo) -> anyhow::Result<bool> {
    let own = sapwood_fsio::stat_dir(repo.dir())?;
    let of_the_system = SYSTEM_REPOS.iter().filter(|path| Path::new(path).is_dir());
    for path in of_the_system {
        let stat = sapwood_fsio::stat_dir(&open_dir(Path::new(path))?)?;
        if (stat.dev, stat.ino) == (own.dev, own.ino) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Opens a directory by path.
pub(crate) fn open_dir(path: &Path) -> anyhow::Result<Dir> {
    #[expect(clippy::disallowed_methods, reason = "the command line is where paths come in")]
    Dir::open_ambient_dir(path, cap_std::ambient_authority())
        .with_context(|| format!("cannot open the directory {}", path.display()))
}

/// Opens the directory that holds the last component of a path, which need not exist, and gives that component.
pub(crate) fn open_parent(path: &Path) -> anyhow::Result<(Dir, OsString)> {
    let whole;
    let path = if path.file_name().is_some() {
        path
    } else {
        whole = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
        &whole
    };
    let name = path.file_name().with_context(|| format!("{} has no name", path.display()))?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    Ok((open_dir(parent)?, name.to_owned()))
}

/// Reads a file by path, up to a limit.
pub(crate) fn read_file(path: &Path, limit_bytes: u64) -> anyhow::Result<Vec<u8>> {
    let (dir, name) =
        open_parent(&path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?)?;
    Ok(sapwood_fsio::read(&dir, name, limit_bytes)?)
}
