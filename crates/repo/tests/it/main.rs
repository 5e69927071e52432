//! Integration tests of the repository, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail the test")]
#![allow(clippy::disallowed_methods, reason = "fixtures are made and damaged without the code under test")]

mod archive_limits;
mod archives;
mod checkout;
mod checkout_conflicts;
mod checkout_layers;
mod commit;
mod commit_cache;
mod commit_crash;
mod commit_fixture;
mod consume;
mod convert;
mod diff;
mod history;
mod killed;
mod maintain;
mod partial;
mod prune;
mod prune_beside;
mod publishing;
mod reflog;
mod repository;
mod selinux;
mod sharing;
mod signatures;
mod statements;
