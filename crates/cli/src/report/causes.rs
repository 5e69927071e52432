//! What a failure comes of, error by error.
//!
//! The chain of sources alone does not do: an error that shows as the one it holds leaves that one out, and one in a box is
//! found there as the box. Here each link is the error inside.

use sapwood_deploy::Error as DeployError;
use sapwood_objstore::Error as StoreError;
use sapwood_repo::Error as RepoError;
use sapwood_transport::{FetchError, PullError};
use std::error::Error;

/// An error, as the standard library's chain has it.
type Link = dyn Error + 'static;

/// All that a failure comes of, the outermost error first.
pub(crate) fn causes(error: &anyhow::Error) -> impl Iterator<Item = &Link> {
    error.chain().map(|link| {
        let mut link = link;
        while let Some(inner) = inside(link) {
            link = inner;
        }
        link
    })
}

/// The error that one holds and shows as.
fn inside(link: &Link) -> Option<&Link> {
    // Every error that something is known of, and that another can hold.
    unboxed::<StoreError>(link)
        .or_else(|| unboxed::<RepoError>(link))
        .or_else(|| unboxed::<DeployError>(link))
        .or_else(|| unboxed::<FetchError>(link))
        .or_else(|| unboxed::<PullError>(link))
        .or_else(|| match link.downcast_ref()? {
            StoreError::Lock(inner) => Some(inner),
            _ => None,
        })
        .or_else(|| match link.downcast_ref()? {
            RepoError::Store(inner) => Some(inner),
            RepoError::Lock(inner) => Some(inner),
            RepoError::NotFresh(inner) => Some(inner),
            _ => None,
        })
        .or_else(|| match link.downcast_ref()? {
            DeployError::Repo(inner) => Some(inner),
            DeployError::Store(inner) => Some(inner),
            DeployError::Lock(inner) => Some(inner),
            _ => None,
        })
        .or_else(|| match link.downcast_ref()? {
            PullError::Repo(inner) => Some(inner),
            _ => None,
        })
        // What failed while it was read through somebody else's code.
        .or_else(|| Some(link.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<StoreError>()?))
}

/// What is in a box.
fn unboxed<E: Error + 'static>(link: &Link) -> Option<&Link> {
    Some(&**link.downcast_ref::<Box<E>>()?)
}
