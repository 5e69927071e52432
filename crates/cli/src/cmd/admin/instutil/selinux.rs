//! `admin instutil selinux-ensure-labeled`.

use super::super::Machine;
use crate::ctx::open_dir;
use crate::report::usage;
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_deploy::{Relabel, relabel};
use sapwood_repo::selinux::{LabelEpoch, Labels, Policy};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Give files a label that have none, by the policy of a deployment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to label, below the root of the system [default: all of the deployment]
    #[arg(value_name = "SUBPATH")]
    subpath: Option<PathBuf>,
    /// The path that it counts as
    #[arg(value_name = "PREFIX", requires = "subpath")]
    prefix: Option<String>,
}

/// How much was done.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    policy: Option<String>,
    labeled: u64,
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.policy {
            Some(policy) => writeln!(out, "Relabeling using policy '{policy}'"),
            None => writeln!(out, "No SELinux policy found"),
        }
    }
}

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let first = sysroot.deployments()?.into_iter().next();
    let first = first.ok_or_else(|| usage("Unable to find a deployment in sysroot"))?;
    let tree = sysroot.deployment_dir(&first.id)?;
    let Some(policy) = Policy::of_dir(&tree)? else { return Ok(Outcome::default()) };
    let name = policy.name().to_owned();
    let labels = Labels { policy: Arc::new(policy), epoch: LabelEpoch::One, prefix: String::new() };
    let (dir, at) = match &args.subpath {
        Some(path) => {
            let dir = open_dir(&machine.path().join(path.strip_prefix("/").unwrap_or(path)))?;
            let given = args.prefix.clone().unwrap_or_else(|| format!("/{}", path.display()));
            (dir, format!("/{}", given.trim_matches('/')))
        }
        None => (tree, "/".to_owned()),
    };
    let labeled = relabel(&dir, &at, &labels, Relabel::Missing).with_context(|| format!("labelling {at}"))?;
    Ok(Outcome { policy: Some(name), labeled })
}
