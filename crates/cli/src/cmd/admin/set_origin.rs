//! `admin set-origin`: where upgrades of a deployment come from.

use super::{Machine, PATIENCE, index};
use crate::journal::Entry;
use crate::report::{OrUsage, usage};
use crate::ui::Render;
use sapwood_deploy::{DeploymentId, Followed, Origin, Status};
use sapwood_repo::{Error as RepoError, RemoteName};
use std::io::{self, Write};

/// Have a deployment follow a branch of a remote, which is added if it is missing
///
/// A remote of that name stays as it is, whatever URL and options are given.
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

    fn entries(&self) -> Vec<Entry> {
        vec![Entry::new(format!("Deployment {} now follows {}", self.index, self.refspec))]
    }
}

/// What is at a place, where what is staged comes first, and its origin.
fn at_place(status: &Status, at: usize) -> (Option<DeploymentId>, Origin) {
    let staged = usize::from(status.staged.is_some());
    let found = match at.checked_sub(staged).map(|at| status.deployments.get(at)) {
        Some(entry) => entry.map(|entry| (entry.deployment.id.clone(), entry.deployment.origin.clone())),
        None => status.staged.as_ref().map(|entry| (entry.staged.id.clone(), entry.staged.origin.clone())),
    };
    found.map_or_else(|| (None, Origin::default()), |(id, origin)| (Some(id), origin))
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
    let (id, old) = at_place(&status, at);
    let branch = match (&args.branch, old.refspec()) {
        // A ref, or the whole id of a commit.
        (Some(branch), _) => Followed::parse(&format!("{name}:{branch}"))?.name(),
        (None, Some(old)) => Followed::parse(&old)?.name(),
        (None, None) => return Err(usage("BRANCH must be specified: the deployment follows nothing yet")),
    };
    // A remote that is there stays as it is: its configuration says who must vouch for what comes from it.
    match sysroot.repo_mut().add_remote(&name, &args.url, &options, false) {
        Ok(()) | Err(RepoError::RemoteExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let refspec = format!("{name}:{branch}");
    let locked = sysroot.lock(PATIENCE)?;
    // Others may have changed the list, or the rest of the origin, since it was looked at.
    let (now, mut origin) = at_place(&locked.status()?, at);
    if now != id {
        return Err(anyhow::anyhow!("the boot order changed meanwhile: try again"));
    }
    origin.set_refspec(&refspec);
    locked.set_origin(at, &origin)?;
    Ok(Outcome { index: at, refspec })
}
