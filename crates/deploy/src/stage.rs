//! Staged deployments: made while the system runs, put into the boot order when it shuts down.
//!
//! What is to be done is a record, in OSTree's form: `staged-deployment` in the run-time directory, as there, and also
//! beside the repository, where it survives a power loss. It is deleted only when the new boot order is durable. So
//! whatever happens to a finalisation, the machine boots the old order with the update still staged, or the new one. That one
//! began is part of the record: one that did not come to its end is told of, whatever ended it.
//!
//! What is held is so by a key of the record, and by a file beside the run-time one, which is all that older versions of OSTree
//! look for: either is enough.
//!
//! What else is deployed or made the default replaces what is staged. Then the record says beforehand by which list it will
//! be replaced, and counts as long as that list is not the current one: so this, too, is one step.

mod record;

use crate::boot::entry_name::{self, EntryName};
use crate::bootloader;
use crate::cleanup::{self, CleanupOptions, Keep};
use crate::deploy::{DeployEvent, DeployOptions, Deployed};
use crate::deployment::{Deployment, DeploymentId};
use crate::list::Current;
use crate::origin::Origin;
use crate::plan::Slot;
use crate::space::{self, WhereFull};
use crate::{Error, Kargs, Locked, Result, StaterootName, Sysroot, etc, layout, write};
use record::{BootIds, Record};
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_objstore::{Commit, Id};

/// Whether a staged deployment waits for more than the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Finalization {
    /// It is put into the boot order at the next shutdown.
    #[default]
    AtShutdown,
    /// It stays staged until this is changed.
    Held,
}

/// A deployment that waits for its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// Which it is.
    pub id: DeploymentId,
    /// The deployment whose `/etc` it will take over.
    pub merge: Option<DeploymentId>,
    /// Its kernel arguments.
    pub kargs: Kargs,
    /// Where it came from.
    pub origin: Origin,
    /// What it waits for.
    pub finalization: Finalization,
}

impl Staged {
    /// Reads a record. What is not in it is left empty: the origin, which is a file of its own, and kernel arguments that
    /// are taken over from the deployment that is merged with.
    ///
    /// # Errors
    /// [`Error::Record`], [`Error::Name`] where it is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Ok(Self::of(Record::decode(bytes)?, &[], Origin::default()))
    }

    fn of(record: Record, current: &[Deployment], origin: Origin) -> Self {
        let kargs = record.blueprint.kargs(current);
        let blueprint = record.blueprint;
        Self { id: blueprint.id, merge: blueprint.merge, kargs, origin, finalization: record.finalization }
    }
}

/// What the boot that is now found of the last shutdown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootComplete {
    /// Why the finalisation failed, if it did. It is told once.
    pub failure: Option<String>,
    /// The deployment that is still staged, and is finalised at the next shutdown.
    pub staged: Option<DeploymentId>,
    /// What was staged, and is not any more: another deployment of its stateroot runs than the one it takes `/etc` from.
    pub forgotten: Option<DeploymentId>,
    /// Why it is not known what was staged, where its record was damaged. It is gone, and told of once.
    pub unreadable: Option<String>,
    /// Deployments that the boot loader gave up, and how often it tried each.
    pub given_up: Vec<(DeploymentId, u32)>,
}

impl Sysroot {
    /// The staged deployment. A record whose tree is gone, or boots already, is none; nor is one that would take over the
    /// `/etc` of a deployment in whose place another runs now: what was changed there since would be lost; nor is one that
    /// [cannot be understood](Self::unreadable_staged).
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn staged(&self) -> Result<Option<Staged>> {
        let current = self.current()?;
        let Some(record) = self.staged_record(&current)? else { return Ok(None) };
        let origin = Origin::read(self.root(), &record.blueprint.id)?;
        Ok(Some(Staged::of(record, &current.deployments, origin)))
    }

    /// Why it is not known what is staged, where that is so: its record is damaged, or not one of this kind. It counts for
    /// nothing, and goes with the next clean-up, and with what writes the boot order or stages something else.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn unreadable_staged(&self) -> Result<Option<Error>> {
        Ok(match self.find_record()? {
            Found::Unreadable(error) => Some(error),
            Found::Record(_) | Found::Nothing => None,
        })
    }

    /// The record that counts, if what it says still waits.
    pub(crate) fn staged_record(&self, current: &Current) -> Result<Option<Record>> {
        match self.find_record()? {
            Found::Record(record) if self.waits(&record, current)? => Ok(Some(*record)),
            _ => Ok(None),
        }
    }

    /// Whether what a record says is still to be done.
    fn waits(&self, record: &Record, current: &Current) -> Result<bool> {
        let id = &record.blueprint.id;
        let there = fsio::stat_optional(self.root(), layout::deployment_dir(id))?;
        let listed = || current.deployments.iter().map(|deployment| &deployment.id);
        Ok(there.is_some_and(|stat| stat.kind == Kind::Dir)
            && listed().all(|listed| listed != id)
            && (record.superseded_by.is_empty() || !listed().eq(&record.superseded_by))
            && !record.is_of_another_boot(current))
    }

    /// The run-time record, which real `ostree` writes too, else the one that outlives the boot.
    fn find_record(&self) -> Result<Found> {
        let mut found = Found::Nothing;
        let run = self.run().map(|run| (run, layout::STAGED_NAME));
        for (dir, name) in run.into_iter().chain([(self.root(), layout::STAGED)]) {
            match read_record(dir, name) {
                Ok(Some(mut record)) => {
                    if let Some(run) = self.run()
                        && fsio::stat_optional(run, layout::STAGED_LOCKED)?.is_some()
                    {
                        record.finalization = Finalization::Held;
                    }
                    return Ok(Found::Record(Box::new(record)));
                }
                Ok(None) => {}
                Err(Error::Io(error)) if !is_too_large(&error) => return Err(error.into()),
                Err(error) => found = Found::Unreadable(error),
            }
        }
        Ok(found)
    }
}

/// What there is of a record.
enum Found {
    Nothing,
    Record(Box<Record>),
    Unreadable(Error),
}

fn read_record(dir: &Dir, name: &str) -> Result<Option<Record>> {
    let bytes = fsio::read_optional(dir, name, layout::MAX_TEXT_BYTES)?;
    bytes.map(|bytes| Record::decode(&bytes)).transpose()
}

fn is_too_large(error: &fsio::Error) -> bool {
    error.source.kind() == std::io::ErrorKind::FileTooLarge
}

/// What a finalisation that did not come to its end failed of, where nobody could write it down.
const INTERRUPTED: &str = "it was interrupted before its end";

impl Locked<'_> {
    /// Makes a deployment, and leaves it to [`finalize_staged`](Self::finalize_staged) to merge `/etc` and put it into the
    /// boot order. It replaces one that was staged before. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NotBooted`] where nothing of this sysroot runs, [`Error::ReadOnlyBoot`] where the boot order could not be
    /// changed later; else those of [`deploy`](Self::deploy). What boots, and what was staged before, is as before then.
    pub fn stage(
        &self,
        stateroot: &StaterootName,
        commit: Id<Commit>,
        options: &DeployOptions,
        finalization: Finalization,
        on_event: &(dyn Fn(DeployEvent<'_>) + Sync),
    ) -> Result<Staged> {
        let current = self.current()?;
        if !current.deployments.iter().any(|deployment| deployment.booted) {
            return Err(Error::NotBooted);
        }
        let boot = fsio::open_dir(self.root(), layout::BOOT)?;
        if fsio::mount::access(&boot)? == fsio::mount::Access::ReadOnly {
            return Err(Error::ReadOnlyBoot);
        }
        bootloader::of(self, &boot)?;
        self.new_tries()?;
        self.recover(&current, &options.overlays, on_event)?;
        let (blueprint, origin) = self.blueprint(&current.deployments, stateroot, commit, options)?;
        self.make_disk_room(&blueprint, WhereFull::Refuse)?;
        let staged = Staged {
            id: blueprint.id.clone(),
            merge: blueprint.merge.clone(),
            kargs: blueprint.kargs(&current.deployments),
            origin: origin.clone(),
            finalization,
        };
        let merged =
            current.deployments.iter().find(|deployment| Some(&deployment.id) == staged.merge.as_ref());
        let merged = merged.map(|deployment| deployment.boot_id.clone());
        let laid = self.lay(&staged.id, &origin, on_event).and_then(|kernel| {
            on_event(DeployEvent::Syncing);
            write::sync_all(self, &boot)?;
            let boot_ids = BootIds { target: Some(kernel.boot_id), merge: merged };
            self.write_record(&Record::new(blueprint, boot_ids, finalization))
        });
        if let Err(error) = laid {
            // Where the record could not be put back as it was, it is this one that is staged, and complete.
            if self.staged().is_ok_and(|counts| counts.is_none_or(|counts| counts.id != staged.id)) {
                self.abandon(&staged.id);
            }
            return Err(error);
        }
        // What was staged before goes, and the commit of this one gets its ref.
        cleanup::remove_unneeded(self, &current, &Keep::default())?;
        Ok(staged)
    }

    /// Writes the record, with the overlays that it names wherever it is.
    fn write_record(&self, record: &Record) -> Result<()> {
        self.share_overlays(&record.blueprint.overlays)
            .map_err(|error| space::name_full_boot(self, error))?;
        self.put_record(record)
    }

    /// Writes the record, and what says that it is held, in all places or in none. Where the run-time directory alone has an
    /// overlay that it names, no record outlives the boot, since that does not.
    fn put_record(&self, record: &Record) -> Result<()> {
        let bytes = record.encode();
        let held = record.finalization == Finalization::Held;
        let lock = held.then(Vec::new);
        let outlives = self.missing_overlays(&record.blueprint.overlays)?.is_empty();
        let mut places = vec![(self.root(), layout::STAGED, outlives.then_some(&bytes))];
        if let Some(run) = self.run() {
            places.push((run, layout::STAGED_NAME, Some(&bytes)));
            // At no moment does a record that is held look as if it were not.
            places.insert(if held { 0 } else { places.len() }, (run, layout::STAGED_LOCKED, lock.as_ref()));
        }
        let put = |dir: &Dir, name: &str, content: Option<&Vec<u8>>| match content {
            Some(content) => fsio::replace(dir, name, 0o644, content),
            None => fsio::remove_file_optional(dir, name).map(drop),
        };
        let read = |(dir, name, _): &(&Dir, &str, _)| {
            let bytes = fsio::read_optional(dir, name, layout::MAX_TEXT_BYTES);
            // What was no record before is none to put back.
            bytes.or_else(|error| if is_too_large(&error) { Ok(None) } else { Err(error) })
        };
        let before = places.iter().map(read).collect::<fsio::Result<Vec<_>>>()?;
        let written = places.iter().try_for_each(|(dir, name, content)| put(dir, name, *content));
        let Err(error) = written else { return Ok(()) };
        for ((dir, name, _), before) in places.iter().zip(before) {
            if let Err(error) = put(dir, name, before.as_ref()) {
                tracing::warn!(%error, "the record of what is staged cannot be put back");
            }
        }
        Err(error.into())
    }

    /// Has what is staged count no more once the list is `slots`, unless it is in it.
    pub(crate) fn supersede_staged(&self, mut record: Record, slots: &[Slot]) -> Result<()> {
        if slots.iter().any(|slot| slot.id == record.blueprint.id) {
            return Ok(());
        }
        record.superseded_by = slots.iter().map(|slot| slot.id.clone()).collect();
        self.put_record(&record)
    }

    /// Changes the kernel arguments of what is staged, and says whether that is a change. Those that it takes over from
    /// another deployment are changed there.
    pub(crate) fn change_staged_kargs(
        &self,
        current: &Current,
        change: &dyn Fn(Kargs) -> Result<Option<Kargs>>,
    ) -> Result<bool> {
        let Some(mut record) = self.staged_record(current)? else { return Ok(false) };
        if record.blueprint.kargs.is_none() && record.blueprint.merge.is_some() {
            return Ok(false);
        }
        let before = record.blueprint.kargs(&current.deployments);
        match change(before.clone())? {
            Some(kargs) if kargs != before => record.blueprint.kargs = Some(kargs),
            _ => return Ok(false),
        }
        self.write_record(&record)?;
        Ok(true)
    }

    /// Forgets what is staged. Its tree goes with the next clean-up.
    pub(crate) fn forget_staged(&self) -> Result<()> {
        if fsio::remove_file_optional(self.root(), layout::STAGED)? {
            fsio::sync_dir(&fsio::open_dir_followed(self.root(), layout::OSTREE)?)?;
        }
        if let Some(run) = self.run() {
            fsio::remove_file_optional(run, layout::STAGED_NAME)?;
            // Else what is staged next would be held.
            fsio::remove_file_optional(run, layout::STAGED_LOCKED)?;
        }
        Ok(())
    }

    /// Holds what is staged, or no longer. Says whether that is a change.
    ///
    /// # Errors
    /// [`Error::NothingStaged`]; or when the record cannot be written.
    pub fn set_finalization(&self, finalization: Finalization) -> Result<bool> {
        let mut record = self.staged_record(&self.current()?)?.ok_or(Error::NothingStaged)?;
        if record.finalization == finalization {
            return Ok(false);
        }
        record.finalization = finalization;
        self.write_record(&record)?;
        Ok(true)
    }

    /// Merges `/etc` into what is staged, and puts it into the boot order; `None` where nothing is staged, or it is held.
    /// The repository is not pruned.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy), and [`Error::MergeGone`]. What was staged stays so, and why it failed is written to
    /// the boot directory, for [`boot_complete`](Self::boot_complete). [`Error::Record`] or [`Error::Name`] where what is
    /// staged is not known: its record is gone then.
    pub fn finalize_staged(&self, on_event: &(dyn Fn(DeployEvent<'_>) + Sync)) -> Result<Option<Deployed>> {
        let finalized = self.try_finalize(on_event);
        if let Err(error) = &finalized {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(error) = source {
                text = format!("{text}: {error}");
                source = error.source();
            }
            let path = layout::failure_stamp();
            if let Err(error) = fsio::replace(self.root(), path, 0o644, text.as_bytes()) {
                tracing::error!(%error, "why the finalisation failed cannot be written down");
            }
        }
        finalized
    }

    fn try_finalize(&self, on_event: &(dyn Fn(DeployEvent<'_>) + Sync)) -> Result<Option<Deployed>> {
        let current = self.current()?;
        let Some(record) = self.staged_record(&current)? else {
            let unreadable = self.unreadable_staged()?;
            self.forget_staged()?;
            return unreadable.map_or(Ok(None), Err);
        };
        if record.finalization == Finalization::Held {
            return Ok(None);
        }
        let Record { blueprint, .. } = &record;
        if let Some(merge) = &blueprint.merge
            && !current.deployments.iter().any(|deployment| deployment.id == *merge)
        {
            return Err(Error::MergeGone { merge: merge.clone() });
        }
        let begun = Record { begun: true, ..record.clone() };
        self.put_record(&begun)?;
        let room = self.make_boot_room(blueprint);
        // What does not fit as a whole stays staged, also over a reboot, if its overlays do.
        let kept = match self.share_overlays(&blueprint.overlays) {
            Ok(true) => self.put_record(&begun),
            shared => shared.map(drop).map_err(|error| space::name_full_boot(self, error)),
        };
        room.and(kept)?;
        // An earlier attempt may have got into the middle of the merge.
        etc::recreate(self, &blueprint.id)?;
        let placed = self.place(blueprint, on_event).inspect_err(|error| {
            if !matches!(error, Error::AfterSwitch { .. }) {
                self.abandon_kernel();
            }
        });
        let mut deployed = placed?;
        let clean = || {
            fsio::remove_file_optional(self.root(), layout::failure_stamp())?;
            self.cleanup(&CleanupOptions { keep_objects: true })
        };
        deployed.cleaned = clean().map_err(|source| Error::AfterSwitch { source: Box::new(source) })?;
        Ok(Some(deployed))
    }

    /// What has to be done when the system is up, well or not: tells of deployments that the boot loader gave up and of a
    /// finalisation that failed, and makes known again what is still staged, so that it is finalised at the next
    /// shutdown. That the boot succeeded is for [`bless`](Self::bless) to say.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn boot_complete(&self) -> Result<BootComplete> {
        let path = layout::failure_stamp();
        let failure = fsio::read_optional(self.root(), &path, layout::MAX_TEXT_BYTES)?;
        let current = self.current()?;
        let failed =
            current.deployments.iter().filter(|deployment| deployment.failed() && !deployment.booted);
        let given_up =
            failed.map(|failed| (failed.id.clone(), failed.tries.map_or(0, |tries| tries.done))).collect();
        let (found, unreadable) = match self.find_record()? {
            Found::Record(record) => (Some(*record), None),
            Found::Unreadable(error) => (None, Some(error.to_string())),
            Found::Nothing => (None, None),
        };
        let stale = found.as_ref().filter(|record| record.is_of_another_boot(&current));
        let forgotten = stale.map(|record| record.blueprint.id.clone());
        let record = match found {
            Some(record) if self.waits(&record, &current)? => Some(record),
            _ => None,
        };
        let mut interrupted = None;
        match &record {
            Some(record) => {
                interrupted = record.begun.then(|| INTERRUPTED.to_owned());
                self.write_record(&Record { begun: false, ..record.clone() })?;
            }
            None => self.forget_staged()?,
        }
        if failure.is_some() {
            fsio::remove_file_optional(self.root(), &path)?;
            fsio::sync_dir(&fsio::open_dir(self.root(), layout::boot(layout::BOOT_OSTREE))?)?;
        }
        Ok(BootComplete {
            failure: failure.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).or(interrupted),
            staged: record.map(|record| record.blueprint.id),
            forgotten,
            unreadable,
            given_up,
        })
    }
}

impl Locked<'_> {
    /// Ends the counting of boots of the running deployment, which is good from now on; `None` where they are not counted.
    ///
    /// Takes the counter off the name of its entry. The name without it comes first, so that at no moment there is none.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn bless(&self) -> Result<Option<DeploymentId>> {
        let current = self.current()?;
        let counted = |deployment: &&Deployment| deployment.booted && deployment.tries.is_some();
        let Some(running) = current.deployments.iter().find(counted) else { return Ok(None) };
        let Some(name) = EntryName::parse(&running.file) else { return Ok(None) };
        let entries = fsio::open_dir(self.root(), current.entries_path())?;
        let bytes = fsio::read(&entries, &running.file, layout::MAX_TEXT_BYTES)?;
        fsio::replace(&entries, entry_name::file_name(name.stem, None), 0o644, &bytes)?;
        // The boot loader reads them without the journal: never may it see neither name.
        fsio::checkpoint(&entries)?;
        fsio::remove_file(&entries, &running.file)?;
        fsio::checkpoint(&entries)?;
        Ok(Some(running.id.clone()))
    }
}

/// The deployment at a place of the boot order, where what is staged comes first and is `None`.
pub(crate) fn at<'c>(
    sysroot: &Sysroot,
    current: &'c Current,
    index: usize,
) -> Result<Option<&'c Deployment>> {
    let staged = usize::from(sysroot.staged_record(current)?.is_some());
    let count = current.deployments.len() + staged;
    match index.checked_sub(staged) {
        None => Ok(None),
        Some(at) => current.deployments.get(at).map(Some).ok_or(Error::NoSuchDeployment { index, count }),
    }
}
