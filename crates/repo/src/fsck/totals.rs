//! What commits say that their trees hold in all, held against the trees. Directories are read once, whatever the number of
//! commits that share them; about 100 bytes of memory stay for each.

use super::{Problem, Problems};
use crate::Result;
use crate::announced::{Known, count};
use sapwood_objstore::{Commit, DirTree, Id, Store, Totals};

/// Notes the commits that announce something else than their trees hold. Those whose trees cannot be read cannot be told.
pub(super) fn check(
    store: &Store,
    announced: &[(Id<Commit>, Id<DirTree>, Totals)],
    problems: &mut Problems,
) -> Result<()> {
    let mut known = Known::new();
    for (commit, root, announced) in announced {
        let actual = count(*root, &mut known, &mut |tree| {
            let is_good = !problems.contains_key(&tree.name());
            Ok(if is_good { Some(store.load(tree)?) } else { None })
        })?;
        if let Some(actual) = actual.filter(|actual| actual != announced) {
            problems.entry(commit.name()).or_insert(Problem::WrongTotals { announced: *announced, actual });
        }
    }
    Ok(())
}
