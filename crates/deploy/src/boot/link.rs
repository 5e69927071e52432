//! The value of the kernel argument `ostree=`: the path of a link to the deployment that boots.
#![deny(clippy::indexing_slicing)]

use crate::boot::kernel::BootId;
use crate::deployment::{StaterootName, parse_decimal};
use crate::list::BootVersion;
use std::fmt;

/// `/ostree/boot.N/STATEROOT/BOOTID/SERIAL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootLink {
    /// Which of the two sets of links: 0 or 1.
    pub version: BootVersion,
    /// The stateroot.
    pub stateroot: StaterootName,
    /// The checksum of kernel and initramfs.
    pub boot_id: BootId,
    /// The number among deployments with the same.
    pub serial: u32,
}

/// Text that is no such path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not /ostree/boot.N/STATEROOT/CHECKSUM/NUMBER")]
pub struct BootLinkError {
    /// What was given, cut to 200 characters.
    pub text: String,
}

impl BootLink {
    /// Parses the value of `ostree=`.
    ///
    /// # Errors
    /// When it is not such a path.
    pub fn parse(value: &[u8]) -> Result<Self, BootLinkError> {
        let parse = || {
            let text = std::str::from_utf8(value).ok()?;
            let mut parts = text.strip_prefix("/ostree/boot.")?.split('/');
            let link = Self {
                version: BootVersion::parse(parts.next()?)?,
                stateroot: StaterootName::new(parts.next()?).ok()?,
                boot_id: BootId::parse(parts.next()?)?,
                serial: parse_decimal(parts.next()?)?,
            };
            parts.next().is_none().then_some(link)
        };
        parse()
            .ok_or_else(|| BootLinkError { text: String::from_utf8_lossy(value).chars().take(200).collect() })
    }
}

impl fmt::Display for BootLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, stateroot, boot_id, serial } = self;
        write!(f, "/ostree/boot.{version}/{stateroot}/{boot_id}/{serial}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_is_a_boot_link() {
        let id = "3822c8916ff94fb5cd0710581582600efdb585747470c3ef45ead0e6ed5b3982";
        let good = format!("/ostree/boot.1/test/{id}/0");
        assert_eq!(BootLink::parse(good.as_bytes()).unwrap().to_string(), good);
        let bad = [
            String::new(),
            format!("ostree/boot.1/test/{id}/0"),
            format!("/ostree/boot.2/test/{id}/0"),
            format!("/ostree/boot.1.1/test/{id}/0"),
            format!("/ostree/boot.1/../{id}/0"),
            format!("/ostree/boot.1//{id}/0"),
            format!("/ostree/boot.1/test/{}/0", &id[1..]),
            format!("/ostree/boot.1/test/{}/0", id.to_uppercase()),
            format!("/ostree/boot.1/test/{id}/"),
            format!("/ostree/boot.1/test/{id}/01"),
            format!("/ostree/boot.1/test/{id}/-1"),
            format!("/ostree/boot.1/test/{id}/4294967296"),
            format!("/ostree/boot.1/test/{id}/0/x"),
        ];
        for text in bad {
            assert!(BootLink::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(BootLink::parse(b"/ostree/boot.1/\xff/a/0").is_err());
    }
}
