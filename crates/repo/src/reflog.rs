//! The log of refs: where each was, since when, and what moved it.
//!
//! One text file below `extensions`, one line for each move, written under the lock of the refs once the ref has moved.
//! It is for people, not for the repository: it is never synced, a move whose line cannot be written (the disk is full,
//! the file another user's) has happened all the same, and lines that were torn by a crash or written by others are
//! passed over. Past [`MAX_BYTES`] the older half goes, by atomic replacement.
//!
//! Refs that real `ostree` moves leave no line; the next move of ours shows where it found them.

use crate::{CollectionId, Namespace, RefName, Refspec, RemoteName, Repo, Result};
use sapwood_fsio::{At, Dir};
use sapwood_objstore::{Commit, Id, ObjectId};
use std::fmt;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where it is.
const FOLDER: &str = "extensions/sapwood";
const PATH: &str = "extensions/sapwood/reflog";
/// How large it grows before the older half of it goes.
const MAX_BYTES: u64 = 1 << 20;
/// How much of one is read: those of ours are smaller.
const READ_BYTES: u64 = 8 << 20;
/// What stands for no commit.
const NONE: &str = "-";
/// Longest name of a command, in bytes.
const MAX_COMMAND_BYTES: usize = 64;

/// What this process does, as people would call it.
static COMMAND: OnceLock<String> = OnceLock::new();

/// Says what this process does: the log of refs of every repository names it with each move. Only the first call counts.
/// Without one the log says `library`.
pub fn name_command(command: &str) {
    drop(COMMAND.set(command.to_owned()));
}

/// One move of a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefMove {
    /// Which ref.
    pub name: Refspec,
    /// Where it was; `None` if it did not exist.
    pub old: Option<Id<Commit>>,
    /// Where it is since; `None` if it was deleted.
    pub new: Option<Id<Commit>>,
    /// When, in seconds since the epoch.
    pub at: u64,
    /// The command that moved it.
    pub command: String,
}

impl fmt::Display for RefMove {
    /// The line of the log, without its end: `TIME OLD NEW COMMAND REF`, where blanks in the command are underscores.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |id: &Option<Id<Commit>>| id.map_or_else(|| NONE.to_owned(), |id| id.to_hex());
        let (base, of) = match &self.name.namespace {
            Namespace::Local => ("heads", String::new()),
            Namespace::Remote(remote) => ("remotes", format!("{remote}/")),
            Namespace::Mirror(collection) => ("mirrors", format!("{collection}/")),
        };
        let (old, new, command) = (id(&self.old), id(&self.new), word(&self.command));
        write!(f, "{} {old} {new} {command} {base}/{of}{}", self.at, self.name.name)
    }
}

/// A command as one word: no blank, no control character, not empty, not too long.
fn word(command: &str) -> String {
    let mut word = String::new();
    for c in command.chars() {
        if word.len() + c.len_utf8() > MAX_COMMAND_BYTES {
            break;
        }
        word.push(if c.is_whitespace() || c.is_control() { '_' } else { c });
    }
    if word.is_empty() { "_".to_owned() } else { word }
}

impl RefMove {
    /// Reads a line of the log, without its end. `None` if it is none: it was torn, or somebody else's.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let at = words.next().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
        let (old, new) = (parse_id(words.next()?)?, parse_id(words.next()?)?);
        let command = words.next().filter(|text| word(text) == *text)?.to_owned();
        let name = parse_name(words.next()?)?;
        let is_whole = words.next().is_none() && (old.is_some() || new.is_some());
        is_whole.then_some(Self { name, old, new, at, command })
    }
}

#[expect(clippy::option_option, reason = "no id is a value, and what is neither is none")]
fn parse_id(text: &str) -> Option<Option<Id<Commit>>> {
    if text == NONE {
        return Some(None);
    }
    ObjectId::from_hex(text).ok().map(|id| Some(Id::new(id)))
}

fn parse_name(path: &str) -> Option<Refspec> {
    let (base, rest) = path.split_once('/')?;
    let named = |name: &str| RefName::new(name).ok();
    match base {
        "heads" => Some(Refspec::local(named(rest)?)),
        "remotes" => {
            let (remote, name) = rest.split_once('/')?;
            Some(Refspec::of_remote(RemoteName::new(remote).ok()?, named(name)?))
        }
        "mirrors" => {
            let (collection, name) = rest.split_once('/')?;
            Some(Refspec::mirrored(CollectionId::new(collection).ok()?, named(name)?))
        }
        _ => None,
    }
}

/// Where a ref was and is.
pub(crate) type Moved = (Refspec, Option<Id<Commit>>, Option<Id<Commit>>);

/// Notes moves that have happened. The caller holds the lock of the refs. A failure is passed over.
pub(crate) fn note(dir: &Dir, moved: Vec<Moved>) {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let command = COMMAND.get().map_or("library", String::as_str);
    let mut text = String::new();
    for (name, old, new) in moved.into_iter().filter(|(_, old, new)| old != new) {
        text += &RefMove { name, old, new, at, command: command.to_owned() }.to_string();
        text.push('\n');
    }
    if text.is_empty() {
        return;
    }
    if let Err(error) = append(dir, text) {
        tracing::debug!(%error, "the log of refs was not written");
    }
}

fn append(dir: &Dir, mut text: String) -> Result<()> {
    sapwood_fsio::ensure_dir(dir, FOLDER, 0o775)?;
    let size = sapwood_fsio::stat_optional(dir, PATH)?.map_or(0, |stat| stat.size);
    if size + text.len() as u64 <= MAX_BYTES {
        if size > 0 && is_torn(dir, size)? {
            text.insert(0, '\n');
        }
        return Ok(sapwood_fsio::append(dir, PATH, 0o644, text.as_bytes())?);
    }
    // What is too large to be ours makes way.
    let whole = sapwood_fsio::read_optional(dir, PATH, READ_BYTES).unwrap_or_default().unwrap_or_default();
    let is_torn = whole.last().is_some_and(|last| *last != b'\n');
    let tail = whole.get(whole.len().saturating_sub(usize::try_from(MAX_BYTES / 2).unwrap_or(0))..);
    let tail = tail.unwrap_or_default();
    let from = tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |end| end + 1);
    let mut new = tail.get(from..).unwrap_or_default().to_vec();
    if is_torn && !new.is_empty() {
        new.push(b'\n');
    }
    new.extend_from_slice(text.as_bytes());
    crate::write::replace(dir, PATH, &new, false)
}

/// Whether the last line has no end.
fn is_torn(dir: &Dir, size: u64) -> Result<bool> {
    let mut last = [0];
    let file = sapwood_fsio::open_file(dir, PATH)?;
    file.read_exact_at(&mut last, size - 1).at("read", PATH)?;
    Ok(last != *b"\n")
}

impl Repo {
    /// The moves of refs that are remembered, newest first. None where the log was never written; what in it is
    /// no move is passed over.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if it cannot be read.
    pub fn ref_moves(&self) -> Result<Vec<RefMove>> {
        let bytes = sapwood_fsio::read_optional(self.dir(), PATH, READ_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().rev().filter_map(RefMove::parse).collect())
    }

    /// Where a ref was before its last `back` moves: `REF@{back}`. `None` where it did not exist then, or that is not
    /// remembered.
    pub(crate) fn ref_before(&self, name: &Refspec, back: usize) -> Result<Option<Id<Commit>>> {
        let Some(before) = back.checked_sub(1) else { return self.ref_target(name) };
        let moves = self.ref_moves()?;
        Ok(moves.into_iter().filter(|moved| moved.name == *name).nth(before).and_then(|moved| moved.old))
    }
}
