//! Deploying small operating systems into sysroots in temporary directories.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod behaviour;
mod crash;
mod fixture;
mod interop;
mod modes;
mod refused;
mod upgrade;
