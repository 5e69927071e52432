//! Where refs were when a pull began, before it asked the remote where its refs are.
//!
//! Refs move only from there. So a pull that stalls between hearing of a commit and finding out what is here takes back
//! nothing that another has brought meanwhile.

use super::options::{PullOptions, RefsInto, Wanted};
use crate::PullError;
use sapwood_objstore::{Commit, Id};
use sapwood_repo::{Refspec, Repo};
use std::collections::HashMap;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Before {
    targets: HashMap<Refspec, Id<Commit>>,
}

impl Before {
    /// Reads those refs that the pull may set.
    pub(super) fn of(repo: &Repo, options: &PullOptions) -> Result<Self, PullError> {
        let named = options.wanted.iter().filter_map(|wanted| match wanted {
            Wanted::Ref(name) | Wanted::RefAt(name, _) => Some(name.clone()),
            Wanted::Commit(_) => None,
        });
        let named: Vec<Refspec> = match &options.into {
            RefsInto::Heads => named.map(Refspec::local).collect(),
            RefsInto::Remote(remote) => named.map(|name| Refspec::of_remote(remote.clone(), name)).collect(),
            // Which collection the remote is of is not known yet.
            RefsInto::Mirror => Vec::new(),
        };
        let mut targets = HashMap::new();
        if options.wanted.is_empty() || options.into == RefsInto::Mirror {
            targets.extend(repo.ref_targets()?);
        }
        for name in named {
            if let Some(target) = repo.ref_target(&name)? {
                targets.insert(name, target);
            }
        }
        Ok(Self { targets })
    }

    /// Where a ref was.
    ///
    /// # Errors
    /// If it cannot be told as the ref is damaged.
    pub(super) fn target(&self, repo: &Repo, name: &Refspec) -> Result<Option<Id<Commit>>, PullError> {
        let target = self.targets.get(name).copied();
        if target.is_none() {
            repo.ref_target(name)?;
        }
        Ok(target)
    }
}
