//! `admin os-init`, also `admin stateroot-init`.

use super::{Machine, PATIENCE, stateroot};
use crate::ui::Render;
use std::io::{self, Write};

/// Make a stateroot (also: stateroot-init)
///
/// It is a place for one operating system, with a /var of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its name
    #[arg(value_name = "OSNAME")]
    name: String,
}

/// The new stateroot.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    stateroot: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "ostree/deploy/{} initialized as OSTree root", self.stateroot)
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let name = stateroot(&args.name)?;
    machine.open()?.lock(PATIENCE)?.init_stateroot(&name)?;
    Ok(Outcome { stateroot: args.name.clone() })
}
