//! `/run/ostree-booted`: what the boot programs did, for everything that comes later.
//!
//! A GVariant dictionary, as OSTree's boot program writes it; an empty file says no more than that a deployment runs.
#![deny(clippy::indexing_slicing)]

use super::error::BootError;
use sapwood_fsio::mount::Access;
use sapwood_fsio::{self as fsio, Dir};
use sapwood_objstore::DecodeError;
use sapwood_objstore::gvariant::{Layout, Reader, Writer};

/// Where it is, relative to the root.
const PATH: &str = "run/ostree-booted";
/// It is there where `/sysroot` is to be read-only: OSTree's programs said so by it before they wrote a dictionary, and its
/// program that remounts takes it away.
const READ_ONLY_STAMP: &str = "run/ostree-sysroot-ro.stamp";
/// Longest one read, in bytes.
const MAX_BYTES: u64 = 1 << 16;

/// What the boot programs did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootRecord {
    /// Device and inode of the deployment's directory, which the root directory shows when it is an overlay over it.
    pub backing_root: Option<(u64, u64)>,
    /// `/sysroot` is to be read-only.
    pub sysroot_read_only: bool,
    /// Changes of `/` are kept beside the deployment.
    pub root_transient: bool,
    /// The directory in `/run` with what was changed in `/etc`.
    pub transient_etc: Option<String>,
}

const BACKING: &str = "backing-root-device-inode";
const READ_ONLY: &str = "sysroot-ro";
const ROOT: &str = "root.transient";
const ETC: &str = "transient-etc";

impl BootRecord {
    /// Reads that of the running system whose root this is, and the stamp of older programs; `None` where no deployment
    /// runs.
    ///
    /// # Errors
    /// [`BootError::Record`] when it is malformed.
    pub fn read(root: &Dir) -> Result<Option<Self>, BootError> {
        let Some(bytes) = fsio::read_optional(root, PATH, MAX_BYTES)? else { return Ok(None) };
        let mut record = Self::parse(&bytes)?;
        record.sysroot_read_only |= fsio::stat_optional(root, READ_ONLY_STAMP)?.is_some();
        Ok(Some(record))
    }

    /// Writes it where [`read`](Self::read) finds it, and the stamp for older programs.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn write(&self, root: &Dir) -> Result<(), BootError> {
        if self.sysroot_read_only {
            fsio::replace(root, READ_ONLY_STAMP, 0o644, b"")?;
        }
        Ok(fsio::replace(root, PATH, 0o644, &self.to_bytes())?)
    }

    /// Whether `/sysroot` is to be read-only, or writable; `None` where nothing says so.
    pub(super) fn sysroot_access(&self) -> Option<Access> {
        if self.sysroot_read_only {
            return Some(Access::ReadOnly);
        }
        (*self != Self::default()).then_some(Access::ReadWrite)
    }

    /// Understands the bytes of the file. Keys that are not known are passed over.
    ///
    /// # Errors
    /// [`BootError::Record`] when they are no dictionary in normal form, or a known key has a value of another type.
    pub fn parse(bytes: &[u8]) -> Result<Self, BootError> {
        decode(bytes).map_err(|error| BootError::Record { reason: error.to_string() })
    }

    /// The bytes of the file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.dict(|dict| {
            if let Some((dev, ino)) = self.backing_root {
                let numbers = |w: &mut Writer| {
                    w.tuple(8, |w| {
                        w.u64(dev);
                        w.u64(ino);
                    });
                };
                dict.entry(BACKING, |w| w.variant("(tt)", numbers));
            }
            for (key, value) in [(READ_ONLY, self.sysroot_read_only), (ROOT, self.root_transient)] {
                if value {
                    dict.entry(key, |w| w.variant("b", |w| w.bool(true)));
                }
            }
            if let Some(path) = &self.transient_etc {
                dict.entry(ETC, |w| w.variant("s", |w| w.str(path)));
            }
        });
        writer.finish()
    }
}

fn decode(bytes: &[u8]) -> Result<BootRecord, DecodeError> {
    let mut record = BootRecord::default();
    for entry in Reader::new(bytes).array(Layout::ENTRY)? {
        let (key, value) = entry?.entry()?;
        let (signature, value) = value.variant()?;
        match (key.str()?, signature) {
            (BACKING, "(tt)") => {
                let [dev, ino] = value.tuple([Layout::U64, Layout::U64])?;
                record.backing_root = Some((dev.u64()?, ino.u64()?));
            }
            (READ_ONLY, "b") => record.sysroot_read_only = value.bool()?,
            (ROOT, "b") => record.root_transient = value.bool()?,
            (ETC, "s") => record.transient_etc = Some(value.str()?.to_owned()),
            (BACKING | READ_ONLY | ROOT | ETC, _) => return Err(value.error("value has another type")),
            _ => {}
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_empty_file_says_nothing_and_other_programs_keys_are_passed_over() {
        assert_eq!(BootRecord::parse(b"").unwrap(), BootRecord::default());
        // Made by GLib of composefs true, backing-root-device-inode (2049, 77), sysroot-ro true.
        let theirs =
            b"composefs\x00\x00\x00\x00\x00\x00\x00\x01\x00b\x0a\x00\x00\x00\x00backing-root-device-inod\
e\x00\x00\x00\x00\x00\x00\x00\x01\x08\x00\x00\x00\x00\x00\x00M\x00\x00\x00\x00\x00\x00\x00\
\x00(tt)\x1a\x00\x00sysroot-ro\x00\x00\x00\x00\x00\x00\x01\x00b\x0b\x14Nd";
        let read = BootRecord::parse(theirs).unwrap();
        let wanted =
            BootRecord { backing_root: Some((2049, 77)), sysroot_read_only: true, ..BootRecord::default() };
        assert_eq!(read, wanted);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            backing_root in proptest::option::of(any::<(u64, u64)>()),
            sysroot_read_only: bool,
            root_transient: bool,
            transient_etc in proptest::option::of("[a-z/.]{0,20}"),
        ) {
            let record = BootRecord { backing_root, sysroot_read_only, root_transient, transient_etc };
            prop_assert_eq!(BootRecord::parse(&record.to_bytes()).unwrap(), record);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(record) = BootRecord::parse(&bytes) {
                prop_assert_eq!(BootRecord::parse(&record.to_bytes()).unwrap(), record);
            }
        }
    }
}
