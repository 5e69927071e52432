//! The program as it is used: from the outside, in a directory that goes away.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests may panic, and make files as anyone does"
)]

mod administer;
mod attacks;
mod collections;
mod compatibility;
mod delta;
mod differential;
mod drop_ins;
mod failure;
mod files;
mod grub;
mod interop;
mod journal;
mod json;
mod keeping;
mod keys;
mod killed;
mod labels;
mod local;
mod names;
mod peer;
mod place;
mod progress;
mod proxy;
mod reflog;
mod repair;
mod sides;
mod story;
mod trust;
mod upkeep;
mod volumes;
mod watch;
