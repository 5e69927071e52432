//! Fixtures as code, and the real programs that tests compare with.
//!
//! This crate uses none of the other crates of the workspace, so that each of them can use it for its tests, and what
//! it makes comes about without the code under test.
//!
//! ```
//! use sapwood_testkit::Tree;
//!
//! let folder = tempfile::tempdir()?;
//! let mut tree = Tree::default();
//! tree.file("usr/bin/su", "#!/bin/sh\n").mode(0o4755);
//! tree.symlink("bin", "usr/bin");
//! tree.write_to(folder.path())?;
//! assert!(folder.path().join("bin/su").exists());
//! # Ok::<(), anyhow::Error>(())
//! ```

#![allow(clippy::print_stderr, reason = "a test that skips itself says so")]
#![allow(clippy::disallowed_methods, reason = "fixtures are made without the code under test")]

mod keys;
mod os;
mod peer;
mod random;
mod skip;
#[cfg(feature = "strategies")]
pub mod strategies;
mod tree;

pub use keys::{Gnupg, openssl};
pub use os::{Release, os_tree};
pub use peer::{Nginx, NginxOptions, Ostree};
pub use random::Random;
pub use skip::skipped;
pub use tree::{Kind, Node, Tree};
