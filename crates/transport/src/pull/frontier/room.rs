//! Objects for which there was no room beside others on their way.
//!
//! A large object takes room as it comes, and more when it is stored, before what it came in goes again: several at once may
//! fill a disk that has room for one after the other. Whoever is refused gives back all that it took, and begins anew when
//! nothing else is on its way; until it has ended nothing else begins. So nobody who holds room waits for any, all that is
//! under way ends, and each object has its turn with all the room there is: a pull fails for want of it only when that is not
//! enough. An object is begun anew at most once for that. Hints hold no room, and are not waited for.

use super::{Frontier, Item};
use sapwood_objstore::ObjectKind;

/// The part of the frontier that is about room.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// What was refused, to be fetched when nothing else is on its way.
    refused: Vec<Item>,
    /// Whether one of these is on its way.
    is_taken: bool,
    /// Whether what was handed out last has been the only one on its way since.
    alone: bool,
}

impl Frontier {
    /// There was no room for an object that was to be fetched, and nothing of it is left: it is handed out again. `false` if
    /// there was nothing else on its way to blame: then it still is, and waiting is of no use.
    pub(crate) fn refused(&mut self, item: Item) -> bool {
        if item.is_hint() {
            return self.missing(item);
        }
        if self.turns.alone {
            return false;
        }
        self.outstanding = self.outstanding.saturating_sub(1);
        if item.name.kind == ObjectKind::File {
            self.queued_bytes = self.queued_bytes.saturating_add(item.size.unwrap_or(0));
        }
        self.turns.refused.push(item);
        true
    }

    /// What was refused, as soon as it can have all the room.
    pub(super) fn next_refused(&mut self) -> Option<Item> {
        if self.outstanding > 0 {
            return None;
        }
        let item = self.turns.refused.pop();
        self.turns.is_taken = item.is_some();
        item
    }

    /// Whether something that was refused is on its way now, and has all the room.
    pub(super) fn has_turn(&self) -> bool {
        self.turns.is_taken && self.outstanding > 0
    }

    /// Whether nothing is to begin, since something was refused.
    pub(super) fn is_held_up(&self) -> bool {
        self.turns.is_taken || !self.turns.refused.is_empty()
    }

    /// Hands out an object to be fetched.
    pub(super) fn begin(&mut self, item: Item) -> Item {
        self.turns.alone = self.outstanding == 0;
        self.outstanding += 1;
        if item.name.kind == ObjectKind::File {
            self.queued_bytes = self.queued_bytes.saturating_sub(item.size.unwrap_or(0));
        }
        item
    }
}
