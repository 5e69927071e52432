//! `admin deploy`.

use super::kargs::edits;
use super::outcome::{EtcMerge, Shown, StagedShown};
use super::{Machine, PATIENCE, narrate, stateroot_or_running};
use crate::args::Persona;
use crate::ctx::{Ctx, open_parent, read_file};
use crate::journal::Entry;
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_deploy::{
    DeployEvent, DeployOptions, Finalization, KargEdit, Kargs, KargsFrom, Merge, Origin, Policy, Position,
    Retain,
};
use sapwood_objstore::{Commit, Id};
use sapwood_repo::Refspec;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Mutex;

/// Install a commit as the deployment that boots by default
///
/// Its /etc is that of the commit merged with what was changed in the /etc of the deployment before it.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// The stateroot; that of the running system if missing
    #[arg(long, visible_alias = "stateroot", value_name = "OSNAME")]
    os: Option<String>,
    /// A file that says where upgrades come from
    #[arg(long, value_name = "FILENAME")]
    origin_file: Option<PathBuf>,
    #[command(flatten)]
    how: How,
    /// Take over neither /etc nor kernel arguments
    #[arg(long)]
    no_merge: bool,
    /// Keep all deployments that are there
    #[arg(long)]
    retain: bool,
    /// Keep those that were to boot next
    #[arg(long)]
    retain_pending: bool,
    /// Keep those that one could go back to
    #[arg(long)]
    retain_rollback: bool,
    /// Boot the deployments that are there first
    #[arg(long)]
    not_as_default: bool,
    /// Take over the kernel arguments of the running system
    #[arg(long, conflicts_with = "karg_none")]
    karg_proc_cmdline: bool,
    /// Set a kernel argument, instead of those with the same name
    #[arg(long, value_name = "NAME=VALUE")]
    karg: Vec<String>,
    /// Append a kernel argument
    #[arg(long, value_name = "NAME=VALUE")]
    karg_append: Vec<String>,
    /// Take over no kernel arguments
    #[arg(long)]
    karg_none: bool,
    /// Put it into the boot order when the running system shuts down
    #[arg(long)]
    stage: bool,
    /// As --stage, and hold it until `admin lock-finalization --unlock`
    #[arg(long)]
    lock_finalization: bool,
    /// Give the kernel this archive, too, after the initramfs
    #[arg(long, value_name = "FILE")]
    overlay_initrd: Vec<PathBuf>,
    /// Remove a kernel argument
    #[arg(long, value_name = "NAME=VALUE")]
    karg_delete: Vec<String>,
    /// A ref, or a commit
    #[arg(value_name = "REFSPEC")]
    revision: String,
}

/// What `upgrade` and `switch` have in common with it.
#[derive(Debug, clap::Args)]
pub(crate) struct How {
    /// Leave in the repository what is not needed any more
    #[arg(long)]
    pub(super) no_prune: bool,
    #[command(flatten)]
    pub(super) etc: EtcPolicy,
}

/// How conflicts in `/etc` are settled.
#[derive(Debug, clap::Args)]
pub(crate) struct EtcPolicy {
    /// Which side prevails where /etc and its new defaults contradict each other: keep-local keeps yours, keep-new takes
    /// the new default, keep-both keeps yours and puts the new default beside it, as NAME.new-default
    #[arg(long, value_name = "POLICY", default_value = "keep-local", hide_possible_values = true)]
    #[arg(value_parser = ["keep-local", "keep-new", "keep-both"])]
    policy: String,
}

impl EtcPolicy {
    pub(super) fn policy(&self) -> Policy {
        match self.policy.as_str() {
            "keep-new" => Policy::KeepNew,
            "keep-both" => Policy::KeepBoth,
            _ => Policy::KeepLocal,
        }
    }
}

impl Args {
    fn kargs_from(&self) -> anyhow::Result<KargsFrom> {
        if self.karg_none {
            return Ok(KargsFrom::Nothing);
        }
        if self.karg_proc_cmdline {
            let line = read_file("/proc/cmdline".as_ref(), 64 << 10)?;
            return Ok(KargsFrom::Given(Kargs::parse_proc_cmdline(&line)));
        }
        Ok(KargsFrom::Merge)
    }

    /// What OSTree would finalise as something else than is asked for.
    fn refuse_what_ostree_stages_not(&self) -> anyhow::Result<()> {
        for (given, what) in [
            (self.retain_pending || self.retain_rollback, "--retain arguments"),
            (self.not_as_default, "--not-as-default"),
        ] {
            anyhow::ensure!(!given, "--stage cannot currently be combined with {what}");
        }
        Ok(())
    }

    fn options(
        &self,
        sysroot: &sapwood_deploy::Locked<'_>,
        commit: Id<Commit>,
    ) -> anyhow::Result<DeployOptions> {
        let origin = match &self.origin_file {
            Some(path) => Some(Origin::parse(&read_file(path, 1 << 20)?)?),
            None => Some(Origin::from_refspec(&followed(sysroot, &self.revision, commit)?)),
        };
        Ok(DeployOptions {
            origin,
            merge: if self.no_merge { Merge::None } else { Merge::Etc(self.how.etc.policy()) },
            kargs_from: self.kargs_from()?,
            kargs: [
                edits(&self.karg_delete, KargEdit::Delete),
                edits(&self.karg, KargEdit::Set),
                edits(&self.karg_append, KargEdit::Append),
            ]
            .concat(),
            overlays: self
                .overlay_initrd
                .iter()
                .map(|path| overlay(sysroot, path))
                .collect::<Result<_, _>>()?,
            retain: match (
                self.retain || (self.retain_pending && self.retain_rollback),
                self.retain_pending,
                self.retain_rollback,
            ) {
                (true, ..) => Retain::All,
                (_, true, _) => Retain::Pending,
                (.., true) => Retain::Rollback,
                _ => Retain::Necessary,
            },
            position: if self.not_as_default { Position::NotDefault } else { Position::Default },
            keep_objects: self.how.no_prune,
        })
    }
}

fn overlay(sysroot: &sapwood_deploy::Locked<'_>, path: &std::path::Path) -> anyhow::Result<String> {
    let (dir, name) =
        open_parent(&path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?)?;
    Ok(sysroot.add_overlay(&sapwood_fsio::open_file(&dir, name)?)?)
}

/// What is followed from now on: the ref that a revision names; else the commit that it comes to, so that no upgrade goes on
/// to what was followed before.
fn followed(sysroot: &sapwood_deploy::Sysroot, revision: &str, commit: Id<Commit>) -> anyhow::Result<String> {
    let id = commit.to_hex();
    let is_ref = match Refspec::parse(revision) {
        // What is no ref here may be one of a remote, by its name alone.
        Ok(refspec) => sysroot.repo().ref_target(&refspec)?.is_some() || !id.starts_with(revision),
        Err(_) => false,
    };
    Ok(if is_ref { revision.to_owned() } else { id })
}

/// What is said where nothing can be staged, before the reason.
pub(super) const CANNOT_STAGE: &str = "Cannot stage deployment";

/// What came of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Deployed(Box<Shown>),
    Staged(StagedShown),
}

impl serde::Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Deployed(shown) => shown.serialize(serializer),
            Self::Staged(staged) => staged.serialize(serializer),
        }
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Deployed(shown) => shown.render(out),
            Self::Staged(staged) => staged.render(out),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        match self {
            Self::Deployed(shown) => shown.entries(),
            Self::Staged(staged) => staged.entries(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        match self {
            Self::Deployed(shown) => shown.remarks(),
            Self::Staged(_) => Vec::new(),
        }
    }
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    let stateroot = stateroot_or_running(&locked, args.os.as_ref())?;
    let commit = locked.repo().resolve(&args.revision)?;
    if (args.stage || args.lock_finalization) && ctx.persona == Persona::Ostree {
        args.refuse_what_ostree_stages_not()?;
    }
    let options = args.options(&locked, commit)?;
    let watch = Watch::new(ctx);
    if args.stage || args.lock_finalization {
        let finalization = if args.lock_finalization { Finalization::Held } else { Finalization::AtShutdown };
        let staged = locked
            .stage(&stateroot, commit, &options, finalization, &|event| watch.see(event))
            .context(CANNOT_STAGE)?;
        return Ok(Outcome::Staged(StagedShown::new(&staged, ctx.persona)));
    }
    let deployed = locked.deploy(&stateroot, commit, &options, &|event| watch.see(event))?;
    Ok(Outcome::Deployed(Box::new(Shown::new(deployed, watch.etc()))))
}

/// Shows progress, and remembers what the outcome does not say.
#[derive(Debug)]
pub(super) struct Watch {
    progress: crate::ui::progress::Progress,
    etc: Mutex<Option<EtcMerge>>,
}

impl Watch {
    pub(super) fn new(ctx: &Ctx) -> Self {
        Self { progress: ctx.progress(), etc: Mutex::new(None) }
    }

    pub(super) fn see(&self, event: DeployEvent<'_>) {
        if let DeployEvent::MergingEtc { modified, removed, added, .. } = event
            && let Ok(mut etc) = self.etc.lock()
        {
            *etc = Some(EtcMerge { modified, removed, added });
        }
        narrate(event, &self.progress);
    }

    pub(super) fn etc(self) -> Option<EtcMerge> {
        self.etc.into_inner().ok().flatten()
    }
}
