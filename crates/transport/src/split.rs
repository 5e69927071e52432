//! A remote whose objects are elsewhere (`contenturl`).

use crate::{FetchError, Limits, Range, Remote, Response, wire};
use async_trait::async_trait;
use std::sync::Arc;

/// Objects and deltas from one remote, everything else from another; so also what is kept beside commits, signatures
/// above all, as OSTree has it.
#[derive(Debug, Clone)]
pub struct SplitRemote {
    /// Where refs, summary and configuration are.
    pub meta: Arc<dyn Remote>,
    /// Where objects and deltas are.
    pub content: Arc<dyn Remote>,
}

impl SplitRemote {
    fn for_path(&self, path: &str) -> &dyn Remote {
        let lists_deltas = path.starts_with("delta-indexes/");
        if wire::is_immutable(path) || wire::is_of_delta(path) || lists_deltas {
            &*self.content
        } else {
            &*self.meta
        }
    }
}

#[async_trait]
impl Remote for SplitRemote {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        self.for_path(path).get(path, range, limits).await
    }

    async fn get_elsewhere(&self, path: &str, limits: Limits) -> Result<Option<Response>, FetchError> {
        self.for_path(path).get_elsewhere(path, limits).await
    }

    fn left_unread(&self, path: &str) {
        self.for_path(path).left_unread(path);
    }

    fn places(&self) -> u32 {
        self.content.places()
    }

    fn troubles(&self) -> u64 {
        self.meta.troubles() + self.content.troubles()
    }

    fn describe(&self) -> String {
        self.meta.describe()
    }
}
