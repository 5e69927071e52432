//! Closures: what they spare, and that nothing depends on them.

use crate::liar::{Answer, Asked, Liar};
use crate::world::*;
use sapwood_objstore::{Commit, DirTree, Format, Id, Mode, ObjectId, ObjectName};
use sapwood_repo::{ClosureDirs, ClosureFile, PruneOptions, RefEdit, closure_path, encode_closure};
use sapwood_testkit::Tree;
use sapwood_transport::{HttpOptions, HttpRemote, PullError, PullLimits, PullOptions, Remote, plan_pull};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A repository of the native format with a summary.
fn published(version: &str) -> (Place, Id<Commit>) {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree(version));
    source.repo.update_summary().unwrap();
    (source, commit)
}

fn closure_of(place: &Place, commit: Id<Commit>) -> Option<(ClosureDirs, Vec<ClosureFile>)> {
    let bytes = sapwood_fsio::read_optional(place.repo.dir(), closure_path(commit), 1 << 20).unwrap()?;
    let head = sapwood_repo::ClosureHead::decode(*bytes.first_chunk().unwrap()).unwrap();
    let (first, second) = bytes.split_at(usize::try_from(head.dirs_end()).unwrap());
    Some((ClosureDirs::decode(&first[5..]).unwrap(), ClosureFile::decode_all(second).unwrap()))
}

#[test]
fn a_closure_lists_what_the_tree_holds_and_no_more() {
    let (source, commit) = published("1");
    let (dirs, files) = closure_of(&source, commit).unwrap();
    let mut listed: BTreeSet<ObjectName> = files.iter().map(|file| file.id.name()).collect();
    listed.extend(dirs.trees.iter().map(|(id, _)| id.name()));
    listed.extend(dirs.metas.iter().map(|(id, _)| id.name()));
    listed.insert(commit.name());
    assert_eq!(listed, verified_objects(&source.repo, commit));
    assert_eq!(listed.len(), files.len() + dirs.trees.len() + dirs.metas.len() + 1, "none is there twice");
    assert_eq!(dirs.trees[0].0, source.repo.root(commit).unwrap().tree);
    let stored = |name| source.repo.store().stored_size(name).unwrap();
    assert!(dirs.trees.iter().all(|(id, bytes)| stored(id.name()) == *bytes));
    assert!(dirs.metas.iter().all(|(id, bytes)| stored(id.name()) == *bytes));
    assert!(files.iter().all(|file| stored(file.id.name()) == file.stored_bytes));
    // A directory comes after one that holds it.
    let place = |tree: Id<DirTree>| dirs.trees.iter().position(|(id, _)| *id == tree).unwrap();
    for (at, (id, _)) in dirs.trees.iter().enumerate() {
        let tree: DirTree = source.repo.store().load(*id).unwrap();
        assert!(tree.dirs().iter().all(|dir| dir.tree == *id || place(dir.tree) > 0));
        let held = dirs.trees[..at].iter().any(|(above, _)| {
            let above: DirTree = source.repo.store().load(*above).unwrap();
            above.dirs().iter().any(|dir| dir.tree == *id)
        });
        assert!(held || at == 0);
    }
}

#[test]
fn closures_go_with_their_commits_and_only_archives_of_the_native_format_have_any() {
    for (format, mode) in [(Format::Ostree, Mode::Archive), (Format::Native, Mode::BareUser)] {
        let source = Place::new(format, mode);
        let commit = source.commit(BRANCH, &small_tree("1"));
        source.repo.update_summary().unwrap();
        assert_eq!(closure_of(&source, commit), None);
    }
    let (source, first) = published("1");
    let mut other = small_tree("1");
    other.file("etc/version", "2");
    let second = source.commit("other", &other);
    source.repo.update_summary().unwrap();
    assert!(closure_of(&source, first).is_some() && closure_of(&source, second).is_some());

    let gone = RefEdit::Delete { name: local("other"), expected: sapwood_repo::Expected::Any };
    source.repo.edit_refs(vec![gone]).unwrap();
    let options = PruneOptions { refs_only: true, ..Default::default() };
    source.repo.plan_prune(&options, &|_| ()).unwrap().apply(&|_| ()).unwrap();
    assert!(closure_of(&source, first).is_some());
    assert_eq!(closure_of(&source, second), None);
    // Another program may have deleted the commit.
    let name = first.name();
    source.repo.store().remove(name).unwrap();
    source.repo.dir().remove_file(format!("refs/heads/{BRANCH}")).unwrap();
    source.repo.update_summary().unwrap();
    assert_eq!(closure_of(&source, first), None);
}

#[test]
fn an_incomplete_commit_gets_no_closure_and_the_summary_is_written_all_the_same() {
    let source = Place::new(Format::Native, Mode::Archive);
    let commit = source.commit(BRANCH, &small_tree("1"));
    source.repo.store().remove(source.repo.root(commit).unwrap().tree.name()).unwrap();
    assert_eq!(source.repo.update_summary().unwrap().refs.len(), 1);
    assert_eq!(closure_of(&source, commit), None);
}

#[test]
fn a_torn_closure_is_written_again_and_one_that_cannot_be_does_not_keep_the_summary_back() {
    let (source, commit) = published("1");
    let (dir, path) = (source.repo.dir(), closure_path(commit));
    let read = || sapwood_fsio::read(dir, &path, 1 << 20).unwrap();
    let whole = read();
    let head = sapwood_repo::ClosureHead::decode(*whole.first_chunk().unwrap()).unwrap();
    let dirs_alone = &whole[..usize::try_from(head.dirs_end()).unwrap()];
    let zeros_at_the_end = [&whole[..whole.len() - 64], &[0; 64]].concat();
    for torn in [&[][..], &[1], &vec![0; whole.len()], dirs_alone, &zeros_at_the_end] {
        sapwood_fsio::replace(dir, &path, 0o644, torn).unwrap();
        source.repo.update_summary().unwrap();
        assert!(read() == whole, "{} bytes were left", torn.len());
    }
    let inode = || sapwood_fsio::stat_optional(dir, &path).unwrap().unwrap().ino;
    let before = inode();
    source.repo.update_summary().unwrap();
    assert_eq!(inode(), before, "a whole one stays");

    sapwood_fsio::remove_tree(dir, "closures").unwrap();
    sapwood_fsio::replace(dir, "closures", 0o644, b"in the way").unwrap();
    sapwood_fsio::remove_file_optional(dir, "summary").unwrap();
    source.repo.update_summary().unwrap();
    assert!(source.repo.summary().unwrap().is_some());
}

#[test]
fn no_object_is_fetched_twice_because_of_a_closure() {
    let (source, _) = published("1");
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
    let mut tree = small_tree("1");
    tree.file("etc/version", "2");
    let second = source.commit(BRANCH, &tree);
    source.repo.update_summary().unwrap();
    let all = server.delivered();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert!(all.iter().any(|path| path.starts_with("/closures/")));

    server.log.lock().unwrap().clear();
    let outcome = pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
    assert_eq!((outcome.meta_fetched, outcome.files_fetched), (3, 1));
    assert_eq!(server.delivered().iter().filter(|path| path.starts_with("/objects/")).count(), 4);
    verified_objects(&machine.repo, second);
    server.log.lock().unwrap().clear();
    pull_quietly(&machine.repo, http(&server.url), &want(BRANCH)).unwrap();
    assert!(server.delivered().iter().all(|path| !path.starts_with("/closures/")), "all is here");
}

#[test]
fn a_dry_run_knows_every_byte_that_will_be_fetched() {
    let (source, _) = published("1");
    let server = served(source.path());
    let machine = Place::new(Format::Native, Mode::BareUser);
    let plan =
        plan_pull(runtime().handle(), &machine.repo, http(&server.url), &[], &want(BRANCH), &|_| {}).unwrap();
    assert_eq!((plan.files.content_bytes, plan.files.of_unknown_size), (0, 0));
    server.log.lock().unwrap().clear();
    pull_quietly(&machine.reopen(), http(&server.url), &want(BRANCH)).unwrap();
    let log = server.log.lock().unwrap();
    let files = log.iter().filter(|access| access.path.contains(".filez"));
    assert_eq!(files.map(|access| access.body_bytes).sum::<u64>(), plan.files.exact_bytes);
}

/// What is served in place of a closure.
fn lies(source: &Place, commit: Id<Commit>) -> Vec<(&'static str, Answer)> {
    let (true_dirs, true_files) = closure_of(source, commit).unwrap();
    let number = |n: usize| {
        let mut bytes = [9; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ObjectId::from_bytes(bytes)
    };
    let file = |trees: Vec<_>, metas| {
        Answer::Bytes(encode_closure(&ClosureDirs { trees, metas }, &true_files).unwrap())
    };
    let whole = encode_closure(&true_dirs, &true_files).unwrap();
    let mut wrong_sizes = true_dirs.trees.clone();
    for (_, bytes) in &mut wrong_sizes {
        *bytes = 1;
    }
    vec![
        ("not there", Answer::Status(404, "")),
        ("an error", Answer::Status(500, "")),
        ("forbidden", Answer::Status(401, "")),
        ("garbage", Answer::Bytes(noise(5000))),
        ("nothing", Answer::Bytes(Vec::new())),
        ("no HTTP", Answer::Garbage),
        ("silence", Answer::Stall),
        ("no end", Answer::Endless),
        ("a huge one", Answer::Huge),
        ("half of it", Answer::Bytes(whole[..whole.len() / 2].to_vec())),
        ("nothing in it", file(Vec::new(), Vec::new())),
        ("nothing that is there", file((0..8).map(|n| (Id::new(number(n)), 50)).collect(), Vec::new())),
        ("endless numbers", file((0..50_000).map(|n| (Id::new(number(n)), 50)).collect(), Vec::new())),
        ("sizes too small", file(wrong_sizes, Vec::new())),
        ("one kind for the other", {
            let swapped = true_dirs.metas.iter().map(|(id, bytes)| (Id::new(id.raw()), *bytes)).collect();
            let metas = true_dirs.trees[..3].iter().map(|(id, bytes)| (Id::new(id.raw()), *bytes)).collect();
            file(swapped, metas)
        }),
    ]
}

#[test]
fn whatever_a_closure_says_the_pull_ends_with_the_whole_commit_and_asks_for_little_more() {
    let (source, commit) = published("1");
    let expected = verified_objects(&source.repo, commit);
    for (what, lie) in lies(&source, commit) {
        let liar = Liar::new(source.path(), move |asked| {
            if asked.path.starts_with("/closures/") { lie.clone() } else { Answer::Honest }
        });
        let machine = Place::new(Format::Native, Mode::BareUser);
        let outcome = pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH));
        let outcome = outcome.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(verified_objects(&machine.repo, commit), expected, "{what}");
        assert_eq!(stored(&machine.repo), expected, "{what}");
        assert!(!machine.repo.is_partial(commit).unwrap(), "{what}");
        // Configuration, summary and what may be beside it and the commit, the closure with repetitions; then the objects,
        // and no more hints than the commit has directories and metadata of them.
        let most = expected.len() + 12 + 2 * expected.len();
        assert!(liar.requests() <= most, "{what}: {} requests", liar.requests());
        assert_eq!(outcome.refs[0].new, commit, "{what}");
    }
}

/// A repository with so many refs, each of another tree.
fn many(refs: usize) -> Place {
    let source = Place::new(Format::Native, Mode::Archive);
    for n in 0..refs {
        source.commit(&format!("{BRANCH}/{n}"), &small_tree(&n.to_string()));
    }
    source.repo.update_summary().unwrap();
    source
}

/// Patient: what is silent stays open.
fn patient(liar: &Liar, retries: u32, window: Duration) -> Arc<dyn Remote> {
    let options = HttpOptions { retries, stall_window: window, ..quick() };
    Arc::new(HttpRemote::new(&liar.url, options).unwrap())
}

#[test]
fn of_many_commits_few_closures_are_asked_for_at_once_and_none_is_waited_for() {
    let source = many(6);
    let silent = |asked: &Asked| {
        if asked.path.starts_with("/closures/") { Answer::Stall } else { Answer::Honest }
    };
    let hour = Duration::from_hours(1);
    let liar = Liar::new(source.path(), silent);
    let machine = Place::new(Format::Native, Mode::BareUser);
    pull_quietly(&machine.repo, patient(&liar, 0, hour), &PullOptions::default()).unwrap();
    let commits: Vec<_> = source.repo.refs().unwrap().into_iter().map(|entry| entry.target).collect();
    assert_eq!(commits.len(), 6);
    for commit in commits {
        verified_objects(&machine.repo, commit);
    }
    assert_eq!(liar.paths().iter().filter(|path| path.starts_with("/closures/")).count(), 2);

    // Nor does a dry run wait for ever: the sizes that they would tell it does without.
    let limits = PullLimits { max_closure_wait: Duration::from_millis(200), ..Default::default() };
    let liar = Liar::new(source.path(), silent);
    let machine = Place::new(Format::Native, Mode::BareUser);
    let options = PullOptions { limits, ..Default::default() };
    let remote = patient(&liar, 0, hour);
    let plan = plan_pull(runtime().handle(), &machine.repo, remote, &[], &options, &|_| {}).unwrap();
    assert_eq!((plan.refs.len(), plan.files.exact_bytes), (6, 0));
    assert!(plan.files.content_bytes > 0);
    assert_eq!(liar.paths().iter().filter(|path| path.starts_with("/closures/")).count(), 2);
}

#[test]
fn what_is_beside_many_commits_is_asked_for_within_the_number_of_requests() {
    let source = many(6);
    let machine = Place::new(Format::Native, Mode::BareUser);
    let server = served(source.path());
    pull_quietly(&machine.repo, http(&server.url), &PullOptions::default()).unwrap();
    let liar = Liar::new(source.path(), |asked| {
        if asked.path.ends_with(".commitmeta") { Answer::Stall } else { Answer::Honest }
    });
    let remote = patient(&liar, 0, quick().stall_window);
    let options = PullOptions { requests: 2, ..Default::default() };
    let error = pull_quietly(&machine.repo, remote, &options).unwrap_err();
    assert!(matches!(error, PullError::Fetch { .. }), "{error:?}");
    assert_eq!(liar.paths().iter().filter(|path| path.ends_with(".commitmeta")).count(), 2);
}

#[test]
fn objects_that_are_hinted_at_and_not_needed_stay_outside_of_the_refs_and_within_bounds() {
    let (source, commit) = published("1");
    let mut stranger = Tree::default();
    for n in 0..5 {
        stranger.file(&format!("stranger/{n}/file"), format!("{n}"));
    }
    let other = source.commit("other", &stranger);
    source.repo.update_summary().unwrap();
    let (dirs, _) = closure_of(&source, other).unwrap();
    let lie = encode_closure(&dirs, &[]).unwrap();
    let liar = Liar::new(source.path(), move |asked| {
        if asked.path.starts_with("/closures/") { Answer::Bytes(lie.clone()) } else { Answer::Honest }
    });
    let machine = Place::new(Format::Native, Mode::BareUser);
    pull_quietly(&machine.repo, http(&liar.url), &want(BRANCH)).unwrap();
    verified_objects(&machine.repo, commit);
    // What came by the lie is a directory at most: never a commit or a file, and a prune removes it.
    let strangers = &stored(&machine.repo) - &verified_objects(&source.repo, commit);
    assert!(strangers.iter().all(|name| name.kind == sapwood_objstore::ObjectKind::DirTree), "{strangers:?}");
    assert!(strangers.len() <= dirs.trees.len());
    machine.repo.plan_prune(&PruneOptions::default(), &|_| ()).unwrap().apply(&|_| ()).unwrap();
    assert_eq!(stored(&machine.repo), verified_objects(&source.repo, commit));
}
