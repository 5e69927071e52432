//! A repository's configuration: known keys typed, everything else kept.

use crate::{CollectionId, Keyfile};
use sapwood_objstore::{Format, Mode, StoreOptions};
use std::time::Duration;

/// The configuration. Known keys are checked when it is read.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file itself.
    pub keyfile: Keyfile,
    /// From `core.repo_version` (1 is OSTree's format, 2 the native one) and, for the native format, its feature flags.
    pub format: Format,
    /// `core.mode`.
    pub mode: Mode,
    /// `core.collection-id`.
    pub collection_id: Option<CollectionId>,
    /// `core.parent`: absolute path of a repository to look into for what is missing here.
    pub parent: Option<String>,
    /// `core.tmp-expiry-secs`. Default: one day.
    pub tmp_expiry: Duration,
    /// `core.auto-update-summary` (or `core.commit-update-summary`). Default: no.
    pub auto_update_summary: bool,
    /// `core.tombstone-commits`. Default: no.
    pub tombstones: bool,
    /// Set where the native format's flags allow reading but not writing: names the first unknown flag.
    pub read_only_because: Option<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration key {group}.{key} is {value:?}: {expected} expected")]
pub struct ConfigError { /** The group. */ pub group: String, /** The key. */ pub key: String, /** The value found; empty if missing. */ pub value: String, /** What would be right. */ pub expected: &'static str }

impl Config {
    /// What the store is opened with.
    pub fn store_options(&self) -> StoreOptions { todo!() }
}
