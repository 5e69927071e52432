//! `admin init-fs`.

use super::Machine;
use crate::args::Persona;
use crate::ctx::{Ctx, open_dir};
use crate::report::Usage;
use crate::ui::Render;
use sapwood_deploy::{Epoch, InitOptions, Sysroot};
use sapwood_objstore::{Format, Mode};
use std::io::{self, Write};
use std::path::PathBuf;

/// Make an existing directory a sysroot
///
/// It gets the directories of a machine's disk, and an empty repository.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Make only /boot and /ostree
    #[arg(long)]
    modern: bool,
    /// Which directories: 0 all, 1 as --modern, 2 as 1 with an /ostree that only its owner may enter
    #[arg(long, short = 'E', value_name = "EPOCH", value_parser = clap::value_parser!(u8).range(0..=2))]
    epoch: Option<u8>,
    /// The format of the repository: native (the default of `sapwood`) or ostree (that of `ostree`)
    #[arg(long, value_parser = ["native", "ostree"])]
    format: Option<String>,
    /// How the repository keeps objects: bare, bare-user, bare-user-only [default: bare; without root, as `sapwood`,
    /// bare-user]
    #[arg(long)]
    mode: Option<String>,
    /// The directory, instead of --sysroot
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
}

/// The sysroot that is there now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    sysroot: PathBuf,
    format: &'static str,
    mode: &'static str,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let hint = || vec!["it is made a sysroot, and must exist".to_owned()];
    let path = args.path.clone().or_else(|| machine.sysroot.clone());
    let path = path.ok_or_else(|| Usage::new("PATH must be specified", hint()))?;
    let format = match (args.format.as_deref(), ctx.persona) {
        (Some("native"), _) | (None, Persona::Sapwood) => Format::Native,
        _ => Format::Ostree,
    };
    let unprivileged = ctx.persona == Persona::Sapwood && !rustix::process::geteuid().is_root();
    let mode = match &args.mode {
        Some(text) => Mode::parse(text).filter(|mode| *mode != Mode::Archive).ok_or_else(|| {
            let hint = "the modes are bare, bare-user and bare-user-only".to_owned();
            Usage::new(format!("Invalid mode '{text}'"), vec![hint])
        })?,
        None if unprivileged => Mode::BareUser,
        None => Mode::Bare,
    };
    let epoch = match (args.epoch, args.modern) {
        (Some(2), _) => Epoch::Two,
        (Some(1), _) | (None, true) => Epoch::One,
        _ => Epoch::Zero,
    };
    let dir = open_dir(&path)?;
    Sysroot::init_fs(&dir, &InitOptions { epoch, format, mode })?;
    let sysroot = Sysroot::open(&dir)?;
    let config = sysroot.repo().config();
    let format = if config.format == Format::Native { "native" } else { "ostree" };
    Ok(Outcome { sysroot: path, format, mode: config.mode.as_str() })
}
