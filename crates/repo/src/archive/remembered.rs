//! The memory that what is remembered of an archive may take, whoever remembers it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a name or path takes beside its bytes, about: its place in a table, and what it stands for.
const OVERHEAD_BYTES: u64 = 128;

/// Counts what is remembered of one archive until its end. Clones count together.
#[derive(Debug, Clone)]
pub struct Remembered {
    bytes: Arc<AtomicU64>,
    limit_bytes: u64,
}

impl Remembered {
    /// Nothing yet, and at most so many bytes.
    pub fn new(limit_bytes: u64) -> Self {
        Self { bytes: Arc::default(), limit_bytes }
    }

    /// Counts one more name or path of this length; whether that is within the limit.
    #[must_use = "past the limit it must not be remembered"]
    pub fn add(&self, len: usize) -> bool {
        let bytes = (len as u64).saturating_add(OVERHEAD_BYTES);
        self.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.limit_bytes
    }
}
