//! The list of deployments, as the current boot entries have it.

use crate::boot::bls::Bls;
use crate::boot::link::BootLink;
use crate::boot::verscmp;
use crate::deployment::{Deployment, DeploymentId};
use crate::origin::Origin;
use crate::{Error, Result, layout};
use sapwood_fsio::{self as fsio, Dir, Kind};
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

/// What boots now.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Current {
    /// The current set of entries; [`BootVersion::Zero`], with no deployments, where there was never one.
    pub(crate) version: BootVersion,
    /// The current state of the links of each set; `None` where there is no link.
    pub(crate) subs: [Option<BootVersion>; 2],
    pub(crate) deployments: Vec<Deployment>,
}

impl Current {
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

/// Reads what boots now.
pub(crate) fn read(root: &Dir, running: Option<(u64, u64)>) -> Result<Current> {
    let link = format!("{}/{}", layout::BOOT, layout::LOADER);
    let loader = linked_version(root, &link, "loader.")?;
    let sub = |version| {
        let link = format!("{}/{}", layout::OSTREE, layout::boot_link(version));
        linked_version(root, &link, &format!("boot.{version}."))
    };
    let mut current = Current {
        version: loader.unwrap_or(BootVersion::Zero),
        subs: [sub(BootVersion::Zero)?, sub(BootVersion::One)?],
        deployments: Vec::new(),
    };
    let Some(version) = loader else { return Ok(current) };
    let entries = format!("{}/{}/{}", layout::BOOT, layout::loader_dir(version), layout::ENTRIES);
    let Some(entries) = fsio::open_dir_optional(root, entries)? else { return Ok(current) };
    for (file, entry) in read_entries(&entries)? {
        let mut deployment = resolve(root, &file, entry)?;
        if let Some(running) = running {
            let stat = fsio::stat_dir(&fsio::open_dir(root, deployment.path())?)?;
            deployment.booted = (stat.dev, stat.ino) == running;
        }
        deployment.index = current.deployments.len();
        current.deployments.push(deployment);
    }
    Ok(current)
}

/// Whether an entry file is one of ours.
pub(crate) fn is_own_entry(name: &Path) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("ostree-") && name.strip_suffix(".conf").is_some())
}

/// The entries, the one that boots by default first.
fn read_entries(dir: &Dir) -> Result<Vec<(String, Bls)>> {
    let mut all = Vec::new();
    for found in fsio::entries(dir)? {
        if found.kind != Kind::File || !is_own_entry(Path::new(&found.name)) {
            continue;
        }
        let file = found.name.to_string_lossy().into_owned();
        let bytes = fsio::read(dir, &found.name, layout::MAX_TEXT_BYTES)?;
        let entry = Bls::parse(&bytes)
            .map_err(|error| Error::BadEntry { file: file.clone(), reason: error.to_string() })?;
        all.push((file, entry));
    }
    let version = |entry: &Bls| entry.get("version").unwrap_or_default().as_bytes().to_vec();
    all.sort_by(|(file_a, a), (file_b, b)| {
        verscmp::compare(&version(b), &version(a))
            .then_with(|| verscmp::compare(file_b.as_bytes(), file_a.as_bytes()))
    });
    Ok(all)
}

/// The deployment that an entry boots.
fn resolve(root: &Dir, file: &str, entry: Bls) -> Result<Deployment> {
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
    let name = target.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let (commit, serial) = DeploymentId::parse_dir_name(name).map_err(|error| bad(error.to_string()))?;
    let id = DeploymentId { stateroot: link.stateroot, commit, serial };
    if fsio::stat_optional(root, layout::deployment_dir(&id))?.is_none_or(|stat| stat.kind != Kind::Dir) {
        return Err(bad(format!("{} is missing", layout::deployment_dir(&id))));
    }
    let origin = Origin::read(root, &id)?;
    Ok(Deployment {
        index: 0,
        id,
        boot_id: link.boot_id,
        boot_serial: link.serial,
        origin,
        entry,
        booted: false,
    })
}
