//! A remote whose objects are elsewhere (`contenturl`).

use crate::{FetchError, Limits, Range, Remote, Response};
use async_trait::async_trait;
use std::sync::Arc;

/// Objects and deltas from one remote, everything else from another.
#[derive(Debug, Clone)]
pub struct SplitRemote {
    /// Where refs, summary and configuration are.
    pub meta: Arc<dyn Remote>,
    /// Where objects and deltas are.
    pub content: Arc<dyn Remote>,
}

#[async_trait]
impl Remote for SplitRemote {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let content = path.starts_with("objects/") || path.starts_with("deltas/");
        let from = if content { &self.content } else { &self.meta };
        from.get(path, range, limits).await
    }

    fn describe(&self) -> String {
        self.meta.describe()
    }
}
