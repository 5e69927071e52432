//! Lists of paths that are treated differently: modes that are changed, and what is left out.
//!
//! As in OSTree, a line counts once: where several trees are laid over each other, the first thing at the path is what it
//! changes. (A mode that replaces the one found, `=MODE`, counts each time, and is not missed where nothing matches.)
#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How the mode of what is at a path is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ModeChange {
    /// These bits are added.
    Add(u32),
    /// It is replaced.
    Set(u32),
}

/// A line of a list that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ListError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// Lines `MODE PATH` (bits that are added, in decimal) and `=MODE PATH` (all permission bits).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModeList {
    add: HashMap<String, u32>,
    set: HashMap<String, u32>,
}

impl ModeList {
    /// Largest list, in bytes.
    pub const MAX_BYTES: u64 = 64 << 20;

    /// Reads a list. Empty lines are skipped; a later line for the same path replaces an earlier one.
    ///
    /// # Errors
    /// For a line without a mode of permission bits only, or without a path.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let mut list = Self::default();
        for (line, text) in lines(text) {
            let wrong = |reason| ListError { line, reason };
            let (mode, path) =
                text.split_once(' ').ok_or_else(|| wrong("Malformed statoverride file (no space found)"))?;
            let (table, digits) = match mode.strip_prefix('=') {
                Some(digits) => (&mut list.set, digits),
                None => (&mut list.add, mode),
            };
            let mode = digits.strip_prefix('+').unwrap_or(digits).parse::<u32>();
            let mode = mode.ok().filter(|mode| mode & !0o7777 == 0);
            let mode = mode.ok_or_else(|| wrong("the mode is not a decimal number of permission bits"))?;
            table.insert(path.to_owned(), mode);
        }
        Ok(list)
    }
}

/// Paths that are left out, one a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkipList(Vec<String>);

impl SkipList {
    /// Reads a list. Empty lines are skipped.
    pub fn parse(text: &str) -> Self {
        Self(lines(text).map(|(_, line)| line.to_owned()).collect())
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.split('\n')).filter(|(_, line)| !line.is_empty())
}

/// Both lists, and which of their lines have been met. Clones share that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    add: HashMap<String, (u32, AtomicBool)>,
    set: HashMap<String, u32>,
    skip: HashMap<String, AtomicBool>,
}

impl Lists {
    pub(crate) fn new(modes: &ModeList, skip: &SkipList) -> Self {
        Self(Arc::new(Shared {
            add: modes
                .add
                .iter()
                .map(|(path, mode)| (path.clone(), (*mode, AtomicBool::new(false))))
                .collect(),
            set: modes.set.clone(),
            skip: skip.0.iter().map(|path| (path.clone(), AtomicBool::new(false))).collect(),
        }))
    }

    /// Whether what is at this path is left out. `path` is asked for only where there is a list.
    pub(crate) fn skips(&self, path: impl FnOnce() -> String) -> bool {
        !self.0.skip.is_empty() && self.0.skip.get(&path()).is_some_and(first_time)
    }

    /// How the mode of what is at this path is changed.
    pub(crate) fn change(&self, path: impl FnOnce() -> String) -> Option<ModeChange> {
        if self.0.add.is_empty() && self.0.set.is_empty() {
            return None;
        }
        let path = path();
        match self.0.add.get(&path) {
            Some((mode, met)) if first_time(met) => Some(ModeChange::Add(*mode)),
            _ => self.0.set.get(&path).map(|mode| ModeChange::Set(*mode)),
        }
    }

    /// Lines that matched nothing: of the list of modes, and of the list of what is left out.
    pub(crate) fn unmatched(&self) -> (Vec<String>, Vec<String>) {
        let unmet = |met: &AtomicBool| !met.load(Ordering::Relaxed);
        let modes = self.0.add.iter().filter(|(_, (_, met))| unmet(met)).map(|(path, _)| path.clone());
        let skip = self.0.skip.iter().filter(|(_, met)| unmet(met)).map(|(path, _)| path.clone());
        let (mut modes, mut skip): (Vec<_>, Vec<_>) = (modes.collect(), skip.collect());
        modes.sort_unstable();
        skip.sort_unstable();
        (modes, skip)
    }
}

fn first_time(met: &AtomicBool) -> bool {
    !met.swap(true, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_added_or_set_once_for_each_path() {
        let modes = ModeList::parse("2048 /a b\n=256 /c\n\n+5 /d\n").unwrap();
        let lists = Lists::new(&modes, &SkipList::parse("/x\n"));
        assert_eq!(lists.change(|| "/a b".to_owned()), Some(ModeChange::Add(2048)));
        assert_eq!(lists.change(|| "/a b".to_owned()), None);
        assert_eq!(lists.change(|| "/c".to_owned()), Some(ModeChange::Set(256)));
        assert_eq!(lists.change(|| "/c".to_owned()), Some(ModeChange::Set(256)));
        assert_eq!(lists.unmatched(), (vec!["/d".to_owned()], vec!["/x".to_owned()]));
        assert!(lists.skips(|| "/x".to_owned()));
        assert!(!lists.skips(|| "/x".to_owned()));
    }

    #[test]
    fn lines_that_make_no_sense_are_named() {
        for text in ["10", "abc /a", "0x10 /a", "-1 /a", "65535 /a", "=4096 /a", "99999999999 /a"] {
            assert_eq!(ModeList::parse(&format!("1 /a\n{text}")).unwrap_err().line, 2, "{text}");
        }
    }
}
