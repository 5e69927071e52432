//! A repository's configuration: known keys typed, everything else kept.
//!
//! Reading is strict about what would change how data is kept, and about nothing else: unknown groups and keys are
//! left alone. A repository of a newer, incompatible format is refused before anything else in it is looked at.
#![deny(clippy::indexing_slicing)]

#[cfg(test)]
mod tests;

use crate::{CollectionId, Error, Keyfile, Result};
use sapwood_fsio::lock::Wait;
use sapwood_objstore::{Format, Mode, Reserve, StoreOptions};
use std::time::Duration;

/// The configuration. Known keys are checked when it is read.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file that is true or false")]
pub struct Config {
    /// The file itself.
    pub keyfile: Keyfile,
    /// From `core.repo_version` (1 is OSTree's format, 2 the native one) and, for the native format, its feature flags.
    pub format: Format,
    /// `core.mode`. Default: bare.
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
    /// `core.fsync`. Default: yes.
    pub fsync: bool,
    /// `core.payload-link-threshold`, in bytes; -1 is none. Default: none.
    pub payload_link_threshold: Option<u64>,
    /// `core.per-object-fsync`. Default: no.
    pub per_object_fsync: bool,
    /// `core.locking`. Default: yes.
    pub locking: bool,
    /// `core.lock-timeout-secs`; -1 is for ever, 0 is not at all. Default: 300 s.
    pub lock_wait: Wait,
    /// `core.min-free-space-size`, else `core.min-free-space-percent`. Default: 3 percent.
    pub reserve: Reserve,
    /// Not `core.disable-xattrs`. Default: yes.
    pub xattrs: bool,
    /// `core.enable-uncompressed-cache`. Default: yes.
    pub uncompressed_cache: bool,
    /// `archive.zlib-level` (1 to 9) in the OSTree format, `archive.zstd-level` (1 to 19) in the native one.
    pub compression_level: Option<i32>,
    /// Set where the native format's flags allow reading but not writing: names the first unknown flag.
    pub read_only_because: Option<String>,
}

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration key {group}.{key} is {value:?}: {expected} expected")]
pub struct ConfigError {
    /** The group. */
    pub group: String,
    /** The key. */
    pub key: String,
    /** The value found; empty if missing. */
    pub value: String,
    /** What would be right. */
    pub expected: &'static str,
}

/// The group of all keys that say how the repository is kept.
const CORE: &str = "core";
/// The group of the native format's feature flags.
const FLAGS: &str = "sapwood";
/// Feature flags of the native format that this version knows. There are none yet.
const KNOWN_FLAGS: &[&str] = &[];

const DAY: Duration = Duration::from_hours(24);
const LOCK_WAIT: Duration = Duration::from_mins(5);

impl Config {
    /// Reads the bytes of a configuration file.
    ///
    /// # Errors
    /// [`Error::Keyfile`] for malformed text, [`Error::NewerFormat`] for a format that this version cannot read,
    /// [`Error::Config`] for a key with a wrong value.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::from_keyfile(Keyfile::parse(bytes)?)
    }

    /// Reads the typed keys of a keyfile.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_keyfile(keyfile: Keyfile) -> Result<Self> {
        let (format, read_only_because) = format_of(&keyfile)?;
        if flag(&keyfile, "archive", false)? {
            return Err(wrong(
                CORE,
                "archive",
                "true",
                "`core.mode=archive-z2`, in a repository made with that,",
            ));
        }
        let mode = match keyfile.get(CORE, "mode") {
            None => Mode::Bare,
            Some(text) => Mode::parse(&text).ok_or_else(|| {
                wrong(
                    CORE,
                    "mode",
                    &text,
                    "`bare`, `bare-user`, `bare-user-only`, `archive-z2` or `bare-split-xattrs`",
                )
            })?,
        };
        if mode == Mode::BareSplitXattrs && format == Format::Native {
            return Err(wrong(CORE, "mode", mode.as_str(), "a mode of the native format"));
        }
        let collection_id = match keyfile.get(CORE, "collection-id") {
            None => None,
            Some(text) if text.is_empty() => None,
            Some(text) => Some(CollectionId::new(&text)?),
        };
        let parent = keyfile.get(CORE, "parent").filter(|path| !path.is_empty());
        if let Some(path) = &parent
            && !path.starts_with('/')
        {
            return Err(wrong(CORE, "parent", path, "an absolute path"));
        }
        let (level_key, highest) = match format {
            Format::Ostree => ("zlib-level", 9),
            Format::Native => ("zstd-level", 19),
        };
        let level = number(&keyfile, "archive", level_key, 1..=highest, "a compression level, from 1")?;
        let summary = flag(&keyfile, "auto-update-summary", false)?;
        Ok(Self {
            format,
            mode,
            collection_id,
            parent,
            tmp_expiry: number(&keyfile, CORE, "tmp-expiry-secs", 0..=i64::MAX, "a number of seconds")?
                .map_or(DAY, |seconds| Duration::from_secs(seconds.unsigned_abs())),
            auto_update_summary: summary || flag(&keyfile, "commit-update-summary", false)?,
            tombstones: flag(&keyfile, "tombstone-commits", false)?,
            fsync: flag(&keyfile, "fsync", true)?,
            payload_link_threshold: number(
                &keyfile,
                CORE,
                "payload-link-threshold",
                -1..=i64::MAX,
                "a size in bytes, or -1",
            )?
            .and_then(|bytes| bytes.try_into().ok()),
            per_object_fsync: flag(&keyfile, "per-object-fsync", false)?,
            locking: flag(&keyfile, "locking", true)?,
            lock_wait: match number(&keyfile, CORE, "lock-timeout-secs", -1..=i64::MAX, "seconds, or -1")? {
                None => Wait::For(LOCK_WAIT),
                Some(-1) => Wait::Forever,
                Some(0) => Wait::No,
                Some(seconds) => Wait::For(Duration::from_secs(seconds.unsigned_abs())),
            },
            reserve: reserve_of(&keyfile)?,
            xattrs: !flag(&keyfile, "disable-xattrs", false)?,
            uncompressed_cache: flag(&keyfile, "enable-uncompressed-cache", true)?,
            compression_level: level.and_then(|level| level.try_into().ok()),
            read_only_because,
            keyfile,
        })
    }

    /// What the store is opened with.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            fsync: self.fsync,
            payload_link_threshold: self.payload_link_threshold,
            per_object_fsync: self.fsync && self.per_object_fsync,
            compression_level: self.compression_level,
            reserve: self.reserve,
            lock_wait: self.lock_wait,
            locking: self.locking,
            xattrs: self.xattrs,
            uncompressed_cache: self.uncompressed_cache,
        }
    }

    /// The configuration file of a new repository.
    pub(crate) fn initial(format: Format, mode: Mode, collection_id: Option<&CollectionId>) -> Keyfile {
        let mut keyfile = Keyfile::default();
        let version = match format {
            Format::Ostree => "1",
            Format::Native => "2",
        };
        keyfile.set(CORE, "repo_version", version);
        keyfile.set(CORE, "mode", mode.as_str());
        if let Some(id) = collection_id {
            keyfile.set(CORE, "collection-id", id.as_str());
        }
        keyfile
    }

    /// Whether the file holds nothing but what [`initial`](Self::initial) writes.
    pub(crate) fn is_initial(&self) -> bool {
        self.keyfile.to_text() == Self::initial(self.format, self.mode, self.collection_id.as_ref()).to_text()
    }

    /// An error about a key of the group `core` as it stands in the file.
    pub(crate) fn wrong_core(&self, key: &str, expected: &'static str) -> Error {
        wrong(CORE, key, self.keyfile.raw(CORE, key).unwrap_or_default(), expected)
    }

    /// Whether writing is allowed.
    ///
    /// # Errors
    /// [`Error::NewerFormat`] where a feature flag allows reading only.
    pub fn check_writable(&self) -> Result<()> {
        match &self.read_only_because {
            None => Ok(()),
            Some(flag) => Err(Error::NewerFormat {
                what: format!("it has the feature {flag:?}, unknown here, and can only be read"),
            }),
        }
    }
}

/// Which format it is, and why it may only be read, if so.
fn format_of(keyfile: &Keyfile) -> Result<(Format, Option<String>)> {
    match keyfile.raw(CORE, "repo_version").map(str::trim_end) {
        None | Some("1") => return Ok((Format::Ostree, None)),
        Some("2") => {}
        Some(other) if !other.is_empty() && other.bytes().all(|b| b.is_ascii_digit()) => {
            return Err(Error::NewerFormat { what: format!("its core.repo_version is {other}") });
        }
        Some(other) => return Err(wrong(CORE, "repo_version", other, "1 or 2")),
    }
    let unknown = |key| {
        let flags = keyfile.get_list(FLAGS, key).unwrap_or_default();
        flags.into_iter().find(|flag| !flag.is_empty() && !KNOWN_FLAGS.contains(&flag.as_str()))
    };
    match unknown("incompatible") {
        Some(flag) => Err(Error::NewerFormat { what: format!("it has the feature {flag:?}, unknown here") }),
        None => Ok((Format::Native, unknown("read-only-compatible"))),
    }
}

fn wrong(group: &str, key: &str, value: &str, expected: &'static str) -> Error {
    Error::Config(ConfigError {
        group: group.to_owned(),
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    })
}

fn flag(keyfile: &Keyfile, key: &str, default: bool) -> Result<bool> {
    match keyfile.get_bool(CORE, key) {
        None => Ok(default),
        Some(Ok(value)) => Ok(value),
        Some(Err(text)) => Err(wrong(CORE, key, &text, "`true` or `false`")),
    }
}

fn number(
    keyfile: &Keyfile,
    group: &str,
    key: &str,
    allowed: std::ops::RangeInclusive<i64>,
    expected: &'static str,
) -> Result<Option<i64>> {
    let Some(text) = keyfile.get(group, key) else { return Ok(None) };
    match text.trim_end().parse::<i64>() {
        Ok(number) if allowed.contains(&number) => Ok(Some(number)),
        _ => Err(wrong(group, key, &text, expected)),
    }
}

fn reserve_of(keyfile: &Keyfile) -> Result<Reserve> {
    if let Some(text) = keyfile.get(CORE, "min-free-space-size") {
        return parse_size(text.trim_end()).map(Reserve::Bytes).ok_or_else(|| {
            wrong(CORE, "min-free-space-size", &text, "a size such as `500MB`, `2GB` or `1TB`")
        });
    }
    let percent = number(keyfile, CORE, "min-free-space-percent", 0..=99, "0 to 99")?;
    Ok(Reserve::Percent(percent.and_then(|percent| percent.try_into().ok()).unwrap_or(3)))
}

/// Units of two: `1GB` is 2³⁰ bytes, as OSTree has it.
fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = [("MB", 1_u64 << 20), ("GB", 1 << 30), ("TB", 1 << 40)]
        .into_iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
