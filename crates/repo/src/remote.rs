//! Remotes: where to pull from.

use crate::{Keyfile, RemoteName, Repo, Result};

/// A configured remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: RemoteName,
    /// Where it is: an `http`, `https` or `file` URL (or `mirrorlist=URL`).
    pub url: String,
    /// Where its objects are, if elsewhere.
    pub content_url: Option<String>,
    /// Refs pulled when none are named.
    pub branches: Vec<String>,
    /// All keys of its group as they stand in the file.
    pub options: Vec<(String, String)>,
}

impl Remote {
    /// The boolean key, or `default` where it is missing or no boolean.
    pub fn flag(&self, key: &str, default: bool) -> bool { todo!() }
    /// A key.
    pub fn option(&self, key: &str) -> Option<&str> { todo!() }
    /// Reads the group of a remote from a keyfile.
    pub fn from_keyfile(keyfile: &Keyfile, name: &RemoteName) -> Result<Self> { todo!() }
}

impl Repo {
    /// All remotes of the repository's configuration, sorted by name.
    pub fn remotes(&self) -> Result<Vec<Remote>> { todo!() }
    /// One of them.
    pub fn remote(&self, name: &str) -> Result<Remote> { todo!() }
    /// Adds a remote; `options` are further keys. With `replace` one of that name is replaced.
    pub fn add_remote(&mut self, name: &RemoteName, url: &str, options: &[(String, String)], replace: bool) -> Result<()> { todo!() }
    /// Removes a remote and its refs' last known states.
    pub fn delete_remote(&mut self, name: &RemoteName) -> Result<()> { todo!() }
}
