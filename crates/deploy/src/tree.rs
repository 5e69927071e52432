//! The tree of a new deployment: checked out, with an `/etc` of its own.
//!
//! It is made where it will be. A crash leaves a part of it, which no boot entry names: the next run removes it.

use crate::deployment::DeploymentId;
use crate::{Error, Result, Sysroot, layout};
use sapwood_etcmerge::{
    self as etcmerge, Change, ChangeKind, Conflict, NotKept, Policy, ScanOptions, Sides, Skipped, Snapshot,
};
use sapwood_fsio::{self as fsio, Dir};
use sapwood_objstore::{Commit, Id, LinkPolicy, Mode};
use sapwood_repo::{Checkout, CheckoutEvent, CheckoutOptions, Node, Ownership, Root, TreePath};
use std::collections::BTreeSet;
use std::path::Path;

/// Where a commit has the defaults of `/etc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defaults {
    /// In `/usr/etc`; there may be an empty `/etc`.
    UsrEtc,
    /// In `/etc`, from where they are moved.
    Etc,
    Nowhere,
}

const ETC: &str = "etc";
const USR_ETC: &str = "usr/etc";

/// What is at a path of a commit.
pub(crate) fn lookup(sysroot: &Sysroot, root: Root, path: &TreePath) -> Result<Option<Node>> {
    match sysroot.repo().lookup(root, path) {
        Ok(node) => Ok(Some(node)),
        Err(sapwood_repo::Error::NoSuchPath { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Checks out a tree, or a part of it, as its owner if the sysroot can have foreign owners, else as the user.
pub(crate) fn checkout(
    sysroot: &Sysroot,
    root: Root,
    subpath: Option<&TreePath>,
    parent: &Dir,
    name: &Path,
    links: LinkPolicy,
    on_files: &(dyn Fn(u64) + Sync),
) -> Result<()> {
    let ownership =
        match sysroot.repo().store().mode() {
            Mode::Bare => Ownership::Full,
            Mode::BareUserOnly => Ownership::User,
            Mode::BareUser | Mode::Archive | Mode::BareSplitXattrs => {
                if rustix::process::geteuid().is_root() { Ownership::Full } else { Ownership::User }
            }
        };
    let options =
        CheckoutOptions { ownership, links, passthrough_whiteouts: true, ..CheckoutOptions::default() };
    let on_event = |event: CheckoutEvent| {
        let CheckoutEvent::Files { files } = event else { return };
        on_files(files);
    };
    sysroot.repo().checkout(&Checkout { root, subpath }, parent, name, &options, &on_event)?;
    Ok(())
}

fn defaults(sysroot: &Sysroot, commit: Id<Commit>, root: Root) -> Result<Defaults> {
    let etc = lookup(sysroot, root, &TreePath::parse(ETC)?)?;
    let usr_etc = lookup(sysroot, root, &TreePath::parse(USR_ETC)?)?;
    let empty = match &etc {
        None => true,
        Some(Node::File(_)) => false,
        Some(Node::Dir(dir)) => {
            let tree = sysroot.repo().store().load(dir.tree)?;
            tree.files().is_empty() && tree.dirs().is_empty()
        }
    };
    match (etc, usr_etc) {
        (_, Some(_)) if empty => Ok(Defaults::UsrEtc),
        (_, Some(_)) => Err(Error::TwoEtcs { commit: commit.to_hex() }),
        (Some(_), None) => Ok(Defaults::Etc),
        (None, None) => Ok(Defaults::Nowhere),
    }
}

/// Makes the tree of a deployment, with the defaults as its `/etc`. Not durable yet.
pub(crate) fn install(
    sysroot: &Sysroot,
    id: &DeploymentId,
    root: Root,
    on_files: &(dyn Fn(u64) + Sync),
) -> Result<Dir> {
    let defaults = defaults(sysroot, id.commit, root)?;
    let parent = fsio::ensure_dir(sysroot.root(), layout::deployments_dir(&id.stateroot), 0o755)?;
    let name = id.dir_name();
    checkout(sysroot, root, None, &parent, Path::new(&name), LinkPolicy::Prefer, on_files)?;
    let tree = fsio::open_dir(&parent, &name)?;
    match defaults {
        Defaults::Nowhere => return Ok(tree),
        Defaults::UsrEtc => {
            if fsio::stat_optional(&tree, ETC)?.is_some() {
                fsio::remove_dir(&tree, ETC)?;
            }
        }
        Defaults::Etc => {
            fsio::ensure_dir(&tree, "usr", 0o755)?;
            fsio::rename(&tree, ETC, &tree, USR_ETC)?;
        }
    }
    new_etc(sysroot, &tree, root, defaults)?;
    Ok(tree)
}

/// Copies the defaults, since an administrator may write into these files.
fn new_etc(sysroot: &Sysroot, tree: &Dir, root: Root, defaults: Defaults) -> Result<()> {
    let from = match defaults {
        Defaults::Nowhere => return Ok(()),
        Defaults::UsrEtc => USR_ETC,
        Defaults::Etc => ETC,
    };
    let from = TreePath::parse(from)?;
    checkout(sysroot, root, Some(&from), tree, Path::new(ETC), LinkPolicy::Copy, &|_| {})?;
    fsio::remove_file_optional(tree, format!("{ETC}/.updated"))?;
    Ok(())
}

/// Makes the `/etc` of a deployment as new again, whatever is in it.
pub(crate) fn renew_etc(sysroot: &Sysroot, id: &DeploymentId) -> Result<()> {
    let root = sysroot.repo().root(id.commit)?;
    let defaults = defaults(sysroot, id.commit, root)?;
    let tree = sysroot.deployment_dir(id)?;
    fsio::set_immutable(&tree, false)?;
    fsio::remove_tree(&tree, ETC)?;
    new_etc(sysroot, &tree, root, defaults)
}

/// What a merge came to.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) changed: Changed,
    pub(crate) copies: usize,
    pub(crate) removals: usize,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) not_kept: Vec<NotKept>,
}

/// What an administrator changed, counted as OSTree counts it: a removed directory is one change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Changed {
    pub(crate) modified: usize,
    pub(crate) removed: usize,
    pub(crate) added: usize,
}

fn count(changes: &[Change]) -> Changed {
    let mut counted = Changed::default();
    let removed: BTreeSet<&Path> =
        changes.iter().filter(|c| c.kind == ChangeKind::Removed).map(|c| c.path.as_path()).collect();
    for change in changes.iter().filter(|change| !change.path.as_os_str().is_empty()) {
        match change.kind {
            ChangeKind::Modified => counted.modified += 1,
            ChangeKind::Added => counted.added += 1,
            ChangeKind::Removed => {
                let with_its_parent = change.path.parent().is_some_and(|parent| removed.contains(parent));
                counted.removed += usize::from(!with_its_parent);
            }
        }
    }
    counted
}

/// Takes over what was changed in the `/etc` of another deployment, which is only read.
pub(crate) fn merge_etc(
    sysroot: &Sysroot,
    from: &DeploymentId,
    to: &DeploymentId,
    policy: Policy,
    before_apply: &dyn Fn(&Merged),
) -> Result<Merged> {
    let failed = |source| Error::Merge { deployment: to.clone(), source: Box::new(source) };
    let old = sysroot.deployment_dir(from)?;
    let new = sysroot.deployment_dir(to)?;
    let Some(local) = fsio::open_dir_optional(&old, ETC)? else { return Ok(Merged::default()) };
    let options = ScanOptions::default();
    let scan = |dir: Option<&Dir>| match dir {
        Some(dir) => etcmerge::scan(dir, &options).map_err(failed),
        None => Ok(Snapshot::default()),
    };
    let new_defaults = fsio::open_dir_optional(&new, USR_ETC)?;
    let base = scan(fsio::open_dir_optional(&old, USR_ETC)?.as_ref())?;
    let ours = scan(Some(&local))?;
    let theirs = scan(new_defaults.as_ref())?;
    let plan = etcmerge::plan(Sides { base: &base, ours: &ours, theirs: &theirs }, policy);
    let mut merged = Merged {
        changed: count(&etcmerge::diff(&base, &ours)),
        copies: plan.copies(),
        removals: plan.removals(),
        conflicts: plan.conflicts.clone(),
        skipped: plan.skipped.clone(),
        not_kept: Vec::new(),
    };
    before_apply(&merged);
    let target = fsio::ensure_dir(&new, ETC, 0o755)?;
    let applied =
        etcmerge::apply(&plan, &local, &target, new_defaults.as_ref().unwrap_or(&target)).map_err(failed)?;
    merged.not_kept = applied.not_kept;
    Ok(merged)
}
