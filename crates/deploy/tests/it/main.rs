//! Deploying small operating systems into sysroots in temporary directories.

mod behaviour;
mod crash;
mod fixture;
mod interop;
mod modes;
mod refused;
mod upgrade;
