//! Pruning and checking: what is deleted and found is what `ostree` would delete and find, and no crash loses a commit.

use crate::commit_fixture::{FORMATS, Lab, MODES, branch, on};
use sapwood_fsio::fault;
use sapwood_objstore::{Commit, DirTree, Format, Id, Mode, ObjectKind, ObjectName, Totals};
use sapwood_repo::{
    CommitOptions, Error, Expected, FsckEvent, FsckOptions, FsckReport, ImportOptions, ImportedTree, Problem,
    PruneOptions, Pruned, RefEdit, Repo, Root,
};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

fn commit(repo: &Repo, lab: &Lab, content: &str, options: &CommitOptions) -> Id<Commit> {
    let mut tree = Tree::default();
    tree.file("changes", content);
    tree.file(&format!("dir/{content}"), format!("only {content}"));
    tree.file("stays/same", "the same");
    let dir = lab.tree(&format!("tree-{content}"), &tree);
    repo.commit_dir(&dir, &ImportOptions::default(), options, &|_| ()).unwrap().commit
}

fn year(n: u64) -> u64 {
    n * 1000
}

/// Four commits on `main`, made in the years 1 to 4, one on `other` from year 0, one on no ref from year 5.
fn history(lab: &Lab, repo: &Repo) -> Vec<Id<Commit>> {
    let mut ids: Vec<Id<Commit>> = (1..=4)
        .map(|n| {
            commit(repo, lab, &format!("m{n}"), &CommitOptions { timestamp: Some(year(n)), ..on("main") })
        })
        .collect();
    ids.push(commit(repo, lab, "other", &CommitOptions { timestamp: Some(0), ..on("other") }));
    let orphan = CommitOptions { timestamp: Some(year(5)), branch: None, ..CommitOptions::default() };
    ids.push(commit(repo, lab, "orphan", &orphan));
    ids
}

fn objects(repo: &Repo) -> BTreeSet<ObjectName> {
    let mut all = BTreeSet::new();
    repo.store()
        .for_each(&mut |name| {
            all.insert(name);
            Ok(())
        })
        .unwrap();
    all
}

fn fsck(repo: &Repo) -> FsckReport {
    repo.fsck(&FsckOptions::default(), &|_| ()).unwrap()
}

fn assert_sound(repo: &Repo) {
    let report = fsck(repo);
    assert_eq!((report.findings, report.dangling_refs), (Vec::new(), Vec::new()));
}

fn prune(repo: &Repo, options: &PruneOptions) -> Pruned {
    let plan = repo.plan_prune(options).unwrap();
    let planned = plan.summary();
    assert_eq!(plan.objects().len() as u64, planned.deleted_objects);
    assert_eq!(plan.apply().unwrap(), planned);
    planned
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

#[test]
fn a_prune_deletes_what_ostree_deletes() {
    let Some(ostree) = Ostree::find() else { return skipped("the real ostree is not installed") };
    for mode in [Mode::Archive, Mode::BareUser] {
        let lab = Lab::new();
        let repo = lab.repo("repo", Format::Ostree, mode);
        history(&lab, &repo);
        let younger = |year_and_half: u64| Some(UNIX_EPOCH + Duration::from_secs(year_and_half));
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
                PruneOptions { keep_younger_than: younger(2500), ..default.clone() },
            ),
            (
                vec!["--keep-younger-than=@1500".into(), "--refs-only".into(), "--depth=1".into()],
                PruneOptions {
                    keep_younger_than: younger(1500),
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
                    keep_younger_than: younger(4500),
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
        let repo = lab.repo("repo", format, Mode::BareUser);
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
    let repo = lab.repo("repo", Format::Native, Mode::BareUser);
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
        assert!(matches!(repo.plan_prune(&PruneOptions::default()), Err(Error::Store(_))));
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
            let run = fault::crash_at(step, || repo.plan_prune(&options)?.apply());
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
    let plan = repo.plan_prune(&options).unwrap();
    let (outcome, calls) = fault::record(|| plan.apply());
    outcome.unwrap();
    let is = |op: fault::Op, end: &str| {
        let found = calls
            .iter()
            .enumerate()
            .filter(move |(_, call)| call.op == op && call.path.to_string_lossy().ends_with(end));
        found.map(|(at, _)| at).collect::<Vec<usize>>()
    };
    let last_commit = *is(fault::Op::Unlink, ".commit").last().unwrap();
    let sync = *is(fault::Op::Syncfs, "").first().unwrap();
    let content: Vec<usize> =
        [".dirtree", ".dirmeta", ".file"].iter().flat_map(|end| is(fault::Op::Unlink, end)).collect();
    assert!(last_commit < sync && content.iter().all(|at| *at > sync) && !content.is_empty());
}

/// The file of an object.
fn file_of(lab: &Lab, name: ObjectName) -> PathBuf {
    let hex = name.id.to_hex();
    let dir = lab.path("repo/objects").join(&hex[..2]);
    let kind = name.to_string().rsplit_once('.').unwrap().1.to_owned();
    ["", "z"].iter().map(|z| dir.join(format!("{}.{kind}{z}", &hex[2..]))).find(|path| path.exists()).unwrap()
}

/// Replaces the file, so that no other name of it changes.
fn damage(path: &Path, content: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_sound_repository_has_no_findings_in_either_program() {
    let peer = Ostree::find();
    for mode in MODES {
        for format in FORMATS {
            let lab = Lab::new();
            let repo = lab.repo("repo", format, mode);
            let mut canonical = ImportOptions::default();
            canonical.modifiers.canonical_permissions = true;
            let mut tree = crate::commit_fixture::rich_tree();
            tree.file("more", "more");
            let dir = lab.tree("tree", &tree);
            repo.commit_dir(&dir, &canonical, &on("main"), &|_| ()).unwrap();
            let events = Mutex::new(Vec::new());
            let report =
                repo.fsck(&FsckOptions::default(), &|event| events.lock().unwrap().push(event)).unwrap();
            assert_eq!((report.findings.len(), report.commits), (0, 1), "{mode:?}");
            assert_eq!(report.objects, objects(&repo).len() as u64);
            let events = events.into_inner().unwrap();
            assert_eq!(events.first(), Some(&FsckEvent::Total { objects: report.objects }));
            assert_eq!(events.last(), Some(&FsckEvent::Checked { objects: report.objects }));
            if let (Some(ostree), Format::Ostree) = (&peer, format) {
                ostree.run(lab.args("repo", &["fsck", "-q"])).unwrap();
            }
        }
    }
    if peer.is_none() {
        skipped("the real ostree is not installed");
    }
}

#[test]
fn every_kind_of_damage_is_found_with_the_commits_and_refs_it_hurts() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        let ids = history(&lab, &repo);
        let root = |id| repo.root(id).unwrap();
        let tree = |id| repo.store().load(root(id).tree).unwrap();
        let only_in_third = tree(ids[2]).file("changes").unwrap().id.name();
        let shared = repo.store().load(tree(ids[0]).dir("stays").unwrap().tree).unwrap().files()[0].id.name();
        let lost_tree = tree(ids[3]).dir("dir").unwrap().tree.name();

        std::fs::remove_file(file_of(&lab, only_in_third)).unwrap();
        damage(&file_of(&lab, lost_tree), b"garbage");
        let original = std::fs::read(file_of(&lab, shared)).unwrap();
        damage(&file_of(&lab, shared), &original[..original.len() - 1]);
        let report = fsck(&repo);
        let find = |name| report.findings.iter().find(|finding| finding.object == name).unwrap();
        assert_eq!(report.findings.len(), 3, "{:?}", report.findings);
        let names = |finding: &sapwood_repo::Finding| {
            finding.refs.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            (&find(only_in_third).problem, &find(only_in_third).commits),
            (&Problem::Missing, &vec![ids[2]])
        );
        assert!(names(find(only_in_third)).is_empty());
        assert!(matches!(find(lost_tree).problem, Problem::Corrupt { .. } | Problem::Malformed));
        assert_eq!(names(find(lost_tree)), ["main"]);
        let mut all = ids.clone();
        all.sort();
        assert_eq!(find(shared).commits, all);
        assert_eq!(names(find(shared)), ["main", "other"]);
        if let (Some(ostree), Format::Ostree) = (Ostree::find(), format) {
            assert!(ostree.run(lab.args("repo", &["fsck", "-q"])).is_err());
        }
        // Deleting what is corrupt marks what it hurts; the next check finds nothing else.
        let deleted = repo.fsck(&FsckOptions { delete_corrupt: true }, &|_| ()).unwrap();
        assert_eq!(deleted.findings, report.findings);
        let after = fsck(&repo);
        assert_eq!((after.findings.len(), after.commits), (0, 0));
        assert_eq!((&after.partial, &after.damaged), (&all, &all));
        assert!(!repo.store().contains(shared).unwrap());
        let mark = lab.path("repo/state").join(format!("{}.commitpartial", ids[0]));
        assert_eq!(std::fs::read(mark).unwrap(), b"f");
    }
}

#[test]
fn a_directory_that_lies_about_a_size_is_found() {
    for mode in MODES {
        let lab = Lab::new();
        let repo = lab.repo("repo", Format::Native, mode);
        let honest = commit(&repo, &lab, "honest", &on("main"));
        let root = repo.root(honest).unwrap();
        let tree = repo.store().load(root.tree).unwrap();
        let mut files = tree.files().to_vec();
        files[0].size = files[0].size.map(|size| size + 1);
        let file = files[0].id.raw();
        let mut txn = repo.begin().unwrap();
        let lying = txn.objects().put(&DirTree::new(files, tree.dirs().to_vec()).unwrap()).unwrap();
        let imported =
            ImportedTree { root: Root { tree: lying, meta: root.meta }, totals: Totals::default() };
        repo.stage_commit(&mut txn, imported, &on("other")).unwrap();
        txn.commit().unwrap();
        let report = fsck(&repo);
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(report.findings[0].object, lying.name());
        // The content is the word "honest".
        assert_eq!(report.findings[0].problem, Problem::WrongSize { file, announced: 7, actual: 6 });
        assert_eq!(report.findings[0].refs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["other"]);
    }
}

#[test]
fn a_corrupt_commit_leaves_its_ref_dangling_when_deleted() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::BareUser);
        let ids = history(&lab, &repo);
        damage(&file_of(&lab, ids[4].name()), b"not a commit");
        let report = repo.fsck(&FsckOptions { delete_corrupt: true }, &|_| ()).unwrap();
        assert_eq!(report.findings.len(), 1);
        assert_eq!((report.findings[0].object, &report.findings[0].commits), (ids[4].name(), &vec![ids[4]]));
        assert_eq!(report.dangling_refs, [branch("other")]);
        assert_eq!(fsck(&repo).dangling_refs, [branch("other")]);
        // What is no file at all is damage too.
        std::fs::remove_file(file_of(&lab, ids[0].name())).unwrap();
        std::os::unix::fs::symlink(
            "/etc/passwd",
            lab.path("repo/objects")
                .join(&ids[0].to_hex()[..2])
                .join(format!("{}.commit", &ids[0].to_hex()[2..])),
        )
        .unwrap();
        match repo.fsck(&FsckOptions::default(), &|_| ()) {
            Ok(report) => assert_eq!(report.findings[0].object, ids[0].name()),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_crash_while_damage_is_deleted_loses_no_mark() {
    let pristine = Lab::new();
    let ids = history(&pristine, &pristine.repo("repo", Format::Ostree, Mode::Archive));
    for step in 1.. {
        let lab = Lab::new();
        copy(&pristine.path("repo"), &lab.path("repo"));
        let repo = Repo::open(&lab.dir("repo")).unwrap();
        let victim = repo.store().load(repo.root(ids[4]).unwrap().tree).unwrap().file("changes").unwrap().id;
        damage(&file_of(&lab, victim.name()), b"x");
        let run = fault::crash_at(step, || repo.fsck(&FsckOptions { delete_corrupt: true }, &|_| ()));
        let gone = !repo.store().contains(victim.name()).unwrap();
        assert!(!gone || repo.is_partial(ids[4]).unwrap(), "step {step}: a complete commit lost a file");
        repo.fsck(&FsckOptions { delete_corrupt: true }, &|_| ()).unwrap();
        assert_eq!(fsck(&repo).damaged, [ids[4]]);
        if !run.fired {
            break;
        }
    }
}

#[test]
fn a_crash_while_the_summary_is_renewed_leaves_the_old_or_the_new_one() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        commit(&repo, &lab, "one", &on("main"));
        let old = repo.update_summary().unwrap().refs;
        commit(&repo, &lab, "two", &on("next"));
        for step in 1.. {
            let run = fault::crash_at(step, || repo.update_summary());
            let now = repo.summary().unwrap().unwrap().refs;
            assert!(now == old || now.len() == 2, "step {step}");
            if !run.fired {
                break;
            }
            assert!(run.value.is_err());
        }
        assert_eq!(repo.update_summary().unwrap().refs.len(), 2);
        // Nothing is left where clients would see it.
        for entry in std::fs::read_dir(lab.path("repo")).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(!name.to_string_lossy().starts_with(".tmp"), "{name:?}");
        }
    }
}

#[test]
fn objects_are_durable_before_a_mark_goes_and_a_mark_is_gone_before_a_ref_moves() {
    let lab = Lab::new();
    let mut repo = lab.repo("repo", Format::Ostree, Mode::Archive);
    repo.edit_config(|keyfile| {
        keyfile.set("core", "auto-update-summary", "true");
    })
    .unwrap();
    let tree = {
        let mut tree = Tree::default();
        tree.file("f", "content");
        lab.tree("tree", &tree)
    };
    let mut txn = repo.begin().unwrap();
    let imported =
        repo.import(&txn, &tree, &ImportOptions { threads: 1, ..ImportOptions::default() }, &|_| ()).unwrap();
    let id = repo.stage_commit(&mut txn, imported, &on("main")).unwrap();
    repo.mark_partial(id).unwrap();
    txn.complete(id);
    let (outcome, calls) = fault::record(|| txn.commit());
    outcome.unwrap();
    let at = |what: &dyn Fn(&fault::Call) -> bool| {
        let found: Vec<usize> =
            calls.iter().enumerate().filter(|(_, call)| what(call)).map(|(at, _)| at).collect();
        assert!(!found.is_empty());
        (found[0], found[found.len() - 1])
    };
    let ends = |call: &fault::Call, end: &str| call.path.to_string_lossy().ends_with(end);
    let sync = at(&|call| call.op == fault::Op::Syncfs);
    let objects = at(&|call| call.op == fault::Op::Rename && (ends(call, ".commit") || ends(call, ".filez")));
    let mark = at(&|call| call.op == fault::Op::Unlink && ends(call, ".commitpartial"));
    let moved = at(&|call| call.op == fault::Op::Rename && ends(call, "main"));
    let summary = at(&|call| call.op == fault::Op::Rename && ends(call, "summary"));
    let synced_dirs = calls[objects.1..mark.0].iter().any(|call| call.op == fault::Op::Fsync);
    assert!(
        sync.0 < objects.0 && objects.1 < mark.0 && synced_dirs && mark.1 < moved.0 && moved.1 < summary.0
    );
    assert!(!repo.is_partial(id).unwrap());
}

#[test]
fn a_failing_disk_is_an_error_and_costs_no_commit() {
    let pristine = Lab::new();
    let ids = history(&pristine, &pristine.repo("repo", Format::Ostree, Mode::Archive));
    let options = PruneOptions { refs_only: true, depth: Some(0), ..PruneOptions::default() };
    for failure in [fault::Failure::NoSpace, fault::Failure::Io] {
        for step in 1.. {
            let lab = Lab::new();
            copy(&pristine.path("repo"), &lab.path("repo"));
            let mut repo = Repo::open(&lab.dir("repo")).unwrap();
            let run = fault::fail_at(step, failure, || -> sapwood_repo::Result<()> {
                repo.update_summary()?;
                repo.edit_config(|keyfile| {
                    keyfile.set("core", "tombstone-commits", "true");
                })?;
                repo.mark_partial(ids[0])?;
                repo.clear_partial(ids[0])?;
                repo.plan_prune(&options)?.apply()?;
                Ok(())
            });
            assert!(!run.fired || run.value.is_err(), "step {step}: a failed write went unnoticed");
            let repo = Repo::open(&lab.dir("repo")).unwrap();
            assert_sound(&repo);
            repo.update_summary().unwrap();
            prune(&repo, &options);
            if !run.fired {
                break;
            }
        }
    }
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
