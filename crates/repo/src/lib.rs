//! Repositories of operating system trees: refs and configuration over an object store.
//!
//! A [`Repo`] joins a [`Store`](sapwood_objstore::Store) with refs, configuration and remotes. What goes in goes through a
//! [`Transaction`]: objects are made durable first, and only then do refs move.
//!
//! ```
//! use sapwood_objstore::{Format, Mode};
//! use sapwood_repo::{CommitOptions, CreateOptions, ImportOptions, PruneOptions, RefName, Refspec, Repo};
//!
//! let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority())?;
//! dir.create_dir("repo")?;
//! dir.create_dir("tree")?;
//! dir.write("tree/hello", "world")?;
//!
//! let options = CreateOptions { format: Format::Native, mode: Mode::BareUser, collection_id: None };
//! let repo = Repo::create(&dir.open_dir("repo")?, &options)?;
//! let main = Refspec::local(RefName::new("os/main")?);
//! let commit = CommitOptions { branch: Some(main), subject: "First".to_owned(), ..Default::default() };
//! repo.commit_dir(&dir.open_dir("tree")?, &ImportOptions::default(), &commit, &|_| ())?;
//!
//! let tip = repo.resolve("os/main")?;
//! assert_eq!(repo.store().load(tip)?.subject, "First");
//! for entry in repo.walk(repo.root(tip)?) {
//!     println!("{:?}", entry?);
//! }
//! assert_eq!(repo.plan_prune(&PruneOptions::default(), &|_| ())?.apply(&|_| ())?.deleted_objects, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod announced;
pub mod archive;
mod checkout;
mod closure;
mod commit;
mod config;
mod convert;
mod delta;
mod diff;
mod error;
mod export;
mod fsck;
mod glib;
mod ids;
mod keyfile;
mod leb128;
mod log;
mod name;
mod partial;
mod pool;
mod prune;
mod reach;
mod record;
mod reflog;
mod refs;
mod remote;
mod repo;
mod revision;
pub mod selinux;
pub mod sign;
pub mod statement;
mod summary;
mod tree;
mod txn;
mod write;

pub use checkout::{Checkout, CheckoutEvent, CheckoutOptions, CheckoutStats, Overwrite, Ownership};
pub use closure::{ClosureDirs, ClosureFile, ClosureHead, closure_path, encode_closure};
pub use commit::{
    BuildCounts, BuiltTree, CommitEvent, CommitOptions, CommitOutcome, Consumed, ImportOptions, ImportedTree,
    Links, ListError, ModeList, Modifiers, Parent, PathFilter, RecordedSize, SkipList, TarOptions,
    TreeBuilder, id_on_disk, recorded_sizes,
};
pub use config::{Config, ConfigError};
pub use convert::{Conversion, ConvertEvent, ConvertOptions, ConvertedCommit};
pub use delta::{
    ByteOrder, DeltaError, DeltaFiles, DeltaName, DeltaOptions, DeltaStats, Fallback, ListedDelta, ModeRow,
    Operation, Operations, PartInfo, PartPayload, PatchedFile, Piece, Recipe, Superblock, apply_part,
    delta_index_path, part_is_here, recipes,
};
pub use diff::{Change, ChangeKind, DiffOptions, DiffSide, Download, diff_trees};
pub use error::{Error, Result};
pub use export::ExportOptions;
pub use fsck::{
    BadBinding, BindingChecks, BindingProblem, Finding, FsckEvent, FsckOptions, FsckReport, OnCorrupt,
    Problem, binding_problem,
};
pub use keyfile::{Keyfile, KeyfileError};
pub use log::{History, LogEntry};
pub use name::{CollectionId, NameError, Namespace, RefName, Refspec, RemoteName};
pub use prune::{PruneEvent, PruneOptions, PrunePlan, PruneScope, Pruned};
pub use reflog::{RefMove, name_command};
pub use refs::{BrokenRef, Expected, RefEdit, RefEntry};
pub use remote::{NewRemotes, Remote};
pub use repo::{CreateOptions, Repo};
pub use summary::{Listed, Summary, SummaryCopy, SummaryRef, SummaryState, Vouching};
pub use tree::{Node, Root, TreePath, Walk, WalkEntry};
pub use txn::Transaction;
