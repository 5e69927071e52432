//! What a deployment follows: a ref, or one commit.

use crate::Result;
use sapwood_objstore::{Commit, Id, ObjectId};
use sapwood_repo::{Namespace, Refspec, RemoteName};
use std::fmt;

/// What a deployment follows, as its origin writes it: `REF`, `REMOTE:REF`, `COMMIT` or `REMOTE:COMMIT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A ref: what it points to is deployed by an upgrade.
    Ref(Refspec),
    /// A commit: there is never anything newer.
    Commit {
        /// The commit.
        commit: Id<Commit>,
        /// Where it is pulled from, if it is not here.
        remote: Option<RemoteName>,
    },
}

impl Followed {
    /// Reads it. The whole id of a commit is that commit, whatever refs there are: none can have such a name.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self> {
        let (remote, name) = match text.split_once(':') {
            Some((remote, name)) => (Some(remote), name),
            None => (None, text),
        };
        let Ok(commit) = ObjectId::from_hex(name) else {
            return Ok(Self::Ref(Refspec::parse(text).map_err(sapwood_repo::Error::from)?));
        };
        let remote = remote.map(RemoteName::new).transpose().map_err(sapwood_repo::Error::from)?;
        Ok(Self::Commit { commit: Id::new(commit), remote })
    }

    /// The remote that it is of.
    pub fn remote(&self) -> Option<&RemoteName> {
        match self {
            Self::Ref(refspec) => refspec.remote(),
            Self::Commit { remote, .. } => remote.as_ref(),
        }
    }

    /// The ref, or the commit's id, without the remote.
    pub fn name(&self) -> String {
        match self {
            Self::Ref(refspec) => refspec.name.to_string(),
            Self::Commit { commit, .. } => commit.to_hex(),
        }
    }

    /// The same of the remote of `other`, where it is of none itself.
    pub(crate) fn or_of(self, other: &Self) -> Self {
        match (self, other.remote()) {
            (Self::Ref(refspec), Some(remote)) if refspec.is_local() => {
                Self::Ref(Refspec { namespace: Namespace::Remote(remote.clone()), ..refspec })
            }
            (Self::Commit { commit, remote: None }, Some(remote)) => {
                Self::Commit { commit, remote: Some(remote.clone()) }
            }
            (own, _) => own,
        }
    }
}

impl fmt::Display for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ref(refspec) => refspec.fmt(f),
            Self::Commit { commit, remote: Some(remote) } => write!(f, "{remote}:{}", commit.to_hex()),
            Self::Commit { commit, remote: None } => f.write_str(&commit.to_hex()),
        }
    }
}
