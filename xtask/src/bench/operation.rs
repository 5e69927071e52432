//! What is measured.

use std::time::Duration;

use crate::relay::Line;

/// What is measured, in this order: later ones use what earlier ones left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Operation {
    /// Commit the tree into an empty repository that keeps files as they are
    CommitBare,
    /// Commit the same tree into the same repository again
    CommitUnchanged,
    /// Check the commit out by hard links
    Checkout,
    /// Verify every object
    Fsck,
    /// Commit the next tree onto the same branch
    CommitNext,
    /// List what differs between the two commits
    Diff,
    /// Commit the tree into an empty repository of compressed objects
    CommitArchive,
    /// Pull the commit over loopback into an empty repository
    Pull,
    /// The same where commit and summary must be signed with GPG, and beside it where nothing is verified
    PullVerified,
    /// Pull it without verification over a line of 50 Mbit/s with a round trip of 20 ms
    PullNear,
    /// The same with a round trip of 100 ms
    PullFar,
    /// Pull the next tree over loopback into a repository that has the first
    Update,
    /// The same over a line of 50 Mbit/s with a round trip of 20 ms
    UpdateNear,
    /// The same with a round trip of 100 ms
    UpdateFar,
    /// Deploy the tree on an empty machine
    Deploy,
    /// Deploy the next tree beside it
    DeployNext,
    /// List the two deployments
    Status,
    /// Delete the first commit and what only it needs
    Prune,
}

impl Operation {
    pub(super) const ALL: [Self; 18] = [
        Self::CommitBare,
        Self::CommitUnchanged,
        Self::Checkout,
        Self::Fsck,
        Self::CommitNext,
        Self::Diff,
        Self::CommitArchive,
        Self::Pull,
        Self::PullVerified,
        Self::PullNear,
        Self::PullFar,
        Self::Update,
        Self::UpdateNear,
        Self::UpdateFar,
        Self::Deploy,
        Self::DeployNext,
        Self::Status,
        Self::Prune,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::CommitBare => "commit, bare, fresh",
            Self::CommitUnchanged => "commit, bare, unchanged tree",
            Self::Checkout => "checkout by hard links",
            Self::Fsck => "fsck, bare",
            Self::CommitNext => "commit of the next tree, bare",
            Self::Diff => "diff of the two commits",
            Self::Prune => "prune of the first commit",
            Self::CommitArchive => "commit, archive, fresh",
            Self::Pull => "initial pull, loopback",
            Self::PullVerified => "initial pull, commit and summary verified",
            Self::PullNear => "initial pull, 20 ms, 50 Mbit/s",
            Self::PullFar => "initial pull, 100 ms, 50 Mbit/s",
            Self::Update => "update, loopback",
            Self::UpdateNear => "update, 20 ms, 50 Mbit/s",
            Self::UpdateFar => "update, 100 ms, 50 Mbit/s",
            Self::Deploy => "admin deploy of the tree",
            Self::DeployNext => "admin deploy of the next tree",
            Self::Status => "admin status of the two",
        }
    }

    /// Whether it needs a second tree.
    pub(super) fn needs_next(self) -> bool {
        matches!(self, Self::CommitNext | Self::Diff | Self::Prune) || self.needs_kernel() || self.is_update()
    }

    /// Whether the trees have to be operating systems that boot.
    pub(super) fn needs_kernel(self) -> bool {
        matches!(self, Self::Deploy | Self::DeployNext | Self::Status)
    }

    /// Whether it pulls the next tree, onto the first.
    pub(super) fn is_update(self) -> bool {
        matches!(self, Self::Update | Self::UpdateNear | Self::UpdateFar)
    }

    pub(super) fn is_pull(self) -> bool {
        matches!(self, Self::Pull | Self::PullVerified | Self::PullNear | Self::PullFar) || self.is_update()
    }

    /// What lies between the machine and the server.
    pub(super) fn line(self) -> Option<Line> {
        let round_trip = match self {
            Self::PullNear | Self::UpdateNear => Duration::from_millis(20),
            Self::PullFar | Self::UpdateFar => Duration::from_millis(100),
            _ => return None,
        };
        Some(Line { round_trip, bits_per_second: 50_000_000 })
    }
}
