//! What will be checked out, and how; found out before anything is written.

use super::{Checkout, CheckoutOptions, Devices, Ownership};
use crate::{Error, Node, Repo, Result, Root};
use sapwood_objstore::{FileEntry, LinkPolicy, Mode};

/// A checkout that this repository can make.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) what: What,
    /// With the ownership that is really used.
    pub(crate) options: CheckoutOptions,
}

/// What is at the path to be checked out.
#[derive(Debug)]
pub(crate) enum What {
    Dir(Root),
    File(FileEntry),
}

pub(super) fn plan(
    repo: &Repo,
    from: &Checkout<'_>,
    options: &CheckoutOptions,
    devices: Devices,
) -> Result<Plan> {
    let what = match from.subpath.map(|path| repo.lookup(from.root, path)).transpose()? {
        None => What::Dir(from.root),
        Some(Node::Dir(root)) => What::Dir(root),
        Some(Node::File(entry)) => What::File(entry),
    };
    let mut options = options.clone();
    let mode = repo.store().mode();
    if mode == Mode::BareUserOnly {
        options.ownership = Ownership::User;
        options.limit_dir_modes = true;
    }
    let Devices { repo: from, destination: to } = devices;
    if options.links == LinkPolicy::Require && from != to {
        return Err(Error::OtherDevice { repo: from, destination: to });
    }
    if options.ownership == Ownership::User {
        options.labels = None;
    } else if options.labels.is_some() {
        options.links = LinkPolicy::Copy;
    }
    options.use_cache &=
        from == to && options.links == LinkPolicy::Prefer && options.ownership == Ownership::User;
    Ok(Plan { what, options })
}
