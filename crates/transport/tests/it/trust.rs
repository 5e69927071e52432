//! Only what the owner's keys vouch for is pulled: attacks on commits and summaries, each against a real server.
//!
//! The keys are those of RFC 8032, section 7.1, tests 1 and 2.

use crate::world::{BRANCH, FORMATS, Place, http, local, pull_quietly, served, small_tree, stored, want};
use sapwood_objstore::{Commit, Format, Id, Metadata, Mode};
use sapwood_repo::sign::{Mechanism, Policy, Signer, metadata_key, signer, verifier};
use sapwood_repo::{Expected, RefEdit, Repo};
use sapwood_transport::{Bindings, PullError, PullOptions, pull_local};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const SECRET: &str =
    "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2DXWpgBgrEKt9VL/tPJZAc6DuFy89qmIyWvAhpo9wdRGg==";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
pub(crate) const OTHER_SECRET: &str =
    "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs9QBfD6EOJWpK3CqdNG368nJgszy7ElozAzVXxKvRmDA==";
const OTHER_PUBLIC: &str = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=";

pub(crate) fn key(secret: &str) -> Vec<Box<dyn Signer>> {
    vec![signer("ed25519", secret).unwrap()]
}

fn required(trusted: &[&str], revoked: &[&str], threshold: usize) -> Vec<Mechanism> {
    let owned = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
    let engines = vec![verifier("ed25519", &owned(trusted), &owned(revoked)).unwrap()];
    vec![Mechanism { name: "Signature", option: "sign-verify", engines, threshold }]
}

/// Commits must be signed by the first key.
fn commits_signed() -> Policy {
    Policy { commit: required(&[PUBLIC], &[], 1), ..Policy::default() }
}

/// The summary must be, and commits need not.
pub(crate) fn summary_signed() -> Policy {
    Policy { summary: required(&[PUBLIC], &[], 1), ..Policy::default() }
}

/// The summary must be signed by the other key.
pub(crate) fn other_summary_signed() -> Policy {
    Policy { summary: required(&[OTHER_PUBLIC], &[], 1), ..Policy::default() }
}

pub(crate) fn options(policy: Policy) -> PullOptions {
    // Bindings are another matter: here branches are moved to commits of others.
    PullOptions { policy: Arc::new(policy), bindings: Bindings::Ignore, ..want(BRANCH) }
}

/// Pulls over HTTP and from the directory into new repositories; both must end alike.
fn pulled(from: &Place, policy: impl Fn() -> Policy) -> bool {
    let server = served(from.path());
    let outcomes = [true, false].map(|over_http| {
        let into = Place::new(from.repo.store().format(), Mode::BareUser);
        let options = options(policy());
        let outcome = if over_http {
            pull_quietly(&into.repo, http(&server.url), &options)
        } else {
            pull_local(&into.repo, &from.reopen(), &options, &|_| {})
        };
        let moved = into.repo.ref_target(&local(BRANCH)).unwrap().is_some();
        assert_eq!(moved, outcome.is_ok(), "{outcome:?}");
        if let Err(error) = &outcome {
            assert!(stored(&into.repo).is_empty(), "something of it was stored: {error}");
        }
        outcome.is_ok()
    });
    assert_eq!(outcomes[0], outcomes[1], "over HTTP and from the directory");
    outcomes[0]
}

fn put_beside(repo: &Repo, commit: Id<Commit>, beside: &Metadata) {
    let txn = repo.begin().unwrap();
    txn.objects().put_detached(commit, beside).unwrap();
    txn.commit().unwrap();
}

fn point(repo: &Repo, branch: &str, to: Id<Commit>) {
    let name = local(branch);
    repo.edit_refs(vec![RefEdit::Set { name, expected: Expected::Any, target: to }]).unwrap();
}

#[test]
fn a_commit_is_pulled_only_with_a_good_signature_of_its_own_by_a_trusted_key() {
    for format in FORMATS {
        let from = Place::new(format, Mode::Archive);
        let good = from.commit(BRANCH, &small_tree("one"));
        assert!(!pulled(&from, commits_signed), "unsigned");
        from.repo.sign_commit(good, &key(OTHER_SECRET)).unwrap();
        assert!(!pulled(&from, commits_signed), "signed with another key");
        let revoked =
            || Policy { commit: required(&[OTHER_PUBLIC], &[OTHER_PUBLIC], 1), ..Policy::default() };
        assert!(!pulled(&from, revoked), "signed with a revoked key");
        from.repo.sign_commit(good, &key(SECRET)).unwrap();
        assert!(pulled(&from, commits_signed), "signed with both keys");

        let signatures = from.repo.store().detached(good).unwrap().unwrap();
        let evil = from.commit(BRANCH, &small_tree("evil"));
        put_beside(&from.repo, evil, &signatures);
        assert!(!pulled(&from, commits_signed), "with the signatures of another commit");
        point(&from.repo, BRANCH, good);
        put_beside(&from.repo, good, &Metadata::default());
        assert!(!pulled(&from, commits_signed), "stripped of its signatures");
        let mut torn = Metadata::default();
        let list = metadata_key("ed25519").unwrap();
        torn.set(list, sapwood_objstore::Value::ByteArrays(vec![vec![0; 63]]));
        put_beside(&from.repo, good, &torn);
        assert!(!pulled(&from, commits_signed), "with a signature cut short");
    }
}

#[test]
fn as_many_different_keys_must_sign_as_the_threshold_says() {
    let from = Place::new(Format::Ostree, Mode::Archive);
    let commit = from.commit(BRANCH, &small_tree("one"));
    let two = || Policy { commit: required(&[PUBLIC, OTHER_PUBLIC], &[], 2), ..Policy::default() };
    from.repo.sign_commit(commit, &key(SECRET)).unwrap();
    from.repo.sign_commit(commit, &key(SECRET)).unwrap();
    assert!(!pulled(&from, two), "twice by one key");
    from.repo.sign_commit(commit, &key(OTHER_SECRET)).unwrap();
    assert!(pulled(&from, two), "by two keys");
}

#[test]
fn where_the_summary_must_be_signed_it_alone_says_what_refs_are() {
    for format in FORMATS {
        let from = Place::new(format, Mode::Archive);
        let listed = from.commit("other", &small_tree("one"));
        from.repo.update_summary().unwrap();
        assert!(!pulled(&from, summary_signed), "an unsigned summary");
        from.repo.sign_summary(&key(SECRET)).unwrap();
        point(&from.repo, BRANCH, listed);
        assert!(!pulled(&from, summary_signed), "a ref beside the summary");
        from.repo.update_summary().unwrap();
        from.repo.sign_summary(&key(OTHER_SECRET)).unwrap();
        assert!(!pulled(&from, summary_signed), "a summary signed with another key");
        from.repo.sign_summary(&key(SECRET)).unwrap();
        assert!(pulled(&from, summary_signed), "a signed summary");

        // The ref moves behind the summary's back: what the summary says is what is pulled.
        let evil = from.commit(BRANCH, &small_tree("evil"));
        let into = Place::new(format, Mode::BareUser);
        let server = served(from.path());
        pull_quietly(&into.repo, http(&server.url), &options(summary_signed())).unwrap();
        assert_eq!(into.repo.ref_target(&local(BRANCH)).unwrap(), Some(listed));
        let into = Place::new(format, Mode::BareUser);
        pull_local(&into.repo, &from.reopen(), &options(summary_signed()), &|_| {}).unwrap();
        assert_eq!(into.repo.ref_target(&local(BRANCH)).unwrap(), Some(listed));
        assert!(!into.repo.store().contains(evil.name()).unwrap());
    }
}

#[test]
fn a_summary_that_was_changed_after_it_was_signed_is_refused() {
    let from = Place::new(Format::Ostree, Mode::Archive);
    from.commit(BRANCH, &small_tree("one"));
    from.repo.update_summary().unwrap();
    from.repo.sign_summary(&key(SECRET)).unwrap();
    let kept = sapwood_fsio::read(from.repo.dir(), "summary.sig", 1 << 20).unwrap();
    from.commit(BRANCH, &small_tree("two"));
    from.repo.update_summary().unwrap();
    sapwood_fsio::replace(from.repo.dir(), "summary.sig", 0o644, &kept).unwrap();
    let server = served(from.path());
    let into = Place::new(Format::Ostree, Mode::BareUser);
    let outcome = pull_quietly(&into.repo, http(&server.url), &options(summary_signed()));
    assert!(matches!(outcome, Err(PullError::UntrustedSummary { .. })), "{outcome:?}");
    assert!(stored(&into.repo).is_empty());
}

/// The object files of a repository, by kind: what they are called ends in it.
fn object_files(repo: &Repo) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let objects = sapwood_fsio::open_dir(repo.dir(), "objects").unwrap();
    for shard in sapwood_fsio::entries(&objects).unwrap() {
        let shard = shard.name.into_string().unwrap();
        for file in sapwood_fsio::entries(&sapwood_fsio::open_dir(&objects, &shard).unwrap()).unwrap() {
            let name = file.name.into_string().unwrap();
            let kind = name.rsplit_once('.').unwrap().1.to_owned();
            found.entry(kind).or_default().push(format!("objects/{shard}/{name}"));
        }
    }
    found
}

#[test]
fn a_machine_that_is_up_to_date_keeps_what_it_has_whatever_a_server_offers_instead() {
    for format in FORMATS {
        let from = Place::new(format, Mode::Archive);
        let commit = |branch: &str, version: &str| {
            let commit = from.commit(branch, &small_tree(version));
            from.repo.sign_commit(commit, &key(SECRET)).unwrap();
            commit
        };
        let first = commit(BRANCH, "one");
        let other = commit("other", "other");
        let into = Place::new(format, Mode::BareUser);
        let server = served(from.path());
        let pull = || {
            let options =
                PullOptions { policy: Arc::new(commits_signed()), bindings: Bindings::Check, ..want(BRANCH) };
            pull_quietly(&into.repo, http(&server.url), &options)
        };
        pull().unwrap();
        let refused = |what: &str, at: Id<Commit>, is_it: &dyn Fn(&PullError) -> bool| {
            let before = stored(&into.repo);
            let error = pull().expect_err(what);
            assert!(is_it(&error), "{what}: {error:?}");
            assert_eq!(stored(&into.repo), before, "{what}");
            assert_eq!(into.repo.ref_target(&local(BRANCH)).unwrap(), Some(at), "{what}");
        };

        point(&from.repo, BRANCH, other);
        refused("the good commit of another ref", first, &|error| {
            matches!(error, PullError::NotBound { .. })
        });
        point(&from.repo, BRANCH, first);

        let old = object_files(&from.repo);
        let second = commit(BRANCH, "two");
        let mut kinds = 0;
        for (kind, files) in object_files(&from.repo) {
            let is_new = |file: &&String| !old.get(&kind).is_some_and(|known| known.contains(file));
            let Some(file) = files.iter().find(is_new).filter(|_| kind != "commitmeta") else { continue };
            let good = sapwood_fsio::read(from.repo.dir(), file, 1 << 30).unwrap();
            let put = |bytes: &[u8]| sapwood_fsio::replace(from.repo.dir(), file, 0o644, bytes).unwrap();
            let mut bad = good.clone();
            // The last bits of compressed content may mean nothing; that a byte is missing always does.
            bad.pop();
            put(&bad);
            refused(&format!("a {kind} cut short"), first, &|error| {
                matches!(
                    error,
                    PullError::BadObject { .. } | PullError::Untrusted { .. } | PullError::Fetch { .. }
                )
            });
            put(&good);
            kinds += 1;
        }
        assert!(kinds >= 3, "a commit, a tree and a file at least were changed");
        pull().unwrap();
        assert_eq!(into.repo.ref_target(&local(BRANCH)).unwrap(), Some(second));
    }
}
