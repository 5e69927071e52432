//! Fetching closures. Whatever is wrong with one, the pull goes on without it.

use super::net::Net;
use super::worker::News;
use crate::{FetchError, Limits, Response};
use bytes::{Bytes, BytesMut};
use sapwood_objstore::{Commit, DecodeError, Id};
use sapwood_repo::{ClosureDirs, ClosureFile, ClosureHead, closure_path};
use std::sync::{Arc, PoisonError};

/// Largest compressed list of directories that is taken, in bytes: it has more than a million of them.
const MAX_DIRS_BYTES: u64 = 40 << 20;

/// Why a closure is of no use.
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    #[error("its directories are {bytes} bytes, which is more than the limit of {MAX_DIRS_BYTES} bytes")]
    TooLarge { bytes: u64 },
    #[error("with those of other commits it has more files than the limit of {limit}")]
    TooMany { limit: u64 },
}

impl Net {
    /// Fetches the part of a commit's closure that tells its directories and passes it on; `files`: the rest too.
    ///
    /// The rest is by far the larger part, and who updates needs little of it: the connection is given up instead.
    pub(super) async fn closure(self: Arc<Self>, commit: Id<Commit>, files: bool) {
        if let Err(error) = self.read_closure(commit, files).await {
            tracing::warn!(%commit, %error, "no closure");
        }
        drop(self.news.send(News::ClosureEnds));
    }

    async fn read_closure(&self, commit: Id<Commit>, files: bool) -> Result<(), Useless> {
        // Twice: compressed, no frame is much larger than what it holds.
        let limits = Limits { max_bytes: self.limits.max_meta_bytes.saturating_mul(2) };
        let Some(mut response) = self.get(&closure_path(commit), None, limits).await? else { return Ok(()) };
        let mut rest = BytesMut::new();
        let head = self.up_to(&mut response, &mut rest, ClosureHead::BYTES as u64).await?;
        let head = head.first_chunk().ok_or(DecodeError { offset: 0, what: "ends too early" })?;
        let frame_bytes = ClosureHead::decode(*head)?.dirs_end() - ClosureHead::BYTES as u64;
        if frame_bytes > MAX_DIRS_BYTES {
            return Err(Useless::TooLarge { bytes: frame_bytes });
        }
        let frame = self.up_to(&mut response, &mut rest, frame_bytes).await?;
        let dirs = tokio::task::block_in_place(|| ClosureDirs::decode(&frame))?;
        // Nobody listens if the pull has ended.
        drop(self.news.send(News::Closure(commit, dirs)));
        if files {
            let frame = self.up_to(&mut response, &mut rest, u64::MAX).await?;
            let files = tokio::task::block_in_place(|| ClosureFile::decode_all(&frame))?;
            let mut known = self.file_bytes.lock().unwrap_or_else(PoisonError::into_inner);
            if (known.len() + files.len()) as u64 > self.limits.max_objects {
                return Err(Useless::TooMany { limit: self.limits.max_objects });
            }
            known.extend(files.iter().map(|file| (file.id.raw(), file.stored_bytes)));
        }
        Ok(())
    }

    /// The next bytes of a body, as many as are asked for or there are; `rest` is what came and was not asked for yet.
    async fn up_to(
        &self,
        response: &mut Response,
        rest: &mut BytesMut,
        wanted: u64,
    ) -> Result<Bytes, FetchError> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        while rest.len() < wanted {
            let Some(more) = self.traffic.chunk(response).await? else { break };
            rest.extend_from_slice(&more);
        }
        Ok(rest.split_to(wanted.min(rest.len())).freeze())
    }
}
