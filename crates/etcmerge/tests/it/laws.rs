//! Laws that hold for all trees.

use crate::tree::{Node, Tree};
use proptest::prelude::*;
use sapwood_etcmerge::{
    ChangeKind, Entry, EntryKind, Policy, Resolution, ScanOptions, Sides, Snapshot, apply, diff, merged,
    plan, scan,
};
use sapwood_fsio::{self as fsio, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Few names and contents, so that trees meet.
const NAMES: [&str; 4] = ["a", "b", "a.new-default", ".updated"];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(0), 6 => Just(1), 1 => Just(2), 1 => Just(3)]
        .prop_map(|index: usize| NAMES[index].to_owned())
}

fn node(fifos: bool) -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        6 => (0..3_u8, any::<bool>()).prop_map(|(content, closed)| Node::File {
            mode: if closed { 0o600 } else { 0o644 },
            content: content.to_string(),
        }),
        2 => (0..2_u8).prop_map(|target| Node::Link(target.to_string())),
        u32::from(fifos) => Just(Node::Fifo),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        (any::<bool>(), prop::collection::btree_map(name(), inner, 0..3))
            .prop_map(|(closed, nodes)| Node::Dir(Tree { mode: if closed { 0o700 } else { 0o755 }, nodes }))
    })
}

fn tree(fifos: bool) -> impl Strategy<Value = Tree> {
    (any::<bool>(), prop::collection::btree_map(name(), node(fifos), 0..4))
        .prop_map(|(closed, nodes)| Tree { mode: if closed { 0o750 } else { 0o755 }, nodes })
}

/// A tree and two that were made from it by a few edits each.
pub(crate) fn three(fifos: bool) -> impl Strategy<Value = [Tree; 3]> {
    let edit = move || (prop::collection::vec(name(), 1..4), prop::option::of(node(fifos)));
    let edits = move || (any::<bool>(), prop::collection::vec(edit(), 0..5));
    (tree(fifos), edits(), edits()).prop_map(|(base, ours, theirs)| {
        let [ours, theirs] = [ours, theirs].map(|(closed, edits)| {
            let mut tree = base.clone();
            if closed {
                tree.mode = 0o711;
            }
            for (path, node) in edits {
                tree.set(&path.iter().map(String::as_str).collect::<Vec<_>>(), node);
            }
            tree
        });
        [base, ours, theirs]
    })
}

fn without_stamp(tree: &Tree) -> Tree {
    let mut tree = tree.clone();
    tree.nodes.remove(".updated");
    tree
}

/// The merge once more, as a recursion over trees, with the local side kept.
mod model {
    use super::{BTreeSet, Node, Tree};

    pub(super) fn merge(base: &Tree, ours: &Tree, theirs: &Tree) -> Tree {
        let mode = if ours.mode == base.mode { theirs.mode } else { ours.mode };
        children(mode, Some(base), Some(ours), Some(theirs))
    }

    fn children(mode: u32, base: Option<&Tree>, ours: Option<&Tree>, theirs: Option<&Tree>) -> Tree {
        let sides = [base, ours, theirs];
        let names: BTreeSet<&String> = sides.iter().flatten().flat_map(|tree| tree.nodes.keys()).collect();
        let mut merged = Tree { mode, ..Tree::default() };
        for name in names {
            let [base, ours, theirs] = sides.map(|side| side.and_then(|tree| tree.nodes.get(name)));
            if let Some(node) = one(base, ours, theirs) {
                merged.nodes.insert(name.clone(), node);
            }
        }
        merged
    }

    fn one(base: Option<&Node>, ours: Option<&Node>, theirs: Option<&Node>) -> Option<Node> {
        // A special file counts as nothing, or as no change where the defaults have one.
        let ours = if ours == Some(&Node::Fifo) && base != ours { None } else { ours };
        let dir = |mode| Some(Node::Dir(children(mode, tree(base), tree(ours), tree(theirs))));
        if !same_itself(base, ours) {
            return match ours {
                Some(Node::Dir(ours)) => dir(ours.mode),
                other => other.cloned(),
            };
        }
        match (ours, theirs) {
            (_, Some(Node::Dir(theirs))) => dir(theirs.mode),
            (Some(Node::Dir(local)), _) if has_new(tree(base), local) => dir(local.mode),
            (_, other) => other.cloned(),
        }
    }

    fn tree(node: Option<&Node>) -> Option<&Tree> {
        match node {
            Some(Node::Dir(tree)) => Some(tree),
            _ => None,
        }
    }

    /// Whether two nodes are the same but for what is in them.
    fn same_itself(a: Option<&Node>, b: Option<&Node>) -> bool {
        match (a, b) {
            (Some(Node::Dir(a)), Some(Node::Dir(b))) => a.mode == b.mode,
            (a, b) => a == b,
        }
    }

    /// Whether something was added or modified in it.
    fn has_new(base: Option<&Tree>, ours: &Tree) -> bool {
        ours.nodes.iter().any(|(name, node)| {
            let old = base.and_then(|base| base.nodes.get(name));
            if matches!(node, Node::Fifo) {
                return false;
            }
            !same_itself(old, Some(node)) || matches!(node, Node::Dir(inner) if has_new(tree(old), inner))
        })
    }
}

fn entries() -> impl Strategy<Value = Snapshot> {
    let kind = prop_oneof![
        Just(EntryKind::Dir),
        (0..2_u64).prop_map(|size| EntryKind::File { size, digest: [0; 32] }),
        Just(EntryKind::Symlink { target: "x".into() }),
        Just(EntryKind::Other(Kind::Socket)),
    ];
    let entry =
        (kind, 0..2_u32).prop_map(|(kind, mode)| Entry { kind, mode, uid: 0, gid: 0, xattrs: Vec::new() });
    let part = prop_oneof![8 => name(), 1 => Just("..".to_owned()), 1 => Just("/".to_owned())];
    let path = prop::collection::vec(part, 0..5).prop_map(|parts| parts.iter().collect::<PathBuf>());
    prop::collection::btree_map(path, entry, 0..12).prop_map(Snapshot)
}

/// Paths at which two snapshots differ.
fn changed<'a>(from: &'a Snapshot, to: &'a Snapshot) -> BTreeSet<&'a Path> {
    from.iter().chain(to.iter()).map(|(path, _)| path).filter(|path| from.get(path) != to.get(path)).collect()
}

const POLICIES: [Policy; 3] = [Policy::KeepLocal, Policy::KeepNew, Policy::KeepBoth];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn an_untouched_etc_becomes_the_new_defaults([base, _, theirs] in three(true)) {
        let (base, expected, theirs) = (base.snapshot(), without_stamp(&theirs).snapshot(), theirs.snapshot());
        let sides = Sides { base: &base, ours: &base, theirs: &theirs };
        for policy in POLICIES {
            prop_assert_eq!(&merged(sides, policy), &expected);
            let plan = plan(sides, policy);
            prop_assert!(plan.conflicts.is_empty() && plan.skipped.is_empty());
            prop_assert!(plan.actions.iter().all(|action| action.path() == Path::new(".updated")));
        }
    }

    #[test]
    fn unchanged_defaults_leave_local_as_it_is([base, ours, _] in three(false)) {
        let expected = without_stamp(&ours).snapshot();
        let (base, ours) = (base.snapshot(), ours.snapshot());
        let sides = Sides { base: &base, ours: &ours, theirs: &base };
        for policy in POLICIES {
            prop_assert_eq!(&merged(sides, policy), &expected);
            prop_assert!(plan(sides, policy).conflicts.is_empty());
        }
    }

    #[test]
    fn sides_that_agree_have_no_conflict([base, ours, _] in three(false)) {
        let expected = without_stamp(&ours).snapshot();
        let (base, ours) = (base.snapshot(), ours.snapshot());
        let sides = Sides { base: &base, ours: &ours, theirs: &ours };
        for policy in POLICIES {
            prop_assert_eq!(&merged(sides, policy), &expected);
            prop_assert!(plan(sides, policy).conflicts.is_empty());
        }
    }

    #[test]
    fn the_result_is_that_of_the_model([base, ours, theirs] in three(true)) {
        let expected = {
            let [base, ours, theirs] = [&base, &ours, &theirs].map(without_stamp);
            model::merge(&base, &ours, &theirs).snapshot()
        };
        let [base, ours, theirs] = [base, ours, theirs].map(|tree| tree.snapshot());
        let sides = Sides { base: &base, ours: &ours, theirs: &theirs };
        prop_assert_eq!(merged(sides, Policy::KeepLocal), expected);
    }

    #[test]
    fn keeping_the_new_is_keeping_local_with_the_sides_swapped([base, ours, theirs] in three(false)) {
        let [base, ours, theirs] = [base, ours, theirs].map(|tree| tree.snapshot());
        let sides = Sides { base: &base, ours: &ours, theirs: &theirs };
        let swapped = Sides { base: &base, ours: &theirs, theirs: &ours };
        prop_assert_eq!(merged(sides, Policy::KeepNew), merged(swapped, Policy::KeepLocal));
        let paths = |sides, policy| plan(sides, policy).conflicts.into_iter().map(|c| c.path).collect::<Vec<_>>();
        prop_assert_eq!(paths(sides, Policy::KeepNew), paths(swapped, Policy::KeepLocal));
    }

    #[test]
    fn conflicts_are_exactly_the_changes_that_are_not_honoured([base, ours, theirs] in three(false)) {
        let [base, ours, theirs] = [base, ours, theirs].map(|tree| without_stamp(&tree).snapshot());
        let sides = Sides { base: &base, ours: &ours, theirs: &theirs };
        for (policy, wins, loses) in [(Policy::KeepLocal, &ours, &theirs), (Policy::KeepNew, &theirs, &ours)] {
            let result = merged(sides, policy);
            for path in changed(&base, wins) {
                prop_assert_eq!(result.get(path), wins.get(path), "{:?} at {}", policy, path.display());
            }
            let lost: Vec<_> =
                changed(&base, loses).into_iter().filter(|path| result.get(path) != loses.get(path)).collect();
            let plan = plan(sides, policy);
            let listed: Vec<_> = plan.conflicts.iter().map(|conflict| conflict.path.as_path()).collect();
            prop_assert_eq!(listed, lost);
        }
    }

    #[test]
    fn keeping_both_only_adds_what_is_beside([base, ours, theirs] in three(true)) {
        let [base, ours, theirs] = [base, ours, theirs].map(|tree| tree.snapshot());
        let sides = Sides { base: &base, ours: &ours, theirs: &theirs };
        let (local, both) = (merged(sides, Policy::KeepLocal), merged(sides, Policy::KeepBoth));
        let plan = plan(sides, Policy::KeepBoth);
        let beside: Vec<&PathBuf> = plan.conflicts.iter().filter_map(|conflict| match &conflict.resolution {
            Resolution::KeptBoth { beside } => Some(beside),
            _ => None,
        }).collect();
        for path in changed(&local, &both) {
            prop_assert!(beside.iter().any(|beside| path.starts_with(beside)), "{}", path.display());
        }
    }

    #[test]
    fn the_result_is_a_tree([base, ours, theirs] in three(true)) {
        let [base, ours, theirs] = [base, ours, theirs].map(|tree| tree.snapshot());
        let sides = Sides { base: &base, ours: &ours, theirs: &theirs };
        for policy in POLICIES {
            let result = merged(sides, policy);
            prop_assert!(result.get("").is_some_and(Entry::is_dir));
            for (path, _) in result.iter() {
                let parent = path.parent().unwrap_or(Path::new(""));
                prop_assert!(result.get(parent).is_some_and(Entry::is_dir), "{}", path.display());
            }
        }
    }

    #[test]
    fn planning_is_total_even_for_what_is_no_tree(base in entries(), ours in entries(), theirs in entries()) {
        let sides = Sides { base: &base, ours: &ours, theirs: &theirs };
        for policy in POLICIES {
            let plan = plan(sides, policy);
            let result = merged(sides, policy);
            prop_assert!(plan.copies() + plan.removals() <= plan.actions.len());
            prop_assert!(result.get("").is_none_or(Entry::is_dir));
        }
    }

    #[test]
    fn the_differences_lead_from_one_tree_to_the_other([base, ours, _] in three(true)) {
        let (base, ours) = (base.snapshot(), ours.snapshot());
        let mut rebuilt: BTreeMap<_, _> = base.0.clone();
        for change in diff(&base, &ours) {
            match (change.kind, ours.get(&change.path)) {
                (ChangeKind::Removed, None) => prop_assert!(rebuilt.remove(&change.path).is_some()),
                (ChangeKind::Added, Some(entry)) => {
                    prop_assert!(rebuilt.insert(change.path, entry.clone()).is_none());
                }
                (ChangeKind::Modified, Some(entry)) => {
                    prop_assert!(rebuilt.insert(change.path, entry.clone()).is_some_and(|old| old != *entry));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(Snapshot(rebuilt), ours);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_on_disk_afterwards_is_the_merged_tree_once_or_twice([base, ours, theirs] in three(true)) {
        let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority()).expect("a directory");
        let made = [("base", &base), ("local", &ours), ("new", &theirs)].map(|(name, tree)| {
            let made = fsio::create_dir(&dir, name, 0o755).expect("made");
            tree.write(&made).expect("written");
            made
        });
        let [old, local, new] = &made;
        let options = ScanOptions::default();
        let [a, b, c] = [old, local, new].map(|dir| scan(dir, &options).expect("scanned"));
        let sides = Sides { base: &a, ours: &b, theirs: &c };
        for policy in POLICIES {
            fsio::remove_tree(&dir, "target").expect("removed");
            let target = &fsio::create_dir(&dir, "target", 0o755).expect("made");
            theirs.write(target).expect("written");
            let plan = plan(sides, policy);
            let expected = merged(sides, policy);
            for _ in 0..2 {
                let applied = apply(&plan, local, target, new).expect("applied");
                prop_assert!(applied.not_kept.is_empty());
                prop_assert_eq!(applied.copied, plan.copies() as u64);
                prop_assert_eq!(applied.copied_bytes, plan.copied_bytes());
                prop_assert_eq!(&scan(target, &options).expect("scanned"), &expected);
            }
        }
        prop_assert_eq!([old, local, new].map(|dir| Tree::read(dir).expect("read")), [base, ours, theirs]);
    }
}
