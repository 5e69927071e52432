//! By which SELinux policy `commit` labels what it records: that of `--selinux-policy`, or that of its own base.

use super::Args;
use super::source::{Source, parse};
use crate::ctx::open_dir;
use crate::report::usage;
use anyhow::Context as _;
use sapwood_repo::Repo;
use sapwood_repo::selinux::{LabelEpoch, Labels, Policy};
use std::path::Path;
use std::sync::Arc;

/// How what is recorded is labelled; not at all where no policy is asked for, or where there is none.
pub(super) fn labels(args: &Args, repo: &Repo) -> anyhow::Result<Option<Labels>> {
    let policy = match (&args.selinux_policy, args.selinux_policy_from_base) {
        (Some(_), true) => {
            return Err(usage("Cannot specify both --selinux-policy and --selinux-policy-from-base"));
        }
        (Some(path), false) => of_dir(path).with_context(|| format!("selinux-policy: {}", path.display()))?,
        (None, true) => of_base(args, repo)?,
        (None, false) => None,
    };
    let epoch = if args.selinux_labeling_epoch == 0 { LabelEpoch::Zero } else { LabelEpoch::One };
    Ok(policy.map(|policy| Labels { policy: Arc::new(policy), epoch, prefix: String::new() }))
}

/// The policy of `--base`, else of the first `--tree`, else of the directory that is recorded.
fn of_base(args: &Args, repo: &Repo) -> anyhow::Result<Option<Policy>> {
    let of_commit = |revision: &str| -> anyhow::Result<Option<Policy>> {
        let policy = repo.policy_of(repo.root(repo.resolve(revision)?)?);
        policy.with_context(|| format!("selinux-policy-from-base: {revision}"))
    };
    if let Some(revision) = &args.base {
        return of_commit(revision);
    }
    let first = match args.tree.first() {
        Some(spec) => parse(spec)?,
        None => Source::Dir(args.path.as_deref().unwrap_or(Path::new("."))),
    };
    match first {
        Source::Dir(path) => {
            of_dir(path).with_context(|| format!("selinux-policy-from-base: {}", path.display()))
        }
        Source::Ref(revision) => of_commit(revision),
        // It is read once only, and the policy may come last in it.
        Source::Tar(_) => Err(usage("Cannot use --selinux-policy-from-base with tar")),
    }
}

fn of_dir(path: &Path) -> anyhow::Result<Option<Policy>> {
    Ok(Policy::of_dir(&open_dir(path)?)?)
}
