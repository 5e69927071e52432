//! The `/etc` of a deployment: made of the defaults of its commit, and merged with the one before it.

use crate::deployment::{DeploymentId, StaterootName};
use crate::{Error, Result, Sysroot, tree};
use sapwood_etcmerge::{
    self as etcmerge, Change, ChangeKind, Conflict, MergePlan, NotKept, Policy, ScanOptions, Sides, Skipped,
    Snapshot,
};
use sapwood_fsio::{self as fsio, Dir};
use sapwood_objstore::{Commit, Id, LinkPolicy};
use sapwood_repo::{Node, Root, TreePath};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where a commit has the defaults of `/etc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defaults {
    /// In `/usr/etc`; there may be an empty `/etc`.
    UsrEtc,
    /// In `/etc`, from where they are moved.
    Etc,
    Nowhere,
}

impl Defaults {
    /// Where, from the top of the commit on.
    fn path(self) -> Option<&'static str> {
        match self {
            Self::Nowhere => None,
            Self::UsrEtc => Some(USR_ETC),
            Self::Etc => Some(ETC),
        }
    }
}

pub(crate) const ETC: &str = "etc";
pub(crate) const USR_ETC: &str = "usr/etc";

pub(crate) fn defaults(sysroot: &Sysroot, commit: Id<Commit>, root: Root) -> Result<Defaults> {
    let etc = tree::lookup(sysroot, root, &TreePath::parse(ETC)?)?;
    let usr_etc = tree::lookup(sysroot, root, &TreePath::parse(USR_ETC)?)?;
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

/// The tree of the defaults.
pub(crate) fn defaults_root(sysroot: &Sysroot, commit: Id<Commit>, root: Root) -> Result<Option<Root>> {
    let Some(path) = defaults(sysroot, commit, root)?.path() else { return Ok(None) };
    Ok(match tree::lookup(sysroot, root, &TreePath::parse(path)?)? {
        Some(Node::Dir(root)) => Some(root),
        _ => None,
    })
}

/// Copies the defaults, since an administrator may write into these files.
pub(crate) fn create(sysroot: &Sysroot, tree: &Dir, root: Root, defaults: Defaults) -> Result<()> {
    lay_out(sysroot, tree, root, defaults, LinkPolicy::Copy)?;
    fsio::remove_file_optional(tree, format!("{ETC}/.updated"))?;
    Ok(())
}

/// Lays out the defaults as `etc` in `dir`, if there are any.
fn lay_out(sysroot: &Sysroot, dir: &Dir, root: Root, defaults: Defaults, links: LinkPolicy) -> Result<()> {
    let Some(from) = defaults.path() else { return Ok(()) };
    let from = TreePath::parse(from)?;
    tree::checkout(sysroot, root, Some(&from), dir, Path::new(ETC), links, &|_| {})
}

/// Makes the `/etc` of a deployment as new again, whatever is in it.
pub(crate) fn recreate(sysroot: &Sysroot, id: &DeploymentId) -> Result<()> {
    let root = sysroot.repo().root(id.commit)?;
    let defaults = defaults(sysroot, id.commit, root)?;
    let tree = sysroot.deployment_dir(id)?;
    fsio::set_immutable(&tree, false)?;
    fsio::remove_tree(&tree, ETC)?;
    create(sysroot, &tree, root, defaults)
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
    pub(crate) uncombined_policy: Option<PathBuf>,
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

/// Whether a file in `/etc` is an SELinux policy as the kernel takes it, which is made of many modules.
fn is_compiled_policy(path: &Path) -> bool {
    let mut parts = path.components().map(|part| part.as_os_str().as_bytes());
    let shape = (parts.next(), parts.next().is_some(), parts.next(), parts.next());
    matches!(shape, (Some(b"selinux"), true, Some(b"policy"), Some(name)) if name.starts_with(b"policy."))
}

/// A compiled policy that was changed locally, where the new defaults have another one, too: whichever is taken lacks what
/// the other one has.
fn uncombined_policy(changes: &[Change], trees: &Trees) -> Option<PathBuf> {
    let compiled = |changes: &[Change]| {
        changes.iter().map(|change| &change.path).find(|path| is_compiled_policy(path)).cloned()
    };
    compiled(changes).filter(|_| compiled(&etcmerge::diff(&trees.base, &trees.theirs)).is_some())
}

/// The three trees of a merge, as they are now.
struct Trees {
    base: Snapshot,
    ours: Snapshot,
    theirs: Snapshot,
}

impl Trees {
    /// Reads them, as far as they are there.
    fn scan(
        base: Option<&Dir>,
        local: &Dir,
        new_defaults: Option<&Dir>,
    ) -> std::result::Result<Self, etcmerge::Error> {
        let options = ScanOptions::default();
        let scan = |dir: Option<&Dir>| match dir {
            Some(dir) => etcmerge::scan(dir, &options),
            None => Ok(Snapshot::default()),
        };
        Ok(Self { base: scan(base)?, ours: scan(Some(local))?, theirs: scan(new_defaults)? })
    }

    fn sides(&self) -> Sides<'_> {
        Sides { base: &self.base, ours: &self.ours, theirs: &self.theirs }
    }
}

/// Takes over what was changed in the `/etc` of another deployment, which is only read.
pub(crate) fn merge(
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
    let new_defaults = fsio::open_dir_optional(&new, USR_ETC)?;
    let base = fsio::open_dir_optional(&old, USR_ETC)?;
    let trees = Trees::scan(base.as_ref(), &local, new_defaults.as_ref()).map_err(failed)?;
    let plan = etcmerge::plan(trees.sides(), policy);
    let changes = etcmerge::diff(&trees.base, &trees.ours);
    let mut merged = Merged {
        changed: count(&changes),
        copies: plan.copies(),
        removals: plan.removals(),
        conflicts: plan.conflicts.clone(),
        skipped: plan.skipped.clone(),
        not_kept: Vec::new(),
        uncombined_policy: uncombined_policy(&changes, &trees),
    };
    before_apply(&merged);
    let target = fsio::ensure_dir(&new, ETC, 0o755)?;
    let applied =
        etcmerge::apply(&plan, &local, &target, new_defaults.as_ref().unwrap_or(&target)).map_err(failed)?;
    merged.not_kept = applied.not_kept;
    Ok(merged)
}

/// What deploying a commit would make of an `/etc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergePreview {
    /// The deployment whose `/etc` would be taken over.
    pub from: DeploymentId,
    /// The commit whose defaults it would be merged with.
    pub commit: Id<Commit>,
    /// In what the new `/etc` would differ from that of [`from`](Self::from) as it is now, sorted by path.
    pub changes: Vec<Change>,
    /// Where the two contradict each other, and what would be done.
    pub conflicts: Vec<Conflict>,
    /// Local fifos, sockets and devices that would be left behind.
    pub skipped: Vec<Skipped>,
}

impl Sysroot {
    /// Finds out what [`deploy`](crate::Locked::deploy) of a commit would do to the `/etc` of a stateroot. No deployment is
    /// touched, and nothing is left behind: the new defaults are laid out in the repository's directory for what is
    /// temporary, and removed again (where the process is killed, by a later clean-up of the repository).
    ///
    /// # Errors
    /// [`Error::NothingDeployed`]; [`Error::TwoEtcs`]; [`Error::Preview`] where a tree cannot be read; or when the commit is
    /// not here, or its defaults cannot be laid out.
    pub fn preview_merge(
        &self,
        stateroot: &StaterootName,
        commit: Id<Commit>,
        policy: Policy,
    ) -> Result<MergePreview> {
        let from = self.merge_deployment(stateroot)?;
        let from = from.ok_or_else(|| Error::NothingDeployed { name: stateroot.clone() })?.id;
        let failed = |source| Error::Preview { commit: commit.to_hex(), source: Box::new(source) };
        let old = self.deployment_dir(&from)?;
        let Some(local) = fsio::open_dir_optional(&old, ETC)? else {
            let (changes, conflicts, skipped) = Default::default();
            return Ok(MergePreview { from, commit, changes, conflicts, skipped });
        };
        let scratch = Scratch::create(self)?;
        let root = self.repo().root(commit)?;
        lay_out(self, &scratch.dir, root, defaults(self, commit, root)?, LinkPolicy::Prefer)?;
        let new_defaults = fsio::open_dir_optional(&scratch.dir, ETC)?;
        let base = fsio::open_dir_optional(&old, USR_ETC)?;
        let trees = Trees::scan(base.as_ref(), &local, new_defaults.as_ref()).map_err(failed)?;
        let MergePlan { conflicts, skipped, .. } = etcmerge::plan(trees.sides(), policy);
        let changes = etcmerge::diff(&trees.ours, &etcmerge::merged(trees.sides(), policy));
        Ok(MergePreview { from, commit, changes, conflicts, skipped })
    }
}

/// A directory in the repository's one for what is temporary, gone when this is dropped.
struct Scratch<'a> {
    sysroot: &'a Sysroot,
    name: String,
    dir: Dir,
}

impl<'a> Scratch<'a> {
    fn create(sysroot: &'a Sysroot) -> Result<Self> {
        let repo = sysroot.repo().dir();
        drop(fsio::ensure_dir(repo, "tmp", 0o755)?);
        let mut attempt = 0_u32;
        loop {
            let name = format!("tmp/etc-preview-{}-{attempt}", std::process::id());
            match fsio::create_dir(repo, &name, 0o700) {
                Ok(dir) => return Ok(Self { sysroot, name, dir }),
                // A process of the same number may have been killed.
                Err(error) if error.is_exists() && attempt < 1000 => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Err(error) = fsio::remove_tree(self.sysroot.repo().dir(), &self.name) {
            tracing::debug!(%error, "a scratch directory stays for the next clean-up of the repository");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_selinux_policy_is_told_from_what_it_is_made_of() {
        let is = |path: &str| is_compiled_policy(Path::new(path));
        assert!(is("selinux/targeted/policy/policy.33"));
        for other in [
            "selinux/config",
            "selinux/targeted/policy",
            "selinux/targeted/active/modules/100/base/cil",
            "other/targeted/policy/policy.33",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
