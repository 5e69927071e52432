//! What the kernel's command line says about the deployment to boot.
#![deny(clippy::indexing_slicing)]

use super::error::BootError;
use crate::boot::kargs::Kargs;

/// Which link on the disk names the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootTarget {
    /// The path of the link, relative to the root of the disk.
    pub(crate) link: String,
}

/// The argument that names the link.
const OSTREE: &str = "ostree";
/// Begins arguments that the boot loader of an Android device gives. It chooses between two slots, and no more.
const ANDROID: &str = "androidboot.";

impl BootTarget {
    /// Reads the contents of `/proc/cmdline`. Arguments of an Android boot loader win over `ostree=`, since such a
    /// device cannot change the latter with each deployment; of several `ostree=` the first one counts.
    ///
    /// # Errors
    /// [`BootError::NotAsked`] when nothing names a deployment, [`BootError::BadArgument`] when what names one is no
    /// path from the root without `..`.
    pub fn parse(cmdline: &[u8]) -> Result<Self, BootError> {
        let text = String::from_utf8_lossy(cmdline);
        let kargs = Kargs::parse(text.trim_end_matches(['\n', '\0']));
        let link = match (android_slot(&kargs), kargs.get(OSTREE)) {
            (Some(slot), _) => format!("ostree/root.{slot}"),
            (None, Some(path)) => {
                let inside = path.strip_prefix('/').unwrap_or_default();
                let plain = |part: &str| !matches!(part, "" | "." | "..");
                if !inside.split('/').all(plain) {
                    return Err(BootError::BadArgument { value: path.chars().take(200).collect() });
                }
                inside.to_owned()
            }
            (None, None) => return Err(BootError::NotAsked),
        };
        Ok(Self { link })
    }

    /// The stateroot, where the link has it in its name: all do but those of Android.
    pub(crate) fn stateroot(&self) -> Option<&str> {
        let parts: Vec<_> = self.link.split('/').collect();
        match parts[..] {
            ["ostree", boot, stateroot, _kernel, _serial] if boot.starts_with("boot.") => Some(stateroot),
            _ => None,
        }
    }
}

fn android_slot(kargs: &Kargs) -> Option<char> {
    match kargs.get("androidboot.slot_suffix") {
        Some("_b") => Some('b'),
        Some(_) => Some('a'),
        None => kargs.iter().any(|argument| argument.starts_with(ANDROID)).then_some('a'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_the_first_plain_path_or_the_slot() {
        let of = |text: &str| BootTarget::parse(text.as_bytes()).map(|target| target.link).ok();
        let link = "ostree/boot.1/os/abc/0";
        assert_eq!(of("quiet ostree=/ostree/boot.1/os/abc/0 rw\n").as_deref(), Some(link));
        assert_eq!(of("ostree=/ostree/boot.1/os/abc/0 ostree=/x").as_deref(), Some(link));
        assert_eq!(of("androidboot.slot_suffix=_b ostree=/x").as_deref(), Some("ostree/root.b"));
        assert_eq!(of("androidboot.slot_suffix=_a").as_deref(), Some("ostree/root.a"));
        assert_eq!(of("androidboot.serialno=1 ostree=/x").as_deref(), Some("ostree/root.a"));
        for bad in ["quiet", "ostree", "ostree=", "ostree=x", "ostree=/", "ostree=/a/../b", "ostree=//a", ""]
        {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_stateroot_is_in_the_name_of_the_link_but_for_a_slot() {
        let of = |text: &str| BootTarget::parse(text.as_bytes()).unwrap().stateroot().map(str::to_owned);
        assert_eq!(of("ostree=/ostree/boot.1/os/abc/0").as_deref(), Some("os"));
        assert_eq!(of("ostree=/ostree/boot.0.1/a.b/abc/1").as_deref(), Some("a.b"));
        assert_eq!(of("androidboot.slot_suffix=_b"), None);
        assert_eq!(of("ostree=/ostree/os/boot.1/abc/0"), None);
    }

    #[test]
    fn a_system_that_is_not_deployed_is_told_from_a_bad_argument() {
        assert!(matches!(BootTarget::parse(b"root=/dev/vda"), Err(BootError::NotAsked)));
        assert!(matches!(BootTarget::parse(b"ostree=up/../down"), Err(BootError::BadArgument { .. })));
    }
}
