//! The boot side of a deployment: kernel, entry, arguments, links.

pub(crate) mod bls;
pub(crate) mod entry_name;
pub(crate) mod install;
pub(crate) mod kargs;
pub(crate) mod kernel;
pub(crate) mod link;
pub(crate) mod os_release;
pub(crate) mod verscmp;
