//! `fsck`: reads and hashes everything.

use crate::ctx::Ctx;
use crate::ui::Render;
use sapwood_objstore::ObjectKind;
use sapwood_repo::{Finding, FsckEvent, FsckOptions, FsckReport, Problem};
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::json;
use std::io::{self, Write};

/// Check a repository: read and hash every object
#[derive(Debug, clap::Args)]
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
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Outcome {
    report: FsckReport,
    deleted: bool,
    quiet: bool,
    /// Whether the first finding is the error, as when OSTree stops there.
    first_counts: bool,
}

impl Outcome {
    fn clean(&self) -> bool {
        self.report.findings.is_empty()
            && self.report.dangling_refs.is_empty()
            && self.report.damaged.is_empty()
    }
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
                    _ => "malformed",
                },
                "commits": finding.commits.iter().map(sapwood_objstore::Id::to_hex).collect::<Vec<_>>(),
                "refs": finding.refs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        });
        json!({
            "clean": self.clean(),
            "objects": report.objects,
            "commits": report.commits,
            "partial_commits": report.partial.iter().map(sapwood_objstore::Id::to_hex).collect::<Vec<_>>(),
            "damaged_commits": report.damaged.iter().map(sapwood_objstore::Id::to_hex).collect::<Vec<_>>(),
            "dangling_refs": report.dangling_refs.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "deleted": self.deleted,
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
        if !partial.is_empty() {
            writeln!(out, "{} partial commits not verified", partial.len())?;
        }
        if self.clean() {
            writeln!(out, "object fsck of {commits} commits completed successfully - no errors found.")?;
        }
        Ok(())
    }

    fn remarks(&self) -> Vec<String> {
        let report = &self.report;
        let mut lines: Vec<String> = report.findings.iter().map(explain).collect();
        if self.deleted {
            let mut commits: Vec<_> = report.findings.iter().flat_map(|finding| &finding.commits).collect();
            commits.sort();
            commits.dedup();
            lines.extend(commits.iter().map(|id| format!("Marking commit as partial: {id}")));
        }
        lines.extend(
            report
                .dangling_refs
                .iter()
                .map(|name| format!("Loading commit for ref {name}: No such metadata object")),
        );
        if !report.findings.is_empty() || !report.dangling_refs.is_empty() {
            if self.first_counts {
                let first = lines.remove(0);
                lines.push(format!("error: {first}"));
            } else {
                lines.push("error: Repository corruption encountered".to_owned());
            }
            lines.push(if self.deleted {
                "hint: pull the refs again: what was removed is fetched".to_owned()
            } else {
                "hint: `sapwood fsck --delete` removes what is corrupt, and a pull brings it back".to_owned()
            });
        } else if !report.damaged.is_empty() {
            lines.push(format!(
                "error: {} partial commits from fsck-detected corruption",
                report.damaged.len()
            ));
            lines.push("hint: pull the refs again: what is missing is fetched".to_owned());
        }
        lines
    }

    fn exit_code(&self) -> u8 {
        u8::from(!self.clean())
    }
}

/// A finding in OSTree's words.
fn explain(finding: &Finding) -> String {
    let object = finding.object;
    let what = match object.kind {
        ObjectKind::File => format!("fsck content object {}", object.id),
        _ => format!("fsck {object}"),
    };
    let problem = match &finding.problem {
        Problem::Missing if object.kind == ObjectKind::File => format!("Object missing: {object}"),
        Problem::Missing => format!("Object missing: {object}: No such metadata object {object}"),
        Problem::Corrupt { actual } => {
            let id = object.id;
            format!(
                "{what}: Corrupted {} object; checksum expected='{id}' actual='{actual}'",
                kind_name(object.kind)
            )
        }
        Problem::WrongSize { file, announced, actual } => {
            format!("{what}: Wrong size of {file}.file: {announced} bytes announced, but it has {actual}")
        }
        _ => format!("{what}: Corrupted {} object: it is malformed", kind_name(object.kind)),
    };
    if finding.commits.is_empty() {
        return problem;
    }
    let commits: Vec<_> = finding.commits.iter().map(sapwood_objstore::Id::to_hex).collect();
    format!("In commits {}: {problem}", commits.join(", "))
}

fn kind_name(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Commit => "commit",
        ObjectKind::DirTree => "dirtree",
        ObjectKind::DirMeta => "dirmeta",
        ObjectKind::File => "file",
    }
}

pub(crate) fn run(args: &Args, ctx: &Ctx) -> anyhow::Result<Outcome> {
    let repo = ctx.open_repo()?;
    let progress = ctx.progress();
    let total = std::sync::atomic::AtomicU64::new(0);
    let order = std::sync::atomic::Ordering::Relaxed;
    let on_event = |event: FsckEvent| match event {
        FsckEvent::Total { objects } => total.store(objects, order),
        FsckEvent::Checked { objects } => progress.count("checking objects", objects, total.load(order)),
        _ => {}
    };
    let report = repo.fsck(&FsckOptions { delete_corrupt: args.delete }, &on_event)?;
    Ok(Outcome { report, deleted: args.delete, quiet: args.quiet, first_counts: !args.all && !args.delete })
}
