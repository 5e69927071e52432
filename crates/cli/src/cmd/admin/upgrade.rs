//! `admin upgrade`: pulls what the origin of a deployment names, and deploys it.

use super::deploy::{How, Watch};
use super::outcome::Shown;
use super::{Machine, PATIENCE, stateroot};
use crate::args::Persona;
use crate::cmd::pull;
use crate::connect::{self, Overrides, Source};
use crate::ctx::Ctx;
use crate::report::OrUsage;
use crate::trust;
use crate::ui::Render;
use sapwood_deploy::{DeployOptions, Downgrade, Locked, Merge, UpgradeOptions, UpgradeOutcome, UpgradePlan};
use sapwood_objstore::{Id, ObjectId};
use sapwood_transport::{Age, PullOptions, RefsInto, Wanted};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};

/// Pull the newest commit of the ref that a system follows, and deploy it
///
/// Exit code 77 says that there was nothing to upgrade (0 where the program is called as `ostree`).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The stateroot; that of the running system, or the only one that has deployments, if missing
    #[arg(long, visible_alias = "stateroot", value_name = "OSNAME")]
    os: Option<String>,
    #[command(flatten)]
    how: How,
    /// Let an older commit replace a newer one
    #[arg(long)]
    allow_downgrade: bool,
    /// Deploy this commit instead of the newest one
    #[arg(long, value_name = "CHECKSUM")]
    override_commit: Option<String>,
    /// Pull, and deploy nothing
    #[arg(long, conflicts_with = "deploy_only")]
    pull_only: bool,
    /// Deploy what was pulled already
    #[arg(long)]
    deploy_only: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(super) pulled: Option<pull::Outcome>,
    pub(super) result: Result,
    /// The ref that is not followed any more, and was deleted.
    pub(super) deleted_ref: Option<String>,
    pub(super) persona: Persona,
}

/// What became of the list of deployments.
#[derive(Debug)]
pub(super) enum Result {
    Unchanged { commit: String },
    Deployed(Box<Shown>),
    PulledOnly,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let (result, deployed) = match &self.result {
            Result::Unchanged { .. } => ("unchanged", None),
            Result::Deployed(shown) => ("deployed", Some(shown.json())),
            Result::PulledOnly => ("pulled", None),
        };
        let commit = match &self.result {
            Result::Unchanged { commit } => Some(commit),
            _ => None,
        };
        json!({
            "result": result,
            "commit": commit,
            "deployed": deployed,
            "pulled": self.pulled,
            "deleted_ref": self.deleted_ref,
        })
        .serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(pulled) = self.pulled.as_ref().filter(|pulled| !pulled.is_empty()) {
            pulled.render(out)?;
        }
        match &self.result {
            Result::Unchanged { .. } => writeln!(out, "No update available.")?,
            Result::Deployed(shown) => shown.render(out)?,
            Result::PulledOnly => {}
        }
        match &self.deleted_ref {
            Some(name) => writeln!(out, "Deleting ref '{name}'"),
            None => Ok(()),
        }
    }

    fn remarks(&self) -> Vec<String> {
        match &self.result {
            Result::Deployed(shown) => shown.remarks(),
            _ => Vec::new(),
        }
    }

    fn exit_code(&self) -> u8 {
        match (&self.result, self.persona) {
            (Result::Unchanged { .. }, Persona::Sapwood) => 77,
            _ => 0,
        }
    }
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    let name = args.os.as_deref().map(stateroot).transpose()?;
    let mut plan = locked.plan_upgrade(name.as_ref())?;
    if let Some(commit) = &args.override_commit {
        let id = ObjectId::from_hex(commit).or_usage(|| format!("Invalid commit '{commit}'"))?;
        plan.override_commit = Some(id.to_hex());
        plan.origin.set_override_commit(Some(&id.to_hex()));
    }
    let age = if args.allow_downgrade || plan.override_commit.is_some() {
        Age::Any
    } else {
        Age::NotBefore(plan.from.id.commit)
    };
    let pulled = if args.deploy_only { None } else { fetch(ctx, &locked, &plan, age)? };
    if args.pull_only {
        let result = match &pulled {
            Some(pulled) if !pulled.is_empty() => Result::PulledOnly,
            _ => Result::Unchanged { commit: locked.repo().resolve(&plan.refspec.to_string())?.to_hex() },
        };
        return Ok(Outcome { pulled, result, deleted_ref: None, persona: ctx.persona });
    }
    let result = deploy(ctx, &locked, &plan, &args.how, args.allow_downgrade)?;
    Ok(Outcome { pulled, result, deleted_ref: None, persona: ctx.persona })
}

/// Pulls what the plan follows, where that is a ref of a remote; nothing that is older than `age` allows.
pub(super) fn fetch(
    ctx: &Ctx,
    locked: &Locked<'_>,
    plan: &UpgradePlan,
    age: Age,
) -> anyhow::Result<Option<pull::Outcome>> {
    let Some(name) = plan.refspec.remote() else { return Ok(None) };
    let repo = locked.repo();
    let remote = repo.remote(name.as_str())?;
    let branch = plan.refspec.name.clone();
    let wanted = match &plan.override_commit {
        Some(commit) => Wanted::RefAt(branch, Id::new(ObjectId::from_hex(commit)?)),
        None => Wanted::Ref(branch),
    };
    let options = PullOptions {
        wanted: vec![wanted],
        into: RefsInto::Remote(name.clone()),
        age,
        ..PullOptions::default()
    };
    let terms = trust::terms(repo, &remote, None)?;
    let began = std::time::Instant::now();
    let source = connect::source(repo, &remote, &Overrides::default())?;
    let over_the_network = matches!(source, Source::Files(_));
    let outcome = connect::pull_from(ctx, repo, source, &[], terms, &options)?;
    Ok(Some(pull::Outcome::new(&outcome, over_the_network.then(|| began.elapsed().as_secs()))))
}

/// Deploys what is here now.
pub(super) fn deploy(
    ctx: &Ctx,
    locked: &Locked<'_>,
    plan: &UpgradePlan,
    how: &How,
    allow_downgrade: bool,
) -> anyhow::Result<Result> {
    let options = UpgradeOptions {
        downgrade: if allow_downgrade { Downgrade::Allow } else { Downgrade::Refuse },
        deploy: DeployOptions {
            merge: Merge::Etc(how.policy()),
            keep_objects: how.no_prune,
            ..DeployOptions::default()
        },
    };
    let watch = Watch::new(ctx);
    Ok(match locked.upgrade(plan, &options, &|event| watch.see(event))? {
        UpgradeOutcome::Unchanged { commit } => Result::Unchanged { commit: commit.to_hex() },
        UpgradeOutcome::Deployed(deployed) => Result::Deployed(Box::new(Shown::new(*deployed, watch.etc()))),
    })
}
