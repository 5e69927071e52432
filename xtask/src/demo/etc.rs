//! What the administrator does to `/etc`, and what must have become of it after the upgrade.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::lab::regular_files;

/// What an administrator leaves behind in a file.
const EDIT: &str = "# edited by the administrator\n";
/// A file of the administrator's own.
const ADDED: &str = "systemd/network/10-office.network";

/// Files of `/etc`, chosen by what the two versions have there.
#[derive(Debug)]
pub(crate) struct Edits {
    /// The same in both versions; the administrator changes it.
    kept: String,
    /// Different in the versions; the administrator changes it too.
    conflict: String,
    /// Different in the versions; the administrator leaves it alone.
    renewed: String,
    /// The same in both versions; the administrator deletes it.
    deleted: String,
}

impl Edits {
    /// Chooses the files from what the versions have in `/usr/etc`.
    pub(crate) fn choose(trees: &[PathBuf; 2]) -> Result<Self> {
        let [old, new] = trees;
        let (mut same, mut changed) = (Vec::new(), Vec::new());
        for (path, size) in regular_files(&old.join("usr/etc"))? {
            let read = |tree: &Path| std::fs::read(tree.join("usr/etc").join(&path));
            let (Ok(before), Ok(after)) = (read(old), read(new)) else { continue };
            if before != after {
                changed.push((std::str::from_utf8(&before).is_ok(), path));
            } else if size > 0 {
                same.push(path);
            }
        }
        // A file whose edit makes sense to read about is better than one that begins with a zero byte.
        changed.sort_by_key(|(text, _)| !text);
        let [(_, conflict), .., (_, renewed)] = &changed[..] else {
            anyhow::bail!("the demonstration needs two files of /usr/etc that differ between the versions");
        };
        let prefer = |wanted: &[&str], not: Option<&String>| {
            let wanted = wanted
                .iter()
                .find(|name| same.iter().any(|path| path == *name))
                .map(|name| (*name).to_owned());
            wanted.or_else(|| same.iter().find(|path| Some(*path) != not).cloned())
        };
        let missing = "the demonstration needs two files of /usr/etc that are the same in both versions";
        let kept = prefer(&["hostname", "hosts", "nsswitch.conf"], None).context(missing)?;
        let deleted = prefer(&["cron.daily/logrotate", "cron.daily/man-db"], Some(&kept)).context(missing)?;
        ensure!(kept != deleted, "{missing}");
        Ok(Self { kept, conflict: conflict.clone(), renewed: renewed.clone(), deleted })
    }

    /// Does the administrator's work and says what it was.
    pub(crate) fn apply(&self, etc: &Path) -> Result<Vec<String>> {
        for path in [&self.kept, &self.conflict] {
            let path = etc.join(path);
            let mut content = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            content.extend_from_slice(EDIT.as_bytes());
            std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
        }
        std::fs::remove_file(etc.join(&self.deleted))?;
        let added = etc.join(ADDED);
        std::fs::create_dir_all(added.parent().unwrap_or(etc))?;
        std::fs::write(added, EDIT)?;
        Ok(vec![
            format!("changes  /etc/{} (which the second version will leave as it was)", self.kept),
            format!("changes  /etc/{} (which the second version will change too)", self.conflict),
            format!("deletes  /etc/{}", self.deleted),
            format!("adds     /etc/{ADDED}"),
            format!("leaves   /etc/{} alone (which the second version will change)", self.renewed),
        ])
    }

    /// Checks the new deployment's `/etc` against what the merge promises, and what `upgrade` said about it.
    pub(crate) fn check(&self, deployment: &Path, said: &str) -> Result<Vec<String>> {
        let ours = |path: &str| {
            let path = deployment.join("etc").join(path);
            std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
        };
        let default = |path: &str| std::fs::read(deployment.join("usr/etc").join(path));
        for path in [&self.kept, &self.conflict] {
            ensure!(ours(path)?.ends_with(EDIT.as_bytes()), "/etc/{path} lost the administrator's change");
        }
        ensure!(ours(&self.renewed)? == default(&self.renewed)?, "/etc/{} was not renewed", self.renewed);
        ensure!(!deployment.join("etc").join(&self.deleted).exists(), "/etc/{} is back", self.deleted);
        ensure!(ours(ADDED)? == EDIT.as_bytes(), "/etc/{ADDED} is not as it was added");
        ensure!(said.contains(&self.conflict), "the conflict in /etc/{} was not reported", self.conflict);
        Ok(vec![
            format!("kept     /etc/{}: the administrator's change", self.kept),
            format!(
                "conflict /etc/{}: both changed it; the administrator's file is kept, and it was reported",
                self.conflict
            ),
            format!("deleted  /etc/{}: stays deleted", self.deleted),
            format!("kept     /etc/{ADDED}: the administrator's file"),
            format!("renewed  /etc/{}: the second version's", self.renewed),
        ])
    }
}
