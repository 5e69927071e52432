//! Deploying small operating systems into sysroots in temporary directories.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod behaviour;
mod booted;
mod changes;
mod crash;
mod early;
mod etc;
mod fixture;
mod flat;
mod guards;
mod interop;
mod labels;
mod modes;
mod namespace;
mod refused;
mod space;
mod staged;
mod upgrade;
mod var;
