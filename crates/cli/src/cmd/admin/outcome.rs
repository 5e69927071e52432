//! What deploying did, as `deploy`, `upgrade` and `switch` tell it.

use crate::args::Persona;
use crate::journal::{self, Entry};
use crate::ui::{Render, human};
use sapwood_deploy::{Change, Cleaned, Conflict, Deployed, DeploymentId, Finalization, Staged, Written};
use sapwood_etcmerge::{ConflictKind, NotKeptWhat, Resolution};
use serde_json::{Value, json};
use std::io::{self, Write};

/// A new deployment.
#[derive(Debug)]
pub(crate) struct Shown {
    deployed: Deployed,
    etc: Option<EtcMerge>,
}

/// A deployment that waits for the shutdown.
#[derive(Debug, serde::Serialize)]
pub(crate) struct StagedShown {
    staged: bool,
    stateroot: String,
    commit: String,
    serial: u32,
    held: bool,
    #[serde(skip)]
    id: DeploymentId,
    #[serde(skip)]
    persona: Persona,
}

impl StagedShown {
    pub(crate) fn new(staged: &Staged, persona: Persona) -> Self {
        Self {
            persona,
            staged: true,
            stateroot: staged.id.stateroot.to_string(),
            commit: staged.id.commit.to_hex(),
            serial: staged.id.serial,
            held: staged.finalization == Finalization::Held,
            id: staged.id.clone(),
        }
    }
}

impl Render for StagedShown {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.persona == Persona::Ostree {
            // OSTree says nothing.
            return Ok(());
        }
        writeln!(out, "Staged deployment: {} {}.{}", self.stateroot, self.commit, self.serial)
    }

    fn entries(&self) -> Vec<Entry> {
        vec![Entry::new(format!("Staged deployment: {}", self.id)).about(&self.id)]
    }
}

/// What was changed locally in the `/etc` that is taken over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EtcMerge {
    pub(crate) modified: usize,
    pub(crate) removed: usize,
    pub(crate) added: usize,
}

impl EtcMerge {
    /// In OSTree's words.
    fn text(self) -> String {
        let Self { modified, removed, added } = self;
        format!("Copying /etc changes: {modified} modified, {removed} removed, {added} added")
    }
}

impl Shown {
    pub(crate) fn new(deployed: Deployed, etc: Option<EtcMerge>) -> Self {
        Self { deployed, etc }
    }

    /// What is to be done about an SELinux policy, if something is.
    fn policy_text(&self) -> Option<String> {
        let path = self.deployed.uncombined_policy.as_ref()?.display();
        Some(format!(
            "/etc/{path} was changed here, and the new version has another SELinux policy: run `semodule -B` when it is booted"
        ))
    }

    pub(crate) fn json(&self) -> Value {
        let deployed = &self.deployed;
        let conflicts = deployed.conflicts.iter().map(conflict_json);
        json!({
            "stateroot": deployed.id.stateroot.as_str(),
            "commit": deployed.id.commit.to_hex(),
            "serial": deployed.id.serial,
            "index": deployed.index,
            "merged_from": deployed.merged_from.as_ref().map(sapwood_deploy::DeploymentId::dir_name),
            "etc": self.etc.map(|etc| json!({ "modified": etc.modified, "removed": etc.removed, "added": etc.added })),
            "conflicts": conflicts.collect::<Vec<_>>(),
            "uncombined_policy": deployed.uncombined_policy.as_ref().map(|path| format!("/etc/{}", path.display())),
            "deployments": deployed.written.after,
            "cleaned": cleaned_json(&deployed.cleaned),
        })
    }
}

impl serde::Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json().serialize(serializer)
    }
}

impl Render for Shown {
    fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(etc) = self.etc {
            writeln!(out, "{}", etc.text())?;
        }
        written(&self.deployed.written, out)?;
        cleaned(&self.deployed.cleaned, out)
    }

    fn entries(&self) -> Vec<Entry> {
        let Deployed { id, conflicts, written, .. } = &self.deployed;
        let mut entries = Vec::new();
        if let Some(etc) = self.etc {
            let merged = Entry::new(etc.text()).id(journal::id::CONFIG_MERGE);
            entries.push(
                merged
                    .field("ETC_N_MODIFIED", &etc.modified)
                    .field("ETC_N_REMOVED", &etc.removed)
                    .field("ETC_N_ADDED", &etc.added),
            );
        }
        if !conflicts.is_empty() {
            let mut lines = vec![format!("Conflicts in /etc: {}", conflicts.len())];
            lines.extend(conflicts.iter().map(conflict_text));
            entries.push(Entry::warning(lines.join("\n")).about(id));
        }
        entries.extend(self.policy_text().map(|text| Entry::warning(text).about(id)));
        entries.push(Entry::new(format!("New deployment: {id}")).about(id));
        entries.extend(written_entry(written));
        entries
    }

    fn remarks(&self) -> Vec<String> {
        let line = |conflict| format!("conflict: {}", conflict_text(conflict));
        let mut lines: Vec<_> = self.deployed.conflicts.iter().map(line).collect();
        for skipped in &self.deployed.skipped {
            let path = skipped.path.display();
            lines.push(format!(
                "warning: /etc/{path} was left behind: it is neither file, directory nor symlink"
            ));
        }
        for lost in &self.deployed.not_kept {
            let what = match &lost.what {
                NotKeptWhat::Owner => "its owner".to_owned(),
                NotKeptWhat::Xattr(name) => format!("its attribute {}", String::from_utf8_lossy(name)),
                _ => "something".to_owned(),
            };
            lines.push(format!("warning: /etc/{}: {what} could not be kept", lost.path.display()));
        }
        lines.extend(self.policy_text().map(|text| format!("warning: {text}")));
        lines
    }
}

/// A conflict in a line, without a word for what it is.
pub(super) fn conflict_text(conflict: &Conflict) -> String {
    let (what, how) = (kind(conflict.kind), resolution(&conflict.resolution));
    format!("{}: {what}; {how}", shown_path(conflict))
}

/// The same for programs.
pub(super) fn conflict_json(conflict: &Conflict) -> Value {
    json!({
        "path": shown_path(conflict),
        "kind": kind(conflict.kind),
        "resolution": resolution(&conflict.resolution),
    })
}

fn shown_path(conflict: &Conflict) -> String {
    format!("/etc/{}", conflict.path.display()).trim_end_matches('/').to_owned()
}

fn kind(kind: ConflictKind) -> &'static str {
    match kind {
        ConflictKind::BothModified => "modified here and in the new defaults",
        ConflictKind::BothAdded => "added here and in the new defaults",
        ConflictKind::ModifiedDeleted => "modified here, removed from the new defaults",
        ConflictKind::DeletedModified => "removed here, modified in the new defaults",
        ConflictKind::TypeChanged => "of different types here and in the new defaults",
        ConflictKind::DirectoryRemoved => {
            "a directory that one side removed and the other has something new in"
        }
        _ => "changed here and in the new defaults",
    }
}

fn resolution(resolution: &Resolution) -> String {
    match resolution {
        Resolution::KeptLocal => "kept as it is here".to_owned(),
        Resolution::TookNew => "took the new default".to_owned(),
        Resolution::KeptBoth { beside } => {
            format!("kept as it is here, the new default is /etc/{}", beside.display())
        }
        _ => "settled".to_owned(),
    }
}

/// How the list of deployments was written, in OSTree's words.
pub(super) fn written(written: &Written, out: &mut dyn Write) -> io::Result<()> {
    match swap(written) {
        Some((_, text)) => writeln!(out, "{text}"),
        None => Ok(()),
    }
}

/// The same for the journal.
pub(super) fn written_entry(written: &Written) -> Option<Entry> {
    let (swapped, text) = swap(written)?;
    let entry = Entry::new(text).id(journal::id::DEPLOYMENT_COMPLETE);
    Some(entry.field("OSTREE_DID_BOOTSWAP", swapped).field("OSTREE_N_DEPLOYMENTS", &written.after))
}

/// Whether the entries were switched, and how that is told; `None` where nothing was.
fn swap(written: &Written) -> Option<(&'static str, String)> {
    let (swapped, boot) = match written.change {
        Change::Nothing => return None,
        Change::Links { version, sub } => ("no", format!("boot.{version}.{sub}")),
        Change::Entries { version, sub } => ("yes", format!("boot.{version}.{sub}")),
    };
    let before = i64::try_from(written.before).unwrap_or(i64::MAX);
    let change = i64::try_from(written.after).unwrap_or(i64::MAX) - before;
    // Who reads a configuration that is switched with the entries needs no updating.
    let is_atomic = ["syslinux", "uboot"].contains(&written.bootloader);
    let done = match written.change {
        Change::Entries { .. } if !is_atomic => "Bootloader updated",
        _ => "Transaction complete",
    };
    let text =
        format!("{done}; bootconfig swap: {swapped}; bootversion: {boot}, deployment count change: {change}");
    Some((swapped, text))
}

/// What was removed from the repository, in OSTree's words.
pub(super) fn cleaned(cleaned: &Cleaned, out: &mut dyn Write) -> io::Result<()> {
    match &cleaned.pruned {
        Some(pruned) if pruned.freed_bytes > 0 => {
            writeln!(out, "Freed objects: {}", human::size(pruned.freed_bytes))
        }
        _ => Ok(()),
    }
}

/// The same for programs.
pub(super) fn cleaned_json(cleaned: &Cleaned) -> Value {
    json!({
        "deployments": cleaned.deployments,
        "kernels": cleaned.kernels,
        "refs": cleaned.refs,
        "objects": cleaned.pruned.map(|pruned| pruned.deleted_objects),
        "freed_bytes": cleaned.pruned.map(|pruned| pruned.freed_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sapwood_deploy::{Kargs, Origin, StaterootName};
    use sapwood_objstore::{Id, ObjectId};

    #[test]
    fn what_is_staged_is_told_by_our_own_name_alone() {
        let staged = Staged {
            id: DeploymentId {
                stateroot: StaterootName::new("os").unwrap(),
                commit: Id::new(ObjectId::from_hex(&"ab".repeat(32)).unwrap()),
                serial: 1,
            },
            merge: None,
            kargs: Kargs::default(),
            origin: Origin::default(),
            finalization: Finalization::AtShutdown,
        };
        let told = |persona| {
            let mut out = Vec::new();
            StagedShown::new(&staged, persona).render(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            told(Persona::Sapwood),
            format!("Staged deployment: os {}.1\n", staged.id.commit.to_hex())
        );
        assert_eq!(told(Persona::Ostree), "");
    }
}
