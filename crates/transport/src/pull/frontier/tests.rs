//! The frontier: what it asks for, what it refuses, and against a [model](world).

mod world;

use super::*;
use sapwood_repo::ClosureDirs;
use std::collections::BTreeSet;

fn raw(kind: u8, number: usize) -> ObjectId {
    let mut bytes = [kind; 32];
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    ObjectId::from_bytes(bytes)
}

fn tree_id(number: usize) -> Id<DirTree> {
    Id::new(raw(1, number))
}

fn meta_id(number: usize) -> Id<DirMeta> {
    Id::new(raw(2, number))
}

fn file_id(number: usize) -> Id<kind::File> {
    Id::new(raw(3, number))
}

fn commit_id(number: usize) -> Id<Commit> {
    Id::new(raw(4, number))
}

/// How many times the frontier waits for the remote until it has a tree so deep, if all that it asks for at once comes
/// at once.
fn round_trips(depth: usize, hints: Option<ClosureDirs>) -> usize {
    let mut frontier = Frontier::new(Scope::Everything, None, 1000, 1000);
    frontier.want(commit_id(0), Some(0)).expect("within the limits");
    if let Some(hints) = hints {
        frontier.hint(commit_id(0), hints);
    }
    let contents = |name: ObjectName| match (name.kind, endless(name)) {
        (ObjectKind::DirTree, Contents::Tree { dirs, .. }) if dirs[0].0 == tree_id(depth) => {
            Contents::Tree { files: vec![(file_id(0), Some(1))], dirs: Vec::new() }
        }
        (_, contents) => contents,
    };
    let mut here = BTreeSet::new();
    let mut trips = 0;
    while !frontier.is_done() {
        while let Some(item) = frontier.next_look() {
            if here.contains(&item.name) {
                frontier.here(item, contents(item.name)).expect("within the limits");
            } else {
                frontier.absent(item);
            }
        }
        let asked: Vec<_> = std::iter::from_fn(|| frontier.next_fetch()).collect();
        trips += usize::from(!asked.is_empty());
        for item in asked {
            assert!(here.insert(item.name), "fetched twice");
            frontier.arrived(item, contents(item.name)).expect("within the limits");
        }
    }
    assert_eq!(here.len(), depth + 3, "the commit, the dirtrees, a dirmeta and a file");
    trips
}

#[test]
fn a_closure_spares_a_round_trip_for_each_level_of_directories() {
    let closure =
        ClosureDirs { trees: (0..50).map(|n| (tree_id(n), 100)).collect(), metas: vec![(meta_id(0), 6)] };
    // The commit, each directory, the file; with the closure the commit, the directories, the file.
    assert_eq!(round_trips(50, None), 52);
    assert_eq!(round_trips(50, Some(closure)), 3);
}

#[test]
fn a_closure_that_says_more_than_the_commit_holds_is_not_used() {
    let dirs = |trees: usize, bytes| ClosureDirs {
        trees: (0..trees).map(|n| (tree_id(n), bytes)).collect(),
        metas: Vec::new(),
    };
    let hinted = |dirs: ClosureDirs| {
        let mut frontier = Frontier::new(Scope::Everything, None, 20, 20);
        frontier.want(commit_id(0), Some(0)).expect("within the limits");
        let commit = frontier.next_look().expect("the commit");
        let totals = Some(Totals { files: 1, dirs: 30, bytes: 0 });
        let root = Some((tree_id(0), meta_id(0)));
        frontier.here(commit, Contents::Commit { parent: None, root, totals }).expect("within the limits");
        frontier.hint(Id::new(commit.name.id), dirs);
        std::iter::from_fn(|| frontier.next_look()).filter(Item::is_hint).count()
    };
    // The root is known already.
    assert_eq!(hinted(dirs(15, 1000)), 14);
    assert_eq!(hinted(dirs(31, 1000)), 0, "more than the commit has");
    assert_eq!(hinted(dirs(18, 1000)), 0, "more than the limit");
    assert_eq!(hinted(dirs(15, 1 << 20)), 0, "more bytes than there can be");
}

/// Directories that nobody has.
fn made_up(from: usize, number: usize) -> ClosureDirs {
    ClosureDirs { trees: (from..from + number).map(|n| (tree_id(n), 1)).collect(), metas: Vec::new() }
}

/// A frontier that wants so many commits and expects closures of them.
fn wanting(commits: usize) -> Frontier {
    let mut frontier = Frontier::new(Scope::Everything, None, u64::MAX, 100);
    let ids = (0..commits).map(commit_id);
    ids.clone().for_each(|commit| frontier.want(commit, Some(0)).expect("within the limits"));
    frontier.expect_closures(ids);
    frontier
}

#[test]
fn few_closures_are_asked_for_before_their_commits_are_here_and_each_once() {
    let mut frontier = wanting(6);
    let mut asked: Vec<_> = std::iter::from_fn(|| frontier.next_closure()).collect();
    assert_eq!(asked.len(), 2);
    assert!(!frontier.has_closure());
    while let Some(item) = frontier.next_look() {
        let totals = Some(Totals { files: 1, dirs: 1, bytes: 0 });
        let root = Some((tree_id(0), meta_id(0)));
        if item.name.kind == ObjectKind::Commit {
            frontier.here(item, Contents::Commit { parent: None, root, totals }).expect("within the limits");
        }
    }
    asked.extend(std::iter::from_fn(|| frontier.next_closure()));
    assert_eq!(asked.iter().collect::<std::collections::HashSet<_>>().len(), asked.len());
    assert_eq!(asked.len(), 6);
}

#[test]
fn what_closures_make_the_frontier_remember_is_bounded() {
    let hints =
        |frontier: &mut Frontier| std::iter::from_fn(|| frontier.next_look()).filter(Item::is_hint).count();
    // Two that wait for their commits: the second is too much.
    let mut frontier = wanting(2);
    frontier.hint(commit_id(0), made_up(0, 600_000));
    frontier.hint(commit_id(1), made_up(600_000, 600_000));
    let totals = Some(Totals { files: 0, dirs: u64::MAX, bytes: 0 });
    let root = Some((tree_id(0), meta_id(0)));
    for commit in [frontier.next_look(), frontier.next_look()] {
        let contents = Contents::Commit { parent: None, root, totals };
        frontier.here(commit.expect("a commit"), contents).expect("within the limits");
    }
    assert_eq!(hints(&mut frontier), 599_999, "of the first alone; its root is known");
    // And one for a commit that is here, while those are under way.
    frontier.hint(commit_id(1), made_up(2_000_000, 600_000));
    assert_eq!(hints(&mut frontier), 0);
}

fn step(frontier: &mut Frontier, contents: impl Fn(ObjectName) -> Contents) -> Result<bool, Excess> {
    while let Some(item) = frontier.next_look() {
        frontier.absent(item);
    }
    match frontier.next_fetch() {
        Some(item) => frontier.arrived(item, contents(item.name)).map(|()| true),
        None => Ok(false),
    }
}

/// A remote that makes up a directory in each directory.
fn endless(name: ObjectName) -> Contents {
    let number = u64::from_le_bytes(name.id.as_bytes()[..8].try_into().expect("8 bytes"));
    let number = usize::try_from(number).expect("small");
    match name.kind {
        ObjectKind::Commit => Contents::Commit {
            parent: None,
            root: Some((tree_id(0), meta_id(0))),
            totals: Some(Totals { files: 1, dirs: 1000, bytes: 0 }),
        },
        ObjectKind::DirTree => {
            Contents::Tree { files: Vec::new(), dirs: vec![(tree_id(number + 1), meta_id(0), None)] }
        }
        _ => Contents::Leaf,
    }
}

#[test]
fn endless_depth_is_refused() {
    let mut frontier = Frontier::new(Scope::Everything, None, u64::MAX, 50);
    frontier.want(commit_id(0), Some(0)).expect("within the limits");
    let excess = loop {
        match step(&mut frontier, endless) {
            Ok(true) => {}
            Ok(false) => panic!("it cannot be done"),
            Err(excess) => break excess,
        }
    };
    assert_eq!(excess, Excess::Depth(tree_id(51).name()));
}

#[test]
fn endless_objects_are_refused() {
    let mut frontier = Frontier::new(Scope::Everything, None, 20, u32::MAX);
    frontier.want(commit_id(0), Some(0)).expect("within the limits");
    let excess = loop {
        match step(&mut frontier, endless) {
            Ok(more) => assert!(more, "it cannot be done"),
            Err(excess) => break excess,
        }
    };
    assert_eq!(excess, Excess::Objects);
}

#[test]
fn a_commit_asked_for_must_be_there() {
    let mut frontier = Frontier::new(Scope::Everything, None, 20, 20);
    frontier.want(commit_id(0), Some(0)).expect("within the limits");
    let item = frontier.next_look().expect("the commit");
    frontier.absent(item);
    let item = frontier.next_fetch().expect("the commit");
    assert!(!frontier.missing(item));
}

#[test]
fn a_tree_is_not_looked_at_if_only_commits_are_wanted() {
    let mut frontier = Frontier::new(Scope::CommitsOnly, None, 20, 20);
    frontier.want(commit_id(0), Some(0)).expect("within the limits");
    while step(&mut frontier, endless).expect("within the limits") {}
    assert!(frontier.is_done());
    assert_eq!(frontier.progress().meta_done, 1);
    assert_eq!(frontier.walked().count(), 0);
}

#[test]
fn a_directory_of_which_several_parts_are_wanted_is_fetched_once_and_walked_for_each() {
    let mut frontier = Frontier::new(Scope::Everything, Some(Part::ROOT), 100, 20);
    frontier.want(commit_id(0), Some(0)).expect("within the limits");
    // The root refers to one directory twice, once for a part of it and once for all.
    let contents = |item: &Item| match item.name.kind {
        ObjectKind::Commit => {
            Contents::Commit { parent: None, root: Some((tree_id(0), meta_id(0))), totals: None }
        }
        ObjectKind::DirTree if item.name == tree_id(0).name() => {
            let shared = |part| (tree_id(1), meta_id(0), part);
            Contents::Tree { files: Vec::new(), dirs: vec![shared(Some(Part::ROOT)), shared(None)] }
        }
        ObjectKind::DirTree => {
            let files = (0..3).filter(|file| item.part.is_none() || *file == 0);
            let files = files.map(|file| (file_id(file), None)).collect();
            Contents::Tree { files, dirs: Vec::new() }
        }
        _ => Contents::Leaf,
    };
    let mut stored = BTreeSet::new();
    while !frontier.is_done() {
        while let Some(item) = frontier.next_look() {
            if stored.contains(&item.name) {
                frontier.here(item, contents(&item)).expect("within the limits");
            } else {
                frontier.absent(item);
            }
        }
        if let Some(item) = frontier.next_fetch() {
            assert!(stored.insert(item.name), "fetched twice");
            frontier.arrived(item, contents(&item)).expect("within the limits");
        }
    }
    let files = stored.iter().filter(|name| name.kind == ObjectKind::File).count();
    assert_eq!((stored.len(), files), (7, 3));
    assert_eq!(frontier.walked().count(), 0, "the commit stays incomplete");
}
