//! Origin files: which ref a deployment follows, and facts that concern it alone.

mod conflicts;
mod followed;

pub use conflicts::EtcConflicts;
pub use followed::Followed;

use crate::{DeploymentId, Error, Result, layout};
use sapwood_fsio::{self as fsio, Dir};
use sapwood_repo::{Keyfile, KeyfileError};

/// The group of what a new deployment inherits.
const ORIGIN: &str = "origin";
/// The group of what it does not.
const TRANSIENT: &str = "libostree-transient";

/// The origin of a deployment. Keys that are not known here are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    keyfile: Keyfile,
}

/// An origin file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed origin")]
pub struct OriginError(#[from] KeyfileError);

impl Origin {
    /// An origin that follows this ref (`REMOTE:REF` or `REF`).
    pub fn from_refspec(refspec: &str) -> Self {
        let mut origin = Self::default();
        origin.set_refspec(refspec);
        origin
    }

    /// Reads the bytes of an origin file.
    ///
    /// # Errors
    /// When they are no keyfile.
    pub fn parse(bytes: &[u8]) -> std::result::Result<Self, OriginError> {
        Ok(Self { keyfile: Keyfile::parse(bytes)? })
    }

    /// Reads the origin of a deployment; it is empty where the file is missing.
    pub(crate) fn read(root: &Dir, id: &DeploymentId) -> Result<Self> {
        match fsio::read_optional(root, layout::origin_file(id), layout::MAX_TEXT_BYTES)? {
            Some(bytes) => {
                Self::parse(&bytes).map_err(|source| Error::Origin { deployment: id.clone(), source })
            }
            None => Ok(Self::default()),
        }
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        self.keyfile.to_text()
    }

    /// The keyfile, with all keys.
    pub fn keyfile(&self) -> &Keyfile {
        &self.keyfile
    }

    /// Changes any key.
    pub fn keyfile_mut(&mut self) -> &mut Keyfile {
        &mut self.keyfile
    }

    /// The ref it follows, as written: checked by who uses it.
    pub fn refspec(&self) -> Option<String> {
        self.keyfile.get(ORIGIN, "refspec").filter(|text| !text.is_empty())
    }

    /// Makes it follow another ref; a commit it was held at is forgotten.
    pub fn set_refspec(&mut self, refspec: &str) {
        self.keyfile.set(ORIGIN, "refspec", refspec);
        self.keyfile.remove(ORIGIN, "override-commit");
    }

    /// The commit that is deployed instead of the newest one of the ref.
    pub fn override_commit(&self) -> Option<String> {
        self.keyfile.get(ORIGIN, "override-commit").filter(|text| !text.is_empty())
    }

    /// Holds it at a commit, or no longer.
    pub fn set_override_commit(&mut self, commit: Option<&str>) {
        match commit {
            Some(commit) => {
                self.keyfile.set(ORIGIN, "override-commit", commit);
            }
            None => {
                self.keyfile.remove(ORIGIN, "override-commit");
            }
        }
    }

    /// Why upgrading needs something to be done first, if it does.
    pub fn unconfigured_state(&self) -> Option<String> {
        self.keyfile.get(ORIGIN, "unconfigured-state").filter(|text| !text.is_empty())
    }

    /// Whether the deployment is kept until it is unpinned. A value that is neither yes nor no keeps it, too.
    pub fn pinned(&self) -> bool {
        !matches!(self.keyfile.get_bool(TRANSIENT, "pinned"), None | Some(Ok(false)))
    }

    /// Pins or unpins.
    pub fn set_pinned(&mut self, pinned: bool) {
        if pinned {
            self.keyfile.set(TRANSIENT, "pinned", "true");
        } else {
            self.keyfile.remove(TRANSIENT, "pinned");
            self.drop_empty_transient();
        }
    }

    fn drop_empty_transient(&mut self) {
        if self.keyfile.keys(TRANSIENT).next().is_none() {
            self.keyfile.remove_group(TRANSIENT);
        }
    }

    /// Writes the origin of a deployment. Durable when it returns.
    pub(crate) fn write(&self, root: &Dir, id: &DeploymentId) -> Result<()> {
        Ok(fsio::replace(root, layout::origin_file(id), 0o644, self.to_text().as_bytes())?)
    }

    /// The same for a new deployment: without what concerns the old one alone.
    #[must_use]
    pub fn inherited(&self) -> Self {
        let mut keyfile = self.keyfile.clone();
        keyfile.remove_group(TRANSIENT);
        keyfile.remove(ORIGIN, "unlocked");
        Self { keyfile }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_deployment_alone_is_not_inherited_and_the_rest_is() {
        let text = "# note\n[origin]\nrefspec=a:b\nunlocked=hotfix\nbaserefspec=x\n\n[libostree-transient]\npinned=true\n";
        let origin = Origin::parse(text.as_bytes()).unwrap();
        assert!(origin.pinned());
        let inherited = origin.inherited();
        assert!(!inherited.pinned());
        let text = inherited.to_text();
        assert!(
            text.contains("refspec=a:b") && text.contains("baserefspec=x") && text.contains("# note"),
            "{text}"
        );
        assert!(!text.contains("unlocked") && !text.contains("transient"), "{text}");
    }

    #[test]
    fn pinning_and_unpinning_leaves_the_file_as_it_was() {
        let mut origin = Origin::from_refspec("os/main");
        origin.set_pinned(true);
        assert!(Origin::parse(origin.to_text().as_bytes()).unwrap().pinned());
        origin.set_pinned(false);
        assert_eq!(origin.to_text().trim_end(), "[origin]\nrefspec=os/main");
    }

    #[test]
    fn another_ref_is_not_held_at_the_commit_of_the_old_one() {
        let mut origin = Origin::from_refspec("os/main");
        origin.set_override_commit(Some("abc"));
        assert_eq!(origin.override_commit().as_deref(), Some("abc"));
        origin.set_refspec("os/next");
        assert_eq!((origin.override_commit(), origin.refspec().as_deref()), (None, Some("os/next")));
    }

    #[test]
    fn malformed_origins_are_refused_and_empty_values_name_nothing() {
        for bytes in [&b"refspec=x\n"[..], b"[origin\n", b"[origin]\nrefspec\n", b"[origin]\nrefspec=\xff\n"]
        {
            assert!(Origin::parse(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(Origin::parse(b"[origin]\nrefspec=\n").unwrap().refspec(), None);
        assert_eq!(Origin::parse(b"").unwrap(), Origin::default());
        assert!(
            Origin::parse(b"[libostree-transient]\npinned=perhaps\n").unwrap().pinned(),
            "rather kept than lost"
        );
    }
}
