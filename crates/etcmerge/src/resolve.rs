//! The rule of the merge, for a side that prevails and one that yields; who is who is the policy's affair.
//!
//! Every change of the side that prevails is honoured. A change of the other one is lost when
//! - the one that prevails changed that path too, differently; or
//! - it is below a path that the one that prevails turned into something other than a directory; or
//! - it takes away a directory below which the one that prevails has a change that needs it.

use crate::{Entry, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Paths and entries that live as long as the snapshots do.
pub(crate) type View<'a> = BTreeMap<&'a Path, &'a Entry>;

/// The three trees as views.
#[derive(Debug)]
pub(crate) struct Views<'a> {
    pub(crate) base: View<'a>,
    pub(crate) prevails: View<'a>,
    pub(crate) yields: View<'a>,
}

/// What came out.
#[derive(Debug)]
pub(crate) struct Resolved<'a> {
    pub(crate) result: View<'a>,
    /// Paths at which the side that yields has a change that is not honoured, sorted.
    pub(crate) lost: Vec<&'a Path>,
}

pub(crate) fn view(snapshot: &Snapshot) -> View<'_> {
    snapshot.iter().collect()
}

pub(crate) fn resolve<'a>(views: &Views<'a>) -> Resolved<'a> {
    let Views { base, prevails, yields } = views;
    let needed = needed_directories(base, prevails);
    let paths: BTreeSet<&Path> = base.keys().chain(prevails.keys()).chain(yields.keys()).copied().collect();
    let mut resolved = Resolved { result: View::new(), lost: Vec::new() };
    // The topmost path that the side that prevails made something other than a directory, while we are below it.
    let mut closed: Option<&Path> = None;
    for path in paths {
        let [old, strong, weak] = [base, prevails, yields].map(|side| side.get(path).copied());
        closed = closed.filter(|closed| path.starts_with(closed));
        let outcome = if closed.is_some() {
            None
        } else if strong != old {
            if !strong.is_some_and(Entry::is_dir) {
                closed = Some(path);
            }
            strong
        } else if needed.contains(path) && !weak.is_some_and(Entry::is_dir) {
            strong
        } else {
            weak
        };
        if weak != old && weak != outcome {
            resolved.lost.push(path);
        }
        if let Some(entry) = outcome {
            resolved.result.insert(path, entry);
        }
    }
    resolved
}

/// All directories on the way to what the side that prevails added or modified.
fn needed_directories<'a>(base: &View<'a>, prevails: &View<'a>) -> BTreeSet<&'a Path> {
    let mut needed = BTreeSet::new();
    for (path, entry) in prevails {
        if base.get(path) == Some(entry) {
            continue;
        }
        for ancestor in path.ancestors().skip(1) {
            if !needed.insert(ancestor) {
                break;
            }
        }
    }
    needed
}
