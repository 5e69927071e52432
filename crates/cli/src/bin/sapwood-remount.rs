//! Run early in the booted system, after its filesystems were remounted: settles what may be written.
//!
//! Does nothing, successfully, in a system that is no deployment.

use anyhow::Context as _;
use cap_std::ambient_authority;
use sapwood_fsio::Dir;
use std::process::ExitCode;

fn main() -> ExitCode {
    let remount = || -> anyhow::Result<()> {
        let root = Dir::open_ambient_dir("/", ambient_authority()).context("opening /")?;
        sapwood_deploy::remount(&root)?;
        Ok(())
    };
    match remount() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sapwood-remount: {error:#}");
            ExitCode::FAILURE
        }
    }
}
