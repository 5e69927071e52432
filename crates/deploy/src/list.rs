//! The list of deployments, as the current boot entries have it.

mod lost;

use crate::boot::bls::Bls;
use crate::boot::entry_name::{self, EntryName};
use crate::boot::link::BootLink;
use crate::boot::verscmp;
use crate::deployment::{Deployment, DeploymentId};
use crate::origin::Origin;
use crate::{Error, NameError, Result, layout};
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{Commit, Id};
use std::fmt;
use std::path::Path;

/// Which of two sets: the current one, and the one that is written beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BootVersion {
    /// 0
    Zero,
    /// 1
    One,
}

impl BootVersion {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "0" => Some(Self::Zero),
            "1" => Some(Self::One),
            _ => None,
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }
}

impl fmt::Display for BootVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zero => "0",
            Self::One => "1",
        })
    }
}

/// How the current set of entries is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    /// `loader` is a link to `loader.N`.
    Linked,
    /// `loader` is a directory, and the names of entries say it: see [`entry_name`].
    Flat {
        /** 0 where there was never a set. */
        generation: u64,
    },
}

impl Entries {
    /// Those of the next set.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Linked => Self::Linked,
            Self::Flat { generation } => Self::Flat { generation: generation.saturating_add(1) },
        }
    }
}

/// What boots now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Current {
    pub(crate) entries: Entries,
    /// The current set of entries; [`BootVersion::Zero`], with no deployments, where there was never one.
    pub(crate) version: BootVersion,
    /// The current state of the links of each set; `None` where there is no link.
    pub(crate) subs: [Option<BootVersion>; 2],
    pub(crate) deployments: Vec<Deployment>,
}

impl Current {
    /// The directory of the current entries.
    pub(crate) fn entries_path(&self) -> String {
        let loader = match self.entries {
            Entries::Linked => layout::loader_dir(self.version),
            Entries::Flat { .. } => layout::LOADER.to_owned(),
        };
        layout::boot(format!("{loader}/{}", layout::ENTRIES))
    }

    pub(crate) fn sub(&self, version: BootVersion) -> Option<BootVersion> {
        let [zero, one] = self.subs;
        match version {
            BootVersion::Zero => zero,
            BootVersion::One => one,
        }
    }
}

/// The version that the link at `path` names after `prefix`; `None` where there is no link.
fn linked_version(root: &Dir, path: &str, prefix: &str) -> Result<Option<BootVersion>> {
    let bad = || Error::BadLink { path: path.to_owned(), expected: format!("{prefix}0 or {prefix}1") };
    match fsio::stat_optional(root, path)? {
        None => return Ok(None),
        Some(stat) if stat.kind != Kind::Symlink => return Err(bad()),
        Some(_) => {}
    }
    let target = fsio::read_link(root, path)?;
    let text = std::str::from_utf8(&target).ok().map(|text| text.trim_end_matches('/'));
    text.and_then(|text| BootVersion::parse(text.strip_prefix(prefix)?)).ok_or_else(bad).map(Some)
}

/// Reads what boots now; `is_flat` says whether entries are kept without links.
pub(crate) fn read(root: &Dir, running: Option<(u64, u64)>, is_flat: bool) -> Result<Current> {
    let sub = |version| {
        let link = format!("{}/{}", layout::OSTREE, layout::boot_link(version));
        linked_version(root, &link, &format!("boot.{version}."))
    };
    let subs = [sub(BootVersion::Zero)?, sub(BootVersion::One)?];
    let link = format!("{}/{}", layout::BOOT, layout::LOADER);
    let mut current =
        Current { entries: Entries::Linked, version: BootVersion::Zero, subs, deployments: Vec::new() };
    let dir = if is_flat {
        current.entries = Entries::Flat { generation: 0 };
        link.clone()
    } else {
        let Some(version) = linked_version(root, &link, "loader.")? else {
            return lost::without_entries(root, current);
        };
        current.version = version;
        layout::boot(layout::loader_dir(version))
    };
    let Some(dir) = fsio::open_dir_optional(root, format!("{dir}/{}", layout::ENTRIES))? else {
        return lost::without_entries(root, current);
    };
    let files = match &mut current.entries {
        Entries::Linked => linked_entries(&dir)?,
        Entries::Flat { generation } => {
            let (found, set) = current_flat(&dir)?;
            *generation = found;
            let read = |file: String| Ok((file.clone(), read_entry(&dir, &file)?));
            set.into_iter().map(read).collect::<Result<_>>()?
        }
    };
    for (file, entry) in files {
        let (mut deployment, version) = resolve(root, &file, entry)?;
        if let Some(running) = running {
            let stat = fsio::stat_dir(&fsio::open_dir(root, deployment.path())?)?;
            deployment.booted = (stat.dev, stat.ino) == running;
        }
        if current.entries != Entries::Linked {
            if !current.deployments.is_empty() && version != current.version {
                let reason = format!("it does not lead to {}", layout::boot_link(current.version));
                return Err(Error::BadEntry { file, reason });
            }
            current.version = version;
        }
        current.deployments.push(deployment);
    }
    if current.deployments.is_empty() {
        return lost::without_entries(root, current);
    }
    // As boot loaders do that count: what failed too often is the last resort.
    current.deployments.sort_by_key(Deployment::failed);
    for (index, deployment) in current.deployments.iter_mut().enumerate() {
        deployment.index = index;
    }
    Ok(current)
}

/// The deployment that a link leads to, by the last component of its target.
fn linked_deployment(target: &[u8]) -> std::result::Result<(Id<Commit>, u32), NameError> {
    DeploymentId::parse_dir_name(target.rsplit(|byte| *byte == b'/').next().unwrap_or_default())
}

fn is_there(root: &Dir, id: &DeploymentId) -> Result<bool> {
    let found = fsio::stat_optional(root, layout::deployment_dir(id))?;
    Ok(found.is_some_and(|stat| stat.kind == Kind::Dir))
}

/// The set of a directory that has one alone.
fn current_linked(dir: &Dir) -> Result<Vec<String>> {
    let names = own_entries(dir)?;
    let kept = entry_name::without_twins(names.iter().map(String::as_str));
    Ok(kept.into_iter().map(str::to_owned).collect())
}

/// Entries that are not of the current set, in its directory.
pub(crate) fn stale_entries(dir: &Dir, entries: Entries) -> Result<Vec<String>> {
    let set = match entries {
        Entries::Linked => current_linked(dir)?,
        Entries::Flat { .. } => current_flat(dir)?.1,
    };
    Ok(own_entries(dir)?.into_iter().filter(|file| !set.contains(file)).collect())
}

/// The current set where names say which it is: its generation, and its files in order.
pub(crate) fn current_flat(dir: &Dir) -> Result<(u64, Vec<String>)> {
    let names = own_entries(dir)?;
    let (generation, set) = entry_name::current_set(&names)
        .map_err(|reason| Error::BadEntry { file: layout::LOADER.to_owned(), reason })?;
    Ok((generation, set.into_iter().map(str::to_owned).collect()))
}

/// The names of entries of ours, sorted.
pub(crate) fn own_entries(dir: &Dir) -> Result<Vec<String>> {
    let mut names: Vec<String> = fsio::entries(dir)?
        .into_iter()
        .filter(|found| found.kind == Kind::File && is_own_entry(Path::new(&found.name)))
        .filter_map(|found| found.name.into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// Whether an entry file is one of ours.
pub(crate) fn is_own_entry(name: &Path) -> bool {
    name.to_str().is_some_and(entry_name::is_own)
}

fn read_entry(dir: &Dir, file: &str) -> Result<Bls> {
    let bytes = fsio::read(dir, file, layout::MAX_TEXT_BYTES)?;
    Bls::parse(&bytes).map_err(|error| Error::BadEntry { file: file.to_owned(), reason: error.to_string() })
}

/// The entries of a set that a link names, the one that boots by default first.
pub(crate) fn linked_entries(dir: &Dir) -> Result<Vec<(String, Bls)>> {
    let read = |file: String| Ok::<_, Error>((read_entry(dir, &file)?, file));
    let mut all: Vec<_> = current_linked(dir)?.into_iter().map(read).collect::<Result<_>>()?;
    let version = |entry: &Bls| entry.get("version").unwrap_or_default().as_bytes().to_vec();
    all.sort_by(|(a, file_a), (b, file_b)| {
        verscmp::compare(&version(b), &version(a))
            .then_with(|| verscmp::compare(file_b.as_bytes(), file_a.as_bytes()))
    });
    Ok(all.into_iter().map(|(entry, file)| (file, entry)).collect())
}

/// The deployment that an entry boots, and which set of links leads there.
fn resolve(root: &Dir, file: &str, entry: Bls) -> Result<(Deployment, BootVersion)> {
    let bad = |reason: String| Error::BadEntry { file: file.to_owned(), reason };
    let kargs = entry.kargs();
    let argument = kargs.get("ostree").ok_or_else(|| bad("it has no argument ostree=".to_owned()))?;
    let link = BootLink::parse(argument.as_bytes()).map_err(|error| bad(error.to_string()))?;
    let path = argument.trim_start_matches('/');
    let target = match fsio::read_link(root, path) {
        Ok(target) => target,
        Err(error) if error.is_not_found() => return Err(bad(format!("{path} is missing"))),
        Err(error) => return Err(error.into()),
    };
    let (commit, serial) = linked_deployment(&target).map_err(|error| bad(error.to_string()))?;
    let id = DeploymentId { stateroot: link.stateroot, commit, serial };
    if !is_there(root, &id)? {
        return Err(bad(format!("{} is missing", layout::deployment_dir(&id))));
    }
    let origin = Origin::read(root, &id)?;
    let deployment = Deployment {
        index: 0,
        id,
        boot_id: link.boot_id,
        boot_serial: link.serial,
        origin,
        entry,
        booted: false,
        tries: EntryName::parse(file).and_then(|name| name.tries),
        file: file.to_owned(),
    };
    Ok((deployment, link.version))
}
