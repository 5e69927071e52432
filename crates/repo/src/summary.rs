//! The summary: all refs and what they point to, in one file, so that one request tells a client everything.
//!
//! Both formats say the same with the same keys; only the encoding differs. The file is replaced atomically, from refs
//! that are read under the lock that moving them takes, so it never mixes two states of the repository.

mod branch;
mod copy;
mod deltas;
mod listed;
mod native;
mod ostree;
mod publish;
#[cfg(test)]
mod tests;

pub use copy::{SummaryCopy, SummaryState};
pub use listed::Listed;
pub use publish::Vouching;

use crate::{CollectionId, RefEntry, RefName, Refspec, Repo, Result, glib};
use sapwood_objstore::{Commit, DecodeError, Format, Id, Metadata, Value};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

/// The file, and its signature.
const SUMMARY: &str = "summary";
const SIGNATURE: &str = "summary.sig";

/// The fact that lists the refs of other collections, and its type.
const COLLECTION_MAP: &str = "ostree.summary.collection-map";
const COLLECTION_MAP_TYPE: &str = "a{sa(s(taya{sv}))}";

/// A summary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The refs, sorted by name.
    pub refs: Vec<SummaryRef>,
    /// Further facts.
    pub metadata: Metadata,
}

/// A ref in a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryRef {
    /// Its name.
    pub name: RefName,
    /// The commit.
    pub target: Id<Commit>,
    /// Size of the commit object in bytes.
    pub commit_bytes: u64,
    /// Further facts: `ostree.commit.timestamp` (big-endian in both formats), `ostree.commit.version`.
    pub metadata: Metadata,
}

impl Summary {
    /// The bytes of the file. Refs must be sorted by name.
    pub fn encode(&self, format: Format) -> Vec<u8> {
        if format == Format::Native { native::encode(self) } else { ostree::encode(self) }
    }

    /// Reads them.
    ///
    /// # Errors
    /// Anything but the one form that [`encode`](Self::encode) gives; a name that is not a ref's; refs that are not
    /// sorted, or twice there; more than [`Format::MAX_META_BYTES`].
    pub fn decode(format: Format, bytes: &[u8]) -> std::result::Result<Self, DecodeError> {
        if bytes.len() as u64 > Format::MAX_META_BYTES {
            return Err(DecodeError { offset: 0, what: "larger than 128 MiB" });
        }
        let summary = if format == Format::Native { native::decode(bytes)? } else { ostree::decode(bytes)? };
        Ok(summary)
    }

    /// The ref of that name.
    pub fn get(&self, name: &str) -> Option<&SummaryRef> {
        let at = self.refs.binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()?;
        self.refs.get(at)
    }

    /// The collection that [`refs`](Self::refs) are of, if the summary says.
    pub fn collection(&self) -> Option<&str> {
        self.metadata.get_str("ostree.summary.collection-id")
    }

    /// The refs of other collections that are carried on, by collection.
    ///
    /// # Errors
    /// Where the fact that lists them is not what OSTree writes.
    pub fn collections(&self) -> std::result::Result<Vec<(String, Vec<SummaryRef>)>, DecodeError> {
        match self.metadata.get(COLLECTION_MAP) {
            Some(Value::Variant { signature, bytes }) if signature == COLLECTION_MAP_TYPE => {
                ostree::read_collection_map(bytes)
            }
            None => Ok(Vec::new()),
            Some(_) => Err(DecodeError { offset: 0, what: "the collections are of another type" }),
        }
    }

    /// Whether there are indexes of static deltas beside it.
    pub fn has_delta_indexes(&self) -> bool {
        matches!(self.metadata.get("ostree.summary.indexed-deltas"), Some(Value::Bool(true)))
    }

    /// When the summary was made: seconds since the epoch.
    pub fn last_modified(&self) -> Option<u64> {
        swapped(self.metadata.get("ostree.summary.last-modified")?)
    }

    /// Until when the summary counts, if it says: seconds since the epoch.
    pub fn expires(&self) -> Option<u64> {
        swapped(self.metadata.get("ostree.summary.expires")?)
    }

    /// Adds a ref that was read; it must come after the others.
    fn push(&mut self, entry: SummaryRef) -> std::result::Result<(), &'static str> {
        if self.refs.last().is_some_and(|last| last.name >= entry.name) {
            return Err("refs are not sorted");
        }
        self.refs.push(entry);
        Ok(())
    }
}

impl SummaryRef {
    /// When the commit was made, as the summary tells it: seconds since the epoch.
    pub fn timestamp(&self) -> Option<u64> {
        swapped(self.metadata.get("ostree.commit.timestamp")?)
    }
}

/// A number that OSTree keeps big-endian.
fn swapped(value: &Value) -> Option<u64> {
    if let Value::U64(value) = value { Some(value.swap_bytes()) } else { None }
}

/// The same facts in the order in which OSTree's dictionaries have them.
fn ordered(facts: &Metadata) -> Metadata {
    let keys: Vec<&str> = facts.iter().map(|(key, _)| key).collect();
    let mut ordered = Metadata::default();
    for key in glib::order(&keys) {
        if let Some(value) = facts.get(key) {
            ordered.set(key, value.clone());
        }
    }
    ordered
}

impl Repo {
    /// The refs of other collections that the summary lists, sorted.
    fn refs_of_others(&self) -> Result<Vec<(CollectionId, RefEntry)>> {
        let own = self.config().collection_id.as_ref();
        let all = self.collection_refs()?.into_iter().map(|((collection, _), entry)| (collection, entry));
        Ok(all.filter(|(collection, _)| own != Some(collection)).collect())
    }

    /// What the refs that the summary lists point to, each once.
    fn local_targets(&self) -> Result<Vec<Id<Commit>>> {
        let local = self.refs()?.into_iter().filter(|entry| entry.name.is_local());
        let targets: BTreeSet<_> = local.map(|entry| entry.target).collect();
        Ok(targets.into_iter().collect())
    }

    fn summary_ref(&self, name: Refspec, target: Id<Commit>) -> Result<SummaryRef> {
        let bytes = self.store().load_bytes(target.name())?;
        let commit = self.store().load(target)?;
        let mut facts = Metadata::default();
        facts.set("ostree.commit.timestamp", Value::U64(commit.timestamp.swap_bytes()));
        if let Some(version) = commit.metadata.get_str("version") {
            facts.set("ostree.commit.version", Value::Str(version.to_owned()));
        }
        let metadata = ordered(&facts);
        Ok(SummaryRef { name: name.name, target, commit_bytes: bytes.len() as u64, metadata })
    }

    /// The facts about the whole repository, in the order in which OSTree's own dictionary would have them.
    fn summary_facts(
        &self,
        extra: &Metadata,
        has_deltas: bool,
        deltas: &[crate::ListedDelta],
    ) -> Result<Metadata> {
        let config = self.config();
        let mut facts = extra.clone();
        if !deltas.is_empty()
            && !matches!(config.keyfile.get_bool("core", "no-deltas-in-summary"), Some(Ok(true)))
        {
            facts.set(crate::delta::LISTED, deltas::as_value(deltas));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        facts.set("ostree.summary.last-modified", Value::U64(now.swap_bytes()));
        facts.set("ostree.summary.mode", Value::Str(config.mode.as_str().to_owned()));
        facts.set("ostree.summary.tombstone-commits", Value::Bool(config.tombstones));
        if has_deltas {
            facts.set("ostree.summary.indexed-deltas", Value::Bool(true));
        }
        if let Some(id) = &config.collection_id {
            facts.set("ostree.summary.collection-id", Value::Str(id.to_string()));
        }
        let mut mirrors: Vec<(String, Vec<SummaryRef>)> = Vec::new();
        for (collection, entry) in self.refs_of_others()? {
            let entry = self.summary_ref(entry.name, entry.target)?;
            match mirrors.last_mut().filter(|(last, _)| *last == collection.as_str()) {
                Some((_, refs)) => refs.push(entry),
                None => mirrors.push((collection.to_string(), vec![entry])),
            }
        }
        if !mirrors.is_empty() {
            facts.set(COLLECTION_MAP, ostree::collection_map(&mirrors));
        }
        Ok(ordered(&facts))
    }

    /// The summary file, if there is one.
    ///
    /// # Errors
    /// [`crate::Error::Summary`], [`crate::Error::Io`].
    pub fn summary(&self) -> Result<Option<Summary>> {
        match sapwood_fsio::read_optional(self.dir(), SUMMARY, Format::MAX_META_BYTES)? {
            None => Ok(None),
            Some(bytes) => {
                Summary::decode(self.config().format, &bytes).map(Some).map_err(crate::Error::Summary)
            }
        }
    }
}
