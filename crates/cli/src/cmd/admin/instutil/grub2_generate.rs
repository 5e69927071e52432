//! `admin instutil grub2-generate`: what a script of `grub2-mkconfig` puts into its menu.

use super::super::Machine;
use crate::ctx::{open_dir, variable};
use crate::report::usage;
use crate::ui::Render;
use sapwood_deploy::Bls;
use std::io::{self, Write};

/// Print the boot entries as a menu of GRUB
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which set of entries, 0 or 1 [default: `$_OSTREE_GRUB2_BOOTVERSION`, else the current one]
    #[arg(value_name = "BOOTVERSION")]
    version: Option<String>,
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
    let loader = match args.version.clone().or_else(given) {
        Some(version) if matches!(version.as_str(), "0" | "1") => format!("loader.{version}"),
        Some(version) => return Err(usage(format!("Invalid bootversion: {version}"))),
        None => "loader".to_owned(),
    };
    let entries = open_dir(&machine.path().join("boot").join(loader).join("entries"))?;
    let mut all = Vec::new();
    for entry in sapwood_fsio::entries(&entries)? {
        if entry.name.to_string_lossy().ends_with(".conf") {
            let bytes = sapwood_fsio::read(&entries, &entry.name, 1 << 20)?;
            all.push(Bls::parse(&bytes)?);
        }
    }
    // The default has the highest number.
    all.sort_by_key(|entry| {
        std::cmp::Reverse(entry.get("version").and_then(|text| text.parse::<u64>().ok()))
    });
    Ok(Outcome { menu: sapwood_deploy::grub2_menu(&all) })
}
