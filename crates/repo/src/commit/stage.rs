//! Commit objects: who made it is not recorded, what it is a version of is.

use super::sizes::SIZES;
use crate::glib;
use crate::{CommitOptions, Expected, ImportedTree, Parent, RefEdit, Repo, Result, Transaction};
use sapwood_objstore::{Commit, Id, Metadata, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// Under which names a commit may be served; clients check it.
pub(crate) const REF_BINDING: &str = "ostree.ref-binding";
pub(crate) const COLLECTION_BINDING: &str = "ostree.collection-binding";
/// That a tree can be booted, and with which kernel.
const BOOTABLE: &str = "ostree.bootable";
const LINUX: &str = "ostree.linux";

/// Writes the commit object and queues the move of its branch.
pub(crate) fn stage(
    repo: &Repo,
    txn: &mut Transaction<'_>,
    tree: ImportedTree,
    options: &CommitOptions,
) -> Result<Id<Commit>> {
    let tip = match &options.branch {
        Some(branch) => repo.ref_target(branch)?,
        None => None,
    };
    let commit = Commit {
        metadata: metadata(repo, options),
        parent: match options.parent {
            Parent::Branch => match (&options.branch, tip) {
                (Some(branch), None) => repo.branch_parent(branch)?,
                (_, tip) => tip,
            },
            Parent::None => None,
            Parent::Commit(id) => Some(id),
        },
        subject: options.subject.clone(),
        body: options.body.clone(),
        timestamp: options.timestamp.unwrap_or_else(now),
        tree: tree.root.tree,
        meta: tree.root.meta,
        totals: repo.store().format().records_sizes().then_some(tree.totals),
    };
    let id = txn.objects().put(&commit)?;
    if let Some(branch) = &options.branch {
        // Whoever moves the branch from now on makes the transaction fail: the parent would be wrong.
        let expected = tip.map_or(Expected::Absent, Expected::At);
        txn.edit_ref(RefEdit::Set { name: branch.clone(), expected, target: id });
    }
    Ok(id)
}

/// The caller's facts, then the bindings, then the sizes: the order in which OSTree writes them. Where the tree can be booted,
/// it has put all but the sizes into a hash table.
fn metadata(repo: &Repo, options: &CommitOptions) -> Metadata {
    let mut metadata = options.metadata.clone();
    if !options.no_bindings {
        // With its remote, if it has one: that is how OSTree binds.
        let branch = options.branch.iter().map(ToString::to_string);
        let further = options.bind_refs.iter().map(ToString::to_string);
        let mut refs: Vec<String> = branch.chain(further).collect();
        refs.sort_unstable();
        metadata.set(REF_BINDING, Value::Strs(refs));
        // Who names another collection means that one.
        if let Some(collection) =
            repo.config().collection_id.as_ref().filter(|_| metadata.get(COLLECTION_BINDING).is_none())
        {
            metadata.set(COLLECTION_BINDING, Value::Str(collection.to_string()));
        }
    }
    if let Some(kernel) = &options.bootable {
        metadata.set(BOOTABLE, Value::Bool(true));
        metadata.set(LINUX, Value::Str(kernel.clone()));
        metadata = as_hashed(&metadata);
    }
    if let Some(sizes) = &options.sizes {
        metadata.set(SIZES, sizes.clone());
    }
    metadata
}

/// In the order in which a hash table gives them.
fn as_hashed(metadata: &Metadata) -> Metadata {
    let keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
    let mut hashed = Metadata::default();
    for key in glib::order(&keys) {
        if let Some(value) = metadata.get(key) {
            hashed.set(key, value.clone());
        }
    }
    hashed
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
