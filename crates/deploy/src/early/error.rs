//! Why a system cannot be brought up.

use sapwood_repo::KeyfileError;

/// Why the boot goes no further.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootError {
    /// The kernel's command line names no deployment: this is no boot of a deployed system.
    #[error("the kernel's command line has no ostree= argument")]
    NotAsked,
    /// The argument is no path that stays on the disk.
    #[error("ostree={value} is not a path from the root of the disk")]
    BadArgument {
        /** Its value, cut to 200 characters. */
        value: String,
    },
    /// The link that the argument names is not there, or does not lead to a deployment.
    #[error("{link} on the disk does not lead to a deployment: {reason}")]
    BadLink {
        /** Its path on the disk. */
        link: String,
        /** Why. */
        reason: String,
    },
    /// A configuration file cannot be read.
    #[error("cannot read {path}")]
    Config {
        /** Its path in the initramfs, or on the disk. */
        path: &'static str,
        /** Where and why. */
        source: KeyfileError,
    },
    /// A key has a value that it cannot have.
    #[error("{path}: {key} cannot be {value:?}")]
    BadValue {
        /** The file. */
        path: &'static str,
        /** Group and key. */
        key: &'static str,
        /** The value. */
        value: String,
    },
    /// The configuration asks for what this version cannot do. Going on without would boot what was not asked for.
    #[error("{path} asks for {what}, which this version cannot do")]
    Unsupported {
        /** The file. */
        path: &'static str,
        /** What. */
        what: &'static str,
    },
    /// `/run/ostree-booted` is not what boot programs write.
    #[error("/run/ostree-booted is malformed: {reason}")]
    Record {
        /** How. */
        reason: String,
    },
    /// Mounting, or another operation on files, failed.
    #[error(transparent)]
    Io(#[from] sapwood_fsio::Error),
}
