//! `admin upgrade`: pulls what the origin of a deployment names, and deploys it.

use super::deploy::{CANNOT_STAGE, How, Watch};
use super::outcome::{Shown, StagedShown};
use super::{Machine, PATIENCE, reboot, stateroot};
use crate::args::Persona;
use crate::cmd::pull;
use crate::connect::{self, Overrides, Source};
use crate::ctx::{Ctx, variable};
use crate::journal::Entry;
use crate::report::{Advised, OrUsage, one_line, usage};
use crate::trust;
use crate::ui::Render;
use anyhow::Context as _;
use sapwood_deploy::{
    DeployOptions, Downgrade, EndOfLife, Finalization, Followed, Locked, Merge, UpgradeOptions,
    UpgradeOutcome, UpgradePlan, When,
};
use sapwood_objstore::{Id, ObjectId};
use sapwood_transport::{Age, Bindings, PullError, PullOptions, RefsInto, Wanted};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, IsTerminal as _, Write};

/// Pull the newest commit of the ref that a system follows, and deploy it
///
/// Exit code 77 says that there was nothing to upgrade (0 where the program is called as `ostree`).
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
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
    /// Put it into the boot order when the running system shuts down
    #[arg(long)]
    stage: bool,
    /// Restart the machine if there was something to upgrade
    #[arg(long, short = 'r')]
    reboot: bool,
    /// Pull, and deploy nothing
    #[arg(long)]
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
    /// What was followed came to its end; why, and what goes on with it.
    pub(super) ended: Vec<EndOfLife>,
    /// The ref that is not followed any more, and was deleted.
    pub(super) deleted_ref: Option<String>,
    pub(super) persona: Persona,
}

/// What became of the list of deployments.
#[derive(Debug)]
pub(super) enum Result {
    Unchanged {
        commit: String,
    },
    Deployed(Box<Shown>),
    Staged(StagedShown),
    /// It waits for the shutdown already.
    StagedBefore {
        commit: String,
    },
    /// Nothing was to be deployed; whether there is something newer now.
    PulledOnly(bool),
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let (result, deployed) = match &self.result {
            Result::Deployed(shown) => ("deployed", Some(shown.json())),
            Result::Staged(staged) => ("staged", serde_json::to_value(staged).ok()),
            Result::PulledOnly(true) => ("pulled", None),
            Result::Unchanged { .. } | Result::StagedBefore { .. } | Result::PulledOnly(false) => {
                ("unchanged", None)
            }
        };
        let commit = match &self.result {
            Result::Unchanged { commit } | Result::StagedBefore { commit } => Some(commit),
            _ => None,
        };
        json!({
            "result": result,
            "commit": commit,
            "deployed": deployed,
            "pulled": self.pulled,
            "deleted_ref": self.deleted_ref,
            "end_of_life": self.ended.iter().map(|end| json!({ "reason": end.reason, "rebase": end.rebase })).collect::<Vec<_>>(),
        })
        .serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        // OSTree shows what it fetches to who watches, and writes nothing of it down.
        let is_told = self.persona == Persona::Sapwood || io::stdout().is_terminal();
        if let Some(pulled) = self.pulled.as_ref().filter(|pulled| is_told && !pulled.is_empty()) {
            pulled.render(out)?;
        }
        match &self.result {
            Result::PulledOnly(false) if self.persona == Persona::Ostree => {
                writeln!(out, "No update available.")?;
            }
            // OSTree stages it again, and says nothing.
            Result::StagedBefore { .. } if self.persona == Persona::Ostree => {}
            Result::Unchanged { .. } | Result::StagedBefore { .. } => writeln!(out, "No update available.")?,
            Result::Deployed(shown) => shown.render(out)?,
            Result::Staged(staged) => staged.render(out)?,
            Result::PulledOnly(_) => {}
        }
        match &self.deleted_ref {
            Some(name) => writeln!(out, "Deleting ref '{name}'"),
            None => Ok(()),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        match &self.result {
            Result::Deployed(shown) => shown.entries(),
            Result::Staged(staged) => staged.entries(),
            Result::Unchanged { .. } | Result::StagedBefore { .. } | Result::PulledOnly(_) => Vec::new(),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let ended = |end: &EndOfLife| match &end.rebase {
            Some(refspec) => format!("warning: end of life: {}; going on with {refspec}", end.reason),
            None => format!("warning: end of life: {}", end.reason),
        };
        let mut lines: Vec<_> = self.ended.iter().map(ended).collect();
        if let Result::Deployed(shown) = &self.result {
            lines.extend(shown.remarks());
        }
        lines
    }

    fn exit_code(&self) -> u8 {
        match (&self.result, self.persona) {
            (
                Result::Unchanged { .. } | Result::StagedBefore { .. } | Result::PulledOnly(false),
                Persona::Sapwood,
            ) => 77,
            _ => 0,
        }
    }
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<Outcome> {
    if args.pull_only && args.deploy_only {
        return Err(usage("Cannot simultaneously specify --pull-only and --deploy-only"));
    }
    if args.pull_only && args.reboot {
        return Err(usage("Cannot simultaneously specify --pull-only and --reboot"));
    }
    let sysroot = machine.open()?;
    let locked = sysroot.lock(PATIENCE)?;
    let name = args.os.as_deref().map(stateroot).transpose()?;
    let mut plan = locked.plan_upgrade(name.as_ref())?;
    // A commit that it was held at counts once.
    plan.override_commit = None;
    plan.origin.set_override_commit(None);
    if let Some(commit) = &args.override_commit {
        if let Followed::Commit { commit, .. } = &plan.follows {
            return Err(usage(format!(
                "The deployment follows commit {}, and no ref: `admin deploy` deploys another one",
                commit.to_hex()
            )));
        }
        let id = ObjectId::from_hex(commit).or_usage(|| format!("Invalid commit '{commit}'"))?;
        plan.override_commit = Some(id.to_hex());
        plan.origin.set_override_commit(Some(&id.to_hex()));
    }
    let age = if args.allow_downgrade { Some(Age::Any) } else { not_before(&locked, &plan)? };
    let mut pulled = if args.deploy_only { None } else { fetch(ctx, &locked, &plan, age)? };
    let mut ended = Vec::new();
    while let Some(end) = locked.end_of_life(&plan)? {
        let rebase = end.rebase.clone();
        ended.push(end);
        let Some(refspec) = rebase.filter(|_| ended.len() <= MAX_REBASES) else { break };
        plan.rebase(&refspec)?;
        if !args.deploy_only {
            pulled = fetch(ctx, &locked, &plan, age)?;
        }
    }
    let result = if args.pull_only {
        Result::PulledOnly(locked.has_update(&plan)?)
    } else {
        let staged = args.stage || variable("OSTREE_EX_STAGE_DEPLOYMENTS").is_some();
        let when = if staged { When::Staged(Finalization::AtShutdown) } else { When::Now };
        deploy(ctx, &locked, &plan, &args.how, args.allow_downgrade, when)?
    };
    let is_to_boot = !matches!(result, Result::Unchanged { .. } | Result::PulledOnly(_));
    if args.reboot && is_to_boot {
        reboot()?;
    }
    Ok(Outcome { pulled, result, ended, deleted_ref: None, persona: ctx.persona })
}

/// How often in a row what is followed may come to its end.
const MAX_REBASES: usize = 8;

/// Nothing older is even pulled, where it is known how old what is deployed is.
fn not_before(locked: &Locked<'_>, plan: &UpgradePlan) -> anyhow::Result<Option<Age>> {
    let current = plan.from.id.commit;
    let known = locked.repo().store().contains(current.name())?;
    Ok(known.then_some(Age::NotBefore(current)))
}

/// Pulls what the plan follows, where that is a ref of a remote; nothing that is older than `age` allows, or else the remote's
/// terms.
pub(super) fn fetch(
    ctx: &Ctx,
    locked: &Locked<'_>,
    plan: &UpgradePlan,
    age: Option<Age>,
) -> anyhow::Result<Option<pull::Outcome>> {
    let Some(name) = plan.follows.remote() else { return Ok(None) };
    let repo = locked.repo();
    let remote = repo.remote(name.as_str())?;
    let mut bindings = Bindings::Check;
    let wanted = match (&plan.follows, &plan.override_commit) {
        (Followed::Ref(refspec), Some(commit)) => {
            // Who names the commit may have it of any ref.
            bindings = Bindings::Ignore;
            Wanted::RefAt(refspec.name.clone(), Id::new(ObjectId::from_hex(commit)?))
        }
        (Followed::Ref(refspec), None) => Wanted::Ref(refspec.name.clone()),
        // Also if it is here already: its remote says who must vouch for it.
        (Followed::Commit { commit, .. }, _) => Wanted::Commit(*commit),
    };
    let terms = trust::terms(repo, &remote, None)?;
    let options = PullOptions {
        age: age.unwrap_or_else(|| terms.age()),
        wanted: vec![wanted],
        into: RefsInto::Remote(name.clone()),
        bindings,
        collection: remote.collection_id(),
        ..PullOptions::default()
    };
    let began = std::time::Instant::now();
    connect::refuse_unconfigured(&remote)?;
    let source = connect::source(repo, &remote, &Overrides::default())?;
    let over_the_network = matches!(source, Source::Files { .. });
    let outcome = connect::pull_from(ctx, repo, source, &[], terms, &options).map_err(advise)?;
    Ok(Some(pull::Outcome::new(&outcome, over_the_network.then(|| began.elapsed().as_secs()))))
}

/// What can be done where the remote's newest commit is not of the ref that is followed.
fn advise(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref() {
        Some(PullError::NotBound { .. } | PullError::NotInCollection { .. }) => Advised {
            kind: "not-bound",
            message: one_line(&error),
            hint: "`sapwood pull --disable-verify-bindings REMOTE REF` pulls it all the same, `sapwood admin deploy` deploys it"
                .to_owned(),
        }
        .into(),
        _ => error,
    }
}

/// Deploys what is here now.
pub(super) fn deploy(
    ctx: &Ctx,
    locked: &Locked<'_>,
    plan: &UpgradePlan,
    how: &How,
    allow_downgrade: bool,
    when: When,
) -> anyhow::Result<Result> {
    let options = UpgradeOptions {
        downgrade: if allow_downgrade { Downgrade::Allow } else { Downgrade::Refuse },
        when,
        deploy: DeployOptions {
            merge: Merge::Etc(how.etc.policy()),
            keep_objects: how.no_prune,
            ..DeployOptions::default()
        },
    };
    let watch = Watch::new(ctx);
    let upgraded = locked.upgrade(plan, &options, &|event| watch.see(event));
    let upgraded = match when {
        When::Now => upgraded?,
        When::Staged(_) => upgraded.context(CANNOT_STAGE)?,
    };
    Ok(match upgraded {
        UpgradeOutcome::Unchanged { commit } => Result::Unchanged { commit: commit.to_hex() },
        UpgradeOutcome::StagedBefore(staged) => Result::StagedBefore { commit: staged.id.commit.to_hex() },
        UpgradeOutcome::Staged(staged) => Result::Staged(StagedShown::new(&staged, ctx.persona)),
        UpgradeOutcome::Deployed(deployed) => Result::Deployed(Box::new(Shown::new(*deployed, watch.etc()))),
    })
}
