//! Static deltas whose target commit goes. Their source is not looked at.

use crate::Result;
use crate::delta::{DELTAS, DeltaName, names_of};
use sapwood_fsio::{Dir, Kind};
use sapwood_objstore::{Commit, Id};

/// The paths of the deltas whose target is not kept. Names that are no delta's are left alone.
pub(super) fn without_target(dir: &Dir, is_kept: &dyn Fn(Id<Commit>) -> bool) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let Some(deltas) = sapwood_fsio::open_dir_optional(dir, DELTAS)? else { return Ok(found) };
    for first in names_of(&deltas, Kind::Dir)? {
        for rest in names_of(&sapwood_fsio::open_dir(&deltas, &first)?, Kind::Dir)? {
            if let Some(name) = DeltaName::from_dirs(&format!("{first}{rest}"))
                && !is_kept(name.to)
            {
                found.push(format!("{DELTAS}/{first}/{rest}"));
            }
        }
    }
    Ok(found)
}
