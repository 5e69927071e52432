//! The bytes of statements, key sets, and what a client has seen: `docs/FORMAT.md`, section 9.
#![deny(clippy::indexing_slicing)]

use super::{Envelope, Key, KeySet, MAX_BYTES, MAX_KEY_SETS, MAX_KEYS, Role, Seen, Statement, StatementFile};
use crate::leb128;
use crate::record::{self, Input};
use sapwood_objstore::DecodeError;
use std::collections::BTreeSet;

const VERSION: u8 = 1;
/// Of what was seen, with the summary.
const SEEN_VERSION: u8 = 2;

impl Role {
    fn write(&self, out: &mut Vec<u8>) {
        leb128::write(out, self.threshold.into());
        leb128::write(out, self.keys.len() as u64);
        self.keys.iter().for_each(|key| out.extend_from_slice(key));
    }

    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let begin = input.at;
        let threshold = input.varint()?;
        let count = count(input, MAX_KEYS)?;
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        for _ in 0..count {
            let unsorted = input.wrong("keys do not ascend");
            let key = input.array()?;
            if keys.last().is_some_and(|last| *last >= key) {
                return Err(unsorted);
            }
            keys.insert(key);
        }
        let role = u32::try_from(threshold).ok().and_then(|threshold| Self::new(threshold, keys));
        role.ok_or(DecodeError { offset: begin, what: "the threshold is not 1 to the number of keys" })
    }
}

impl KeySet {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.repository);
        leb128::write(&mut out, self.version);
        self.owners.write(&mut out);
        self.publishers.write(&mut out);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input::of_version(bytes, VERSION)?;
        let repository = input.array()?;
        let zero = input.wrong("versions begin at 1");
        let version = input.varint()?;
        if version == 0 {
            return Err(zero);
        }
        let (owners, publishers) = (Role::read(&mut input)?, Role::read(&mut input)?);
        input.end()?;
        Ok(Self { repository, version, owners, publishers })
    }
}

impl Statement {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.repository);
        leb128::write(&mut out, self.key_set);
        leb128::write(&mut out, self.counter);
        leb128::write(&mut out, self.made);
        match self.expires {
            None => out.push(0),
            Some(at) => {
                out.push(1);
                leb128::write(&mut out, at);
            }
        }
        leb128::write(&mut out, self.summary_bytes);
        out.extend_from_slice(&self.summary);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Input::of_version(bytes, VERSION)?;
        let statement = Self {
            repository: input.array()?,
            key_set: input.varint()?,
            counter: input.varint()?,
            made: input.varint()?,
            expires: if presence(&mut input)? { Some(input.varint()?) } else { None },
            summary_bytes: input.varint()?,
            summary: input.array()?,
        };
        input.end()?;
        Ok(statement)
    }
}

impl Envelope {
    fn write(&self, out: &mut Vec<u8>) {
        record::bytes(out, &self.body);
        leb128::write(out, self.signatures.len() as u64);
        for (key, signature) in &self.signatures {
            out.extend_from_slice(key);
            out.extend_from_slice(signature);
        }
    }

    fn read(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let body = input.bytes()?.to_vec();
        let mut signatures: Vec<(Key, [u8; 64])> = Vec::new();
        for _ in 0..count(input, 2 * MAX_KEYS)? {
            let unsorted = input.wrong("keys do not ascend");
            let key: Key = input.array()?;
            if signatures.last().is_some_and(|(last, _)| *last >= key) {
                return Err(unsorted);
            }
            signatures.push((key, input.array()?));
        }
        Ok(Self { body, signatures })
    }
}

impl StatementFile {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        leb128::write(&mut out, self.key_sets.len() as u64);
        self.key_sets.iter().for_each(|(_, envelope)| envelope.write(&mut out));
        match &self.statement {
            None => out.push(0),
            Some((_, envelope)) => {
                out.push(1);
                envelope.write(&mut out);
            }
        }
        out
    }

    /// Reads them. Nothing is verified by this.
    ///
    /// # Errors
    /// Anything but the one form that [`encode`](Self::encode) gives; key sets of several repositories, or with gaps
    /// between their versions; more than [`MAX_BYTES`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(DecodeError { offset: 0, what: "larger than 1 MiB" });
        }
        let mut input = Input::of_version(bytes, VERSION)?;
        let mut key_sets: Vec<(KeySet, Envelope)> = Vec::new();
        let count = count(&mut input, MAX_KEY_SETS)?;
        if count == 0 {
            return Err(input.wrong("there is no key set"));
        }
        for _ in 0..count {
            let begin = input.at;
            let envelope = Envelope::read(&mut input)?;
            let key_set = KeySet::decode(&envelope.body).map_err(|error| below(begin, &error))?;
            let follows = key_sets.last().is_none_or(|(last, _)| {
                last.version.checked_add(1) == Some(key_set.version) && last.repository == key_set.repository
            });
            if !follows {
                return Err(DecodeError { offset: begin, what: "key sets do not follow each other" });
            }
            key_sets.push((key_set, envelope));
        }
        let statement = if presence(&mut input)? {
            let begin = input.at;
            let envelope = Envelope::read(&mut input)?;
            Some((Statement::decode(&envelope.body).map_err(|error| below(begin, &error))?, envelope))
        } else {
            None
        };
        input.end()?;
        Ok(Self { key_sets, statement })
    }
}

impl Seen {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.summary.is_some() { SEEN_VERSION } else { VERSION }];
        out.extend_from_slice(&self.root);
        record::bytes(&mut out, &self.key_set);
        leb128::write(&mut out, self.counter);
        leb128::write(&mut out, self.made);
        out.extend_from_slice(&self.statement);
        out.extend(self.summary.iter().flatten());
        out
    }

    /// Reads what a client keeps.
    ///
    /// # Errors
    /// Anything but the one form that is written.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let has_summary = bytes.first() == Some(&SEEN_VERSION);
        let version = if has_summary { SEEN_VERSION } else { VERSION };
        let mut input = Input::of_version(bytes, version)?;
        let root = input.array()?;
        let begin = input.at;
        let key_set = input.bytes()?.to_vec();
        KeySet::decode(&key_set).map_err(|error| below(begin, &error))?;
        let seen = Self {
            root,
            key_set,
            counter: input.varint()?,
            made: input.varint()?,
            statement: input.array()?,
            summary: has_summary.then(|| input.array()).transpose()?,
        };
        input.end()?;
        Ok(seen)
    }
}

/// An error of what is inside, by where that begins.
fn below(begin: usize, error: &DecodeError) -> DecodeError {
    DecodeError { offset: begin + error.offset, what: error.what }
}

fn presence(input: &mut Input<'_>) -> Result<bool, DecodeError> {
    let wrong = input.wrong("presence is neither 0 nor 1");
    match input.take(1)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(wrong),
    }
}

fn count(input: &mut Input<'_>, most: usize) -> Result<usize, DecodeError> {
    let too_many = input.wrong("too many items");
    let count = usize::try_from(input.varint()?).ok().filter(|count| *count <= most);
    count.ok_or(too_many)
}
