//! Bringing back what was lost: from a remote, or from another repository of this machine.
//!
//! The commits that need what is corrupt were marked as incomplete before. Each corrupt object stays until its replacement
//! is fetched, verified and durable, and is then swapped with it in one step. So a crash leaves the old or the new one,
//! and commits of which it is known that they are damaged, and the repair can be run again.

use crate::connect::{self, Overrides, Source};
use crate::ctx::Ctx;
use crate::trust::{self, Terms};
use sapwood_objstore::{Commit, Id, ObjectName, Trust};
use sapwood_repo::{FsckReport, Repo};
use sapwood_transport::{Bindings, PullOptions, Wanted};
use std::collections::BTreeSet;

/// What was brought back.
#[derive(Debug, Default)]
pub(super) struct Repair {
    /// Commits that are whole again, sorted.
    pub(super) repaired: Vec<Id<Commit>>,
    /// Those that are not, and why.
    pub(super) failed: Vec<(Id<Commit>, String)>,
}

/// Fetches and verifies what the commits of a report lack, each commit by itself: the source may have one and not another.
pub(super) fn repair(ctx: &Ctx, repo: &Repo, from: &str, report: &FsckReport) -> anyhow::Result<Repair> {
    let remotes = repo.remotes()?;
    let remote = remotes.iter().find(|remote| remote.name.as_str() == from);
    let lost: BTreeSet<Id<Commit>> = report
        .marked
        .iter()
        .chain(&report.damaged)
        .copied()
        .chain(report.dangling_refs.iter().map(|entry| entry.target))
        .collect();
    let corrupt: Vec<ObjectName> = report
        .findings
        .iter()
        .filter(|finding| finding.problem.is_corrupt())
        .map(|finding| finding.object)
        .collect();
    let mut repair = Repair::default();
    for commit in lost {
        let (source, terms) = match remote {
            Some(remote) => {
                connect::refuse_unconfigured(remote)?;
                (connect::source(repo, remote, &Overrides::default())?, trust::terms(repo, remote, None)?)
            }
            // What is asked for by its id needs nobody to vouch for it.
            None => (Source::Local(from.into()), Terms::default()),
        };
        let options = PullOptions {
            wanted: vec![Wanted::Commit(commit)],
            bindings: Bindings::Ignore,
            trust: Trust::Untrusted,
            replace: corrupt.clone(),
            ..PullOptions::default()
        };
        match connect::pull_from(ctx, repo, source, &[], terms, &options) {
            Ok(_) => repair.repaired.push(commit),
            Err(error) => repair.failed.push((commit, format!("{error:#}"))),
        }
    }
    Ok(repair)
}
