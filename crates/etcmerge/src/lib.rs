//! Three-way merge of configuration trees: what the vendor ships changes, what the administrator changed stays.
//!
//! Three trees meet when an operating system is updated: the old defaults (`usr/etc` of the running version), the local
//! tree (`etc`, where the administrator worked), and the new defaults (`usr/etc` of the new version). [`scan`] turns a
//! tree into a plain value, [`plan`] decides from three such values, touching no disk, and [`apply`] carries out the plan
//! on a copy of the new defaults.
//!
//! The decision is made for each path. A side *changed* a path when it has something else there than the old
//! defaults: another kind, content, mode, owner, extended attribute, or nothing. Every change of the side that the
//! [`Policy`] prefers is honoured. Every change of the other side is honoured unless it contradicts one of those, and
//! **each that is not is listed as a [`Conflict`]**. That is all; the rest are consequences:
//!
//! | local | new default | [`KeepLocal`](Policy::KeepLocal) | [`KeepNew`](Policy::KeepNew) | conflict |
//! |---|---|---|---|---|
//! | unchanged | anything | new default | new default | no |
//! | changed | unchanged | local | local | no |
//! | changed | changed in the same way | that | that | no |
//! | modified | modified | local | new default | yes |
//! | added | added | local | new default | yes |
//! | removed | modified | removed | new default | yes |
//! | modified | removed | local | removed | yes |
//! | directory removed, or now a file | something new inside | without it | the directory with what is new | yes |
//! | something new inside a directory | directory removed, or now a file | the directory with what is new | without it | yes |
//!
//! [`Policy::KeepBoth`] is [`Policy::KeepLocal`] with the new default put beside the local file under the same name with
//! [`BESIDE_SUFFIX`] appended.
//!
//! # What is not OSTree's outcome, and why
//!
//! With [`Policy::KeepLocal`] the outcome is the one of OSTree's merge, but for these:
//!
//! - **A changed mode or owner of a directory is kept.** OSTree loses it unless something in the directory changed too:
//!   a directory closed to others would be open again after the next update.
//! - **A new default mode or owner of a directory is taken**, where those were not changed locally. OSTree puts the old ones
//!   back where something in the directory was changed.
//! - **Changed extended attributes are kept** (access lists, capabilities). OSTree compares without them. Security labels
//!   alone are not compared ([`ScanOptions::ignored_xattrs`]): a policy assigns them.
//! - **A local file where the new version has a directory is not an error.** In OSTree the whole update fails, even if the
//!   directory is an old default that was replaced locally; here the local file stays, by default.
//! - **What is in a directory that took the place of a default file is kept**, where the new version has a directory there,
//!   too. OSTree loses it.
//! - **What the local tree keeps has a place.** If the new version turned a directory into a file, and something in it
//!   was changed locally, OSTree's update fails; here the directory stays with that in it, and the file is the conflict.
//! - **Conflicts are listed.** OSTree keeps the local side silently.
//! - **Special files** (fifos, sockets, devices) that were made locally are left behind, as in OSTree, but listed in
//!   [`MergePlan::skipped`]. What they took the place of counts as removed.
//!
//! `.updated` at the top (a time stamp by which the system notices that it was updated) is never merged and never in
//! the result, so the notice happens.
//!
//! # Example
//!
//! ```
//! use sapwood_etcmerge::{Policy, ScanOptions, Sides, apply, plan, scan};
//! use sapwood_fsio as fsio;
//!
//! # let dir = cap_tempfile::tempdir(cap_tempfile::ambient_authority())?;
//! let [base, local, new, target] = ["base", "local", "new", "target"].map(|name| fsio::create_dir(&dir, name, 0o755));
//! let (base, local, new, target) = (base?, local?, new?, target?);
//! fsio::replace(&base, "motd", 0o644, b"welcome")?;
//! fsio::replace(&local, "motd", 0o644, b"welcome to db1")?;
//! for defaults in [&new, &target] {
//!     fsio::replace(defaults, "motd", 0o644, b"Welcome!")?;
//! }
//!
//! let options = ScanOptions::default();
//! let (a, b, c) = (scan(&base, &options)?, scan(&local, &options)?, scan(&new, &options)?);
//! let plan = plan(Sides { base: &a, ours: &b, theirs: &c }, Policy::KeepLocal);
//! assert_eq!(plan.conflicts.len(), 1);
//!
//! apply(&plan, &local, &target, &new)?;
//! assert_eq!(fsio::read(&target, "motd", 100)?, b"welcome to db1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod conflict;
mod diff;
mod error;
mod plan;
mod resolve;
mod scan;
mod snapshot;
mod walker;

pub use apply::{Applied, NotKept, NotKeptWhat, apply};
pub use conflict::{BESIDE_SUFFIX, Conflict, ConflictKind, Policy, Resolution};
pub use diff::{Change, ChangeKind, diff};
pub use error::{Error, Tree};
pub use plan::{Action, MergePlan, Sides, Skipped, Source, merged, plan};
pub use scan::{ScanOptions, scan};
pub use snapshot::{Entry, EntryKind, Snapshot};
