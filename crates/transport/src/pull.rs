//! Pulling: refs and all they reach, from a remote or from another repository of this machine.

mod events;
mod options;

pub use events::{Progress, PullEvent, PullOutcome, RefUpdate};
pub use options::{Bindings, PullLimits, PullOptions, RefsInto, Scope, Trust, Wanted};

use crate::{PullError, Remote};
use sapwood_objstore::{Commit, Format, Id};
use sapwood_repo::{RefName, Repo, Summary};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Pulls from a remote.
///
/// Blocks; must not be called from a task of `runtime`, which does the networking and needs timers and I/O enabled.
/// Refs move last, when all they reach is durable. After an error or a kill at any moment no ref has moved, and the
/// next pull takes up what had arrived.
///
/// # Errors
/// See [`PullError`].
pub fn pull(
    runtime: &Handle,
    repo: &Repo,
    remote: Arc<dyn Remote>,
    options: &PullOptions,
    on_event: &(dyn Fn(PullEvent<'_>) + Sync),
) -> Result<PullOutcome, PullError> {
    todo!()
}

/// Pulls from another repository of this machine, of the same format and any mode.
///
/// Blocks. Files are hardlinked or reflinked where both modes and `options.trust` allow. Refs move last, as in
/// [`pull`]. With nothing named all refs of `from` itself are pulled; its summary is not looked at.
///
/// # Errors
/// See [`PullError`].
pub fn pull_local(
    repo: &Repo,
    from: &Repo,
    options: &PullOptions,
    on_event: &(dyn Fn(PullEvent<'_>) + Sync),
) -> Result<PullOutcome, PullError> {
    todo!()
}

/// The remote's summary and its bytes; `None` if it has none.
///
/// # Errors
/// When it cannot be fetched, or is malformed.
pub async fn remote_summary(
    remote: &dyn Remote,
    format: Format,
) -> Result<Option<(Summary, Vec<u8>)>, PullError> {
    todo!()
}

/// The refs that the remote's summary lists.
///
/// # Errors
/// As [`remote_summary`], and [`PullError::NoSummary`].
pub async fn remote_refs(
    remote: &dyn Remote,
    format: Format,
) -> Result<Vec<(RefName, Id<Commit>)>, PullError> {
    todo!()
}
