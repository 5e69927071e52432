//! Statements: what a repository's owner says of its summary, so that nobody can pass off an older one as the newest.
//!
//! A signature on a commit or a summary says that it was good once, and stays good. A statement says which summary is the
//! newest: it has a counter that only rises and a time after which it counts for nothing. Who may sign it, a key set says;
//! who may replace the key set, the one before it. A client is told the id of one key set (the *root*), follows the chain
//! from there, and remembers how far it has seen. `docs/FORMAT.md`, section 9, has the bytes, `docs/trust.md` the attacks.

mod check;
mod codec;
mod store;

pub(crate) use store::state_now;

pub use check::{Checked, FreshnessError, check, check_summary};

use crate::sign::{Ed25519, SignError, Signer as _, ed25519};
use std::collections::BTreeSet;

/// The file, in the repository.
pub const FILE: &str = "statement";
/// Largest file, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;
/// Most keys of a role, and most key sets in a file.
pub const MAX_KEYS: usize = 64;
/// Most key sets in a file.
pub const MAX_KEY_SETS: usize = 1024;

/// A public key of Ed25519.
pub type Key = [u8; 32];

/// Keys of which so many must sign. Made by [`new`](Self::new) alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    threshold: u32,
    keys: BTreeSet<Key>,
}

impl Role {
    /// With these keys; `None` unless there are 1 to 64 of them, and the threshold is 1 to as many.
    pub fn new(threshold: u32, keys: impl IntoIterator<Item = Key>) -> Option<Self> {
        let keys: BTreeSet<Key> = keys.into_iter().collect();
        let possible = 1..=u32::try_from(keys.len()).ok()?;
        (keys.len() <= MAX_KEYS && possible.contains(&threshold)).then_some(Self { threshold, keys })
    }

    /// How many must sign.
    pub fn threshold(&self) -> u32 {
        self.threshold
    }

    /// The keys.
    pub fn keys(&self) -> &BTreeSet<Key> {
        &self.keys
    }

    /// Whether enough of the keys signed these bytes.
    fn is_satisfied(&self, what: Signed, body: &[u8], signatures: &[(Key, [u8; 64])]) -> bool {
        let message = what.message(body);
        let good = signatures.iter().filter(|(key, signature)| {
            self.keys.contains(key) && ed25519::verifies(key, &message, signature)
        });
        // Keys are not there twice.
        good.count() >= self.threshold as usize
    }
}

/// Who may say what of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySet {
    /// The repository: 32 bytes of chance.
    pub repository: [u8; 32],
    /// Counts the key sets of a repository, from 1.
    pub version: u64,
    /// Who may replace this key set.
    pub owners: Role,
    /// Who may say which summary is the newest.
    pub publishers: Role,
}

/// What publishers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The repository.
    pub repository: [u8; 32],
    /// The version of the key set whose publishers say it.
    pub key_set: u64,
    /// Rises with each statement.
    pub counter: u64,
    /// When it was made: seconds since the epoch.
    pub made: u64,
    /// Until when it counts.
    pub expires: Option<u64>,
    /// The size of the summary in bytes.
    pub summary_bytes: u64,
    /// The digest of the summary.
    pub summary: [u8; 32],
}

/// Encoded bytes and the signatures over them, one for each key, sorted by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    body: Vec<u8>,
    signatures: Vec<(Key, [u8; 64])>,
}

/// The file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementFile {
    /// The key sets, in order, without gaps.
    key_sets: Vec<(KeySet, Envelope)>,
    /// What is said now; nothing where the first key set has not been used yet.
    statement: Option<(Statement, Envelope)>,
}

/// What a client has seen of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The key set that it was told to begin with.
    pub root: [u8; 32],
    /// The newest key set, encoded.
    pub key_set: Vec<u8>,
    /// The newest statement: its counter, when it was made, and its id.
    pub counter: u64,
    /// When that was made.
    pub made: u64,
    /// The digest of its bytes.
    pub statement: [u8; 32],
    /// The digest of the summary that it is about, if that was remembered.
    pub summary: Option<[u8; 32]>,
}

/// What is signed: no signature over the one can pass for a signature over the other.
#[derive(Debug, Clone, Copy)]
enum Signed {
    KeySet,
    Statement,
}

impl Signed {
    fn context(self) -> &'static str {
        match self {
            Self::KeySet => "sapwood native v1 key set",
            Self::Statement => "sapwood native v1 statement",
        }
    }

    /// The bytes that are signed.
    fn message(self, body: &[u8]) -> Vec<u8> {
        [self.context().as_bytes(), b"\0", body].concat()
    }
}

impl KeySet {
    /// What clients are told as their root.
    pub fn id(&self) -> [u8; 32] {
        blake3::derive_key(Signed::KeySet.context(), &self.encode())
    }
}

/// The digest of a summary that a statement has.
pub fn summary_digest(summary: &[u8]) -> [u8; 32] {
    blake3::derive_key("sapwood native v1 summary", summary)
}

impl Seen {
    /// The newest key set.
    ///
    /// # Errors
    /// None for what was decoded.
    pub fn key_set(&self) -> Result<KeySet, crate::Error> {
        KeySet::decode(&self.key_set).map_err(crate::Error::Statement)
    }

    /// The furthest of what two have seen below one root: the later key set, and the higher counter, save that under other
    /// publishers it may begin anew. No time goes back behind either.
    fn furthest(self, other: Self) -> Result<Self, sapwood_objstore::DecodeError> {
        let made = self.made.max(other.made);
        let (ours, theirs) = (KeySet::decode(&self.key_set)?, KeySet::decode(&other.key_set)?);
        let is_later = theirs.version > ours.version;
        let key_set = if is_later { other.key_set.clone() } else { self.key_set.clone() };
        let is_further =
            if ours.publishers == theirs.publishers { other.counter > self.counter } else { is_later };
        let further = if is_further { other } else { self };
        Ok(Self { key_set, made, ..further })
    }
}

impl Envelope {
    fn id(&self, what: Signed) -> [u8; 32] {
        blake3::derive_key(what.context(), &self.body)
    }

    fn signed(what: Signed, body: Vec<u8>, signers: &[Ed25519]) -> Result<Self, SignError> {
        let message = what.message(&body);
        let mut signatures = std::collections::BTreeMap::new();
        for signer in signers {
            let signature: [u8; 64] = signer.sign(&message)?.try_into().unwrap_or([0; 64]);
            signatures.extend(signer.public().map(|key| (key, signature)));
        }
        Ok(Self { body, signatures: signatures.into_iter().collect() })
    }
}

impl StatementFile {
    /// A file that begins a repository's chain.
    pub fn begin(first: KeySet) -> Self {
        let envelope = Envelope { body: first.encode(), signatures: Vec::new() };
        Self { key_sets: vec![(first, envelope)], statement: None }
    }

    /// The first key set: its id is what clients of a new repository are told.
    pub fn first(&self) -> &KeySet {
        // There is one in every file.
        &self.key_sets[0].0
    }

    /// The key set that counts.
    pub fn newest(&self) -> &KeySet {
        self.key_sets.last().map_or_else(|| self.first(), |(key_set, _)| key_set)
    }

    /// What is said now.
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_ref().map(|(statement, _)| statement)
    }

    /// Whether enough publishers of the newest key set signed what is stated.
    pub fn is_stated(&self) -> bool {
        self.statement.as_ref().is_some_and(|(statement, envelope)| {
            let newest = self.newest();
            statement.key_set <= newest.version
                && newest.publishers.is_satisfied(Signed::Statement, &envelope.body, &envelope.signatures)
        })
    }

    /// Whether this can take the place of `other`: it is of the same repository, and neither its keys nor what it states are
    /// older. Signatures are not looked at.
    pub(crate) fn follows(&self, other: &Self) -> bool {
        let age = |file: &Self| (file.newest().version, file.statement().map(|said| said.counter));
        self.newest().repository == other.newest().repository && age(self) >= age(other)
    }

    /// Adds a key set. What is stated stays; if others are publishers now, it counts for nothing until they say it.
    ///
    /// # Errors
    /// [`SignError::Threshold`] unless enough owners of the old key set and enough of the new one sign.
    pub fn rotate(&mut self, owners: Role, publishers: Role, signers: &[Ed25519]) -> Result<(), SignError> {
        let old = self.newest();
        let new =
            KeySet { repository: old.repository, version: old.version.saturating_add(1), owners, publishers };
        let envelope = Envelope::signed(Signed::KeySet, new.encode(), signers)?;
        for (role, mechanism) in [(&old.owners, "owners"), (&new.owners, "new owners")] {
            require(role, mechanism, Signed::KeySet, &envelope)?;
        }
        if self.key_sets.len() == MAX_KEY_SETS {
            return Err(SignError::Signing { reason: "there are too many key sets".to_owned() });
        }
        self.key_sets.push((new, envelope));
        Ok(())
    }

    /// States that `summary` is the newest, from now on and for so many seconds, or for good.
    ///
    /// The counter is above the last one, and not below the time, so that a repository that was put back from a backup goes
    /// on above what it said before.
    ///
    /// # Errors
    /// [`SignError::Threshold`] unless enough publishers sign.
    pub fn state(
        &mut self,
        summary: &[u8],
        now: u64,
        lasts_seconds: Option<u64>,
        signers: &[Ed25519],
    ) -> Result<(), SignError> {
        let newest = self.newest();
        let last = self.statement().map_or(0, |statement| statement.counter);
        let statement = Statement {
            repository: newest.repository,
            key_set: newest.version,
            counter: last.saturating_add(1).max(now),
            made: now,
            expires: lasts_seconds.map(|lasts| now.saturating_add(lasts)),
            summary_bytes: summary.len() as u64,
            summary: summary_digest(summary),
        };
        let envelope = Envelope::signed(Signed::Statement, statement.encode(), signers)?;
        require(&newest.publishers, "publishers", Signed::Statement, &envelope)?;
        self.statement = Some((statement, envelope));
        Ok(())
    }
}

/// Refuses what too few sign.
fn require(role: &Role, mechanism: &'static str, what: Signed, envelope: &Envelope) -> Result<(), SignError> {
    if role.is_satisfied(what, &envelope.body, &envelope.signatures) {
        return Ok(());
    }
    let found = envelope.signatures.iter().filter(|(key, _)| role.keys.contains(key)).count();
    Err(SignError::Threshold { mechanism, found, required: role.threshold as usize })
}
