//! What must be signed, and by how many.

use super::{SignError, Verifier, signatures};
use sapwood_objstore::Metadata;
use std::collections::BTreeSet;

/// One requirement: enough good signatures, by keys of any of its engines.
#[derive(Debug)]
pub struct Mechanism {
    /// What it is called in messages: `GPG` or `sign`.
    pub name: &'static str,
    /// The key of a remote's configuration that asks for it.
    pub option: &'static str,
    /// The engines, with their keys.
    pub engines: Vec<Box<dyn Verifier>>,
    /// How many different trusted keys must have signed. At least 1.
    pub threshold: usize,
}

/// Everything that is required. Each mechanism must be satisfied; with none, everything passes.
#[derive(Debug, Default)]
pub struct Policy {
    /// For each commit.
    pub commit: Vec<Mechanism>,
    /// For the summary.
    pub summary: Vec<Mechanism>,
}

/// Most signatures of one engine that are looked at: each is tried with each key, on all of what is signed.
const MAX_SIGNATURES: usize = 64;

impl Mechanism {
    /// Checks `data` against the signatures beside it; gives what is to be said of the good ones.
    ///
    /// # Errors
    /// [`SignError::Unsigned`], [`SignError::NotTrusted`], [`SignError::Threshold`].
    pub fn check(&self, data: &[u8], beside: &Metadata) -> Result<Vec<String>, SignError> {
        let mut keys = BTreeSet::new();
        let (mut good, mut bad, mut any) = (Vec::new(), Vec::new(), false);
        for engine in &self.engines {
            let list = signatures(beside, engine.metadata_key());
            any |= !list.is_empty();
            let list = list.get(..MAX_SIGNATURES).unwrap_or(list);
            for judgement in engine.judge(data, list) {
                let words = match engine.name() {
                    "gpg" => judgement.words,
                    name => format!("{name}: {}", judgement.words),
                };
                match judgement.good_by {
                    Some(key) => {
                        // The same key in the form of another engine is no second one.
                        keys.insert(key);
                        good.push(words);
                    }
                    None => bad.push(words),
                }
            }
        }
        if keys.len() >= self.threshold.max(1) {
            return Ok(good);
        }
        Err(if !any {
            SignError::Unsigned { mechanism: self.name, option: self.option }
        } else if keys.is_empty() {
            SignError::NotTrusted { reasons: bad.join("\n") }
        } else {
            SignError::Threshold { mechanism: self.name, found: keys.len(), required: self.threshold }
        })
    }
}

impl Policy {
    /// Checks the bytes of a commit.
    ///
    /// # Errors
    /// As [`Mechanism::check`], of the first that is not satisfied.
    pub fn check_commit(&self, bytes: &[u8], beside: Option<&Metadata>) -> Result<(), SignError> {
        check(&self.commit, bytes, beside)
    }

    /// Checks the bytes of a summary.
    ///
    /// # Errors
    /// As [`Mechanism::check`], of the first that is not satisfied.
    pub fn check_summary(&self, bytes: &[u8], beside: Option<&Metadata>) -> Result<(), SignError> {
        check(&self.summary, bytes, beside)
    }
}

fn check(mechanisms: &[Mechanism], bytes: &[u8], beside: Option<&Metadata>) -> Result<(), SignError> {
    let none = Metadata::default();
    let beside = beside.unwrap_or(&none);
    mechanisms.iter().try_for_each(|mechanism| mechanism.check(bytes, beside).map(drop))
}
