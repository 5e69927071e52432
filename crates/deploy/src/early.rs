//! What runs at boot: from the kernel's arguments and the disk's root to the root of the running system.
//!
//! In the initramfs [`prepare_root`] turns the mounted disk into a view of one deployment. In the running system
//! [`remount`] settles what may be written, and [`units`] says what systemd has to mount. What was done is left in
//! `/run/ostree-booted`, a [`BootRecord`], by which everything later knows what runs.
//!
//! Layout, record and configuration are OSTree's, so that its programs boot our deployments and ours boot its.

pub(crate) mod cmdline;
pub(crate) mod config;
pub(crate) mod error;
mod fstab;
pub(crate) mod prepare_root;
pub(crate) mod record;
pub(crate) mod remount;
pub(crate) mod units;
