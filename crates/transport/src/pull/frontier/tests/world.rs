//! The frontier against a model: random repositories, in every order of answers, with hints that are true, false or come
//! wrong, with parts of trees, histories to some depth, what deltas and caches brought, fetches that fail, room for no more
//! than the largest object, and pulls that end midway.

use super::*;
use crate::pull::subpath::{Selection, Share, Subpath};
use proptest::prelude::*;
use sapwood_repo::ClosureDirs;
use std::collections::BTreeSet;

const TREES: usize = 12;
const FILES: usize = 10;
const METAS: usize = 3;
const COMMITS: usize = 6;

/// A directory: its files, and its directories with their metadata. Both are called by their place.
type Dir = (Vec<usize>, Vec<(usize, usize)>);

/// A repository, and what is here of it. Larger numbers are only referred to by smaller ones, as a digest cannot be part of
/// what it digests.
#[derive(Debug, Clone)]
struct World {
    trees: Vec<Dir>,
    /// The root of each commit, and whether the next is its parent.
    commits: Vec<(usize, bool)>,
    /// What is here: of commits those that a delta brought, or that are here in part.
    here: BTreeSet<ObjectName>,
    /// Commits all of which is here.
    complete: BTreeSet<ObjectName>,
    /// What a repository of this machine has besides.
    cached: BTreeSet<ObjectName>,
    /// What the remote lacks: commits, and some that are only hinted at.
    gone: BTreeSet<ObjectName>,
    /// What closures say of the first root and of others: true or not.
    hints: Vec<ClosureDirs>,
    roots: Vec<(Id<Commit>, ParentsLeft)>,
    /// Which paths are wanted; none is all.
    paths: Vec<Vec<usize>>,
}

fn worlds() -> impl Strategy<Value = World> {
    let tree = (prop::collection::vec(0..FILES, 0..5), prop::collection::vec((1..TREES, 0..METAS), 0..4));
    let repository =
        (prop::collection::vec(tree, TREES), prop::collection::vec((0..TREES, any::<bool>()), COMMITS));
    let state = (
        prop::collection::vec(0..4_u8, TREES + FILES + METAS),
        prop::collection::vec(0..8_u8, COMMITS),
        prop::collection::vec(prop::bool::weighted(0.2), COMMITS),
    );
    let wanted = (
        prop::collection::vec((0..COMMITS, prop::option::of(0..4_u32)), 1..4),
        prop::collection::vec(prop::collection::vec(0..TREES + 4, 0..12), 0..3),
        prop_oneof![
            2 => Just(Vec::new()),
            1 => prop::collection::vec(prop::collection::vec(0..4_usize, 1..4), 1..4),
        ],
    );
    (repository, state, wanted).prop_map(|((trees, commits), (objects, of_commits, gone), wanted)| {
        let (roots, hints, paths) = wanted;
        let trees = trees.into_iter().enumerate().map(|(n, (files, dirs))| {
            let dirs = dirs.into_iter().filter(|_| n + 1 < TREES);
            (files, dirs.map(|(by, meta)| ((n + by).min(TREES - 1), meta)).collect())
        });
        let roots: Vec<_> = roots.into_iter().map(|(n, left)| (commit_id(n), left)).collect();
        let mut world = World {
            trees: trees.collect(),
            commits: commits
                .into_iter()
                .enumerate()
                .map(|(n, (root, up))| (root, up && n + 1 < COMMITS))
                .collect(),
            here: BTreeSet::new(),
            complete: BTreeSet::new(),
            cached: BTreeSet::new(),
            gone: (TREES..TREES + 4).map(|n| tree_id(n).name()).collect(),
            hints: Vec::new(),
            paths,
            roots,
        };
        let names = (0..TREES).map(|n| tree_id(n).name()).chain((0..FILES).map(|n| file_id(n).name()));
        let names = names.chain((0..METAS).map(|n| meta_id(n).name()));
        for (name, state) in names.zip(objects) {
            match state {
                0 => drop(world.here.insert(name)),
                1 => drop(world.cached.insert(name)),
                _ => {}
            }
        }
        for (n, state) in of_commits.into_iter().enumerate() {
            let name = commit_id(n).name();
            // A delta brings its commit and some of the rest; a commit that is complete has all.
            if state < 2 {
                world.here.insert(name);
            }
            if state == 0 {
                world.complete.insert(name);
                let whole = World { paths: Vec::new(), ..world.clone() };
                world.here.extend(whole.below(commit_id(n)));
            }
        }
        for (n, gone) in gone.into_iter().enumerate() {
            let name = commit_id(n).name();
            if gone && !world.here.contains(&name) && world.roots.iter().all(|(root, _)| root.name() != name)
            {
                world.gone.insert(name);
            }
        }
        world.hints = hints
            .into_iter()
            .map(|trees| ClosureDirs {
                trees: trees.into_iter().map(|n| (tree_id(n), 100)).collect(),
                metas: (0..METAS).map(|n| (meta_id(n), 100)).collect(),
            })
            .collect();
        world
    })
}

impl World {
    fn selection(&self) -> Option<Selection> {
        let path = |names: &Vec<usize>| {
            let names: Vec<_> = names.iter().map(|n| format!("/d{n}")).collect();
            Subpath::parse(&names.concat()).expect("a path")
        };
        let paths: Vec<_> = self.paths.iter().map(path).collect();
        Selection::new(&paths)
    }

    /// What an object refers to, as whoever reads it tells the frontier.
    fn contents(&self, name: ObjectName, part: Option<Part>) -> Contents {
        let number = usize::from(u16::from_le_bytes([name.id.as_bytes()[0], name.id.as_bytes()[1]]));
        match name.kind {
            ObjectKind::Commit => {
                let (root, has_parent) = self.commits[number];
                let is_complete = self.complete.contains(&name);
                Contents::Commit {
                    parent: has_parent.then(|| commit_id(number + 1)),
                    root: (!is_complete).then(|| (tree_id(root), meta_id(0))),
                    totals: Some(Totals { files: 100, dirs: 12, bytes: 0 }),
                }
            }
            ObjectKind::DirTree => {
                let (files, dirs) = &self.trees[number];
                let selection = self.selection();
                let share = |name: String| match (part, &selection) {
                    (Some(part), Some(selection)) => selection.share(part, &name),
                    _ => Share::Whole,
                };
                let files = files.iter().enumerate().filter(|(n, _)| share(format!("f{n}")) == Share::Whole);
                let dirs = dirs.iter().enumerate().filter_map(|(n, (tree, meta))| {
                    let part = match share(format!("d{n}")) {
                        Share::Nothing => return None,
                        Share::Part(part) => Some(part),
                        Share::Whole => None,
                    };
                    Some((tree_id(*tree), meta_id(*meta), part))
                });
                Contents::Tree {
                    files: files.map(|(_, file)| (file_id(*file), Some(*file as u64))).collect(),
                    dirs: dirs.collect(),
                }
            }
            _ => Contents::Leaf,
        }
    }

    /// What is wanted of a commit's tree, by plain recursion.
    fn below(&self, commit: Id<Commit>) -> BTreeSet<ObjectName> {
        let mut all = BTreeSet::new();
        let Contents::Commit { root: Some((root, meta)), .. } =
            (World { complete: BTreeSet::new(), ..self.clone() }).contents(commit.name(), None)
        else {
            unreachable!()
        };
        all.insert(meta.name());
        let mut left = vec![(root, self.selection().map(|_| Part::ROOT))];
        while let Some((tree, part)) = left.pop() {
            all.insert(tree.name());
            let Contents::Tree { files, dirs } = self.contents(tree.name(), part) else { unreachable!() };
            all.extend(files.iter().map(|(file, _)| file.name()));
            all.extend(dirs.iter().map(|(_, meta, _)| meta.name()));
            left.extend(dirs.iter().map(|(tree, _, part)| (*tree, *part)));
        }
        all
    }

    /// The commits that must be here at the end.
    fn history(&self) -> BTreeSet<Id<Commit>> {
        let mut all = BTreeSet::new();
        for (root, left) in &self.roots {
            let (mut at, mut left) = (Some(*root), *left);
            while let Some(commit) = at.filter(|commit| !self.gone.contains(&commit.name())) {
                all.insert(commit);
                let Contents::Commit { parent, .. } = self.contents(commit.name(), None) else {
                    unreachable!()
                };
                let Some(less) = one_less(left) else { break };
                (at, left) = (parent, less);
            }
        }
        all
    }

    /// All that must be here at the end.
    fn reachable(&self) -> BTreeSet<ObjectName> {
        let history = self.history();
        let trees = history.iter().flat_map(|commit| self.below(*commit));
        trees.chain(history.iter().map(Id::name)).collect()
    }
}

/// What a run did.
struct Run {
    frontier: Frontier,
    /// What was fetched, in order.
    fetched: Vec<ObjectName>,
    /// What was taken from the cache.
    taken: BTreeSet<ObjectName>,
    here: BTreeSet<ObjectName>,
}

/// The largest object takes so much room on its way. Where room is short, this is all there is.
const LARGEST: usize = 4;

/// What an object takes on its way; hints take none.
fn size(item: &Item) -> usize {
    if item.is_hint() { 0 } else { 1 + usize::from(item.name.id.as_bytes()[0]) % LARGEST }
}

/// Runs the frontier over the world, to its end or for so many answers; `picks` decides which open request gets on
/// next, when closures come, which hints come wrong, and which objects do, to be fetched again; and whether room is short. A
/// survey fetches no files.
fn run(world: &World, picks: &[usize], answers: usize, survey: bool) -> Result<Run, Excess> {
    let room = if picks.len().is_multiple_of(2) { LARGEST } else { usize::MAX };
    let part = world.selection().map(|_| Part::ROOT);
    let mut frontier = Frontier::new(Scope::Everything, part, 1000, 100);
    for (root, left) in &world.roots {
        frontier.want(*root, *left)?;
    }
    frontier.expect_closures(world.roots.iter().map(|(root, _)| *root));
    // With what each has taken of the room.
    let (mut looking, mut fetching) = (Vec::new(), Vec::<(Item, usize)>::new());
    let mut run = Run { frontier, fetched: Vec::new(), taken: BTreeSet::new(), here: world.here.clone() };
    let (mut looked, mut closures, mut wrong) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut hints = world.hints.clone();
    let mut picks = picks.iter().copied().cycle();
    let mut pick = move |len: usize| picks.next().unwrap_or(0) % len;
    for _ in 0..answers {
        let frontier = &mut run.frontier;
        if if survey { frontier.is_surveyed() } else { frontier.is_done() } {
            break;
        }
        if pick(4) == 0
            && let Some(commit) = frontier.next_closure()
        {
            assert!(closures.insert(commit), "asked for a closure twice");
            if let Some(dirs) = hints.pop() {
                frontier.hint(commit, dirs);
            }
        }
        while let Some(item) = frontier.next_look() {
            assert!(
                looked.insert((item.name, item.is_hint(), item.part.map(|part| format!("{part:?}")))),
                "looked twice"
            );
            looking.push(item);
        }
        while let Some(item) = if survey { frontier.next_meta() } else { frontier.next_fetch() } {
            assert!(!run.here.contains(&item.name), "fetching {:?}, which is here", item.name.id);
            assert!(fetching.iter().all(|(other, _)| other.name != item.name), "fetching it twice");
            assert!(!survey || item.name.kind != ObjectKind::File, "a survey fetches no files");
            fetching.push((item, 0));
        }
        assert!(!looking.is_empty() || !fetching.is_empty(), "neither done nor busy");
        let at = pick(looking.len() + fetching.len());
        if at < looking.len() {
            let item = looking.swap_remove(at);
            if run.here.contains(&item.name) {
                frontier.here(item, world.contents(item.name, item.part))?;
            } else if world.cached.contains(&item.name) {
                run.taken.insert(item.name);
                run.here.insert(item.name);
                frontier.taken(item, world.contents(item.name, item.part))?;
            } else {
                frontier.absent(item);
            }
        } else {
            let is_full = fetching.iter().map(|(_, taken)| taken).sum::<usize>() == room;
            let (item, taken) = fetching.swap_remove(at - looking.len());
            if taken < size(&item) {
                if is_full {
                    assert!(frontier.refused(item), "there is room for it alone");
                } else {
                    fetching.push((item, taken + 1));
                }
                continue;
            }
            let comes_wrong = pick(5) == 0 && wrong.insert(item.name);
            if world.gone.contains(&item.name) || (comes_wrong && item.is_hint()) {
                assert!(frontier.missing(item), "a parent may be missing, and a hint");
            } else if comes_wrong {
                // Whoever fetches tries again; the frontier does not hear of it.
                fetching.push((item, 0));
            } else {
                run.fetched.push(item.name);
                run.here.insert(item.name);
                frontier.arrived(item, world.contents(item.name, item.part))?;
            }
        }
    }
    Ok(run)
}

const ENOUGH: usize = 100_000;

/// What closures hint at.
fn hinted(world: &World) -> BTreeSet<ObjectName> {
    let trees = world.hints.iter().flat_map(|hints| hints.trees.iter().map(|(id, _)| id.name()));
    trees.chain((0..METAS).map(|n| meta_id(n).name())).collect()
}

proptest! {
    #[test]
    fn everything_reachable_and_absent_is_fetched_once_and_nothing_else_but_hints(
        world in worlds(),
        picks in prop::collection::vec(0..1000_usize, 1..40),
        stop in 0..60_usize,
    ) {
        let wanted: BTreeSet<_> = world.reachable().difference(&world.here).copied().collect();
        // A pull that ends midway, in failure or cancelled; then one that finds what it brought.
        let first = run(&world, &picks, stop, false).expect("within the limits");
        let rest = World { here: first.here.clone(), ..world.clone() };
        let is_early = first.frontier.is_done() && !world.reachable().is_subset(&first.here);
        prop_assert!(!is_early, "done before all is here");
        let second = run(&rest, &picks, ENOUGH, false).expect("within the limits");
        prop_assert!(second.frontier.is_done(), "it does not end");
        prop_assert!(world.reachable().is_subset(&second.here), "it stopped short");
        let both: Vec<_> = first.fetched.iter().chain(&second.fetched).copied().collect();
        let unique: BTreeSet<_> = both.iter().copied().collect();
        prop_assert_eq!(unique.len(), both.len(), "something was fetched twice");
        prop_assert!(unique.difference(&wanted).all(|name| hinted(&world).contains(name)));

        // Commits are said to be complete when they are, and none that was not walked.
        let walked: BTreeSet<_> = second.frontier.walked().collect();
        let to_walk = world.history().into_iter().filter(|commit| !world.complete.contains(&commit.name()));
        let to_walk: BTreeSet<_> = to_walk.filter(|_| world.paths.is_empty()).collect();
        prop_assert_eq!(walked, to_walk);

        let progress = second.frontier.progress();
        let missing = |is_file: bool| {
            let missing = wanted.iter().filter(|name| !rest.here.contains(name));
            missing.filter(|name| (name.kind == ObjectKind::File) == is_file).count() as u64
        };
        prop_assert!(progress.totals_final);
        prop_assert_eq!((progress.files_known, progress.files_done), (missing(true), missing(true)));
        prop_assert_eq!(progress.meta_known, progress.meta_done);
        prop_assert!(progress.meta_done >= missing(false));
        prop_assert_eq!(progress.content_bytes_known, progress.content_bytes_done);
    }

    #[test]
    fn a_survey_ends_with_all_metadata_and_knows_all_files_that_are_left(
        world in worlds(),
        picks in prop::collection::vec(0..1000_usize, 1..40),
    ) {
        let Run { frontier, here, .. } = run(&world, &picks, ENOUGH, true).expect("within the limits");
        prop_assert!(frontier.is_surveyed());
        let (files, meta): (BTreeSet<_>, BTreeSet<_>) =
            world.reachable().into_iter().partition(|name| name.kind == ObjectKind::File);
        prop_assert!(meta.is_subset(&here), "it stopped short");
        let left: BTreeSet<_> = frontier.files_left().map(|(name, _)| name).collect();
        prop_assert_eq!(left, files.difference(&here).copied().collect::<BTreeSet<_>>());
    }
}
