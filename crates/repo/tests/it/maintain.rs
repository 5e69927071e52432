//! Checking: what is found is what `ostree` would find, and no crash loses a mark.

use crate::commit_fixture::{FORMATS, Lab, MODES, branch, on};
use sapwood_fsio::fault;
use sapwood_objstore::{
    Commit, DirEntry, DirTree, EntryName, Format, Id, Metadata, Mode, ObjectName, Totals, Value,
};
use sapwood_repo::{
    CommitOptions, Error, FsckEvent, FsckOptions, FsckReport, ImportOptions, ImportedTree, OnCorrupt,
    Problem, PruneOptions, Pruned, Refspec, Repo, Root,
};
use sapwood_testkit::{Ostree, Tree, skipped};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub(crate) fn commit(repo: &Repo, lab: &Lab, content: &str, options: &CommitOptions) -> Id<Commit> {
    let mut tree = Tree::default();
    tree.file("changes", content);
    tree.file(&format!("dir/{content}"), format!("only {content}"));
    tree.file("stays/same", "the same");
    let dir = lab.tree(&format!("tree-{content}"), &tree);
    repo.commit_dir(&dir, &ImportOptions::default(), options, &|_| ()).unwrap().commit
}

pub(crate) fn year(n: u64) -> u64 {
    n * 1000
}

/// Four commits on `main`, made in the years 1 to 4, one on `other` from year 0, one on no ref from year 5.
pub(crate) fn history(lab: &Lab, repo: &Repo) -> Vec<Id<Commit>> {
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

pub(crate) fn objects(repo: &Repo) -> BTreeSet<ObjectName> {
    let mut all = BTreeSet::new();
    repo.store()
        .for_each(&mut |name| {
            all.insert(name);
            Ok(())
        })
        .unwrap();
    all
}

pub(crate) fn fsck(repo: &Repo) -> FsckReport {
    repo.fsck(&FsckOptions::default(), &|_| ()).unwrap()
}

pub(crate) fn assert_sound(repo: &Repo) {
    let report = fsck(repo);
    assert_eq!((report.findings, report.dangling_refs), (Vec::new(), Vec::new()));
}

pub(crate) fn prune(repo: &Repo, options: &PruneOptions) -> Pruned {
    let plan = repo.plan_prune(options, &|_| ()).unwrap();
    let planned = plan.summary();
    let mut objects = BTreeSet::new();
    plan.for_each(&mut |name| assert!(objects.insert(name) && repo.store().contains(name).unwrap())).unwrap();
    assert_eq!(objects.len() as u64, planned.deleted_objects);
    assert_eq!(plan.apply(&|_| ()).unwrap(), planned);
    assert!(objects.iter().all(|name| !repo.store().contains(*name).unwrap()));
    planned
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// The file of an object.
pub(crate) fn file_of(lab: &Lab, name: ObjectName) -> PathBuf {
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
        assert!(matches!(find(lost_tree).problem, Problem::Corrupt { .. } | Problem::Malformed { .. }));
        assert_eq!(names(find(lost_tree)), ["main"]);
        let mut all = ids.clone();
        all.sort();
        assert_eq!(find(shared).commits, all);
        assert_eq!(names(find(shared)), ["main", "other"]);
        if let (Some(ostree), Format::Ostree) = (Ostree::find(), format) {
            assert!(ostree.run(lab.args("repo", &["fsck", "-q"])).is_err());
        }
        // Deleting what is corrupt marks what it hurts; the next check finds nothing else.
        let deleted =
            repo.fsck(&FsckOptions { on_corrupt: OnCorrupt::Delete, ..Default::default() }, &|_| ()).unwrap();
        // What lacks something was marked the first time already, so that a pull completes it.
        assert_eq!(report.marked, [ids[2]]);
        let left: Vec<_> =
            report.findings.iter().filter(|finding| finding.problem != Problem::Missing).collect();
        assert_eq!(
            deleted.findings.iter().map(|finding| finding.object).collect::<Vec<_>>(),
            left.iter().map(|finding| finding.object).collect::<Vec<_>>()
        );
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
        // It is what its id says: another one would be no other.
        assert!(report.findings[0].is_lasting());
        for on_corrupt in [OnCorrupt::Mark, OnCorrupt::Delete] {
            let same = repo.fsck(&FsckOptions { on_corrupt, ..Default::default() }, &|_| ()).unwrap();
            assert_eq!((&same.findings, &same.marked), (&report.findings, &Vec::new()));
        }
        assert!(repo.store().contains(lying.name()).unwrap());
    }
}

#[test]
fn a_file_that_was_cut_short_is_what_is_damaged_and_not_its_directory() {
    for mode in [Mode::Bare, Mode::BareUser, Mode::BareUserOnly] {
        let lab = Lab::new();
        let repo = lab.repo("repo", Format::Native, mode);
        let id = commit(&repo, &lab, "honest", &on("main"));
        let file = repo.store().load(repo.root(id).unwrap().tree).unwrap().files()[0].id.name();
        std::fs::OpenOptions::new().write(true).open(file_of(&lab, file)).unwrap().set_len(0).unwrap();
        let report = fsck(&repo);
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        let found = &report.findings[0];
        assert!(matches!(found.problem, Problem::Corrupt { .. }), "{found:?}");
        assert_eq!((found.object, &found.commits), (file, &vec![id]));
        assert!(!found.is_lasting());
        let deleted =
            repo.fsck(&FsckOptions { on_corrupt: OnCorrupt::Delete, ..Default::default() }, &|_| ()).unwrap();
        assert_eq!(deleted.marked, [id]);
    }
}

#[test]
fn a_tree_that_is_too_deep_is_found_and_its_commit_is_named() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        let honest = commit(&repo, &lab, "honest", &on("main"));
        let meta = repo.root(honest).unwrap().meta;
        let mut txn = repo.begin().unwrap();
        let mut tree = txn.objects().put(&DirTree::new(Vec::new(), Vec::new()).unwrap()).unwrap();
        let mut commits = Vec::new();
        let innermost = tree;
        for below_the_root in 1..=1025 {
            let below = DirEntry { name: EntryName::new("d").unwrap(), tree, meta };
            tree = txn.objects().put(&DirTree::new(Vec::new(), vec![below]).unwrap()).unwrap();
            if below_the_root >= 1024 {
                let totals = Totals { files: 0, dirs: below_the_root + 1, bytes: 0 };
                let imported = ImportedTree { root: Root { tree, meta }, totals };
                let name = format!("deep{below_the_root}");
                commits.push(repo.stage_commit(&mut txn, imported, &on(&name)).unwrap());
            }
            if below_the_root == 1024 {
                txn.commit().unwrap();
                assert_sound(&repo);
                txn = repo.begin().unwrap();
            }
        }
        txn.commit().unwrap();
        // What the deeper of both has alone is its root: so the shallow one goes, for the innermost to be deep only.
        repo.edit_refs(vec![sapwood_repo::RefEdit::Delete {
            name: Refspec::parse("deep1024").unwrap(),
            expected: sapwood_repo::Expected::Any,
        }])
        .unwrap();
        repo.store().remove(commits[0].name()).unwrap();
        let report = fsck(&repo);
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(report.findings[0].object, innermost.name());
        assert_eq!(report.findings[0].problem, Problem::TooDeep { limit: 1024 });
        assert_eq!(report.findings[0].commits, [commits[1]]);
        let refused = repo.plan_prune(&PruneOptions::default(), &|_| ()).map(drop);
        let named = matches!(&refused, Err(Error::CommitTooDeep { commit, .. }) if *commit == commits[1]);
        assert!(named, "{refused:?}");
    }
}

#[test]
fn a_commit_that_lies_about_its_totals_is_found_and_not_deleted() {
    let lab = Lab::new();
    let repo = lab.repo("repo", Format::Native, Mode::Archive);
    let honest = commit(&repo, &lab, "honest", &on("main"));
    // The contents are the words "honest", "only honest", and "the same"; there are two directories and the root.
    let actual = Totals { files: 3, dirs: 3, bytes: 6 + 11 + 8 };
    assert_eq!(repo.store().load(honest).unwrap().totals, Some(actual));
    let announced = Totals { files: 4, ..actual };
    let mut txn = repo.begin().unwrap();
    let imported = ImportedTree { root: repo.root(honest).unwrap(), totals: announced };
    let lying = repo.stage_commit(&mut txn, imported, &on("other")).unwrap();
    txn.commit().unwrap();
    for on_corrupt in [OnCorrupt::Leave, OnCorrupt::Mark, OnCorrupt::Delete] {
        let report = repo.fsck(&FsckOptions { on_corrupt, ..Default::default() }, &|_| ()).unwrap();
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        assert_eq!(report.findings[0].problem, Problem::WrongTotals { announced, actual });
        assert_eq!((report.findings[0].object, &report.findings[0].commits), (lying.name(), &vec![lying]));
        assert!(report.marked.is_empty());
    }
}

/// The refs that dangle.
#[test]
fn what_is_no_metadata_beside_a_commit_is_found_and_removed_on_demand() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::Archive);
        let good = commit(&repo, &lab, "one", &on("one"));
        let bad = commit(&repo, &lab, "two", &on("two"));
        let mut metadata = Metadata::default();
        metadata.set("note", Value::Str("kept".to_owned()));
        for id in [good, bad] {
            repo.store().set_detached(id, Some(&metadata)).unwrap();
        }
        let beside = file_of(&lab, bad.name()).with_extension("commitmeta");
        let whole = std::fs::read(&beside).unwrap();
        damage(&beside, &whole[..whole.len() / 2]);
        assert_eq!(fsck(&repo).bad_detached, [bad]);
        assert!(!fsck(&repo).is_clean());
        let removing = FsckOptions { on_corrupt: OnCorrupt::Delete, ..FsckOptions::default() };
        assert_eq!(repo.fsck(&removing, &|_| ()).unwrap().bad_detached, [bad]);
        assert!(fsck(&repo).is_clean());
        assert_eq!(repo.store().detached(bad).unwrap(), None);
        assert_eq!(repo.store().detached(good).unwrap(), Some(metadata));
    }
}

fn names(report: &FsckReport) -> Vec<Refspec> {
    report.dangling_refs.iter().map(|entry| entry.name.clone()).collect()
}

#[test]
fn a_corrupt_commit_leaves_its_ref_dangling_when_deleted() {
    for format in FORMATS {
        let lab = Lab::new();
        let repo = lab.repo("repo", format, Mode::BareUser);
        let ids = history(&lab, &repo);
        damage(&file_of(&lab, ids[4].name()), b"not a commit");
        let report =
            repo.fsck(&FsckOptions { on_corrupt: OnCorrupt::Delete, ..Default::default() }, &|_| ()).unwrap();
        assert_eq!(report.findings.len(), 1);
        assert_eq!((report.findings[0].object, &report.findings[0].commits), (ids[4].name(), &vec![ids[4]]));
        assert_eq!(names(&report), [branch("other")]);
        assert_eq!(names(&fsck(&repo)), [branch("other")]);
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
        let run = fault::crash_at(step, || {
            repo.fsck(&FsckOptions { on_corrupt: OnCorrupt::Delete, ..Default::default() }, &|_| ())
        });
        let gone = !repo.store().contains(victim.name()).unwrap();
        assert!(!gone || repo.is_partial(ids[4]).unwrap(), "step {step}: a complete commit lost a file");
        repo.fsck(&FsckOptions { on_corrupt: OnCorrupt::Delete, ..Default::default() }, &|_| ()).unwrap();
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
                repo.plan_prune(&options, &|_| ())?.apply(&|_| ())?;
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
