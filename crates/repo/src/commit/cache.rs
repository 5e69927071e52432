//! The stat cache: which object a file on disk became when it was last committed.
//!
//! A file that still has the inode, size, times, mode and owner it had then, in the same [place](super::place), is taken
//! to have the content it had then, so an unchanged tree is committed at the cost of one `statx` for each file. Changed
//! attributes of any kind move the change time, which programs cannot set.
//!
//! **Racy timestamps.** The kernel stamps files with a clock that ticks a few hundred times a second, and some
//! filesystems keep whole seconds only. A file written once more within the tick in which it was read would look
//! unchanged for ever. So a file is entered only if both its times were older than that tick when reading began: by 100
//! ms where the time has a fraction of a second, else by 3 s. A file too young for that is read again the next time.
//! What cannot be seen this way is content changed through a shared memory mapping whose pages were dirty already
//! before the file was read; commit trees that nothing writes to.
//!
//! There is one cache file for each committed directory and set of modifiers, below `tmp/cache/stat` (which the
//! cleaning of `tmp` leaves alone). It is only ever a hint: one that is damaged, truncated or of another version is
//! ignored, and an entry counts only while the store still has the object.

use super::modify::{Changes, Rules};
use super::place::{Place, Places};
use sapwood_fsio::{self as fsio, Dir, Kind, Staged, Stat};
use sapwood_objstore::{Format, Id, ObjectId, kind};
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the caches are, in the repository.
const CACHE_DIR: &str = "tmp/cache/stat";
/// What a cache file begins with; the last digit is its version.
const MAGIC: &[u8; 16] = b"sapwood stat v03";
const DIGEST_BYTES: usize = 32;
/// A cache file is never larger than this, so that reading it is never what fills the memory.
const MAX_BYTES: usize = 64 << 20;
/// So many caches are kept, the most recent ones.
const MAX_CACHES: usize = 16;

/// Key and state of a file, as compared: times in nanoseconds since the epoch, and the label it shall have.
const STATE_BYTES: usize = 60;
const KEY_BYTES: usize = 16;
const RECORD_BYTES: usize = STATE_BYTES + 32;

/// Stands for what is changed of a file because of its path; nothing else here depends on that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ChangesKey([u8; 8]);

impl ChangesKey {
    pub(crate) fn new(changes: &Changes) -> Self {
        if changes.label.is_none() && changes.mode.is_none() {
            return Self::default();
        }
        let digest = blake3::hash(format!("{changes:?}").as_bytes());
        Self(digest.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

/// A file on disk and the object it became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record([u8; RECORD_BYTES]);

impl Record {
    /// The record of a file that was read beginning at `read_at_ns`, unless it is too young to be told from a later
    /// version of itself.
    pub(crate) fn new(
        place: Place,
        stat: &Stat,
        label: ChangesKey,
        id: Id<kind::File>,
        read_at_ns: i128,
    ) -> Option<Self> {
        if !(is_settled(stat.ctime_ns, read_at_ns) && is_settled(stat.mtime_ns, read_at_ns)) {
            return None;
        }
        let mut bytes = [0; RECORD_BYTES];
        let (state, object) = bytes.split_at_mut(STATE_BYTES);
        state.copy_from_slice(&state_of(place, stat, label)?);
        object.copy_from_slice(id.raw().as_bytes());
        Some(Self(bytes))
    }
}

/// Nanoseconds since the epoch, by the clock that files are stamped with.
pub(crate) fn now_ns() -> i128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(now.as_nanos()).unwrap_or(0)
}

const SECOND_NS: i128 = 1_000_000_000;

/// Whether whatever is changed at `now_ns` or later gets another time than `time_ns`.
fn is_settled(time_ns: i128, now_ns: i128) -> bool {
    let tick_ns = if time_ns % SECOND_NS == 0 { 3 * SECOND_NS } else { SECOND_NS / 10 };
    time_ns + tick_ns < now_ns
}

/// Place and inode first, since they are what records are sorted by.
fn state_of(place: Place, stat: &Stat, label: ChangesKey) -> Option<[u8; STATE_BYTES]> {
    let kind: u32 = match stat.kind {
        Kind::File => 1,
        Kind::Symlink => 2,
        Kind::Dir | Kind::Fifo | Kind::CharDevice | Kind::BlockDevice | Kind::Socket => return None,
    };
    let mut state = [0; STATE_BYTES];
    let mut rest = state.as_mut_slice();
    let mut put = |bytes: &[u8]| rest.write_all(bytes).is_ok();
    let mtime = i64::try_from(stat.mtime_ns).ok()?;
    let ctime = i64::try_from(stat.ctime_ns).ok()?;
    let fits = put(place.as_bytes())
        && put(&stat.ino.to_be_bytes())
        && put(&stat.size.to_be_bytes())
        && put(&mtime.to_be_bytes())
        && put(&ctime.to_be_bytes())
        && put(&(stat.mode | kind << 16).to_be_bytes())
        && put(&stat.uid.to_be_bytes())
        && put(&stat.gid.to_be_bytes())
        && put(&label.0);
    fits.then_some(state)
}

/// What was known before this commit.
#[derive(Debug)]
pub(crate) struct Cache {
    name: String,
    /// The file as it is on disk, or nothing.
    bytes: Vec<u8>,
    /// Where files can be recognised.
    pub(crate) places: Places,
}

impl Cache {
    /// The cache for the directory `root` under these rules; an empty one if there is none that can be used.
    pub(crate) fn open(repo: &Dir, format: Format, rules: &Rules, root: &Stat) -> Self {
        let name = file_name(format, rules, root);
        let path = format!("{CACHE_DIR}/{name}");
        let places = Places::beside(fsio::ensure_dir(repo, CACHE_DIR, 0o777));
        let bytes = match fsio::read_optional(repo, &path, MAX_BYTES as u64) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%error, "the stat cache cannot be read");
                Vec::new()
            }
        };
        if is_valid(&bytes) {
            return Self { name, bytes, places };
        }
        if !bytes.is_empty() {
            tracing::debug!(path, "the stat cache is damaged or of another version, and ignored");
        }
        Self { name, bytes: Vec::new(), places }
    }

    /// One that knows nothing, and learns nothing.
    pub(crate) fn none() -> Self {
        Self { name: String::new(), bytes: Vec::new(), places: Places::none() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.records().len()
    }

    fn records(&self) -> &[[u8; RECORD_BYTES]] {
        let end = self.bytes.len().saturating_sub(DIGEST_BYTES);
        self.bytes.get(MAGIC.len()..end).map_or(&[], |body| body.as_chunks().0)
    }

    /// The record of the file with exactly this state, that was given this label.
    pub(crate) fn find(
        &self,
        place: Place,
        stat: &Stat,
        label: ChangesKey,
    ) -> Option<(Record, Id<kind::File>)> {
        let state = state_of(place, stat, label)?;
        let records = self.records();
        let key = state.get(..KEY_BYTES);
        let at = records.binary_search_by(|record| record.get(..KEY_BYTES).cmp(&key)).ok()?;
        let record = records.get(at)?;
        let (found, object) = record.split_at_checked(STATE_BYTES)?;
        if found != state {
            return None;
        }
        Some((Record(*record), Id::new(ObjectId::from_slice(object)?)))
    }

    /// Replaces the cache by `records`. Atomic, but not synced: one that a crash cuts short fails its checksum.
    pub(crate) fn save(&self, repo: &Dir, mut records: Vec<Record>) -> fsio::Result<()> {
        records.sort_unstable();
        // A file with several names in the tree is recorded once for each.
        records.dedup_by(|b, a| a.0.get(..KEY_BYTES) == b.0.get(..KEY_BYTES));
        records.truncate((MAX_BYTES - MAGIC.len() - DIGEST_BYTES) / RECORD_BYTES);
        let mut bytes = Vec::with_capacity(MAGIC.len() + records.len() * RECORD_BYTES + DIGEST_BYTES);
        bytes.extend_from_slice(MAGIC);
        for record in &records {
            bytes.extend_from_slice(&record.0);
        }
        let digest = blake3::hash(&bytes);
        bytes.extend_from_slice(digest.as_bytes());

        let dir = fsio::ensure_dir(repo, CACHE_DIR, 0o777)?;
        let mut staged = Staged::create(&dir)?;
        fsio::At::at(staged.write_all(&bytes), "write", CACHE_DIR)?;
        staged.publish(&dir, &self.name)?;
        remove_oldest(&dir)
    }
}

fn remove_oldest(dir: &Dir) -> fsio::Result<()> {
    let entries = fsio::entries(dir)?;
    if entries.len() <= MAX_CACHES {
        return Ok(());
    }
    let mut by_age = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Some(stat) = fsio::stat_optional(dir, &entry.name)? {
            by_age.push((stat.mtime_ns, entry.name));
        }
    }
    by_age.sort_unstable_by(|a, b| b.cmp(a));
    for (_, name) in by_age.iter().skip(MAX_CACHES) {
        fsio::remove_file_optional(dir, name)?;
    }
    Ok(())
}

/// Different for all that makes other objects of the same files.
fn file_name(format: Format, rules: &Rules, root: &Stat) -> String {
    let text = format!("{format:?} {} {} {}", rules.fingerprint(), root.dev, root.ino);
    let digest = blake3::hash(text.as_bytes()).to_hex();
    digest.get(..32).unwrap_or_default().to_owned()
}

fn is_valid(bytes: &[u8]) -> bool {
    let Some((body, digest)) =
        bytes.len().checked_sub(DIGEST_BYTES).and_then(|end| bytes.split_at_checked(end))
    else {
        return false;
    };
    let Some(records) = body.strip_prefix(MAGIC) else { return false };
    records.len().is_multiple_of(RECORD_BYTES) && blake3::hash(body).as_bytes() == digest
}

#[cfg(test)]
mod tests;
