//! What commits say that their trees hold in all, held against the trees. Directories are read once, whatever the number of
//! commits that share them; about 100 bytes of memory stay for each.

use super::{Problem, Problems};
use crate::Result;
use crate::tree::MAX_DEPTH;
use sapwood_objstore::{Commit, DirTree, Id, Store, Totals};
use std::collections::HashMap;

/// A directory being counted: what it holds so far, and what is below it still.
struct Level {
    tree: Id<DirTree>,
    below: Vec<Id<DirTree>>,
    totals: Totals,
}

/// Notes the commits that announce something else than their trees hold. Those whose trees have problems already cannot be told.
pub(super) fn check(
    store: &Store,
    announced: &[(Id<Commit>, Id<DirTree>, Totals)],
    problems: &mut Problems,
) -> Result<()> {
    let mut known = HashMap::new();
    for (commit, root, announced) in announced {
        match count(store, *root, &mut known, problems)? {
            Some(actual) if actual != *announced => {
                problems
                    .entry(commit.name())
                    .or_insert(Problem::WrongTotals { announced: *announced, actual });
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a tree holds; `None` where a directory of it has a problem, or it is deeper than any tree may be.
fn count(
    store: &Store,
    root: Id<DirTree>,
    known: &mut HashMap<Id<DirTree>, Totals>,
    problems: &Problems,
) -> Result<Option<Totals>> {
    let open = |tree: Id<DirTree>| -> Result<Option<Level>> {
        if problems.contains_key(&tree.name()) {
            return Ok(None);
        }
        let loaded = store.load(tree)?;
        let bytes = loaded.files().iter().filter_map(|entry| entry.size);
        let totals =
            Totals { files: loaded.files().len() as u64, dirs: 1, bytes: bytes.fold(0, u64::saturating_add) };
        Ok(Some(Level { tree, below: loaded.dirs().iter().map(|entry| entry.tree).collect(), totals }))
    };
    if let Some(totals) = known.get(&root) {
        return Ok(Some(*totals));
    }
    let Some(first) = open(root)? else { return Ok(None) };
    let mut levels = vec![first];
    loop {
        let depth = levels.len();
        let Some(level) = levels.last_mut() else { return Ok(None) };
        if let Some(tree) = level.below.pop() {
            if let Some(totals) = known.get(&tree) {
                add(&mut level.totals, *totals);
                continue;
            }
            let Some(next) = open(tree)?.filter(|_| depth <= MAX_DEPTH) else { return Ok(None) };
            levels.push(next);
        } else {
            let Some(Level { tree, totals, .. }) = levels.pop() else { return Ok(None) };
            known.insert(tree, totals);
            match levels.last_mut() {
                Some(above) => add(&mut above.totals, totals),
                None => return Ok(Some(totals)),
            }
        }
    }
}

/// Sizes are what others wrote: a sum of them may be too large for any number.
fn add(to: &mut Totals, more: Totals) {
    to.files = to.files.saturating_add(more.files);
    to.dirs = to.dirs.saturating_add(more.dirs);
    to.bytes = to.bytes.saturating_add(more.bytes);
}
