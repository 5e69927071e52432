//! SELinux labels: which a policy gives to the files of a tree, found out without SELinux.
//!
//! A policy's `file_contexts` and the files beside it say by patterns which label a path has; they are read as
//! libselinux reads them (`selabel_file(5)`), from the text files. The compiled ones beside them are not looked at, nor is
//! the binary policy: whether the kernel knows a label is not checked.

mod contexts;
mod pattern;
mod subs;

use crate::{Error, Node, Repo, Result, Root, TreePath};
use sapwood_fsio::{self as fsio, Dir, Kind};
use std::io::Read;
use std::sync::Arc;

pub use contexts::{Contexts, ContextsError};

/// The extended attribute that holds a label, with a NUL at its end.
pub const LABEL: &[u8] = b"security.selinux";

/// Where a root file system has its policies: the first that exists.
const PLACES: [&str; 2] = ["etc/selinux", "usr/etc/selinux"];
/// Largest file that is read, in bytes: those of large distributions have half a megabyte.
const MAX_BYTES: u64 = 16 << 20;

/// Which label which path has, by the policy of a root file system.
pub struct Policy {
    name: String,
    digest: blake3::Hash,
    contexts: Contexts,
}

impl Policy {
    /// The policy of the root file system `root`; `None` where it has none or does not use it.
    ///
    /// # Errors
    /// [`Error::Policy`] for one that is malformed or lacks its `file_contexts`; [`Error::Io`].
    pub fn of_dir(root: &Dir) -> Result<Option<Self>> {
        Self::load(&|path| Ok(fsio::read_optional(root, path, MAX_BYTES)?))
    }

    /// Its name, such as `targeted`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn load(read: &dyn Fn(&str) -> Result<Option<Vec<u8>>>) -> Result<Option<Self>> {
        for place in PLACES {
            let Some(config) = read(&format!("{place}/config"))? else { continue };
            let Some(name) = enabled(&config) else { return Ok(None) };
            let file = format!("{place}/{name}/contexts/files/file_contexts");
            let Some(main) = read(&file)? else {
                return Err(ContextsError::Missing { file }.into());
            };
            let beside =
                |suffix: &str| Ok::<_, Error>(read(&format!("{file}.{suffix}"))?.unwrap_or_default());
            let files = [main, beside("homedirs")?, beside("local")?, beside("subs")?, beside("subs_dist")?];
            let mut digest = blake3::Hasher::new();
            for file in &files {
                digest.update(&file.len().to_le_bytes()).update(file);
            }
            let [main, homedirs, local, subs, subs_dist] = &files;
            let contexts = Contexts::parse(&[main, homedirs, local], [subs, subs_dist])?;
            return Ok(Some(Self { name, digest: digest.finalize(), contexts }));
        }
        Ok(None)
    }
}

/// Which policy it is: equal for equal files.
impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl From<ContextsError> for Error {
    fn from(source: ContextsError) -> Self {
        Self::Policy(Box::new(source))
    }
}

impl Repo {
    /// The policy of a committed root file system, as [`Policy::of_dir`].
    ///
    /// # Errors
    /// As [`Policy::of_dir`], and [`Error::Store`].
    pub fn policy_of(&self, root: Root) -> Result<Option<Policy>> {
        Policy::load(&|path| {
            let file = match self.lookup(root, &TreePath::parse(path)?) {
                Ok(Node::File(file)) => file,
                Ok(Node::Dir(_)) | Err(Error::NoSuchPath { .. } | Error::WrongType { .. }) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let object = self.store().open_file(file.id)?;
            if object.size > MAX_BYTES {
                return Err(ContextsError::TooLarge { file: path.to_owned(), limit_bytes: MAX_BYTES }.into());
            }
            let mut bytes = Vec::new();
            fsio::At::at(object.content.take(MAX_BYTES).read_to_end(&mut bytes), "read", path)?;
            Ok(Some(bytes))
        })
    }
}

/// The name of the policy that `etc/selinux/config` says is in use.
fn enabled(config: &[u8]) -> Option<String> {
    let config = String::from_utf8_lossy(config);
    let value =
        |key: &str| config.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim);
    let name =
        value("SELINUXTYPE").filter(|name| !name.is_empty() && !name.contains('/') && *name != "..")?;
    matches!(value("SELINUX")?, "enforcing" | "permissive").then(|| name.to_owned())
}

/// From which version of the rules labels are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LabelEpoch {
    /// Paths as they are.
    #[default]
    Zero,
    /// What is below `/usr/etc` is labelled as below `/etc`, where it will be.
    One,
}

/// How the files of a tree are labelled.
#[derive(Debug, Clone)]
pub struct Labels {
    /// By which policy.
    pub policy: Arc<Policy>,
    /// By which rules.
    pub epoch: LabelEpoch,
    /// What stands before each path when it is looked up. Normally nothing.
    pub prefix: String,
}

impl Labels {
    /// The label of something at `path`, which begins with `/`, as the attribute holds it. `None` where the policy gives
    /// none.
    ///
    /// # Errors
    /// [`Error::Policy`] for a pattern that cannot be understood; it is met only when it is needed.
    pub fn of(&self, path: &str, kind: Kind) -> Result<Option<Vec<u8>>> {
        let full = format!("{}{path}", self.prefix);
        let path = match full.as_str() {
            // Policies have no label for it, since it is mounted over: it is a mount point.
            "/proc" => "/mnt",
            path => match path.strip_prefix("/usr/etc") {
                Some(rest) if self.epoch == LabelEpoch::One && (rest.is_empty() || rest.starts_with('/')) => {
                    &full["/usr".len()..]
                }
                _ => path,
            },
        };
        let label = self.policy.contexts.lookup(path.as_bytes(), Some(kind))?;
        Ok(label.map(|label| [label.as_bytes(), b"\0"].concat()))
    }
}
