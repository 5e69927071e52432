//! Writing a new list of deployments: new beside old, durable, one rename, durable.

use crate::plan::Change;

/// How a list was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// What was switched.
    pub change: Change,
    /// How many deployments there were before.
    pub before: usize,
    /// How many there are now.
    pub after: usize,
}
