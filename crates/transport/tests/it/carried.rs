//! Refs that a repository carries on for collections that it is not of.

use crate::world::*;
use sapwood_objstore::{Commit, Format, Id, Metadata, Mode, Value};
use sapwood_repo::{
    CollectionId, CommitOptions, Expected, ImportOptions, Namespace, RefEdit, RefName, Refspec, Repo,
};
use sapwood_transport::{Bindings, DirRemote, PullError, PullOptions, PullOutcome, RefsInto, pull_local};
use std::sync::Arc;

fn collection(name: &str) -> CollectionId {
    CollectionId::new(name).unwrap()
}

/// A repository that carries a ref on for a collection, and the commit there: bound to the collection `bound_to`.
fn carrying(of: &str, bound_to: &str) -> (Place, Id<Commit>) {
    let carrier = Place::new(Format::Native, Mode::Archive);
    carrier.commit("own", &small_tree("own"));
    let tree = tempfile::tempdir().unwrap();
    small_tree("carried").write_to(tree.path()).unwrap();
    let mut metadata = Metadata::default();
    metadata.set("ostree.collection-binding", Value::Str(bound_to.to_owned()));
    let options = CommitOptions {
        bind_refs: vec![RefName::new(BRANCH).unwrap()],
        metadata,
        subject: "carried".to_owned(),
        timestamp: Some(1_700_000_000),
        ..Default::default()
    };
    let from = open_dir(tree.path());
    let commit = carrier.repo.commit_dir(&from, &ImportOptions::default(), &options, &|_| {}).unwrap().commit;
    let name = Refspec::mirrored(collection(of), RefName::new(BRANCH).unwrap());
    carrier.repo.edit_refs(vec![RefEdit::Set { name, expected: Expected::Any, target: commit }]).unwrap();
    carrier.repo.update_summary().unwrap();
    (carrier, commit)
}

/// Everything a carrier has, by way of its summary and by way of its files.
fn mirror(repo: &Repo, carrier: &Place, bindings: Bindings) -> [Result<PullOutcome, PullError>; 2] {
    let options = PullOptions { into: RefsInto::Mirror, bindings, ..PullOptions::default() };
    let remote = Arc::new(DirRemote::new(open_dir(carrier.path()), "carrier"));
    [pull_quietly(repo, remote, &options), pull_local(repo, &carrier.repo, &options, &|_| {})]
}

/// A repository of the collection `org.example.Ours`, whose branch is at the commit.
fn ours() -> (Place, Id<Commit>) {
    let mut place = Place::new(Format::Native, Mode::Archive);
    place
        .repo
        .edit_config(|keyfile| assert!(keyfile.set("core", "collection-id", "org.example.Ours")))
        .unwrap();
    let commit = place.commit(BRANCH, &small_tree("ours"));
    (place, commit)
}

#[test]
fn a_mirror_moves_none_of_our_own_refs_because_somebody_carries_them_on() {
    let (place, commit) = ours();
    let (carrier, _) = carrying("org.example.Ours", "org.example.Ours");
    for outcome in mirror(&place.repo, &carrier, Bindings::Check) {
        let refs = outcome.unwrap().refs;
        assert_eq!(refs.iter().map(|update| update.name.clone()).collect::<Vec<_>>(), [local("own")]);
    }
    assert_eq!(place.repo.ref_target(&local(BRANCH)).unwrap(), Some(commit));
}

#[test]
fn what_is_carried_on_for_a_collection_must_be_made_for_it() {
    let far = collection("org.example.Far");
    let (carrier, made) = carrying(far.as_str(), "org.example.Near");
    let (place, _) = ours();
    for outcome in mirror(&place.repo, &carrier, Bindings::Check) {
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, PullError::NotInCollection { commit, wanted, .. } if *commit == made && *wanted == far),
            "{error:?}"
        );
    }
    assert!(place.repo.mirrored_refs().unwrap().is_empty());
    for outcome in mirror(&place.repo, &carrier, Bindings::Ignore) {
        outcome.unwrap();
    }

    let (carrier, made) = carrying(far.as_str(), far.as_str());
    let (place, _) = ours();
    for outcome in mirror(&place.repo, &carrier, Bindings::Check) {
        outcome.unwrap();
        let mirrored = place.repo.mirrored_refs().unwrap();
        assert_eq!(mirrored.iter().map(|entry| entry.target).collect::<Vec<_>>(), [made]);
        assert_eq!(mirrored[0].name.namespace, Namespace::Mirror(far.clone()));
    }
}
