//! `admin kargs`: changes of kernel arguments.

use super::{Machine, PATIENCE, outcome};
use crate::journal::Entry;
use crate::ui::Render;
use sapwood_deploy::{KargEdit, KargsChanged};
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
    /// Append an argument where it is missing
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
        outcome::written(&self.changed.written, out)
    }

    fn entries(&self) -> Vec<Entry> {
        let changed = self.any().then(|| Entry::new("Kernel arguments were changed"));
        changed.into_iter().chain(outcome::written_entry(&self.changed.written)).collect()
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let Command::EditInPlace(edit) = &args.command;
    let edits: Vec<_> = edit.append_if_missing.iter().cloned().map(KargEdit::AppendIfMissing).collect();
    let sysroot = machine.open()?;
    let changed = sysroot.lock(PATIENCE)?.change_kargs(&|_, mut kargs| {
        kargs.edit(&edits)?;
        Ok(Some(kargs))
    })?;
    Ok(Outcome { changed })
}
