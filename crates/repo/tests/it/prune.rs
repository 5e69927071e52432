//! Pruning: what is deleted is what `ostree` would delete, and no crash loses a commit.

use crate::commit_fixture::{FORMATS, Lab, branch};
use crate::maintain::{assert_sound, copy, fsck, history, objects, prune};
use sapwood_fsio::fault;
use sapwood_objstore::{Format, Mode, ObjectKind};
use sapwood_repo::{Error, Expected, PruneOptions, RefEdit, Repo};
use sapwood_testkit::{Ostree, skipped};
use std::collections::BTreeMap;

#[test]
fn a_prune_deletes_what_ostree_deletes() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    for mode in [Mode::Archive, Mode::BareUser] {
        let lab = Lab::new();
        let repo = lab.repo("repo", Format::Ostree, mode);
        history(&lab, &repo);
        let only = |names: [&str; 1]| names.map(branch).into_iter().collect();
        let default = PruneOptions::default();
        for (at, (args, options)) in [
            (vec![], default.clone()),
            (vec!["--refs-only".to_owned()], PruneOptions { refs_only: true, ..default.clone() }),
            (
                vec!["--refs-only".into(), "--depth=1".into()],
                PruneOptions { refs_only: true, depth: Some(1), ..default.clone() },
            ),
            (
                vec!["--refs-only".into(), "--depth=0".into()],
                PruneOptions { refs_only: true, depth: Some(0), ..default.clone() },
            ),
            (vec!["--depth=0".into()], PruneOptions { depth: Some(0), ..default.clone() }),
            (
                vec!["--keep-younger-than=@2500".into()],
                PruneOptions { keep_younger_than: Some(2500), ..default.clone() },
            ),
            (
                vec!["--keep-younger-than=@1500".into(), "--refs-only".into(), "--depth=1".into()],
                PruneOptions {
                    keep_younger_than: Some(1500),
                    refs_only: true,
                    depth: Some(1),
                    ..default.clone()
                },
            ),
            (
                vec!["--only-branch=main".into(), "--depth=1".into()],
                PruneOptions { only_branches: only(["main"]), depth: Some(1), ..default.clone() },
            ),
            (
                vec!["--keep-younger-than=@4500".into(), "--retain-branch-depth=main=2".into()],
                PruneOptions {
                    keep_younger_than: Some(4500),
                    branch_depths: BTreeMap::from([(branch("main"), Some(2))]),
                    ..default.clone()
                },
            ),
            (
                vec!["--only-branch=other".into(), "--retain-branch-depth=main=1".into()],
                PruneOptions {
                    only_branches: only(["other"]),
                    branch_depths: BTreeMap::from([(branch("main"), Some(1))]),
                    ..default.clone()
                },
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let (ours, theirs) = (format!("ours{at}"), format!("theirs{at}"));
            for name in [&ours, &theirs] {
                copy(&lab.path("repo"), &lab.path(name));
            }
            let ours = Repo::open(&lab.dir(&ours)).unwrap();
            let before = objects(&ours);
            let pruned = prune(&ours, &options);
            let mut all: Vec<&str> = vec!["prune"];
            all.extend(args.iter().map(String::as_str));
            let said = ostree.run(lab.args(&theirs, &all)).unwrap();
            let theirs = Repo::open(&lab.dir(&theirs)).unwrap();
            assert_eq!(objects(&ours), objects(&theirs), "{args:?}");
            let deleted: Vec<_> = before.difference(&objects(&ours)).copied().collect();
            assert_eq!(pruned.deleted_objects, deleted.len() as u64);
            assert_eq!(pruned.total_objects, before.len() as u64);
            let commits = deleted.iter().filter(|name| name.kind == ObjectKind::Commit).count();
            assert_eq!(pruned.deleted_commits, commits as u64);
            let line = |n: u64, bytes: u64| match n {
                0 => "No unreachable objects\n".to_owned(),
                n => format!("Deleted {n} objects, {bytes} bytes freed\n"),
            };
            let total = format!("Total objects: {}\n", before.len());
            // From 1000 bytes on it prints rounded units, with a space that does not break.
            if pruned.freed_bytes < 1000 {
                let said = said.replace('\u{a0}', " ");
                assert_eq!(said, total + &line(pruned.deleted_objects, pruned.freed_bytes), "{args:?}");
            }
            assert_sound(&ours);
        }
    }
}

#[test]
fn a_prune_keeps_every_stored_commit_unless_told_otherwise() {
    for format in FORMATS {
        let lab = Lab::new();
        let mut repo = lab.repo("repo", format, Mode::BareUser);
        let ids = history(&lab, &repo);
        assert_eq!(prune(&repo, &PruneOptions::default()).deleted_objects, 0);
        repo.delete_commit(ids[5]).unwrap();
        let pruned = prune(&repo, &PruneOptions::default());
        assert!(pruned.deleted_commits == 0 && pruned.deleted_objects >= 4);
        assert!(repo.store().contains(ids[0].name()).unwrap());
        assert_sound(&repo);
    }
}

#[test]
fn mirrors_and_remotes_keep_commits_alive() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Native, Mode::BareUser);
    let ids = history(&lab, &repo);
    let mirrors = lab.path("repo/refs/mirrors/org.example.Os");
    std::fs::create_dir_all(&mirrors).unwrap();
    std::fs::write(mirrors.join("os"), format!("{}\n", ids[5])).unwrap();
    let gone = |name: &str| RefEdit::Delete { name: branch(name), expected: Expected::Any };
    let kept = sapwood_repo::Refspec::parse("r:kept").unwrap();
    repo.edit_refs(vec![
        gone("main"),
        gone("other"),
        RefEdit::Set { name: kept, expected: Expected::Absent, target: ids[4] },
    ])
    .unwrap();
    assert_eq!(prune(&repo, &PruneOptions { refs_only: true, ..PruneOptions::default() }).deleted_commits, 4);
    assert!(
        matches!(repo.delete_commit(ids[5]), Err(Error::InUse { name, .. }) if name.contains("org.example.Os"))
    );
    assert!(matches!(repo.delete_commit(ids[4]), Err(Error::InUse { name, .. }) if name == "r:kept"));
    assert!(matches!(repo.delete_commit(ids[0]), Err(Error::Store(_))));
    assert_sound(&repo);
}

#[test]
fn with_a_commit_go_its_mark_its_metadata_and_its_deltas_and_a_tombstone_stays() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    repo.edit_config(|keyfile| {
        keyfile.set("core", "tombstone-commits", "true");
    })
    .unwrap();
    let ids = history(&lab, &repo);
    repo.mark_partial(ids[5]).unwrap();
    let mut metadata = sapwood_objstore::Metadata::default();
    metadata.set("note", sapwood_objstore::Value::Bool(true));
    repo.store().set_detached(ids[5], Some(&metadata)).unwrap();
    let peer = Ostree::find();
    if let Some(ostree) = &peer {
        let (from, to) = (ids[2].to_hex(), ids[3].to_hex());
        ostree
            .run(lab.args(
                "repo",
                &["static-delta", "generate", &format!("--from={from}"), &format!("--to={to}")],
            ))
            .unwrap();
        ostree
            .run(lab.args("repo", &["static-delta", "generate", "--empty", &format!("--to={from}")]))
            .unwrap();
    } else {
        skipped("the real ostree is not installed");
    }
    prune(&repo, &PruneOptions { refs_only: true, depth: Some(0), ..PruneOptions::default() });
    assert!(!repo.is_partial(ids[5]).unwrap());
    assert_eq!(repo.store().detached(ids[5]).unwrap(), None);
    let hex = ids[5].to_hex();
    let tombstone = lab.path("repo/objects").join(&hex[..2]).join(format!("{}.tombstone-commit", &hex[2..]));
    // As the real one wrote: a dictionary with the id as a byte string.
    let mut expected = b"commit\0\0".to_vec();
    expected.extend_from_slice(hex.as_bytes());
    expected.extend_from_slice(b"\0\0ay\x07\x4d");
    assert_eq!(std::fs::read(tombstone).unwrap(), expected);
    if let Some(ostree) = &peer {
        let left = ostree.run(lab.args("repo", &["static-delta", "list"])).unwrap();
        assert_eq!(left, format!("{}-{}\n", ids[2], ids[3]));
        ostree.run(lab.args("repo", &["fsck", "-q"])).unwrap();
    }
}

#[test]
fn an_incomplete_commit_is_pruned_around_and_a_damaged_one_stops_the_prune() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::BareUser);
        let ids = history(&lab, &repo);
        let tree = repo.root(ids[4]).unwrap().tree;
        let below = repo.store().load(tree).unwrap().dirs()[0].tree;
        repo.store().remove(below.name()).unwrap();
        assert!(matches!(repo.plan_prune(&PruneOptions::default(), &|_| ()), Err(Error::Store(_))));
        repo.mark_partial(ids[4]).unwrap();
        assert!(
            prune(&repo, &PruneOptions::default()).deleted_objects > 0,
            "what only the lost directory reached"
        );
        let report = fsck(&repo);
        assert_eq!((report.findings, report.partial, report.damaged), (vec![], vec![ids[4]], vec![]));
        assert_eq!(report.commits, 5);
    }
}

#[test]
fn a_crash_at_any_step_of_a_prune_leaves_whole_commits_and_the_retry_finishes() {
    for format in FORMATS {
        let options = PruneOptions { refs_only: true, depth: Some(0), ..PruneOptions::default() };
        let pristine = Lab::new();
        let ids = history(&pristine, &pristine.repo("repo", format, Mode::Archive));
        copy(&pristine.path("repo"), &pristine.path("model"));
        let repo = Repo::open(&pristine.dir("model")).unwrap();
        prune(&repo, &options);
        let expected = objects(&repo);
        for step in 1.. {
            let lab = Lab::new();
            copy(&pristine.path("repo"), &lab.path("repo"));
            let repo = Repo::open(&lab.dir("repo")).unwrap();
            let run = fault::crash_at(step, || repo.plan_prune(&options, &|_| ())?.apply(&|_| ()));
            assert_eq!(run.fired, run.value.is_err(), "step {step}");
            let again = Repo::open(&lab.dir("repo")).unwrap();
            assert_sound(&again);
            assert_eq!(again.resolve("main").unwrap(), ids[3]);
            prune(&again, &options);
            assert_eq!(objects(&again), expected, "step {step}");
            if !run.fired {
                break;
            }
        }
    }
}

#[test]
fn commits_are_deleted_durably_before_anything_else_is() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
    history(&lab, &repo);
    let options = PruneOptions { refs_only: true, depth: Some(0), ..PruneOptions::default() };
    let plan = repo.plan_prune(&options, &|_| ()).unwrap();
    let (outcome, calls) = fault::record(|| plan.apply(&|_| ()));
    outcome.unwrap();
    let is = |op: fault::Op, end: &str| {
        let found = calls
            .iter()
            .enumerate()
            .filter(move |(_, call)| call.op == op && call.path.to_string_lossy().ends_with(end));
        found.map(|(at, _)| at).collect::<Vec<usize>>()
    };
    let content: Vec<usize> =
        [".dirtree", ".dirmeta", ".file"].iter().flat_map(|end| is(fault::Op::Unlink, end)).collect();
    let first = *content.iter().min().unwrap();
    let commits = is(fault::Op::Unlink, ".commit");
    assert!(!commits.is_empty());
    // All that is unwritten: also what an earlier prune deleted that was cut short.
    let last = *commits.iter().max().unwrap();
    assert!(calls[last..first].iter().any(|call| call.op == fault::Op::Syncfs));
    // Nothing that follows has to be.
    let waits = |call: &fault::Call| [fault::Op::Fsync, fault::Op::Syncfs].contains(&call.op);
    assert!(!calls[first..].iter().any(waits));
}

#[test]
fn a_prune_forgets_cached_summaries_of_remotes_that_are_gone() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    repo.add_remote(&sapwood_repo::RemoteName::new("here").unwrap(), "http://e.org", &[], false).unwrap();
    let cache = lab.path("repo/tmp/cache/summaries");
    std::fs::create_dir_all(&cache).unwrap();
    for name in ["here", "here.sig", "gone", "gone.sig"] {
        std::fs::write(cache.join(name), "").unwrap();
    }
    prune(&repo, &PruneOptions::default());
    let mut left: Vec<_> =
        std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["here", "here.sig"]);
}

#[test]
fn what_ostree_takes_over_of_a_killed_run_is_removed_from_among_the_objects() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Ostree, Mode::BareUser);
    history(&lab, &repo);
    prune(&repo, &PruneOptions::default());
    let objects = lab.path("repo/objects");
    let shard = std::fs::read_dir(&objects).unwrap().next().unwrap().unwrap().path();
    let count = || std::fs::read_dir(&shard).unwrap().count();
    let before = count();
    std::fs::write(shard.join(".new-7"), "half of a file").unwrap();
    std::os::unix::fs::symlink("nowhere", shard.join(".new-8")).unwrap();
    std::fs::write(shard.join("of-the-user"), "is left alone").unwrap();
    prune(&repo, &PruneOptions::default());
    assert!(!shard.join(".new-7").exists() && !shard.join(".new-8").is_symlink());
    assert!(shard.join("of-the-user").exists());
    assert_eq!(count(), before + 1);
}
