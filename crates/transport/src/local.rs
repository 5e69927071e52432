//! A repository directory as a remote.
use crate::{FetchError, Limits, Range, Remote, Response};
use async_trait::async_trait;
use sapwood_fsio::Dir;

/// An archive repository in a directory of this machine.
#[derive(Debug)]
pub struct DirRemote {
    dir: Dir,
    name: String,
}
impl DirRemote {
    /// The repository in `dir`; `name` is what messages call it, such as its path.
    pub fn new(dir: Dir, name: impl Into<String>) -> Self {
        Self { dir, name: name.into() }
    }
}
#[async_trait]
impl Remote for DirRemote {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        todo!()
    }
    fn describe(&self) -> String {
        self.name.clone()
    }
}
