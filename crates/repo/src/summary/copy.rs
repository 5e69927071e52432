//! A summary as another repository has it, kept for that one's clients: the part of a mirror that is not objects.

use super::SUMMARY;
use crate::statement::{StatementFile, check_summary};
use crate::{Error, Repo, Result};
use sapwood_objstore::Format;

/// Files of another repository, as they came.
#[derive(Debug, Clone, Copy)]
pub struct SummaryCopy<'a> {
    /// The summary.
    pub summary: &'a [u8],
    /// Its signatures.
    pub signatures: Option<&'a [u8]>,
    /// What the publishers state.
    pub statement: Option<&'a [u8]>,
}

/// Which summary a repository had at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryState(Option<[u8; 32]>);

impl SummaryState {
    pub(super) fn of(summary: &[u8]) -> Self {
        Self(Some(*blake3::hash(summary).as_bytes()))
    }
}

impl Repo {
    /// Which summary is here now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn summary_state(&self) -> Result<SummaryState> {
        let bytes = sapwood_fsio::read_optional(self.dir(), SUMMARY, Format::MAX_META_BYTES)?;
        Ok(bytes.map_or(SummaryState(None), |bytes| SummaryState::of(&bytes)))
    }

    /// Whether these can be kept here, beside the statement that may be here.
    ///
    /// # Errors
    /// [`Error::OwnStatement`] where what is stated here would be of another summary, and what comes is not its successor;
    /// [`Error::Statement`], [`Error::Io`].
    pub fn check_summary_copy(&self, copy: &SummaryCopy<'_>) -> Result<()> {
        self.fitting_statement(copy).map(drop)
    }

    /// Keeps them, durably; what is here already stays as it is. Where the summary is another, the old signatures go first: they
    /// would not fit it. What is stated of it comes last, and only if it is about this summary: clients would refuse anything
    /// else. Whose statement it is they find out.
    ///
    /// The summary here must be the one that was here `before` the copied one was fetched, or the copied one already: else it
    /// may be newer.
    ///
    /// # Errors
    /// [`Error::SummaryMoved`] where it is not; as [`check_summary_copy`](Self::check_summary_copy); [`Error::NewerFormat`] where
    /// the repository can only be read; [`Error::Lock`]. Then all is as it was, unless the disk failed.
    pub fn copy_summary(&self, copy: &SummaryCopy<'_>, before: &SummaryState) -> Result<()> {
        self.config().check_writable()?;
        let _lock = self.lock_refs()?;
        let now = self.summary_state()?;
        if now != *before && now != SummaryState::of(copy.summary) {
            return Err(Error::SummaryMoved);
        }
        let statement = self.fitting_statement(copy)?;
        self.put_summary(&SummaryCopy { statement, ..*copy })
    }

    /// The statement that comes, if it fits.
    fn fitting_statement<'a>(&self, copy: &SummaryCopy<'a>) -> Result<Option<&'a [u8]>> {
        let fits = |file: &StatementFile| {
            file.is_stated()
                && file.statement().is_some_and(|said| check_summary(said, Some(copy.summary)).is_ok())
        };
        let theirs = copy.statement.map(StatementFile::decode).and_then(|decoded| {
            decoded.inspect_err(|error| tracing::warn!(%error, "the remote's statement is not kept")).ok()
        });
        let theirs = theirs.filter(fits);
        match (self.statement()?, &theirs) {
            (None, None) => Ok(None),
            (None, Some(_)) => Ok(copy.statement),
            (Some(ours), Some(theirs)) if theirs.follows(&ours) => Ok(copy.statement),
            (Some(ours), None) if fits(&ours) => Ok(None),
            (Some(_), _) => Err(Error::OwnStatement),
        }
    }
}
