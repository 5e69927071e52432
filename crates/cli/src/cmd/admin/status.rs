//! `admin status`.

mod verify;

use self::verify::{Verification, Verifier};
use super::Machine;
use super::outcome::{conflict_json, conflict_text};
use crate::args::Persona;
use crate::ctx::Ctx;
use crate::report::usage;
use crate::trust;
use crate::ui::{Render, show as emit};
use sapwood_deploy::{EtcConflicts, Finalization, Followed, Origin, StagedEntry, StatusEntry, Sysroot};
use sapwood_objstore::{Commit, Id};
use serde_json::Value;
use std::io::{self, Write};

/// List deployments in boot order: the first boots by default
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Verify each object of what is deployed, and who vouches for it, as its remote asks; fails where that is not so. As
    /// `ostree`: who vouches for it alone, and fails where nobody is asked to
    #[arg(long, short = 'V')]
    verify: bool,
    /// Do not check signatures
    #[arg(long, short = 'S')]
    skip_signatures: bool,
    /// Print `default` where the running deployment boots by default, else `not-default`
    #[arg(long, short = 'D')]
    is_default: bool,
}

/// What OSTree says of a deployment whose remote asks for signatures, and which has none.
const UNSIGNED: &str =
    "GPG verification enabled, but no signatures found (use gpg-verify=false in remote config to disable)";

/// The deployments.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Outcome {
    deployments: Vec<Shown>,
    #[serde(skip)]
    persona: Persona,
}

#[derive(Debug, Default, serde::Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Shown {
    index: usize,
    stateroot: String,
    commit: String,
    serial: u32,
    version: Option<String>,
    source_title: Option<String>,
    timestamp: Option<u64>,
    booted: bool,
    pending: bool,
    rollback: bool,
    staged: bool,
    finalization_held: bool,
    pinned: bool,
    unlocked: Option<&'static str>,
    /// How often the boot loader may still try it, and has tried it in vain; `null` where it does not count.
    boot_tries_left: Option<u32>,
    boot_tries_done: Option<u32>,
    /// Whether it tried as often as it may: it is the last resort then.
    failed: bool,
    origin: Option<String>,
    /// Whether nothing at all is known of where it came from.
    #[serde(skip)]
    no_origin: bool,
    override_commit: Option<String>,
    options: String,
    path: Option<String>,
    gpg_signatures: Vec<Vec<String>>,
    /// Whether its remote asks for signatures by GPG, and it has none.
    unsigned: bool,
    /// Where `/etc` and its new defaults contradicted each other when the deployment was made.
    etc_conflicts: Vec<Value>,
    /// How many more there were than are recorded.
    etc_conflicts_omitted: u64,
    #[serde(skip)]
    conflict_lines: Vec<String>,
    /// With `--verify`.
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<Verification>,
}

impl Shown {
    fn with_conflicts(mut self, conflicts: &EtcConflicts) -> Self {
        self.etc_conflicts = conflicts.listed.iter().map(conflict_json).collect();
        self.etc_conflicts_omitted = conflicts.omitted;
        self.conflict_lines = conflicts.listed.iter().map(conflict_text).collect();
        if conflicts.omitted > 0 {
            self.conflict_lines.push(format!("and {} more", conflicts.omitted));
        }
        self
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.deployments.is_empty() {
            return writeln!(out, "No deployments.");
        }
        for shown in &self.deployments {
            let star = if shown.booted { '*' } else { ' ' };
            let note = match (shown.staged, shown.pending, shown.rollback) {
                (true, ..) => " (staged)",
                (_, true, _) => " (pending)",
                (.., true) => " (rollback)",
                _ => "",
            };
            writeln!(out, "{star} {} {}.{}{note}", shown.stateroot, shown.commit, shown.serial)?;
            if shown.finalization_held {
                writeln!(out, "    Finalization: held")?;
            }
            if let Some(version) = &shown.version {
                writeln!(out, "    Version: {version}")?;
            }
            if let Some(title) = &shown.source_title {
                writeln!(out, "    `- {title}")?;
            }
            if let Some(unlocked) = shown.unlocked {
                writeln!(out, "    Unlocked: {unlocked}")?;
            }
            match (shown.boot_tries_left, shown.boot_tries_done) {
                (Some(0), Some(done)) => {
                    writeln!(
                        out,
                        "    Failed: did not come up in {done} boots, so the boot loader went back"
                    )?;
                }
                (Some(left), Some(done)) => {
                    writeln!(out, "    Boots: counted, {done} without success, {left} left")?;
                }
                _ => {}
            }
            if shown.pinned {
                writeln!(out, "    Pinned: yes")?;
            }
            match &shown.origin {
                Some(refspec) => writeln!(out, "    origin refspec: {refspec}")?,
                None if shown.no_origin => writeln!(out, "    origin: none")?,
                None => writeln!(out, "    origin: <unknown origin type>")?,
            }
            for line in &shown.conflict_lines {
                writeln!(out, "    Conflict: {line}")?;
            }
            let signatures = match &shown.verification {
                Some(Verification::Good { of_ostree, .. }) if self.persona == Persona::Ostree => {
                    writeln!(out, "{of_ostree}")?;
                    continue;
                }
                // It is told as the failure that it is.
                Some(_) if self.persona == Persona::Ostree => continue,
                Some(verification) => verification.lines(),
                None if shown.unsigned && self.persona == Persona::Sapwood => {
                    vec!["GPG: unsigned, though its remote asks for signatures".to_owned()]
                }
                None => shown.gpg_signatures.iter().flatten().map(|line| format!("GPG: {line}")).collect(),
            };
            for line in signatures {
                writeln!(out, "    {line}")?;
            }
        }
        Ok(())
    }

    fn remarks(&self) -> Vec<String> {
        // Ours are among the lines of each deployment.
        let is_told = self.persona == Persona::Ostree;
        self.failures().filter(|_| is_told).map(|why| format!("error: {why}")).collect()
    }

    fn exit_code(&self) -> u8 {
        self.failures().next().is_some().into()
    }
}

impl Outcome {
    /// Why deployments are not what their remotes ask for.
    fn failures(&self) -> impl Iterator<Item = &str> {
        self.deployments.iter().filter_map(|shown| match &shown.verification {
            Some(Verification::Refused { why }) => Some(why.as_str()),
            // OSTree ends at the first such deployment.
            None if shown.unsigned && self.persona == Persona::Ostree => Some(UNSIGNED),
            _ => None,
        })
    }
}

/// Whether the running deployment boots by default.
#[derive(Debug, serde::Serialize)]
struct IsDefault {
    is_default: bool,
}

impl Render for IsDefault {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", if self.is_default { "default" } else { "not-default" })
    }
}

pub(crate) fn run(args: &Args, machine: &Machine, ctx: &Ctx) -> anyhow::Result<u8> {
    let sysroot = machine.open_to_read()?;
    if args.is_default {
        let all = sysroot.deployments()?;
        if !all.iter().any(|deployment| deployment.booted) {
            return Err(usage("Not currently booted into an OSTree system"));
        }
        let is_default = sysroot.staged()?.is_none() && all.first().is_some_and(|first| first.booted);
        return emit(&IsDefault { is_default }, ctx.json);
    }
    let status = sysroot.status()?;
    // What is next and what one can go back to is told of a running system only, as OSTree does.
    let runs = status.deployments.iter().any(|entry| entry.deployment.booted);
    let shift = usize::from(status.staged.is_some());
    let mut deployments: Vec<Shown> = Vec::new();
    let signatures = !args.skip_signatures || args.verify;
    let mut verifier = args.verify.then(|| Verifier::new(sysroot.repo(), ctx.persona));
    if let Some(StagedEntry { staged, version, timestamp }) = status.staged {
        deployments.push(Shown {
            stateroot: staged.id.stateroot.to_string(),
            commit: staged.id.commit.to_hex(),
            serial: staged.id.serial,
            version,
            timestamp,
            staged: true,
            finalization_held: staged.finalization == Finalization::Held,
            origin: staged.origin.refspec(),
            no_origin: staged.origin == Origin::default(),
            override_commit: staged.origin.override_commit(),
            options: staged.kargs.to_string(),
            verification: verifier
                .as_mut()
                .map(|verifier| verifier.verify(staged.id.commit, staged.origin.refspec().as_deref())),
            ..facts(&sysroot, staged.id.commit, staged.origin.refspec(), signatures)?
        });
    }
    for entry in status.deployments {
        let StatusEntry { deployment, version, timestamp, unlocked, pending, rollback } = entry;
        let conflicts = deployment.origin.etc_conflicts();
        let shown = Shown {
            index: deployment.index + shift,
            stateroot: deployment.id.stateroot.to_string(),
            commit: deployment.id.commit.to_hex(),
            serial: deployment.id.serial,
            version,
            timestamp,
            booted: deployment.booted,
            pending: runs && pending,
            rollback: runs && rollback,
            pinned: deployment.pinned(),
            boot_tries_left: deployment.tries.map(|tries| tries.left),
            boot_tries_done: deployment.tries.map(|tries| tries.done),
            failed: deployment.failed(),
            unlocked: unlocked.map(sapwood_deploy::Unlock::as_str),
            origin: deployment.origin.refspec(),
            no_origin: deployment.origin == Origin::default(),
            override_commit: deployment.origin.override_commit(),
            options: deployment.entry.get("options").unwrap_or_default().to_owned(),
            path: Some(deployment.path()),
            verification: verifier.as_mut().map(|verifier| {
                verifier.verify(deployment.id.commit, deployment.origin.refspec().as_deref())
            }),
            ..facts(&sysroot, deployment.id.commit, deployment.origin.refspec(), signatures)?
        };
        deployments.push(shown.with_conflicts(&conflicts));
    }
    emit(&Outcome { deployments, persona: ctx.persona }, ctx.json)
}

/// What the commit says: a title, and signatures by the keys of the remote it came from, if that is to be verified.
fn facts(
    sysroot: &Sysroot,
    commit: Id<Commit>,
    refspec: Option<String>,
    signatures: bool,
) -> anyhow::Result<Shown> {
    let repo = sysroot.repo();
    let mut shown = Shown::default();
    if !repo.store().contains(commit.name())? {
        return Ok(shown);
    }
    let metadata = repo.store().load(commit)?.metadata;
    shown.source_title = metadata.get_str("ostree.source-title").map(str::to_owned);
    let remote = refspec.and_then(|text| Followed::parse(&text).ok()?.remote().cloned());
    let Some(remote) = remote.filter(|_| signatures) else { return Ok(shown) };
    // An origin may name a remote that is not configured any more.
    let Ok(remote) = repo.remote(remote.as_str()) else { return Ok(shown) };
    if remote.flag("gpg-verify", true) {
        let reports = trust::reports(repo, commit, || trust::keyring(repo, &remote))?;
        shown.unsigned = reports.is_empty();
        shown.gpg_signatures = reports.iter().map(sapwood_repo::sign::gpg::Report::lines).collect();
    }
    Ok(shown)
}
