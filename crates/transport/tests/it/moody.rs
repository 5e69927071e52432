//! Pulls in random worlds: a remote that fails, lies and goes away at random moments, until a pull comes through. Whatever
//! happens, nothing that arrived is fetched again, nothing unverified is kept, and no ref moves before all is here.

use crate::world::*;
use async_trait::async_trait;
use proptest::prelude::*;
use sapwood_objstore::{Commit, Format, Id, Mode, OnDamaged};
use sapwood_testkit::{Random, Tree};
use sapwood_transport::{
    DirRemote, FetchError, Limits, PullError, PullOptions, Range, Remote, Response, Subpath, Wanted,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A remote with moods.
#[derive(Debug)]
struct Moody {
    good: DirRemote,
    /// Has the same names, and in each object something else.
    bad: DirRemote,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// Requests until it goes away.
    left: usize,
    /// How often each path was served as it is.
    served: BTreeMap<String, usize>,
}

#[async_trait]
impl Remote for Moody {
    async fn get(
        &self,
        path: &str,
        range: Option<Range>,
        limits: Limits,
    ) -> Result<Option<Response>, FetchError> {
        let from = {
            let mut state = self.state.lock().unwrap();
            let gone = || FetchError::Broken { url: path.into(), received_bytes: 0, source: "gone".into() };
            state.left = state.left.checked_sub(1).ok_or_else(gone)?;
            // What lies beside objects has no id that could tell.
            let has_id = path.starts_with("objects/") && !path.ends_with("commitmeta");
            match state.random.below(20) {
                0 if has_id => &self.bad,
                1 if path.starts_with("closures/") => &self.bad,
                2 if path.starts_with("closures/") || path.starts_with("objects/") => return Err(gone()),
                _ => {
                    *state.served.entry(path.to_owned()).or_default() += 1;
                    &self.good
                }
            }
        };
        from.get(path, range, limits).await
    }

    fn describe(&self) -> String {
        "moody".to_owned()
    }
}

/// A copy of a repository in which nothing is what its name says.
fn spoilt(source: &Place) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let dir = open_dir(copy.path());
    let mut folders = vec![source.path().join("objects"), source.path().join("closures")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(source.path()).unwrap();
            drop(sapwood_fsio::ensure_dir(&dir, name.parent().unwrap(), 0o755).unwrap());
            sapwood_fsio::replace(&dir, name, 0o644, &[7; 40]).unwrap();
        }
    }
    copy
}

/// Three commits, each the parent of the next.
fn history(format: Format) -> (Place, Vec<Id<Commit>>) {
    let source = Place::new(format, Mode::Archive);
    let tree = |version: &str| {
        let mut tree = Tree::default();
        tree.file("etc/version", version);
        tree.file("etc/same", "in all of them");
        tree.file("usr/bin/tool", format!("tool {version}"));
        tree.file("usr/lib/a/b/deep", "deep");
        tree.symlink("bin", "usr/bin");
        tree
    };
    let commits = ["1", "2", "3"].map(|version| source.commit(BRANCH, &tree(version))).to_vec();
    source.repo.update_summary().unwrap();
    (source, commits)
}

/// What is pulled.
#[derive(Debug, Clone, Copy)]
enum What {
    Newest,
    All,
    Part,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pull_comes_through_whatever_happens_on_the_way_and_fetches_nothing_twice(
        native in any::<bool>(),
        what in prop_oneof![Just(What::Newest), Just(What::All), Just(What::Part)],
        from_old in any::<bool>(),
        seed in any::<u64>(),
    ) {
        const REQUESTS: usize = 3;
        let format = if native { Format::Native } else { Format::Ostree };
        let (source, commits) = history(format);
        let (newest, oldest) = (commits[2], commits[0]);
        let machine = Place::new(format, Mode::BareUser);
        let open = |path| DirRemote::new(open_dir(path), "moody");
        if from_old {
            let pinned = want(&format!("{BRANCH}@{oldest}"));
            pull_quietly(&machine.repo, Arc::new(open(source.path())), &pinned).unwrap();
        }
        let before = machine.repo.ref_target(&local(BRANCH)).unwrap();
        let there = stored(&machine.repo);
        let spoilt = spoilt(&source);
        let options = PullOptions {
            requests: REQUESTS,
            wanted: vec![Wanted::parse(BRANCH).unwrap()],
            depth: if matches!(what, What::All) { None } else { Some(0) },
            subpaths: match what {
                What::Part => vec![Subpath::parse("/usr/bin").unwrap(), Subpath::parse("/usr/lib/a").unwrap()],
                _ => Vec::new(),
            },
            ..PullOptions::default()
        };
        let mut random = Random::new(seed);
        let mut served: BTreeMap<String, usize> = BTreeMap::new();
        let mut failures = 0;
        loop {
            let left = random.below(30) + 5 + failures;
            let state = State { random: Random::new(random.next_u64()), left, served: BTreeMap::new() };
            let moody = Moody { good: open(source.path()), bad: open(spoilt.path()), state: Mutex::new(state) };
            let moody = Arc::new(moody);
            let repo = machine.reopen();
            let outcome = pull_quietly(&repo, Arc::clone(&moody) as Arc<dyn Remote>, &options);
            for (path, times) in &moody.state.lock().unwrap().served {
                *served.entry(path.clone()).or_default() += times;
            }
            let Err(error) = outcome else { break };
            let is_theirs = matches!(
                error,
                PullError::Fetch { .. } | PullError::BadObject { .. } | PullError::NotThere { .. }
            );
            prop_assert!(is_theirs, "{:?}", error);
            prop_assert_eq!(repo.ref_target(&local(BRANCH)).unwrap(), before, "a ref moved early");
            prop_assert_eq!(stored(&repo), there.clone(), "something is visible that nothing leads to");
            let leftovers = repo.store().leftovers(OnDamaged::Leave).unwrap();
            prop_assert!(leftovers.iter().all(|leftover| leftover.damaged.is_empty()), "{:?}", leftovers);
            failures += 1;
            prop_assert!(failures < 300, "it does not come forward");
        }
        let repo = machine.reopen();
        prop_assert_eq!(repo.ref_target(&local(BRANCH)).unwrap(), Some(newest));
        match what {
            What::Newest => drop(verified_objects(&repo, newest)),
            What::All => commits.iter().for_each(|commit| drop(verified_objects(&repo, *commit))),
            What::Part => prop_assert!(repo.is_partial(newest).unwrap()),
        }
        stored(&repo);
        // Commits are never taken over from a pull that failed. Of all else, what was under way may come again.
        let again: usize = served
            .iter()
            .filter(|(path, _)| path.starts_with("objects/") && !path.contains(".commit"))
            .map(|(_, times)| times - 1)
            .sum();
        prop_assert!(again <= failures * REQUESTS, "{again} came again after {failures} failures: {served:?}");
    }
}
