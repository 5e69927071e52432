//! Asking: the remotes of the configuration, and repositories on mounted volumes.

use crate::cmd::fsck::words;
use crate::connect::{self, Overrides};
use crate::ctx::{Ctx, open_dir, read_file};
use crate::trust::{self, Terms};
use anyhow::Context as _;
use sapwood_objstore::{Commit, Id, Store, Trust};
use sapwood_repo::sign::Policy;
use sapwood_repo::{BadBinding, Remote, Repo, binding_problem};
use sapwood_transport::find::{CollectionRef, Offer, listed, volume_repos};
use sapwood_transport::{PullOptions, Scope, Wanted, remote_summary};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Largest list of mounts.
const MAX_MOUNTS_BYTES: u64 = 16 << 20;
/// Below these, desktops and people mount volumes that come and go.
const VOLUMES: [&str; 3] = ["/run/media", "/media", "/mnt"];

/// A place that has some of what is wanted.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) uri: String,
    /// As OSTree calls it.
    pub(super) finder: &'static str,
    /// Lower is asked first.
    pub(super) priority: u32,
    /// The remote whose keys count.
    pub(super) remote: Remote,
    /// The repository that was looked at, where it is on a volume: whatever is mounted there by the time it is pulled from.
    pub(super) volume: Option<Rc<Repo>>,
    pub(super) last_modified: Option<u64>,
    pub(super) offers: BTreeMap<CollectionRef, Offer>,
}

/// What is looked for.
pub(super) struct Search<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) repo: &'a Repo,
    pub(super) wanted: &'a [CollectionRef],
    pub(super) cache_dir: Option<&'a Path>,
    /// Why some are left out.
    pub(super) remarks: Vec<String>,
}

/// The terms for what a volume has: the remote's for commits. The summary of a volume is made with it, by nobody that signs.
pub(super) fn terms_on_volumes(repo: &Repo, remote: &Remote) -> anyhow::Result<Terms> {
    let policy = Policy { summary: Vec::new(), ..trust::policy(repo, remote, trust::Asked::default())? };
    anyhow::ensure!(
        !policy.commit.is_empty(),
        "remote {}: no signatures are asked for, and anybody could have made the volume",
        remote.name
    );
    anyhow::ensure!(
        trust::freshness(repo, remote)?.is_none(),
        "remote {}: it has a trust-root, and no volume can prove that it has the newest",
        remote.name
    );
    Ok(Terms { policy, ..Terms::default() })
}

impl Search<'_> {
    /// The refs that are wanted of a remote's collection.
    fn of(&self, remote: &Remote) -> Vec<CollectionRef> {
        let of = remote.collection_id();
        self.wanted.iter().filter(|(collection, _)| Some(collection) == of.as_ref()).cloned().collect()
    }

    /// Asks the configured remotes of the collections.
    pub(super) fn configured(&mut self) -> anyhow::Result<Vec<Found>> {
        let mut found = Vec::new();
        for remote in self.repo.remotes()? {
            let wanted = self.of(&remote);
            if wanted.is_empty() {
                continue;
            }
            match self.ask(&remote, &wanted) {
                Ok(answer) => found.extend(answer),
                Err(error) => self.remarks.push(format!("remote {}: {error:#}", remote.name)),
            }
        }
        Ok(found)
    }

    fn ask(&mut self, remote: &Remote, wanted: &[CollectionRef]) -> anyhow::Result<Option<Found>> {
        let terms = trust::terms(self.repo, remote, self.cache_dir)?;
        let files = connect::source(self.repo, remote, &Overrides::default())?.into_files()?;
        let asked = remote_summary(
            &*files,
            self.repo.store().format(),
            &terms.policy,
            terms.freshness.as_ref(),
            terms.summary_cache.as_ref(),
        );
        let Some(read) = connect::runtime()?.block_on(asked)? else { anyhow::bail!("it has no summary") };
        let mut offers = BTreeMap::new();
        for (name, commit) in listed(&read.summary, wanted)? {
            match self.offer(remote, &terms.policy, &name, commit) {
                Ok(offer) => drop(offers.insert(name, offer)),
                Err(error) => self.remarks.push(format!("remote {}: {}: {error:#}", remote.name, name.1)),
            }
        }
        Ok((!offers.is_empty()).then(|| Found {
            uri: remote.url.clone(),
            finder: "OstreeRepoFinderConfig",
            priority: 100,
            remote: remote.clone(),
            volume: None,
            last_modified: read.summary.last_modified(),
            offers,
        }))
    }

    /// What a remote has of a ref: its commit is fetched, alone, and must be signed as the remote asks for and made for this ref.
    /// What a summary says of its age is not believed, nor is a commit that came another way.
    fn offer(
        &self,
        remote: &Remote,
        policy: &Policy,
        name: &CollectionRef,
        commit: Id<Commit>,
    ) -> anyhow::Result<Offer> {
        let store = self.repo.store();
        if store.contains(commit.name())?
            && let Ok(offer) = checked(store, policy, name, commit)
        {
            return Ok(offer);
        }
        let options = PullOptions {
            wanted: vec![Wanted::Commit(commit)],
            scope: Scope::CommitsOnly,
            trust: Trust::Untrusted,
            ..PullOptions::default()
        };
        let terms = trust::terms(self.repo, remote, self.cache_dir)?;
        let source = connect::source(self.repo, remote, &Overrides::default())?;
        connect::pull_from(self.ctx, self.repo, source, &[], terms, &options)?;
        checked(store, policy, name, commit)
    }

    /// Looks at the repositories of volumes.
    pub(super) fn volumes<'p>(
        &mut self,
        volumes: impl Iterator<Item = &'p PathBuf>,
    ) -> anyhow::Result<Vec<Found>> {
        // Of several remotes of a collection the first whose keys can vouch for it counts.
        let mut remotes: Vec<(Remote, Policy)> = Vec::new();
        let mut why_not = Vec::new();
        for remote in self.repo.remotes()? {
            let is_new = remotes.iter().all(|(known, _)| known.collection_id() != remote.collection_id());
            if is_new && !self.of(&remote).is_empty() {
                match terms_on_volumes(self.repo, &remote) {
                    Ok(terms) => remotes.push((remote, terms.policy)),
                    Err(error) => why_not.push(error.to_string()),
                }
            }
        }
        let mut found = Vec::new();
        for volume in volumes {
            let repos = open_dir(volume).and_then(|dir| Ok(volume_repos(&dir)?));
            let repos = repos.with_context(|| volume.display().to_string());
            for (path, dir) in repos.unwrap_or_else(|error| {
                self.remarks.push(format!("{error:#}"));
                Vec::new()
            }) {
                self.remarks.append(&mut why_not);
                let path = volume.join(path);
                match self.look(&dir, &path, &remotes) {
                    Ok(offers) => found.extend(offers),
                    Err(error) => self.remarks.push(format!("{}: {error:#}", path.display())),
                }
            }
        }
        Ok(found)
    }

    fn look(
        &mut self,
        dir: &cap_std::fs::Dir,
        path: &Path,
        remotes: &[(Remote, Policy)],
    ) -> anyhow::Result<Vec<Found>> {
        let volume = Rc::new(Repo::open(dir)?);
        anyhow::ensure!(volume.config().parent.is_none(), "it builds on another repository");
        let has = volume.collection_refs()?;
        let summary = volume.summary()?;
        let mut found = Vec::new();
        for (remote, policy) in remotes {
            let mut offers = BTreeMap::new();
            for name in self.of(remote) {
                let Some(entry) = has.get(&name) else { continue };
                match checked(volume.store(), policy, &name, entry.target) {
                    Ok(offer) => drop(offers.insert(name, offer)),
                    Err(error) => self.remarks.push(format!("{}: {}: {error:#}", path.display(), name.1)),
                }
            }
            if !offers.is_empty() {
                found.push(Found {
                    uri: format!("file://{}", path.display()),
                    finder: "OstreeRepoFinderMount",
                    priority: 50,
                    remote: remote.clone(),
                    volume: Some(Rc::clone(&volume)),
                    last_modified: summary.as_ref().and_then(sapwood_repo::Summary::last_modified),
                    offers,
                });
            }
        }
        Ok(found)
    }
}

/// A commit that is in a store, as an offer of a ref: only if it is vouched for, and made for this ref. Else it would take the
/// place of what others have, for nothing.
fn checked(
    store: &Store,
    policy: &Policy,
    name: &CollectionRef,
    commit: Id<Commit>,
) -> anyhow::Result<Offer> {
    policy.check_commit(&store.load_bytes(commit.name())?, store.detached(commit)?.as_ref())?;
    let read = store.load(commit)?;
    match binding_problem(&read, &name.1, Some(&name.0)) {
        Some(problem) => anyhow::bail!("{}", words::binding(&BadBinding { commit, problem })),
        None => Ok(Offer { commit, timestamp: read.timestamp }),
    }
}

/// Where volumes are mounted that come and go.
pub(super) fn mounted_volumes() -> anyhow::Result<Vec<PathBuf>> {
    let list = read_file(Path::new("/proc/self/mountinfo"), MAX_MOUNTS_BYTES)?;
    Ok(volumes_of(&String::from_utf8_lossy(&list)))
}

fn volumes_of(list: &str) -> Vec<PathBuf> {
    let points = list.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let mut volumes: Vec<_> = points.filter(|at| VOLUMES.iter().any(|dir| at.starts_with(dir))).collect();
    volumes.sort();
    volumes.dedup();
    volumes
}

/// The kernel writes blanks, line ends and backslashes as three octal digits.
fn unescaped(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                path.push(char::from(byte));
                path.push_str(&part[3..]);
            }
            None => path.extend(["\\", part]),
        }
    }
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    #[test]
    fn volumes_are_what_is_mounted_where_people_mount_them() {
        let list = "36 35 98:0 / / rw - ext4 /dev/root rw\n\
                    41 36 8:17 / /run/media/me/My\\040stick rw,nosuid - vfat /dev/sdb1 rw\n\
                    42 36 8:18 / /mnt rw - ext4 /dev/sdc1 rw\n\
                    43 36 8:18 / /mntother rw - ext4 /dev/sdc1 rw\n\
                    44 36 8:18 / /mnt rw - ext4 /dev/sdd1 rw\n";
        let found = super::volumes_of(list);
        assert_eq!(found, ["/mnt", "/run/media/me/My stick"].map(std::path::PathBuf::from));
    }
}
