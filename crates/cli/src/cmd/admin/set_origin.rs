//! `admin set-origin`: where upgrades of a deployment come from.

use super::{Machine, PATIENCE, index};
use crate::report::{OrUsage, usage};
use crate::ui::Render;
use sapwood_deploy::Origin;
use sapwood_repo::{RefName, Refspec, RemoteName};
use std::io::{self, Write};

/// Add a remote, and have a deployment follow a branch of it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Set an option of the remote
    #[arg(long, short = 's', value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The place of the deployment in the boot order, from 0; the running one if missing
    #[arg(long, value_name = "INDEX")]
    index: Option<String>,
    /// The name of the remote
    #[arg(value_name = "REMOTENAME")]
    remote: String,
    /// Its address
    #[arg(value_name = "URL")]
    url: String,
    /// The branch; the one that is followed now if missing
    #[arg(value_name = "BRANCH")]
    branch: Option<String>,
}

/// What is followed now.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    index: usize,
    refspec: String,
}

impl Render for Outcome {
    fn render(&self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let name = RemoteName::new(&args.remote).or_usage(|| format!("Invalid remote name {}", args.remote))?;
    let mut options = Vec::new();
    for text in &args.set {
        let (key, value) =
            text.split_once('=').ok_or_else(|| usage(format!("Missing '=' in --set={text}")))?;
        options.push((key.to_owned(), value.to_owned()));
    }
    let mut sysroot = machine.open()?;
    let status = sysroot.status()?;
    let staged = usize::from(status.staged.is_some());
    let at = if let Some(text) = &args.index {
        index(text, status.deployments.len() + staged)?
    } else {
        let booted = status.deployments.iter().position(|entry| entry.deployment.booted);
        booted.ok_or_else(|| usage("Not currently booted into an OSTree system"))? + staged
    };
    let old: Origin = match at.checked_sub(staged).and_then(|at| status.deployments.get(at)) {
        Some(entry) => entry.deployment.origin.clone(),
        None => status.staged.map(|entry| entry.staged.origin).unwrap_or_default(),
    };
    let branch = match (&args.branch, old.refspec()) {
        (Some(branch), _) => RefName::new(branch)?,
        (None, Some(old)) => Refspec::parse(&old)?.name,
        (None, None) => return Err(usage("BRANCH must be specified: the deployment follows nothing yet")),
    };
    sysroot.repo_mut().add_remote(&name, &args.url, &options, true)?;
    let refspec = format!("{name}:{branch}");
    let mut origin = old;
    origin.set_refspec(&refspec);
    sysroot.lock(PATIENCE)?.set_origin(at, &origin)?;
    Ok(Outcome { index: at, refspec })
}
