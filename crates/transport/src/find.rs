//! Finding who has refs of collections: what each place offers, and which of it is the newest.
//!
//! Nothing here is about trust: that a place offers a commit says nothing of it. Who asks judges each commit before its
//! timestamp is put into an [`Offer`], and again when it is pulled.

use sapwood_fsio::{self as fsio, Dir};
use sapwood_objstore::{Commit, DecodeError, Id};
use sapwood_repo::{CollectionId, RefName, Summary};
use std::collections::BTreeMap;

/// A ref of a collection.
pub type CollectionRef = (CollectionId, RefName);

/// What somebody has of a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The commit.
    pub commit: Id<Commit>,
    /// When it was made: seconds since the epoch, as the commit itself says.
    pub timestamp: u64,
}

/// Where standard repositories are on a volume, besides what is linked from [`LINKS`].
const PLACES: [&str; 3] = [".ostree/repo", "ostree/repo", "var/lib/flatpak/repo"];
/// Where links to others are on a volume.
pub const LINKS: &str = ".ostree/repos.d";
/// Most links that are looked at.
const MAX_LINKS: usize = 256;

/// Whether repositories at this place of a volume are found without a link to them.
pub fn is_standard_place(path: &str) -> bool {
    PLACES.contains(&path) || path.strip_prefix(LINKS).is_some_and(|rest| rest.starts_with('/'))
}

/// The directories on a volume where repositories are looked for and that are there, with their paths; each once. A link that
/// leads off the volume is passed over.
///
/// # Errors
/// When the volume cannot be read.
pub fn volume_repos(volume: &Dir) -> Result<Vec<(String, Dir)>, fsio::Error> {
    let mut paths = Vec::new();
    if let Some(links) = fsio::open_dir_optional(volume, LINKS)? {
        let mut names: Vec<_> = fsio::entries(&links)?.into_iter().map(|entry| entry.name).collect();
        names.sort();
        names.truncate(MAX_LINKS);
        paths.extend(names.iter().filter_map(|name| name.to_str()).map(|name| format!("{LINKS}/{name}")));
    }
    paths.extend(PLACES.map(str::to_owned));
    let (mut found, mut seen) = (Vec::new(), Vec::new());
    for path in paths {
        // This follows links, and none off the volume.
        let dir = match volume.open_dir(&path) {
            Ok(dir) => dir,
            Err(error) => {
                tracing::debug!(%error, path, "no repository");
                continue;
            }
        };
        let stat = fsio::stat(&dir, ".")?;
        if !seen.contains(&(stat.dev, stat.ino)) {
            seen.push((stat.dev, stat.ino));
            found.push((path, dir));
        }
    }
    Ok(found)
}

/// Which of the wanted refs a summary lists, its own and those that are carried on.
///
/// # Errors
/// Where the list of other collections is malformed.
pub fn listed(
    summary: &Summary,
    wanted: &[CollectionRef],
) -> Result<BTreeMap<CollectionRef, Id<Commit>>, DecodeError> {
    let others = summary.collections()?;
    let mut found = BTreeMap::new();
    for (collection, name) in wanted {
        let of_others = || {
            let (_, refs) = others.iter().find(|(id, _)| id == collection.as_str())?;
            refs.iter().find(|listed| listed.name == *name)
        };
        let own = (summary.collection() == Some(collection.as_str())).then(|| summary.get(name.as_str()));
        if let Some(listed) = own.unwrap_or_else(of_others) {
            found.insert((collection.clone(), name.clone()), listed.target);
        }
    }
    Ok(found)
}

/// Takes away what is older than what another place offers of the same ref.
pub fn keep_newest<'a>(places: impl IntoIterator<Item = &'a mut BTreeMap<CollectionRef, Offer>>) {
    let mut places: Vec<_> = places.into_iter().collect();
    let mut newest: BTreeMap<CollectionRef, u64> = BTreeMap::new();
    for (name, offer) in places.iter().flat_map(|offers| offers.iter()) {
        let known = newest.entry(name.clone()).or_default();
        *known = offer.timestamp.max(*known);
    }
    for offers in &mut places {
        offers.retain(|name, offer| newest.get(name).is_none_or(|newest| offer.timestamp >= *newest));
    }
}
