//! Only what is proven to be the newest is pulled: attacks with old and mixed states, each against a real server and from a
//! directory. Nothing of them enters the repository, no ref moves, and what was seen is remembered.

use crate::world::{
    BRANCH, FORMATS, Place, http, local, open_dir, pull_quietly, runtime, served, small_tree, stored, want,
};
use sapwood_objstore::{Commit, Format, Id, Mode};
use sapwood_repo::sign::Ed25519;
use sapwood_repo::statement::{FreshnessError, Key, KeySet, Role, StatementFile};
use sapwood_repo::{CommitOptions, Expected, ImportOptions, Modifiers, RefEdit, RemoteName, Repo};
use sapwood_testkit::Tree;
use sapwood_transport::{
    Age, Bindings, Freshness, PullError, PullEvent, PullOptions, RefsInto, SummaryCache, Wanted, pull,
    pull_local, remote_refs,
};

const PUBLISHER: u8 = 9;
const FILES: [&str; 2] = ["summary", "statement"];

fn key(number: u8) -> Ed25519 {
    Ed25519::signer(&Ed25519::generate(&[number; 32]).0).unwrap()
}

fn role(numbers: &[u8]) -> Role {
    role_of(1, numbers)
}

fn role_of(threshold: u32, numbers: &[u8]) -> Role {
    let keys: Vec<Key> = numbers.iter().map(|number| key(*number).public().unwrap()).collect();
    Role::new(threshold, keys).unwrap()
}

/// A repository whose owner is key 1.
fn begun(format: Format, repository: u8) -> (Place, [u8; 32]) {
    begun_by(format, repository, role(&[1]))
}

fn begun_by(format: Format, repository: u8, owners: Role) -> (Place, [u8; 32]) {
    let place = Place::new(format, Mode::Archive);
    let first = KeySet { repository: [repository; 32], version: 1, owners, publishers: role(&[PUBLISHER]) };
    let root = first.id();
    state(&place.repo, StatementFile::begin(first));
    (place, root)
}

fn state(repo: &Repo, file: StatementFile) {
    repo.change_statement(|_| Ok::<_, sapwood_repo::Error>(file)).unwrap();
}

/// Commits at a time, and publishes that.
fn published(place: &Place, version: &str, timestamp: u64) -> Id<Commit> {
    published_tree(place, &small_tree(version), timestamp)
}

fn published_tree(place: &Place, tree: &Tree, timestamp: u64) -> Id<Commit> {
    let from = tempfile::tempdir().unwrap();
    tree.write_to(from.path()).unwrap();
    let modifiers = Modifiers { canonical_permissions: true, ..Default::default() };
    let import = ImportOptions { modifiers, ..Default::default() };
    let options =
        CommitOptions { branch: Some(local(BRANCH)), timestamp: Some(timestamp), ..Default::default() };
    let commit = place.repo.commit_dir(&open_dir(from.path()), &import, &options, &|_| {}).unwrap().commit;
    place.repo.update_summary().unwrap();
    place.repo.state_summary(None, &[key(PUBLISHER)]).unwrap();
    commit
}

fn kept(place: &Place) -> [Vec<u8>; 2] {
    FILES.map(|name| sapwood_fsio::read(place.repo.dir(), name, 1 << 20).unwrap())
}

/// A native repository with its root, its state before the last publication, and that now.
fn published_twice() -> (Place, [u8; 32], [[Vec<u8>; 2]; 2]) {
    let (from, root) = begun(Format::Native, 7);
    let states = [("one", 1_000), ("two", 2_000)].map(|(version, at)| {
        published(&from, version, at);
        kept(&from)
    });
    (from, root, states)
}

fn put(place: &Place, files: &[Vec<u8>; 2]) {
    for (name, bytes) in FILES.iter().zip(files) {
        sapwood_fsio::replace(place.repo.dir(), name, 0o644, bytes).unwrap();
    }
}

fn origin() -> RemoteName {
    RemoteName::new("origin").unwrap()
}

fn options(into: &Repo, root: [u8; 32]) -> PullOptions {
    PullOptions {
        freshness: Some(Freshness::of(into, origin(), root).unwrap()),
        summary_cache: Some(SummaryCache::of(into, &origin()).unwrap()),
        age: Age::Forward,
        bindings: Bindings::Ignore,
        ..want(BRANCH)
    }
}

/// Pulls over HTTP and, into another client that has seen the same, from the directory.
struct Clients {
    root: [u8; 32],
    places: [Place; 2],
}

impl Clients {
    fn new(format: Format, root: [u8; 32]) -> Self {
        Self { root, places: [(); 2].map(|()| Place::new(format, Mode::BareUser)) }
    }

    fn pull(&self, from: &Place) -> [Result<(), PullError>; 2] {
        let server = served(from.path());
        let [web, disk] = &self.places;
        let over_http = pull_quietly(&web.repo, http(&server.url), &options(&web.repo, self.root)).map(drop);
        let of = options(&disk.repo, self.root);
        [over_http, pull_local(&disk.repo, &from.reopen(), &of, &|_| {}).map(drop)]
    }

    fn take(&self, from: &Place, commit: Id<Commit>) {
        for outcome in self.pull(from) {
            outcome.unwrap();
        }
        for place in &self.places {
            assert_eq!(place.repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
        }
    }

    /// All are refused, for this reason, and are as they were.
    fn refuse(&self, from: &Place, what: &str, is_it: impl Fn(&PullError) -> bool) {
        let state = |place: &Place| {
            let seen = place.repo.own_seen(&origin()).unwrap();
            (stored(&place.repo), place.repo.ref_target(&local(BRANCH)).unwrap(), seen)
        };
        let before = self.places.each_ref().map(state);
        for outcome in self.pull(from) {
            let error = outcome.expect_err(what);
            assert!(is_it(&error), "{what}: {error:?}");
        }
        assert_eq!(self.places.each_ref().map(state), before, "{what}");
    }
}

/// Whether a refusal is about freshness, and so.
fn is(wanted: impl Fn(&FreshnessError) -> bool) -> impl Fn(&PullError) -> bool {
    move |error| matches!(error, PullError::NotFresh { source, .. } if wanted(source))
}

#[test]
fn old_and_mixed_states_are_refused_and_new_ones_are_taken() {
    for format in FORMATS {
        let (from, root) = begun(format, 7);
        let first = published(&from, "one", 1_000);
        let old = kept(&from);
        let clients = Clients::new(format, root);
        clients.take(&from, first);

        // A mirror that holds everything, and offers the state of yesterday.
        let second = published(&from, "two", 2_000);
        let new = kept(&from);
        put(&from, &[new[0].clone(), old[1].clone()]);
        let anew = Clients::new(format, root);
        anew.refuse(&from, "the new summary with the old statement", is(|e| *e == FreshnessError::Mixed));
        put(&from, &[old[0].clone(), new[1].clone()]);
        clients.refuse(&from, "the old summary with the new statement", is(|e| *e == FreshnessError::Mixed));
        put(&from, &new);
        clients.take(&from, second);
        put(&from, &old);
        clients.refuse(&from, "the old state", is(|e| matches!(e, FreshnessError::RolledBack { .. })));

        let (other, _) = begun(format, 8);
        published(&other, "other", 3_000);
        clients.refuse(&other, "another repository", is(|e| *e == FreshnessError::Foreign));
        Clients::new(format, root).refuse(
            &other,
            "it, when first asked",
            is(|e| *e == FreshnessError::Foreign),
        );

        sapwood_fsio::remove_file(from.repo.dir(), "statement").unwrap();
        clients.refuse(&from, "no statement", is(|e| *e == FreshnessError::NotThere));
        put(&from, &[new[0].clone(), b"nonsense".to_vec()]);
        clients.refuse(&from, "nonsense", is(|e| matches!(e, FreshnessError::Malformed(_))));
        put(&from, &new);
        from.repo.state_summary(Some(0), &[key(PUBLISHER)]).unwrap();
        clients.refuse(&from, "an expired state", is(|e| matches!(e, FreshnessError::Expired { .. })));
    }
}

#[test]
fn a_ref_does_not_go_back_in_time_unless_a_commit_is_named() {
    for format in FORMATS {
        let (from, root) = begun(format, 7);
        let first = published(&from, "one", 1_000);
        let clients = Clients::new(format, root);
        let second = published(&from, "two", 2_000);
        clients.take(&from, second);
        // Whoever has a publisher's key can state this; an older system is refused all the same.
        let back = RefEdit::Set { name: local(BRANCH), expected: Expected::Any, target: first };
        from.repo.edit_refs(vec![back]).unwrap();
        from.repo.update_summary().unwrap();
        from.repo.state_summary(None, &[key(PUBLISHER)]).unwrap();
        for outcome in clients.pull(&from) {
            assert!(matches!(outcome, Err(PullError::Older { .. })), "{outcome:?}");
        }
        let server = served(from.path());
        for place in &clients.places {
            assert_eq!(place.repo.ref_target(&local(BRANCH)).unwrap(), Some(second));
            assert!(!place.repo.store().contains(first.name()).unwrap());
            let wanted = vec![Wanted::RefAt(sapwood_repo::RefName::new(BRANCH).unwrap(), first)];
            let named = PullOptions { wanted, ..options(&place.repo, root) };
            pull_quietly(&place.repo, http(&server.url), &named).unwrap();
            assert_eq!(place.repo.ref_target(&local(BRANCH)).unwrap(), Some(first));
        }
    }
}

#[test]
fn keys_are_replaced_by_their_owner_alone_and_do_not_come_back() {
    let (from, root) = begun(Format::Native, 7);
    let first = published(&from, "one", 1_000);
    let clients = Clients::new(Format::Native, root);
    clients.take(&from, first);
    let old = kept(&from);

    let mut file = from.repo.statement().unwrap().unwrap();
    file.rotate(role(&[2]), role(&[8]), &[key(1), key(2)]).unwrap();
    state(&from.repo, file);
    clients.refuse(&from, "new keys that nobody has used", is(|e| *e == FreshnessError::NotSigned));
    assert!(from.repo.state_summary(None, &[key(PUBLISHER)]).is_err(), "with the old publisher's key");
    from.repo.state_summary(None, &[key(8)]).unwrap();
    clients.take(&from, first);
    put(&from, &old);
    clients.refuse(&from, "the old keys", is(|e| matches!(e, FreshnessError::OldKeys { .. })));

    let (forged, _) = begun(Format::Native, 7);
    let mut file = StatementFile::begin(KeySet {
        owners: role(&[66]),
        ..from.repo.statement().unwrap().unwrap().first().clone()
    });
    file.rotate(role(&[66]), role(&[66]), &[key(66)]).unwrap();
    state(&forged.repo, file);
    forged.commit(BRANCH, &small_tree("evil"));
    forged.repo.update_summary().unwrap();
    forged.repo.state_summary(None, &[key(66)]).unwrap();
    clients.refuse(&forged, "keys of somebody else", is(|e| matches!(e, FreshnessError::TwoKeySets { .. })));
    let anew = Clients::new(Format::Native, root);
    anew.refuse(&forged, "them, when first asked", is(|e| *e == FreshnessError::Foreign));
}

#[test]
fn keys_are_replaced_by_as_many_owners_as_the_threshold_says() {
    for format in FORMATS {
        let (from, root) = begun_by(format, 7, role_of(2, &[1, 2, 3]));
        let first = published(&from, "one", 1_000);
        let clients = Clients::new(format, root);
        clients.take(&from, first);

        // One of them alone: signed where one is enough, and put behind the key set that asks for two.
        let (forged, _) = begun_by(format, 7, role_of(1, &[1, 2, 3]));
        let mut file = forged.repo.statement().unwrap().unwrap();
        file.rotate(role(&[1]), role(&[66]), &[key(1)]).unwrap();
        state(&forged.repo, file);
        forged.commit(BRANCH, &small_tree("evil"));
        forged.repo.update_summary().unwrap();
        forged.repo.state_summary(None, &[key(66)]).unwrap();
        let [summary, mut statement] = kept(&forged);
        let repository = statement.windows(32).position(|bytes| bytes == [7; 32]).unwrap();
        // After the version, which is 1: the threshold.
        let [version, threshold] = &mut statement[repository + 32..][..2] else { unreachable!() };
        assert_eq!((*version, *threshold), (1, 1));
        *threshold = 2;
        put(&forged, &[summary, statement]);
        let file = forged.repo.statement().unwrap().unwrap();
        assert_eq!((file.first().id(), file.is_stated()), (root, true), "else it is as it should be");
        let bad = is(|e| *e == FreshnessError::BadRotation { version: 2 });
        clients.refuse(&forged, "new keys by one owner of two", &bad);
        Clients::new(format, root).refuse(&forged, "them, when first asked", &bad);

        let mut file = from.repo.statement().unwrap().unwrap();
        file.rotate(role(&[4]), role(&[8]), &[key(1), key(3), key(4)]).unwrap();
        state(&from.repo, file);
        from.repo.state_summary(None, &[key(8)]).unwrap();
        clients.take(&from, first);
    }
}

#[test]
fn a_mirror_passes_on_what_is_stated_and_a_kept_summary_is_not_fetched_again() {
    let (from, root) = begun(Format::Native, 7);
    let commit = published(&from, "one", 1_000);
    let mirror = Place::new(Format::Native, Mode::Archive);
    let server = served(from.path());
    let all = PullOptions { copy_summary: true, wanted: Vec::new(), ..options(&mirror.repo, root) };
    pull_quietly(&mirror.repo, http(&server.url), &all).unwrap();
    assert_eq!(kept(&mirror), kept(&from));
    let clients = Clients::new(Format::Native, root);
    clients.take(&mirror, commit);
    let server = served(mirror.path());
    let of = options(&clients.places[0].repo, root);
    pull_quietly(&clients.places[0].repo, http(&server.url), &of).unwrap();
    let asked = server.delivered();
    assert!(asked.contains(&"/statement".to_owned()) && !asked.contains(&"/summary".to_owned()), "{asked:?}");

    // A ref that the summary does not list is none, and lists of refs are proven too.
    mirror.commit("beside", &small_tree("beside"));
    let of = PullOptions { wanted: want("beside").wanted, ..of };
    let outcome = pull_quietly(&clients.places[0].repo, http(&server.url), &of);
    assert!(matches!(outcome, Err(PullError::UnknownRef { .. })), "{outcome:?}");
    mirror.repo.update_summary().unwrap();
    let remote = http(&server.url);
    let listed = remote_refs(&*remote, Format::Native, &of.policy, of.freshness.as_ref(), None);
    let outcome = runtime().block_on(listed);
    assert!(matches!(outcome, Err(PullError::NotFresh { .. })), "{outcome:?}");
}

#[test]
fn of_pulls_beside_each_other_none_takes_back_what_another_brought() {
    for format in FORMATS {
        let (from, root) = begun(format, 7);
        let first = published(&from, "one", 1_000);
        let old = kept(&from);
        let second = published(&from, "two", 2_000);
        let new = kept(&from);
        // One looks at the old state, and before it is done another looks at the state `then`.
        let beside = |proven: bool, then: &[Vec<u8>; 2]| {
            let into = Place::new(format, Mode::BareUser);
            let server = served(from.path());
            let pull = |on_event: &(dyn Fn(PullEvent<'_>) + Sync)| {
                let repo = into.reopen();
                let options = if proven { options(&repo, root) } else { want(BRANCH) };
                pull(runtime().handle(), &repo, http(&server.url), &[], &options, on_event).map(drop)
            };
            put(&from, &old);
            let outcome = pull(&|event| {
                if matches!(event, PullEvent::Syncing) {
                    put(&from, then);
                    pull(&|_| {}).unwrap();
                }
            });
            (outcome, into.repo.ref_target(&local(BRANCH)).unwrap())
        };
        put(&from, &old);
        from.repo.state_summary(None, &[key(PUBLISHER)]).unwrap();
        let renewed = kept(&from);
        assert!(renewed[0] == old[0] && renewed[1] != old[1]);
        let (outcome, at) = beside(true, &renewed);
        outcome.unwrap();
        assert_eq!(at, Some(first), "what was stated again is the same");
        for proven in [true, false] {
            let (outcome, at) = beside(proven, &old);
            outcome.unwrap();
            assert_eq!(at, Some(first), "both brought the same");
        }
        let (outcome, at) = beside(true, &new);
        assert!(is(|error| *error == FreshnessError::Overtaken)(&outcome.unwrap_err()));
        assert_eq!(at, Some(second));
        let (outcome, at) = beside(false, &new);
        let moved = matches!(&outcome, Err(PullError::Repo(sapwood_repo::Error::RefMoved { .. })));
        assert!(moved, "{outcome:?}");
        assert_eq!(at, Some(second));
    }
}

#[test]
fn who_checked_an_older_statement_first_does_not_bring_it_back() {
    let (from, root, [old, _]) = published_twice();
    let into = Place::new(Format::Native, Mode::BareUser);
    // Both began when nothing was known.
    let (late, early) = (options(&into.repo, root), options(&into.repo, root));
    let pull = |of: &PullOptions| pull_local(&into.repo, &from.reopen(), of, &|_| {}).map(drop);
    pull(&early).unwrap();
    let state = (stored(&into.repo), into.repo.own_seen(&origin()).unwrap());
    put(&from, &old);
    assert!(is(|error| matches!(error, FreshnessError::RolledBack { .. }))(&pull(&late).unwrap_err()));
    assert_eq!((stored(&into.repo), into.repo.own_seen(&origin()).unwrap()), state);
}

#[test]
fn what_a_parent_saw_of_a_remote_counts_and_what_the_child_saw_does_too() {
    let (from, root, [old, new]) = published_twice();
    let parent = Place::new(Format::Native, Mode::BareUser);
    let mut child = Place::new(Format::Native, Mode::BareUser);
    let path = parent.path().to_str().unwrap().to_owned();
    child.repo.edit_config(|keyfile| assert!(keyfile.set("core", "parent", &path))).unwrap();
    let pull = |into: &Repo| pull_local(into, &from.reopen(), &options(into, root), &|_| {}).map(drop);
    let is_rolled_back = |outcome: Result<(), PullError>| {
        is(|e| matches!(e, FreshnessError::RolledBack { .. }))(&outcome.unwrap_err())
    };
    pull(&parent.repo).unwrap();
    put(&from, &old);
    assert!(is_rolled_back(pull(&child.repo)), "the parent saw a newer one");
    assert_eq!(child.repo.own_seen(&origin()).unwrap(), None);
    put(&from, &new);
    pull(&child.repo).unwrap();
    // The child remembers it for itself, and goes further than its parent.
    published(&from, "three", 3_000);
    pull(&child.repo).unwrap();
    put(&from, &new);
    assert!(is_rolled_back(pull(&child.repo)), "the child saw a newer one");
    pull(&parent.repo).unwrap();
    // What is seen by way of another root is another matter.
    let other = [9; 32];
    assert_eq!(child.repo.seen(&origin(), &other).unwrap(), None);
    assert!(child.repo.forget(&origin()).unwrap());
    put(&from, &old);
    assert!(is_rolled_back(pull(&child.repo)), "the parent still knows");
}

#[test]
fn a_copy_of_a_summary_is_beside_no_statement_about_another() {
    let (from, _, [old, new]) = published_twice();
    let server = served(from.path());
    let mirror = |into: &Place| {
        let all = PullOptions { copy_summary: true, wanted: Vec::new(), ..PullOptions::default() };
        pull_quietly(&into.repo, http(&server.url), &all).map(drop)
    };
    let statement =
        |place: &Place| sapwood_fsio::read_optional(place.repo.dir(), "statement", 1 << 20).unwrap();
    let in_the_way = |outcome: Result<(), PullError>| {
        assert!(matches!(outcome, Err(PullError::Repo(sapwood_repo::Error::OwnStatement))), "{outcome:?}");
    };

    // Nobody asks this mirror to prove anything, and still it keeps nothing that fits nothing.
    let plain = Place::new(Format::Native, Mode::Archive);
    for wrong in [old[1].clone(), b"nonsense".to_vec()] {
        put(&from, &[new[0].clone(), wrong]);
        mirror(&plain).unwrap();
        assert_eq!(statement(&plain), None);
    }
    put(&from, &old);
    mirror(&plain).unwrap();
    put(&from, &new);
    mirror(&plain).unwrap();
    assert_eq!(kept(&plain), new);
    put(&from, &old);
    in_the_way(mirror(&plain));
    put(&from, &[old[0].clone(), Vec::new()]);
    in_the_way(mirror(&plain));
    assert_eq!(kept(&plain), new);

    // Key sets of its own are not lost to a remote's.
    let (own, _) = begun(Format::Native, 8);
    let before = statement(&own);
    put(&from, &new);
    in_the_way(mirror(&own));
    assert_eq!(statement(&own), before);
    assert_eq!(own.repo.refs().unwrap(), []);
}

#[test]
fn a_summary_that_says_it_is_expired_is_refused() {
    let from = Place::new(Format::Ostree, Mode::Archive);
    from.commit(BRANCH, &small_tree("one"));
    let into = Place::new(Format::Ostree, Mode::BareUser);
    let server = served(from.path());
    for (expires, passes) in [(1_000_u64, false), (u64::MAX, true)] {
        let mut facts = sapwood_objstore::Metadata::default();
        facts.set("ostree.summary.expires", sapwood_objstore::Value::U64(expires.swap_bytes()));
        from.repo.publish_summary(&facts, &sapwood_repo::Vouching::default()).unwrap();
        let outcome = pull_quietly(&into.repo, http(&server.url), &want(BRANCH));
        assert_eq!(outcome.is_ok(), passes, "{outcome:?}");
        assert!(passes || matches!(outcome, Err(PullError::SummaryExpired { .. })));
        // Also where the remote is a directory, and its summary is kept.
        let mirror = Place::new(Format::Ostree, Mode::Archive);
        let all = PullOptions { into: RefsInto::Mirror, copy_summary: true, ..PullOptions::default() };
        let outcome = pull_local(&mirror.repo, &from.reopen(), &all, &|_| {});
        assert_eq!(outcome.is_ok(), passes, "{outcome:?}");
        assert!(passes || matches!(outcome, Err(PullError::SummaryExpired { .. })));
        assert_eq!(mirror.path().join("summary").exists(), passes);
    }
}

#[test]
fn a_crash_at_any_write_forgets_nothing_that_was_seen() {
    let (from, root) = begun(Format::Native, 7);
    // Of small trees, so that there are few writes.
    let published = |version: &str, timestamp| {
        let mut tree = Tree::default();
        tree.file("etc/version", version);
        published_tree(&from, &tree, timestamp)
    };
    let first = published("one", 1_000);
    let old = kept(&from);
    let second = published("two", 2_000);
    let new = kept(&from);
    let pull = |into: &Repo| pull_local(into, &from.reopen(), &options(into, root), &|_| {});
    for step in 1.. {
        let into = Place::new(Format::Native, Mode::BareUser);
        put(&from, &old);
        pull(&into.repo).unwrap();
        put(&from, &new);
        let repo = into.reopen();
        let run = sapwood_fsio::fault::crash_at(step, || pull(&repo).map(drop));
        let at = into.reopen().ref_target(&local(BRANCH)).unwrap();
        // Whoever has the new state knows that the one before is old.
        put(&from, &old);
        let again = pull(&into.reopen());
        assert!(
            at == Some(first) || matches!(again, Err(PullError::NotFresh { .. })),
            "step {step}: {again:?}"
        );
        put(&from, &new);
        pull(&into.reopen()).unwrap();
        assert_eq!(into.reopen().ref_target(&local(BRANCH)).unwrap(), Some(second), "step {step}");
        if !run.fired {
            assert!(step > 10, "there were crashes");
            return;
        }
    }
}
