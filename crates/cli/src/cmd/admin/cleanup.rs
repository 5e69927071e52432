//! `admin cleanup`.

use super::{Machine, PATIENCE, outcome};
use crate::ui::Render;
use sapwood_deploy::{Cleaned, CleanupOptions};
use serde::Serialize;
use serde::ser::Serializer;
use std::io::{self, Write};

/// Delete what no boot entry needs: deployments, kernels, objects
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What was deleted.
#[derive(Debug)]
pub(crate) struct Outcome {
    cleaned: Cleaned,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        outcome::cleaned_json(&self.cleaned).serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        outcome::cleaned(&self.cleaned, out)
    }
}

pub(crate) fn run(_args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let cleaned = machine.open()?.lock(PATIENCE)?.cleanup(&CleanupOptions::default())?;
    Ok(Outcome { cleaned })
}
