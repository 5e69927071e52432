//! Drop-in files: remotes that are described beside the repository, as those of a system are in `/etc/ostree/remotes.d`.
//!
//! Each file whose name ends in `.conf` may describe some, and other groups in it mean nothing. A remote that is described
//! twice, or a file that cannot be read, is an error: one that goes unseen might have asked for signatures.

use super::{Remote, name_in};
use crate::{Error, Keyfile, RemoteName, Repo, Result};
use sapwood_fsio::{self as fsio, Dir, Kind};

/// Where they are, below `/etc`.
const PLACE: &str = "ostree/remotes.d";
const SUFFIX: &str = ".conf";
const DIR_MODE: u32 = 0o755;
/// Files are readable by all, as the repository's configuration is: what they hold is no secret.
const FILE_MODE: u32 = 0o644;
/// Most files that are read.
const MAX_FILES: usize = 1024;

/// Where new remotes are described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewRemotes {
    /// In the repository's configuration.
    InConfig,
    /// Each in a file of its own among the drop-ins, unless the repository says otherwise (`core.add-remotes-config-dir`).
    InDropIns,
}

/// The files, as they were read.
#[derive(Debug)]
pub(crate) struct DropIns {
    /// The directory `etc`.
    etc: Dir,
    files: Vec<DropIn>,
    new: NewRemotes,
}

#[derive(Debug)]
pub(super) struct DropIn {
    pub(super) name: String,
    pub(super) keyfile: Keyfile,
}

impl DropIns {
    fn read(etc: Dir, new: NewRemotes) -> Result<Self> {
        let mut names = Vec::new();
        let Some(dir) = fsio::open_dir_optional(&etc, PLACE)? else {
            return Ok(Self { etc, files: Vec::new(), new });
        };
        for entry in fsio::entries(&dir)? {
            let Some(name) = entry.name.to_str().filter(|name| name.ends_with(SUFFIX)) else { continue };
            if entry.kind != Kind::Dir {
                names.push(name.to_owned());
            }
        }
        names.sort();
        if names.len() > MAX_FILES {
            return Err(Error::TooManyDropIns { limit: MAX_FILES });
        }
        let read = |name: String| Ok(DropIn { keyfile: keyfile(&dir, &name)?, name });
        let files = names.into_iter().map(read).collect::<Result<_>>()?;
        Ok(Self { etc, files, new })
    }

    pub(super) fn files(&self) -> &[DropIn] {
        &self.files
    }
}

fn keyfile(dir: &Dir, name: &str) -> Result<Keyfile> {
    let bytes = fsio::read(dir, name, Keyfile::MAX_BYTES as u64)?;
    Keyfile::parse(&bytes).map_err(|source| Error::DropIn { file: name.to_owned(), source })
}

impl Repo {
    /// Takes remotes from the drop-in files `ostree/remotes.d/*.conf` of a directory `etc`, too, and changes those there. Nothing need
    /// be there.
    ///
    /// # Errors
    /// [`Error::DuplicateRemote`], [`Error::DropIn`], [`Error::TooManyDropIns`], [`Error::Io`]; [`Error::Config`] for a
    /// `core.add-remotes-config-dir` that is no boolean.
    pub fn use_drop_ins(&mut self, etc: &Dir, new: NewRemotes) -> Result<()> {
        let config = self.config();
        let new = match config.keyfile.get_bool("core", "add-remotes-config-dir") {
            Some(Ok(false)) => NewRemotes::InConfig,
            Some(Err(_)) => return Err(config.wrong_core("add-remotes-config-dir", "a boolean")),
            _ => new,
        };
        let drop_ins = DropIns::read(fsio::open_dir(etc, ".")?, new)?;
        let mut known: Vec<_> = config.keyfile.groups().filter_map(name_in).collect();
        for name in drop_ins.files.iter().flat_map(|file| file.keyfile.groups()).filter_map(name_in) {
            if known.contains(&name) {
                return Err(Error::DuplicateRemote { name: name.to_string() });
            }
            known.push(name);
        }
        self.drop_ins = Some(drop_ins);
        Ok(())
    }

    /// The file among the drop-ins that describes a remote, or is to: `None` if the configuration does or is to.
    pub(super) fn drop_in_of(&self, name: &RemoteName) -> Option<String> {
        let drop_ins = self.drop_ins.as_ref()?;
        let describes = |keyfile: &Keyfile| Remote::from_keyfile(keyfile, name).is_ok();
        match drop_ins.files.iter().find(|file| describes(&file.keyfile)) {
            Some(file) => Some(file.name.clone()),
            None if describes(&self.config().keyfile) => None,
            None => (drop_ins.new == NewRemotes::InDropIns).then(|| format!("{name}{SUFFIX}")),
        }
    }

    /// Changes one of the files, atomically. What else it holds stays; one that holds no group any more is removed.
    pub(super) fn edit_drop_in(&mut self, file: &str, edit: impl FnOnce(&mut Keyfile)) -> Result<()> {
        let Some(drop_ins) = &self.drop_ins else { return Ok(()) };
        let _lock = self.lock_refs()?;
        let dir = fsio::ensure_dir(&drop_ins.etc, PLACE, DIR_MODE)?;
        let mut text = match fsio::stat_optional(&dir, file)? {
            Some(_) => keyfile(&dir, file)?,
            None => Keyfile::default(),
        };
        edit(&mut text);
        if text.groups().next().is_some() {
            fsio::replace(&dir, file, FILE_MODE, text.to_text().as_bytes())?;
        } else {
            fsio::remove_file_optional(&dir, file)?;
            fsio::sync_dir(&dir)?;
        }
        let etc = fsio::open_dir(&drop_ins.etc, ".")?;
        self.drop_ins = Some(DropIns::read(etc, drop_ins.new)?);
        Ok(())
    }
}
