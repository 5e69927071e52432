//! Pulling by static deltas: what they save, and that a damaged or forged one gets nothing in.

use crate::liar::{Answer, Liar};
use crate::world::{
    BRANCH, Place, http, local, noise, pull_quietly, runtime, served, small_tree, stored, verified_objects,
    want,
};
use sapwood_objstore::{Commit, Format, Id, Metadata, Mode, ObjectId, ObjectKind, ObjectName, Value};
use sapwood_repo::sign::{Mechanism, Policy, verifier};
use sapwood_repo::{ByteOrder, DeltaName, DeltaOptions, Superblock, delta_index_path};
use sapwood_testkit::Tree;
use sapwood_transport::{Deltas, FetchError, PullError, PullOptions, SplitRemote, Wanted, plan_pull};
use std::sync::Arc;

/// A large file that changes in the middle, one that moves, many small ones, and one that is too large for the delta.
fn tree(version: u8) -> Tree {
    let mut tree = small_tree(&version.to_string());
    let mut program = noise(300_000);
    program[150_000] ^= version;
    tree.file("usr/bin/program", program).mode(0o755);
    tree.file("usr/lib/new", noise(40_000 + usize::from(version)));
    tree.file("usr/lib/huge", [&[version][..], &noise(2_000_000)].concat());
    tree
}

/// An archive with two versions, a delta between them and one from nothing to the second.
struct Source {
    place: Place,
    old: Id<Commit>,
    new: Id<Commit>,
    delta: DeltaName,
}

impl Source {
    fn new(inline: bool, order: ByteOrder) -> Self {
        let place = Place::new(Format::Ostree, Mode::Archive);
        let old = place.commit(BRANCH, &tree(1));
        let new = place.commit(BRANCH, &tree(2));
        let delta = DeltaName { from: Some(old), to: new };
        let options = DeltaOptions {
            inline,
            order,
            min_fallback_bytes: 1_000_000,
            max_bsdiff_bytes: 1_000_000,
            max_chunk_bytes: 100_000,
            threads: 1,
        };
        for name in [delta, DeltaName { from: None, to: new }] {
            let made = place.repo.generate_delta(&name, &options, &[]).unwrap();
            assert!(made.parts.len() >= 2 && made.fallbacks.len() == 1, "{made:?}");
        }
        place.repo.update_summary().unwrap();
        Self { place, old, new, delta }
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        sapwood_fsio::read(self.place.repo.dir(), path, 1 << 30).unwrap()
    }

    fn superblock(&self) -> Superblock {
        Superblock::decode(&self.bytes(&format!("{}/superblock", self.delta.path()))).unwrap()
    }

    /// A repository that has the old version.
    fn machine(&self, mode: Mode) -> Place {
        let machine = Place::new(Format::Ostree, mode);
        let pinned = format!("{BRANCH}@{}", self.old);
        let server = served(self.place.path());
        pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Never, &pinned)).unwrap();
        assert!(server.delivered().iter().all(|path| !path.contains("delta")));
        machine
    }
}

fn using(deltas: Deltas, wanted: &str) -> PullOptions {
    PullOptions { deltas, ..want(wanted) }
}

#[test]
fn a_delta_brings_all_that_fetching_objects_one_by_one_does() {
    for (inline, order) in [(false, ByteOrder::Little), (true, ByteOrder::Big)] {
        let source = Source::new(inline, order);
        for mode in crate::world::modes().into_iter().filter(|mode| *mode != Mode::Archive) {
            let machine = source.machine(mode);
            let server = served(source.place.path());
            let outcome =
                pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Require, BRANCH)).unwrap();
            let parts = source.superblock().parts.len() as u64;
            assert_eq!((outcome.delta_parts, outcome.files_fetched, outcome.meta_fetched), (parts, 1, 0));
            assert_eq!(
                verified_objects(&machine.repo, source.new),
                verified_objects(&source.place.repo, source.new)
            );
            assert!(!machine.repo.is_partial(source.new).unwrap());
            assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(source.new));
            // The file that is too large for the delta.
            let objects = server.delivered().into_iter().filter(|path| path.contains("/objects/"));
            assert_eq!(objects.count(), 1, "{mode:?}");
            // There is no delta to what is here, and none is needed.
            pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Require, BRANCH)).unwrap();
        }
    }
}

#[test]
fn a_delta_from_nothing_is_for_those_who_have_nothing_of_the_ref() {
    let source = Source::new(false, ByteOrder::Little);
    let server = served(source.place.path());
    for wanted in [BRANCH.to_owned(), source.new.to_hex()] {
        let machine = Place::new(Format::Ostree, Mode::BareUser);
        let outcome = pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Use, &wanted)).unwrap();
        assert!(outcome.delta_parts > 0 && outcome.files_fetched == 1, "{outcome:?}");
        verified_objects(&machine.repo, source.new);
    }
    source.place.repo.delete_delta(&source.delta).unwrap();
    source.place.repo.update_summary().unwrap();
    let machine = source.machine(Mode::BareUser);
    let outcome = pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Use, BRANCH)).unwrap();
    assert_eq!(outcome.delta_parts, 0);
    let error = pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Require, &source.old.to_hex()));
    assert_eq!(error.unwrap().delta_parts, 0, "it is here");
}

#[test]
fn a_plan_says_what_the_delta_is_and_leaves_refs_and_store_as_they_are() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::BareUser);
    let before = stored(&machine.repo);
    let server = served(source.place.path());
    let options = using(Deltas::Require, BRANCH);
    let plan =
        plan_pull(runtime().handle(), &machine.repo, http(&server.url), &[], &options, &|_| {}).unwrap();
    let [delta] = plan.deltas[..] else { panic!("{plan:?}") };
    let parts = source.superblock().parts;
    let sizes: u64 = (0..parts.len())
        .map(|part| source.bytes(&format!("{}/{part}", source.delta.path())).len() as u64)
        .sum();
    assert_eq!((delta.parts, delta.parts_here, delta.bytes), (parts.len() as u64, 0, sizes));
    assert_eq!((delta.fallbacks, plan.files.number, plan.meta_fetched), (1, 0, 0));
    assert_eq!(stored(&machine.repo), before);
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(source.old));
}

#[test]
fn archives_take_no_deltas() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::Archive);
    let server = served(source.place.path());
    let error = pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Require, BRANCH)).unwrap_err();
    assert!(matches!(error, PullError::DeltaForArchive), "{error}");
    let outcome = pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Use, BRANCH)).unwrap();
    assert_eq!(outcome.delta_parts, 0);
}

/// A list that names one delta.
fn list(delta: &DeltaName, superblock: &[u8]) -> Vec<u8> {
    let digest = Format::Ostree.id_of(ObjectKind::Commit, superblock);
    let mut inner = Metadata::default();
    inner.set(&delta.to_string(), Value::Bytes(digest.as_bytes().to_vec()));
    let mut outer = Metadata::default();
    let bytes = Format::Ostree.encode_metadata(&inner);
    outer.set("ostree.static-deltas", Value::Variant { signature: "a{sv}".to_owned(), bytes });
    Format::Ostree.encode_metadata(&outer)
}

/// What a server does to the files of a delta, by path, if it is not to be honest.
type Attack = Box<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// Attacks on what the list does not vouch for, or with a list that vouches for what is wrong.
fn attacks(source: &Source) -> Vec<(&'static str, Attack)> {
    let dir = format!("/{}", source.delta.path());
    let superblock = format!("{dir}/superblock");
    let index = format!("/{}", delta_index_path(source.new));
    let on = |what: &str, answer: fn(&[u8]) -> Answer| -> Attack {
        let (what, honest) = (what.to_owned(), source.bytes(&what[1..]));
        Box::new(move |path| (path == what).then(|| answer(&honest)))
    };
    let part = format!("{dir}/0");
    let flipped = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        Answer::Bytes(bytes)
    };
    // Superblocks that the list names, but that lie.
    let forged = |change: &dyn Fn(&mut Superblock)| -> Attack {
        let mut changed = source.superblock();
        change(&mut changed);
        let bytes = changed.encode();
        let (superblock, index) = (superblock.clone(), index.clone());
        let listed = list(&source.delta, &bytes);
        Box::new(move |path| {
            if path == superblock {
                Some(Answer::Bytes(bytes.clone()))
            } else {
                (path == index).then(|| Answer::Bytes(listed.clone()))
            }
        })
    };
    vec![
        ("a superblock with a bit flipped", on(&superblock, flipped)),
        ("a superblock cut short", on(&superblock, |bytes| Answer::Bytes(bytes[..bytes.len() / 2].to_vec()))),
        ("no superblock", on(&superblock, |_| Answer::Status(404, ""))),
        ("an endless superblock", on(&superblock, |_| Answer::Huge)),
        ("an index of noise", on(&index, |_| Answer::Bytes(noise(1000)))),
        ("a server that fails for the index", on(&index, |_| Answer::Status(500, ""))),
        ("a part with a bit flipped", on(&part, flipped)),
        ("a part with a byte too many", on(&part, |bytes| Answer::Bytes([bytes, b"x"].concat()))),
        ("a part cut short", on(&part, |bytes| Answer::Bytes(bytes[..bytes.len() - 1].to_vec()))),
        ("an endless part", on(&part, |_| Answer::Endless)),
        ("no part", on(&part, |_| Answer::Status(404, ""))),
        ("a list of objects that do not come out", {
            forged(&|block| block.parts.iter_mut().for_each(|part| part.objects.reverse()))
        }),
        ("another part's digest", { forged(&|block| block.parts[0].digest = block.parts[1].digest) }),
        ("harmless: a part that is said to be larger than it is", {
            forged(&|block| block.parts[0].bytes = u64::MAX)
        }),
        ("harmless: parts that are said to hold nothing", {
            forged(&|block| block.parts.iter_mut().for_each(|part| part.objects.clear()))
        }),
        ("content that is not announced", {
            forged(&|block| block.parts.iter_mut().for_each(|part| part.content_bytes = 0))
        }),
        ("a commit besides the target, which nobody would judge", {
            forged(&|block| {
                let id = ObjectId::from_bytes([7; 32]);
                block.parts[0].objects.push(ObjectName { kind: ObjectKind::Commit, id });
            })
        }),
        ("a delta of another source", {
            forged(&|block| block.name.from = Some(Id::new(ObjectId::from_bytes([7; 32]))))
        }),
    ]
}

#[test]
fn a_damaged_or_forged_delta_costs_time_and_gets_nothing_in() {
    let source = Source::new(false, ByteOrder::Little);
    // Then the index alone says what there is.
    let mut keyfile = source.place.reopen();
    keyfile.edit_config(|keyfile| assert!(keyfile.set("core", "no-deltas-in-summary", "true"))).unwrap();
    keyfile.update_summary().unwrap();
    for (what, attack) in attacks(&source) {
        let attack = Arc::new(attack);
        for deltas in [Deltas::Use, Deltas::Require] {
            let machine = source.machine(Mode::BareUser);
            let before = stored(&machine.repo);
            let attack = Arc::clone(&attack);
            let liar =
                Liar::new(source.place.path(), move |asked| attack(&asked.path).unwrap_or(Answer::Honest));
            let outcome = pull_quietly(&machine.repo, http(&liar.url), &using(deltas, BRANCH));
            if deltas == Deltas::Use || what.starts_with("harmless") {
                outcome.unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(source.new), "{what}");
            } else {
                let error = outcome.expect_err(what);
                assert!(
                    matches!(
                        error,
                        PullError::Delta { .. }
                            | PullError::Fetch { .. }
                            | PullError::Malformed { .. }
                            | PullError::NoDelta { .. }
                    ),
                    "{what}: {error:?}"
                );
                assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(source.old), "{what}");
                assert_eq!(stored(&machine.repo), before, "{what}");
                let server = served(source.place.path());
                pull_quietly(&machine.repo, http(&server.url), &using(deltas, BRANCH)).unwrap();
            }
            verified_objects(&machine.repo, source.new);
        }
    }
}

#[test]
fn what_cannot_fit_is_not_fetched() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::BareUser);
    let mut block = source.superblock();
    block.parts[0].content_bytes = 1 << 62;
    let bytes = block.encode();
    let (superblock, index) = (format!("/{}/superblock", source.delta.path()), delta_index_path(source.new));
    let dir = source.place.repo.dir();
    sapwood_fsio::replace(dir, &superblock[1..], 0o644, &bytes).unwrap();
    sapwood_fsio::replace(dir, index, 0o644, &list(&source.delta, &bytes)).unwrap();
    sapwood_fsio::remove_file(dir, "summary").unwrap();
    let server = served(source.place.path());
    let error = pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Use, BRANCH)).unwrap_err();
    let PullError::Repo(sapwood_repo::Error::Store(sapwood_objstore::Error::NoSpace { .. })) = error else {
        panic!("{error:?}");
    };
    assert!(server.delivered().iter().all(|path| !path.ends_with("/0") && !path.contains("filez")));
}

/// What is too large for one file is so whether a delta brings it or not.
#[test]
fn a_file_larger_than_the_limit_comes_by_no_delta() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::BareUser);
    let before = stored(&machine.repo);
    let mut options = using(Deltas::Require, BRANCH);
    options.limits.max_file_bytes = 10;
    let server = served(source.place.path());
    let error = pull_quietly(&machine.repo, http(&server.url), &options).unwrap_err();
    let too_large =
        matches!(&error, PullError::Fetch { source, .. } if matches!(**source, FetchError::TooLarge { .. }));
    assert!(too_large, "{error:?}");
    assert_eq!(stored(&machine.repo), before);
    assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(source.old));
}

/// What would take more memory than it may comes by objects; what fits one after the other comes one after the other.
#[test]
fn deltas_take_no_more_memory_than_they_may() {
    let source = Source::new(true, ByteOrder::Little);
    let block = source.superblock();
    assert!(block.parts.len() > 2);
    let needs = |part: &sapwood_repo::PartInfo| part.bytes + part.max_payload_bytes();
    let largest = block.parts.iter().map(needs).max().unwrap();
    let superblock = source.bytes(&format!("{}/superblock", source.delta.path())).len() as u64;
    let all = block.parts.len() as u64;
    let server = served(source.place.path());
    for (memory, superblocks, parts) in [
        (largest, superblock, Some(all)),
        (largest - 1, superblock, None),
        (largest, superblock - 1, Some(0)),
    ] {
        for deltas in [Deltas::Use, Deltas::Require] {
            let machine = source.machine(Mode::BareUser);
            let mut options = using(deltas, BRANCH);
            options.limits.max_parts_memory_bytes = memory;
            options.limits.max_superblocks_bytes = superblocks;
            let outcome = pull_quietly(&machine.repo, http(&server.url), &options);
            if deltas == Deltas::Require && parts != Some(all) {
                let refused = matches!(outcome, Err(PullError::Delta { .. } | PullError::Fetch { .. }));
                assert!(refused, "{memory} {superblocks}: {outcome:?}");
                assert_eq!(machine.repo.ref_target(&local(BRANCH)).unwrap(), Some(source.old));
            } else {
                let applied = outcome.unwrap().delta_parts;
                assert!(
                    parts.map_or(applied < all, |parts| applied == parts),
                    "{applied} of {all}: {parts:?}"
                );
                verified_objects(&machine.repo, source.new);
            }
        }
    }
}

#[test]
fn parts_that_were_applied_before_a_failure_are_not_fetched_again() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::BareUser);
    let last = source.superblock().parts.len() - 1;
    let path = format!("/{}/{last}", source.delta.path());
    let missing = path.clone();
    let liar = Liar::new(source.place.path(), move |asked| {
        if asked.path == missing { Answer::Status(404, "") } else { Answer::Honest }
    });
    pull_quietly(&machine.repo, http(&liar.url), &using(Deltas::Require, BRANCH)).unwrap_err();
    let server = served(source.place.path());
    let outcome = pull_quietly(&machine.repo, http(&server.url), &using(Deltas::Require, BRANCH)).unwrap();
    assert_eq!(outcome.delta_parts, 1);
    let dir = format!("/{}/", source.delta.path());
    let decoded = server.delivered().into_iter().map(|path| path.replace("%2B", "+"));
    let fetched: Vec<_> = decoded.filter(|path| path.starts_with(&dir)).collect();
    assert_eq!(fetched, [format!("{dir}superblock"), path]);
}

#[test]
fn nothing_of_a_delta_to_an_unsigned_commit_is_fetched() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::BareUser);
    let before = stored(&machine.repo);
    let key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned();
    let engines = vec![verifier("ed25519", &[key], &[]).unwrap()];
    let signed = Mechanism { name: "Signature", option: "sign-verify", engines, threshold: 1 };
    let policy = Arc::new(Policy { commit: vec![signed], ..Policy::default() });
    for deltas in [Deltas::Use, Deltas::Require] {
        let server = served(source.place.path());
        let options = PullOptions { policy: Arc::clone(&policy), ..using(deltas, BRANCH) };
        let error = pull_quietly(&machine.repo, http(&server.url), &options).unwrap_err();
        assert!(matches!(error, PullError::Untrusted { .. }), "{error}");
        assert_eq!(stored(&machine.repo), before);
        assert!(server.delivered().iter().all(|path| !path.ends_with("/0") && !path.contains("filez")));
    }
}

#[test]
fn a_pinned_commit_is_found_through_its_index() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::BareUser);
    let server = served(source.place.path());
    let wanted = vec![Wanted::Commit(source.new)];
    let options = PullOptions { wanted, deltas: Deltas::Require, ..Default::default() };
    assert!(pull_quietly(&machine.repo, http(&server.url), &options).unwrap().delta_parts > 0);
    assert!(server.delivered().iter().all(|path| path != "/summary"));
    verified_objects(&machine.repo, source.new);
}

#[test]
fn deltas_and_what_lists_them_are_where_the_objects_are() {
    let source = Source::new(false, ByteOrder::Little);
    let machine = source.machine(Mode::BareUser);
    let meta = Liar::new(source.place.path(), |asked| {
        if asked.path.starts_with("/delta") { Answer::Status(404, "") } else { Answer::Honest }
    });
    let content = served(source.place.path());
    let remote = Arc::new(SplitRemote { meta: http(&meta.url), content: http(&content.url) });
    let wanted = vec![Wanted::Commit(source.new)];
    let options = PullOptions { wanted, deltas: Deltas::Require, ..Default::default() };
    assert!(pull_quietly(&machine.repo, remote, &options).unwrap().delta_parts > 0);
    verified_objects(&machine.repo, source.new);
}
