//! `admin instutil grub2-generate`: what a script of `grub2-mkconfig` puts into its menu.

use super::super::Machine;
use crate::ctx::variable;
use crate::report::usage;
use crate::ui::Render;
use sapwood_deploy::BootVersion;
use std::io::{self, Write};

/// Print the deployments as a menu of GRUB
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which set of entries, 0 or 1 [default: `$_OSTREE_GRUB2_BOOTVERSION`, else the current one]
    #[arg(value_name = "BOOTVERSION")]
    boot_version: Option<String>,
}

/// The menu.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    menu: String,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.menu.as_bytes())
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let given = || variable("_OSTREE_GRUB2_BOOTVERSION")?.into_os_string().into_string().ok();
    let version = match args.boot_version.clone().or_else(given).as_deref() {
        None => None,
        Some("0") => Some(BootVersion::Zero),
        Some("1") => Some(BootVersion::One),
        Some(other) => return Err(usage(format!("Invalid bootversion: {other}"))),
    };
    Ok(Outcome { menu: machine.open_as_it_is()?.grub2_menu(version)? })
}
