//! `admin kargs`: changes of kernel arguments.

use super::{Machine, PATIENCE, count, outcome};
use crate::journal::Entry;
use crate::report::usage;
use crate::ui::Render;
use sapwood_deploy::{KargEdit, KargsChanged, Sysroot};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};

/// Change kernel arguments
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    EditInPlace(EditInPlace),
}

/// Change the arguments of all deployments, and of what is staged, without a new one
#[derive(Debug, clap::Args)]
struct EditInPlace {
    /// Append an argument where none has its name
    #[arg(long, value_name = "NAME=VALUE")]
    append_if_missing: Vec<String>,
    /// Ignored, as by OSTree
    #[arg(hide = true)]
    ignored: Vec<String>,
}

/// What was written.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(super) changed: KargsChanged,
    /// Whether it is said on standard output, too, that the list was written.
    pub(super) is_told: bool,
}

impl Outcome {
    fn any(&self) -> bool {
        self.changed.staged || self.changed.written.change != sapwood_deploy::Change::Nothing
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json!({ "changed": self.any() }).serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.is_told { outcome::written(&self.changed.written, out) } else { Ok(()) }
    }

    fn entries(&self) -> Vec<Entry> {
        let changed = self.any().then(|| Entry::new("Kernel arguments were changed"));
        changed.into_iter().chain(outcome::written_entry(&self.changed.written)).collect()
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let Command::EditInPlace(edit) = &args.command;
    let edits = edits(&edit.append_if_missing, KargEdit::AppendIfMissing);
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    need_deployments(&locked)?;
    let changed = locked.change_kargs(&|_, mut kargs| {
        kargs.edit(&edits)?;
        Ok(Some(kargs))
    })?;
    Ok(Outcome { changed, is_told: false })
}

/// One change for each text; an empty one changes nothing, as in OSTree.
pub(super) fn edits(texts: &[String], edit: fn(String) -> KargEdit) -> Vec<KargEdit> {
    texts.iter().filter(|text| !text.is_empty()).cloned().map(edit).collect()
}

/// Where there are no deployments, nobody's arguments can be changed.
pub(super) fn need_deployments(sysroot: &Sysroot) -> anyhow::Result<()> {
    match count(sysroot)? {
        0 => Err(usage("Unable to find a deployment in sysroot")),
        _ => Ok(()),
    }
}
