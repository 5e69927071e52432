//! `fsck`: reads and hashes everything.

mod repair;
pub(super) mod words;

use crate::ctx::Ctx;
use crate::ui::Render;
use repair::Repair;
use sapwood_objstore::{DirTree, Id, ObjectKind, ObjectName};
use sapwood_repo::{BindingChecks, Finding, FsckEvent, FsckOptions, FsckReport, OnCorrupt, Problem, Repo};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, Write};

/// Check a repository: read and hash every object
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the options of the command")]
pub(crate) struct Args {
    /// Print only what is wrong
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Remove corrupt objects, and mark the commits that need them as incomplete
    #[arg(long)]
    delete: bool,
    /// Do not stop at the first error, which this program never does
    #[arg(long, short = 'a')]
    all: bool,
    /// Write tombstones for parents of commits that are not here: they were deleted on purpose
    #[arg(long)]
    add_tombstones: bool,
    /// Check that each ref is among those that its commit names
    #[arg(long)]
    verify_bindings: bool,
    /// Check also that each ref that a commit names points to it: only where every branch has one commit
    #[arg(long)]
    verify_back_refs: bool,
    /// Fetch what is corrupt or missing from this remote or repository; what is corrupt stays until its replacement is
    /// verified
    #[arg(long, value_name = "REMOTE-OR-PATH")]
    repair: Option<String>,
}

/// What was found.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "two say what was asked for, two what came of it")]
pub(crate) struct Outcome {
    report: FsckReport,
    deleted: bool,
    quiet: bool,
    /// Whether the first finding is the error, as when OSTree stops there.
    first_counts: bool,
    /// Why directories are malformed.
    reasons: HashMap<ObjectName, String>,
    /// What was brought back. The findings are those before, the counts those after.
    repair: Option<Repair>,
    /// Whether all is well now.
    clean: bool,
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = &self.report;
        let findings = report.findings.iter().map(|finding| {
            json!({
                "object": finding.object.to_string(),
                "problem": match &finding.problem {
                    Problem::Missing => "missing",
                    Problem::Corrupt { .. } => "corrupt",
                    Problem::WrongSize { .. } => "wrong-size",
                    Problem::WrongTotals { .. } => "wrong-totals",
                    Problem::TooDeep { .. } => "too-deep",
                    _ => "malformed",
                },
                "can_be_repaired": !finding.is_lasting(),
                "commits": finding.commits.iter().map(Id::to_hex).collect::<Vec<_>>(),
                "refs": finding.refs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        json!({
            "clean": self.clean,
            "objects": report.objects,
            "commits": report.commits,
            "partial_commits": report.partial.iter().map(Id::to_hex).collect::<Vec<_>>(),
            "damaged_commits": report.damaged.iter().map(Id::to_hex).collect::<Vec<_>>(),
            "dangling_refs": report.dangling_refs.iter().map(|entry| entry.name.to_string()).collect::<Vec<_>>(),
            "broken_refs": report.broken_refs.iter().map(|entry| entry.name.to_string()).collect::<Vec<_>>(),
            "bad_bindings": report.bad_bindings.iter().map(words::binding).collect::<Vec<_>>(),
            "bad_detached_metadata": report.bad_detached.iter().map(Id::to_hex).collect::<Vec<_>>(),
            "staging": report.staging.iter().map(|staged| json!({
                "directory": staged.dir,
                "of_this_boot": staged.is_of_this_boot,
                "objects": staged.objects,
                "bytes": staged.bytes,
                "damaged": staged.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "tombstones": report.tombstones.iter().map(Id::to_hex).collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "deleted": self.deleted,
            "repaired_commits": self.repair.iter().flat_map(|repair| &repair.repaired).map(Id::to_hex).collect::<Vec<_>>(),
            "unrepaired_commits": self.repair.iter().flat_map(|repair| &repair.failed).map(|(id, _)| id.to_hex()).collect::<Vec<_>>(),
        })
        .serialize(serializer)
    }
}

impl Render for Outcome {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let FsckReport { objects, commits, partial, .. } = &self.report;
        if !self.quiet {
            writeln!(out, "Validating refs...")?;
            writeln!(out, "Validating refs in collections...")?;
            writeln!(out, "Enumerating commits...")?;
            writeln!(out, "Verifying content integrity of {commits} commit objects...")?;
            writeln!(out, "fsck objects ({objects}/{objects}) 100%")?;
        }
        for commit in &self.report.tombstones {
            writeln!(out, "Adding tombstone for commit {commit}")?;
        }
        if !partial.is_empty() {
            writeln!(out, "{} partial commits not verified", partial.len())?;
        }
        for commit in self.repair.iter().flat_map(|repair| &repair.repaired) {
            writeln!(out, "Repaired commit {commit}")?;
        }
        if self.clean {
            writeln!(out, "object fsck of {commits} commits completed successfully - no errors found.")?;
        }
        Ok(())
    }

    fn remarks(&self) -> Vec<String> {
        let report = &self.report;
        let mut lines: Vec<String> = report.broken_refs.iter().map(words::broken_ref).collect();
        lines.extend(report.dangling_refs.iter().map(|entry| {
            format!("Loading commit for ref {}: No such metadata object {}", entry.name, entry.target.name())
        }));
        lines.extend(report.bad_bindings.iter().map(words::binding));
        lines.extend(report.bad_detached.iter().map(|commit| {
            format!("Commit {commit}: its detached metadata, where signatures are, cannot be read")
        }));
        lines.extend(report.findings.iter().map(|finding| {
            let reason = self.reasons.get(&finding.object);
            words::finding(finding, reason.map(String::as_str))
        }));
        lines.extend(report.staging.iter().flat_map(words::damaged_staging));
        if let Some(repair) = &self.repair {
            lines.extend(report.marked.iter().map(|id| format!("Marking commit as partial: {id}")));
            lines.extend(repair.failed.iter().map(|(id, why)| format!("Repairing commit {id}: {why}")));
            if !self.clean {
                lines.push("error: Repository corruption encountered, and not all of it repaired".to_owned());
                if report.findings.iter().any(|finding| !finding.is_lasting()) {
                    lines.push(
                        "hint: repair from another source, or `sapwood refs --delete` what is lost"
                            .to_owned(),
                    );
                }
                lines.extend(self.lasting_hint().map(|hint| format!("hint: {hint}")));
            }
            return lines;
        }
        let any = !lines.is_empty();
        let last = match lines.len() {
            0 if report.damaged.is_empty() => {
                lines.extend(report.staging.iter().map(words::staging));
                return lines;
            }
            0 => format!("{} partial commits from fsck-detected corruption", report.damaged.len()),
            _ if self.first_counts => lines.remove(0),
            _ => "Repository corruption encountered".to_owned(),
        };
        lines.extend(report.marked.iter().map(|id| format!("Marking commit as partial: {id}")));
        lines.push(format!("error: {last}"));
        lines.extend(self.hints(any).into_iter().map(|hint| format!("hint: {hint}")));
        lines
    }

    fn exit_code(&self) -> u8 {
        u8::from(!self.clean)
    }
}

impl Outcome {
    /// What to do about what nothing mends.
    fn lasting_hint(&self) -> Option<String> {
        let lasting: Vec<&Finding> =
            self.report.findings.iter().filter(|finding| finding.is_lasting()).collect();
        let mut refs: Vec<_> =
            lasting.iter().flat_map(|finding| &finding.refs).map(ToString::to_string).collect();
        refs.sort_unstable();
        refs.dedup();
        let what = "commits that were made wrong cannot be repaired: have them made anew";
        match (lasting.is_empty(), refs.is_empty()) {
            (true, _) => None,
            (false, true) => Some(format!("{what}; `sapwood prune` removes what no ref needs")),
            (false, false) => {
                Some(format!("{what}, or `sapwood refs --delete {}` and `sapwood prune`", refs.join(" ")))
            }
        }
    }

    /// What to do; `any` is whether anything new was found.
    fn hints(&self, any: bool) -> Vec<String> {
        let report = &self.report;
        let mut hints = Vec::new();
        let is_corrupt = |finding: &Finding| finding.problem.is_corrupt() && !finding.is_lasting();
        let corrupt = report.findings.iter().any(is_corrupt);
        let missing = report.findings.iter().any(|finding| finding.problem == Problem::Missing);
        if corrupt && !self.deleted {
            hints.push(
                "`sapwood fsck --repair REMOTE-OR-PATH` fetches it again; `--delete` only removes what is corrupt".to_owned(),
            );
        } else if missing || corrupt || (!any && !report.damaged.is_empty()) {
            hints.push(
                "`sapwood fsck --repair REMOTE-OR-PATH`, or a pull of the refs, fetches what is missing"
                    .to_owned(),
            );
        }
        hints.extend(self.lasting_hint());
        for name in report
            .dangling_refs
            .iter()
            .map(|entry| &entry.name)
            .chain(report.broken_refs.iter().map(|entry| &entry.name))
        {
            hints.push(format!("pull {name} again, or `sapwood refs --delete {name}`"));
        }
        if !self.deleted && report.staging.iter().any(|staged| !staged.damaged.is_empty()) {
            hints.push("`sapwood fsck --delete` removes what is damaged of an interrupted run".to_owned());
        }
        if !self.deleted && !report.bad_detached.is_empty() {
            hints.push(
                "`sapwood fsck --delete` removes detached metadata that cannot be read; sign again, or pull again, after it"
                    .to_owned(),
            );
        }
        if !report.bad_bindings.is_empty() {
            hints.push("a ref is bound by committing to it, or with `commit --bind-ref`".to_owned());
        }
        hints
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let mut repo = ctx.open_repo()?;
    let options = FsckOptions {
        on_corrupt: match (&args.repair, args.delete) {
            (Some(_), _) => OnCorrupt::Mark,
            (None, true) => OnCorrupt::Delete,
            (None, false) => OnCorrupt::Leave,
        },
        add_tombstones: args.add_tombstones,
        bindings: match (args.verify_bindings, args.verify_back_refs) {
            (_, true) => BindingChecks::Both,
            (true, false) => BindingChecks::Refs,
            (false, false) => BindingChecks::None,
        },
    };
    let progress = ctx.progress();
    let total = std::sync::atomic::AtomicU64::new(0);
    let order = std::sync::atomic::Ordering::Relaxed;
    let on_event = |event: FsckEvent| match event {
        FsckEvent::Total { objects } => total.store(objects, order),
        FsckEvent::Checked { objects } => progress.count("checking objects", objects, total.load(order)),
        _ => {}
    };
    let mut report = repo.fsck(&options, &on_event)?;
    if !report.tombstones.is_empty() && !repo.config().tombstones {
        repo.edit_config(|file| _ = file.set("core", "tombstone-commits", "true"))?;
    }
    let reasons = report.findings.iter().filter_map(|finding| why_malformed(&repo, finding)).collect();
    let mut clean = report.is_clean();
    let mut repair = None;
    if let Some(from) = &args.repair
        && !clean
    {
        let done = repair::repair(ctx, &repo, from, &report)?;
        let again = FsckOptions { bindings: options.bindings, ..FsckOptions::default() };
        let mut after = repo.fsck(&again, &on_event)?;
        // What is corrupt still, though every commit is whole, nothing needs.
        let is_idle = |finding: &Finding| finding.commits.is_empty() && finding.problem.is_corrupt();
        let idle = done.failed.is_empty() && after.findings.iter().all(is_idle);
        if args.delete || (idle && !after.findings.is_empty()) {
            repo.fsck(&FsckOptions { on_corrupt: OnCorrupt::Delete, ..again.clone() }, &on_event)?;
            after = repo.fsck(&again, &on_event)?;
        }
        clean = after.is_clean();
        repair = Some(done);
        report =
            FsckReport { commits: after.commits, objects: after.objects, partial: after.partial, ..report };
    }
    Ok(Outcome {
        deleted: args.delete,
        quiet: args.quiet,
        first_counts: !args.all && options.on_corrupt == OnCorrupt::Leave,
        report,
        reasons,
        repair,
        clean,
    })
}

/// What is wrong with a directory that is still here.
fn why_malformed(repo: &Repo, finding: &Finding) -> Option<(ObjectName, String)> {
    let object = finding.object;
    if !matches!(finding.problem, Problem::Malformed { .. }) || object.kind != ObjectKind::DirTree {
        return None;
    }
    match repo.store().load::<DirTree>(Id::new(object.id)) {
        Ok(_) | Err(sapwood_objstore::Error::Missing { .. }) => None,
        Err(error) => Some((object, crate::report::one_line(&error.into()))),
    }
}
