//! Remotes: where to pull from.

mod drop_ins;

pub(crate) use drop_ins::DropIns;
pub use drop_ins::NewRemotes;

use crate::repo::ParentRepo;
use crate::{CollectionId, ConfigError, Error, Expected, Keyfile, RefEdit, RemoteName, Repo, Result};
use sapwood_fsio::Dir;
use sapwood_fsio::lock::LockKind;
use std::collections::BTreeSet;
use std::iter;

/// A configured remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: RemoteName,
    /// Where it is: an `http`, `https` or `file` URL (or `mirrorlist=URL`). Empty if it has none, as one with a
    /// `metalink` may.
    pub url: String,
    /// Where its objects are, if elsewhere.
    pub content_url: Option<String>,
    /// Refs pulled when none are named.
    pub branches: Vec<String>,
    /// All keys of its group as they stand in the file, each once, in order.
    pub options: Vec<(String, String)>,
}

fn group_of(name: &RemoteName) -> String {
    format!("remote \"{name}\"")
}

/// The file of the keys that are trusted for it.
fn keyring_of(name: &RemoteName) -> String {
    format!("{name}.trustedkeys.gpg")
}

/// The keys that are trusted for it, as a repository has them.
fn keyring_in(repo: &Dir, name: &RemoteName) -> Result<Option<Vec<u8>>> {
    Ok(sapwood_fsio::read_optional(repo, keyring_of(name), 64 << 20)?)
}

/// The remote that a group of a configuration describes.
fn name_in(group: &str) -> Option<RemoteName> {
    RemoteName::new(group.strip_prefix("remote \"")?.strip_suffix('"')?).ok()
}

impl Remote {
    /// The boolean key, or `default` where it is missing or no boolean.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        match self.option(key).map(str::trim_end) {
            Some("yes" | "true" | "1") => true,
            Some("no" | "false" | "0") => false,
            _ => default,
        }
    }

    /// A key, escapes left as they are.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The collection that its refs belong to, if it says one that can be one.
    pub fn collection_id(&self) -> Option<CollectionId> {
        self.option("collection-id").and_then(|id| CollectionId::new(id).ok())
    }

    /// Reads the group of a remote from a keyfile.
    ///
    /// # Errors
    /// [`Error::UnknownRemote`] if there is no such group.
    pub fn from_keyfile(keyfile: &Keyfile, name: &RemoteName) -> Result<Self> {
        let group = group_of(name);
        if !keyfile.groups().any(|found| found == group) {
            return Err(Error::UnknownRemote { name: name.to_string() });
        }
        let raw = |key: &str| keyfile.raw(&group, key).unwrap_or_default().to_owned();
        Ok(Self {
            name: name.clone(),
            url: keyfile.get(&group, "url").unwrap_or_default(),
            content_url: keyfile.get(&group, "contenturl").filter(|url| !url.is_empty()),
            branches: keyfile.get_list(&group, "branches").unwrap_or_default(),
            options: keyfile.keys(&group).map(|key| (key.to_owned(), raw(key))).collect(),
        })
    }
}

impl Repo {
    /// All remotes of the repository's configuration, its drop-ins and its parents' configurations (the nearest counts), sorted by
    /// name. Groups whose name no remote can have are left out.
    ///
    /// # Errors
    /// None today.
    pub fn remotes(&self) -> Result<Vec<Remote>> {
        let groups = self.keyfiles().flat_map(Keyfile::groups);
        let names: BTreeSet<RemoteName> = groups.filter_map(name_in).collect();
        names.iter().map(|name| self.remote(name.as_str())).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// [`Error::UnknownRemote`].
    pub fn remote(&self, name: &str) -> Result<Remote> {
        let unknown = || Error::UnknownRemote { name: name.chars().take(80).collect() };
        let name = RemoteName::new(name).or(Err(unknown()))?;
        let found = self.keyfiles().find_map(|keyfile| Remote::from_keyfile(keyfile, &name).ok());
        found.ok_or_else(unknown)
    }

    /// The configuration, the drop-ins, then the configurations of the parents.
    fn keyfiles(&self) -> impl Iterator<Item = &Keyfile> {
        let parents = self.parents().iter().map(|parent| &parent.config.keyfile);
        self.own_keyfiles().chain(parents)
    }

    fn own_keyfiles(&self) -> impl Iterator<Item = &Keyfile> {
        let drop_ins = self.drop_ins.iter().flat_map(DropIns::files).map(|file| &file.keyfile);
        iter::once(&self.config().keyfile).chain(drop_ins)
    }

    fn edit_description(&mut self, name: &RemoteName, edit: impl FnOnce(&mut Keyfile)) -> Result<()> {
        self.config().check_writable()?;
        match self.drop_in_of(name) {
            Some(file) => self.edit_drop_in(&file, edit),
            None => self.edit_config(edit),
        }
    }

    fn has_own_remote(&self, name: &RemoteName) -> bool {
        self.own_keyfiles().any(|keyfile| Remote::from_keyfile(keyfile, name).is_ok())
    }

    /// Adds a remote; `options` are further keys. An empty `url` is none, as where there is a `metalink`. With
    /// `replace` one of that name is replaced, keys and all, in the file where it is.
    ///
    /// # Errors
    /// [`Error::RemoteExists`]; [`Error::Config`] for a key that no keyfile can hold; those of
    /// [`edit_config`](Self::edit_config).
    pub fn add_remote(
        &mut self,
        name: &RemoteName,
        url: &str,
        options: &[(String, String)],
        replace: bool,
    ) -> Result<()> {
        let group = group_of(name);
        if !replace && self.has_own_remote(name) {
            return Err(Error::RemoteExists { name: name.to_string() });
        }
        let impossible = options.iter().find(|(key, value)| !Keyfile::default().set(&group, key, value));
        if let Some((key, value)) = impossible {
            let (key, value) = (key.clone(), value.clone());
            return Err(ConfigError {
                group,
                key,
                value,
                expected: "a key without `=`, brackets and line ends",
            }
            .into());
        }
        self.edit_description(name, |keyfile| {
            keyfile.remove_group(&group);
            if !url.is_empty() {
                keyfile.set(&group, "url", url);
            }
            for (key, value) in options {
                keyfile.set(&group, key, value);
            }
        })
    }

    /// The GPG keys that are trusted for a remote: a keyring in binary form, of this repository or else of its nearest parent
    /// that has one, whichever of them configures the remote (as OSTree does). `None` if none of them has.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remote_keyring(&self, name: &RemoteName) -> Result<Option<Vec<u8>>> {
        let parents = self.parents().iter().map(ParentRepo::dir);
        iter::once(self.dir()).chain(parents).find_map(|dir| keyring_in(dir, name).transpose()).transpose()
    }

    /// Replaces the keyring that this repository has of its own by what `change` makes of it, atomically; no other process of
    /// ours changes it meanwhile.
    ///
    /// # Errors
    /// What `change` fails with; [`Error::NewerFormat`] where the repository can only be read; [`Error::Lock`], [`Error::Io`].
    /// Then it is as it was.
    pub fn change_remote_keyring<E: From<Error>>(
        &self,
        name: &RemoteName,
        change: impl FnOnce(Option<Vec<u8>>) -> std::result::Result<Vec<u8>, E>,
    ) -> std::result::Result<(), E> {
        self.config().check_writable()?;
        let _lock = self.lock_refs()?;
        let bytes = change(keyring_in(self.dir(), name)?)?;
        crate::write::replace(self.dir(), &keyring_of(name), &bytes, self.config().fsync)?;
        Ok(())
    }

    /// Removes a remote, its refs' last known states, its keyring, and what is known of its statements.
    ///
    /// # Errors
    /// [`Error::UnknownRemote`], also for one of a parent's; those of [`edit_config`](Self::edit_config) and
    /// [`edit_refs`](Self::edit_refs). A crash may leave the remote with some of its refs, or with none.
    pub fn delete_remote(&mut self, name: &RemoteName) -> Result<()> {
        if !self.has_own_remote(name) {
            return Err(Error::UnknownRemote { name: name.to_string() });
        }
        self.config().check_writable()?;
        {
            let _lock = self.store().lock(LockKind::Shared)?;
            let (good, broken) = self.survey_refs()?;
            let refs =
                good.into_iter().map(|entry| entry.name).chain(broken.into_iter().map(|entry| entry.name));
            let refs = refs.filter(|found| found.remote() == Some(name));
            let deletions = refs.map(|name| RefEdit::Delete { name, expected: Expected::Any });
            self.edit_refs_locked(deletions.collect(), &|| Ok(()))?;
        }
        self.edit_description(name, |keyfile| {
            keyfile.remove_group(&group_of(name));
        })?;
        sapwood_fsio::remove_file_optional(self.dir(), keyring_of(name))?;
        self.forget(name)?;
        Ok(())
    }
}
