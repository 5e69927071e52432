//! `admin instutil selinux-ensure-labeled`.

use super::super::Machine;
use crate::ctx::open_dir;
use crate::report::usage;
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_fsio::{self as fsio, Dir, Kind};
use sapwood_repo::selinux::{LabelEpoch, Labels, Policy};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
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

const ATTRIBUTE: &[u8] = b"security.selinux";

pub(crate) fn run(args: &Args, machine: &Machine) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let first = sysroot.deployments()?.into_iter().next();
    let first = first.ok_or_else(|| usage("Unable to find a deployment in sysroot"))?;
    let tree = sysroot.deployment_dir(&first.id)?;
    let Some(policy) = Policy::of_dir(&tree)? else { return Ok(Outcome::default()) };
    let mut outcome = Outcome { policy: Some(policy.name().to_owned()), labeled: 0 };
    let labels = Labels { policy: Arc::new(policy), epoch: LabelEpoch::One, prefix: String::new() };
    let (dir, shown) = match &args.subpath {
        Some(path) => {
            let dir = open_dir(&machine.path().join(path.strip_prefix("/").unwrap_or(path)))?;
            let given = args.prefix.clone().unwrap_or_else(|| format!("/{}", path.display()));
            (dir, given.trim_matches('/').to_owned())
        }
        None => (tree, String::new()),
    };
    label(&dir, Path::new("."), &format!("/{shown}"), Kind::Dir, &labels, &mut outcome.labeled)?;
    walk(&dir, shown.as_str(), &labels, &mut outcome.labeled)?;
    Ok(outcome)
}

fn walk(dir: &Dir, at: &str, labels: &Labels, labeled: &mut u64) -> anyhow::Result<()> {
    for entry in fsio::entries(dir)? {
        let Some(name) = entry.name.to_str() else { continue };
        let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
        label(dir, Path::new(name), &format!("/{path}"), entry.kind, labels, labeled)?;
        if entry.kind == Kind::Dir {
            walk(&fsio::open_dir(dir, name)?, &path, labels, labeled)?;
        }
    }
    Ok(())
}

fn label(
    dir: &Dir,
    name: &Path,
    path: &str,
    kind: Kind,
    labels: &Labels,
    labeled: &mut u64,
) -> anyhow::Result<()> {
    let there = if name == Path::new(".") {
        fsio::xattr::get(dir, ATTRIBUTE)
    } else {
        fsio::xattr::get_of(dir, name, ATTRIBUTE)
    };
    if there.with_context(|| format!("reading the label of {path}"))?.is_some() {
        return Ok(());
    }
    let Some(label) = labels.of(path, kind)? else { return Ok(()) };
    if name == Path::new(".") {
        fsio::xattr::set(dir, ATTRIBUTE, &label)
    } else {
        fsio::xattr::set_of(dir, name, ATTRIBUTE, &label)
    }
    .with_context(|| format!("labelling {path}"))?;
    *labeled += 1;
    Ok(())
}
