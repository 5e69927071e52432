//! `admin`: what is installed on a machine, and what boots.

pub(crate) mod boot_complete;
pub(crate) mod cleanup;
pub(crate) mod config_diff;
pub(crate) mod deploy;
pub(crate) mod finalize_staged;
pub(crate) mod init_fs;
pub(crate) mod instutil;
pub(crate) mod kargs;
pub(crate) mod lock_finalization;
pub(crate) mod os_init;
pub(crate) mod outcome;
pub(crate) mod pin;
pub(crate) mod rollback;
pub(crate) mod set_default;
pub(crate) mod set_origin;
pub(crate) mod status;
pub(crate) mod switch;
pub(crate) mod undeploy;
pub(crate) mod unlock;
pub(crate) mod upgrade;

use crate::args::Persona;
use crate::ctx::{Ctx, open_dir, use_drop_ins, variable};
use crate::journal;
use crate::report::{OrUsage, Usage, usage};
use crate::running;
use crate::ui::{self, Render, show as emit};
use anyhow::Context as _;
use sapwood_deploy::{DeviceTrees, OpenUp, StaterootName, Sysroot};
use sapwood_fsio::lock::Wait;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Manage what is installed on a machine
#[derive(Debug, clap::Args)]
#[command(subcommand_help_heading = "Builtin \"admin\" Commands")]
pub(crate) struct Args {
    #[command(flatten)]
    machine: Machine,
    /// Print the directory of the running deployment, or of the one that boots by default
    #[arg(long)]
    print_current_dir: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Which machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Machine {
    /// The root of the machine's disk [default: `$OSTREE_SYSROOT`, else /]
    #[arg(long, global = true, value_name = "PATH", help_heading = "Global options")]
    sysroot: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(hide = true)]
    BootComplete(boot_complete::Args),
    Cleanup(cleanup::Args),
    ConfigDiff(config_diff::Args),
    Deploy(deploy::Args),
    #[command(hide = true)]
    FinalizeStaged(finalize_staged::Args),
    InitFs(init_fs::Args),
    #[command(hide = true)]
    Instutil(instutil::Args),
    Kargs(kargs::Args),
    #[command(hide = true)]
    LockFinalization(lock_finalization::Args),
    #[command(alias = "stateroot-init")]
    OsInit(os_init::Args),
    Pin(pin::Args),
    Rollback(rollback::Args),
    SetDefault(set_default::Args),
    SetOrigin(set_origin::Args),
    Status(status::Args),
    Switch(switch::Args),
    Undeploy(undeploy::Args),
    Unlock(unlock::Args),
    Upgrade(upgrade::Args),
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<u8> {
    let machine = &args.machine;
    let Some(command) = &args.command else {
        if args.print_current_dir {
            return emit(&current_dir(machine)?, ctx.json);
        }
        let hint = "`sapwood admin --help` shows how it is used".to_owned();
        let mut usage = Usage::new("No \"admin\" subcommand specified", vec![hint]);
        if ctx.persona == Persona::Ostree {
            usage.synopsis = Some("Usage: ostree admin [OPTIONS] [COMMAND]".to_owned());
        }
        return Err(usage.into());
    };
    dispatch(command, machine, ctx).inspect_err(journal::tell_of_failure)
}

fn dispatch(command: &Command, machine: &Machine, ctx: &Ctx) -> anyhow::Result<u8> {
    match command {
        Command::BootComplete(args) => emit(&boot_complete::run(args, machine)?, ctx.json),
        Command::Cleanup(args) => emit(&cleanup::run(args, machine)?, ctx.json),
        Command::ConfigDiff(args) => emit(&config_diff::run(args, machine)?, ctx.json),
        Command::Deploy(args) => emit(&deploy::run(args, machine, ctx)?, ctx.json),
        Command::FinalizeStaged(args) => emit(&finalize_staged::run(args, machine, ctx)?, ctx.json),
        Command::Instutil(args) => instutil::run(args, machine, ctx),
        Command::Kargs(args) => emit(&kargs::run(args, machine)?, ctx.json),
        Command::LockFinalization(args) => emit(&lock_finalization::run(args, machine)?, ctx.json),
        Command::SetOrigin(args) => emit(&set_origin::run(args, machine)?, ctx.json),
        Command::Unlock(args) => emit(&unlock::run(args, machine)?, ctx.json),
        Command::InitFs(args) => emit(&init_fs::run(args, machine, ctx)?, ctx.json),
        Command::OsInit(args) => emit(&os_init::run(args, machine)?, ctx.json),
        Command::Pin(args) => emit(&pin::run(args, machine)?, ctx.json),
        Command::Rollback(args) => emit(&rollback::run(args, machine)?, ctx.json),
        Command::SetDefault(args) => emit(&set_default::run(args, machine)?, ctx.json),
        Command::Status(args) => status::run(args, machine, ctx),
        Command::Switch(args) => emit(&switch::run(args, machine, ctx)?, ctx.json),
        Command::Undeploy(args) => emit(&undeploy::run(args, machine)?, ctx.json),
        Command::Upgrade(args) => emit(&upgrade::run(args, machine, ctx)?, ctx.json),
    }
}

/// How long another process may hold the sysroot before a command gives up.
pub(super) const PATIENCE: Wait = Wait::For(Duration::from_mins(5));

impl Machine {
    /// Where its root is.
    pub(super) fn path(&self) -> PathBuf {
        self.sysroot.clone().or_else(|| variable("OSTREE_SYSROOT")).unwrap_or_else(|| PathBuf::from("/"))
    }

    /// Opens it, and finds out which deployment runs, if one does. Warns where it is not known what is staged.
    pub(super) fn open(&self) -> anyhow::Result<Sysroot> {
        Self::told(self.open_untold()?)
    }

    /// The same without that warning.
    pub(super) fn open_untold(&self) -> anyhow::Result<Sysroot> {
        running::open_up(&self.path(), OpenUp::Filesystems)?;
        self.open_as_it_is()
    }

    /// As [`open`](Self::open), for what writes nothing.
    pub(super) fn open_to_read(&self) -> anyhow::Result<Sysroot> {
        running::open_up(&self.path(), OpenUp::Mounts)?;
        Self::told(self.open_as_it_is()?)
    }

    fn told(sysroot: Sysroot) -> anyhow::Result<Sysroot> {
        if let Some(error) = sysroot.unreadable_staged()? {
            ui::warn(&format!("nothing counts as staged: {error}"));
        }
        Ok(sysroot)
    }

    /// The same as [`open_untold`](Self::open_untold), without a mount namespace in which the disk can be written.
    pub(super) fn open_as_it_is(&self) -> anyhow::Result<Sysroot> {
        let path = self.path();
        let sysroot = Sysroot::open(&open_dir(&path)?);
        let loading = || format!("loading sysroot {}", path.display());
        let mut sysroot = sysroot.with_context(loading)?;
        use_drop_ins(sysroot.repo_mut(), &path).with_context(loading)?;
        let (dev, ino) = running::root()?;
        let mut sysroot = sysroot.with_running_root(dev, ino);
        if let Some(program) = variable("OSTREE_GRUB2_EXEC") {
            let program = if program.components().count() > 1 { program.canonicalize()? } else { program };
            sysroot = sysroot.with_grub_generator(program);
        }
        // What OSTree's own switches for debugging ask for.
        let debug = std::env::var("OSTREE_SYSROOT_DEBUG").unwrap_or_default();
        if debug.split(',').any(|word| word == "mutable-deployments") {
            sysroot = sysroot.with_mutable_deployments();
        }
        if debug.split(',').any(|word| word == "no-dtb") {
            sysroot = sysroot.with_device_trees(DeviceTrees::Ignore);
        }
        // What is said there concerns the sysroot of the running system alone.
        let runs = || sysroot.deployments().is_ok_and(|all| all.iter().any(|deployment| deployment.booted));
        if Path::new(BOOTED).exists() && runs() {
            let run = sapwood_fsio::ensure_dir(&open_dir("/run".as_ref())?, "ostree", 0o755)?;
            sysroot = sysroot.with_run(run);
        }
        Ok(sysroot)
    }
}

/// It is there where the running system is a deployment.
const BOOTED: &str = "/run/ostree-booted";

/// Restarts the machine.
pub(super) fn reboot() -> anyhow::Result<()> {
    let status = std::process::Command::new("systemctl").arg("reboot").status();
    anyhow::ensure!(status.context("cannot run systemctl")?.success(), "systemctl reboot failed");
    Ok(())
}

/// Checks the name of a stateroot.
pub(super) fn stateroot(name: &str) -> anyhow::Result<StaterootName> {
    Ok(StaterootName::new(name)?)
}

/// The stateroot that was named, or that of the running system.
pub(super) fn stateroot_or_running(
    sysroot: &Sysroot,
    name: Option<&String>,
) -> anyhow::Result<StaterootName> {
    if let Some(name) = name {
        return stateroot(name);
    }
    if let Some(running) = sysroot.deployments()?.into_iter().find(|deployment| deployment.booted) {
        return Ok(running.id.stateroot);
    }
    let names: Vec<_> = sysroot.stateroots()?.iter().map(ToString::to_string).collect();
    let hint = match names.as_slice() {
        [] => "`sapwood admin os-init NAME` makes the first one".to_owned(),
        names => format!("--os=NAME names one of: {}", names.join(", ")),
    };
    let message = "Not currently booted into an OSTree system and no --os= argument given";
    Err(Usage::new(message, vec![hint]).into())
}

/// How many deployments there are, what is staged among them.
pub(super) fn count(sysroot: &Sysroot) -> anyhow::Result<usize> {
    Ok(sysroot.deployments()?.len() + usize::from(sysroot.staged()?.is_some()))
}

/// Reads the place of a deployment in the boot order.
pub(super) fn index(text: &str, count: usize) -> anyhow::Result<usize> {
    let index = text.parse().or_usage(|| format!("Invalid deployment index {text:?}: a number is needed"))?;
    if index < count {
        return Ok(index);
    }
    let hint = "`sapwood admin status` lists deployments; the first is 0".to_owned();
    Err(Usage::new(format!("Out of range deployment index {index}, expected < {count}"), vec![hint]).into())
}

/// The directory of a deployment.
#[derive(Debug, serde::Serialize)]
struct CurrentDir {
    path: PathBuf,
}

impl Render for CurrentDir {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.path.display())
    }
}

fn current_dir(machine: &Machine) -> anyhow::Result<CurrentDir> {
    let deployments = machine.open_to_read()?.deployments()?;
    let current = deployments.iter().find(|deployment| deployment.booted).or(deployments.first());
    let current = current.ok_or_else(|| usage("Unable to find a deployment in sysroot"))?;
    Ok(CurrentDir { path: machine.path().canonicalize()?.join(current.path()) })
}

/// Says what of the running work is going on.
pub(super) fn narrate(event: sapwood_deploy::DeployEvent<'_>, progress: &ui::progress::Progress) {
    use sapwood_deploy::DeployEvent;
    match event {
        DeployEvent::CheckingOut { files } => progress.note(format!("checking out: {files} files")),
        DeployEvent::MergingEtc { .. } => progress.note("merging /etc".to_owned()),
        DeployEvent::Syncing => progress.note("syncing".to_owned()),
        DeployEvent::Switched { .. } => progress.note("cleaning up".to_owned()),
        _ => {}
    }
}
